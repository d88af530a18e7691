/* engine_util.c -- devices, fixtures and comparisons for engine tests. */
#include "tests/engine/engine_util.h"
#include "engine/core/file.h"
#include "engine/formats/gguf.h"
#include "kernels/base/mem.h"
#include "kernels/base/pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct context *util_context(const char *name, enum dtype compute, int threads)
{
    struct pool *pool = NULL;
    struct device *device;
    struct context *ctx;
    if (!name)
        name = getenv("LORASH_TEST_DEVICE");
    if (!name)
        name = "cpu";
    if (threads > 1)
        CHECK(pool_new(threads, &pool));
    CHECK(device_open(name, pool, &device));
    CHECK(context_new(device, compute, &ctx));
    return ctx;
}

void util_context_free(struct context *ctx)
{
    struct device *device = ctx->device;
    struct pool *pool = device->pool;
    assert_int_equal(ctx->live_tensors, 0);
    context_release(ctx);
    assert_int_equal(device->live_bytes, 0);
    device_close(device);
    pool_free(pool);
}

double util_rel_l2(const double *got, const double *wanted, int64_t n)
{
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        diff += (got[i] - wanted[i]) * (got[i] - wanted[i]);
        norm += wanted[i] * wanted[i];
    }
    double rel = sqrt(diff) / (norm > 0 ? sqrt(norm) : 1);
    return isfinite(rel) ? rel : INFINITY;
}

struct entry {
    char *name;
    double *values;
    int64_t count;
};

struct golden {
    struct gguf *file;
    struct entry *entries;
    int64_t count;
};

static double raw_value(int type, const void *bytes, int64_t i)
{
    switch (type) {
    case 0:
        return (double)((const float *)bytes)[i];
    case 26:
        return ((const int32_t *)bytes)[i];
    case 28:
        return ((const double *)bytes)[i];
    default:
        fail_msg("golden: tensor type %d", type);
        return 0;
    }
}

const char *const golden_models[] = {
    "llama_tied_gqa", "llama_untied_mha", "llama_untied_headdim", "llama_linear",
    "llama_llama3",   "llama_yarn",       "llama_bias",           NULL,
};

struct model *golden_model(struct context *ctx, const char *name)
{
    char path[160];
    struct model *m = NULL;
    snprintf(path, sizeof path, "tests/golden/%s.gguf", name);
    if (!file_exists(path))
        snprintf(path, sizeof path, "tests/golden/%s", name);
    CHECK(model_load(ctx, path, NULL, &m));
    return m;
}

struct golden *golden_open(const char *name)
{
    char path[256];
    struct golden *g = mem_calloc(1, sizeof *g);
    assert_non_null(g);
    snprintf(path, sizeof path, "tests/golden/%s.gguf", name);
    CHECK(gguf_open(path, &g->file));
    g->count = gguf_tensor_count(g->file);
    g->entries = mem_calloc((size_t)g->count, sizeof *g->entries);
    assert_non_null(g->entries);
    for (int64_t i = 0; i < g->count; i++) {
        const struct gguf_tensor *t = gguf_tensor(g->file, i);
        struct entry *e = &g->entries[i];
        e->count = 1;
        for (int d = 0; d < t->ndim; d++)
            e->count *= t->shape[d];
        e->name = mem_text(t->name, strlen(t->name));
        e->values = mem_alloc((size_t)e->count * sizeof(double));
        void *bytes = mem_alloc(t->bytes);
        assert_true(e->name && e->values && bytes);
        CHECK(gguf_read_tensor(g->file, i, bytes));
        for (int64_t k = 0; k < e->count; k++)
            e->values[k] = raw_value(t->type, bytes, k);
        mem_free(bytes);
    }
    return g;
}

void golden_close(struct golden *g)
{
    for (int64_t i = 0; i < g->count; i++) {
        mem_free(g->entries[i].name);
        mem_free(g->entries[i].values);
    }
    mem_free(g->entries);
    gguf_close(g->file);
    mem_free(g);
}

static struct entry *find(struct golden *g, const char *name)
{
    for (int64_t i = 0; i < g->count; i++)
        if (!strcmp(g->entries[i].name, name))
            return &g->entries[i];
    return NULL;
}

