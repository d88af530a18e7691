/* gguf.c -- the GGUF reader: values, tensors, every refusal, damaged files, lost memory. */
#include "engine/formats/gguf.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "tests/engine/gguf_util.h"
#include "tests/engine/shared_util.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char *sample(size_t *length)
{
    struct gguf_writer w = {.alignment = 64};
    float data[64];
    unsigned char blocks[2 * 18] = {1, 2, 3};
    for (int i = 0; i < 64; i++)
        data[i] = (float)i;
    gguf_put_text(&w, "general.architecture", "llama");
    gguf_put_u32(&w, "llama.block_count", 2);
    gguf_put_f32(&w, "llama.eps", 0.5f);
    gguf_put_bool(&w, "flag", true);
    gguf_put_texts(&w, "tokens", (const char *const[]){"a", "", "bcd"}, 3);
    gguf_put_i32s(&w, "types", (const int32_t[]){1, -2, 3}, 3);
    gguf_put_tensor(&w, "a.weight", 0, 2, (const int64_t[]){4, 8}, data, 128);
    gguf_put_tensor(&w, "norm", 0, 1, (const int64_t[]){3}, data, 12);
    gguf_put_tensor(&w, "q.weight", 2, 2, (const int64_t[]){1, 64}, blocks, sizeof blocks);
    gguf_put_tensor(&w, "wide", 28, 3, (const int64_t[]){1, 2, 2}, data, 32);
    return gguf_finish(&w, length);
}

static void values(void **state)
{
    (void)state;
    size_t length, n;
    char *bytes = sample(&length);
    struct gguf *g;
    struct gguf_list list;
    int64_t i;
    double d;
    bool b;
    const char *text;
    assert_int_equal(gguf_parse(bytes, length, length, &g, NULL), OK);
    assert_int_equal(gguf_value_count(g), 7);
    assert_int_equal(gguf_text(g, "general.architecture", &text, &n), OK);
    assert_int_equal(n, 5);
    assert_memory_equal(text, "llama", 5);
    assert_int_equal(gguf_int(g, "llama.block_count", &i), OK);
    assert_int_equal(i, 2);
    assert_int_equal(gguf_float(g, "llama.eps", &d), OK);
    assert_true(d == 0.5);
    assert_int_equal(gguf_bool_or(g, "flag", false, &b), OK);
    assert_true(b);
    assert_int_equal(gguf_int_or(g, "none", 7, &i), OK);
    assert_int_equal(i, 7);
    assert_int_equal(gguf_list_of_text(g, "tokens", &list), OK);
    static const char *const want[] = {"a", "", "bcd"};
    for (int k = 0; k < 3; k++) {
        assert_int_equal(list.left, 3 - k);
        gguf_list_text(&list, &text, &n);
        assert_int_equal(n, strlen(want[k]));
        assert_memory_equal(text, want[k], n);
    }
    assert_int_equal(gguf_list_of_int(g, "types", &list), OK);
    assert_int_equal(gguf_list_int(&list), 1);
    assert_int_equal(gguf_list_int(&list), -2);
    assert_int_equal(gguf_int(g, "none", &i), ERR_FORMAT);
    assert_int_equal(gguf_int(g, "llama.eps", &i), ERR_FORMAT);
    assert_string_equal(status_message(), "key 'llama.eps' holds f32, wanted an integer");
    assert_int_equal(gguf_list_of_int(g, "tokens", &list), ERR_FORMAT);
    assert_string_equal(status_message(),
                        "key 'tokens' holds an array of text, wanted an array of integers");
    gguf_close(g);
    mem_free(bytes);
}

