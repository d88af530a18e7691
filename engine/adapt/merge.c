/* merge.c -- W + s B A in the place of W, the old weight kept for the way back. */
#include "engine/adapt/merge.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct replaced {
    struct tensor **slot; /* in the model */
    struct tensor
        *other; /* what is not in the slot: the new one before, the old one after; owned */
};

struct lora_merged {
    struct lora *lora; /* borrowed */
    int64_t count, room;
    struct replaced *items;
    bool untied;
};

static void free_merged(struct lora_merged *x)
{
    if (!x)
        return;
    for (int64_t i = 0; i < x->count; i++)
        tensor_release(x->items[i].other);
    mem_free(x->items);
    mem_free(x);
}

void merge_forget(struct lora_set *set)
{
    free_merged(set->merged);
    set->merged = NULL;
}

int merge_refuse(const struct lora_set *set, const char *what)
{
    return fail(ERR_ARG,
                "the adapter '%s' is merged into the weights, so %s; hint: model:unmerge_adapter() "
                "first",
                set->merged->lora->name, what);
}

/* --- one weight ------------------------------------------------------------------------------ */

/* delta = scale B A as it is added to the layer's weight, [out, in] or [rows, width] */
static int make_delta(const struct lora_layer *layer, const struct tensor *w, struct tensor **out)
{
    const struct adapter_term *t = &layer->term;
    struct context *ctx = t->a->ctx;
    bool table = layer->module->kind == MODULE_EMBEDDING;
    TRY(tensor_new_2d(ctx, ctx->compute, w->view.shape[0], w->view.shape[1], out));
    int status = table
                     ? RUN(ctx, gemm, .dst = (*out)->view, .x = t->a->view, .w = tensor_wview(t->b),
                           .trans_x = true, .trans_w = true, .alpha = t->scale)
                     : RUN(ctx, gemm, .dst = (*out)->view, .x = t->b->view, .w = tensor_wview(t->a),
                           .alpha = t->scale);
    if (status)
        tensor_clear(out);
    return status;
}

static enum dtype merged_dtype(const struct context *ctx, const struct merge_options *o)
{
    const char *name = o->dtype ? o->dtype : "float32";
    if (!strcmp(name, "float16") || !strcmp(name, "f16"))
        return DT_F16;
    if (!strcmp(name, "bfloat16") || !strcmp(name, "bf16"))
        return DT_BF16;
    return ctx->compute == DT_F64 ? DT_F64 : DT_F32;
}

static void note_weight(struct merge_report *r, const char *name, const struct tensor *old,
                        const struct tensor *fresh, double change)
{
    r->weights++;
    if (old->format != fresh->format) {
        size_t used = strlen(r->from);
        if (!strstr(r->from, old->format->name))
            snprintf(r->from + used, sizeof r->from - used, "%s%s", used ? ", " : "",
                     old->format->name);
        snprintf(r->to, sizeof r->to, "%s", fresh->format->name);
        r->converted++;
    }
    if (change >= r->largest) {
        r->largest = change;
        snprintf(r->largest_name, sizeof r->largest_name, "%s", name);
    }
}

/* What 'narrow' lost of 'wide'. */
static int note_rounding(struct tensor *wide, struct tensor *narrow, struct merge_report *r)
{
    struct tensor *back;
    double lost;
    TRY(tensor_convert(narrow, wide->view.dtype, &back));
    int status = RUN(wide->ctx, binary, .z = back->view, .a = back->view, .b = wide->view,
                     .kind = BINARY_SUB);
    if (!status)
        status = tensor_largest(back, &lost);
    tensor_release(back);
    if (!status)
        r->rounding = fmax(r->rounding, lost);
    return status;
}

/* wide = base + delta, in the asked dtype; every value must be finite */
static int finish(struct tensor *wide, const struct merge_options *o, const char *name,
                  struct merge_report *r, struct tensor **out)
{
    double largest;
    enum dtype wanted = merged_dtype(wide->ctx, o);
    if (wanted == wide->view.dtype)
        *out = tensor_keep(wide);
    else
        TRY(tensor_convert(wide, wanted, out));
    int status = tensor_largest(*out, &largest);
    if (!status && !isfinite(largest))
        status = fail(ERR_NUMERIC,
                      "merging: %s would not be finite in %s; hint: the adapter seems "
                      "to be broken%s",
                      name, dtype_name(wanted),
                      wanted == DT_F16 ? ", or float16 is too narrow: dtype = \"bfloat16\"" : "");
    if (!status && wanted != wide->view.dtype)
        status = note_rounding(wide, *out, r);
    if (status)
        tensor_clear(out);
    return status;
}

