/* sum.h -- sums of f32 arrays in double lanes: a fixed order, and no loss that matters.
 *
 * A lane adds every VD_LANES-th element; lanes are combined in a fixed tree. The order depends on
 * the length alone. */
#ifndef KERNELS_CPU_SUM_H
#define KERNELS_CPU_SUM_H

#include "kernels/cpu/cpu.h"

#define VD_LANES (VF_LANES / 2)
typedef double vd __attribute__((vector_size(8 * VD_LANES)));
typedef int64_t vl __attribute__((vector_size(8 * VD_LANES)));
typedef float vf_half __attribute__((vector_size(4 * VD_LANES)));

static inline vd vd_set(double x)
{
    return x - (vd){0};
}

/* VD_LANES floats, widened */
static inline vd vd_load(const float *p)
{
    vf_half h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, vd);
}

/* The first n (0..VD_LANES) of them, the others 0 */
static inline vd vd_load_part(const float *p, int64_t n)
{
    vf_half h = {0};
    memcpy(&h, p, (size_t)n * sizeof(float));
    return __builtin_convertvector(h, vd);
}

/* both halves of a vf added up lane by lane */
static inline vd vd_fold(vf x)
{
    union {
        vf v;
        vf_half half[2];
    } u = {x};
    return __builtin_convertvector(u.half[0], vd) + __builtin_convertvector(u.half[1], vd);
}

static inline double vd_sum(vd v)
{
    union {
        vd v;
        double f[VD_LANES];
    } x = {v};
    for (int n = VD_LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++)
            x.f[i] += x.f[i + n];
    return x.f[0];
}

/* name(p, n) = sum of 'term' over the vectors x of p[0..n) */
#define SUM_LOOP(name, term)                                                 \
    static inline double name(const float *p, int64_t n)                     \
    {                                                                        \
        vd s[4] = {{0}};                                                     \
        int64_t i = 0;                                                       \
        for (; i + 4 * VD_LANES <= n; i += 4 * VD_LANES)                     \
            for (int k = 0; k < 4; k++) {                                    \
                vd x = vd_load(p + i + k * VD_LANES);                        \
                s[k] += term;                                                \
            }                                                                \
        for (int k = 0; i < n; i += VD_LANES, k++) {                         \
            vd x = vd_load_part(p + i, n - i < VD_LANES ? n - i : VD_LANES); \
            s[k] += term;                                                    \
        }                                                                    \
        return vd_sum((s[0] + s[1]) + (s[2] + s[3]));                        \
    }

#endif
