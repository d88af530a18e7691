/* reduce.c -- sums, maxima and minima over any dimensions of a view of any stride.
 *
 * The output is seen as a view of the input's shape whose stride is 0 where it reduces; merged
 * (nest.h), the dimensions fall into kept and reduced ones. Work is cut into blocks of outputs and,
 * where few outputs take long sums, into blocks of the reduction, whose partial results wait in the
 * workspace. Everything is accumulated in double. */
#include "kernels/base/size.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/nest.h"
#include "kernels/cpu/sum.h"

#define COLUMNS 128 /* outputs per block when the innermost dimension is kept */
#define BLOCK 32768 /* elements per item, about */
#define RUN 512     /* elements gathered at a time */

/* some dimensions of the input, outermost first */
struct dims {
    int count;
    int64_t shape[VIEW_DIMS], x_stride[VIEW_DIMS], y_stride[VIEW_DIMS], size;
};

struct plan {
    const struct reduce_args *a;
    struct dims kept, reduced;
    bool columns;       /* the innermost dimension is kept */
    int64_t per_block;  /* outputs per block; blocks of columns do not cross a row of outputs */
    int64_t row_blocks; /* columns: blocks per row of outputs */
    int64_t out_blocks, sum_blocks, sum_length;
    double *partial; /* [sum_blocks][outputs] */
};

