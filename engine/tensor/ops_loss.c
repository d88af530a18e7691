/* ops_loss.c -- head and cross-entropy in one, by chunks of rows.
 *
 * The logits of one chunk exist at a time. When a gradient is wanted it is formed in the same pass,
 * while the chunk is at hand: dx is kept (rows x hidden), the logits are not. backward multiplies
 * by the incoming gradient, which is 1 for a loss that is walked directly. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"
#include "kernels/base/size.h"

#define LOGITS_BYTES ((int64_t)48 << 20) /* of one chunk */

/* inputs: x, w; saved: dx, dw (NULL when not wanted in forward) */
static int loss_backward(struct context *ctx, struct node *n)
{
    double dy;
    TRY(tensor_item(n->dy[0], &dy));
    for (int i = 0; i < 2; i++) {
        if (!n->saved[i] || !tensor_needs_grad(n->input[i]))
            continue;
        struct tensor *g = tensor_keep(n->saved[i]);
        tensor_clear(&n->saved[i]);
        int status = OK;
        if (dy != 1)
            status = RUN(ctx, unary, .y = g->view, .x = g->view, .kind = UNARY_LINEAR, .alpha = dy);
        if (!status)
            status = grad_give(n->input[i], g);
        tensor_release(g);
        TRY(status);
    }
    return OK;
}

static const struct node_class loss_class = {"linear_cross_entropy", loss_backward, NULL};

struct loss_work {
    struct tensor *x, *w, *targets, *weights, *hits; /* borrowed */
    struct tensor *total;                            /* kept */
    struct tensor *dx, *dw;                          /* NULL when not wanted */
    double scale, smoothing;
    bool dw_started;
};

static int one_chunk(struct context *ctx, struct loss_work *l, struct tensor *logits, int64_t start,
                     int64_t rows)
{
    struct view part = view_slice(logits->view, 0, 0, rows);
    struct view x = view_slice(l->x->view, 0, start, rows);
    TRY(RUN(ctx, gemm, .dst = part, .x = x, .w = tensor_wview(l->w), .trans_w = true, .alpha = 1));
    TRY(RUN(ctx, cross_entropy, .logits = part,
            .targets = view_slice(l->targets->view, 0, start, rows),
            .weight = view_slice(l->weights->view, 0, start, rows), .loss = l->total->view,
            .hits = l->hits ? l->hits->view : (struct view){0}, .scale = l->scale,
            .smoothing = l->smoothing, .grad = l->dx || l->dw));
    if (l->dx)
        TRY(RUN(ctx, gemm, .dst = view_slice(l->dx->view, 0, start, rows), .x = part,
                .w = tensor_wview(l->w), .alpha = 1));
    if (l->dw) {
        TRY(RUN(ctx, gemm, .dst = l->dw->view, .x = part, .w = wview_of(x), .trans_x = true,
                .alpha = 1, .beta = l->dw_started ? 1 : 0));
        l->dw_started = true;
    }
    return OK;
}

static int all_chunks(struct context *ctx, struct loss_work *l)
{
    int64_t rows = l->x->view.shape[0], vocab = l->w->view.shape[0];
    int64_t bytes = vocab * (int64_t)dtype_bytes(ctx->compute);
    int64_t room = ctx->logits_bytes ? ctx->logits_bytes : LOGITS_BYTES;
    int64_t fit = i64_max(room / i64_max(bytes, 1), 16);
    int64_t chunks = (rows + fit - 1) / fit;
    int64_t chunk = chunks ? (rows + chunks - 1) / chunks : 0; /* of equal size */
    struct tensor *logits;
    TRY(tensor_new_2d(ctx, ctx->compute, chunk, vocab, &logits));
    int status = OK;
    for (int64_t at = 0; at < rows && !status; at += chunk)
        status = one_chunk(ctx, l, logits, at, i64_min(chunk, rows - at));
    tensor_release(logits);
    return status;
}

/* loss = scale * total, in the compute dtype */
static int scaled(struct context *ctx, struct tensor *total, double scale, struct tensor **loss)
{
    TRY(tensor_new(ctx, ctx->compute, 0, NULL, loss));
    int status = RUN(ctx, copy, .dst = (*loss)->view, .src = total->view);
    if (!status)
        status = RUN(ctx, unary, .y = (*loss)->view, .x = (*loss)->view, .kind = UNARY_LINEAR,
                     .alpha = scale);
    if (status)
        tensor_clear(loss);
    return status;
}

int op_linear_cross_entropy(struct tensor *x, struct tensor *w, struct tensor *targets,
                            struct tensor *weights, double scale, double smoothing,
                            const struct loss_tally *tally, struct tensor **loss)
{
    struct context *ctx = x->ctx;
    struct loss_work l = {.x = x,
                          .w = w,
                          .targets = targets,
                          .weights = weights,
                          .scale = scale,
                          .smoothing = smoothing,
                          .hits = tally ? tally->hits : NULL};
    struct tensor *inputs[] = {x, w};
    struct node *n;
    TRY(tensor_need(x));
    int status = OK;
    if (tally && tally->total)
        l.total = tensor_keep(tally->total);
    else
        status = tensor_scalar(ctx, DT_F64, 0, &l.total);
    if (!status && ctx->grad && tensor_needs_grad(x))
        status = tensor_new_like(x, ctx->compute, &l.dx);
    if (!status && ctx->grad && tensor_needs_grad(w))
        status = tensor_new_like(w, ctx->compute, &l.dw);
    if (!status && l.dw && x->view.shape[0] == 0)
        status = tensor_fill(l.dw, 0);
    if (!status)
        status = all_chunks(ctx, &l);
    if (!status)
        status = scaled(ctx, l.total, scale, loss);
    if (!status) {
        status = node_record(ctx, &loss_class, inputs, 2, NULL, 0, *loss, &n);
        if (!status && n) {
            node_save(n, l.dx);
            node_save(n, l.dw);
        }
        if (status)
            tensor_clear(loss);
    }
    tensor_release(l.total);
    tensor_release(l.dx);
    tensor_release(l.dw);
    return status;
}
