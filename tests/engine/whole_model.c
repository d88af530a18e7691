/* whole_model.c -- gradients of whole tiny models: every parameter against differences, packed
 * against separate samples, with and without dropped activations, on every device, step after step
 * in reused memory. Packing, loss masks, grouped heads and a sliding window are always on. */
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/gradcheck_util.h"
#include "tests/engine/tiny_util.h"

#include <math.h>
#include <string.h>

static const struct tiny_options tied = {.tied = true, .window = 3};
static const struct tiny_options untied = {.tied = false};
static const struct tiny_rows three = {3, {5, 3, 4}, 40, true};

/* How a model is trained. */
struct setup {
    const char *name;
    const struct tiny_options *model;
    const char *targets; /* NULL: all parameters */
    double dropout;
};

static const struct setup setups[] = {
    {"full, tied", &tied, NULL, 0},
    {"full, untied", &untied, NULL, 0},
    {"lora, attention", &untied, "q_proj,v_proj", 0},
    {"lora, all-linear, dropout", &tied, "all-linear", 0.3},
    {"lora, embedding and head, dropout", &tied, "embed_tokens,lm_head,q_proj", 0.3},
    {"lora, ranks by name", &untied, "up_proj,lm_head;rank_pattern=lm_head=3", 0.2},
    {"lora and saved modules", &untied, "v_proj;modules_to_save=lm_head,norm,embed_tokens", 0.2},
    {"lora and a saved head, tied", &tied, "embed_tokens;modules_to_save=lm_head", 0},
};

struct rig {
    struct context *ctx;
    struct model *m;
    struct batch b;
};

static void rig_on(struct rig *r, struct context *ctx, const struct setup *s)
{
    r->ctx = ctx;
    r->m = tiny_model(ctx, s->model);
    if (s->targets)
        tiny_lora(r->m, s->targets, s->dropout, 9);
    else
        tiny_train_all(r->m);
    r->b = tiny_batch(r->m, &three, -1);
}

static void rig_off(struct rig *r)
{
    batch_free(&r->b);
    model_release(r->m);
}

static void rig_open(struct rig *r, const struct setup *s, const char *device, enum dtype compute)
{
    rig_on(r, gc_context(device, compute), s);
}

static void rig_close(struct rig *r)
{
    rig_off(r);
    util_context_free(r->ctx);
}

/* Loss and gradients after one step, from zero; gradients are left cleared. */
static double *one_step(struct rig *r, double *loss, int64_t *n)
{
    CHECK(tiny_step(r->m, &r->b, 0.5, loss));
    double *g = tiny_gradients(r->m, n);
    tiny_clear_gradients(r->m);
    return g;
}

/* --- differences ----------------------------------------------------------------------------- */

static double value_of(void *ctx)
{
    struct rig *r = ctx;
    struct tensor *loss;
    double value;
    r->ctx->grad = false;
    CHECK(model_loss(r->m, &r->b, 0.5, 0, NULL, &loss));
    CHECK(tensor_item(loss, &value));
    tensor_release(loss);
    r->ctx->grad = true;
    return value;
}

static int64_t compared;

static int compare(void *ctx, const char *name, struct tensor *t)
{
    if (!t->requires_grad) {
        if (t->grad)
            fail_msg("%s is frozen but has a gradient", name);
        return OK;
    }
    if (!t->grad)
        fail_msg("%s got no gradient", name);
    int64_t n = tensor_count(t);
    double *got = mem_alloc((size_t)n * sizeof *got);
    assert_non_null(got);
    CHECK(tensor_read_double(t->grad, got));
    gc_compare(t, got, value_of, ctx, name);
    mem_free(got);
    compared += n;
    return OK;
}

static void differences(void **state)
{
    const struct setup *s = *state;
    struct rig r;
    double loss;
    rig_open(&r, s, "ref", DT_F64);
    CHECK(tiny_step(r.m, &r.b, 0.5, &loss));
    assert_true(isfinite(loss) && loss > 1);
    compared = 0;
    CHECK(lora_walk_all(r.m, compare, &r));
    int64_t wanted = s->targets ? lora_parameters(lora_of(r.m)) : model_parameters(r.m);
    assert_int_equal(compared, wanted);
    rig_close(&r);
}

/* --- devices --------------------------------------------------------------------------------- */

