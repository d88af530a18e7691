/* generate.c -- prefill in pieces, then one token per call. */
#include "engine/model/generate.h"
#include "engine/model/cache.h"
#include "engine/model/rope.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <string.h>

#define PREFILL_TOKENS 256
#define DEFAULT_NEW_TOKENS 256
#define EOS_MAX (CONFIG_EOS + 1)

struct generator {
    struct model *m; /* kept */
    const struct generation_config *config;
    struct rng_key key;
    struct cache *cache;
    struct sampler *sampler;
    float *logits;
    int32_t *ids;                       /* prompt, then what was made */
    int64_t prompt, count, limit, read; /* read: tokens the cache holds */
    int32_t eos[EOS_MAX];
    int eos_count;
};

static int64_t new_tokens(const struct generation_config *c, int64_t prompt)
{
    if (c->max_new_tokens > 0)
        return c->max_new_tokens;
    return c->max_length > 0 ? i64_max(c->max_length - prompt, 0) : DEFAULT_NEW_TOKENS;
}

static int allocate(struct generator *g)
{
    const struct model_config *c = &g->m->config;
    g->ids = mem_alloc((size_t)g->limit * sizeof *g->ids);
    g->logits = mem_alloc_aligned((size_t)c->vocab_size * sizeof *g->logits);
    if (!g->ids || !g->logits)
        return ERR_MEMORY;
    TRY(sampler_new(c->vocab_size, &g->sampler));
    return cache_new(g->m->ctx, c->num_hidden_layers, g->limit,
                     c->num_key_value_heads * c->head_dim, &g->cache);
}

int generator_new(struct model *m, const struct generation_config *config, uint64_t session_seed,
                  const int32_t *prompt, int64_t n, const int32_t *eos, int eos_count,
                  struct generator **out)
{
    int64_t context = rope_context(&m->config);
    if (n < 1)
        return fail(ERR_ARG, "generate: the prompt has no token; hint: give some text");
    if (n >= context)
        return fail(ERR_ARG,
                    "generate: the prompt has %" PRId64 " tokens, the model's context is "
                    "%" PRId64 "; hint: shorten the prompt",
                    n, context);
    struct generator *g = mem_calloc(1, sizeof *g);
    if (!g)
        return ERR_MEMORY;
    g->m = model_keep(m);
    g->config = config;
    g->key = rng_key(config->seed >= 0 ? (uint64_t)config->seed : session_seed, RNG_SAMPLE);
    g->prompt = g->count = n;
    g->limit = i64_min(n + new_tokens(config, n), context);
    g->eos_count = (int)i64_min(eos_count, EOS_MAX);
    for (int i = 0; i < g->eos_count; i++)
        g->eos[i] = eos[i];
    int status = allocate(g);
    if (status) {
        generator_free(g);
        return status;
    }
    memcpy(g->ids, prompt, (size_t)n * sizeof *prompt);
    g->cache->expected = n;
    *out = g;
    return OK;
}

void generator_free(struct generator *g)
{
    if (!g)
        return;
    cache_free(g->cache);
    sampler_free(g->sampler);
    mem_free(g->logits);
    mem_free(g->ids);
    model_release(g->m);
    mem_free(g);
}

const int32_t *generator_ids(const struct generator *g, int64_t *n)
{
    *n = g->count;
    return g->ids;
}

static int fetch_logits(struct generator *g, struct tensor *hidden)
{
    struct tensor *last = NULL, *logits = NULL, *narrow = NULL;
    int status =
        tensor_view(hidden, view_slice(hidden->view, 0, hidden->view.shape[0] - 1, 1), &last);
    if (!status)
        status = model_logits(g->m, last, NULL, &logits);
    if (!status)
        status = logits->view.dtype == DT_F32 ? (narrow = tensor_keep(logits), OK)
                                              : tensor_convert(logits, DT_F32, &narrow);
    if (!status)
        status = tensor_read(narrow, g->logits);
    tensor_release(narrow);
    tensor_release(logits);
    tensor_release(last);
    return status;
}

/* Runs the model over 'n' tokens from g->read on; the logits of the last when 'last'. */
static int read_tokens(struct generator *g, int64_t n, bool last)
{
    int32_t positions[PREFILL_TOKENS], starts[2] = {0, (int32_t)n};
    for (int64_t i = 0; i < n; i++)
        positions[i] = (int32_t)(g->read + i);
    struct batch_rows rows = {.tokens = n,
                              .sequences = 1,
                              .ids = g->ids + g->read,
                              .positions = positions,
                              .starts = starts};
    struct batch b;
    struct tensor *hidden = NULL;
    TRY(batch_from(g->m->ctx, &rows, g->m->config.vocab_size, &b));
    b.cache = g->cache;
    int status = model_forward(g->m, &b, &hidden);
    if (!status && last)
        status = fetch_logits(g, hidden);
    tensor_release(hidden);
    batch_free(&b);
    if (!status)
        g->read += n;
    return status;
}

static bool is_eos(const struct generator *g, int32_t token)
{
    for (int i = 0; i < g->eos_count; i++)
        if (g->eos[i] == token)
            return true;
    return false;
}

static int pick(struct generator *g, struct generate_event *event)
{
    int32_t token;
    if (g->count - g->prompt < g->config->min_new_tokens)
        for (int i = 0; i < g->eos_count; i++)
            if (g->eos[i] >= 0 && g->eos[i] < g->m->config.vocab_size)
                g->logits[g->eos[i]] = -__builtin_inff();
    TRY(sampler_pick(g->sampler, g->config, g->logits, g->ids, g->count, g->key, g->count, &token));
    if (is_eos(g, token)) {
        *event = (struct generate_event){GENERATE_DONE, token, "eos"};
        return OK;
    }
    g->ids[g->count++] = token;
    *event = (struct generate_event){GENERATE_TOKEN, token, NULL};
    return OK;
}

int generator_next(struct generator *g, struct generate_event *event)
{
    struct context *ctx = g->m->ctx;
    if (g->count >= g->limit) {
        *event = (struct generate_event){GENERATE_DONE, -1, "length"};
        return OK;
    }
    bool grad = ctx->grad;
    ctx->grad = false;
    int64_t left = g->count - g->read, n = i64_min(left, PREFILL_TOKENS);
    int status = read_tokens(g, n, n == left);
    ctx->grad = grad;
    if (status)
        return status;
    if (n < left) {
        *event = (struct generate_event){GENERATE_PREFILL, -1, NULL};
        return OK;
    }
    return pick(g, event);
}
