/* model.c -- what all families share: named layers, loss, walking, release. */
#include "engine/model/model.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

int model_reserve(struct model *m, int64_t modules, int64_t parameters)
{
    m->modules = mem_calloc((size_t)modules, sizeof *m->modules);
    m->parameters = mem_calloc((size_t)parameters, sizeof *m->parameters);
    if (!m->modules || !m->parameters)
        return ERR_MEMORY;
    m->module_room = modules;
    m->parameter_room = parameters;
    return OK;
}

static char *suffixed(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);
    char *out = mem_alloc(n + k + 1);
    if (out) {
        memcpy(out, name, n);
        memcpy(out + n, suffix, k + 1);
    }
    return out;
}

static int add_module(struct model *m, const char *name, enum module_kind kind, struct module **out)
{
    if (m->module_count == m->module_room)
        return fail(ERR_INTERNAL, "model: no room for layer %s", name);
    struct module *module = &m->modules[m->module_count++];
    module->name = mem_text(name, strlen(name));
    module->kind = kind;
    *out = module;
    return module->name ? OK : ERR_MEMORY;
}

int model_add_linear(struct model *m, struct weight_source *s, const char *name, int64_t out_rows,
                     int64_t in_cols, struct module **out)
{
    struct module *module;
    TRY(add_module(m, name, MODULE_LINEAR, &module));
    char *weight = suffixed(name, ".weight"), *bias = suffixed(name, ".bias");
    int status = weight && bias ? OK : ERR_MEMORY;
    if (!status)
        status =
            s->get(s, m->ctx, weight, out_rows, in_cols, m->format, false, &module->linear.weight);
    if (!status)
        status = s->get(s, m->ctx, bias, -1, out_rows, format_by_name("f32"), true,
                        &module->linear.bias);
    mem_free(weight);
    mem_free(bias);
    *out = module;
    return status;
}

static int add_table(struct model *m, struct weight_source *s, const char *name,
                     enum module_kind kind, struct module **out)
{
    TRY(add_module(m, name, kind, out));
    char *weight = suffixed(name, ".weight");
    int status = weight ? OK : ERR_MEMORY;
    if (!status)
        status = s->get(s, m->ctx, weight, m->config.vocab_size, m->config.hidden_size, m->format,
                        false, &(*out)->linear.weight);
    mem_free(weight);
    return status;
}

int model_add_embedding(struct model *m, struct weight_source *s, const char *name)
{
    return add_table(m, s, name, MODULE_EMBEDDING, &m->embedding);
}

int model_add_head(struct model *m, struct weight_source *s, const char *name)
{
    if (!m->config.tie_word_embeddings)
        return add_table(m, s, name, MODULE_HEAD, &m->head);
    TRY(add_module(m, name, MODULE_HEAD, &m->head));
    m->head->tied = true;
    m->head->linear.weight = tensor_keep(m->embedding->linear.weight);
    return OK;
}

int model_add_parameter(struct model *m, struct weight_source *s, const char *name, int64_t rows,
                        int64_t cols, struct parameter **out)
{
    if (m->parameter_count == m->parameter_room)
        return fail(ERR_INTERNAL, "model: no room for %s", name);
    struct parameter *p = &m->parameters[m->parameter_count++];
    p->name = mem_text(name, strlen(name));
    if (!p->name)
        return ERR_MEMORY;
    /* vectors are read as they are by the norm kernels, which want plain floats */
    const struct format *format = rows < 0 ? format_by_name("f32") : m->format;
    TRY(s->get(s, m->ctx, name, rows, cols, format, false, &p->tensor));
    *out = p;
    return OK;
}

struct model *model_keep(struct model *m)
{
    m->refs++;
    return m;
}

void model_release(struct model *m)
{
    if (!m || --m->refs)
        return;
    if (m->adapter)
        m->free_adapter(m->adapter);
    if (m->arch && m->arch->free_family)
        m->arch->free_family(m);
    for (int64_t i = 0; i < m->module_count; i++) {
        mem_free(m->modules[i].name);
        tensor_release(m->modules[i].linear.weight);
        tensor_release(m->modules[i].linear.bias);
    }
    for (int64_t i = 0; i < m->parameter_count; i++) {
        mem_free(m->parameters[i].name);
        tensor_release(m->parameters[i].tensor);
    }
    mem_free(m->modules);
    mem_free(m->parameters);
    mem_free(m->path);
    mem_free(m->name);
    mem_free(m->config_json);
    mem_free(m->rope_factors);
    context_release(m->ctx);
    mem_free(m);
}

int model_forward(struct model *m, const struct batch *b, struct tensor **hidden)
{
    return m->arch->forward(m, b, hidden);
}

int model_logits(struct model *m, struct tensor *hidden, struct tensor *rows,
                 struct tensor **logits)
{
    struct tensor *picked = NULL;
    int status = OK;
    if (rows)
        status = op_embed(hidden, rows, &picked);
    else
        picked = tensor_keep(hidden);
    if (!status)
        status = op_linear(picked, &m->head->linear, NULL, logits);
    tensor_release(picked);
    return status;
}

