/* shard_index.c -- which of a model's files holds which tensor. */
#include "engine/formats/shard_index.h"
#include "engine/core/arena.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/core/textmap.h"
#include "kernels/base/mem.h"

#include <string.h>

#define MAX_TENSORS 200000
#define MAX_FILES 1000
#define MAX_NAME 255

struct entry {
    const char *name;
    int32_t file;
};

struct shard_index {
    struct entry *entries;
    int64_t count, room;
    const char **files;
    int64_t file_count, file_room;
    struct textmap names, file_names;
    struct arena texts;
};

/* Text of the current event as a copy that lives as long as 's'. */
static int keep_text(struct shard_index *s, const struct json *j, const char *what,
                     const char **out)
{
    if (j->length > MAX_NAME || memchr(j->text, '\0', j->length))
        return json_fail(j, "%s of %zu bytes, wanted at most %d and no zero byte", what, j->length,
                         MAX_NAME);
    *out = arena_text(&s->texts, j->text, j->length);
    return *out ? OK : ERR_MEMORY;
}

static int check_file(const struct json *j, const char *name, const char *tensor)
{
    static const char ending[] = ".safetensors";
    size_t n = strlen(name), m = sizeof ending - 1;
    if (!file_is_plain_name(name))
        return json_fail(j, "tensor '%s' would be in '%s', wanted a plain file name", tensor, name);
    if (n <= m || strcmp(name + n - m, ending))
        return json_fail(j,
                         "tensor '%s' would be in '%s', wanted a file that ends in .safetensors; "
                         "hint: save the model as safetensors",
                         tensor, name);
    return OK;
}

/* The number of a file, a new one where it was not named before. */
static int file_number(struct shard_index *s, const struct json *j, const char *tensor,
                       int32_t *out)
{
    bool found = false;
    const char *name = NULL;
    *out = textmap_find(&s->file_names, j->text, j->length, -1);
    if (*out >= 0)
        return OK;
    TRY(keep_text(s, j, "a file name", &name));
    TRY(check_file(j, name, tensor));
    if (s->file_count == MAX_FILES)
        return json_fail(j, "more than %d files", MAX_FILES);
    TRY(mem_grow((void **)&s->files, &s->file_room, s->file_count + 1, sizeof *s->files));
    TRY(textmap_add(&s->file_names, name, strlen(name), (int32_t)s->file_count, &found, out));
    *out = (int32_t)s->file_count;
    s->files[s->file_count++] = name;
    return OK;
}

static int read_map(struct shard_index *s, struct json *j)
{
    TRY(json_open(j, JSON_OBJECT, "weight_map"));
    for (;;) {
        struct entry e;
        bool found;
        int32_t old;
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        if (s->count == MAX_TENSORS)
            return json_fail(j, "more than %d tensors", MAX_TENSORS);
        TRY(keep_text(s, j, "the name of a tensor", &e.name));
        TRY(json_open(j, JSON_STRING, e.name));
        TRY(file_number(s, j, e.name, &e.file));
        TRY(textmap_add(&s->names, e.name, strlen(e.name), (int32_t)s->count, &found, &old));
        if (found) /* the JSON parser refuses these already */
            return json_fail(j, "the tensor '%s' occurs twice", e.name);
        TRY(mem_grow((void **)&s->entries, &s->room, s->count + 1, sizeof e));
        s->entries[s->count++] = e;
    }
}

static int read_index(struct shard_index *s, struct json *j)
{
    TRY(json_open(j, JSON_OBJECT, "the index"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            break;
        TRY(json_is(j, "weight_map") ? read_map(s, j) : json_skip_value(j));
    }
    if (!s->count)
        return json_fail(j, "the index has no weight_map with tensors in it");
    return json_end(j);
}

int shard_index_parse(const char *json, size_t length, struct shard_index **out)
{
    struct json_options options = {.nan = true};
    struct json j;
    struct shard_index *s = mem_calloc(1, sizeof *s);
    if (!s)
        return ERR_MEMORY;
    json_begin(&j, json, length, &options);
    int status = read_index(s, &j);
    json_free(&j);
    if (status)
        shard_index_free(s);
    else
        *out = s;
    return status;
}

void shard_index_free(struct shard_index *s)
{
    if (!s)
        return;
    textmap_free(&s->names);
    textmap_free(&s->file_names);
    arena_free(&s->texts);
    mem_free(s->entries);
    mem_free(s->files);
    mem_free(s);
}

int64_t shard_index_files(const struct shard_index *s)
{
    return s->file_count;
}

const char *shard_index_file(const struct shard_index *s, int64_t i)
{
    return s->files[i];
}

int64_t shard_index_count(const struct shard_index *s)
{
    return s->count;
}

const char *shard_index_name(const struct shard_index *s, int64_t i)
{
    return s->entries[i].name;
}

int64_t shard_index_file_of(const struct shard_index *s, int64_t i)
{
    return s->entries[i].file;
}

int64_t shard_index_find(const struct shard_index *s, const char *name)
{
    return textmap_find(&s->names, name, strlen(name), -1);
}
