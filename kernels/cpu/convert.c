/* convert.c -- arrays of one dtype to another, and strided gathering of elements.
 *
 * f32 to and from the 16-bit floats is vectorised. Every other pair goes through double, which
 * holds all of them but the largest I64, or through int64 when both are integers. */
#include "kernels/cpu/convert.h"
#include "kernels/base/size.h"
#include "kernels/cpu/half.h"
#include "kernels/quant.h"

#include <math.h>

#define HALF_LOOP(name, to_type, from_type, vector_step, scalar_step) \
    static void name(to_type *dst, const from_type *src, int64_t n)   \
    {                                                                 \
        int64_t i = 0;                                                \
        for (; i + VF_LANES <= n; i += VF_LANES)                      \
            vector_step;                                              \
        for (; i < n; i++)                                            \
            dst[i] = scalar_step(src[i]);                             \
    }

HALF_LOOP(f32_of_bf16, float, uint16_t, vf_store(dst + i, vf_from_bf16(vh_load(src + i))),
          bf16_to_f32)
HALF_LOOP(f32_of_f16, float, uint16_t, vf_store(dst + i, vf_from_f16(vh_load(src + i))), f16_to_f32)
HALF_LOOP(bf16_of_f32, uint16_t, float, vh_store(dst + i, vf_to_bf16(vf_load(src + i))),
          f32_to_bf16)
HALF_LOOP(f16_of_f32, uint16_t, float, vh_store(dst + i, vf_to_f16(vf_load(src + i))), f32_to_f16)

static void load_f64(double *dst, const void *src, enum dtype from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        switch (from) {
        case DT_F32:
            dst[i] = ((const float *)src)[i];
            break;
        case DT_F64:
            dst[i] = ((const double *)src)[i];
            break;
        case DT_F16:
            dst[i] = f16_to_f32(((const uint16_t *)src)[i]);
            break;
        case DT_BF16:
            dst[i] = bf16_to_f32(((const uint16_t *)src)[i]);
            break;
        case DT_I32:
            dst[i] = ((const int32_t *)src)[i];
            break;
        case DT_I64:
            dst[i] = (double)((const int64_t *)src)[i];
            break;
        case DT_U8:
            dst[i] = ((const uint8_t *)src)[i];
            break;
        default:
            dst[i] = 0;
        }
}

/* Rounds to f32 so that rounding again to fewer bits gives what one rounding would: cut towards
 * zero, with the last bit set when anything was cut. */
static float round_to_odd(double x)
{
    union {
        float f;
        uint32_t u;
    } y = {(float)x};
    if ((double)y.f == x || x != x)
        return y.f;
    if (fabs((double)y.f) > fabs(x))
        y.u--;
    y.u |= 1;
    return y.f;
}

static int64_t saturate(double x, double low, double high, int64_t low_value, int64_t high_value)
{
    if (x != x)
        return 0;
    return x <= low ? low_value : x >= high ? high_value : (int64_t)x;
}

static void store_f64(void *dst, enum dtype to, const double *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double x = src[i];
        switch (to) {
        case DT_F32:
            ((float *)dst)[i] = (float)x;
            break;
        case DT_F64:
            ((double *)dst)[i] = x;
            break;
        case DT_F16:
            ((uint16_t *)dst)[i] = f32_to_f16(round_to_odd(x));
            break;
        case DT_BF16:
            ((uint16_t *)dst)[i] = f32_to_bf16(round_to_odd(x));
            break;
        case DT_I32:
            ((int32_t *)dst)[i] = (int32_t)saturate(x, INT32_MIN, INT32_MAX, INT32_MIN, INT32_MAX);
            break;
        case DT_I64:
            ((int64_t *)dst)[i] = saturate(x, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX);
            break;
        case DT_U8:
            ((uint8_t *)dst)[i] = (uint8_t)saturate(x, 0, 255, 0, 255);
            break;
        default:
            break;
        }
    }
}

static bool is_integer(enum dtype t)
{
    return t == DT_I32 || t == DT_I64 || t == DT_U8;
}

static void integers(void *dst, enum dtype to, const void *src, enum dtype from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t x = from == DT_I32   ? ((const int32_t *)src)[i]
                    : from == DT_I64 ? ((const int64_t *)src)[i]
                                     : ((const uint8_t *)src)[i];
        if (to == DT_I32)
            ((int32_t *)dst)[i] = (int32_t)(uint32_t)x;
        else if (to == DT_I64)
            ((int64_t *)dst)[i] = x;
        else
            ((uint8_t *)dst)[i] = (uint8_t)x;
    }
}

void CPU(convert)(void *dst, enum dtype to, const void *src, enum dtype from, int64_t n)
{
    if (to == from) {
        memcpy(dst, src, (size_t)n * dtype_bytes(to));
    } else if (to == DT_F32 && from == DT_BF16) {
        f32_of_bf16(dst, src, n);
    } else if (to == DT_F32 && from == DT_F16) {
        f32_of_f16(dst, src, n);
    } else if (to == DT_BF16 && from == DT_F32) {
        bf16_of_f32(dst, src, n);
    } else if (to == DT_F16 && from == DT_F32) {
        f16_of_f32(dst, src, n);
    } else if (is_integer(to) && is_integer(from)) {
        integers(dst, to, src, from, n);
    } else {
        double wide[128];
        for (int64_t at = 0, len; at < n; at += len) {
            len = i64_min(n - at, COUNT_OF(wide));
            load_f64(wide, (const char *)src + (size_t)at * dtype_bytes(from), from, len);
            store_f64((char *)dst + (size_t)at * dtype_bytes(to), to, wide, len);
        }
    }
}

/* d[i * ds] = s[i * ss], for elements of any size */
#define MOVE(type)                  \
    for (int64_t i = 0; i < n; i++) \
    ((type *)dst)[i * to_stride] = ((const type *)src)[i * from_stride]

static void move(void *dst, int64_t to_stride, const void *src, int64_t from_stride, size_t size,
                 int64_t n)
{
    switch (size) {
    case 1:
        MOVE(uint8_t);
        break;
    case 2:
        MOVE(uint16_t);
        break;
    case 4:
        MOVE(uint32_t);
        break;
    default:
        MOVE(uint64_t);
        break;
    }
}

void CPU(gather)(void *dst, const void *src, int64_t stride, size_t size, int64_t n)
{
    if (stride == 1)
        memcpy(dst, src, (size_t)n * size);
    else
        move(dst, 1, src, stride, size, n);
}

void CPU(scatter)(void *dst, int64_t stride, const void *src, size_t size, int64_t n)
{
    if (stride == 1)
        memcpy(dst, src, (size_t)n * size);
    else
        move(dst, stride, src, 1, size, n);
}
