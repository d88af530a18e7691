/* checkpoint.c -- saving survives everything: each file call and each allocation failing once, a
 * full disk, torn and swapped files; and what cannot be trusted is not resumed from. */
#include "engine/train/checkpoint.h"
#include "engine/core/file.h"
#include "engine/formats/safetensors.h"
#include "engine/train/manifest.h"
#include "engine/train/run_state.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"
#include "tests/engine/run_util.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static const struct run_setting small = {.dtype = "float32", .dropout = 0.1, .accumulate = 1};

/* The newest valid checkpoint's step; -1 = none. */
static int64_t newest_step(const char *folder)
{
    struct buffer notes = {0};
    char *path = NULL;
    int64_t step = -1;
    if (!checkpoint_newest(folder, &path, &notes))
        step = strtoll(strrchr(path, '-') + 1, NULL, 10);
    mem_free(path);
    buffer_free(&notes);
    return step;
}

static int strays(const char *folder)
{
    struct file_names names = {0};
    int n = 0;
    CHECK(file_list(folder, &names));
    for (int64_t i = 0; i < names.count; i++)
        n += strstr(names.items[i], ".tmp") != NULL;
    file_names_free(&names);
    return n;
}

static void clean(const char *folder)
{
    struct buffer notes = {0};
    CHECK(checkpoint_clean(folder, &notes));
    buffer_free(&notes);
}

/* --- failing calls ---------------------------------------------------------------------------- */

/* Saves step 4 beside the checkpoint of step 2, again and again, with the n-th file call failing. In
 * every case one valid checkpoint is there and nothing else but whole ones; and the next try
 * succeeds. */
static void every_file_call(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EINTR, -1};
    char folder[256];
    struct run r;
    const char *path;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_start(&r);
    run_to(&r, 2, 0);
    CHECK(trainer_save(r.t, &path));
    run_to(&r, 4, 0);
    int failures = 0, successes = 0;
    for (int e = 0; e < 4; e++) {
        for (int64_t n = 1;; n++) {
            file_fail_at(n, errors[e]);
            int status = trainer_save(r.t, &path);
            int64_t seen = file_fail_at(0, 0);
            int64_t step = newest_step(folder);
            failures += status != OK;
            successes += status == OK;
            if (status && !strstr(status_message(), folder))
                fail_msg("error %d at call %d: '%s' names no path", errors[e], (int)n,
                         status_message());
            if (errors[e] < 0 && status)
                fail_msg("a short call %d is no failure: %s", (int)n, status_message());
            if (step != 2 && step != 4)
                fail_msg("error %d at call %d: step %d is the newest", errors[e], (int)n,
                         (int)step);
            if (!status && step != 4)
                fail_msg("error %d at call %d: reported as saved, newest is %d", errors[e], (int)n,
                         (int)step);
            if (strays(folder) > 1) /* one: cleaning up itself failed */
                fail_msg("error %d at call %d: %d strays", errors[e], (int)n, strays(folder));
            clean(folder);
            assert_int_equal(strays(folder), 0);
            r.t->saved_step = -1; /* the same step once more */
            if (seen < n)
                break;
        }
    }
    assert_true(failures > 100);
    assert_true(successes >= 8);
    CHECK(trainer_save(r.t, &path));
    assert_int_equal(newest_step(folder), 4);
    run_close(&r);
    run_folder_remove(folder);
}

/* The same for allocations, once and for good; loading and resuming, too. */
static void every_allocation(void **state)
{
    char folder[256];
    struct run r;
    const char *path;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_start(&r);
    run_to(&r, 2, 0);
    CHECK(trainer_save(r.t, &path));
    run_to(&r, 4, 0);
    for (int for_good = 0; for_good < 2; for_good++)
        for (int64_t n = 1;; n++) {
            mem_fail_at(n, for_good);
            int status = trainer_save(r.t, &path);
            int64_t seen = mem_fail_at(0, 0);
            if (status && status != ERR_MEMORY)
                fail_msg("allocation %d: status %d: %s", (int)n, status, status_message());
            int64_t step = newest_step(folder);
            if (step != (status ? 2 : 4) && step != 4)
                fail_msg("allocation %d: newest is %d", (int)n, (int)step);
            clean(folder);
            assert_int_equal(strays(folder), 0);
            r.t->saved_step = -1;
            if (seen < n)
                break;
        }
    run_close(&r);
    run_folder_remove(folder);
}

