/* cases_loss_util.c -- cross_entropy, clip. */
#include "kernels/ref/ref.h"
#include "tests/kernels/parity_util.h"

#include <math.h>

struct loss_case {
    int64_t rows, classes;
    enum layout layout;
    enum fill weight; /* ZERO, UNIFORM (0.1 to 2), WHOLE (0 or 1) */
    enum dtype weight_type;
    double smoothing, scale, size;
    bool grad, hits, outside;
};

/* Rounding of a row's loss: of the maximum, of its exponentials and of their sum. */
static double loss_size(const struct cross_entropy_args *a)
{
    double sum = 0;
    for (int64_t t = 0; t < a->logits.shape[0]; t++) {
        double most = 0;
        for (int64_t v = 0; v < a->logits.shape[1]; v++)
            most = fmax(most, fabs(get2(a->logits, t, v)));
        sum += fabs(get1(a->weight, t)) * (2 * most + 2 + log((double)a->logits.shape[1]));
    }
    return sum + 10;
}

static void cross_entropy(struct rig *r, const void *params)
{
    const struct loss_case *c = params;
    struct cross_entropy_args a = {.smoothing = c->smoothing, .scale = c->scale, .grad = c->grad};
    struct tensor logits = {"logits",  REAL,    2,        {c->rows, c->classes},
                            c->layout, UNIFORM, -c->size, c->size};
    struct tolerance near = {.l2 = 1e-6, .l2_least = 1e-6};
    a.logits = c->grad ? rig_out(r, logits, near) : rig_in(r, logits);
    struct tensor targets = {"targets",
                             DT_I32,
                             1,
                             {c->rows},
                             DENSE,
                             WHOLE,
                             c->outside ? -5 : 0,
                             (double)c->classes + (c->outside ? 5 : 0)};
    a.targets = rig_in(r, targets);
    struct tensor weight = {"weight", c->weight_type, 1, {c->rows}, DENSE, c->weight, 0.1, 2};
    if (c->weight == WHOLE)
        weight.low = 0;
    a.weight = rig_in(r, weight);
    struct tensor number = {"loss", DT_F64, 1, {1}, DENSE, UNIFORM, 1, 9};
    a.loss = rig_out(r, number, (struct tolerance){.ku = 16});
    if (c->hits) {
        number.name = "hits", number.fill = WHOLE;
        a.hits = rig_out(r, number, (struct tolerance){0});
    }
    double *size = rig_magnitude(r, a.loss);
    if (size)
        size[0] = loss_size(&a);
    RUN(r, cross_entropy, a);
}

static void cross_entropy_cases(void)
{
    parity_begin("cross_entropy");
    for (int i = 0; i < PARITY_SIZES; i++)
        for (int k = 0; k < 8; k++) {
            struct loss_case c = {parity_sizes[(i + k) % 8],
                                  parity_sizes[i],
                                  k & 1 ? GAPS : DENSE,
                                  k % 3 ? UNIFORM : WHOLE,
                                  k & 2 ? DT_F64 : DT_F32,
                                  k & 4 ? 0.1 : 0,
                                  k % 3 ? 1 : 0.01,
                                  k == 5 ? 60 : 5,
                                  k > 1,
                                  k != 4,
                                  false};
            if (c.classes)
                parity_case(cross_entropy, &c, "%lldx%lld, way %d", (long long)c.rows,
                            (long long)c.classes, k);
        }
    struct loss_case c = {9, 1000, DENSE, ZERO, REAL, 0, 1, 5, true, true, true};
    parity_case(cross_entropy, &c, "weight 0, targets anywhere");
    c.weight = UNIFORM, c.classes = 10;
    parity_case(cross_entropy, &c, "targets outside");
    c = (struct loss_case){3, 5003, DENSE, UNIFORM, REAL, 0, 0.5, 20, true, true, false};
    parity_case(cross_entropy, &c, "wide");
    c.grad = false, c.smoothing = 0.2;
    parity_case(cross_entropy, &c, "wide, no gradient");
    parity_end();
}

/* --- clip ------------------------------------------------------------------------------------ */

struct clip_case {
    double sumsq, loss, max_norm;
    bool with_loss;
};

static struct view out_number(struct rig *r, const char *name)
{
    struct tensor t = {name, DT_F64, 0, {0}, DENSE, JUNK, 0, 0};
    return rig_out(r, t, (struct tolerance){.ulp = 1e-7});
}

static void clip(struct rig *r, const void *params)
{
    const struct clip_case *c = params;
    struct clip_args a = {.max_norm = c->max_norm};
    a.sumsq = rig_doubles(r, "sumsq", &c->sumsq, 1);
    if (c->with_loss)
        a.loss = rig_doubles(r, "loss", &c->loss, 1);
    a.norm = out_number(r, "norm");
    a.factor = out_number(r, "factor");
    a.finite = out_number(r, "finite");
    RUN(r, clip, a);
}

static void clip_cases(void)
{
    static const double sums[] = {0, 1e-20, 0.5, 1, 4, 1e30, INFINITY, NAN};
    static const double losses[] = {1, 0, INFINITY, NAN};
    parity_begin("clip");
    for (int s = 0; s < 8; s++)
        for (int l = 0; l < 5; l++)
            for (int m = 0; m < 3; m++) {
                struct clip_case c = {sums[s], l < 4 ? losses[l] : 0, m * 0.7, l < 4};
                if (m > 0 && isnan(c.sumsq))
                    continue; /* the factor is of no use then */
                parity_case(clip, &c, "sum %g, loss %g, most %g", c.sumsq, c.loss, c.max_norm);
            }
    parity_end();
}

const struct parity_test cases_loss[] = {
    {"cross_entropy", cross_entropy_cases}, {"clip", clip_cases}, {NULL, NULL}};
