/* trainer.c -- the training machine: curves of the reference, pausing, splitting, refusing.
 *
 * Fixtures: scripts/golden/llama_tiny.py. */
#include "engine/train/trainer.h"
#include "kernels/base/mem.h"
#include "tests/engine/engine_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>


struct run {
    struct context *ctx;
    struct model *m;
    struct golden *g;
    struct lora *lora;
    struct examples *data;
    struct training_arguments args;
    struct trainer *t;
};

static void set(struct run *r, const char *name, const char *value)
{
    const struct option *o;
    CHECK(options_find(&training_arguments, name, &o));
    CHECK(options_parse(&training_arguments, o, &r->args, value));
}

static void load_rows(struct run *r)
{
    int64_t tokens, starts;
    const double *ids = golden_get(r->g, "input_ids", &tokens);
    const double *start = golden_get(r->g, "sample_start", &starts);
    int32_t id[256];
    for (int64_t i = 0; i < tokens; i++)
        id[i] = (int32_t)ids[i];
    CHECK(examples_new(&r->data));
    for (int64_t s = 0; s + 1 < starts; s++)
        CHECK(examples_add(r->data, id + (int64_t)start[s], NULL,
                           (int64_t)(start[s + 1] - start[s]), 0, -1, s));
}

/* Everything but the trainer: the fixture's model, adapter, rows, and arguments as it used. */
static void open_run(struct run *r, const char *name, const char *device, enum dtype compute,
                     double dropout)
{
    char expect[128];
    struct lora_config c;
    const struct option *o;
    snprintf(expect, sizeof expect, "%s.expect", name);
    r->ctx = util_context(device, compute, 2);
    r->m = golden_model(r->ctx, name);
    r->g = golden_open(expect);
    CHECK(options_init(&lora_options, &c));
    c.r = (int64_t)golden_number(r->g, "lora.r");
    c.lora_alpha = golden_number(r->g, "lora.alpha");
    c.lora_dropout = dropout;
    CHECK(options_find(&lora_options, "target_modules", &o));
    CHECK(options_parse(&lora_options, o, &c, "all-linear"));
    CHECK(lora_attach(r->m, &c, 1, &r->lora));
    options_free(&lora_options, &c);
    golden_load_lora(r->g, r->lora);
    load_rows(r);
    CHECK(options_init(&training_arguments, &r->args));
    set(r, "per_device_train_batch_size", "3");
    set(r, "max_steps", "50");
    set(r, "learning_rate", "1e-3");
    set(r, "lr_scheduler_type", "constant");
    set(r, "weight_decay", "0.01");
    set(r, "train_sampling_strategy", "sequential");
    set(r, "logging_steps", "1");
    r->t = NULL;
}

static void start(struct run *r)
{
    CHECK(trainer_new(r->m, r->data, r->data, &r->args, &r->t));
}

static void close_run(struct run *r)
{
    trainer_free(r->t);
    examples_free(r->data);
    options_free(&training_arguments, &r->args);
    golden_close(r->g);
    model_release(r->m);
    util_context_free(r->ctx);
}

/* Up to the next whole step; false when done. */
static bool one_step(struct run *r, struct trainer_event *e)
{
    do
        CHECK(trainer_next(r->t, e));
    while (e->kind != TRAINER_STEP && e->kind != TRAINER_DONE);
    return e->kind == TRAINER_STEP;
}

static void check_near(const char *what, int64_t step, double got, double wanted, double limit)
{
    double rel = fabs(got - wanted) / fabs(wanted);
    if (!(rel <= limit))
        fail_msg("%s at step %d: %.12g, wanted %.12g (rel %.3g > %.3g)", what, (int)step, got,
                 wanted, rel, limit);
}

