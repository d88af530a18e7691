/* lora.c -- adapters: making A, B and copies, keeping several by name, putting one in its place. */
#include "engine/adapt/lora.h"
#include "engine/adapt/lora_match.h"
#include "engine/adapt/merge.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct lora_set *lora_set_of(const struct model *m)
{
    return m->adapter;
}

struct lora *lora_of(const struct model *m)
{
    struct lora_set *set = m->adapter;
    return set ? set->active : NULL;
}

struct lora *lora_find(const struct model *m, const char *name)
{
    struct lora_set *set = m->adapter;
    for (int64_t i = 0; set && i < set->count; i++)
        if (!strcmp(set->items[i]->name, name))
            return set->items[i];
    return NULL;
}

/* --- making ---------------------------------------------------------------------------------- */

enum start { START_ZERO, START_UNIFORM, START_NORMAL };

static enum dtype trained_dtype(const struct context *ctx)
{
    return ctx->compute == DT_F64 ? DT_F64 : DT_F32;
}

/* Number 'i' of a matrix's start: uniform in +-1, or normal. The counter is (element, matrix). */
static double start_value(enum start start, struct rng_key key, uint32_t index, int64_t i)
{
    if (start == START_NORMAL)
        return rng_normal(key, (uint64_t)index << 40 | (uint64_t)i);
    uint32_t c[4] = {(uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), index, 0}, bits[4];
    rng_philox(key, c, bits);
    return 2.0 * (double)rng_unit(bits[i % 4]) - 1.0;
}

/* A tensor whose start is scaled by 'scale'; number 'index' of the adapter. Values are rounded to
 * f32, so that they are the same on every device. */
static int make_matrix(struct context *ctx, int64_t rows, int64_t cols, enum start start,
                       double scale, struct rng_key key, uint32_t index, struct tensor **out)
{
    TRY(tensor_new_2d(ctx, trained_dtype(ctx), rows, cols, out));
    if (start == START_ZERO)
        return tensor_fill(*out, 0);
    struct tensor *narrow;
    int64_t n = rows * cols;
    float *values = mem_alloc((size_t)n * sizeof *values);
    if (!values)
        return ERR_MEMORY;
    for (int64_t i = 0; i < n; i++)
        values[i] = (float)(start_value(start, key, index, i) * scale);
    int status = tensor_from(ctx, DT_F32, 2, (*out)->view.shape, values, &narrow);
    mem_free(values);
    if (!status) {
        status = RUN(ctx, copy, .dst = (*out)->view, .src = narrow->view);
        tensor_release(narrow);
    }
    return status;
}

/* A and B of a layer as PEFT starts them: A uniform in +-1/sqrt(in) (or normal of deviation 1/r),
 * B zero; on the embedding A zero and B normal; both random with init_lora_weights = false. */
static int start_layer(struct lora *l, struct lora_layer *layer, uint32_t index, struct rng_key key,
                       bool blank)
{
    const char *init = l->config.init_lora_weights;
    struct context *ctx = l->model->ctx;
    bool table = layer->module->kind == MODULE_EMBEDDING, random = !strcmp(init, "false");
    const struct view *w = &layer->module->linear.weight->view;
    int64_t in = w->shape[table ? 0 : 1], out = w->shape[table ? 1 : 0], r = layer->r;
    enum start a = START_UNIFORM, b = random ? START_UNIFORM : START_ZERO;
    double scale_a = 1 / sqrt((double)in), scale_b = 1 / sqrt((double)r);
    if (table) {
        a = random ? START_NORMAL : START_ZERO;
        b = START_NORMAL;
        scale_a = scale_b = 1;
    } else if (!strcmp(init, "gaussian")) {
        a = START_NORMAL;
        scale_a = 1 / (double)r;
    }
    if (blank)
        a = b = START_ZERO;
    TRY(make_matrix(ctx, r, in, a, scale_a, key, 2 * index, &layer->term.a));
    return make_matrix(ctx, out, r, b, scale_b, key, 2 * index + 1, &layer->term.b);
}