/* Resuming that fails leaves the trainer as it was. */
static void failing_resume(void **state)
{
    char folder[256];
    struct run r;
    const char *path;
    struct buffer notes = {0};
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_start(&r);
    run_to(&r, 3, 0);
    CHECK(trainer_save(r.t, &path));
    char *kept = mem_text(path, strlen(path));
    assert_non_null(kept);
    uint64_t saved = run_hash(&r);
    run_to(&r, 6, 1);
    uint64_t before = run_hash(&r);
    for (int memory = 0; memory < 2; memory++) {
        run_to(&r, 6, r.t->in_step ? 0 : 1);
        assert_true(run_hash(&r) == before);
        for (int64_t n = 1;; n++) {
            if (memory)
                mem_fail_at(n, 0);
            else
                file_fail_at(n, EIO);
            int status = checkpoint_resume(r.t, kept, &notes);
            int64_t seen = memory ? mem_fail_at(0, 0) : file_fail_at(0, 0);
            if (status && run_hash(&r) != before)
                fail_msg("%s %d: a failed resume changed the trainer: %s",
                         memory ? "allocation" : "call", (int)n, status_message());
            if (!status && seen < n)
                break;
            if (!status) { /* a call whose failure does not matter: back to where it was */
                assert_true(run_hash(&r) == saved);
                run_to(&r, 6, 1);
                assert_true(run_hash(&r) == before);
            }
        }
    }
    assert_true(run_hash(&r) == saved);
    mem_free(kept);
    buffer_free(&notes);
    run_close(&r);
    run_folder_remove(folder);
}

/* --- a full disk ------------------------------------------------------------------------------ */

static void full_disk(void **state)
{
    char folder[256], out[300], options[64];
    struct run r;
    const char *path;
    int failed = 0, saved = 0;
    (void)state;
    run_folder(folder);
    snprintf(out, sizeof out, "%s/out", folder);
    if (mount("lorash-test", folder, "tmpfs", 0, "size=64k")) {
        print_message("# skipped: no tmpfs can be mounted here (%s)\n", strerror(errno));
        run_folder_remove(folder);
        skip();
    }
    umount(folder);
    for (int kib = 64; kib <= 640; kib += 16) {
        snprintf(options, sizeof options, "size=%dk", kib);
        assert_int_equal(mount("lorash-test", folder, "tmpfs", 0, options), 0);
        run_open(&r, &small, out);
        run_set(&r, "logging_strategy", "no");
        run_start(&r);
        int64_t last = -1;
        for (int64_t step = 1; step <= 6; step++) {
            run_to(&r, step, 0);
            if (trainer_save(r.t, &path)) {
                failed++;
                assert_non_null(strstr(status_message(), folder));
                assert_int_equal(file_exists(out) ? strays(out) : 0, 0);
                assert_int_equal(file_exists(out) ? newest_step(out) : -1, last);
            } else {
                saved++;
                last = step;
                assert_int_equal(newest_step(out), last);
            }
        }
        run_close(&r);
        assert_int_equal(umount(folder), 0);
    }
    assert_true(failed > 10 && saved > 10);
    run_folder_remove(folder);
}

/* --- damaged files ---------------------------------------------------------------------------- */

struct blob {
    char path[320], *bytes;
    size_t length;
};

static void blob_read(struct blob *b, const char *folder, const char *name)
{
    snprintf(b->path, sizeof b->path, "%s/%s", folder, name);
    CHECK(file_read(b->path, 0, &b->bytes, &b->length));
}

static void blob_put(const struct blob *b, size_t length)
{
    CHECK(file_write_all(b->path, b->bytes, length));
}

