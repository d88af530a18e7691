/* lora.c -- adapters: which layers they take, how they start, names, switching, taking off. */
#include "engine/adapt/lora.h"
#include "engine/adapt/merge.h"
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/tiny_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct tiny_options plain = {.tied = false};

static void set(struct lora_config *c, const char *name, const char *value)
{
    const struct option *o;
    CHECK(options_find(&lora_options, name, &o));
    CHECK(options_parse(&lora_options, o, c, value));
}

/* Attaches with the given lists; r 2. */
static int attach(struct model *m, const char *targets, const char *exclude, uint64_t seed,
                  struct lora **out)
{
    struct lora_config c;
    CHECK(options_init(&lora_options, &c));
    set(&c, "r", "2");
    if (targets)
        set(&c, "target_modules", targets);
    if (exclude)
        set(&c, "exclude_modules", exclude);
    int status = lora_attach(m, &c, seed, out);
    options_free(&lora_options, &c);
    return status;
}

static struct model *fresh(void)
{
    return tiny_model(util_context("ref", DT_F64, 1), &plain);
}

static void drop(struct model *m)
{
    struct context *ctx = m->ctx;
    model_release(m);
    util_context_free(ctx);
}

/* --- defaults: PEFT's ------------------------------------------------------------------------ */

static void defaults(void **state)
{
    (void)state;
    struct lora_config c;
    CHECK(options_init(&lora_options, &c));
    assert_int_equal(c.r, 8);
    assert_true(c.lora_alpha == 8 && c.lora_dropout == 0);
    assert_int_equal(c.target_modules.count, 0);
    assert_string_equal(c.init_lora_weights, "true");
    assert_false(c.use_rslora);
    assert_string_equal(c.bias, "none");
    options_free(&lora_options, &c);
}

/* --- targets --------------------------------------------------------------------------------- */

struct target_case {
    const char *targets, *exclude;
    int layers; /* of the 14 of two blocks */
};
static const struct target_case target_cases[] = {
    {NULL, NULL, 4}, /* the family's: q and v */
    {"q_proj", NULL, 2},
    {"q_proj,v_proj", NULL, 4},
    {"q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", NULL, 14},
    {"all-linear", NULL, 14}, /* the head is no target, as in PEFT */
    {"ALL-LINEAR", NULL, 14},
    {"self_attn.q_proj", NULL, 2},
    {"model.layers.1.mlp.up_proj", NULL, 1},
    {"all-linear", "q_proj", 12},
    {"all-linear", "model.layers.0.mlp.up_proj,v_proj", 11},
    {"q_proj,q_proj", NULL, 2},
};

static void targets(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(target_cases); i++) {
        const struct target_case *c = &target_cases[i];
        struct model *m = fresh();
        struct lora *l;
        CHECK(attach(m, c->targets, c->exclude, 1, &l));
        if (l->count != c->layers)
            fail_msg("targets %s without %s: %d layers, wanted %d", c->targets, c->exclude,
                     (int)l->count, c->layers);
        assert_ptr_equal(lora_of(m), l);
        drop(m);
    }
}

static void refuse(const char *targets_text, const char *exclude, const char *words)
{
    struct model *m = fresh();
    struct lora *l;
    assert_int_equal(attach(m, targets_text, exclude, 1, &l), ERR_ARG);
    for (const char *at = words; *at;) {
        char word[64];
        size_t n = strcspn(at, "|");
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        if (!strstr(status_message(), word))
            fail_msg("'%s' is not in: %s", word, status_message());
        at += n + (at[n] == '|');
    }
    assert_null(lora_of(m));
    for (int64_t i = 0; i < m->module_count; i++) /* no trace is left */
        assert_int_equal(m->modules[i].linear.adapters, 0);
    CHECK(attach(m, "q_proj", NULL, 1, &l));
    drop(m);
}

static void refusals(void **state)
{
    (void)state;
    refuse("query", NULL, "target_modules|query|q_proj|down_proj|all-linear");
    refuse("q_proj,proj", NULL, "'proj'"); /* whole parts of names only */
    refuse("q_proj,wv", NULL, "'wv'");
    refuse("q_proj", "q_proj", "exclude_modules");
}