static int make_layer(struct lora *l, const struct lora_match *x, struct module *module,
                      struct rng_key key, const struct lora_how *how)
{
    const struct lora_config *c = &l->config;
    struct lora_layer *layer = &l->layers[l->count];
    const struct tensor *w = module->linear.weight;
    uint32_t index = (uint32_t)l->count++;
    layer->module = module;
    TRY(lora_match_values(x, module->name, &layer->r, &layer->alpha));
    if (!how->lenient && layer->r > i64_min(w->view.shape[0], w->view.shape[1]))
        return fail(ERR_ARG,
                    "LoraConfig: r = %" PRId64 " is above the size of %s (%" PRId64 "x%" PRId64
                    "); hint: 4 to 64 is usual",
                    layer->r, module->name, w->view.shape[0], w->view.shape[1]);
    layer->term = (struct adapter_term){
        .dropout = c->lora_dropout,
        .scale = layer->alpha / (c->use_rslora ? sqrt((double)layer->r) : (double)layer->r),
        .channel = index << 16,
        .active = true};
    return start_layer(l, layer, index, key, how->blank);
}

static int make_layers(struct lora *l, const struct lora_match *x, const struct lora_how *how)
{
    struct model *m = l->model;
    struct rng_key key = rng_key(how->seed, RNG_INIT);
    l->layers = mem_calloc((size_t)m->module_count, sizeof *l->layers);
    if (!l->layers)
        return ERR_MEMORY;
    for (int64_t i = 0; i < m->module_count; i++) {
        bool wanted;
        TRY(lora_match_target(x, &m->modules[i], &wanted));
        if (wanted)
            TRY(make_layer(l, x, &m->modules[i], key, how));
    }
    return l->count ? OK : lora_match_nothing(x);
}

/* --- copies ---------------------------------------------------------------------------------- */

static bool has_layer(const struct lora *l, const struct module *module)
{
    for (int64_t i = 0; i < l->count; i++)
        if (l->layers[i].module == module)
            return true;
    return false;
}

/* A copy of 't', called 'name' or 'name' + 'suffix', to stand in at 'stands'. */
static int make_copy(struct lora *l, enum lora_copy_kind kind, const char *name, const char *suffix,
                     size_t saved, struct tensor *t, struct tensor **stands)
{
    struct lora_copy *c = &l->copy[l->copies++];
    size_t n = strlen(name), k = strlen(suffix);
    *c = (struct lora_copy){
        .kind = kind, .saved = (int64_t)saved, .name = mem_alloc(n + k + 1), .stands = stands};
    if (!c->name)
        return ERR_MEMORY;
    memcpy(c->name, name, n);
    memcpy(c->name + n, suffix, k + 1);
    return tensor_convert(t, trained_dtype(l->model->ctx), &c->tensor);
}

int lora_add_base(struct lora *l, struct module *module, struct tensor *weight)
{
    struct lora_copy *c = &l->copy[l->copies];
    size_t n = strlen(module->name);
    char *name = mem_alloc(n + sizeof ".weight");
    if (!name)
        return ERR_MEMORY;
    memcpy(name, module->name, n);
    memcpy(name + n, ".weight", sizeof ".weight");
    *c = (struct lora_copy){.kind = LORA_COPY_BASE,
                            .name = name,
                            .adapted = has_layer(l, module),
                            .tensor = weight,
                            .stands = &module->linear.weight_copy};
    l->copies++;
    return OK;
}

static int copy_module(struct lora *l, struct module *module)
{
    struct linear *linear = &module->linear;
    const char *bias = l->config.bias;
    size_t saved = 0;
    if (lora_match_saved(&l->config, module->name, &saved)) {
        TRY(make_copy(l, LORA_COPY_SAVED, module->name, ".weight", saved, linear->weight,
                      &linear->weight_copy));
        return linear->bias ? make_copy(l, LORA_COPY_SAVED, module->name, ".bias", saved,
                                        linear->bias, &linear->bias_copy)
                            : OK;
    }
    bool adapted = has_layer(l, module);
    if (!linear->bias || !strcmp(bias, "none") || (!strcmp(bias, "lora_only") && !adapted))
        return OK;
    TRY(make_copy(l, LORA_COPY_BIAS, module->name, ".bias", 0, linear->bias, &linear->bias_copy));
    l->copy[l->copies - 1].adapted = adapted;
    return OK;
}

static int copy_parameter(struct lora *l, struct parameter *p)
{
    char path[256];
    size_t saved = 0;
    const char *dot = strrchr(p->name, '.');
    snprintf(path, sizeof path, "%.*s", dot ? (int)(dot - p->name) : 0, p->name);
    if (!lora_match_saved(&l->config, path, &saved))
        return OK;
    return make_copy(l, LORA_COPY_SAVED, p->name, "", saved, p->tensor, &p->copy);
}

