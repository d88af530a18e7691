/* gguf_util.c -- a small writer of GGUF files for tests. */
#include "tests/engine/gguf_util.h"
#include "kernels/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void put(struct gguf_part *p, const void *bytes, size_t n)
{
    if (mem_grow((void **)&p->bytes, &p->capacity, p->count + (int64_t)n + 1, 1))
        fail_msg("%s", status_message());
    if (n)
        memcpy(p->bytes + p->count, bytes, n);
    p->count += (int64_t)n;
}

static void put_u32(struct gguf_part *p, uint32_t v)
{
    put(p, &v, sizeof v); /* tests run on little-endian machines */
}

static void put_u64(struct gguf_part *p, uint64_t v)
{
    put(p, &v, sizeof v);
}

static void put_text(struct gguf_part *p, const char *text)
{
    put_u64(p, strlen(text));
    put(p, text, strlen(text));
}

static void key(struct gguf_writer *w, const char *name, enum gguf_type type)
{
    put_text(&w->keys, name);
    put_u32(&w->keys, type);
    w->key_count++;
}

static void array(struct gguf_writer *w, const char *name, enum gguf_type type, int64_t n)
{
    key(w, name, GGUF_ARRAY);
    put_u32(&w->keys, type);
    put_u64(&w->keys, (uint64_t)n);
}

void gguf_put_text(struct gguf_writer *w, const char *name, const char *text)
{
    key(w, name, GGUF_TEXT);
    put_text(&w->keys, text);
}

void gguf_put_u32(struct gguf_writer *w, const char *name, uint32_t v)
{
    key(w, name, GGUF_U32);
    put_u32(&w->keys, v);
}

void gguf_put_f32(struct gguf_writer *w, const char *name, float v)
{
    key(w, name, GGUF_F32);
    put(&w->keys, &v, sizeof v);
}

void gguf_put_bool(struct gguf_writer *w, const char *name, bool v)
{
    char c = v;
    key(w, name, GGUF_BOOL);
    put(&w->keys, &c, 1);
}

void gguf_put_texts(struct gguf_writer *w, const char *name, const char *const *texts, int64_t n)
{
    array(w, name, GGUF_TEXT, n);
    for (int64_t i = 0; i < n; i++)
        put_text(&w->keys, texts[i]);
}

void gguf_put_i32s(struct gguf_writer *w, const char *name, const int32_t *values, int64_t n)
{
    array(w, name, GGUF_I32, n);
    put(&w->keys, values, (size_t)n * sizeof *values);
}

static void pad(struct gguf_part *p, uint32_t alignment)
{
    while (p->count % alignment)
        put(p, "", 1);
}

void gguf_put_tensor(struct gguf_writer *w, const char *name, int type, int ndim,
                     const int64_t *shape, const void *data, size_t bytes)
{
    put_text(&w->infos, name);
    put_u32(&w->infos, (uint32_t)ndim);
    for (int i = ndim - 1; i >= 0; i--)
        put_u64(&w->infos, (uint64_t)shape[i]);
    put_u32(&w->infos, (uint32_t)type);
    put_u64(&w->infos, (uint64_t)w->data.count);
    put(&w->data, data, bytes);
    pad(&w->data, w->alignment ? w->alignment : 32);
    w->tensor_count++;
}

char *gguf_finish(struct gguf_writer *w, size_t *length)
{
    struct gguf_part all = {0};
    if (w->alignment)
        gguf_put_u32(w, "general.alignment", w->alignment);
    put(&all, "GGUF", 4);
    put_u32(&all, 3);
    put_u64(&all, w->tensor_count);
    put_u64(&all, w->key_count);
    put(&all, w->keys.bytes, (size_t)w->keys.count);
    put(&all, w->infos.bytes, (size_t)w->infos.count);
    if (w->tensor_count)
        pad(&all, w->alignment ? w->alignment : 32);
    put(&all, w->data.bytes, (size_t)w->data.count);
    mem_free(w->keys.bytes);
    mem_free(w->infos.bytes);
    mem_free(w->data.bytes);
    memset(w, 0, sizeof *w);
    *length = (size_t)all.count;
    return all.bytes;
}
