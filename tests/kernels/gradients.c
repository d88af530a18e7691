/* gradients.c -- the gradients of the ref device against differences of its own values, in f64.
 *
 * A parity test cannot see a formula that is wrong on every device; this one can. The value is the
 * product of an operation's outputs with random upstream gradients. Differences are taken at four
 * points (error h^4), so the bound is tight: 1e-7 of the largest element of the gradient. */
#include "kernels/base/size.h"
#include "tests/kernels/ref_util.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STEP 1e-3
#define BOUND 1e-7

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Is grad the gradient of value() with respect to x? */
static void check(const char *label, double *x, int64_t n, const double *grad,
                  double (*value)(void *ctx), void *ctx)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(grad[i]));
    for (int64_t i = 0; i < n; i++) {
        double was = x[i], f[4];
        for (int k = 0; k < 4; k++) {
            static const double at[4] = {-2, -1, 1, 2};
            x[i] = was + at[k] * STEP;
            f[k] = value(ctx);
        }
        x[i] = was;
        double slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * STEP);
        if (!(fabs(slope - grad[i]) <= BOUND * (most + 1e-3)))
            fail_msg("%s: element %lld: gradient %.12g, difference %.12g", label, (long long)i,
                     grad[i], slope);
    }
}

/* --- elementwise ----------------------------------------------------------------------------- */

#define N 24

struct unary_test {
    enum unary_kind kind;
    double alpha, beta, x[N], y[N], dy[N], dx[N];
};

static double unary_value(void *ctx)
{
    struct unary_test *t = ctx;
    REF(unary, .y = d1(t->y, N), .x = d1(t->x, N), .kind = t->kind, .alpha = t->alpha,
        .beta = t->beta);
    return dot(t->y, t->dy, N);
}

static void unary(void **state)
{
    (void)state;
    for (int kind = 0; kind < UNARY_COUNT; kind++)
        for (int a = 0; a < 4; a++) {
            static const double alphas[] = {1.7, 0, -1, 2};
            static struct unary_test t;
            t.kind = kind, t.alpha = alphas[a], t.beta = 0.3;
            ref_random(t.x, N, 1);
            ref_random(t.dy, N, 2);
            for (int i = 0; i < N; i++) {
                if (fabs(t.x[i]) < 0.01 || fabs(t.x[i] - t.alpha) < 0.01)
                    t.x[i] += 0.05; /* off the kinks */
                if (kind == UNARY_POW || kind == UNARY_LOG || kind == UNARY_SQRT)
                    t.x[i] = fabs(t.x[i]) + 0.3;
            }
            REF(unary_grad, .dx = d1(t.dx, N), .dy = d1(t.dy, N), .x = d1(t.x, N), .kind = kind,
                .alpha = t.alpha, .beta = t.beta);
            char label[32];
            snprintf(label, sizeof label, "unary %d, alpha %g", kind, t.alpha);
            check(label, t.x, N, t.dx, unary_value, &t);
        }
}

struct glu_test {
    enum glu_kind kind;
    double g[N], u[N], y[N], dy[N], dg[N], du[N], again[N];
};

static double glu_value(void *ctx)
{
    struct glu_test *t = ctx;
    REF(glu, .y = d2(t->y, 4, 6), .g = d2(t->g, 4, 6), .u = d2(t->u, 4, 6), .kind = t->kind);
    return dot(t->y, t->dy, N);
}

static void glu(void **state)
{
    (void)state;
    for (int kind = 0; kind < GLU_COUNT; kind++) {
        static struct glu_test t;
        t.kind = kind;
        ref_random(t.g, N, 1);
        ref_random(t.u, N, 2);
        ref_random(t.dy, N, 3);
        REF(glu_grad, .dg = d2(t.dg, 4, 6), .du = d2(t.du, 4, 6), .dy = d2(t.dy, 4, 6),
            .g = d2(t.g, 4, 6), .u = d2(t.u, 4, 6), .y = d2(t.again, 4, 6), .kind = kind);
        check("glu, g", t.g, N, t.dg, glu_value, &t);
        check("glu, u", t.u, N, t.du, glu_value, &t);
        glu_value(&t);
        assert_memory_equal(t.y, t.again, sizeof t.y);
    }
}

/* --- rows ------------------------------------------------------------------------------------ */

#define ROWS 3
#define WIDTH 8

