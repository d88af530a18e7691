/* tokenizer_gguf.c -- a tokenizer out of the keys of a GGUF file.
 *
 * The file names the splitter (tokenizer.ggml.pre) from a closed list; a name that is not in the
 * table is an error, since guessing gives a model that seems to work and is a little wrong. */
#include "engine/formats/gguf.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct pre {
    const char *name;
    int steps;
    enum split_kind kinds[2];
    bool whole_first, adds_bos; /* adds_bos: when the file does not say */
};

/* To add one: the splitters it needs, in order. */
static const struct pre pres[] = {
    {"gpt-2", 1, {SPLIT_GPT2}, false, false},
    {"phi-2", 1, {SPLIT_GPT2}, false, false},
    {"mpt", 1, {SPLIT_GPT2}, false, false},
    {"olmo", 1, {SPLIT_GPT2}, false, false},
    {"smollm", 2, {SPLIT_DIGIT, SPLIT_GPT2}, false, false},
    {"starcoder", 2, {SPLIT_DIGIT, SPLIT_GPT2}, false, false},
    {"refact", 2, {SPLIT_DIGIT, SPLIT_GPT2}, false, false},
    {"codeshell", 2, {SPLIT_DIGIT, SPLIT_GPT2}, false, false},
    {"command-r", 2, {SPLIT_DIGIT, SPLIT_GPT2}, false, true},
    {"llama-bpe", 1, {SPLIT_LLAMA3}, true, true},
    {"llama3", 1, {SPLIT_LLAMA3}, true, true},
    {"llama-v3", 1, {SPLIT_LLAMA3}, true, true},
    {"qwen2", 1, {SPLIT_QWEN2}, false, false},
    {"deepseek-r1-qwen", 1, {SPLIT_QWEN2}, false, false},
    {"stablelm2", 1, {SPLIT_QWEN2}, false, false},
};

static int find_pre(const struct gguf *g, const struct pre **out)
{
    const char *name;
    size_t n;
    char known[256] = "";
    TRY(gguf_text(g, "tokenizer.ggml.pre", &name, &n));
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        if (strlen(pres[i].name) == n && memcmp(pres[i].name, name, n) == 0) {
            *out = &pres[i];
            return OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", pres[i].name);
    }
    return fail(ERR_FORMAT, "tokenizer.ggml.pre '%.*s' is not known; hint: known ones are %s",
                (int)(n < 60 ? n : 60), name, known);
}

const char *tokenizer_find_pre(const struct tokenizer *t)
{
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        bool same = pres[i].steps == t->step_count && pres[i].whole_first == t->bpe.whole_first;
        for (int k = 0; same && k < t->step_count; k++)
            same = pres[i].kinds[k] == t->steps[k].kind;
        if (same)
            return pres[i].name;
    }
    return NULL;
}

static int check_model(const struct gguf *g, bool *pieces)
{
    const char *model;
    size_t n;
    if (!gguf_find(g, "tokenizer.ggml.model"))
        return fail(ERR_FORMAT, "the file has no tokenizer (no key tokenizer.ggml.model)");
    TRY(gguf_text(g, "tokenizer.ggml.model", &model, &n));
    *pieces = n == 5 && memcmp(model, "llama", 5) == 0;
    if (*pieces || (n == 4 && memcmp(model, "gpt2", 4) == 0))
        return OK;
    return fail(ERR_FORMAT,
                "tokenizer.ggml.model '%.*s' is not known; hint: gpt2 (byte-level BPE) and llama "
                "(SentencePiece) are read",
                (int)(n < 60 ? n : 60), model);
}

static int read_tokens(struct tokenizer *t, const struct gguf *g)
{
    struct gguf_list list;
    TRY(gguf_list_of_text(g, "tokenizer.ggml.tokens", &list));
    int64_t count = (int64_t)list.left;
    TRY(textmap_reserve(&t->vocab.ids, count < INT32_MAX / 2 ? count : 0));
    for (int64_t id = 0; id < count; id++) {
        const char *text;
        size_t n;
        gguf_list_text(&list, &text, &n);
        TRY(vocab_add(&t->vocab, id, count, text, n, 0));
    }
    t->base_size = t->vocab.count;
    return OK;
}

