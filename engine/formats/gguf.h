/* gguf.h -- reads GGUF files, versions 2 and 3 (llama.cpp's format: settings, vocabulary, weights).
 *
 * The header is parsed from memory by one function without side effects; gguf_open adds the file.
 * Everything is checked before anything is handed out: magic, version, counts against the bytes
 * there are, types, alignment, block sizes, names (no duplicates), and that every tensor lies
 * inside the file, aligned and apart from the others. Memory stays within a small multiple of the
 * header. Values are read through typed accessors only. */
#ifndef ENGINE_FORMATS_GGUF_H
#define ENGINE_FORMATS_GGUF_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GGUF_DIMS 4
#define GGUF_NAME_BYTES 255

enum gguf_type { /* of a value; the numbers are those of the file */
                 GGUF_U8,
                 GGUF_I8,
                 GGUF_U16,
                 GGUF_I16,
                 GGUF_U32,
                 GGUF_I32,
                 GGUF_F32,
                 GGUF_BOOL,
                 GGUF_TEXT,
                 GGUF_ARRAY,
                 GGUF_U64,
                 GGUF_I64,
                 GGUF_F64,
                 GGUF_TYPES
};
const char *gguf_type_name(enum gguf_type t);

struct gguf_value {
    const char *key; /* NUL-terminated */
    enum gguf_type type;
    enum gguf_type element; /* of an array */
    uint64_t count;         /* elements of an array, else 1 */
    const char *data;       /* as in the file, checked */
};

struct gguf_tensor {
    const char *name; /* NUL-terminated */
    int type;         /* ggml type id: one this build knows the size of */
    int ndim;
    int64_t shape[GGUF_DIMS]; /* as torch says it: rows first, the contiguous dimension last */
    int64_t offset;           /* of its data in the file */
    size_t bytes;
};

struct gguf;

/* Parses a header that stands in 'length' bytes at the start of a file of 'file_bytes' bytes
 * (>= length; the weights need not be in memory). 'bytes' must stay until gguf_close. ERR_FORMAT:
 * not a GGUF file, damaged, or cut short; then *cut says whether more bytes of the file's start
 * could have helped (cut may be NULL). */
int gguf_parse(const char *bytes, size_t length, uint64_t file_bytes, struct gguf **out,
               bool *cut) MUST_CHECK;

/* Opens a file, reads its header and keeps it open for the weights. Messages name the path. */
int gguf_open(const char *path, struct gguf **out) MUST_CHECK;
void gguf_close(struct gguf *g); /* NULL is fine */

int64_t gguf_value_count(const struct gguf *g);
const struct gguf_value *gguf_value(const struct gguf *g, int64_t i);
const struct gguf_value *gguf_find(const struct gguf *g, const char *key); /* NULL = none */

/* Single values. Integers of any width are read as int, numbers of any kind as float; the message
 * for another type or one that does not fit names the key. A missing key is ERR_FORMAT, or for the
 * _or forms the preset. Text is not NUL-terminated and lives as long as 'g'. */
int gguf_int(const struct gguf *g, const char *key, int64_t *out) MUST_CHECK;
int gguf_int_or(const struct gguf *g, const char *key, int64_t preset, int64_t *out) MUST_CHECK;
int gguf_float(const struct gguf *g, const char *key, double *out) MUST_CHECK;
int gguf_float_or(const struct gguf *g, const char *key, double preset, double *out) MUST_CHECK;
int gguf_bool_or(const struct gguf *g, const char *key, bool preset, bool *out) MUST_CHECK;
int gguf_text(const struct gguf *g, const char *key, const char **text, size_t *length) MUST_CHECK;

/* Arrays, walked once from front to back: while (list.left > 0) gguf_list_text(&list, ...). */
struct gguf_list {
    enum gguf_type element;
    uint64_t left;
    const char *p;
};
/* Arrays of text, of integers, of numbers: the key must hold one. */
int gguf_list_of_text(const struct gguf *g, const char *key, struct gguf_list *out) MUST_CHECK;
int gguf_list_of_int(const struct gguf *g, const char *key, struct gguf_list *out) MUST_CHECK;
int gguf_list_of_float(const struct gguf *g, const char *key, struct gguf_list *out) MUST_CHECK;
/* The next element; left must be > 0. u64 values above INT64_MAX become INT64_MAX. */
void gguf_list_text(struct gguf_list *list, const char **text, size_t *length);
int64_t gguf_list_int(struct gguf_list *list);
double gguf_list_float(struct gguf_list *list);

int64_t gguf_tensor_count(const struct gguf *g);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, int64_t i);
int64_t gguf_find_tensor(const struct gguf *g, const char *name); /* -1 = none */

/* Reads a tensor's bytes, or part of them, into 'out'. Only after gguf_open. */
int gguf_read_tensor(struct gguf *g, int64_t i, void *out) MUST_CHECK;
int gguf_read_part(struct gguf *g, int64_t i, size_t from, size_t bytes, void *out) MUST_CHECK;

/* The path given to gguf_open, "" after gguf_parse. */
const char *gguf_path(const struct gguf *g);

#endif
