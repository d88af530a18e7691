/* ops_embed.c -- rows of a stored weight by id, with low-rank terms; the gradient of the rows is a
 * scatter-add. */
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

/* *y += scale * B A[:, ids], out of ordinary operations. */
static int add_term(struct tensor *ids, const struct adapter_term *t, struct tensor **y)
{
    struct tensor *turned = NULL, *rows = NULL, *h = NULL, *wide = NULL, *sum = NULL;
    struct linear b = {.weight = t->b};
    int status = op_transpose(t->a, 0, 1, &turned);
    if (!status)
        status = op_contiguous(turned, &rows);
    if (!status)
        status = op_embed(rows, ids, &h);
    if (!status)
        status = op_linear(h, &b, NULL, &wide);
    if (!status)
        status = op_binary(*y, wide, BINARY_AXPY, t->scale, &sum);
    tensor_release(turned);
    tensor_release(rows);
    tensor_release(h);
    tensor_release(wide);
    if (status)
        return status;
    tensor_release(*y);
    *y = sum;
    return OK;
}

int op_embedding(const struct linear *table, struct tensor *ids, struct tensor **y)
{
    TRY(op_embed(linear_weight(table), ids, y));
    for (int i = 0; i < table->adapters; i++) {
        int status = table->adapter[i]->active ? add_term(ids, table->adapter[i], y) : OK;
        if (status) {
            tensor_clear(y);
            return status;
        }
    }
    return OK;
}
