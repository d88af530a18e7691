/* decoder.c -- what becomes of a token's spelling in the text. */
#include "engine/text/decoder.h"
#include "kernels/base/mem.h"

#include <string.h>

int decoder_add(struct decoder *d, enum decoder_kind kind, struct decoder_step **out)
{
    if (d->count == DECODER_STEPS)
        return fail(ERR_FORMAT, "more than %d decoders in a row", DECODER_STEPS);
    *out = &d->steps[d->count++];
    **out = (struct decoder_step){.kind = kind};
    return OK;
}

void decoder_free(struct decoder *d)
{
    for (int i = 0; i < d->count; i++) {
        mem_free(d->steps[i].from);
        mem_free(d->steps[i].to);
        pattern_free(d->steps[i].pattern);
    }
    memset(d, 0, sizeof *d);
}

/* --- clean-up */

static void replace_in_place(struct text_buffer *b, int64_t from, const char *old, const char *new)
{
    size_t n = strlen(old), m = strlen(new); /* m <= n */
    char *to = b->bytes + from, *end = b->bytes + b->length;
    for (char *p = to; p < end;) {
        char *at = memmem(p, (size_t)(end - p), old, n), *stop = at ? at : end;
        memmove(to, p, (size_t)(stop - p));
        to += stop - p;
        if (!at)
            break;
        memcpy(to, new, m);
        to += m;
        p = at + n;
    }
    b->length = to - b->bytes;
    *to = '\0';
}

