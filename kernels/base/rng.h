/* rng.h -- Philox 4x32-10, a counter-based random generator.
 *
 * Randomness is a pure function of (key, counter): no state, so results depend neither on threads,
 * batching, recomputation nor restarts. Source of the algorithm and its constants: Salmon, Moraes,
 * Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
#ifndef KERNELS_BASE_RNG_H
#define KERNELS_BASE_RNG_H

#include <stdint.h>

/* What a number is for; part of the key, so that two uses never share numbers. */
enum rng_stream {
    RNG_INIT = 1,    /* adapter initialisation: counter = (tensor, element) */
    RNG_SHUFFLE = 2, /* order of rows */
    RNG_DROPOUT = 3, /* counter = (epoch, sample, offset in the sample, channel) */
    RNG_SAMPLE = 4,  /* text generation: counter = (position) */
    RNG_USER = 5,    /* randn(), df:sample() and the like */
};

struct rng_key {
    uint32_t k[2];
};

static inline struct rng_key rng_key(uint64_t seed, enum rng_stream stream)
{
    uint64_t z = seed + 0x9E3779B97F4A7C15u * (uint64_t)stream;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (struct rng_key){{(uint32_t)z, (uint32_t)(z >> 32)}};
}

/* Four independent 32-bit numbers for counter 'c'. */
static inline void rng_philox(struct rng_key key, const uint32_t c[4], uint32_t out[4])
{
    uint32_t x0 = c[0], x1 = c[1], x2 = c[2], x3 = c[3], k0 = key.k[0], k1 = key.k[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0, y2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)p1;
        x3 = (uint32_t)p0;
        x0 = y0;
        x2 = y2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

/* Uniform in [0, 1) with 24 bits, exact in f32. */
static inline float rng_unit(uint32_t bits)
{
    return (float)(bits >> 8) * 0x1p-24f;
}

/* The 64-bit number 'index' of a stream. */
uint64_t rng_u64(struct rng_key key, uint64_t index);

/* Uniform in [0, 1) with 53 bits. */
double rng_uniform(struct rng_key key, uint64_t index);

/* Standard normal (Box-Muller over the pair of uniforms at 2*index, 2*index+1). */
double rng_normal(struct rng_key key, uint64_t index);

/* Place of item 'index' in a random permutation of 'count' items: a keyed bijection, found in O(1)
 * expected time, so any position of a shuffled data set can be reached at once. count >= 1. */
int64_t rng_permute(struct rng_key key, int64_t index, int64_t count);

#endif
