/* load.c -- opening models: what is refused, and that nothing is lost on the way.
 *
 * Every bit of the first bytes of a model file flipped, every truncation there, every n-th
 * allocation failing: a clean error or a model, no leak, bounded memory. */
#include "engine/core/file.h"
#include "engine/train/trainer.h"
#include "kernels/base/mem.h"
#include "tests/engine/engine_util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MODEL "tests/golden/llama_tied_gqa.gguf"
#define FLIPPED 2048 /* bytes of the file's start */

/* A copy of the model in memory that can be opened by path and changed in place. */
static int copy_model(char path[64], size_t *length)
{
    char *bytes;
    CHECK(file_read(MODEL, 0, &bytes, length));
    int fd = memfd_create("model", 0);
    assert_true(fd >= 0 && pwrite(fd, bytes, *length, 0) == (ssize_t)*length);
    mem_free(bytes);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static int try_load(struct context *ctx, const char *path)
{
    struct model *m;
    int status = model_load(ctx, path, NULL, &m);
    if (!status)
        model_release(m);
    else
        assert_true(status_message()[0]);
    return status;
}

static void flipped_bits(void **state)
{
    char path[64], byte, changed;
    size_t length;
    int refused = 0;
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    int fd = copy_model(path, &length);
    mem_set_limit(mem_stats().live_bytes + ((int64_t)64 << 20));
    for (off_t at = 0; at < FLIPPED; at++) {
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        for (int bit = 0; bit < 8; bit += at < 256 ? 1 : 3) {
            changed = (char)(byte ^ (1 << bit));
            assert_int_equal(pwrite(fd, &changed, 1, at), 1);
            refused += try_load(ctx, path) != OK;
        }
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    mem_set_limit(0);
    assert_int_equal(try_load(ctx, path), OK);
    assert_true(refused > FLIPPED / 2);
    close(fd);
    util_context_free(ctx);
}

static void truncated(void **state)
{
    char path[64];
    size_t length;
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    int fd = copy_model(path, &length);
    for (size_t cut = 1; cut < length; cut += cut < 4096 ? 7 : 1111) {
        assert_int_equal(ftruncate(fd, (off_t)(length - cut)), 0);
        assert_int_not_equal(try_load(ctx, path), OK);
    }
    close(fd);
    util_context_free(ctx);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    int64_t n = 1;
    for (;; n++) {
        int64_t before = mem_stats().live_blocks;
        mem_fail_at(n, 0);
        int status = try_load(ctx, MODEL);
        mem_fail_at(0, 0);
        context_trim(ctx);
        assert_true(mem_stats().live_blocks <= before);
        if (!status)
            break;
        assert_int_equal(status, ERR_MEMORY);
    }
    assert_true(n > 50);
    util_context_free(ctx);
}

static void every_file_call_fails_once(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    int64_t n = 1;
    for (;; n++) {
        file_fail_at(n, EIO);
        int status = try_load(ctx, MODEL);
        int64_t seen = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        if (!status && seen < n)
            break;
        if (!status) /* a look whether it is a folder: taken for a file */
            continue;
        assert_int_equal(status, ERR_IO);
        assert_non_null(strstr(status_message(), MODEL));
    }
    assert_true(n > 5);
    util_context_free(ctx);
}

/* Making a trainer and one whole step with every n-th allocation failing; then it goes on. */
static void trainer_survives(void **state)
{
    struct model *m;
    struct examples *e;
    struct training_arguments a;
    struct lora_config c;
    struct lora *l;
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    CHECK(model_load(ctx, MODEL, NULL, &m));
    CHECK(options_init(&lora_options, &c));
    CHECK(options_init(&training_arguments, &a));
    a.max_steps = 1;
    for (int64_t n = 1;; n++) {
        struct trainer *t = NULL;
        struct trainer_event ev = {0};
        mem_fail_at(n, 0);
        int status = examples_new(&e);
        if (!status)
            status = examples_add(e, (int32_t[]){1, 2, 3, 4}, NULL, 4, 0, -1, 0);
        else
            e = NULL;
        if (!status)
            status = lora_attach(m, &c, 1, &l);
        if (!status)
            status = trainer_new(m, e, NULL, &a, &t);
        while (!status && ev.kind != TRAINER_STEP)
            status = trainer_next(t, &ev);
        mem_fail_at(0, 0);
        if (status && t) { /* the same trainer goes on */
            do
                CHECK(trainer_next(t, &ev));
            while (ev.kind != TRAINER_STEP);
        }
        trainer_free(t);
        lora_detach(m);
        examples_free(e);
        if (!status)
            break;
        assert_int_equal(status, ERR_MEMORY);
    }
    options_free(&training_arguments, &a);
    options_free(&lora_options, &c);
    model_release(m);
    util_context_free(ctx);
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
        TEST(flipped_bits),
        TEST(truncated),
        TEST(every_allocation_fails_once),
        TEST(every_file_call_fails_once),
        TEST(trainer_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
