/* ref.c -- the ref device against examples small enough to work out by hand.
 *
 * ref is what all other devices are measured by, so nothing here uses it to say what is right. */
#include "kernels/base/size.h"
#include "kernels/quant.h"
#include "tests/kernels/ref_util.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define EPS 1e-14

static void all_near(const double *got, const double *want, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        ref_near(got[i], want[i], EPS * (1 + fabs(want[i])), what);
}

/* --- views ----------------------------------------------------------------------------------- */

static void views(void **state)
{
    (void)state;
    double x[24];
    struct view v = d3(x, 2, 3, 4);
    assert_int_equal(view_count(v), 24);
    assert_true(view_is_contiguous(v));
    struct view s = view_slice(v, 1, 1, 2);
    assert_ptr_equal(s.data, x + 4);
    assert_int_equal(view_count(s), 16);
    assert_false(view_is_contiguous(s));
    assert_true(view_is_contiguous(view_slice(v, 0, 1, 1)));
    assert_true(view_same_shape(v, d3(NULL, 2, 3, 4)));
    assert_false(view_same_shape(v, d3(NULL, 2, 4, 3)));
    assert_false(view_same_shape(v, d2(NULL, 6, 4)));
    assert_int_equal(view_count((struct view){x, DT_F64, 0, {0}, {0}}), 1);
    assert_true(view_is_contiguous(d2(x, 0, 5)));
    /* where there is one row, or one column, its stride means nothing */
    assert_true(view_is_contiguous((struct view){x, DT_F64, 3, {1, 4, 1}, {77, 1, 99}}));
    assert_false(view_is_contiguous((struct view){x, DT_F64, 2, {2, 2}, {2, 0}}));
    struct wview w = wview_of(view_slice(d2(x, 4, 6), 1, 2, 3));
    assert_true(w.rows == 4 && w.cols == 3 && w.row_stride == 6 && w.data == x + 2);
    assert_string_equal(w.format->name, "f64");
    assert_int_equal(dtype_bytes(DT_BLOCK), 0);
    assert_int_equal(dtype_bytes(DT_BF16), 2);
    assert_string_equal(dtype_name(DT_U8), "u8");
    assert_string_equal(dtype_name((enum dtype)77), "?");
    assert_false(dtype_is_float(DT_I32));
    assert_true(dtype_is_float(DT_F16));
    assert_string_equal(op_name(OP_gemm), "gemm");
    assert_string_equal(op_name(OP_COUNT), "?");
}

/* --- copy ------------------------------------------------------------------------------------ */

static void copy_rounds_once(void **state)
{
    (void)state;
    /* just above the middle of two halves: through f32 it would become the middle, then even */
    double x[4] = {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11, 65519.9999999999, -(1 + 0x1p-8 + 0x1p-50)};
    uint16_t h[4];
    REF(copy, .dst = view_1d(h, DT_F16, 3), .src = d1(x, 3));
    assert_int_equal(h[0], 0x3C01);
    assert_int_equal(h[1], 0x3C00);
    assert_int_equal(h[2], 0x7BFF);
    REF(copy, .dst = view_1d(h, DT_BF16, 4), .src = d1(x, 4));
    assert_int_equal(h[0], 0x3F80);
    assert_int_equal(h[3], 0xBF81);
}

static void copy_of_integers(void **state)
{
    (void)state;
    int64_t big[3] = {INT64_C(9007199254740993), -1, INT64_C(0x1234567800000007)}, again[3];
    int32_t small[6];
    uint8_t bytes[6];
    REF(copy, .dst = view_1d(again, DT_I64, 3), .src = view_1d(big, DT_I64, 3));
    assert_memory_equal(again, big, sizeof big);
    REF(copy, .dst = view_1d(small, DT_I32, 3), .src = view_1d(big, DT_I64, 3));
    assert_int_equal(small[1], -1);
    assert_int_equal(small[2], 7); /* wraps */
    double x[6] = {-1.9, 1.9, 300, NAN, INFINITY, -INFINITY};
    REF(copy, .dst = view_1d(bytes, DT_U8, 6), .src = d1(x, 6));
    static const uint8_t want[6] = {0, 1, 255, 0, 255, 0};
    assert_memory_equal(bytes, want, 6);
    REF(copy, .dst = view_1d(small, DT_I32, 6), .src = d1(x, 6));
    static const int32_t want32[6] = {-1, 1, 300, 0, INT32_MAX, INT32_MIN};
    assert_memory_equal(small, want32, sizeof want32);
    int64_t ends[6];
    REF(copy, .dst = view_1d(ends, DT_I64, 6), .src = d1(x, 6));
    assert_true(ends[4] == INT64_MAX && ends[5] == INT64_MIN && ends[3] == 0);
}

