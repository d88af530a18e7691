/* malformed.c -- weight files made by hand to be wrong: each one is refused with its own message,
 * within 64 MiB and a second of processor time. What real loaders fell over is among them.
 *
 * A file is written as words: "4:3" is a u32, "8:3" a u64, "1:3" a byte, "s:abc" a text with its
 * length, "r:abc" bare text, "n:300" a text of 300 letters, "z:16" sixteen zero bytes. */
#include "engine/core/file.h"
#include "engine/formats/gguf.h"
#include "engine/formats/gguf_write.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/shard_index.h"
#include "engine/model/config_json.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"
#include "kernels/base/rng.h"
#include "kernels/base/size.h"
#include "tests/engine/engine_util.h"
#include "tests/engine/shared_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODEL "tests/golden/llama_tied_gqa.gguf"
#define MEMORY ((int64_t)64 << 20)
#define SECONDS 1

/* --- files out of words ----------------------------------------------------------------------- */

static void put(struct buffer *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buffer_add(b, &(char){(char)(v >> 8 * i)}, 1);
}

static void put_word(struct buffer *b, const char *word, size_t n)
{
    uint64_t v = strtoull(word + 2, NULL, 0);
    if (word[0] == 's') {
        put(b, n - 2, 8);
        buffer_add(b, word + 2, n - 2);
    } else if (word[0] == 'r') {
        buffer_add(b, word + 2, n - 2);
    } else if (word[0] == 'n') {
        put(b, v, 8);
        buffer_repeat(b, "n", (int64_t)v);
    } else if (word[0] == 'z') {
        while (v--)
            put(b, 0, 1);
    } else {
        put(b, v, word[0] - '0');
    }
}

static struct buffer file_of(const char *words)
{
    struct buffer b = {0};
    while (*words) {
        size_t n = strcspn(words, " ");
        put_word(&b, words, n);
        words += n + (words[n] == ' ');
    }
    assert_int_equal(buffer_close(&b), OK);
    return b;
}

typedef int (*parse_fn)(const char *bytes, size_t length);

static int parse_gguf(const char *bytes, size_t length)
{
    struct gguf *g;
    TRY(gguf_parse(bytes, length, length, &g, NULL));
    gguf_close(g);
    return OK;
}

static int parse_safetensors(const char *bytes, size_t length)
{
    struct safetensors *s;
    TRY(safetensors_parse(bytes, length, length, &s));
    safetensors_close(s);
    return OK;
}

static int parse_index(const char *bytes, size_t length)
{
    struct shard_index *s;
    TRY(shard_index_parse(bytes, length, &s));
    shard_index_free(s);
    return OK;
}

static int parse_config(const char *bytes, size_t length)
{
    struct model_config c;
    return config_from_json(bytes, length, &c);
}

/* Runs a parser within the limits; nothing may be left behind. */
static int within_limits(parse_fn parse, const char *bytes, size_t length)
{
    struct mem_stats before = mem_stats();
    mem_set_limit(before.live_bytes + MEMORY);
    clock_t start = clock();
    int status = parse(bytes, length);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    mem_set_limit(0);
    if (!(seconds <= SECONDS))
        fail_msg("%g seconds", seconds);
    assert_int_equal(mem_stats().live_blocks, before.live_blocks);
    return status;
}

struct wrong {
    const char *words, *message;
};

static void refuse_all(parse_fn parse, const char *lead, const struct wrong *cases, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        char words[1024];
        snprintf(words, sizeof words, "%s%s", lead, cases[i].words);
        struct buffer b = file_of(words);
        int status = within_limits(parse, b.bytes, (size_t)b.length);
        if (status != ERR_FORMAT || !strstr(status_message(), cases[i].message))
            fail_msg("%s: status %d, message '%s', wanted '%s'", words, status, status_message(),
                     cases[i].message);
        buffer_free(&b);
    }
}

/* --- GGUF ------------------------------------------------------------------------------------- */

