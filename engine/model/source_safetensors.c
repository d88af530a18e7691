/* source_safetensors.c -- weights of a folder as Hugging Face saves models.
 *
 * Names are those a family asks for; a file saved without the head has them without "model." in
 * front. Weights stay as stored (F32, F16, BF16) but for F64, which becomes f32. Refused: 8-bit
 * floats, tensors of quantised checkpoints, files of torch.save. Nothing that a folder holds is
 * run. */
#include "engine/model/source_safetensors.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/core/textmap.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/shard_index.h"
#include "engine/model/config_json.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMPARED (1 << 20) /* bytes of two weights that are compared at once */

struct shard {
    struct safetensors *file;
    bool *used; /* per tensor */
};

struct folder_source {
    struct weight_source base;
    struct shard *shards;
    int64_t shard_count;
    struct textmap names; /* tensor -> place in 'places' */
    struct place {
        int32_t shard, tensor;
    } * places;
    int64_t place_count, place_room;
    bool tied;
};

/* --- names ------------------------------------------------------------------------------------ */

/* The tensor of a name, with or without "model." in front; NULL = none. */
static const struct place *find(const struct folder_source *s, const char *name)
{
    int32_t i = textmap_find(&s->names, name, strlen(name), -1);
    if (i < 0 && !strncmp(name, "model.", 6))
        i = textmap_find(&s->names, name + 6, strlen(name) - 6, -1);
    return i < 0 ? NULL : &s->places[i];
}

static const struct safetensors_tensor *tensor_of(const struct folder_source *s,
                                                  const struct place *p)
{
    return safetensors_tensor(s->shards[p->shard].file, p->tensor);
}

/* "folder/file" of a tensor. */
static const char *path_of(const struct folder_source *s, const struct place *p)
{
    return safetensors_path(s->shards[p->shard].file);
}

