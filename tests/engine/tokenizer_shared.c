/* tokenizer_shared.c -- published tokenizers (shared data) against the reference's ids. */
#include "engine/core/file.h"
#include "engine/text/tokenizer.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"
#include "tests/engine/strings_util.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tokenizer *load(const char *path)
{
    struct tokenizer *t;
    if (tokenizer_load(path, &t))
        fail_msg("%s", status_message());
    return t;
}

/* --- 10,000 random strings: hashes of the reference's ids, a hundred strings each */

static uint64_t fnv(uint64_t hash, uint32_t value)
{
    for (int i = 0; i < 4; i++, value >>= 8)
        hash = (hash ^ (value & 0xFF)) * 0x100000001B3u;
    return hash;
}

static uint64_t hash_text(struct tokenizer *t, const char *text, size_t n, int flags, uint64_t hash)
{
    struct id_list list = {0};
    if (tokenizer_encode(t, text, n, flags, &list))
        fail_msg("%s", status_message());
    for (int64_t k = 0; k < list.count; k++)
        hash = fnv(hash, (uint32_t)list.ids[k]);
    id_list_free(&list);
    return fnv(hash, 0xFFFFFFFF);
}

#define HASH_START 0xCBF29CE484222325u

static uint64_t hash_block(struct tokenizer *t, int block, int flags)
{
    uint64_t hash = HASH_START;
    for (int i = 0; i < 100; i++) {
        char text[RANDOM_STRING_BYTES];
        size_t n = random_string((uint64_t)(block * 100 + i), text);
        hash = hash_text(t, text, n, flags, hash);
    }
    return hash;
}

/* Every assigned code point of a plane between letters, blanks and digits. */
static uint64_t hash_plane(struct tokenizer *t, int plane, int flags)
{
    uint64_t hash = HASH_START;
    for (uint32_t cp = (uint32_t)plane << 16; cp < ((uint32_t)plane + 1) << 16; cp++) {
        char c[5] = "", text[64];
        if (!(unicode_flags(cp) & UNICODE_ASSIGNED))
            continue;
        int n = utf8_encode(cp, c);
        int length = 0;
        for (const char *p = "a.b . ..1.\n"; *p; p++) {
            memcpy(text + length, *p == '.' ? c : p, *p == '.' ? (size_t)n : 1);
            length += *p == '.' ? n : 1;
        }
        hash = hash_text(t, text, (size_t)length, flags, hash);
    }
    return hash;
}

static uint64_t hash_special(struct tokenizer *t, int block, int flags)
{
    uint64_t hash = HASH_START;
    char text[SPECIAL_STRING_BYTES];
    (void)block;
    for (int i = 0; special_string(i, text); i++)
        hash = hash_text(t, text, strlen(text), flags, hash);
    return hash;
}

static uint64_t hash_decoded(struct tokenizer *t, int block, int flags)
{
    uint64_t hash = HASH_START;
    struct text_buffer out = {0};
    (void)flags;
    for (int i = 0; i < 100; i++) {
        int32_t ids[12];
        int n = 0, all = random_ids((uint64_t)(block * 100 + i), tokenizer_size(t), ids);
        for (int k = 0; k < all; k++) /* gaps: the reference leaves them out */
            if (tokenizer_token(t, ids[k], NULL))
                ids[n++] = ids[k];
        out.length = 0;
        if (tokenizer_decode(t, ids, n, block % 2 == 1, &out))
            fail_msg("%s", status_message());
        for (int64_t k = 0; k < out.length; k++)
            hash = (hash ^ (unsigned char)out.bytes[k]) * 0x100000001B3u;
        hash = fnv(hash, 0xFFFFFFFF);
    }
    text_buffer_free(&out);
    return hash;
}

static const struct {
    const char *name;
    uint64_t (*hash)(struct tokenizer *t, int block, int flags);
    int blocks;
} hash_kinds[] = {{"", hash_block, 100},
                  {"/scalars", hash_plane, 17},
                  {"/special", hash_special, 1},
                  {"/decode", hash_decoded, 20}};

