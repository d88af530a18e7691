/* tensor.h -- the one tensor type: reference-counted storage, a view on it, and its place in the
 * gradient graph.
 *
 * Device, dtype and shape are run-time values. A tensor of a block format (q4_1 ...) is a stored
 * weight: it can be multiplied with, read by rows and decoded, not sliced or computed on. Views
 * share storage. Host code sees values only through tensor_read and tensor_write. */
#ifndef ENGINE_TENSOR_TENSOR_H
#define ENGINE_TENSOR_TENSOR_H

#include "engine/tensor/context.h"
#include "kernels/quant.h"

struct node;

struct storage {
    int refs;
    struct context *ctx; /* kept */
    void *data;          /* device memory, owned */
    size_t bytes;        /* as given back to the context */
};

struct tensor {
    int refs;
    struct storage *storage;     /* NULL while dropped (see tensor_drop) */
    struct view view;            /* dtype DT_BLOCK: ndim 2, [rows, cols] */
    const struct format *format; /* how elements are stored; plain formats match view.dtype */
    struct context *ctx;         /* kept */
    bool requires_grad;
    struct tensor *grad; /* leaf tensors: same shape, compute dtype; NULL until needed */
    struct node *node;   /* what made it, kept; NULL for leaves */
    int node_output;     /* which output of node */
};

/* A fresh uninitialised tensor. *out has one reference. Errors: ERR_ARG (negative or too large
 * shape), ERR_MEMORY. */
int tensor_new(struct context *ctx, enum dtype dtype, int ndim, const int64_t *shape,
               struct tensor **out) MUST_CHECK;
int tensor_new_2d(struct context *ctx, enum dtype t, int64_t rows, int64_t cols,
                  struct tensor **out) MUST_CHECK;
int tensor_new_like(const struct tensor *t, enum dtype dtype, struct tensor **out) MUST_CHECK;

/* A stored weight [rows, cols] (ndim 2) or a vector [cols] (rows < 0, plain formats only). */
int tensor_new_weight(struct context *ctx, const struct format *format, int64_t rows, int64_t cols,
                      struct tensor **out) MUST_CHECK;

/* A tensor from host values of the same dtype, row-major. */
int tensor_from(struct context *ctx, enum dtype dtype, int ndim, const int64_t *shape,
                const void *values, struct tensor **out) MUST_CHECK;

struct tensor *tensor_keep(struct tensor *t); /* NULL is fine */
void tensor_release(struct tensor *t);        /* NULL is fine */
void tensor_clear(struct tensor **t);         /* release and set NULL */

/* A view on the same storage: no copy, no gradient node. */
int tensor_view(struct tensor *t, struct view view, struct tensor **out) MUST_CHECK;

/* Bytes of the elements as stored. */
size_t tensor_bytes(const struct tensor *t);
int64_t tensor_count(const struct tensor *t);

/* As a weight operand of gemm and embed: 2-d, or [n] seen as [1, n]. */
struct wview tensor_wview(const struct tensor *t);

/* Host <-> device. 'values': tensor_bytes(t) bytes in t's own dtype, row-major. Synchronises. */
int tensor_write(struct tensor *t, const void *values) MUST_CHECK;
int tensor_read(struct tensor *t, void *values) MUST_CHECK; /* any strides */

/* All values decoded to double on the host (tensor_count of them). */
int tensor_read_double(struct tensor *t, double *values) MUST_CHECK;

/* One-element tensors. */
int tensor_scalar(struct context *ctx, enum dtype dtype, double value,
                  struct tensor **out) MUST_CHECK;
int tensor_item(struct tensor *t, double *value) MUST_CHECK;

int tensor_fill(struct tensor *t, double value) MUST_CHECK;

/* Converted (or decoded) copy in 'dtype', contiguous; not recorded for gradients. */
int tensor_convert(struct tensor *t, enum dtype dtype, struct tensor **out) MUST_CHECK;

/* The largest absolute value, infinity when one is not finite. Plain formats. */
int tensor_largest(struct tensor *t, double *out) MUST_CHECK;

/* "576x1536" into out. */
/* "2x3", "scalar"; returns out. */
char *shape_text(const int64_t *shape, int ndim, char *out, size_t bytes);
char *tensor_shape_text(const struct tensor *t, char *out, size_t bytes);

#endif
