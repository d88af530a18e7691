/* lora_load.c -- an adapter from a folder: PEFT's names, old and new, onto the layers of a model.
 *
 * The adapter is made from its configuration, filled from the file, and only then given to the model:
 * whatever is missing, left over or of another shape leaves the model as it was. */
#include "engine/adapt/lora_files.h"
#include "engine/adapt/lora_json.h"
#include "engine/core/file.h"
#include "engine/core/suggest.h"
#include "engine/formats/safetensors.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAME_BYTES 400
#define PREFIX "base_model.model."

bool adapter_is_folder(const char *dir)
{
    char path[FILE_PATH];
    return file_join(path, dir, ADAPTER_CONFIG) == OK && file_exists(path);
}

int adapter_read_config(const char *dir, struct lora_config *out, struct buffer *notes)
{
    char path[FILE_PATH];
    char *bytes;
    size_t length;
    if (!file_is_folder(dir))
        return fail(ERR_IO, "%s: there is no such folder; hint: the folder that holds %s and %s",
                    dir, ADAPTER_CONFIG, ADAPTER_WEIGHTS);
    TRY(file_join(path, dir, ADAPTER_CONFIG));
    if (!file_exists(path))
        return fail(ERR_IO,
                    "%s: there is no %s in it; hint: model:save_pretrained of a model with "
                    "an adapter writes one",
                    dir, ADAPTER_CONFIG);
    TRY(file_read(path, 1 << 24, &bytes, &length));
    int status = lora_json_parse(bytes, length, out, notes);
    mem_free(bytes);
    return status ? fail_in(status, "%s", path) : OK;
}

static int find_weights(const char *dir, char *path)
{
    TRY(file_join(path, dir, ADAPTER_WEIGHTS));
    if (file_exists(path))
        return OK;
    char old[FILE_PATH];
    TRY(file_join(old, dir, "adapter_model.bin"));
    if (file_exists(old))
        return fail(ERR_FORMAT,
                    "%s: a pickled file can run code when it is read, so it is refused; hint: load "
                    "it in PEFT once and save it again, which writes %s",
                    old, ADAPTER_WEIGHTS);
    return fail(ERR_IO, "%s: there is no %s in it", dir, ADAPTER_WEIGHTS);
}

/* --- names ----------------------------------------------------------------------------------- */

/* Takes '.part' and, when 'more', the component after it out of 'name'. */
static void cut(char *name, const char *part, bool with_part, bool more)
{
    char *at = strstr(name, part);
    if (!at)
        return;
    char *from = with_part ? at : at + strlen(part), *to = at + strlen(part);
    if (more && *to == '.')
        to += 1 + strcspn(to + 1, ".");
    memmove(from, to, strlen(to) + 1);
}

/* Names in the file as we write them: with the prefix, without an adapter's name. */
static void canonical(const char *stored, char *out)
{
    static const char *const tables[] = {".lora_embedding_A", ".lora_embedding_B"};
    static const char *const layers[] = {".lora_A", ".lora_B"};
    bool prefixed = !strncmp(stored, PREFIX, strlen(PREFIX));
    snprintf(out, NAME_BYTES, "%s%s", prefixed ? "" : PREFIX, stored);
    for (int i = 0; i < 2; i++) {
        char *at = strstr(out, layers[i]);
        if (at && strcmp(at + strlen(layers[i]), ".weight") != 0)
            cut(out, layers[i], false, true); /* .lora_A.default.weight */
        cut(out, tables[i], false, true);     /* .lora_embedding_A.default */
    }
    char *saved = strstr(out, ".modules_to_save.");
    if (saved) /* .modules_to_save.default.weight, or .modules_to_save.weight */
        cut(out, ".modules_to_save", true,
            strcmp(saved, ".modules_to_save.weight") && strcmp(saved, ".modules_to_save.bias"));
}

/* --- values ---------------------------------------------------------------------------------- */

struct loading {
    struct model *m;
    struct lora *lora;
    struct safetensors *file;
    char (*names)[NAME_BYTES]; /* canonical, of each tensor of the file */
    bool *used;
    struct buffer *notes;
    int64_t entries; /* seen so far */
};

