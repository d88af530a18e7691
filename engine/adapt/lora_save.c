/* lora_save.c -- an adapter into a folder: weights, configuration and a card, together or not at all. */
#include "engine/adapt/lora_files.h"
#include "engine/adapt/lora_json.h"
#include "engine/adapt/lora_patterns.h"
#include "engine/core/file.h"
#include "engine/core/folder_save.h"
#include "engine/core/json_write.h"
#include "engine/formats/safetensors.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 4096

const char *adapter_base_name(const struct lora *l)
{
    const struct model *m = l->model;
    const char *name = m->name ? m->name : m->path;
    if (l->config.base_model_name_or_path && *l->config.base_model_name_or_path)
        return l->config.base_model_name_or_path;
    if (!name || file_is_folder(name) || !file_exists(name))
        return name; /* a folder, or a name on the hub */
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* --- weights --------------------------------------------------------------------------------- */

struct stored {
    struct tensor *tensor;
    double factor; /* of its values */
};

struct listing {
    struct safetensors_entry *entries; /* 'tensor' is the number of one of 'stored' */
    struct stored *stored;
    struct buffer names; /* all of them, each with its NUL */
    int64_t count, room, stored_room;
    double scale; /* of every layer, 0 = each keeps its own */
};

static int list_entry(void *ctx, const struct lora_entry *e)
{
    struct listing *l = ctx;
    bool is_b = e->layer && e->tensor == &e->layer->term.b;
    TRY(mem_grow((void **)&l->entries, &l->room, l->count + 1, sizeof *l->entries));
    TRY(mem_grow((void **)&l->stored, &l->stored_room, l->count + 1, sizeof *l->stored));
    l->stored[l->count].tensor = *e->tensor;
    l->stored[l->count].factor = is_b && l->scale > 0 ? e->layer->term.scale / l->scale : 1;
    struct safetensors_entry *x = &l->entries[l->count];
    *x = (struct safetensors_entry){.dtype = "F32", .tensor = (void *)(uintptr_t)l->count++};
    x->ndim = (*e->tensor)->view.ndim;
    for (int i = 0; i < x->ndim; i++)
        x->shape[i] = (*e->tensor)->view.shape[i];
    buffer_add(&l->names, e->file, strlen(e->file) + 1);
    return l->names.status;
}

/* The buffer has stopped moving. */
static void set_names(struct listing *l)
{
    const char *name = l->names.bytes;
    for (int64_t i = 0; i < l->count; i++, name += strlen(name) + 1)
        l->entries[i].name = name;
}

static int read_values(void *ctx, const struct safetensors_entry *e, void *bytes)
{
    const struct listing *list = ctx;
    const struct stored *from = &list->stored[(uintptr_t)e->tensor];
    struct tensor *narrow;
    float *values = bytes;
    int64_t n = tensor_count(from->tensor);
    TRY(tensor_convert(from->tensor, DT_F32, &narrow));
    int status = tensor_read(narrow, bytes);
    tensor_release(narrow);
    for (int64_t i = 0; i < n && !status; i++) {
        if (from->factor != 1)
            values[i] = (float)(values[i] * from->factor);
        if (!isfinite(values[i]))
            status = fail(ERR_NUMERIC,
                          "%s is not finite (%g), so it is not saved; hint: the training that made "
                          "it went wrong",
                          e->name, (double)values[i]);
    }
    return status;
}

static int save_weights(struct lora *l, const char *path, double scale)
{
    static const char *const meta[] = {"format", "pt", NULL};
    struct listing list = {.scale = scale};
    int status = lora_entries(l, list_entry, &list);
    if (!status) {
        set_names(&list);
        status = safetensors_save(path, list.entries, list.count, meta, read_values, &list);
    }
    buffer_free(&list.names);
    mem_free(list.entries);
    mem_free(list.stored);
    return status;
}

/* --- the card -------------------------------------------------------------------------------- */

static void yaml_text(struct buffer *b, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    if (*text && text[strspn(text, plain)] == '\0' && *text != '-' && *text != '.')
        buffer_text(b, text);
    else
        json_quote(b, text, strlen(text));
}

static int write_card(struct lora *l, const char *path, const char *base)
{
    struct buffer b = {0};
    buffer_text(&b, "---\n");
    if (base) {
        buffer_text(&b, "base_model: ");
        yaml_text(&b, base);
        buffer_text(&b, "\n");
    }
    buffer_printf(
        &b,
        "library_name: peft\npipeline_tag: text-generation\ntags:\n- lora\n- lorash\n---\n\n"
        "# LoRA adapter\n\nA LoRA adapter of rank %lld on %lld layers%s%s, trained with "
        "lorash. PEFT, vLLM and\nlorash load it.\n",
        (long long)l->config.r, (long long)l->count, base ? " of " : "", base ? base : "");
    int status = buffer_close(&b);
    if (!status)
        status = file_write_all(path, b.bytes, (size_t)b.length);
    buffer_free(&b);
    return status;
}

/* --- all ------------------------------------------------------------------------------------- */

/* What is written: the adapter's own configuration, or the one with a single scale. */
struct saving {
    struct lora *lora;
    const struct lora_config *config;
    const char *base;
    double scale; /* of all layers, 0 = each has its own */
};

static int save_config(const struct saving *s, const char *path)
{
    struct buffer json = {0};
    int status = lora_json_write(s->config, s->base, &json);
    if (!status)
        status = buffer_close(&json);
    if (!status)
        status = file_write_all(path, json.bytes, (size_t)json.length);
    buffer_free(&json);
    return status;
}

/* The three files in the folder of 'to'. 'card': whether one is wanted. */
static int save_files(const struct saving *s, struct folder_save *to, bool card)
{
    const char *path;
    TRY(folder_save_path(to, ADAPTER_WEIGHTS, &path));
    TRY(save_weights(s->lora, path, s->scale));
    TRY(folder_save_path(to, ADAPTER_CONFIG, &path));
    TRY(save_config(s, path));
    if (!card)
        return OK;
    TRY(folder_save_path(to, "README.md", &path));
    return write_card(s->lora, path, s->base);
}

static int save(const struct saving *s, const char *dir)
{
    char card[FILE_PATH];
    struct folder_save *to;
    TRY(file_join(card, dir, "README.md"));
    TRY(folder_save_begin(dir, &to));
    /* a card that is there may be a person's by now; a pickled twin would be read instead of ours */
    int status = save_files(s, to, !file_exists(card));
    if (!status)
        status = folder_save_retire(to, "adapter_model.bin");
    if (!status)
        return folder_save_commit(to);
    folder_save_abandon(to);
    return status;
}

int adapter_save(struct lora *l, const char *dir, const char *base)
{
    struct lora_config c;
    struct saving s = {.lora = l, .config = &c, .base = base ? base : adapter_base_name(l)};
    TRY(lora_written_config(l, &c));
    int status = save(&s, dir);
    options_free(&lora_options, &c);
    return status;
}

int adapter_save_one_scale(struct lora *l, const char *dir, const char *base)
{
    struct lora_config c;
    struct saving s = {.lora = l, .config = &c, .base = base ? base : adapter_base_name(l)};
    TRY(lora_one_scale(l, &c, &s.scale));
    int status = save(&s, dir);
    options_free(&lora_options, &c);
    return status;
}
