/* sentencepiece.c -- SentencePiece models against the library's ids (tests/golden/tiny_*.model and
 * tiny_sentencepiece.jsonl, by scripts/golden/tiny_sentencepiece.py), and damaged ones. */
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/formats/gguf_write.h"
#include "engine/text/protobuf.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECK(expr)                           \
    do {                                      \
        if (expr)                             \
            fail_msg("%s", status_message()); \
    } while (0)

static const char *const names[] = {"bpe", "bpe_suffix", "unigram", "unigram_bare"};

static char *read_model(const char *name, size_t *length)
{
    char path[128], *bytes;
    snprintf(path, sizeof path, "tests/golden/tiny_%s.model", name);
    CHECK(file_read(path, 0, &bytes, length));
    return bytes;
}

static struct tokenizer *load(const char *name)
{
    struct tokenizer *t;
    char path[128];
    snprintf(path, sizeof path, "tests/golden/tiny_%s.model", name);
    CHECK(tokenizer_load(path, &t));
    return t;
}

/* Spans lie in the text and do not run backwards. */
static void check_spans(const struct id_list *got, size_t n)
{
    for (int64_t i = 0; i < got->count; i++)
        if (got->spans[i].start > got->spans[i].end || got->spans[i].end > (int64_t)n ||
            (i && got->spans[i].start < got->spans[i - 1].start))
            fail_msg("span %d of '%d' bytes is %d to %d", (int)i, (int)n, (int)got->spans[i].start,
                     (int)got->spans[i].end);
}

static void one_case(struct tokenizer *t, struct json *j, const char *name)
{
    struct id_list got = {0};
    int64_t want, i = 0;
    CHECK(json_open(j, JSON_ARRAY, "a case"));
    CHECK(json_open(j, JSON_STRING, "a text"));
    char *text = mem_text(j->text, j->length);
    size_t n = j->length;
    assert_non_null(text);
    CHECK(tokenizer_encode(t, text, n, TOKENIZER_SPANS, &got));
    check_spans(&got, n);
    CHECK(json_open(j, JSON_ARRAY, "ids"));
    for (; json_more(j); i++) {
        CHECK(json_take_int(j, "ids", &want));
        if (i >= got.count || got.ids[i] != want)
            fail_msg("%s: '%s': id %d is %d, wanted %d", name, text, (int)i,
                     i < got.count ? got.ids[i] : -1, (int)want);
    }
    assert_int_equal(i, got.count);
    CHECK(json_open(j, JSON_ARRAY_END, "ids"));
    CHECK(json_open(j, JSON_ARRAY_END, "a case"));
    id_list_free(&got);
    mem_free(text);
}

static void as_the_library(void **state)
{
    char *text;
    size_t length;
    int line = 0;
    (void)state;
    CHECK(file_read("tests/golden/tiny_sentencepiece.jsonl", 0, &text, &length));
    for (char *p = text, *stop; (stop = strchr(p, '\n')) != NULL; p = stop + 1, line++) {
        struct json j;
        struct tokenizer *t = load(names[line]);
        json_begin(&j, p, (size_t)(stop - p), NULL);
        CHECK(json_open(&j, JSON_OBJECT, NULL));
        CHECK(json_open(&j, JSON_KEY, NULL));
        CHECK(json_open(&j, JSON_STRING, NULL));
        assert_true(json_is(&j, names[line]));
        CHECK(json_open(&j, JSON_KEY, NULL));
        CHECK(json_open(&j, JSON_ARRAY, NULL));
        while (json_more(&j))
            one_case(t, &j, names[line]);
        json_free(&j);
        tokenizer_free(t);
    }
    mem_free(text);
    assert_int_equal(line, 4);
}

static void kinds(void **state)
{
    (void)state;
    struct tokenizer *t = load("bpe");
    assert_string_equal(tokenizer_kind(t), "SentencePiece BPE");
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_BOS), 1);
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_EOS), 2);
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_UNK), 0);
    assert_int_equal(tokenizer_token_type(t, 0), 2);
    assert_int_equal(tokenizer_token_type(t, 1), 3);
    assert_int_equal(tokenizer_token_type(t, tokenizer_find(t, "<sep>", 5)), 4);
    assert_int_equal(tokenizer_token_type(t, tokenizer_find(t, "ou", 2)), 5);
    assert_int_equal(tokenizer_token_type(t, tokenizer_find(t, "<0x41>", 6)), 6);
    assert_true(tokenizer_adds_space(t));
    tokenizer_free(t);
    t = load("unigram_bare");
    assert_string_equal(tokenizer_kind(t), "unigram");
    assert_false(tokenizer_adds_space(t));
    assert_null(tokenizer_gguf_model(t));
    tokenizer_free(t);
}

