/* tokenizer.c -- encoding: added tokens, then splitters, then merges; and the vocabulary's face.
 *
 * The order of work is the reference library's: (1) added tokens that are matched in the raw text
 * are cut out, (2) what lies between is normalised and the other added tokens are cut out,
 * (3) the splitters cut each rest, one inside the other, (4) each piece is merged. */
#include "engine/text/tokenizer.h"
#include "engine/text/normalize.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

#include <limits.h>
#include <string.h>

void id_list_free(struct id_list *list)
{
    mem_free(list->ids);
    mem_free(list->spans);
    memset(list, 0, sizeof *list);
}

int id_list_add(struct id_list *list, int32_t id)
{
    TRY(mem_grow((void **)&list->ids, &list->capacity, list->count + 1, sizeof *list->ids));
    list->ids[list->count++] = id;
    return OK;
}

struct tokenizer *tokenizer_new(void)
{
    struct tokenizer *t = mem_calloc(1, sizeof *t);
    if (!t)
        return NULL;
    for (int i = 0; i < 4; i++)
        t->special[i] = -1;
    t->bpe.unk = -1;
    t->max_length = INT64_MAX;
    return t;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    vocab_free(&t->vocab);
    bpe_free(&t->bpe);
    added_free(&t->raw);
    added_free(&t->normalized);
    for (int i = 0; i < t->step_count; i++)
        split_step_free(&t->steps[i]);
    mem_free(t->chat_template);
    mem_free(t->name);
    mem_free(t);
}

int tokenizer_add_step(struct tokenizer *t, enum split_kind kind)
{
    if (t->step_count == TOKENIZER_STEPS)
        return fail(ERR_FORMAT, "more than %d splitters in a row", TOKENIZER_STEPS);
    t->steps[t->step_count++] = (struct split_step){.kind = kind};
    return OK;
}

int tokenizer_add_added(struct tokenizer *t, struct added_token token, bool normalized)
{
    const struct token *k = &t->vocab.tokens[token.id];
    vocab_mark_added(&t->vocab, token.id, TOKEN_ADDED | (token.special ? TOKEN_SPECIAL : 0));
    return added_add(normalized ? &t->normalized : &t->raw, k->spelling, k->spelling_length, token);
}

int tokenizer_add_merge(struct tokenizer *t, const char *left, size_t left_length,
                        const char *right, size_t right_length, int64_t rank)
{
    char joined[512];
    int32_t a = vocab_find(&t->vocab, left, left_length);
    int32_t b = vocab_find(&t->vocab, right, right_length), c = -1;
    bool fits = left_length + right_length <= sizeof joined;
    if (a < 0 || b < 0)
        return fail(ERR_FORMAT, "merge %lld: no token '%.*s' in the vocabulary",
                    (long long)rank + 1, (int)((a < 0 ? left_length : right_length) & 0xFF),
                    a < 0 ? left : right);
    char *text = fits ? joined : mem_alloc(left_length + right_length);
    if (!text)
        return ERR_MEMORY;
    memcpy(text, left, left_length);
    memcpy(text + left_length, right, right_length);
    c = vocab_find(&t->vocab, text, left_length + right_length);
    if (!fits)
        mem_free(text);
    if (c < 0)
        return fail(ERR_FORMAT, "merge %lld: no token '%.*s%.*s' in the vocabulary",
                    (long long)rank + 1, (int)(left_length & 0xFF), left,
                    (int)(right_length & 0xFF), right);
    if (rank >= UINT32_MAX)
        return fail(ERR_FORMAT, "more than 2^32 merges");
    return bpe_add_merge(&t->bpe, a, b, (uint32_t)rank, c);
}

int tokenizer_add_merge_text(struct tokenizer *t, const char *text, size_t length, int64_t rank)
{
    const char *space = length > 1 ? memchr(text + 1, ' ', length - 1) : NULL;
    if (!space)
        return fail(ERR_FORMAT, "merge %lld is '%.*s', wanted two tokens with a space between",
                    (long long)rank + 1, (int)(length < 60 ? length : 60), text);
    size_t left = (size_t)(space - text);
    return tokenizer_add_merge(t, text, left, space + 1, length - left - 1, rank);
}

