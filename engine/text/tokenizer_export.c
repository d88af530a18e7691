/* tokenizer_export.c -- a tokenizer as a tokenizer.json, and the lists a GGUF writer needs.
 *
 * Written for tokenizers that came out of a GGUF file: byte-level BPE with a known splitter, and
 * SentencePiece's BPE, whose merges are ranked by score. */
#include "engine/core/json_write.h"
#include "engine/core/utf8.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define BLANK "\xE2\x96\x81"

/* --- lists */

struct ranked {
    uint64_t order; /* rank, then longer parts first: as the reference orders merges of one score */
    int32_t left, right, id;
};

static int by_order(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return x->left < y->left ? -1 : x->left > y->left;
}

static uint64_t shortness(const struct tokenizer *t, int32_t id)
{
    uint32_t n = t->vocab.tokens[id].spelling_length;
    return 0xFFFF - (n < 0xFFFF ? n : 0xFFFF);
}

static int rank_all(const struct tokenizer *t, struct ranked **out, int64_t *count)
{
    const struct bpe *b = &t->bpe;
    struct ranked *r = mem_alloc(((size_t)b->merge_count + 1) * sizeof *r);
    int64_t n = 0;
    if (!r)
        return ERR_MEMORY;
    for (uint64_t i = 0; b->merges && i <= b->mask; i++) {
        const struct bpe_merge *m = &b->merges[i];
        if (m->pair == UINT64_MAX)
            continue;
        int32_t left = (int32_t)(m->pair >> 32), right = (int32_t)(uint32_t)m->pair;
        r[n++] = (struct ranked){(uint64_t)m->rank << 32 | shortness(t, left) << 16 |
                                     shortness(t, right),
                                 left, right, m->id};
    }
    qsort(r, (size_t)n, sizeof *r, by_order);
    *out = r;
    *count = n;
    return OK;
}

int tokenizer_merges(const struct tokenizer *t, int32_t **pairs, int64_t *count)
{
    struct ranked *r;
    TRY(rank_all(t, &r, count));
    int32_t *p = mem_alloc(((size_t)*count * 2 + 1) * sizeof *p);
    for (int64_t i = 0; p && i < *count; i++) {
        p[2 * i] = r[i].left;
        p[2 * i + 1] = r[i].right;
    }
    mem_free(r);
    *pairs = p;
    return p ? OK : ERR_MEMORY;
}

int tokenizer_scores(const struct tokenizer *t, float **out)
{
    struct ranked *r;
    int64_t count = 0;
    float *scores = mem_calloc((size_t)t->vocab.count + 1, sizeof *scores);
    if (!scores)
        return ERR_MEMORY;
    *out = scores;
    for (int32_t id = 0; id < t->vocab.count; id++)
        scores[id] = (float)t->vocab.tokens[id].score;
    if (t->has_scores || t->model != MODEL_BPE)
        return OK;
    int status = rank_all(t, &r, &count);
    if (status) {
        mem_free(scores);
        return status;
    }
    for (int64_t i = count; i-- > 0;) /* the first merge of a token is set last */
        scores[r[i].id] = -(float)(i + 1);
    mem_free(r);
    return OK;
}

int tokenizer_token_type(const struct tokenizer *t, int32_t id)
{
    const struct token *k = id >= 0 && id < t->vocab.count ? &t->vocab.tokens[id] : NULL;
    if (!k || !k->spelling)
        return PIECE_UNUSED;
    if (k->type && !(k->type == PIECE_NORMAL && k->flags & TOKEN_ADDED))
        return k->type;
    if (k->flags & TOKEN_BYTE)
        return PIECE_BYTE;
    if (!t->bytes && id == t->bpe.unk)
        return PIECE_UNKNOWN;
    if (k->flags & TOKEN_ADDED)
        return k->flags & TOKEN_SPECIAL ? PIECE_CONTROL : PIECE_USER_DEFINED;
    return PIECE_NORMAL;
}

