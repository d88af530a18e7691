/* norm.c -- RMSNorm with the residual add in front, and its gradient.
 *
 * Workspace: one row of s, since 'sum' may overwrite x; for the gradient the row sums of dw. */
#include "kernels/ref/ref.h"

#include <math.h>

size_t ref_rms_norm_workspace(struct device *d, const struct rms_norm_args *a)
{
    (void)d;
    return (size_t)a->x.shape[1] * sizeof(double);
}

void ref_rms_norm(struct device *d, const struct rms_norm_args *a)
{
    (void)d;
    double *s = a->work.data;
    int64_t rows = a->x.shape[0], width = a->x.shape[1];
    for (int64_t t = 0; t < rows; t++) {
        double sumsq = 0;
        for (int64_t i = 0; i < width; i++) {
            s[i] = get2(a->x, t, i) + (ref_given(a->res) ? get2(a->res, t, i) : 0);
            sumsq += s[i] * s[i];
        }
        double rstd = 1 / sqrt(sumsq / (double)width + a->eps);
        for (int64_t i = 0; i < width; i++) {
            if (ref_given(a->sum))
                put2(a->sum, t, i, s[i]);
            put2(a->y, t, i, s[i] * rstd * get1(a->w, i));
        }
        if (ref_given(a->rstd))
            put1(a->rstd, t, rstd);
    }
}

size_t ref_rms_norm_grad_workspace(struct device *d, const struct rms_norm_grad_args *a)
{
    (void)d;
    return (size_t)a->dx.shape[1] * sizeof(double);
}

void ref_rms_norm_grad(struct device *d, const struct rms_norm_grad_args *a)
{
    (void)d;
    double *dw = a->work.data;
    int64_t rows = a->dx.shape[0], width = a->dx.shape[1];
    for (int64_t i = 0; i < width; i++)
        dw[i] = 0;
    for (int64_t t = 0; t < rows; t++) {
        double rstd = get1(a->rstd, t), mean = 0;
        for (int64_t i = 0; i < width; i++)
            mean += get2(a->dy, t, i) * get1(a->w, i) * get2(a->s, t, i) * rstd;
        mean /= (double)width;
        for (int64_t i = 0; i < width; i++) {
            double dy = get2(a->dy, t, i), n = get2(a->s, t, i) * rstd;
            double dx = rstd * (dy * get1(a->w, i) - n * mean);
            put2(a->dx, t, i, dx + (ref_given(a->dres) ? get2(a->dres, t, i) : 0));
            dw[i] += dy * n;
        }
    }
    for (int64_t i = 0; i < width && ref_given(a->dw); i++)
        put1(a->dw, i, get1(a->dw, i) + dw[i]);
}
