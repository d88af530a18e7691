/* lora_gguf.c -- an adapter as a GGUF file: names, scale and the order of rows. */
#include "engine/adapt/lora_gguf.h"
#include "engine/formats/gguf_write.h"
#include "engine/model/export.h"
#include "engine/model/gguf_names.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One side of a pair. */
struct side {
    const struct lora_layer *layer;
    char name[64];
    bool b, heads, table; /* table: of the token embedding, whose A is stored the other way round */
    double factor;        /* of B */
};

struct out {
    struct lora *l;
    struct gguf_write w;
    struct gguf_write_entry *entries;
    struct side *sides; /* [2 * l->count] */
    double alpha;
};

static int refuse(const struct lora *l, const char *what, const char *name)
{
    return fail(ERR_ARG,
                "adapter '%s': %s (%s) cannot stand in an adapter of llama.cpp; hint: merge it and "
                "save the model: model = model:merge_and_unload(); model:save_gguf(path)",
                l->name, what, name);
}

static int check(const struct lora *l)
{
    static const char *const kinds[] = {
        [LORA_COPY_SAVED] = "a layer of modules_to_save",
        [LORA_COPY_BIAS] = "a trained bias",
        [LORA_COPY_BASE] = "a base weight that came with it",
    };
    if (l->copies)
        return refuse(l, kinds[l->copy[0].kind], l->copy[0].name);
    /* llama.cpp knows a tied model's two uses of the weight by one name, and stops at the other */
    for (int64_t i = 0; i < l->count; i++)
        if (l->layers[i].module->kind != MODULE_LINEAR && l->model->head->tied)
            return refuse(l, "embedding or head of a tied model", l->layers[i].module->name);
    return OK;
}

/* --- sides ----------------------------------------------------------------------------------- */

/* What B is multiplied by, so that alpha / r times it is the adapter's own scale. */
static double factor_of(const struct out *o, const struct lora_layer *layer)
{
    double theirs = o->alpha / (double)layer->r;
    return layer->term.scale == theirs ? 1 : layer->term.scale / theirs;
}

static int set_side(struct out *o, struct side *s, const struct lora_layer *layer, bool b)
{
    char full[160], base[64];
    *s = (struct side){.layer = layer, .b = b, .factor = b ? factor_of(o, layer) : 1};
    snprintf(full, sizeof full, "%s.weight", layer->module->name);
    if (!gguf_name_of(full, base, sizeof base, &s->heads) ||
        (size_t)snprintf(s->name, sizeof s->name, "%s.lora_%c", base, b ? 'b' : 'a') >=
            sizeof s->name)
        return refuse(o->l, "a layer without a name there", full);
    s->table = layer->module->kind == MODULE_EMBEDDING;
    s->heads = s->heads && b;
    return OK;
}

static int add_sides(struct out *o)
{
    for (int64_t i = 0; i < 2 * o->l->count; i++) {
        struct side *s = &o->sides[i];
        TRY(set_side(o, s, &o->l->layers[i / 2], i % 2));
        const struct tensor *t = s->b ? s->layer->term.b : s->layer->term.a;
        bool turned = s->table && !s->b;
        o->entries[i] = (struct gguf_write_entry){
            .name = s->name,
            .ndim = 2,
            .shape = {t->view.shape[turned ? 1 : 0], t->view.shape[turned ? 0 : 1]},
            .tensor = s};
    }
    return OK;
}

/* --- bytes ----------------------------------------------------------------------------------- */

static int to_floats(const struct side *s, const double *values, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = (float)(values[i] * s->factor);
        if (!isfinite(out[i]))
            return fail(ERR_NUMERIC,
                        "%s.lora_%c holds a number that is not finite, so nothing is saved; hint: "
                        "training has gone wrong",
                        s->layer->module->name, s->b ? 'B' : 'A');
    }
    return OK;
}

static void turn(const float *from, float *to, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            to[c * rows + r] = from[r * cols + c];
}

static int read_side(void *ctx, const struct gguf_write_entry *e, void *bytes)
{
    struct out *o = ctx;
    const struct side *s = e->tensor;
    struct tensor *t = s->b ? s->layer->term.b : s->layer->term.a;
    int64_t n = tensor_count(t), rows = t->view.shape[0], cols = t->view.shape[1];
    double *values = mem_alloc((size_t)n * sizeof *values);
    float *plain = mem_alloc((size_t)n * sizeof *plain);
    int status = values && plain ? tensor_read_double(t, values) : ERR_MEMORY;
    if (!status)
        status = to_floats(s, values, n, plain);
    if (!status && s->table && !s->b)
        turn(plain, bytes, rows, cols);
    else if (!status && s->heads)
        gguf_rows_to_file((const char *)plain, bytes, rows, (size_t)cols * sizeof *plain,
                          o->l->model->config.head_dim);
    else if (!status)
        memcpy(bytes, plain, (size_t)n * sizeof *plain);
    mem_free(values);
    mem_free(plain);
    return status;
}

/* --- the whole ------------------------------------------------------------------------------- */

static void keys(struct out *o)
{
    const struct model *m = o->l->model;
    gguf_write_text(&o->w, "general.architecture", "llama");
    gguf_write_text(&o->w, "general.type", "adapter");
    gguf_write_text(&o->w, "adapter.type", "lora");
    gguf_write_f32(&o->w, "adapter.lora.alpha", (float)o->alpha);
    gguf_write_text(&o->w, "general.name", o->l->name);
    gguf_write_u32(&o->w, "general.file_type", 0);
    if (m->name) {
        gguf_write_u32(&o->w, "general.base_model.count", 1);
        gguf_write_text(&o->w, "general.base_model.0.name", m->name);
    }
}

int lora_save_gguf(struct lora *l, const char *path)
{
    struct out o = {.l = l};
    TRY(check(l));
    TRY(export_refuse_source(l->model, path));
    /* an alpha of 0 would be read as "scale 1" */
    o.alpha = l->config.lora_alpha > 0 ? (double)(float)l->config.lora_alpha : 1;
    o.entries = mem_calloc((size_t)(2 * l->count) + 1, sizeof *o.entries);
    o.sides = mem_calloc((size_t)(2 * l->count) + 1, sizeof *o.sides);
    int status = o.entries && o.sides ? add_sides(&o) : ERR_MEMORY;
    if (!status) {
        keys(&o);
        status = gguf_write_save(&o.w, path, o.entries, 2 * l->count, read_side, &o);
    }
    gguf_write_free(&o.w);
    mem_free(o.entries);
    mem_free(o.sides);
    return status;
}
