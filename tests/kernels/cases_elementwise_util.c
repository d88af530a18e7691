/* cases_elementwise_util.c -- copy, fill, unary, unary_grad, binary. */
#include "kernels/ref/ref.h"
#include "tests/kernels/parity_util.h"

#include <math.h>
#include <stdio.h>

#define TINY 0x1p-126 /* results below f32's normal range may be flushed by exp and its kin */

/* The shapes every elementwise operation is tried on. */
struct shaped {
    int ndim;
    int64_t shape[VIEW_DIMS];
    enum layout y, x; /* 'x' the inputs */
};

static const struct shaped odd_shapes[] = {
    {0, {0}, DENSE, DENSE},       {2, {3, 65}, DENSE, DENSE},         {2, {5, 33}, GAPS, GAPS},
    {2, {7, 31}, DENSE, SWAPPED}, {2, {4, 64}, SWAPPED, DENSE},       {2, {6, 127}, DENSE, REPEAT},
    {2, {33, 2}, SPARSE, SPARSE}, {3, {2, 3, 65}, DENSE, GAPS},       {3, {3, 0, 4}, DENSE, DENSE},
    {3, {4, 5, 7}, GAPS, REPEAT}, {4, {2, 3, 2, 17}, DENSE, SWAPPED}, {1, {129}, SPARSE, DENSE},
    {1, {65}, DENSE, REPEAT},     {4, {1, 1, 1, 257}, GAPS, DENSE},
};
#define ODD_SHAPES ((int)(sizeof odd_shapes / sizeof *odd_shapes))
#define ALL_SHAPES (PARITY_SIZES + ODD_SHAPES)

static struct shaped shape_number(int i)
{
    if (i < PARITY_SIZES)
        return (struct shaped){1, {parity_sizes[i]}, DENSE, DENSE};
    return odd_shapes[i - PARITY_SIZES];
}

static struct tensor tensor_of(const char *name, const struct shaped *s, enum layout layout,
                               enum fill fill, double low, double high)
{
    struct tensor t = {name, REAL, s->ndim, {0}, layout, fill, low, high};
    for (int i = 0; i < s->ndim; i++)
        t.shape[i] = s->shape[i];
    return t;
}

/* --- copy and fill --------------------------------------------------------------------------- */

struct copy_case {
    struct shaped s;
    enum dtype to, from;
    enum fill fill;
    double low, high;
};

static void copy(struct rig *r, const void *params)
{
    const struct copy_case *c = params;
    struct tensor src = tensor_of("src", &c->s, c->s.x, c->fill, c->low, c->high);
    struct tensor dst = tensor_of("dst", &c->s, c->s.y, JUNK, 0, 0);
    src.dtype = c->from;
    dst.dtype = c->to;
    struct copy_args a = {.src = rig_in(r, src)};
    a.dst = rig_out(r, dst, (struct tolerance){0});
    RUN(r, copy, a);
}

static void copy_cases(void)
{
    parity_begin("copy");
    for (int to = 0; to < DT_BLOCK; to++)
        for (int from = 0; from < DT_BLOCK; from++) {
            static const int shapes[] = {0, 1, 4, 9, 12, 14, 15, 16, 17, 18, 19, 20, 24};
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
                struct copy_case c = {shape_number(shapes[i]), to, from, NORMAL, 0, 0};
                if (!dtype_is_float(to) || !dtype_is_float(from))
                    c.fill = UNIFORM, c.low = -300.7, c.high = 300.7;
                parity_case(copy, &c, "%s from %s, shape %d", dtype_name(to), dtype_name(from),
                            shapes[i]);
            }
            struct copy_case c = {{1, {257}, DENSE, DENSE}, to, from, SPECIAL, 0, 0};
            parity_case(copy, &c, "%s from %s, special", dtype_name(to), dtype_name(from));
            c = (struct copy_case){{1, {257}, DENSE, DENSE}, to, from, UNIFORM, -70000, 70000};
            parity_case(copy, &c, "%s from %s, wide", dtype_name(to), dtype_name(from));
            c = (struct copy_case){{1, {257}, DENSE, DENSE}, to, from, UNIFORM, -1e-5, 1e-5};
            parity_case(copy, &c, "%s from %s, small", dtype_name(to), dtype_name(from));
        }
    parity_end();
}

struct fill_case {
    struct shaped s;
    enum dtype t;
    double value;
};