/* The kind of a line of tokenizer 'name', -1 = of another. */
static int hash_kind(const char *found, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < 4 && strncmp(found, name, n) == 0; i++)
        if (strcmp(found + n, hash_kinds[i].name) == 0)
            return i;
    return -1;
}

/* Lines "name block hash"; scripts/golden/tokenizer_hashes.py says what they are. */
static void compare_hashes(const char *name, struct tokenizer *t)
{
    char *golden, found[64], *line;
    size_t length, n = strlen(name);
    int wrong = 0, count[4] = {0};
    bool pieces = n > 6 && strcmp(name + n - 6, ".model") == 0;
    int flags = pieces ? 0 : TOKENIZER_PARSE_SPECIAL;
    assert_int_equal(file_read("tests/golden/tokenizer_hashes.txt", 0, &golden, &length), OK);
    for (line = golden; *line; line = strchr(line, '\n') + 1) {
        int block = 0;
        uint64_t want = 0;
        assert_int_equal(sscanf(line, "%63s %d %" SCNx64, found, &block, &want), 3);
        int kind = hash_kind(found, name);
        if (kind < 0)
            continue;
        count[kind]++;
        if (hash_kinds[kind].hash(t, block, flags) != want && wrong++ < 4)
            printf("# %s %d differs from the reference\n", found, block);
    }
    mem_free(golden);
    for (int i = 0; i < 4; i++)
        assert_int_equal(count[i], pieces && i == 3 ? 0 : hash_kinds[i].blocks);
    assert_int_equal(wrong, 0);
}

static void check_hashes(const char *name, const char *path)
{
    if (!path)
        skip();
    struct tokenizer *t = load(path);
    compare_hashes(name, t);
    tokenizer_free(t);
}

/* Tokenizers of shared/data by the names the golden file has for them. */
static const struct {
    const char *name, *path;
} shared_tokenizers[] = {
    {"gpt2", "gpt2"},
    {"phi-2", "phi-2/tokenizer.json"},
    {"llama3.1", "llama3.1"},
    {"qwen3", "qwen3"},
    {"llama2", "llama2/tokenizer.json"},
    {"mistral-7b-v0.1", "mistral-7b-v0.1"},
    {"phi-3-mini", "phi-3-mini"},
    {"gemma-3", "gemma-3"},
    {"chatglm", "chatglm"},
    {"falcon", "falcon"},
    {"roberta-base", "roberta-base"},
    {"torchtune", "torchtune/tokenizer.json"},
    {"torchtune-bpe", "torchtune/tiny_bpe_tokenizer.json"},
    {"torchtune-gemma", "torchtune/tokenizer_gemma_cropped.json"},
    {"llama2.model", "llama2/tokenizer.model"},
    {"mistral-v1.model", "mistral-common/tokenizer.model.v1"},
    {"mistral-v3.model", "mistral-common/mistral_instruct_tokenizer_240323.model.v3"},
    {"mistral-v7.model", "mistral-common/mistral_instruct_tokenizer_241114.model.v7"},
    {"torchtune-m.model", "torchtune/m.model"},
    {"t5.model", "torchtune/sentencepiece.model"},
    {"chatglm-6b.model", "chatglm-6b/ice_text.model"},
};
#define SHARED_TOKENIZERS (sizeof shared_tokenizers / sizeof *shared_tokenizers)

static void random_shared(void **state)
{
    char path[256];
    (void)state;
    const char *only = getenv("LORASH_TOKENIZER");
    for (size_t i = 0; i < SHARED_TOKENIZERS; i++) {
        if (only && strcmp(only, shared_tokenizers[i].name) != 0)
            continue;
        snprintf(path, sizeof path, "data/tokenizers/%s", shared_tokenizers[i].path);
        const char *found = shared_path(path);
        if (!found)
            skip();
        struct tokenizer *t = load(found);
        compare_hashes(shared_tokenizers[i].name, t);
        tokenizer_free(t);
    }
}

