/* cases_rows_util.c -- operations on rows: rms_norm, rope, glu, dropout, and their gradients. */
#include "kernels/ref/ref.h"
#include "tests/kernels/parity_util.h"

#include <math.h>

#define TINY 0x1p-126

/* --- rms_norm -------------------------------------------------------------------------------- */

enum { NO_RES = 0, RES = 1, SUM_IS_X = 2, SUM_IS_RES = 3, SUM_ONLY = 4, NORM_WAYS = 5 };

struct norm_case {
    int64_t rows, width;
    enum layout layout;
    int way;
    bool rstd, dw;
    double size;
};

static struct tensor rows_of(const char *name, const struct norm_case *c, enum fill fill)
{
    return (struct tensor){name, REAL, 2, {c->rows, c->width}, c->layout, fill, -c->size, c->size};
}

static void rms_norm(struct rig *r, const void *params)
{
    const struct norm_case *c = params;
    static const struct tolerance once = {.ulp = 0.5};
    bool res = c->way != NO_RES && c->way != SUM_ONLY;
    struct rms_norm_args a = {.eps = 1e-5};
    struct tensor w = {"w", REAL, 1, {c->width}, DENSE, NORMAL, 0, 0};
    a.w = rig_in(r, w);
    struct tensor x = rows_of("x", c, UNIFORM), s = rows_of("res", c, UNIFORM);
    a.x = c->way == SUM_IS_X ? rig_out(r, x, once) : rig_in(r, x);
    if (res)
        a.res = c->way == SUM_IS_RES ? rig_out(r, s, once) : rig_in(r, s);
    if (c->way == SUM_IS_X)
        a.sum = a.x;
    else if (c->way == SUM_IS_RES)
        a.sum = a.res;
    else if (c->way != NO_RES)
        a.sum = rig_out(r, rows_of("sum", c, JUNK), once);
    a.y = rig_out(r, rows_of("y", c, JUNK), (struct tolerance){.ulp = 8, .least = TINY});
    if (c->rstd) {
        struct tensor rstd = {"rstd", REAL, 1, {c->rows}, DENSE, JUNK, 0, 0};
        a.rstd = rig_out(r, rstd, (struct tolerance){.ulp = 8});
    }
    RUN(r, rms_norm, a);
}

static void norm_sizes(case_fn *fn, int ways)
{
    for (int way = 0; way < ways; way++)
        for (int i = 1; i < PARITY_SIZES; i++)
            for (int l = DENSE; l <= GAPS; l++) {
                struct norm_case c = {parity_sizes[(i * 5 + way) % PARITY_SIZES],
                                      parity_sizes[i],
                                      l,
                                      way,
                                      i % 2 == 0,
                                      i % 3 > 0,
                                      3};
                parity_case(fn, &c, "%lldx%lld, way %d, layout %d", (long long)c.rows,
                            (long long)c.width, way, l);
            }
    static const double sizes[] = {1e-4, 1e-12, 1e4, 1e12};
    for (int i = 0; i < 4; i++) {
        struct norm_case c = {3, 65, DENSE, 0, true, true, sizes[i]};
        parity_case(fn, &c, "numbers of size %g", sizes[i]);
    }
    struct norm_case c = {2, 3000, DENSE, 0, true, true, 1};
    parity_case(fn, &c, "2x3000");
    c.rows = 300, c.width = 40;
    parity_case(fn, &c, "300x40");
}

static void rms_norm_cases(void)
{
    parity_begin("rms_norm");
    norm_sizes(rms_norm, NORM_WAYS);
    parity_end();
}

enum { PLAIN, DRES, DX_IS_DY, DX_IS_DRES, GRAD_WAYS };

/* The terms of dx and dw, each with its absolute value. */
static void norm_grad_sizes(struct rig *r, const struct rms_norm_grad_args *a, int64_t rows,
                            int64_t width)
{
    double *dx = rig_magnitude(r, a->dx);
    double *dw = ref_given(a->dw) ? rig_magnitude(r, a->dw) : NULL;
    for (int64_t i = 0; dw && i < width; i++)
        dw[i] = fabs(get1(a->dw, i));
    for (int64_t t = 0; dx && t < rows; t++) {
        double rstd = get1(a->rstd, t), mean = 0;
        for (int64_t i = 0; i < width; i++)
            mean += fabs(get2(a->dy, t, i) * get1(a->w, i) * get2(a->s, t, i) * rstd);
        mean /= (double)width;
        for (int64_t i = 0; i < width; i++) {
            double dy = get2(a->dy, t, i), n = get2(a->s, t, i) * rstd;
            dx[t * width + i] = rstd * (fabs(dy * get1(a->w, i)) + fabs(n) * mean);
            if (ref_given(a->dres))
                dx[t * width + i] += fabs(get2(a->dres, t, i));
            if (dw)
                dw[i] += fabs(dy * n);
        }
    }
}

