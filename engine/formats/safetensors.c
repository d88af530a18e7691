/* safetensors.c -- reads safetensors files: the header's JSON, then the places of the tensors.
 *
 * Everything is checked before anything is handed out, in the order of the reference: sizes, JSON,
 * then each tensor against its bytes and all of them against each other, which must cover the data
 * from 0 to the file's end without hole or overlap. Beyond that, names that occur twice, endless
 * headers and more than MAX_TENSORS entries are refused. Linear in the header, but for a heap sort
 * of files whose entries do not stand in the order of their data. */
#include "engine/formats/safetensors.h"
#include "engine/core/arena.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/core/textmap.h"
#include "engine/core/sort.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_HEADER 100000000
#define MAX_TENSORS 200000
#define MAX_META 65536
#define MAX_NAME 255

/* The order is the format's own: files are sorted by it, backwards. */
static const struct {
    const char *name;
    int bits;
} dtypes[] = {
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
};

int safetensors_rank(const char *dtype)
{
    for (int i = 0; i < COUNT_OF(dtypes); i++)
        if (!strcmp(dtypes[i].name, dtype))
            return i;
    return -1;
}

int safetensors_bits(const char *dtype)
{
    int i = safetensors_rank(dtype);
    return i < 0 ? 0 : dtypes[i].bits;
}

struct meta {
    const char *key, *value;
};

struct safetensors {
    struct safetensors_tensor
        *tensors; /* in the header's order; offsets in the data until placed */
    int64_t count, room;
    struct meta *meta;
    int64_t meta_count, meta_room;
    struct textmap names;
    struct arena texts;
    struct file *file; /* NULL after safetensors_parse */
};

/* --- the header's JSON ----------------------------------------------------------------------- */

/* Text of the current event as a copy that lives as long as 's'. */
static int keep_text(struct safetensors *s, const struct json *j, const char *what, size_t most,
                     const char **out)
{
    if (j->length > most)
        return json_fail(j, "%s has %zu bytes, at most %zu are read", what, j->length, most);
    if (j->length && memchr(j->text, '\0', j->length))
        return json_fail(j, "%s holds a zero byte", what);
    *out = arena_text(&s->texts, j->text, j->length);
    return *out ? OK : ERR_MEMORY;
}

static int read_meta(struct safetensors *s, struct json *j)
{
    TRY(json_open(j, JSON_OBJECT, "__metadata__"));
    for (;;) {
        struct meta m;
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        if (s->meta_count == MAX_META)
            return json_fail(j, "more than %d entries in __metadata__", MAX_META);
        TRY(keep_text(s, j, "a key of __metadata__", MAX_HEADER, &m.key));
        TRY(json_open(j, JSON_STRING, "an entry of __metadata__"));
        TRY(keep_text(s, j, "an entry of __metadata__", MAX_HEADER, &m.value));
        TRY(mem_grow((void **)&s->meta, &s->meta_room, s->meta_count + 1, sizeof m));
        s->meta[s->meta_count++] = m;
    }
}

/* Digits only: the reference takes no sign, fraction or exponent where a size stands. */
static int read_size(struct json *j, const char *what, int64_t *out)
{
    uint64_t v = 0;
    TRY(json_open(j, JSON_NUMBER, what));
    for (size_t i = 0; i < j->length; i++) {
        unsigned digit = (unsigned)(unsigned char)j->text[i] - '0';
        if (digit > 9)
            return json_fail(j, "%s: %.*s where a whole number from 0 on was wanted", what,
                             (int)i64_min((int64_t)j->length, 40), j->text);
        if (v > ((uint64_t)INT64_MAX - digit) / 10)
            return json_fail(j, "%s: %.*s is too large", what, (int)i64_min((int64_t)j->length, 40),
                             j->text);
        v = v * 10 + digit;
    }
    *out = (int64_t)v;
    return OK;
}

