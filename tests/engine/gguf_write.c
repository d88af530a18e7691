/* gguf_write.c -- the GGUF writer: read back key by key, refusals, lost memory, failing calls. */
#include "engine/formats/gguf_write.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct gguf_write_entry entries[] = {
    {"a.weight", 0, 2, {3, 5}, NULL},    /* 60 bytes: not a multiple of 32 */
    {"q.weight", 8, 2, {2, 64}, NULL},   /* Q8_0: 136 */
    {"wide", 28, 4, {1, 2, 1, 2}, NULL}, /* F64 */
    {"ids", 26, 1, {5}, NULL},           /* I32, the last: padded all the same */
};
#define COUNT ((int64_t)(sizeof entries / sizeof *entries))

/* Byte i of an entry: its place and its number. */
static int fill(void *ctx, const struct gguf_write_entry *e, void *bytes)
{
    size_t n = 0;
    if (ctx)
        return (fail)(ERR_NUMERIC, "not finite"); /* cmocka has a macro of that name */
    TRY(gguf_write_entry_bytes(e, &n));
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)bytes)[i] = (unsigned char)(i * 7 + (size_t)e->type);
    return OK;
}

static void add_keys(struct gguf_write *w)
{
    gguf_write_text(w, "general.architecture", "llama");
    gguf_write_u32(w, "u", 4000000000u);
    gguf_write_i32(w, "i", -5);
    gguf_write_f32(w, "f", 0.1f);
    gguf_write_bool(w, "yes", true);
    gguf_write_bool(w, "no", false);
    gguf_write_bytes(w, "raw", "a\0b", 3);
    gguf_write_texts(w, "tokens", (const char *const[]){"x", "", "yz"}, NULL, 3);
    gguf_write_texts(w, "cut", (const char *const[]){"a\0b", "long"}, (const size_t[]){3, 1}, 2);
    gguf_write_i32s(w, "types", (const int32_t[]){1, -2}, 2);
    gguf_write_u32s(w, "cells", (const uint32_t[]){7}, 1);
    gguf_write_f32s(w, "scores", (const float[]){-1.5f, 0, 3}, 3);
    gguf_write_i32s(w, "nothing", NULL, 0);
}

static int save(void *path)
{
    struct gguf_write w = {0};
    add_keys(&w);
    int status = gguf_write_save(&w, path, entries, COUNT, fill, NULL);
    gguf_write_free(&w);
    return status;
}

static void check_text(const struct gguf *g, const char *key, const char *want, size_t length)
{
    const char *text;
    size_t n;
    assert_int_equal(gguf_text(g, key, &text, &n), OK);
    assert_int_equal(n, length);
    assert_memory_equal(text, want, n);
}

static void check_keys(const struct gguf *g)
{
    struct gguf_list list;
    const char *text;
    size_t n;
    int64_t i;
    double d;
    bool b;
    assert_int_equal(gguf_value_count(g), 13);
    check_text(g, "general.architecture", "llama", 5);
    check_text(g, "raw", "a\0b", 3);
    assert_int_equal(gguf_find(g, "u")->type, GGUF_U32);
    assert_int_equal(gguf_int(g, "u", &i), OK);
    assert_int_equal(i, 4000000000);
    assert_int_equal(gguf_int(g, "i", &i), OK);
    assert_int_equal(i, -5);
    assert_int_equal(gguf_find(g, "f")->type, GGUF_F32);
    assert_int_equal(gguf_float(g, "f", &d), OK);
    assert_true(d == (double)0.1f);
    assert_int_equal(gguf_bool_or(g, "yes", false, &b), OK);
    assert_true(b);
    assert_int_equal(gguf_bool_or(g, "no", true, &b), OK);
    assert_false(b);
    assert_int_equal(gguf_list_of_text(g, "tokens", &list), OK);
    assert_int_equal(list.left, 3);
    gguf_list_text(&list, &text, &n);
    gguf_list_text(&list, &text, &n);
    assert_int_equal(n, 0);
    gguf_list_text(&list, &text, &n);
    assert_memory_equal(text, "yz", 2);
    assert_int_equal(gguf_list_of_text(g, "cut", &list), OK);
    gguf_list_text(&list, &text, &n);
    assert_int_equal(n, 3);
    gguf_list_text(&list, &text, &n);
    assert_int_equal(n, 1);
    assert_int_equal(gguf_list_of_int(g, "types", &list), OK);
    assert_int_equal(gguf_list_int(&list), 1);
    assert_int_equal(gguf_list_int(&list), -2);
    assert_int_equal(gguf_find(g, "cells")->element, GGUF_U32);
    assert_int_equal(gguf_list_of_float(g, "scores", &list), OK);
    assert_true(gguf_list_float(&list) == -1.5);
    assert_int_equal(gguf_list_of_int(g, "nothing", &list), OK);
    assert_int_equal(list.left, 0);
}

