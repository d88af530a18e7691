/* ops_rope.c -- rotary position embedding in place; its gradient is the inverse rotation. */
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"

struct rope_params {
    int64_t heads;
    double scale;
    bool interleaved;
};

/* x [T, heads*D] seen as [T, heads, D] */
static struct view as_heads(const struct tensor *x, int64_t heads)
{
    struct view v =
        view_3d(x->view.data, x->view.dtype, x->view.shape[0], heads, x->view.shape[1] / heads);
    v.stride[0] = x->view.stride[0];
    return v;
}

static int rotate(struct context *ctx, struct tensor *x, const struct rope_params *p,
                  struct tensor *positions, struct tensor *inv_freq, bool inverse)
{
    struct view v = as_heads(x, p->heads);
    return RUN(ctx, rope, .y = v, .x = v, .pos = positions->view, .inv_freq = inv_freq->view,
               .scale = p->scale, .interleaved = p->interleaved, .inverse = inverse);
}

static int rope_backward(struct context *ctx, struct node *n)
{
    struct tensor *g = tensor_keep(n->dy[0]);
    tensor_clear(&n->dy[0]); /* ours alone now: rotate it where it is */
    int status = rotate(ctx, g, (const void *)n->params, n->input[1], n->input[2], true);
    if (!status)
        status = grad_give(n->input[0], g);
    tensor_release(g);
    return status;
}

static const struct node_class rope_class = {"rope", rope_backward, NULL};

int op_rope_inplace(struct tensor *x, int64_t heads, struct tensor *positions,
                    const struct rope *rope, struct tensor **y)
{
    struct rope_params p = {heads, rope->scale, rope->interleaved};
    struct tensor *inputs[] = {x, positions, rope->inv_freq};
    struct node *n;
    TRY(tensor_view(x, x->view, y));
    int status = rotate(x->ctx, *y, &p, positions, rope->inv_freq, false);
    if (!status)
        status = node_record(x->ctx, &rope_class, inputs, 3, &p, sizeof p, *y, &n);
    if (status)
        tensor_clear(y);
    return status;
}
