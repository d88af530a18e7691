/* save.c -- a model folder: which file each tensor goes to, and the JSON files beside them. */
#include "engine/model/save.h"
#include "engine/core/file.h"
#include "engine/core/folder_save.h"
#include "engine/core/json_write.h"
#include "engine/formats/safetensors.h"
#include "engine/model/config_json.h"
#include "engine/model/export.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- types of the weights -------------------------------------------------------------------- */

/* What config.json calls a dtype that safetensors files hold. */
static const char *torch_name(const struct format *f)
{
    static const char *const names[DT_COUNT] = {
        [DT_F32] = "float32", [DT_F16] = "float16", [DT_BF16] = "bfloat16", [DT_F64] = "float64"};
    return names[f->dtype];
}

static int need_dtype(const struct export_tensor *t)
{
    return fail(ERR_ARG,
                "%s is stored as %s, which safetensors files do not hold; hint: say dtype = "
                "\"bfloat16\" (or \"float16\", \"float32\"), or save a GGUF: model:save_gguf(path)",
                t->name, t->format->name);
}

/* Vectors are kept in f32 whatever the file had: they go back to the type of the matrices when
 * that loses nothing. */
static int choose_vector(struct export_tensor *t, const struct format *wanted)
{
    bool fits = true;
    if (t->format == wanted || t->format->dtype != DT_F32)
        return OK;
    TRY(export_fits(t->tensor, wanted, &fits));
    if (fits)
        t->format = wanted;
    return OK;
}

/* Sets every tensor's format; *torch: what config.json says of them. */
static int choose_formats(struct model *m, const char *dtype, struct export_list *l,
                          const char **torch)
{
    const struct format *given = NULL, *main = NULL;
    TRY(model_wanted_format(dtype, &given));
    for (int64_t i = 0; i < l->count && !given; i++) {
        struct export_tensor *t = &l->items[i];
        if (!t->format->safetensors)
            return need_dtype(t);
        if (t->tensor->view.ndim == 2 && (!main || t->format->dtype == DT_F32))
            main = t->format; /* f32 among 16-bit weights (merged ones): read it all as f32 */
    }
    for (int64_t i = 0; i < l->count; i++) {
        struct export_tensor *t = &l->items[i];
        if (given)
            t->format = given;
        else if (t->tensor->view.ndim == 1 && m->embedding)
            TRY(choose_vector(t, m->embedding->linear.weight->format));
    }
    if (given)
        main = given;
    *torch = main ? torch_name(main) : "float32";
    export_count(l);
    return OK;
}

/* --- shards ---------------------------------------------------------------------------------- */

struct shards {
    int64_t *first; /* [count + 1] tensors of file i: first[i] .. first[i + 1] */
    int64_t count;
};

/* In the model's order; a tensor larger than the limit has a file of its own. */
static int cut(const struct export_list *l, int64_t limit, struct shards *out)
{
    int64_t used = 0;
    out->first = mem_calloc((size_t)l->count + 2, sizeof *out->first);
    if (!out->first)
        return ERR_MEMORY;
    out->count = 1;
    for (int64_t i = 0; i < l->count; i++) {
        int64_t bytes = (int64_t)export_tensor_bytes(&l->items[i]);
        if (used && used + bytes > limit) {
            out->first[out->count++] = i;
            used = 0;
        }
        used += bytes;
    }
    out->first[out->count] = l->count;
    return OK;
}

static void file_name(const struct shards *s, int64_t i, char *out, size_t bytes)
{
    if (s->count == 1)
        snprintf(out, bytes, "model.safetensors");
    else
        snprintf(out, bytes, "model-%05" PRId64 "-of-%05" PRId64 ".safetensors", i + 1, s->count);
}

static int read_entry(void *ctx, const struct safetensors_entry *e, void *bytes)
{
    struct model *m = ctx;
    if (m->cancel && *m->cancel >= m->cancel_at)
        return fail(ERR_CANCELLED, "interrupted");
    return export_read(e->tensor, bytes);
}

