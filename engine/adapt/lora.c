/* lora.c -- choosing target layers, making A and B, naming them. */
#include "engine/adapt/lora.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ROW(field, kind, preset, ...) OPTION(struct lora_config, field, kind, preset, __VA_ARGS__)

static const struct option rows[] = {
    ROW(r, INT, "8", .min = 1, .max = 65536, .doc = "rank of A and B"),
    ROW(lora_alpha, FLOAT, "8", .aliases = "alpha", .min = 0, .max = 1e6,
        .doc = "strength; the term is scaled by lora_alpha / r"),
    ROW(lora_dropout, FLOAT, "0.0", .aliases = "dropout", .min = 0, .max = 0.999,
        .doc = "share of the layer's input dropped in training, 0 to below 1"),
    ROW(target_modules, LIST, NULL,
        .doc = "names of the linear layers to adapt, or \"all-linear\"; default: the family's"),
    ROW(exclude_modules, LIST, NULL, .doc = "names of layers to leave alone"),
    ROW(bias, TEXT, "none", .aliases = "bias_type", .choices = "none",
        .doc = "which biases to train"),
    ROW(task_type, TEXT, "CAUSAL_LM", .choices = "CAUSAL_LM", .doc = "kind of task"),
    ROW(init_lora_weights, BOOL, "true",
        .doc =
            "true: B starts at zero, so training starts from the base model; false: B is random"),
    ROW(use_rslora, BOOL, "false", .doc = "scale by lora_alpha / sqrt(r) instead"),
    {.name = "inference_mode",
     .type = OPTION_NOTE,
     .doc = "bookkeeping of PEFT",
     .note = "inference_mode is not needed: gradients are formed in training only"},
};

const struct option_table lora_options = {
    .name = "LoraConfig",
    .doc = "Low-rank adapters: which layers get one, and how large.",
    .rows = rows,
    .count = (int)(sizeof rows / sizeof *rows),
    .struct_bytes = sizeof(struct lora_config),
};

struct lora *lora_of(const struct model *m)
{
    return m->adapter;
}

/* --- which layers ---------------------------------------------------------------------------- */

/* As PEFT: equal, or ends with "." + entry. */
static bool name_matches(const char *name, const char *entry)
{
    size_t n = strlen(name), k = strlen(entry);
    return k <= n && !strcmp(name + n - k, entry) && (k == n || name[n - k - 1] == '.');
}

static bool list_matches(const struct text_list *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (name_matches(name, list->items[i]))
            return true;
    return false;
}

static bool all_linear(const struct text_list *targets)
{
    return targets->count == 1 && !strcasecmp(targets->items[0], "all-linear");
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* "q_proj, k_proj, ..." of the model, each once */
static void list_parts(const struct model *m, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int64_t i = 0; i < m->module_count && used < bytes; i++) {
        const char *part = last_part(m->modules[i].name);
        bool known = m->modules[i].kind != MODULE_LINEAR;
        for (int64_t j = 0; j < i && !known; j++)
            known = !strcmp(last_part(m->modules[j].name), part);
        if (!known)
            used += (size_t)snprintf(out + used, bytes - used, "%s%s", used ? ", " : "", part);
    }
}

static int check_targets(const struct model *m, const struct text_list *targets)
{
    char parts[512];
    for (int t = 0; t < targets->count && !all_linear(targets); t++) {
        bool found = false;
        for (int64_t i = 0; i < m->module_count && !found; i++)
            found = m->modules[i].kind == MODULE_LINEAR &&
                    name_matches(m->modules[i].name, targets->items[t]);
        if (found)
            continue;
        list_parts(m, parts, sizeof parts);
        return fail(ERR_ARG,
                    "LoraConfig: target_modules: '%.60s' matches no linear layer of this "
                    "model; hint: it has %s, or \"all-linear\"",
                    targets->items[t], parts);
    }
    return OK;
}

static bool wanted(const struct lora_config *c, const char *name)
{
    if (list_matches(&c->exclude_modules, name))
        return false;
    return all_linear(&c->target_modules) || list_matches(&c->target_modules, name);
}

/* --- making ---------------------------------------------------------------------------------- */

