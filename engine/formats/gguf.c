/* gguf.c -- parses the header of a GGUF file; the file itself is handled in gguf_file.c.
 *
 * One reader (pointer, end) with a failure for each kind of lie. Every length is compared with the
 * bytes left before it is used, every product and sum is checked. */
#include "engine/formats/gguf.h"
#include "engine/formats/gguf_private.h"
#include "engine/core/sort.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "kernels/quant.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const unsigned char type_bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

const char *gguf_type_name(enum gguf_type t)
{
    static const char *const names[GGUF_TYPES] = {"u8",  "i8",  "u16",  "i16",  "u32",
                                                  "i32", "f32", "bool", "text", "array",
                                                  "u64", "i64", "f64"};
    return (unsigned)t < GGUF_TYPES ? names[t] : "unknown";
}

/* Bytes of a plain integer type, which is no format of weights; 0 = none. */
static int integer_bytes(int type)
{
    return type == 24 ? 1 : type == 25 ? 2 : type == 26 ? 4 : type == 27 ? 8 : 0;
}

struct reader {
    const char *p, *end;
    uint64_t beyond; /* bytes of the file that follow 'end' and are not in memory */
    bool cut;        /* ran into 'end' although the file goes on */
};

/* True when 'n' bytes can be read; a length the file cannot hold is told from one that only needs
 * more of it in memory. */
static int need(struct reader *r, uint64_t n, const char *what)
{
    uint64_t left = (uint64_t)(r->end - r->p);
    if (n <= left)
        return OK;
    r->cut = n - left <= r->beyond;
    return fail(ERR_FORMAT,
                "%s wants %" PRIu64 " bytes where the file has %" PRIu64
                "; hint: the file is damaged or cut short",
                what, n, left + r->beyond);
}

static int read_u32(struct reader *r, const char *what, uint32_t *out)
{
    TRY(need(r, 4, what));
    *out = (uint32_t)gguf_load_int(r->p, GGUF_U32);
    r->p += 4;
    return OK;
}

static int read_u64(struct reader *r, const char *what, uint64_t *out)
{
    TRY(need(r, 8, what));
    *out = gguf_load_u64(r->p);
    r->p += 8;
    return OK;
}

static int read_text(struct reader *r, const char *what, const char **text, size_t *length)
{
    uint64_t n = 0;
    TRY(read_u64(r, what, &n));
    TRY(need(r, n, what));
    *text = r->p;
    *length = (size_t)n;
    r->p += n;
    return OK;
}

/* A name goes into the arena, with a NUL; *at is its place there (the arena moves as it grows). */
static int read_name(struct reader *r, struct gguf *g, const char *what, int64_t *at)
{
    const char *text;
    size_t n;
    TRY(read_text(r, what, &text, &n));
    if (n == 0 || n > GGUF_NAME_BYTES || memchr(text, '\0', n))
        return fail(ERR_FORMAT, "%s has %zu bytes%s, wanted 1 to %d without a zero byte", what, n,
                    n && n <= GGUF_NAME_BYTES ? " and a zero byte" : "", GGUF_NAME_BYTES);
    TRY(mem_grow((void **)&g->names, &g->names_capacity, g->names_bytes + (int64_t)n + 1, 1));
    *at = g->names_bytes;
    memcpy(g->names + *at, text, n);
    g->names[*at + (int64_t)n] = '\0';
    g->names_bytes += (int64_t)n + 1;
    return OK;
}

static int check_bools(const char *p, uint64_t n, const char *key)
{
    for (uint64_t i = 0; i < n; i++)
        if ((unsigned char)p[i] > 1)
            return fail(ERR_FORMAT, "key '%s': %d where true (1) or false (0) was wanted", key,
                        (unsigned char)p[i]);
    return OK;
}

/* Moves over 'count' values of a type, checking them. */
static int read_values(struct reader *r, enum gguf_type type, uint64_t count, const char *key)
{
    char what[GGUF_NAME_BYTES + 16];
    const char *text;
    size_t n, bytes;
    snprintf(what, sizeof what, "key '%s'", key);
    if (type == GGUF_TEXT) {
        for (uint64_t i = 0; i < count; i++)
            TRY(read_text(r, what, &text, &n));
        return OK;
    }
    if (!size_mul((size_t)count, type_bytes[type], &bytes))
        return fail(ERR_FORMAT, "%s: %" PRIu64 " values cannot be in a file", what, count);
    TRY(need(r, bytes, what));
    if (type == GGUF_BOOL)
        TRY(check_bools(r->p, count, key));
    r->p += bytes;
    return OK;
}