/* Buffers that old versions saved and every version makes anew. */
static bool is_buffer(const char *name)
{
    static const char *const endings[] = {"rotary_emb.inv_freq", ".attn.bias", "masked_bias"};
    for (int i = 0; i < COUNT_OF(endings); i++)
        if (file_ends_in(name, endings[i]))
            return true;
    return false;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int stored_format(const struct folder_source *s, const struct place *p,
                         const struct format **out)
{
    const struct safetensors_tensor *t = tensor_of(s, p);
    *out = format_by_safetensors(t->dtype);
    if (*out)
        return OK;
    bool small = t->dtype[0] == 'F' && safetensors_bits(t->dtype) <= 8;
    return fail(ERR_FORMAT, "%s: %s is stored as %s, wanted F32, F16, BF16 or F64; hint: %s",
                path_of(s, p), t->name, t->dtype,
                small ? "weights in 8 bits and fewer cannot be read, take the model in bfloat16"
                      : "this looks like a quantised checkpoint, take the original model or a GGUF "
                        "file");
}

static int check_shape(const struct folder_source *s, const struct place *p, int64_t rows,
                       int64_t cols)
{
    const struct safetensors_tensor *t = tensor_of(s, p);
    char found[200], wanted[64];
    if (rows < 0 ? t->ndim == 1 && t->shape[0] == cols
                 : t->ndim == 2 && t->shape[0] == rows && t->shape[1] == cols)
        return OK;
    shape_text(t->shape, t->ndim, found, sizeof found);
    shape_text(rows < 0 ? &cols : (const int64_t[]){rows, cols}, rows < 0 ? 1 : 2, wanted,
               sizeof wanted);
    return fail(ERR_FORMAT,
                "%s: %s has shape %s, wanted %s; hint: config.json and the weights do not belong "
                "together",
                path_of(s, p), t->name, found, wanted);
}

static int load(struct folder_source *s, struct context *ctx, const struct place *p,
                const struct format *stored, struct tensor **out)
{
    const struct safetensors_tensor *t = tensor_of(s, p);
    char *bytes = mem_alloc_aligned(t->bytes);
    if (!bytes)
        return ERR_MEMORY;
    int status = safetensors_read(s->shards[p->shard].file, p->tensor, bytes);
    if (!status)
        status = tensor_new_weight(ctx, stored, t->ndim == 1 ? -1 : t->shape[0],
                                   t->shape[t->ndim - 1], out);
    if (!status && (status = tensor_write(*out, bytes)))
        tensor_clear(out);
    mem_free(bytes);
    return status;
}

static int folder_get(struct weight_source *base, struct context *ctx, const char *name,
                      int64_t rows, int64_t cols, const struct format *format, bool optional,
                      struct tensor **out)
{
    struct folder_source *s = (struct folder_source *)base;
    const struct place *p = find(s, name);
    const struct format *stored = NULL;
    struct tensor *loaded;
    *out = NULL;
    if (!p && optional)
        return OK;
    if (!p)
        return fail(ERR_FORMAT,
                    "%s: no tensor %s; hint: the model is incomplete or of another family",
                    base->path, name);
    s->shards[p->shard].used[p->tensor] = true;
    TRY(stored_format(s, p, &stored));
    TRY(check_shape(s, p, rows, cols));
    int status = load(s, ctx, p, stored, &loaded);
    if (status)
        return fail_in(status, "%s", name);
    if (!format && stored->dtype == DT_F64)
        format = format_by_name("f32");
    if (!format || format == stored) {
        *out = loaded;
        return OK;
    }
    status = tensor_convert(loaded, format->dtype, out);
    tensor_release(loaded);
    return status;
}

/* --- what is left over ------------------------------------------------------------------------ */

/* A tied model may hold its head a second time: fine as long as it is the embedding. */
static int check_tied_head(struct folder_source *s, const struct place *head)
{
    const struct place *embedding = find(s, "model.embed_tokens.weight");
    const struct safetensors_tensor *a = tensor_of(s, head);
    const struct safetensors_tensor *b = embedding ? tensor_of(s, embedding) : NULL;
    bool same = b && a->dtype == b->dtype && a->ndim == b->ndim && a->bytes == b->bytes &&
                !memcmp(a->shape, b->shape, sizeof a->shape);
    char *x = mem_alloc(2 * (size_t)COMPARED), *y = x + COMPARED;
    int status = x ? OK : ERR_MEMORY;
    for (size_t at = 0, n; same && !status && at < a->bytes; at += n) {
        n = a->bytes - at < COMPARED ? a->bytes - at : COMPARED;
        status = safetensors_read_part(s->shards[head->shard].file, head->tensor, at, n, x);
        if (!status)
            status = safetensors_read_part(s->shards[embedding->shard].file, embedding->tensor, at,
                                           n, y);
        same = !status && !memcmp(x, y, n);
    }
    mem_free(x);
    if (status || same)
        return status;
    return fail(ERR_FORMAT,
                "%s: %s is not the table of embeddings, which config.json says it is; hint: set "
                "\"tie_word_embeddings\": false there",
                path_of(s, head), a->name);
}

static int folder_leftover(struct weight_source *base)
{
    struct folder_source *s = (struct folder_source *)base;
    for (int64_t i = 0; i < s->place_count; i++) {
        const struct place *p = &s->places[i];
        const char *name = tensor_of(s, p)->name;
        if (s->shards[p->shard].used[p->tensor] || is_buffer(name))
            continue;
        if (s->tied && !strcmp(name, "lm_head.weight")) {
            TRY(check_tied_head(s, p));
            continue;
        }
        return fail(ERR_FORMAT,
                    "%s: tensor %s belongs to nothing in this model; hint: config.json is of "
                    "another model, or the family is not supported",
                    path_of(s, p), name);
    }
    return OK;
}

static void folder_close(struct weight_source *base)
{
    struct folder_source *s = (struct folder_source *)base;
    for (int64_t i = 0; i < s->shard_count; i++) {
        safetensors_close(s->shards[i].file);
        mem_free(s->shards[i].used);
    }
    textmap_free(&s->names);
    mem_free(s->shards);
    mem_free(s->places);
    mem_free(s->base.config_json);
    mem_free(s);
}

/* --- settings --------------------------------------------------------------------------------- */

static int read_config(const char *folder, struct model_config *config, char **text)
{
    char path[FILE_PATH];
    size_t length;
    TRY(file_join(path, folder, "config.json"));
    if (!file_exists(path)) {
        char adapter[FILE_PATH];
        TRY(file_join(adapter, folder, "adapter_config.json"));
        return fail(ERR_FORMAT, "'%s' has no config.json; hint: %s", folder,
                    file_exists(adapter)
                        ? "this is an adapter, open its base model and then "
                          "PeftModel.from_pretrained(model, path)"
                        : "a model is a GGUF file, or a folder with config.json and safetensors");
    }
    TRY(file_read(path, CONFIG_JSON_BYTES, text, &length));
    *config = (struct model_config){0};
    int status = config_from_json(*text, length, config);
    config->name[0] = '\0'; /* _name_or_path is where its maker had it, not what it is called */
    return status ? fail_in(status, "%s", path) : OK;
}

static void add_eos(struct model_config *c, int64_t id)
{
    for (int i = 0; i < c->eos_count; i++)
        if (c->eos_ids[i] == id)
            return;
    if (id < 0 || id >= c->vocab_size || c->eos_count == CONFIG_EOS)
        return;
    c->eos_ids[c->eos_count++] = (int32_t)id;
    if (c->eos_token_id < 0)
        c->eos_token_id = id;
}

static int read_eos(struct json *j, struct model_config *c)
{
    int64_t id;
    TRY(json_next(j));
    if (j->kind == JSON_NUMBER) {
        TRY(json_int(j, "eos_token_id", &id));
        add_eos(c, id);
    }
    if (j->kind != JSON_ARRAY)
        return json_skip(j);
    while (json_more(j)) {
        TRY(json_take_int(j, "eos_token_id", &id));
        add_eos(c, id);
    }
    return json_next(j);
}

/* Ids of generation_config.json that end a text: chat models name their end of turn there. */
static int read_generation(const char *folder, struct model_config *c)
{
    char path[FILE_PATH], *json;
    size_t length;
    struct json j;
    struct json_options options = {.nan = true};
    TRY(file_join(path, folder, "generation_config.json"));
    if (!file_exists(path))
        return OK;
    TRY(file_read(path, CONFIG_JSON_BYTES, &json, &length));
    json_begin(&j, json, length, &options);
    int status = json_open(&j, JSON_OBJECT, NULL);
    while (!status && !(status = json_next(&j)) && j.kind == JSON_KEY)
        status = json_is(&j, "eos_token_id") ? read_eos(&j, c) : json_skip_value(&j);
    json_free(&j);
    mem_free(json);
    return status ? fail_in(status, "%s", path) : OK;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Opens the next file and enters its tensors. */
static int add_shard(struct folder_source *s, const char *path)
{
    struct shard *shard = &s->shards[s->shard_count];
    TRY(safetensors_open(path, &shard->file));
    int32_t number = (int32_t)s->shard_count++;
    int64_t n = safetensors_count(shard->file);
    shard->used = mem_calloc((size_t)n, sizeof *shard->used);
    if (!shard->used)
        return ERR_MEMORY;
    TRY(mem_grow((void **)&s->places, &s->place_room, s->place_count + n, sizeof *s->places));
    for (int64_t i = 0; i < n; i++) {
        const char *name = safetensors_tensor(shard->file, i)->name;
        bool found;
        int32_t old;
        TRY(textmap_add(&s->names, name, strlen(name), (int32_t)s->place_count, &found, &old));
        if (found)
            return fail(ERR_FORMAT, "the tensor %s is in '%s' and in '%s'", name,
                        path_of(s, &s->places[old]), path);
        s->places[s->place_count++] = (struct place){number, (int32_t)i};
    }
    return OK;
}

/* Every tensor must be where the index says. */
static int check_index(const struct folder_source *s, const struct shard_index *index)
{
    for (int64_t i = 0; i < shard_index_count(index); i++) {
        const char *name = shard_index_name(index, i);
        int64_t file = shard_index_file_of(index, i);
        if (safetensors_find(s->shards[file].file, name) < 0)
            return fail(ERR_FORMAT,
                        "the tensor %s is not in '%s', where the index says it is; hint: one of "
                        "the two is of another version, get the model again",
                        name, safetensors_path(s->shards[file].file));
    }
    return OK;
}

static int open_shards(struct folder_source *s, const char *folder, const struct shard_index *index)
{
    char path[FILE_PATH];
    int64_t n = shard_index_files(index);
    s->shards = mem_calloc((size_t)n, sizeof *s->shards);
    if (!s->shards)
        return ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        TRY(file_join(path, folder, shard_index_file(index, i)));
        TRY(add_shard(s, path));
    }
    return check_index(s, index);
}

static int open_index(struct folder_source *s, const char *folder, const char *path)
{
    struct shard_index *index = NULL;
    char *json;
    size_t length;
    TRY(file_read(path, SHARD_INDEX_BYTES, &json, &length));
    int status = shard_index_parse(json, length, &index);
    if (status)
        status = fail_in(status, "%s", path);
    else
        status = open_shards(s, folder, index);
    shard_index_free(index);
    mem_free(json);
    return status;
}

static int open_one(struct folder_source *s, const char *path)
{
    s->shards = mem_calloc(1, sizeof *s->shards);
    return s->shards ? add_shard(s, path) : ERR_MEMORY;
}

static int no_weights(const char *folder)
{
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                          "consolidated.00.pth"};
    char path[FILE_PATH];
    for (int i = 0; i < COUNT_OF(pickles); i++) {
        TRY(file_join(path, folder, pickles[i]));
        if (file_exists(path))
            return fail(ERR_FORMAT,
                        "'%s' has its weights in %s, a file of torch.save, which is never opened: "
                        "it can hold code; hint: save the model as safetensors "
                        "(save_pretrained of a current transformers does)",
                        folder, pickles[i]);
    }
    return fail(ERR_FORMAT,
                "'%s' has no weights; hint: wanted model.safetensors, or "
                "model.safetensors.index.json and its files",
                folder);
}