static void rank_too_large(void **state)
{
    (void)state;
    struct model *m = fresh();
    struct lora *l;
    struct lora_config c;
    CHECK(options_init(&lora_options, &c));
    set(&c, "target_modules", "all-linear");
    set(&c, "r", "9"); /* hidden size is 8 */
    assert_int_equal(lora_attach(m, &c, 1, &l), ERR_ARG);
    assert_non_null(strstr(status_message(), "r = 9"));
    assert_non_null(strstr(status_message(), "hint"));
    assert_null(lora_of(m));
    set(&c, "r", "8");
    CHECK(lora_attach(m, &c, 1, &l));
    options_free(&lora_options, &c);
    drop(m);
}

static void second_attach(void **state)
{
    (void)state;
    struct model *m = fresh();
    struct lora *l, *again = NULL;
    CHECK(attach(m, "q_proj", NULL, 1, &l));
    assert_int_equal(attach(m, "v_proj", NULL, 1, &again), ERR_ARG);
    assert_non_null(strstr(status_message(), "already"));
    assert_ptr_equal(lora_of(m), l);
    lora_detach(m);
    assert_null(lora_of(m));
    CHECK(attach(m, "v_proj", NULL, 1, &l));
    assert_int_equal(l->count, 2);
    drop(m);
}

/* --- how it starts --------------------------------------------------------------------------- */

struct matrices {
    double values[2048];
    int64_t count;
};

static int gather(void *ctx, const char *name, struct tensor *t)
{
    struct matrices *s = ctx;
    (void)name;
    assert_true(t->requires_grad);
    assert_true(s->count + tensor_count(t) <= COUNT_OF(s->values));
    CHECK(tensor_read_double(t, s->values + s->count));
    s->count += tensor_count(t);
    return OK;
}

static void start_of(const char *device, enum dtype compute, uint64_t seed, struct matrices *out)
{
    struct context *ctx = util_context(device, compute, 1);
    struct model *m = tiny_model(ctx, &plain);
    struct lora *l;
    CHECK(attach(m, "all-linear", NULL, seed, &l));
    *out = (struct matrices){.count = 0};
    CHECK(lora_walk(l, gather, out));
    assert_int_equal(out->count, lora_parameters(l));
    drop(m);
}

static void start(void **state)
{
    (void)state;
    struct model *m = fresh();
    struct lora *l;
    double a[64], b[64], sum = 0, square = 0;
    int64_t n = 0;
    CHECK(attach(m, "all-linear", NULL, 7, &l));
    for (int64_t i = 0; i < l->count; i++) {
        struct adapter_term *t = &l->layers[i].term;
        struct tensor *w = l->layers[i].module->linear.weight;
        double limit = 1 / sqrt((double)w->view.shape[1]);
        assert_true(t->a->view.shape[0] == 2 && t->a->view.shape[1] == w->view.shape[1]);
        assert_true(t->b->view.shape[0] == w->view.shape[0] && t->b->view.shape[1] == 2);
        assert_true(t->scale == 8 / 2.0 && t->active && t->dropout == 0);
        CHECK(tensor_read_double(t->a, a));
        CHECK(tensor_read_double(t->b, b));
        for (int64_t k = 0; k < tensor_count(t->a); k++) {
            assert_true(fabs(a[k]) <= limit);
            sum += a[k] / limit;
            square += a[k] * a[k] / limit / limit;
            n++;
        }
        for (int64_t k = 0; k < tensor_count(t->b); k++)
            assert_true(b[k] == 0);
        for (int64_t k = 0; k < i; k++) /* each has dropout channels of its own */
            assert_true(t->channel != l->layers[k].term.channel);
    }
    /* uniform in +-1: mean 0, variance 1/3; five standard errors */
    assert_true(fabs(sum / (double)n) < 5 * sqrt(1.0 / 3 / (double)n));
    assert_true(fabs(square / (double)n - 1.0 / 3) < 5 * sqrt(4.0 / 45 / (double)n));
    drop(m);
}

static void seeds(void **state)
{
    (void)state;
    static struct matrices one, same, other, narrow;
    start_of("ref", DT_F64, 1, &one);
    start_of("ref", DT_F64, 1, &same);
    start_of("ref", DT_F64, 2, &other);
    start_of("cpu", DT_F32, 1, &narrow);
    size_t bytes = (size_t)one.count * sizeof(double);
    assert_memory_equal(one.values, same.values, bytes);
    assert_memory_equal(one.values, narrow.values, bytes);
    assert_true(memcmp(one.values, other.values, bytes) != 0);
    int64_t equal = 0;
    for (int64_t i = 0; i < one.count; i++)
        equal += one.values[i] != 0 && one.values[i] == other.values[i];
    assert_int_equal(equal, 0);
}