static int read_array_head(struct reader *r, struct gguf_value *v, const char *key)
{
    uint32_t element = 0;
    TRY(read_u32(r, "the element type of an array", &element));
    TRY(read_u64(r, "the length of an array", &v->count));
    if (element >= GGUF_TYPES || element == GGUF_ARRAY)
        return fail(ERR_FORMAT,
                    "key '%s': an array of type %u; hint: arrays in arrays and unknown "
                    "types are not read",
                    key, element);
    v->element = (enum gguf_type)element;
    char what[GGUF_NAME_BYTES + 24];
    snprintf(what, sizeof what, "the array '%s'", key);
    /* the smallest an element can be: a bound before the walk over texts */
    bool text = element == GGUF_TEXT && v->count <= UINT64_MAX / 8;
    return need(r, text ? v->count * 8 : v->count, what);
}

static int read_value(struct reader *r, struct gguf *g, struct gguf_value *v)
{
    uint32_t type = 0;
    int64_t at = 0;
    TRY(read_name(r, g, "a key", &at));
    v->key = (const char *)(uintptr_t)at; /* becomes a pointer in finish_names */
    TRY(read_u32(r, "the type of a key", &type));
    if (type >= GGUF_TYPES)
        return fail(ERR_FORMAT, "key '%s': unknown type %u", g->names + at, type);
    v->type = v->element = (enum gguf_type)type;
    v->count = 1;
    if (type == GGUF_ARRAY)
        TRY(read_array_head(r, v, g->names + at));
    v->data = r->p;
    return read_values(r, v->element, v->count, g->names + at);
}

/* Elements, checked; no dimension may be 0, so that a product of 0 can only be an overflow. */
static int count_elements(const struct gguf_tensor *t, const char *name, size_t *out)
{
    size_t n = 1;
    for (int i = 0; i < t->ndim; i++) {
        if (t->shape[i] < 1)
            return fail(ERR_FORMAT, "tensor '%s': dimension %d is %" PRId64 ", wanted 1 or more",
                        name, i + 1, t->shape[i]);
        if (!size_mul(n, (size_t)t->shape[i], &n) || n > (size_t)INT64_MAX)
            return fail(ERR_FORMAT, "tensor '%s': its dimensions multiply to more than 2^63", name);
    }
    *out = n;
    return OK;
}

int gguf_size_tensor(struct gguf_tensor *t, const char *name)
{
    size_t n = 0;
    const struct format *f = format_by_ggml(t->type);
    int block = f ? f->block : 1, bytes = f ? f->block_bytes : integer_bytes(t->type);
    if (!bytes)
        return fail(
            ERR_FORMAT,
            "tensor '%s' is stored as %s (type %d), which is not read; hint: formats read: %s",
            name, format_ggml_name(t->type), t->type, formats_text);
    TRY(count_elements(t, name, &n));
    int64_t row = t->ndim ? t->shape[t->ndim - 1] : 1;
    if (row % block)
        return fail(ERR_FORMAT,
                    "tensor '%s': rows of %" PRId64 " are no multiple of the %d elements in a "
                    "block of %s",
                    name, row, block, format_ggml_name(t->type));
    if (!size_mul(n / (size_t)block, (size_t)bytes, &t->bytes))
        return fail(ERR_FORMAT, "tensor '%s' has more bytes than fit in memory", name);
    return OK;
}

