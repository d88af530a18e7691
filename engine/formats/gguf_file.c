/* gguf_file.c -- a GGUF file on disk, and the typed accessors of its values. */
#include "engine/core/file.h"
#include "engine/formats/gguf_private.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIRST_READ ((size_t)4 << 20) /* most headers fit: a vocabulary of 50,000 takes 2 MB */

/* The size of a header is not known before it is parsed: reads a part, doubled while it was too
 * short. */
static int open_header(struct file *f, struct gguf **out)
{
    size_t size = (size_t)file_size(f), part = size < FIRST_READ ? size : FIRST_READ;
    for (;;) {
        bool cut = false;
        char *bytes = mem_alloc(part);
        if (!bytes)
            return ERR_MEMORY;
        int status = file_read_at(f, 0, bytes, part);
        if (!status)
            status = gguf_parse(bytes, part, size, out, &cut);
        if (!status) {
            (*out)->header = bytes;
            return OK;
        }
        mem_free(bytes);
        if (status != ERR_FORMAT || !cut || part == size)
            return status;
        part = part > size / 2 ? size : part * 2;
    }
}

int gguf_open(const char *path, struct gguf **out)
{
    struct file *f;
    TRY(file_open(path, &f));
    int status = open_header(f, out);
    if (status) {
        file_close(f);
        return fail_in(status, "'%s'", path);
    }
    (*out)->file = f;
    return OK;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    textmap_free(&g->keys);
    textmap_free(&g->tensor_names);
    mem_free(g->values);
    mem_free(g->tensors);
    mem_free(g->names);
    mem_free(g->header);
    file_close(g->file);
    mem_free(g);
}

const char *gguf_path(const struct gguf *g)
{
    return g->file ? file_path(g->file) : "";
}

int64_t gguf_value_count(const struct gguf *g)
{
    return g->value_count;
}

const struct gguf_value *gguf_value(const struct gguf *g, int64_t i)
{
    return &g->values[i];
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    int32_t i = textmap_find(&g->keys, key, strlen(key), -1);
    return i < 0 ? NULL : &g->values[i];
}

int64_t gguf_tensor_count(const struct gguf *g)
{
    return g->tensor_count;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, int64_t i)
{
    return &g->tensors[i];
}

int64_t gguf_find_tensor(const struct gguf *g, const char *name)
{
    return textmap_find(&g->tensor_names, name, strlen(name), -1);
}

int gguf_read_part(struct gguf *g, int64_t i, size_t from, size_t bytes, void *out)
{
    const struct gguf_tensor *t = &g->tensors[i];
    size_t stop;
    if (!g->file)
        return fail(ERR_INTERNAL, "tensor '%s': there is no file to read from", t->name);
    if (!size_add(from, bytes, &stop) || stop > t->bytes)
        return fail(ERR_ARG, "tensor '%s' has %zu bytes, wanted %zu at %zu", t->name, t->bytes,
                    bytes, from);
    return file_read_at(g->file, t->offset + (int64_t)from, out, bytes);
}

int gguf_read_tensor(struct gguf *g, int64_t i, void *out)
{
    return gguf_read_part(g, i, 0, g->tensors[i].bytes, out);
}

int64_t gguf_load_int(const char *p, enum gguf_type type)
{
    const unsigned char *s = (const unsigned char *)p;
    uint64_t v;
    switch (type) {
    case GGUF_U8:
    case GGUF_BOOL:
        return s[0];
    case GGUF_I8:
        return (int8_t)s[0];
    case GGUF_U16:
        return s[0] | s[1] << 8;
    case GGUF_I16:
        return (int16_t)(s[0] | s[1] << 8);
    case GGUF_U32:
        return gguf_load_u32(p);
    case GGUF_I32:
        return (int32_t)gguf_load_u32(p);
    default:
        v = gguf_load_u64(p);
        return type == GGUF_U64 && v > INT64_MAX ? INT64_MAX : (int64_t)v;
    }
}

static double load_float(const char *p, enum gguf_type type)
{
    if (type == GGUF_F32) {
        uint32_t bits = gguf_load_u32(p);
        float f;
        memcpy(&f, &bits, sizeof f);
        return f;
    }
    if (type == GGUF_F64) {
        uint64_t bits = gguf_load_u64(p);
        double d;
        memcpy(&d, &bits, sizeof d);
        return d;
    }
    return (double)gguf_load_int(p, type);
}

static bool is_int(enum gguf_type t)
{
    return t != GGUF_F32 && t != GGUF_F64 && t != GGUF_TEXT && t != GGUF_ARRAY && t != GGUF_BOOL;
}

static bool is_number(enum gguf_type t)
{
    return is_int(t) || t == GGUF_F32 || t == GGUF_F64;
}