static void check_tensors(struct gguf *g)
{
    assert_int_equal(gguf_tensor_count(g), COUNT);
    int64_t next = gguf_tensor(g, 0)->offset;
    for (int64_t i = 0; i < COUNT; i++) {
        const struct gguf_tensor *t = gguf_tensor(g, i);
        unsigned char want[256], got[256];
        assert_string_equal(t->name, entries[i].name);
        assert_int_equal(t->type, entries[i].type);
        assert_int_equal(t->ndim, entries[i].ndim);
        assert_memory_equal(t->shape, entries[i].shape, (size_t)t->ndim * 8);
        assert_int_equal(t->offset, next); /* the running sum of padded sizes, as ggml wants */
        next += (int64_t)(t->bytes + 31) / 32 * 32;
        assert_int_equal(fill(NULL, &entries[i], want), OK);
        assert_int_equal(gguf_read_tensor(g, i, got), OK);
        assert_memory_equal(got, want, t->bytes);
    }
    struct file *f;
    assert_int_equal(file_open(gguf_path(g), &f), OK);
    assert_int_equal(file_size(f), next);
    file_close(f);
}

static void round_trip(void **state)
{
    (void)state;
    char path[512];
    struct gguf *g;
    snprintf(path, sizeof path, "%s", temp_path("w.gguf"));
    assert_int_equal(save(path), OK);
    assert_int_equal(gguf_open(path, &g), OK);
    check_keys(g);
    check_tensors(g);
    gguf_close(g);
}

/* The keys of one file into another, which must have the same bytes. */
static void copies(void **state)
{
    (void)state;
    char path[512], again[512], *a, *b;
    struct gguf_write w = {0};
    struct gguf *g;
    size_t n, m;
    snprintf(path, sizeof path, "%s", temp_path("w.gguf"));
    snprintf(again, sizeof again, "%s", temp_path("again.gguf"));
    assert_int_equal(save(path), OK);
    assert_int_equal(gguf_open(path, &g), OK);
    for (int64_t i = 0; i < gguf_value_count(g); i++)
        gguf_write_copy(&w, gguf_value(g, i));
    assert_int_equal(gguf_write_save(&w, again, entries, COUNT, fill, NULL), OK);
    gguf_write_free(&w);
    gguf_close(g);
    assert_int_equal(file_read(path, 0, &a, &n), OK);
    assert_int_equal(file_read(again, 0, &b, &m), OK);
    assert_int_equal(m, n);
    assert_memory_equal(b, a, n);
    mem_free(a);
    mem_free(b);
}

static void alignment(void **state)
{
    (void)state;
    char path[512];
    struct gguf_write w = {0};
    struct gguf *g;
    snprintf(path, sizeof path, "%s", temp_path("aligned.gguf"));
    gguf_write_u32(&w, "general.alignment", 256);
    assert_int_equal(gguf_write_save(&w, path, entries, COUNT, fill, NULL), OK);
    gguf_write_free(&w);
    assert_int_equal(gguf_open(path, &g), OK);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(gguf_tensor(g, i)->offset % 256, 0);
    gguf_write_copy(&w, gguf_find(g, "general.alignment"));
    assert_int_equal(w.alignment, 256);
    gguf_write_free(&w);
    gguf_close(g);
    gguf_write_u32(&w, "general.alignment", 48);
    assert_int_equal(gguf_write_save(&w, path, entries, COUNT, fill, NULL), ERR_ARG);
    assert_non_null(strstr(status_message(), "general.alignment is 48"));
    gguf_write_free(&w);
}

