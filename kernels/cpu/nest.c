/* nest.c -- walking several views of one shape in step, in parallel. */
#include "kernels/cpu/nest.h"
#include "kernels/base/size.h"

#include <assert.h>

#define RUN_BUFFER 512

/* May dimension d of the views be merged with d+1, which is 'inner' of the nest? */
static bool mergeable(const struct nest *n, const struct view *v, int d, int inner)
{
    for (int k = 0; k < n->views; k++)
        if (v[k].stride[d] != n->stride[k][inner] * n->shape[inner])
            return false;
    return true;
}

/* Dimensions are gathered from the innermost outwards and then turned round. */
void CPU(nest_make)(struct nest *n, const struct view *v, int views)
{
    assert(views >= 1 && views <= NEST_VIEWS);
    *n = (struct nest){.count = view_count(v[0]), .views = views};
    for (int k = 0; k < views; k++)
        n->data[k] = v[k].data;
    for (int d = v[0].ndim - 1; d >= 0; d--) {
        if (v[0].shape[d] == 1)
            continue;
        if (n->ndim > 0 && mergeable(n, v, d, n->ndim - 1)) {
            n->shape[n->ndim - 1] *= v[0].shape[d];
            continue;
        }
        n->shape[n->ndim] = v[0].shape[d];
        for (int k = 0; k < views; k++)
            n->stride[k][n->ndim] = v[k].stride[d];
        n->ndim++;
    }
    if (n->ndim == 0) { /* a single element */
        n->shape[n->ndim++] = 1;
        for (int k = 0; k < views; k++)
            n->stride[k][0] = 1;
    }
    for (int a = 0, b = n->ndim - 1; a < b; a++, b--) {
        int64_t t = n->shape[a];
        n->shape[a] = n->shape[b], n->shape[b] = t;
        for (int k = 0; k < views; k++) {
            t = n->stride[k][a];
            n->stride[k][a] = n->stride[k][b], n->stride[k][b] = t;
        }
    }
}

int64_t CPU(nest_seek)(const struct nest *n, int64_t index, int64_t offset[NEST_VIEWS])
{
    int last = n->ndim - 1;
    int64_t left = n->shape[last] - index % n->shape[last];
    for (int k = 0; k < n->views; k++)
        offset[k] = 0;
    for (int d = last; d >= 0; d--) {
        int64_t at = index % n->shape[d];
        index /= n->shape[d];
        for (int k = 0; k < n->views; k++)
            offset[k] += at * n->stride[k][d];
    }
    return left;
}

struct map {
    const struct nest *n;
    int outputs;
    nest_run *run;
    const void *ctx;
};

/* 'count' elements from 'offset' on, all within the innermost dimension. */
static void map_run(const struct map *m, const int64_t offset[NEST_VIEWS], int64_t count)
{
    const struct nest *n = m->n;
    float buffer[NEST_VIEWS][RUN_BUFFER], *p[NEST_VIEWS];
    int64_t stride[NEST_VIEWS];
    bool direct = true;
    for (int k = 0; k < n->views; k++) {
        stride[k] = count == 1 ? 1 : n->stride[k][n->ndim - 1];
        direct = direct && stride[k] == 1;
    }
    int64_t step = direct ? count : RUN_BUFFER;
    for (int64_t at = 0; at < count; at += step) {
        int64_t len = i64_min(step, count - at);
        for (int k = 0; k < n->views; k++) {
            const float *from = (float *)n->data[k] + offset[k] + at * stride[k];
            p[k] = stride[k] == 1 ? (float *)n->data[k] + offset[k] + at : buffer[k];
            if (stride[k] != 1 && k >= m->outputs)
                for (int64_t i = 0; i < len; i++)
                    buffer[k][i] = from[i * stride[k]];
        }
        m->run(m->ctx, p, len);
        for (int k = 0; k < m->outputs; k++) {
            float *to = (float *)n->data[k] + offset[k] + at * stride[k];
            if (stride[k] != 1)
                for (int64_t i = 0; i < len; i++)
                    to[i * stride[k]] = buffer[k][i];
        }
    }
}

static void map_tile(void *ctx, int64_t tile, int worker)
{
    (void)worker;
    const struct map *m = ctx;
    int64_t at = tile * NEST_TILE, end = i64_min(at + NEST_TILE, m->n->count);
    while (at < end) {
        int64_t offset[NEST_VIEWS];
        int64_t len = i64_min(CPU(nest_seek)(m->n, at, offset), end - at);
        map_run(m, offset, len);
        at += len;
    }
}

void CPU(nest_map)(struct pool *pool, const struct nest *n, int outputs, nest_run *run,
                   const void *ctx)
{
    struct map m = {n, outputs, run, ctx};
    pool_run(pool, (n->count + NEST_TILE - 1) / NEST_TILE, map_tile, &m);
}
