/* gradcheck_util.c -- four-point differences against backward. */
#include "tests/engine/gradcheck_util.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* the error of the formula is STEP^4 / 30 times the fifth derivative; rounding gives 1e-12 */
#define STEP 3e-4

double gc_random(uint64_t index)
{
    return rng_uniform(rng_key(20240229, RNG_USER), index);
}

/* --- a device that counts which operations ran ----------------------------------------------- */

static int64_t calls[OP_COUNT];
static const struct device_ops *real;

#define OP(name, flags)                                                     \
    static void count_##name(struct device *d, const struct name##_args *a) \
    {                                                                       \
        calls[OP_##name]++;                                                 \
        real->name(d, a);                                                   \
    }
#include "kernels/kernels.def"
#undef OP

void gc_count_calls(struct context *ctx)
{
    static struct device_ops counting;
    real = ctx->device->ops;
    counting = *real;
#define OP(name, flags) counting.name = count_##name;
#include "kernels/kernels.def"
#undef OP
    ctx->device->ops = &counting;
}

int64_t gc_calls(enum op_id id)
{
    return calls[id];
}

struct context *gc_context(const char *device, enum dtype compute)
{
    struct context *ctx = util_context(device, compute, 1);
    ctx->poison = true;
    gc_count_calls(ctx);
    return ctx;
}

/* --- inputs ---------------------------------------------------------------------------------- */

static struct tensor *add_input(struct gradcheck *g, struct tensor *t)
{
    assert_true(g->inputs < GC_INPUTS);
    g->input[g->inputs++] = t;
    return t;
}

struct tensor *gc_frozen(struct gradcheck *g, int ndim, const int64_t *shape, double low,
                         double high)
{
    struct tensor *wide, *t;
    int64_t n = 1;
    for (int i = 0; i < ndim; i++)
        n *= shape[i];
    double *values = mem_alloc((size_t)n * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++)
        values[i] = low + (high - low) * gc_random(g->drawn++);
    CHECK(tensor_from(g->ctx, DT_F64, ndim, shape, values, &wide));
    mem_free(values);
    CHECK(tensor_convert(wide, g->ctx->compute, &t));
    tensor_release(wide);
    return add_input(g, t);
}

struct tensor *gc_leaf(struct gradcheck *g, int ndim, const int64_t *shape, double low, double high)
{
    struct tensor *t = gc_frozen(g, ndim, shape, low, high);
    t->requires_grad = true;
    return t;
}

struct tensor *gc_index(struct gradcheck *g, int64_t n, const int32_t *values)
{
    struct tensor *t;
    CHECK(tensor_from(g->ctx, DT_I32, 1, &n, values, &t));
    return add_input(g, t);
}

/* --- one row --------------------------------------------------------------------------------- */

static double upstream(int output, int64_t i)
{
    return 2 * gc_random((uint64_t)(1000000 * (output + 1) + i)) - 1;
}

static double *read_all(struct tensor *t)
{
    double *values = mem_alloc((size_t)tensor_count(t) * sizeof *values + 1);
    assert_non_null(values);
    CHECK(tensor_read_double(t, values));
    return values;
}

/* sum of upstream * output: what is differentiated */
static double row_value(const struct gc_row *row, struct gradcheck *g)
{
    struct tensor *out[GC_OUTPUTS] = {0};
    double sum = 0;
    g->ctx->grad = false;
    CHECK(row->run(g, out));
    for (int o = 0; o < g->outputs; o++) {
        double *y = read_all(out[o]);
        for (int64_t i = 0; i < tensor_count(out[o]); i++)
            sum += upstream(o, i) * y[i];
        mem_free(y);
        tensor_release(out[o]);
    }
    g->ctx->grad = true;
    return sum;
}

static struct tensor *upstream_tensor(struct tensor *like, int output)
{
    struct tensor *wide, *t;
    int64_t n = tensor_count(like);
    double *r = mem_alloc((size_t)n * sizeof *r);
    assert_non_null(r);
    for (int64_t i = 0; i < n; i++)
        r[i] = upstream(output, i);
    CHECK(tensor_from(like->ctx, DT_F64, like->view.ndim, like->view.shape, r, &wide));
    mem_free(r);
    CHECK(tensor_convert(wide, like->ctx->compute, &t));
    tensor_release(wide);
    return t;
}

/* One scalar out of two outputs, so that both get their gradient in one walk. */
static void walk_two(struct tensor **out, struct tensor **r)
{
    struct tensor *part[2], *sum[2], *loss;
    for (int o = 0; o < 2; o++) {
        CHECK(op_binary(out[o], r[o], BINARY_MUL, 0, &part[o]));
        CHECK(op_sum(part[o], -1, false, &sum[o]));
        tensor_release(part[o]);
    }
    CHECK(op_binary(sum[0], sum[1], BINARY_ADD, 0, &loss));
    CHECK(tensor_backward(loss, NULL));
    tensor_release(sum[0]);
    tensor_release(sum[1]);
    tensor_release(loss);
}

static void row_backward(const struct gc_row *row, struct gradcheck *g)
{
    struct tensor *out[GC_OUTPUTS] = {0}, *r[GC_OUTPUTS] = {0};
    CHECK(row->run(g, out));
    for (int o = 0; o < g->outputs; o++)
        r[o] = upstream_tensor(out[o], o);
    if (g->outputs == 1)
        CHECK(tensor_backward(out[0], r[0]));
    else
        walk_two(out, r);
    for (int o = 0; o < g->outputs; o++) {
        tensor_release(out[o]);
        tensor_release(r[o]);
    }
}

static void row_open(const struct gc_row *row, const char *device, enum dtype compute,
                     struct gradcheck *g)
{
    *g = (struct gradcheck){.ctx = gc_context(device, compute), .kind = row->kind, .outputs = 1};
    row->make(g);
}

static void row_close(struct gradcheck *g)
{
    for (int i = 0; i < g->inputs; i++)
        tensor_release(g->input[i]);
    util_context_free(g->ctx);
}

/* The value with element 'i' of the leaf moved by 'by'; x is put back on the host only. */
static double moved(struct tensor *leaf, double *x, int64_t i, double by, double (*value)(void *),
                    void *ctx)
{
    double at = x[i];
    x[i] = at + by;
    CHECK(tensor_write(leaf, x));
    x[i] = at;
    return value(ctx);
}

void gc_compare(struct tensor *leaf, const double *got, double (*value)(void *), void *ctx,
                const char *what)
{
    int64_t n = tensor_count(leaf);
    double *x = read_all(leaf), diff = 0, norm = 0, floor = 1e-3;
    for (int64_t i = 0; i < n; i++) {
        double near = moved(leaf, x, i, STEP, value, ctx) - moved(leaf, x, i, -STEP, value, ctx);
        double far =
            moved(leaf, x, i, 2 * STEP, value, ctx) - moved(leaf, x, i, -2 * STEP, value, ctx);
        double slope = (8 * near - far) / (12 * STEP);
        norm += slope * slope;
        diff += (got[i] - slope) * (got[i] - slope);
    }
    CHECK(tensor_write(leaf, x));
    mem_free(x);
    double rel = sqrt(diff) / fmax(sqrt(norm), floor); /* the floor: a gradient that is zero */
    if (!(rel <= GC_LIMIT))
        fail_msg("%s: gradient differs from differences by rel %.3g, allowed %.3g", what, rel,
                 GC_LIMIT);
}

struct row_ctx {
    const struct gc_row *row;
    struct gradcheck *g;
};

static double value_of_row(void *ctx)
{
    struct row_ctx *c = ctx;
    return row_value(c->row, c->g);
}

/* A second walk adds the same again. */
static void check_doubled(const struct gc_row *row, struct gradcheck *g, double **first)
{
    row_backward(row, g);
    for (int i = 0; i < g->inputs; i++) {
        if (!g->input[i]->requires_grad)
            continue;
        double *second = read_all(g->input[i]->grad);
        for (int64_t k = 0; k < tensor_count(g->input[i]); k++)
            second[k] /= 2;
        double rel = util_rel_l2(second, first[i], tensor_count(g->input[i]));
        mem_free(second);
        if (!(rel <= 1e-14))
            fail_msg("%s: input %d: after a second walk the gradient is off by %.3g", row->name, i,
                     rel);
    }
}

void gc_check_row(const struct gc_row *row)
{
    struct gradcheck g;
    char what[96];
    double *first[GC_INPUTS] = {0};
    row_open(row, "ref", DT_F64, &g);
    row_backward(row, &g);
    for (int i = 0; i < g.inputs; i++) {
        struct tensor *t = g.input[i];
        if (!t->requires_grad) {
            assert_null(t->grad);
            continue;
        }
        if (!t->grad)
            fail_msg("%s: input %d got no gradient", row->name, i);
        first[i] = read_all(t->grad);
        snprintf(what, sizeof what, "%s: input %d", row->name, i);
        gc_compare(t, first[i], value_of_row, &(struct row_ctx){row, &g}, what);
    }
    check_doubled(row, &g, first);
    for (int i = 0; i < g.inputs; i++)
        mem_free(first[i]);
    row_close(&g);
}

double *gc_gradients(const struct gc_row *row, const char *device, enum dtype compute, int64_t *n)
{
    struct gradcheck g;
    double *all;
    int64_t room = 0;
    row_open(row, device, compute, &g);
    row_backward(row, &g);
    for (int i = 0; i < g.inputs; i++)
        room += g.input[i]->requires_grad ? tensor_count(g.input[i]) : 0;
    all = mem_alloc((size_t)room * sizeof *all);
    assert_non_null(all);
    *n = 0;
    for (int i = 0; i < g.inputs; i++)
        if (g.input[i]->requires_grad) {
            CHECK(tensor_read_double(g.input[i]->grad, all + *n));
            *n += tensor_count(g.input[i]);
        }
    row_close(&g);
    return all;
}