static void fill_one(struct rig *r, const void *params)
{
    const struct fill_case *c = params;
    struct tensor dst = tensor_of("dst", &c->s, c->s.y, JUNK, 0, 0);
    dst.dtype = c->t;
    struct fill_args a = {.value = c->value};
    a.dst = rig_out(r, dst, (struct tolerance){0});
    RUN(r, fill, a);
}

static void fill_cases(void)
{
    static const double values[] = {0, 1, -2.5, 1e-3, 255, 1e6, INFINITY, NAN};
    parity_begin("fill");
    for (int t = 0; t < DT_BLOCK; t++)
        for (int i = 0; i < ALL_SHAPES; i++) {
            struct fill_case c = {shape_number(i), t, values[(i + t) % 8]};
            parity_case(fill_one, &c, "%s, shape %d, %g", dtype_name(t), i, c.value);
        }
    parity_end();
}

/* --- unary ----------------------------------------------------------------------------------- */

static const struct function {
    const char *name;
    double alpha, beta, low, high;
    struct tolerance value, slope;
} functions[UNARY_COUNT] = {
    [UNARY_LINEAR] = {"linear", 1.7, -0.3, -4, 4, {.ku = 4}, {.ulp = 2}},
    [UNARY_POW] = {"pow", 1.7, 0, 0.01, 50, {.ulp = 4, .ku = 2}, {.ulp = 6, .ku = 3}},
    [UNARY_NEG] = {"neg", 0, 0, -4, 4, {0}, {0}},
    [UNARY_ABS] = {"abs", 0, 0, -4, 4, {0}, {0}},
    [UNARY_EXP] = {"exp", 0, 0, -80, 80, {.ulp = 4, .least = TINY}, {.ulp = 5, .least = TINY}},
    [UNARY_LOG] = {"log", 0, 0, 1e-3, 1e3, {.ulp = 4}, {.ulp = 2}},
    [UNARY_SQRT] = {"sqrt", 0, 0, 0, 1e3, {.ulp = 1}, {.ulp = 3}},
    [UNARY_TANH] = {"tanh", 0, 0, -10, 10, {.ulp = 4}, {.ku = 8}},
    [UNARY_SIGMOID] = {"sigmoid", 0, 0, -20, 20, {.ulp = 4}, {.ku = 8}},
    [UNARY_SILU] = {"silu", 0, 0, -20, 20, {.ulp = 4, .least = TINY}, {.ku = 8}},
    [UNARY_RELU] = {"relu", 0, 0, -4, 4, {0}, {0}},
    [UNARY_GELU_TANH] = {"gelu", 0, 0, -6, 6, {.ulp = 4, .ku = 8, .least = TINY}, {.ku = 8}},
    [UNARY_SIN] = {"sin", 0, 0, -100, 100, {.ulp = 4, .ku = 1}, {.ulp = 4, .ku = 2}},
    [UNARY_COS] = {"cos", 0, 0, -100, 100, {.ulp = 4, .ku = 1}, {.ulp = 4, .ku = 2}},
    [UNARY_GT] = {"gt", 0.5, 0, -2, 2, {0}, {0}},
    [UNARY_LT] = {"lt", 0.5, 0, -2, 2, {0}, {0}},
    [UNARY_GE] = {"ge", 0.5, 0, -2, 2, {0}, {0}},
    [UNARY_LE] = {"le", 0.5, 0, -2, 2, {0}, {0}},
    [UNARY_EQ] = {"eq", 1, 0, -2, 2, {0}, {0}},
    [UNARY_NE] = {"ne", 1, 0, -2, 2, {0}, {0}},
};

struct unary_case {
    struct shaped s;
    enum unary_kind kind;
    double alpha, beta;
    enum fill fill;
    double low, high;
    bool in_place;
};

/* What rounding inside the formula is measured against: |terms|, or the result times how much it
 * moves with the rounded quantity. */
static double unary_size(const struct unary_case *c, double x)
{
    double y = ref_unary_value(c->kind, c->alpha, c->beta, x);
    switch (c->kind) {
    case UNARY_LINEAR:
        return fabs(c->alpha * x) + fabs(c->beta);
    case UNARY_POW: /* alpha is rounded to f32 */
        return fabs(y) * (1 + fabs(c->alpha * log(fabs(x))));
    case UNARY_GELU_TANH:
        return fabs(y) * (1 + fabs(x) * (1 + 0.1 * x * x));
    case UNARY_SIN:
    case UNARY_COS:
        return 1; /* of argument reduction */
    default:
        return fabs(y);
    }
}

