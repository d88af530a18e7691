/* safetensors.c -- the safetensors reader and writer: values, every refusal, bytes equal to the
 * reference library's, damaged files, lost memory, failing file calls. */
#include "engine/formats/safetensors.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* A file of a header and 'data' zero bytes; mem_free. */
static char *make(const char *json, size_t data, size_t *length)
{
    size_t n = strlen(json);
    char *bytes = mem_calloc(8 + n + data, 1);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(n >> 8 * i);
    memcpy(bytes + 8, json, n);
    *length = 8 + n + data;
    return bytes;
}

static int parse_all(const char *bytes, size_t length)
{
    struct safetensors *s;
    int status = safetensors_parse(bytes, length, length, &s);
    if (!status)
        safetensors_close(s);
    return status;
}

/* Parses a header over 'data' bytes; the result is closed. */
static int parse_json(const char *json, size_t data)
{
    size_t length;
    char *bytes = make(json, data, &length);
    int status = parse_all(bytes, length);
    mem_free(bytes);
    return status;
}

static void refused(const char *json, size_t data, const char *message)
{
    int status = parse_json(json, data);
    if (status != ERR_FORMAT || !strstr(status_message(), message))
        fail_msg("%.100s: status %d, message '%s', wanted '%s'", json, status, status_message(),
                 message);
}

static void accepted(const char *json, size_t data)
{
    if (parse_json(json, data))
        fail_msg("%.100s: %s", json, status_message());
}

#define GOLDEN "tests/golden/small.safetensors"

static void values(void **state)
{
    (void)state;
    struct safetensors *s;
    float f[6];
    assert_int_equal(safetensors_open(GOLDEN, &s), OK);
    assert_string_equal(safetensors_path(s), GOLDEN);
    assert_int_equal(safetensors_count(s), 10);
    assert_string_equal(safetensors_meta(s, "format"), "pt");
    assert_null(safetensors_meta(s, "none"));
    assert_int_equal(safetensors_find(s, "none"), -1);
    int64_t i = safetensors_find(s, "b.weight");
    const struct safetensors_tensor *t = safetensors_tensor(s, i);
    assert_string_equal(t->name, "b.weight");
    assert_string_equal(t->dtype, "F32");
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->bytes, 24);
    assert_int_equal(safetensors_read(s, i, f), OK);
    for (int k = 0; k < 6; k++)
        assert_true(f[k] == (float)k);
    int64_t seven = 0;
    i = safetensors_find(s, "scalar");
    assert_int_equal(safetensors_tensor(s, i)->ndim, 0);
    assert_int_equal(safetensors_tensor(s, i)->bytes, 8);
    assert_int_equal(safetensors_read(s, i, &seven), OK);
    assert_int_equal(seven, 7);
    i = safetensors_find(s, "empty");
    assert_int_equal(safetensors_tensor(s, i)->bytes, 0);
    assert_int_equal(safetensors_tensor(s, i)->shape[1], 5);
    assert_int_equal(safetensors_read(s, i, &seven), OK);
    assert_true(safetensors_find(s, "odd \"name\"\\ \t\xC3\xA9\x01\x7F/") >= 0);
    safetensors_close(s);
    assert_int_equal(file_open_count(), 0);
}