static void dims_add(struct dims *d, int64_t shape, int64_t x_stride, int64_t y_stride)
{
    d->shape[d->count] = shape;
    d->x_stride[d->count] = x_stride;
    d->y_stride[d->count] = y_stride;
    d->size *= shape;
    d->count++;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static struct plan plan_of(const struct reduce_args *a)
{
    struct plan p = {.a = a, .kept.size = 1, .reduced.size = 1};
    struct view y = a->y;
    bool keeps = false;
    for (int d = 0; d < a->x.ndim; d++) {
        if (y.shape[d] != a->x.shape[d])
            y.stride[d] = 0;
        y.shape[d] = a->x.shape[d];
    }
    struct nest n;
    CPU(nest_make)(&n, (struct view[]){a->x, y}, 2);
    for (int d = 0; d < n.ndim; d++) {
        keeps = n.stride[1][d] != 0 || n.shape[d] == 1;
        dims_add(keeps ? &p.kept : &p.reduced, n.shape[d], n.stride[0][d], n.stride[1][d]);
    }
    p.columns = keeps;
    int64_t outputs = p.kept.size, length = p.reduced.size;
    if (p.columns) {
        int64_t row = p.kept.shape[p.kept.count - 1];
        p.per_block = i64_min(row, COLUMNS);
        p.row_blocks = ceil_div(row, p.per_block);
        p.out_blocks = row ? outputs / row * p.row_blocks : 0;
    } else {
        p.per_block = i64_max(1, BLOCK / i64_max(1, length));
        p.out_blocks = ceil_div(outputs, p.per_block);
    }
    p.sum_blocks = i64_max(1, length * p.per_block / (2 * BLOCK));
    p.sum_length = ceil_div(length, p.sum_blocks);
    p.sum_blocks = p.sum_length ? ceil_div(length, p.sum_length) : 1;
    p.partial = a->work.data;
    return p;
}

size_t CPU(reduce_workspace)(struct device *d, const struct reduce_args *a)
{
    (void)d;
    struct plan p = plan_of(a);
    return p.sum_blocks > 1 ? (size_t)(p.sum_blocks * p.kept.size) * sizeof(double) : 0;
}

/* Offset of element 'index' of these dimensions in x or y; *left: how many follow in the last. */
static int64_t dims_at(const struct dims *d, const int64_t *stride, int64_t index, int64_t *left)
{
    int64_t offset = 0;
    *left = 1;
    for (int k = d->count - 1; k >= 0; k--) {
        int64_t at = index % d->shape[k];
        if (k == d->count - 1)
            *left = d->shape[k] - at;
        index /= d->shape[k];
        offset += at * stride[k];
    }
    return offset;
}

static double pick(enum reduce_kind kind, double a, double b)
{
    if (kind == REDUCE_SUM)
        return a + b;
    if (b != b)
        return b;
    return (kind == REDUCE_MAX ? b > a : b < a) ? b : a; /* a NaN stays */
}

static double start(enum reduce_kind kind)
{
    return kind == REDUCE_SUM ? 0 : kind == REDUCE_MAX ? -__builtin_inf() : __builtin_inf();
}

SUM_LOOP(sum_run, x)

static double extreme_run(enum reduce_kind kind, const float *x, int64_t n)
{
    vf best = vf_set((float)start(kind));
    for (int64_t i = 0; i < n; i += VF_LANES) {
        int64_t len = i64_min(VF_LANES, n - i);
        vf v = len == VF_LANES ? vf_load(x + i) : best;
        if (len < VF_LANES)
            memcpy(&v, x + i, (size_t)len * sizeof(float));
        vi better = kind == REDUCE_MAX ? v > best : v < best;
        best = vf_select(better | (v != v), v, best);
    }
    double r = start(kind);
    for (int i = 0; i < VF_LANES; i++)
        r = pick(kind, r, best[i]);
    return r;
}

/* one output from reduced elements [from, to) */
static double reduce_row(const struct plan *p, const float *x, int64_t from, int64_t to)
{
    const struct dims *r = &p->reduced;
    double total = start(p->a->kind);
    float buffer[RUN];
    while (from < to) {
        int64_t left, offset = dims_at(r, r->x_stride, from, &left);
        int64_t stride = r->x_stride[r->count - 1], len = i64_min(left, to - from);
        const float *run = x + offset;
        if (stride != 1 && len > 1) {
            len = i64_min(len, RUN);
            CPU(gather)(buffer, run, stride, sizeof(float), len);
            run = buffer;
        }
        double part =
            p->a->kind == REDUCE_SUM ? sum_run(run, len) : extreme_run(p->a->kind, run, len);
        total = pick(p->a->kind, total, part);
        from += len;
    }
    return total;
}

/* n outputs that lie 'stride' apart in x, from reduced elements [from, to) */
static void reduce_columns(const struct plan *p, const float *x, int64_t stride, int64_t n,
                           int64_t from, int64_t to, double *out)
{
    enum reduce_kind kind = p->a->kind;
    for (int64_t j = 0; j < n; j++)
        out[j] = start(kind);
    for (int64_t i = from, left; i < to; i++) {
        const float *row = x + dims_at(&p->reduced, p->reduced.x_stride, i, &left);
        if (kind == REDUCE_SUM && stride == 1) {
            for (int64_t j = 0; j < n; j++)
                out[j] += (double)row[j];
        } else {
            for (int64_t j = 0; j < n; j++)
                out[j] = pick(kind, out[j], row[j * stride]);
        }
    }
}

static void finish(const struct plan *p, int64_t output, double value)
{
    int64_t left;
    float *y = (float *)p->a->y.data + dims_at(&p->kept, p->kept.y_stride, output, &left);
    if (p->a->kind == REDUCE_SUM)
        value = p->a->alpha * value + (p->a->accumulate ? (double)*y : 0);
    *y = (float)value;
}

static void reduce_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct plan *p = ctx;
    const float *x = p->a->x.data;
    int64_t block = item % p->out_blocks, part = item / p->out_blocks, first, n, left;
    int64_t from = part * p->sum_length, to = i64_min(from + p->sum_length, p->reduced.size);
    double columns[COLUMNS];
    if (p->columns) {
        int64_t row = p->kept.shape[p->kept.count - 1], in_row = block % p->row_blocks;
        first = block / p->row_blocks * row + in_row * p->per_block;
        n = i64_min(p->per_block, row - in_row * p->per_block);
        reduce_columns(p, x + dims_at(&p->kept, p->kept.x_stride, first, &left),
                       p->kept.x_stride[p->kept.count - 1], n, from, to, columns);
    } else {
        first = block * p->per_block;
        n = i64_min(p->per_block, p->kept.size - first);
    }
    for (int64_t j = 0; j < n; j++) {
        double value =
            p->columns ? columns[j]
                       : reduce_row(p, x + dims_at(&p->kept, p->kept.x_stride, first + j, &left),
                                    from, to);
        if (p->sum_blocks > 1)
            p->partial[part * p->kept.size + first + j] = value;
        else
            finish(p, first + j, value);
    }
}

static void combine_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct plan *p = ctx;
    int64_t end = i64_min((item + 1) * COLUMNS, p->kept.size);
    for (int64_t j = item * COLUMNS; j < end; j++) {
        double value = start(p->a->kind);
        for (int64_t b = 0; b < p->sum_blocks; b++)
            value = pick(p->a->kind, value, p->partial[b * p->kept.size + j]);
        finish(p, j, value);
    }
}

void CPU(reduce)(struct device *d, const struct reduce_args *a)
{
    struct plan p = plan_of(a);
    pool_run(d->pool, p.out_blocks * p.sum_blocks, reduce_item, &p);
    if (p.sum_blocks > 1)
        pool_run(d->pool, ceil_div(p.kept.size, COLUMNS), combine_item, &p);
}
