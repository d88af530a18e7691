/* reduce.c -- sums and extremes over dimensions, the sum of squares, clipping. */
#include "kernels/ref/ref.h"

#include <math.h>

static double combine(enum reduce_kind kind, double so_far, double x)
{
    switch (kind) {
    case REDUCE_SUM:
        return so_far + x;
    case REDUCE_MAX:
        return x > so_far || isnan(x) ? x : so_far;
    default:
        return x < so_far || isnan(x) ? x : so_far;
    }
}

void ref_reduce(struct device *d, const struct reduce_args *a)
{
    (void)d;
    static const double start[REDUCE_COUNT] = {0, -INFINITY, INFINITY};
    struct view first = a->y, rest = a->x; /* where a sum starts; what it runs over */
    first.dtype = a->x.dtype;
    first.data = a->x.data;
    for (int i = 0; i < a->y.ndim; i++) {
        first.stride[i] = a->x.stride[i];
        if (a->y.shape[i] != 1)
            rest.shape[i] = 1;
    }
    int64_t n = view_count(a->y), terms = view_count(rest);
    for (int64_t i = 0; i < n; i++) {
        double r = start[a->kind];
        int64_t at = ref_place(first, i);
        for (int64_t j = 0; j < terms; j++)
            r = combine(a->kind, r, ref_load(a->x.data, a->x.dtype, at + ref_place(rest, j)));
        if (a->kind == REDUCE_SUM)
            r = a->alpha * r + (a->accumulate ? get(a->y, i) : 0);
        put(a->y, i, r);
    }
}

void ref_sumsq(struct device *d, const struct sumsq_args *a)
{
    (void)d;
    double sum = 0;
    int64_t n = view_count(a->x);
    for (int64_t i = 0; i < n; i++) {
        double x = get(a->x, i);
        sum += x * x;
    }
    *number(a->out) += sum;
}

void ref_clip(struct device *d, const struct clip_args *a)
{
    (void)d;
    double norm = sqrt(*number(a->sumsq)), factor = a->max_norm / (norm + 1e-6);
    bool finite = isfinite(norm) && (!ref_given(a->loss) || isfinite(*number(a->loss)));
    *number(a->norm) = norm;
    *number(a->factor) = a->max_norm > 0 && factor < 1 ? factor : 1;
    *number(a->finite) = finite;
}