static void unary(struct rig *r, const void *params)
{
    const struct unary_case *c = params;
    struct tensor t = tensor_of("x", &c->s, c->s.x, c->fill, c->low, c->high);
    struct unary_args a = {.kind = c->kind, .alpha = c->alpha, .beta = c->beta};
    struct tolerance tolerance = functions[c->kind].value;
    if (c->in_place) {
        a.y = a.x = rig_out(r, t, tolerance);
    } else {
        a.x = rig_in(r, t);
        a.y = rig_out(r, tensor_of("y", &c->s, c->s.y, JUNK, 0, 0), tolerance);
    }
    double *size = rig_magnitude(r, a.y);
    for (int64_t i = 0; size && i < view_count(a.y); i++)
        size[i] = unary_size(c, get(a.x, i));
    RUN(r, unary, a);
}

/* The gradient's own terms; 's' the slope. */
static double slope_size(const struct unary_case *c, double x)
{
    double s = fabs(ref_unary_slope(c->kind, c->alpha, x));
    switch (c->kind) {
    case UNARY_POW:
        return s * (1 + fabs(c->alpha * log(fabs(x))));
    case UNARY_TANH:
        return 1;
    case UNARY_SIGMOID:
        return ref_unary_value(UNARY_SIGMOID, 0, 0, x);
    case UNARY_SILU:
    case UNARY_GELU_TANH:
        return 1 + fabs(x);
    case UNARY_SIN:
    case UNARY_COS:
        return 1;
    default:
        return s;
    }
}

static void unary_grad(struct rig *r, const void *params)
{
    const struct unary_case *c = params;
    struct unary_grad_args a = {.kind = c->kind, .alpha = c->alpha, .beta = c->beta};
    a.x = rig_in(r, tensor_of("x", &c->s, c->s.x, c->fill, c->low, c->high));
    struct tensor dy = tensor_of("dy", &c->s, c->in_place ? c->s.y : c->s.x, NORMAL, 0, 0);
    struct tolerance tolerance = functions[c->kind].slope;
    if (c->in_place) {
        a.dx = a.dy = rig_out(r, dy, tolerance);
    } else {
        a.dy = rig_in(r, dy);
        a.dx = rig_out(r, tensor_of("dx", &c->s, c->s.y, JUNK, 0, 0), tolerance);
    }
    double *size = rig_magnitude(r, a.dx);
    for (int64_t i = 0; size && i < view_count(a.dx); i++)
        size[i] = fabs(get(a.dy, i)) * slope_size(c, get(a.x, i));
    RUN(r, unary_grad, a);
}

static void each_function(case_fn *fn, bool grad)
{
    for (int k = 0; k < UNARY_COUNT; k++) {
        const struct function *f = &functions[k];
        struct unary_case c = {.kind = k, .alpha = f->alpha, .beta = f->beta};
        c.low = f->low, c.high = f->high, c.fill = UNIFORM;
        for (int i = 0; i < ALL_SHAPES; i++) {
            c.s = shape_number(i);
            parity_case(fn, &c, "%s, shape %d", f->name, i);
        }
        c.s = (struct shaped){2, {5, 65}, GAPS, GAPS};
        c.in_place = true;
        parity_case(fn, &c, "%s, in place", f->name);
        c.in_place = false;
        if (!grad) {
            c.s = (struct shaped){1, {600}, DENSE, DENSE};
            c.fill = SPECIAL;
            if (k != UNARY_SIN && k != UNARY_COS && k != UNARY_POW)
                parity_case(fn, &c, "%s, special", f->name);
        }
        c.fill = UNIFORM;
        c.low = f->low / 100, c.high = f->high / 100;
        c.s = (struct shaped){1, {257}, DENSE, DENSE};
        parity_case(fn, &c, "%s, near 0", f->name);
    }
}

static void pow_cases(case_fn *fn)
{
    static const double alphas[] = {-1, 0, 0.5, 1, 2, 3, -0.5, -2};
    for (int i = 0; i < 8; i++) {
        struct unary_case c = {.s = {1, {129}, DENSE, DENSE}, .kind = UNARY_POW};
        c.alpha = alphas[i], c.fill = UNIFORM, c.low = 0.1, c.high = 9;
        parity_case(fn, &c, "pow %g", c.alpha);
        if (c.alpha == floor(c.alpha)) {
            c.low = -9, c.high = -0.1;
            parity_case(fn, &c, "pow %g of negative numbers", c.alpha);
        }
    }
}

