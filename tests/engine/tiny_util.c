/* tiny_util.c -- random weights through the same door as a file's: a weight source. */
#include "tests/engine/tiny_util.h"
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

extern const struct architecture llama_architecture;

/* --- weights --------------------------------------------------------------------------------- */

static uint64_t name_seed(const char *name)
{
    uint64_t h = 1469598103934665603u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

/* Norm weights around 1, others around 0; biases do not exist. */
static int random_get(struct weight_source *s, struct context *ctx, const char *name, int64_t rows,
                      int64_t cols, const struct format *format, bool optional, struct tensor **out)
{
    (void)s, (void)format;
    *out = NULL;
    if (optional)
        return OK;
    struct rng_key key = rng_key(name_seed(name), RNG_USER);
    int64_t n = (rows < 0 ? 1 : rows) * cols;
    float *values = mem_alloc((size_t)n * sizeof *values);
    struct tensor *narrow = NULL;
    if (!values)
        return ERR_MEMORY;
    for (int64_t i = 0; i < n; i++)
        values[i] = (float)((rows < 0 ? 1 : 0) + rng_uniform(key, (uint64_t)i) - 0.5);
    int64_t shape[2] = {rows < 0 ? cols : rows, cols};
    int status = tensor_from(ctx, DT_F32, rows < 0 ? 1 : 2, shape, values, &narrow);
    mem_free(values);
    if (!status)
        status = tensor_convert(narrow, ctx->compute, out);
    tensor_release(narrow);
    return status;
}

int tiny_model_try(struct context *ctx, const struct tiny_options *o, struct model **out)
{
    struct weight_source source = {.path = "random", .get = random_get};
    struct model *m = mem_calloc(1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    m->refs = 1;
    m->ctx = context_keep(ctx);
    m->arch = &llama_architecture;
    m->cancel_at = 1;
    m->config = (struct model_config){.model_type = "llama",
                                      .vocab_size = TINY_VOCAB,
                                      .hidden_size = 8,
                                      .intermediate_size = 12,
                                      .num_hidden_layers = o->layers ? o->layers : 2,
                                      .num_attention_heads = 4,
                                      .num_key_value_heads = 2,
                                      .head_dim = 4,
                                      .max_position_embeddings = o->context ? o->context : 64,
                                      .sliding_window = o->window,
                                      .rms_norm_eps = 1e-5,
                                      .rope = {.theta = 100, .factor = 1},
                                      .tie_word_embeddings = o->tied,
                                      .bos_token_id = -1,
                                      .eos_token_id = -1,
                                      .pad_token_id = -1};
    int status = config_check(&m->config);
    if (!status)
        status = m->arch->build(m, &source);
    if (status)
        model_release(m);
    else
        *out = m;
    return status;
}

struct model *tiny_model(struct context *ctx, const struct tiny_options *o)
{
    struct model *m;
    CHECK(tiny_model_try(ctx, o, &m));
    return m;
}

static int make_trainable(void *ctx, const char *name, struct tensor *t)
{
    (void)ctx, (void)name;
    t->requires_grad = true;
    return OK;
}

void tiny_train_all(struct model *m)
{
    CHECK(model_walk(m, make_trainable, NULL));
}

struct lora *tiny_lora(struct model *m, const char *targets, double dropout, uint64_t seed)
{
    struct lora_config c;
    const struct option *o;
    struct lora *l;
    char text[200], *save = NULL;
    snprintf(text, sizeof text, "target_modules=%s", targets);
    CHECK(options_init(&lora_options, &c));
    c.r = 2;
    c.lora_alpha = 3;
    c.lora_dropout = dropout;
    CHECK(options_find(&lora_options, "init_lora_weights", &o));
    CHECK(options_set_bool(&lora_options, o, &c, false));
    for (char *item = strtok_r(text, ";", &save); item; item = strtok_r(NULL, ";", &save)) {
        char *equals = strchr(item, '=');
        *equals = '\0';
        CHECK(options_find(&lora_options, item, &o));
        CHECK(options_parse(&lora_options, o, &c, equals + 1));
    }
    CHECK(lora_attach(m, &c, seed, &l));
    options_free(&lora_options, &c);
    return l;
}

/* --- batches --------------------------------------------------------------------------------- */

struct packed {
    int32_t id[256], position[256], sample[256], start[9], row[256], target[256];
    float weight[256];
    int64_t tokens, samples, targets;
};

static int32_t token_of(int64_t sample, int64_t at)
{
    return (int32_t)((3 + sample * 5 + at * 7 + at * at * (sample + 1)) % TINY_VOCAB);
}

static void add_sample(struct packed *p, int32_t key, int64_t length)
{
    for (int64_t i = 0; i < length; i++) {
        int64_t t = p->tokens + i;
        p->id[t] = token_of(key, i);
        p->position[t] = (int32_t)i;
        p->sample[t] = key;
        if (i == 0 || i + 1 == length) /* the prompt is masked; the last predicts nothing */
            continue;
        p->row[p->targets] = (int32_t)t;
        p->target[p->targets] = token_of(key, i + 1);
        p->weight[p->targets++] = i % 3 == 2 ? 0.25f : 1;
    }
    p->tokens += length;
    p->start[++p->samples] = (int32_t)p->tokens;
}

int tiny_batch_try(struct model *m, const struct tiny_rows *r, int only, struct batch *out)
{
    struct packed p = {.tokens = 0};
    for (int i = 0; i < (int)r->samples; i++)
        if (only < 0 || i == only)
            add_sample(&p, r->first_sample + i, r->length[i]);
    struct batch_rows rows = {.tokens = p.tokens,
                              .sequences = p.samples,
                              .targets = p.targets,
                              .ids = p.id,
                              .positions = p.position,
                              .starts = p.start,
                              .sample = p.sample,
                              .target_rows = p.row,
                              .target_ids = p.target,
                              .weights = p.weight};
    TRY(batch_from(m->ctx, &rows, m->config.vocab_size, out));
    out->training = r->training;
    out->dropout.key = rng_key(11, RNG_DROPOUT);
    out->dropout.epoch = 1;
    return OK;
}

struct batch tiny_batch(struct model *m, const struct tiny_rows *r, int only)
{
    struct batch b;
    CHECK(tiny_batch_try(m, r, only, &b));
    return b;
}

/* --- gradients ------------------------------------------------------------------------------- */

struct collected {
    double *values;
    int64_t count;
};

static int collect(void *ctx, const char *name, struct tensor *t)
{
    struct collected *c = ctx;
    int64_t n = tensor_count(t);
    (void)name;
    c->values = mem_realloc(c->values, (size_t)(c->count + n) * sizeof *c->values);
    assert_non_null(c->values);
    memset(c->values + c->count, 0, (size_t)n * sizeof *c->values);
    if (t->grad)
        CHECK(tensor_read_double(t->grad, c->values + c->count));
    c->count += n;
    return OK;
}

double *tiny_gradients(struct model *m, int64_t *n)
{
    struct collected c = {NULL, 0};
    CHECK(lora_walk_all(m, collect, &c));
    *n = c.count;
    return c.values;
}

static int clear(void *ctx, const char *name, struct tensor *t)
{
    (void)ctx, (void)name;
    tensor_clear(&t->grad);
    return OK;
}

void tiny_clear_gradients(struct model *m)
{
    CHECK(lora_walk_all(m, clear, NULL));
}

int tiny_step(struct model *m, const struct batch *b, double scale, double *loss)
{
    struct tensor *l;
    TRY(model_loss(m, b, scale, 0, NULL, &l));
    int status = tensor_item(l, loss);
    if (!status)
        status = tensor_backward(l, NULL);
    tensor_release(l);
    return status;
}
