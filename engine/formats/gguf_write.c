/* gguf_write.c -- writes GGUF files: the keys gather in a buffer, the tensors stream through one
 * block as large as the largest of them. */
#include "engine/formats/gguf_write.h"
#include "engine/core/file.h"
#include "engine/formats/gguf_private.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <string.h>

void gguf_write_free(struct gguf_write *w)
{
    buffer_free(&w->bytes);
    textmap_free(&w->keys);
    arena_free(&w->names);
    *w = (struct gguf_write){0};
}

/* --- keys ------------------------------------------------------------------------------------ */

static void put_u32(struct buffer *b, uint32_t v)
{
    char bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(v >> 8 * i);
    buffer_add(b, bytes, 4);
}

static void put_u64(struct buffer *b, uint64_t v)
{
    put_u32(b, (uint32_t)v);
    put_u32(b, (uint32_t)(v >> 32));
}

static void put_text(struct buffer *b, const char *text, size_t length)
{
    put_u64(b, length);
    buffer_add(b, text, length);
}

static int add_key(struct gguf_write *w, const char *key, enum gguf_type type)
{
    bool found;
    int32_t old;
    size_t n = strlen(key);
    if (n == 0 || n > GGUF_NAME_BYTES)
        return fail(ERR_ARG, "the key '%s' has %zu bytes, wanted 1 to %d", key, n, GGUF_NAME_BYTES);
    if (w->count == GGUF_MAX_KEYS)
        return fail(ERR_ARG, "more than %d keys", GGUF_MAX_KEYS);
    const char *copy = arena_text(&w->names, key, n);
    if (!copy)
        return ERR_MEMORY;
    TRY(textmap_add(&w->keys, copy, n, 0, &found, &old));
    if (found)
        return fail(ERR_ARG, "the key '%s' is given twice", key);
    w->count++;
    put_text(&w->bytes, key, n);
    put_u32(&w->bytes, type);
    return OK;
}

/* The key and type of a value that follows; false after a failure, which sticks. */
static bool begin(struct gguf_write *w, const char *key, enum gguf_type type)
{
    if (!w->bytes.status)
        w->bytes.status = add_key(w, key, type);
    return !w->bytes.status;
}

static bool begin_array(struct gguf_write *w, const char *key, enum gguf_type element, int64_t n)
{
    if (!begin(w, key, GGUF_ARRAY))
        return false;
    put_u32(&w->bytes, element);
    put_u64(&w->bytes, (uint64_t)n);
    return true;
}