/* After "GGUF". */
static const struct wrong headers[] = {
    {"", "the version"},
    {"4:0", "big-endian"},
    {"4:1 8:0 8:0", "GGUF version 1"},
    {"4:4 8:0 8:0", "GGUF version 4"},
    {"4:0x03000000 8:0 8:0", "big-endian"},
    {"4:3", "the number of tensors"},
    {"4:3 8:0", "the number of keys"},
    {"4:3 8:200001 8:0 z:64", "at most 200000"},
    {"4:3 8:0 8:65537 z:64", "65536 are read"},
    {"4:3 8:0xFFFFFFFFFFFFFFFF 8:0 z:64", "18446744073709551615 tensors"},
    {"4:3 8:0 8:0xFFFFFFFFFFFFFFFF z:64", "18446744073709551615"},
    {"4:3 8:0x8000000000000000 8:0 z:64", "tensors"},
    {"4:3 8:200000 8:0 z:64", "a header of that many keys and tensors"},
    {"4:3 8:0 8:65536 z:64", "a header of that many keys and tensors"},
};

/* After a header of one key. */
static const struct wrong keys[] = {
    {"z:14", "a key has 0 bytes"},
    {"n:256 4:4 4:0", "a key has 256 bytes"},
    {"8:0x40000000 r:key 4:4 4:0 4:0", "a key wants 1073741824 bytes"},
    {"8:0xFFFFFFFFFFFFFFFF r:key 4:4 4:0", "a key wants 18446744073709551615 bytes"},
    {"8:3 r:k 1:0 r:y 4:4 4:0 z:16", "a zero byte"},
    {"s:k 4:13 8:0 z:4", "key 'k': unknown type 13"},
    {"s:k 4:0xFFFFFFFF 8:0", "key 'k': unknown type 4294967295"},
    {"s:k 4:7 1:2", "2 where true (1) or false (0)"},
    {"s:k 4:7 1:255", "255 where true (1) or false (0)"},
    {"s:key 4:10 4:0", "key 'key' wants 8 bytes"},
    {"s:key 4:12 4:0", "key 'key' wants 8 bytes"},
    {"s:k 4:8 8:0x40000000", "key 'k' wants 1073741824 bytes"},
    {"s:k 4:8 8:0xFFFFFFFFFFFFFFFF", "key 'k' wants 18446744073709551615 bytes"},
    {"s:k 4:8 8:9 r:12345678", "key 'k' wants 9 bytes"},
    {"s:k 4:9 4:0 8:0x40000000", "the array 'k' wants 1073741824 bytes"},
    {"s:k 4:9 4:10 8:0x2000000000000001 z:8", "the array 'k' wants"},
    {"s:k 4:9 4:4 8:0x4000000000000001 z:8", "the array 'k' wants"},
    {"s:k 4:9 4:4 8:3 z:8", "key 'k' wants 12 bytes"},
    {"s:k 4:9 4:8 8:0x2000000000000000 z:8", "the array 'k' wants"},
    {"s:k 4:9 4:8 8:0xFFFFFFFFFFFFFFFF z:8", "the array 'k' wants"},
    {"s:k 4:9 4:8 8:2 8:0 8:1", "key 'k' wants 1 bytes"},
    {"s:k 4:9 4:8 8:1 8:0xFFFFFFFFFFFFFFF8 z:8", "key 'k' wants"},
    {"s:k 4:9 4:9 8:1 4:0 8:0", "an array of type 9"},
    {"s:k 4:9 4:13 8:1 z:8", "an array of type 13"},
    {"s:k 4:9 4:7 8:3 1:0 1:1 1:2", "2 where true (1) or false (0)"},
    {"s:k 4:9 4:4", "the length of an array"},
    {"s:abc 4:9", "the element type of an array"},
};

