/* convert.h -- arrays of one dtype to another, and strided gathering of elements. */
#ifndef KERNELS_CPU_CONVERT_H
#define KERNELS_CPU_CONVERT_H

#include "kernels/cpu/cpu.h"

/* dst[i] = src[i] for n contiguous elements, by the rules of copy in kernels.h. Same dtypes: plain
 * copy. The arrays must not overlap. */
void CPU(convert)(void *dst, enum dtype to, const void *src, enum dtype from, int64_t n);

/* n elements of 'size' bytes (1, 2, 4, 8), 'stride' elements apart, to or from a contiguous array. */
void CPU(gather)(void *dst, const void *src, int64_t stride, size_t size, int64_t n);
void CPU(scatter)(void *dst, int64_t stride, const void *src, size_t size, int64_t n);

#endif