static void rs_lora(void **state)
{
    (void)state;
    struct model *m = fresh();
    struct lora *l;
    struct lora_config c;
    double b[64];
    CHECK(options_init(&lora_options, &c));
    set(&c, "r", "4");
    set(&c, "alpha", "6");
    set(&c, "use_rslora", "true");
    set(&c, "init_lora_weights", "false");
    set(&c, "target_modules", "q_proj");
    CHECK(lora_attach(m, &c, 1, &l));
    options_free(&lora_options, &c);
    assert_true(l->layers[0].term.scale == 3);
    CHECK(tensor_read_double(l->layers[0].term.b, b));
    double most = 0;
    for (int i = 0; i < 64; i++)
        most = fmax(most, fabs(b[i]));
    assert_true(most > 0.3 && most <= 0.5);
    drop(m);
}

/* --- effect ---------------------------------------------------------------------------------- */

static void logits_of(struct model *m, double *out)
{
    static const struct tiny_rows rows = {2, {3, 4}, 10, false};
    struct batch b = tiny_batch(m, &rows, -1);
    struct tensor *hidden, *logits;
    m->ctx->grad = false;
    CHECK(model_forward(m, &b, &hidden));
    CHECK(model_logits(m, hidden, NULL, &logits));
    CHECK(tensor_read_double(logits, out));
    m->ctx->grad = true;
    tensor_release(logits);
    tensor_release(hidden);
    batch_free(&b);
}

static void switched(void **state)
{
    (void)state;
    double base[7 * TINY_VOCAB], fresh_adapter[7 * TINY_VOCAB], moved[7 * TINY_VOCAB],
        off[7 * TINY_VOCAB], on[7 * TINY_VOCAB];
    struct model *m = fresh();
    struct lora *l;
    logits_of(m, base);
    CHECK(attach(m, "all-linear", NULL, 1, &l));
    logits_of(m, fresh_adapter);
    assert_memory_equal(base, fresh_adapter, sizeof base); /* B is zero: the base model */
    for (int64_t i = 0; i < l->count; i++)
        CHECK(tensor_fill(l->layers[i].term.b, 0.1));
    logits_of(m, moved);
    assert_true(util_rel_l2(moved, base, COUNT_OF(base)) > 1e-3);
    lora_enable(l, false);
    assert_false(l->enabled);
    logits_of(m, off);
    assert_memory_equal(base, off, sizeof base);
    lora_enable(l, true);
    logits_of(m, on);
    assert_memory_equal(moved, on, sizeof on);
    lora_detach(m);
    logits_of(m, off);
    assert_memory_equal(base, off, sizeof base);
    drop(m);
}

/* Adapter product by hand: W + scale B A in place of W gives the same logits. */
static void merged_by_hand(void **state)
{
    (void)state;
    double with[7 * TINY_VOCAB], merged[7 * TINY_VOCAB];
    struct model *m = fresh();
    struct lora *l = tiny_lora(m, "all-linear", 0, 3);
    logits_of(m, with);
    for (int64_t i = 0; i < l->count; i++) {
        struct adapter_term *t = &l->layers[i].term;
        struct tensor *w = l->layers[i].module->linear.weight;
        CHECK(RUN(m->ctx, gemm, .dst = w->view, .x = t->b->view, .w = tensor_wview(t->a),
                  .alpha = t->scale, .beta = 1));
    }
    lora_detach(m);
    logits_of(m, merged);
    assert_true(util_rel_l2(merged, with, COUNT_OF(with)) <= 1e-13);
    drop(m);
}

static int frozen(void *ctx, const char *name, struct tensor *t)
{
    (void)name;
    *(int *)ctx += t->requires_grad;
    return OK;
}

static void base_is_frozen(void **state)
{
    (void)state;
    struct model *m = fresh();
    struct lora *l;
    int trainable = 0;
    tiny_train_all(m);
    CHECK(attach(m, "q_proj", NULL, 1, &l));
    CHECK(model_walk(m, frozen, &trainable));
    assert_int_equal(trainable, 0);
    CHECK(lora_walk(l, frozen, &trainable));
    assert_int_equal(trainable, 4);
    drop(m);
}