static void rms_norm_grad(struct rig *r, const void *params)
{
    const struct norm_case *c = params;
    static const struct tolerance t = {.ku = 16, .least = TINY};
    struct rms_norm_grad_args a = {0};
    struct tensor w = {"w", REAL, 1, {c->width}, DENSE, NORMAL, 0, 0};
    struct tensor rstd = {"rstd", REAL, 1, {c->rows}, DENSE, UNIFORM, 0.5 / c->size, 2 / c->size};
    struct tensor dw = {"dw", REAL, 1, {c->width}, DENSE, NORMAL, 0, 0};
    struct tensor dy = rows_of("dy", c, NORMAL), dres = rows_of("dres", c, NORMAL);
    a.w = rig_in(r, w);
    a.s = rig_in(r, rows_of("s", c, UNIFORM));
    a.rstd = rig_in(r, rstd);
    a.dy = c->way == DX_IS_DY ? rig_out(r, dy, t) : rig_in(r, dy);
    if (c->way == DRES)
        a.dres = rig_in(r, dres);
    if (c->way == DX_IS_DRES)
        a.dres = rig_out(r, dres, t);
    if (c->dw)
        a.dw = rig_out(r, dw, t);
    a.dx = c->way == DX_IS_DY ? a.dy : a.dres;
    if (c->way == PLAIN || c->way == DRES)
        a.dx = rig_out(r, rows_of("dx", c, JUNK), t);
    norm_grad_sizes(r, &a, c->rows, c->width);
    RUN(r, rms_norm_grad, a);
}

static void rms_norm_grad_cases(void)
{
    parity_begin("rms_norm_grad");
    norm_sizes(rms_norm_grad, GRAD_WAYS);
    parity_end();
}

/* --- rope ------------------------------------------------------------------------------------ */

struct rope_case {
    int64_t rows, heads, width, pairs;
    enum layout layout;
    bool interleaved, inverse, in_place;
    double scale, high;
    bool f32; /* frequencies stored so */
};

static void rope_sizes(struct rig *r, const struct rope_args *a, const struct rope_case *c)
{
    double *size = rig_magnitude(r, a->y);
    for (int64_t i = 0; size && i < c->rows * c->heads; i++)
        for (int64_t j = 0; j < c->width; j++) {
            int64_t other = c->interleaved ? j ^ 1 : j < c->pairs ? j + c->pairs : j - c->pairs;
            int64_t at = i * c->width + j;
            size[at] = 0; /* copied */
            if (j < 2 * c->pairs)
                size[at] = c->scale * (fabs(get(a->x, at)) + fabs(get(a->x, at - j + other)));
        }
}

static void rope(struct rig *r, const void *params)
{
    const struct rope_case *c = params;
    struct rope_args a = {.scale = c->scale, .interleaved = c->interleaved, .inverse = c->inverse};
    double freq[256];
    for (int64_t i = 0; i < c->pairs; i++)
        freq[i] = pow(10000, -(double)i / (double)c->pairs);
    struct tensor inv = {"inv_freq", DT_F32, 1, {c->pairs}, DENSE, UNIFORM, 0, 1};
    a.inv_freq = c->f32 ? rig_in(r, inv) : rig_doubles(r, "inv_freq", freq, c->pairs);
    struct tensor pos = {"pos", DT_I32, 1, {c->rows}, DENSE, WHOLE, 0, c->high};
    a.pos = rig_in(r, pos);
    struct tensor x = {"x", REAL, 3, {c->rows, c->heads, c->width}, c->layout, NORMAL, 0, 0};
    struct tolerance t = {.ku = 8};
    if (c->in_place) {
        a.x = a.y = rig_out(r, x, t);
    } else {
        a.x = rig_in(r, x);
        x.name = "y", x.fill = JUNK;
        a.y = rig_out(r, x, t);
    }
    rope_sizes(r, &a, c);
    RUN(r, rope, a);
}

