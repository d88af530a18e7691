/* unpack.h -- stored weights to f32, fast: bit for bit what the format's own decode yields.
 *
 * The block_* functions unpack one block of 32 in registers, for loops that use it at once. */
#ifndef KERNELS_CPU_UNPACK_H
#define KERNELS_CPU_UNPACK_H

#include "kernels/cpu/cpu.h"
#include "kernels/quant.h"
#include "kernels/quant_k.h"

/* The fastest way this build has to unpack a format. */
struct unpack {
    /* 'n' elements, a multiple of the format's block (or all that is left of a plain row) */
    void (*whole)(const void *src, float *dst, int64_t n);
    /* formats of 256: 'n' elements from element 'skip' of the block at src on, multiples of 32;
     * NULL for the others */
    void (*part)(const void *src, int64_t skip, float *dst, int64_t n);
};
struct unpack CPU(unpack_of)(const struct format *f);

/* Where element (row, col) of a weight lies, or the block it is in. */
static inline const uint8_t *weight_at(const struct wview *w, int64_t row, int64_t col)
{
    const struct format *f = w->format;
    return (const uint8_t *)w->data + (row * w->row_stride + col) / f->block * f->block_bytes;
}

/* 'n' elements of a row from 'col' on; both are multiples of 32 in a block format. */
static inline void unpack_piece(const struct unpack *u, const struct wview *w, int64_t row,
                                int64_t col, float *dst, int64_t n)
{
    const uint8_t *src = weight_at(w, row, col);
    if (u->part)
        u->part(src, col % QUANT_K, dst, n);
    else
        u->whole(src, dst, n);
}

#define BLOCK 32 /* elements of a block, and of the granule of plain formats */
#define BLOCK_VECTORS (BLOCK / VF_LANES)

#if defined(CPU_AVX512) || defined(CPU_AVX2)

/* The eight-lane quarters of a block as vectors. Not by memcpy of the array: that goes through the
 * stack in pieces that the loads after it must wait for. */
static inline void block_quarters(const __m256 f[4], vf out[BLOCK_VECTORS])
{
#if VF_LANES == 8
    for (int i = 0; i < 4; i++)
        out[i] = (vf)f[i];
#else
    memcpy(out, f, 4 * sizeof *f);
#endif
}

/* 32 signed bytes, elements 0..15 in 'low', as floats. */
static inline void block_floats(__m128i low, __m128i high, vf out[BLOCK_VECTORS])
{
#if defined(CPU_AVX512)
    out[0] = (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(low));
    out[1] = (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(high));
#else
    __m128i part[4] = {low, _mm_srli_si128(low, 8), high, _mm_srli_si128(high, 8)};
    __m256 f[4];
    for (int i = 0; i < 4; i++)
        f[i] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(part[i]));
    block_quarters(f, out);
#endif
}

static inline vf block_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return vf_set(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))));
}

/* The low nibbles (elements 0..15) and the high ones of 16 bytes. */
static inline void block_nibbles(const uint8_t *p, __m128i *low, __m128i *high)
{
    __m128i q = _mm_loadu_si128((const __m128i *)p), mask = _mm_set1_epi8(15);
    *low = _mm_and_si128(q, mask);
    *high = _mm_and_si128(_mm_srli_epi16(q, 4), mask);
}

/* Adds 16 where the bit of an element is set in the 32-bit word at p. */
static inline void block_fifth_bits(const uint8_t *p, __m128i *low, __m128i *high)
{
    uint32_t word;
    memcpy(&word, p, 4);
    const __m128i bit = _mm_set1_epi64x((int64_t)0x8040201008040201u);
    const __m128i sixteen = _mm_set1_epi8(16);
    __m128i w = _mm_cvtsi32_si128((int32_t)word);
    __m128i first = _mm_set_epi64x(0x0101010101010101, 0);
    __m128i a = _mm_shuffle_epi8(w, first);
    __m128i b = _mm_shuffle_epi8(w, _mm_add_epi8(first, _mm_set1_epi8(2)));
    a = _mm_cmpeq_epi8(_mm_and_si128(a, bit), bit);
    b = _mm_cmpeq_epi8(_mm_and_si128(b, bit), bit);
    *low = _mm_or_si128(*low, _mm_and_si128(a, sixteen));
    *high = _mm_or_si128(*high, _mm_and_si128(b, sixteen));
}

