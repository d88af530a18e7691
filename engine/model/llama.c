/* llama.c -- the llama family: RMSNorm, rotary embedding, grouped-query attention, gated MLP.
 *
 * Serves Llama, Mistral, TinyLlama, SmolLM and others of model_type "llama". The residual stream
 * is carried as "what to add" and "what is there", so that each addition is fused into the norm
 * that follows it. Normalised activations and the MLP's product are dropped after their last use
 * in forward and made again in backward: they would be a third of the memory of a step. */
#include "engine/model/cache.h"
#include "engine/model/model.h"
#include "engine/model/rope.h"
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <math.h>
#include <stdio.h>

struct llama_layer {
    struct parameter *input_norm, *post_norm; /* [H], borrowed */
    struct module *q, *k, *v, *o, *gate, *up, *down;
};

struct llama {
    struct parameter *norm;  /* [H], borrowed */
    struct tensor *inv_freq; /* F64 [head_dim / 2], owned */
    double rope_scale;       /* factor of cos and sin */
    struct llama_layer layers[];
};

/* --- building -------------------------------------------------------------------------------- */

static int layer_linear(struct model *m, struct weight_source *s, int64_t layer, const char *part,
                        int64_t rows, int64_t cols, bool bias, struct module **out)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s", (int)layer, part);
    TRY(model_add_linear(m, s, name, rows, cols, out));
    if (bias == ((*out)->linear.bias != NULL))
        return OK;
    return fail(ERR_FORMAT, "%s: %s %s a bias, and the model's settings say that it has %s",
                s->path, name, bias ? "lacks" : "has", bias ? "one" : "none");
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
    TRY(layer_linear(m, s, i, "self_attn.q_proj", q, h, c->attention_bias, &l->q));
    TRY(layer_linear(m, s, i, "self_attn.k_proj", kv, h, c->attention_bias, &l->k));
    TRY(layer_linear(m, s, i, "self_attn.v_proj", kv, h, c->attention_bias, &l->v));
    TRY(layer_linear(m, s, i, "self_attn.o_proj", h, q, c->attention_bias, &l->o));
    TRY(layer_linear(m, s, i, "mlp.gate_proj", f, h, c->mlp_bias, &l->gate));
    TRY(layer_linear(m, s, i, "mlp.up_proj", f, h, c->mlp_bias, &l->up));
    TRY(layer_linear(m, s, i, "mlp.down_proj", h, f, c->mlp_bias, &l->down));
    TRY(layer_norm(m, s, i, "input_layernorm", &l->input_norm));
    return layer_norm(m, s, i, "post_attention_layernorm", &l->post_norm);
}

/* The frequencies of a text of 'length' tokens as a tensor; *scale: the factor of cos and sin. */
static int frequencies(struct model *m, int64_t length, struct tensor **out, double *scale)
{
    const struct model_config *c = &m->config;
    int64_t n = c->head_dim / 2;
    double *freq = mem_alloc((size_t)n * sizeof *freq);
    if (!freq)
        return ERR_MEMORY;
    *scale = rope_frequencies(&c->rope, c->head_dim, c->max_position_embeddings, length, freq);
    for (int64_t i = 0; i < n && m->rope_factors; i++)
        freq[i] /= m->rope_factors[i];
    int status = OK;
    for (int64_t i = 0; i < n && !status; i++)
        if (!(freq[i] > 0 && isfinite(freq[i])))
            status = fail(ERR_FORMAT, "model: rotary frequency %d is %g, wanted a positive number",
                          (int)i + 1, freq[i]);
    if (!status)
        status = tensor_from(m->ctx, DT_F64, 1, &n, freq, out);
    mem_free(freq);
    return status;
}

/* The file's own factors (llama 3's scaling is stored that way in GGUF): they become settings where
 * settings give them, else they are kept as they are. */
static int stored_factors(struct model *m, struct weight_source *s)
{
    struct model_config *c = &m->config;
    int64_t n = c->head_dim / 2;
    struct tensor *stored = NULL;
    TRY(s->get(s, m->ctx, "rope_freqs.weight", -1, n, format_by_name("f32"), true, &stored));
    if (!stored)
        return OK;
    double *factors = mem_alloc((size_t)n * sizeof *factors);
    int status = factors ? tensor_read_double(stored, factors) : ERR_MEMORY;
    tensor_release(stored);
    m->rope_factors = factors;
    for (int64_t i = 0; i < n && !status; i++)
        if (!(factors[i] > 0 && isfinite(factors[i])))
            status = fail(ERR_FORMAT, "model: rope factor %d is %g, wanted a positive number",
                          (int)i + 1, factors[i]);
    if (!status && c->rope.kind == ROPE_DEFAULT &&
        rope_find_llama3(factors, c->head_dim, &c->rope)) {
        mem_free(factors);
        m->rope_factors = NULL;
    }
    return status;
}

static int build_rope(struct model *m, struct weight_source *s, struct llama *l)
{
    TRY(stored_factors(m, s));
    return frequencies(m, 0, &l->inv_freq, &l->rope_scale);
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

/* Frequencies of this pass; *own: a tensor made for it, or NULL. Dynamic scaling goes by the
 * longest text of the batch, as the original does with a padded batch; with a cache by the text so far,
 * and keys that are in the cache stay turned as they were. (The original also remembers the
 * longest text of earlier calls; here a pass depends on its own texts alone.) */
static int pass_rope(struct model *m, const struct batch *b, struct rope *rope, struct tensor **own)
{
    struct llama *l = m->family;
    int64_t length = b->longest;
    *rope = (struct rope){.inv_freq = l->inv_freq, .scale = l->rope_scale};
    *own = NULL;
    if (b->cache)
        length = i64_max(b->cache->length + b->tokens, b->cache->expected);
    if (m->config.rope.kind != ROPE_DYNAMIC || length <= m->config.max_position_embeddings)
        return OK;
    TRY(frequencies(m, length, own, &rope->scale));
    rope->inv_freq = *own;
    return OK;
}

static int llama_forward(struct model *m, const struct batch *b, struct tensor **hidden)
{
    struct llama *l = m->family;
    struct pass p = {.m = m, .b = b, .dropout = b->training ? &b->dropout : NULL};
    struct tensor *x = NULL, *stream = NULL, *inv_freq;
    TRY(pass_rope(m, b, &p.rope, &inv_freq));
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
    tensor_release(inv_freq);
    if (status) {
        tensor_release(x);
        return status;
    }
    if (b->cache)
        cache_end(b->cache, b->tokens);
    *hidden = x;
    return OK;
}

#define FAMILY(type, class_)                                                       \
    {                                                                              \
        .model_type = type, .class_name = class_, .lora_targets = "q_proj,v_proj", \
        .build = llama_build, .forward = llama_forward, .free_family = llama_free, \
    }
const struct architecture llama_architecture = FAMILY("llama", "LlamaForCausalLM");
const struct architecture mistral_architecture = FAMILY("mistral", "MistralForCausalLM");
