/* tensor.c -- making, viewing, reading and releasing tensors. */
#include "engine/tensor/tensor.h"
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int storage_new(struct context *ctx, size_t bytes, struct storage **out)
{
    struct storage *s = mem_calloc(1, sizeof *s);
    if (!s)
        return ERR_MEMORY;
    int status = context_alloc(ctx, bytes, &s->data, &s->bytes);
    if (status) {
        mem_free(s);
        return status;
    }
    s->refs = 1;
    s->ctx = context_keep(ctx);
    *out = s;
    return OK;
}

void storage_release(struct storage *s)
{
    if (!s || --s->refs)
        return;
    context_free(s->ctx, s->data, s->bytes);
    context_release(s->ctx);
    mem_free(s);
}

int tensor_attach_storage(struct tensor *t)
{
    TRY(storage_new(t->ctx, tensor_bytes(t), &t->storage));
    t->view.data = t->storage->data;
    return OK;
}

static struct tensor *shell_new(struct context *ctx)
{
    struct tensor *t = mem_calloc(1, sizeof *t);
    if (t) {
        t->refs = 1;
        t->ctx = context_keep(ctx);
        ctx->live_tensors++;
    }
    return t;
}

static int set_shape(struct view *v, enum dtype dtype, int ndim, const int64_t *shape)
{
    *v = (struct view){.dtype = dtype, .ndim = ndim};
    int64_t count = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        v->shape[i] = shape[i];
        v->stride[i] = count;
        if (shape[i] < 0 || __builtin_mul_overflow(count, shape[i], &count) ||
            count > INT64_MAX / 16)
            return fail(ERR_ARG, "tensor size %" PRId64 " in dimension %d cannot be used", shape[i],
                        i + 1);
    }
    return OK;
}

/* Finishes a tensor whose view and format are set: gives it memory, or frees it. */
static int finish(struct tensor *t, struct tensor **out)
{
    int status = tensor_attach_storage(t);
    if (status)
        tensor_release(t);
    else
        *out = t;
    return status;
}

int tensor_new(struct context *ctx, enum dtype dtype, int ndim, const int64_t *shape,
               struct tensor **out)
{
    if (ndim < 0 || ndim > VIEW_DIMS)
        return fail(ERR_ARG, "a tensor has at most %d dimensions, found %d", VIEW_DIMS, ndim);
    struct view v;
    TRY(set_shape(&v, dtype, ndim, shape));
    struct tensor *t = shell_new(ctx);
    if (!t)
        return ERR_MEMORY;
    t->view = v;
    t->format = format_of_dtype(dtype);
    return finish(t, out);
}

int tensor_new_2d(struct context *ctx, enum dtype dtype, int64_t rows, int64_t cols,
                  struct tensor **out)
{
    return tensor_new(ctx, dtype, 2, (int64_t[]){rows, cols}, out);
}

int tensor_new_like(const struct tensor *t, enum dtype dtype, struct tensor **out)
{
    return tensor_new(t->ctx, dtype, t->view.ndim, t->view.shape, out);
}

int tensor_new_weight(struct context *ctx, const struct format *format, int64_t rows, int64_t cols,
                      struct tensor **out)
{
    if (format->dtype != DT_BLOCK)
        return rows < 0 ? tensor_new(ctx, format->dtype, 1, &cols, out)
                        : tensor_new_2d(ctx, format->dtype, rows, cols, out);
    if (rows < 0 || cols % format->block)
        return fail(ERR_ARG, "a %s weight needs rows of a multiple of %d, found %" PRId64,
                    format->name, format->block, cols);
    struct view v;
    TRY(set_shape(&v, DT_BLOCK, 2, (int64_t[]){rows, cols}));
    struct tensor *t = shell_new(ctx);
    if (!t)
        return ERR_MEMORY;
    t->view = v;
    t->format = format;
    return finish(t, out);
}

int tensor_from(struct context *ctx, enum dtype dtype, int ndim, const int64_t *shape,
                const void *values, struct tensor **out)
{
    struct tensor *t;
    TRY(tensor_new(ctx, dtype, ndim, shape, &t));
    int status = tensor_write(t, values);
    if (status)
        tensor_release(t);
    else
        *out = t;
    return status;
}

struct tensor *tensor_keep(struct tensor *t)
{
    if (t)
        t->refs++;
    return t;
}

void tensor_release(struct tensor *t)
{
    if (!t || --t->refs)
        return;
    struct node *node = t->node;
    tensor_release(t->grad);
    storage_release(t->storage);
    t->ctx->live_tensors--;
    context_release(t->ctx);
    mem_free(t);
    node_release(node); /* last: may release a long chain, which node_release does by a loop */
}

void tensor_clear(struct tensor **t)
{
    tensor_release(*t);
    *t = NULL;
}

int tensor_view(struct tensor *t, struct view view, struct tensor **out)
{
    struct tensor *v = shell_new(t->ctx);
    if (!v)
        return ERR_MEMORY;
    v->view = view;
    v->format = t->format;
    v->storage = t->storage;
    v->storage->refs++;
    *out = v;
    return OK;
}

int64_t tensor_count(const struct tensor *t)
{
    return view_count(t->view);
}

size_t tensor_bytes(const struct tensor *t)
{
    if (t->view.dtype == DT_BLOCK)
        return (size_t)t->view.shape[0] * format_row_bytes(t->format, t->view.shape[1]);
    return (size_t)tensor_count(t) * dtype_bytes(t->view.dtype);
}