static int check_id(const struct tokenizer *t, int32_t id, const char *what)
{
    if (id >= -1 && (id < 0 || (id < t->vocab.count && t->vocab.tokens[id].spelling)))
        return OK;
    return fail(ERR_FORMAT, "%s is %d, and the vocabulary has no such token (ids 0 to %d)", what,
                id, t->vocab.count - 1);
}

int tokenizer_finish(struct tokenizer *t)
{
    static const char *const names[] = {"the bos token", "the eos token", "the pad token",
                                        "the unknown token"};
    if (t->vocab.count == 0)
        return fail(ERR_FORMAT, "the vocabulary is empty");
    for (int i = 0; i < 4; i++)
        TRY(check_id(t, t->special[i], names[i]));
    for (int i = 0; i < t->prefix.count; i++)
        TRY(check_id(t, t->prefix.ids[i], "a token put before a text"));
    for (int i = 0; i < t->suffix.count; i++)
        TRY(check_id(t, t->suffix.ids[i], "a token put behind a text"));
    return bpe_finish(&t->bpe, &t->vocab);
}

/* --- encoding */

struct encode {
    struct tokenizer *t;
    int flags;
    struct id_list *out;
    const char *text; /* the whole text: spans count from it */
    const char *base; /* start of what is being cut now, in 'text' or in a changed copy */
    int64_t base_at;  /* where base stands in text */
    int64_t from, to; /* of a changed copy: all its tokens get this span */
    bool changed;
};

/* Spans of the ids from 'first' on, which came out of one piece. Where their bytes do not add up
 * (a byte without a token was dropped) each gets the whole piece. */