static void accepts(void **state)
{
    (void)state;
    accepted("{}", 0);
    accepted(" \n\t{} \n  ", 0);
    accepted("{\"__metadata__\":{}}", 0);
    accepted("{\"__metadata__\":{\"a\":\"\",\"\":\"b\"}}", 0);
    accepted("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1);
    accepted("{\"a\":{\"shape\":[0],\"data_offsets\":[0,0],\"dtype\":\"F64\",\"more\":[{}]}}", 0);
    accepted("{\"a\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[0,3]}}", 3);
    accepted("{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3);
    /* the header's order is not the data's; an empty tensor stands between two others */
    accepted("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]},"
             "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
             "\"c\":{\"dtype\":\"U8\",\"shape\":[0,9],\"data_offsets\":[3,3]}}",
             5);
    accepted("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1);
}

static void refusals_of_sizes(void **state)
{
    (void)state;
    char file[16] = {0};
    assert_int_equal(parse_all("", 0), ERR_FORMAT);
    assert_int_equal(parse_all(file, 7), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "7 bytes, wanted 8 and more"));
    assert_int_equal(parse_all(file, 8), ERR_FORMAT); /* no JSON at all */
    file[0] = 9;
    assert_int_equal(parse_all(file, 16), ERR_FORMAT);
    assert_string_equal(status_message(), "the header wants 9 bytes where the file has 8; hint: "
                                          "the file is damaged or cut short");
    memset(file, 0xFF, 8);
    assert_int_equal(parse_all(file, 16), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "18446744073709551615 bytes, at most 100000000"));
    memcpy(file, "\1\xE1\xF5\5\0\0\0\0", 8); /* 100,000,001 */
    assert_int_equal(parse_all(file, 16), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "100000001 bytes, at most 100000000"));
    assert_int_equal(parse_all("<!DOCTYPE html>", 15), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "web page"));
    assert_int_equal(parse_all("version https://git-lfs", 23), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "LFS"));
    assert_int_equal(parse_all("GGUF\3\0\0\0\4\0\0\0\0\0\0\0", 16), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "this is a GGUF file"));
    assert_int_equal(parse_all("PK\3\4\0\0\x08\x08zzzzzzzz", 16), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "torch.save"));
}

#define U8(name, from, to) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" #to "],\"data_offsets\":[" #from "," #to "]}"

static void refusals_of_places(void **state)
{
    (void)state;
    refused("{" U8("a", 0, 4) "}", 5, "1 bytes follow the last tensor");
    refused("{}", 1, "1 bytes follow the last tensor");
    refused("{" U8("a", 0, 4) "}", 3, "pass the end of the file");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
            5, "tensor 'b' starts at 3 of the data, wanted 2");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[2,5]}}",
            5, "tensor 'b' starts at 2 of the data, wanted 3");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}",
            3, "starts at 0 of the data, wanted 3");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3,
            "tensor 'a' starts at 1 of the data, wanted 0");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,1]}}", 3,
            "tensor 'a' ends at 1, before its start at 3");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
            "tensor 'a' has 2 bytes by its offsets, wanted 3 by its shape");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3,
            "tensor 'a' has 3 bytes by its offsets, wanted 12 by its shape");
    /* products that wrap to what the offsets say */
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
            0, "multiplies to more than fits in memory");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
            "multiplies to more than fits in memory");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2305843009213693953],\"data_offsets\":[0,1]}}", 1,
            "multiplies to more than fits in memory");
    refused("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1,
            "12 bits of F4 are no whole number of bytes");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551617],\"data_offsets\":[0,1]}}", 1,
            "18446744073709551617 is too large");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[18446744073709551615,0]}}", 1,
            "18446744073709551615 is too large");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],"
            "\"data_offsets\":[0,9223372036854775807]}}",
            1, "multiplies to more than fits in memory");
}

