/* glu.c -- the gated activation act(g) * u and its gradient, over row-strided views. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/exp.h"
#include "kernels/cpu/nest.h"

static inline vf act(vf x, enum glu_kind kind)
{
    return kind == GLU_SILU ? vf_silu(x) : vf_gelu_tanh(x);
}

/* act(x), with the bits of forward, and act'(x), from one exponential */
static inline vf act_and_slope(vf x, enum glu_kind kind, vf *slope)
{
    vf v = kind == GLU_SILU ? x : vf_gelu_argument(x);
    struct vf_sigmoids g = vf_sigmoids(v);
    vf dv = vf_set(1.0f);
    if (kind == GLU_GELU_TANH)
        dv = vf_fma(x * x, vf_set(3 * VF_GELU_C3), vf_set(VF_GELU_C));
    vf y = vf_gate(x, g);
    vf bend = vf_select(g.t == 0.0f, (vf){0}, y * g.t * dv); /* inf * 0 is 0 here */
    *slope = g.s + bend;
    return y;
}

static inline void forward(enum glu_kind kind, float *const p[], int64_t n)
{
    int64_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        vf_store(p[0] + i, act(vf_load(p[1] + i), kind) * vf_load(p[2] + i));
    if (i < n)
        vf_store_part(p[0] + i,
                      act(vf_load_part(p[1] + i, n - i), kind) * vf_load_part(p[2] + i, n - i),
                      n - i);
}

static void run_silu(const void *ctx, float *const p[], int64_t n)
{
    (void)ctx;
    forward(GLU_SILU, p, n);
}

static void run_gelu(const void *ctx, float *const p[], int64_t n)
{
    (void)ctx;
    forward(GLU_GELU_TANH, p, n);
}

void CPU(glu)(struct device *d, const struct glu_args *a)
{
    struct nest n;
    CPU(nest_make)(&n, (struct view[]){a->y, a->g, a->u}, 3);
    CPU(nest_map)(d->pool, &n, 1, a->kind == GLU_SILU ? run_silu : run_gelu, NULL);
}

/* p = {dg, du, [y,] dy, g, u}. All is loaded before anything is stored: outputs may be inputs. */
static inline void backward(enum glu_kind kind, bool again, float *const p[], int64_t n)
{
    float *const *in = p + (again ? 3 : 2);
    for (int64_t i = 0; i < n; i += VF_LANES) {
        int64_t len = n - i;
        bool full = len >= VF_LANES;
        vf dy = full ? vf_load(in[0] + i) : vf_load_part(in[0] + i, len);
        vf g = full ? vf_load(in[1] + i) : vf_load_part(in[1] + i, len);
        vf u = full ? vf_load(in[2] + i) : vf_load_part(in[2] + i, len);
        vf slope, y = act_and_slope(g, kind, &slope);
        vf out[3] = {dy * u * slope, dy * y, y * u};
        for (int k = 0; k < (again ? 3 : 2); k++)
            if (full)
                vf_store(p[k] + i, out[k]);
            else
                vf_store_part(p[k] + i, out[k], len);
    }
}

struct grad_kind {
    enum glu_kind kind;
    bool again;
};

static void run_grad(const void *ctx, float *const p[], int64_t n)
{
    const struct grad_kind *k = ctx;
    if (k->kind == GLU_SILU)
        backward(GLU_SILU, k->again, p, n);
    else
        backward(GLU_GELU_TANH, k->again, p, n);
}

void CPU(glu_grad)(struct device *d, const struct glu_grad_args *a)
{
    struct nest n;
    struct grad_kind kind = {a->kind, a->y.data != NULL};
    if (kind.again)
        CPU(nest_make)(&n, (struct view[]){a->dg, a->du, a->y, a->dy, a->g, a->u}, 6);
    else
        CPU(nest_make)(&n, (struct view[]){a->dg, a->du, a->dy, a->g, a->u}, 5);
    CPU(nest_map)(d->pool, &n, kind.again ? 3 : 2, run_grad, &kind);
}
