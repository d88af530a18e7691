/* llama.c -- the llama family: RMSNorm, rotary embedding, grouped-query attention, gated MLP.
 *
 * Serves Llama, Mistral, TinyLlama, SmolLM and others of model_type "llama". The residual stream
 * is carried as "what to add" and "what is there", so that each addition is fused into the norm
 * that follows it. Normalised activations and the MLP's product are dropped after their last use
 * in forward and made again in backward: they would be a third of the memory of a step. */
#include "engine/model/cache.h"
#include "engine/model/model.h"
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <stdio.h>

struct llama_layer {
    struct parameter *input_norm, *post_norm; /* [H], borrowed */
    struct module *q, *k, *v, *o, *gate, *up, *down;
};

struct llama {
    struct parameter *norm;  /* [H], borrowed */
    struct tensor *inv_freq; /* F64 [head_dim / 2], owned */
    struct llama_layer layers[];
};

/* --- building -------------------------------------------------------------------------------- */

static int layer_linear(struct model *m, struct weight_source *s, int64_t layer, const char *part,
                        int64_t rows, int64_t cols, struct module **out)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s", (int)layer, part);
    return model_add_linear(m, s, name, rows, cols, out);
}

static int layer_norm(struct model *m, struct weight_source *s, int64_t layer, const char *part,
                      struct parameter **out)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", (int)layer, part);
    return model_add_parameter(m, s, name, -1, m->config.hidden_size, out);
}

static int build_layer(struct model *m, struct weight_source *s, int64_t i, struct llama_layer *l)
{
    const struct model_config *c = &m->config;
    int64_t h = c->hidden_size, f = c->intermediate_size;
    int64_t q = c->num_attention_heads * c->head_dim, kv = c->num_key_value_heads * c->head_dim;
    TRY(layer_linear(m, s, i, "self_attn.q_proj", q, h, &l->q));
    TRY(layer_linear(m, s, i, "self_attn.k_proj", kv, h, &l->k));
    TRY(layer_linear(m, s, i, "self_attn.v_proj", kv, h, &l->v));
    TRY(layer_linear(m, s, i, "self_attn.o_proj", h, q, &l->o));
    TRY(layer_linear(m, s, i, "mlp.gate_proj", f, h, &l->gate));
    TRY(layer_linear(m, s, i, "mlp.up_proj", f, h, &l->up));
    TRY(layer_linear(m, s, i, "mlp.down_proj", h, f, &l->down));
    TRY(layer_norm(m, s, i, "input_layernorm", &l->input_norm));
    return layer_norm(m, s, i, "post_attention_layernorm", &l->post_norm);
}

/* inv_freq_i = theta^(-2i/D) / factor, divided further by the file's own factors when it has them
 * (llama 3's scaling is stored that way in GGUF). */
static int build_rope(struct model *m, struct weight_source *s, struct llama *l)
{
    const struct model_config *c = &m->config;
    int64_t n = c->head_dim / 2;
    double *freq = mem_alloc((size_t)n * 2 * sizeof *freq), *factors = freq ? freq + n : NULL;
    struct tensor *stored = NULL;
    int status = freq ? OK : ERR_MEMORY;
    if (!status)
        status =
            s->get(s, m->ctx, "rope_freqs.weight", -1, n, format_by_name("f32"), true, &stored);
    if (!status && stored)
        status = tensor_read_double(stored, factors);
    for (int64_t i = 0; i < n && !status; i++) {
        freq[i] = pow(c->rope.theta, -2.0 * (double)i / (double)c->head_dim) / c->rope.factor;
        if (stored)
            freq[i] /= factors[i];
        if (!isfinite(freq[i]))
            status = fail(ERR_FORMAT, "model: rope factor %d is %g, wanted a positive number",
                          (int)i + 1, factors[i]);
    }
    if (!status)
        status = tensor_from(m->ctx, DT_F64, 1, &n, freq, &l->inv_freq);
    tensor_release(stored);
    mem_free(freq);
    return status;
}

static int llama_build(struct model *m, struct weight_source *s)
{
    const struct model_config *c = &m->config;
    int64_t layers = c->num_hidden_layers;
    struct llama *l = mem_calloc(1, sizeof *l + (size_t)layers * sizeof l->layers[0]);
    if (!l)
        return ERR_MEMORY;
    m->family = l;
    TRY(model_reserve(m, 7 * layers + 2, 2 * layers + 1));
    TRY(model_add_embedding(m, s, "model.embed_tokens"));
    for (int64_t i = 0; i < layers; i++)
        TRY(build_layer(m, s, i, &l->layers[i]));
    TRY(model_add_parameter(m, s, "model.norm.weight", -1, c->hidden_size, &l->norm));
    TRY(model_add_head(m, s, "lm_head"));
    return build_rope(m, s, l);
}

static void llama_free(struct model *m)
{
    struct llama *l = m->family;
    if (l)
        tensor_release(l->inv_freq);
    mem_free(l);
    m->family = NULL;
}

/* --- forward --------------------------------------------------------------------------------- */

struct pass {
    struct model *m;
    const struct batch *b;
    const struct dropout_source *dropout; /* NULL in evaluation */
    struct rope rope;
};

static int linear(struct pass *p, struct tensor *x, struct module *l, struct tensor **y)
{
    return op_linear(x, &l->linear, p->dropout, y);
}

