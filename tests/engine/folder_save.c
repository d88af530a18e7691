/* folder_save.c -- files that appear together or not at all, with every file call failing once. */
#include "engine/core/folder_save.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OK_(expr)                                        \
    do {                                                 \
        if (expr)                                        \
            fail_msg("%s: %s", #expr, status_message()); \
    } while (0)

static const char *const place = "model";

static void put(const char *folder, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    OK_(file_write_all(path, text, strlen(text)));
}

static void expect(const char *folder, const char *name, const char *text)
{
    char path[600], *bytes;
    size_t length;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!text) {
        assert_false(file_exists(path));
        return;
    }
    OK_(file_read(path, 0, &bytes, &length));
    assert_string_equal(bytes, text);
    mem_free(bytes);
}

static int files = 3;

static int save(const char *folder, const char *mark)
{
    struct folder_save *s;
    const char *path;
    TRY(folder_save_begin(folder, &s));
    int status = OK;
    for (int i = 0; i < files && !status; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        status = folder_save_path(s, name, &path);
        if (!status)
            status = file_write_all(path, mark, strlen(mark));
    }
    if (!status)
        status = folder_save_retire(s, "part-*");
    if (!status)
        status = folder_save_retire(s, "f2");
    if (status) {
        folder_save_abandon(s);
        return status;
    }
    return folder_save_commit(s);
}

static void names_are(const char *folder, int64_t count)
{
    struct file_names names;
    OK_(file_list(folder, &names));
    assert_int_equal(names.count, count);
    file_names_free(&names);
}

static void saved(void **state)
{
    (void)state;
    const char *folder = temp_path("saved");
    OK_(save(folder, "one"));
    expect(folder, "f0", "one");
    names_are(folder, 3);
    put(folder, "README.md", "kept");
    put(folder, "part-1", "old");
    OK_(save(folder, "two"));
    expect(folder, "f0", "two");
    expect(folder, "f2", "two");
    expect(folder, "README.md", "kept");
    expect(folder, "part-1", NULL);
    names_are(folder, 4);
    /* slashes at the end, parents that are missing */
    char deep[600];
    snprintf(deep, sizeof deep, "%s/a/b//", folder);
    OK_(save(deep, "three"));
    expect(deep, "f1", "three");
    OK_(file_remove_folder(folder));
}

static void refused(void **state)
{
    (void)state;
    struct folder_save *s;
    const char *file = temp_path("plain"), *path;
    OK_(file_write_all(file, "x", 1));
    assert_int_equal(folder_save_begin(file, &s), ERR_ARG);
    assert_non_null(strstr(status_message(), "is a file"));
    assert_int_equal(folder_save_begin("", &s), ERR_ARG);
    const char *folder = temp_path("refused");
    OK_(folder_save_begin(folder, &s));
    assert_int_equal(folder_save_path(s, "a/b", &path), ERR_INTERNAL);
    folder_save_abandon(s);
    assert_false(file_exists(folder));
    folder_save_abandon(NULL);
}

/* What a kill between two renames leaves: f0 is new already and f1 is nowhere; both old ones wait.
 * They are back when the next save begins, whatever becomes of it. */
static void killed(void **state)
{
    (void)state;
    const char *folder = temp_path("killed");
    char path[600];
    struct folder_save *s;
    OK_(save(folder, "new"));
    snprintf(path, sizeof path, "%s/f1", folder);
    OK_(file_remove(path));
    snprintf(path, sizeof path, "%s/.saving/old", folder);
    OK_(file_make_folder(path));
    put(path, "f0", "old");
    put(path, "f1", "old");
    OK_(folder_save_begin(folder, &s));
    folder_save_abandon(s);
    expect(folder, "f0", "old");
    expect(folder, "f1", "old");
    expect(folder, "f2", "new");
    names_are(folder, 3);
    OK_(file_remove_folder(folder));
}

/* The n-th file call fails: the folder is the old one or, when the save says OK, the new one. */
static void faults(bool exists, int error)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s/%s", temp_folder(), place);
    for (int64_t n = 1;; n++) {
        OK_(file_remove_folder(folder));
        if (exists) {
            OK_(file_make_folder(folder));
            put(folder, "f0", "old");
            put(folder, "f2", "old");
            put(folder, "part-7", "old");
        }
        status_clear();
        file_fail_at(n, error);
        int status = save(folder, "new");
        int64_t calls = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        if (status) {
            if (!strstr(status_message(), place))
                fail_msg("call %d: '%s' does not name the folder", (int)n, status_message());
            expect(folder, "f0", exists ? "old" : NULL);
            expect(folder, "f1", NULL);
            expect(folder, "f2", exists ? "old" : NULL);
            expect(folder, "part-7", exists ? "old" : NULL);
        } else {
            expect(folder, "f0", "new");
            expect(folder, "f1", "new");
            expect(folder, "f2", "new");
            expect(folder, "part-7", NULL);
        }
        if (calls < n) {
            assert_int_equal(status, OK);
            names_are(folder, 3);
            break;
        }
    }
    OK_(file_remove_folder(folder));
}

static void call_failures(void **state)
{
    (void)state;
    faults(false, EIO);
    faults(true, EIO);
    faults(true, ENOSPC);
}

static int save_and_forget(void *ctx)
{
    return save(ctx, "text");
}

static void no_memory(void **state)
{
    (void)state;
    char folder[512];
    snprintf(folder, sizeof folder, "%s/memory", temp_folder());
    files = 1;
    memory_sweep(save_and_forget, folder);
    memory_sweep(save_and_forget, folder); /* it is there now */
    names_are(folder, 1);
    files = 3;
    OK_(file_remove_folder(folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved),         cmocka_unit_test(refused),   cmocka_unit_test(killed),
        cmocka_unit_test(call_failures), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
