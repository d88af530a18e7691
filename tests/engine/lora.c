/* lora.c -- adapters: which layers they take, how they start, names, switching, taking off. */
#include "engine/adapt/lora.h"
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
        TEST(defaults),      TEST(targets),        TEST(refusals),       TEST(rank_too_large),
        TEST(second_attach), TEST(start),          TEST(seeds),          TEST(rs_lora),
        TEST(switched),      TEST(merged_by_hand), TEST(base_is_frozen), TEST(names_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