static void on_device(const struct setup *s, const char *device, enum dtype compute, double limit)
{
    struct rig a, b;
    double la, lb;
    int64_t n, k;
    rig_open(&a, s, "ref", DT_F64);
    double *wanted = one_step(&a, &la, &n);
    rig_close(&a);
    rig_open(&b, s, device, compute);
    double *got = one_step(&b, &lb, &k);
    rig_close(&b);
    assert_int_equal(n, k);
    double rel = util_rel_l2(got, wanted, n);
    if (!(rel <= limit && fabs(la - lb) <= limit * la))
        fail_msg("%s on %s: gradients off by %.3g, loss %.9g and %.9g", s->name, device, rel, lb,
                 la);
    mem_free(wanted);
    mem_free(got);
}

static void guard_is_ref(void **state)
{
    on_device(*state, "guard", DT_F64, 0);
}

static void cpu_is_near(void **state)
{
    on_device(*state, "cpu", DT_F32, 2e-6);
    on_device(*state, "cpu-plain", DT_F32, 2e-6);
}

/* --- dropped activations --------------------------------------------------------------------- */

static int64_t step_peak(const struct setup *s, const char *device, enum dtype compute,
                         bool keep_dropped, double **gradients, int64_t *n)
{
    struct rig r;
    double loss;
    rig_open(&r, s, device, compute);
    r.ctx->keep_dropped = keep_dropped;
    r.ctx->device->peak_bytes = r.ctx->device->live_bytes;
    *gradients = one_step(&r, &loss, n);
    int64_t peak = r.ctx->device->peak_bytes;
    rig_close(&r);
    return peak;
}

static void same_when_dropped(const struct setup *s, const char *device, enum dtype compute)
{
    double *kept, *dropped;
    int64_t n, k;
    int64_t with = step_peak(s, device, compute, true, &kept, &n);
    int64_t without = step_peak(s, device, compute, false, &dropped, &k);
    assert_int_equal(n, k);
    if (memcmp(kept, dropped, (size_t)n * sizeof *kept))
        fail_msg("%s on %s: dropping activations changed the gradients", s->name, device);
    if (without >= with)
        fail_msg("%s on %s: peak %d bytes with dropping, %d without", s->name, device, (int)without,
                 (int)with);
    mem_free(kept);
    mem_free(dropped);
}

static void drop_changes_nothing(void **state)
{
    same_when_dropped(*state, "ref", DT_F64);
    same_when_dropped(*state, "cpu", DT_F32);
}

/* What a block of 'bytes' takes in the context's size classes. */
static int64_t rounded(struct context *ctx, int64_t bytes)
{
    void *data;
    size_t got;
    CHECK(context_alloc(ctx, (size_t)bytes, &data, &got));
    context_free(ctx, data, got);
    return (int64_t)got;
}

static int64_t in_use_after_forward(struct rig *r, bool keep_dropped)
{
    struct tensor *hidden;
    r->ctx->keep_dropped = keep_dropped;
    CHECK(model_forward(r->m, &r->b, &hidden));
    int64_t bytes = r->ctx->device->live_bytes - r->ctx->cached_bytes;
    tensor_release(hidden);
    context_trim(r->ctx); /* scratch is not to count */
    return bytes;
}

/* Of every layer both normalised activations and the MLP's product are gone after forward. */
static void what_is_dropped(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &setups[0], "ref", DT_F64);
    const struct model_config *c = &r.m->config;
    int64_t norm = rounded(r.ctx, r.b.tokens * c->hidden_size * 8);
    int64_t product = rounded(r.ctx, r.b.tokens * c->intermediate_size * 8);
    int64_t kept = in_use_after_forward(&r, true), dropped = in_use_after_forward(&r, false);
    assert_int_equal(kept - dropped, c->num_hidden_layers * (2 * norm + product));
    rig_close(&r);
}

/* --- memory used again ----------------------------------------------------------------------- */

/* Steps of one context, with batches of changing size, equal those of a fresh context each. */
static void reused_memory(void **state)
{
    const struct setup *s = *state;
    static const struct tiny_rows batches[] = {{3, {7, 3, 6}, 40, true},
                                               {1, {5}, 3, true},
                                               {4, {2, 9, 3, 4}, 70, true},
                                               {3, {7, 3, 6}, 40, true}};
    struct rig r, fresh;
    double la, lb;
    int64_t n, k;
    rig_open(&r, s, "ref", DT_F64);
    for (int i = 0; i < COUNT_OF(batches); i++) {
        batch_free(&r.b);
        r.b = tiny_batch(r.m, &batches[i], -1);
        double *got = one_step(&r, &la, &n);
        rig_open(&fresh, s, "ref", DT_F64);
        batch_free(&fresh.b);
        fresh.b = tiny_batch(fresh.m, &batches[i], -1);
        double *wanted = one_step(&fresh, &lb, &k);
        rig_close(&fresh);
        assert_int_equal(n, k);
        assert_true(la == lb);
        assert_memory_equal(got, wanted, (size_t)n * sizeof *got);
        mem_free(got);
        mem_free(wanted);
    }
    rig_close(&r);
}