static inline void block_scale(vf out[BLOCK_VECTORS], vf d)
{
    for (int i = 0; i < BLOCK_VECTORS; i++)
        out[i] = out[i] * d;
}

static inline void block_scale_add(vf out[BLOCK_VECTORS], vf d, vf m)
{
    for (int i = 0; i < BLOCK_VECTORS; i++)
        out[i] = out[i] * d + m; /* two roundings, as in the specification */
}

static inline void block_q4_0(const uint8_t *b, vf out[BLOCK_VECTORS])
{
    __m128i low, high, half = _mm_set1_epi8(8);
    block_nibbles(b + 2, &low, &high);
    block_floats(_mm_sub_epi8(low, half), _mm_sub_epi8(high, half), out);
    block_scale(out, block_half(b));
}

static inline void block_q4_1(const uint8_t *b, vf out[BLOCK_VECTORS])
{
    __m128i low, high;
    block_nibbles(b + 4, &low, &high);
    block_floats(low, high, out);
    block_scale_add(out, block_half(b), block_half(b + 2));
}

static inline void block_q5_0(const uint8_t *b, vf out[BLOCK_VECTORS])
{
    __m128i low, high, half = _mm_set1_epi8(16);
    block_nibbles(b + 6, &low, &high);
    block_fifth_bits(b + 2, &low, &high);
    block_floats(_mm_sub_epi8(low, half), _mm_sub_epi8(high, half), out);
    block_scale(out, block_half(b));
}

static inline void block_q5_1(const uint8_t *b, vf out[BLOCK_VECTORS])
{
    __m128i low, high;
    block_nibbles(b + 8, &low, &high);
    block_fifth_bits(b + 4, &low, &high);
    block_floats(low, high, out);
    block_scale_add(out, block_half(b), block_half(b + 2));
}

static inline void block_q8_0(const uint8_t *b, vf out[BLOCK_VECTORS])
{
    const __m128i *q = (const __m128i *)(b + 2);
    block_floats(_mm_loadu_si128(q), _mm_loadu_si128(q + 1), out);
    block_scale(out, block_half(b));
}

static inline void block_iq4_nl(const uint8_t *b, vf out[BLOCK_VECTORS])
{
    const __m128i levels =
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    __m128i low, high;
    block_nibbles(b + 2, &low, &high);
    block_floats(_mm_shuffle_epi8(levels, low), _mm_shuffle_epi8(levels, high), out);
    block_scale(out, block_half(b));
}

static inline void block_f32(const uint8_t *b, vf out[BLOCK_VECTORS])
{
    for (int i = 0; i < BLOCK_VECTORS; i++)
        out[i] = vf_load((const float *)b + i * VF_LANES);
}

static inline void block_f16(const uint8_t *b, vf out[BLOCK_VECTORS])
{
#if defined(CPU_AVX512)
    out[0] = (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)b));
    out[1] = (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)b + 1));
#else
    __m256 f[4];
    for (int i = 0; i < 4; i++)
        f[i] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)b + i));
    block_quarters(f, out);
#endif
}

static inline void block_bf16(const uint8_t *b, vf out[BLOCK_VECTORS])
{
#if defined(CPU_AVX512)
    for (int i = 0; i < 2; i++) {
        __m256i h = _mm256_loadu_si256((const __m256i *)b + i);
        out[i] = (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
    }
#else
    __m256 f[4];
    for (int i = 0; i < 4; i++) {
        __m128i h = _mm_loadu_si128((const __m128i *)b + i);
        f[i] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
    }
    block_quarters(f, out);
#endif
}

/* Formats that have a block function: name, bytes of 32 elements. */
#define BLOCK_FORMATS(X) \
    X(f32, 128)          \
    X(f16, 64)           \
    X(bf16, 64)          \
    X(q4_0, 18) X(q4_1, 20) X(q5_0, 22) X(q5_1, 24) X(q8_0, 34) X(iq4_nl, 18)
#else
#define BLOCK_FORMATS(X)
#endif

#endif