/* --- names ----------------------------------------------------------------------------------- */

struct names {
    char text[64][128];
    int count;
};

static int note(void *ctx, const char *name, struct tensor *t)
{
    struct names *n = ctx;
    assert_non_null(t);
    assert_true(n->count < 64);
    snprintf(n->text[n->count++], sizeof n->text[0], "%s", name);
    return OK;
}

static void has(const struct names *n, int at, const char *name)
{
    assert_true(at < n->count);
    assert_string_equal(n->text[at], name);
}

static void names_of_all(void **state)
{
    (void)state;
    struct model *m = fresh();
    struct lora *l;
    struct names n = {.count = 0};
    CHECK(lora_walk_all(m, note, &n)); /* without an adapter: the model's own */
    assert_int_equal(n.count, 1 + 14 + 4 + 1 + 1);
    has(&n, 0, "model.embed_tokens.weight");
    has(&n, 1, "model.layers.0.self_attn.q_proj.weight");
    has(&n, n.count - 1, "lm_head.weight");
    CHECK(attach(m, "q_proj,down_proj", NULL, 1, &l));
    n.count = 0;
    CHECK(lora_walk_all(m, note, &n));
    assert_int_equal(n.count, 21 + 8);
    has(&n, 0, "base_model.model.model.embed_tokens.weight");
    has(&n, 1, "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight");
    has(&n, 2, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight");
    has(&n, 3, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight");
    has(&n, 4, "base_model.model.model.layers.0.self_attn.k_proj.weight");
    has(&n, n.count - 1, "base_model.model.lm_head.weight");
    for (int i = 0; i < n.count; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(n.text[i], n.text[k]);
    n.count = 0;
    CHECK(lora_walk(l, note, &n));
    assert_int_equal(n.count, 8);
    has(&n, 7, "base_model.model.model.layers.1.mlp.down_proj.lora_B.default.weight");
    drop(m);
}

/* --- options --------------------------------------------------------------------------------- */

/* "q_proj;rank_pattern=q_proj=1": targets, then name=value */
static int attach_with(struct model *m, const char *options, struct lora **out)
{
    struct lora_config c;
    char text[300], *save = NULL;
    snprintf(text, sizeof text, "target_modules=%s", options);
    CHECK(options_init(&lora_options, &c));
    set(&c, "r", "2");
    for (char *item = strtok_r(text, ";", &save); item; item = strtok_r(NULL, ";", &save)) {
        char *equals = strchr(item, '=');
        *equals = '\0';
        set(&c, item, equals + 1);
    }
    int status = lora_attach(m, &c, 1, out);
    options_free(&lora_options, &c);
    return status;
}

static const struct {
    const char *options;
    int layers, copies;
} option_cases[] = {
    {".*\\.(q|v)_proj", 4, 0},
    {"model\\.layers\\.1\\..*", 7, 0},
    {"all-linear;exclude_modules=.*mlp.*", 8, 0},
    {"all-linear;exclude_modules=up_proj,model.layers.0.self_attn.q_proj", 11, 0},
    {"q_proj;layers_to_transform=1", 1, 0},
    {"all-linear;layers_to_transform=0;layers_pattern=layers", 7, 0},
    {"q_proj,up_proj;layers_to_transform=0,1", 4, 0},
    {"lm_head", 1, 0},
    {"embed_tokens,lm_head,q_proj", 4, 0},
    {"model.embed_tokens", 1, 0},
    {".*(embed_tokens|lm_head)", 2, 0},
    {"q_proj;modules_to_save=lm_head", 2, 1},
    {"q_proj;modules_to_save=lm_head,embed_tokens", 2, 2},
    {"q_proj;modules_to_save=norm", 2, 5}, /* as PEFT: every name that ends so */
    {"q_proj;modules_to_save=input_layernorm", 2, 2},
    {"all-linear;modules_to_save=q_proj", 12, 2},
    {"all-linear;modules_to_save=mlp", 8, 6}, /* a block with all that is in it */
    {"all-linear;modules_to_save=layers.0.self_attn", 10, 4},
    {"lm_head,q_proj;modules_to_save=lm_head", 2, 1}, /* saved and not adapted */
};

static void options(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(option_cases); i++) {
        struct model *m = fresh();
        struct lora *l;
        if (attach_with(m, option_cases[i].options, &l))
            fail_msg("%s: %s", option_cases[i].options, status_message());
        if (l->count != option_cases[i].layers || l->copies != option_cases[i].copies)
            fail_msg("%s: %d layers and %d copies, wanted %d and %d", option_cases[i].options,
                     (int)l->count, (int)l->copies, option_cases[i].layers, option_cases[i].copies);
        drop(m);
    }
}

static const struct {
    const char *options, *words;
} refused_cases[] = {
    {"Wqkv", "'Wqkv' matches no layer|q_proj, k_proj and v_proj instead"},
    {"Wgqkv", "q_proj, k_proj and v_proj instead"},
    {"fc1", "gate_proj and up_proj instead"},
    {"wte", "embed_tokens instead"},
    {"qproj", "did you mean 'q_proj'?|embed_tokens, lm_head"},
    {"q_proj,lmhead", "'lmhead'|did you mean 'lm_head'?"},
    {".*\\.foo", "the pattern '.*\\.foo' matches no layer|for whole paths"},
    {"(q_proj", "the pattern '(q_proj' is not understood"},
    {"q_proj;exclude_modules=(", "exclude_modules: the pattern '(' is not understood"},
    {"q_proj;exclude_modules=foo", "exclude_modules: 'foo'"},
    {"q_proj;modules_to_save=foo", "modules_to_save: 'foo'|norm and the like"},
    {"q_proj;modules_to_save=q_proj", "leave no layer to adapt"},
    {"q_proj;layers_to_transform=2", "no layer 2|layers 0 to 1"},
    {"q_proj;layers_to_transform=0;layers_pattern=h", "no layer 0 in 'h'"},
    {".*q_proj;layers_to_transform=0", "works with a list of names"},
    {"q_proj;rank_pattern=k_proj=3", "rank_pattern: 'k_proj' matches no adapted layer"},
    {"q_proj;rank_pattern=q_proj=3,layers.0.self_attn.q_proj=2", "both match|disagree"},
    {"q_proj;alpha_pattern=(=3", "alpha_pattern: the pattern"},
    {"q_proj;rank_pattern=q_proj=9", "r = 9 is above the size of"},
};

static void option_refusals(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(refused_cases); i++) {
        struct model *m = fresh();
        struct lora *l;
        assert_int_equal(attach_with(m, refused_cases[i].options, &l), ERR_ARG);
        for (const char *at = refused_cases[i].words; *at;) {
            char word[80];
            size_t n = strcspn(at, "|");
            snprintf(word, sizeof word, "%.*s", (int)n, at);
            if (!strstr(status_message(), word))
                fail_msg("%s: '%s' is not in: %s", refused_cases[i].options, word,
                         status_message());
            at += n + (at[n] == '|');
        }
        assert_null(lora_of(m));
        drop(m);
    }
}

/* Ranks and strengths by name: the first pattern that matches; equal ones may overlap. */
static void by_name(void **state)
{
    (void)state;
    struct model *m = fresh();
    struct lora *l;
    CHECK(attach_with(m,
                      "q_proj,k_proj,v_proj;rank_pattern=layers.1.self_attn.q_proj=4,k_proj=1;"
                      "alpha_pattern=(q|k)_proj=16,q_proj=16;use_rslora=true",
                      &l));
    assert_int_equal(l->count, 6);
    const struct {
        int64_t r;
        double alpha;
    } wanted[6] = {{2, 16}, {1, 16}, {2, 8}, {4, 16}, {1, 16}, {2, 8}};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(l->layers[i].r, wanted[i].r);
        assert_true(l->layers[i].alpha == wanted[i].alpha);
        assert_int_equal(l->layers[i].term.a->view.shape[0], wanted[i].r);
        assert_int_equal(l->layers[i].term.b->view.shape[1], wanted[i].r);
        assert_true(l->layers[i].term.scale == wanted[i].alpha / sqrt((double)wanted[i].r));
    }
    drop(m);
}