/* --- packed = separate ----------------------------------------------------------------------- */

static void packed_is_separate(void **state)
{
    const struct setup *s = *state;
    struct rig r;
    double together, sum = 0;
    int64_t n, k;
    rig_open(&r, s, "ref", DT_F64);
    double *wanted = one_step(&r, &together, &n);
    for (int i = 0; i < (int)three.samples; i++) {
        struct batch b = tiny_batch(r.m, &three, i);
        double loss;
        CHECK(tiny_step(r.m, &b, 0.5, &loss)); /* gradients of all samples collect in the leaves */
        sum += loss;
        batch_free(&b);
    }
    double *got = tiny_gradients(r.m, &k);
    assert_int_equal(n, k);
    double rel = util_rel_l2(got, wanted, n);
    if (!(rel <= 1e-12 && fabs(sum - together) <= 1e-12 * together))
        fail_msg("%s: packed and separate differ: gradients by %.3g, losses %.17g and %.17g",
                 s->name, rel, together, sum);
    mem_free(got);
    mem_free(wanted);
    rig_close(&r);
}

/* Dropout is on in training batches, depends on sample and epoch, and not on the place in the
 * batch. */
static void dropout_is_real(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &setups[3], "ref", DT_F64);
    double trained = value_of(&r);
    r.b.training = false;
    double evaluated = value_of(&r);
    r.b.training = true;
    r.b.dropout.epoch++;
    double next_epoch = value_of(&r);
    assert_true(fabs(trained - evaluated) > 1e-6);
    assert_true(fabs(trained - next_epoch) > 1e-6);
    rig_close(&r);
}

/* --- head ------------------------------------------------------------------------------------ */

/* Dropout reaches the head's own adapter: with no other, training and evaluation differ, and the
 * mask of another epoch is another. */
static void head_dropout(void **state)
{
    (void)state;
    static const struct setup alone = {"lora, head alone", &untied, "lm_head", 0.3};
    struct rig r;
    rig_open(&r, &alone, "ref", DT_F64);
    double trained = value_of(&r), again = value_of(&r);
    r.b.training = false;
    double evaluated = value_of(&r);
    r.b.training = true;
    r.b.dropout.epoch++;
    double next_epoch = value_of(&r);
    assert_true(trained == again);
    assert_true(fabs(trained - evaluated) > 1e-6);
    assert_true(fabs(trained - next_epoch) > 1e-6);
    rig_close(&r);
}

/* Loss and gradients are the same in one piece and in pieces of 16 rows. */
static void chunked_loss(void **state)
{
    (void)state;
    static const struct tiny_rows many = {8, {9, 8, 9, 7, 9, 8, 9, 8}, 3, true};
    for (int i = 0; i < COUNT_OF(setups); i++) {
        struct rig r;
        double *g[2], loss[2];
        int64_t n;
        for (int k = 0; k < 2; k++) {
            rig_open(&r, &setups[i], "ref", DT_F64);
            batch_free(&r.b);
            r.b = tiny_batch(r.m, &many, -1);
            assert_true(r.b.targets > 40);
            r.ctx->logits_bytes = k; /* 1: as few rows as can be */
            g[k] = one_step(&r, &loss[k], &n);
            rig_close(&r);
        }
        assert_true(fabs(loss[0] - loss[1]) <= 1e-13 * fabs(loss[0]));
        if (!(util_rel_l2(g[1], g[0], n) <= 1e-13))
            fail_msg("%s: gradients differ by %g", setups[i].name, util_rel_l2(g[1], g[0], n));
        mem_free(g[0]);
        mem_free(g[1]);
    }
}

