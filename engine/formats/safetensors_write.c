/* safetensors_write.c -- writes safetensors files byte for byte as the reference library does.
 *
 * Largest dtype first, then by name; a header without white space but for the spaces that fill it
 * up to a multiple of 8. One tensor is in memory at a time. */
#include "engine/core/file.h"
#include "engine/core/json_write.h"
#include "engine/core/sort.h"
#include "engine/core/textmap.h"
#include "engine/core/utf8.h"
#include "engine/formats/safetensors.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <string.h>

#define MAX_HEADER 100000000

/* --- order ----------------------------------------------------------------------------------- */

static bool earlier(const void *ctx, int32_t x, int32_t y)
{
    const struct safetensors_entry *a = (const struct safetensors_entry *)ctx + x;
    const struct safetensors_entry *b = (const struct safetensors_entry *)ctx + y;
    int ra = safetensors_rank(a->dtype), rb = safetensors_rank(b->dtype);
    return ra != rb ? ra > rb : strcmp(a->name, b->name) < 0;
}

static int sort(struct safetensors_entry *e, int64_t n)
{
    int32_t *order = mem_alloc((size_t)n * sizeof *order);
    struct safetensors_entry *sorted = mem_calloc((size_t)n, sizeof *sorted);
    int status = order && sorted ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < n && !status; i++)
        order[i] = (int32_t)i;
    if (!status)
        sort_numbers(order, n, earlier, e);
    for (int64_t i = 0; i < n && !status; i++)
        sorted[i] = e[order[i]];
    if (!status && n)
        memcpy(e, sorted, (size_t)n * sizeof *e);
    mem_free(order);
    mem_free(sorted);
    return status;
}

/* --- checks ---------------------------------------------------------------------------------- */

static int entry_bytes(const struct safetensors_entry *e, size_t *out)
{
    int bits = safetensors_bits(e->dtype);
    size_t n = 1;
    if (!bits)
        return fail(ERR_ARG, "tensor '%s': there is no dtype '%s' in safetensors files", e->name,
                    e->dtype);
    if (e->ndim < 0 || e->ndim > SAFETENSORS_DIMS)
        return fail(ERR_ARG, "tensor '%s': %d dimensions, wanted 0 to %d", e->name, e->ndim,
                    SAFETENSORS_DIMS);
    for (int i = 0; i < e->ndim; i++) {
        if (e->shape[i] < 0)
            return fail(ERR_ARG, "tensor '%s': dimension %d is %" PRId64, e->name, i + 1,
                        e->shape[i]);
        if (!size_mul(n, (size_t)e->shape[i], &n))
            return fail(ERR_ARG, "tensor '%s' has more elements than fit in memory", e->name);
    }
    if (!size_mul(n, (size_t)bits, &n) || n % 8)
        return fail(ERR_ARG, "tensor '%s' is no whole number of bytes", e->name);
    *out = n / 8;
    return OK;
}

static int check_text(const char *what, const char *text)
{
    if (utf8_valid(text, strlen(text)) != strlen(text))
        return fail(ERR_ARG, "%s '%s' is not UTF-8", what, text);
    return OK;
}

static int check_entries(const struct safetensors_entry *entries, int64_t count)
{
    struct textmap names = {0};
    int status = OK;
    bool found = false;
    int32_t old;
    size_t bytes;
    for (int64_t i = 0; i < count && !status; i++) {
        const char *name = entries[i].name;
        status = check_text("the tensor name", name);
        if (!status && !strcmp(name, "__metadata__"))
            status = fail(ERR_ARG, "a tensor cannot be called '%s'", name);
        if (!status)
            status = entry_bytes(&entries[i], &bytes);
        if (!status)
            status = textmap_add(&names, name, strlen(name), 0, &found, &old);
        if (!status && found)
            status = fail(ERR_ARG, "two tensors are called '%s'", name);
    }
    textmap_free(&names);
    return status;
}

/* --- the header ------------------------------------------------------------------------------ */

