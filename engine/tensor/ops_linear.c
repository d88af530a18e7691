/* ops_linear.c -- the linear layer with its adapters, and the matrix product of two tensors.
 *
 * The base product and the low-rank terms are separate products, in the order (x A^T) B^T; a frozen
 * weight costs its product and nothing else: no weight gradient is formed, and x is kept only for
 * the adapters. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"


struct linear_params {
    int adapters;
    bool bias;
    struct rng_key key;
    uint32_t epoch;
    struct {
        double scale, dropout;
        uint32_t channel;
    } adapter[LINEAR_ADAPTERS];
};

/* inputs: 0 x, 1 weight, 2 bias, then A and B of each adapter, then sample and offset (dropout).
 * saved: h = dropout(x) A^T of each adapter. */
enum { IN_X, IN_WEIGHT, IN_BIAS, IN_ADAPTERS };
_Static_assert(IN_ADAPTERS + 2 * LINEAR_ADAPTERS + 2 <= NODE_INPUTS, "room for all inputs");

static struct tensor *input_a(struct node *n, int i)
{
    return n->input[IN_ADAPTERS + 2 * i];
}

static struct tensor *input_b(struct node *n, int i)
{
    return n->input[IN_ADAPTERS + 2 * i + 1];
}

/* What the adapter read: x itself, or x after dropout (made again). */
static int adapter_input(struct context *ctx, struct tensor *x, double p, uint32_t channel,
                         struct rng_key key, uint32_t epoch, struct tensor *sample,
                         struct tensor *offset, struct tensor **out)
{
    if (p <= 0 || !sample) {
        *out = tensor_keep(x);
        return OK;
    }
    TRY(tensor_new_like(x, ctx->compute, out));
    int status =
        RUN(ctx, dropout, .y = (*out)->view, .x = x->view, .sample = sample->view,
            .offset = offset->view, .key = key, .epoch = epoch, .channel_base = channel, .p = p);
    if (status)
        tensor_clear(out);
    return status;
}

/* dx += dh A, through the dropout mask when there is one. */
static int adapter_input_grad(struct context *ctx, struct node *n, int i, struct tensor *dh)
{
    const struct linear_params *p = (const void *)n->params;
    struct tensor *slot;
    double beta;
    TRY(grad_slot(n->input[IN_X], &slot, &beta));
    if (!slot)
        return OK;
    int last = IN_ADAPTERS + 2 * p->adapters;
    struct tensor *sample = n->inputs > last ? n->input[last] : NULL;
    if (p->adapter[i].dropout <= 0 || !sample)
        return RUN(ctx, gemm, .dst = slot->view, .x = dh->view, .w = tensor_wview(input_a(n, i)),
                   .alpha = 1, .beta = beta);
    struct tensor *wide;
    TRY(tensor_new_like(slot, ctx->compute, &wide));
    int status = RUN(ctx, gemm, .dst = wide->view, .x = dh->view, .w = tensor_wview(input_a(n, i)),
                     .alpha = 1);
    if (!status)
        status = RUN(ctx, dropout, .y = wide->view, .x = wide->view, .sample = sample->view,
                     .offset = n->input[last + 1]->view, .key = p->key, .epoch = p->epoch,
                     .channel_base = p->adapter[i].channel, .p = p->adapter[i].dropout);
    if (!status)
        status = grad_add(n->input[IN_X], wide->view);
    tensor_release(wide);
    return status;
}

/* d(loss)/dA += dh^T x' where x' is what the adapter read. */
static int adapter_a_grad(struct context *ctx, struct node *n, int i, struct tensor *dh)
{
    const struct linear_params *p = (const void *)n->params;
    struct tensor *slot, *x = n->input[IN_X], *read;
    double beta;
    TRY(grad_slot(input_a(n, i), &slot, &beta));
    if (!slot)
        return OK;
    TRY(tensor_need(x));
    int last = IN_ADAPTERS + 2 * p->adapters;
    bool keyed = n->inputs > last;
    TRY(adapter_input(ctx, x, p->adapter[i].dropout, p->adapter[i].channel, p->key, p->epoch,
                      keyed ? n->input[last] : NULL, keyed ? n->input[last + 1] : NULL, &read));
    int status = RUN(ctx, gemm, .dst = slot->view, .x = dh->view, .w = tensor_wview(read),
                     .trans_x = true, .alpha = 1, .beta = beta);
    tensor_release(read);
    return status;
}

