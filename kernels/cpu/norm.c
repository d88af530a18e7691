/* norm.c -- RMSNorm with the residual add before it, and its gradient.
 *
 * Items are blocks of rows. Means are taken in double; the gradient of the weight is summed in f32
 * within a block (at most a few dozen rows) and over the blocks in double, in order. */
#include "kernels/base/size.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/sum.h"

#include <math.h>

#define TILE 16384     /* elements per item */
#define MAX_BLOCKS 128 /* of partial weight gradients */

static float *row_of(const struct view *v, int64_t t)
{
    return (float *)v->data + t * v->stride[0];
}

static int64_t rows_per_item(int64_t width)
{
    return i64_max(1, TILE / width);
}

/* The vectors of a row, the last one in part: body sees i and 'len' lanes. */
#define EACH_VECTOR(i, len, n) \
    for (int64_t i = 0, len; len = i64_min(VF_LANES, (n)-i), i < (n); i += VF_LANES)

static inline vf load_len(const float *p, int64_t len)
{
    return len == VF_LANES ? vf_load(p) : vf_load_part(p, len);
}

static inline void store_len(float *p, vf v, int64_t len)
{
    if (len == VF_LANES)
        vf_store(p, v);
    else
        vf_store_part(p, v, len);
}

SUM_LOOP(sum_of_squares, x *x)

/* --- forward -------------------------------------------------------------------------------- */

static void norm_row(const struct rms_norm_args *a, int64_t t)
{
    int64_t width = a->x.shape[1];
    const float *s = row_of(&a->x, t), *w = a->w.data;
    float *y = row_of(&a->y, t);
    if (a->sum.data) {
        const float *x = s, *res = a->res.data ? row_of(&a->res, t) : NULL;
        float *sum = row_of(&a->sum, t);
        EACH_VECTOR(i, len, width)
        store_len(sum + i,
                  res ? load_len(x + i, len) + load_len(res + i, len) : load_len(x + i, len), len);
        s = sum;
    }
    double mean = sum_of_squares(s, width) / (double)width;
    float rstd = (float)(1 / sqrt(mean + a->eps));
    int64_t w_stride = a->w.stride[0];
    if (w_stride == 1)
        EACH_VECTOR(i, len, width)
    store_len(y + i, load_len(s + i, len) * rstd * load_len(w + i, len), len);
    else for (int64_t i = 0; i < width; i++) y[i] = s[i] * rstd * w[i * w_stride];
    if (a->rstd.data)
        ((float *)a->rstd.data)[t * a->rstd.stride[0]] = rstd;
}

static void norm_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct rms_norm_args *a = ctx;
    int64_t step = rows_per_item(a->x.shape[1]);
    for (int64_t t = item * step; t < i64_min((item + 1) * step, a->x.shape[0]); t++)
        norm_row(a, t);
}

void CPU(rms_norm)(struct device *d, const struct rms_norm_args *a)
{
    int64_t step = rows_per_item(a->x.shape[1]);
    pool_run(d->pool, (a->x.shape[0] + step - 1) / step, norm_item, (void *)a);
}

/* --- gradient ------------------------------------------------------------------------------- */

struct grad {
    const struct rms_norm_grad_args *a;
    int64_t width, rows, step, blocks;
    float *partial; /* [blocks][width] of dw, when it is asked for */
};

static struct grad grad_of(const struct rms_norm_grad_args *a)
{
    struct grad g = {.a = a, .rows = a->dx.shape[0], .width = a->dx.shape[1]};
    g.step = i64_max(rows_per_item(g.width), (g.rows + MAX_BLOCKS - 1) / MAX_BLOCKS);
    g.blocks = (g.rows + g.step - 1) / g.step;
    g.partial = a->work.data;
    return g;
}

size_t CPU(rms_norm_grad_workspace)(struct device *d, const struct rms_norm_grad_args *a)
{
    (void)d;
    struct grad g = grad_of(a);
    return a->dw.data ? (size_t)(g.blocks * g.width) * sizeof(float) : 0;
}

static inline vf weight_at(const struct view *w, int64_t i, int64_t len)
{
    const float *p = w->data;
    if (w->stride[0] == 1)
        return load_len(p + i, len);
    vf v = {0};
    for (int64_t k = 0; k < len; k++)
        v[k] = p[(i + k) * w->stride[0]];
    return v;
}

/* c = mean(dy w n), then dx = rstd (dy w - n c) + dres; dw += dy n */
static void grad_row(const struct grad *g, int64_t t, float *dw)
{
    const struct rms_norm_grad_args *a = g->a;
    const float *dy = row_of(&a->dy, t), *s = row_of(&a->s, t);
    const float *dres = a->dres.data ? row_of(&a->dres, t) : NULL;
    float *dx = row_of(&a->dx, t), rstd = ((const float *)a->rstd.data)[t * a->rstd.stride[0]];
    vd dot[2] = {{0}};
    int k = 0;
    EACH_VECTOR(i, len, g->width)
    {
        vf d = load_len(dy + i, len), n = load_len(s + i, len) * rstd;
        dot[k ^= 1] += vd_fold(d * weight_at(&a->w, i, len) * n);
        if (dw)
            store_len(dw + i, load_len(dw + i, len) + d * n, len);
    }
    float c = (float)(vd_sum(dot[0] + dot[1]) / (double)g->width);
    EACH_VECTOR(i, len, g->width)
    {
        vf d = load_len(dy + i, len), n = load_len(s + i, len) * rstd;
        vf r = rstd * (d * weight_at(&a->w, i, len) - n * c);
        store_len(dx + i, dres ? r + load_len(dres + i, len) : r, len);
    }
}

static void grad_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct grad *g = ctx;
    float *dw = g->a->dw.data ? g->partial + item * g->width : NULL;
    if (dw)
        memset(dw, 0, (size_t)g->width * sizeof(float));
    for (int64_t t = item * g->step; t < i64_min((item + 1) * g->step, g->rows); t++)
        grad_row(g, t, dw);
}

static void add_partials(const struct grad *g)
{
    float *dw = g->a->dw.data;
    for (int64_t j = 0; j < g->width; j++) {
        double sum = 0;
        for (int64_t b = 0; b < g->blocks; b++)
            sum += (double)g->partial[b * g->width + j];
        dw[j * g->a->dw.stride[0]] += (float)sum;
    }
}

void CPU(rms_norm_grad)(struct device *d, const struct rms_norm_grad_args *a)
{
    struct grad g = grad_of(a);
    pool_run(d->pool, g.blocks, grad_item, &g);
    if (a->dw.data)
        add_partials(&g);
}
