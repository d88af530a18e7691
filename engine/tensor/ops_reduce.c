/* ops_reduce.c -- sums, means, extremes over one dimension or all. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"

#include <inttypes.h>

struct sum_params {
    double alpha;
    int dim; /* -1 = all */
};

/* The view of t (a result with or without the reduced dimension) that has x's number of
 * dimensions, size 1 where reduced; repeat: stride 0 and x's size there instead. */
static struct view spread(const struct tensor *t, struct view x, int dim, bool repeat)
{
    struct view v = {.data = t->view.data, .dtype = t->view.dtype, .ndim = x.ndim};
    bool kept = t->view.ndim == x.ndim;
    for (int i = 0, from = 0; i < x.ndim; i++) {
        bool gone = dim < 0 || i == dim;
        v.shape[i] = gone ? (repeat ? x.shape[i] : 1) : x.shape[i];
        v.stride[i] = gone ? 0 : t->view.stride[from];
        from += kept || !gone;
    }
    return v;
}

static int sum_backward(struct context *ctx, struct node *n)
{
    const struct sum_params *p = (const void *)n->params;
    struct tensor *x = n->input[0], *slot;
    double beta;
    TRY(grad_slot(x, &slot, &beta));
    if (!slot)
        return OK;
    struct view dy = spread(n->dy[0], x->view, p->dim, true);
    if (beta == 0) /* 0 + alpha dy */
        return RUN(ctx, unary, .y = slot->view, .x = dy, .kind = UNARY_LINEAR, .alpha = p->alpha);
    return RUN(ctx, binary, .z = slot->view, .a = slot->view, .b = dy, .kind = BINARY_AXPY,
               .alpha = p->alpha);
}

static const struct node_class sum_class = {"sum", sum_backward, NULL};

static int reduced_tensor(struct tensor *x, int dim, bool keep, struct tensor **out)
{
    int64_t shape[VIEW_DIMS];
    int ndim = 0;
    for (int i = 0; i < x->view.ndim; i++) {
        bool gone = dim < 0 || i == dim;
        if (!gone || keep)
            shape[ndim++] = gone ? 1 : x->view.shape[i];
    }
    return tensor_new(x->ctx, x->ctx->compute, ndim, shape, out);
}

static int reduce(struct tensor *x, int dim, bool keep, enum reduce_kind kind, double alpha,
                  struct tensor **out)
{
    if (dim >= x->view.ndim)
        return fail(ERR_ARG, "dimension %d of a tensor with %d", dim + 1, x->view.ndim);
    TRY(reduced_tensor(x, dim, keep, out));
    int status = RUN(x->ctx, reduce, .y = spread(*out, x->view, dim, false), .x = x->view,
                     .kind = kind, .alpha = alpha);
    if (status)
        tensor_clear(out);
    return status;
}

static int weighted_sum(struct tensor *x, int dim, bool keep, double alpha, struct tensor **out)
{
    struct sum_params p = {alpha, dim};
    struct node *n;
    TRY(reduce(x, dim, keep, REDUCE_SUM, alpha, out));
    int status = node_record(x->ctx, &sum_class, &x, 1, &p, sizeof p, *out, &n);
    if (status)
        tensor_clear(out);
    return status;
}

int op_sum(struct tensor *x, int dim, bool keep, struct tensor **out)
{
    return weighted_sum(x, dim, keep, 1, out);
}

int op_mean(struct tensor *x, int dim, bool keep, struct tensor **out)
{
    if (dim >= x->view.ndim)
        return fail(ERR_ARG, "dimension %d of a tensor with %d", dim + 1, x->view.ndim);
    int64_t count = dim < 0 ? tensor_count(x) : x->view.shape[dim];
    return weighted_sum(x, dim, keep, 1.0 / (double)count, out);
}

int op_max(struct tensor *x, int dim, bool keep, struct tensor **out)
{
    return reduce(x, dim, keep, REDUCE_MAX, 1, out);
}

int op_min(struct tensor *x, int dim, bool keep, struct tensor **out)
{
    return reduce(x, dim, keep, REDUCE_MIN, 1, out);
}