/* Tensor 'i' of the file in the dtype 'wanted'; finite. */
static int read_tensor(struct loading *x, int64_t i, enum dtype wanted, struct tensor **out)
{
    const struct safetensors_tensor *t = safetensors_tensor(x->file, i);
    struct tensor *stored = NULL;
    const struct format *format = format_by_safetensors(t->dtype);
    double largest = 0;
    if (!format)
        return fail(ERR_FORMAT,
                    "%s: values of type %s cannot be used; wanted F32, F16, BF16 or F64", t->name,
                    t->dtype);
    void *bytes = mem_alloc(t->bytes);
    if (!bytes)
        return ERR_MEMORY;
    int status = safetensors_read(x->file, i, bytes);
    if (!status)
        status = tensor_from(x->m->ctx, format->dtype, t->ndim, t->shape, bytes, &stored);
    mem_free(bytes);
    if (!status)
        status = tensor_convert(stored, wanted, out);
    tensor_release(stored);
    if (!status)
        status = tensor_largest(*out, &largest);
    else
        return status;
    if (!status && !isfinite(largest))
        status = fail(ERR_NUMERIC,
                      "%s holds values that are not finite; hint: the adapter is broken", t->name);
    if (status)
        tensor_clear(out);
    return status;
}

static bool same_shape(const struct safetensors_tensor *t, const struct view *v)
{
    if (t->ndim != v->ndim)
        return false;
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] != v->shape[i])
            return false;
    return true;
}

static int64_t find_name(const struct loading *x, const char *name)
{
    for (int64_t i = 0; i < safetensors_count(x->file); i++)
        if (!x->used[i] && !strcmp(x->names[i], name))
            return i;
    return -1;
}

/* Before 2024 an adapted layer's bias was stored without "base_layer". */
static int64_t find_old_bias(const struct loading *x, const char *file)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s", file);
    cut(name, ".base_layer", true, false);
    return find_name(x, name);
}

static int fill_entry(void *ctx, const struct lora_entry *e)
{
    struct loading *x = ctx;
    char found[80], wanted[80];
    struct tensor *t = *e->tensor, *fresh;
    int64_t i = find_name(x, e->file);
    if (i < 0 && e->copy && e->copy->kind == LORA_COPY_BIAS)
        i = find_old_bias(x, e->file);
    if (i < 0)
        return fail(ERR_FORMAT, "there is no tensor %s, which %s asks for", e->file,
                    e->layer         ? "target_modules"
                    : e->copy->saved ? "modules_to_save"
                                     : "bias");
    const struct safetensors_tensor *stored = safetensors_tensor(x->file, i);
    if (!same_shape(stored, &t->view))
        return fail(ERR_FORMAT, "%s: shape %s, wanted %s for %s; hint: %s", stored->name,
                    shape_text(stored->shape, stored->ndim, found, sizeof found),
                    tensor_shape_text(t, wanted, sizeof wanted),
                    e->layer ? e->layer->module->name : e->copy->name,
                    e->layer
                        ? "the adapter belongs to another model, or its r and rank_pattern are "
                          "not those of the file"
                        : "the adapter belongs to another model");
    x->used[i] = true;
    TRY(read_tensor(x, i, t->view.dtype, &fresh));
    fresh->requires_grad = t->requires_grad;
    tensor_release(t);
    *e->tensor = fresh;
    return OK;
}

/* --- weights of the base that came along ----------------------------------------------------- */

/* Is 'weight' what the model has already? */
static int same_values(struct module *module, struct tensor *weight, bool *same)
{
    struct tensor *base = NULL, *difference = NULL;
    double largest = 1;
    struct context *ctx = weight->ctx;
    int status = tensor_convert(module->linear.weight, ctx->compute, &base);
    if (!status)
        status = tensor_new_like(base, ctx->compute, &difference);
    if (!status)
        status = RUN(ctx, binary, .z = difference->view, .a = base->view, .b = weight->view,
                     .kind = BINARY_SUB);
    if (!status)
        status = tensor_largest(difference, &largest);
    tensor_release(base);
    tensor_release(difference);
    *same = largest == 0;
    return status;
}