static int adapter_grad(struct context *ctx, struct node *n, int i)
{
    const struct linear_params *p = (const void *)n->params;
    struct tensor *dy = n->dy[0], *a = input_a(n, i), *b = input_b(n, i), *h = n->saved[i];
    double scale = p->adapter[i].scale, beta;
    struct tensor *slot, *dh;
    TRY(grad_slot(b, &slot, &beta));
    if (slot)
        TRY(RUN(ctx, gemm, .dst = slot->view, .x = dy->view, .w = tensor_wview(h), .trans_x = true,
                .alpha = scale, .beta = beta));
    TRY(tensor_new_2d(ctx, ctx->compute, dy->view.shape[0], a->view.shape[0], &dh));
    int status =
        RUN(ctx, gemm, .dst = dh->view, .x = dy->view, .w = tensor_wview(b), .alpha = scale);
    if (!status)
        status = adapter_a_grad(ctx, n, i, dh);
    if (!status)
        status = adapter_input_grad(ctx, n, i, dh);
    tensor_release(dh);
    return status;
}

static int linear_backward(struct context *ctx, struct node *n)
{
    const struct linear_params *p = (const void *)n->params;
    struct tensor *dy = n->dy[0], *slot;
    double beta;
    TRY(grad_slot(n->input[IN_X], &slot, &beta));
    if (slot)
        TRY(RUN(ctx, gemm, .dst = slot->view, .x = dy->view, .w = tensor_wview(n->input[IN_WEIGHT]),
                .alpha = 1, .beta = beta));
    TRY(grad_slot(n->input[IN_WEIGHT], &slot, &beta));
    if (slot) {
        TRY(tensor_need(n->input[IN_X]));
        TRY(RUN(ctx, gemm, .dst = slot->view, .x = dy->view, .w = tensor_wview(n->input[IN_X]),
                .trans_x = true, .alpha = 1, .beta = beta));
    }
    TRY(grad_slot(n->input[IN_BIAS], &slot, &beta));
    if (slot) {
        struct view row = view_2d(slot->view.data, slot->view.dtype, 1, slot->view.shape[0]);
        TRY(RUN(ctx, reduce, .y = row, .x = dy->view, .kind = REDUCE_SUM, .alpha = 1,
                .accumulate = beta != 0));
    }
    for (int i = 0; i < p->adapters; i++)
        TRY(adapter_grad(ctx, n, i));
    return OK;
}

static const struct node_class linear_class = {"linear", linear_backward, NULL};

/* y += scale * (x' A^T) B^T; *h is kept for backward. */
static int add_adapter(struct context *ctx, struct tensor *x, const struct adapter_term *t,
                       const struct dropout_source *source, struct tensor *y, struct tensor **h)
{
    struct tensor *read;
    double p = source ? t->dropout : 0;
    TRY(adapter_input(ctx, x, p, t->channel, source ? source->key : (struct rng_key){{0, 0}},
                      source ? source->epoch : 0, source ? source->sample : NULL,
                      source ? source->offset : NULL, &read));
    int status = tensor_new_2d(ctx, ctx->compute, x->view.shape[0], t->a->view.shape[0], h);
    if (!status)
        status = RUN(ctx, gemm, .dst = (*h)->view, .x = read->view, .w = tensor_wview(t->a),
                     .trans_w = true, .alpha = 1);
    if (!status)
        status = RUN(ctx, gemm, .dst = y->view, .x = (*h)->view, .w = tensor_wview(t->b),
                     .trans_w = true, .alpha = t->scale, .beta = 1);
    tensor_release(read);
    return status;
}

static int base_product(struct context *ctx, struct tensor *x, const struct linear *l,
                        struct tensor **y)
{
    struct tensor *weight = linear_weight(l), *bias = linear_bias(l);
    TRY(tensor_new_2d(ctx, ctx->compute, x->view.shape[0], weight->view.shape[0], y));
    int status = RUN(ctx, gemm, .dst = (*y)->view, .x = x->view, .w = tensor_wview(weight),
                     .trans_w = true, .alpha = 1, .epilogue = bias ? EPILOGUE_BIAS : EPILOGUE_NONE,
                     .bias = bias ? bias->view : (struct view){0});
    if (status)
        tensor_clear(y);
    return status;
}

