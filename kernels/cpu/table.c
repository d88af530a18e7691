/* table.c -- the operation table of one build of the cpu device.
 *
 * Symbols are weak here: an operation without workspace query gets NULL, as the contract of struct
 * device_ops wants it. That no operation itself is missing is checked by the tests, which walk
 * kernels.def. */
#define CPU_TABLE
#include "kernels/cpu/cpu.h"

static bool supports(enum dtype compute)
{
    return compute == DT_F32;
}

const struct device_ops CPU(ops) = {
#define OP(name, flags) .name = CPU(name), .name##_workspace = CPU(name##_workspace),
#include "kernels/kernels.def"
#undef OP
    .supports = supports,
};
