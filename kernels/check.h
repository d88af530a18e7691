/* check.h -- the checks that stand before every operation.
 *
 * check_<op> says whether the arguments keep the contract in kernels.h, without touching device
 * memory. A check is a list of claims; the first that does not hold leaves its message and makes
 * the later ones do nothing. Only kernels.c calls these. */
#ifndef KERNELS_CHECK_H
#define KERNELS_CHECK_H

#include "kernels/kernels.h"

struct check {
    struct device *device;
    const char *op;
    int status;
};

#define OP(name, flags) int check_##name(struct device *d, const struct name##_args *a);
#include "kernels/kernels.def"
#undef OP

/* --- claims on one view --------------------------------------------------------------------- */

#define ANY_NDIM (-1)

bool given(struct view v);

/* A view that can be addressed at all, of any plain dtype. */
void check_view(struct check *c, const char *name, struct view v, int ndim);
/* ... of a float dtype that the device computes in. */
void check_float(struct check *c, const char *name, struct view v, int ndim);
/* ... of any float dtype. */
void check_any_float(struct check *c, const char *name, struct view v, int ndim);
void check_dtype(struct check *c, const char *name, struct view v, int ndim, enum dtype wanted);
/* One F64 element, of any ndim. */
void check_number(struct check *c, const char *name, struct view v);
/* Unit stride in the last dimension. */
void check_rows(struct check *c, const char *name, struct view v);
/* No two indices name the same element through stride 0. */
void check_output(struct check *c, const char *name, struct view v);
void check_dim(struct check *c, const char *name, struct view v, int dim, int64_t wanted);

/* --- claims on several ---------------------------------------------------------------------- */

void check_same(struct check *c, const char *name, struct view v, const char *other,
                struct view like);
/* 'v' and 'with' share no memory, or, where 'in_place', are the very same window. Only seen for
 * contiguous views: whether two strided windows interleave is not worth its cost. */
void check_apart(struct check *c, const char *name, struct view v, const char *other,
                 struct view with, bool in_place);
void check_weight(struct check *c, const char *name, const struct wview *w);

/* --- claims on numbers; a NaN never holds --------------------------------------------------- */

void check_that(struct check *c, bool holds, const char *fmt, ...) PRINTF_LIKE(3, 4);
void check_between(struct check *c, const char *name, double v, double low, double high);

#endif
