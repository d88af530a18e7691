/* source_gguf.c -- weights of a GGUF file under their Hugging Face names, with the original order
 * of q's and k's rows (gguf_names.h). */
#include "engine/model/source_gguf.h"
#include "engine/formats/gguf.h"
#include "engine/model/gguf_names.h"
#include "engine/model/rope.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gguf_source {
    struct weight_source base;
    struct gguf *g;
    bool *used;       /* per tensor of the file */
    int64_t head_dim; /* for the row order of q and k */
};

/* --- reading --------------------------------------------------------------------------------- */

static int wrong_shape(const struct gguf_source *s, const char *name, const struct gguf_tensor *t,
                       int64_t rows, int64_t cols)
{
    char found[80], wanted[64];
    return fail(ERR_FORMAT,
                "%s: %s has shape %s, wanted %s; hint: the file's settings and its "
                "weights do not belong together",
                s->base.path, name, shape_text(t->shape, t->ndim, found, sizeof found),
                shape_text(rows < 0 ? &cols : (const int64_t[]){rows, cols}, rows < 0 ? 1 : 2,
                           wanted, sizeof wanted));
}
/* The bytes of tensor 'i' in a fresh block, in the original row order. */
static int read_rows(struct gguf_source *s, int64_t i, bool heads, char **out)
{
    const struct gguf_tensor *t = gguf_tensor(s->g, i);
    char *bytes = mem_alloc_aligned(t->bytes), *ordered = NULL;
    if (!bytes)
        return ERR_MEMORY;
    int status = gguf_read_tensor(s->g, i, bytes);
    if (!status && heads) {
        ordered = mem_alloc_aligned(t->bytes);
        status = ordered ? OK : ERR_MEMORY;
    }
    if (!status && heads) {
        gguf_rows_from_file(bytes, ordered, t->shape[0], t->bytes / (size_t)t->shape[0],
                            s->head_dim);
        mem_free(bytes);
        bytes = ordered;
        ordered = NULL;
    }
    mem_free(ordered);
    if (status)
        mem_free(bytes);
    else
        *out = bytes;
    return status;
}

static int load(struct gguf_source *s, struct context *ctx, int64_t i, bool heads,
                const struct format *stored, struct tensor **out)
{
    const struct gguf_tensor *t = gguf_tensor(s->g, i);
    bool vector = t->ndim == 1;
    char *bytes;
    TRY(tensor_new_weight(ctx, stored, vector ? -1 : t->shape[0], t->shape[t->ndim - 1], out));
    int status = read_rows(s, i, heads, &bytes);
    if (!status) {
        status = tensor_write(*out, bytes);
        mem_free(bytes);
    }
    if (status)
        tensor_clear(out);
    return status;
}

static int gguf_get(struct weight_source *base, struct context *ctx, const char *name, int64_t rows,
                    int64_t cols, const struct format *format, bool optional, struct tensor **out)
{
    struct gguf_source *s = (struct gguf_source *)base;
    char stored_name[128];
    bool heads;
    *out = NULL;
    int64_t i = gguf_name_of(name, stored_name, sizeof stored_name, &heads)
                    ? gguf_find_tensor(s->g, stored_name)
                    : -1;
    if (i < 0 && optional)
        return OK;
    if (i < 0)
        return fail(ERR_FORMAT,
                    "%s: no tensor %s (%s); hint: the file is incomplete or of another "
                    "model family",
                    base->path, stored_name, name);
    const struct gguf_tensor *t = gguf_tensor(s->g, i);
    s->used[i] = true;
    bool fits = rows < 0 ? t->ndim == 1 && t->shape[0] == cols
                         : t->ndim == 2 && t->shape[0] == rows && t->shape[1] == cols;
    if (!fits)
        return wrong_shape(s, stored_name, t, rows, cols);
    const struct format *stored = format_by_ggml(t->type);
    if (!stored)
        return fail(ERR_FORMAT,
                    "%s: %s is stored as %s, which cannot be read; hint: formats read are %s",
                    base->path, stored_name, format_ggml_name(t->type), formats_text);
    struct tensor *loaded;
    int status = load(s, ctx, i, heads, stored, &loaded);
    if (status)
        return fail_in(status, "%s: %s", base->path, stored_name);
    if (!format || format == stored) {
        *out = loaded;
        return OK;
    }
    status = tensor_convert(loaded, format->dtype, out);
    tensor_release(loaded);
    return status;
}

