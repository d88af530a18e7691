/* exp.h -- exponential functions on vectors, and what networks make of them.
 *
 * NaN gives NaN; exp, tanh and sigmoid of the infinities are their limits, silu of -infinity is NaN
 * (infinity times 0, as in ref); denormal arguments and results are kept. Errors against exact
 * arithmetic over the whole range (tests/kernels/exp.c): vf_exp 1 ulp, vf_tanh, vf_sigmoid and
 * vf_silu 3 ulp. A lane's result depends on that lane alone, so it is the same in a full vector and
 * in the tail of a row. */
#ifndef KERNELS_CPU_EXP_H
#define KERNELS_CPU_EXP_H

#include "kernels/cpu/cpu.h"

/* exp(x) = p * a * b, where a and b are powers of two: two factors reach the denormals and the
 * overflow without a special case. */
struct vf_exp_parts {
    vf p, a, b;
};

static inline vf vf_pow2(vu k)
{
    return (vf)((k + 127) << 23);
}

/* x = n ln 2 + r: r and the integer n, also as bits. The product with the first part of ln 2, which
 * has 9 bits, is exact. */
static inline vf vf_exp_reduce(vf x, vu *n)
{
    const float round = 0x1.8p23f; /* adding it leaves the nearest integer in the low bits */
    vf t = x * 0x1.715476p0f + round;
    *n = (vu)t - (vu)vf_set(round);
    t -= round;
    return vf_fma(t, vf_set(2.12194440e-4f), vf_fma(t, vf_set(-0.693359375f), x));
}

/* exp(r) for |r| <= ln 2 / 2; minimax coefficients of the single precision Cephes library. Even and
 * odd powers apart: the chain of dependent operations is what costs. */
static inline vf vf_exp_poly(vf r)
{
    vf z = r * r;
    vf odd = vf_fma(vf_set(1.9875691500e-4f), z, vf_set(8.3334519073e-3f));
    vf even = vf_fma(vf_set(1.3981999507e-3f), z, vf_set(4.1665795894e-2f));
    odd = vf_fma(odd, z, vf_set(1.6666665459e-1f));
    even = vf_fma(even, z, vf_set(5.0000001201e-1f));
    return vf_fma(vf_fma(odd, r, even), z, r) + 1.0f;
}

static inline struct vf_exp_parts vf_exp_split(vf x)
{
    x = vf_max(vf_min(x, vf_set(89.0f)), vf_set(-105.0f)); /* NaN passes both */
    vu n;
    vf r = vf_exp_reduce(x, &n);
    vu half = (vu)((vi)n >> 1);
    return (struct vf_exp_parts){vf_exp_poly(r), vf_pow2(half), vf_pow2(n - half)};
}

static inline vf vf_exp(vf x)
{
    struct vf_exp_parts e = vf_exp_split(x);
    return e.p * e.a * e.b;
}

/* exp for softmax: x <= 0 or NaN. Results below the normal numbers become 0: that spares the slow
 * denormals and half of the scaling. */
static inline vf vf_exp_neg(vf x)
{
    vu n;
    vf r = vf_exp_reduce(x, &n);
    vf y = vf_exp_poly(r) * vf_pow2(n);
    return vf_select(x < -87.0f, (vf){0}, y);
}

static inline vf vf_abs(vf x)
{
    return (vf)((vu)x & 0x7fffffffu);
}

static inline vf vf_copysign(vf magnitude, vf sign)
{
    return (vf)(((vu)magnitude & 0x7fffffffu) | ((vu)sign & 0x80000000u));
}

/* A polynomial near 0, where 1 - 2 / (exp(2|x|) + 1) would cancel. */
static inline vf vf_tanh(vf x)
{
    vf z = x * x, q = vf_set(-5.70498872745e-3f), m = vf_abs(x);
    q = vf_fma(q, z, vf_set(2.06390887954e-2f));
    q = vf_fma(q, z, vf_set(-5.37397155531e-2f));
    q = vf_fma(q, z, vf_set(1.33314422036e-1f));
    q = vf_fma(q, z, vf_set(-3.33332819422e-1f));
    vf near = vf_fma(q * z, x, x);
    vf far = vf_copysign(1.0f - 2.0f / (vf_exp(m + m) + 1.0f), x);
    return vf_select(m < 0.625f, near, far);
}

/* What the gated functions of v share: sigmoid(v), sigmoid(-v), both without cancellation, and what
 * u * sigmoid(v) takes where sigmoid(v) is denormal but the product is not. */
struct vf_sigmoids {
    vf s, t;
    vf r;     /* 1 / (1 + exp(-|v|)) */
    vf e;     /* 2^64 exp(-|v|); 0 below -110, where even u * sigmoid(v) is 0 */
    vi below; /* v < 0 */
};

static inline struct vf_sigmoids vf_sigmoids(vf v)
{
    vu n;
    vf m = (vf)((vu)v | 0x80000000u); /* -|v| */
    vf x = vf_exp_reduce(vf_max(m, vf_set(-110.0f)), &n);
    vf e = (vf)(~(m < -110.0f) & (vi)(vf_exp_poly(x) * vf_pow2(n + 64)));
    vf small = e * 0x1p-64f, r = 1.0f / (1.0f + small), er = small * r;
    vi below = v < 0.0f;
    return (struct vf_sigmoids){vf_select(below, er, r), vf_select(below, r, er), r, e, below};
}

/* u * sigmoid(v) */
static inline vf vf_gate(vf u, struct vf_sigmoids g)
{
    vf y = u * g.r;
    return vf_select(g.below, y * g.e * 0x1p-64f, y);
}

static inline vf vf_sigmoid(vf x)
{
    return vf_gate(vf_set(1.0f), vf_sigmoids(x));
}

static inline vf vf_silu(vf x)
{
    return vf_gate(x, vf_sigmoids(x));
}

/* silu'(x) = s (1 + x (1 - s)) */
static inline vf vf_silu_slope(vf x)
{
    struct vf_sigmoids g = vf_sigmoids(x);
    return g.s * vf_fma(x, g.t, vf_set(1.0f));
}

/* 0.5 (1 + tanh(u)) = sigmoid(2u) with 2u = x (c + c3 x^2); this form does not cancel. */
#define VF_GELU_C 1.5957691216f   /* 2 sqrt(2/pi) */
#define VF_GELU_C3 0.07135481283f /* 0.044715 times that */

static inline vf vf_gelu_argument(vf x)
{
    return x * vf_fma(x * x, vf_set(VF_GELU_C3), vf_set(VF_GELU_C));
}

static inline vf vf_gelu_tanh(vf x)
{
    return vf_gate(x, vf_sigmoids(vf_gelu_argument(x)));
}

static inline vf vf_gelu_tanh_slope(vf x)
{
    struct vf_sigmoids g = vf_sigmoids(vf_gelu_argument(x));
    vf inner = vf_fma(x * x, vf_set(3 * VF_GELU_C3), vf_set(VF_GELU_C));
    vf st = g.s * g.t;
    return vf_select(st == 0.0f, g.s, vf_fma(x * st, inner, g.s)); /* inf * 0 is 0 here */
}

#endif
