/* not_finite.c -- NaN and infinity planted in every trained tensor and in the frozen base: the step
 * is refused, the tensor named, nothing changed, nothing saved; repaired, the run goes on to the
 * bits it would have had. */
#include "engine/core/file.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"
#include "tests/engine/run_util.h"

#include <math.h>
#include <string.h>

/* Sets one element and returns what was there. */
static float plant(struct tensor *x, int64_t at, float value)
{
    float *values = mem_alloc(tensor_bytes(x));
    assert_non_null(values);
    CHECK(tensor_read(x, values));
    float before = values[at];
    values[at] = value;
    CHECK(tensor_write(x, values));
    mem_free(values);
    return before;
}

static int step(struct run *r)
{
    struct trainer_event e;
    int status;
    do
        status = trainer_next(r->t, &e);
    while (!status && e.kind != TRAINER_STEP);
    return status;
}

static void every_trained_tensor(bool full)
{
    struct run_setting s = {.full = full, .dtype = "float32", .steps = "400"};
    char folder[256];
    const char *path;
    struct run r;
    run_folder(folder);
    run_open(&r, &s, folder);
    run_set(&r, "eval_strategy", "no");
    run_set(&r, "metric_for_best_model", "loss");
    run_start(&r);
    run_to(&r, 2, 0);
    for (int64_t i = 0; i < r.t->trained_count; i++) {
        struct trained *x = &r.t->trained[i];
        float bad = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
        int64_t at = (7 * i) % tensor_count(x->param);
        float kept = plant(x->param, at, bad);
        uint64_t before = run_hash(&r);
        int status = step(&r);
        if (status != ERR_NUMERIC || !strstr(status_message(), x->name))
            fail_msg("%s with %g: status %d: %s", x->name, (double)bad, status, status_message());
        assert_true(run_hash(&r) == before);
        status = trainer_save(r.t, &path);
        if (status != ERR_NUMERIC)
            fail_msg("%s with %g was saved: status %d", x->name, (double)bad, status);
        plant(x->param, at, kept);
    }
    uint64_t repaired = run_hash(&r);
    run_to(&r, 5, 0);
    uint64_t after = run_hash(&r);
    run_close(&r);
    run_open(&r, &s, folder);
    run_set(&r, "eval_strategy", "no");
    run_set(&r, "metric_for_best_model", "loss");
    run_start(&r);
    run_to(&r, 2, 0);
    assert_true(run_hash(&r) == repaired);
    run_to(&r, 5, 0);
    assert_true(run_hash(&r) == after);
    run_close(&r);
    run_folder_remove(folder);
}

static void in_an_adapter(void **state)
{
    (void)state;
    every_trained_tensor(false);
}

static void in_a_whole_model(void **state)
{
    (void)state;
    every_trained_tensor(true);
}

/* A frozen weight poisons the gradients: the first of them is named. */
static void in_the_base(void **state)
{
    struct run_setting s = {.dtype = "float32"};
    char folder[256];
    struct run r;
    (void)state;
    run_folder(folder);
    run_open(&r, &s, folder);
    run_start(&r);
    for (int64_t i = 0; i < r.m->module_count; i++) {
        struct tensor *w = r.m->modules[i].linear.weight;
        float kept = plant(w, i, NAN);
        uint64_t before = run_hash(&r);
        int status = step(&r);
        assert_int_equal(status, ERR_NUMERIC);
        assert_non_null(strstr(status_message(), "the gradient of base_model.model."));
        assert_true(run_hash(&r) == before);
        plant(w, i, kept);
    }
    CHECK(step(&r));
    run_close(&r);
    run_folder_remove(folder);
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, 0);
    assert_int_equal(file_open_count(), 0);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, no_leak)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_an_adapter),
        TEST(in_a_whole_model),
        TEST(in_the_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
