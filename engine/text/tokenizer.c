/* tokenizer.c -- a tokenizer's parts put together, and the vocabulary's face. Encoding: encode.c. */
#include "engine/text/tokenizer.h"
#include "engine/core/utf8.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

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

int id_list_span(struct id_list *list, struct token_span span)
{
    TRY(mem_grow((void **)&list->spans, &list->spans_capacity, list->count, sizeof *list->spans));
    list->spans[list->count - 1] = span;
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
    t->word_limit = 100;
    return t;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    vocab_free(&t->vocab);
    bpe_free(&t->bpe);
    unigram_free(&t->unigram);
    trie_free(&t->words);
    normalizer_free(&t->normalizer);
    decoder_free(&t->decoder);
    mem_free(t->word_prefix);
    for (int i = 0; i < t->file_count; i++) {
        mem_free(t->files[i].name);
        mem_free(t->files[i].bytes);
    }
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

/* Added tokens of the second kind are looked for in normalised text, so in their own normalised
 * form. One that was added before loses its old form in both kinds. */
static int place_added(struct tokenizer *t, const struct token *k, struct added_token token,
                       bool normalized)
{
    struct source text = {k->spelling, k->spelling_length, NULL, 0, true};
    struct edit copy = {0};
    bool changed;
    TRY(normalizer_run(&t->normalizer, &text, &copy, &changed));
    if (changed)
        text = edit_source(&copy, &text);
    added_remove(&t->raw, k->spelling, k->spelling_length);
    added_remove(&t->normalized, text.text, text.length);
    int status = OK;
    if (!normalized)
        status = added_add(&t->raw, k->spelling, k->spelling_length, token);
    else if (text.length > 0)
        status = added_add(&t->normalized, text.text, text.length, token);
    edit_free(&copy);
    return status;
}

int tokenizer_add_added(struct tokenizer *t, struct added_token token, bool normalized)
{
    const struct token *k = &t->vocab.tokens[token.id];
    TRY(place_added(t, k, token, normalized));
    vocab_mark_added(&t->vocab, token.id, TOKEN_ADDED | (token.special ? TOKEN_SPECIAL : 0));
    return OK;
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

/* The place of the blank between two tokens: the first blank but one that begins the text; where
 * tokens hold blanks themselves the first that has a token on each side. NULL = none. */
static const char *find_blank(const struct tokenizer *t, const char *text, size_t length)
{
    const char *first = length > 1 ? memchr(text + 1, ' ', length - 1) : NULL, *at = first;
    if (!at || !memchr(at + 1, ' ', length - (size_t)(at + 1 - text)))
        return at;
    while (at) {
        size_t left = (size_t)(at - text), right = length - left - 1;
        if (vocab_find(&t->vocab, text, left) >= 0 && vocab_find(&t->vocab, at + 1, right) >= 0)
            return at;
        at = right > 0 ? memchr(at + 1, ' ', right) : NULL;
    }
    return first;
}

int tokenizer_add_merge_text(struct tokenizer *t, const char *text, size_t length, int64_t rank)
{
    const char *space = find_blank(t, text, length);
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
    for (int i = 0; i < t->pair.count; i++)
        if (t->pair.items[i].kind == TEMPLATE_TOKEN)
            TRY(check_id(t, t->pair.items[i].id, "a token of the pair template"));
    TRY(decoder_finish(&t->decoder, &t->vocab));
    t->bpe.characters = !t->bytes;
    t->bpe.known = t->base_size;
    if (t->model == MODEL_BPE)
        return bpe_finish(&t->bpe, &t->vocab);
    for (int32_t id = 0; id < t->base_size && t->model == MODEL_WORDPIECE; id++)
        if (t->vocab.tokens[id].spelling_length)
            TRY(trie_add(&t->words, t->vocab.tokens[id].spelling,
                         t->vocab.tokens[id].spelling_length, id));
    t->unigram.unk = t->bpe.unk;
    t->unigram.byte_fallback = t->bpe.byte_fallback;
    return t->model == MODEL_UNIGRAM ? unigram_finish(&t->unigram, &t->vocab) : OK;
}

int tokenizer_keep_file(struct tokenizer *t, const char *name, char *bytes, size_t length)
{
    if (t->file_count == TOKENIZER_FILES)
        return fail(ERR_INTERNAL, "more than %d tokenizer files", TOKENIZER_FILES);
    char *copy = mem_text(name, strlen(name));
    if (!copy)
        return ERR_MEMORY;
    t->files[t->file_count++] = (struct tokenizer_file){copy, bytes, length};
    return OK;
}

int tokenizer_add_token(struct tokenizer *t, const char *text, size_t length,
                        struct token_flags flags, int64_t *added)
{
    int32_t id = vocab_find(&t->vocab, text, length);
    if (length == 0 || length > ADDED_BYTES)
        return fail(ERR_ARG, "a token to add has %zu bytes, wanted 1 to %d", length, ADDED_BYTES);
    if (utf8_valid(text, length) < length)
        return fail(ERR_ARG, "a token to add is no UTF-8");
    if (id < 0) {
        id = t->vocab.count;
        TRY(vocab_add(&t->vocab, id, (int64_t)id + 1, text, length, 0));
        ++*added;
    }
    struct added_token a = {.id = id,
                            .special = flags.special,
                            .single_word = flags.single_word,
                            .lstrip = flags.lstrip,
                            .rstrip = flags.rstrip};
    TRY(tokenizer_add_added(t, a, flags.normalized));
    t->changed |= CHANGED_TOKENS;
    return decoder_set(&t->decoder, &t->vocab, id);
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

bool tokenizer_is_added(const struct tokenizer *t, int32_t id)
{
    const struct token *k = token_at(t, id);
    return k && k->flags & TOKEN_ADDED;
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
    t->changed |= (unsigned)CHANGED_SPECIAL << which;
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
    t->changed |= CHANGED_ADD_BOS;
    return set_affix(&t->prefix, t->special[TOKENIZER_BOS], add, true, "bos");
}

int tokenizer_set_add_eos(struct tokenizer *t, bool add)
{
    t->changed |= CHANGED_ADD_EOS;
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
    t->changed |= CHANGED_LENGTH;
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
    t->changed |= CHANGED_TEMPLATE;
    return OK;
}

const char *tokenizer_kind(const struct tokenizer *t)
{
    switch (t->model) {
    case MODEL_UNIGRAM:
        return "unigram";
    case MODEL_WORDPIECE:
        return "WordPiece";
    case MODEL_WORDLEVEL:
        return "whole words";
    default:
        return t->bytes         ? "byte-level BPE"
               : t->has_scores  ? "SentencePiece BPE"
               : t->vocab.plain ? "BPE"
                                : "byte-level BPE";
    }
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
