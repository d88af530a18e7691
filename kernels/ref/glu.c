/* glu.c -- gated activations. */
#include "kernels/ref/ref.h"

static const enum unary_kind act[GLU_COUNT] = {UNARY_SILU, UNARY_GELU_TANH};

void ref_glu(struct device *d, const struct glu_args *a)
{
    (void)d;
    int64_t n = view_count(a->g);
    for (int64_t i = 0; i < n; i++)
        put(a->y, i, ref_unary_value(act[a->kind], 0, 0, get(a->g, i)) * get(a->u, i));
}

void ref_glu_grad(struct device *d, const struct glu_grad_args *a)
{
    (void)d;
    int64_t n = view_count(a->g);
    for (int64_t i = 0; i < n; i++) {
        /* all is read before anything is written: outputs may be inputs */
        double g = get(a->g, i), u = get(a->u, i), dy = get(a->dy, i);
        double value = ref_unary_value(act[a->kind], 0, 0, g);
        double slope = ref_unary_slope(act[a->kind], 0, g);
        put(a->dg, i, dy * u * slope);
        put(a->du, i, dy * value);
        if (ref_given(a->y))
            put(a->y, i, value * u);
    }
}