struct wview tensor_wview(const struct tensor *t)
{
    if (t->view.dtype == DT_BLOCK)
        return (struct wview){.format = t->format,
                              .data = t->view.data,
                              .rows = t->view.shape[0],
                              .cols = t->view.shape[1],
                              .row_stride = t->view.shape[1]};
    struct view v = t->view;
    if (v.ndim == 1)
        v = view_2d(v.data, v.dtype, 1, v.shape[0]);
    return wview_of(v);
}

/* Into a strided window: by way of a packed copy. */
static int write_window(struct tensor *t, const void *values)
{
    struct tensor *packed;
    TRY(tensor_from(t->ctx, t->view.dtype, t->view.ndim, t->view.shape, values, &packed));
    int status = RUN(t->ctx, copy, .dst = t->view, .src = packed->view);
    tensor_release(packed);
    return status;
}

int tensor_write(struct tensor *t, const void *values)
{
    if (t->view.dtype != DT_BLOCK && !view_is_contiguous(t->view))
        return write_window(t, values);
    TRY(device_sync(t->ctx->device));
    return device_copy(t->ctx->device, t->view.data, values, tensor_bytes(t), COPY_TO_DEVICE);
}

int tensor_read(struct tensor *t, void *values)
{
    if (t->view.dtype != DT_BLOCK && !view_is_contiguous(t->view)) {
        struct tensor *packed;
        TRY(tensor_convert(t, t->view.dtype, &packed));
        int status = tensor_read(packed, values);
        tensor_release(packed);
        return status;
    }
    TRY(device_copy(t->ctx->device, values, t->view.data, tensor_bytes(t), COPY_TO_HOST));
    return device_sync(t->ctx->device);
}

int tensor_read_double(struct tensor *t, double *values)
{
    struct tensor *wide = NULL;
    int64_t n = tensor_count(t);
    if (t->view.dtype == DT_F64)
        return tensor_read(t, values);
    enum dtype via = t->ctx->device->ops->supports(DT_F64) ? DT_F64 : DT_F32;
    bool whole = t->view.dtype == DT_I32 || t->view.dtype == DT_I64; /* exact in f64 only */
    TRY(tensor_convert(t, whole ? DT_F64 : via, &wide));
    int status = tensor_read(wide, values);
    if (!status && wide->view.dtype == DT_F32) { /* widen in place, from the end */
        const float *narrow = (const float *)values;
        for (int64_t i = n - 1; i >= 0; i--) {
            float f;
            memcpy(&f, narrow + i, sizeof f);
            double d = (double)f;
            memcpy(values + i, &d, sizeof d);
        }
    }
    tensor_release(wide);
    return status;
}

int tensor_scalar(struct context *ctx, enum dtype dtype, double value, struct tensor **out)
{
    TRY(tensor_new(ctx, dtype, 0, NULL, out));
    int status = tensor_fill(*out, value);
    if (status)
        tensor_clear(out);
    return status;
}

int tensor_item(struct tensor *t, double *value)
{
    if (tensor_count(t) != 1) {
        char shape[64];
        return fail(ERR_ARG, "a tensor of one element is wanted, found shape %s",
                    tensor_shape_text(t, shape, sizeof shape));
    }
    return tensor_read_double(t, value);
}

int tensor_fill(struct tensor *t, double value)
{
    return RUN(t->ctx, fill, .dst = t->view, .value = value);
}

/* Decodes a block-stored weight by reading all its rows. */
static int decode_rows(struct tensor *t, struct tensor *out)
{
    int64_t rows = t->view.shape[0];
    if (rows > INT32_MAX)
        return fail(ERR_ARG, "a weight of %" PRId64 " rows cannot be decoded at once", rows);
    int32_t *ids = mem_alloc((size_t)rows * sizeof *ids);
    if (!ids)
        return ERR_MEMORY;
    for (int64_t i = 0; i < rows; i++)
        ids[i] = (int32_t)i;
    struct tensor *index = NULL;
    int status = tensor_from(t->ctx, DT_I32, 1, &rows, ids, &index);
    mem_free(ids);
    if (!status)
        status = RUN(t->ctx, embed, .y = out->view, .w = tensor_wview(t), .ids = index->view);
    tensor_release(index);
    return status;
}

int tensor_convert(struct tensor *t, enum dtype dtype, struct tensor **out)
{
    struct tensor *to;
    bool block = t->view.dtype == DT_BLOCK;
    enum dtype first = block ? t->ctx->compute : dtype;
    TRY(tensor_new_like(t, first, &to));
    int status = block ? decode_rows(t, to) : RUN(t->ctx, copy, .dst = to->view, .src = t->view);
    if (!status && first != dtype) {
        struct tensor *narrow = to;
        to = NULL;
        status = tensor_convert(narrow, dtype, &to);
        tensor_release(narrow);
    }
    if (status)
        tensor_release(to);
    else
        *out = to;
    return status;
}

int tensor_largest(struct tensor *t, double *out)
{
    struct tensor *stats;
    double values[STATS_FIXED];
    int64_t n = STATS_FIXED;
    TRY(tensor_new(t->ctx, DT_F64, 1, &n, &stats));
    int status = RUN(t->ctx, stats, .out = stats->view, .x = t->view);
    if (!status)
        status = tensor_read_double(stats, values);
    tensor_release(stats);
    if (!status)
        *out = values[1] + values[2] > 0 ? INFINITY : fmax(fabs(values[3]), fabs(values[4]));
    return status;
}

char *shape_text(const int64_t *shape, int ndim, char *out, size_t bytes)
{
    size_t used = 0;
    snprintf(out, bytes, "%s", ndim ? "" : "scalar");
    for (int i = 0; i < ndim && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%" PRId64, i ? "x" : "", shape[i]);
    return out;
}

char *tensor_shape_text(const struct tensor *t, char *out, size_t bytes)
{
    return shape_text(t->view.shape, t->view.ndim, out, bytes);
}
