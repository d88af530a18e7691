/* optim.c -- one step of an optimiser. */
#include "kernels/ref/ref.h"

#include <math.h>

static double number_or_1(struct view v)
{
    return ref_given(v) ? *number(v) : 1;
}

void ref_adamw(struct device *d, const struct adamw_args *a)
{
    (void)d;
    if (number_or_1(a->finite) == 0)
        return;
    double factor = number_or_1(a->factor), step = (double)a->step;
    double bias1 = 1 - pow(a->beta1, step), bias2 = 1 - pow(a->beta2, step);
    for (int64_t i = 0; i < a->p.shape[0]; i++) {
        double g = get1(a->g, i) * factor, p = get1(a->p, i) * (1 - a->lr * a->weight_decay);
        double m = a->beta1 * get1(a->m, i) + (1 - a->beta1) * g;
        double v = a->beta2 * get1(a->v, i) + (1 - a->beta2) * g * g;
        put1(a->m, i, m);
        put1(a->v, i, v);
        put1(a->p, i, p - a->lr / bias1 * m / (sqrt(v / bias2) + a->eps));
    }
}

void ref_sgd(struct device *d, const struct sgd_args *a)
{
    (void)d;
    if (number_or_1(a->finite) == 0)
        return;
    double factor = number_or_1(a->factor);
    for (int64_t i = 0; i < a->p.shape[0]; i++) {
        double p = get1(a->p, i), step = get1(a->g, i) * factor + a->weight_decay * p;
        if (a->momentum > 0) {
            step += a->momentum * get1(a->m, i);
            put1(a->m, i, step);
        }
        put1(a->p, i, p - a->lr * step);
    }
}
