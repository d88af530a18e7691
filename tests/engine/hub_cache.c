/* hub_cache.c -- names, the cache's folder, snapshots by branch, tag and commit. */
#include "engine/core/hub_cache.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COMMIT_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define COMMIT_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {"gpt2", "org/name", "a.b-c_d/e.f", "0/1"};
    static const char *const bad[] = {"",     "/",    "a/",     "/a",  "a/b/c", "a..b",
                                      "../a", "-a/b", "a/b--c", "a b", ".a/b",  "a/b."};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(hub_name_is_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hub_name_is_valid(bad[i]))
            fail_msg("'%s' was accepted", bad[i]);
    char longest[100];
    memset(longest, 'a', 97);
    longest[97] = '\0';
    assert_false(hub_name_is_valid(longest));
    longest[96] = '\0';
    assert_true(hub_name_is_valid(longest));
}

static void root_is(const char *wanted)
{
    char out[4096];
    assert_int_equal(hub_cache_root(out, sizeof out), OK);
    assert_string_equal(out, wanted);
}

static void no_variables(void)
{
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/home/me", 1);
}

static void test_root(void **state)
{
    (void)state;
    char small[8];
    no_variables();
    root_is("/home/me/.cache/huggingface/hub");
    setenv("XDG_CACHE_HOME", "/cache", 1);
    root_is("/cache/huggingface/hub");
    setenv("HF_HOME", "~/hf", 1);
    root_is("/home/me/hf/hub");
    setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
    root_is("/old");
    setenv("HF_HUB_CACHE", "$HOME/${XDG_CACHE_HOME}/$NO_SUCH_NAME", 1);
    root_is("/home/me//cache/$NO_SUCH_NAME");
    assert_int_equal(hub_cache_root(small, sizeof small), ERR_ARG);
    setenv("HF_HUB_CACHE", "", 1); /* set to nothing is not set */
    root_is("/old");
    no_variables();
}

static void write_in(const char *path, const char *text)
{
    char full[1400], *slash;
    snprintf(full, sizeof full, "%s/%s", temp_folder(), path);
    slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(file_make_folder(full), OK);
    *slash = '/';
    assert_int_equal(file_write_all(full, text, strlen(text)), OK);
}

static void found(const char *name, const char *revision, const char *wanted)
{
    char out[4096], full[4096];
    if (hub_cache_find(HUB_DATASET, name, revision, out, sizeof out))
        fail_msg("%s: %s", name, status_message());
    snprintf(full, sizeof full, "%s/hub/%s", temp_folder(), wanted);
    assert_string_equal(out, full);
}

static void refused(const char *name, const char *revision, int code, const char *says)
{
    char out[4096] = "untouched";
    assert_int_equal(hub_cache_find(HUB_DATASET, name, revision, out, sizeof out), code);
    if (!strstr(status_message(), says))
        fail_msg("'%s' lacks '%s'", status_message(), says);
    assert_string_equal(out, "untouched");
}

static void test_snapshots(void **state)
{
    (void)state;
    char root[1400];
    snprintf(root, sizeof root, "%s/hub", temp_folder());
    no_variables();
    setenv("HF_HUB_CACHE", root, 1);
    refused("org/name", NULL, ERR_IO, "not in the hub cache");
    write_in("hub/datasets--org--name/refs/main", COMMIT_A);
    write_in("hub/datasets--org--name/refs/pr/1", COMMIT_B "\n");
    write_in("hub/datasets--org--name/refs/broken", "abc");
    write_in("hub/datasets--org--name/snapshots/" COMMIT_A "/train.csv", "a\n1\n");
    write_in("hub/datasets--org--name/snapshots/" COMMIT_B "/train.csv", "a\n1\n");
    write_in("hub/datasets--alone/snapshots/" COMMIT_B "/train.csv", "a\n1\n");
    write_in("hub/models--org--other/refs/main", COMMIT_A);
    write_in("hub/CACHEDIR.TAG", "");
    found("org/name", NULL, "datasets--org--name/snapshots/" COMMIT_A);
    found("org/name", "pr/1", "datasets--org--name/snapshots/" COMMIT_B);
    found("org/name", COMMIT_B, "datasets--org--name/snapshots/" COMMIT_B);
    found("alone", NULL, "datasets--alone/snapshots/" COMMIT_B);
    refused("alone", "main", ERR_IO, "revision 'main' is not in the hub cache");
    refused("org/name", "v2", ERR_IO, "hint: there is broken, main");
    refused("org/name", "broken", ERR_FORMAT, "expected a commit");
    refused("org/name", "../../x", ERR_ARG, "no branch");
    refused("org/other", NULL, ERR_IO, "data set 'org/other'");
    refused("org/nmae", NULL, ERR_IO, "did you mean 'org/name'");
    refused("../name", NULL, ERR_ARG, "no name of a data set");
    struct file_names names;
    assert_int_equal(hub_cache_list(HUB_DATASET, &names), OK);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.items[0], "alone");
    assert_string_equal(names.items[1], "org/name");
    file_names_free(&names);
    no_variables();
    assert_int_equal(mem_stats().live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_snapshots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