static int add_spans(struct encode *e, int64_t first, const char *piece, size_t length)
{
    struct id_list *out = e->out;
    int64_t at = e->base_at + (piece - e->base), sum = 0;
    if (!(e->flags & TOKENIZER_SPANS) || first == out->count)
        return OK;
    TRY(mem_grow((void **)&out->spans, &out->spans_capacity, out->count, sizeof *out->spans));
    for (int64_t i = first; i < out->count; i++)
        sum += e->t->vocab.tokens[out->ids[i]].length;
    for (int64_t i = first; i < out->count; i++) {
        int64_t n = e->t->vocab.tokens[out->ids[i]].length;
        if (e->changed)
            out->spans[i] = (struct token_span){e->from, e->to};
        else if (sum == (int64_t)length)
            out->spans[i] = (struct token_span){at, at + n};
        else
            out->spans[i] = (struct token_span){at, at + (int64_t)length};
        at += sum == (int64_t)length ? n : 0;
    }
    return OK;
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

/* A space in front of a piece that has none: the rest works on a copy. */
static int with_prefix(struct encode *e, int step, const char *p, const char *end)
{
    size_t n = (size_t)(end - p);
    struct encode inside = *e;
    char *copy = mem_alloc(n + 1);
    if (!copy)
        return ERR_MEMORY;
    copy[0] = ' ';
    memcpy(copy + 1, p, n);
    if (!e->changed) {
        inside.from = e->base_at + (p - e->base);
        inside.to = inside.from + (int64_t)n;
        inside.changed = true;
    }
    inside.base = copy;
    int status = cut(&inside, step + 1, copy, copy + n + 1);
    mem_free(copy);
    return status;
}

/* Steps call each other, at most TOKENIZER_STEPS deep. */
static int cut(struct encode *e, int step, const char *p, const char *end)
{
    struct tokenizer *t = e->t;
    if (step == t->step_count) {
        int64_t first = e->out->count;
        TRY(bpe_encode(&t->bpe, p, (size_t)(end - p), e->out));
        return add_spans(e, first, p, (size_t)(end - p));
    }
    const struct split_step *s = &t->steps[step];
    if (s->kind == SPLIT_PREFIX)
        return *p == ' ' ? cut(e, step + 1, p, end) : with_prefix(e, step, p, end);
    if (step + 1 == t->step_count && s->kind < SPLIT_PATTERN) { /* the usual last step, in line */
        while (p < end) {
            size_t n = split_next(s->kind, p, end);
            TRY(cut(e, step + 1, p, p + n));
            p += n;
        }
        return OK;
    }
    struct level l = {e, step};
    return split_each(s, p, end, inner, &l);
}

static int add_token(struct encode *e, int32_t id, int64_t start, int64_t end)
{
    struct id_list *out = e->out;
    TRY(id_list_add(out, id));
    if (!(e->flags & TOKENIZER_SPANS))
        return OK;
    TRY(mem_grow((void **)&out->spans, &out->spans_capacity, out->count, sizeof *out->spans));
    out->spans[out->count - 1] = (struct token_span){start, end};
    return OK;
}

/* Cuts added tokens out of [p, end) and hands what lies between to 'rest'. */
static int cut_added(struct encode *e, const struct added *a, const char *p, const char *end,
                     int (*rest)(struct encode *, const char *, const char *))
{
    const char *text = p;
    struct added_match m;
    bool parse = e->flags & TOKENIZER_PARSE_SPECIAL;
    while (added_next(a, text, p, end, parse, &m)) {
        if (m.start > p)
            TRY(rest(e, p, m.start));
        int64_t at = e->base_at - (e->base - text);
        if (e->changed)
            TRY(add_token(e, m.id, e->from, e->to));
        else
            TRY(add_token(e, m.id, at + (m.start - text), at + (m.end - text)));
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
    char *copy = NULL;
    size_t length = (size_t)(end - p);
    if (e->t->nfc)
        TRY(normalize_nfc(p, length, &copy, &length));
    if (!copy)
        return cut_added(e, &e->t->normalized, p, end, rest_pieces);
    inside.from = e->base_at + (p - e->base);
    inside.to = inside.from + (end - p);
    inside.changed = true;
    inside.base = copy;
    int status = cut_added(&inside, &e->t->normalized, copy, copy + length, rest_pieces);
    mem_free(copy);
    return status;
}

static int add_affix(struct encode *e, const struct affix *a)
{
    for (int i = 0; i < a->count && e->flags & TOKENIZER_ADD_SPECIAL; i++)
        TRY(add_token(e, a->ids[i], 0, 0));
    return OK;
}

int tokenizer_encode(struct tokenizer *t, const char *text, size_t length, int flags,
                     struct id_list *list)
{
    struct encode e = {.t = t, .flags = flags, .out = list, .text = text, .base = text};
    int64_t before = list->count;
    if (length > INT_MAX)
        return fail(ERR_ARG, "a text of %zu bytes, at most 2 GiB are encoded at once", length);
    int status = add_affix(&e, &t->prefix);
    if (!status)
        status = cut_added(&e, &t->raw, text, text + length, rest_normalized);
    if (!status)
        status = add_affix(&e, &t->suffix);
    if (status)
        list->count = before;
    return status;
}

/* --- the vocabulary */

int32_t tokenizer_size(const struct tokenizer *t)
{
    return t->vocab.count;
}

int32_t tokenizer_base_size(const struct tokenizer *t)
{
    return t->base_size;
}

static const struct token *token_at(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.count && t->vocab.tokens[id].spelling ? &t->vocab.tokens[id]
                                                                          : NULL;
}

const char *tokenizer_token(const struct tokenizer *t, int32_t id, size_t *length)
{
    const struct token *k = token_at(t, id);
    if (k && length)
        *length = k->spelling_length;
    return k ? k->spelling : NULL;
}

const char *tokenizer_token_bytes(const struct tokenizer *t, int32_t id, size_t *length)
{
    const struct token *k = token_at(t, id);
    if (k)
        *length = k->length;
    return k ? k->bytes : NULL;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    const struct token *k = token_at(t, id);
    return k && k->flags & TOKEN_SPECIAL;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *token, size_t length)
{
    return vocab_find(&t->vocab, token, length);
}

int32_t tokenizer_special_id(const struct tokenizer *t, enum tokenizer_special which)
{
    return t->special[which];
}

/* Replaces an id of the affix by another, where it stands there. */
static void replace_in(struct affix *a, int32_t from, int32_t to)
{
    for (int i = 0; i < a->count; i++)
        if (a->ids[i] == from)
            a->ids[i] = to;
}

int tokenizer_set_special(struct tokenizer *t, enum tokenizer_special which, int32_t id)
{
    if (id != -1 && !token_at(t, id))
        return fail(ERR_ARG, "there is no token %d; hint: ids run from 0 to %d", id,
                    t->vocab.count - 1);
    if (which == TOKENIZER_BOS && id < 0)
        TRY(tokenizer_set_add_bos(t, false));
    if (which == TOKENIZER_EOS && id < 0)
        TRY(tokenizer_set_add_eos(t, false));
    if (which == TOKENIZER_BOS)
        replace_in(&t->prefix, t->special[which], id);
    if (which == TOKENIZER_EOS)
        replace_in(&t->suffix, t->special[which], id);
    t->special[which] = id;
    return OK;
}

static bool holds(const struct affix *a, int32_t id)
{
    for (int i = 0; i < a->count; i++)
        if (a->ids[i] == id)
            return id >= 0;
    return false;
}

static int set_affix(struct affix *a, int32_t id, bool add, bool in_front, const char *name)
{
    if (holds(a, id) == add)
        return OK;
    if (!add) {
        int n = 0;
        for (int i = 0; i < a->count; i++)
            if (a->ids[i] != id)
                a->ids[n++] = a->ids[i];
        a->count = n;
        return OK;
    }
    if (id < 0)
        return fail(ERR_ARG, "the tokenizer has no %s token to add", name);
    if (a->count == TOKENIZER_AFFIX)
        return fail(ERR_ARG, "more than %d tokens around a text", TOKENIZER_AFFIX);
    if (in_front)
        memmove(a->ids + 1, a->ids, (size_t)a->count * sizeof *a->ids);
    a->ids[in_front ? 0 : a->count] = id;
    a->count++;
    return OK;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return holds(&t->prefix, t->special[TOKENIZER_BOS]);
}

bool tokenizer_adds_eos(const struct tokenizer *t)
{
    return holds(&t->suffix, t->special[TOKENIZER_EOS]);
}

int tokenizer_set_add_bos(struct tokenizer *t, bool add)
{
    return set_affix(&t->prefix, t->special[TOKENIZER_BOS], add, true, "bos");
}

int tokenizer_set_add_eos(struct tokenizer *t, bool add)
{
    return set_affix(&t->suffix, t->special[TOKENIZER_EOS], add, false, "eos");
}

int tokenizer_prefix_count(const struct tokenizer *t)
{
    return t->prefix.count;
}

int tokenizer_suffix_count(const struct tokenizer *t)
{
    return t->suffix.count;
}

int64_t tokenizer_max_length(const struct tokenizer *t)
{
    return t->max_length;
}

void tokenizer_set_max_length(struct tokenizer *t, int64_t tokens)
{
    t->max_length = tokens;
}

const char *tokenizer_chat_template(const struct tokenizer *t)
{
    return t->chat_template;
}

int tokenizer_set_chat_template(struct tokenizer *t, const char *text)
{
    char *copy = text ? mem_text(text, strlen(text)) : NULL;
    if (text && !copy)
        return ERR_MEMORY;
    mem_free(t->chat_template);
    t->chat_template = copy;
    return OK;
}

const char *tokenizer_kind(const struct tokenizer *t)
{
    (void)t;
    return "byte-level BPE";
}

const char *tokenizer_name(const struct tokenizer *t)
{
    return t->name ? t->name : "";
}

int tokenizer_set_name(struct tokenizer *t, const char *name)
{
    char *copy = mem_text(name, strlen(name));
    if (!copy)
        return ERR_MEMORY;
    mem_free(t->name);
    t->name = copy;
    return OK;
}
