/* safetensors.h -- reads and writes safetensors files: a JSON header, then the tensors' bytes.
 *
 * Reading checks everything the reference checks (header size, offsets without hole or overlap from
 * 0 to the file's end, shape x dtype = bytes, text metadata) and duplicate names, before anything
 * is handed out. Writing gives the bytes that the reference library would give for the same
 * tensors, through a temporary file. */
#ifndef ENGINE_FORMATS_SAFETENSORS_H
#define ENGINE_FORMATS_SAFETENSORS_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAFETENSORS_DIMS 8

struct safetensors_tensor {
    const char *name;  /* NUL-terminated */
    const char *dtype; /* "F32", "BF16", "U8" ...: a string constant */
    int ndim;
    int64_t shape[SAFETENSORS_DIMS];
    int64_t offset; /* of its data in the file */
    size_t bytes;
};

struct safetensors;

/* Parses a header that stands whole in 'length' bytes at the start of a file of 'file_bytes' bytes;
 * they are not needed afterwards. ERR_FORMAT: not a safetensors file, damaged or cut short;
 * ERR_MEMORY. */
int safetensors_parse(const char *bytes, size_t length, uint64_t file_bytes,
                      struct safetensors **out) MUST_CHECK;
/* Reads the header and keeps the file open for the tensors. Messages name the path. */
int safetensors_open(const char *path, struct safetensors **out) MUST_CHECK;
void safetensors_close(struct safetensors *s); /* NULL is fine */

/* Tensors in the order of the header. */
int64_t safetensors_count(const struct safetensors *s);
const struct safetensors_tensor *safetensors_tensor(const struct safetensors *s, int64_t i);
int64_t safetensors_find(const struct safetensors *s, const char *name);    /* -1 = none */
const char *safetensors_meta(const struct safetensors *s, const char *key); /* NULL = none */
/* All bytes of a tensor into 'out'. Only after safetensors_open. */
int safetensors_read(struct safetensors *s, int64_t i, void *out) MUST_CHECK;
int safetensors_read_part(struct safetensors *s, int64_t i, size_t from, size_t bytes,
                          void *out) MUST_CHECK;
const char *safetensors_path(const struct safetensors *s); /* "" after parse */

/* Bits of one element of a dtype name (4 and 6 occur); 0 = unknown. */
int safetensors_bits(const char *dtype);

/* Place of a dtype name in the format's list, by which files are sorted (backwards); -1 = unknown. */
int safetensors_rank(const char *dtype);

/* A tensor to be written. */
struct safetensors_entry {
    const char *name, *dtype;
    int ndim;
    int64_t shape[SAFETENSORS_DIMS];
    void *tensor; /* the caller's own */
};

/* Writes all entries (their array is put into file order) to 'path', atomically: on failure the old
 * file stays. 'read' fills the bytes of one entry, as many as shape and dtype say, and is called
 * once for each, in file order. 'meta': pairs key, value, ending with NULL; may be NULL; models and
 * adapters want {"format", "pt"}. Several stay in this order (the reference has none). Errors:
 * ERR_ARG for names, dtypes and shapes that cannot stand in a file, the status of 'read', ERR_IO,
 * ERR_MEMORY. */
int safetensors_save(const char *path, struct safetensors_entry *entries, int64_t count,
                     const char *const *meta,
                     int (*read)(void *ctx, const struct safetensors_entry *e, void *bytes),
                     void *ctx) MUST_CHECK;

#endif
