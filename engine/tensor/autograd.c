/* autograd.c -- recording nodes and walking them backwards. */
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <string.h>

bool tensor_needs_grad(const struct tensor *t)
{
    return t && (t->requires_grad || t->node);
}

int node_record(struct context *ctx, const struct node_class *class, struct tensor *const *inputs,
                int count, const void *params, size_t bytes, struct tensor *out, struct node **node)
{
    *node = NULL;
    bool wanted = false;
    for (int i = 0; i < count; i++)
        wanted = wanted || tensor_needs_grad(inputs[i]);
    if (!ctx->grad || !wanted)
        return OK;
    if (count > NODE_INPUTS || bytes > NODE_PARAMS)
        return fail(ERR_INTERNAL, "node %s: %d inputs, %zu bytes of constants", class->name, count,
                    bytes);
    struct node *n = mem_calloc(1, sizeof *n);
    if (!n)
        return ERR_MEMORY;
    n->refs = 1;
    n->sequence = ++ctx->sequence;
    n->class = class;
    n->ctx = context_keep(ctx);
    n->inputs = count;
    for (int i = 0; i < count; i++)
        n->input[i] = tensor_keep(inputs[i]);
    if (bytes)
        memcpy(n->params, params, bytes);
    out->node = n; /* the tensor owns this reference */
    *node = n;
    return OK;
}

void node_second_output(struct node *n, struct tensor *out)
{
    n->refs++;
    out->node = n;
    out->node_output = 1;
}

void node_save(struct node *n, struct tensor *t)
{
    n->saved[n->saved_count++] = tensor_keep(t);
}

/* Lets go of everything a node holds. A tensor whose last reference goes may own the node before
 * it, and so on: those nodes are pushed on a list instead of recursing. */
static _Thread_local struct node *dying;
static _Thread_local bool draining;

static void node_empty(struct node *n)
{
    for (int i = 0; i < n->inputs; i++)
        tensor_clear(&n->input[i]);
    for (int i = 0; i < n->saved_count; i++)
        tensor_clear(&n->saved[i]);
    n->inputs = n->saved_count = 0;
    for (int i = 0; i < NODE_OUTPUTS; i++)
        tensor_clear(&n->dy[i]);
}

void node_release(struct node *n)
{
    if (!n || --n->refs)
        return;
    /* linked through the params area, which nobody reads any more */
    memcpy(n->params, &dying, sizeof dying);
    dying = n;
    if (draining)
        return;
    draining = true;
    while (dying) {
        struct node *next = dying;
        memcpy(&dying, next->params, sizeof dying);
        node_empty(next);
        context_release(next->ctx);
        mem_free(next);
    }
    draining = false;
}

/* The owner of the pending gradient: a leaf keeps it itself, others in their node. */
static struct tensor **grad_place(struct tensor *t)
{
    return t->node ? &t->node->dy[t->node_output] : &t->grad;
}

int grad_slot(struct tensor *t, struct tensor **slot, double *beta)
{
    *slot = NULL;
    *beta = 0;
    if (!tensor_needs_grad(t))
        return OK;
    struct tensor **place = grad_place(t);
    if (*place) {
        *beta = 1;
    } else {
        bool grad = t->ctx->grad;
        t->ctx->grad = false;
        int status = tensor_new_like(t, t->ctx->compute, place);
        t->ctx->grad = grad;
        if (status)
            return status;
    }
    *slot = *place;
    return OK;
}

int grad_add(struct tensor *t, struct view g)
{
    struct tensor *slot;
    double beta;
    TRY(grad_slot(t, &slot, &beta));
    if (!slot)
        return OK;
    if (beta == 0)
        return RUN(t->ctx, copy, .dst = slot->view, .src = g);
    return RUN(t->ctx, binary, .z = slot->view, .a = slot->view, .b = g, .kind = BINARY_ADD);
}

int grad_give(struct tensor *t, struct tensor *g)
{
    if (!tensor_needs_grad(t))
        return OK;
    struct tensor **place = grad_place(t);
    if (!*place && g->refs == 1 && g->view.dtype == t->ctx->compute &&
        view_is_contiguous(g->view) && view_same_shape(g->view, t->view)) {
        *place = tensor_keep(g);
        return OK;
    }
    return grad_add(t, g->view);
}

