/* gguf_vocab.c -- a tokenizer as keys of a GGUF file; gguf_vocab.h says from where. */
#include "engine/model/gguf_vocab.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int check_rows(const struct model *m, int64_t tokens)
{
    if (tokens <= m->config.vocab_size)
        return OK;
    return fail(ERR_ARG,
                "the tokenizer has %" PRId64 " tokens, the model has rows for %" PRId64
                "; hint: this tokenizer belongs to another model, or got tokens that the model "
                "has not learned",
                tokens, m->config.vocab_size);
}

/* --- as they were ---------------------------------------------------------------------------- */

static int copy_keys(struct gguf_write *w, const struct model *m, const struct gguf *from)
{
    const struct gguf_value *tokens = from ? gguf_find(from, "tokenizer.ggml.tokens") : NULL;
    if (!tokens)
        return fail(ERR_ARG,
                    "a GGUF file holds its tokenizer, and the model came without one; hint: "
                    "model:save_gguf(path, {tokenizer = tokenizer})");
    TRY(check_rows(m, (int64_t)tokens->count));
    for (int64_t i = 0; i < gguf_value_count(from); i++)
        if (!strncmp(gguf_value(from, i)->key, "tokenizer.", 10))
            gguf_write_copy(w, gguf_value(from, i));
    return OK;
}

/* --- of a tokenizer -------------------------------------------------------------------------- */

#define PAD_BYTES 32
enum { TYPE_UNUSED = 5 };

struct lists {
    const char **texts;
    size_t *lengths;
    int32_t *types;
    char (*pads)[PAD_BYTES];
    float *scores;
    int32_t *pairs;
};

static void lists_free(struct lists *l)
{
    mem_free(l->texts);
    mem_free(l->lengths);
    mem_free(l->types);
    mem_free(l->pads);
    mem_free(l->scores);
    mem_free(l->pairs);
}

static int token_lists(struct gguf_write *w, const struct model *m, const struct tokenizer *t,
                       struct lists *l)
{
    int64_t n = m->config.vocab_size, known = tokenizer_size(t);
    l->texts = mem_calloc((size_t)n, sizeof *l->texts);
    l->lengths = mem_calloc((size_t)n, sizeof *l->lengths);
    l->types = mem_calloc((size_t)n, sizeof *l->types);
    l->pads = mem_calloc((size_t)n, sizeof *l->pads);
    if (!l->texts || !l->lengths || !l->types || !l->pads)
        return ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        l->texts[i] = i < known ? tokenizer_token(t, (int32_t)i, &l->lengths[i]) : NULL;
        l->types[i] = l->texts[i] ? tokenizer_token_type(t, (int32_t)i) : TYPE_UNUSED;
        if (!l->texts[i]) {
            snprintf(l->pads[i], PAD_BYTES, "[PAD%" PRId64 "]", i);
            l->texts[i] = l->pads[i];
            l->lengths[i] = strlen(l->pads[i]);
        }
    }
    gguf_write_texts(w, "tokenizer.ggml.tokens", l->texts, l->lengths, n);
    gguf_write_i32s(w, "tokenizer.ggml.token_type", l->types, n);
    return OK;
}

/* Of tokens that only fill up: lower than any other. */
static int score_list(struct gguf_write *w, const struct model *m, const struct tokenizer *t,
                      struct lists *l)
{
    int64_t n = m->config.vocab_size;
    float *known;
    l->scores = mem_alloc((size_t)n * sizeof *l->scores);
    if (!l->scores)
        return ERR_MEMORY;
    TRY(tokenizer_scores(t, &known));
    for (int64_t i = 0; i < n; i++)
        l->scores[i] = i < tokenizer_size(t) ? known[i] : -10000;
    mem_free(known);
    gguf_write_f32s(w, "tokenizer.ggml.scores", l->scores, n);
    return OK;
}

/* "left right" of every merge, one after the other in 'text'. */
static int merge_list(struct gguf_write *w, const struct tokenizer *t, struct lists *l)
{
    struct buffer text = {0};
    int64_t n;
    TRY(tokenizer_merges(t, &l->pairs, &n));
    size_t *lengths = mem_calloc((size_t)n + 1, sizeof *lengths);
    const char **texts = mem_calloc((size_t)n + 1, sizeof *texts);
    int status = lengths && texts ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < n && !status; i++) {
        int64_t start = text.length;
        for (int side = 0; side < 2; side++) {
            size_t length;
            const char *token = tokenizer_token(t, l->pairs[2 * i + side], &length);
            if (side)
                buffer_text(&text, " ");
            buffer_add(&text, token, length);
        }
        lengths[i] = (size_t)(text.length - start);
    }
    if (!status)
        status = buffer_close(&text);
    for (int64_t i = 0, at = 0; i < n && !status; at += (int64_t)lengths[i++])
        texts[i] = text.bytes + at;
    if (!status)
        gguf_write_texts(w, "tokenizer.ggml.merges", texts, lengths, n);
    buffer_free(&text);
    mem_free(lengths);
    mem_free(texts);
    return status;
}

static void id_keys(struct gguf_write *w, const struct tokenizer *t)
{
    static const struct {
        enum tokenizer_special which;
        const char *key;
    } ids[] = {{TOKENIZER_BOS, "tokenizer.ggml.bos_token_id"},
               {TOKENIZER_EOS, "tokenizer.ggml.eos_token_id"},
               {TOKENIZER_UNK, "tokenizer.ggml.unknown_token_id"},
               {TOKENIZER_PAD, "tokenizer.ggml.padding_token_id"}};
    for (int i = 0; i < 4; i++)
        if (tokenizer_special_id(t, ids[i].which) >= 0)
            gguf_write_u32(w, ids[i].key, (uint32_t)tokenizer_special_id(t, ids[i].which));
    gguf_write_bool(w, "tokenizer.ggml.add_bos_token", tokenizer_adds_bos(t));
    gguf_write_bool(w, "tokenizer.ggml.add_eos_token", tokenizer_adds_eos(t));
}

static int vocabulary(struct gguf_write *w, const struct model *m, const struct tokenizer *t,
                      struct lists *l)
{
    const char *kind = tokenizer_gguf_model(t), *pre = tokenizer_pre_name(t);
    if (!kind || !pre)
        return fail(ERR_ARG,
                    "llama.cpp has no name for %s of this tokenizer (%s); hint: save a folder: "
                    "model:save_pretrained(dir)",
                    kind ? "the splitter" : "the vocabulary", tokenizer_kind(t));
    bool scored = !strcmp(kind, "llama");
    gguf_write_text(w, "tokenizer.ggml.model", kind);
    gguf_write_text(w, "tokenizer.ggml.pre", pre);
    TRY(token_lists(w, m, t, l));
    TRY(scored ? score_list(w, m, t, l) : merge_list(w, t, l));
    id_keys(w, t);
    if (scored)
        gguf_write_bool(w, "tokenizer.ggml.add_space_prefix", tokenizer_adds_space(t));
    if (tokenizer_chat_template(t))
        gguf_write_text(w, "tokenizer.chat_template", tokenizer_chat_template(t));
    return OK;
}

int gguf_vocab_keys(struct gguf_write *w, const struct model *m, const struct gguf *from,
                    const struct tokenizer *t)
{
    struct lists l = {0};
    if (!t)
        return copy_keys(w, m, from);
    TRY(check_rows(m, tokenizer_size(t)));
    int status = vocabulary(w, m, t, &l);
    lists_free(&l);
    return status;
}