static int merged_weight(const struct lora_layer *layer, const struct merge_options *o,
                         struct merge_report *report, struct tensor **out)
{
    const struct linear *l = &layer->module->linear;
    struct tensor *base = linear_weight(l), *delta = NULL, *wide = NULL;
    struct context *ctx = base->ctx;
    double change = 0;
    int status = make_delta(layer, base, &delta);
    if (!status)
        status = tensor_largest(delta, &change);
    if (!status)
        status = tensor_convert(base, ctx->compute, &wide);
    if (!status)
        status = RUN(ctx, binary, .z = wide->view, .a = wide->view, .b = delta->view,
                     .kind = BINARY_ADD);
    if (!status)
        status = finish(wide, o, layer->module->name, report, out);
    if (!status)
        note_weight(report, layer->module->name, l->weight, *out, change);
    tensor_release(delta);
    tensor_release(wide);
    return status;
}

/* --- the whole adapter ----------------------------------------------------------------------- */

/* The weight that a copy stands in for. */
static struct tensor **slot_of(struct model *m, const struct lora_copy *c)
{
    for (int64_t i = 0; i < m->module_count; i++) {
        struct linear *l = &m->modules[i].linear;
        if (c->stands == &l->weight_copy)
            return &l->weight;
        if (c->stands == &l->bias_copy)
            return &l->bias;
    }
    for (int64_t i = 0; i < m->parameter_count; i++)
        if (c->stands == &m->parameters[i].copy)
            return &m->parameters[i].tensor;
    return NULL;
}

static int add(struct lora_merged *x, struct tensor **slot, struct tensor *fresh)
{
    int status = mem_grow((void **)&x->items, &x->room, x->count + 1, sizeof *x->items);
    if (status) {
        tensor_release(fresh);
        return status;
    }
    x->items[x->count++] = (struct replaced){slot, fresh};
    return OK;
}

static int merge_layers(struct lora *l, const struct merge_options *o, struct merge_report *report,
                        struct lora_merged *x)
{
    for (int64_t i = 0; i < l->count; i++) {
        struct tensor *fresh;
        TRY(merged_weight(&l->layers[i], o, report, &fresh));
        TRY(add(x, &l->layers[i].module->linear.weight, fresh));
    }
    return OK;
}

/* Norms and biases stay f32, which is what their kernels read. */
static int merge_copies(struct lora *l, const struct merge_options *o, struct merge_report *report,
                        struct lora_merged *x)
{
    const struct merge_options wide = {0};
    for (int64_t i = 0; i < l->copies; i++) {
        const struct lora_copy *c = &l->copy[i];
        struct tensor **slot = slot_of(l->model, c), *fresh;
        if (!slot)
            return fail(ERR_INTERNAL, "merging: %s has no place", c->name);
        if (c->kind == LORA_COPY_BASE && c->adapted) /* its layer's merge has taken it in */
            continue;
        TRY(finish(c->tensor, c->tensor->view.ndim > 1 ? o : &wide, c->name, report, &fresh));
        note_weight(report, c->name, *slot, fresh, 0);
        TRY(add(x, slot, fresh));
    }
    return OK;
}

/* Puts the new weights in their places, or the old ones back; and tells embedding and head apart
 * when they have become two. */
static void exchange(struct model *m, struct lora_merged *x, bool merged)
{
    for (int64_t i = 0; i < x->count; i++) {
        struct replaced *r = &x->items[i];
        struct tensor *was = *r->slot;
        *r->slot = r->other;
        r->other = was;
    }
    if (merged && m->head->tied && m->head->linear.weight != m->embedding->linear.weight) {
        x->untied = true;
        m->head->tied = m->config.tie_word_embeddings = false;
    } else if (!merged && x->untied) {
        m->head->tied = m->config.tie_word_embeddings = true;
    }
}

int merge_adapter(struct model *m, const struct merge_options *o, struct merge_report *report)
{
    struct lora_set *set = lora_set_of(m);
    *report = (struct merge_report){0};
    if (!set)
        return fail(ERR_ARG, "merging: the model has no adapter; hint: get_peft_model or "
                             "PeftModel.from_pretrained gives it one");
    if (set->merged)
        return merge_refuse(set, "it cannot be merged again");
    struct lora_merged *x = mem_calloc(1, sizeof *x);
    if (!x)
        return ERR_MEMORY;
    x->lora = set->active;
    bool enabled = set->enabled;
    set->enabled = true; /* so that copies of base weights stand where they belong */
    lora_refresh(set);
    int status = merge_layers(set->active, o, report, x);
    if (!status)
        status = merge_copies(set->active, o, report, x);
    set->enabled = enabled;
    if (status) {
        free_merged(x);
        lora_refresh(set);
        return status;
    }
    exchange(m, x, true);
    report->untied = x->untied;
    set->merged = x;
    lora_refresh(set);
    return OK;
}

void merge_undo(struct lora_set *set)
{
    if (!set->merged)
        return;
    exchange(set->model, set->merged, false);
    merge_forget(set);
    lora_refresh(set);
}

int merge_and_unload(struct model *m, const struct merge_options *o, struct merge_report *report)
{
    struct lora_set *set = lora_set_of(m);
    *report = (struct merge_report){0};
    if (!set || !set->merged)
        TRY(merge_adapter(m, o, report));
    set = lora_set_of(m);
    merge_forget(set);
    lora_detach(m);
    return OK;
}
