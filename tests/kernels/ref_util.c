/* ref_util.c -- calling the ref device on plain arrays. */
#include "tests/kernels/ref_util.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static _Alignas(64) char room[4 << 20];

struct device *ref_device(void)
{
    static struct device *d;
    if (!d)
        assert_int_equal(device_open("ref", NULL, &d), OK);
    return d;
}

struct scratch ref_scratch(size_t bytes)
{
    assert_true(bytes <= sizeof room);
    return (struct scratch){room, bytes};
}

void ref_must(int status, const char *op)
{
    if (status)
        fail_msg("%s: %s", op, status_message());
}

void ref_random(double *x, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = rng_normal(rng_key(seed, RNG_USER), (uint64_t)i);
}

void ref_near(double a, double b, double allowed, const char *what)
{
    if (!(fabs(a - b) <= allowed))
        fail_msg("%s: %.17g, wanted %.17g within %g", what, a, b, allowed);
}
