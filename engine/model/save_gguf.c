/* save_gguf.c -- keys and tensors of a model in GGUF; gguf_vocab.c writes the tokenizer's keys. */
#include "engine/model/save_gguf.h"
#include "engine/core/file.h"
#include "engine/formats/gguf_write.h"
#include "engine/model/export.h"
#include "engine/model/gguf_names.h"
#include "engine/model/gguf_vocab.h"
#include "engine/model/rope.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <stdio.h>
#include <string.h>

struct out {
    struct model *m;
    struct gguf *from; /* the file the model came from; NULL = it was none */
    struct gguf_write w;
    struct export_list l;
    struct gguf_write_entry *entries;
    char (*names)[64]; /* of entries */
    float *factors;    /* of rope_freqs.weight; NULL = none */
    int64_t count;
};

/* --- types ----------------------------------------------------------------------------------- */

/* llama.cpp's numbers of general.file_type (not ggml's type ids) and what we call them. */
static const struct file_type {
    const char *format;
    uint32_t id;
} file_types[] = {
    {"f32", 0},   {"f16", 1},   {"q4_0", 2},    {"q4_1", 3},  {"q8_0", 7},
    {"q5_0", 8},  {"q5_1", 9},  {"q2_k", 10},   {"q3_k", 12}, {"q4_k", 15},
    {"q5_k", 17}, {"q6_k", 18}, {"iq4_nl", 25}, {"bf16", 32},
};

static const struct format *wide_enough(const struct format *wanted, int64_t cols)
{
    return cols % wanted->block ? format_by_name("f16") : wanted;
}

/* The matrix that makes logits: the head, or the embedding of a tied model. */
static bool makes_logits(const struct model *m, const struct tensor *t)
{
    return t == m->head->linear.weight;
}

static const struct format *logits_format(const struct format *wanted, int64_t cols)
{
    const struct format *fine = format_by_name("q6_k");
    if (strcmp(wanted->name, "q4_0"))
        return wanted;
    return fine && fine->encode && cols % fine->block == 0 ? fine : format_by_name("q8_0");
}

static int choose(const struct out *o, const struct format *wanted, struct export_tensor *t)
{
    int64_t cols = t->tensor->view.shape[t->tensor->view.ndim - 1];
    if (t->tensor->view.ndim == 1)
        t->format = format_by_name("f32");
    else if (wanted && makes_logits(o->m, t->tensor))
        t->format = wide_enough(logits_format(wanted, cols), cols);
    else if (wanted)
        t->format = wide_enough(wanted, cols);
    else if (t->format->dtype == DT_F64)
        t->format = format_by_name("f32");
    if (t->format->ggml_type >= 0)
        return OK;
    return fail(ERR_ARG,
                "%s is stored as %s, which GGUF files do not hold; hint: say dtype = \"f16\" (or "
                "\"q8_0\" ...)",
                t->name, t->format->name);
}

static int wanted_format(const char *dtype, const struct format **out)
{
    *out = NULL;
    if (!dtype || !strcmp(dtype, "auto"))
        return OK;
    *out = format_by_name(dtype);
    if (!*out)
        TRY(model_wanted_format(dtype, out));
    return OK;
}

/* What most weights are. */
static uint32_t file_type(const struct out *o)
{
    int64_t best = -1;
    uint32_t id = 0;
    for (int i = 0; i < COUNT_OF(file_types); i++) {
        int64_t n = 0;
        for (int64_t k = 0; k < o->l.count; k++)
            if (o->l.items[k].tensor->view.ndim == 2 &&
                !strcmp(o->l.items[k].format->name, file_types[i].format))
                n += tensor_count(o->l.items[k].tensor);
        if (n > best) {
            best = n;
            id = file_types[i].id;
        }
    }
    return id;
}

/* Every tensor has the type it has in the file the model came from: its mix has the same name. */
static bool mixed_as_before(const struct out *o)
{
    char name[64];
    bool heads;
    for (int64_t i = 0; i < o->l.count; i++) {
        const struct export_tensor *t = &o->l.items[i];
        int64_t at =
            gguf_name_of(t->name, name, sizeof name, &heads) ? gguf_find_tensor(o->from, name) : -1;
        if (at < 0 || gguf_tensor(o->from, at)->type != t->format->ggml_type)
            return false;
    }
    return true;
}

/* --- keys ------------------------------------------------------------------------------------ */