static void tensors(void **state)
{
    (void)state;
    size_t length;
    char *bytes = sample(&length);
    struct gguf *g;
    float row[8];
    temp_write("m.gguf", bytes, length);
    assert_int_equal(gguf_open(temp_path("m.gguf"), &g), OK);
    assert_int_equal(gguf_tensor_count(g), 4);
    int64_t i = gguf_find_tensor(g, "a.weight");
    const struct gguf_tensor *t = gguf_tensor(g, i);
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[0], 4);
    assert_int_equal(t->shape[1], 8);
    assert_int_equal(t->bytes, 128);
    assert_int_equal(t->offset % 64, 0);
    assert_int_equal(gguf_read_part(g, i, 32, 32, row), OK);
    assert_true(row[0] == 8.0f && row[7] == 15.0f);
    assert_int_equal(gguf_read_part(g, i, 128, 1, row), ERR_ARG);
    unsigned char blocks[36];
    i = gguf_find_tensor(g, "q.weight");
    assert_int_equal(gguf_tensor(g, i)->bytes, 36);
    assert_int_equal(gguf_read_tensor(g, i, blocks), OK);
    assert_memory_equal(blocks, "\1\2\3", 3);
    assert_int_equal(gguf_find_tensor(g, "b.weight"), -1);
    assert_string_equal(gguf_path(g), temp_path("m.gguf"));
    gguf_close(g);
    assert_int_equal(file_open_count(), 0);
    mem_free(bytes);
}

static int parse_all(const char *bytes, size_t length)
{
    struct gguf *g;
    int status = gguf_parse(bytes, length, length, &g, NULL);
    if (!status)
        gguf_close(g);
    return status;
}

/* Replaces the first 'from' by 'to' (same length) and expects this in the message. */
static void refused(const char *from, size_t n, const char *to, const char *message)
{
    size_t length;
    char *bytes = sample(&length), *at = memmem(bytes, length, from, n);
    assert_non_null(at);
    memcpy(at, to, n);
    int status = parse_all(bytes, length);
    if (status != ERR_FORMAT || !strstr(status_message(), message))
        fail_msg("status %d, message '%s', wanted '%s'", status, status_message(), message);
    mem_free(bytes);
}

static void refusals(void **state)
{
    (void)state;
    size_t length;
    char *bytes = sample(&length);
    assert_int_equal(parse_all("", 0), ERR_FORMAT);
    assert_int_equal(parse_all("<!DOCTYPE html>", 15), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "web page"));
    assert_int_equal(parse_all("version https://git-lfs", 23), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "LFS"));
    refused("GGUF\3\0\0\0", 8, "GGUF\1\0\0\0", "GGUF version 1, wanted 3 or 2");
    refused("GGUF\3\0\0\0", 8, "GGUF\0\0\0\3", "big-endian");
    refused("GGUF\3\0\0\0\4\0\0\0\0\0\0\0", 16, "GGUF\3\0\0\0\4\0\0\0\0\0\0\1",
            "at most 200000 and 65536 are read");
    refused("flag\7\0\0\0\1", 9, "flag\7\0\0\0\2", "2 where true (1) or false (0) was wanted");
    refused("flag\7", 5, "flag\15", "unknown type 13");
    refused("types\x09\0\0\0\5", 10, "types\x09\0\0\0\x09", "an array of type 9");
    refused("types\x09\0\0\0\5\0\0\0\3\0\0\0\0\0\0\0", 21,
            "types\x09\0\0\0\5\0\0\0\3\0\0\0\0\0\0\x40", "the array 'types' wants");
    refused("general.alignment\4\0\0\0\x40", 22, "general.alignment\5\0\0\0\x40",
            "general.alignment is of type i32, wanted u32");
    refused("general.alignment\4\0\0\0\x40", 22, "general.alignment\4\0\0\0\x41",
            "general.alignment is 65, wanted a power of two");
    refused("norm\1", 5, "norm\5", "5 dimensions, at most 4");
    refused("norm\1\0\0\0\3", 9, "norm\1\0\0\0\0", "dimension 1 is 0, wanted 1 or more");
    refused("a.weight\2\0\0\0\x08\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0", 28,
            "a.weight\2\0\0\0\x08\0\0\0\0\0\0\0\4\0\0\0\0\0\0\x40", "multiply to more than 2^63");
    refused("q.weight\2\0\0\0\x40", 13, "q.weight\2\0\0\0\x41", "no multiple of the 32 elements");
    refused("\x40\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0", 20,
            "\x40\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x10\0\0\0",
            "is stored as IQ2_XXS (type 16), which is not read; hint: formats read: F32");
    refused("\x40\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0", 20,
            "\x40\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x0c\0\0\0",
            "rows of 64 are no multiple of the 256 elements in a block of Q4_K");
    refused("\3\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\0", 16, "\3\0\0\0\0\0\0\0\0\0\0\0\x81\0\0\0",
            "no multiple of 64");
    refused("\3\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\0", 16, "\3\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0",
            "share bytes of the file");
    refused("\3\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\0", 16, "\3\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\1",
            "pass the end of the file");
    mem_free(bytes);
}