static void no_tensors(void **state)
{
    (void)state;
    struct gguf_write w = {0};
    struct gguf *g;
    assert_int_equal(gguf_write_save(&w, temp_path("none.gguf"), NULL, 0, fill, NULL), OK);
    assert_int_equal(gguf_open(temp_path("none.gguf"), &g), OK);
    assert_int_equal(gguf_tensor_count(g) + gguf_value_count(g), 0);
    gguf_close(g);
    gguf_write_free(&w);
}

static void refused(struct gguf_write *w, const struct gguf_write_entry *e, int64_t n,
                    const char *message)
{
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path("no.gguf"));
    int status = gguf_write_save(w, path, e, n, fill, NULL);
    if (status != ERR_ARG || !strstr(status_message(), message))
        fail_msg("status %d, message '%s', wanted '%s'", status, status_message(), message);
    assert_false(file_exists(path));
    gguf_write_free(w);
}

static void refusals(void **state)
{
    (void)state;
    struct gguf_write w = {0};
    char name[300];
    gguf_write_u32(&w, "k", 1);
    gguf_write_text(&w, "k", "x");
    gguf_write_u32(&w, "l", 1); /* after a failure: nothing happens */
    refused(&w, NULL, 0, "the key 'k' is given twice");
    gguf_write_u32(&w, "", 1);
    refused(&w, NULL, 0, "0 bytes, wanted 1 to 255");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    gguf_write_u32(&w, name, 1);
    refused(&w, NULL, 0, "299 bytes, wanted 1 to 255");
    struct gguf_write_entry e[2] = {{"t", 0, 1, {4}, NULL}, {"t", 0, 1, {4}, NULL}};
    refused(&w, e, 2, "two tensors are called 't'");
    name[64] = '\0';
    e[0].name = name;
    refused(&w, e, 1, "64 bytes, wanted 1 to 63");
    name[63] = '\0';
    assert_int_equal(gguf_write_save(&w, temp_path("yes.gguf"), e, 1, fill, NULL), OK);
    e[0] = (struct gguf_write_entry){"t", 0, 5, {1}, NULL};
    refused(&w, e, 1, "5 dimensions, wanted 1 to 4");
    e[0].ndim = 0;
    refused(&w, e, 1, "0 dimensions, wanted 1 to 4");
    e[0] = (struct gguf_write_entry){"t", 8, 1, {33}, NULL};
    refused(&w, e, 1, "rows of 33 are no multiple of the 32");
    e[0] = (struct gguf_write_entry){"t", 0, 2, {0, 4}, NULL};
    refused(&w, e, 1, "dimension 1 is 0");
    e[0] = (struct gguf_write_entry){"t", 0, 2, {INT64_MAX, 4}, NULL};
    refused(&w, e, 1, "multiply to more than 2^63");
    e[0] = (struct gguf_write_entry){"t", 5, 1, {4}, NULL};
    refused(&w, e, 1, "(type 5)");
}

static void failing_source(void **state)
{
    (void)state;
    struct gguf_write w = {0};
    char path[512], *bytes;
    size_t n;
    temp_write("kept.gguf", "old", 3);
    snprintf(path, sizeof path, "%s", temp_path("kept.gguf"));
    assert_int_equal(gguf_write_save(&w, path, entries, COUNT, fill, &w), ERR_NUMERIC);
    assert_int_equal(file_read(path, 0, &bytes, &n), OK);
    assert_memory_equal(bytes, "old", n);
    mem_free(bytes);
}

static void no_memory(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path("mem.gguf"));
    memory_sweep(save, path);
    assert_int_equal(file_open_count(), 0);
}

static void failing_calls(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path("io.gguf"));
    for (int64_t n = 1;; n++) {
        file_fail_at(n, 5);
        int status = save(path);
        int64_t seen = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        if (!status && seen < n)
            break;
        assert_true(status == OK || status == ERR_IO);
        struct gguf *g;
        if (!file_exists(path))
            continue;
        assert_int_equal(gguf_open(path, &g), OK); /* what is there is whole */
        gguf_close(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(copies),
        cmocka_unit_test(alignment),  cmocka_unit_test(no_tensors),
        cmocka_unit_test(refusals),   cmocka_unit_test(failing_source),
        cmocka_unit_test(no_memory),  cmocka_unit_test(failing_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