static void copy_transposes_and_repeats(void **state)
{
    (void)state;
    double x[6] = {1, 2, 3, 4, 5, 6}, y[6];
    struct view t = {x, DT_F64, 2, {3, 2}, {1, 3}};
    REF(copy, .dst = d2(y, 3, 2), .src = t);
    all_near(y, (double[]){1, 4, 2, 5, 3, 6}, 6, "transposed");
    struct view repeated = {x, DT_F64, 2, {2, 3}, {0, 1}};
    REF(copy, .dst = d2(y, 2, 3), .src = repeated);
    all_near(y, (double[]){1, 2, 3, 1, 2, 3}, 6, "repeated");
    REF(fill, .dst = d1(y, 6), .value = 2.5);
    assert_true(y[0] == 2.5 && y[5] == 2.5);
}

/* --- elementwise ----------------------------------------------------------------------------- */

static void unary_values(void **state)
{
    (void)state;
    static const struct {
        enum unary_kind kind;
        double alpha, beta, x, want;
    } cases[] = {
        {UNARY_LINEAR, 3, -1, 2, 5},
        {UNARY_POW, 3, 0, -2, -8},
        {UNARY_NEG, 0, 0, 2, -2},
        {UNARY_ABS, 0, 0, -2, 2},
        {UNARY_EXP, 0, 0, 1, 2.7182818284590452},
        {UNARY_LOG, 0, 0, 2, 0.69314718055994531},
        {UNARY_SQRT, 0, 0, 2, 1.4142135623730951},
        {UNARY_TANH, 0, 0, 0.5, 0.46211715726000976},
        {UNARY_SIGMOID, 0, 0, 1, 0.73105857863000488},
        {UNARY_SIGMOID, 0, 0, -800, 0},
        {UNARY_SILU, 0, 0, 1, 0.73105857863000488},
        {UNARY_SILU, 0, 0, -2, -0.23840584404423513},
        {UNARY_RELU, 0, 0, -2, 0},
        {UNARY_RELU, 0, 0, 2, 2},
        {UNARY_GELU_TANH, 0, 0, 1, 0.84119199060827617},
        {UNARY_GELU_TANH, 0, 0, -3, -0.0036373920817729943},
        {UNARY_SIN, 0, 0, 1, 0.84147098480789651},
        {UNARY_COS, 0, 0, 1, 0.54030230586813972},
        {UNARY_GT, 1, 0, 1, 0},
        {UNARY_GE, 1, 0, 1, 1},
        {UNARY_LT, 1, 0, 0, 1},
        {UNARY_LE, 1, 0, 2, 0},
        {UNARY_EQ, 1, 0, 1, 1},
        {UNARY_NE, 1, 0, 1, 0},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        double x = cases[i].x, y = NAN;
        REF(unary, .y = d1(&y, 1), .x = d1(&x, 1), .kind = cases[i].kind, .alpha = cases[i].alpha,
            .beta = cases[i].beta);
        ref_near(y, cases[i].want, 4e-15, "unary");
    }
    double nan = NAN, y = 0;
    REF(unary, .y = d1(&y, 1), .x = d1(&nan, 1), .kind = UNARY_RELU);
    assert_true(isnan(y));
    double zero = 0, one = 1;
    REF(unary_grad, .dx = d1(&y, 1), .dy = d1(&one, 1), .x = d1(&zero, 1), .kind = UNARY_RELU);
    assert_true(y == 0);
    REF(unary_grad, .dx = d1(&y, 1), .dy = d1(&one, 1), .x = d1(&zero, 1), .kind = UNARY_POW);
    assert_true(y == 0); /* x^0 is flat, even where x^-1 is infinite */
}

static void binary_values(void **state)
{
    (void)state;
    static const double want[BINARY_COUNT] = {5, -1, 6, 2.0 / 3, 8, 3, 2, 8, 0, 1, 0, 1, 0, 1};
    double a = 2, b = 3, z = 0, nan = NAN;
    for (int k = 0; k < BINARY_COUNT; k++) {
        REF(binary, .z = d1(&z, 1), .a = d1(&a, 1), .b = d1(&b, 1), .kind = k, .alpha = 2);
        ref_near(z, want[k], EPS, "binary");
    }
    for (int k = BINARY_MAX; k <= BINARY_MIN; k++) {
        REF(binary, .z = d1(&z, 1), .a = d1(&nan, 1), .b = d1(&b, 1), .kind = k);
        assert_true(isnan(z));
        REF(binary, .z = d1(&z, 1), .a = d1(&b, 1), .b = d1(&nan, 1), .kind = k);
        assert_true(isnan(z));
    }
}

