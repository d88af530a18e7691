/* size.h -- size arithmetic that cannot wrap.
 *
 * Parsers and allocators multiply numbers that come from files; each helper says whether the
 * result fits. On overflow the result is untouched and false is returned. */
#ifndef KERNELS_BASE_SIZE_H
#define KERNELS_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(array) ((int64_t)(sizeof(array) / sizeof *(array)))

static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* Rounds 'a' up to a multiple of 'align' (a power of two, not 0). */
static inline bool size_pad(size_t a, size_t align, size_t *out)
{
    size_t r;
    if (!size_add(a, align - 1, &r))
        return false;
    *out = r & ~(align - 1);
    return true;
}

static inline int64_t i64_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t i64_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