static uint32_t bits_of(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

void gguf_write_u32(struct gguf_write *w, const char *key, uint32_t v)
{
    if (!strcmp(key, "general.alignment"))
        w->alignment = v;
    if (begin(w, key, GGUF_U32))
        put_u32(&w->bytes, v);
}

void gguf_write_i32(struct gguf_write *w, const char *key, int32_t v)
{
    if (begin(w, key, GGUF_I32))
        put_u32(&w->bytes, (uint32_t)v);
}

void gguf_write_f32(struct gguf_write *w, const char *key, float v)
{
    if (begin(w, key, GGUF_F32))
        put_u32(&w->bytes, bits_of(v));
}

void gguf_write_bool(struct gguf_write *w, const char *key, bool v)
{
    if (begin(w, key, GGUF_BOOL))
        buffer_add(&w->bytes, v ? "\1" : "\0", 1);
}

void gguf_write_bytes(struct gguf_write *w, const char *key, const char *text, size_t length)
{
    if (begin(w, key, GGUF_TEXT))
        put_text(&w->bytes, text, length);
}

void gguf_write_text(struct gguf_write *w, const char *key, const char *text)
{
    gguf_write_bytes(w, key, text, strlen(text));
}

void gguf_write_texts(struct gguf_write *w, const char *key, const char *const *texts,
                      const size_t *lengths, int64_t n)
{
    if (begin_array(w, key, GGUF_TEXT, n))
        for (int64_t i = 0; i < n; i++)
            put_text(&w->bytes, texts[i], lengths ? lengths[i] : strlen(texts[i]));
}

void gguf_write_i32s(struct gguf_write *w, const char *key, const int32_t *values, int64_t n)
{
    if (begin_array(w, key, GGUF_I32, n))
        for (int64_t i = 0; i < n; i++)
            put_u32(&w->bytes, (uint32_t)values[i]);
}

void gguf_write_u32s(struct gguf_write *w, const char *key, const uint32_t *values, int64_t n)
{
    if (begin_array(w, key, GGUF_U32, n))
        for (int64_t i = 0; i < n; i++)
            put_u32(&w->bytes, values[i]);
}

void gguf_write_f32s(struct gguf_write *w, const char *key, const float *values, int64_t n)
{
    if (begin_array(w, key, GGUF_F32, n))
        for (int64_t i = 0; i < n; i++)
            put_u32(&w->bytes, bits_of(values[i]));
}

void gguf_write_copy(struct gguf_write *w, const struct gguf_value *v)
{
    if (!strcmp(v->key, "general.alignment") && v->type == GGUF_U32)
        w->alignment = gguf_load_u32(v->data);
    bool begun = v->type == GGUF_ARRAY ? begin_array(w, v->key, v->element, (int64_t)v->count)
                                       : begin(w, v->key, v->type);
    if (begun)
        buffer_add(&w->bytes, v->data, gguf_value_bytes(v));
}

/* --- tensors --------------------------------------------------------------------------------- */

int gguf_write_entry_bytes(const struct gguf_write_entry *e, size_t *out)
{
    struct gguf_tensor t = {.type = e->type, .ndim = e->ndim};
    if (e->ndim < 1 || e->ndim > GGUF_DIMS)
        return fail(ERR_ARG, "tensor '%s': %d dimensions, wanted 1 to %d", e->name, e->ndim,
                    GGUF_DIMS);
    memcpy(t.shape, e->shape, sizeof t.shape);
    if (gguf_size_tensor(&t, e->name))
        return fail_in(ERR_ARG, "writing");
    *out = t.bytes;
    return OK;
}

static int check_name(const char *name, struct textmap *names)
{
    bool found;
    int32_t old;
    size_t n = strlen(name);
    if (n == 0 || n > GGUF_WRITE_NAME_BYTES)
        return fail(ERR_ARG, "the tensor name '%s' has %zu bytes, wanted 1 to %d", name, n,
                    GGUF_WRITE_NAME_BYTES);
    TRY(textmap_add(names, name, n, 0, &found, &old));
    return found ? fail(ERR_ARG, "two tensors are called '%s'", name) : OK;
}

/* Name, dimensions (contiguous one first), type, and where its data starts, which is at *at. */
static int add_info(struct buffer *b, const struct gguf_write_entry *e, size_t align, size_t *at)
{
    size_t bytes = 0;
    TRY(gguf_write_entry_bytes(e, &bytes));
    put_text(b, e->name, strlen(e->name));
    put_u32(b, (uint32_t)e->ndim);
    for (int i = e->ndim - 1; i >= 0; i--)
        put_u64(b, (uint64_t)e->shape[i]);
    put_u32(b, (uint32_t)e->type);
    put_u64(b, *at);
    if (!size_add(*at, bytes, at) || !size_pad(*at, align, at) || *at > INT64_MAX)
        return fail(ERR_ARG, "tensor '%s': the file would have more than 2^63 bytes", e->name);
    return OK;
}

static void pad(struct buffer *b, size_t align)
{
    while (!b->status && (size_t)b->length % align)
        buffer_add(b, "\0", 1);
}

/* Everything up to the data. */
static int make_header(struct buffer *b, struct gguf_write *w, const struct gguf_write_entry *e,
                       int64_t count, size_t align)
{
    struct textmap names = {0};
    size_t at = 0;
    int status = OK;
    buffer_text(b, "GGUF");
    put_u32(b, 3);
    put_u64(b, (uint64_t)count);
    put_u64(b, (uint64_t)w->count);
    buffer_add(b, w->bytes.bytes, (size_t)w->bytes.length);
    for (int64_t i = 0; i < count && !status; i++) {
        status = check_name(e[i].name, &names);
        if (!status)
            status = add_info(b, &e[i], align, &at);
    }
    textmap_free(&names);
    TRY(status);
    pad(b, align);
    return b->status;
}

static int write_data(struct file_save *f, const struct gguf_write_entry *entries, int64_t count,
                      size_t align,
                      int (*read)(void *ctx, const struct gguf_write_entry *e, void *bytes),
                      void *ctx)
{
    size_t bytes = 0, room = 0, padded = 0;
    for (int64_t i = 0; i < count; i++) {
        TRY(gguf_write_entry_bytes(&entries[i], &bytes));
        room = bytes > room ? bytes : room;
    }
    char *block = mem_alloc_aligned(room + align);
    if (!block)
        return ERR_MEMORY;
    int status = OK;
    for (int64_t i = 0; i < count && !status; i++) {
        status = gguf_write_entry_bytes(&entries[i], &bytes);
        if (!status)
            status = read(ctx, &entries[i], block);
        if (!status && !size_pad(bytes, align, &padded))
            status =
                fail(ERR_ARG, "tensor '%s' has more bytes than fit in memory", entries[i].name);
        if (status)
            break;
        memset(block + bytes, 0, padded - bytes);
        status = file_save_write(f, block, padded);
    }
    mem_free(block);
    return status;
}

static int check_all(const struct gguf_write *w, int64_t count, size_t align)
{
    if (w->bytes.status)
        return w->bytes.status;
    if (align > GGUF_MAX_ALIGNMENT || (align & (align - 1)))
        return fail(ERR_ARG, "general.alignment is %zu, wanted a power of two up to %d", align,
                    GGUF_MAX_ALIGNMENT);
    if (count > GGUF_MAX_TENSORS)
        return fail(ERR_ARG, "%" PRId64 " tensors, at most %d can be read again", count,
                    GGUF_MAX_TENSORS);
    return OK;
}

int gguf_write_save(struct gguf_write *w, const char *path, const struct gguf_write_entry *entries,
                    int64_t count,
                    int (*read)(void *ctx, const struct gguf_write_entry *e, void *bytes),
                    void *ctx)
{
    struct buffer header = {0};
    struct file_save *f = NULL;
    size_t align = w->alignment ? w->alignment : GGUF_DEFAULT_ALIGNMENT;
    int status;
    TRY_OUT(check_all(w, count, align));
    TRY_OUT(make_header(&header, w, entries, count, align));
    TRY_OUT(file_save_begin(path, &f));
    TRY_OUT(file_save_write(f, header.bytes, (size_t)header.length));
    TRY_OUT(write_data(f, entries, count, align, read, ctx));
    status = file_save_commit(f);
    f = NULL;
out:
    file_save_abandon(f);
    buffer_free(&header);
    return status;
}
