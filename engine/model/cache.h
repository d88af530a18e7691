/* cache.h -- keys and values of the tokens a sequence has seen, per layer. */
#ifndef ENGINE_MODEL_CACHE_H
#define ENGINE_MODEL_CACHE_H

#include "engine/tensor/tensor.h"

struct cache {
    struct context *ctx;
    int64_t layers, capacity, width; /* width = kv_heads * head_dim */
    int64_t length;                  /* tokens in use */
    int64_t expected;               /* tokens known to come, of a prompt read in pieces; 0 = none */
    struct tensor **keys, **values; /* [layers] of [capacity, width] */
    struct tensor *start;           /* I32 [2]: 0, capacity */
    struct tensor *used;            /* I32 [1]: length after the batch at hand */
};

int cache_new(struct context *ctx, int64_t layers, int64_t capacity, int64_t width,
              struct cache **out) MUST_CHECK;
void cache_free(struct cache *c); /* NULL is fine */

/* Before a forward pass over 'tokens' more tokens: checks the room and tells the device. */
int cache_begin(struct cache *c, int64_t tokens) MUST_CHECK;

/* Stores this pass's keys and values [tokens, width] of one layer. */
int cache_store(struct cache *c, int64_t layer, struct tensor *k, struct tensor *v) MUST_CHECK;

/* After the pass. */
void cache_end(struct cache *c, int64_t tokens);

#endif
