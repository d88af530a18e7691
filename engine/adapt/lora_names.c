/* lora_names.c -- the tensors of adapters under PEFT's names.
 *
 * Two names for each: the one in state_dict, which carries the adapter's name, and the one in
 * adapter_model.safetensors, which does not. */
#include "engine/adapt/lora.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES 320

static int visit_matrix(struct lora *l, struct lora_layer *layer, bool b, lora_visit visit,
                        void *ctx)
{
    char name[NAME_BYTES], file[NAME_BYTES];
    const char *path = layer->module->name;
    bool table = layer->module->kind == MODULE_EMBEDDING;
    const char *kind =
        table ? (b ? "lora_embedding_B" : "lora_embedding_A") : (b ? "lora_B" : "lora_A");
    const char *end = table ? "" : ".weight";
    snprintf(name, sizeof name, "base_model.model.%s.%s.%s%s", path, kind, l->name, end);
    snprintf(file, sizeof file, "base_model.model.%s.%s%s", path, kind, end);
    struct lora_entry e = {
        .name = name, .file = file, .tensor = b ? &layer->term.b : &layer->term.a, .layer = layer};
    return visit(ctx, &e);
}

static int visit_layer(struct lora *l, struct lora_layer *layer, lora_visit visit, void *ctx)
{
    TRY(visit_matrix(l, layer, false, visit, ctx));
    return visit_matrix(l, layer, true, visit, ctx);
}

static int visit_copy(struct lora *l, struct lora_copy *c, lora_visit visit, void *ctx)
{
    char name[NAME_BYTES], file[NAME_BYTES];
    const char *dot = strrchr(c->name, '.');
    int path = dot ? (int)(dot - c->name) : 0;
    switch (c->kind) {
    case LORA_COPY_SAVED:
        snprintf(name, sizeof name, "base_model.model.%.*s.modules_to_save.%s%s", (int)c->saved,
                 c->name, l->name, c->name + c->saved);
        snprintf(file, sizeof file, "base_model.model.%s", c->name);
        break;
    case LORA_COPY_BIAS: /* PEFT trains the model's own; ours needs a name beside it */
        snprintf(name, sizeof name, "base_model.model.%.*s.trained_bias.%s", path, c->name,
                 l->name);
        snprintf(file, sizeof file, "base_model.model.%.*s%s.bias", path, c->name,
                 c->adapted ? ".base_layer" : "");
        break;
    case LORA_COPY_BASE:
        snprintf(name, sizeof name, "base_model.model.%.*s.base_layer.%s.weight", path, c->name,
                 l->name);
        snprintf(file, sizeof file, "base_model.model.%.*s%s.weight", path, c->name,
                 c->adapted ? ".base_layer" : "");
        break;
    }
    struct lora_entry e = {.name = name, .file = file, .tensor = &c->tensor, .copy = c};
    return visit(ctx, &e);
}

int lora_entries(struct lora *l, lora_visit visit, void *ctx)
{
    for (int64_t i = 0; i < l->count; i++)
        TRY(visit_layer(l, &l->layers[i], visit, ctx));
    for (int64_t i = 0; i < l->copies; i++)
        TRY(visit_copy(l, &l->copy[i], visit, ctx));
    return OK;
}

/* --- as (name, tensor) ----------------------------------------------------------------------- */

struct plain {
    model_visit visit;
    void *ctx;
};

static int visit_plain(void *ctx, const struct lora_entry *e)
{
    struct plain *p = ctx;
    return p->visit(p->ctx, e->name, *e->tensor);
}

int lora_walk(struct lora *l, model_visit visit, void *ctx)
{
    struct plain p = {visit, ctx};
    return lora_entries(l, visit_plain, &p);
}

/* --- everything ------------------------------------------------------------------------------ */

/* What of the adapters belongs to the tensor 'name' of the model (or to the layer 'path'). */
static const struct lora_copy *saved_copy(const struct lora_set *set, const char *name)
{
    for (int64_t i = 0; i < set->count; i++)
        for (int64_t k = 0; k < set->items[i]->copies; k++) {
            const struct lora_copy *c = &set->items[i]->copy[k];
            if (c->kind == LORA_COPY_SAVED && !strcmp(c->name, name))
                return c;
        }
    return NULL;
}

