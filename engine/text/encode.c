/* encode.c -- text to ids: added tokens, then normalizers, splitters and the model.
 *
 * The order of work is the reference library's: (1) added tokens that are matched in the raw text
 * are cut out, (2) what lies between is normalised and the other added tokens are cut out,
 * (3) the splitters cut each rest, one inside the other, (4) each piece goes through the model. */
#include "engine/core/utf8.h"
#include "engine/text/edit.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

#include <limits.h>
#include <string.h>

struct encode {
    struct tokenizer *t;
    int flags;
    struct id_list *out;
    struct source s; /* the text that is being cut, or a rewritten part of it */
};

/* Bytes of a piece that an unknown token takes: one character, or a run of them up to where the next
 * token stands. Never looks at more than it takes, so that a piece of them costs its length. */
static size_t unknown_width(const struct tokenizer *t, const char *p, const char *end,
                            const int32_t *next, const int32_t *last)
{
    uint32_t cp;
    bool words = t->model == MODEL_WORDPIECE || t->model == MODEL_WORDLEVEL;
    if (next == last || words) /* the rest of the piece */
        return (size_t)(end - p);
    if (*next == t->bpe.unk || (t->model == MODEL_BPE && !t->bpe.fuse_unk)) {
        int n = utf8_decode(p, end, &cp);
        return n ? (size_t)n : 1;
    }
    const struct token *k = &t->vocab.tokens[*next];
    bool byte = k->flags & TOKEN_BYTE;
    const char *at = end - p > 1
                         ? memmem(p + 1, (size_t)(end - p) - 1, byte ? k->bytes : k->spelling,
                                  byte ? k->length : k->spelling_length)
                         : NULL;
    return at ? (size_t)(at - p) : (size_t)(end - p);
}

/* Bytes of the piece [.., end) that an id covers from p on; 'inside': it is not the piece's first. */
static size_t width_of(const struct tokenizer *t, const int32_t *id, const int32_t *last,
                       bool inside, const char *p, const char *end)
{
    const struct token *k = &t->vocab.tokens[*id];
    if (t->bytes)
        return k->length;
    if (k->flags & TOKEN_BYTE)
        return 1;
    if (*id == t->bpe.unk)
        return unknown_width(t, p, end, id + 1, last);
    return k->spelling_length - (inside && t->model == MODEL_WORDPIECE ? t->prefix_length : 0);
}

/* Spans of the ids from 'first' on, which came out of one piece. Where their bytes do not add up
 * (something was dropped) each gets the whole piece. */
static int add_spans(struct encode *e, int64_t first, const char *piece, size_t length)
{
    struct id_list *out = e->out;
    const struct tokenizer *t = e->t;
    if (!(e->flags & TOKENIZER_SPANS) || first == out->count)
        return OK;
    TRY(mem_grow((void **)&out->spans, &out->spans_capacity, out->count, sizeof *out->spans));
    size_t at = 0, start = (size_t)(piece - e->s.text);
    const int32_t *last = out->ids + out->count;
    for (int64_t i = first; i < out->count; i++) {
        size_t n = width_of(t, &out->ids[i], last, i > first, piece + at, piece + length);
        n = n > length - at ? length - at + 1 : n; /* too long: the sum shall not fit */
        struct origin o = source_range(&e->s, start + at, n > length - at ? length - at : n);
        out->spans[i] = (struct token_span){o.start, o.end};
        at += n;
        if (at > length)
            break;
    }
    struct origin whole = source_range(&e->s, start, length);
    for (int64_t i = first; i < out->count && at != length; i++)
        out->spans[i] = (struct token_span){whole.start, whole.end};
    return OK;
}

static int through_model(struct encode *e, const char *p, size_t n)
{
    struct tokenizer *t = e->t;
    int64_t first = e->out->count;
    switch (t->model) {
    case MODEL_BPE:
        TRY(bpe_encode(&t->bpe, p, n, e->out));
        break;
    case MODEL_UNIGRAM:
        TRY(unigram_encode(&t->unigram, p, n, e->out));
        break;
    case MODEL_WORDPIECE:
    case MODEL_WORDLEVEL:
        TRY(wordpiece_encode(t, p, n, e->out));
        break;
    }
    return add_spans(e, first, p, n);
}