struct norm_test {
    double x[ROWS * WIDTH], res[ROWS * WIDTH], sum[ROWS * WIDTH], y[ROWS * WIDTH];
    double dy[ROWS * WIDTH], dres[ROWS * WIDTH], dx[ROWS * WIDTH];
    double w[WIDTH], dw[WIDTH], rstd[ROWS];
};

/* The sum goes on along the residual path, with its own upstream gradient. */
static double norm_value(void *ctx)
{
    struct norm_test *t = ctx;
    REF(rms_norm, .y = d2(t->y, ROWS, WIDTH), .x = d2(t->x, ROWS, WIDTH),
        .res = d2(t->res, ROWS, WIDTH), .sum = d2(t->sum, ROWS, WIDTH), .w = d1(t->w, WIDTH),
        .rstd = d1(t->rstd, ROWS), .eps = 1e-3);
    return dot(t->y, t->dy, ROWS * WIDTH) + dot(t->sum, t->dres, ROWS * WIDTH);
}

static void rms_norm(void **state)
{
    (void)state;
    static struct norm_test t;
    ref_random(t.x, ROWS * WIDTH, 1);
    ref_random(t.res, ROWS * WIDTH, 2);
    ref_random(t.dy, ROWS * WIDTH, 3);
    ref_random(t.dres, ROWS * WIDTH, 4);
    ref_random(t.w, WIDTH, 5);
    norm_value(&t);
    for (int i = 0; i < WIDTH; i++)
        t.dw[i] = 0;
    REF(rms_norm_grad, .dx = d2(t.dx, ROWS, WIDTH), .dy = d2(t.dy, ROWS, WIDTH),
        .s = d2(t.sum, ROWS, WIDTH), .w = d1(t.w, WIDTH), .rstd = d1(t.rstd, ROWS),
        .dres = d2(t.dres, ROWS, WIDTH), .dw = d1(t.dw, WIDTH));
    check("rms_norm, x", t.x, ROWS * WIDTH, t.dx, norm_value, &t);
    check("rms_norm, res", t.res, ROWS * WIDTH, t.dx, norm_value, &t);
    check("rms_norm, w", t.w, WIDTH, t.dw, norm_value, &t);
}

#define HEADS 2

struct rope_test {
    bool interleaved;
    int64_t pairs;
    double x[ROWS * HEADS * WIDTH], y[ROWS * HEADS * WIDTH], dy[ROWS * HEADS * WIDTH],
        dx[ROWS * HEADS * WIDTH];
};

static const int32_t positions[ROWS] = {0, 3, 71};
static const double frequencies[4] = {1, 0.3, 0.1, 0.01};

static double rope_value(void *ctx)
{
    struct rope_test *t = ctx;
    REF(rope, .y = d3(t->y, ROWS, HEADS, WIDTH), .x = d3(t->x, ROWS, HEADS, WIDTH),
        .pos = i1(positions, ROWS), .inv_freq = d1(frequencies, t->pairs), .scale = 1.3,
        .interleaved = t->interleaved);
    return dot(t->y, t->dy, ROWS * HEADS * WIDTH);
}

static void rope(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        static struct rope_test t;
        t.interleaved = way & 1, t.pairs = way & 2 ? 3 : 4;
        ref_random(t.x, ROWS * HEADS * WIDTH, 1);
        ref_random(t.dy, ROWS * HEADS * WIDTH, 2);
        REF(rope, .y = d3(t.dx, ROWS, HEADS, WIDTH), .x = d3(t.dy, ROWS, HEADS, WIDTH),
            .pos = i1(positions, ROWS), .inv_freq = d1(frequencies, t.pairs), .scale = 1.3,
            .interleaved = t.interleaved, .inverse = true);
        check("rope", t.x, ROWS * HEADS * WIDTH, t.dx, rope_value, &t);
    }
}

struct dropout_test {
    double x[ROWS * WIDTH], y[ROWS * WIDTH], dy[ROWS * WIDTH], dx[ROWS * WIDTH];
};

static void drop(double *to, const double *from)
{
    static const int32_t sample[ROWS] = {4, 4, 9}, offset[ROWS] = {0, 1, 0};
    REF(dropout, .y = d2(to, ROWS, WIDTH), .x = d2(from, ROWS, WIDTH), .sample = i1(sample, ROWS),
        .offset = i1(offset, ROWS), .key = rng_key(1, RNG_DROPOUT), .epoch = 2, .p = 0.4);
}