static void rope_cases(void)
{
    static const int64_t widths[][2] = {{64, 32}, {8, 4}, {2, 1},    {66, 33}, {80, 16},
                                        {5, 2},   {7, 0}, {128, 64}, {34, 15}};
    parity_begin("rope");
    for (int i = 0; i < 9; i++)
        for (int k = 0; k < 8; k++) {
            struct rope_case c = {parity_sizes[(i + k) % 8],
                                  k % 3 + 1,
                                  widths[i][0],
                                  widths[i][1],
                                  k & 1 ? GAPS : DENSE,
                                  k >> 1 & 1,
                                  k >> 2,
                                  (i + k) % 3 == 0,
                                  k % 2 ? 1 : 1.19,
                                  k < 6 ? 300 : 100000,
                                  k == 3};
            parity_case(rope, &c, "%lldx%lldx%lld, way %d", (long long)c.rows, (long long)c.heads,
                        (long long)c.width, k);
        }
    struct rope_case c = {33, 2, 64, 32, DENSE, false, false, false, 1, 5000, true};
    parity_case(rope, &c, "frequencies in f32");
    parity_end();
}

/* --- glu ------------------------------------------------------------------------------------- */

struct glu_case {
    int64_t rows, width;
    enum layout layout;
    enum glu_kind kind;
    int way;
    double size;
};

/* gelu moves with its rounded inner line, by more the further down its tail it is */
static struct tolerance glu_tolerance(enum glu_kind kind)
{
    return kind == GLU_SILU ? (struct tolerance){.ulp = 6, .least = TINY}
                            : (struct tolerance){.ulp = 6, .ku = 8, .least = TINY};
}

static double glu_size(enum glu_kind kind, double g, double factor)
{
    enum unary_kind act = kind == GLU_SILU ? UNARY_SILU : UNARY_GELU_TANH;
    return fabs(ref_unary_value(act, 0, 0, g) * factor) * (1 + fabs(g) * (1 + 0.1 * g * g));
}

static struct tensor glu_tensor(const char *name, const struct glu_case *c, enum fill fill,
                                double size)
{
    return (struct tensor){name, REAL, 2, {c->rows, c->width}, c->layout, fill, -size, size};
}

static void glu(struct rig *r, const void *params)
{
    const struct glu_case *c = params;
    struct tolerance t = glu_tolerance(c->kind);
    struct tensor g = glu_tensor("g", c, UNIFORM, c->size), u = glu_tensor("u", c, UNIFORM, 3);
    struct glu_args a = {.kind = c->kind};
    a.g = c->way == 1 ? rig_out(r, g, t) : rig_in(r, g);
    a.u = c->way == 2 ? rig_out(r, u, t) : rig_in(r, u);
    a.y = c->way == 1 ? a.g : a.u;
    if (c->way == 0)
        a.y = rig_out(r, glu_tensor("y", c, JUNK, 0), t);
    double *size = rig_magnitude(r, a.y);
    for (int64_t i = 0; size && i < view_count(a.y); i++)
        size[i] = glu_size(c->kind, get(a.g, i), get(a.u, i));
    RUN(r, glu, a);
}

static void glu_grad_sizes(struct rig *r, const struct glu_grad_args *a)
{
    double *dg = rig_magnitude(r, a->dg), *du = rig_magnitude(r, a->du);
    double *y = ref_given(a->y) ? rig_magnitude(r, a->y) : NULL;
    for (int64_t i = 0; dg && i < view_count(a->dg); i++) {
        double g = get(a->g, i), u = get(a->u, i), dy = get(a->dy, i);
        dg[i] = fabs(dy * u) * (1 + fabs(g));
        du[i] = glu_size(a->kind, g, dy);
        if (y)
            y[i] = glu_size(a->kind, g, u);
    }
}

