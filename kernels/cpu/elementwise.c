/* elementwise.c -- unary, its gradient, and binary operations over views of any stride.
 *
 * Each kind is one run function over contiguous f32 arrays (nest.h cuts the views into such runs);
 * RUN1 and RUN2 spell the vector loop and its tail, so that a lane sees the same arithmetic in both. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/exp.h"
#include "kernels/cpu/nest.h"

#include <math.h>

struct constants {
    float alpha, beta;
};

/* out[i] = expression of a, b (vectors of the two inputs; a run has p = {out, a, b}) and c */
#define RUN2(name, expression)                                                       \
    static void name(const void *ctx, float *const p[], int64_t n)                   \
    {                                                                                \
        const struct constants *c = ctx;                                             \
        (void)c;                                                                     \
        int64_t i = 0;                                                               \
        for (; i + VF_LANES <= n; i += VF_LANES) {                                   \
            vf a = vf_load(p[1] + i), b = vf_load(p[2] + i);                         \
            (void)a, (void)b;                                                        \
            vf_store(p[0] + i, expression);                                          \
        }                                                                            \
        if (i < n) {                                                                 \
            vf a = vf_load_part(p[1] + i, n - i), b = vf_load_part(p[2] + i, n - i); \
            (void)a, (void)b;                                                        \
            vf_store_part(p[0] + i, expression, n - i);                              \
        }                                                                            \
    }

/* the same for one input, p = {out, x} */
#define RUN1(name, expression)                                     \
    static void name(const void *ctx, float *const p[], int64_t n) \
    {                                                              \
        const struct constants *c = ctx;                           \
        (void)c;                                                   \
        int64_t i = 0;                                             \
        for (; i + VF_LANES <= n; i += VF_LANES) {                 \
            vf x = vf_load(p[1] + i);                              \
            vf_store(p[0] + i, expression);                        \
        }                                                          \
        if (i < n) {                                               \
            vf x = vf_load_part(p[1] + i, n - i);                  \
            vf_store_part(p[0] + i, expression, n - i);            \
        }                                                          \
    }

/* one element at a time, through the C library */
#define RUN1_SCALAR(name, expression)                              \
    static void name(const void *ctx, float *const p[], int64_t n) \
    {                                                              \
        const struct constants *c = ctx;                           \
        (void)c;                                                   \
        for (int64_t i = 0; i < n; i++) {                          \
            float x = p[1][i];                                     \
            p[0][i] = (expression);                                \
        }                                                          \
    }
#define RUN2_SCALAR(name, expression)                              \
    static void name(const void *ctx, float *const p[], int64_t n) \
    {                                                              \
        const struct constants *c = ctx;                           \
        (void)c;                                                   \
        for (int64_t i = 0; i < n; i++) {                          \
            float a = p[1][i], b = p[2][i];                        \
            p[0][i] = (expression);                                \
        }                                                          \
    }

static vf truth(vi mask)
{
    return (vf)(mask & (vi)vf_set(1.0f));
}

static vf zero_where(vi mask, vf x)
{
    return (vf)(~mask & (vi)x);
}

static vf root(vf x)
{
    union {
        vf v;
        float f[VF_LANES];
    } u = {x};
    for (int i = 0; i < VF_LANES; i++)
        u.f[i] = sqrtf(u.f[i]);
    return u.v;
}

/* --- unary ---------------------------------------------------------------------------------- */

RUN1(run_linear, x * c->alpha + c->beta)
RUN1(run_square, x *x)
RUN1_SCALAR(run_pow, powf(x, c->alpha))
RUN1(run_neg, -x)
RUN1(run_abs, vf_abs(x))
RUN1(run_exp, vf_exp(x))
RUN1_SCALAR(run_log, logf(x))
RUN1(run_sqrt, root(x))
RUN1(run_tanh, vf_tanh(x))
RUN1(run_sigmoid, vf_sigmoid(x))
RUN1(run_silu, vf_silu(x))
RUN1(run_relu, zero_where(x < 0.0f, x))
RUN1(run_gelu, vf_gelu_tanh(x))
RUN1_SCALAR(run_sin, sinf(x))
RUN1_SCALAR(run_cos, cosf(x))
RUN1(run_gt, truth(x > c->alpha))
RUN1(run_lt, truth(x < c->alpha))
RUN1(run_ge, truth(x >= c->alpha))
RUN1(run_le, truth(x <= c->alpha))
RUN1(run_eq, truth(x == c->alpha))
RUN1(run_ne, truth(x != c->alpha))

static nest_run *const unary_runs[UNARY_COUNT] = {
    [UNARY_LINEAR] = run_linear, [UNARY_POW] = run_pow,   [UNARY_NEG] = run_neg,
    [UNARY_ABS] = run_abs,       [UNARY_EXP] = run_exp,   [UNARY_LOG] = run_log,
    [UNARY_SQRT] = run_sqrt,     [UNARY_TANH] = run_tanh, [UNARY_SIGMOID] = run_sigmoid,
    [UNARY_SILU] = run_silu,     [UNARY_RELU] = run_relu, [UNARY_GELU_TANH] = run_gelu,
    [UNARY_SIN] = run_sin,       [UNARY_COS] = run_cos,   [UNARY_GT] = run_gt,
    [UNARY_LT] = run_lt,         [UNARY_GE] = run_ge,     [UNARY_LE] = run_le,
    [UNARY_EQ] = run_eq,         [UNARY_NE] = run_ne,
};