/* The same pattern in brackets is none we know, so PCRE2 does the cutting. */
static void random_pattern(void **state)
{
    (void)state;
    static const char known[] = "\"(?i:'s|", end[] = "|\\\\s+\"";
    const char *path = shared_path("data/tokenizers/llama3.1/tokenizer.json");
    char *json, *at;
    size_t length;
    struct tokenizer *t;
    if (!path)
        skip();
    assert_int_equal(file_read(path, 0, &json, &length), OK);
    char *other = mem_alloc(length + 5);
    assert_non_null(other);
    at = strstr(json, known);
    assert_non_null(at);
    char *stop = strstr(at, end);
    assert_non_null(stop);
    int n = snprintf(other, length + 5, "%.*s(?:%.*s)%s", (int)(at + 1 - json), json,
                     (int)(stop + 5 - (at + 1)), at + 1, stop + 5);
    assert_int_equal(n, length + 4);
    if (tokenizer_from_json(other, length + 4, NULL, 0, &t))
        fail_msg("%s", status_message());
    compare_hashes("llama3.1", t);
    tokenizer_free(t);
    mem_free(other);
    mem_free(json);
}

static void random_smollm2(void **state)
{
    (void)state;
    check_hashes("smollm2", demo_model_path());
}

/* --- llama.cpp's cases: texts and ids in two files */

static int one_case(struct tokenizer *t, const char *text, size_t length, const char *ids)
{
    struct id_list list = {0};
    int same = 1, used;
    int32_t want;
    assert_int_equal(tokenizer_encode(t, text, length, 0, &list), OK);
    for (int64_t i = 0; i < list.count; i++, ids += used) {
        used = 0;
        same &= sscanf(ids, " %d%n", &want, &used) == 1 && want == list.ids[i];
    }
    same &= strspn(ids, " ") == strcspn(ids, "\n");
    id_list_free(&list);
    return same;
}

static void check_cases(const char *tokenizer, const char *cases)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char *texts, *ids, name[256];
    size_t length, ids_length, n = sizeof separator - 1;
    int count = 0;
    const char *path = shared_path(tokenizer);
    if (!path)
        skip();
    struct tokenizer *t = load(path);
    snprintf(name, sizeof name, "data/gguf_vocab/ggml-vocab-%s.gguf.inp", cases);
    assert_int_equal(file_read(shared_path(name), 0, &texts, &length), OK);
    snprintf(name, sizeof name, "data/gguf_vocab/ggml-vocab-%s.gguf.out", cases);
    assert_int_equal(file_read(shared_path(name), 0, &ids, &ids_length), OK);
    const char *p = texts, *end = texts + length, *line = ids;
    while (p < end && *line) {
        const char *stop = memmem(p, (size_t)(end - p), separator, n);
        size_t size = (size_t)((stop ? stop : end) - p);
        if (!one_case(t, p, size, line))
            fail_msg("case %d '%.*s' differs, wanted%.*s", count + 1, (int)size, p,
                     (int)strcspn(line, "\n"), line);
        count++;
        line += strcspn(line, "\n") + 1;
        p += size + n;
    }
    mem_free(texts);
    mem_free(ids);
    tokenizer_free(t);
    assert_int_equal(count, 46);
}

static void cases_gpt2(void **state)
{
    (void)state;
    check_cases("data/gguf_vocab/ggml-vocab-gpt-2.repaired.gguf", "gpt-2");
    check_cases("data/tokenizers/gpt2", "gpt-2");
}

static void cases_llama(void **state)
{
    (void)state;
    check_cases("data/tokenizers/llama3.1", "llama-bpe");
}

/* SentencePiece: the file itself, and the same vocabulary as tokenizer.json. */
static void cases_pieces(void **state)
{
    (void)state;
    check_cases("data/tokenizers/llama2/tokenizer.model", "llama-spm");
    check_cases("data/tokenizers/llama2/tokenizer.json", "llama-spm");
    check_cases("data/tokenizers/phi-3-mini", "phi-3");
}

static void cases_falcon(void **state)
{
    (void)state;
    check_cases("data/tokenizers/falcon", "falcon");
}

static void cases_qwen(void **state)
{
    (void)state;
    check_cases("data/tokenizers/qwen3", "qwen2");
}

/* --- chats of the mistral-common project: the text as its pieces spell it, and its ids */