/* Any file cut, flipped, swapped or missing: the checkpoint is refused, the older one is found. */
static void damaged_files(void **state)
{
    static const char *const names[] = {"manifest.json",
                                        "lorash_state.json",
                                        "lorash_state.safetensors",
                                        "adapter_model.safetensors",
                                        "adapter_config.json",
                                        "trainer_state.json",
                                        "README.md"};
    char folder[256], four[300], two[300];
    struct run r;
    const char *path;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_start(&r);
    run_to(&r, 2, 0);
    CHECK(trainer_save(r.t, &path));
    run_to(&r, 4, 0);
    CHECK(trainer_save(r.t, &path));
    snprintf(two, sizeof two, "%s/checkpoint-2", folder);
    snprintf(four, sizeof four, "%s/checkpoint-4", folder);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct blob b, older;
        blob_read(&b, four, names[i]);
        blob_read(&older, two, names[i]);
        for (int k = 0; k < 24; k++) { /* flips spread over the file */
            size_t at = (size_t)k * b.length / 24;
            char bit = (char)(1 << k % 8);
            b.bytes[at] ^= bit;
            blob_put(&b, b.length);
            int64_t found = newest_step(folder);
            bool spared = !strcmp(names[i], "manifest.json") && found == 4;
            if (found != 2 && !spared) /* a flip in white space says nothing */
                fail_msg("%s: bit flipped at %zu: newest is %d", names[i], at, (int)found);
            b.bytes[at] ^= bit;
        }
        for (int k = 0; k < 8; k++) {
            blob_put(&b, (size_t)k * b.length / 8);
            assert_int_equal(newest_step(folder), 2);
        }
        if (older.length != b.length || memcmp(older.bytes, b.bytes, b.length)) {
            struct blob swapped = older; /* the other checkpoint's file of that name */
            memcpy(swapped.path, b.path, sizeof b.path);
            blob_put(&swapped, swapped.length);
            assert_int_equal(newest_step(folder), 2);
        }
        CHECK(file_remove(b.path));
        assert_int_equal(newest_step(folder), 2);
        blob_put(&b, b.length);
        assert_int_equal(newest_step(folder), 4);
        mem_free(b.bytes);
        mem_free(older.bytes);
    }
    run_close(&r);
    run_folder_remove(folder);
}

/* Every truncation and every flipped bit of a small text is accepted or cleanly refused. */
static void damaged_texts(void **state)
{
    char folder[256], one[300];
    struct run r;
    const char *path;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_start(&r);
    run_to(&r, 2, 0);
    CHECK(trainer_save(r.t, &path));
    snprintf(one, sizeof one, "%s", path);
    run_close(&r);
    static const char *const names[] = {"manifest.json", "lorash_state.json"};
    for (int i = 0; i < 2; i++) {
        struct blob b;
        blob_read(&b, one, names[i]);
        size_t n = b.length < 4096 ? b.length : 4096;
        int accepted = 0, refused = 0;
        for (size_t at = 0; at < n * 9; at++) {
            size_t length = at < n ? at : b.length, byte = (at - n) / 8;
            char bit = (char)(1 << (at - n) % 8);
            struct manifest m = {0};
            struct run_state s = {0};
            if (at >= n)
                b.bytes[byte] ^= bit;
            int status =
                i ? run_state_parse(b.bytes, length, &s) : manifest_parse(b.bytes, length, &m);
            accepted += status == OK;
            refused += status == ERR_FORMAT;
            if (status && status != ERR_FORMAT)
                fail_msg("%s at %zu: status %d", names[i], at, status);
            manifest_free(&m);
            run_state_free(&s);
            if (at >= n)
                b.bytes[byte] ^= bit;
        }
        assert_true(accepted > 0 && refused > 4000);
        mem_free(b.bytes);
    }
    run_folder_remove(folder);
}

/* --- tensors that do not fit ------------------------------------------------------------------- */

enum change { KEEP, MISSING, EXTRA, SHAPE, DTYPE, CHANGES };

static int copy_bytes(void *ctx, const struct safetensors_entry *e, void *bytes)
{
    struct safetensors *s = ctx;
    int64_t i = e->tensor ? safetensors_find(s, e->tensor) : -1;
    size_t n = (size_t)safetensors_bits(e->dtype) / 8;
    for (int d = 0; d < e->ndim; d++)
        n *= (size_t)e->shape[d];
    memset(bytes, 0, n);
    if (i < 0 || safetensors_tensor(s, i)->bytes > n)
        return OK;
    return safetensors_read(s, i, bytes);
}

/* Writes the state's tensors anew with one change, and a manifest that says so. */
static void rewrite_state(const char *folder, enum change change, uint64_t run)
{
    char path[400];
    struct safetensors *s;
    snprintf(path, sizeof path, "%s/lorash_state.safetensors", folder);
    CHECK(safetensors_open(path, &s));
    int64_t count = safetensors_count(s), n = 0;
    struct safetensors_entry *e = mem_calloc((size_t)count + 1, sizeof *e);
    assert_non_null(e);
    for (int64_t i = 0; i < count; i++) {
        const struct safetensors_tensor *t = safetensors_tensor(s, i);
        if (change == MISSING && i == 3)
            continue;
        e[n] = (struct safetensors_entry){.name = t->name, .dtype = t->dtype, .ndim = t->ndim};
        e[n].tensor = (void *)(uintptr_t)t->name;
        memcpy(e[n].shape, t->shape, sizeof t->shape);
        if (change == SHAPE && i == 3)
            e[n].shape[0]++;
        if (change == DTYPE && i == 3)
            e[n].dtype = "F64";
        n++;
    }
    if (change == EXTRA)
        e[n++] = (struct safetensors_entry){
            .name = "state.0.more", .dtype = "F32", .ndim = 1, .shape = {2}};
    CHECK(safetensors_save(path, e, n, NULL, copy_bytes, s));
    mem_free(e);
    safetensors_close(s);
    CHECK(manifest_write(folder, 2, 1, run));
}

