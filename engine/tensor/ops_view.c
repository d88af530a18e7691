/* ops_view.c -- slices, transposes, reshapes: views on the same memory with gradients. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"

#include <inttypes.h>

/* Where in the input's gradient the output's elements lie: data is an element offset. */
struct view_params {
    struct view window;
    int64_t offset;
};

static int view_backward(struct context *ctx, struct node *n)
{
    const struct view_params *p = (const void *)n->params;
    struct tensor *x = n->input[0], *slot;
    double beta;
    TRY(grad_slot(x, &slot, &beta));
    if (!slot)
        return OK;
    if (beta == 0)
        TRY(tensor_fill(slot, 0));
    struct view window = p->window; /* the gradient is contiguous in x's shape */
    window.dtype = slot->view.dtype;
    window.data = (char *)slot->view.data + p->offset * (int64_t)dtype_bytes(window.dtype);
    return RUN(ctx, binary, .z = window, .a = window, .b = n->dy[0]->view, .kind = BINARY_ADD);
}

static const struct node_class view_class = {"view", view_backward, NULL};

static int not_block(const struct tensor *x)
{
    if (x->view.dtype != DT_BLOCK)
        return OK;
    return fail(ERR_ARG,
                "a %s weight cannot be sliced or reshaped; hint: decode it first with "
                "t:float()",
                x->format->name);
}

/* Where a pretended contiguous tensor begins: only offsets from here are used. */
#define PRETEND ((uintptr_t)4096)

static struct view contiguous_like(struct view v)
{
    int64_t count = 1;
    for (int i = v.ndim - 1; i >= 0; i--) {
        v.stride[i] = count;
        count *= v.shape[i];
    }
    v.data = (void *)PRETEND;
    return v;
}

/* 'window': the output's place in x's memory; 'grad': the same in a contiguous tensor of x's
 * shape, as if that began at PRETEND. */
static int make_view(struct tensor *x, struct view window, struct view grad, struct tensor **out)
{
    struct view_params p = {grad, 0};
    struct node *n;
    p.offset = (int64_t)(((uintptr_t)grad.data - PRETEND) / dtype_bytes(x->view.dtype));
    p.window.data = NULL;
    TRY(tensor_view(x, window, out));
    int status = node_record(x->ctx, &view_class, &x, 1, &p, sizeof p, *out, &n);
    if (status)
        tensor_clear(out);
    return status;
}

int op_slice(struct tensor *x, int dim, int64_t start, int64_t count, struct tensor **out)
{
    TRY(not_block(x));
    if (dim < 0 || dim >= x->view.ndim || start < 0 || count < 0 ||
        start + count > x->view.shape[dim])
        return fail(ERR_ARG,
                    "slice %" PRId64 " to %" PRId64 " of dimension %d is outside the tensor",
                    start + 1, start + count, dim + 1);
    return make_view(x, view_slice(x->view, dim, start, count),
                     view_slice(contiguous_like(x->view), dim, start, count), out);
}

static struct view without(struct view v, int dim)
{
    for (int i = dim; i + 1 < v.ndim; i++) {
        v.shape[i] = v.shape[i + 1];
        v.stride[i] = v.stride[i + 1];
    }
    v.ndim--;
    return v;
}

int op_select(struct tensor *x, int dim, int64_t index, struct tensor **out)
{
    TRY(not_block(x));
    if (dim < 0 || dim >= x->view.ndim || index < 0 || index >= x->view.shape[dim])
        return fail(ERR_ARG, "position %" PRId64 " of dimension %d is outside the tensor",
                    index + 1, dim + 1);
    return make_view(x, without(view_slice(x->view, dim, index, 1), dim),
                     without(view_slice(contiguous_like(x->view), dim, index, 1), dim), out);
}

static struct view swapped(struct view v, int a, int b)
{
    int64_t shape = v.shape[a], stride = v.stride[a];
    v.shape[a] = v.shape[b];
    v.stride[a] = v.stride[b];
    v.shape[b] = shape;
    v.stride[b] = stride;
    return v;
}

int op_transpose(struct tensor *x, int dim0, int dim1, struct tensor **out)
{
    TRY(not_block(x));
    if (dim0 < 0 || dim1 < 0 || dim0 >= x->view.ndim || dim1 >= x->view.ndim)
        return fail(ERR_ARG, "transpose of dimensions %d and %d of a tensor with %d", dim0 + 1,
                    dim1 + 1, x->view.ndim);
    return make_view(x, swapped(x->view, dim0, dim1), swapped(contiguous_like(x->view), dim0, dim1),
                     out);
}

int op_reshape(struct tensor *x, int ndim, const int64_t *shape, struct tensor **out)
{
    TRY(not_block(x));
    struct view v = {.dtype = x->view.dtype, .ndim = ndim};
    int64_t count = 1;
    char text[64];
    if (ndim < 0 || ndim > VIEW_DIMS)
        return fail(ERR_ARG, "a tensor has at most %d dimensions, found %d", VIEW_DIMS, ndim);
    for (int i = 0; i < ndim; i++) {
        v.shape[i] = shape[i];
        if (shape[i] < 0 || __builtin_mul_overflow(count, shape[i], &count))
            count = -1;
    }
    if (count != tensor_count(x))
        return fail(ERR_ARG,
                    "a tensor of shape %s has %" PRId64 " elements and cannot take the "
                    "shape asked for",
                    tensor_shape_text(x, text, sizeof text), tensor_count(x));
    if (!view_is_contiguous(x->view)) {
        struct tensor *packed;
        TRY(op_contiguous(x, &packed));
        int status = op_reshape(packed, ndim, shape, out);
        tensor_release(packed);
        return status;
    }
    struct view grad = contiguous_like(v), window = grad;
    window.data = x->view.data;
    return make_view(x, window, grad, out);
}

static int contiguous_backward(struct context *ctx, struct node *n)
{
    (void)ctx;
    return grad_add(n->input[0], n->dy[0]->view);
}

static const struct node_class contiguous_class = {"contiguous", contiguous_backward, NULL};

int op_contiguous(struct tensor *x, struct tensor **out)
{
    TRY(not_block(x));
    struct node *n;
    TRY(tensor_convert(x, x->view.dtype, out));
    int status = node_record(x->ctx, &contiguous_class, &x, 1, NULL, 0, *out, &n);
    if (status)
        tensor_clear(out);
    return status;
}
