/* ref_util.h -- calling the ref device on plain arrays.
 *
 * The memory of 'ref' is the host's, so the arrays of a test can be its views. */
#ifndef TESTS_KERNELS_REF_UTIL_H
#define TESTS_KERNELS_REF_UTIL_H

#include "kernels/kernels.h"

/* The ref device, opened on first use and left open. */
struct device *ref_device(void);

/* A large block that lasts until the next call: ref's workspace. */
struct scratch ref_scratch(size_t bytes);

/* Stops the test with the device's message. */
void ref_must(int status, const char *op);

#define REF(op, ...)                                                        \
    do {                                                                    \
        struct op##_args args_ = {__VA_ARGS__};                             \
        args_.work = ref_scratch(k_##op##_workspace(ref_device(), &args_)); \
        ref_must(k_##op(ref_device(), &args_), #op);                        \
    } while (0)

/* Views of double arrays. */
static inline struct view d1(const double *x, int64_t n)
{
    return view_1d((void *)(uintptr_t)x, DT_F64, n);
}

static inline struct view d2(const double *x, int64_t rows, int64_t cols)
{
    return view_2d((void *)(uintptr_t)x, DT_F64, rows, cols);
}

static inline struct view d3(const double *x, int64_t a, int64_t b, int64_t c)
{
    return view_3d((void *)(uintptr_t)x, DT_F64, a, b, c);
}

static inline struct view i1(const int32_t *x, int64_t n)
{
    return view_1d((void *)(uintptr_t)x, DT_I32, n);
}

/* n numbers, near normal, from a seed. */
void ref_random(double *x, int64_t n, uint64_t seed);

/* |a - b| <= allowed, and not NaN. */
void ref_near(double a, double b, double allowed, const char *what);

#endif
