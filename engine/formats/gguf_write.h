/* gguf_write.h -- writes GGUF files, version 3: keys first, then tensors.
 *
 *     struct gguf_write w = {0};
 *     gguf_write_text(&w, "general.architecture", "llama");
 *     gguf_write_u32(&w, "llama.block_count", 2);
 *     status = gguf_write_save(&w, path, entries, count, read, ctx);
 *     gguf_write_free(&w);
 *
 * A failure of adding a key sticks and comes out of gguf_write_save. Keys and tensors stand in the
 * file in the order they are given; every tensor is padded, the last one too, as llama.cpp wants.
 * llama.cpp reads counts as u32 and real numbers as f32: write them so. */
#ifndef ENGINE_FORMATS_GGUF_WRITE_H
#define ENGINE_FORMATS_GGUF_WRITE_H

#include "engine/core/arena.h"
#include "engine/core/buffer.h"
#include "engine/core/textmap.h"
#include "engine/formats/gguf.h"

#define GGUF_WRITE_NAME_BYTES 63 /* longest name of a tensor that llama.cpp reads */

struct gguf_write {      /* zeroed = empty; all of it is private */
    struct buffer bytes; /* the keys as they go into the file; its status is the first failure */
    struct textmap keys; /* to find a second one */
    struct arena names;  /* their texts */
    int64_t count;
    uint32_t alignment; /* 0 = 32 */
};

/* Releases everything and zeroes the struct; zeroed is fine. */
void gguf_write_free(struct gguf_write *w);

/* One key each. A key that is there already is ERR_ARG, out of gguf_write_save. */
void gguf_write_u32(struct gguf_write *w, const char *key, uint32_t v);
void gguf_write_i32(struct gguf_write *w, const char *key, int32_t v);
void gguf_write_f32(struct gguf_write *w, const char *key, float v);
void gguf_write_bool(struct gguf_write *w, const char *key, bool v);
void gguf_write_text(struct gguf_write *w, const char *key, const char *text); /* to its NUL */
void gguf_write_bytes(struct gguf_write *w, const char *key, const char *text, size_t length);

/* Arrays of 'n'. 'lengths' of texts: NULL = up to their NUL. */
void gguf_write_texts(struct gguf_write *w, const char *key, const char *const *texts,
                      const size_t *lengths, int64_t n);
void gguf_write_i32s(struct gguf_write *w, const char *key, const int32_t *values, int64_t n);
void gguf_write_u32s(struct gguf_write *w, const char *key, const uint32_t *values, int64_t n);
void gguf_write_f32s(struct gguf_write *w, const char *key, const float *values, int64_t n);

/* A key of an open file, as it is there (general.alignment too: the new file obeys it). */
void gguf_write_copy(struct gguf_write *w, const struct gguf_value *v);

/* A tensor to be written. */
struct gguf_write_entry {
    const char *name;
    int type; /* ggml type id: a format of kernels/quant.h, or 24 to 27 for integers */
    int ndim; /* 1 to 4 */
    int64_t shape[GGUF_DIMS]; /* as torch says it: rows first */
    void *tensor;             /* the caller's own */
};

/* Bytes of an entry without padding. ERR_ARG: an unknown type, rows that are no whole blocks. */
int gguf_write_entry_bytes(const struct gguf_write_entry *e, size_t *out) MUST_CHECK;

/* Writes the file atomically: on failure the old one stays. 'read' fills the bytes of one entry
 * (gguf_write_entry_bytes of them) and is called once for each, in order; it must refuse numbers
 * that are not finite. Errors: ERR_ARG for keys, names, types and shapes that cannot stand in a
 * file, the status of 'read', ERR_IO, ERR_MEMORY. 'w' may be used again. */
int gguf_write_save(struct gguf_write *w, const char *path, const struct gguf_write_entry *entries,
                    int64_t count,
                    int (*read)(void *ctx, const struct gguf_write_entry *e, void *bytes),
                    void *ctx) MUST_CHECK;

#endif
