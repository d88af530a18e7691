/* rng.c -- numbers and permutations from Philox. */
#include "kernels/base/rng.h"

#include <math.h>

uint64_t rng_u64(struct rng_key key, uint64_t index)
{
    uint32_t c[4] = {(uint32_t)index, (uint32_t)(index >> 32), 0, 0}, out[4];
    rng_philox(key, c, out);
    return out[0] | (uint64_t)out[1] << 32;
}

double rng_uniform(struct rng_key key, uint64_t index)
{
    return (double)(rng_u64(key, index) >> 11) * 0x1p-53;
}

double rng_normal(struct rng_key key, uint64_t index)
{
    double u = 1.0 - rng_uniform(key, 2 * index); /* (0, 1]: log is finite */
    double v = rng_uniform(key, 2 * index + 1);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* A Feistel network over the smallest even number of bits that covers 'count', walked until the
 * value falls inside (cycle walking): a bijection of [0, count). */
int64_t rng_permute(struct rng_key key, int64_t index, int64_t count)
{
    int half = 1;
    while (half < 31 && ((uint64_t)1 << (2 * half)) < (uint64_t)count)
        half++;
    uint32_t mask = (uint32_t)(((uint64_t)1 << half) - 1);
    uint64_t x = (uint64_t)index;
    do {
        uint32_t left = (uint32_t)(x >> half) & mask, right = (uint32_t)x & mask;
        for (uint32_t round = 0; round < 6; round++) {
            uint32_t c[4] = {right, round, (uint32_t)count, 1}, out[4];
            rng_philox(key, c, out);
            uint32_t next = left ^ (out[0] & mask);
            left = right;
            right = next;
        }
        x = (uint64_t)left << half | right;
    } while (x >= (uint64_t)count);
    return (int64_t)x;
}