static int open_weights(struct folder_source *s, const char *folder)
{
    char path[FILE_PATH];
    TRY(file_join(path, folder, "model.safetensors"));
    if (file_exists(path))
        return open_one(s, path);
    TRY(file_join(path, folder, "model.safetensors.index.json"));
    if (file_exists(path))
        return open_index(s, folder, path);
    return no_weights(folder);
}

int source_safetensors_open(const char *path, struct model_config *config,
                            struct weight_source **out)
{
    char folder[FILE_PATH];
    bool whole = file_is_folder(path);
    const char *slash = strrchr(path, '/');
    size_t n = whole ? strlen(path) : slash ? (size_t)(slash - path) + 1 : 0;
    if (n >= sizeof folder)
        return fail(ERR_ARG, "'%.100s...': the path is too long", path);
    snprintf(folder, sizeof folder, "%.*s", (int)n, path);
    if (n == 0)
        snprintf(folder, sizeof folder, ".");
    struct folder_source *s = mem_calloc(1, sizeof *s);
    if (!s)
        return ERR_MEMORY;
    s->base = (struct weight_source){
        .path = path, .get = folder_get, .leftover = folder_leftover, .close = folder_close};
    bool there = whole || file_exists(path); /* else opening it says so, with near names */
    int status = there ? read_config(folder, config, &s->base.config_json) : OK;
    if (!status && there)
        status = read_generation(folder, config);
    if (!status)
        status = whole ? open_weights(s, folder) : open_one(s, path);
    if (status) {
        folder_close(&s->base);
        return status;
    }
    s->tied = config->tie_word_embeddings;
    *out = &s->base;
    return OK;
}
