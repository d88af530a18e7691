/* export.c -- tensors on their way into files; export.h says what is shared. */
#include "engine/model/export.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- which tensors --------------------------------------------------------------------------- */

static int add(void *ctx, const char *name, struct tensor *t)
{
    struct export_list *l = ctx;
    TRY(mem_grow((void **)&l->items, &l->room, l->count + 1, sizeof *l->items));
    struct export_tensor *e = &l->items[l->count++];
    *e = (struct export_tensor){.tensor = t, .format = t->format};
    if ((size_t)snprintf(e->name, sizeof e->name, "%s", name) >= sizeof e->name)
        return fail(ERR_INTERNAL, "the name of tensor %s is too long", name);
    return OK;
}

int export_collect(struct model *m, const char *hint, struct export_list *out)
{
    *out = (struct export_list){0};
    if (m->adapter)
        return fail(ERR_ARG, "the model has an adapter; hint: %s", hint);
    int status = model_walk(m, add, out);
    if (status)
        export_free(out);
    else
        export_count(out);
    return status;
}

void export_free(struct export_list *l)
{
    mem_free(l->items);
    *l = (struct export_list){0};
}

size_t export_tensor_bytes(const struct export_tensor *t)
{
    return format_row_bytes(t->format, tensor_count(t->tensor));
}

void export_count(struct export_list *l)
{
    l->bytes = l->parameters = 0;
    for (int64_t i = 0; i < l->count; i++) {
        l->bytes += (int64_t)export_tensor_bytes(&l->items[i]);
        l->parameters += tensor_count(l->items[i].tensor);
    }
}

/* --- their bytes ----------------------------------------------------------------------------- */

#define CHUNK 8192 /* elements at a time; a multiple of every block */

static int refuse_number(const struct export_tensor *t, float before, bool was_finite)
{
    if (was_finite)
        return fail(ERR_NUMERIC,
                    "%s: %g is out of the range of %s; hint: save with dtype = \"bfloat16\" or "
                    "\"float32\"",
                    t->name, (double)before, t->format->name);
    return fail(
        ERR_NUMERIC,
        "%s holds a number that is not finite, so nothing is saved; hint: training has gone "
        "wrong, or the file it came from is damaged",
        t->name);
}

/* 'n' values of 'from', decoded in 'values', are written to 'out' and looked at as they are
 * there. */
static int put(const struct export_tensor *t, const float *values, int64_t n, void *out,
               float *again)
{
    t->format->encode(values, out, n);
    t->format->decode(out, again, n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(again[i]))
            return refuse_number(t, values[i], isfinite(values[i]));
    return OK;
}

/* The same for a format that stays: the bytes are copied. */
static int check(const struct export_tensor *t, const char *bytes, int64_t n, float *values)
{
    const double *wide = (const double *)(const void *)bytes;
    if (t->format->dtype != DT_F64)
        t->format->decode(bytes, values, n);
    for (int64_t i = 0; i < n; i++)
        if (!(t->format->dtype == DT_F64 ? isfinite(wide[i]) : isfinite(values[i])))
            return refuse_number(t, 0, false);
    return OK;
}

/* Rows of a block format are whole blocks, so the tensor is one run of blocks. */
static int convert(const struct export_tensor *t, const char *raw, char *out, float *values)
{
    const struct format *from = t->tensor->format;
    for (int64_t at = 0, n = tensor_count(t->tensor); at < n; at += CHUNK) {
        int64_t k = i64_min(CHUNK, n - at);
        from->decode(raw + format_row_bytes(from, at), values, k);
        TRY(put(t, values, k, out + format_row_bytes(t->format, at), values + CHUNK));
    }
    return OK;
}

int export_read(const struct export_tensor *t, void *out)
{
    bool same = t->format == t->tensor->format;
    float *values = mem_alloc(2 * CHUNK * sizeof *values);
    char *raw = same ? out : mem_alloc_aligned(tensor_bytes(t->tensor));
    int status = values && raw ? tensor_read(t->tensor, raw) : ERR_MEMORY;
    if (!status && !same)
        status = convert(t, raw, out, values);
    for (int64_t at = 0, n = tensor_count(t->tensor); same && at < n && !status; at += CHUNK)
        status = check(t, raw + format_row_bytes(t->format, at), i64_min(CHUNK, n - at), values);
    if (!same)
        mem_free(raw);
    mem_free(values);
    return status;
}

int export_fits(struct tensor *t, const struct format *format, bool *fits)
{
    int64_t n = tensor_count(t);
    double *values = mem_alloc((size_t)n * sizeof *values);
    int status = values ? tensor_read_double(t, values) : ERR_MEMORY;
    *fits = !status;
    for (int64_t i = 0; i < n && *fits; i++) {
        float value = (float)values[i], again;
        char place[8];
        format->encode(&value, place, 1);
        format->decode(place, &again, 1);
        *fits = !((double)again != values[i]); /* what is no number is refused when it is read */
    }
    mem_free(values);
    return status;
}

/* --- where to -------------------------------------------------------------------------------- */

int export_refuse_source(const struct model *m, const char *path)
{
    char parent[1024];
    const char *slash = strrchr(m->path ? m->path : "", '/');
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - m->path) : 1,
             slash ? m->path : ".");
    bool inside = m->path && !file_is_folder(m->path) && file_same(parent, path) &&
                  file_is_folder(path); /* a folder that holds the one file it came from */
    size_t n = m->path ? strlen(m->path) : 0;
    inside = inside && n > 12 && !strcmp(m->path + n - 12, ".safetensors");
    if (!inside && !(m->path && file_same(m->path, path)))
        return OK;
    return fail(ERR_ARG,
                "%s: the model was opened from there, and is not saved over itself; hint: take "
                "another name",
                path);
}

int export_parse_size(const char *what, const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1},     {"B", 1},      {"KB", 1e3},      {"MB", 1e6},
                 {"GB", 1e9}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
    char *end;
    double number = strtod(text, &end);
    while (*end == ' ')
        end++;
    for (int i = 0; i < COUNT_OF(units) && end > text; i++)
        if (!strcasecmp(end, units[i].unit) && number * units[i].bytes >= 1 &&
            number * units[i].bytes < 9e18) {
            *out = (int64_t)(number * units[i].bytes);
            return OK;
        }
    return fail(ERR_ARG, "%s: '%s' is no size; hint: write \"5GB\", \"200MB\" or \"1GiB\"", what,
                text);
}

int export_check_room(const char *path, int64_t bytes)
{
    int64_t free_bytes;
    TRY(file_free_bytes(path, &free_bytes));
    double wanted = (double)bytes * 1.1 + 65536;
    if ((double)free_bytes >= wanted)
        return OK;
    return fail(ERR_IO,
                "%s: the disk has %.1f MB left, the model needs %.1f MB; hint: make room, or save "
                "with a smaller dtype",
                path, (double)free_bytes / 1e6, wanted / 1e6);
}