static int add_added(struct tokenizer *t, int32_t id, bool special)
{
    struct added_token a = {.id = id, .special = special};
    if (t->vocab.tokens[id].flags & TOKEN_ADDED)
        return OK;
    return tokenizer_add_added(t, a, false);
}

/* Control tokens and the unknown one are special, user-defined ones are matched in the text too;
 * unused ones (padding of the table) and normal ones are not. */
static int read_types(struct tokenizer *t, const struct gguf *g)
{
    struct gguf_list list;
    if (!gguf_find(g, "tokenizer.ggml.token_type"))
        return OK;
    TRY(gguf_list_of_int(g, "tokenizer.ggml.token_type", &list));
    if (list.left != (uint64_t)t->vocab.count)
        return fail(ERR_FORMAT,
                    "tokenizer.ggml.token_type has %" PRIu64 " entries, wanted %d (one a token)",
                    list.left, t->vocab.count);
    for (int32_t id = 0; id < t->vocab.count; id++) {
        int64_t type = gguf_list_int(&list);
        if (type < PIECE_NORMAL || type > PIECE_BYTE)
            return fail(ERR_FORMAT, "token %d is of type %" PRId64 ", wanted 1 to 6", id, type);
        struct token *k = &t->vocab.tokens[id];
        k->type = (uint8_t)type;
        if (type == PIECE_BYTE && byte_of_name(k->spelling, k->spelling_length) < 0)
            return fail(ERR_FORMAT, "token %d '%.60s' is a byte, wanted <0x00> to <0xFF>", id,
                        k->spelling);
        bool special = type == PIECE_CONTROL || type == PIECE_UNKNOWN;
        if ((special || type == PIECE_USER_DEFINED) && k->spelling_length)
            TRY(add_added(t, id, special));
    }
    return OK;
}

static int read_merges(struct tokenizer *t, const struct gguf *g)
{
    struct gguf_list list;
    TRY(gguf_list_of_text(g, "tokenizer.ggml.merges", &list));
    int64_t count = (int64_t)list.left;
    TRY(bpe_reserve(&t->bpe, count));
    for (int64_t rank = 0; rank < count; rank++) {
        const char *text;
        size_t n;
        gguf_list_text(&list, &text, &n);
        TRY(tokenizer_add_merge_text(t, text, n, rank));
    }
    return OK;
}

static int read_special(struct tokenizer *t, const struct gguf *g)
{
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.padding_token_id",
                                       "tokenizer.ggml.unknown_token_id"};
    for (int i = 0; i < 4; i++) {
        int64_t id;
        TRY(gguf_int_or(g, keys[i], -1, &id));
        if (id == UINT32_MAX) /* some converters write -1 as u32 */
            id = -1;
        if (id < -1 || id >= t->vocab.count)
            return fail(ERR_FORMAT, "%s is %" PRId64 ", wanted 0 to %d", keys[i], id,
                        t->vocab.count - 1);
        t->special[i] = (int32_t)id;
    }
    /* a text that spells the end-of-text token must become it, whatever its type in the file */
    for (int i = TOKENIZER_BOS; i <= TOKENIZER_EOS; i++)
        if (t->special[i] >= 0 && t->vocab.tokens[t->special[i]].spelling_length)
            TRY(add_added(t, t->special[i], true));
    return OK;
}

static int read_affixes(struct tokenizer *t, const struct gguf *g, const struct pre *pre)
{
    bool bos, eos;
    TRY(gguf_bool_or(g, "tokenizer.ggml.add_bos_token",
                     pre->adds_bos && t->special[TOKENIZER_BOS] >= 0, &bos));
    TRY(gguf_bool_or(g, "tokenizer.ggml.add_eos_token", false, &eos));
    if (bos)
        TRY(tokenizer_set_add_bos(t, true));
    if (eos)
        TRY(tokenizer_set_add_eos(t, true));
    return OK;
}