static void reductions(void **state)
{
    (void)state;
    double x[6] = {1, -2, 3, 10, 20, 30}, y[3] = {100, 100, 100};
    REF(reduce, .y = d2(y, 1, 3), .x = d2(x, 2, 3), .kind = REDUCE_SUM, .alpha = 1);
    all_near(y, (double[]){11, 18, 33}, 3, "sum of columns");
    REF(reduce, .y = d2(y, 2, 1), .x = d2(x, 2, 3), .kind = REDUCE_SUM, .alpha = 0.5,
        .accumulate = true);
    all_near(y, (double[]){12, 48}, 2, "sum of rows, added");
    REF(reduce, .y = d2(y, 2, 1), .x = d2(x, 2, 3), .kind = REDUCE_MAX);
    all_near(y, (double[]){3, 30}, 2, "max of rows");
    REF(reduce, .y = d2(y, 1, 1), .x = d2(x, 2, 3), .kind = REDUCE_MIN);
    all_near(y, (double[]){-2}, 1, "min of all");
    x[1] = NAN;
    REF(reduce, .y = d2(y, 2, 1), .x = d2(x, 2, 3), .kind = REDUCE_MAX);
    assert_true(isnan(y[0]) && y[1] == 30);
    REF(reduce, .y = d2(y, 1, 3), .x = d2(x, 0, 3), .kind = REDUCE_SUM, .alpha = 1);
    all_near(y, (double[]){0, 0, 0}, 3, "sum of nothing");
    double sum = 1, three[2] = {3, 4};
    REF(sumsq, .out = d1(&sum, 1), .x = d1(three, 2));
    assert_true(sum == 26);
}

static void statistics(void **state)
{
    (void)state;
    double x[8] = {1, 2, 3, 4, NAN, INFINITY, -INFINITY, 2}, out[STATS_FIXED + 3];
    REF(stats, .out = d1(out, STATS_FIXED + 3), .x = d1(x, 8), .bins = 3);
    all_near(out, (double[]){5, 1, 2, 1, 4, 2.4, sqrt(1.04), 1, 2, 2}, 10, "stats");
    REF(stats, .out = d1(out, STATS_FIXED + 3), .x = d1(x + 4, 3), .bins = 3);
    all_near(out, (double[]){0, 1, 2, 0, 0, 0, 0, 0, 0, 0}, 10, "nothing finite");
    uint8_t bytes[3] = {0, 0, 255};
    REF(stats, .out = d1(out, STATS_FIXED), .x = view_1d(bytes, DT_U8, 3));
    all_near(out, (double[]){3, 0, 0, 0, 255, 85}, 6, "bytes");
}

/* --- products -------------------------------------------------------------------------------- */

static const double two[4] = {1, 2, 3, 4}, other[4] = {5, 6, 7, 8};

static void gemm_two_by_two(void **state)
{
    (void)state;
    static const double want[4][4] = {
        {19, 22, 43, 50}, /* x w */
        {26, 30, 38, 44}, /* x^T w */
        {17, 23, 39, 53}, /* x w^T */
        {23, 31, 34, 46}, /* x^T w^T */
    };
    for (int t = 0; t < 4; t++) {
        double y[4] = {NAN, NAN, NAN, NAN};
        REF(gemm, .dst = d2(y, 2, 2), .x = d2(two, 2, 2), .w = wview_of(d2(other, 2, 2)),
            .trans_x = t & 1, .trans_w = t >> 1, .alpha = 1);
        all_near(y, want[t], 4, "2x2");
    }
    double y[4] = {1, 1, 1, 1}, bias[2] = {100, 200};
    REF(gemm, .dst = d2(y, 2, 2), .x = d2(two, 2, 2), .w = wview_of(d2(other, 2, 2)), .alpha = 2,
        .beta = -1, .epilogue = EPILOGUE_BIAS, .bias = d1(bias, 2));
    all_near(y, (double[]){137, 243, 185, 299}, 4, "alpha, beta, bias");
    REF(gemm, .dst = d2(y, 2, 2), .x = d2(two, 2, 0), .w = wview_of(d2(other, 0, 2)), .alpha = 2,
        .beta = 0.5);
    all_near(y, (double[]){68.5, 121.5, 92.5, 149.5}, 4, "no terms");
}

static void gemm_reads_stored_weights(void **state)
{
    (void)state;
    enum { K = 256 };
    float w[2 * K], decoded[2 * K];
    unsigned char stored[2 * K * 8];
    double x[K], y[2], want[2];
    for (int i = 0; i < 2 * K; i++)
        w[i] = (float)rng_normal(rng_key(3, RNG_USER), (uint64_t)i);
    ref_random(x, K, 4);
    for (int f = 0; f < formats_count; f++) {
        formats[f].encode(w, stored, 2 * K);
        formats[f].decode(stored, decoded, 2 * K);
        struct wview stored_w = {
            .format = &formats[f], .data = stored, .rows = 2, .cols = K, .row_stride = K};
        REF(gemm, .dst = d2(y, 1, 2), .x = d2(x, 1, K), .w = stored_w, .trans_w = true, .alpha = 1);
        for (int j = 0; j < 2; j++) {
            want[j] = 0;
            for (int i = 0; i < K; i++)
                want[j] += x[i] * (double)decoded[K * j + i];
        }
        all_near(y, want, 2, formats[f].name);
    }
    /* f64 is read exactly, not through f32 */
    double fine = 1 + 0x1p-40, one = 1;
    REF(gemm, .dst = d2(y, 1, 1), .x = d2(&one, 1, 1), .w = wview_of(d2(&fine, 1, 1)), .alpha = 1);
    assert_true(y[0] == fine);
}

