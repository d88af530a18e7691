/* compare.c -- the comparator of the other tests: it must be able to say no. */
#include "tests/kernels/compare_util.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const double want[4] = {1, -2, 0, 1000};
static const struct tolerance loose = {.ulp = 4, .ku = 16, .least = 1e-6};
static const struct tolerance whole = {.l2 = 1e-6};

static struct comparison against(double a, double b, double c, double d, struct tolerance t)
{
    double got[4] = {a, b, c, d};
    return compare(got, 4, want, 4, NULL, t);
}

static void equal_passes(void **state)
{
    (void)state;
    assert_true(against(1, -2, 0, 1000, (struct tolerance){0}).ok);
    assert_true(against(1, -2, -0.0, 1000, (struct tolerance){0}).ok);
    assert_true(against(1, -2, 0, 1000, whole).ok);
    assert_true(compare(NULL, 0, NULL, 0, NULL, loose).ok);
}

static void nan_fails(void **state)
{
    (void)state;
    struct comparison c = against(1, NAN, 0, 1000, loose);
    assert_false(c.ok);
    assert_int_equal(c.index, 1);
    assert_false(against(1, NAN, 0, 1000, whole).ok);
    double nan_wanted[4] = {1, NAN, 0, 1000};
    assert_false(compare(want, 4, nan_wanted, 4, NULL, loose).ok);
    assert_true(compare(nan_wanted, 4, nan_wanted, 4, NULL, loose).ok);
    assert_true(compare(nan_wanted, 4, nan_wanted, 4, NULL, whole).ok);
}

static void infinity_fails(void **state)
{
    (void)state;
    assert_false(against(1, -2, 0, INFINITY, loose).ok);
    assert_false(against(1, -2, 0, INFINITY, whole).ok);
    assert_false(against(1, -2, 0, INFINITY, (struct tolerance){.least = INFINITY}).ok);
    double up[1] = {INFINITY}, down[1] = {-INFINITY}, most[1] = {3.5e38};
    assert_true(compare(up, 1, up, 1, NULL, loose).ok);
    assert_false(compare(down, 1, up, 1, NULL, loose).ok);
    assert_true(compare(up, 1, most, 1, NULL, loose).ok); /* 3.5e38 is infinite in f32 */
    assert_false(compare(down, 1, most, 1, NULL, loose).ok);
}

static void one_wrong_element_fails(void **state)
{
    (void)state;
    struct comparison c = against(1, -2, 0, 1000.1, loose);
    char text[200];
    assert_false(c.ok);
    assert_int_equal(c.index, 3);
    assert_non_null(strstr(compare_text(&c, text, sizeof text), "element 3"));
    assert_false(against(1, -2, 0, 1000.01, whole).ok);
    assert_false(against(1, -2, 1e-30, 1000, (struct tolerance){0}).ok);
    assert_false(against(2, -1, 0, 1000, loose).ok);
}

static void wrong_shape_fails(void **state)
{
    (void)state;
    assert_false(compare(want, 3, want, 4, NULL, loose).ok);
    assert_false(compare(want, 4, want, 3, NULL, loose).ok);
    assert_false(compare(want, 4, want, 0, NULL, whole).ok);
}

static void bounds_are_exact(void **state)
{
    (void)state;
    double one = 1, ulp = 0x1p-23;
    struct tolerance t = {.ulp = 2};
    double got = one + 2 * ulp;
    assert_true(compare(&got, 1, &one, 1, NULL, t).ok);
    got = one + 2.001 * ulp;
    assert_false(compare(&got, 1, &one, 1, NULL, t).ok);
    double size = 100;
    t = (struct tolerance){.ku = 8};
    got = one + 799 * UNIT;
    assert_true(compare(&got, 1, &one, 1, &size, t).ok);
    got = one + 801 * UNIT;
    assert_false(compare(&got, 1, &one, 1, &size, t).ok);
    size = NAN; /* a broken magnitude allows nothing */
    got = one + ulp;
    assert_false(compare(&got, 1, &one, 1, &size, t).ok);
    double zero = 0, small = 1e-9;
    assert_false(compare(&small, 1, &zero, 1, NULL, whole).ok);
    assert_true(
        compare(&small, 1, &zero, 1, NULL, (struct tolerance){.l2 = 1e-6, .l2_least = 1}).ok);
}

static void ulp_is_right(void **state)
{
    (void)state;
    assert_true(compare_ulp(1, 24) == 0x1p-23);
    assert_true(compare_ulp(-1.99, 24) == 0x1p-23);
    assert_true(compare_ulp(2, 24) == 0x1p-22);
    assert_true(compare_ulp(0, 24) == 0x1p-149);
    assert_true(compare_ulp(1e-45, 24) == 0x1p-149);
    assert_true(compare_ulp(1, 8) == 0x1p-7);
    assert_true(compare_ulp(1, 11) == 0x1p-10);
    assert_true(compare_ulp(1e-7, 11) == 0x1p-24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_passes),      cmocka_unit_test(nan_fails),
        cmocka_unit_test(infinity_fails),    cmocka_unit_test(one_wrong_element_fails),
        cmocka_unit_test(wrong_shape_fails), cmocka_unit_test(bounds_are_exact),
        cmocka_unit_test(ulp_is_right),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
