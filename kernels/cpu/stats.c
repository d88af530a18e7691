/* stats.c -- what a person wants to see of a tensor: counts, extent, moments, histogram.
 *
 * Two passes in double over blocks of elements: the first finds counts, extent and mean, the second
 * the deviation and the histogram, which need them. Each block has its own slot in the workspace;
 * slots are combined in order. */
#include "kernels/base/size.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/nest.h"

#include <math.h>

#define MAX_BLOCKS 64

enum { FINITE, NANS, INFS, MIN, MAX, MEAN, DEVIATION };
_Static_assert(DEVIATION + 1 == STATS_FIXED, "the order of kernels.h");

struct stats {
    const struct stats_args *a;
    struct nest n;
    int64_t block, blocks;
    double *slots; /* [blocks][STATS_FIXED + bins]; MEAN and DEVIATION hold sums here */
    double min, max, mean;
    bool second;
};

static struct stats stats_of(const struct stats_args *a)
{
    struct stats s = {.a = a, .slots = a->work.data};
    CPU(nest_make)(&s.n, &a->x, 1);
    s.block = i64_max(NEST_TILE, (s.n.count + MAX_BLOCKS - 1) / MAX_BLOCKS);
    s.blocks = (s.n.count + s.block - 1) / s.block;
    return s;
}

size_t CPU(stats_workspace)(struct device *d, const struct stats_args *a)
{
    (void)d;
    return (size_t)stats_of(a).blocks * (size_t)(STATS_FIXED + a->bins) * sizeof(double);
}

/* Counts, extent and sum in local variables: the slot would be written for every element. */
static void first_pass(double *slot, const double *x, int64_t n)
{
    double nans = 0, infs = 0, sum[4] = {0}, least = slot[MIN], most = slot[MAX];
    for (int64_t i = 0; i < n; i++) {
        double v = x[i];
        bool nan = v != v, inf = fabs(v) == INFINITY;
        nans += nan;
        infs += inf;
        sum[i & 3] += nan || inf ? 0 : v;
        least = v < least && !inf ? v : least;
        most = v > most && !inf ? v : most;
    }
    slot[FINITE] += (double)n - nans - infs;
    slot[NANS] += nans;
    slot[INFS] += infs;
    slot[MEAN] += (sum[0] + sum[1]) + (sum[2] + sum[3]);
    slot[MIN] = least;
    slot[MAX] = most;
}

static void second_pass(const struct stats *s, double *slot, const double *x, int64_t n)
{
    int bins = s->a->bins;
    double width = s->max - s->min, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            continue;
        sum += (x[i] - s->mean) * (x[i] - s->mean);
        if (bins > 0) {
            double at = width > 0 ? (x[i] - s->min) / width * bins : 0;
            slot[STATS_FIXED + (at < bins ? (int)at : bins - 1)]++;
        }
    }
    slot[DEVIATION] += sum;
}

static void stats_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct stats *s = ctx;
    double *slot = s->slots + item * (STATS_FIXED + s->a->bins), wide[256];
    uint64_t raw[COUNT_OF(wide)];
    size_t size = dtype_bytes(s->a->x.dtype);
    int64_t at = item * s->block, end = i64_min(at + s->block, s->n.count);
    if (!s->second) {
        memset(slot, 0, (size_t)(STATS_FIXED + s->a->bins) * sizeof(double));
        slot[MIN] = INFINITY, slot[MAX] = -INFINITY;
    }
    while (at < end) {
        int64_t offset[NEST_VIEWS];
        int64_t len = CPU(nest_seek)(&s->n, at, offset);
        len = i64_min(i64_min(len, end - at), COUNT_OF(wide));
        CPU(gather)
        (raw, (const char *)s->n.data[0] + offset[0] * (int64_t)size, s->n.stride[0][s->n.ndim - 1],
         size, len);
        CPU(convert)(wide, DT_F64, raw, s->a->x.dtype, len);
        if (s->second)
            second_pass(s, slot, wide, len);
        else
            first_pass(slot, wide, len);
        at += len;
    }
}

static double slot_sum(const struct stats *s, int which)
{
    double sum = 0;
    for (int64_t b = 0; b < s->blocks; b++)
        sum += s->slots[b * (STATS_FIXED + s->a->bins) + which];
    return sum;
}

void CPU(stats)(struct device *d, const struct stats_args *a)
{
    struct stats s = stats_of(a);
    pool_run(d->pool, s.blocks, stats_item, &s);
    double finite = slot_sum(&s, FINITE);
    s.min = INFINITY, s.max = -INFINITY;
    for (int64_t b = 0; b < s.blocks; b++) {
        const double *slot = s.slots + b * (STATS_FIXED + a->bins);
        s.min = fmin(s.min, slot[MIN]);
        s.max = fmax(s.max, slot[MAX]);
    }
    if (finite > 0)
        s.mean = slot_sum(&s, MEAN) / finite;
    else
        s.min = s.max = 0;
    s.second = true;
    pool_run(d->pool, s.blocks, stats_item, &s);
    double *out = a->out.data;
    int64_t stride = a->out.stride[0];
    double fixed[STATS_FIXED] = {finite,
                                 slot_sum(&s, NANS),
                                 slot_sum(&s, INFS),
                                 s.min,
                                 s.max,
                                 s.mean,
                                 finite > 0 ? sqrt(slot_sum(&s, DEVIATION) / finite) : 0};
    for (int i = 0; i < STATS_FIXED; i++)
        out[i * stride] = fixed[i];
    for (int i = 0; i < a->bins; i++)
        out[(STATS_FIXED + i) * stride] = slot_sum(&s, STATS_FIXED + i);
}
