/* ops_loss.c -- head and cross-entropy in one, by chunks of rows.
 *
 * The logits of one chunk exist at a time. When a gradient is wanted it is formed in the same pass,
 * while the chunk is at hand: dx is kept (rows x hidden), the logits are not. backward multiplies
 * by the incoming gradient, which is 1 for a loss that is walked directly. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"
#include "kernels/base/size.h"

#define LOGITS_BYTES ((int64_t)48 << 20) /* of one chunk */

/* inputs: x, w, then h and b of each term; saved: their gradients (NULL when not wanted in forward) */
enum { LOSS_INPUTS = 2 + 2 * LINEAR_ADAPTERS };
_Static_assert(LOSS_INPUTS <= NODE_INPUTS && LOSS_INPUTS <= NODE_SAVED, "room for all inputs");

static int loss_backward(struct context *ctx, struct node *n)
{
    double dy;
    TRY(tensor_item(n->dy[0], &dy));
    for (int i = 0; i < n->inputs; i++) {
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
    struct tensor *x, *targets, *weights, *hits; /* borrowed */
    const struct loss_head *head;
    struct tensor *total;                                  /* kept */
    struct tensor *input[LOSS_INPUTS], *grad[LOSS_INPUTS]; /* gradients: NULL when not wanted */
    int inputs;
    double scale, smoothing;
    bool started; /* gradients of weights hold a part of their sum already */
};

/* logits += scale h B^T of each term */
static int add_terms(struct context *ctx, struct loss_work *l, struct view logits, int64_t start)
{
    for (int i = 0; i < l->head->terms; i++)
        TRY(RUN(ctx, gemm, .dst = logits,
                .x = view_slice(l->head->term[i].h->view, 0, start, logits.shape[0]),
                .w = tensor_wview(l->head->term[i].b), .trans_w = true,
                .alpha = l->head->term[i].scale, .beta = 1));
    return OK;
}

/* dh = scale dlogits B, dB += scale dlogits^T h of each term */
static int term_grads(struct context *ctx, struct loss_work *l, struct view dlogits, int64_t start)
{
    for (int i = 0; i < l->head->terms; i++) {
        struct tensor *h = l->head->term[i].h, *b = l->head->term[i].b;
        struct tensor *dh = l->grad[2 + 2 * i], *db = l->grad[3 + 2 * i];
        double scale = l->head->term[i].scale;
        if (dh)
            TRY(RUN(ctx, gemm, .dst = view_slice(dh->view, 0, start, dlogits.shape[0]),
                    .x = dlogits, .w = tensor_wview(b), .alpha = scale));
        if (db)
            TRY(RUN(ctx, gemm, .dst = db->view, .x = dlogits,
                    .w = wview_of(view_slice(h->view, 0, start, dlogits.shape[0])), .trans_x = true,
                    .alpha = scale, .beta = l->started ? 1 : 0));
    }
    return OK;
}

static bool wants_grad(const struct loss_work *l)
{
    for (int i = 0; i < l->inputs; i++)
        if (l->grad[i])
            return true;
    return false;
}

static int one_chunk(struct context *ctx, struct loss_work *l, struct tensor *logits, int64_t start,
                     int64_t rows)
{
    struct view part = view_slice(logits->view, 0, 0, rows);
    struct view x = view_slice(l->x->view, 0, start, rows);
    struct tensor *dx = l->grad[0], *dw = l->grad[1], *w = l->head->weight;
    TRY(RUN(ctx, gemm, .dst = part, .x = x, .w = tensor_wview(w), .trans_w = true, .alpha = 1));
    TRY(add_terms(ctx, l, part, start));
    TRY(RUN(ctx, cross_entropy, .logits = part,
            .targets = view_slice(l->targets->view, 0, start, rows),
            .weight = view_slice(l->weights->view, 0, start, rows), .loss = l->total->view,
            .hits = l->hits ? l->hits->view : (struct view){0}, .scale = l->scale,
            .smoothing = l->smoothing, .grad = wants_grad(l)));
    if (dx)
        TRY(RUN(ctx, gemm, .dst = view_slice(dx->view, 0, start, rows), .x = part,
                .w = tensor_wview(w), .alpha = 1));
    if (dw)
        TRY(RUN(ctx, gemm, .dst = dw->view, .x = part, .w = wview_of(x), .trans_x = true,
                .alpha = 1, .beta = l->started ? 1 : 0));
    TRY(term_grads(ctx, l, part, start));
    l->started = true;
    return OK;
}

static int all_chunks(struct context *ctx, struct loss_work *l)
{
    int64_t rows = l->x->view.shape[0], vocab = l->head->weight->view.shape[0];
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

/* Gradients are formed in forward, for every input that takes part. */
static int make_grads(struct context *ctx, struct loss_work *l)
{
    for (int i = 0; i < l->inputs && ctx->grad; i++) {
        if (!tensor_needs_grad(l->input[i]))
            continue;
        TRY(tensor_new_like(l->input[i], ctx->compute, &l->grad[i]));
        if (l->x->view.shape[0] == 0)
            TRY(tensor_fill(l->grad[i], 0));
    }
    return OK;
}

static void list_inputs(struct loss_work *l)
{
    l->input[l->inputs++] = l->x;
    l->input[l->inputs++] = l->head->weight;
    for (int i = 0; i < l->head->terms; i++) {
        l->input[l->inputs++] = l->head->term[i].h;
        l->input[l->inputs++] = l->head->term[i].b;
    }
}

int op_head_cross_entropy(struct tensor *x, const struct loss_head *head, struct tensor *targets,
                          struct tensor *weights, double scale, double smoothing,
                          const struct loss_tally *tally, struct tensor **loss)
{
    struct context *ctx = x->ctx;
    struct loss_work l = {.x = x,
                          .head = head,
                          .targets = targets,
                          .weights = weights,
                          .scale = scale,
                          .smoothing = smoothing,
                          .hits = tally ? tally->hits : NULL};
    struct node *n;
    list_inputs(&l);
    for (int i = 0; i < l.inputs; i++)
        TRY(tensor_need(l.input[i]));
    int status = OK;
    if (tally && tally->total)
        l.total = tensor_keep(tally->total);
    else
        status = tensor_scalar(ctx, DT_F64, 0, &l.total);
    if (!status)
        status = make_grads(ctx, &l);
    if (!status)
        status = all_chunks(ctx, &l);
    if (!status)
        status = scaled(ctx, l.total, scale, loss);
    if (!status) {
        status = node_record(ctx, &loss_class, l.input, l.inputs, NULL, 0, *loss, &n);
        for (int i = 0; i < l.inputs && !status && n; i++)
            node_save(n, l.grad[i]);
        if (status)
            tensor_clear(loss);
    }
    tensor_release(l.total);
    for (int i = 0; i < l.inputs; i++)
        tensor_release(l.grad[i]);
    return status;
}

int op_linear_cross_entropy(struct tensor *x, struct tensor *w, struct tensor *targets,
                            struct tensor *weights, double scale, double smoothing,
                            const struct loss_tally *tally, struct tensor **loss)
{
    struct loss_head head = {.weight = w};
    return op_head_cross_entropy(x, &head, targets, weights, scale, smoothing, tally, loss);
}
