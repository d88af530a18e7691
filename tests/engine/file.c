/* file.c -- the file layer: reading, saving, near names, and every call made to fail in turn. */
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void reading(void **state)
{
    (void)state;
    char *bytes, part[4];
    size_t length;
    struct file *f;
    temp_write("data.csv", "ab\0cd", 5);
    assert_int_equal(file_read(temp_path("data.csv"), 0, &bytes, &length), OK);
    assert_int_equal(length, 5);
    assert_memory_equal(bytes, "ab\0cd", 6);
    mem_free(bytes);
    assert_int_equal(file_read(temp_path("data.csv"), 4, &bytes, &length), ERR_ARG);
    assert_non_null(strstr(status_message(), "has 5 bytes, at most 4 are read"));
    assert_int_equal(file_open(temp_path("data.csv"), &f), OK);
    assert_int_equal(file_size(f), 5);
    assert_int_equal(file_read_at(f, 1, part, 4), OK);
    assert_memory_equal(part, "b\0cd", 4);
    assert_int_equal(file_read_at(f, 2, part, 4), ERR_FORMAT);
    assert_int_equal(file_read_at(f, 6, part, 0), ERR_FORMAT);
    assert_int_equal(file_read_at(f, -1, part, 1), ERR_FORMAT);
    assert_int_equal(file_open_count(), 1);
    file_close(f);
    assert_true(file_exists(temp_path("data.csv")));
    assert_false(file_exists(temp_path("none")));
    assert_true(file_is_folder(temp_folder()));
    assert_false(file_is_folder(temp_path("data.csv")));
}

static void missing(void **state)
{
    (void)state;
    char *bytes;
    size_t length;
    temp_write("symptoms.csv", "x", 1);
    assert_int_equal(file_read(temp_path("symptom.csv"), 0, &bytes, &length), ERR_IO);
    assert_non_null(strstr(status_message(), "no such file; did you mean 'symptoms.csv'?"));
    assert_int_equal(file_read(temp_path("zzzzzzzz"), 0, &bytes, &length), ERR_IO);
    assert_null(strstr(status_message(), "did you mean"));
    assert_int_equal(file_read(temp_path("no/x.csv"), 0, &bytes, &length), ERR_IO);
    assert_non_null(strstr(status_message(), "there is no folder"));
    assert_int_equal(file_read(temp_folder(), 0, &bytes, &length), ERR_ARG);
    assert_non_null(strstr(status_message(), "is a folder, wanted a file"));
    assert_int_equal(file_read("", 0, &bytes, &length), ERR_ARG);
    assert_int_equal(file_read("/dev/null", 0, &bytes, &length), ERR_ARG);
}

static void check_content(const char *name, const char *want)
{
    char *bytes;
    size_t length;
    assert_int_equal(file_read(temp_path(name), 0, &bytes, &length), OK);
    assert_int_equal(length, strlen(want));
    assert_memory_equal(bytes, want, length);
    mem_free(bytes);
}