/* What is decoded is the text, where nothing was normalised away. */
static void comes_back(void **state)
{
    static const char text[] = "the king  caf\xC3\xA9 \xF0\x9F\x98\x80, thou art noble";
    static const char *const which[] = {"bpe", "unigram_bare"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tokenizer *t = load(which[i]);
        struct id_list list = {0};
        struct text_buffer out = {0};
        CHECK(tokenizer_encode(t, text, sizeof text - 1, 0, &list));
        CHECK(tokenizer_decode(t, list.ids, list.count, true, &out));
        assert_string_equal(out.bytes, text);
        id_list_free(&list);
        text_buffer_free(&out);
        tokenizer_free(t);
    }
}

/* --- long texts in a thread with a small stack */

static void *encode_runs(void *ctx)
{
    static const char *const units[] = {"a",  " ",    "the ",  "\xE4\xB8\xAD",
                                        "\n", "\xFF", "<sep>", "."};
    struct tokenizer *t = ctx;
    size_t n = 1 << 20;
    char *text = mem_alloc(n);
    const char *wrong = text ? NULL : "memory";
    for (size_t u = 0; u < sizeof units / sizeof *units && !wrong; u++) {
        struct id_list list = {0};
        size_t size = strlen(units[u]), length = n / size * size;
        for (size_t i = 0; i < length; i++)
            text[i] = units[u][i % size];
        if (tokenizer_encode(t, text, length, TOKENIZER_SPANS, &list))
            wrong = units[u];
        id_list_free(&list);
    }
    mem_free(text);
    return (void *)(uintptr_t)wrong;
}

static void long_runs(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct tokenizer *t = load(names[i]);
        pthread_attr_t attr;
        pthread_t thread;
        void *wrong = NULL;
        assert_int_equal(pthread_attr_init(&attr), 0);
        assert_int_equal(pthread_attr_setstacksize(&attr, 256 << 10), 0);
        assert_int_equal(pthread_create(&thread, &attr, encode_runs, t), 0);
        assert_int_equal(pthread_join(thread, &wrong), 0);
        pthread_attr_destroy(&attr);
        tokenizer_free(t);
        if (wrong)
            fail_msg("%s: a run of '%s'", names[i], (const char *)wrong);
    }
}

/* --- damage */

static int parse(const char *bytes, size_t length)
{
    static const char text[] = "Hello <sep>  the A\xEF\xAC\x81 \xE2\x91\xA0\xFF king";
    struct tokenizer *t;
    struct id_list list = {0};
    struct text_buffer out = {0};
    TRY(tokenizer_from_sentencepiece(bytes, length, NULL, 0, &t));
    int status = tokenizer_encode(t, text, sizeof text - 1, 7, &list);
    if (!status)
        status = tokenizer_decode(t, list.ids, list.count, false, &out);
    for (int64_t i = 0; i < list.count; i++)
        assert_true(list.spans[i].end <= (int64_t)sizeof text - 1);
    id_list_free(&list);
    text_buffer_free(&out);
    tokenizer_free(t);
    return status;
}

static void damaged(void **state)
{
    (void)state;
    for (int i = 1; i < 3; i++) { /* the small ones, of each kind */
        size_t length;
        char *bytes = read_model(names[i], &length);
        assert_int_equal(parse(bytes, length), OK);
        bad_input_sweep(bytes, length, 4096, 64 << 20, parse);
        mem_free(bytes);
    }
}

/* A character map whose trie points anywhere. */
static void damaged_map(void **state)
{
    (void)state;
    size_t length;
    char *bytes = read_model("unigram", &length);
    for (size_t at = length > 1500 ? length - 1500 : 0; at < length; at++) {
        char old = bytes[at];
        static const char values[] = {0, 1, 0x7F, (char)0x80, (char)0xFF};
        for (size_t v = 0; v < sizeof values; v++) {
            bytes[at] = values[v];
            if (parse(bytes, length))
                assert_true(status_message()[0]);
        }
        bytes[at] = old;
    }
    mem_free(bytes);
    assert_int_equal(mem_stats().live_blocks, 0);
}

static void refuse(const char *bytes, size_t length, const char *message)
{
    struct tokenizer *t;
    int status = tokenizer_from_sentencepiece(bytes, length, NULL, 0, &t);
    if (status != ERR_FORMAT || !strstr(status_message(), message))
        fail_msg("status %d, '%s', wanted '%s'", status, status_message(), message);
}

