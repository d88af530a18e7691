/* cpu.h -- what the files of kernels/cpu share: one C source, built three times.
 *
 * Each build has its own instruction set and suffix: CPU(gemm) is cpu_gemm_avx512, cpu_gemm_avx2 or
 * cpu_gemm_plain, and every name with external linkage in kernels/cpu is spelled that way, so that
 * the builds never share code. Operations are declared from kernels.def; table.c gathers them.
 * An operation has CPU(x_workspace) only if it wants scratch.
 *
 * Vectors are the compiler's vector extensions: arithmetic, comparison and indexing are written as
 * for scalars, and a comparison yields a vi of 0 / -1. Only gemm's tiles, its unpacking and
 * vf_fma reach for intrinsics. CPU_WIDE=16 on the AVX2 build gives 16 lanes over two registers:
 * that is how the wide code is tested on a chip without AVX-512. */
#ifndef KERNELS_CPU_CPU_H
#define KERNELS_CPU_CPU_H

#include "kernels/base/pool.h"
#include "kernels/kernels.h"
#include <string.h>

#ifndef CPU_ISA /* an editor or a linter looking at one file */
#define CPU_ISA plain
#endif
#define CPU_PASTE2(name, isa) cpu_##name##_##isa
#define CPU_PASTE(name, isa) CPU_PASTE2(name, isa)
#define CPU(name) CPU_PASTE(name, CPU_ISA)

#if !defined(__x86_64__) /* the three builds are then the same plain code */
#undef CPU_AVX512
#undef CPU_AVX2
#endif
#if defined(CPU_AVX512) || defined(CPU_AVX2)
#include <immintrin.h>
#endif

/* --- operations ----------------------------------------------------------------------------- */

#ifdef CPU_TABLE /* table.c: an operation or workspace query that is not there is NULL */
#define CPU_LINKAGE __attribute__((weak))
#else
#define CPU_LINKAGE
#endif