static int read_tensor(struct reader *r, struct gguf *g, struct gguf_tensor *t)
{
    int64_t at = 0;
    uint32_t dims = 0, type = 0;
    uint64_t n = 0, offset = 0;
    TRY(read_name(r, g, "the name of a tensor", &at));
    t->name = (const char *)(uintptr_t)at;
    TRY(read_u32(r, "the dimensions of a tensor", &dims));
    if (dims > GGUF_DIMS)
        return fail(ERR_FORMAT, "tensor '%s': %u dimensions, at most %d are read", g->names + at,
                    dims, GGUF_DIMS);
    t->ndim = (int)dims;
    for (int i = (int)dims - 1; i >= 0; i--) { /* the file has the contiguous one first */
        TRY(read_u64(r, "a dimension of a tensor", &n));
        if (n > INT64_MAX)
            return fail(ERR_FORMAT, "tensor '%s': a dimension of %" PRIu64, g->names + at, n);
        t->shape[i] = (int64_t)n;
    }
    TRY(read_u32(r, "the type of a tensor", &type));
    TRY(read_u64(r, "the offset of a tensor", &offset));
    if (offset > INT64_MAX)
        return fail(ERR_FORMAT, "tensor '%s': offset %" PRIu64 " is no place in a file",
                    g->names + at, offset);
    t->type = type > INT32_MAX ? -1 : (int)type;
    t->offset = (int64_t)offset; /* from the start of the data; place_tensors adds that */
    return gguf_size_tensor(t, g->names + at);
}

/* A file that is something else: say what it looks like. */
static int fail_magic(const char *p)
{
    char seen[20] = "";
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];
        size_t used = strlen(seen);
        snprintf(seen + used, sizeof seen - used, c >= 0x20 && c < 0x7F ? "%c" : "\\x%02x", c);
    }
    return fail(ERR_FORMAT, "not a GGUF file: it starts with '%s', wanted 'GGUF'%s", seen,
                memcmp(p, "vers", 4) == 0 ? "; hint: this looks like a Git LFS pointer, fetch "
                                            "the real file"
                : memcmp(p, "<!DO", 4) == 0 || memcmp(p, "<htm", 4) == 0
                    ? "; hint: this looks like a web page, download the file itself"
                    : "");
}

static int read_header(struct reader *r, uint64_t *tensors, uint64_t *keys)
{
    uint32_t version = 0;
    TRY(need(r, 4, "a GGUF file"));
    if (memcmp(r->p, "GGUF", 4) != 0)
        return fail_magic(r->p);
    r->p += 4;
    TRY(read_u32(r, "the version", &version));
    if ((version & 0xFFFF) == 0)
        return fail(ERR_FORMAT, "a big-endian GGUF file; hint: convert it to little-endian");
    if (version != 2 && version != 3)
        return fail(ERR_FORMAT, "GGUF version %u, wanted 3 or 2; hint: convert the model again",
                    version);
    TRY(read_u64(r, "the number of tensors", tensors));
    TRY(read_u64(r, "the number of keys", keys));
    if (*tensors > GGUF_MAX_TENSORS || *keys > GGUF_MAX_KEYS)
        return fail(ERR_FORMAT,
                    "%" PRIu64 " tensors and %" PRIu64 " keys, at most %d and %d are read",
                    *tensors, *keys, GGUF_MAX_TENSORS, GGUF_MAX_KEYS);
    /* the least bytes each can take: key 8+1+4+1, tensor 8+1+4+4+8 */
    return need(r, *keys * 14 + *tensors * 25, "a header of that many keys and tensors");
}

/* Names stop moving: offsets become pointers, and the tables find duplicates. */
static int finish_names(struct gguf *g)
{
    bool found;
    int32_t old;
    for (int64_t i = 0; i < g->value_count; i++) {
        const char *key = g->names + (uintptr_t)g->values[i].key;
        g->values[i].key = key;
        TRY(textmap_add(&g->keys, key, strlen(key), (int32_t)i, &found, &old));
        if (found)
            return fail(ERR_FORMAT, "the key '%s' occurs twice", key);
    }
    for (int64_t i = 0; i < g->tensor_count; i++) {
        const char *name = g->names + (uintptr_t)g->tensors[i].name;
        g->tensors[i].name = name;
        TRY(textmap_add(&g->tensor_names, name, strlen(name), (int32_t)i, &found, &old));
        if (found)
            return fail(ERR_FORMAT, "the tensor '%s' occurs twice", name);
    }
    return OK;
}