/* What a model is called when its file does not say: the last part of where it came from. */
static const char *name_of(const struct model *m)
{
    const char *path = m->name ? m->name : m->path, *slash = path ? strrchr(path, '/') : NULL;
    if (m->config.name[0])
        return m->config.name;
    return slash && slash[1] ? slash + 1 : path ? path : "model";
}

static bool is_own(const char *key)
{
    static const char *const own[] = {"general.architecture", "general.type",
                                      "general.file_type",    "general.quantization_version",
                                      "general.alignment",    "general.name"};
    for (int i = 0; i < COUNT_OF(own); i++)
        if (!strcmp(key, own[i]))
            return true;
    return false;
}

static void general_keys(struct out *o)
{
    gguf_write_text(&o->w, "general.architecture", "llama");
    gguf_write_text(&o->w, "general.type", "model");
    gguf_write_text(&o->w, "general.name", name_of(o->m));
    for (int64_t i = 0; o->from && i < gguf_value_count(o->from); i++) {
        const struct gguf_value *v = gguf_value(o->from, i);
        if (!strncmp(v->key, "general.", 8) && !is_own(v->key))
            gguf_write_copy(&o->w, v);
    }
    const struct gguf_value *mix = o->from ? gguf_find(o->from, "general.file_type") : NULL;
    if (mix && mixed_as_before(o))
        gguf_write_copy(&o->w, mix);
    else
        gguf_write_u32(&o->w, "general.file_type", file_type(o));
    gguf_write_u32(&o->w, "general.quantization_version", 2);
}

static void count_key(struct out *o, const char *key, int64_t value)
{
    char name[96];
    snprintf(name, sizeof name, "llama.%s", key);
    gguf_write_u32(&o->w, name, (uint32_t)value);
}

static void number_key(struct out *o, const char *key, double value)
{
    char name[96];
    snprintf(name, sizeof name, "llama.%s", key);
    gguf_write_f32(&o->w, name, (float)value);
}

static int yarn_keys(struct out *o)
{
    const struct rope_config *r = &o->m->config.rope;
    if (!r->truncate)
        return fail(ERR_ARG, "yarn with truncate = false has no key in GGUF; hint: save a folder: "
                             "model:save_pretrained(dir)");
    gguf_write_text(&o->w, "llama.rope.scaling.type", "yarn");
    number_key(o, "rope.scaling.factor", r->factor);
    count_key(o, "rope.scaling.original_context_length", r->original_length);
    if (r->attention_factor || r->mscale) { /* on top of what yarn gives by itself */
        struct rope_config bare = *r;
        double all = r->attention_factor ? r->attention_factor : rope_yarn_attention(r);
        bare.mscale = 0;
        number_key(o, "rope.scaling.attn_factor", all / rope_yarn_attention(&bare));
    }
    if (r->beta_fast != 32)
        number_key(o, "rope.scaling.yarn_beta_fast", r->beta_fast);
    if (r->beta_slow != 1)
        number_key(o, "rope.scaling.yarn_beta_slow", r->beta_slow);
    return OK;
}

static int rope_keys(struct out *o)
{
    const struct model_config *c = &o->m->config;
    count_key(o, "rope.dimension_count", c->head_dim);
    number_key(o, "rope.freq_base", c->rope.theta);
    if (c->rope.kind == ROPE_LINEAR) {
        gguf_write_text(&o->w, "llama.rope.scaling.type", "linear");
        number_key(o, "rope.scaling.factor", c->rope.factor);
    }
    return c->rope.kind == ROPE_YARN ? yarn_keys(o) : OK;
}

static int llama_keys(struct out *o)
{
    const struct model_config *c = &o->m->config;
    count_key(o, "vocab_size", c->vocab_size);
    count_key(o, "context_length", c->max_position_embeddings);
    count_key(o, "embedding_length", c->hidden_size);
    count_key(o, "block_count", c->num_hidden_layers);
    count_key(o, "feed_forward_length", c->intermediate_size);
    count_key(o, "attention.head_count", c->num_attention_heads);
    count_key(o, "attention.head_count_kv", c->num_key_value_heads);
    number_key(o, "attention.layer_norm_rms_epsilon", c->rms_norm_eps);
    count_key(o, "attention.key_length", c->head_dim);
    count_key(o, "attention.value_length", c->head_dim);
    if (c->sliding_window)
        count_key(o, "attention.sliding_window", c->sliding_window);
    return rope_keys(o);
}

/* --- tensors --------------------------------------------------------------------------------- */