static int files_in_folder(void)
{
    DIR *d = opendir(temp_folder());
    int n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void saving(void **state)
{
    (void)state;
    struct file_save *s;
    struct stat st;
    int files = files_in_folder();
    assert_int_equal(file_write_all(temp_path("out"), "one", 3), OK);
    check_content("out", "one");
    assert_int_equal(chmod(temp_path("out"), 0640), 0);
    assert_int_equal(file_save_begin(temp_path("out"), &s), OK);
    assert_int_equal(file_save_write(s, "tw", 2), OK);
    check_content("out", "one"); /* nothing changes before the commit */
    assert_int_equal(file_save_write(s, "o", 1), OK);
    assert_int_equal(file_save_commit(s), OK);
    check_content("out", "two");
    assert_int_equal(stat(temp_path("out"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(file_save_begin(temp_path("out"), &s), OK);
    assert_int_equal(file_save_write(s, "three", 5), OK);
    file_save_abandon(s);
    check_content("out", "two");
    assert_int_equal(symlink("out", temp_path("link")), 0);
    assert_int_equal(file_write_all(temp_path("link"), "four", 4), OK);
    check_content("out", "four");
    assert_int_equal(lstat(temp_path("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(file_save_begin(temp_folder(), &s), ERR_ARG);
    assert_int_equal(files_in_folder(), files + 2);
    assert_int_equal(file_open_count(), 0);
}

/* Every call fails in turn: the file holds the old or the new content, whole, and no temporary
 * file, descriptor or memory is left behind. */
static void failing_calls(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EACCES, -1};
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        file_fail_at(0, 0);
        assert_int_equal(file_write_all(temp_path("kept"), "old", 3), OK);
        int64_t calls = file_fail_at(0, 0);
        assert_int_equal(calls,
                         10); /* realpath stat open write fsync close rename open fsync close */
        int refused = 0;
        for (int64_t n = 1; n <= calls; n++) {
            assert_int_equal(file_write_all(temp_path("kept"), "old", 3), OK);
            int files = files_in_folder();
            int64_t blocks = mem_stats().live_blocks;
            file_fail_at(n, errors[e]);
            int status = file_write_all(temp_path("kept"), "newer", 5);
            file_fail_at(0, 0);
            refused += status != 0;
            if (status && errors[e] < 0)
                fail_msg("a short call %lld must be continued: %s", (long long)n, status_message());
            char *bytes;
            size_t length;
            assert_int_equal(file_read(temp_path("kept"), 0, &bytes, &length), OK);
            bool old = length == 3 && memcmp(bytes, "old", 3) == 0;
            bool fresh = length == 5 && memcmp(bytes, "newer", 5) == 0;
            if (!old && !fresh)
                fail_msg("call %lld: '%s' is neither the old nor the new content", (long long)n,
                         bytes);
            if (!status && !fresh)
                fail_msg("call %lld: success without the new content", (long long)n);
            mem_free(bytes);
            assert_int_equal(files_in_folder(), files);
            assert_int_equal(file_open_count(), 0);
            assert_int_equal(mem_stats().live_blocks, blocks);
        }
        /* all but realpath, stat and the last close; above all, no fsync may fail unseen */
        assert_int_equal(refused, errors[e] < 0 ? 0 : 7);
    }
}

static void interrupted_calls(void **state)
{
    (void)state;
    char *bytes;
    size_t length;
    temp_write("kept", "some content", 12);
    for (int64_t n = 1; n <= 8; n++) {
        file_fail_at(1 + n / 2, n % 2 ? EINTR : -1);
        int status = file_read(temp_path("kept"), 0, &bytes, &length);
        file_fail_at(0, 0);
        if (status == OK) {
            assert_int_equal(length, 12);
            assert_memory_equal(bytes, "some content", 12);
            mem_free(bytes);
        }
        assert_int_equal(file_open_count(), 0);
    }
    file_fail_at(3, EIO); /* open, fstat, read */
    assert_int_equal(file_read(temp_path("kept"), 0, &bytes, &length), ERR_IO);
    assert_non_null(strstr(status_message(), "cannot read"));
    file_fail_at(0, 0);
}

static int save_and_read(void *ctx)
{
    char *bytes = NULL;
    size_t length;
    (void)ctx;
    struct file *f = NULL;
    int status = file_write_all(temp_path("mem"), "content", 7);
    if (!status)
        status = file_read(temp_path("mem"), 0, &bytes, &length);
    mem_free(bytes);
    if (!status)
        status = file_open(temp_path("mem"), &f);
    if (!status)
        file_close(f);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    memory_sweep(save_and_read, NULL);
    assert_int_equal(file_open_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading),
        cmocka_unit_test(missing),
        cmocka_unit_test(saving),
        cmocka_unit_test(failing_calls),
        cmocka_unit_test(interrupted_calls),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
