/* detokenize.c -- token ids back to text, all at once or one by one. */
#include "engine/core/utf8.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_private.h"
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

/* --- the ends of the text: a decoder Strip behind Fuse */

/* What was added to 'out' from 'before' on loses what is stripped off the start of the text; what
 * may have to go at its end is held back. */
static int strip_ends(const struct decoder_step *strip, struct token_stream *s,
                      struct text_buffer *out, int64_t before)
{
    int64_t n = (int64_t)strip->from_length, added = out->length - before;
    if (added == 0)
        return OK;
    int64_t drop = 0;
    while (!s->begun && s->stripped < (int64_t)strip->start && added - drop >= n &&
           memcmp(out->bytes + before + drop, strip->from, (size_t)n) == 0) {
        drop += n;
        s->stripped++;
    }
    s->begun |= drop < added;
    memmove(out->bytes + before, out->bytes + before + drop, (size_t)(added - drop) + 1);
    out->length -= drop;
    added -= drop;
    if (!strip->stop || added == 0)
        return OK;
    if (s->tail) { /* it was not the end: what was held back comes first */
        char *at;
        for (int i = 0; i < s->tail; i++)
            TRY(text_buffer_add(out, strip->from, (size_t)n));
        at = out->bytes + before;
        memmove(at + n * s->tail, at, (size_t)added);
        for (int i = 0; i < s->tail; i++)
            memcpy(at + n * i, strip->from, (size_t)n);
        s->tail = 0;
    }
    while (s->tail < (int)strip->stop && out->length - before >= n &&
           memcmp(out->bytes + out->length - n, strip->from, (size_t)n) == 0) {
        out->length -= n;
        s->tail++;
    }
    out->bytes[out->length] = '\0';
    return OK;
}

static int finish_text(struct token_stream *s, struct text_buffer *out, int64_t before)
{
    return s->strip ? strip_ends(s->strip, s, out, before) : OK;
}

/* --- one id at a time */

static int stream_bytes(struct token_stream *s, const char *bytes, size_t length,
                        struct text_buffer *out)
{
    size_t left;
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

/* The first token of a text may look different; made on the spot. */
static int stream_first(const struct tokenizer *t, struct token_stream *s, int32_t id,
                        struct text_buffer *out)
{
    struct text_buffer text = {0};
    int status = decoder_token(&t->decoder, &t->vocab.tokens[id], true, &text);
    if (!status)
        status = stream_bytes(s, text.bytes, (size_t)text.length, out);
    text_buffer_free(&text);
    return status;
}

int tokenizer_stream(const struct tokenizer *t, struct token_stream *s, int32_t id,
                     bool skip_special, struct text_buffer *out)
{
    size_t length = 0;
    const char *bytes = tokenizer_token_bytes(t, id, &length);
    int64_t before = out->length;
    if (!bytes)
        return fail(ERR_ARG, "there is no token %d; hint: ids run from 0 to %d", id,
                    tokenizer_size(t) - 1);
    if (skip_special && tokenizer_is_special(t, id))
        return OK;
    bool first = t->decoder.first_differs && !s->seen && !(t->vocab.tokens[id].flags & TOKEN_BYTE);
    s->seen = true;
    s->strip = t->decoder.strip;
    if (first)
        TRY(stream_first(t, s, id, out));
    else
        TRY(stream_bytes(s, bytes, length, out));
    return finish_text(s, out, before);
}

int tokenizer_stream_finish(struct token_stream *s, struct text_buffer *out)
{
    size_t left, n = (size_t)s->held_bytes;
    int64_t before = out->length;
    s->held_bytes = 0;
    TRY(add_lossy(out, s->held, n, true, &left));
    return finish_text(s, out, before);
}

/* Ids in the run of byte tokens from ids[0] on (special tokens that are skipped do not end it), its
 * bytes in 'bytes'; -1 = no memory. */
static int64_t byte_run(const struct tokenizer *t, const int32_t *ids, int64_t n, bool skip_special,
                        struct text_buffer *bytes)
{
    int64_t i = 0;
    bytes->length = 0;
    for (; i < n && ids[i] >= 0 && ids[i] < t->vocab.count; i++) {
        const struct token *k = &t->vocab.tokens[ids[i]];
        if (skip_special && k->flags & TOKEN_SPECIAL)
            continue;
        if (!(k->flags & TOKEN_BYTE))
            break;
        if (text_buffer_add(bytes, k->bytes, k->length))
            return -1;
    }
    return i;
}

static int decode_ids(const struct tokenizer *t, const int32_t *ids, int64_t n, bool skip_special,
                      struct text_buffer *bytes, struct text_buffer *out)
{
    struct token_stream s = {.held_bytes = 0};
    bool runs = t->decoder.byte_fallback && t->decoder.whole_runs;
    for (int64_t i = 0, checked = 0; i < n; i++) {
        int64_t run = runs && i >= checked ? byte_run(t, ids + i, n - i, skip_special, bytes) : 0;
        if (run < 0)
            return ERR_MEMORY;
        if (i >= checked)
            checked = i + run; /* a good run is not looked at again */
        size_t size = run > 0 ? (size_t)bytes->length : 0;
        if (size == 0 || utf8_valid(bytes->bytes, size) == size) {
            TRY(tokenizer_stream(t, &s, ids[i], skip_special, out));
            continue;
        }
        int64_t before = out->length;
        for (size_t k = 0; k < size; k++)
            TRY(text_buffer_add(out, REPLACEMENT, 3));
        s.seen = true;
        s.strip = t->decoder.strip;
        TRY(finish_text(&s, out, before));
        i += run - 1;
    }
    return tokenizer_stream_finish(&s, out);
}

int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t n, bool skip_special,
                     struct text_buffer *out)
{
    struct text_buffer scratch = {0};
    int64_t before = out->length;
    int status = text_buffer_add(out, "", 0);
    if (!status)
        status = decode_ids(t, ids, n, skip_special, &scratch, out);
    text_buffer_free(&scratch);
    if (status && out->bytes) {
        out->length = before;
        out->bytes[before] = '\0';
    }
    return status;
}

void tokenizer_clean_up(struct text_buffer *out, int64_t from)
{
    decoder_clean_up(out, from, false);
}