void CPU(unary)(struct device *d, const struct unary_args *a)
{
    struct nest n;
    CPU(nest_make)(&n, (struct view[]){a->y, a->x}, 2);
    nest_run *run = unary_runs[a->kind];
    if (a->kind == UNARY_POW && a->alpha == 2)
        run = run_square;
    CPU(nest_map)(d->pool, &n, 1, run, &(struct constants){(float)a->alpha, (float)a->beta});
}

/* --- its gradient: a = dy, b = x -------------------------------------------------------------- */

/* 1 - tanh^2 = 4 e / (1 + e)^2 with e = exp(-2|x|), without cancellation */
static vf tanh_slope(vf x)
{
    vf m = vf_abs(x), e = vf_exp(-(m + m)), r = 1.0f / (1.0f + e);
    return 4.0f * e * r * r;
}

static vf sigmoid_slope(vf x)
{
    struct vf_sigmoids g = vf_sigmoids(x);
    return g.s * g.t;
}

RUN2(slope_linear, a * c->alpha)
RUN2(slope_square, a * 2.0f * b)
RUN2_SCALAR(slope_pow, a * c->alpha * powf(b, c->alpha - 1.0f))
RUN2(slope_neg, -a)
RUN2(slope_abs, a *(truth(b > 0.0f) - truth(b < 0.0f)))
RUN2(slope_exp, a *vf_exp(b))
RUN2(slope_log, a / b)
RUN2(slope_sqrt, a * 0.5f / root(b))
RUN2(slope_tanh, a *tanh_slope(b))
RUN2(slope_sigmoid, a *sigmoid_slope(b))
RUN2(slope_silu, a *vf_silu_slope(b))
RUN2(slope_relu, a *truth(b > 0.0f))
RUN2(slope_gelu, a *vf_gelu_tanh_slope(b))
RUN2_SCALAR(slope_sin, a *cosf(b))
RUN2_SCALAR(slope_cos, a * -sinf(b))
RUN2(slope_none, a *(vf){0})

static nest_run *const slope_runs[UNARY_COUNT] = {
    [UNARY_LINEAR] = slope_linear, [UNARY_POW] = slope_pow,   [UNARY_NEG] = slope_neg,
    [UNARY_ABS] = slope_abs,       [UNARY_EXP] = slope_exp,   [UNARY_LOG] = slope_log,
    [UNARY_SQRT] = slope_sqrt,     [UNARY_TANH] = slope_tanh, [UNARY_SIGMOID] = slope_sigmoid,
    [UNARY_SILU] = slope_silu,     [UNARY_RELU] = slope_relu, [UNARY_GELU_TANH] = slope_gelu,
    [UNARY_SIN] = slope_sin,       [UNARY_COS] = slope_cos,   [UNARY_GT] = slope_none,
    [UNARY_LT] = slope_none,       [UNARY_GE] = slope_none,   [UNARY_LE] = slope_none,
    [UNARY_EQ] = slope_none,       [UNARY_NE] = slope_none,
};

void CPU(unary_grad)(struct device *d, const struct unary_grad_args *a)
{
    struct nest n;
    CPU(nest_make)(&n, (struct view[]){a->dx, a->dy, a->x}, 3);
    nest_run *run = slope_runs[a->kind];
    if (a->kind == UNARY_POW && a->alpha == 2)
        run = slope_square;
    if (a->kind == UNARY_POW && a->alpha == 0) /* 0 x^-1 at 0 too */
        run = slope_none;
    CPU(nest_map)(d->pool, &n, 1, run, &(struct constants){(float)a->alpha, (float)a->beta});
}

/* --- binary --------------------------------------------------------------------------------- */

/* NaN wins: where either is NaN their sum is. */
static vf or_nan(vf result, vf a, vf b)
{
    return vf_select((a != a) | (b != b), a + b, result);
}

RUN2(run_add, a + b)
RUN2(run_sub, a - b)
RUN2(run_mul, a *b)
RUN2(run_div, a / b)
RUN2_SCALAR(run_power, powf(a, b))
RUN2(run_max, or_nan(vf_max(a, b), a, b))
RUN2(run_min, or_nan(vf_min(a, b), a, b))
RUN2(run_axpy, a + c->alpha * b)
RUN2(run_greater, truth(a > b))
RUN2(run_less, truth(a < b))
RUN2(run_greater_equal, truth(a >= b))
RUN2(run_less_equal, truth(a <= b))
RUN2(run_equal, truth(a == b))
RUN2(run_unequal, truth(a != b))

static nest_run *const binary_runs[BINARY_COUNT] = {
    [BINARY_ADD] = run_add,  [BINARY_SUB] = run_sub,          [BINARY_MUL] = run_mul,
    [BINARY_DIV] = run_div,  [BINARY_POW] = run_power,        [BINARY_MAX] = run_max,
    [BINARY_MIN] = run_min,  [BINARY_AXPY] = run_axpy,        [BINARY_GT] = run_greater,
    [BINARY_LT] = run_less,  [BINARY_GE] = run_greater_equal, [BINARY_LE] = run_less_equal,
    [BINARY_EQ] = run_equal, [BINARY_NE] = run_unequal,
};

void CPU(binary)(struct device *d, const struct binary_args *a)
{
    struct nest n;
    CPU(nest_make)(&n, (struct view[]){a->z, a->a, a->b}, 3);
    CPU(nest_map)(d->pool, &n, 1, binary_runs[a->kind], &(struct constants){(float)a->alpha, 0});
}
