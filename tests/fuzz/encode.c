/* encode.c -- any bytes through each splitter and the merges: the tokens' bytes are the text again,
 * the spans cover it without a gap, and streaming gives what decoding gives. */
#include "engine/core/utf8.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocab.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const splitters[] = {
    "{\"type\": \"ByteLevel\"}",
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": "
    "true}, {\"type\": \"ByteLevel\"}]}",
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": "
    "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, "
    "\"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\", \"use_regex\": false}]}",
    /* the same pattern in other words, so that it goes through PCRE2 */
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": "
    "\"(?:(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+)\"}, "
    "\"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\", \"use_regex\": false}]}",
};
#define COUNT (int)(sizeof splitters / sizeof *splitters)

static struct tokenizer *make(const char *splitter)
{
    static const char *const merged[] = {"he", "ll", "hell", "hello", "\xC4\xA0he", "aa", "aaaa"};
    static char json[32768];
    size_t n = (size_t)snprintf(json, sizeof json,
                                "{\"added_tokens\": [{\"id\": 300, \"content\": \"<s>\"}, {\"id\": "
                                "301, \"content\": \"  \"}], \"pre_tokenizer\": %s, \"model\": "
                                "{\"vocab\": {",
                                splitter);
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        int used = utf8_encode(byte_spelling((unsigned char)byte), text);
        n += (size_t)snprintf(json + n, sizeof json - n, "\"%s%.*s\": %d, ",
                              byte == '"' || byte == '\\' ? "\\" : "", used, text, byte);
    }
    for (int i = 0; i < 7; i++)
        n += (size_t)snprintf(json + n, sizeof json - n, "%s\"%s\": %d", i ? ", " : "", merged[i],
                              256 + i);
    snprintf(json + n, sizeof json - n,
             "}, \"merges\": [\"h e\", \"l l\", \"\xC4\xA0 he\", \"he ll\", \"hell o\", \"a a\", "
             "\"aa aa\"]}}");
    struct tokenizer *t;
    if (tokenizer_from_json(json, strlen(json), NULL, 0, &t))
        abort();
    return t;
}

static void check(struct tokenizer *t, const char *text, size_t size)
{
    struct id_list list = {0};
    struct text_buffer whole = {0}, streamed = {0};
    struct token_stream s = {.held_bytes = 0};
    int64_t at = 0;
    if (tokenizer_encode(t, text, size, TOKENIZER_SPANS, &list))
        abort();
    for (int64_t i = 0; i < list.count; i++) {
        size_t n;
        const char *bytes = tokenizer_token_bytes(t, list.ids[i], &n);
        if (list.spans[i].start != at || n > size - (size_t)at || memcmp(bytes, text + at, n) != 0)
            abort();
        at = list.spans[i].end;
        if (tokenizer_stream(t, &s, list.ids[i], false, &streamed))
            abort();
    }
    if (at != (int64_t)size || tokenizer_stream_finish(&s, &streamed) ||
        tokenizer_decode(t, list.ids, list.count, false, &whole))
        abort();
    if (whole.length != streamed.length ||
        (whole.length && memcmp(whole.bytes, streamed.bytes, (size_t)whole.length) != 0) ||
        utf8_valid(whole.bytes, (size_t)whole.length) != (size_t)whole.length)
        abort();
    id_list_free(&list);
    text_buffer_free(&whole);
    text_buffer_free(&streamed);
}

/* The hand-written Llama-3 splitter and the pattern through PCRE2 must cut alike. */
static void compare(struct tokenizer *a, struct tokenizer *b, const char *text, size_t size)
{
    struct id_list one = {0}, other = {0};
    if (tokenizer_encode(a, text, size, 0, &one))
        abort();
    int status = tokenizer_encode(b, text, size, 0, &other); /* may pass its match limit */
    bool same =
        one.count == other.count &&
        (one.count == 0 || memcmp(one.ids, other.ids, (size_t)one.count * sizeof *one.ids) == 0);
    if (!status && !same && utf8_valid(text, size) == size)
        abort();
    id_list_free(&one);
    id_list_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *t[COUNT];
    size = size > 512 ? 512 : size; /* more of the same only takes time */
    for (int i = 0; i < COUNT && !t[i]; i++)
        t[i] = make(splitters[i]);
    for (int i = 0; i < COUNT - 1; i++)
        check(t[i], (const char *)data, size);
    if (size <= 200) /* slow */
        compare(t[2], t[3], (const char *)data, size);
    return 0;
}
