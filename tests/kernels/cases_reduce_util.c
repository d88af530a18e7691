/* cases_reduce_util.c -- reduce, stats, sumsq. */
#include "kernels/ref/ref.h"
#include "tests/kernels/parity_util.h"

#include <math.h>

static struct tensor vector(const char *name, int64_t n, enum fill fill)
{
    return (struct tensor){name, REAL, 1, {n}, DENSE, fill, -3, 3};
}

/* --- reduce ---------------------------------------------------------------------------------- */

struct reduce_case {
    int ndim;
    int64_t shape[VIEW_DIMS];
    unsigned over; /* bit i: dimension i is reduced */
    enum layout layout;
    enum reduce_kind kind;
    enum fill fill;
    double alpha;
    bool accumulate;
};

static void reduce(struct rig *r, const void *params)
{
    const struct reduce_case *c = params;
    struct tensor x = {.name = "x", .dtype = REAL, .ndim = c->ndim, .layout = c->layout};
    x.fill = c->fill;
    struct tensor y = {.name = "y", .dtype = REAL, .ndim = c->ndim};
    y.fill = c->accumulate ? NORMAL : JUNK;
    for (int i = 0; i < c->ndim; i++) {
        x.shape[i] = c->shape[i];
        y.shape[i] = c->over >> i & 1 ? 1 : c->shape[i];
    }
    struct reduce_args a = {.kind = c->kind, .accumulate = c->accumulate};
    a.alpha = rig_scalar(r, c->alpha);
    a.x = rig_in(r, x);
    a.y =
        rig_out(r, y, c->kind == REDUCE_SUM ? (struct tolerance){.ku = 8} : (struct tolerance){0});
    RUN(r, reduce, a);
}

static void reduce_shapes(struct reduce_case c, const char *name)
{
    static const struct {
        int ndim;
        int64_t shape[VIEW_DIMS];
        unsigned over;
        enum layout layout;
    } shapes[] = {
        {2, {5, 65}, 1, DENSE},      {2, {5, 65}, 2, DENSE},      {2, {5, 65}, 3, GAPS},
        {2, {129, 3}, 1, DENSE},     {2, {1, 129}, 1, DENSE},     {2, {33, 64}, 2, SWAPPED},
        {2, {33, 64}, 1, SWAPPED},   {2, {7, 63}, 1, REPEAT},     {2, {7, 63}, 0, DENSE},
        {3, {3, 5, 33}, 5, DENSE},   {3, {3, 5, 33}, 2, GAPS},    {3, {2, 31, 7}, 6, SPARSE},
        {4, {2, 3, 5, 7}, 9, DENSE}, {4, {2, 3, 5, 7}, 6, DENSE}, {4, {2, 3, 5, 7}, 15, SWAPPED},
        {0, {0}, 0, DENSE},          {2, {0, 5}, 2, DENSE},       {2, {1000, 9}, 1, DENSE},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        c.ndim = shapes[i].ndim, c.over = shapes[i].over, c.layout = shapes[i].layout;
        for (int j = 0; j < VIEW_DIMS; j++)
            c.shape[j] = shapes[i].shape[j];
        parity_case(reduce, &c, "%s, shape %zu", name, i);
    }
    c.ndim = 1, c.over = 1, c.layout = DENSE;
    for (int i = c.kind == REDUCE_SUM ? 0 : 1; i < PARITY_SIZES; i++) {
        c.shape[0] = parity_sizes[i];
        parity_case(reduce, &c, "%s of %lld", name, (long long)c.shape[0]);
    }
    c.shape[0] = 70001;
    parity_case(reduce, &c, "%s of 70001", name);
}

static void reduce_cases(void)
{
    parity_begin("reduce");
    struct reduce_case c = {.kind = REDUCE_SUM, .alpha = 1, .fill = NORMAL};
    reduce_shapes(c, "sum");
    c.alpha = -0.25, c.accumulate = true;
    reduce_shapes(c, "sum, scaled, accumulated");
    c = (struct reduce_case){.kind = REDUCE_MAX, .fill = NORMAL};
    reduce_shapes(c, "max");
    c.kind = REDUCE_MIN;
    reduce_shapes(c, "min");
    c.fill = SPECIAL;
    reduce_shapes(c, "min, special");
    c.kind = REDUCE_MAX;
    reduce_shapes(c, "max, special");
    c.kind = REDUCE_SUM, c.alpha = 1, c.ndim = 2, c.over = 2, c.shape[0] = 300, c.shape[1] = 2;
    c.layout = DENSE;
    parity_case(reduce, &c, "sum, special");
    parity_end();
}

