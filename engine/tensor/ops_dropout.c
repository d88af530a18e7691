/* ops_dropout.c -- inverted dropout whose mask is a function of counters; nothing is stored. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"

struct dropout_params {
    struct rng_key key;
    uint32_t epoch, channel;
    double p;
};

static int apply(struct context *ctx, const struct dropout_params *p, struct tensor *sample,
                 struct tensor *offset, struct view y, struct view x)
{
    return RUN(ctx, dropout, .y = y, .x = x, .sample = sample->view, .offset = offset->view,
               .key = p->key, .epoch = p->epoch, .channel_base = p->channel, .p = p->p);
}

static int dropout_backward(struct context *ctx, struct node *n)
{
    struct tensor *g = tensor_keep(n->dy[0]);
    tensor_clear(&n->dy[0]);
    int status = apply(ctx, (const void *)n->params, n->input[1], n->input[2], g->view, g->view);
    if (!status)
        status = grad_give(n->input[0], g);
    tensor_release(g);
    return status;
}

static int dropout_remake(struct context *ctx, struct node *n, struct tensor *out)
{
    TRY(tensor_need(n->input[0]));
    return apply(ctx, (const void *)n->params, n->input[1], n->input[2], out->view,
                 n->input[0]->view);
}

static const struct node_class dropout_class = {"dropout", dropout_backward, dropout_remake};

int op_dropout(struct tensor *x, const struct dropout_source *source, double p, uint32_t channel,
               struct tensor **y)
{
    struct dropout_params params = {source->key, source->epoch, channel, p};
    struct tensor *inputs[] = {x, source->sample, source->offset};
    struct node *n;
    TRY(tensor_new_like(x, x->ctx->compute, y));
    int status = apply(x->ctx, &params, source->sample, source->offset, (*y)->view, x->view);
    if (!status)
        status = node_record(x->ctx, &dropout_class, inputs, 3, &params, sizeof params, *y, &n);
    if (status)
        tensor_clear(y);
    return status;
}
