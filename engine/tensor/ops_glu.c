/* ops_glu.c -- the gated activation act(g) * u. Its output can be dropped and made again. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"

static int glu_backward(struct context *ctx, struct node *n)
{
    enum glu_kind kind = *(const enum glu_kind *)(const void *)n->params;
    struct tensor *g = n->input[0], *u = n->input[1], *dg = NULL;
    struct tensor *dy = tensor_keep(n->dy[0]);
    tensor_clear(&n->dy[0]);
    int status = tensor_new_like(g, ctx->compute, &dg);
    if (!status) /* du takes dy's place */
        status = RUN(ctx, glu_grad, .dg = dg->view, .du = dy->view, .dy = dy->view, .g = g->view,
                     .u = u->view, .kind = kind);
    if (!status)
        status = grad_give(g, dg);
    if (!status)
        status = grad_give(u, dy);
    tensor_release(dg);
    tensor_release(dy);
    return status;
}

static int glu_remake(struct context *ctx, struct node *n, struct tensor *out)
{
    return RUN(ctx, glu, .y = out->view, .g = n->input[0]->view, .u = n->input[1]->view,
               .kind = *(const enum glu_kind *)(const void *)n->params);
}

static const struct node_class glu_class = {"glu", glu_backward, glu_remake};

int op_glu(struct tensor *g, struct tensor *u, enum glu_kind kind, struct tensor **y)
{
    struct context *ctx = g->ctx;
    struct node *n;
    TRY(tensor_new_like(g, ctx->compute, y));
    int status = RUN(ctx, glu, .y = (*y)->view, .g = g->view, .u = u->view, .kind = kind);
    if (!status)
        status =
            node_record(ctx, &glu_class, (struct tensor *[]){g, u}, 2, &kind, sizeof kind, *y, &n);
    if (status)
        tensor_clear(y);
    return status;
}
