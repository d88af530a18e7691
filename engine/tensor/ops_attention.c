/* ops_attention.c -- attention over packed sequences, with its gradient. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"

struct attention_params {
    int64_t heads, kv_heads, head_dim, max_q, max_k, window;
    double scale, softcap;
};

/* inputs: q, k, v, q_start, k_start; saved: out and lse (plain views) */
static struct view heads_of(const struct tensor *t, int64_t heads, int64_t head_dim)
{
    struct view v = view_3d(t->view.data, t->view.dtype, t->view.shape[0], heads, head_dim);
    v.stride[0] = t->view.stride[0];
    return v;
}

/* Fresh contiguous gradients for q, k, v: written whole by the kernel. */
static int new_grads(struct node *n, struct tensor *d[3])
{
    for (int i = 0; i < 3; i++)
        TRY(tensor_new_2d(n->ctx, n->ctx->compute, n->input[i]->view.shape[0],
                          n->input[i]->view.shape[1], &d[i]));
    return OK;
}

static int attention_backward(struct context *ctx, struct node *n)
{
    const struct attention_params *p = (const void *)n->params;
    struct tensor *d[3] = {0}, **in = n->input;
    int status = new_grads(n, d);
    if (!status)
        status = RUN(ctx, attention_grad, .dq = heads_of(d[0], p->heads, p->head_dim),
                     .dk = heads_of(d[1], p->kv_heads, p->head_dim),
                     .dv = heads_of(d[2], p->kv_heads, p->head_dim),
                     .dout = heads_of(n->dy[0], p->heads, p->head_dim),
                     .out = heads_of(n->saved[0], p->heads, p->head_dim), .lse = n->saved[1]->view,
                     .q = heads_of(in[0], p->heads, p->head_dim),
                     .k = heads_of(in[1], p->kv_heads, p->head_dim),
                     .v = heads_of(in[2], p->kv_heads, p->head_dim), .q_start = in[3]->view,
                     .k_start = in[4]->view, .max_q = p->max_q, .max_k = p->max_k,
                     .window = p->window, .scale = p->scale, .softcap = p->softcap, .causal = true);
    for (int i = 0; i < 3; i++) {
        if (!status)
            status = grad_give(in[i], d[i]);
        tensor_release(d[i]);
    }
    return status;
}

static const struct node_class attention_class = {"attention", attention_backward, NULL};

static int record(struct context *ctx, struct tensor *q, struct tensor *k, struct tensor *v,
                  const struct attention *a, struct tensor *out, struct tensor *lse)
{
    struct attention_params p = {a->heads, a->kv_heads, a->head_dim, a->max_q,
                                 a->max_k, a->window,   a->scale,    a->softcap};
    struct tensor *inputs[] = {q, k, v, a->q_start, a->k_start};
    struct node *n;
    TRY(node_record(ctx, &attention_class, inputs, 5, &p, sizeof p, out, &n));
    if (!n)
        return OK;
    if (a->k_len)
        return fail(ERR_INTERNAL, "attention over a cache has no gradient");
    struct tensor *plain; /* without its node: a node must not hold its own output */
    TRY(tensor_view(out, out->view, &plain));
    node_save(n, plain);
    tensor_release(plain);
    node_save(n, lse);
    return OK;
}

int op_attention(struct tensor *q, struct tensor *k, struct tensor *v, const struct attention *a,
                 struct tensor **out)
{
    struct context *ctx = q->ctx;
    struct tensor *y = NULL, *lse = NULL;
    bool wanted =
        ctx->grad && (tensor_needs_grad(q) || tensor_needs_grad(k) || tensor_needs_grad(v));
    int status = tensor_new_2d(ctx, ctx->compute, q->view.shape[0], q->view.shape[1], &y);
    if (!status && wanted)
        status = tensor_new_2d(ctx, ctx->compute, a->heads, q->view.shape[0], &lse);
    if (!status)
        status =
            RUN(ctx, attention, .out = heads_of(y, a->heads, a->head_dim),
                .lse = lse ? lse->view : (struct view){0}, .q = heads_of(q, a->heads, a->head_dim),
                .k = heads_of(k, a->kv_heads, a->head_dim),
                .v = heads_of(v, a->kv_heads, a->head_dim), .q_start = a->q_start->view,
                .k_start = a->k_start->view, .k_len = a->k_len ? a->k_len->view : (struct view){0},
                .max_q = a->max_q, .max_k = a->max_k, .window = a->window, .scale = a->scale,
                .softcap = a->softcap, .causal = true);
    if (!status)
        status = record(ctx, q, k, v, a, y, lse);
    tensor_release(lse);
    if (status)
        tensor_release(y);
    else
        *out = y;
    return status;
}