static int make_copies(struct lora *l)
{
    struct model *m = l->model;
    /* at most weight and bias of every module and every parameter; base weights of files besides */
    l->copy = mem_calloc((size_t)(3 * m->module_count + m->parameter_count), sizeof *l->copy);
    if (!l->copy)
        return ERR_MEMORY;
    for (int64_t i = 0; i < m->module_count; i++)
        TRY(copy_module(l, &m->modules[i]));
    for (int64_t i = 0; i < m->parameter_count; i++)
        TRY(copy_parameter(l, &m->parameters[i]));
    return OK;
}

/* --- in place -------------------------------------------------------------------------------- */

static void want_gradients(struct lora *l, bool on)
{
    for (int64_t i = 0; i < l->count; i++)
        l->layers[i].term.a->requires_grad = l->layers[i].term.b->requires_grad = on;
    for (int64_t i = 0; i < l->copies; i++)
        l->copy[i].tensor->requires_grad = on && l->copy[i].kind != LORA_COPY_BASE;
}

void lora_refresh(struct lora_set *set)
{
    struct model *m = set->model;
    bool on = set->enabled && !set->merged;
    for (int64_t i = 0; i < m->module_count; i++) {
        struct linear *linear = &m->modules[i].linear;
        linear->adapters = 0;
        linear->weight_copy = linear->bias_copy = NULL;
    }
    for (int64_t i = 0; i < m->parameter_count; i++)
        m->parameters[i].copy = NULL;
    for (int64_t i = 0; i < set->count; i++) {
        want_gradients(set->items[i],
                       on && set->items[i] == set->active && set->items[i]->trainable);
        set->items[i]->enabled = set->enabled;
    }
    struct lora *l = set->active;
    for (int64_t i = 0; l && on && i < l->count; i++) {
        struct linear *linear = &l->layers[i].module->linear;
        linear->adapter[linear->adapters++] = &l->layers[i].term;
    }
    for (int64_t i = 0; l && on && i < l->copies; i++)
        *l->copy[i].stands = l->copy[i].tensor;
}

void lora_free(struct lora *l)
{
    if (!l)
        return;
    for (int64_t i = 0; i < l->count; i++) {
        tensor_release(l->layers[i].term.a);
        tensor_release(l->layers[i].term.b);
    }
    for (int64_t i = 0; i < l->copies; i++) {
        mem_free(l->copy[i].name);
        tensor_release(l->copy[i].tensor);
    }
    mem_free(l->layers);
    mem_free(l->copy);
    mem_free(l->name);
    options_free(&lora_options, &l->config);
    mem_free(l);
}

/* For model_release: the layers that point here are about to go as well. */
static void free_set(void *adapter)
{
    struct lora_set *set = adapter;
    if (!set)
        return;
    merge_forget(set);
    for (int64_t i = 0; i < set->count; i++)
        lora_free(set->items[i]);
    mem_free(set->items);
    mem_free(set);
}

/* --- adding and removing --------------------------------------------------------------------- */