/* Factors that plain frequencies are divided by. */
static int rope_factors(struct out *o)
{
    const struct model_config *c = &o->m->config;
    int64_t n = c->head_dim / 2;
    const double *stored = o->m->rope_factors;
    if (c->rope.kind != ROPE_LLAMA3 && !stored)
        return OK;
    double *factors = mem_alloc((size_t)n * sizeof *factors);
    o->factors = mem_alloc((size_t)n * sizeof *o->factors);
    int status = factors && o->factors ? OK : ERR_MEMORY;
    if (!status && !stored)
        rope_llama3_factors(&c->rope, c->head_dim, factors);
    for (int64_t i = 0; i < n && !status; i++)
        o->factors[i] = (float)(stored ? stored[i] : factors[i]);
    mem_free(factors);
    return status;
}

static int add_entry(struct out *o, struct export_tensor *t)
{
    bool heads;
    const struct view *v = &t->tensor->view;
    char *name = o->names[o->count];
    if (!gguf_name_of(t->name, name, sizeof o->names[0], &heads))
        return fail(ERR_ARG, "%s has no name in a GGUF file", t->name);
    struct gguf_write_entry *e = &o->entries[o->count++];
    *e = (struct gguf_write_entry){
        .name = name, .type = t->format->ggml_type, .ndim = v->ndim, .tensor = t};
    for (int d = 0; d < v->ndim; d++)
        e->shape[d] = v->shape[d];
    return OK;
}

static int add_entries(struct out *o)
{
    o->entries = mem_calloc((size_t)o->l.count + 1, sizeof *o->entries);
    o->names = mem_calloc((size_t)o->l.count + 1, sizeof *o->names);
    if (!o->entries || !o->names)
        return ERR_MEMORY;
    TRY(rope_factors(o));
    if (o->factors)
        o->entries[o->count++] = (struct gguf_write_entry){
            .name = "rope_freqs.weight", .ndim = 1, .shape = {o->m->config.head_dim / 2}};
    for (int64_t i = 0; i < o->l.count; i++)
        TRY(add_entry(o, &o->l.items[i]));
    return OK;
}

static int read_entry(void *ctx, const struct gguf_write_entry *e, void *bytes)
{
    struct out *o = ctx;
    struct export_tensor *t = e->tensor;
    char name[64];
    bool heads;
    if (o->m->cancel && *o->m->cancel >= o->m->cancel_at)
        return fail(ERR_CANCELLED, "interrupted");
    if (!t) {
        memcpy(bytes, o->factors, (size_t)e->shape[0] * sizeof *o->factors);
        return OK;
    }
    if (!gguf_name_of(t->name, name, sizeof name, &heads) || !heads)
        return export_read(t, bytes);
    size_t all = export_tensor_bytes(t);
    char *plain = mem_alloc_aligned(all);
    int status = plain ? export_read(t, plain) : ERR_MEMORY;
    if (!status)
        gguf_rows_to_file(plain, bytes, e->shape[0], all / (size_t)e->shape[0],
                          o->m->config.head_dim);
    mem_free(plain);
    return status;
}

/* --- the whole ------------------------------------------------------------------------------- */

static int write_out(struct out *o, const char *path, const struct save_gguf_config *c)
{
    const struct format *wanted;
    TRY(wanted_format(c->dtype, &wanted));
    for (int64_t i = 0; i < o->l.count; i++)
        TRY(choose(o, wanted, &o->l.items[i]));
    export_count(&o->l);
    TRY(export_refuse_source(o->m, path));
    /* with a tokenizer given, only general.* keys are missed when the file is gone */
    if (o->m->path && !o->m->config_json && (!c->tokenizer || file_exists(o->m->path)))
        TRY(gguf_open(o->m->path, &o->from));
    TRY(export_check_room(path, o->l.bytes));
    general_keys(o);
    TRY(llama_keys(o));
    TRY(gguf_vocab_keys(&o->w, o->m, o->from, c->tokenizer));
    TRY(add_entries(o));
    return gguf_write_save(&o->w, path, o->entries, o->count, read_entry, o);
}

int model_save_gguf(struct model *m, const char *path, const struct save_gguf_config *config)
{
    struct out o = {.m = m};
    TRY(export_collect(m,
                       "merge it first (model = model:merge_and_unload()), or save it alone: "
                       "model:save_adapter_gguf(path)",
                       &o.l));
    int status = write_out(&o, path, config);
    gguf_write_free(&o.w);
    gguf_close(o.from);
    mem_free(o.entries);
    mem_free(o.names);
    mem_free(o.factors);
    export_free(&o.l);
    return status;
}