#define OP(name, flags)                                                         \
    void CPU(name)(struct device * d, const struct name##_args *a) CPU_LINKAGE; \
    size_t CPU(name##_workspace)(struct device * d, const struct name##_args *a) CPU_LINKAGE;
#include "kernels/kernels.def"
#undef OP

/* --- vectors -------------------------------------------------------------------------------- */

#if defined(CPU_WIDE)
#define VF_LANES CPU_WIDE
#elif defined(CPU_AVX512)
#define VF_LANES 16
#elif defined(CPU_AVX2)
#define VF_LANES 8
#else
#define VF_LANES 4
#endif

/* A loop that is unrolled whole, at any -O level: arrays of vectors stay in registers only if every
 * loop over them is. */
#if defined(__clang__)
#define EACH(i, n) _Pragma("clang loop unroll(full)") for (int i = 0; i < (n); i++)
#else
#define EACH(i, n) _Pragma("GCC unroll 24") for (int i = 0; i < (n); i++)
#endif

typedef float vf __attribute__((vector_size(4 * VF_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * VF_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * VF_LANES)));

static inline vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

static inline vf vf_set(float x)
{
    return x - (vf){0}; /* x - 0 is x for every x, -0 included: a broadcast */
}

/* The first n (0..VF_LANES) lanes; the others are 0 and their memory is not touched. */
static inline vf vf_load_part(const float *p, int64_t n)
{
    vf v = {0};
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
}

static inline void vf_store_part(float *p, vf v, int64_t n)
{
    memcpy(p, &v, (size_t)n * sizeof(float));
}

/* a * b + c: one rounding on the AVX builds, two on the plain one. */
static inline vf vf_fma(vf a, vf b, vf c)
{
#if defined(CPU_AVX512)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(CPU_AVX2) && VF_LANES == 8
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(CPU_AVX2)
    union {
        vf v;
        __m256 half[VF_LANES / 8];
    } x = {a}, y = {b}, z = {c};
    for (int i = 0; i < VF_LANES / 8; i++)
        z.half[i] = _mm256_fmadd_ps(x.half[i], y.half[i], z.half[i]);
    return z.v;
#else
    return a * b + c;
#endif
}

/* mask (0 / -1 per lane) ? a : b */
static inline vf vf_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* NaN where either is NaN for vf_max(a, b) only if a is: callers that care test for it. */
static inline vf vf_max(vf a, vf b)
{
#if defined(CPU_AVX512)
    return (vf)_mm512_max_ps((__m512)b, (__m512)a); /* of the two, the second where one is NaN */
#elif defined(CPU_AVX2) && VF_LANES == 8
    return (vf)_mm256_max_ps((__m256)b, (__m256)a);
#else
    return vf_select(a < b, b, a);
#endif
}

static inline vf vf_min(vf a, vf b)
{
#if defined(CPU_AVX512)
    return (vf)_mm512_min_ps((__m512)b, (__m512)a);
#elif defined(CPU_AVX2) && VF_LANES == 8
    return (vf)_mm256_min_ps((__m256)b, (__m256)a);
#else
    return vf_select(b < a, b, a);
#endif
}

/* Lane i of the result is lane i + n of v, for the lanes that a tree over the lanes still needs. */
#if VF_LANES == 4
#define VF_DOWN_2(v) __builtin_shufflevector(v, v, 2, 3, 2, 3)
#define VF_DOWN_1(v) __builtin_shufflevector(v, v, 1, 1, 3, 3)
#define VF_FOLD(v, op) (v = op(v, VF_DOWN_2(v)), v = op(v, VF_DOWN_1(v)))
#elif VF_LANES == 8
#define VF_DOWN_4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7)
#define VF_DOWN_2(v) __builtin_shufflevector(v, v, 2, 3, 2, 3, 6, 7, 6, 7)
#define VF_DOWN_1(v) __builtin_shufflevector(v, v, 1, 1, 3, 3, 5, 5, 7, 7)
#define VF_FOLD(v, op) (v = op(v, VF_DOWN_4(v)), v = op(v, VF_DOWN_2(v)), v = op(v, VF_DOWN_1(v)))
#else
#define VF_DOWN_8(v) \
    __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15)
#define VF_DOWN_4(v) \
    __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15)
#define VF_DOWN_2(v) \
    __builtin_shufflevector(v, v, 2, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11, 14, 15, 14, 15)
#define VF_DOWN_1(v) \
    __builtin_shufflevector(v, v, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15)
#define VF_FOLD(v, op)                                                          \
    (v = op(v, VF_DOWN_8(v)), v = op(v, VF_DOWN_4(v)), v = op(v, VF_DOWN_2(v)), \
     v = op(v, VF_DOWN_1(v)))
#endif
#define VF_PLUS(a, b) ((a) + (b))

/* Sum and maximum over the lanes, in a fixed tree: lane i meets lane i + n, n = VF_LANES / 2 .. 1 */
static inline float vf_sum(vf v)
{
    VF_FOLD(v, VF_PLUS);
    return v[0];
}

static inline float vf_max_lane(vf v)
{
    VF_FOLD(v, vf_max);
    return v[0];
}

/* The sums of four vectors at once; each in a fixed tree, though not vf_sum's. */
static inline void vf_sum4(const vf v[4], float out[4])
{
#if defined(CPU_AVX512) || defined(CPU_AVX2)
    __m256 h[4];
    EACH(i, 4)
    {
#if defined(CPU_AVX512)
        h[i] = _mm256_add_ps(_mm512_castps512_ps256((__m512)v[i]),
                             _mm512_extractf32x8_ps((__m512)v[i], 1));
#elif VF_LANES == 8
        h[i] = (__m256)v[i];
#else
        union {
            vf v;
            __m256 half[2];
        } x = {v[i]};
        h[i] = _mm256_add_ps(x.half[0], x.half[1]);
#endif
    }
    __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(h[0], h[1]), _mm256_hadd_ps(h[2], h[3]));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
#else
    for (int i = 0; i < 4; i++)
        out[i] = vf_sum(v[i]);
#endif
}

#endif
