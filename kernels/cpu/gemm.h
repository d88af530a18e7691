/* gemm.h -- a matrix product as the cpu device sees it, between gemm.c and gemm_small.c. */
#ifndef KERNELS_CPU_GEMM_H
#define KERNELS_CPU_GEMM_H

#include "kernels/cpu/cpu.h"

/* dst = alpha * x w' + beta * dst (+ bias); w' = op(w). x(m, k) = x[m*xr + k*xk]. */
struct product {
    int64_t m, n, k;
    const float *x;
    int64_t xr, xk;
    struct wview w;
    bool trans_w;
    float *dst;
    int64_t dst_stride;
    float alpha, beta;
    struct view bias; /* data NULL = none */
};

/* Few rows of x, in place, times w^T: dot products along rows of both, nothing packed. */
bool CPU(gemm_is_small)(const struct product *p);
size_t CPU(gemm_small_workspace)(struct device *d, const struct product *p);
void CPU(gemm_small)(struct device *d, const struct product *p, void *scratch);

/* One row of x: false, with nothing done, if this build or format has no loop for it. */
size_t CPU(gemv_scratch)(const struct product *p);
bool CPU(gemv)(struct device *d, const struct product *p, float *scratch);

#endif