/* "▁" becomes a blank again, but for the one that stands in front of every stretch of text. */
static size_t unspell(const struct tokenizer *t, const char *p, size_t length, char *out)
{
    const char *end = p + length;
    size_t n = 0, bytes;
    bool fresh = true; /* behind a control token */
    while (p < end) {
        const char *close = *p == '<' ? strchr(p, '>') : *p == '[' ? strchr(p, ']') : NULL;
        size_t mark = close ? (size_t)(close + 1 - p) : 0;
        int32_t id = mark ? tokenizer_find(t, p, mark) : -1;
        bool control = id >= 0 && tokenizer_is_special(t, id);
        if (control) {
            memcpy(out + n, p, mark);
            n += mark;
            p += mark;
        } else if (id >= 0 && tokenizer_token_type(t, id) == 6) { /* <0x0A> */
            out[n++] = *tokenizer_token_bytes(t, id, &bytes);
            p += mark;
        } else if (end - p >= 3 && memcmp(p, "\xE2\x96\x81", 3) == 0) {
            if (!fresh)
                out[n++] = ' ';
            p += 3;
        } else if (*p == ' ' && fresh) { /* one of the files has blanks as they are */
            p++;
        } else {
            out[n++] = *p++;
        }
        fresh = control;
    }
    return n;
}

static bool one_chat(struct tokenizer *t, const char *sample, int version)
{
    char name[128], *text, *ids;
    size_t length, ids_length;
    struct id_list list = {0};
    snprintf(name, sizeof name, "data/tokenizers/mistral-common/samples/%s/text_v%d.txt", sample,
             version);
    const char *path = shared_path(name);
    if (!path)
        return false;
    assert_int_equal(file_read(path, 0, &text, &length), OK);
    snprintf(name, sizeof name, "data/tokenizers/mistral-common/samples/%s/tokens_v%d.json", sample,
             version);
    assert_int_equal(file_read(shared_path(name), 0, &ids, &ids_length), OK);
    char *plain = mem_alloc(length + 1);
    assert_non_null(plain);
    size_t n = unspell(t, text, length, plain);
    assert_int_equal(tokenizer_encode(t, plain, n, TOKENIZER_PARSE_SPECIAL, &list), OK);
    const char *at = strchr(ids, '[');
    assert_non_null(at);
    int64_t i = 0;
    int32_t want;
    int used;
    for (; sscanf(at + 1, " %d%n", &want, &used) == 1; i++, at = strpbrk(at + 1 + used, ",]"))
        if (i >= list.count || list.ids[i] != want)
            fail_msg("%s v%d: token %d differs", sample, version, (int)i);
    assert_int_equal(i, list.count);
    id_list_free(&list);
    mem_free(plain);
    mem_free(text);
    mem_free(ids);
    return true;
}

static void mistral_chats(void **state)
{
    static const char *const samples[] = {
        "get_weather_full", "get_weather_no_history", "get_weather_no_system_prompt",
        "no_tools",         "parallel_calls",         "several_calls"};
    static const char *const models[] = {"tokenizer.model.v1",
                                         "mistral_instruct_tokenizer_240216.model.v2",
                                         "mistral_instruct_tokenizer_240323.model.v3"};
    int count = 0;
    (void)state;
    for (int version = 1; version <= 3; version++) {
        char name[128];
        snprintf(name, sizeof name, "data/tokenizers/mistral-common/%s", models[version - 1]);
        const char *path = shared_path(name);
        if (!path)
            skip();
        struct tokenizer *t = load(path);
        for (int i = 0; i < 6; i++)
            if (version > 1 || i == 3) /* of the first there is one */
                count += one_chat(t, samples[i], version);
        tokenizer_free(t);
    }
    assert_int_equal(count, 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_shared),  cmocka_unit_test(random_pattern),
        cmocka_unit_test(random_smollm2), cmocka_unit_test(cases_gpt2),
        cmocka_unit_test(cases_llama),    cmocka_unit_test(cases_pieces),
        cmocka_unit_test(cases_falcon),   cmocka_unit_test(cases_qwen),
        cmocka_unit_test(mistral_chats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