static int gguf_leftover(struct weight_source *base)
{
    struct gguf_source *s = (struct gguf_source *)base;
    for (int64_t i = 0; i < gguf_tensor_count(s->g); i++)
        if (!s->used[i])
            return fail(ERR_FORMAT,
                        "%s: tensor %s belongs to nothing in a llama model; hint: the "
                        "file is of a family that is not supported",
                        base->path, gguf_tensor(s->g, i)->name);
    return OK;
}

/* --- settings -------------------------------------------------------------------------------- */

static int setting(struct gguf *g, const char *key, int64_t *out)
{
    char name[96];
    snprintf(name, sizeof name, "llama.%s", key);
    return gguf_int(g, name, out);
}

static int setting_or(struct gguf *g, const char *key, int64_t preset, int64_t *out)
{
    char name[96];
    snprintf(name, sizeof name, "llama.%s", key);
    return gguf_int_or(g, name, preset, out);
}

static void copy_text(struct gguf *g, const char *key, char *out, size_t bytes)
{
    const char *text;
    size_t length;
    out[0] = '\0';
    if (gguf_find(g, key) && !gguf_text(g, key, &text, &length))
        snprintf(out, bytes, "%.*s", (int)i64_min((int64_t)length, (int64_t)bytes - 1), text);
}

static int check_family(struct gguf *g, struct model_config *c)
{
    const char *text;
    size_t length;
    TRY(gguf_text(g, "general.architecture", &text, &length));
    snprintf(c->model_type, sizeof c->model_type, "%.*s", (int)i64_min((int64_t)length, 31), text);
    if (strcmp(c->model_type, "llama"))
        return fail(ERR_FORMAT,
                    "a model of family '%s' cannot be opened; hint: supported is llama "
                    "(Llama, Mistral, TinyLlama, SmolLM ...)",
                    c->model_type);
    int64_t parts;
    TRY(gguf_int_or(g, "split.count", 1, &parts));
    if (parts > 1)
        return fail(ERR_FORMAT,
                    "the file is one of %" PRId64 " parts of a model; hint: join them with "
                    "llama-gguf-split --merge",
                    parts);
    if (gguf_find(g, "llama.expert_count")) {
        int64_t experts;
        TRY(gguf_int(g, "llama.expert_count", &experts));
        if (experts > 0)
            return fail(ERR_FORMAT, "a mixture of %" PRId64 " experts cannot be opened", experts);
    }
    return OK;
}

/* attn_factor is on top of what yarn gives by itself. */
static int yarn_settings(struct gguf *g, struct model_config *c)
{
    struct rope_config *r = &c->rope;
    double on_top;
    r->kind = ROPE_YARN;
    r->truncate = true;
    TRY(gguf_float_or(g, "llama.rope.scaling.factor", 1, &r->factor));
    TRY(setting_or(g, "rope.scaling.original_context_length", c->max_position_embeddings,
                   &r->original_length));
    TRY(gguf_float_or(g, "llama.rope.scaling.yarn_beta_fast", 32, &r->beta_fast));
    TRY(gguf_float_or(g, "llama.rope.scaling.yarn_beta_slow", 1, &r->beta_slow));
    TRY(gguf_float_or(g, "llama.rope.scaling.attn_factor", 1, &on_top));
    if (on_top != 1 && r->factor > 0)
        r->attention_factor = on_top * rope_yarn_attention(r);
    return OK;
}

static int rope_settings(struct gguf *g, struct model_config *c)
{
    char kind[32];
    int64_t rotated;
    c->rope.factor = 1;
    TRY(gguf_float_or(g, "llama.rope.freq_base", 10000, &c->rope.theta));
    TRY(setting_or(g, "rope.dimension_count", c->head_dim, &rotated));
    if (rotated != c->head_dim)
        return fail(ERR_FORMAT,
                    "rotary embedding of %" PRId64 " of %" PRId64 " dimensions cannot be used",
                    rotated, c->head_dim);
    copy_text(g, "llama.rope.scaling.type", kind, sizeof kind);
    if (!strcmp(kind, "none"))
        return OK;
    if (!kind[0]) { /* older files: a factor without a type is linear, 0 means none */
        TRY(gguf_float_or(g, "llama.rope.scale_linear", 1, &c->rope.factor));
        TRY(gguf_float_or(g, "llama.rope.scaling.factor", c->rope.factor, &c->rope.factor));
        if (c->rope.factor == 0)
            c->rope.factor = 1;
        c->rope.kind = c->rope.factor == 1 ? ROPE_DEFAULT : ROPE_LINEAR;
        return OK;
    }
    if (!strcmp(kind, "yarn"))
        return yarn_settings(g, c);
    if (strcmp(kind, "linear"))
        return fail(ERR_FORMAT,
                    "rope scaling '%s' cannot be used; hint: supported are none, linear and yarn",
                    kind);
    c->rope.kind = ROPE_LINEAR;
    return gguf_float_or(g, "llama.rope.scaling.factor", 1, &c->rope.factor);
}