static void unary_cases(void)
{
    parity_begin("unary");
    each_function(unary, false);
    pow_cases(unary);
    parity_end();
}

static void unary_grad_cases(void)
{
    parity_begin("unary_grad");
    each_function(unary_grad, true);
    pow_cases(unary_grad);
    parity_end();
}

/* --- binary ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    struct tolerance t;
} operators[BINARY_COUNT] = {
    [BINARY_ADD] = {"add", {.ulp = 0.5}},
    [BINARY_SUB] = {"sub", {.ulp = 0.5}},
    [BINARY_MUL] = {"mul", {.ulp = 0.5}},
    [BINARY_DIV] = {"div", {.ulp = 1}},
    [BINARY_POW] = {"pow", {.ulp = 4}},
    [BINARY_MAX] = {"max", {0}},
    [BINARY_MIN] = {"min", {0}},
    [BINARY_AXPY] = {"axpy", {.ku = 4}},
    [BINARY_GT] = {"gt", {0}},
    [BINARY_LT] = {"lt", {0}},
    [BINARY_GE] = {"ge", {0}},
    [BINARY_LE] = {"le", {0}},
    [BINARY_EQ] = {"eq", {0}},
    [BINARY_NE] = {"ne", {0}},
};

struct binary_case {
    struct shaped s;
    enum binary_kind kind;
    enum layout b;
    enum fill fill;
    double low, high;
    int in_place; /* 0 no, 1 z is a, 2 z is b, 3 all one */
};

static void binary(struct rig *r, const void *params)
{
    const struct binary_case *c = params;
    struct tolerance t = operators[c->kind].t;
    struct tensor a =
        tensor_of("a", &c->s, c->in_place ? c->s.y : c->s.x, c->fill, c->low, c->high);
    struct tensor b = tensor_of("b", &c->s, c->in_place ? c->s.y : c->b, c->fill, c->low, c->high);
    struct binary_args k = {.kind = c->kind, .alpha = rig_scalar(r, -0.7)};
    k.a = c->in_place & 1 ? rig_out(r, a, t) : rig_in(r, a);
    k.b = c->in_place == 3 ? k.a : c->in_place == 2 ? rig_out(r, b, t) : rig_in(r, b);
    k.z = c->in_place & 1 ? k.a : k.b;
    if (!c->in_place)
        k.z = rig_out(r, tensor_of("z", &c->s, c->s.y, JUNK, 0, 0), t);
    RUN(r, binary, k);
}

static void binary_cases(void)
{
    parity_begin("binary");
    for (int k = 0; k < BINARY_COUNT; k++) {
        struct binary_case c = {.kind = k, .fill = NORMAL};
        if (k == BINARY_POW)
            c.fill = UNIFORM, c.low = 0.1, c.high = 5;
        if (k >= BINARY_GT)
            c.fill = WHOLE, c.low = -2, c.high = 3; /* equal ones too */
        for (int i = 0; i < ALL_SHAPES; i++) {
            c.s = shape_number(i);
            c.b = c.s.x == REPEAT ? DENSE : c.s.x;
            parity_case(binary, &c, "%s, shape %d", operators[k].name, i);
        }
        c.s = (struct shaped){2, {5, 65}, DENSE, DENSE};
        c.b = REPEAT;
        parity_case(binary, &c, "%s, b repeats", operators[k].name);
        c.s.x = GAPS, c.b = SWAPPED;
        parity_case(binary, &c, "%s, mixed strides", operators[k].name);
        for (c.in_place = 1; c.in_place <= 3; c.in_place++)
            parity_case(binary, &c, "%s, in place %d", operators[k].name, c.in_place);
        c.in_place = 0;
        c.s = (struct shaped){1, {1000}, DENSE, DENSE};
        c.b = DENSE, c.fill = SPECIAL;
        if (k != BINARY_POW)
            parity_case(binary, &c, "%s, special", operators[k].name);
    }
    parity_end();
}

const struct parity_test cases_elementwise[] = {
    {"copy", copy_cases},     {"fill", fill_cases},
    {"unary", unary_cases},   {"unary_grad", unary_grad_cases},
    {"binary", binary_cases}, {NULL, NULL},
};
