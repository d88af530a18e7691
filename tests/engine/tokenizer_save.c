/* tokenizer_save.c -- saved tokenizers are the same tokenizers: their files, what was changed, and
 * those that came out of GGUF files. */
#include "engine/core/file.h"
#include "engine/formats/gguf_write.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"
#include "tests/engine/strings_util.h"
#include "tests/engine/toy_util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CHECK(expr)                           \
    do {                                      \
        if (expr)                             \
            fail_msg("%s", status_message()); \
    } while (0)

static struct tokenizer *load(const char *path)
{
    struct tokenizer *t;
    CHECK(tokenizer_load(path, &t));
    return t;
}

/* Both give the same ids for random and special texts. */
static void expect_same(struct tokenizer *a, struct tokenizer *b, int strings, int flags)
{
    struct id_list x = {0}, y = {0};
    char text[RANDOM_STRING_BYTES];
    assert_int_equal(tokenizer_size(a), tokenizer_size(b));
    for (int i = 0; i < strings; i++) {
        size_t n = i % 2 ? 0 : random_string((uint64_t)i, text);
        if (i % 2 && !special_string(i / 2, text))
            continue;
        n = i % 2 ? strlen(text) : n;
        x.count = y.count = 0;
        CHECK(tokenizer_encode(a, text, n, flags, &x));
        CHECK(tokenizer_encode(b, text, n, flags, &y));
        if (x.count != y.count || (x.count && memcmp(x.ids, y.ids, (size_t)x.count * 4) != 0))
            fail_msg("'%.*s' gives other ids", (int)n, text);
    }
    id_list_free(&x);
    id_list_free(&y);
    for (int i = 0; i < 4; i++)
        assert_int_equal(tokenizer_special_id(a, (enum tokenizer_special)i),
                         tokenizer_special_id(b, (enum tokenizer_special)i));
    assert_int_equal(tokenizer_adds_bos(a), tokenizer_adds_bos(b));
    assert_int_equal(tokenizer_adds_eos(a), tokenizer_adds_eos(b));
    assert_true(tokenizer_max_length(a) == tokenizer_max_length(b));
    const char *s = tokenizer_chat_template(a), *u = tokenizer_chat_template(b);
    assert_string_equal(s ? s : "none", u ? u : "none");
}

#define BOTH (TOKENIZER_PARSE_SPECIAL | TOKENIZER_ADD_SPECIAL)

static void expect_file(const char *path, const char *want)
{
    char *bytes;
    size_t length;
    CHECK(file_read(path, 0, &bytes, &length));
    assert_string_equal(bytes, want);
    mem_free(bytes);
}

static const char config[] =
    "{\n  \"eos_token\": \"<tt>\",\n \"custom\": [1, {\"x\": 1e400}], \"bos_token\": \"<s>\",\n"
    "  \"model_max_length\": 1000000000000000019884624838656, \"chat_template\": \"T\"}";

static void write_toy(void)
{
    char *json = toy_json();
    temp_write("tokenizer.json", json, strlen(json));
    temp_write("tokenizer_config.json", config, strlen(config));
    temp_write("special_tokens_map.json", "{\"pad_token\": \"<t>\"}", 20);
    mem_free(json);
}

static void as_it_was(void **state)
{
    (void)state;
    char *json = toy_json();
    write_toy();
    struct tokenizer *t = load(temp_folder());
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_PAD), 301);
    CHECK(tokenizer_save(t, temp_path("copy/inner")));
    expect_file(temp_path("copy/inner/tokenizer.json"), json);
    expect_file(temp_path("copy/inner/tokenizer_config.json"), config);
    expect_file(temp_path("copy/inner/special_tokens_map.json"), "{\"pad_token\": \"<t>\"}");
    assert_false(file_exists(temp_path("copy/inner/chat_template.jinja")));
    struct tokenizer *back = load(temp_path("copy/inner"));
    expect_same(t, back, 100, BOTH);
    tokenizer_free(back);
    tokenizer_free(t);
    mem_free(json);
}