static void duplicates(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    size_t length;
    float one = 1;
    gguf_put_u32(&w, "k", 1);
    gguf_put_u32(&w, "k", 2);
    char *bytes = gguf_finish(&w, &length);
    assert_int_equal(parse_all(bytes, length), ERR_FORMAT);
    assert_string_equal(status_message(), "the key 'k' occurs twice");
    mem_free(bytes);
    gguf_put_tensor(&w, "t", 0, 1, (const int64_t[]){1}, &one, 4);
    gguf_put_tensor(&w, "t", 0, 1, (const int64_t[]){1}, &one, 4);
    bytes = gguf_finish(&w, &length);
    assert_int_equal(parse_all(bytes, length), ERR_FORMAT);
    assert_string_equal(status_message(), "the tensor 't' occurs twice");
    mem_free(bytes);
}

/* Bytes after the last tensor may be missing their padding; one byte of the tensor may not. */
static void last_tensor(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    size_t length;
    float data[3] = {0};
    gguf_put_tensor(&w, "t", 0, 1, (const int64_t[]){3}, data, 12);
    char *bytes = gguf_finish(&w, &length);
    assert_int_equal(parse_all(bytes, length - 20), OK);
    assert_int_equal(parse_all(bytes, length - 21), ERR_FORMAT);
    mem_free(bytes);
}

/* A vocabulary larger than the first read. */
static void long_header(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    size_t length, n = 6 << 20;
    char *text = mem_alloc(n + 1);
    float one = 1;
    struct gguf *g;
    assert_non_null(text);
    memset(text, 'x', n);
    text[n] = '\0';
    gguf_put_text(&w, "long", text);
    gguf_put_u32(&w, "after", 5);
    gguf_put_tensor(&w, "t", 0, 1, (const int64_t[]){1}, &one, 4);
    char *bytes = gguf_finish(&w, &length);
    temp_write("long.gguf", bytes, length);
    assert_int_equal(gguf_open(temp_path("long.gguf"), &g), OK);
    int64_t v = 0;
    assert_int_equal(gguf_int(g, "after", &v), OK);
    assert_int_equal(v, 5);
    float back = 0;
    assert_int_equal(gguf_read_tensor(g, 0, &back), OK);
    assert_true(back == 1);
    gguf_close(g);
    temp_write("long.gguf", bytes, length - 40);
    assert_int_equal(gguf_open(temp_path("long.gguf"), &g), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "long.gguf"));
    mem_free(bytes);
    mem_free(text);
}

static void broken_input(void **state)
{
    (void)state;
    size_t length;
    char *bytes = sample(&length);
    bad_input_sweep(bytes, length, 4096, 1 << 20, parse_all);
    bad_number_sweep(bytes, length, 4096, 1 << 20, parse_all);
    mem_free(bytes);
}

static int open_file(void *ctx)
{
    struct gguf *g;
    int status = gguf_open(ctx, &g);
    if (!status)
        gguf_close(g);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    size_t length;
    char *bytes = sample(&length), path[512];
    temp_write("mem.gguf", bytes, length);
    snprintf(path, sizeof path, "%s", temp_path("mem.gguf"));
    memory_sweep(open_file, path);
    assert_int_equal(file_open_count(), 0);
    mem_free(bytes);
}