static int read_alignment(const struct gguf *g, size_t *out)
{
    const struct gguf_value *v = gguf_find(g, "general.alignment");
    uint32_t a =
        v && v->type == GGUF_U32 ? (uint32_t)gguf_load_u32(v->data) : GGUF_DEFAULT_ALIGNMENT;
    if (v && v->type != GGUF_U32)
        return fail(ERR_FORMAT, "general.alignment is of type %s, wanted u32",
                    gguf_type_name(v->type));
    if (a == 0 || a > GGUF_MAX_ALIGNMENT || (a & (a - 1)))
        return fail(ERR_FORMAT, "general.alignment is %u, wanted a power of two up to %d", a,
                    GGUF_MAX_ALIGNMENT);
    *out = a;
    return OK;
}

static bool earlier(const void *ctx, int32_t a, int32_t b)
{
    const struct gguf *g = ctx;
    return g->tensors[a].offset < g->tensors[b].offset;
}

static int check_apart(const struct gguf *g)
{
    int status = OK;
    int32_t *order = mem_alloc((size_t)g->tensor_count * sizeof *order);
    if (!order)
        return ERR_MEMORY;
    for (int64_t i = 0; i < g->tensor_count; i++)
        order[i] = (int32_t)i;
    sort_numbers(order, g->tensor_count, earlier, g);
    for (int64_t i = 1; i < g->tensor_count && !status; i++) {
        const struct gguf_tensor *a = &g->tensors[order[i - 1]], *b = &g->tensors[order[i]];
        if (a->offset + (int64_t)a->bytes > b->offset)
            status = fail(ERR_FORMAT, "the tensors '%s' and '%s' share bytes of the file", a->name,
                          b->name);
    }
    mem_free(order);
    return status;
}

/* Offsets become places in the file; every tensor must lie inside it. */
static int place_tensors(struct gguf *g, size_t header, uint64_t file_bytes)
{
    size_t align = 0, start, stop;
    TRY(read_alignment(g, &align));
    if (g->tensor_count == 0)
        return OK;
    if (!size_pad(header, align, &start) || start > file_bytes)
        return fail(ERR_FORMAT, "the file ends before its weights; hint: it is cut short");
    for (int64_t i = 0; i < g->tensor_count; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        if ((size_t)t->offset % align)
            return fail(ERR_FORMAT, "tensor '%s': offset %" PRId64 " is no multiple of %zu",
                        t->name, t->offset, align);
        if (!size_add((size_t)t->offset, start, &stop) || !size_add(stop, t->bytes, &stop) ||
            stop > file_bytes)
            return fail(ERR_FORMAT,
                        "tensor '%s': %zu bytes at %" PRId64 " of the weights pass the end of the "
                        "file (%" PRIu64 " bytes); hint: it is cut short, get it again",
                        t->name, t->bytes, t->offset, file_bytes);
        t->offset += (int64_t)start;
    }
    return check_apart(g);
}

static int parse(struct gguf *g, struct reader *r, const char *bytes, uint64_t file_bytes)
{
    uint64_t tensors = 0, keys = 0;
    TRY(read_header(r, &tensors, &keys));
    g->values = mem_calloc((size_t)keys, sizeof *g->values);
    g->tensors = mem_calloc((size_t)tensors, sizeof *g->tensors);
    if (!g->values || !g->tensors)
        return ERR_MEMORY;
    for (; g->value_count < (int64_t)keys; g->value_count++)
        TRY(read_value(r, g, &g->values[g->value_count]));
    for (; g->tensor_count < (int64_t)tensors; g->tensor_count++)
        TRY(read_tensor(r, g, &g->tensors[g->tensor_count]));
    TRY(finish_names(g));
    return place_tensors(g, (size_t)(r->p - bytes), file_bytes);
}

int gguf_parse(const char *bytes, size_t length, uint64_t file_bytes, struct gguf **out, bool *cut)
{
    struct reader r = {bytes, bytes + length, file_bytes > length ? file_bytes - length : 0, false};
    if (cut)
        *cut = false;
    if (file_bytes > INT64_MAX)
        return fail(ERR_ARG, "a file of %" PRIu64 " bytes", file_bytes);
    struct gguf *g = mem_calloc(1, sizeof *g);
    if (!g)
        return ERR_MEMORY;
    int status = parse(g, &r, bytes, length + r.beyond);
    if (status) {
        gguf_close(g);
        if (cut)
            *cut = r.cut;
        return status;
    }
    *out = g;
    return OK;
}
