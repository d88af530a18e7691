/* optimiser.h -- optimisers as a table: state per tensor, one step over all of them.
 *
 * A step is enqueued on the device and reads clip factor and "all finite" there, so a step with a
 * bad gradient changes nothing. */
#ifndef ENGINE_TRAIN_OPTIMISER_H
#define ENGINE_TRAIN_OPTIMISER_H

#include "engine/tensor/tensor.h"

#define OPTIMISER_STATES 2

/* One trained tensor. */
struct trained {
    char *name;                             /* owned */
    struct tensor *param;                   /* kept */
    struct tensor *state[OPTIMISER_STATES]; /* owned; f32 (f64 on ref) */
    bool decay;                             /* weight decay applies: not to biases and norms */
};

struct optimiser_step {
    double lr, beta1, beta2, epsilon, weight_decay;
    int64_t step;                   /* counts from 1 */
    struct tensor *factor, *finite; /* F64 one-element */
};

struct optimiser {
    const char *name;    /* canonical */
    const char *aliases; /* comma-separated names that mean the same here */
    int states;
    int (*apply)(struct trained *t, const struct optimiser_step *s);
    const char *doc;
};
extern const struct optimiser optimisers[]; /* ends with a NULL name */

/* ERR_ARG for an unknown name, with the names there are. */
int optimiser_find(const char *name, const struct optimiser **out) MUST_CHECK;

/* Zeroed state tensors for t. */
int optimiser_prepare(const struct optimiser *o, struct trained *t) MUST_CHECK;

#endif