/* After a header of one tensor. */
static const struct wrong tensors[] = {
    {"z:25", "the name of a tensor has 0 bytes"},
    {"n:300 4:1 8:4 4:0 8:0", "the name of a tensor has 300 bytes"},
    {"8:0x100000000 r:t 4:1 8:4 4:0 8:0", "the name of a tensor wants 4294967296 bytes"},
    {"s:t 4:5 8:1 8:1 8:1 8:1 8:1 4:0 8:0 z:64", "5 dimensions, at most 4"},
    {"s:t 4:0xFFFFFFFF 8:1 4:0 8:0 z:64", "4294967295 dimensions, at most 4"},
    {"s:t 4:1 8:0 4:0 8:0 z:64", "dimension 1 is 0"},
    {"s:t 4:2 8:0 8:0xFFFFFFFFFFFF 4:0 8:0 z:64", "dimension 2 is 0"},
    {"s:t 4:3 8:0x4000000000000000 8:4 8:0 4:0 8:0 z:64", "dimension 1 is 0"},
    {"s:t 4:1 8:0x8000000000000000 4:0 8:0 z:64", "a dimension of 9223372036854775808"},
    {"s:t 4:2 8:0x100000000 8:0x100000000 4:0 8:0 z:64", "multiply to more than 2^63"},
    {"s:t 4:4 8:65536 8:65536 8:65536 8:65536 4:0 8:0 z:64", "multiply to more than 2^63"},
    {"s:t 4:1 8:0x4000000000000001 4:0 8:0 z:64", "more bytes than fit in memory"},
    {"s:t 4:1 8:0x2000000000000001 4:28 8:0 z:64", "more bytes than fit in memory"},
    {"s:t 4:1 8:4 4:4 8:0 z:64", "(type 4)"},
    {"s:t 4:1 8:4 4:9 8:0 z:64", "Q8_1 (type 9)"},
    {"s:t 4:1 8:256 4:15 8:0 z:999", "Q8_K (type 15)"},
    {"s:t 4:1 8:4 4:31 8:0 z:64", "(type 31)"},
    {"s:t 4:1 8:32 4:39 8:0 z:64", "MXFP4 (type 39)"},
    {"s:t 4:1 8:4 4:0x7FFFFFFF 8:0 z:64", "(type 2147483647)"},
    {"s:t 4:1 8:4 4:0xFFFFFFFF 8:0 z:64", "(type -1)"},
    {"s:t 4:1 8:31 4:2 8:0 z:64", "rows of 31 are no multiple of the 32"},
    {"s:t 4:2 8:16 8:2 4:8 8:0 z:64", "rows of 16 are no multiple of the 32"},
    {"s:t 4:1 8:128 4:12 8:0 z:200", "rows of 128 are no multiple of the 256"},
    {"s:t 4:0 4:14 8:0 z:200", "rows of 1 are no multiple of the 256"},
    {"s:t 4:1 8:4 4:0 8:0xFFFFFFFFFFFFFFE0 z:64", "is no place in a file"},
    {"s:t 4:1 8:4 4:0 8:0x7FFFFFFFFFFFFFE0 z:64", "pass the end of the file"},
    {"s:t 4:1 8:4 4:0 8:32 z:20", "pass the end of the file"},
    {"s:t 4:1 8:4 4:0 8:1 z:64", "offset 1 is no multiple of 32"},
    {"s:t 4:1 8:4 4:0 8:0", "the file ends before its weights"},
    {"s:t 4:1 8:4 4:0 8:0 z:8", "pass the end of the file"},
    {"s:t 4:1 8:4 4:0 4:0", "the offset of a tensor"},
    {"s:t 4:2 8:4 8:4 4:0", "the offset of a tensor"},
};

