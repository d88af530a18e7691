/* toy_util.c -- a small byte-level tokenizer for tests. */
#include "tests/engine/toy_util.h"
#include "engine/core/utf8.h"
#include "engine/text/vocab.h"
#include "kernels/base/mem.h"
#include "tests/engine/gguf_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const merged[] = {"he", "ll", "hell", "hello", "\xC4\xA0he"};
static const char *const merges[] = {"h e", "l l", "\xC4\xA0 he", "he ll", "hell o"};
static const char added[] =
    "[{\"id\": 300, \"content\": \"<s>\", \"special\": true, \"normalized\": false},"
    "{\"id\": 301, \"content\": \"<t>\", \"special\": false, \"normalized\": true},"
    "{\"id\": 302, \"content\": \"<w>\", \"single_word\": true},"
    "{\"id\": 303, \"content\": \"<l>\", \"lstrip\": true, \"rstrip\": true},"
    "{\"id\": 304, \"content\": \"<tt>\"},"
    "{\"id\": 305, \"content\": \"  \", \"normalized\": true}]";

int32_t toy_byte(unsigned char byte)
{
    return byte;
}

/* The spelling of a byte, as JSON or raw. */
static void spell(unsigned char byte, bool json, char out[8])
{
    char text[4];
    int n = utf8_encode(byte_spelling(byte), text);
    snprintf(out, 8, "%s%.*s", json && (byte == '"' || byte == '\\') ? "\\" : "", n, text);
}

/* 'letters' NULL = all 256 bytes. */
static char *make_json(const char *letters)
{
    size_t size = 32768, n = 0, count = letters ? strlen(letters) : 256;
    char *out = mem_alloc(size), text[8];
    assert_non_null(out);
    n += (size_t)snprintf(out, size,
                          "{\"version\": \"1.0\", \"added_tokens\": %s, \"normalizer\": null, "
                          "\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"post_processor\": null, "
                          "\"decoder\": null, \"model\": {\"type\": \"BPE\", \"vocab\": {",
                          added);
    for (size_t i = 0; i < count; i++) {
        unsigned char byte = letters ? (unsigned char)letters[i] : (unsigned char)i;
        spell(byte, true, text);
        n += (size_t)snprintf(out + n, size - n, "\"%s\": %d, ", text, byte);
    }
    for (int i = 0; i < 5; i++)
        n += (size_t)snprintf(out + n, size - n, "%s\"%s\": %d", i ? ", " : "", merged[i], 256 + i);
    n += (size_t)snprintf(out + n, size - n, "}, \"merges\": [");
    for (int i = 0; i < 5; i++)
        n += (size_t)snprintf(out + n, size - n, "%s\"%s\"", i ? ", " : "", merges[i]);
    snprintf(out + n, size - n, "]}}");
    return out;
}

char *toy_json(void)
{
    return make_json(NULL);
}

char *toy_small_json(void)
{
    return make_json("helo <s>w");
}

char *toy_json_with(const char *part, const char *with)
{
    char *json = toy_json(), *at = strstr(json, part);
    if (!at)
        fail_msg("the toy has no '%s'", part);
    size_t before = (size_t)(at - json), size = strlen(json) + strlen(with) + 1;
    char *out = mem_alloc(size);
    assert_non_null(out);
    snprintf(out, size, "%.*s%s%s", (int)before, json, with, at + strlen(part));
    mem_free(json);
    return out;
}

struct tokenizer *toy_with(const char *config)
{
    struct tokenizer *t;
    char *json = toy_json();
    if (tokenizer_from_json(json, strlen(json), config, strlen(config), &t))
        fail_msg("%s", status_message());
    mem_free(json);
    return t;
}

struct tokenizer *toy(void)
{
    return toy_with("{\"bos_token\": \"<s>\", \"eos_token\": \"<t>\"}");
}

char *toy_gguf(size_t *length, const char *pre)
{
    struct gguf_writer w = {0};
    static char texts[256][8];
    const char *tokens[264];
    int32_t types[264];
    for (int i = 0; i < 256; i++) {
        spell((unsigned char)i, false, texts[i]);
        tokens[i] = texts[i];
    }
    for (int i = 0; i < 5; i++)
        tokens[256 + i] = merged[i];
    tokens[261] = "<s>";
    tokens[262] = "<t>";
    tokens[263] = "[PAD263]";
    for (int i = 0; i < 264; i++)
        types[i] = i < 261 ? 1 : i == 261 ? 3 : i == 262 ? 4 : 5;
    gguf_put_text(&w, "general.architecture", "llama");
    gguf_put_text(&w, "tokenizer.ggml.model", "gpt2");
    gguf_put_text(&w, "tokenizer.ggml.pre", pre);
    gguf_put_u32(&w, "tokenizer.ggml.bos_token_id", 261);
    gguf_put_u32(&w, "tokenizer.ggml.eos_token_id", 261);
    gguf_put_bool(&w, "tokenizer.ggml.add_bos_token", true);
    gguf_put_texts(&w, "tokenizer.ggml.merges", merges, 5);
    gguf_put_i32s(&w, "tokenizer.ggml.token_type", types, 264);
    gguf_put_texts(&w, "tokenizer.ggml.tokens", tokens, 264);
    gguf_put_text(&w, "tokenizer.chat_template", "{{ messages }}");
    return gguf_finish(&w, length);
}
