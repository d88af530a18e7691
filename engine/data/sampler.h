/* sampler.h -- which examples a step trains: a pure function of (seed, epoch, position). */
#ifndef ENGINE_DATA_SAMPLER_H
#define ENGINE_DATA_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

struct order {
    uint64_t seed;
    int64_t count;   /* examples */
    bool sequential; /* in the data's order */
};

/* Example number 'position' (in [0, count)) of epoch 'epoch'. Every epoch visits each once. */
int64_t order_example(const struct order *o, int64_t epoch, int64_t position);

#endif
