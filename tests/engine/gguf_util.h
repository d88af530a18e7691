/* gguf_util.h -- a small writer of GGUF files for tests.
 *
 *     struct gguf_writer w = {0};
 *     gguf_put_text(&w, "general.architecture", "llama");
 *     gguf_put_tensor(&w, "token_embd.weight", 0, 2, (int64_t[]){rows, cols}, data, bytes);
 *     char *bytes = gguf_finish(&w, &length);   // mem_free
 *
 * Shapes are torch's (contiguous dimension last). Data is copied. A failed allocation fails the
 * test. */
#ifndef TESTS_ENGINE_GGUF_UTIL_H
#define TESTS_ENGINE_GGUF_UTIL_H

#include "engine/formats/gguf.h"

struct gguf_part {
    char *bytes;
    int64_t count, capacity;
};

struct gguf_writer { /* zeroed = empty */
    struct gguf_part keys, infos, data;
    uint64_t key_count, tensor_count;
    uint32_t alignment; /* 0 = 32; also writes general.alignment when set */
};

void gguf_put_text(struct gguf_writer *w, const char *key, const char *text);
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_put_texts(struct gguf_writer *w, const char *key, const char *const *texts, int64_t n);
void gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *values, int64_t n);
void gguf_put_tensor(struct gguf_writer *w, const char *name, int type, int ndim,
                     const int64_t *shape, const void *data, size_t bytes);

/* The whole file; the writer is empty again. */
char *gguf_finish(struct gguf_writer *w, size_t *length);

#endif