static void curve(const char *name, const char *device, enum dtype compute, double limit,
                  bool scheduled)
{
    struct run r;
    struct trainer_event e;
    open_run(&r, name, device, compute, 0);
    if (scheduled) {
        char rate[32];
        snprintf(rate, sizeof rate, "%.17g", golden_number(r.g, "adamw.lr_scheduled"));
        set(&r, "learning_rate", rate);
        set(&r, "lr_scheduler_type", "cosine");
        set(&r, "warmup_steps", "5");
    }
    start(&r);
    const double *losses = golden_get(r.g, scheduled ? "curve_cosine" : "curve", NULL);
    const double *norms = golden_get(r.g, scheduled ? "grad_norm_cosine" : "grad_norm", NULL);
    const double *rates = golden_get(r.g, "lr_cosine", NULL);
    for (int64_t i = 0; i < 50; i++) {
        assert_true(one_step(&r, &e));
        check_near("loss", i, e.loss, losses[i], limit);
        check_near("gradient norm", i, e.grad_norm, norms[i], 100 * limit);
        if (scheduled)
            assert_true(fabs(e.learning_rate - rates[i]) <= 1e-12);
    }
    assert_false(one_step(&r, &e));
    close_run(&r);
}

static void curve_exact(void **state)
{
    (void)state;
    for (int i = 0; golden_models[i]; i++) {
        curve(golden_models[i], "ref", DT_F64, 1e-9, false);
        curve(golden_models[i], "ref", DT_F64, 1e-9, true);
    }
}

static void curve_fast(void **state)
{
    (void)state;
    for (int i = 0; golden_models[i]; i++) {
        curve(golden_models[i], NULL, DT_F32, 5e-6, false);
        curve(golden_models[i], NULL, DT_F32, 5e-6, true);
    }
}

/* --- bits ------------------------------------------------------------------------------------ */

static uint64_t hash_bytes(const void *bytes, size_t n, uint64_t h)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

static int hash_one(void *ctx, const char *name, struct tensor *t)
{
    uint64_t *h = ctx;
    char *bytes = mem_alloc(tensor_bytes(t) + 1);
    (void)name;
    assert_non_null(bytes);
    CHECK(tensor_read(t, bytes));
    *h = hash_bytes(bytes, tensor_bytes(t), *h);
    mem_free(bytes);
    return OK;
}

static uint64_t adapter_hash(struct run *r)
{
    uint64_t h = 0xCBF29CE484222325u;
    CHECK(lora_walk(r->lora, hash_one, &h));
    return h;
}

/* Six steps of two micro-batches with dropout; before event 'pause' an evaluation and a text-free
 * forward pass come in between. */
static uint64_t paused_run(int pause, int threads)
{
    struct run r;
    struct trainer_event e;
    (void)threads;
    open_run(&r, golden_models[0], NULL, DT_F32, 0.1);
    set(&r, "max_steps", "6");
    set(&r, "micro_batch_tokens", "20");
    start(&r);
    for (int i = 0;; i++) {
        if (i == pause) {
            CHECK(trainer_evaluate(r.t));
            do
                CHECK(trainer_next(r.t, &e));
            while (e.kind != TRAINER_EVAL);
            assert_true(isfinite(e.loss) && e.accuracy >= 0 && e.accuracy <= 1);
        }
        CHECK(trainer_next(r.t, &e));
        if (e.kind == TRAINER_DONE)
            break;
    }
    uint64_t h = adapter_hash(&r);
    close_run(&r);
    return h;
}

static void pausing_changes_nothing(void **state)
{
    (void)state;
    uint64_t unbroken = paused_run(-1, 2);
    for (int i = 0; i < 20; i++)
        assert_true(paused_run(i, 2) == unbroken);
}

/* Dropping a half-done step and doing it again gives the bits of never having begun it. */
static void dropped_step_changes_nothing(void **state)
{
    struct run r;
    struct trainer_event e;
    (void)state;
    open_run(&r, golden_models[0], NULL, DT_F32, 0.1);
    set(&r, "max_steps", "6");
    set(&r, "micro_batch_tokens", "20");
    start(&r);
    for (int i = 0; i < 6; i++) {
        CHECK(trainer_next(r.t, &e));
        assert_int_equal(e.kind, TRAINER_MICRO);
        trainer_drop_step(r.t);
        assert_true(one_step(&r, &e));
    }
    uint64_t h = adapter_hash(&r);
    close_run(&r);
    assert_true(h == paused_run(-1, 2));
}

