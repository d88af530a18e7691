/* cases_optim_util.c -- adamw, sgd. */
#include "kernels/ref/ref.h"
#include "tests/kernels/parity_util.h"

#include <math.h>

struct optim_case {
    int64_t n, step;
    enum dtype p;
    double lr, decay, eps, momentum;
    bool numbers; /* factor and finite given */
    double factor, finite;
};

static struct tensor vector(const char *name, const struct optim_case *c, enum dtype t,
                            enum fill fill, double low, double high)
{
    return (struct tensor){name, t, 1, {c->n}, DENSE, fill, low, high};
}

static struct tolerance p_tolerance(enum dtype t)
{
    if (t == DT_F16)
        return (struct tolerance){.ulp = 1, .bits = 11, .ku = 8};
    if (t == DT_BF16)
        return (struct tolerance){.ulp = 1, .bits = 8, .ku = 8};
    return (struct tolerance){.ku = 8};
}

static void adamw_sizes(struct rig *r, const struct adamw_args *a, double factor)
{
    double *p = rig_magnitude(r, a->p), *m = rig_magnitude(r, a->m), *v = rig_magnitude(r, a->v);
    double bias1 = 1 - pow(a->beta1, (double)a->step), bias2 = 1 - pow(a->beta2, (double)a->step);
    for (int64_t i = 0; p && i < a->p.shape[0]; i++) {
        double g = get1(a->g, i) * factor;
        m[i] = fabs(a->beta1 * get1(a->m, i)) + fabs((1 - a->beta1) * g);
        v[i] = a->beta2 * get1(a->v, i) + (1 - a->beta2) * g * g;
        p[i] = fabs(get1(a->p, i)) + a->lr / bias1 * m[i] / (sqrt(v[i] / bias2) + a->eps);
    }
}

static void adamw(struct rig *r, const void *params)
{
    const struct optim_case *c = params;
    struct adamw_args a = {.lr = c->lr,
                           .beta1 = 0.9,
                           .beta2 = 0.999,
                           .eps = c->eps,
                           .weight_decay = c->decay,
                           .step = c->step};
    a.p = rig_out(r, vector("p", c, c->p, NORMAL, 0, 0), p_tolerance(c->p));
    a.g = rig_in(r, vector("g", c, REAL, NORMAL, 0, 0));
    a.m = rig_out(r, vector("m", c, REAL, c->step > 1 ? UNIFORM : ZERO, -0.3, 0.3),
                  (struct tolerance){.ku = 4});
    /* g * factor is rounded, and squared */
    a.v = rig_out(r, vector("v", c, REAL, c->step > 1 ? UNIFORM : ZERO, 0, 0.5),
                  (struct tolerance){.ku = 8});
    if (c->numbers) {
        a.factor = rig_doubles(r, "factor", &c->factor, 1);
        a.finite = rig_doubles(r, "finite", &c->finite, 1);
    }
    adamw_sizes(r, &a, c->numbers ? c->factor : 1);
    RUN(r, adamw, a);
}

static void sgd_sizes(struct rig *r, const struct sgd_args *a, double factor)
{
    double *p = rig_magnitude(r, a->p), *m = a->momentum > 0 ? rig_magnitude(r, a->m) : NULL;
    for (int64_t i = 0; p && i < a->p.shape[0]; i++) {
        double was = fabs(get1(a->p, i)),
               step = fabs(get1(a->g, i) * factor) + a->weight_decay * was;
        if (m)
            m[i] = step += a->momentum * fabs(get1(a->m, i));
        p[i] = was + a->lr * step;
    }
}

static void sgd(struct rig *r, const void *params)
{
    const struct optim_case *c = params;
    struct sgd_args a = {.lr = c->lr, .momentum = c->momentum, .weight_decay = c->decay};
    a.p = rig_out(r, vector("p", c, c->p, NORMAL, 0, 0), p_tolerance(c->p));
    a.g = rig_in(r, vector("g", c, REAL, NORMAL, 0, 0));
    if (c->momentum > 0)
        a.m = rig_out(r, vector("m", c, REAL, NORMAL, 0, 0), (struct tolerance){.ku = 4});
    if (c->numbers) {
        a.factor = rig_doubles(r, "factor", &c->factor, 1);
        a.finite = rig_doubles(r, "finite", &c->finite, 1);
    }
    sgd_sizes(r, &a, c->numbers ? c->factor : 1);
    RUN(r, sgd, a);
}

static void each(case_fn *fn)
{
    static const enum dtype types[] = {REAL, DT_F16, DT_BF16};
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < PARITY_SIZES; i++) {
            struct optim_case c = {parity_sizes[i],
                                   i % 3 * 50 + 1,
                                   types[t],
                                   1e-3,
                                   i % 2 ? 0.01 : 0,
                                   1e-8,
                                   i % 3 ? 0.9 : 0,
                                   i % 4 > 0,
                                   i % 4 > 1 ? 0.3 : 1,
                                   1};
            parity_case(fn, &c, "%lld of type %d", (long long)c.n, t);
        }
    struct optim_case c = {129, 3, REAL, 0.1, 0.1, 1e-8, 0.5, true, 0.5, 0};
    parity_case(fn, &c, "not finite: nothing changes");
    c.finite = 1, c.lr = 0;
    parity_case(fn, &c, "lr 0");
    c.lr = 0.5, c.step = 1000000, c.n = 5000;
    parity_case(fn, &c, "a late step");
    c.factor = NAN, c.finite = 0;
    parity_case(fn, &c, "NaN factor, not finite");
}

static void adamw_cases(void)
{
    parity_begin("adamw");
    each(adamw);
    parity_end();
}

static void sgd_cases(void)
{
    parity_begin("sgd");
    each(sgd);
    parity_end();
}

const struct parity_test cases_optim[] = {{"adamw", adamw_cases}, {"sgd", sgd_cases}, {NULL, NULL}};