void tensor_drop(struct tensor *t)
{
    if (!t || !t->node || !t->node->class->remake || !t->storage || t->ctx->keep_dropped)
        return;
    storage_release(t->storage);
    t->storage = NULL;
    t->view.data = NULL;
}

int tensor_need(struct tensor *t)
{
    if (t->storage)
        return OK;
    if (!t->node)
        return fail(ERR_INTERNAL, "a dropped tensor has no node to remake it");
    TRY(tensor_attach_storage(t));
    return t->node->class->remake(t->ctx, t->node, t);
}

/* --- the walk: a heap of nodes, newest on top ------------------------------------------------ */

struct heap {
    struct node **items;
    int64_t count, capacity;
};

static void heap_swap(struct heap *h, int64_t a, int64_t b)
{
    struct node *n = h->items[a];
    h->items[a] = h->items[b];
    h->items[b] = n;
}

static int walked_already(void)
{
    return fail(ERR_ARG, "backward: this graph was walked already; hint: compute the loss again");
}

static int heap_push(struct heap *h, struct node *n)
{
    if (n->done) /* a part that an earlier walk has consumed: its share would be lost */
        return walked_already();
    if (n->queued)
        return OK;
    TRY(mem_grow((void **)&h->items, &h->capacity, h->count + 1, sizeof *h->items));
    n->queued = true;
    n->refs++;
    int64_t i = h->count++;
    h->items[i] = n;
    for (; i && h->items[(i - 1) / 2]->sequence < h->items[i]->sequence; i = (i - 1) / 2)
        heap_swap(h, i, (i - 1) / 2);
    return OK;
}

static struct node *heap_pop(struct heap *h)
{
    struct node *top = h->items[0];
    h->items[0] = h->items[--h->count];
    for (int64_t i = 0;;) {
        int64_t big = i;
        for (int64_t c = 2 * i + 1; c <= 2 * i + 2 && c < h->count; c++)
            if (h->items[c]->sequence > h->items[big]->sequence)
                big = c;
        if (big == i)
            return top;
        heap_swap(h, i, big);
        i = big;
    }
}

/* Runs one node and queues the nodes of the inputs that received a gradient. */
static int step_node(struct heap *h, struct node *n)
{
    n->done = true;
    bool any = false;
    for (int i = 0; i < NODE_OUTPUTS; i++)
        any = any || n->dy[i];
    if (any)
        TRY(n->class->backward(n->ctx, n));
    for (int i = 0; i < n->inputs; i++)
        if (n->input[i] && n->input[i]->node)
            TRY(heap_push(h, n->input[i]->node));
    return OK;
}

int tensor_backward(struct tensor *loss, struct tensor *seed)
{
    if (!loss->node)
        return fail(ERR_ARG, "backward: the tensor depends on nothing that requires a gradient; "
                             "hint: set t.requires_grad = true before computing");
    if (loss->node->done)
        return walked_already();
    if (seed ? !view_same_shape(seed->view, loss->view) : tensor_count(loss) != 1) {
        char shape[64];
        return fail(ERR_ARG,
                    "backward: a loss of one element is wanted, found shape %s; hint: use "
                    "loss:sum() or give a gradient of the same shape",
                    tensor_shape_text(loss, shape, sizeof shape));
    }
    struct context *ctx = loss->ctx;
    bool grad = ctx->grad;
    ctx->grad = false;
    struct heap h = {0};
    struct tensor *slot;
    double beta;
    int status = grad_slot(loss, &slot, &beta);
    if (!status)
        status = seed ? RUN(ctx, copy, .dst = slot->view, .src = seed->view) : tensor_fill(slot, 1);
    if (!status)
        status = heap_push(&h, loss->node);
    while (!status && h.count) {
        struct node *n = heap_pop(&h);
        status = step_node(&h, n);
        node_empty(n);
        node_release(n);
    }
    while (h.count) { /* after a failure: the rest of the graph is given up */
        struct node *n = heap_pop(&h);
        n->done = true;
        node_empty(n);
        node_release(n);
    }
    mem_free(h.items);
    ctx->grad = grad;
    return status;
}