/* The fused loss equals the one computed from whole logits. */
static void fused_loss_of(const struct setup *setup)
{
    struct rig r;
    rig_open(&r, setup, "ref", DT_F64);
    r.b.training = false; /* whole logits are those of evaluation */
    struct tensor *hidden, *logits;
    double fused = value_of(&r), plain = 0, right = 0, row[TINY_VOCAB * 32], weights[32];
    int32_t targets[32];
    r.ctx->grad = false;
    CHECK(model_forward(r.m, &r.b, &hidden));
    CHECK(model_logits(r.m, hidden, r.b.target_rows, &logits));
    CHECK(tensor_read_double(logits, row));
    CHECK(tensor_read_double(r.b.weights, weights));
    CHECK(tensor_read(r.b.target_ids, targets));
    for (int64_t i = 0; i < r.b.targets; i++) {
        double *l = row + i * TINY_VOCAB, sum = 0;
        int best = 0;
        for (int v = 0; v < TINY_VOCAB; v++) {
            sum += exp(l[v]);
            best = l[v] > l[best] ? v : best;
        }
        plain += 0.5 * weights[i] * (log(sum) - l[targets[i]]);
        right += best == targets[i];
    }
    tensor_release(logits);
    tensor_release(hidden);
    struct tensor *loss;
    struct loss_tally tally;
    double hit, total;
    CHECK(tensor_scalar(r.ctx, DT_F64, 0, &tally.total));
    CHECK(tensor_scalar(r.ctx, DT_F64, 0, &tally.hits));
    CHECK(model_loss(r.m, &r.b, 0.5, 0, &tally, &loss));
    CHECK(tensor_item(tally.hits, &hit));
    CHECK(tensor_item(tally.total, &total));
    tensor_release(loss);
    tensor_release(tally.hits);
    tensor_release(tally.total);
    assert_true(fabs(fused - plain) <= 1e-12 * plain);
    assert_true(fabs(0.5 * total - plain) <= 1e-12 * plain);
    assert_true(hit == right);
    rig_close(&r);
}

static void fused_loss(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(setups); i++)
        fused_loss_of(&setups[i]);
}

/* With one layer and a window of w, a token is seen by the w - 1 after it and no further. */
static void window_reaches(void **state)
{
    (void)state;
    struct context *ctx = gc_context("ref", DT_F64);
    struct model *m = tiny_model(ctx, &(struct tiny_options){.window = 3, .layers = 1});
    double logits[2][8 * TINY_VOCAB];
    int32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8}, positions[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    int32_t starts[2] = {0, 8};
    struct batch_rows rows = {
        .tokens = 8, .sequences = 1, .ids = ids, .positions = positions, .starts = starts};
    ctx->grad = false;
    for (int i = 0; i < 2; i++) {
        struct batch b;
        struct tensor *hidden, *out;
        ids[2] = 3 + i;
        CHECK(batch_from(ctx, &rows, TINY_VOCAB, &b));
        CHECK(model_forward(m, &b, &hidden));
        CHECK(model_logits(m, hidden, NULL, &out));
        CHECK(tensor_read_double(out, logits[i]));
        tensor_release(out);
        tensor_release(hidden);
        batch_free(&b);
    }
    for (int t = 0; t < 8; t++) {
        bool same = !memcmp(logits[0] + t * TINY_VOCAB, logits[1] + t * TINY_VOCAB,
                            TINY_VOCAB * sizeof(double));
        assert_int_equal(same, t < 2 || t > 4);
    }
    model_release(m);
    util_context_free(ctx);
}

/* A batch without targets: a loss of zero that needs no gradient. */
static void no_targets(void **state)
{
    (void)state;
    static const struct tiny_rows short_rows = {2, {2, 1}, 5, true};
    struct rig r;
    struct tensor *loss;
    double value;
    rig_open(&r, &setups[0], "ref", DT_F64);
    batch_free(&r.b);
    r.b = tiny_batch(r.m, &short_rows, -1);
    assert_int_equal(r.b.targets, 0);
    CHECK(model_loss(r.m, &r.b, 1, 0, NULL, &loss));
    CHECK(tensor_item(loss, &value));
    assert_true(value == 0 && !tensor_needs_grad(loss));
    tensor_release(loss);
    rig_close(&r);
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

#define TEST(f, state) cmocka_unit_test_prestate_setup_teardown(f, begin, no_leak, state)
#define ONE(f, i) TEST(f, (void *)(uintptr_t)&setups[i])
#define EACH(f) \
    ONE(f, 0), ONE(f, 1), ONE(f, 2), ONE(f, 3), ONE(f, 4), ONE(f, 5), ONE(f, 6), ONE(f, 7)
_Static_assert(sizeof setups / sizeof *setups == 8, "EACH names them all");

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(differences),           EACH(guard_is_ref),         EACH(cpu_is_near),
        EACH(reused_memory),         EACH(drop_changes_nothing), EACH(packed_is_separate),
        TEST(dropout_is_real, NULL), TEST(fused_loss, NULL),     TEST(no_targets, NULL),
        TEST(head_dropout, NULL),    TEST(chunked_loss, NULL),   TEST(what_is_dropped, NULL),
        TEST(window_reaches, NULL),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