static void refusals_of_entries(void **state)
{
    (void)state;
    refused("", 0, "expected a value");
    refused("[]", 0, "expected an object, found an array");
    refused("\xEF\xBB\xBF{}", 0, "found byte 0xEF");
    refused("{}{}", 0, "expected the end of the text");
    refused("{} x", 0, "expected the end of the text");
    refused("{" U8("a", 0, 1) "," U8("a", 0, 1) "}", 1, "'a'");
    refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__");
    refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "twice");
    refused("{\"__metadata__\":{\"a\":1}}", 0, "expected text, found a number");
    refused("{\"__metadata__\":{\"a\":null}}", 0, "expected text, found null");
    refused("{\"__metadata__\":{\"a\":{}}}", 0, "expected text, found an object");
    refused("{\"__metadata__\":[]}", 0, "expected an object, found an array");
    refused("{\"__metadata__\":{\"a\":\"\\u0000\"}}", 0, "holds a zero byte");
    refused("{\"a\":7}", 0, "expected an object, found a number");
    refused("{\"a\":{\"shape\":[],\"data_offsets\":[0,1]}}", 1, "tensor 'a' has no dtype");
    refused("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "tensor 'a' has no shape");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 1, "tensor 'a' has no data_offsets");
    refused("{\"a\":{\"dtype\":\"U9\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
            "dtype 'U9' of tensor 'a' is unknown");
    refused("{\"a\":{\"dtype\":\"F8_E5M2FNUZZZZZZZZZZZ\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
            "is unknown");
    refused("{\"a\":{\"dtype\":8,\"shape\":[],\"data_offsets\":[0,1]}}", 1, "expected text");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1,
            "expected an array");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1,
            "-1 where a whole number from 0 on was wanted");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1,
            "1.0 where a whole number");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1e0],\"data_offsets\":[0,1]}}", 1,
            "1e0 where a whole number");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
            "more than 8 dimensions");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0]}}", 1,
            "expected a number, found the end of an array");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1,1]}}", 1,
            "expected the end of an array, found a number");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":{}}}", 1, "expected an array");
    refused("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
            "dtype");
    refused("{\"\\u0000\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
            "holds a zero byte");
    refused("{\"\xFF\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "UTF-8");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[[]],\"data_offsets\":[0,1]}}", 1,
            "expected a number, found an array");
    char name[600] = "{\"";
    memset(name + 2, 'n', 300);
    strcpy(name + 302, "\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}");
    refused(name, 1, "300 bytes, at most 255");
}

/* A header that is all '[': the parser neither recurses nor takes long. */
static void deep_header(void **state)
{
    (void)state;
    size_t n = 4 << 20, length;
    char *json = mem_alloc(n + 1);
    assert_non_null(json);
    memset(json, '[', n);
    json[n] = '\0';
    memcpy(json, "{\"a\":", 5);
    char *bytes = make(json, 0, &length);
    mem_reset_peak();
    int64_t before = mem_stats().live_bytes;
    assert_int_equal(parse_all(bytes, length), ERR_FORMAT);
    memcpy(bytes + 8, "{\"a\":{\"b\":", 10);
    assert_int_equal(parse_all(bytes, length), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "64 levels"));
    assert_true(mem_stats().peak_bytes - before < 1 << 20);
    mem_free(bytes);
    mem_free(json);
}

/* 'count' entries of one byte each, in the data's order or against it. */
static char *many(int64_t count, bool backwards, size_t *length)
{
    size_t room = (size_t)count * 80 + 16, n = 0;
    char *json = mem_alloc(room);
    assert_non_null(json);
    json[n++] = '{';
    for (int64_t i = 0; i < count; i++) {
        int64_t at = backwards ? count - 1 - i : i;
        n += (size_t)snprintf(json + n, room - n,
                              "%s\"t%lld\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[%lld,"
                              "%lld]}",
                              i ? "," : "", (long long)i, (long long)at, (long long)at + 1);
    }
    json[n++] = '}';
    json[n] = '\0';
    char *bytes = make(json, (size_t)count, length);
    mem_free(json);
    return bytes;
}

/* The most entries there may be, in either order: processor time that only a quadratic search would
 * pass, and memory. */
static void many_entries(void **state)
{
    (void)state;
    size_t length;
    for (int backwards = 0; backwards <= 1; backwards++) {
        char *bytes = many(200000, backwards, &length);
        mem_reset_peak();
        int64_t before = mem_stats().live_bytes;
        clock_t start = clock();
        assert_int_equal(parse_all(bytes, length), OK);
        assert_true(clock() - start < 20 * CLOCKS_PER_SEC);
        int64_t used = mem_stats().peak_bytes - before;
        if (used > 64 << 20)
            fail_msg("%lld bytes at the peak", (long long)used);
        mem_free(bytes);
    }
    char *bytes = many(200001, false, &length);
    assert_int_equal(parse_all(bytes, length), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "more than 200000 tensors"));
    mem_free(bytes);
}

