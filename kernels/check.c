/* check.c -- the claims that argument checks are made of. */
#include "kernels/check.h"
#include "kernels/base/size.h"
#include "kernels/quant.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

bool given(struct view v)
{
    return v.data != NULL;
}

void check_that(struct check *c, bool holds, const char *fmt, ...)
{
    if (c->status || holds)
        return;
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->status = fail(ERR_ARG, "%s: %s", c->op, text);
}

void check_between(struct check *c, const char *name, double v, double low, double high)
{
    check_that(c, v >= low && v <= high, "%s is %g, wanted %g to %g", name, v, low, high);
}

/* "[3, 4]" for messages. */
static const char *shape_text(struct view v, char room[112])
{
    int n = snprintf(room, 112, "[");
    for (int i = 0; i < v.ndim && i < VIEW_DIMS; i++)
        n += snprintf(room + n, 112 - (size_t)n, "%s%" PRId64, i ? ", " : "", v.shape[i]);
    snprintf(room + n, 112 - (size_t)n, "]");
    return room;
}

/* Do the elements span an address range that arithmetic can hold? */
static bool addressable(struct view v)
{
    const int64_t most = INT64_MAX / 16; /* times the bytes of an element, with room to spare */
    int64_t count = 1, span = 0, back, reach;
    for (int i = 0; i < v.ndim; i++) {
        if (v.shape[i] < 0)
            return false;
        int64_t steps = i64_max(v.shape[i] - 1, 0);
        if (__builtin_mul_overflow(count, v.shape[i], &count) ||
            __builtin_sub_overflow(0, v.stride[i], &back) ||
            __builtin_mul_overflow(steps, i64_max(v.stride[i], back), &reach) ||
            __builtin_add_overflow(span, reach, &span))
            return false;
    }
    return count < most && span < most;
}

void check_view(struct check *c, const char *name, struct view v, int ndim)
{
    char room[112];
    check_that(c, given(v), "%s is missing", name);
    check_that(c, (unsigned)v.dtype < DT_BLOCK, "%s is stored as %s, wanted a plain dtype", name,
               dtype_name(v.dtype));
    check_that(c, v.ndim >= 0 && v.ndim <= VIEW_DIMS, "%s has %d dimensions, wanted at most %d",
               name, v.ndim, VIEW_DIMS);
    if (c->status)
        return;
    check_that(c, ndim == ANY_NDIM || v.ndim == ndim, "%s has shape %s, wanted %d dimension%s",
               name, shape_text(v, room), ndim, ndim == 1 ? "" : "s");
    check_that(c, addressable(v), "%s has shape %s with sizes or strides that cannot be addressed",
               name, shape_text(v, room));
    check_that(c, (uintptr_t)v.data % dtype_bytes(v.dtype) == 0,
               "%s is not aligned to its %s elements", name, dtype_name(v.dtype));
}

void check_any_float(struct check *c, const char *name, struct view v, int ndim)
{
    check_view(c, name, v, ndim);
    check_that(c, dtype_is_float(v.dtype), "%s is %s, wanted a float dtype", name,
               dtype_name(v.dtype));
}

static void check_supported(struct check *c, const char *name, enum dtype t)
{
    if (c->status || c->device->ops->supports(t))
        return;
    c->status = fail(ERR_DEVICE,
                     "%s: device '%s' does not compute in %s (%s); hint: convert to "
                     "f32, or open the 'ref' device",
                     c->op, c->device->name, dtype_name(t), name);
}

void check_float(struct check *c, const char *name, struct view v, int ndim)
{
    check_any_float(c, name, v, ndim);
    check_supported(c, name, v.dtype);
}

void check_dtype(struct check *c, const char *name, struct view v, int ndim, enum dtype wanted)
{
    check_view(c, name, v, ndim);
    check_that(c, v.dtype == wanted, "%s is %s, wanted %s", name, dtype_name(v.dtype),
               dtype_name(wanted));
}