static void wrong_tensors(void **state)
{
    static const char *const told[CHANGES] = {[MISSING] = "has no ",
                                              [EXTRA] = "this trainer needs",
                                              [SHAPE] = ", wanted F32 of",
                                              [DTYPE] = "is F64 of"};
    struct buffer notes = {0};
    (void)state;
    for (enum change c = KEEP; c < CHANGES; c++) {
        char folder[256], path[300];
        const char *saved;
        struct run r;
        run_folder(folder);
        run_open(&r, &small, folder);
        run_start(&r);
        run_to(&r, 2, 0);
        CHECK(trainer_save(r.t, &saved));
        snprintf(path, sizeof path, "%s", saved);
        run_to(&r, 4, 0);
        uint64_t before = run_hash(&r);
        rewrite_state(path, c, r.t->run);
        int status = checkpoint_resume(r.t, path, &notes);
        if (c == KEEP) {
            CHECK(status);
        } else {
            assert_int_equal(status, ERR_FORMAT);
            if (!strstr(status_message(), told[c]))
                fail_msg("change %d: %s", (int)c, status_message());
            assert_true(run_hash(&r) == before);
        }
        run_close(&r);
        run_folder_remove(folder);
    }
    buffer_free(&notes);
}

/* A checkpoint of format version 1, written when that was the newest: it must stay readable. (Made by
 * run_open with 'small' and logging_steps 1, saved after step 3.) */
static void golden_version_1(void **state)
{
    struct buffer notes = {0};
    char folder[256];
    struct run r;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_set(&r, "logging_steps", "1");
    run_start(&r);
    CHECK(checkpoint_resume(r.t, "tests/golden/checkpoint_v1", &notes));
    assert_int_equal(r.t->step, 3);
    assert_int_equal(r.t->log_count, 4);
    assert_true(run_hash(&r) == 0x28f86faec8ccc1bu);
    run_to_end(&r);
    assert_int_equal(r.t->step, 8);
    buffer_free(&notes);
    run_close(&r);
    run_folder_remove(folder);
}

/* --- order, limits, killed runs --------------------------------------------------------------- */

static int64_t count_of(const char *folder)
{
    int64_t count, highest;
    CHECK(checkpoint_count(folder, &count, &highest));
    return count;
}

static bool has_step(const char *folder, int64_t step)
{
    char path[320];
    snprintf(path, sizeof path, "%s/checkpoint-%d", folder, (int)step);
    return file_is_folder(path);
}

static void limits(void **state)
{
    char folder[256];
    struct run r, q;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder); /* an earlier run's: never touched by another */
    run_set(&r, "max_steps", "2");
    run_set(&r, "save_steps", "1");
    run_start(&r);
    run_to_end(&r);
    run_close(&r);
    assert_int_equal(count_of(folder), 2);
    run_open(&q, &small, folder);
    run_set(&q, "max_steps", "10");
    run_set(&q, "save_steps", "3");
    run_set(&q, "save_total_limit", "2");
    run_set(&q, "load_best_model_at_end", "true");
    run_set(&q, "learning_rate", "1e-2");
    run_start(&q);
    run_to(&q, 3, 0);
    q.t->best_metric = -1; /* step 3 stays the best for ever */
    run_to_end(&q);
    assert_int_equal(q.t->best_step, 3);
    assert_true(has_step(folder, 1) && has_step(folder, 2));
    assert_true(has_step(folder, 3) && has_step(folder, 10));
    assert_int_equal(count_of(folder), 4);
    assert_true(q.t->best_loaded);
    run_close(&q);
    run_folder_remove(folder);
}

/* The newest is the one written last, not the one of the highest step; a fresh run replaces a folder
 * of the same name. */
static void newest_is_last_written(void **state)
{
    char folder[256];
    struct run r;
    (void)state;
    run_folder(folder);
    for (int i = 0; i < 2; i++) {
        run_open(&r, &small, folder);
        run_set(&r, "max_steps", i ? "4" : "6");
        run_set(&r, "save_steps", "2");
        run_start(&r);
        run_to_end(&r);
        run_close(&r);
        assert_int_equal(newest_step(folder), i ? 4 : 6);
    }
    assert_int_equal(count_of(folder), 3);
    assert_int_equal(strays(folder), 0);
    run_folder_remove(folder);
}