#define REFUSE(bytes, message) refuse(bytes, sizeof(bytes) - 1, message)

static void refusals(void **state)
{
    (void)state;
    REFUSE("", "no pieces");
    REFUSE("\x0A\x05\x0A\x01"
           "a\x18\x07",
           "of type 7");
    REFUSE("\x0A\x03\x0A\x01"
           "a",
           "no piece is the unknown one");
    REFUSE("\x0A\x05\x0A\x01"
           "u\x18\x02\x0A\x05\x0A\x01"
           "v\x18\x02",
           "both the unknown one");
    REFUSE("\x0A\x05\x0A\x01"
           "u\x18\x06",
           "is a byte, wanted <0x00>");
    REFUSE("\x0A\x09\x0A\x05<0x4 ", "a field is longer");
    REFUSE("\x0A\x03\x0A\x01"
           "a\x0A\x03\x0A\x01"
           "a",
           "occurs twice");
    REFUSE("\x0A\x02\x0A\x00", "is empty");
    REFUSE("\x0A\x05\x0A\x01"
           "u\x18\x02\x12\x02\x18\x03",
           "of type 3");
    REFUSE("\x0B", "unknown kind");
    REFUSE("\x0A\x08\x0A\x01"
           "a\x15\x00\x00\xC0\x7F\x0A\x05\x0A\x01"
           "u\x18\x02\x12\x02\x18\x02",
           "not finite");
}

static int work(void *ctx)
{
    char *bytes;
    size_t length;
    TRY(file_read(ctx, 0, &bytes, &length));
    int status = parse(bytes, length);
    mem_free(bytes);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    static char small[] = "tests/golden/tiny_unigram.model";
    static char other[] = "tests/golden/tiny_bpe_suffix.model";
    memory_sweep(work, small);
    memory_sweep(work, other);
}

/* The same pieces as a GGUF vocabulary. */
static char *as_gguf(size_t *length)
{
    struct gguf_write w = {.count = 0};
    struct tokenizer *t = load("bpe_suffix");
    const char *texts[512];
    size_t lengths[512];
    int32_t types[512], n = tokenizer_size(t);
    float *scores;
    char *bytes;
    assert_true(n <= 512);
    CHECK(tokenizer_scores(t, &scores));
    for (int32_t id = 0; id < n; id++) {
        texts[id] = tokenizer_token(t, id, &lengths[id]);
        types[id] = tokenizer_token_type(t, id);
    }
    gguf_write_text(&w, "tokenizer.ggml.model", "llama");
    gguf_write_texts(&w, "tokenizer.ggml.tokens", texts, lengths, n);
    gguf_write_f32s(&w, "tokenizer.ggml.scores", scores, n);
    gguf_write_i32s(&w, "tokenizer.ggml.token_type", types, n);
    gguf_write_u32(&w, "tokenizer.ggml.bos_token_id", 1);
    CHECK(gguf_write_save(&w, temp_path("pieces.gguf"), NULL, 0, NULL, NULL));
    CHECK(file_read(temp_path("pieces.gguf"), 0, &bytes, length));
    gguf_write_free(&w);
    mem_free(scores);
    tokenizer_free(t);
    return bytes;
}

static int parse_gguf(const char *bytes, size_t length)
{
    struct gguf *g;
    struct tokenizer *t;
    struct id_list list = {0};
    TRY(gguf_parse(bytes, length, length, &g, NULL));
    int status = tokenizer_from_gguf(g, &t);
    gguf_close(g);
    if (status)
        return status;
    status = tokenizer_encode(t, "the <s> \xC3\xA9 king\n", 16, 7, &list);
    id_list_free(&list);
    tokenizer_free(t);
    return status;
}

static void damaged_gguf(void **state)
{
    (void)state;
    size_t length;
    char *bytes = as_gguf(&length);
    assert_int_equal(parse_gguf(bytes, length), OK);
    bad_input_sweep(bytes, length, 4096, 64 << 20, parse_gguf);
    bad_number_sweep(bytes, length, 512, 64 << 20, parse_gguf);
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_library), cmocka_unit_test(kinds),
        cmocka_unit_test(comes_back),     cmocka_unit_test(long_runs),
        cmocka_unit_test(damaged),        cmocka_unit_test(damaged_map),
        cmocka_unit_test(refusals),       cmocka_unit_test(no_memory),
        cmocka_unit_test(damaged_gguf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
