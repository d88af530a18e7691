/* ops_norm.c -- residual add and RMSNorm in one.
 *
 * The node keeps the sum and one number per row; the normalised output can be dropped after its
 * last use in forward and is made again from these when backward asks for it. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"

struct norm_params {
    double eps;
    bool residual;
};

/* inputs: x, res (or NULL), w; saved: the sum (a plain view, no cycle), rstd */
enum { IN_X, IN_RES, IN_W };

static int norm_backward(struct context *ctx, struct node *n)
{
    const struct norm_params *p = (const void *)n->params;
    struct tensor *s = n->saved[0], *rstd = n->saved[1], *dy = n->dy[0], *dsum = n->dy[1];
    struct tensor *dw, *dx = NULL;
    double beta;
    if (!dy) /* only the residual path was used */
        dx = tensor_keep(dsum);
    TRY(grad_slot(n->input[IN_W], &dw, &beta));
    if (dw && beta == 0)
        TRY(tensor_fill(dw, 0));
    int status = OK;
    if (dy) {
        /* the incoming gradient's memory is free to reuse: nobody else reads it */
        dx = tensor_keep(dsum ? dsum : dy);
        status = RUN(ctx, rms_norm_grad, .dx = dx->view, .dy = dy->view, .s = s->view,
                     .w = n->input[IN_W]->view, .rstd = rstd->view,
                     .dres = dsum ? dsum->view : (struct view){0},
                     .dw = dw ? dw->view : (struct view){0});
    }
    for (int i = 0; i < NODE_OUTPUTS; i++) /* so that dx has one owner and can be given away */
        tensor_clear(&n->dy[i]);
    if (!status && p->residual && tensor_needs_grad(n->input[IN_RES]))
        status = grad_add(n->input[IN_RES], dx->view);
    if (!status)
        status = grad_give(n->input[IN_X], dx);
    tensor_release(dx);
    return status;
}

static int norm_remake(struct context *ctx, struct node *n, struct tensor *out)
{
    const struct norm_params *p = (const void *)n->params;
    return RUN(ctx, rms_norm, .y = out->view, .x = n->saved[0]->view, .w = n->input[IN_W]->view,
               .eps = p->eps);
}

static const struct node_class norm_class = {"rms_norm", norm_backward, norm_remake};

/* The sum: a tensor on x's memory when there is a residual, else x itself. */
static int make_sum(struct tensor *x, struct tensor *res, struct tensor **sum)
{
    if (res)
        return tensor_view(x, x->view, sum);
    *sum = tensor_keep(x);
    return OK;
}

static int record(struct context *ctx, struct tensor *x, struct tensor *res, struct tensor *w,
                  double eps, struct tensor *y, struct tensor *sum, struct tensor *rstd)
{
    struct norm_params p = {eps, res != NULL};
    struct node *n;
    TRY(node_record(ctx, &norm_class, (struct tensor *[]){x, res, w}, 3, &p, sizeof p, y, &n));
    if (!n)
        return OK;
    struct tensor *plain; /* the sum without its node: a node must not hold its own output */
    TRY(tensor_view(sum, sum->view, &plain));
    node_save(n, plain);
    tensor_release(plain);
    node_save(n, rstd);
    if (res)
        node_second_output(n, sum);
    return OK;
}

int op_rms_norm(struct tensor *x, struct tensor *res, struct tensor *w, double eps,
                struct tensor **y, struct tensor **sum)
{
    struct context *ctx = x->ctx;
    struct tensor *out = NULL, *s = NULL, *rstd = NULL;
    int status = tensor_new_like(x, ctx->compute, &out);
    if (!status)
        status = make_sum(x, res, &s);
    if (!status)
        status = tensor_new(ctx, ctx->compute, 1, x->view.shape, &rstd);
    if (!status)
        status = RUN(
            ctx, rms_norm, .y = out->view, .x = x->view, .res = res ? res->view : (struct view){0},
            .sum = res ? s->view : (struct view){0}, .w = w->view, .rstd = rstd->view, .eps = eps);
    if (!status)
        status = record(ctx, x, res, w, eps, out, s, rstd);
    tensor_release(rstd);
    if (status) {
        tensor_release(out);
        tensor_release(s);
        return status;
    }
    *y = out;
    *sum = s;
    return OK;
}