/* A trainable tensor, uniform in +-limit (0: zeros); number 'index' of the adapter. */
static int make_matrix(struct context *ctx, int64_t rows_n, int64_t cols, double limit,
                       struct rng_key key, uint32_t index, struct tensor **out)
{
    TRY(tensor_new_2d(ctx, ctx->compute == DT_F64 ? DT_F64 : DT_F32, rows_n, cols, out));
    (*out)->requires_grad = true;
    if (limit == 0)
        return tensor_fill(*out, 0);
    struct tensor *narrow;
    int64_t n = rows_n * cols;
    float *values = mem_alloc((size_t)n * sizeof *values);
    if (!values)
        return ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        uint32_t c[4] = {(uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), index, 0}, bits[4];
        rng_philox(key, c, bits);
        values[i] = (float)((2.0 * (double)rng_unit(bits[i % 4]) - 1.0) * limit);
    }
    int status = tensor_from(ctx, DT_F32, 2, (*out)->view.shape, values, &narrow);
    mem_free(values);
    if (!status) {
        status = RUN(ctx, copy, .dst = (*out)->view, .src = narrow->view);
        tensor_release(narrow);
    }
    return status;
}

static int make_layer(struct lora *l, struct module *module, struct rng_key key)
{
    const struct lora_config *c = &l->config;
    struct lora_layer *layer = &l->layers[l->count];
    struct tensor *w = module->linear.weight;
    struct context *ctx = l->model->ctx;
    uint32_t index = (uint32_t)l->count++;
    int64_t out_rows = w->view.shape[0], in_cols = w->view.shape[1];
    if (c->r > i64_min(out_rows, in_cols))
        return fail(ERR_ARG,
                    "LoraConfig: r = %" PRId64 " is above the size of %s (%" PRId64 "x%" PRId64
                    "); hint: 4 to 64 is usual",
                    c->r, module->name, out_rows, in_cols);
    layer->module = module;
    layer->term = (struct adapter_term){
        .dropout = c->lora_dropout,
        .scale = c->lora_alpha / (c->use_rslora ? sqrt((double)c->r) : (double)c->r),
        .channel = index << 16,
        .active = true};
    double limit = 1 / sqrt((double)in_cols);
    TRY(make_matrix(ctx, c->r, in_cols, limit, key, 2 * index, &layer->term.a));
    TRY(make_matrix(ctx, out_rows, c->r, c->init_lora_weights ? 0 : 1 / sqrt((double)c->r), key,
                    2 * index + 1, &layer->term.b));
    return OK;
}

/* Hooks every layer into its module, once all are made: a failure before leaves no trace. */
static int hook(struct lora *l)
{
    for (int64_t i = 0; i < l->count; i++) {
        struct linear *linear = &l->layers[i].module->linear;
        if (linear->adapters == LINEAR_ADAPTERS)
            return fail(ERR_ARG, "%s has %d adapters already", l->layers[i].module->name,
                        LINEAR_ADAPTERS);
        linear->adapter[linear->adapters++] = &l->layers[i].term;
    }
    return OK;
}

static void unhook(struct lora *l)
{
    for (int64_t i = 0; i < l->count; i++) {
        struct linear *linear = l->layers[i].module ? &l->layers[i].module->linear : NULL;
        for (int a = 0; linear && a < linear->adapters; a++)
            if (linear->adapter[a] == &l->layers[i].term) {
                linear->adapter[a] = linear->adapter[--linear->adapters];
                break;
            }
    }
}

static void lora_free(void *adapter)
{
    struct lora *l = adapter;
    if (!l)
        return;
    unhook(l);
    for (int64_t i = 0; i < l->count; i++) {
        tensor_release(l->layers[i].term.a);
        tensor_release(l->layers[i].term.b);
    }
    mem_free(l->layers);
    options_free(&lora_options, &l->config);
    mem_free(l);
}

/* The family's preset when no target was named. */
static int default_targets(struct lora *l)
{
    const struct option *o;
    if (l->config.target_modules.count)
        return OK;
    TRY(options_find(&lora_options, "target_modules", &o));
    return options_parse(&lora_options, o, &l->config, l->model->arch->lora_targets);
}

