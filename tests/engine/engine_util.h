/* engine_util.h -- what engine tests share: a device by environment, golden fixtures, comparisons. */
#ifndef TESTS_ENGINE_ENGINE_UTIL_H
#define TESTS_ENGINE_ENGINE_UTIL_H

#include "engine/adapt/lora.h"
#include "engine/model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Fails the running test with status_message() when 'status' is not OK. */
#define CHECK(expr)                                      \
    do {                                                 \
        if (expr)                                        \
            fail_msg("%s: %s", #expr, status_message()); \
    } while (0)

/* A context on the named device; name NULL: env LORASH_TEST_DEVICE, else "cpu". */
struct context *util_context(const char *device, enum dtype compute, int threads);
/* Releases it, its device and pool; checks that no tensor is left. */
void util_context_free(struct context *ctx);

/* Relative L2 distance; NaN or infinity anywhere gives infinity. */
double util_rel_l2(const double *got, const double *wanted, int64_t n);

/* Every small model of tests/golden with an expectation beside it; ends with NULL. */
extern const char *const golden_models[];
/* Opens one: tests/golden/NAME.gguf, or the folder tests/golden/NAME. */
struct model *golden_model(struct context *ctx, const char *name);

/* A fixture of tests/golden: every tensor as doubles. */
struct golden;
struct golden *golden_open(const char *name);
void golden_close(struct golden *g);
const double *golden_get(struct golden *g, const char *name, int64_t *n); /* must exist */
bool golden_has(struct golden *g, const char *name);
double golden_number(struct golden *g, const char *key);
char *golden_text(struct golden *g, const char *key, char *out, size_t bytes);

/* The batch of a fixture: packed samples, each token but the last of a sample has a target. */
void golden_batch(struct golden *g, struct context *ctx, int64_t vocab, struct batch *out);

/* Overwrites the adapter's tensors with the fixture's "lora.L.A" / ".B". */
void golden_load_lora(struct golden *g, struct lora *l);

/* "layers.0.self_attn.q_proj" of "model.layers.0.self_attn.q_proj" */
const char *golden_short(const char *module);

/* Checks a tensor against the fixture's values: rel L2 <= limit. */
void golden_check(struct golden *g, const char *name, struct tensor *t, double limit);

/* Path of the demo model: env LORASH_DEMO_MODEL, else the user's cache; NULL = not there. */
const char *util_demo_model(void);

#endif