/* Rows of x that have a target; every row when all have one, since rows are in order. */
static int pick_rows(const struct batch *b, struct tensor *x, struct tensor **picked)
{
    if (b->targets != b->tokens)
        return op_embed(x, b->target_rows, picked);
    *picked = tensor_keep(x);
    return OK;
}

/* h = dropout(hidden) A^T of the rows with targets; without dropout 'picked' are those rows. */
static int head_term(const struct batch *b, struct tensor *hidden, struct tensor *picked,
                     const struct adapter_term *t, struct tensor **h)
{
    struct linear a = {.weight = t->a};
    struct tensor *dropped = NULL, *x = NULL;
    int status = OK;
    if (b->training && t->dropout > 0)
        status = op_dropout(hidden, &b->dropout, t->dropout, t->channel, &dropped);
    if (!status && dropped)
        status = pick_rows(b, dropped, &x);
    else if (!status)
        x = tensor_keep(picked);
    if (!status)
        status = op_linear(x, &a, NULL, h);
    tensor_release(dropped);
    tensor_release(x);
    return status;
}

/* The rows with targets and what the head's adapters made of them. */
static int head_inputs(struct model *m, const struct batch *b, struct tensor *hidden,
                       struct loss_head *head, struct tensor **picked)
{
    const struct linear *l = &m->head->linear;
    TRY(pick_rows(b, hidden, picked));
    for (int i = 0; i < l->adapters; i++) {
        const struct adapter_term *t = l->adapter[i];
        if (!t->active)
            continue;
        TRY(head_term(b, hidden, *picked, t, &head->term[head->terms].h));
        head->term[head->terms].b = t->b;
        head->term[head->terms++].scale = t->scale;
    }
    return OK;
}

int model_loss(struct model *m, const struct batch *b, double scale, double smoothing,
               const struct loss_tally *tally, struct tensor **loss)
{
    if (!b->targets)
        return tensor_scalar(m->ctx, m->ctx->compute, 0, loss);
    struct loss_head head = {.weight = linear_weight(&m->head->linear)};
    struct tensor *hidden, *picked = NULL;
    TRY(model_forward(m, b, &hidden));
    int status = head_inputs(m, b, hidden, &head, &picked);
    tensor_release(hidden); /* the loss has room for it */
    if (!status)
        status = op_head_cross_entropy(picked, &head, b->target_ids, b->weights, scale, smoothing,
                                       tally, loss);
    for (int i = 0; i < head.terms; i++)
        tensor_release(head.term[i].h);
    tensor_release(picked);
    return status;
}

static int walk_module(struct module *module, model_visit visit, void *ctx)
{
    char name[256];
    struct linear *l = &module->linear;
    if (!module->tied) {
        snprintf(name, sizeof name, "%s.weight", module->name);
        TRY(visit(ctx, name, l->weight));
    }
    if (!l->bias)
        return OK;
    snprintf(name, sizeof name, "%s.bias", module->name);
    return visit(ctx, name, l->bias);
}

/* The embedding comes first and the head last, as in the original. */
int model_walk(struct model *m, model_visit visit, void *ctx)
{
    for (int64_t i = 0; i < m->module_count; i++)
        if (m->modules[i].kind == MODULE_EMBEDDING)
            TRY(walk_module(&m->modules[i], visit, ctx));
    for (int64_t i = 0; i < m->module_count; i++)
        if (m->modules[i].kind == MODULE_LINEAR)
            TRY(walk_module(&m->modules[i], visit, ctx));
    for (int64_t p = 0; p < m->parameter_count; p++)
        TRY(visit(ctx, m->parameters[p].name, m->parameters[p].tensor));
    for (int64_t i = 0; i < m->module_count; i++)
        if (m->modules[i].kind == MODULE_HEAD)
            TRY(walk_module(&m->modules[i], visit, ctx));
    return OK;
}

static int add_count(void *ctx, const char *name, struct tensor *t)
{
    (void)name;
    *(int64_t *)ctx += tensor_count(t);
    return OK;
}

static int add_bytes(void *ctx, const char *name, struct tensor *t)
{
    (void)name;
    *(int64_t *)ctx += (int64_t)tensor_bytes(t);
    return OK;
}

int64_t model_parameters(struct model *m)
{
    int64_t n = 0;
    int status = model_walk(m, add_count, &n);
    return status ? 0 : n;
}

int64_t model_bytes(struct model *m)
{
    int64_t n = 0;
    int status = model_walk(m, add_bytes, &n);
    return status ? 0 : n;
}

struct module *model_module(struct model *m, const char *name)
{
    for (int64_t i = 0; i < m->module_count; i++)
        if (!strcmp(m->modules[i].name, name))
            return &m->modules[i];
    return NULL;
}