static void move(const char *folder, const char *from, const char *to)
{
    char a[320], b[320];
    snprintf(a, sizeof a, "%s/%s", folder, from);
    snprintf(b, sizeof b, "%s/%s", folder, to);
    CHECK(file_rename(a, b));
}

/* What a kill can leave between two calls: each is put right by the next start. */
static void after_a_kill(void **state)
{
    char folder[256], path[320];
    struct run r;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_set(&r, "max_steps", "4");
    run_set(&r, "save_steps", "2");
    run_start(&r);
    run_to_end(&r);
    run_close(&r);
    move(folder, "checkpoint-4", "checkpoint-4.tmp"); /* whole, but for its name */
    clean(folder);
    assert_int_equal(newest_step(folder), 4);
    move(folder, "checkpoint-4", "checkpoint-4.old.tmp"); /* about to be replaced */
    clean(folder);
    assert_int_equal(newest_step(folder), 4);
    move(folder, "checkpoint-4", "checkpoint-4.tmp"); /* cut short */
    snprintf(path, sizeof path, "%s/checkpoint-4.tmp/lorash_state.json", folder);
    CHECK(file_write_all(path, "{", 1));
    snprintf(path, sizeof path, "%s/log.jsonl.99-1.tmp", folder);
    CHECK(file_write_all(path, "{", 1));
    clean(folder);
    assert_int_equal(newest_step(folder), 2);
    assert_int_equal(strays(folder), 0);
    run_folder_remove(folder);
}

/* A checkpoint that cannot be written pauses: the error comes, nothing is lost, the next call saves
 * and goes on to the same end. */
static void failed_save_pauses(void **state)
{
    char folder[256];
    uint64_t wanted = 0;
    (void)state;
    for (int broken = 0; broken < 2; broken++) {
        struct run r;
        struct trainer_event e;
        int errors = 0;
        char in_the_way[320];
        run_folder(folder);
        snprintf(in_the_way, sizeof in_the_way, "%s/file", folder);
        CHECK(file_write_all(in_the_way, "x", 1));
        run_open(&r, &small, folder);
        run_set(&r, "save_steps", "3");
        run_start(&r);
        do {
            if (broken && r.t->save_pending && !r.t->eval_pending && !r.t->in_eval && !errors) {
                mem_fail_at(40, 1);
                assert_int_equal(trainer_next(r.t, &e), ERR_MEMORY);
                mem_fail_at(0, 0);
                errors++;
                assert_true(r.t->save_pending);
                assert_int_equal(count_of(folder), 0);
                char **where = &r.args.output_dir, *folder_set = *where;
                *where = in_the_way; /* a file stands where the folder should be */
                assert_int_equal(trainer_next(r.t, &e), ERR_IO);
                *where = folder_set;
                assert_true(r.t->save_pending);
            }
            CHECK(trainer_next(r.t, &e));
        } while (e.kind != TRAINER_DONE);
        assert_int_equal(errors, broken);
        assert_int_equal(count_of(folder), 3);
        if (!broken)
            wanted = run_hash(&r);
        else
            assert_true(run_hash(&r) == wanted);
        run_close(&r);
        run_folder_remove(folder);
    }
}

static void save_only_model(void **state)
{
    char folder[256], path[320];
    struct run r;
    const char *saved;
    struct buffer notes = {0};
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_set(&r, "save_only_model", "true");
    run_start(&r);
    run_to(&r, 2, 0);
    CHECK(trainer_save(r.t, &saved));
    snprintf(path, sizeof path, "%s/lorash_state.safetensors", saved);
    assert_false(file_exists(path));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", saved);
    assert_true(file_exists(path));
    snprintf(path, sizeof path, "%s", saved);
    assert_int_equal(checkpoint_resume(r.t, path, &notes), ERR_ARG);
    assert_non_null(strstr(status_message(), "save_only_model"));
    assert_int_equal(newest_step(folder), -1);
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
        TEST(every_file_call), TEST(every_allocation),
        TEST(failing_resume),  TEST(full_disk),
        TEST(damaged_files),   TEST(damaged_texts),
        TEST(wrong_tensors),   TEST(golden_version_1),
        TEST(limits),          TEST(newest_is_last_written),
        TEST(after_a_kill),    TEST(failed_save_pauses),
        TEST(save_only_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