static int add_meta(struct json_writer *w, const char *const *meta)
{
    json_write_open(w, "__metadata__", '{');
    for (int64_t i = 0; meta[i]; i += 2) {
        TRY(check_text("the metadata key", meta[i]));
        TRY(check_text("the metadata text", meta[i + 1]));
        for (int64_t k = 0; k < i; k += 2)
            if (!strcmp(meta[k], meta[i]))
                return fail(ERR_ARG, "the metadata key '%s' is given twice", meta[i]);
        json_write_text(w, meta[i], meta[i + 1]);
    }
    json_write_close(w);
    return OK;
}

static int add_entry(struct json_writer *w, const struct safetensors_entry *e, size_t *at)
{
    size_t bytes = 0, stop;
    TRY(entry_bytes(e, &bytes));
    if (!size_add(*at, bytes, &stop) || stop > INT64_MAX)
        return fail(ERR_ARG, "tensor '%s': the file would have more than 2^63 bytes", e->name);
    json_write_open(w, e->name, '{');
    json_write_text(w, "dtype", e->dtype);
    json_write_open(w, "shape", '[');
    for (int i = 0; i < e->ndim; i++)
        json_write_int(w, NULL, e->shape[i]);
    json_write_close(w);
    json_write_open(w, "data_offsets", '[');
    json_write_int(w, NULL, (int64_t)*at);
    json_write_int(w, NULL, (int64_t)stop);
    json_write_close(w);
    json_write_close(w);
    *at = stop;
    return OK;
}

/* Length, JSON and padding. */
static int make_header(struct buffer *b, const struct safetensors_entry *entries, int64_t count,
                       const char *const *meta)
{
    struct json_writer w;
    size_t at = 0;
    buffer_add(b, "\0\0\0\0\0\0\0\0", 8);
    json_write_begin(&w, b, 0);
    json_write_open(&w, NULL, '{');
    if (meta)
        TRY(add_meta(&w, meta));
    for (int64_t i = 0; i < count; i++)
        TRY(add_entry(&w, &entries[i], &at));
    json_write_close(&w);
    buffer_repeat(b, " ", (8 - b->length % 8) % 8);
    TRY(buffer_close(b));
    int64_t n = b->length - 8;
    if (n > MAX_HEADER)
        return fail(ERR_ARG, "a header of %" PRId64 " bytes, at most %d can be read again", n,
                    MAX_HEADER);
    for (int i = 0; i < 8; i++)
        b->bytes[i] = (char)(n >> 8 * i);
    return OK;
}

/* --- the file -------------------------------------------------------------------------------- */

static int write_tensors(struct file_save *f, const struct safetensors_entry *entries,
                         int64_t count,
                         int (*read)(void *ctx, const struct safetensors_entry *e, void *bytes),
                         void *ctx)
{
    size_t bytes = 0, room = 0;
    for (int64_t i = 0; i < count; i++) {
        TRY(entry_bytes(&entries[i], &bytes));
        room = bytes > room ? bytes : room;
    }
    void *block = mem_alloc_aligned(room);
    if (!block)
        return ERR_MEMORY;
    int status = OK;
    for (int64_t i = 0; i < count && !status; i++) {
        status = entry_bytes(&entries[i], &bytes);
        if (!status)
            status = read(ctx, &entries[i], block);
        if (!status)
            status = file_save_write(f, block, bytes);
    }
    mem_free(block);
    return status;
}

int safetensors_save(const char *path, struct safetensors_entry *entries, int64_t count,
                     const char *const *meta,
                     int (*read)(void *ctx, const struct safetensors_entry *e, void *bytes),
                     void *ctx)
{
    struct buffer header = {0};
    struct file_save *f = NULL;
    int status;
    TRY_OUT(check_entries(entries, count));
    TRY_OUT(sort(entries, count));
    TRY_OUT(make_header(&header, entries, count, meta));
    TRY_OUT(file_save_begin(path, &f));
    TRY_OUT(file_save_write(f, header.bytes, (size_t)header.length));
    TRY_OUT(write_tensors(f, entries, count, read, ctx));
    status = file_save_commit(f);
    f = NULL;
out:
    file_save_abandon(f);
    buffer_free(&header);
    return status;
}