static int write_shard(struct model *m, struct export_list *l, int64_t first, int64_t count,
                       const char *path)
{
    static const char *const meta[] = {"format", "pt", NULL};
    struct safetensors_entry *entries = mem_calloc((size_t)count + 1, sizeof *entries);
    if (!entries)
        return ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) {
        struct export_tensor *t = &l->items[first + i];
        const struct view *v = &t->tensor->view;
        entries[i] = (struct safetensors_entry){
            .name = t->name, .dtype = t->format->safetensors, .ndim = v->ndim, .tensor = t};
        for (int d = 0; d < v->ndim; d++)
            entries[i].shape[d] = v->shape[d];
    }
    int status = safetensors_save(path, entries, count, meta, read_entry, m);
    mem_free(entries);
    return status;
}

static int by_name(const void *a, const void *b)
{
    const struct export_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int64_t shard_of(const struct shards *s, int64_t tensor)
{
    int64_t i = 0;
    while (tensor >= s->first[i + 1])
        i++;
    return i;
}

static int write_index(struct folder_save *f, const struct export_list *l, const struct shards *s)
{
    struct buffer text = {0};
    struct json_writer w;
    const struct export_tensor **sorted = mem_calloc((size_t)l->count + 1, sizeof *sorted);
    const char *path;
    int status = sorted ? folder_save_path(f, "model.safetensors.index.json", &path) : ERR_MEMORY;
    for (int64_t i = 0; i < l->count && !status; i++)
        sorted[i] = &l->items[i];
    if (!status) {
        qsort(sorted, (size_t)l->count, sizeof *sorted, by_name);
        json_write_begin(&w, &text, 2);
        json_write_open(&w, NULL, '{');
        json_write_open(&w, "metadata", '{');
        json_write_int(&w, "total_parameters", l->parameters);
        json_write_int(&w, "total_size", l->bytes);
        json_write_close(&w);
        json_write_open(&w, "weight_map", '{');
        for (int64_t i = 0; i < l->count; i++) {
            char name[64];
            file_name(s, shard_of(s, sorted[i] - l->items), name, sizeof name);
            json_write_text(&w, sorted[i]->name, name);
        }
        json_write_close(&w);
        json_write_close(&w);
        buffer_text(&text, "\n");
        status = buffer_close(&text);
    }
    if (!status)
        status = file_write_all(path, text.bytes, (size_t)text.length);
    buffer_free(&text);
    mem_free(sorted);
    return status;
}

static int write_weights(struct model *m, struct folder_save *f, struct export_list *l,
                         const struct shards *s)
{
    for (int64_t i = 0; i < s->count; i++) {
        char name[64];
        const char *path;
        file_name(s, i, name, sizeof name);
        TRY(folder_save_path(f, name, &path));
        TRY(write_shard(m, l, s->first[i], s->first[i + 1] - s->first[i], path));
    }
    if (s->count > 1)
        TRY(write_index(f, l, s));
    /* another cut of an older save: readers would take it, or not know what to take */
    TRY(folder_save_retire(f, "model.safetensors"));
    TRY(folder_save_retire(f, "model.safetensors.index.json"));
    return folder_save_retire(f, "model-[0-9]*-of-[0-9]*.safetensors");
}

/* --- the JSON files -------------------------------------------------------------------------- */

/* The text that came with the model, with what is no longer so. */
static int edited_config(const struct model *m, const char *dtype, struct buffer *out)
{
    const struct model_config *c = &m->config;
    struct model_config was;
    struct config_edit edits[3];
    char quoted[24], vocab[24];
    int n = 0;
    size_t length = strlen(m->config_json);
    bool tied = m->head && m->head->tied;
    TRY(config_from_json(m->config_json, length, &was));
    snprintf(quoted, sizeof quoted, "\"%s\"", dtype);
    snprintf(vocab, sizeof vocab, "%" PRId64, c->vocab_size);
    if (strcmp(was.dtype, dtype))
        edits[n++] = (struct config_edit){"dtype", quoted, "torch_dtype"};
    if (was.vocab_size != c->vocab_size)
        edits[n++] = (struct config_edit){"vocab_size", vocab, NULL};
    if (was.tie_word_embeddings != tied)
        edits[n++] = (struct config_edit){"tie_word_embeddings", tied ? "true" : "false", NULL};
    return config_edit_json(m->config_json, length, edits, n, out);
}

int model_config_json(const struct model *m, const char *dtype, struct buffer *out)
{
    struct model_config c = m->config;
    if (m->config_json)
        return edited_config(m, dtype, out);
    if (m->rope_factors)
        return fail(ERR_ARG, "the file's own rotary factors cannot be said in config.json; hint: "
                             "save a GGUF: model:save_gguf(path)");
    if (c.sliding_window && (c.attention_bias || c.mlp_bias))
        return fail(ERR_ARG,
                    "a sliding window and biases cannot both be said in config.json; hint: "
                    "save a GGUF: model:save_gguf(path)");
    if (c.sliding_window) /* model type llama has none */
        snprintf(c.model_type, sizeof c.model_type, "mistral");
    c.tie_word_embeddings = m->head && m->head->tied;
    return config_to_json(&c, dtype, out);
}

static int write_text(struct folder_save *f, const char *name, struct buffer *text)
{
    const char *path;
    TRY(buffer_close(text));
    TRY(folder_save_path(f, name, &path));
    return file_write_all(path, text->bytes, (size_t)text->length);
}

/* "folder/name" of the folder a model came from; "" for a GGUF. */
static int beside(const struct model *m, const char *name, char out[FILE_PATH])
{
    char folder[FILE_PATH];
    out[0] = '\0';
    if (!m->config_json || !m->path)
        return OK;
    TRY(file_join(folder, "", m->path));
    if (!file_is_folder(folder)) /* one of its files: up to the last slash, "" = here */
        folder[strrchr(folder, '/') ? strrchr(folder, '/') + 1 - folder : 0] = '\0';
    return file_join(out, folder, name);
}

/* The file that came with the model, else one that says which ids begin and end a text. */
static int write_generation(struct model *m, struct folder_save *f)
{
    const struct model_config *c = &m->config;
    char from[FILE_PATH];
    const char *path;
    struct json_writer w;
    struct buffer text = {0};
    TRY(beside(m, "generation_config.json", from));
    if (from[0] && file_exists(from)) {
        TRY(folder_save_path(f, "generation_config.json", &path));
        return file_copy(from, path);
    }
    json_write_begin(&w, &text, 2);
    json_write_open(&w, NULL, '{');
    json_write_bool(&w, "_from_model_config", true);
    if (c->bos_token_id >= 0)
        json_write_int(&w, "bos_token_id", c->bos_token_id);
    if (c->eos_count > 1) {
        json_write_open(&w, "eos_token_id", '[');
        for (int i = 0; i < c->eos_count; i++)
            json_write_int(&w, NULL, c->eos_ids[i]);
        json_write_close(&w);
    } else if (c->eos_count) {
        json_write_int(&w, "eos_token_id", c->eos_ids[0]);
    }
    if (c->pad_token_id >= 0)
        json_write_int(&w, "pad_token_id", c->pad_token_id);
    json_write_close(&w);
    buffer_text(&text, "\n");
    int status = write_text(f, "generation_config.json", &text);
    buffer_free(&text);
    return status;
}

/* --- the whole ------------------------------------------------------------------------------- */

static int write_all(struct model *m, struct folder_save *f, struct export_list *l,
                     const struct shards *s, const char *torch)
{
    struct buffer text = {0};
    int status = model_config_json(m, torch, &text);
    if (!status)
        status = write_text(f, "config.json", &text);
    buffer_free(&text);
    if (!status)
        status = write_generation(m, f);
    return status ? status : write_weights(m, f, l, s);
}

static int save_list(struct model *m, const char *folder, const struct save_config *c,
                     struct export_list *l, int64_t *files)
{
    struct shards s = {0};
    struct folder_save *f = NULL;
    const char *torch = NULL;
    int64_t limit;
    TRY(export_parse_size("max_shard_size", c->max_shard_size ? c->max_shard_size : "5GB", &limit));
    TRY(choose_formats(m, c->dtype, l, &torch));
    TRY(export_refuse_source(m, folder));
    TRY(export_check_room(folder, l->bytes));
    int status = cut(l, limit, &s);
    if (!status)
        status = folder_save_begin(folder, &f);
    if (!status && (status = write_all(m, f, l, &s, torch)))
        folder_save_abandon(f);
    else if (!status)
        status = folder_save_commit(f);
    if (files)
        *files = s.count;
    mem_free(s.first);
    return status;
}

int model_save(struct model *m, const char *folder, const struct save_config *config,
               int64_t *files)
{
    struct export_list l;
    TRY(export_collect(m, "merge it first (model = model:merge_and_unload()), or save the adapter",
                       &l));
    int status = save_list(m, folder, config, &l, files);
    export_free(&l);
    return status;
}