void decoder_clean_up(struct text_buffer *out, int64_t from, bool wordpiece)
{
    static const char *const pairs[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                           {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                           {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                           {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs && out->bytes; i++)
        if (wordpiece || strcmp(pairs[i][0], " do not") != 0)
            replace_in_place(out, from, pairs[i][0], pairs[i][1]);
}

/* --- one token */

static int replace_pattern(const struct decoder_step *s, const char *p, size_t n,
                           struct text_buffer *out)
{
    size_t done = 0;
    while (done < n) {
        bool found;
        size_t start, stop;
        TRY(pattern_next(s->pattern, p, p + n, done, &found, &start, &stop));
        if (!found || start == stop)
            break;
        TRY(text_buffer_add(out, p + done, start - done));
        TRY(text_buffer_add(out, s->to, s->to_length));
        done = stop;
    }
    return text_buffer_add(out, p + done, n - done);
}

static int replace_text(const char *p, size_t n, const char *from, size_t from_length,
                        const char *to, size_t to_length, struct text_buffer *out)
{
    const char *end = p + n;
    while (p < end) {
        const char *at = memmem(p, (size_t)(end - p), from, from_length);
        TRY(text_buffer_add(out, p, (size_t)((at ? at : end) - p)));
        if (!at)
            break;
        TRY(text_buffer_add(out, to, to_length));
        p = at + from_length;
    }
    return OK;
}

static int strip(const struct decoder_step *s, const char *p, size_t n, struct text_buffer *out)
{
    for (size_t i = 0; i < s->start && n >= s->from_length; i++) {
        if (memcmp(p, s->from, s->from_length) != 0)
            break;
        p += s->from_length;
        n -= s->from_length;
    }
    for (size_t i = 0; i < s->stop && n >= s->from_length; i++) {
        if (memcmp(p + n - s->from_length, s->from, s->from_length) != 0)
            break;
        n -= s->from_length;
    }
    return text_buffer_add(out, p, n);
}

static int wordpiece(const struct decoder_step *s, const char *p, size_t n, bool first,
                     struct text_buffer *out)
{
    int64_t before = out->length;
    bool joined = n >= s->from_length && memcmp(p, s->from, s->from_length) == 0;
    if (!first && joined)
        TRY(text_buffer_add(out, p + s->from_length, n - s->from_length));
    else {
        TRY(text_buffer_add(out, " ", first ? 0 : 1));
        TRY(text_buffer_add(out, p, n));
    }
    if (s->clean_up)
        decoder_clean_up(out, before, true);
    return OK;
}

static int one_step(const struct decoder_step *s, const char *p, size_t n, bool first,
                    struct text_buffer *out)
{
    switch (s->kind) {
    case DECODER_REPLACE:
        return s->pattern ? replace_pattern(s, p, n, out)
                          : replace_text(p, n, s->from, s->from_length, s->to, s->to_length, out);
    case DECODER_STRIP:
        return strip(s, p, n, out);
    case DECODER_METASPACE:
        return replace_text(p, n, s->from, s->from_length, " ", first && !s->always ? 0 : 1, out);
    case DECODER_WORDPIECE:
        return wordpiece(s, p, n, first, out);
    case DECODER_SUFFIX:
        return replace_text(p, n, s->from, s->from_length, " ", 1, out);
    case DECODER_JOIN:
        TRY(text_buffer_add(out, " ", first ? 0 : 1));
        return text_buffer_add(out, p, n);
    default:
        return text_buffer_add(out, p, n);
    }
}

int decoder_token(const struct decoder *d, const struct token *t, bool first,
                  struct text_buffer *out)
{
    struct text_buffer now = {0}, next = {0};
    bool bytes = d->count > 0 && d->steps[0].kind == DECODER_BYTE_LEVEL;
    int status = bytes ? text_buffer_add(&now, t->bytes, t->length)
                       : text_buffer_add(&now, t->spelling, t->spelling_length);
    for (int i = 0; i < d->count && !status && d->steps[i].kind != DECODER_FUSE; i++) {
        next.length = 0;
        status = text_buffer_add(&next, "", 0);
        if (!status)
            status = one_step(&d->steps[i], now.bytes, (size_t)now.length, first, &next);
        struct text_buffer swap = now;
        now = next;
        next = swap;
    }
    if (!status)
        status = text_buffer_add(out, now.bytes, (size_t)now.length);
    text_buffer_free(&now);
    text_buffer_free(&next);
    return status;
}

/* --- the chain */

static int check(struct decoder *d)
{
    bool fused = false;
    for (int i = 0; i < d->count; i++) {
        const struct decoder_step *s = &d->steps[i];
        if (s->kind == DECODER_BYTE_LEVEL && i > 0)
            return fail(ERR_FORMAT, "the decoder ByteLevel behind another one is not supported");
        if (fused && s->kind != DECODER_STRIP && s->kind != DECODER_FUSE)
            return fail(ERR_FORMAT, "a decoder behind Fuse that is not Strip is not supported");
        if (fused && s->kind == DECODER_STRIP && d->strip)
            return fail(ERR_FORMAT, "two decoders Strip behind Fuse are not supported");
        if (fused && s->kind == DECODER_STRIP)
            d->strip = s;
        fused |= s->kind == DECODER_FUSE;
        d->byte_fallback |= s->kind == DECODER_BYTE_FALLBACK;
        d->first_differs |= (s->kind == DECODER_METASPACE && !s->always) ||
                            s->kind == DECODER_WORDPIECE || s->kind == DECODER_JOIN;
    }
    return OK;
}

static int set_bytes(const struct decoder *d, struct vocab *v, int32_t id, struct text_buffer *text)
{
    struct token *t = &v->tokens[id];
    int byte = d->byte_fallback ? byte_of_name(t->spelling, t->spelling_length) : -1;
    char one = (char)byte;
    text->length = 0;
    TRY(byte >= 0 ? text_buffer_add(text, &one, 1) : decoder_token(d, t, false, text));
    t->flags = (uint16_t)(t->flags | (byte >= 0 ? TOKEN_BYTE : 0));
    if (text->length == t->length && memcmp(text->bytes, t->bytes, t->length) == 0)
        return OK;
    char *copy = arena_text(&v->arena, text->bytes, (size_t)text->length);
    if (!copy)
        return ERR_MEMORY;
    t->bytes = copy;
    t->length = (uint32_t)text->length;
    return OK;
}

static bool bytes_only(const struct decoder *d)
{
    return d->count == 0 || (d->count == 1 && d->steps[0].kind == DECODER_BYTE_LEVEL);
}

int decoder_set(const struct decoder *d, struct vocab *v, int32_t id)
{
    struct text_buffer text = {0};
    int status = bytes_only(d) ? OK : set_bytes(d, v, id, &text);
    text_buffer_free(&text);
    return status;
}

int decoder_finish(struct decoder *d, struct vocab *v)
{
    struct text_buffer text = {0};
    int status = check(d);
    for (int32_t id = 0; id < v->count && !status && !bytes_only(d); id++)
        if (v->tokens[id].spelling)
            status = set_bytes(d, v, id, &text);
    text_buffer_free(&text);
    return status;
}