static int read_dtype(struct json *j, struct safetensors_tensor *t)
{
    char name[16];
    TRY(json_open(j, JSON_STRING, "dtype"));
    snprintf(name, sizeof name, "%.*s", (int)i64_min((int64_t)j->length, 15), j->text);
    int i = j->length < sizeof name ? safetensors_rank(name) : -1;
    if (i < 0)
        return json_fail(j,
                         "dtype '%s' of tensor '%s' is unknown; hint: the file may be of a "
                         "newer version of the format",
                         name, t->name);
    t->dtype = dtypes[i].name;
    return OK;
}

static int read_shape(struct json *j, struct safetensors_tensor *t)
{
    TRY(json_open(j, JSON_ARRAY, "shape"));
    for (t->ndim = 0; json_more(j); t->ndim++) {
        if (t->ndim == SAFETENSORS_DIMS)
            return json_fail(j, "tensor '%s' has more than %d dimensions", t->name,
                             SAFETENSORS_DIMS);
        TRY(read_size(j, "shape", &t->shape[t->ndim]));
    }
    return json_next(j);
}

static int read_offsets(struct json *j, struct safetensors_tensor *t)
{
    int64_t stop = 0;
    TRY(json_open(j, JSON_ARRAY, "data_offsets"));
    TRY(read_size(j, "data_offsets", &t->offset));
    TRY(read_size(j, "data_offsets", &stop));
    TRY(json_open(j, JSON_ARRAY_END, "data_offsets"));
    if (stop < t->offset)
        return json_fail(j, "tensor '%s' ends at %" PRId64 ", before its start at %" PRId64,
                         t->name, stop, t->offset);
    t->bytes = (size_t)(stop - t->offset);
    return OK;
}

/* shape x dtype must be the bytes that the offsets leave. */
static int check_bytes(const struct json *j, const struct safetensors_tensor *t)
{
    size_t n = 1;
    bool fits = true;
    for (int i = 0; i < t->ndim && fits; i++)
        fits = size_mul(n, (size_t)t->shape[i], &n);
    if (!fits || !size_mul(n, (size_t)safetensors_bits(t->dtype), &n))
        return json_fail(j, "tensor '%s': its shape multiplies to more than fits in memory",
                         t->name);
    if (n % 8)
        return json_fail(j, "tensor '%s': %zu bits of %s are no whole number of bytes", t->name, n,
                         t->dtype);
    if (n / 8 != t->bytes)
        return json_fail(j, "tensor '%s' has %zu bytes by its offsets, wanted %zu by its shape",
                         t->name, t->bytes, n / 8);
    return OK;
}

static int read_tensor(struct json *j, struct safetensors_tensor *t)
{
    bool shape = false, offsets = false;
    TRY(json_open(j, JSON_OBJECT, t->name));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            break;
        if (json_is(j, "dtype")) {
            TRY(read_dtype(j, t));
        } else if (json_is(j, "shape")) {
            TRY(read_shape(j, t));
            shape = true;
        } else if (json_is(j, "data_offsets")) {
            TRY(read_offsets(j, t));
            offsets = true;
        } else {
            TRY(json_skip_value(j));
        }
    }
    if (!t->dtype || !shape || !offsets)
        return json_fail(j, "tensor '%s' has no %s", t->name,
                         !t->dtype ? "dtype"
                         : !shape  ? "shape"
                                   : "data_offsets");
    return check_bytes(j, t);
}

static int add_tensor(struct safetensors *s, struct json *j)
{
    struct safetensors_tensor t = {0};
    if (s->count == MAX_TENSORS)
        return json_fail(j, "more than %d tensors", MAX_TENSORS);
    TRY(keep_text(s, j, "the name of a tensor", MAX_NAME, &t.name));
    TRY(read_tensor(j, &t));
    TRY(mem_grow((void **)&s->tensors, &s->room, s->count + 1, sizeof t));
    s->tensors[s->count++] = t;
    return OK;
}