/* After a header of one key and one tensor: the alignment lies. */
static const struct wrong alignments[] = {
    {"s:general.alignment 4:4 4:0 s:t 4:1 8:4 4:0 8:0 z:64", "general.alignment is 0"},
    {"s:general.alignment 4:4 4:3 s:t 4:1 8:4 4:0 8:0 z:64", "general.alignment is 3"},
    {"s:general.alignment 4:4 4:0x80000000 s:t 4:1 8:4 4:0 8:0 z:64", "is 2147483648"},
    {"s:general.alignment 4:4 4:131072 s:t 4:1 8:4 4:0 8:0 z:64", "up to 65536"},
    {"s:general.alignment 4:5 4:32 s:t 4:1 8:4 4:0 8:0 z:64", "of type i32, wanted u32"},
    {"s:general.alignment 4:10 8:32 s:t 4:1 8:4 4:0 8:0 z:64", "of type u64, wanted u32"},
    {"s:general.alignment 4:8 s:32 s:t 4:1 8:4 4:0 8:0 z:64", "of type text, wanted u32"},
    {"s:general.alignment 4:9 4:4 8:1 4:32 s:t 4:1 8:4 4:0 8:0 z:64", "of type array, wanted u32"},
    {"s:general.alignment 4:4 4:65536 s:t 4:1 8:4 4:0 8:0 z:64", "the file ends before"},
    {"s:general.alignment 4:4 4:64 s:t 4:1 8:4 4:0 8:32 z:99", "offset 32 is no multiple of 64"},
};

static void gguf_by_hand(void **state)
{
    (void)state;
    refuse_all(parse_gguf, "r:GGUF ", headers, COUNT_OF(headers));
    refuse_all(parse_gguf, "r:GGUF 4:3 8:0 8:1 ", keys, COUNT_OF(keys));
    refuse_all(parse_gguf, "r:GGUF 4:3 8:1 8:0 ", tensors, COUNT_OF(tensors));
    refuse_all(parse_gguf, "r:GGUF 4:3 8:1 8:1 ", alignments, COUNT_OF(alignments));
    refuse_all(parse_gguf, "r:GGUF 4:2 8:0 8:1 ", keys, COUNT_OF(keys));
    struct buffer b = file_of("r:GGUF 4:3 8:1 8:0 s:t 4:1 8:4 4:0 8:0 z:48"); /* none of it wrong */
    assert_int_equal(parse_gguf(b.bytes, (size_t)b.length), OK);
    buffer_free(&b);
}

/* As many keys or tensors as there may be, all with short names: a nested search for duplicates
 * would take hours. */
static void gguf_limits(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct buffer b = {0};
        int64_t n = kind ? 200000 : 65536;
        buffer_text(&b, "GGUF");
        put(&b, 3, 4);
        put(&b, kind ? (uint64_t)n : 0, 8);
        put(&b, kind ? 0 : (uint64_t)n, 8);
        for (int64_t i = 0; i < n; i++) {
            char name[16];
            int length = snprintf(name, sizeof name, "%llx", (long long)i);
            put(&b, (uint64_t)length, 8);
            buffer_add(&b, name, (size_t)length);
            put(&b, kind ? 1 : GGUF_BOOL, 4); /* dimensions, or type */
            if (kind) {
                put(&b, 1, 8);
                put(&b, 0, 4);
                put(&b, (uint64_t)i * 32, 8);
            } else {
                put(&b, 1, 1);
            }
        }
        buffer_repeat(&b, "................................", kind ? n + 1 : 0);
        assert_int_equal(buffer_close(&b), OK);
        assert_int_equal(within_limits(parse_gguf, b.bytes, (size_t)b.length), OK);
        buffer_free(&b);
    }
}

/* --- settings --------------------------------------------------------------------------------- */

struct rewrite {
    struct gguf *g;
    struct gguf_write_entry entries[64];
};

static int read_entry(void *ctx, const struct gguf_write_entry *e, void *bytes)
{
    struct rewrite *r = ctx;
    return gguf_read_tensor(r->g, gguf_find_tensor(r->g, e->name), bytes);
}