/* Blanks become U+2581 before anything else: what a "llama" vocabulary supposes. */
static bool makes_blanks_visible(const struct tokenizer *t)
{
    for (int i = 0; i < t->normalizer.count; i++) {
        const struct normalizer_step *s = &t->normalizer.steps[i];
        if (s->kind == NORMALIZER_SENTENCEPIECE ||
            (s->kind == NORMALIZER_REPLACE && !s->pattern && s->from_length == 1 &&
             s->from[0] == ' ' && s->to_length == 3 && !memcmp(s->to, BLANK, 3)))
            return true;
    }
    for (int i = 0; i < t->step_count; i++)
        if (t->steps[i].kind == SPLIT_METASPACE)
            return true;
    return false;
}

const char *tokenizer_gguf_model(const struct tokenizer *t)
{
    if (t->model != MODEL_BPE)
        return NULL;
    if (t->bytes)
        return "gpt2";
    return t->vocab.plain && makes_blanks_visible(t) ? "llama" : NULL;
}

const char *tokenizer_pre_name(const struct tokenizer *t)
{
    const char *model = tokenizer_gguf_model(t);
    if (!model)
        return NULL;
    return t->bytes ? tokenizer_find_pre(t) : "default";
}

bool tokenizer_adds_space(const struct tokenizer *t)
{
    if (t->space_prefix)
        return true;
    for (int i = 0; i < t->normalizer.count; i++)
        if (t->normalizer.steps[i].kind == NORMALIZER_PREPEND)
            return true;
    for (int i = 0; i < t->step_count; i++)
        if (t->steps[i].kind == SPLIT_METASPACE && t->steps[i].scheme != SPLIT_NEVER)
            return true;
    return false;
}

/* --- tokenizer.json */

static void token_text(const struct tokenizer *t, struct json_writer *w, const char *key,
                       int32_t id)
{
    if (id < 0)
        json_write_null(w, key);
    else
        json_write_bytes(w, key, t->vocab.tokens[id].spelling, t->vocab.tokens[id].spelling_length);
}

static const struct added_token *find_added(const struct added *a, int32_t id)
{
    for (int64_t i = a->count; i-- > 0;) /* a later one replaces an older */
        if (a->tokens[i].id == id)
            return &a->tokens[i];
    return NULL;
}

void tokenizer_export_added(const struct tokenizer *t, struct json_writer *w, int32_t id)
{
    const struct added_token *a = find_added(&t->raw, id), *n = find_added(&t->normalized, id);
    const struct added_token none = {.id = id}, *k = a ? a : n ? n : &none;
    json_write_open(w, NULL, '{');
    json_write_int(w, "id", id);
    token_text(t, w, "content", id);
    json_write_bool(w, "single_word", k->single_word);
    json_write_bool(w, "lstrip", k->lstrip);
    json_write_bool(w, "rstrip", k->rstrip);
    json_write_bool(w, "normalized", !a && n);
    json_write_bool(w, "special", k->special);
    json_write_close(w);
}

static void type_of(struct json_writer *w, const char *key, const char *type)
{
    json_write_open(w, key, '{');
    json_write_text(w, "type", type);
}

static void sequence_of(struct json_writer *w, const char *key, const char *list)
{
    type_of(w, key, "Sequence");
    json_write_open(w, list, '[');
}

static void sequence_end(struct json_writer *w)
{
    json_write_close(w);
    json_write_close(w);
}

static void replace(struct json_writer *w, const char *from, const char *to)
{
    type_of(w, NULL, "Replace");
    json_write_open(w, "pattern", '{');
    json_write_text(w, "String", from);
    json_write_close(w);
    json_write_text(w, "content", to);
    json_write_close(w);
}

static void byte_level(struct json_writer *w, const char *key, bool regex)
{
    type_of(w, key, "ByteLevel");
    json_write_bool(w, "add_prefix_space", false);
    json_write_bool(w, "trim_offsets", true);
    json_write_bool(w, "use_regex", regex);
    json_write_close(w);
}