static int read_header(struct safetensors *s, struct json *j)
{
    TRY(json_open(j, JSON_OBJECT, "the header"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return json_end(j);
        TRY(json_is(j, "__metadata__") ? read_meta(s, j) : add_tensor(s, j));
    }
}

/* --- places ---------------------------------------------------------------------------------- */

static bool earlier(const void *ctx, int32_t a, int32_t b)
{
    const struct safetensors *s = ctx;
    const struct safetensors_tensor *x = &s->tensors[a], *y = &s->tensors[b];
    return x->offset < y->offset || (x->offset == y->offset && x->bytes < y->bytes);
}

/* The numbers of the tensors in the order of their data. */
static void sort_by_offset(const struct safetensors *s, int32_t *order)
{
    bool sorted = true;
    for (int64_t i = 0; i < s->count; i++) {
        order[i] = (int32_t)i;
        sorted = sorted && (i == 0 || !earlier(s, (int32_t)i, (int32_t)i - 1));
    }
    if (!sorted) /* every known writer leaves them so */
        sort_numbers(order, s->count, earlier, s);
}

/* The tensors must cover the 'bytes' of data from front to back. */
static int check_cover(const struct safetensors *s, const int32_t *order, uint64_t bytes)
{
    int64_t at = 0; /* sums of parts of the file's size cannot wrap: each is compared first */
    for (int64_t i = 0; i < s->count; i++) {
        const struct safetensors_tensor *t = &s->tensors[order[i]];
        if (t->offset != at)
            return fail(ERR_FORMAT,
                        "tensor '%s' starts at %" PRId64 " of the data, wanted %" PRId64
                        " where the one before it ends; hint: the file is damaged",
                        t->name, t->offset, at);
        if (t->bytes > bytes - (uint64_t)at)
            return fail(ERR_FORMAT,
                        "tensor '%s': %zu bytes at %" PRId64 " of the data pass the end of the "
                        "file; hint: it is cut short, get it again",
                        t->name, t->bytes, t->offset);
        at += (int64_t)t->bytes;
    }
    if ((uint64_t)at != bytes)
        return fail(ERR_FORMAT,
                    "%" PRIu64 " bytes follow the last tensor; hint: the file is damaged",
                    bytes - (uint64_t)at);
    return OK;
}

/* Offsets become places in the file; names become findable. */
static int place(struct safetensors *s, uint64_t header, uint64_t file_bytes)
{
    bool found;
    int32_t old;
    int32_t *order = mem_alloc((size_t)s->count * sizeof *order);
    if (!order)
        return ERR_MEMORY;
    sort_by_offset(s, order);
    int status = check_cover(s, order, file_bytes - header);
    mem_free(order);
    TRY(status);
    TRY(textmap_reserve(&s->names, s->count));
    for (int64_t i = 0; i < s->count; i++) {
        struct safetensors_tensor *t = &s->tensors[i];
        t->offset += (int64_t)header;
        TRY(textmap_add(&s->names, t->name, strlen(t->name), (int32_t)i, &found, &old));
        if (found) /* the JSON parser refuses these already */
            return fail(ERR_FORMAT, "the tensor '%s' occurs twice", t->name);
    }
    return OK;
}

/* --- files ----------------------------------------------------------------------------------- */

/* Bytes of the JSON, from the 8 bytes at the file's start. */
static int header_bytes(const char *start, size_t length, uint64_t file_bytes, size_t *out)
{
    uint64_t n = 0;
    if (length < 8 || file_bytes < 8)
        return fail(ERR_FORMAT, "not a safetensors file: %zu bytes, wanted 8 and more", length);
    for (int i = 7; i >= 0; i--)
        n = n << 8 | (unsigned char)start[i];
    if (n > MAX_HEADER)
        return fail(ERR_FORMAT,
                    "not a safetensors file: its header would have %" PRIu64
                    " bytes, at most %d are read%s",
                    n, MAX_HEADER,
                    !memcmp(start, "version ", 8)
                        ? "; hint: this looks like a Git LFS pointer, fetch the real file"
                    : start[0] == '<' ? "; hint: this looks like a web page, download the file "
                                        "itself"
                    : !memcmp(start, "GGUF", 4) ? "; hint: this is a GGUF file"
                    : !memcmp(start, "PK\3\4", 4)
                        ? "; hint: this is a file of torch.save, save it as safetensors"
                        : "");
    if (n > file_bytes - 8)
        return fail(ERR_FORMAT,
                    "the header wants %" PRIu64 " bytes where the file has %" PRIu64
                    "; hint: the file is damaged or cut short",
                    n, file_bytes - 8);
    *out = (size_t)n;
    return OK;
}

static int parse(struct safetensors *s, const char *json, size_t length, uint64_t file_bytes)
{
    struct json j;
    json_begin_part(&j, json, 0, length, NULL); /* no byte-order mark, unlike json_begin */
    int status = read_header(s, &j);
    json_free(&j);
    if (status)
        return fail_in(status, "the header");
    return place(s, 8 + (uint64_t)length, file_bytes);
}

int safetensors_parse(const char *bytes, size_t length, uint64_t file_bytes,
                      struct safetensors **out)
{
    size_t header = 0;
    if (file_bytes > INT64_MAX || file_bytes < length)
        return fail(ERR_ARG, "%zu bytes of a file of %" PRIu64, length, file_bytes);
    TRY(header_bytes(bytes, length, file_bytes, &header));
    if (header > length - 8)
        return fail(ERR_ARG, "a header of %zu bytes, %zu of them given", header, length - 8);
    struct safetensors *s = mem_calloc(1, sizeof *s);
    if (!s)
        return ERR_MEMORY;
    int status = parse(s, bytes + 8, header, file_bytes);
    if (status) {
        safetensors_close(s);
        return status;
    }
    *out = s;
    return OK;
}

static int open_header(struct file *f, struct safetensors **out)
{
    char start[8];
    size_t header = 0;
    uint64_t size = (uint64_t)file_size(f);
    size_t first = size < 8 ? (size_t)size : 8;
    TRY(file_read_at(f, 0, start, first));
    TRY(header_bytes(start, first, size, &header));
    char *bytes = mem_alloc(header + 8);
    if (!bytes)
        return ERR_MEMORY;
    int status = file_read_at(f, 0, bytes, header + 8);
    if (!status)
        status = safetensors_parse(bytes, header + 8, size, out);
    mem_free(bytes);
    return status;
}

int safetensors_open(const char *path, struct safetensors **out)
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

void safetensors_close(struct safetensors *s)
{
    if (!s)
        return;
    file_close(s->file);
    textmap_free(&s->names);
    arena_free(&s->texts);
    mem_free(s->tensors);
    mem_free(s->meta);
    mem_free(s);
}

int64_t safetensors_count(const struct safetensors *s)
{
    return s->count;
}

const struct safetensors_tensor *safetensors_tensor(const struct safetensors *s, int64_t i)
{
    return &s->tensors[i];
}

int64_t safetensors_find(const struct safetensors *s, const char *name)
{
    return textmap_find(&s->names, name, strlen(name), -1);
}

const char *safetensors_meta(const struct safetensors *s, const char *key)
{
    for (int64_t i = 0; i < s->meta_count; i++)
        if (!strcmp(s->meta[i].key, key))
            return s->meta[i].value;
    return NULL;
}

int safetensors_read_part(struct safetensors *s, int64_t i, size_t from, size_t bytes, void *out)
{
    const struct safetensors_tensor *t = &s->tensors[i];
    if (!s->file)
        return fail(ERR_INTERNAL, "tensor '%s': there is no file to read from", t->name);
    if (from > t->bytes || bytes > t->bytes - from)
        return fail(ERR_ARG, "tensor '%s' has %zu bytes, wanted %zu at %zu", t->name, t->bytes,
                    bytes, from);
    return file_read_at(s->file, t->offset + (int64_t)from, out, bytes);
}

int safetensors_read(struct safetensors *s, int64_t i, void *out)
{
    return safetensors_read_part(s, i, 0, s->tensors[i].bytes, out);
}

const char *safetensors_path(const struct safetensors *s)
{
    return s->file ? file_path(s->file) : "";
}