/* The model with one key set to another value; 'number' for f32 keys. */
static void write_with(struct rewrite *r, const char *path, int64_t which, uint32_t value,
                       float number)
{
    struct gguf_write w = {0};
    int64_t n = gguf_tensor_count(r->g);
    for (int64_t i = 0; i < gguf_value_count(r->g); i++) {
        const struct gguf_value *v = gguf_value(r->g, i);
        if (i == which && v->type == GGUF_U32)
            gguf_write_u32(&w, v->key, value);
        else if (i == which && v->type == GGUF_F32)
            gguf_write_f32(&w, v->key, number);
        else
            gguf_write_copy(&w, v);
    }
    for (int64_t i = 0; i < n; i++) {
        const struct gguf_tensor *t = gguf_tensor(r->g, i);
        struct gguf_write_entry e = {.name = t->name, .type = t->type, .ndim = t->ndim};
        memcpy(e.shape, t->shape, sizeof e.shape);
        r->entries[i] = e;
    }
    CHECK(gguf_write_save(&w, path, r->entries, n, read_entry, r));
    gguf_write_free(&w);
}

/* Every number of the settings at every extreme: a model or a message, never more memory. */
static void hostile_settings(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 1, 3, 7, 513, 4097, 65536, INT32_MAX, UINT32_MAX};
    static const uint32_t numbers[] = {0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 1};
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct rewrite r;
    char path[512];
    int refused = 0, tried = 0;
    snprintf(path, sizeof path, "%s", temp_path("hostile.gguf"));
    CHECK(gguf_open(MODEL, &r.g));
    assert_true(gguf_tensor_count(r.g) <= COUNT_OF(r.entries));
    for (int64_t i = 0; i < gguf_value_count(r.g); i++) {
        enum gguf_type type = gguf_value(r.g, i)->type;
        for (int k = 0; k < COUNT_OF(values) && (type == GGUF_U32 || type == GGUF_F32); k++) {
            float number;
            struct model *m;
            memcpy(&number, &numbers[k % COUNT_OF(numbers)], 4);
            write_with(&r, path, i, values[k], number);
            mem_set_limit(mem_stats().live_bytes + MEMORY);
            int status = model_load(ctx, path, NULL, &m);
            mem_set_limit(0);
            if (!status)
                model_release(m);
            else if (status != ERR_FORMAT)
                fail_msg("%s = %u: status %d, %s", gguf_value(r.g, i)->key, values[k], status,
                         status_message());
            refused += status != OK;
            tried++;
        }
    }
    assert_true(tried > 60 && refused > tried / 2);
    gguf_close(r.g);
    util_context_free(ctx);
}

/* One part of a model that is cut into several files. */
static void split_model(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct gguf_write w = {0};
    struct rewrite r;
    struct model *m;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path("part.gguf"));
    CHECK(gguf_open(MODEL, &r.g));
    for (int64_t i = 0; i < gguf_value_count(r.g); i++)
        gguf_write_copy(&w, gguf_value(r.g, i));
    gguf_write_u32(&w, "split.count", 3);
    CHECK(gguf_write_save(&w, path, NULL, 0, read_entry, &r));
    gguf_write_free(&w);
    assert_int_equal(model_load(ctx, path, NULL, &m), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "one of 3 parts of a model; hint: join them"));
    gguf_close(r.g);
    util_context_free(ctx);
}

/* --- files that are something else ------------------------------------------------------------- */