static void normalizer(const struct tokenizer *t, struct json_writer *w)
{
    if (t->bytes) {
        json_write_null(w, "normalizer");
        return;
    }
    sequence_of(w, "normalizer", "normalizers");
    if (t->space_prefix) {
        type_of(w, NULL, "Prepend");
        json_write_text(w, "prepend", BLANK);
        json_write_close(w);
    }
    replace(w, " ", BLANK);
    sequence_end(w);
}

static void pre_tokenizer(const struct tokenizer *t, struct json_writer *w)
{
    bool regex = false;
    if (!t->bytes) {
        json_write_null(w, "pre_tokenizer");
        return;
    }
    sequence_of(w, "pre_tokenizer", "pretokenizers");
    for (int i = 0; i < t->step_count; i++) {
        const char *pattern = split_pattern(t->steps[i].kind);
        regex |= t->steps[i].kind == SPLIT_GPT2;
        if (t->steps[i].kind == SPLIT_DIGIT) {
            type_of(w, NULL, "Digits");
            json_write_bool(w, "individual_digits", true);
            json_write_close(w);
        } else if (t->steps[i].kind != SPLIT_GPT2 && pattern) {
            type_of(w, NULL, "Split");
            json_write_open(w, "pattern", '{');
            json_write_text(w, "Regex", pattern);
            json_write_close(w);
            json_write_text(w, "behavior", "Isolated");
            json_write_bool(w, "invert", false);
            json_write_close(w);
        }
    }
    byte_level(w, NULL, regex);
    sequence_end(w);
}

static void template_token(const struct tokenizer *t, struct json_writer *w, int32_t id, int type)
{
    json_write_open(w, NULL, '{');
    json_write_open(w, "SpecialToken", '{');
    token_text(t, w, "id", id);
    json_write_int(w, "type_id", type);
    json_write_close(w);
    json_write_close(w);
}

static void template_texts(const struct tokenizer *t, struct json_writer *w, const char *key,
                           int texts)
{
    json_write_open(w, key, '[');
    for (int text = 0; text < texts; text++) {
        for (int i = 0; i < t->prefix.count; i++)
            template_token(t, w, t->prefix.ids[i], text);
        json_write_open(w, NULL, '{');
        json_write_open(w, "Sequence", '{');
        json_write_text(w, "id", text ? "B" : "A");
        json_write_int(w, "type_id", text);
        json_write_close(w);
        json_write_close(w);
        for (int i = 0; i < t->suffix.count; i++)
            template_token(t, w, t->suffix.ids[i], text);
    }
    json_write_close(w);
}

/* The tokens of the template with their ids, each once. */
static void template_tokens(const struct tokenizer *t, struct json_writer *w)
{
    int32_t ids[2 * TOKENIZER_AFFIX];
    int count = 0;
    json_write_open(w, "special_tokens", '{');
    for (int i = 0; i < t->prefix.count + t->suffix.count; i++) {
        int32_t id = i < t->prefix.count ? t->prefix.ids[i] : t->suffix.ids[i - t->prefix.count];
        bool seen = false;
        for (int k = 0; k < count; k++)
            seen |= ids[k] == id;
        if (seen)
            continue;
        ids[count++] = id;
        json_write_open(w, t->vocab.tokens[id].spelling, '{');
        token_text(t, w, "id", id);
        json_write_open(w, "ids", '[');
        json_write_int(w, NULL, id);
        json_write_close(w);
        json_write_open(w, "tokens", '[');
        token_text(t, w, NULL, id);
        json_write_close(w);
        json_write_close(w);
    }
    json_write_close(w);
}

void tokenizer_export_post(const struct tokenizer *t, struct json_writer *w, const char *key)
{
    bool around = t->prefix.count + t->suffix.count > 0;
    if (!around && !t->bytes) {
        json_write_null(w, key);
        return;
    }
    if (!around) {
        byte_level(w, key, true);
        return;
    }
    type_of(w, key, "TemplateProcessing");
    template_texts(t, w, "single", 1);
    template_texts(t, w, "pair", 2);
    template_tokens(t, w);
    json_write_close(w);
}