static void failing_calls(void **state)
{
    (void)state;
    size_t length;
    char *bytes = sample(&length), path[512];
    temp_write("io.gguf", bytes, length);
    snprintf(path, sizeof path, "%s", temp_path("io.gguf"));
    for (int64_t n = 1; n <= 3; n++) {
        file_fail_at(n, 5);
        assert_int_equal(open_file(path), ERR_IO);
        file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
    }
    mem_free(bytes);
}

static void folder_of_files(const char *name)
{
    const char *folder = shared_path(name);
    if (!folder)
        skip();
    DIR *d = opendir(folder);
    struct dirent *e;
    int n = 0;
    assert_non_null(d);
    while ((e = readdir(d))) {
        char path[1400], *bytes;
        size_t length;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(file_read(path, 0, &bytes, &length), OK);
        int64_t blocks = mem_stats().live_blocks;
        int status = parse_all(bytes, length);
        if (status && status != ERR_FORMAT)
            fail_msg("%s: %s", e->d_name, status_message());
        assert_int_equal(mem_stats().live_blocks, blocks);
        mem_free(bytes);
        n++;
    }
    closedir(d);
    assert_true(n > 0);
}

static void public_crashes(void **state)
{
    (void)state;
    folder_of_files("data/fuzz/artifacts/gguf_parser");
    folder_of_files("data/fuzz/gguf_parser_corpus");
    folder_of_files("data/fuzz/gguf_fixtures");
}

/* The real header cut at many places: refused, and 'cut' says that more would help. */
static void cut_header(const char *path)
{
    struct file *f;
    struct gguf *g;
    size_t n = 1785664; /* header of the demo model, up to its weights */
    char *bytes = mem_alloc(n);
    assert_non_null(bytes);
    assert_int_equal(file_open(path, &f), OK);
    assert_int_equal(file_read_at(f, 0, bytes, n), OK);
    for (size_t cut = 0; cut < n - 32; cut += cut < 512 ? 7 : 36007) {
        bool more = false;
        assert_int_equal(gguf_parse(bytes, cut, (uint64_t)file_size(f), &g, &more), ERR_FORMAT);
        assert_true(more);
        assert_int_equal(gguf_parse(bytes, cut, cut, &g, &more), ERR_FORMAT);
        assert_false(more);
    }
    assert_int_equal(gguf_parse(bytes, n, n, &g, NULL), ERR_FORMAT); /* no weights */
    file_close(f);
    mem_free(bytes);
}

static void demo_model(void **state)
{
    (void)state;
    const char *path = demo_model_path();
    struct gguf *g;
    struct gguf_list list;
    if (!path)
        skip();
    assert_int_equal(gguf_open(path, &g), OK);
    assert_int_equal(gguf_tensor_count(g), 272);
    const struct gguf_tensor *t = gguf_tensor(g, gguf_find_tensor(g, "blk.0.ffn_down.weight"));
    assert_int_equal(t->type, 3);
    assert_int_equal(t->shape[0], 576);
    assert_int_equal(t->shape[1], 1536);
    assert_int_equal(t->bytes, 552960);
    assert_int_equal(t->offset, 31868992);
    assert_int_equal(gguf_list_of_text(g, "tokenizer.ggml.tokens", &list), OK);
    assert_int_equal(list.left, 49152);
    gguf_close(g);
    cut_header(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),        cmocka_unit_test(tensors),
        cmocka_unit_test(refusals),      cmocka_unit_test(duplicates),
        cmocka_unit_test(last_tensor),   cmocka_unit_test(long_header),
        cmocka_unit_test(broken_input),  cmocka_unit_test(no_memory),
        cmocka_unit_test(failing_calls), cmocka_unit_test(public_crashes),
        cmocka_unit_test(demo_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