static void other_formats(void **state)
{
    (void)state;
    static const char *const starts[] = {
        "",
        "<!DOCTYPE html>",
        "<html><body>",
        "PK\3\4\x14",
        "\x7f"
        "ELF\2\1\1",
        "\x89PNG\r\n\x1a\n",
        "%PDF-1.7\n",
        "{\"a\": 1}",
        "[1, 2]",
        "ustar",
        "\x1f\x8b\x08",
        "SQLite format 3",
        "\xff\xd8\xff\xe0",
        "RIFF....WAVE",
        "ggml",
        "ggjt\3",
        "GGML",
        "FUGG",
        "GGUF",
        "gguf\3",

        "version https://git-lfs.github.com/spec/v1\n",
        "PAR1",
        "ARROW1",
        "#!/bin/sh\n",
        "BZh91AY",
        "\xfd"
        "7zXZ",
        "Rar!\x1a\7",
        "\x80\2}q",
        "\xef\xbb\xbf{}",
        "\x93NUMPY\1",
        "\x28\xb5\x2f\xfd",
        "MZ\x90",
        "\xca\xfe\xba\xbe",
        "id,text\n1,a\n",
        "---\na: b\n",
    };
    const struct rng_key key = rng_key(5, RNG_USER);
    for (int i = 0; i < 1000; i++) {
        char bytes[700];
        size_t lead = strlen(starts[i % COUNT_OF(starts)]);
        size_t length = lead + rng_u64(key, (uint64_t)i) % 600;
        memcpy(bytes, starts[i % COUNT_OF(starts)], lead);
        int kind = i / (int)COUNT_OF(starts) % 3; /* of what follows: noise, zeros, words */
        for (size_t k = lead; k < length; k++)
            bytes[k] = kind == 2   ? " text"[k % 5]
                       : kind == 1 ? 0
                                   : (char)rng_u64(key, (uint64_t)i * 1000 + k);
        assert_int_equal(within_limits(parse_gguf, bytes, length), ERR_FORMAT);
        assert_int_equal(within_limits(parse_safetensors, bytes, length), ERR_FORMAT);
        assert_int_equal(within_limits(parse_index, bytes, length), ERR_FORMAT);
        assert_int_equal(within_limits(parse_config, bytes, length), ERR_FORMAT);
    }
}

/* --- public collections ------------------------------------------------------------------------ */

static int parse_model(const char *bytes, size_t length)
{
    struct gguf *g;
    struct tokenizer *t;
    TRY(gguf_parse(bytes, length, length, &g, NULL));
    int status = tokenizer_from_gguf(g, &t);
    if (!status)
        tokenizer_free(t);
    gguf_close(g);
    return status;
}

static void public_files(const char *name)
{
    const char *folder = shared_path(name);
    struct file_names names;
    if (!folder)
        skip();
    char root[600];
    snprintf(root, sizeof root, "%s", folder);
    assert_int_equal(file_list(root, &names), OK);
    assert_true(names.count > 0);
    for (int64_t i = 0; i < names.count; i++) {
        char path[1400], *bytes;
        size_t length;
        snprintf(path, sizeof path, "%s/%s", root, names.items[i]);
        assert_int_equal(file_read(path, 0, &bytes, &length), OK);
        status_clear();
        int status = within_limits(parse_model, bytes, length);
        if (status && (status != ERR_FORMAT || !status_message()[0]))
            fail_msg("%s: status %d, %s", names.items[i], status, status_message());
        status = within_limits(parse_safetensors, bytes, length);
        assert_true(status == ERR_FORMAT);
        mem_free(bytes);
    }
    file_names_free(&names);
}

static void artifacts(void **state)
{
    (void)state;
    public_files("data/fuzz/artifacts/gguf_parser");
}

static void corpus(void **state)
{
    (void)state;
    public_files("data/fuzz/gguf_parser_corpus");
}

static void fixtures(void **state)
{
    (void)state;
    public_files("data/fuzz/gguf_fixtures");
}

static void mangled_utf8(void **state)
{
    (void)state;
    public_files("data/fuzz/mangled_utf8_gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_by_hand),     cmocka_unit_test(gguf_limits),
        cmocka_unit_test(hostile_settings), cmocka_unit_test(other_formats),
        cmocka_unit_test(split_model),      cmocka_unit_test(artifacts),
        cmocka_unit_test(corpus),           cmocka_unit_test(fixtures),
        cmocka_unit_test(mangled_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
