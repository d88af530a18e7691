/* file_folder.c -- folders, patterns, copies, and every call made to fail in turn. */
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *at(const char *name) /* own buffers: several paths in one call */
{
    static char paths[4][600];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s", temp_path(name));
    return p;
}

static void put(const char *name)
{
    assert_int_equal(file_write_all(at(name), name, strlen(name)), OK);
}

static int clean(void **state)
{
    (void)state;
    assert_int_equal(file_remove_folder(temp_path("tree")), OK);
    assert_int_equal(file_open_count(), 0);
    return 0;
}

static int plant(void **state)
{
    static const char *const folders[] = {"tree/a/b/c", "tree/data", "tree/.hidden"};
    static const char *const files[] = {
        "tree/a/one.csv",     "tree/a/two.CSV",     "tree/a/b/one.csv",   "tree/a/b/c/deep.csv",
        "tree/data/x-1.json", "tree/data/x-2.json", "tree/.hidden/h.csv", "tree/a/.dot.csv",
    };
    (void)state;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_int_equal(file_make_folder(at(folders[i])), OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        put(files[i]);
    assert_int_equal(symlink("../a", at("tree/data/loop")), 0);
    return 0;
}

static void making(void **state)
{
    (void)state;
    assert_int_equal(file_make_folder(at("tree/p/q/r")), OK);
    assert_true(file_is_folder(at("tree/p/q/r")));
    assert_int_equal(file_make_folder(at("tree/p//q/r/")), OK);
    assert_int_equal(file_make_folder(at("tree/a/one.csv/x")), ERR_IO);
    assert_int_equal(file_make_folder(at("tree/a/one.csv")), ERR_IO);
    assert_non_null(strstr(status_message(), "a file of that name is there"));
    assert_int_equal(file_make_folder(""), ERR_ARG);
}

static void plain_names(void **state)
{
    (void)state;
    assert_true(file_is_plain_name("model-00001.safetensors"));
    assert_true(file_is_plain_name("..x"));
    assert_false(file_is_plain_name(""));
    assert_false(file_is_plain_name("."));
    assert_false(file_is_plain_name(".."));
    assert_false(file_is_plain_name("a/b"));
    assert_false(file_is_plain_name("/etc"));
}

static void joining(void **state)
{
    char path[FILE_PATH], longest[FILE_PATH];
    (void)state;
    assert_int_equal(file_join(path, "a/b", "c"), OK);
    assert_string_equal(path, "a/b/c");
    assert_int_equal(file_join(path, "/", "c"), OK);
    assert_string_equal(path, "/c");
    assert_int_equal(file_join(path, "", "c"), OK);
    assert_string_equal(path, "c");
    memset(longest, 'x', sizeof longest);
    longest[FILE_PATH - 3] = '\0';
    assert_int_equal(file_join(path, longest, "y"), OK);
    assert_int_equal(file_join(path, longest, "yz"), ERR_ARG);
    assert_non_null(strstr(status_message(), "the path is too long"));
    assert_true(file_ends_in("model.gguf", ".gguf"));
    assert_true(file_ends_in(".gguf", ".gguf"));
    assert_false(file_ends_in("gguf", ".gguf"));
}

static void globs(const char *pattern, const char *const *wanted)
{
    struct file_names found = {0};
    size_t skip = strlen(temp_folder()) + 1;
    assert_int_equal(file_glob(at(pattern), &found), OK);
    int64_t n = 0;
    for (; wanted[n]; n++) {
        if (n >= found.count)
            fail_msg("%s: no %s", pattern, wanted[n]);
        assert_string_equal(found.items[n] + skip, wanted[n]);
    }
    assert_int_equal(found.count, n);
    file_names_free(&found);
}

static void globbing(void **state)
{
    (void)state;
    globs("tree/a/*.csv", (const char *[]){"tree/a/one.csv", NULL});
    globs("tree/*/*.[cC][sS][vV]", (const char *[]){"tree/a/one.csv", "tree/a/two.CSV", NULL});
    globs("tree/**/one.csv", (const char *[]){"tree/a/b/one.csv", "tree/a/one.csv", NULL});
    globs("tree/**",
          (const char *[]){"tree/a/b/c/deep.csv", "tree/a/b/one.csv", "tree/a/one.csv",
                           "tree/a/two.CSV", "tree/data/x-1.json", "tree/data/x-2.json", NULL});
    globs("tree/data/x-?.json", (const char *[]){"tree/data/x-1.json", "tree/data/x-2.json", NULL});
    globs("tree/a/.*.csv", (const char *[]){"tree/a/.dot.csv", NULL});
    globs("tree/data/loop/*.csv", (const char *[]){"tree/data/loop/one.csv", NULL});
    globs("tree/none/*.csv", (const char *[]){NULL});
    globs("tree/a", (const char *[]){NULL});
    assert_true(file_is_pattern("a*"));
    assert_true(file_is_pattern("[a]"));
    assert_false(file_is_pattern("data/x.csv"));
}

static void listing(void **state)
{
    (void)state;
    struct file_names names = {0};
    assert_int_equal(file_list(at("tree/a"), &names), OK);
    assert_int_equal(names.count, 4);
    assert_string_equal(names.items[0], ".dot.csv");
    assert_string_equal(names.items[1], "b");
    file_names_free(&names);
    assert_int_equal(file_list(at("tree/zz"), &names), ERR_IO);
}

static void renaming(void **state)
{
    (void)state;
    assert_int_equal(file_rename(at("tree/a"), at("tree/data")), ERR_IO);
    assert_non_null(strstr(status_message(), "that name is taken"));
    assert_int_equal(file_rename(at("tree/a"), at("tree/z")), OK);
    assert_true(file_exists(at("tree/z/b/c/deep.csv")));
    assert_false(file_exists(at("tree/a")));
}

static void removing(void **state)
{
    (void)state;
    put("outside.txt");
    assert_int_equal(symlink("../outside.txt", at("tree/link")), 0);
    assert_int_equal(file_remove_folder(at("tree/a/one.csv")), ERR_ARG);
    assert_int_equal(file_remove_folder(at("tree")), OK);
    assert_false(file_exists(at("tree")));
    assert_true(file_exists(at("outside.txt"))); /* links are not followed */
    assert_int_equal(file_remove_folder(at("tree")), OK);
    assert_int_equal(file_remove(at("outside.txt")), OK);
    assert_int_equal(file_remove(at("outside.txt")), ERR_IO);
}

static void copying(void **state)
{
    char *bytes;
    size_t length;
    int64_t room;
    (void)state;
    assert_int_equal(file_copy(at("tree/a/one.csv"), at("tree/copy.csv")), OK);
    assert_int_equal(file_read(at("tree/copy.csv"), 0, &bytes, &length), OK);
    assert_string_equal(bytes, "tree/a/one.csv");
    mem_free(bytes);
    assert_int_equal(file_copy(at("tree/a/one.csv"), at("tree/a/one.csv")), ERR_ARG);
    assert_true(file_same(at("tree/a/one.csv"), at("tree/data/loop/one.csv")));
    assert_false(file_same(at("tree/a/one.csv"), at("tree/copy.csv")));
    assert_int_equal(file_append(at("tree/copy.csv"), "+", 1), OK);
    assert_int_equal(file_append(at("tree/fresh.log"), "x", 1), OK);
    assert_int_equal(file_read(at("tree/copy.csv"), 0, &bytes, &length), OK);
    assert_string_equal(bytes, "tree/a/one.csv+");
    mem_free(bytes);
    assert_int_equal(file_free_bytes(at("tree/none/yet"), &room), OK);
    assert_true(room > 0);
}

/* Everything once; the first failure ends it. */
static int everything(void)
{
    struct file_names names = {0};
    int64_t room;
    TRY(file_make_folder(at("tree/new/er")));
    TRY(file_copy(at("tree/a/one.csv"), at("tree/new/er/c.csv")));
    TRY(file_append(at("tree/new/log"), "x", 1));
    TRY(file_free_bytes(at("tree/new"), &room));
    TRY(file_glob(at("tree/**/*.csv"), &names));
    file_names_free(&names);
    TRY(file_rename(at("tree/new"), at("tree/newer")));
    return file_remove_folder(at("tree/newer"));
}

/* Every call fails once: never a crash or a leak; the originals stay as they are. */
static void every_call_fails(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EACCES, EINTR};
    (void)state;
    int64_t calls, failures = 0;
    file_fail_at(0, 0);
    assert_int_equal(everything(), OK);
    calls = file_fail_at(0, 0);
    assert_true(calls > 30);
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (int64_t n = 1; n <= calls; n++) {
            file_fail_at(n, errors[e]);
            int status = everything();
            file_fail_at(0, 0);
            failures += status != OK;
            assert_int_equal(file_open_count(), 0);
            assert_true(file_exists(at("tree/a/one.csv")));
            assert_int_equal(file_remove_folder(at("tree/new")), OK);
            assert_int_equal(file_remove_folder(at("tree/newer")), OK);
        }
    assert_true(failures > calls);
}

static int everything_again(void *ctx)
{
    (void)ctx;
    TRY(file_remove_folder(at("tree/new"))); /* what the attempt before left */
    TRY(file_remove_folder(at("tree/newer")));
    return everything();
}

static void every_allocation_fails(void **state)
{
    (void)state;
    memory_sweep(everything_again, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, plant, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(making),           TEST(plain_names),
        TEST(joining),          TEST(globbing),
        TEST(listing),          TEST(renaming),
        TEST(removing),         TEST(copying),
        TEST(every_call_fails), TEST(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
