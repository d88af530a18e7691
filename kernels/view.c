/* view.c -- dtypes and strided windows.
 *
 * Plain arithmetic on shapes; nothing here touches the memory that a view points at. */
#include "kernels/kernels.h"
#include "kernels/quant.h"

static const struct {
    const char *name;
    size_t bytes;
    bool is_float;
} dtypes[DT_COUNT] = {
    [DT_F32] = {"f32", 4, true},   [DT_F64] = {"f64", 8, true},      [DT_F16] = {"f16", 2, true},
    [DT_BF16] = {"bf16", 2, true}, [DT_I32] = {"i32", 4, false},     [DT_I64] = {"i64", 8, false},
    [DT_U8] = {"u8", 1, false},    [DT_BLOCK] = {"block", 0, false},
};

static bool known(enum dtype t)
{
    return (unsigned)t < DT_COUNT;
}

size_t dtype_bytes(enum dtype t)
{
    return known(t) ? dtypes[t].bytes : 0;
}

const char *dtype_name(enum dtype t)
{
    return known(t) ? dtypes[t].name : "?";
}

bool dtype_is_float(enum dtype t)
{
    return known(t) && dtypes[t].is_float;
}

struct view view_1d(void *data, enum dtype t, int64_t n)
{
    return (struct view){data, t, 1, {n}, {1}};
}

struct view view_2d(void *data, enum dtype t, int64_t rows, int64_t cols)
{
    return (struct view){data, t, 2, {rows, cols}, {cols, 1}};
}

struct view view_3d(void *data, enum dtype t, int64_t a, int64_t b, int64_t c)
{
    return (struct view){data, t, 3, {a, b, c}, {b * c, c, 1}};
}

int64_t view_count(struct view v)
{
    int64_t n = 1;
    for (int i = 0; i < v.ndim; i++)
        n *= v.shape[i];
    return n;
}

bool view_is_contiguous(struct view v)
{
    int64_t step = 1;
    if (view_count(v) == 0)
        return true;
    for (int i = v.ndim - 1; i >= 0; i--) {
        if (v.shape[i] != 1 && v.stride[i] != step)
            return false;
        step *= v.shape[i];
    }
    return true;
}

bool view_same_shape(struct view a, struct view b)
{
    if (a.ndim != b.ndim)
        return false;
    for (int i = 0; i < a.ndim; i++)
        if (a.shape[i] != b.shape[i])
            return false;
    return true;
}

struct view view_slice(struct view v, int dim, int64_t start, int64_t count)
{
    v.data = (char *)v.data + start * v.stride[dim] * (int64_t)dtype_bytes(v.dtype);
    v.shape[dim] = count;
    return v;
}

struct wview wview_of(struct view v)
{
    return (struct wview){.format = format_of_dtype(v.dtype),
                          .data = v.data,
                          .rows = v.shape[0],
                          .cols = v.shape[1],
                          .row_stride = v.shape[0] > 1 ? v.stride[0] : v.shape[1]};
}