int op_linear(struct tensor *x, const struct linear *l, const struct dropout_source *source,
              struct tensor **y)
{
    struct context *ctx = x->ctx;
    struct linear_params p = {.bias = l->bias != NULL};
    struct tensor *inputs[NODE_INPUTS] = {x, linear_weight(l), linear_bias(l)};
    struct tensor *h[LINEAR_ADAPTERS] = {0};
    int count = IN_ADAPTERS, status = OK;
    bool dropout = false;
    TRY(tensor_need(x));
    TRY(base_product(ctx, x, l, y));
    for (int i = 0; i < l->adapters && !status; i++) {
        const struct adapter_term *t = l->adapter[i];
        if (!t->active)
            continue;
        status = add_adapter(ctx, x, t, source, *y, &h[p.adapters]);
        p.adapter[p.adapters].scale = t->scale;
        p.adapter[p.adapters].dropout = source ? t->dropout : 0;
        p.adapter[p.adapters].channel = t->channel;
        dropout = dropout || p.adapter[p.adapters].dropout > 0;
        p.adapters++;
        inputs[count++] = t->a;
        inputs[count++] = t->b;
    }
    if (dropout) {
        inputs[count++] = source->sample;
        inputs[count++] = source->offset;
        p.key = source->key;
        p.epoch = source->epoch;
    }
    struct node *n = NULL;
    if (!status)
        status = node_record(ctx, &linear_class, inputs, count, &p, sizeof p, *y, &n);
    for (int i = 0; i < p.adapters; i++) {
        if (n)
            node_save(n, h[i]);
        tensor_release(h[i]);
    }
    if (status)
        tensor_clear(y);
    return status;
}

/* --- matmul of two tensors ------------------------------------------------------------------- */

static int matmul_backward(struct context *ctx, struct node *n)
{
    struct tensor *dy = n->dy[0], *a = n->input[0], *b = n->input[1], *slot;
    double beta;
    TRY(grad_slot(a, &slot, &beta)); /* da = dy b^T */
    if (slot)
        TRY(RUN(ctx, gemm, .dst = slot->view, .x = dy->view, .w = tensor_wview(b), .trans_w = true,
                .alpha = 1, .beta = beta));
    TRY(grad_slot(b, &slot, &beta)); /* db = a^T dy */
    if (slot)
        TRY(RUN(ctx, gemm, .dst = slot->view, .x = a->view, .w = tensor_wview(dy), .trans_x = true,
                .alpha = 1, .beta = beta));
    return OK;
}

static const struct node_class matmul_class = {"matmul", matmul_backward, NULL};

/* A row-major operand: itself, or a contiguous copy that stays in the graph. */
static int row_major(struct tensor *t, struct tensor **out)
{
    if (t->view.dtype == DT_BLOCK || t->view.stride[1] == 1) {
        *out = tensor_keep(t);
        return OK;
    }
    return op_contiguous(t, out);
}

int op_matmul(struct tensor *a, struct tensor *b, struct tensor **out)
{
    char sa[64], sb[64];
    if (a->view.ndim != 2 || b->view.ndim != 2 || a->view.shape[1] != b->view.shape[0])
        return fail(ERR_ARG,
                    "matmul: shapes %s and %s do not fit; wanted [M,K] and [K,N]; hint: "
                    "transpose one with :t()",
                    tensor_shape_text(a, sa, sizeof sa), tensor_shape_text(b, sb, sizeof sb));
    struct context *ctx = a->ctx;
    struct tensor *x = NULL, *w = NULL, *y = NULL;
    struct node *n;
    int status = row_major(a, &x);
    if (!status)
        status = row_major(b, &w);
    if (!status)
        status = tensor_new_2d(ctx, ctx->compute, a->view.shape[0], b->view.shape[1], &y);
    if (!status)
        status = RUN(ctx, gemm, .dst = y->view, .x = x->view, .w = tensor_wview(w), .alpha = 1);
    if (!status)
        status = node_record(ctx, &matmul_class, (struct tensor *[]){x, w}, 2, NULL, 0, y, &n);
    tensor_release(x);
    tensor_release(w);
    if (status)
        tensor_release(y);
    else
        *out = y;
    return status;
}