bool golden_has(struct golden *g, const char *name)
{
    return find(g, name) != NULL;
}

const double *golden_get(struct golden *g, const char *name, int64_t *n)
{
    struct entry *e = find(g, name);
    if (!e)
        fail_msg("golden: no tensor %s", name);
    if (n)
        *n = e->count;
    return e->values;
}

double golden_number(struct golden *g, const char *key)
{
    double value;
    CHECK(gguf_float(g->file, key, &value));
    return value;
}

char *golden_text(struct golden *g, const char *key, char *out, size_t bytes)
{
    const char *text;
    size_t n;
    CHECK(gguf_text(g->file, key, &text, &n));
    assert_true(n < bytes);
    memcpy(out, text, n);
    out[n] = '\0';
    return out;
}

void golden_batch(struct golden *g, struct context *ctx, int64_t vocab, struct batch *out)
{
    int64_t tokens, starts, n = 0;
    const double *ids = golden_get(g, "input_ids", &tokens);
    const double *start = golden_get(g, "sample_start", &starts);
    int32_t id[256], position[256], begin[16], row[256], target[256];
    assert_true(tokens <= 256 && starts <= 16);
    for (int64_t s = 0; s < starts; s++)
        begin[s] = (int32_t)start[s];
    for (int64_t s = 0; s + 1 < starts; s++)
        for (int32_t i = begin[s]; i < begin[s + 1]; i++) {
            id[i] = (int32_t)ids[i];
            position[i] = i - begin[s];
            if (i + 1 < begin[s + 1]) {
                row[n] = i;
                target[n++] = (int32_t)ids[i + 1];
            }
        }
    struct batch_rows rows = {.tokens = tokens,
                              .sequences = starts - 1,
                              .targets = n,
                              .ids = id,
                              .positions = position,
                              .starts = begin,
                              .target_rows = row,
                              .target_ids = target};
    CHECK(batch_from(ctx, &rows, vocab, out));
}

static void overwrite(struct tensor *t, const double *values, int64_t n)
{
    assert_int_equal(n, tensor_count(t));
    if (t->view.dtype == DT_F64) {
        CHECK(tensor_write(t, values));
        return;
    }
    float *narrow = mem_alloc((size_t)n * sizeof *narrow);
    assert_non_null(narrow);
    for (int64_t i = 0; i < n; i++)
        narrow[i] = (float)values[i];
    CHECK(tensor_write(t, narrow));
    mem_free(narrow);
}

const char *golden_short(const char *module)
{
    return strncmp(module, "model.", 6) ? module : module + 6;
}

void golden_load_lora(struct golden *g, struct lora *l)
{
    for (int64_t i = 0; i < l->count; i++) {
        char name[160];
        int64_t n;
        for (int b = 0; b < 2; b++) {
            snprintf(name, sizeof name, "lora.%s.%s", golden_short(l->layers[i].module->name),
                     b ? "B" : "A");
            const double *values = golden_get(g, name, &n);
            overwrite(b ? l->layers[i].term.b : l->layers[i].term.a, values, n);
        }
    }
}

void golden_check(struct golden *g, const char *name, struct tensor *t, double limit)
{
    int64_t n;
    const double *wanted = golden_get(g, name, &n);
    if (!t)
        fail_msg("%s: no tensor", name);
    assert_int_equal(n, tensor_count(t));
    double *got = mem_alloc((size_t)n * sizeof *got);
    assert_non_null(got);
    CHECK(tensor_read_double(t, got));
    double rel = util_rel_l2(got, wanted, n);
    mem_free(got);
    if (!(rel <= limit))
        fail_msg("%s: rel L2 %.3g, allowed %.3g", name, rel, limit);
}

const char *util_demo_model(void)
{
    static char path[512];
    const char *given = getenv("LORASH_DEMO_MODEL"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (given)
        snprintf(path, sizeof path, "%s", given);
    else if (cache && *cache)
        snprintf(path, sizeof path, "%s/lorash/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
    else
        snprintf(path, sizeof path, "%s/.cache/lorash/SmolLM2-135M-Instruct.Q4_1.gguf",
                 home ? home : "");
    return file_exists(path) ? path : NULL;
}