/* Base weights need no gradient from now on. */
static int freeze(void *ctx, const char *name, struct tensor *t)
{
    (void)ctx;
    (void)name;
    t->requires_grad = false;
    tensor_clear(&t->grad);
    return OK;
}

static int make_layers(struct lora *l, uint64_t seed)
{
    struct model *m = l->model;
    struct rng_key key = rng_key(seed, RNG_INIT);
    TRY(default_targets(l));
    TRY(check_targets(m, &l->config.target_modules));
    l->layers = mem_calloc((size_t)m->module_count, sizeof *l->layers);
    if (!l->layers)
        return ERR_MEMORY;
    for (int64_t i = 0; i < m->module_count; i++)
        if (m->modules[i].kind == MODULE_LINEAR && wanted(&l->config, m->modules[i].name))
            TRY(make_layer(l, &m->modules[i], key));
    if (!l->count)
        return fail(ERR_ARG, "LoraConfig: exclude_modules leaves no layer to adapt");
    return hook(l);
}

int lora_attach(struct model *m, const struct lora_config *config, uint64_t seed, struct lora **out)
{
    if (m->adapter)
        return fail(ERR_ARG,
                    "the model has an adapter already; hint: load the model again, or go on "
                    "with the one it has");
    struct lora *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_MEMORY;
    l->model = m;
    l->enabled = true;
    int status = options_copy(&lora_options, &l->config, config);
    if (!status)
        status = make_layers(l, seed);
    if (!status)
        status = model_walk(m, freeze, NULL);
    if (status) {
        lora_free(l);
        return status;
    }
    m->adapter = l;
    m->free_adapter = lora_free;
    *out = l;
    return OK;
}

void lora_detach(struct model *m)
{
    lora_free(m->adapter);
    m->adapter = NULL;
}

void lora_enable(struct lora *l, bool on)
{
    l->enabled = on;
    for (int64_t i = 0; i < l->count; i++)
        l->layers[i].term.active = on;
}

/* --- names ----------------------------------------------------------------------------------- */

static int visit_layer(struct lora_layer *layer, model_visit visit, void *ctx)
{
    char name[256];
    const char *module = layer->module->name;
    snprintf(name, sizeof name, "base_model.model.%s.lora_A.default.weight", module);
    TRY(visit(ctx, name, layer->term.a));
    snprintf(name, sizeof name, "base_model.model.%s.lora_B.default.weight", module);
    return visit(ctx, name, layer->term.b);
}

int lora_walk(struct lora *l, model_visit visit, void *ctx)
{
    for (int64_t i = 0; i < l->count; i++)
        TRY(visit_layer(&l->layers[i], visit, ctx));
    return OK;
}

int64_t lora_parameters(const struct lora *l)
{
    int64_t n = 0;
    for (int64_t i = 0; i < l->count; i++)
        n += tensor_count(l->layers[i].term.a) + tensor_count(l->layers[i].term.b);
    return n;
}

struct renamed {
    struct lora *lora;
    model_visit visit;
    void *ctx;
    int64_t next; /* layer whose base weight comes next: both lists are in the model's order */
};

/* Base tensors under PEFT's names, each adapted one followed by its A and B. */
static int visit_base(void *ctx, const char *name, struct tensor *t)
{
    struct renamed *r = ctx;
    char full[256];
    struct lora_layer *layer = r->next < r->lora->count ? &r->lora->layers[r->next] : NULL;
    bool adapted = layer && (t == layer->module->linear.weight || t == layer->module->linear.bias);
    const char *dot = strrchr(name, '.');
    if (adapted && dot)
        snprintf(full, sizeof full, "base_model.model.%.*s.base_layer%s", (int)(dot - name), name,
                 dot);
    else
        snprintf(full, sizeof full, "base_model.model.%s", name);
    TRY(r->visit(r->ctx, full, t));
    if (!adapted || (t == layer->module->linear.weight && layer->module->linear.bias))
        return OK;
    r->next++;
    return visit_layer(layer, r->visit, r->ctx);
}

int lora_walk_all(struct model *m, model_visit visit, void *ctx)
{
    struct lora *l = lora_of(m);
    if (!l)
        return model_walk(m, visit, ctx);
    struct renamed r = {l, visit, ctx, 0};
    return model_walk(m, visit_base, &r);
}
