/* resume.c -- a run that was stopped, saved, thrown away and gone on with gives the bits of one that
 * was never interrupted.
 *
 * Every setting of {adapter, whole model} x {f32, bf16 weights} x {dropout} x {accumulation} x
 * {saved in the middle of an epoch, at its end, inside a step}; saved with one number of threads
 * and resumed with another; and resumed twice. */
#include "engine/core/file.h"
#include "engine/train/checkpoint.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"
#include "tests/engine/run_util.h"

#include <stdio.h>
#include <string.h>

/* A fresh model and trainer that goes on from the newest checkpoint of 'folder'. */
static void reopen(struct run *r, const struct run_setting *s, const char *folder)
{
    struct buffer notes = {0};
    char *path;
    run_open(r, s, folder);
    run_start(r);
    CHECK(checkpoint_newest(folder, &path, &notes));
    CHECK(checkpoint_resume(r->t, path, &notes));
    if (notes.length)
        fail_msg("notes where nothing differs: %.*s", (int)notes.length, notes.bytes);
    mem_free(path);
    buffer_free(&notes);
}

static void save_and_close(struct run *r)
{
    const char *path;
    CHECK(trainer_save(r->t, &path));
    run_close(r);
}

static void check_setting(const struct run_setting *s, int64_t half, int micro)
{
    char folder[256], what[200];
    struct run r;
    struct run_setting other = *s;
    other.threads = 1;
    run_folder(folder);
    run_open(&r, s, folder);
    run_start(&r);
    run_to_end(&r);
    uint64_t wanted = run_hash(&r);
    run_close(&r);
    run_folder_remove(folder);

    run_folder(folder);
    run_open(&r, s, folder);
    run_start(&r);
    run_to(&r, half, micro);
    uint64_t before = 0;
    if (!micro)
        before = run_hash(&r);
    save_and_close(&r);
    reopen(&r, &other, folder);
    snprintf(what, sizeof what, "%s %s dropout %g accumulate %d, step %d + %d",
             s->full ? "full" : "lora", s->dtype, s->dropout, s->accumulate, (int)half, micro);
    if (!micro && run_hash(&r) != before)
        fail_msg("%s: what was read is not what was written", what);
    run_to(&r, half + 2, 0); /* and once more */
    save_and_close(&r);
    reopen(&r, s, folder);
    run_to_end(&r);
    if (run_hash(&r) != wanted)
        fail_msg("%s: another run than the uninterrupted one", what);
    run_close(&r);
    run_folder_remove(folder);
}

/* 13 rows, 2 a batch: 7 steps an epoch, 3 with accumulation. */
static void every_setting(void **state)
{
    int count = 0;
    (void)state;
    for (int full = 0; full < 2; full++)
        for (int narrow = 0; narrow < 2; narrow++)
            for (int drop = 0; drop < 2; drop++)
                for (int accumulate = 1; accumulate <= 3; accumulate += 2)
                    for (int where = 0; where < 3; where++) {
                        struct run_setting s = {.full = full,
                                                .dtype = narrow ? "bfloat16" : "float32",
                                                .dropout = drop ? 0.1 : 0,
                                                .accumulate = accumulate,
                                                .micro = full && drop ? "9" : "20",
                                                .steps = "16",
                                                .threads = 2};
                        int64_t epoch = accumulate == 1 ? 7 : 6;
                        check_setting(&s, where == 1 ? epoch : 8, where == 2 ? 1 : 0);
                        count++;
                    }
    assert_int_equal(count, 48);
}

/* Two runs of different seeds must not have one hash, nor a run of another length: the comparison
 * above can fail. */
static void hashes_tell_runs_apart(void **state)
{
    struct run_setting s = {.dtype = "float32", .dropout = 0.1, .accumulate = 1};
    const char *const seeds[] = {"42", "43"};
    uint64_t h[3];
    char folder[256];
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct run r;
        run_folder(folder);
        run_open(&r, &s, folder);
        run_set(&r, "seed", seeds[i % 2]);
        run_set(&r, "save_strategy", "no");
        run_start(&r);
        run_to_end(&r);
        h[i] = run_hash(&r);
        run_close(&r);
        run_folder_remove(folder);
    }
    assert_true(h[0] == h[2]);
    assert_true(h[0] != h[1]);
}