static void what_was_changed(void **state)
{
    (void)state;
    int64_t added = 0;
    write_toy();
    struct tokenizer *t = load(temp_folder());
    CHECK(tokenizer_set_special(t, TOKENIZER_PAD, 304));
    CHECK(tokenizer_set_add_bos(t, true));
    CHECK(tokenizer_set_chat_template(t, "new \"one\"\n"));
    tokenizer_set_max_length(t, 77);
    CHECK(tokenizer_add_token(t, "<new>", 5, (struct token_flags){.special = true}, &added));
    CHECK(tokenizer_add_token(t, "hell", 4, (struct token_flags){.rstrip = true}, &added));
    assert_int_equal(added, 1);
    assert_int_equal(tokenizer_size(t), 307);
    CHECK(tokenizer_save(t, temp_path("changed")));
    struct tokenizer *back = load(temp_path("changed"));
    expect_same(t, back, 600, BOTH);
    struct id_list list = {0};
    CHECK(tokenizer_encode(back, "hell  <new>o", 12, BOTH, &list));
    assert_int_equal(list.count, 4);
    assert_int_equal(list.ids[0], 300);
    assert_int_equal(list.ids[1], 258);
    assert_int_equal(list.ids[2], 306);
    char *bytes;
    size_t length;
    CHECK(file_read(temp_path("changed/tokenizer_config.json"), 0, &bytes, &length));
    assert_non_null(strstr(bytes, "\"custom\": [1, {\"x\": 1e400}]"));
    assert_non_null(strstr(bytes, "\"eos_token\": \"<tt>\""));
    mem_free(bytes);
    id_list_free(&list);
    tokenizer_free(back);
    tokenizer_free(t);
}

static void jinja_and_vocabulary(void **state)
{
    (void)state;
    CHECK(file_make_folder(temp_path("v")));
    temp_write("v/vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2}", 26);
    temp_write("v/merges.txt", "a b\n", 4);
    temp_write("v/chat_template.jinja", "J", 1);
    struct tokenizer *t = load(temp_path("v"));
    CHECK(tokenizer_set_chat_template(t, "K"));
    CHECK(tokenizer_save(t, temp_path("w")));
    expect_file(temp_path("w/vocab.json"), "{\"a\": 0, \"b\": 1, \"ab\": 2}");
    expect_file(temp_path("w/merges.txt"), "a b\n");
    expect_file(temp_path("w/chat_template.jinja"), "K");
    tokenizer_free(t);
}

/* --- out of GGUF files */

static struct tokenizer *from_gguf_bytes(const char *bytes, size_t length)
{
    struct gguf *g;
    struct tokenizer *t;
    CHECK(gguf_parse(bytes, length, length, &g, NULL));
    CHECK(tokenizer_from_gguf(g, &t));
    gguf_close(g);
    return t;
}

static void from_gguf(void **state)
{
    (void)state;
    static const char *const pres[] = {"gpt-2", "smollm", "llama-bpe", "qwen2"};
    for (int i = 0; i < 4; i++) {
        size_t length;
        char *bytes = toy_gguf(&length, pres[i]);
        struct tokenizer *t = from_gguf_bytes(bytes, length);
        assert_string_equal(tokenizer_pre_name(t), pres[i]);
        assert_string_equal(tokenizer_gguf_model(t), "gpt2");
        CHECK(tokenizer_save(t, temp_path("g")));
        struct tokenizer *back = load(temp_path("g"));
        assert_string_equal(tokenizer_pre_name(back), pres[i]);
        expect_same(t, back, 600, BOTH);
        tokenizer_free(back);
        tokenizer_free(t);
        mem_free(bytes);
    }
}