/* The same gradient for every cut into micro-batches: losses of the first steps agree. */
static void any_split_gives_the_same_loss(void **state)
{
    static const char *const limits[] = {"1", "20", "33", "1000"};
    double wanted[10];
    (void)state;
    for (int k = 0; k < 4; k++) {
        struct run r;
        struct trainer_event e;
        open_run(&r, golden_models[1], "ref", DT_F64, 0.1);
        set(&r, "micro_batch_tokens", limits[k]);
        set(&r, "max_steps", "10");
        start(&r);
        for (int i = 0; i < 10; i++) {
            assert_true(one_step(&r, &e));
            if (k == 0)
                wanted[i] = e.loss;
            check_near("loss", i, e.loss, wanted[i], 1e-12);
        }
        close_run(&r);
    }
}

/* batch 3 = batch 1 with 3 accumulation steps, also on the last, partial window */
static void accumulation_equals_batch(void **state)
{
    double wanted[8];
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct run r;
        struct trainer_event e;
        open_run(&r, golden_models[2], "ref", DT_F64, 0);
        set(&r, "per_device_train_batch_size", k ? "1" : "2");
        set(&r, "gradient_accumulation_steps", k ? "2" : "1");
        set(&r, "max_steps", "8");
        start(&r);
        for (int i = 0; i < 8; i++) {
            assert_true(one_step(&r, &e));
            if (!k)
                wanted[i] = e.loss;
            check_near("loss", i, e.loss, wanted[i], 1e-12);
        }
        close_run(&r);
    }
}

/* --- refusing -------------------------------------------------------------------------------- */

static void bad_gradient_is_refused(void **state)
{
    struct run r;
    struct trainer_event e;
    (void)state;
    open_run(&r, golden_models[0], NULL, DT_F32, 0);
    start(&r);
    assert_true(one_step(&r, &e));
    struct tensor *b = r.lora->layers[3].term.b;
    size_t bytes = tensor_bytes(b);
    float *values = mem_alloc(bytes), kept;
    assert_non_null(values);
    CHECK(tensor_read(b, values));
    kept = values[0];
    values[0] = NAN;
    CHECK(tensor_write(b, values));
    uint64_t before = adapter_hash(&r);
    int status;
    do
        status = trainer_next(r.t, &e);
    while (!status && e.kind == TRAINER_MICRO);
    assert_int_equal(status, ERR_NUMERIC);
    assert_non_null(strstr(status_message(), "lora_"));
    assert_true(adapter_hash(&r) == before);
    assert_int_equal(trainer_step(r.t), 1);
    values[0] = kept;
    CHECK(tensor_write(b, values));
    mem_free(values);
    assert_true(one_step(&r, &e)); /* and the run goes on */
    assert_int_equal(trainer_step(r.t), 2);
    close_run(&r);
}

static void refused_inputs(void **state)
{
    struct run r;
    struct examples *none;
    (void)state;
    open_run(&r, golden_models[0], NULL, DT_F32, 0);
    CHECK(examples_new(&none));
    CHECK(examples_add(none, (int32_t[]){5}, NULL, 1, 0, -1, 0)); /* one token: nothing to learn */
    assert_int_equal(none->without_target, 1);
    assert_int_equal(trainer_new(r.m, none, NULL, &r.args, &r.t), ERR_ARG);
    r.t = NULL;
    set(&r, "optim", "adamx");
    assert_int_equal(trainer_new(r.m, r.data, NULL, &r.args, &r.t), ERR_ARG);
    assert_non_null(strstr(status_message(), "adamw_torch"));
    set(&r, "optim", "adamw_torch");
    set(&r, "lr_scheduler_type", "cosin");
    r.t = NULL;
    assert_int_equal(trainer_new(r.m, r.data, NULL, &r.args, &r.t), ERR_ARG);
    assert_non_null(strstr(status_message(), "cosine"));
    r.t = NULL;
    examples_free(none);
    close_run(&r);
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, 0);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, no_leak)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(curve_exact),
        TEST(curve_fast),
        TEST(pausing_changes_nothing),
        TEST(dropped_step_changes_nothing),
        TEST(any_split_gives_the_same_loss),
        TEST(accumulation_equals_batch),
        TEST(bad_gradient_is_refused),
        TEST(refused_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