static void starts(void **state)
{
    (void)state;
    double a[64], b[64], square = 0;
    struct model *m = fresh();
    struct lora *l;
    CHECK(attach_with(m, "all-linear;init_lora_weights=gaussian;r=4", &l));
    int64_t n = 0;
    for (int64_t i = 0; i < l->count; i++) {
        CHECK(tensor_read_double(l->layers[i].term.a, a));
        CHECK(tensor_read_double(l->layers[i].term.b, b));
        for (int64_t k = 0; k < tensor_count(l->layers[i].term.a); k++, n++)
            square += a[k] * a[k];
        for (int64_t k = 0; k < tensor_count(l->layers[i].term.b); k++)
            assert_true(b[k] == 0);
    }
    /* variance 1/r^2 of n normals; five standard errors */
    assert_true(fabs(square / (double)n * 16 - 1) < 5 * sqrt(2 / (double)n));
    drop(m);
    m = fresh();
    CHECK(attach_with(m, "embed_tokens,lm_head", &l)); /* A zero and B normal on the embedding */
    struct adapter_term *table = &l->layers[0].term;
    assert_true(l->layers[0].module == m->embedding && l->layers[1].module == m->head);
    assert_int_equal(table->a->view.shape[1], TINY_VOCAB);
    assert_int_equal(table->b->view.shape[0], 8);
    CHECK(tensor_read_double(table->a, a));
    CHECK(tensor_read_double(table->b, b));
    for (int i = 0; i < 2 * TINY_VOCAB; i++)
        assert_true(a[i] == 0);
    square = 0;
    for (int i = 0; i < 16; i++)
        square += b[i] * b[i];
    assert_true(square > 4 && square < 40);
    drop(m);
}

