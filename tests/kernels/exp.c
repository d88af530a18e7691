/* exp.c -- accuracy of the cpu device's exponential functions over all of f32.
 *
 * Every 9973rd bit pattern of a float, denormals, infinities and NaNs among them, against the C
 * library in double, in units of the last place of the exact result; each build of the device that
 * this chip runs. The limits are those that kernels/cpu/exp.h states. */
#include "kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STEP 9973
#define CHUNK 1000 /* not a multiple of any vector: tails are tested too */

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double exact(enum unary_kind kind, double x)
{
    switch (kind) {
    case UNARY_EXP:
        return exp(x);
    case UNARY_TANH:
        return tanh(x);
    case UNARY_SIGMOID:
        return sigmoid(x);
    default:
        return x * sigmoid(x);
    }
}

/* Distance in units of the last place; HUGE_VAL where one is NaN or infinite and the other not. */
static double ulps(float found, double wanted)
{
    float rounded = (float)wanted;
    if (isnan(found) || isnan(wanted))
        return isnan(found) && isnan(wanted) ? 0 : HUGE_VAL;
    if (isinf(found) || isinf(rounded))
        return found == rounded ? 0 : HUGE_VAL;
    int e;
    frexp(wanted, &e);
    return fabs((double)found - wanted) / ldexp(1, (e < -125 ? -125 : e) - 24);
}

static double worst_of(struct device *d, enum unary_kind kind)
{
    float x[CHUNK], y[CHUNK];
    double worst = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        int n = 0;
        for (; n < CHUNK && bits <= UINT32_MAX; n++, bits += STEP) {
            uint32_t u = (uint32_t)bits;
            memcpy(x + n, &u, sizeof u);
        }
        struct unary_args a = {
            .y = view_1d(y, DT_F32, n), .x = view_1d(x, DT_F32, n), .kind = kind};
        assert_int_equal(k_unary(d, &a), OK);
        for (int i = 0; i < n; i++) {
            double e = ulps(y[i], exact(kind, (double)x[i]));
            worst = e <= worst ? worst : e;
        }
    }
    return worst;
}

static void within(enum unary_kind kind, double limit)
{
    static const char *const names[] = {"cpu-plain", "cpu-avx2", "cpu-avx512"};
    for (int i = 0; i < 3; i++) {
        struct device *d;
        if (device_open(names[i], NULL, &d)) {
            print_message("# skipped: %s\n", status_message());
            continue;
        }
        double worst = worst_of(d, kind);
        device_close(d);
        if (!(worst <= limit))
            fail_msg("%s: %.3g ulp, wanted at most %g", names[i], worst, limit);
    }
}

static void test_exp(void **state)
{
    (void)state;
    within(UNARY_EXP, 1);
}

static void test_tanh(void **state)
{
    (void)state;
    within(UNARY_TANH, 2);
}

static void test_sigmoid(void **state)
{
    (void)state;
    within(UNARY_SIGMOID, 3);
}

static void test_silu(void **state)
{
    (void)state;
    within(UNARY_SILU, 3);
}

/* The measure itself must see errors. */
static void test_measure(void **state)
{
    (void)state;
    assert_true(ulps(1, 1 + 0x1p-23) > 0.9 && ulps(1, 1 + 0x1p-23) < 1.1);
    assert_true(ulps(0, 0x1p-149) == 1);
    assert_true(ulps(NAN, 1) == HUGE_VAL && ulps(1, NAN) == HUGE_VAL);
    assert_true(ulps(INFINITY, 1) == HUGE_VAL && ulps(INFINITY, 1e300) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measure), cmocka_unit_test(test_exp),  cmocka_unit_test(test_tanh),
        cmocka_unit_test(test_sigmoid), cmocka_unit_test(test_silu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