static double dropout_value(void *ctx)
{
    struct dropout_test *t = ctx;
    drop(t->y, t->x);
    return dot(t->y, t->dy, ROWS * WIDTH);
}

static void dropout(void **state)
{
    (void)state;
    static struct dropout_test t;
    ref_random(t.x, ROWS * WIDTH, 1);
    ref_random(t.dy, ROWS * WIDTH, 2);
    drop(t.dx, t.dy);
    check("dropout", t.x, ROWS * WIDTH, t.dx, dropout_value, &t);
}

/* --- products -------------------------------------------------------------------------------- */

#define M 5
#define K 4
#define P 3

struct linear_test {
    double x[M * K], w[P * K], y[M * P], dy[M * P], dx[M * K], dw[P * K];
};

static double linear_value(void *ctx)
{
    struct linear_test *t = ctx;
    REF(gemm, .dst = d2(t->y, M, P), .x = d2(t->x, M, K), .w = wview_of(d2(t->w, P, K)),
        .trans_w = true, .alpha = 0.7);
    return dot(t->y, t->dy, M * P);
}

/* The three products of training belong together. */
static void linear(void **state)
{
    (void)state;
    static struct linear_test t;
    ref_random(t.x, M * K, 1);
    ref_random(t.w, P * K, 2);
    ref_random(t.dy, M * P, 3);
    REF(gemm, .dst = d2(t.dx, M, K), .x = d2(t.dy, M, P), .w = wview_of(d2(t.w, P, K)),
        .alpha = 0.7);
    REF(gemm, .dst = d2(t.dw, P, K), .x = d2(t.dy, M, P), .w = wview_of(d2(t.x, M, K)),
        .trans_x = true, .alpha = 0.7);
    check("linear, x", t.x, M * K, t.dx, linear_value, &t);
    check("linear, w", t.w, P * K, t.dw, linear_value, &t);
}

struct embed_test {
    double w[M * K], y[P * K], dy[P * K], dw[M * K];
};

static const int32_t chosen[P] = {3, 1, 3};

static double embed_value(void *ctx)
{
    struct embed_test *t = ctx;
    REF(embed, .y = d2(t->y, P, K), .w = wview_of(d2(t->w, M, K)), .ids = i1(chosen, P));
    return dot(t->y, t->dy, P * K);
}

static void embed(void **state)
{
    (void)state;
    static struct embed_test t;
    ref_random(t.w, M * K, 1);
    ref_random(t.dy, P * K, 2);
    REF(scatter_add, .y = d2(t.dw, M, K), .x = d2(t.dy, P, K), .ids = i1(chosen, P));
    check("embed", t.w, M * K, t.dw, embed_value, &t);
}

/* --- loss ------------------------------------------------------------------------------------ */

#define CLASSES 7

struct loss_test {
    double logits[ROWS * CLASSES], grad[ROWS * CLASSES], loss, smoothing;
};

static const int32_t targets[ROWS] = {2, 6, 0};
static const double weights[ROWS] = {1, 0, 0.3};

static double loss_value(void *ctx)
{
    struct loss_test *t = ctx;
    t->loss = 0;
    REF(cross_entropy, .logits = d2(t->logits, ROWS, CLASSES), .targets = i1(targets, ROWS),
        .weight = d1(weights, ROWS), .loss = d1(&t->loss, 1), .smoothing = t->smoothing);
    return t->loss * 0.25;
}

static void cross_entropy(void **state)
{
    (void)state;
    for (int s = 0; s < 3; s++) {
        static struct loss_test t;
        t.smoothing = s * 0.15;
        ref_random(t.logits, ROWS * CLASSES, 1);
        memcpy(t.grad, t.logits, sizeof t.grad);
        double loss = 0;
        REF(cross_entropy, .logits = d2(t.grad, ROWS, CLASSES), .targets = i1(targets, ROWS),
            .weight = d1(weights, ROWS), .loss = d1(&loss, 1), .smoothing = t.smoothing,
            .grad = true, .scale = 0.25);
        assert_true(loss * 0.25 == loss_value(&t));
        check("cross_entropy", t.logits, ROWS * CLASSES, t.grad, loss_value, &t);
        for (int v = 0; v < CLASSES; v++)
            assert_true(t.grad[CLASSES + v] == 0);
    }
}

/* --- attention ------------------------------------------------------------------------------- */