static void embedding(void **state)
{
    (void)state;
    static const double w[6] = {1, 2, 3, 4, 5, 6};
    static const int32_t ids[5] = {2, 0, 3, -1, 2};
    double y[10], sum[6] = {0};
    REF(embed, .y = d2(y, 5, 2), .w = wview_of(d2(w, 3, 2)), .ids = i1(ids, 5));
    all_near(y, (double[]){5, 6, 1, 2}, 4, "rows");
    assert_true(isnan(y[4]) && isnan(y[5]) && isnan(y[6]) && isnan(y[7]) && y[8] == 5);
    double x[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    REF(scatter_add, .y = d2(sum, 3, 2), .x = d2(x, 5, 2), .ids = i1(ids, 5));
    all_near(sum, (double[]){3, 4, 0, 0, 10, 12}, 6, "added to their rows");
}

/* --- rows ------------------------------------------------------------------------------------ */

static void norm_by_hand(void **state)
{
    (void)state;
    double x[2] = {1, 1}, res[2] = {2, 3}, w[2] = {1, 2}, y[2], rstd = NAN;
    double r = 1 / sqrt(12.5 + 0.5);
    REF(rms_norm, .y = d2(y, 1, 2), .x = d2(x, 1, 2), .res = d2(res, 1, 2), .sum = d2(x, 1, 2),
        .w = d1(w, 2), .rstd = d1(&rstd, 1), .eps = 0.5);
    all_near(x, (double[]){3, 4}, 2, "sum over x");
    all_near(y, (double[]){3 * r, 8 * r}, 2, "norm");
    ref_near(rstd, r, EPS, "rstd");
    double dy[2] = {1, 1}, dx[2], dw[2] = {10, 10};
    REF(rms_norm_grad, .dx = d2(dx, 1, 2), .dy = d2(dy, 1, 2), .s = d2(x, 1, 2), .w = d1(w, 2),
        .rstd = d1(&rstd, 1), .dw = d1(dw, 2));
    double mean = (3 * r + 8 * r) / 2;
    all_near(dx, (double[]){r * (1 - 3 * r * mean), r * (2 - 4 * r * mean)}, 2, "dx");
    all_near(dw, (double[]){10 + 3 * r, 10 + 4 * r}, 2, "dw is added to");
}

static void rope_by_hand(void **state)
{
    (void)state;
    static const int32_t pos[1] = {2};
    static const double freq[2] = {0.5, 0.25};
    double x[5] = {1, 2, 3, 4, 5}, y[5];
    double c0 = cos(1), s0 = sin(1), c1 = cos(0.5), s1 = sin(0.5);
    REF(rope, .y = d3(y, 1, 1, 5), .x = d3(x, 1, 1, 5), .pos = i1(pos, 1), .inv_freq = d1(freq, 2),
        .scale = 1);
    all_near(y, (double[]){c0 - 3 * s0, 2 * c1 - 4 * s1, s0 + 3 * c0, 2 * s1 + 4 * c1, 5}, 5,
             "half-split");
    REF(rope, .y = d3(y, 1, 1, 5), .x = d3(x, 1, 1, 5), .pos = i1(pos, 1), .inv_freq = d1(freq, 2),
        .scale = 2, .interleaved = true);
    all_near(y,
             (double[]){2 * (c0 - 2 * s0), 2 * (s0 + 2 * c0), 2 * (3 * c1 - 4 * s1),
                        2 * (3 * s1 + 4 * c1), 5},
             5, "interleaved, scaled");
    REF(rope, .y = d3(y, 1, 1, 5), .x = d3(y, 1, 1, 5), .pos = i1(pos, 1), .inv_freq = d1(freq, 2),
        .scale = 0.5, .interleaved = true, .inverse = true);
    all_near(y, x, 5, "there and back, in place");
}

/* The angle between two positions counts, not where they stand. */
static void rope_is_relative(void **state)
{
    (void)state;
    static const double freq[4] = {1, 0.1, 0.01, 0.001};
    double q[8], k[8], first = 0;
    ref_random(q, 8, 1);
    ref_random(k, 8, 2);
    for (int32_t start = 0; start < 1000; start += 333) {
        int32_t at[2] = {start + 7, start};
        double qk[16], dot = 0;
        memcpy(qk, q, sizeof q);
        memcpy(qk + 8, k, sizeof k);
        REF(rope, .y = d3(qk, 2, 1, 8), .x = d3(qk, 2, 1, 8), .pos = i1(at, 2),
            .inv_freq = d1(freq, 4), .scale = 1);
        for (int i = 0; i < 8; i++)
            dot += qk[i] * qk[8 + i];
        if (start == 0)
            first = dot;
        ref_near(dot, first, 1e-12, "q.k at the same distance");
    }
}

static void glu_by_hand(void **state)
{
    (void)state;
    double g[2] = {1, -2}, u[2] = {3, 0.5}, y[2];
    REF(glu, .y = d2(y, 1, 2), .g = d2(g, 1, 2), .u = d2(u, 1, 2), .kind = GLU_SILU);
    all_near(y, (double[]){3 * 0.73105857863000488, -0.5 * 0.23840584404423513}, 2, "silu");
    REF(glu, .y = d2(y, 1, 2), .g = d2(g, 1, 2), .u = d2(u, 1, 2), .kind = GLU_GELU_TANH);
    ref_near(y[0], 3 * 0.84119199060827617, 1e-14, "gelu");
}

static void dropout_masks(void **state)
{
    (void)state;
    enum { ROWS = 40, COLS = 50 };
    static double x[ROWS * COLS], y[ROWS * COLS], again[ROWS * COLS];
    int32_t sample[ROWS], offset[ROWS];
    struct rng_key key = rng_key(9, RNG_DROPOUT);
    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = 1;
    for (int i = 0; i < ROWS; i++)
        sample[i] = i / 7, offset[i] = i % 7;
    REF(dropout, .y = d2(y, ROWS, COLS), .x = d2(x, ROWS, COLS), .sample = i1(sample, ROWS),
        .offset = i1(offset, ROWS), .key = key, .epoch = 3, .channel_base = 5, .p = 0.25);
    double kept = 0;
    for (int t = 0; t < ROWS; t++)
        for (int c = 0; c < COLS; c++) {
            uint32_t counter[4] = {(uint32_t)sample[t], (uint32_t)offset[t], 5 + (uint32_t)c / 4,
                                   3};
            uint32_t word[4];
            rng_philox(key, counter, word);
            double want = (word[c % 4] >> 8) >= 0x400000 ? 1 / 0.75 : 0;
            ref_near(y[t * COLS + c], want, EPS, "kept or not");
            kept += want > 0;
        }
    assert_true(fabs(kept / (ROWS * COLS) - 0.75) < 0.05);
    /* a row alone gets the mask it had among others */
    REF(dropout, .y = d2(again, 1, COLS), .x = d2(x, 1, COLS), .sample = i1(sample + 9, 1),
        .offset = i1(offset + 9, 1), .key = key, .epoch = 3, .channel_base = 5, .p = 0.25);
    assert_memory_equal(again, y + 9 * COLS, COLS * sizeof *y);
    REF(dropout, .y = d2(again, ROWS, COLS), .x = d2(x, ROWS, COLS), .sample = i1(sample, ROWS),
        .offset = i1(offset, ROWS), .key = key, .p = 0);
    assert_memory_equal(again, x, sizeof x);
    REF(dropout, .y = d2(again, ROWS, COLS), .x = d2(x, ROWS, COLS), .sample = i1(sample, ROWS),
        .offset = i1(offset, ROWS), .key = key, .p = 1);
    for (int i = 0; i < ROWS * COLS; i++)
        assert_true(again[i] == 0);
}

/* --- loss and optimisers --------------------------------------------------------------------- */

static void cross_entropy_by_hand(void **state)
{
    (void)state;
    double l3 = log(3);
    double logits[8] = {0, l3, l3, 0, NAN, INFINITY, 0, l3}; /* p = 1/4, 3/4, or the other way */
    static const int32_t targets[4] = {1, 1, 77, 0};
    static const double weight[4] = {1, 0.5, 0, -2};
    double loss = 10, hits = 1;
    REF(cross_entropy, .logits = d2(logits, 4, 2), .targets = i1(targets, 4),
        .weight = d1(weight, 4), .loss = d1(&loss, 1), .hits = d1(&hits, 1));
    double want = 10 - log(0.75) - 0.5 * log(0.25) + 2 * log(0.25);
    ref_near(loss, want, 1e-14, "loss is added to");
    assert_true(hits == 2); /* row 0; row 1 misses, rows 2 and 3 do not count */
    assert_true(isnan(logits[4]));
    loss = 0;
    REF(cross_entropy, .logits = d2(logits, 4, 2), .targets = i1(targets, 4),
        .weight = d1(weight, 4), .loss = d1(&loss, 1), .grad = true, .scale = 4);
    all_near(logits, (double[]){1, -1, 1.5, -1.5, 0, 0, 6, -6}, 8, "gradient");
    double two_logits[2] = {0, l3};
    loss = 0;
    REF(cross_entropy, .logits = d2(two_logits, 1, 2), .targets = i1(targets, 1),
        .weight = d1(weight, 1), .loss = d1(&loss, 1), .smoothing = 0.2, .grad = true, .scale = 1);
    ref_near(loss, -0.9 * log(0.75) - 0.1 * log(0.25), 1e-14, "smoothed loss");
    all_near(two_logits, (double[]){0.15, -0.15}, 2, "smoothed gradient");
    loss = 0;
    double outside[2] = {0, 0};
    static const int32_t wrong[1] = {2};
    REF(cross_entropy, .logits = d2(outside, 1, 2), .targets = i1(wrong, 1),
        .weight = d1(weight, 1), .loss = d1(&loss, 1), .grad = true, .scale = 1);
    assert_true(isnan(loss) && isnan(outside[0]) && isnan(outside[1]));
    double far[2] = {-1e5, 1e5}; /* no overflow on the way */
    loss = 0;
    REF(cross_entropy, .logits = d2(far, 1, 2), .targets = i1((const int32_t[]){0}, 1),
        .weight = d1(weight, 1), .loss = d1(&loss, 1));
    assert_true(loss == 2e5);
}

static void clipping(void **state)
{
    (void)state;
    static const struct {
        double sumsq, loss, max_norm, norm, factor, finite;
    } cases[] = {
        {25, 1, 1, 5, 1 / (5 + 1e-6), 1},
        {25, 1, 10, 5, 1, 1},
        {25, 1, 0, 5, 1, 1},
        {25, NAN, 10, 5, 1, 0},
        {25, INFINITY, 10, 5, 1, 0},
        {INFINITY, 1, 1, INFINITY, 0, 0},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        double norm = -1, factor = -1, finite = -1;
        REF(clip, .sumsq = d1(&cases[i].sumsq, 1), .loss = d1(&cases[i].loss, 1),
            .norm = d1(&norm, 1), .factor = d1(&factor, 1), .finite = d1(&finite, 1),
            .max_norm = cases[i].max_norm);
        assert_true(norm == cases[i].norm && factor == cases[i].factor &&
                    finite == cases[i].finite);
    }
    double nan = NAN, norm = 0, factor = 0, finite = 1;
    REF(clip, .sumsq = d1(&nan, 1), .norm = d1(&norm, 1), .factor = d1(&factor, 1),
        .finite = d1(&finite, 1));
    assert_true(isnan(norm) && finite == 0);
}

static void adamw_by_hand(void **state)
{
    (void)state;
    double p = 1, g = 0.5, m = 0, v = 0, factor = 0.5, finite = 1;
    /* step 1: the corrected moments are g and g^2, so p moves by lr in the direction of g */
    REF(adamw, .p = d1(&p, 1), .g = d1(&g, 1), .m = d1(&m, 1), .v = d1(&v, 1),
        .factor = d1(&factor, 1), .finite = d1(&finite, 1), .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99,
        .eps = 1e-8, .weight_decay = 0.01, .step = 1);
    ref_near(m, 0.025, EPS, "m");
    ref_near(v, 0.000625, EPS, "v");
    ref_near(p, 0.999 - 0.1 * 0.25 / (0.25 + 1e-8), EPS, "p after step 1");
    /* step 2 with gradient -1: m = 0.0225 - 0.1, v = 0.00061875 + 0.01 */
    double was = p;
    g = -2;
    REF(adamw, .p = d1(&p, 1), .g = d1(&g, 1), .m = d1(&m, 1), .v = d1(&v, 1),
        .factor = d1(&factor, 1), .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .step = 2);
    ref_near(m, -0.0775, EPS, "m");
    ref_near(v, 0.01061875, EPS, "v");
    ref_near(p, was + 0.1 * (0.0775 / 0.19) / (sqrt(0.01061875 / 0.0199) + 1e-8), EPS,
             "p after step 2");
    finite = 0;
    g = NAN;
    double before[3] = {p, m, v};
    REF(adamw, .p = d1(&p, 1), .g = d1(&g, 1), .m = d1(&m, 1), .v = d1(&v, 1),
        .finite = d1(&finite, 1), .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .step = 3);
    assert_true(p == before[0] && m == before[1] && v == before[2]);
}

static void sgd_by_hand(void **state)
{
    (void)state;
    double p = 1, g = 0.5, m = 2;
    REF(sgd, .p = d1(&p, 1), .g = d1(&g, 1), .m = d1(&m, 1), .lr = 0.1, .momentum = 0.5,
        .weight_decay = 0.25);
    ref_near(m, 1.75, EPS, "m"); /* 0.5 * 2 + 0.5 + 0.25 */
    ref_near(p, 0.825, EPS, "p");
    REF(sgd, .p = d1(&p, 1), .g = d1(&g, 1), .lr = 0.1);
    ref_near(p, 0.775, EPS, "p without momentum");
}

/* --- attention ------------------------------------------------------------------------------- */

static void one_key_gives_its_value(void **state)
{
    (void)state;
    double q[6], k[2], v[2] = {7, -3}, out[6], lse[3];
    ref_random(q, 6, 1);
    ref_random(k, 2, 2);
    REF(attention, .out = d3(out, 1, 3, 2), .lse = d2(lse, 3, 1), .q = d3(q, 1, 3, 2),
        .k = d3(k, 1, 1, 2), .v = d3(v, 1, 1, 2), .q_start = i1((const int32_t[]){0, 1}, 2),
        .k_start = i1((const int32_t[]){0, 1}, 2), .max_q = 1, .max_k = 1, .scale = 0.7);
    all_near(out, (double[]){7, -3, 7, -3, 7, -3}, 6, "v");
    for (int h = 0; h < 3; h++)
        ref_near(lse[h], 0.7 * (q[2 * h] * k[0] + q[2 * h + 1] * k[1]), EPS, "lse is the score");
}

/* Scores 0 and log 3: weights 1/4 and 3/4. */
static void weights_by_hand(void **state)
{
    (void)state;
    double q[1] = {2}, k[2] = {0, log(3)}, v[2] = {4, 8}, out[1], lse[1];
    REF(attention, .out = d3(out, 1, 1, 1), .lse = d2(lse, 1, 1), .q = d3(q, 1, 1, 1),
        .k = d3(k, 2, 1, 1), .v = d3(v, 2, 1, 1), .q_start = i1((const int32_t[]){0, 1}, 2),
        .k_start = i1((const int32_t[]){0, 2}, 2), .max_q = 1, .max_k = 2, .scale = 0.5);
    ref_near(out[0], 7, EPS, "weighted sum");
    ref_near(lse[0], log(4), EPS, "lse");
    double c = 1.5, s1 = c * tanh(log(3) / c), p1 = exp(s1) / (1 + exp(s1));
    REF(attention, .out = d3(out, 1, 1, 1), .q = d3(q, 1, 1, 1), .k = d3(k, 2, 1, 1),
        .v = d3(v, 2, 1, 1), .q_start = i1((const int32_t[]){0, 1}, 2),
        .k_start = i1((const int32_t[]){0, 2}, 2), .max_q = 1, .max_k = 2, .scale = 0.5,
        .softcap = c);
    ref_near(out[0], 4 + 4 * p1, 1e-14, "soft cap");
    double slope = -log(2); /* key 1 stands at distance 0, key 0 at -1: it gains log 2 */
    REF(attention, .out = d3(out, 1, 1, 1), .q = d3(q, 1, 1, 1), .k = d3(k, 2, 1, 1),
        .v = d3(v, 2, 1, 1), .q_start = i1((const int32_t[]){0, 1}, 2),
        .k_start = i1((const int32_t[]){0, 2}, 2), .slopes = d1(&slope, 1), .max_q = 1, .max_k = 2,
        .scale = 0.5, .causal = true);
    ref_near(out[0], 4 + 4 * 0.6, 1e-14, "slope");
}

enum { Q = 5, KEYS = 7 };

/* With all keys equal each query takes the mean of the values it sees; v = position shows which. */
static void means(double *out, bool causal, int64_t window, int nq, int nk)
{
    static double q[Q], k[KEYS], v[KEYS];
    for (int i = 0; i < KEYS; i++)
        v[i] = i;
    int32_t q_start[2] = {0, nq}, k_start[2] = {0, nk};
    REF(attention, .out = d3(out, nq, 1, 1), .q = d3(q, nq, 1, 1), .k = d3(k, nk, 1, 1),
        .v = d3(v, nk, 1, 1), .q_start = i1(q_start, 2), .k_start = i1(k_start, 2), .max_q = nq,
        .max_k = nk, .scale = 1, .causal = causal, .window = window);
}

static void who_sees_whom(void **state)
{
    (void)state;
    double out[Q];
    means(out, false, 0, 3, 7);
    all_near(out, (double[]){3, 3, 3}, 3, "all");
    means(out, true, 0, 5, 5);
    all_near(out, (double[]){0, 0.5, 1, 1.5, 2}, 5, "causal");
    means(out, true, 0, 3, 7); /* aligned at the end: query 0 sees keys 0..4 */
    all_near(out, (double[]){2, 2.5, 3}, 3, "causal, more keys");
    means(out, true, 0, 5, 3); /* queries 0 and 1 see nothing */
    all_near(out, (double[]){0, 0, 0, 0.5, 1}, 5, "causal, more queries");
    means(out, true, 2, 3, 7);
    all_near(out, (double[]){3.5, 4.5, 5.5}, 3, "window 2");
    means(out, true, 1, 5, 5);
    all_near(out, (double[]){0, 1, 2, 3, 4}, 5, "window 1");
    means(out, true, 100, 5, 5);
    all_near(out, (double[]){0, 0.5, 1, 1.5, 2}, 5, "wide window");
}

static void no_key_gives_zeros(void **state)
{
    (void)state;
    double q[2] = {1, 2}, k[2], v[2], out[2] = {9, 9}, lse[2], grad[6] = {5, 5, 5, 5, 5, 5};
    const int32_t q_start[2] = {0, 2}, k_start[2] = {0, 0};
    REF(attention, .out = d3(out, 2, 1, 1), .lse = d2(lse, 1, 2), .q = d3(q, 2, 1, 1),
        .k = d3(k, 2, 1, 1), .v = d3(v, 2, 1, 1), .q_start = i1(q_start, 2),
        .k_start = i1(k_start, 2), .max_q = 2, .scale = 1, .causal = true);
    assert_true(out[0] == 0 && out[1] == 0 && lse[0] == -INFINITY && lse[1] == -INFINITY);
    k[0] = k[1] = v[0] = v[1] = 1;
    REF(attention_grad, .dq = d3(grad, 2, 1, 1), .dk = d3(grad + 2, 2, 1, 1),
        .dv = d3(grad + 4, 2, 1, 1), .dout = d3(q, 2, 1, 1), .out = d3(out, 2, 1, 1),
        .lse = d2(lse, 1, 2), .q = d3(q, 2, 1, 1), .k = d3(k, 2, 1, 1), .v = d3(v, 2, 1, 1),
        .q_start = i1(q_start, 2), .k_start = i1(k_start, 2), .max_q = 2, .scale = 1,
        .causal = true);
    for (int i = 0; i < 6; i++)
        assert_true(grad[i] == 0);
}

/* Query head h reads key head h / (Hq / Hk). */
static void heads_are_grouped(void **state)
{
    (void)state;
    double q[4] = {1, 1, 1, 1}, k[2] = {1, 1}, v[2] = {10, 20}, out[4];
    REF(attention, .out = d3(out, 1, 4, 1), .q = d3(q, 1, 4, 1), .k = d3(k, 1, 2, 1),
        .v = d3(v, 1, 2, 1), .q_start = i1((const int32_t[]){0, 1}, 2),
        .k_start = i1((const int32_t[]){0, 1}, 2), .max_q = 1, .max_k = 1, .scale = 1);
    all_near(out, (double[]){10, 10, 20, 20}, 4, "grouped");
}

/* Two sequences in one call give the bits of two calls, and pages those of rows in a line. */
static void packed_and_paged(void **state)
{
    (void)state;
    enum { T = 9, W = 4, PAGE = 2 };
    double q[T * W], k[T * W], v[T * W], packed[T * W], alone[T * W];
    ref_random(q, T * W, 1);
    ref_random(k, T * W, 2);
    ref_random(v, T * W, 3);
    const int32_t start[3] = {0, 4, 9}, len[2] = {4, 5};
    REF(attention, .out = d3(packed, T, 1, W), .q = d3(q, T, 1, W), .k = d3(k, T, 1, W),
        .v = d3(v, T, 1, W), .q_start = i1(start, 3), .k_start = i1(start, 3), .max_q = 5,
        .max_k = 5, .scale = 0.5, .causal = true);
    for (int s = 0; s < 2; s++) {
        int32_t own[2] = {0, len[s]};
        int64_t at = start[s] * W;
        REF(attention, .out = d3(alone + at, len[s], 1, W), .q = d3(q + at, len[s], 1, W),
            .k = d3(k + at, len[s], 1, W), .v = d3(v + at, len[s], 1, W), .q_start = i1(own, 2),
            .k_start = i1(own, 2), .max_q = 5, .max_k = 5, .scale = 0.5, .causal = true);
    }
    assert_memory_equal(packed, alone, sizeof packed);
    static const int32_t pages[6] = {5, 1, 77, 0, 4, 2}; /* 77 is behind the end: never followed */
    double paged_k[12 * W], paged_v[12 * W], paged[T * W];
    memset(paged_k, 0xFF, sizeof paged_k); /* NaN where no key lies */
    memset(paged_v, 0xFF, sizeof paged_v);
    for (int s = 0; s < 2; s++)
        for (int j = 0; j < len[s]; j++) {
            int64_t row = pages[3 * s + j / PAGE] * PAGE + j % PAGE;
            memcpy(paged_k + row * W, k + (start[s] + j) * W, W * sizeof *k);
            memcpy(paged_v + row * W, v + (start[s] + j) * W, W * sizeof *v);
        }
    REF(attention, .out = d3(paged, T, 1, W), .q = d3(q, T, 1, W), .k = d3(paged_k, 12, 1, W),
        .v = d3(paged_v, 12, 1, W), .q_start = i1(start, 3), .k_len = i1(len, 2),
        .pages = view_2d((void *)(uintptr_t)pages, DT_I32, 2, 3), .page_rows = PAGE, .max_q = 5,
        .max_k = 5, .scale = 0.5, .causal = true);
    assert_memory_equal(paged, packed, sizeof packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),
        cmocka_unit_test(copy_rounds_once),
        cmocka_unit_test(copy_of_integers),
        cmocka_unit_test(copy_transposes_and_repeats),
        cmocka_unit_test(unary_values),
        cmocka_unit_test(binary_values),
        cmocka_unit_test(reductions),
        cmocka_unit_test(statistics),
        cmocka_unit_test(gemm_two_by_two),
        cmocka_unit_test(gemm_reads_stored_weights),
        cmocka_unit_test(embedding),
        cmocka_unit_test(norm_by_hand),
        cmocka_unit_test(rope_by_hand),
        cmocka_unit_test(rope_is_relative),
        cmocka_unit_test(glu_by_hand),
        cmocka_unit_test(dropout_masks),
        cmocka_unit_test(cross_entropy_by_hand),
        cmocka_unit_test(clipping),
        cmocka_unit_test(adamw_by_hand),
        cmocka_unit_test(sgd_by_hand),
        cmocka_unit_test(one_key_gives_its_value),
        cmocka_unit_test(weights_by_hand),
        cmocka_unit_test(who_sees_whom),
        cmocka_unit_test(no_key_gives_zeros),
        cmocka_unit_test(heads_are_grouped),
        cmocka_unit_test(packed_and_paged),
    };
    return cmocka_run_group_tests_name("ref", tests, NULL, NULL);
}
