/* half.h -- bfloat16 and IEEE half on vectors: expand, and round to nearest even.
 *
 * Bit for bit what bf16_to_f32 and its kin of quant.h give: NaN is kept (made quiet, payload cut),
 * overflow is infinity, denormals are exact. No instruction beyond the vector extensions. */
#ifndef KERNELS_CPU_HALF_H
#define KERNELS_CPU_HALF_H

#include "kernels/cpu/cpu.h"

typedef uint16_t vh __attribute__((vector_size(2 * VF_LANES)));

static inline vh vh_load(const uint16_t *p)
{
    vh v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vh_store(uint16_t *p, vh v)
{
    memcpy(p, &v, sizeof v);
}

static inline vf vf_from_bf16(vh h)
{
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

static inline vh vf_to_bf16(vf x)
{
    vu u = (vu)x, even = (u >> 16) & 1;
    vu rounded = (u + 0x7fff + even) >> 16;
    vu nan = (vu)(x != x);
    return __builtin_convertvector((nan & ((u >> 16) | 0x40)) | (~nan & rounded), vh);
}

/* The exponent is moved by a multiplication, which also normalises denormals. */
static inline vf vf_from_f16(vh h)
{
    vu u = __builtin_convertvector(h, vu), body = u & 0x7fff;
    vf scaled = (vf)(body << 13) * 0x1p112f;
    vu top = (vu)(body >= 0x7c00) & 0x7f800000; /* infinity and NaN keep the top exponent */
    vu quiet = (vu)(body > 0x7c00) & 0x00400000;
    return (vf)((vu)scaled | top | quiet | (u & 0x8000) << 16);
}

static inline vh vf_to_f16(vf x)
{
    vu u = (vu)x, sign = (u >> 16) & 0x8000;
    vu body = u & 0x7fffffff;
    vu even = (body >> 13) & 1;
    vu normal = (body + 0xfff + even - (112u << 23)) >> 13;
    /* below 2^-14: adding 0.5 puts the result, rounded, into the low bits */
    vu small = (vu)((vf)body + 0.5f) - 0x3f000000;
    vu is_small = (vu)(body < 0x38800000);
    vu is_big = (vu)(body >= 0x47800000); /* 65536 and above; the carry of 'normal' does the rest */
    vu is_nan = (vu)(body > 0x7f800000);
    vu r = (is_small & small) | (~is_small & normal);
    r = (is_big & 0x7c00) | (~is_big & r);
    r = (is_nan & (0x7e00 | ((body >> 13) & 0x3ff))) | (~is_nan & r);
    return __builtin_convertvector(r | sign, vh);
}

#endif