struct level {
    struct encode *e;
    int step;
};

static int cut(struct encode *e, int step, const char *p, const char *end);

static int inner(void *ctx, const char *piece, size_t length)
{
    const struct level *l = ctx;
    return cut(l->e, l->step + 1, piece, piece + length);
}

/* --- splitters that write the text anew: what follows works on the copy */

static int write_metaspace(const struct split_step *step, const struct source *s, struct edit *out)
{
    const char *p = s->text, *end = p + s->length;
    bool blank = s->length > 0 && *p == ' ', there = false;
    if (s->length >= step->literal_length)
        there = memcmp(p, step->literal, step->literal_length) == 0;
    if (!blank && !there &&
        (step->scheme == SPLIT_ALWAYS || (step->scheme == SPLIT_FIRST && s->first)))
        TRY(edit_put(out, step->literal, step->literal_length, source_range(s, 0, 0)));
    while (p < end) {
        const char *at = memchr(p, ' ', (size_t)(end - p)), *stop = at ? at : end;
        TRY(edit_keep(out, s, (size_t)(p - s->text), (size_t)(stop - p)));
        if (at)
            TRY(edit_put(out, step->literal, step->literal_length,
                         source_range(s, (size_t)(at - s->text), 1)));
        p = stop + (at != NULL);
    }
    return OK;
}

static int write_spelt(const struct source *s, struct edit *out)
{
    char text[4];
    for (size_t i = 0; i < s->length; i++) {
        size_t n = (size_t)utf8_encode(byte_spelling((unsigned char)s->text[i]), text);
        TRY(edit_put(out, text, n, source_range(s, i, 1)));
    }
    return OK;
}

static int write_prefix(const struct source *s, struct edit *out)
{
    TRY(edit_put(out, " ", 1, source_range(s, 0, 0)));
    return edit_keep(out, s, 0, s->length);
}

static int write_anew(struct encode *e, int step, const char *p, const char *end)
{
    const struct split_step *s = &e->t->steps[step];
    struct source part = source_part(&e->s, (size_t)(p - e->s.text), (size_t)(end - p));
    struct edit copy = {.tracked = e->flags & TOKENIZER_SPANS};
    struct encode inside = *e;
    int status = s->kind == SPLIT_METASPACE ? write_metaspace(s, &part, &copy)
                 : s->kind == SPLIT_SPELL   ? write_spelt(&part, &copy)
                                            : write_prefix(&part, &copy);
    inside.s = edit_source(&copy, &part);
    p = inside.s.text;
    if (!status && inside.s.length > 0) {
        if (s->kind == SPLIT_METASPACE && !s->whole) {
            struct level l = {&inside, step};
            struct split_step before = {.kind = SPLIT_LITERAL,
                                        .behavior = SPLIT_MERGED_NEXT,
                                        .literal = s->literal,
                                        .literal_length = s->literal_length};
            status = split_each(&before, p, p + inside.s.length, inner, &l);
        } else {
            status = cut(&inside, step + 1, p, p + inside.s.length);
        }
    }
    edit_free(&copy);
    return status;
}

/* Steps call each other, at most TOKENIZER_STEPS deep. */
static int cut(struct encode *e, int step, const char *p, const char *end)
{
    struct tokenizer *t = e->t;
    if (step == t->step_count)
        return through_model(e, p, (size_t)(end - p));
    const struct split_step *s = &t->steps[step];
    if (s->kind == SPLIT_PREFIX && *p == ' ')
        return cut(e, step + 1, p, end);
    if (s->kind >= SPLIT_PREFIX)
        return write_anew(e, step, p, end);
    if (step + 1 == t->step_count && s->kind < SPLIT_WORDS) { /* the usual last step, in line */
        while (p < end) {
            size_t n = split_next(s->kind, p, end);
            TRY(through_model(e, p, n));
            p += n;
        }
        return OK;
    }
    struct level l = {e, step};
    return split_each(s, p, end, inner, &l);
}

