/* ops_elementwise.c -- unary and binary arithmetic with broadcasting, and their gradients. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"
#include "kernels/base/size.h"

struct unary_params {
    enum unary_kind kind;
    double alpha, beta;
};

static int unary_backward(struct context *ctx, struct node *n)
{
    const struct unary_params *p = (const void *)n->params;
    struct tensor *g = tensor_keep(n->dy[0]);
    tensor_clear(&n->dy[0]);
    int status = RUN(ctx, unary_grad, .dx = g->view, .dy = g->view, .x = n->input[0]->view,
                     .kind = p->kind, .alpha = p->alpha, .beta = p->beta);
    if (!status)
        status = grad_give(n->input[0], g);
    tensor_release(g);
    return status;
}

static const struct node_class unary_class = {"unary", unary_backward, NULL};

static bool unary_differentiable(enum unary_kind kind)
{
    return kind < UNARY_GT;
}

int op_unary(struct tensor *x, enum unary_kind kind, double alpha, double beta, struct tensor **out)
{
    struct context *ctx = x->ctx;
    struct unary_params p = {kind, alpha, beta};
    struct node *n;
    TRY(tensor_new_like(x, ctx->compute, out));
    int status = RUN(ctx, unary, .y = (*out)->view, .x = x->view, .kind = kind, .alpha = alpha,
                     .beta = beta);
    if (!status && unary_differentiable(kind))
        status = node_record(ctx, &unary_class, &x, 1, &p, sizeof p, *out, &n);
    if (status)
        tensor_clear(out);
    return status;
}

/* --- binary ---------------------------------------------------------------------------------- */

struct binary_params {
    enum binary_kind kind;
    double alpha;
};

/* 'v' repeated to 'shape' (aligned at the right). False when it does not fit. */
static bool broadcast(struct view v, int ndim, const int64_t *shape, struct view *out)
{
    struct view r = {.data = v.data, .dtype = v.dtype, .ndim = ndim};
    int lead = ndim - v.ndim;
    for (int i = 0; i < ndim; i++) {
        r.shape[i] = shape[i];
        int64_t own = i < lead ? 1 : v.shape[i - lead];
        if (own != shape[i] && own != 1)
            return false;
        r.stride[i] = i < lead || own == 1 ? 0 : v.stride[i - lead];
    }
    *out = r;
    return true;
}

static bool common_shape(const struct view *a, const struct view *b, int *ndim, int64_t *shape)
{
    *ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    for (int i = 1; i <= *ndim; i++) {
        int64_t sa = i <= a->ndim ? a->shape[a->ndim - i] : 1;
        int64_t sb = i <= b->ndim ? b->shape[b->ndim - i] : 1;
        if (sa != sb && sa != 1 && sb != 1)
            return false;
        shape[*ndim - i] = sa == 1 ? sb : sa;
    }
    return true;
}

/* Adds g (shape of the result) to t's gradient, summed over what was broadcast. */
static int give_reduced(struct tensor *t, struct tensor *g)
{
    struct context *ctx = t->ctx;
    if (view_same_shape(t->view, g->view))
        return grad_give(t, g);
    struct tensor *slot;
    double beta;
    TRY(grad_slot(t, &slot, &beta));
    if (!slot)
        return OK;
    struct view y = {.data = slot->view.data, .dtype = slot->view.dtype, .ndim = g->view.ndim};
    int lead = g->view.ndim - t->view.ndim;
    for (int i = 0; i < y.ndim; i++) {
        y.shape[i] = i < lead ? 1 : t->view.shape[i - lead];
        y.stride[i] = i < lead ? 0 : slot->view.stride[i - lead];
    }
    return RUN(ctx, reduce, .y = y, .x = g->view, .kind = REDUCE_SUM, .alpha = 1,
               .accumulate = beta != 0);
}

/* tmp = a (op) b over the result's shape */
static int fresh(struct context *ctx, struct view like, enum binary_kind kind, double alpha,
                 struct view a, struct view b, struct tensor **out)
{
    TRY(tensor_new(ctx, ctx->compute, like.ndim, like.shape, out));
    int status = RUN(ctx, binary, .z = (*out)->view, .a = a, .b = b, .kind = kind, .alpha = alpha);
    if (status)
        tensor_clear(out);
    return status;
}

static int times(struct context *ctx, struct tensor *t, double factor)
{
    return RUN(ctx, unary, .y = t->view, .x = t->view, .kind = UNARY_LINEAR, .alpha = factor);
}

static int times_view(struct context *ctx, struct tensor *t, struct view by, enum binary_kind kind)
{
    return RUN(ctx, binary, .z = t->view, .a = t->view, .b = by, .kind = kind);
}

/* t = x + (x == 0): steps aside where a formula would make 0 * infinity of a true 0 */
static int off_zero(struct context *ctx, struct view x, struct tensor *t)
{
    TRY(RUN(ctx, unary, .y = t->view, .x = x, .kind = UNARY_EQ));
    return times_view(ctx, t, x, BINARY_ADD);
}