int lora_make(struct model *m, const char *name, const struct lora_config *config,
              const struct lora_how *how, struct lora **out)
{
    struct lora_match match = {0};
    struct lora *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_MEMORY;
    l->model = m;
    l->trainable = !how->frozen;
    l->name = mem_text(name, strlen(name));
    int status = l->name ? options_copy(&lora_options, &l->config, config) : ERR_MEMORY;
    if (!status)
        status = lora_config_check(&l->config);
    if (!status)
        status = lora_match_expand(m, &l->config);
    if (!status)
        status = lora_match_open(&match, m, &l->config);
    if (!status && !how->lenient)
        status = lora_match_check(&match);
    if (!status)
        status = make_layers(l, &match, how);
    if (!status)
        status = make_copies(l);
    lora_match_close(&match);
    if (status)
        lora_free(l);
    else
        *out = l;
    return status;
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

static int check_name(const struct model *m, const char *name)
{
    if (!*name || strlen(name) > 64 || !lora_plain_name(name) || strchr(name, '.'))
        return fail(ERR_ARG,
                    "an adapter cannot be called '%.80s'; hint: letters, digits, '_' and '-'",
                    name);
    if (lora_find(m, name))
        return fail(
            ERR_ARG,
            "the model has an adapter '%s' already; hint: give the new one another name, or "
            "model:delete_adapter(\"%s\") first",
            name, name);
    const struct lora_set *set = lora_set_of(m);
    return set && set->merged ? merge_refuse(set, "an adapter cannot be added") : OK;
}

/* The model's set, made when there is none, with room for one more. */
static int make_room(struct model *m, struct lora_set **out)
{
    struct lora_set *set = m->adapter;
    if (!set) {
        set = mem_calloc(1, sizeof *set);
        if (!set)
            return ERR_MEMORY;
        set->model = m;
        set->enabled = true;
    }
    int status = mem_grow((void **)&set->items, &set->room, set->count + 1, sizeof *set->items);
    if (status && !m->adapter)
        mem_free(set);
    else if (!status)
        *out = set;
    return status;
}

int lora_adopt(struct model *m, struct lora *l)
{
    struct lora_set *set;
    TRY(check_name(m, l->name));
    TRY(make_room(m, &set));
    int status = model_walk(m, freeze, NULL);
    (void)status; /* freeze never fails */
    m->adapter = set;
    m->free_adapter = free_set;
    set->items[set->count++] = l;
    if (!set->active)
        set->active = l;
    lora_refresh(set);
    return OK;
}

int lora_add(struct model *m, const char *name, const struct lora_config *config,
             const struct lora_how *how, struct lora **out)
{
    struct lora *l;
    TRY(check_name(m, name));
    TRY(lora_make(m, name, config, how, &l));
    int status = lora_adopt(m, l);
    if (status)
        lora_free(l);
    else
        *out = l;
    return status;
}

int lora_attach(struct model *m, const struct lora_config *config, uint64_t seed, struct lora **out)
{
    struct lora_how how = {.seed = seed};
    if (m->adapter)
        return fail(
            ERR_ARG,
            "the model has an adapter already; hint: go on with the one it has, or give the "
            "new one a name: get_peft_model(model, config, \"name\")");
    return lora_add(m, "default", config, &how, out);
}

/* The adapter of a name, or an error that lists those there are. */
static int find_named(struct model *m, const char *name, struct lora **out)
{
    struct lora_set *set = m->adapter;
    char names[256] = "";
    size_t used = 0;
    *out = lora_find(m, name);
    if (*out)
        return OK;
    for (int64_t i = 0; set && i < set->count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s'%s'", i ? ", " : "",
                                 set->items[i]->name);
    return fail(ERR_ARG, "the model has no adapter '%.64s'; hint: %s%s", name,
                set ? "it has " : "it has none; get_peft_model(model, LoraConfig{...})", names);
}

int lora_activate(struct model *m, const char *name)
{
    struct lora *l;
    struct lora_set *set = m->adapter;
    TRY(find_named(m, name, &l));
    if (set->merged)
        return merge_refuse(set, "another adapter cannot be chosen");
    set->active = l;
    lora_refresh(set);
    return OK;
}

int lora_remove(struct model *m, const char *name)
{
    struct lora *l;
    struct lora_set *set = m->adapter;
    TRY(find_named(m, name, &l));
    if (set->merged)
        return merge_refuse(set, "an adapter cannot be deleted");
    if (set->count == 1) {
        lora_detach(m);
        return OK;
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < set->count; i++)
        if (set->items[i] != l)
            set->items[kept++] = set->items[i];
    set->count = kept;
    if (set->active == l)
        set->active = set->items[kept - 1];
    lora_refresh(set);
    lora_free(l);
    return OK;
}

void lora_detach(struct model *m)
{
    struct lora_set *set = m->adapter;
    if (!set)
        return;
    set->active = NULL;
    merge_undo(set);
    lora_refresh(set);
    m->adapter = NULL;
    free_set(set);
}

void lora_enable(struct lora *l, bool on)
{
    struct lora_set *set = l->model->adapter;
    set->enabled = on;
    lora_refresh(set);
}

int64_t lora_parameters(const struct lora *l)
{
    int64_t n = 0;
    for (int64_t i = 0; i < l->count; i++)
        n += tensor_count(l->layers[i].term.a) + tensor_count(l->layers[i].term.b);
    for (int64_t i = 0; i < l->copies; i++)
        n += tensor_count(l->copy[i].tensor);
    return n;
}

int64_t lora_all_parameters(const struct model *m)
{
    const struct lora_set *set = lora_set_of(m);
    int64_t n = 0;
    for (int64_t i = 0; set && i < set->count; i++)
        n += lora_parameters(set->items[i]);
    return n;
}