/* --- stats ----------------------------------------------------------------------------------- */

struct stats_case {
    struct tensor x;
    int bins;
};

static void stats(struct rig *r, const void *params)
{
    const struct stats_case *c = params;
    struct stats_args a = {.bins = c->bins};
    a.x = rig_in(r, c->x);
    struct tensor out = {"out", DT_F64, 1, {STATS_FIXED + c->bins}, DENSE, JUNK, 0, 0};
    a.out = rig_out(r, out, (struct tolerance){.ku = 1e-2});
    double *size = rig_magnitude(r, a.out), most = 0;
    for (int64_t i = 0; size && i < view_count(a.x); i++)
        if (isfinite(get(a.x, i)))
            most = fmax(most, fabs(get(a.x, i)));
    if (size)
        size[5] = size[6] = most; /* mean and deviation; all others are exact */
    RUN(r, stats, a);
}

static void stats_cases(void)
{
    static const enum dtype types[] = {REAL, DT_F16, DT_BF16, DT_I32, DT_U8, DT_I64};
    parity_begin("stats");
    for (int t = 0; t < 6; t++)
        for (int i = 0; i < PARITY_SIZES; i++) {
            struct stats_case c = {vector("x", parity_sizes[i], UNIFORM), i % 3 * 8};
            c.x.dtype = types[t];
            c.x.low = types[t] == DT_U8 ? 0 : -100, c.x.high = 100;
            parity_case(stats, &c, "type %d, %lld elements", t, (long long)parity_sizes[i]);
        }
    struct stats_case c = {{"x", REAL, 2, {33, 65}, SWAPPED, NORMAL, 0, 0}, 16};
    parity_case(stats, &c, "swapped");
    c.x.layout = SPARSE;
    parity_case(stats, &c, "sparse");
    c.x.layout = GAPS, c.x.fill = ZERO;
    parity_case(stats, &c, "all equal");
    c.x = (struct tensor){"x", REAL, 1, {1}, DENSE, SPECIAL, 0, 0};
    for (int i = 0; i < 12; i++)
        parity_case(stats, &c, "one special, %d", i);
    c.x.shape[0] = 500, c.bins = 0;
    parity_case(stats, &c, "special");
    parity_end();
}

/* --- sumsq ----------------------------------------------------------------------------------- */

static void sumsq(struct rig *r, const void *params)
{
    struct sumsq_args a = {.x = rig_in(r, *(const struct tensor *)params)};
    struct tensor out = {"out", DT_F64, 1, {1}, DENSE, UNIFORM, 1, 2};
    a.out = rig_out(r, out, (struct tolerance){.ku = 8});
    RUN(r, sumsq, a);
}

static void sumsq_cases(void)
{
    parity_begin("sumsq");
    for (int i = 0; i < PARITY_SIZES; i++) {
        struct tensor x = vector("x", parity_sizes[i], NORMAL);
        parity_case(sumsq, &x, "%lld elements", (long long)parity_sizes[i]);
    }
    struct tensor x = vector("x", 70001, NORMAL);
    parity_case(sumsq, &x, "70001 elements");
    x = (struct tensor){"x", REAL, 2, {33, 65}, SWAPPED, NORMAL, 0, 0};
    parity_case(sumsq, &x, "swapped");
    x.layout = GAPS;
    parity_case(sumsq, &x, "gaps");
    x.layout = SPARSE;
    parity_case(sumsq, &x, "sparse");
    x = vector("x", 3, SPECIAL);
    for (int i = 0; i < 20; i++)
        parity_case(sumsq, &x, "special %d", i);
    parity_end();
}

const struct parity_test cases_reduce[] = {
    {"reduce", reduce_cases}, {"stats", stats_cases}, {"sumsq", sumsq_cases}, {NULL, NULL}};