static bool is_adapted(const struct lora_set *set, const struct module *module)
{
    for (int64_t i = 0; module && i < set->count; i++)
        for (int64_t k = 0; k < set->items[i]->count; k++)
            if (set->items[i]->layers[k].module == module)
                return true;
    return false;
}

static int visit_base(const struct lora_set *set, const struct module *module, const char *name,
                      struct tensor *t, model_visit visit, void *ctx)
{
    char full[NAME_BYTES];
    const struct lora_copy *saved = saved_copy(set, name);
    const char *dot = strrchr(name, '.');
    if (saved)
        snprintf(full, sizeof full, "base_model.model.%.*s.original_module%s", (int)saved->saved,
                 name, name + saved->saved);
    else if (dot && is_adapted(set, module))
        snprintf(full, sizeof full, "base_model.model.%.*s.base_layer%s", (int)(dot - name), name,
                 dot);
    else
        snprintf(full, sizeof full, "base_model.model.%s", name);
    return visit(ctx, full, t);
}

/* The adapters' tensors for the layer, adapter by adapter. */
static int visit_module_extras(struct lora_set *set, const struct module *module, model_visit visit,
                               void *ctx)
{
    struct plain p = {visit, ctx};
    for (int64_t i = 0; i < set->count; i++) {
        struct lora *l = set->items[i];
        for (int64_t k = 0; k < l->count; k++)
            if (l->layers[k].module == module)
                TRY(visit_layer(l, &l->layers[k], visit_plain, &p));
        for (int64_t k = 0; k < l->copies; k++)
            if (l->copy[k].stands == &module->linear.weight_copy ||
                l->copy[k].stands == &module->linear.bias_copy)
                TRY(visit_copy(l, &l->copy[k], visit_plain, &p));
    }
    return OK;
}

static int walk_module(struct lora_set *set, struct module *module, model_visit visit, void *ctx)
{
    char name[256];
    struct linear *linear = &module->linear;
    if (!module->tied) {
        snprintf(name, sizeof name, "%s.weight", module->name);
        TRY(visit_base(set, module, name, linear->weight, visit, ctx));
    }
    if (linear->bias) {
        snprintf(name, sizeof name, "%s.bias", module->name);
        TRY(visit_base(set, module, name, linear->bias, visit, ctx));
    }
    return visit_module_extras(set, module, visit, ctx);
}

static int walk_kind(struct lora_set *set, enum module_kind kind, model_visit visit, void *ctx)
{
    for (int64_t i = 0; i < set->model->module_count; i++)
        if (set->model->modules[i].kind == kind)
            TRY(walk_module(set, &set->model->modules[i], visit, ctx));
    return OK;
}

static int walk_parameter(struct lora_set *set, struct parameter *parameter, model_visit visit,
                          void *ctx)
{
    struct plain p = {visit, ctx};
    TRY(visit_base(set, NULL, parameter->name, parameter->tensor, visit, ctx));
    for (int64_t i = 0; i < set->count; i++)
        for (int64_t k = 0; k < set->items[i]->copies; k++)
            if (set->items[i]->copy[k].stands == &parameter->copy)
                TRY(visit_copy(set->items[i], &set->items[i]->copy[k], visit_plain, &p));
    return OK;
}

/* In model_walk's order. */
int lora_walk_all(struct model *m, model_visit visit, void *ctx)
{
    struct lora_set *set = lora_set_of(m);
    if (!set)
        return model_walk(m, visit, ctx);
    TRY(walk_kind(set, MODULE_EMBEDDING, visit, ctx));
    TRY(walk_kind(set, MODULE_LINEAR, visit, ctx));
    for (int64_t i = 0; i < m->parameter_count; i++)
        TRY(walk_parameter(set, &m->parameters[i], visit, ctx));
    return walk_kind(set, MODULE_HEAD, visit, ctx);
}
