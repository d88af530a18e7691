/* element.c -- one element of a view, and one row of a stored weight, as doubles. */
#include "kernels/quant.h"
#include "kernels/ref/ref.h"

#include <math.h>

double ref_load(const void *data, enum dtype t, int64_t i)
{
    switch (t) {
    case DT_F32:
        return ((const float *)data)[i];
    case DT_F64:
        return ((const double *)data)[i];
    case DT_F16:
        return f16_to_f32(((const uint16_t *)data)[i]);
    case DT_BF16:
        return bf16_to_f32(((const uint16_t *)data)[i]);
    case DT_I32:
        return ((const int32_t *)data)[i];
    case DT_I64:
        return (double)((const int64_t *)data)[i];
    case DT_U8:
        return ((const uint8_t *)data)[i];
    default:
        return NAN;
    }
}

/* The f32 next to 'x' towards zero, with its last bit set if anything was cut off. Rounding that to
 * 16 bits gives what rounding 'x' itself would: rounding twice to nearest does not. */
static float round_to_odd(double x)
{
    union {
        float f;
        uint32_t u;
    } r = {(float)x};
    if ((double)r.f == x || isnan(x))
        return r.f;
    if (fabs((double)r.f) > fabs(x))
        r.u--;
    r.u |= 1;
    return r.f;
}

/* Truncated, kept in [low, high]; NaN gives 0. 'high' itself may be 2^63, which no int64 is. */
static int64_t whole(double x, double low, double high, int64_t most)
{
    if (isnan(x))
        return 0;
    if (x <= low)
        return (int64_t)low;
    return x >= high ? most : (int64_t)x;
}

void ref_store(void *data, enum dtype t, int64_t i, double value)
{
    switch (t) {
    case DT_F32:
        ((float *)data)[i] = (float)value;
        break;
    case DT_F64:
        ((double *)data)[i] = value;
        break;
    case DT_F16:
        ((uint16_t *)data)[i] = f32_to_f16(round_to_odd(value));
        break;
    case DT_BF16:
        ((uint16_t *)data)[i] = f32_to_bf16(round_to_odd(value));
        break;
    case DT_I32:
        ((int32_t *)data)[i] = (int32_t)whole(value, INT32_MIN, INT32_MAX, INT32_MAX);
        break;
    case DT_I64:
        ((int64_t *)data)[i] = whole(value, -0x1p63, 0x1p63, INT64_MAX);
        break;
    case DT_U8:
        ((uint8_t *)data)[i] = (uint8_t)whole(value, 0, UINT8_MAX, UINT8_MAX);
        break;
    default:
        break;
    }
}

int64_t ref_place(struct view v, int64_t flat)
{
    int64_t place = 0;
    for (int i = v.ndim - 1; i > 0; i--) {
        place += flat % v.shape[i] * v.stride[i];
        flat /= v.shape[i];
    }
    return v.ndim ? place + flat * v.stride[0] : 0;
}

void ref_weight_row(const struct wview *w, int64_t row, float *temp, double *out)
{
    const struct format *f = w->format;
    const char *data = (const char *)w->data + (size_t)row * format_row_bytes(f, w->row_stride);
    if (f->dtype == DT_F64) { /* decode would round to f32 */
        for (int64_t i = 0; i < w->cols; i++)
            out[i] = ((const double *)data)[i];
        return;
    }
    f->decode(data, temp, w->cols);
    for (int64_t i = 0; i < w->cols; i++)
        out[i] = temp[i];
}
