/* stats.c -- what a person wants to see of a tensor. */
#include "kernels/ref/ref.h"

#include <math.h>

enum { FINITE, NANS, INFINITIES, LEAST, MOST, MEAN, DEVIATION };

static void deviation(struct view x, double *out)
{
    double sum = 0;
    int64_t n = view_count(x);
    for (int64_t i = 0; i < n; i++) {
        double off = get(x, i) - out[MEAN];
        if (isfinite(off))
            sum += off * off;
    }
    out[DEVIATION] = sqrt(sum / out[FINITE]);
}

static void histogram(struct view x, int bins, double *out)
{
    double width = out[MOST] - out[LEAST];
    int64_t n = view_count(x);
    for (int64_t i = 0; i < n; i++) {
        double v = get(x, i);
        if (!isfinite(v))
            continue;
        int bin = width > 0 ? (int)((v - out[LEAST]) / width * bins) : 0;
        out[STATS_FIXED + (bin < bins ? bin : bins - 1)]++;
    }
}

void ref_stats(struct device *d, const struct stats_args *a)
{
    (void)d;
    double out[STATS_FIXED + 4096] = {0}, sum = 0; /* check_stats knows the limit */
    int64_t n = view_count(a->x);
    out[LEAST] = INFINITY;
    out[MOST] = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        double x = get(a->x, i);
        if (!isfinite(x)) {
            out[isnan(x) ? NANS : INFINITIES]++;
            continue;
        }
        out[FINITE]++;
        sum += x;
        out[LEAST] = fmin(out[LEAST], x);
        out[MOST] = fmax(out[MOST], x);
    }
    if (out[FINITE] > 0) {
        out[MEAN] = sum / out[FINITE];
        deviation(a->x, out);
        if (a->bins > 0)
            histogram(a->x, a->bins, out);
    } else {
        out[LEAST] = out[MOST] = 0;
    }
    for (int i = 0; i < STATS_FIXED + a->bins; i++)
        put1(a->out, i, out[i]);
}