/* ways: 0 all apart; 1 dg is g, du is u; 2 dg is dy; 3 du is dy; +4: y given; 8: y is dy */
static void glu_grad(struct rig *r, const void *params)
{
    const struct glu_case *c = params;
    struct tolerance t = glu_tolerance(c->kind), slope = {.ku = 8, .least = TINY};
    int way = c->way & 3;
    bool y_is_dy = c->way & 8, own_y = c->way & 4;
    struct tensor g = glu_tensor("g", c, UNIFORM, c->size), u = glu_tensor("u", c, UNIFORM, 3);
    struct tensor dy = glu_tensor("dy", c, NORMAL, 0);
    struct glu_grad_args a = {.kind = c->kind};
    a.g = way == 1 ? rig_out(r, g, slope) : rig_in(r, g);
    a.u = way == 1 ? rig_out(r, u, t) : rig_in(r, u);
    a.dy = way == 2              ? rig_out(r, dy, slope)
           : way == 3 || y_is_dy ? rig_out(r, dy, t)
                                 : rig_in(r, dy);
    a.dg = way == 1 ? a.g : a.dy;
    a.du = way == 1 ? a.u : a.dy;
    if (way == 0 || way == 3)
        a.dg = rig_out(r, glu_tensor("dg", c, JUNK, 0), slope);
    if (way == 0 || way == 2)
        a.du = rig_out(r, glu_tensor("du", c, JUNK, 0), t);
    if (y_is_dy)
        a.y = a.dy;
    else if (own_y)
        a.y = rig_out(r, glu_tensor("y", c, JUNK, 0), t);
    glu_grad_sizes(r, &a);
    RUN(r, glu_grad, a);
}

static void glu_all(case_fn *fn, const int *ways, int n)
{
    for (int kind = 0; kind < GLU_COUNT; kind++)
        for (int w = 0; w < n; w++)
            for (int i = 0; i < PARITY_SIZES; i++) {
                struct glu_case c = {parity_sizes[(3 * i + w) % 8],
                                     parity_sizes[i],
                                     (i + w) % 2 ? GAPS : DENSE,
                                     kind,
                                     ways[w],
                                     i % 3 ? 4 : 15};
                parity_case(fn, &c, "kind %d, %lldx%lld, way %d", kind, (long long)c.rows,
                            (long long)c.width, ways[w]);
            }
}

static void glu_cases(void)
{
    static const int ways[] = {0, 1, 2};
    parity_begin("glu");
    glu_all(glu, ways, 3);
    parity_end();
}

static void glu_grad_cases(void)
{
    static const int ways[] = {0, 1, 2, 3, 4, 5, 8, 9};
    parity_begin("glu_grad");
    glu_all(glu_grad, ways, 8);
    parity_end();
}

/* --- dropout --------------------------------------------------------------------------------- */

struct dropout_case {
    int64_t rows, width;
    enum layout layout;
    double p;
    uint32_t epoch, base;
    bool in_place;
};

static void dropout(struct rig *r, const void *params)
{
    const struct dropout_case *c = params;
    struct tensor sample = {"sample", DT_I32, 1, {c->rows}, DENSE, WHOLE, 0, 1000};
    struct tensor offset = {"offset", DT_I32, 1, {c->rows}, SPARSE, COUNTING, 5, 0};
    struct tensor x = {"x", REAL, 2, {c->rows, c->width}, c->layout, NORMAL, 0, 0};
    struct dropout_args a = {.p = c->p, .epoch = c->epoch, .channel_base = c->base};
    a.key = rng_key(1234, RNG_DROPOUT);
    a.sample = rig_in(r, sample);
    a.offset = rig_in(r, offset);
    struct tolerance t = {.ulp = 2};
    if (c->in_place) {
        a.x = a.y = rig_out(r, x, t);
    } else {
        a.x = rig_in(r, x);
        x.name = "y", x.fill = JUNK;
        a.y = rig_out(r, x, t);
    }
    RUN(r, dropout, a);
}

static void dropout_cases(void)
{
    static const double ps[] = {0, 0.1, 0.5, 0.999, 1, 1.0 / 3};
    parity_begin("dropout");
    for (int p = 0; p < 6; p++)
        for (int i = 0; i < PARITY_SIZES; i++) {
            struct dropout_case c = {parity_sizes[(i + p) % 8],
                                     parity_sizes[i],
                                     i % 2 ? GAPS : DENSE,
                                     ps[p],
                                     (uint32_t)i,
                                     (uint32_t)p * 77,
                                     (i + p) % 3 == 0};
            parity_case(dropout, &c, "%lldx%lld, p %g", (long long)c.rows, (long long)c.width, c.p);
        }
    parity_end();
}

const struct parity_test cases_rows[] = {
    {"rms_norm", rms_norm_cases},
    {"rms_norm_grad", rms_norm_grad_cases},
    {"rope", rope_cases},
    {"glu", glu_cases},
    {"glu_grad", glu_grad_cases},
    {"dropout", dropout_cases},
    {NULL, NULL},
};
