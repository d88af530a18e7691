/* optim.c -- sum of squares, clipping factor, and the optimiser steps in one pass over memory. */
#include "kernels/base/size.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/nest.h"
#include "kernels/cpu/sum.h"

#include <math.h>

#define TILE 16384 /* parameters per item */

static double number(const struct view *v, double otherwise)
{
    return v->data ? *(const double *)v->data : otherwise;
}

/* --- sum of squares ------------------------------------------------------------------------- */

struct squares {
    struct nest n;
    int64_t block, blocks;
    double *partial;
};

static struct squares squares_of(const struct sumsq_args *a)
{
    struct squares s = {.block = 2 * TILE, .partial = a->work.data};
    CPU(nest_make)(&s.n, &a->x, 1);
    s.blocks = (s.n.count + s.block - 1) / s.block;
    return s;
}

size_t CPU(sumsq_workspace)(struct device *d, const struct sumsq_args *a)
{
    (void)d;
    return (size_t)squares_of(a).blocks * sizeof(double);
}

SUM_LOOP(sum_of_squares, x *x)

static void squares_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct squares *s = ctx;
    int64_t at = item * s->block, end = i64_min(at + s->block, s->n.count);
    int64_t stride = s->n.stride[0][s->n.ndim - 1];
    double sum = 0;
    while (at < end) {
        int64_t offset[NEST_VIEWS];
        int64_t len = i64_min(CPU(nest_seek)(&s->n, at, offset), end - at);
        const float *x = (const float *)s->n.data[0] + offset[0];
        float buffer[512];
        if (stride != 1 && len > 1) {
            len = i64_min(len, COUNT_OF(buffer));
            CPU(gather)(buffer, x, stride, sizeof(float), len);
            x = buffer;
        }
        sum += sum_of_squares(x, len);
        at += len;
    }
    s->partial[item] = sum;
}

void CPU(sumsq)(struct device *d, const struct sumsq_args *a)
{
    struct squares s = squares_of(a);
    pool_run(d->pool, s.blocks, squares_item, &s);
    double sum = 0;
    for (int64_t b = 0; b < s.blocks; b++)
        sum += s.partial[b];
    *(double *)a->out.data += sum;
}

void CPU(clip)(struct device *d, const struct clip_args *a)
{
    (void)d;
    double norm = sqrt(number(&a->sumsq, 0)), factor = 1;
    if (a->max_norm > 0) {
        factor = a->max_norm / (norm + 1e-6);
        factor = factor < 1 ? factor : 1; /* of NaN: 1; it is not 'finite' anyway */
    }
    *(double *)a->norm.data = norm;
    *(double *)a->factor.data = factor;
    *(double *)a->finite.data = isfinite(norm) && isfinite(number(&a->loss, 0));
}

/* --- AdamW ---------------------------------------------------------------------------------- */

struct adamw {
    const struct adamw_args *a;
    float factor, decay, b1, b1_rest, b2, b2_rest, rate, root2, eps;
};

/* The loop of both: written so that the compiler makes vectors of it. */
static void adamw_run(const struct adamw *s, float *restrict p, const float *restrict g,
                      float *restrict m, float *restrict v, int64_t n)
{
    float factor = s->factor, decay = s->decay, b1 = s->b1, b1_rest = s->b1_rest, b2 = s->b2;
    float b2_rest = s->b2_rest, rate = s->rate, root2 = s->root2, eps = s->eps;
    for (int64_t i = 0; i < n; i++) {
        float gf = g[i] * factor;
        float mi = b1 * m[i] + b1_rest * gf;
        float vi2 = b2 * v[i] + b2_rest * (gf * gf);
        m[i] = mi;
        v[i] = vi2;
        p[i] = p[i] * decay - rate * (mi / (sqrtf(vi2) * root2 + eps));
    }
}

static void adamw_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct adamw *s = ctx;
    const struct adamw_args *a = s->a;
    int64_t at = item * TILE, end = i64_min(at + TILE, view_count(a->p));
    const float *g = a->g.data;
    float *m = a->m.data, *v = a->v.data;
    if (a->p.dtype == DT_F32) {
        adamw_run(s, (float *)a->p.data + at, g + at, m + at, v + at, end - at);
        return;
    }
    float wide[1024];
    for (int64_t len; at < end; at += len) {
        len = i64_min(end - at, COUNT_OF(wide));
        char *p = (char *)a->p.data + (size_t)at * dtype_bytes(a->p.dtype);
        CPU(convert)(wide, DT_F32, p, a->p.dtype, len);
        adamw_run(s, wide, g + at, m + at, v + at, len);
        CPU(convert)(p, a->p.dtype, wide, DT_F32, len);
    }
}

void CPU(adamw)(struct device *d, const struct adamw_args *a)
{
    if (number(&a->finite, 1) == 0)
        return;
    struct adamw s = {
        .a = a,
        .factor = (float)number(&a->factor, 1),
        .decay = (float)(1 - a->lr * a->weight_decay),
        .b1 = (float)a->beta1,
        .b1_rest = (float)(1 - a->beta1),
        .b2 = (float)a->beta2,
        .b2_rest = (float)(1 - a->beta2),
        .rate = (float)(a->lr / (1 - pow(a->beta1, (double)a->step))),
        .root2 = (float)(1 / sqrt(1 - pow(a->beta2, (double)a->step))),
        .eps = (float)a->eps,
    };
    pool_run(d->pool, (view_count(a->p) + TILE - 1) / TILE, adamw_item, &s);
}

/* --- SGD ------------------------------------------------------------------------------------ */

static void sgd_run(const struct sgd_args *a, float factor, float *restrict p,
                    const float *restrict g, float *restrict m, int64_t n)
{
    float decay = (float)a->weight_decay, rate = (float)a->lr, momentum = (float)a->momentum;
    for (int64_t i = 0; i < n; i++) {
        float step = g[i] * factor + decay * p[i];
        if (m) {
            step = momentum * m[i] + step;
            m[i] = step;
        }
        p[i] -= rate * step;
    }
}

static void sgd_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct sgd_args *a = ctx;
    float factor = (float)number(&a->factor, 1), wide[1024];
    int64_t at = item * TILE, end = i64_min(at + TILE, view_count(a->p));
    for (int64_t len; at < end; at += len) {
        len = i64_min(end - at, COUNT_OF(wide));
        const float *g = (const float *)a->g.data + at;
        float *m = a->momentum > 0 ? (float *)a->m.data + at : NULL;
        char *p = (char *)a->p.data + (size_t)at * dtype_bytes(a->p.dtype);
        if (a->p.dtype == DT_F32) {
            sgd_run(a, factor, (float *)p, g, m, len);
            continue;
        }
        CPU(convert)(wide, DT_F32, p, a->p.dtype, len);
        sgd_run(a, factor, wide, g, m, len);
        CPU(convert)(p, a->p.dtype, wide, DT_F32, len);
    }
}

void CPU(sgd)(struct device *d, const struct sgd_args *a)
{
    if (number(&a->finite, 1) != 0)
        pool_run(d->pool, (view_count(a->p) + TILE - 1) / TILE, sgd_item, (void *)a);
}
