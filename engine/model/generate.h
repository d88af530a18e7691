/* generate.h -- text generation as a machine that is pulled: one event per call.
 *
 * The engine calls nobody back: the loop, the printing and Ctrl-C live above. Prompts are read in
 * pieces, so that an interrupt is answered soon. Works on token ids; text is the caller's. */
#ifndef ENGINE_MODEL_GENERATE_H
#define ENGINE_MODEL_GENERATE_H

#include "engine/model/model.h"
#include "engine/model/sampling.h"

enum generate_event_kind { GENERATE_PREFILL, GENERATE_TOKEN, GENERATE_DONE };

struct generate_event {
    enum generate_event_kind kind;
    int32_t token;      /* TOKEN: the new one (an end-of-text token ends with DONE instead) */
    const char *reason; /* DONE: "eos", "length" */
};

struct generator;

/* 'prompt' [n] is copied, n >= 1. 'config' is borrowed and must stay. eos: token ids that end the
 * text. Errors: ERR_ARG when the prompt does not fit the model's context. */
int generator_new(struct model *m, const struct generation_config *config, uint64_t session_seed,
                  const int32_t *prompt, int64_t n, const int32_t *eos, int eos_count,
                  struct generator **out) MUST_CHECK;

/* The next event. After an error or DONE only generator_free may follow. */
int generator_next(struct generator *g, struct generate_event *event) MUST_CHECK;

/* All ids so far, prompt included; *n their number. Borrowed. */
const int32_t *generator_ids(const struct generator *g, int64_t *n);

void generator_free(struct generator *g); /* NULL is fine */

#endif
