/* null.c -- the planner's device: every operation is there and does nothing.
 *
 * Its memory (device.c) is addresses that nobody may follow; only sizes are counted. So a training
 * step can be walked through before a byte is allocated. It computes in every dtype. */
#include "kernels/kernels.h"

#define OP(name, flags)                                                    \
    static void null_##name(struct device *d, const struct name##_args *a) \
    {                                                                      \
        (void)d, (void)a;                                                  \
    }
#include "kernels/kernels.def"
#undef OP

const struct device_ops null_ops = {
#define OP(name, flags) .name = null_##name,
#include "kernels/kernels.def"
#undef OP
    .supports = dtype_is_float,
};