static int fail_type(const struct gguf_value *v, const char *wanted)
{
    bool array = v->type == GGUF_ARRAY;
    return fail(ERR_FORMAT, "key '%s' holds %s%s, wanted %s", v->key, array ? "an array of " : "",
                gguf_type_name(array ? v->element : v->type), wanted);
}

static int find_wanted(const struct gguf *g, const char *key, const struct gguf_value **out)
{
    *out = gguf_find(g, key);
    return *out ? OK : fail(ERR_FORMAT, "the file has no key '%s'", key);
}

int gguf_int(const struct gguf *g, const char *key, int64_t *out)
{
    const struct gguf_value *v;
    TRY(find_wanted(g, key, &v));
    if (!is_int(v->type))
        return fail_type(v, "an integer");
    if (v->type == GGUF_U64 && gguf_load_u64(v->data) > INT64_MAX)
        return fail(ERR_FORMAT, "key '%s': %" PRIu64 " is too large", key, gguf_load_u64(v->data));
    *out = gguf_load_int(v->data, v->type);
    return OK;
}

int gguf_int_or(const struct gguf *g, const char *key, int64_t preset, int64_t *out)
{
    if (gguf_find(g, key))
        return gguf_int(g, key, out);
    *out = preset;
    return OK;
}

int gguf_float(const struct gguf *g, const char *key, double *out)
{
    const struct gguf_value *v;
    TRY(find_wanted(g, key, &v));
    if (!is_number(v->type))
        return fail_type(v, "a number");
    *out = load_float(v->data, v->type);
    return OK;
}

int gguf_float_or(const struct gguf *g, const char *key, double preset, double *out)
{
    if (gguf_find(g, key))
        return gguf_float(g, key, out);
    *out = preset;
    return OK;
}

int gguf_bool_or(const struct gguf *g, const char *key, bool preset, bool *out)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v && v->type != GGUF_BOOL)
        return fail_type(v, "true or false");
    *out = v ? v->data[0] != 0 : preset;
    return OK;
}

static void load_text(const char **p, const char **text, size_t *length)
{
    *length = (size_t)gguf_load_u64(*p);
    *text = *p + 8;
    *p = *text + *length;
}

int gguf_text(const struct gguf *g, const char *key, const char **text, size_t *length)
{
    const struct gguf_value *v;
    TRY(find_wanted(g, key, &v));
    if (v->type != GGUF_TEXT)
        return fail_type(v, "text");
    const char *p = v->data;
    load_text(&p, text, length);
    return OK;
}

static int list_of(const struct gguf *g, const char *key, bool (*fits)(enum gguf_type),
                   const char *wanted, struct gguf_list *out)
{
    const struct gguf_value *v;
    TRY(find_wanted(g, key, &v));
    if (v->type != GGUF_ARRAY || !fits(v->element))
        return fail_type(v, wanted);
    *out = (struct gguf_list){v->element, v->count, v->data};
    return OK;
}

static bool is_text(enum gguf_type t)
{
    return t == GGUF_TEXT;
}

int gguf_list_of_text(const struct gguf *g, const char *key, struct gguf_list *out)
{
    return list_of(g, key, is_text, "an array of text", out);
}

int gguf_list_of_int(const struct gguf *g, const char *key, struct gguf_list *out)
{
    return list_of(g, key, is_int, "an array of integers", out);
}

int gguf_list_of_float(const struct gguf *g, const char *key, struct gguf_list *out)
{
    return list_of(g, key, is_number, "an array of numbers", out);
}

static size_t element_bytes(enum gguf_type t)
{
    switch (t) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL:
        return 1;
    case GGUF_U16:
    case GGUF_I16:
        return 2;
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_F32:
        return 4;
    default:
        return 8;
    }
}

size_t gguf_value_bytes(const struct gguf_value *v)
{
    const char *p = v->data, *text;
    size_t length;
    if (v->element != GGUF_TEXT)
        return (size_t)v->count * element_bytes(v->element);
    for (uint64_t i = 0; i < v->count; i++)
        load_text(&p, &text, &length);
    return (size_t)(p - v->data);
}

void gguf_list_text(struct gguf_list *list, const char **text, size_t *length)
{
    load_text(&list->p, text, length);
    list->left--;
}

int64_t gguf_list_int(struct gguf_list *list)
{
    int64_t v = gguf_load_int(list->p, list->element);
    list->p += element_bytes(list->element);
    list->left--;
    return v;
}

double gguf_list_float(struct gguf_list *list)
{
    double v = load_float(list->p, list->element);
    list->p += element_bytes(list->element);
    list->left--;
    return v;
}