static int read_rest(struct tokenizer *t, const struct gguf *g)
{
    const char *text, *architecture;
    size_t n;
    char key[128];
    int64_t length;
    if (gguf_find(g, "tokenizer.chat_template")) {
        TRY(gguf_text(g, "tokenizer.chat_template", &text, &n));
        t->chat_template = mem_text(text, n);
        if (!t->chat_template)
            return ERR_MEMORY;
    }
    if (!gguf_find(g, "general.architecture"))
        return OK;
    TRY(gguf_text(g, "general.architecture", &architecture, &n));
    snprintf(key, sizeof key, "%.*s.context_length", (int)(n < 64 ? n : 64), architecture);
    TRY(gguf_int_or(g, key, 0, &length));
    if (length > 0)
        t->max_length = length;
    return OK;
}

static int read_scores(struct tokenizer *t, const struct gguf *g)
{
    struct gguf_list list;
    TRY(gguf_list_of_float(g, "tokenizer.ggml.scores", &list));
    if (list.left != (uint64_t)t->vocab.count)
        return fail(ERR_FORMAT,
                    "tokenizer.ggml.scores has %" PRIu64 " entries, wanted %d (one a token)",
                    list.left, t->vocab.count);
    for (int32_t id = 0; id < t->vocab.count; id++)
        t->vocab.tokens[id].score = gguf_list_float(&list);
    return OK;
}

/* A blank is put in front of every stretch of text and blanks become visible; a file that says
 * nothing has bos in front. */
static int set_pieces(struct tokenizer *t, const struct gguf *g)
{
    struct normalizer_step *s;
    TRY(gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", true, &t->space_prefix));
    if (t->space_prefix) {
        TRY(normalizer_add(&t->normalizer, NORMALIZER_PREPEND, &s));
        s->to = mem_text("\xE2\x96\x81", 3);
        s->to_length = 3;
        if (!s->to)
            return ERR_MEMORY;
    }
    TRY(normalizer_add(&t->normalizer, NORMALIZER_REPLACE, &s));
    s->from = mem_text(" ", 1);
    s->from_length = 1;
    s->to = mem_text("\xE2\x96\x81", 3);
    s->to_length = 3;
    if (!s->from || !s->to)
        return ERR_MEMORY;
    t->bpe.byte_fallback = true;
    return tokenizer_add_piece_decoders(t, t->space_prefix);
}

/* "llama": SentencePiece's BPE as pieces with scores. */
static int read_all_pieces(struct tokenizer *t, const struct gguf *g)
{
    static const struct pre pre = {.name = "default", .adds_bos = true};
    t->vocab.plain = true;
    TRY(set_pieces(t, g));
    TRY(read_tokens(t, g));
    TRY(read_scores(t, g));
    if (!gguf_find(g, "tokenizer.ggml.token_type"))
        return fail(ERR_FORMAT, "tokenizer.ggml.token_type is missing");
    TRY(read_types(t, g));
    TRY(read_special(t, g));
    t->bpe.unk = t->special[TOKENIZER_UNK];
    for (int32_t id = 0; id < t->vocab.count && t->bpe.unk < 0; id++)
        if (t->vocab.tokens[id].type == PIECE_UNKNOWN)
            t->bpe.unk = t->special[TOKENIZER_UNK] = id;
    TRY(read_affixes(t, g, &pre));
    TRY(read_rest(t, g));
    TRY(tokenizer_finish_pieces(t, false));
    return tokenizer_finish(t);
}

static int read_all(struct tokenizer *t, const struct gguf *g)
{
    const struct pre *pre = NULL;
    bool pieces;
    TRY(check_model(g, &pieces));
    if (pieces)
        return read_all_pieces(t, g);
    TRY(find_pre(g, &pre));
    TRY(read_tokens(t, g));
    TRY(read_types(t, g));
    TRY(read_merges(t, g));
    TRY(read_special(t, g));
    TRY(read_affixes(t, g, pre));
    TRY(read_rest(t, g));
    for (int i = 0; i < pre->steps; i++)
        TRY(tokenizer_add_step(t, pre->kinds[i]));
    t->bytes = true;
    t->bpe.whole_first = pre->whole_first;
    return tokenizer_finish(t);
}

int tokenizer_from_gguf(const struct gguf *g, struct tokenizer **out)
{
    struct tokenizer *t = tokenizer_new();
    if (!t)
        return ERR_MEMORY;
    int status = read_all(t, g);
    if (status) {
        tokenizer_free(t);
        return status;
    }
    *out = t;
    return OK;
}