/* g *= b * a^(b-1); 0 where b is 0, whatever a is */
static int base_grad(struct context *ctx, struct tensor *g, struct view a, struct view b)
{
    struct tensor *t;
    TRY(tensor_new_like(g, ctx->compute, &t));
    int status = off_zero(ctx, b, t); /* the exponent: b - 1, and 0 where b is 0 */
    if (!status)
        status = RUN(ctx, unary, .y = t->view, .x = t->view, .kind = UNARY_LINEAR, .alpha = 1,
                     .beta = -1);
    if (!status)
        status = RUN(ctx, binary, .z = t->view, .a = a, .b = t->view, .kind = BINARY_POW);
    if (!status)
        status = times_view(ctx, g, t->view, BINARY_MUL);
    if (!status)
        status = times_view(ctx, g, b, BINARY_MUL);
    tensor_release(t);
    return status;
}

/* g *= a^b * log a; 0 where a is 0 and b is not negative */
static int exponent_grad(struct context *ctx, struct tensor *g, struct view a, struct view b)
{
    struct tensor *t;
    TRY(fresh(ctx, g->view, BINARY_POW, 0, a, b, &t));
    int status = times_view(ctx, g, t->view, BINARY_MUL);
    if (!status)
        status = off_zero(ctx, a, t);
    if (!status)
        status = RUN(ctx, unary, .y = t->view, .x = t->view, .kind = UNARY_LOG);
    if (!status)
        status = times_view(ctx, g, t->view, BINARY_MUL);
    tensor_release(t);
    return status;
}

/* g = dy * d(result)/d(operand 'which'); a and b are broadcast views */
static int operand_grad(struct context *ctx, const struct binary_params *p, int which,
                        struct tensor *dy, struct view a, struct view b, struct tensor **g)
{
    struct view d = dy->view;
    int status;
    TRY(tensor_new_like(dy, ctx->compute, g));
    status = RUN(ctx, copy, .dst = (*g)->view, .src = d);
    if (status)
        return status;
    switch (p->kind) {
    case BINARY_ADD:
        return OK;
    case BINARY_SUB:
        return which ? times(ctx, *g, -1) : OK;
    case BINARY_AXPY:
        return which ? times(ctx, *g, p->alpha) : OK;
    case BINARY_MUL:
        return times_view(ctx, *g, which ? a : b, BINARY_MUL);
    case BINARY_DIV: /* dy/b; -dy a / b^2 */
        TRY(times_view(ctx, *g, b, BINARY_DIV));
        if (!which)
            return OK;
        TRY(times_view(ctx, *g, a, BINARY_MUL));
        TRY(times_view(ctx, *g, b, BINARY_DIV));
        return times(ctx, *g, -1);
    case BINARY_MAX:
    case BINARY_MIN: { /* to the operand that was taken; a tie goes to the first */
        struct tensor *mask;
        bool max = p->kind == BINARY_MAX;
        enum binary_kind rel =
            which ? (max ? BINARY_LT : BINARY_GT) : (max ? BINARY_GE : BINARY_LE);
        TRY(fresh(ctx, d, rel, 0, a, b, &mask));
        status = times_view(ctx, *g, mask->view, BINARY_MUL);
        tensor_release(mask);
        return status;
    }
    case BINARY_POW:
        return which ? exponent_grad(ctx, *g, a, b) : base_grad(ctx, *g, a, b);
    default:
        return fail(ERR_INTERNAL, "binary operation %d has no gradient", p->kind);
    }
}

static int binary_backward(struct context *ctx, struct node *n)
{
    const struct binary_params *p = (const void *)n->params;
    struct tensor *dy = n->dy[0];
    struct view v[2];
    for (int i = 0; i < 2; i++)
        if (!broadcast(n->input[i]->view, dy->view.ndim, dy->view.shape, &v[i]))
            return fail(ERR_INTERNAL, "binary: an operand changed its shape");
    for (int i = 0; i < 2; i++) {
        if (!tensor_needs_grad(n->input[i]))
            continue;
        struct tensor *g = NULL;
        int status = operand_grad(ctx, p, i, dy, v[0], v[1], &g);
        if (!status)
            status = give_reduced(n->input[i], g);
        tensor_release(g);
        TRY(status);
    }
    return OK;
}

static const struct node_class binary_class = {"binary", binary_backward, NULL};

int op_binary(struct tensor *a, struct tensor *b, enum binary_kind kind, double alpha,
              struct tensor **out)
{
    struct context *ctx = a->ctx;
    struct binary_params p = {kind, alpha};
    int ndim;
    int64_t shape[VIEW_DIMS];
    char sa[64], sb[64];
    if (!common_shape(&a->view, &b->view, &ndim, shape))
        return fail(ERR_ARG,
                    "shapes %s and %s do not fit; wanted equal sizes, or 1 where one "
                    "repeats; hint: look at t:shape()",
                    tensor_shape_text(a, sa, sizeof sa), tensor_shape_text(b, sb, sizeof sb));
    struct view va, vb;
    if (!broadcast(a->view, ndim, shape, &va) || !broadcast(b->view, ndim, shape, &vb))
        return fail(ERR_INTERNAL, "broadcast");
    struct view like = {.ndim = ndim};
    for (int i = 0; i < ndim; i++)
        like.shape[i] = shape[i];
    struct node *n;
    TRY(fresh(ctx, like, kind, alpha, va, vb, out));
    int status = OK;
    if (kind < BINARY_GT)
        status =
            node_record(ctx, &binary_class, (struct tensor *[]){a, b}, 2, &p, sizeof p, *out, &n);
    if (status)
        tensor_clear(out);
    return status;
}