/* The keys of a GGUF file for a tokenizer with scores. */
static void write_pieces(const struct tokenizer *t, const char *path)
{
    struct gguf_write w = {.count = 0};
    int32_t n = tokenizer_size(t);
    const char **texts = mem_calloc((size_t)n, sizeof *texts);
    size_t *lengths = mem_calloc((size_t)n, sizeof *lengths);
    int32_t *types = mem_calloc((size_t)n, sizeof *types);
    float *scores;
    assert_true(texts && lengths && types);
    CHECK(tokenizer_scores(t, &scores));
    for (int32_t id = 0; id < n; id++) {
        texts[id] = tokenizer_token(t, id, &lengths[id]);
        types[id] = tokenizer_token_type(t, id);
    }
    gguf_write_text(&w, "tokenizer.ggml.model", tokenizer_gguf_model(t));
    gguf_write_text(&w, "tokenizer.ggml.pre", tokenizer_pre_name(t));
    gguf_write_texts(&w, "tokenizer.ggml.tokens", texts, lengths, n);
    gguf_write_i32s(&w, "tokenizer.ggml.token_type", types, n);
    gguf_write_f32s(&w, "tokenizer.ggml.scores", scores, n);
    gguf_write_u32(&w, "tokenizer.ggml.bos_token_id", 1);
    gguf_write_u32(&w, "tokenizer.ggml.eos_token_id", 2);
    gguf_write_bool(&w, "tokenizer.ggml.add_bos_token", false);
    gguf_write_bool(&w, "tokenizer.ggml.add_space_prefix", tokenizer_adds_space(t));
    CHECK(gguf_write_save(&w, path, NULL, 0, NULL, NULL));
    gguf_write_free(&w);
    mem_free(texts);
    mem_free(lengths);
    mem_free(types);
    mem_free(scores);
}

/* tokenizer.model -> GGUF -> tokenizer.json: the same ids all the way, and for tokenizer.json files
 * of such vocabularies too, whose scores come from their merges. */
static void pieces_through_gguf(void **state)
{
    (void)state;
    static const char *const names[] = {
        "data/tokenizers/llama2/tokenizer.model",
        "data/tokenizers/mistral-common/mistral_instruct_tokenizer_240323.model.v3",
        "data/tokenizers/mistral-7b-v0.1"};
    for (int i = 0; i < 3; i++) {
        const char *path = shared_path(names[i]);
        char gguf[512];
        if (!path)
            skip();
        struct tokenizer *t = load(path);
        CHECK(tokenizer_set_add_bos(t, false));
        snprintf(gguf, sizeof gguf, "%s", temp_path("pieces.gguf"));
        write_pieces(t, gguf);
        struct tokenizer *g = load(gguf);
        assert_string_equal(tokenizer_kind(g), "SentencePiece BPE");
        tokenizer_set_max_length(g, tokenizer_max_length(t));
        CHECK(tokenizer_set_chat_template(g, tokenizer_chat_template(t)));
        CHECK(tokenizer_set_special(g, TOKENIZER_PAD, tokenizer_special_id(t, TOKENIZER_PAD)));
        expect_same(t, g, 2000, 0);
        expect_same(t, g, 2000, TOKENIZER_PARSE_SPECIAL);
        CHECK(tokenizer_save(g, temp_path("pieces")));
        struct tokenizer *back = load(temp_path("pieces"));
        expect_same(g, back, 2000, BOTH);
        tokenizer_free(back);
        tokenizer_free(g);
        tokenizer_free(t);
    }
}

/* --- faults */

static int save_toy(void *ctx)
{
    struct tokenizer *t;
    int64_t added = 0;
    TRY(tokenizer_load(ctx, &t));
    int status = tokenizer_set_add_bos(t, true);
    if (!status)
        status = tokenizer_add_token(t, "<new>", 5, (struct token_flags){.special = false}, &added);
    if (!status)
        status = tokenizer_save(t, temp_path("out"));
    tokenizer_free(t);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    char path[512];
    write_toy();
    snprintf(path, sizeof path, "%s", temp_folder());
    memory_sweep(save_toy, path);
    size_t length;
    char *bytes = toy_gguf(&length, "smollm");
    temp_write("toy.gguf", bytes, length);
    mem_free(bytes);
    snprintf(path, sizeof path, "%s", temp_path("toy.gguf"));
    memory_sweep(save_toy, path);
}

static void full_disk(void **state)
{
    (void)state;
    char path[512];
    write_toy();
    snprintf(path, sizeof path, "%s", temp_folder());
    int failed = 0; /* some calls only ask whether a file is there: refused is not there */
    for (int64_t n = 1; n < 100; n++) {
        file_fail_at(n, ENOSPC);
        int status = save_toy(path);
        file_fail_at(0, 0);
        failed += status != OK;
        if (status)
            assert_true(status_message()[0]);
        assert_int_equal(file_open_count(), 0);
    }
    assert_true(failed > 20);
    assert_int_equal(mem_stats().live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_it_was),
        cmocka_unit_test(what_was_changed),
        cmocka_unit_test(from_gguf),
        cmocka_unit_test(pieces_through_gguf),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(jinja_and_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