/* PEFT stores the embedding's own weight beside its A and B, and a resized or trained one alone. */
static int take_base(struct loading *x, int64_t i, struct module *module)
{
    const struct safetensors_tensor *stored = safetensors_tensor(x->file, i);
    struct tensor *weight;
    char found[80], wanted[80];
    bool same;
    if (!same_shape(stored, &module->linear.weight->view))
        return fail(ERR_FORMAT,
                    "%s: shape %s, the model's own is %s; hint: an adapter of a model with another "
                    "vocabulary",
                    stored->name, shape_text(stored->shape, stored->ndim, found, sizeof found),
                    tensor_shape_text(module->linear.weight, wanted, sizeof wanted));
    TRY(read_tensor(x, i, x->m->ctx->compute, &weight));
    int status = same_values(module, weight, &same);
    if (!status && !same)
        status = lora_add_base(x->lora, module, weight);
    if (status || same)
        tensor_release(weight);
    if (!status && !same && x->notes)
        buffer_printf(x->notes,
                      "%s: the adapter brings a weight of its own, which is not the model's; it is "
                      "used while the adapter is active\n",
                      module->name);
    x->used[i] = true;
    return status;
}

static int take_bases(struct loading *x)
{
    for (int64_t k = 0; k < x->m->module_count; k++) {
        char name[NAME_BYTES];
        struct module *module = &x->m->modules[k];
        snprintf(name, sizeof name, PREFIX "%s.base_layer.weight", module->name);
        int64_t i = find_name(x, name);
        if (i < 0) {
            snprintf(name, sizeof name, PREFIX "%s.weight", module->name);
            i = find_name(x, name);
        }
        if (i >= 0)
            TRY(take_base(x, i, module));
    }
    return OK;
}

static int check_left(const struct loading *x)
{
    int64_t left = 0, first = -1;
    for (int64_t i = 0; i < safetensors_count(x->file); i++)
        if (!x->used[i]) {
            first = first < 0 ? i : first;
            left++;
        }
    if (first < 0)
        return OK;
    const char *name = safetensors_tensor(x->file, first)->name;
    if (strstr(name, "lora_magnitude_vector"))
        return fail(ERR_FORMAT, "%s: DoRA is not available", name);
    return fail(ERR_FORMAT,
                "%s belongs to no layer that the configuration names%s; hint: the adapter is of "
                "another kind of model, or its configuration is another adapter's",
                name, left > 1 ? " (and others)" : "");
}

/* --- the whole ------------------------------------------------------------------------------- */

static int fill(struct loading *x)
{
    int64_t n = safetensors_count(x->file);
    x->names = mem_calloc((size_t)n, sizeof *x->names);
    x->used = mem_calloc((size_t)n, sizeof *x->used);
    if (!x->names || !x->used)
        return ERR_MEMORY;
    for (int64_t i = 0; i < n; i++)
        canonical(safetensors_tensor(x->file, i)->name, x->names[i]);
    TRY(lora_entries(x->lora, fill_entry, x));
    TRY(take_bases(x));
    return check_left(x);
}

int adapter_load(struct model *m, const char *dir, const struct adapter_how *how,
                 struct buffer *notes, struct lora **out)
{
    char path[FILE_PATH];
    struct lora_config config;
    struct loading x = {.m = m, .notes = notes};
    const struct lora_how made = {.lenient = true, .frozen = !how->trainable, .blank = true};
    TRY(adapter_read_config(dir, &config, notes));
    config.inference_mode = !how->trainable; /* files always say true */
    int status = find_weights(dir, path);
    if (!status)
        status = lora_make(m, how->name ? how->name : "default", &config, &made, &x.lora);
    options_free(&lora_options, &config);
    if (!status && (status = safetensors_open(path, &x.file)) == OK)
        if ((status = fill(&x)))
            status = fail_in(status, "%s", path);
    if (!status)
        status = lora_adopt(m, x.lora);
    safetensors_close(x.file);
    mem_free(x.names);
    mem_free(x.used);
    if (status)
        lora_free(x.lora);
    else
        *out = x.lora;
    return status;
}
