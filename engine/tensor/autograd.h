/* autograd.h -- gradients by nodes.
 *
 * A tensor made while the context's grad switch is on, from inputs of which one needs a gradient,
 * owns a counted node: inputs, what backward reads, and the backward function. tensor_backward
 * walks nodes from the newest to the oldest and releases each as soon as it is done. Leaves
 * (requires_grad set by hand) collect their gradient in tensor->grad, added to what is there. */
#ifndef ENGINE_TENSOR_AUTOGRAD_H
#define ENGINE_TENSOR_AUTOGRAD_H

#include "engine/tensor/tensor.h"

#define NODE_INPUTS 14 /* a linear layer: x, weight, bias, four pairs, two of dropout */
#define NODE_SAVED 12
#define NODE_OUTPUTS 2
#define NODE_PARAMS 256

struct node;

/* What an operation's backward looks like. */
struct node_class {
    const char *name;
    /* Reads node->dy[...] (NULL: that output got no gradient), adds to the inputs' gradients through
     * grad_slot. */
    int (*backward)(struct context *ctx, struct node *n);
    /* Writes the output again after tensor_drop; NULL if it cannot be dropped. */
    int (*remake)(struct context *ctx, struct node *n, struct tensor *out);
};

struct node {
    int refs;
    uint64_t sequence;
    const struct node_class *class;
    struct context *ctx;
    int inputs, saved_count;
    struct tensor *input[NODE_INPUTS]; /* kept; only those that may need a gradient or be read */
    struct tensor *saved[NODE_SAVED];  /* kept */
    struct tensor *dy[NODE_OUTPUTS];   /* gradient that has arrived, owned */
    bool queued, done;
    _Alignas(16) unsigned char params[NODE_PARAMS]; /* the operation's own constants */
};

/* Does this tensor take part in gradients? */
bool tensor_needs_grad(const struct tensor *t);

/* Attaches a node to 'out' when the grad switch is on and any of the inputs needs a gradient;
 * else *node is NULL and nothing is recorded. The inputs are kept. 'params' of 'bytes' are copied. */
int node_record(struct context *ctx, const struct node_class *class, struct tensor *const *inputs,
                int count, const void *params, size_t bytes, struct tensor *out,
                struct node **node) MUST_CHECK;

/* A second output of the same node. */
void node_second_output(struct node *n, struct tensor *out);

/* Keeps 't' (NULL: an empty place) for backward. */
void node_save(struct node *n, struct tensor *t);

void node_release(struct node *n); /* NULL is fine; long chains are released by a loop */

/* Where the gradient of 't' goes: *slot is borrowed, its memory uninitialised when *beta is 0 (write
 * it), and to be added to when *beta is 1. *slot is NULL when t needs none. */
int grad_slot(struct tensor *t, struct tensor **slot, double *beta) MUST_CHECK;

/* Adds 'g' (any compatible view) to the gradient of t; does nothing when t needs none. */
int grad_add(struct tensor *t, struct view g) MUST_CHECK;

/* Gives the gradient 'g' (a whole tensor of t's shape that nobody else will read) to t without a
 * copy where possible. */
int grad_give(struct tensor *t, struct tensor *g) MUST_CHECK;

/* d(loss)/d(leaf) for every leaf below 'loss'. seed NULL: loss must be one element and gets 1.
 * The graph is consumed. Errors: ERR_ARG when loss needs no gradient or was walked before. */
int tensor_backward(struct tensor *loss, struct tensor *seed) MUST_CHECK;

/* Frees the storage of an output that its node can remake; kept references stay valid. */
void tensor_drop(struct tensor *t);

/* Makes sure that t has its values (remakes a dropped one). Backward functions call it on what
 * they read. */
int tensor_need(struct tensor *t) MUST_CHECK;

/* tensor.c's, for remaking. */
int tensor_attach_storage(struct tensor *t) MUST_CHECK;
void storage_release(struct storage *s);

#endif