void check_number(struct check *c, const char *name, struct view v)
{
    char room[112];
    check_dtype(c, name, v, ANY_NDIM, DT_F64);
    if (!c->status)
        check_that(c, view_count(v) == 1, "%s has shape %s, wanted one element", name,
                   shape_text(v, room));
}

void check_rows(struct check *c, const char *name, struct view v)
{
    if (c->status || v.ndim == 0 || view_count(v) == 0)
        return;
    int last = v.ndim - 1;
    check_that(c, v.shape[last] <= 1 || v.stride[last] == 1,
               "%s has stride %" PRId64 " in its last dimension, wanted 1", name, v.stride[last]);
}

void check_output(struct check *c, const char *name, struct view v)
{
    if (c->status || view_count(v) == 0) /* nothing is written */
        return;
    for (int i = 0; i < v.ndim; i++)
        check_that(c, v.stride[i] != 0 || v.shape[i] <= 1,
                   "%s is written, but dimension %d repeats one element (stride 0)", name, i);
}

void check_dim(struct check *c, const char *name, struct view v, int dim, int64_t wanted)
{
    char room[112];
    if (!c->status)
        check_that(c, v.shape[dim] == wanted, "%s has shape %s, wanted %" PRId64 " in dimension %d",
                   name, shape_text(v, room), wanted, dim);
}

void check_same(struct check *c, const char *name, struct view v, const char *other,
                struct view like)
{
    char room[112], room2[112];
    if (!c->status)
        check_that(c, view_same_shape(v, like), "%s has shape %s, wanted that of %s, %s", name,
                   shape_text(v, room), other, shape_text(like, room2));
}

static bool same_window(struct view a, struct view b)
{
    if (a.data != b.data || a.dtype != b.dtype)
        return false;
    for (int i = 0; i < a.ndim; i++)
        if (a.shape[i] > 1 && a.stride[i] != b.stride[i])
            return false;
    return true;
}

void check_apart(struct check *c, const char *name, struct view v, const char *other,
                 struct view with, bool in_place)
{
    if (c->status || !given(v) || !given(with) || !view_is_contiguous(v) ||
        !view_is_contiguous(with) || view_count(v) == 0 || view_count(with) == 0)
        return;
    uintptr_t a = (uintptr_t)v.data, b = (uintptr_t)with.data;
    uintptr_t a_end = a + (uintptr_t)view_count(v) * dtype_bytes(v.dtype);
    uintptr_t b_end = b + (uintptr_t)view_count(with) * dtype_bytes(with.dtype);
    bool apart = a >= b_end || b >= a_end;
    check_that(c, apart || (in_place && same_window(v, with)), "%s overlaps %s%s", name, other,
               in_place ? " without being the same view" : "");
}

void check_weight(struct check *c, const char *name, const struct wview *w)
{
    const struct format *f = w->format;
    check_that(c, f != NULL, "%s has no storage format", name);
    check_that(c, w->data != NULL, "%s is missing", name);
    if (c->status)
        return;
    check_that(c, w->rows >= 0 && w->cols >= 0, "%s has %" PRId64 " x %" PRId64 " elements", name,
               w->rows, w->cols);
    check_that(c, w->cols % f->block == 0,
               "%s has rows of %" PRId64 " elements, wanted a multiple of %d (%s)", name, w->cols,
               f->block, f->name);
    check_that(c, f->dtype == DT_BLOCK ? w->row_stride == w->cols : w->row_stride >= w->cols,
               "%s has row stride %" PRId64 " with %" PRId64 " columns (%s)", name, w->row_stride,
               w->cols, f->name);
    if (f->dtype != DT_BLOCK)
        check_that(c, (uintptr_t)w->data % dtype_bytes(f->dtype) == 0,
                   "%s is not aligned to its %s elements", name, f->name);
    if (f->dtype == DT_F64)
        check_supported(c, name, DT_F64);
}