#define HQ 4
#define HK 2
#define D 3
#define TQ 9
#define TK 11

struct attention_test {
    const char *name;
    int32_t q_start[4], k_start[4];
    int sequences;
    int64_t window;
    double softcap;
    bool causal, slopes;
};

static double q[TQ * HQ * D], k[TK * HK * D], v[TK * HK * D], out[TQ * HQ * D], dout[TQ * HQ * D];
static double lse[HQ * TQ], dq[TQ * HQ * D], dk[TK * HK * D], dv[TK * HK * D];
static const double slopes[HQ] = {0.5, 0.25, 0.125, 0};

static double attention_value(void *ctx)
{
    const struct attention_test *t = ctx;
    memset(out, 0, sizeof out);
    REF(attention, .out = d3(out, TQ, HQ, D), .lse = d2(lse, HQ, TQ), .q = d3(q, TQ, HQ, D),
        .k = d3(k, TK, HK, D), .v = d3(v, TK, HK, D), .q_start = i1(t->q_start, t->sequences + 1),
        .k_start = i1(t->k_start, t->sequences + 1), .slopes = d1(t->slopes ? slopes : NULL, HQ),
        .max_q = TQ, .max_k = TK, .window = t->window, .scale = 0.6, .softcap = t->softcap,
        .causal = t->causal);
    return dot(out, dout, TQ * HQ * D);
}

static void attention(void **state)
{
    (void)state;
    static const struct attention_test tests[] = {
        {"full", {0, 9}, {0, 11}, 1, .causal = false},
        {"causal", {0, 9}, {0, 9}, 1, .causal = true},
        {"causal, more keys", {0, 5}, {0, 11}, 1, .causal = true},
        {"causal, more queries", {0, 9}, {0, 6}, 1, .causal = true},
        {"packed", {0, 4, 5, 9}, {0, 4, 7, 11}, 3, .causal = true},
        {"packed, one without keys", {0, 4, 6, 9}, {0, 4, 4, 11}, 3, .causal = true},
        {"window", {0, 4, 9}, {0, 4, 11}, 2, 2, .causal = true},
        {"soft cap", {0, 9}, {0, 9}, 1, .softcap = 1.5, .causal = true},
        {"slopes", {0, 4, 9}, {0, 4, 11}, 2, .causal = true, .slopes = true},
        {"all", {0, 4, 9}, {0, 5, 11}, 2, 3, .softcap = 2, .causal = true, .slopes = true},
    };
    for (int i = 0; i < COUNT_OF(tests); i++) {
        struct attention_test t = tests[i];
        ref_random(q, TQ * HQ * D, 1);
        ref_random(k, TK * HK * D, 2);
        ref_random(v, TK * HK * D, 3);
        ref_random(dout, TQ * HQ * D, 4);
        for (int r = t.q_start[t.sequences]; r < TQ;
             r++) /* rows of no sequence count for nothing */
            for (int j = 0; j < HQ * D; j++)
                dout[r * HQ * D + j] = 0;
        attention_value(&t);
        memset(dq, 0, sizeof dq);
        REF(attention_grad, .dq = d3(dq, TQ, HQ, D), .dk = d3(dk, TK, HK, D),
            .dv = d3(dv, TK, HK, D), .dout = d3(dout, TQ, HQ, D), .out = d3(out, TQ, HQ, D),
            .lse = d2(lse, HQ, TQ), .q = d3(q, TQ, HQ, D), .k = d3(k, TK, HK, D),
            .v = d3(v, TK, HK, D), .q_start = i1(t.q_start, t.sequences + 1),
            .k_start = i1(t.k_start, t.sequences + 1), .slopes = d1(t.slopes ? slopes : NULL, HQ),
            .max_q = TQ, .max_k = TK, .window = t.window, .scale = 0.6, .softcap = t.softcap,
            .causal = t.causal);
        check(t.name, q, TQ * HQ * D, dq, attention_value, &t);
        check(t.name, k, TK * HK * D, dk, attention_value, &t);
        check(t.name, v, TK * HK * D, dv, attention_value, &t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary), cmocka_unit_test(glu),       cmocka_unit_test(rms_norm),
        cmocka_unit_test(rope),  cmocka_unit_test(dropout),   cmocka_unit_test(linear),
        cmocka_unit_test(embed), cmocka_unit_test(attention), cmocka_unit_test(cross_entropy),
    };
    return cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
}
