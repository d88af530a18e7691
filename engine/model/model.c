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

int model_add_linear(struct model *m, struct weight_source *s, const char *name, int64_t out_rows,
                     int64_t in_cols, struct module **out)
{
    if (m->module_count == m->module_room)
        return fail(ERR_INTERNAL, "model: no room for layer %s", name);
    struct module *module = &m->modules[m->module_count++];
    module->name = mem_text(name, strlen(name));
    char *weight = suffixed(name, ".weight"), *bias = suffixed(name, ".bias");
    int status = module->name && weight && bias ? OK : ERR_MEMORY;
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

int model_add_parameter(struct model *m, struct weight_source *s, const char *name, int64_t rows,
                        int64_t cols, struct tensor **out)
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
    *out = p->tensor;
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
    struct linear head = {.weight = m->head};
    int status = OK;
    if (rows)
        status = op_embed(hidden, rows, &picked);
    else
        picked = tensor_keep(hidden);
    if (!status)
        status = op_linear(picked, &head, NULL, logits);
    tensor_release(picked);
    return status;
}

int model_loss(struct model *m, const struct batch *b, double scale, double smoothing,
               const struct loss_tally *tally, struct tensor **loss)
{
    if (!b->targets)
        return tensor_scalar(m->ctx, m->ctx->compute, 0, loss);
    struct tensor *hidden = NULL, *picked = NULL;
    int status = model_forward(m, b, &hidden);
    if (!status && b->targets == b->tokens)
        picked = tensor_keep(hidden); /* every row has a target, and rows are in order */
    else if (!status)
        status = op_embed(hidden, b->target_rows, &picked);
    tensor_release(hidden);
    if (!status)
        status = op_linear_cross_entropy(picked, m->head, b->target_ids, b->weights, scale,
                                         smoothing, tally, loss);
    tensor_release(picked);
    return status;
}

int model_walk(struct model *m, model_visit visit, void *ctx)
{
    int64_t p = 0;
    char name[256];
    if (m->parameter_count) { /* the embedding comes first, as in the original */
        TRY(visit(ctx, m->parameters[0].name, m->parameters[0].tensor));
        p = 1;
    }
    for (int64_t i = 0; i < m->module_count; i++) {
        struct linear *l = &m->modules[i].linear;
        snprintf(name, sizeof name, "%s.weight", m->modules[i].name);
        TRY(visit(ctx, name, l->weight));
        if (l->bias) {
            snprintf(name, sizeof name, "%s.bias", m->modules[i].name);
            TRY(visit(ctx, name, l->bias));
        }
    }
    for (; p < m->parameter_count; p++)
        TRY(visit(ctx, m->parameters[p].name, m->parameters[p].tensor));
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
