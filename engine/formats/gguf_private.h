/* gguf_private.h -- what gguf.c (the parser), gguf_file.c (file and accessors) and gguf_write.c
 * share. */
#ifndef ENGINE_FORMATS_GGUF_PRIVATE_H
#define ENGINE_FORMATS_GGUF_PRIVATE_H

#include "engine/core/textmap.h"
#include "engine/formats/gguf.h"

#define GGUF_MAX_KEYS 65536
#define GGUF_MAX_TENSORS 200000
#define GGUF_MAX_ALIGNMENT 65536
#define GGUF_DEFAULT_ALIGNMENT 32

struct file;

struct gguf {
    struct gguf_value *values;
    int64_t value_count;
    struct gguf_tensor *tensors;
    int64_t tensor_count;
    struct textmap keys, tensor_names;
    char *names; /* every key and tensor name, each with a NUL */
    int64_t names_bytes, names_capacity;
    char *header;      /* of a file: what 'data' of the values points into */
    struct file *file; /* NULL after gguf_parse */
};

/* Little-endian loads from any address. */
static inline uint32_t gguf_load_u32(const char *p)
{
    const unsigned char *s = (const unsigned char *)p;
    return (uint32_t)s[0] | (uint32_t)s[1] << 8 | (uint32_t)s[2] << 16 | (uint32_t)s[3] << 24;
}

static inline uint64_t gguf_load_u64(const char *p)
{
    return (uint64_t)gguf_load_u32(p) | (uint64_t)gguf_load_u32(p + 4) << 32;
}

/* Sets t->bytes from type and shape. ERR_FORMAT for a type of unknown size, a dimension below 1,
 * rows that are no whole blocks, too many elements. */
int gguf_size_tensor(struct gguf_tensor *t, const char *name) MUST_CHECK;

/* Bytes of the data of a value in the file. */
size_t gguf_value_bytes(const struct gguf_value *v);

/* An integer or bool of the type; u64 above INT64_MAX becomes INT64_MAX. */
int64_t gguf_load_int(const char *p, enum gguf_type type);

#endif