/* --- writing --------------------------------------------------------------------------------- */

struct copy {
    struct safetensors *s;
    struct safetensors_entry entries[16];
};

/* The entries of an open file, in an order that is not the file's. */
static void take_entries(struct copy *c)
{
    int64_t n = safetensors_count(c->s);
    for (int64_t i = 0; i < n; i++) {
        const struct safetensors_tensor *t = safetensors_tensor(c->s, i * 3 % n);
        struct safetensors_entry *e = &c->entries[i];
        *e = (struct safetensors_entry){.name = t->name, .dtype = t->dtype, .ndim = t->ndim};
        memcpy(e->shape, t->shape, sizeof e->shape);
    }
}

static int read_entry(void *ctx, const struct safetensors_entry *e, void *bytes)
{
    struct copy *c = ctx;
    return safetensors_read(c->s, safetensors_find(c->s, e->name), bytes);
}

static const char *const pt[] = {"format", "pt", NULL};

static void same_bytes_as_reference(void **state)
{
    (void)state;
    struct copy c;
    char path[512], *want, *got;
    size_t n, m;
    snprintf(path, sizeof path, "%s", temp_path("again.safetensors"));
    assert_int_equal(safetensors_open(GOLDEN, &c.s), OK);
    take_entries(&c);
    assert_int_equal(safetensors_save(path, c.entries, 10, pt, read_entry, &c), OK);
    safetensors_close(c.s);
    assert_int_equal(file_read(GOLDEN, 0, &want, &n), OK);
    assert_int_equal(file_read(path, 0, &got, &m), OK);
    assert_int_equal(m, n);
    assert_memory_equal(got, want, n);
    /* over itself, while it is read */
    assert_int_equal(safetensors_open(path, &c.s), OK);
    take_entries(&c);
    assert_int_equal(safetensors_save(path, c.entries, 10, pt, read_entry, &c), OK);
    safetensors_close(c.s);
    mem_free(got);
    assert_int_equal(file_read(path, 0, &got, &m), OK);
    assert_int_equal(m, n);
    assert_memory_equal(got, want, n);
    mem_free(got);
    mem_free(want);
}

static int no_bytes(void *ctx, const struct safetensors_entry *e, void *bytes)
{
    (void)e;
    (void)bytes;
    return ctx ? (fail)(ERR_NUMERIC, "not finite") : OK; /* cmocka has a macro of that name */
}

static void empty_file(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    assert_int_equal(safetensors_save(temp_path("e.safetensors"), NULL, 0, NULL, no_bytes, NULL),
                     OK);
    assert_int_equal(file_read(temp_path("e.safetensors"), 0, &bytes, &n), OK);
    assert_int_equal(n, 16);
    assert_memory_equal(bytes, "\x08\0\0\0\0\0\0\0{}      ", 16);
    mem_free(bytes);
}

static void save_refused(struct safetensors_entry *e, int64_t n, const char *const *meta,
                         const char *message)
{
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path("no.safetensors"));
    int status = safetensors_save(path, e, n, meta, no_bytes, NULL);
    if (status != ERR_ARG || !strstr(status_message(), message))
        fail_msg("status %d, message '%s', wanted '%s'", status, status_message(), message);
    assert_false(file_exists(path));
}

