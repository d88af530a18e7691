/* sampler.c -- keyed shuffling without stored state. */
#include "engine/data/sampler.h"
#include "kernels/base/rng.h"

int64_t order_example(const struct order *o, int64_t epoch, int64_t position)
{
    if (o->sequential)
        return position;
    struct rng_key key = rng_key(o->seed + 0x9E3779B97F4A7C15u * (uint64_t)epoch, RNG_SHUFFLE);
    return rng_permute(key, position, o->count);
}
