/* unpack.h -- stored weights to f32, fast: bit for bit what the format's own decode yields.
 *
 * The block_* functions unpack one block of 32 in registers, for loops that use it at once; the
 * group_* functions 32 elements of a block of 256. */
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

/* --- blocks of 256: group g of 32 elements; see quant_k.h for the layouts */

/* Bits shift.. of 32 bytes, elements 0..15 from 'low'. */
static inline void group_bits(const uint8_t *p, int shift, int mask, __m128i *low, __m128i *high)
{
    __m128i n = _mm_cvtsi32_si128(shift), m = _mm_set1_epi8((char)mask);
    *low = _mm_and_si128(_mm_srl_epi16(_mm_loadu_si128((const __m128i *)p), n), m);
    *high = _mm_and_si128(_mm_srl_epi16(_mm_loadu_si128((const __m128i *)p + 1), n), m);
}

/* Adds 'value' where bit 'bit' of an element's byte is set. */
static inline void group_bit(const uint8_t *p, int bit, int value, __m128i *low, __m128i *high)
{
    __m128i b = _mm_set1_epi8((char)(1 << bit)), v = _mm_set1_epi8((char)value);
    __m128i l = _mm_and_si128(_mm_loadu_si128((const __m128i *)p), b);
    __m128i h = _mm_and_si128(_mm_loadu_si128((const __m128i *)p + 1), b);
    *low = _mm_add_epi8(*low, _mm_and_si128(_mm_cmpeq_epi8(l, b), v));
    *high = _mm_add_epi8(*high, _mm_and_si128(_mm_cmpeq_epi8(h, b), v));
}

/* The levels of a group, before any scale. */
static inline void levels_q2_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    __m128i low, high;
    group_bits(b + 16 + g / 4 * 32, g % 4 * 2, 3, &low, &high);
    block_floats(low, high, out);
}

static inline void levels_q3_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    __m128i low, high, four = _mm_set1_epi8(4);
    group_bits(b + 32 + g / 4 * 32, g % 4 * 2, 3, &low, &high);
    group_bit(b, g, 4, &low, &high);
    block_floats(_mm_sub_epi8(low, four), _mm_sub_epi8(high, four), out);
}

static inline void levels_q4_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    __m128i low, high;
    group_bits(b + 16 + g / 2 * 32, g % 2 * 4, 15, &low, &high);
    block_floats(low, high, out);
}

static inline void levels_q5_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    __m128i low, high;
    group_bits(b + 48 + g / 2 * 32, g % 2 * 4, 15, &low, &high);
    group_bit(b + 16, g, 16, &low, &high);
    block_floats(low, high, out);
}

static inline void levels_q6_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    __m128i low, high, top_low, top_high, half = _mm_set1_epi8(32);
    int part = g / 4, t = g % 4;
    group_bits(b + 64 * part + t % 2 * 32, t / 2 * 4, 15, &low, &high);
    group_bits(b + 128 + 32 * part, 2 * t, 3, &top_low, &top_high);
    low = _mm_or_si128(low, _mm_slli_epi16(top_low, 4));
    high = _mm_or_si128(high, _mm_slli_epi16(top_high, 4));
    block_floats(_mm_sub_epi8(low, half), _mm_sub_epi8(high, half), out);
}

/* Each half of the group has its own scale (and offset). */
static inline void group_scale(vf out[BLOCK_VECTORS], vf d0, vf d1)
{
    for (int i = 0; i < BLOCK_VECTORS; i++)
        out[i] = out[i] * (i < BLOCK_VECTORS / 2 ? d0 : d1);
}

static inline void group_q2_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    const uint8_t *s = b + 2 * g;
    vf d = block_half(b + 80), m = block_half(b + 82);
    vf m0 = m * vf_set((float)(s[0] >> 4)), m1 = m * vf_set((float)(s[1] >> 4));
    levels_q2_k(b, g, out);
    group_scale(out, d * vf_set((float)(s[0] & 15)), d * vf_set((float)(s[1] & 15)));
    for (int i = 0; i < BLOCK_VECTORS; i++)
        out[i] = out[i] - (i < BLOCK_VECTORS / 2 ? m0 : m1);
}

static inline void group_q3_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    vf d = block_half(b + 108);
    levels_q3_k(b, g, out);
    group_scale(out, d * vf_set((float)(q3_k_scale(b + 96, 2 * g) - 32)),
                d * vf_set((float)(q3_k_scale(b + 96, 2 * g + 1) - 32)));
}

static inline void group_q4_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    int s, m;
    q4_k_scale(b + 4, g, &s, &m);
    levels_q4_k(b, g, out);
    block_scale_add(out, block_half(b) * vf_set((float)s), -block_half(b + 2) * vf_set((float)m));
}

static inline void group_q5_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    int s, m;
    q4_k_scale(b + 4, g, &s, &m);
    levels_q5_k(b, g, out);
    block_scale_add(out, block_half(b) * vf_set((float)s), -block_half(b + 2) * vf_set((float)m));
}

static inline void group_q6_k(const uint8_t *b, int g, vf out[BLOCK_VECTORS])
{
    const int8_t *s = (const int8_t *)b + 192 + 2 * g;
    vf d = block_half(b + 208);
    levels_q6_k(b, g, out);
    group_scale(out, d * vf_set((float)s[0]), d * vf_set((float)s[1]));
}

/* Formats that have a block function: name, bytes of 32 elements. */
#define BLOCK_FORMATS(X) \
    X(f32, 128)          \
    X(f16, 64)           \
    X(bf16, 64)          \
    X(q4_0, 18) X(q4_1, 20) X(q5_0, 22) X(q5_1, 24) X(q8_0, 34) X(iq4_nl, 18)
#else
#define BLOCK_FORMATS(X)

/* Blocks of 256: group g of 32 elements, by the specification. */
#define GROUP_K(name, type, bytes)                                                  \
    static inline void group_##name(const uint8_t *b, int g, vf out[BLOCK_VECTORS]) \
    {                                                                               \
        float values[BLOCK];                                                        \
        name##_group(b, g, values);                                                 \
        for (int i = 0; i < BLOCK_VECTORS; i++)                                     \
            out[i] = vf_load(values + i * VF_LANES);                                \
    }
QUANT_K_FORMATS(GROUP_K)
#endif

#endif