static void refusals_of_writing(void **state)
{
    (void)state;
    struct safetensors_entry e[2] = {{.name = "a", .dtype = "U8", .ndim = 1, .shape = {1}}};
    const struct safetensors_entry good = e[0];
    e[0].dtype = "Q4";
    save_refused(e, 1, NULL, "there is no dtype 'Q4'");
    e[0] = good;
    e[0].ndim = 9;
    save_refused(e, 1, NULL, "9 dimensions, wanted 0 to 8");
    e[0] = good;
    e[0].shape[0] = -1;
    save_refused(e, 1, NULL, "dimension 1 is -1");
    e[0] = (struct safetensors_entry){"a", "U8", 2, {INT64_MAX, 3}, NULL};
    save_refused(e, 1, NULL, "more elements than fit");
    e[0] = (struct safetensors_entry){"a", "F32", 1, {INT64_MAX}, NULL};
    save_refused(e, 1, NULL, "no whole number of bytes");
    e[0] = (struct safetensors_entry){"a", "F4", 1, {3}, NULL};
    save_refused(e, 1, NULL, "no whole number of bytes");
    e[0] = good;
    e[0].name = "__metadata__";
    save_refused(e, 1, NULL, "cannot be called");
    e[0].name = "\xFF";
    save_refused(e, 1, NULL, "not UTF-8");
    e[0] = e[1] = good;
    e[1].dtype = "F32"; /* another place in the order */
    save_refused(e, 2, NULL, "two tensors are called 'a'");
    e[0] = good;
    save_refused(e, 1, (const char *const[]){"k", "1", "k", "2", NULL}, "given twice");
    save_refused(e, 1, (const char *const[]){"k", "\xC3", NULL}, "not UTF-8");
}

/* A failure of the caller leaves the old file. */
static void failing_source(void **state)
{
    (void)state;
    struct safetensors_entry e = {.name = "a", .dtype = "U8"};
    char path[512], *bytes;
    size_t n;
    temp_write("kept.safetensors", "old", 3);
    snprintf(path, sizeof path, "%s", temp_path("kept.safetensors"));
    assert_int_equal(safetensors_save(path, &e, 1, NULL, no_bytes, &e), ERR_NUMERIC);
    assert_int_equal(file_read(path, 0, &bytes, &n), OK);
    assert_memory_equal(bytes, "old", n);
    mem_free(bytes);
}

/* --- damage ---------------------------------------------------------------------------------- */

static void broken_input(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    assert_int_equal(file_read(GOLDEN, 0, &bytes, &n), OK);
    bad_input_sweep(bytes, n, 4096, 1 << 20, parse_all);
    bad_number_sweep(bytes, n, 64, 1 << 20, parse_all);
    mem_free(bytes);
}

/* Opens the golden file and writes it elsewhere. */
static int copy_golden(void *ctx)
{
    struct copy c;
    TRY(safetensors_open(GOLDEN, &c.s));
    take_entries(&c);
    int status = safetensors_save(ctx, c.entries, 10, pt, read_entry, &c);
    safetensors_close(c.s);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path("mem.safetensors"));
    memory_sweep(copy_golden, path);
    assert_int_equal(file_open_count(), 0);
}

static void failing_calls(void **state)
{
    (void)state;
    char path[512];
    int64_t n = 1;
    snprintf(path, sizeof path, "%s", temp_path("io.safetensors"));
    for (;; n++) {
        file_fail_at(n, 5);
        int status = copy_golden(path);
        int64_t seen = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        if (!status && seen < n)
            break;
        assert_true(status == OK || status == ERR_IO); /* a failing close of a reader is no error */
        if (file_exists(path))                         /* what is there is whole */
            assert_int_equal(copy_golden(path), OK);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(accepts),
        cmocka_unit_test(refusals_of_sizes),
        cmocka_unit_test(refusals_of_places),
        cmocka_unit_test(refusals_of_entries),
        cmocka_unit_test(deep_header),
        cmocka_unit_test(many_entries),
        cmocka_unit_test(same_bytes_as_reference),
        cmocka_unit_test(empty_file),
        cmocka_unit_test(refusals_of_writing),
        cmocka_unit_test(failing_source),
        cmocka_unit_test(broken_input),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(failing_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