static void decoder(const struct tokenizer *t, struct json_writer *w)
{
    if (t->bytes) {
        byte_level(w, "decoder", true);
        return;
    }
    sequence_of(w, "decoder", "decoders");
    replace(w, BLANK, " ");
    type_of(w, NULL, "ByteFallback");
    json_write_close(w);
    type_of(w, NULL, "Fuse");
    json_write_close(w);
    if (t->decoder.strip) {
        type_of(w, NULL, "Strip");
        json_write_text(w, "content", " ");
        json_write_int(w, "start", 1);
        json_write_int(w, "stop", 0);
        json_write_close(w);
    }
    sequence_end(w);
}

static int model(const struct tokenizer *t, struct json_writer *w)
{
    struct ranked *r;
    int64_t count;
    TRY(rank_all(t, &r, &count));
    type_of(w, "model", "BPE");
    json_write_null(w, "dropout");
    token_text(t, w, "unk_token", t->bytes ? -1 : t->bpe.unk);
    json_write_null(w, "continuing_subword_prefix");
    json_write_null(w, "end_of_word_suffix");
    json_write_bool(w, "fuse_unk", t->bpe.fuse_unk);
    json_write_bool(w, "byte_fallback", t->bpe.byte_fallback);
    json_write_bool(w, "ignore_merges", t->bpe.whole_first);
    json_write_open(w, "vocab", '{');
    for (int32_t id = 0; id < t->vocab.count; id++)
        if (t->vocab.tokens[id].spelling)
            json_write_int(w, t->vocab.tokens[id].spelling, id);
    json_write_close(w);
    json_write_open(w, "merges", '[');
    for (int64_t i = 0; i < count; i++) {
        json_write_open(w, NULL, '[');
        token_text(t, w, NULL, r[i].left);
        token_text(t, w, NULL, r[i].right);
        json_write_close(w);
    }
    json_write_close(w);
    json_write_close(w);
    mem_free(r);
    return OK;
}

/* A spelling with a NUL inside cannot be a key here, one that is no UTF-8 not in JSON at all. */
static int check_spellings(const struct tokenizer *t)
{
    for (int32_t id = 0; id < t->vocab.count; id++) {
        const struct token *k = &t->vocab.tokens[id];
        if (k->spelling && (strlen(k->spelling) != k->spelling_length ||
                            utf8_valid(k->spelling, k->spelling_length) != k->spelling_length))
            return fail(ERR_FORMAT,
                        "token %d cannot be written to tokenizer.json: it is no UTF-8 "
                        "text or holds a NUL",
                        id);
    }
    return OK;
}

int tokenizer_export_json(const struct tokenizer *t, struct buffer *out)
{
    struct json_writer w;
    if (!tokenizer_gguf_model(t) || (t->bytes && !tokenizer_find_pre(t)))
        return fail(ERR_ARG, "this tokenizer (%s) can only be saved as the files it came from",
                    tokenizer_kind(t));
    TRY(check_spellings(t));
    json_write_begin(&w, out, 2);
    json_write_open(&w, NULL, '{');
    json_write_text(&w, "version", "1.0");
    json_write_null(&w, "truncation");
    json_write_null(&w, "padding");
    json_write_open(&w, "added_tokens", '[');
    for (int32_t id = 0; id < t->vocab.count; id++)
        if (t->vocab.tokens[id].flags & TOKEN_ADDED)
            tokenizer_export_added(t, &w, id);
    json_write_close(&w);
    normalizer(t, &w);
    pre_tokenizer(t, &w);
    tokenizer_export_post(t, &w, "post_processor");
    decoder(t, &w);
    TRY(model(t, &w));
    json_write_close(&w);
    return buffer_close(out);
}