/* What may not change, and what may. */
static int try_change(const char *name, const char *value, struct buffer *notes)
{
    struct run_setting s = {.dtype = "float32", .accumulate = 1};
    char folder[256];
    struct run r;
    const char *path;
    run_folder(folder);
    run_open(&r, &s, folder);
    run_start(&r);
    run_to(&r, 3, 0);
    CHECK(trainer_save(r.t, &path));
    char *kept = mem_text(path, strlen(path));
    assert_non_null(kept);
    run_close(&r);
    run_open(&r, &s, folder);
    run_set(&r, name, value);
    run_start(&r);
    uint64_t before = run_hash(&r);
    int status = checkpoint_resume(r.t, kept, notes);
    if (status)
        assert_true(run_hash(&r) == before);
    else
        assert_int_equal(r.t->step, 3);
    mem_free(kept);
    run_close(&r);
    run_folder_remove(folder);
    return status;
}

static void changed_arguments(void **state)
{
    static const struct {
        const char *name, *value, *told;
        int status;
    } cases[] = {
        {"seed", "7", "seed was 42, found 7", ERR_ARG},
        {"data_seed", "7", "data_seed", ERR_ARG},
        {"train_sampling_strategy", "sequential", "train_sampling_strategy", ERR_ARG},
        {"optim", "sgd", "optim", ERR_ARG},
        {"per_device_train_batch_size", "3", "a step had 2 examples, found 3", ERR_ARG},
        {"max_steps", "2", "it is at step 3, this run has 2", ERR_ARG},
        {"learning_rate", "1e-3", "learning_rate was 0.002, from here on it is 0.001", OK},
        {"max_steps", "9", "planned for 8 steps and now has 9", OK},
        {"micro_batch_tokens", "30", "the same gradients, rounded differently", OK},
        {"logging_steps", "5", NULL, OK},
        {"save_total_limit", "3", NULL, OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer notes = {0};
        int status = try_change(cases[i].name, cases[i].value, &notes);
        CHECK(buffer_close(&notes));
        const char *said = status ? status_message() : notes.bytes;
        if (status != cases[i].status)
            fail_msg("%s = %s: status %d: %s", cases[i].name, cases[i].value, status, said);
        if (cases[i].told ? !strstr(said, cases[i].told) : notes.length != 0)
            fail_msg("%s = %s: '%s'", cases[i].name, cases[i].value, said);
        buffer_free(&notes);
    }
}

/* Other rows, another adapter, a whole model for an adapter: refused, nothing changed. */
static void other_things(void **state)
{
    struct run_setting s = {.dtype = "float32", .accumulate = 1}, full = s, dropped = s;
    struct buffer notes = {0};
    const char *path;
    char folder[256];
    struct run r, q;
    (void)state;
    full.full = true;
    dropped.dropout = 0.2;
    run_folder(folder);
    run_open(&r, &s, folder);
    run_start(&r);
    run_to(&r, 2, 0);
    CHECK(trainer_save(r.t, &path));

    run_open(&q, &s, folder);
    q.data->ids[5]++;
    run_start(&q);
    assert_int_equal(checkpoint_resume(q.t, path, &notes), ERR_ARG);
    assert_non_null(strstr(status_message(), "its rows are not those of the checkpoint"));
    assert_int_equal(q.t->step, 0);
    run_close(&q);

    run_open(&q, &full, folder);
    run_start(&q);
    assert_int_equal(checkpoint_resume(q.t, path, &notes), ERR_ARG);
    assert_non_null(strstr(status_message(), "trained an adapter"));
    run_close(&q);

    run_open(&q, &dropped, folder);
    run_start(&q);
    assert_int_equal(checkpoint_resume(q.t, path, &notes), ERR_ARG);
    assert_non_null(strstr(status_message(), "lora_dropout was 0"));
    run_close(&q);
    buffer_free(&notes);
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
        TEST(every_setting),
        TEST(hashes_tell_runs_apart),
        TEST(changed_arguments),
        TEST(other_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
