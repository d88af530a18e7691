/* compare_util.h -- is this result near enough to the wanted one?
 *
 * Pure functions on arrays of double. Written so that NaN fails: a NaN is only right where a NaN is
 * wanted, an infinity only where one of the same sign is wanted (or a number that rounds to it). */
#ifndef TESTS_KERNELS_COMPARE_UTIL_H
#define TESTS_KERNELS_COMPARE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNIT 0x1p-24 /* u, the unit roundoff of f32 */

/* An element passes if |got - want| <= ulp * ulp(want) + ku * u * magnitude + least. With all three
 * 0 it must be equal (-0 = 0). 'bits' is the precision that ulp() speaks of: 24 unless given. With
 * 'l2' set the elements are only judged together: |got - want|_2 <= l2 * max(|want|_2, l2_least *
 * sqrt(n)), and the kind of NaN and infinity still one by one. */
struct tolerance {
    double ulp, ku, least, l2, l2_least;
    int bits;
};

struct comparison {
    bool ok;
    int64_t index;    /* worst element, -1 = the shapes differ */
    double got, want; /* there */
    double worst;     /* its error as a multiple of what is allowed (l2: of the whole) */
    double l2, nmse;  /* of the finite elements */
};

/* 'magnitude' may be NULL (then |want|). */
struct comparison compare(const double *got, int64_t n_got, const double *want, int64_t n_want,
                          const double *magnitude, struct tolerance t);

/* "worst element 3: got 1.5, wanted 1.25 (4.1 times what is allowed)"; returns out. */
char *compare_text(const struct comparison *c, char *out, size_t bytes);

/* Distance between neighbouring numbers of 'bits' binary digits around x (f32's smallest exponent
 * for 24 and 8 bits, f16's for 11). */
double compare_ulp(double x, int bits);

#endif