static int read_config(struct gguf *g, struct model_config *c)
{
    int64_t tokens = 0, key_length;
    TRY(check_family(g, c));
    copy_text(g, "general.name", c->name, sizeof c->name);
    TRY(setting(g, "embedding_length", &c->hidden_size));
    TRY(setting(g, "feed_forward_length", &c->intermediate_size));
    TRY(setting(g, "block_count", &c->num_hidden_layers));
    TRY(setting(g, "attention.head_count", &c->num_attention_heads));
    TRY(setting_or(g, "attention.head_count_kv", c->num_attention_heads, &c->num_key_value_heads));
    TRY(setting_or(g, "context_length", 2048, &c->max_position_embeddings));
    TRY(setting_or(g, "attention.sliding_window", 0, &c->sliding_window));
    TRY(gguf_float(g, "llama.attention.layer_norm_rms_epsilon", &c->rms_norm_eps));
    int64_t width = c->num_attention_heads > 0 ? c->hidden_size / c->num_attention_heads : 0;
    TRY(setting_or(g, "attention.key_length", width, &c->head_dim));
    TRY(setting_or(g, "attention.value_length", c->head_dim, &key_length));
    if (key_length != c->head_dim)
        return fail(ERR_FORMAT, "keys of %" PRId64 " and values of %" PRId64 " dimensions",
                    c->head_dim, key_length);
    TRY(rope_settings(g, c));
    const struct gguf_value *list = gguf_find(g, "tokenizer.ggml.tokens");
    if (list && list->type == GGUF_ARRAY)
        tokens = (int64_t)list->count;
    int64_t embed = gguf_find_tensor(g, "token_embd.weight");
    if (embed >= 0)
        tokens = gguf_tensor(g, embed)->shape[0];
    TRY(setting_or(g, "vocab_size", tokens, &c->vocab_size));
    if (embed >= 0) /* the table decides: it may have more rows than the tokenizer has tokens */
        c->vocab_size = tokens;
    c->tie_word_embeddings = gguf_find_tensor(g, "output.weight") < 0;
    c->attention_bias = gguf_find_tensor(g, "blk.0.attn_q.bias") >= 0;
    c->mlp_bias = gguf_find_tensor(g, "blk.0.ffn_gate.bias") >= 0;
    TRY(gguf_int_or(g, "tokenizer.ggml.bos_token_id", -1, &c->bos_token_id));
    TRY(gguf_int_or(g, "tokenizer.ggml.eos_token_id", -1, &c->eos_token_id));
    TRY(gguf_int_or(g, "tokenizer.ggml.padding_token_id", -1, &c->pad_token_id));
    c->eos_count = c->eos_token_id >= 0;
    c->eos_ids[0] = (int32_t)c->eos_token_id;
    return OK;
}

int source_gguf_open(const char *path, struct model_config *config, struct weight_source **out)
{
    struct gguf_source *s = mem_calloc(1, sizeof *s);
    if (!s)
        return ERR_MEMORY;
    s->base = (struct weight_source){
        .path = path, .get = gguf_get, .leftover = gguf_leftover, .close = source_gguf_close};
    int status = gguf_open(path, &s->g);
    if (!status) {
        *config = (struct model_config){0};
        status = read_config(s->g, config);
        if (status)
            status = fail_in(status, "%s", path);
    }
    if (!status && !(s->used = mem_calloc((size_t)gguf_tensor_count(s->g) + 1, sizeof *s->used)))
        status = ERR_MEMORY;
    if (status) {
        source_gguf_close(&s->base);
        return status;
    }
    s->head_dim = config->head_dim;
    *out = &s->base;
    return OK;
}

void source_gguf_close(struct weight_source *base)
{
    struct gguf_source *s = (struct gguf_source *)base;
    if (!s)
        return;
    gguf_close(s->g);
    mem_free(s->used);
    mem_free(s);
}