/* y = rope(x W^T) */
static int rotated(struct pass *p, struct tensor *x, struct module *l, int64_t heads,
                   struct tensor **y)
{
    struct tensor *plain;
    TRY(linear(p, x, l, &plain));
    int status = op_rope_inplace(plain, heads, p->b->positions, &p->rope, y);
    tensor_release(plain);
    return status;
}

static int attend(struct pass *p, int64_t layer, struct tensor *q, struct tensor *k,
                  struct tensor *v, struct tensor **out)
{
    const struct model_config *c = &p->m->config;
    struct cache *cache = p->b->cache;
    struct attention a = {.heads = c->num_attention_heads,
                          .kv_heads = c->num_key_value_heads,
                          .head_dim = c->head_dim,
                          .q_start = p->b->starts,
                          .k_start = p->b->starts,
                          .max_q = p->b->longest,
                          .max_k = p->b->longest,
                          .window = c->sliding_window,
                          .scale = 1 / sqrt((double)c->head_dim)};
    if (!cache)
        return op_attention(q, k, v, &a, out);
    TRY(cache_store(cache, layer, k, v));
    a.k_start = cache->start;
    a.k_len = cache->used;
    a.max_k = cache->length + p->b->tokens;
    return op_attention(q, cache->keys[layer], cache->values[layer], &a, out);
}

/* o = attention(x) W_o^T; x is dropped on the way */
static int attention_part(struct pass *p, int64_t i, struct llama_layer *l, struct tensor *x,
                          struct tensor **o)
{
    const struct model_config *c = &p->m->config;
    struct tensor *q = NULL, *k = NULL, *v = NULL, *y = NULL;
    int status = rotated(p, x, l->q, c->num_attention_heads, &q);
    if (!status)
        status = rotated(p, x, l->k, c->num_key_value_heads, &k);
    if (!status)
        status = linear(p, x, l->v, &v);
    tensor_drop(x);
    if (!status)
        status = attend(p, i, q, k, v, &y);
    tensor_release(q);
    tensor_release(k);
    tensor_release(v);
    if (!status)
        status = linear(p, y, l->o, o);
    tensor_release(y);
    return status;
}

/* y = (silu(x W_gate^T) * x W_up^T) W_down^T; x is dropped on the way */
static int mlp_part(struct pass *p, struct llama_layer *l, struct tensor *x, struct tensor **y)
{
    struct tensor *g = NULL, *u = NULL, *a = NULL;
    int status = linear(p, x, l->gate, &g);
    if (!status)
        status = linear(p, x, l->up, &u);
    tensor_drop(x);
    if (!status)
        status = op_glu(g, u, GLU_SILU, &a);
    tensor_release(g);
    tensor_release(u);
    if (!status)
        status = linear(p, a, l->down, y);
    tensor_drop(a);
    tensor_release(a);
    return status;
}

/* *x (to be added) and *stream (what is there; NULL at first) become y = norm(sum) in *x's place
 * and the new stream. */
static int normalise(struct pass *p, struct tensor **x, struct tensor **stream,
                     const struct parameter *w)
{
    struct tensor *y, *sum;
    TRY(op_rms_norm(*x, *stream, parameter_tensor(w), p->m->config.rms_norm_eps, &y, &sum));
    tensor_release(*x);
    tensor_release(*stream);
    *x = y;
    *stream = sum;
    return OK;
}

static int run_layer(struct pass *p, int64_t i, struct tensor **x, struct tensor **stream)
{
    struct llama *family = p->m->family;
    struct llama_layer *l = &family->layers[i];
    struct tensor *next;
    TRY(normalise(p, x, stream, l->input_norm));
    TRY(attention_part(p, i, l, *x, &next));
    tensor_release(*x);
    *x = next;
    TRY(normalise(p, x, stream, l->post_norm));
    TRY(mlp_part(p, l, *x, &next));
    tensor_release(*x);
    *x = next;
    return OK;
}

static int llama_forward(struct model *m, const struct batch *b, struct tensor **hidden)
{
    struct llama *l = m->family;
    struct pass p = {.m = m,
                     .b = b,
                     .dropout = b->training ? &b->dropout : NULL,
                     .rope = {.inv_freq = l->inv_freq, .scale = 1}};
    struct tensor *x = NULL, *stream = NULL;
    int status = b->cache ? cache_begin(b->cache, b->tokens) : OK;
    if (!status)
        status = op_embedding(&m->embedding->linear, b->ids, &x);
    for (int64_t i = 0; i < m->config.num_hidden_layers && !status; i++) {
        if (m->cancel && *m->cancel >= m->cancel_at)
            status = fail(ERR_CANCELLED, "interrupted");
        else
            status = run_layer(&p, i, &x, &stream);
    }
    if (!status)
        status = normalise(&p, &x, &stream, l->norm);
    tensor_release(stream);
    if (status) {
        tensor_release(x);
        return status;
    }
    if (b->cache)
        cache_end(b->cache, b->tokens);
    *hidden = x;
    return OK;
}

const struct architecture llama_architecture = {
    .model_type = "llama",
    .class_name = "LlamaForCausalLM",
    .lora_targets = "q_proj,v_proj",
    .build = llama_build,
    .forward = llama_forward,
    .free_family = llama_free,
};