/* --- several --------------------------------------------------------------------------------- */

static int add(struct model *m, const char *name, const char *targets, struct lora **out)
{
    struct lora_config c;
    struct lora_how how = {.seed = 7};
    CHECK(options_init(&lora_options, &c));
    set(&c, "r", "2");
    set(&c, "target_modules", targets);
    set(&c, "init_lora_weights", "false");
    int status = lora_add(m, name, &c, &how, out);
    options_free(&lora_options, &c);
    return status;
}

static void several(void **state)
{
    (void)state;
    double base[7 * TINY_VOCAB], first[7 * TINY_VOCAB], second[7 * TINY_VOCAB], now[7 * TINY_VOCAB];
    struct names n = {.count = 0};
    struct model *m = fresh();
    struct lora *a, *b, *c;
    logits_of(m, base);
    CHECK(add(m, "a", "q_proj", &a));
    logits_of(m, first);
    CHECK(add(m, "b", "q_proj,v_proj", &b));
    assert_ptr_equal(lora_of(m), a); /* the first one stays active */
    logits_of(m, now);
    assert_memory_equal(first, now, sizeof now);
    assert_true(a->layers[0].term.a->requires_grad && !b->layers[0].term.a->requires_grad);
    CHECK(lora_activate(m, "b"));
    assert_ptr_equal(lora_of(m), b);
    assert_true(!a->layers[0].term.a->requires_grad && b->layers[0].term.a->requires_grad);
    logits_of(m, second);
    assert_true(util_rel_l2(second, first, COUNT_OF(first)) > 1e-3);
    assert_ptr_equal(lora_find(m, "a"), a);
    assert_null(lora_find(m, "default"));
    assert_int_equal(lora_all_parameters(m), lora_parameters(a) + lora_parameters(b));
    CHECK(lora_walk_all(m, note, &n));
    assert_int_equal(n.count, 21 + 4 + 8);
    has(&n, 1, "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight");
    has(&n, 2, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.a.weight");
    has(&n, 4, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.b.weight");
    lora_enable(b, false);
    logits_of(m, now);
    assert_memory_equal(base, now, sizeof now);
    CHECK(lora_activate(m, "a")); /* still off */
    logits_of(m, now);
    assert_memory_equal(base, now, sizeof now);
    lora_enable(a, true);
    logits_of(m, now);
    assert_memory_equal(first, now, sizeof now);
    CHECK(lora_remove(m, "a"));
    assert_ptr_equal(lora_of(m), b);
    logits_of(m, now);
    assert_memory_equal(second, now, sizeof now);
    assert_int_equal(lora_activate(m, "a"), ERR_ARG);
    assert_non_null(strstr(status_message(), "no adapter 'a'; hint: it has 'b'"));
    assert_int_equal(add(m, "b", "q_proj", &c), ERR_ARG);
    assert_non_null(strstr(status_message(), "'b' already"));
    assert_int_equal(add(m, "x.y", "q_proj", &c), ERR_ARG);
    assert_int_equal(add(m, "", "q_proj", &c), ERR_ARG);
    CHECK(lora_remove(m, "b"));
    assert_null(lora_of(m));
    assert_int_equal(lora_remove(m, "b"), ERR_ARG);
    logits_of(m, now);
    assert_memory_equal(base, now, sizeof now);
    drop(m);
}

/* --- copies ---------------------------------------------------------------------------------- */

static void copies(void **state)
{
    (void)state;
    static const char *const saved[] = {"lm_head", "embed_tokens", "norm", "mlp"};
    double base[7 * TINY_VOCAB], moved[7 * TINY_VOCAB], now[7 * TINY_VOCAB];
    for (int tied_model = 0; tied_model < 2; tied_model++)
        for (int i = 0; i < COUNT_OF(saved); i++) {
            char options_of[64];
            const struct tiny_options o = {.tied = tied_model};
            struct model *m = tiny_model(util_context("ref", DT_F64, 1), &o);
            struct lora *l;
            logits_of(m, base);
            snprintf(options_of, sizeof options_of, "q_proj;modules_to_save=%s", saved[i]);
            CHECK(attach_with(m, options_of, &l));
            logits_of(m, now);
            assert_memory_equal(base, now, sizeof now); /* a copy starts as what it copies */
            for (int64_t k = 0; k < l->copies; k++) {
                assert_true(l->copy[k].tensor->requires_grad);
                CHECK(tensor_fill(l->copy[k].tensor, 0.125));
            }
            logits_of(m, moved);
            assert_true(util_rel_l2(moved, base, COUNT_OF(base)) > 1e-3);
            lora_enable(l, false);
            logits_of(m, now);
            assert_memory_equal(base, now, sizeof now);
            lora_enable(l, true);
            logits_of(m, now);
            assert_memory_equal(moved, now, sizeof now);
            lora_detach(m);
            logits_of(m, now);
            assert_memory_equal(base, now, sizeof now);
            drop(m);
        }
}

static void names_of_copies(void **state)
{
    (void)state;
    struct names n = {.count = 0};
    struct model *m = fresh();
    struct lora *l;
    CHECK(attach_with(m, "q_proj;modules_to_save=lm_head,layers.0.mlp,model.norm", &l));
    CHECK(lora_walk_all(m, note, &n));
    assert_int_equal(n.count, 21 + 4 + 5);
    has(&n, n.count - 1, "base_model.model.lm_head.modules_to_save.default.weight");
    has(&n, n.count - 2, "base_model.model.lm_head.original_module.weight");
    has(&n, n.count - 3, "base_model.model.model.norm.modules_to_save.default.weight");
    has(&n, n.count - 4, "base_model.model.model.norm.original_module.weight");
    n.count = 0;
    CHECK(lora_walk(l, note, &n));
    has(&n, 4, "base_model.model.model.layers.0.mlp.modules_to_save.default.gate_proj.weight");
    drop(m);
}

/* --- merging --------------------------------------------------------------------------------- */

static void merging(void **state)
{
    (void)state;
    double with[7 * TINY_VOCAB], now[7 * TINY_VOCAB], base[7 * TINY_VOCAB];
    struct merge_options o = {0}, half = {.dtype = "float16"};
    struct merge_report report;
    struct model *m = tiny_model(util_context("cpu", DT_F32, 1), &plain);
    struct lora *l, *other;
    struct module *q = model_module(m, "model.layers.0.self_attn.q_proj");
    struct tensor *narrow, *was = q->linear.weight;
    assert_int_equal(merge_adapter(m, &o, &report), ERR_ARG);
    assert_non_null(strstr(status_message(), "no adapter"));
    CHECK(tensor_convert(was, DT_F16, &narrow)); /* a 16-bit base weight */
    tensor_release(was);
    q->linear.weight = narrow;
    logits_of(m, base);
    l = tiny_lora(m, "q_proj,lm_head", 0, 3);
    logits_of(m, with);
    CHECK(merge_adapter(m, &o, &report));
    assert_int_equal(report.weights, 3);
    assert_int_equal(report.converted, 1);
    assert_string_equal(report.from, "f16");
    assert_string_equal(report.to, "f32");
    assert_true(report.rounding == 0);
    assert_true(report.largest > 0.01 && report.largest < 10 && report.largest_name[0]);
    assert_false(report.untied);
    logits_of(m, now);
    assert_true(util_rel_l2(now, with, COUNT_OF(now)) <= 1e-6);
    assert_false(l->layers[0].term.a->requires_grad); /* nothing to train while merged */
    assert_int_equal(lora_activate(m, "default"), ERR_ARG);
    assert_int_equal(lora_remove(m, "default"), ERR_ARG);
    assert_int_equal(add(m, "other", "q_proj", &other), ERR_ARG);
    assert_non_null(strstr(status_message(), "'default' is merged"));
    merge_undo(lora_set_of(m));
    assert_ptr_equal(q->linear.weight, narrow); /* the very tensor */
    logits_of(m, now);
    assert_memory_equal(with, now, sizeof now);
    CHECK(merge_adapter(m, &o, &report));
    lora_detach(m); /* unload without keeping the merge */
    logits_of(m, now);
    assert_memory_equal(base, now, sizeof now);
    l = tiny_lora(m, "q_proj", 0, 3);
    CHECK(tensor_fill(l->layers[1].term.b, 1e6));
    CHECK(tensor_fill(l->layers[1].term.a, 1));
    assert_int_equal(merge_and_unload(m, &half, &report), ERR_NUMERIC);
    assert_non_null(
        strstr(status_message(), "model.layers.1.self_attn.q_proj would not be finite"));
    assert_ptr_equal(lora_of(m), l); /* all as it was */
    assert_ptr_equal(q->linear.weight, narrow);
    CHECK(tensor_fill(l->layers[1].term.b, NAN));
    assert_int_equal(merge_and_unload(m, &o, &report), ERR_NUMERIC);
    CHECK(tensor_fill(l->layers[1].term.b, 1));
    CHECK(merge_and_unload(m, &half, &report));
    assert_string_equal(q->linear.weight->format->name, "f16");
    assert_true(report.rounding > 1e-6 && report.rounding < 1e-2);
    assert_null(lora_of(m));
    drop(m);
}

/* The n-th allocation fails while an adapter is made and merged: nothing of it stays. */
static void memory(void **state)
{
    (void)state;
    double base[7 * TINY_VOCAB], now[7 * TINY_VOCAB];
    struct model *m = fresh();
    struct merge_options o = {0};
    struct merge_report report;
    bool done = false;
    logits_of(m, base);
    for (int64_t n = 1; n < 5000 && !done; n++) {
        struct lora *l;
        context_trim(m->ctx);
        int64_t blocks_now = mem_stats().live_blocks;
        struct lora_config c;
        CHECK(options_init(&lora_options, &c));
        set(&c, "r", "2");
        set(&c, "target_modules", "q_proj,lm_head");
        set(&c, "modules_to_save", "norm");
        set(&c, "rank_pattern", "q_proj=1");
        mem_fail_at(n, 0);
        int status = lora_attach(m, &c, 1, &l);
        if (!status)
            status = merge_adapter(m, &o, &report);
        done = mem_fail_at(0, 0) < n;
        options_free(&lora_options, &c);
        assert_true(status == OK || status == ERR_MEMORY);
        lora_detach(m);
        context_trim(m->ctx);
        assert_int_equal(mem_stats().live_blocks, blocks_now);
    }
    assert_true(done);
    logits_of(m, now);
    assert_memory_equal(base, now, sizeof now);
    drop(m);
}

static int64_t blocks;

static int begin(void **state)
{
    (void)state;
    blocks = mem_stats().live_blocks;
    return 0;
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, blocks);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, no_leak)
    const struct CMUnitTest tests[] = {
        TEST(defaults),      TEST(targets),         TEST(refusals),        TEST(rank_too_large),
        TEST(second_attach), TEST(start),           TEST(seeds),           TEST(rs_lora),
        TEST(switched),      TEST(merged_by_hand),  TEST(base_is_frozen),  TEST(names_of_all),
        TEST(options),       TEST(option_refusals), TEST(by_name),         TEST(starts),
        TEST(several),       TEST(copies),          TEST(names_of_copies), TEST(merging),
        TEST(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
