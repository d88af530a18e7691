/* ops_embed.c -- rows of a stored weight by id; the gradient is a scatter-add. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"

static int embed_backward(struct context *ctx, struct node *n)
{
    struct tensor *slot;
    double beta;
    TRY(grad_slot(n->input[0], &slot, &beta));
    if (!slot)
        return OK;
    if (beta == 0)
        TRY(tensor_fill(slot, 0));
    return RUN(ctx, scatter_add, .y = slot->view, .x = n->dy[0]->view, .ids = n->input[1]->view);
}

static const struct node_class embed_class = {"embed", embed_backward, NULL};

int op_embed(struct tensor *w, struct tensor *ids, struct tensor **y)
{
    struct context *ctx = w->ctx;
    struct node *n;
    TRY(tensor_need(w));
    TRY(tensor_new_2d(ctx, ctx->compute, ids->view.shape[0], w->view.shape[1], y));
    int status = RUN(ctx, embed, .y = (*y)->view, .w = tensor_wview(w), .ids = ids->view);
    if (!status)
        status = node_record(ctx, &embed_class, (struct tensor *[]){w, ids}, 2, NULL, 0, *y, &n);
    if (status)
        tensor_clear(y);
    return status;
}
