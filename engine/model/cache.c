/* cache.c -- room for keys and values, filled as tokens come. */
#include "engine/model/cache.h"
#include "kernels/base/mem.h"

#include <inttypes.h>

int cache_new(struct context *ctx, int64_t layers, int64_t capacity, int64_t width,
              struct cache **out)
{
    struct cache *c = mem_calloc(1, sizeof *c);
    if (!c)
        return ERR_MEMORY;
    *c = (struct cache){.ctx = ctx, .layers = layers, .capacity = capacity, .width = width};
    c->keys = mem_calloc((size_t)layers, sizeof *c->keys);
    c->values = mem_calloc((size_t)layers, sizeof *c->values);
    int32_t start[2] = {0, (int32_t)capacity};
    int64_t two = 2, one = 1;
    int status = c->keys && c->values ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < layers && !status; i++) {
        status = tensor_new_2d(ctx, ctx->compute, capacity, width, &c->keys[i]);
        if (!status)
            status = tensor_new_2d(ctx, ctx->compute, capacity, width, &c->values[i]);
    }
    if (!status)
        status = tensor_from(ctx, DT_I32, 1, &two, start, &c->start);
    if (!status)
        status = tensor_new(ctx, DT_I32, 1, &one, &c->used);
    if (status)
        cache_free(c);
    else
        *out = c;
    return status;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    for (int64_t i = 0; i < c->layers; i++) {
        if (c->keys)
            tensor_release(c->keys[i]);
        if (c->values)
            tensor_release(c->values[i]);
    }
    mem_free(c->keys);
    mem_free(c->values);
    tensor_release(c->start);
    tensor_release(c->used);
    mem_free(c);
}

int cache_begin(struct cache *c, int64_t tokens)
{
    if (c->length + tokens > c->capacity)
        return fail(ERR_ARG, "cache: %" PRId64 " tokens do not fit behind %" PRId64 " of %" PRId64,
                    tokens, c->length, c->capacity);
    return tensor_fill(c->used, (double)(c->length + tokens));
}

static int store(struct cache *c, struct tensor *to, struct tensor *from)
{
    struct view place = view_slice(to->view, 0, c->length, from->view.shape[0]);
    return RUN(c->ctx, copy, .dst = place, .src = from->view);
}

int cache_store(struct cache *c, int64_t layer, struct tensor *k, struct tensor *v)
{
    TRY(store(c, c->keys[layer], k));
    return store(c, c->values[layer], v);
}

void cache_end(struct cache *c, int64_t tokens)
{
    c->length += tokens;
}
