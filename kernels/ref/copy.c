/* copy.c -- copy, fill. */
#include "kernels/ref/ref.h"

/* Integers as integers: a double holds only 53 bits. */
static int64_t load_int(const void *data, enum dtype t, int64_t i)
{
    switch (t) {
    case DT_I32:
        return ((const int32_t *)data)[i];
    case DT_I64:
        return ((const int64_t *)data)[i];
    default:
        return ((const uint8_t *)data)[i];
    }
}

static void store_int(void *data, enum dtype t, int64_t i, int64_t value)
{
    switch (t) {
    case DT_I32:
        ((int32_t *)data)[i] = (int32_t)(uint32_t)value;
        break;
    case DT_I64:
        ((int64_t *)data)[i] = value;
        break;
    default:
        ((uint8_t *)data)[i] = (uint8_t)value;
        break;
    }
}

void ref_copy(struct device *d, const struct copy_args *a)
{
    (void)d;
    struct view dst = a->dst, src = a->src;
    bool ints = !dtype_is_float(dst.dtype) && !dtype_is_float(src.dtype);
    int64_t n = view_count(dst);
    for (int64_t i = 0; i < n; i++)
        if (ints)
            store_int(dst.data, dst.dtype, ref_place(dst, i),
                      load_int(src.data, src.dtype, ref_place(src, i)));
        else
            put(dst, i, get(src, i));
}

void ref_fill(struct device *d, const struct fill_args *a)
{
    (void)d;
    int64_t n = view_count(a->dst);
    for (int64_t i = 0; i < n; i++)
        put(a->dst, i, a->value);
}