/* --- added tokens */

static int add_token(struct encode *e, int32_t id, struct origin o)
{
    TRY(id_list_add(e->out, id));
    return e->flags & TOKENIZER_SPANS ? id_list_span(e->out, (struct token_span){o.start, o.end})
                                      : OK;
}

/* Cuts added tokens out of e's text and hands what lies between to 'rest'. */
static int cut_added(struct encode *e, const struct added *a,
                     int (*rest)(struct encode *, const char *, const char *))
{
    const char *text = e->s.text, *p = text, *end = p + e->s.length;
    struct added_match m;
    bool parse = e->flags & TOKENIZER_PARSE_SPECIAL;
    while (added_next(a, text, p, end, parse, &m)) {
        if (m.start > p)
            TRY(rest(e, p, m.start));
        TRY(add_token(e, m.id,
                      source_range(&e->s, (size_t)(m.start - text), (size_t)(m.end - m.start))));
        p = m.end;
    }
    return p < end ? rest(e, p, end) : OK;
}

static int rest_pieces(struct encode *e, const char *p, const char *end)
{
    return cut(e, 0, p, end);
}

static int rest_normalized(struct encode *e, const char *p, const char *end)
{
    struct encode inside = *e;
    struct edit copy = {.tracked = e->flags & TOKENIZER_SPANS};
    bool changed;
    inside.s = source_part(&e->s, (size_t)(p - e->s.text), (size_t)(end - p));
    TRY(normalizer_run(&e->t->normalizer, &inside.s, &copy, &changed));
    if (changed)
        inside.s = edit_source(&copy, &inside.s);
    int status = cut_added(&inside, &e->t->normalized, rest_pieces);
    edit_free(&copy);
    return status;
}

static int add_affix(struct encode *e, const struct affix *a)
{
    for (int i = 0; i < a->count && e->flags & TOKENIZER_ADD_SPECIAL; i++)
        TRY(add_token(e, a->ids[i], (struct origin){0, 0}));
    return OK;
}

static int encode_text(struct encode *e)
{
    if (e->s.length > INT_MAX)
        return fail(ERR_ARG, "a text of %zu bytes, at most 2 GiB are encoded at once", e->s.length);
    return cut_added(e, &e->t->raw, rest_normalized);
}

int tokenizer_encode(struct tokenizer *t, const char *text, size_t length, int flags,
                     struct id_list *list)
{
    struct encode e = {.t = t, .flags = flags, .out = list, .s = {text, length, NULL, 0, true}};
    int64_t before = list->count;
    int status = add_affix(&e, &t->prefix);
    if (!status)
        status = encode_text(&e);
    if (!status)
        status = add_affix(&e, &t->suffix);
    if (status)
        list->count = before;
    return status;
}

int tokenizer_encode_pair(struct tokenizer *t, const char *a, size_t a_length, const char *b,
                          size_t b_length, int flags, struct id_list *list)
{
    int64_t before = list->count;
    bool around = flags & TOKENIZER_ADD_SPECIAL && t->pair.count > 0;
    static const struct template_item bare[] = {{-1, TEMPLATE_A}, {-1, TEMPLATE_B}};
    const struct template_item *items = around ? t->pair.items : bare;
    int status = OK;
    for (int i = 0; i < (around ? t->pair.count : 2) && !status; i++) {
        bool first = items[i].kind == TEMPLATE_A;
        struct encode e = {.t = t, .flags = flags, .out = list};
        e.s = (struct source){first ? a : b, first ? a_length : b_length, NULL, 0, true};
        if (items[i].kind == TEMPLATE_TOKEN)
            status = add_token(&e, items[i].id, (struct origin){0, 0});
        else
            status = encode_text(&e);
    }
    if (status)
        list->count = before;
    return status;
}
