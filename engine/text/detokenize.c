/* detokenize.c -- token ids back to text, all at once or one by one. */
#include "engine/core/utf8.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"

#include <string.h>

void text_buffer_free(struct text_buffer *b)
{
    mem_free(b->bytes);
    memset(b, 0, sizeof *b);
}

int text_buffer_add(struct text_buffer *b, const char *bytes, size_t length)
{
    TRY(mem_grow((void **)&b->bytes, &b->capacity, b->length + (int64_t)length + 1, 1));
    if (length)
        memcpy(b->bytes + b->length, bytes, length);
    b->length += (int64_t)length;
    b->bytes[b->length] = '\0';
    return OK;
}

#define REPLACEMENT "\xEF\xBF\xBD"

/* Adds valid UTF-8 for the bytes; returns in *left how many at the end are the start of a character
 * that may go on ('final': they are not, and are replaced too). */
static int add_lossy(struct text_buffer *out, const char *p, size_t length, bool final,
                     size_t *left)
{
    const char *end = p + length;
    *left = 0;
    while (p < end) {
        size_t good = utf8_valid(p, (size_t)(end - p));
        bool cut;
        TRY(text_buffer_add(out, p, good));
        p += good;
        if (p == end)
            break;
        size_t bad = utf8_bad_run(p, end, &cut);
        if (cut && !final) {
            *left = (size_t)(end - p);
            break;
        }
        TRY(text_buffer_add(out, REPLACEMENT, 3));
        p += bad;
    }
    return OK;
}

int tokenizer_stream(const struct tokenizer *t, struct token_stream *s, int32_t id,
                     bool skip_special, struct text_buffer *out)
{
    size_t length = 0, left;
    const char *bytes = tokenizer_token_bytes(t, id, &length);
    if (!bytes)
        return fail(ERR_ARG, "there is no token %d; hint: ids run from 0 to %d", id,
                    tokenizer_size(t) - 1);
    if (skip_special && tokenizer_is_special(t, id))
        return OK;
    if (s->held_bytes == 0) {
        TRY(add_lossy(out, bytes, length, false, &left));
        memcpy(s->held, bytes + length - left, left);
        s->held_bytes = (int)left;
        return OK;
    }
    /* a character was begun by earlier tokens: byte by byte until nothing is held */
    for (size_t i = 0; i < length; i++) {
        char text[5];
        size_t n = (size_t)s->held_bytes;
        memcpy(text, s->held, n);
        text[n++] = bytes[i];
        TRY(add_lossy(out, text, n, false, &left));
        memcpy(s->held, text + n - left, left);
        s->held_bytes = (int)left;
        if (left == 0) {
            TRY(add_lossy(out, bytes + i + 1, length - i - 1, false, &left));
            memcpy(s->held, bytes + length - left, left);
            s->held_bytes = (int)left;
            break;
        }
    }
    return OK;
}

int tokenizer_stream_finish(struct token_stream *s, struct text_buffer *out)
{
    size_t left, n = (size_t)s->held_bytes;
    s->held_bytes = 0;
    return add_lossy(out, s->held, n, true, &left);
}

int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t n, bool skip_special,
                     struct text_buffer *out)
{
    struct token_stream s = {.held_bytes = 0};
    int64_t before = out->length;
    int status = text_buffer_add(out, "", 0);
    for (int64_t i = 0; i < n && !status; i++)
        status = tokenizer_stream(t, &s, ids[i], skip_special, out);
    if (!status)
        status = tokenizer_stream_finish(&s, out);
    if (status && out->bytes) {
        out->length = before;
        out->bytes[before] = '\0';
    }
    return status;
}
