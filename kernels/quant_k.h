/* quant_k.h -- the formats whose blocks have 256 elements: unpacking of 32 of them at a time.
 *
 * A block holds 8 groups of 32 elements; scales and offsets of 16 or 32 elements are whole numbers
 * times one or two halves. These functions are both the specification (quant_k.c) and what the CPU
 * device inlines; loops over a group are plain, so each build vectorises them in its own width.
 * The products are grouped as the reference does: (d * scale) * level - (dmin * offset). */
#ifndef KERNELS_QUANT_K_H
#define KERNELS_QUANT_K_H

#include "kernels/quant.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif
#include <string.h>

#define QUANT_K 256      /* elements of a block */
#define QUANT_K_GROUP 32 /* elements of a group */

/* Formats: name, GGUF type, bytes of a block. */
#define QUANT_K_FORMATS(X) \
    X(q2_k, 10, 84) X(q3_k, 11, 110) X(q4_k, 12, 144) X(q5_k, 13, 176) X(q6_k, 14, 210)

static inline float quant_k_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
#if defined(__F16C__)
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
#else
    return f16_to_f32(h);
#endif
}

/* scales[16]: scale in the low nibble, offset in the high one; q[64]: 2 bits each; d; dmin */
static inline void q2_k_group(const uint8_t *b, int g, float out[QUANT_K_GROUP])
{
    const uint8_t *q = b + 16 + g / 4 * 32, *scales = b + 2 * g;
    float d = quant_k_half(b + 80), dmin = quant_k_half(b + 82);
    int shift = g % 4 * 2;
    for (int half = 0; half < 2; half++) {
        float scale = d * (float)(scales[half] & 15), offset = dmin * (float)(scales[half] >> 4);
        for (int l = 0; l < 16; l++)
            out[16 * half + l] = scale * (float)(q[16 * half + l] >> shift & 3) - offset;
    }
}

/* Scale k of q3_k, 0..63: four bits from the first 8 bytes, two from the last 4. */
static inline int q3_k_scale(const uint8_t *s, int k)
{
    int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
    return low | (s[8 + k % 4] >> (k / 4 * 2) & 3) << 4;
}

/* high[32]: bit g of byte l is the third bit; q[64]: 2 bits each; scales[12]; d */
static inline void q3_k_group(const uint8_t *b, int g, float out[QUANT_K_GROUP])
{
    const uint8_t *q = b + 32 + g / 4 * 32;
    float d = quant_k_half(b + 108);
    int shift = g % 4 * 2;
    for (int half = 0; half < 2; half++) {
        float scale = d * (float)(q3_k_scale(b + 96, 2 * g + half) - 32);
        for (int l = 16 * half; l < 16 * half + 16; l++) {
            int level = (q[l] >> shift & 3) + ((b[l] >> g & 1) << 2) - 4;
            out[l] = scale * (float)level;
        }
    }
}

/* Scale and offset of sub-block k of q4_k and q5_k, 0..63 each. */
static inline void q4_k_scale(const uint8_t *s, int k, int *scale, int *offset)
{
    if (k < 4) {
        *scale = s[k] & 63;
        *offset = s[k + 4] & 63;
    } else {
        *scale = (s[k + 4] & 15) | s[k - 4] >> 6 << 4;
        *offset = s[k + 4] >> 4 | s[k] >> 6 << 4;
    }
}

/* d; dmin; scales[12]; q[128]: nibbles, two groups in 32 bytes */
static inline void q4_k_group(const uint8_t *b, int g, float out[QUANT_K_GROUP])
{
    const uint8_t *q = b + 16 + g / 2 * 32;
    int s, m, shift = g % 2 * 4;
    q4_k_scale(b + 4, g, &s, &m);
    float scale = quant_k_half(b) * (float)s, offset = quant_k_half(b + 2) * (float)m;
    for (int l = 0; l < 32; l++)
        out[l] = scale * (float)(q[l] >> shift & 15) - offset;
}

/* d; dmin; scales[12]; high[32]: bit g of byte l is the fifth bit; q[128] as in q4_k */
static inline void q5_k_group(const uint8_t *b, int g, float out[QUANT_K_GROUP])
{
    const uint8_t *q = b + 48 + g / 2 * 32, *high = b + 16;
    int s, m, shift = g % 2 * 4;
    q4_k_scale(b + 4, g, &s, &m);
    float scale = quant_k_half(b) * (float)s, offset = quant_k_half(b + 2) * (float)m;
    for (int l = 0; l < 32; l++) {
        int level = (q[l] >> shift & 15) | (high[l] >> g & 1) << 4;
        out[l] = scale * (float)level - offset;
    }
}

/* q[128]: low nibbles, 64 bytes for four groups; high[64]: 2 bits each; scales[16], signed; d */
static inline void q6_k_group(const uint8_t *b, int g, float out[QUANT_K_GROUP])
{
    int half = g / 4, t = g % 4;
    const uint8_t *q = b + 64 * half + t % 2 * 32, *high = b + 128 + 32 * half;
    const int8_t *scales = (const int8_t *)b + 192 + 2 * g;
    float d = quant_k_half(b + 208);
    int shift = t / 2 * 4;
    for (int part = 0; part < 2; part++) {
        float scale = d * (float)scales[part];
        for (int l = 16 * part; l < 16 * part + 16; l++) {
            int level = (q[l] >> shift & 15) | (high[l] >> 2 * t & 3) << 4;
            out[l] = scale * (float)(level - 32);
        }
    }
}

#define QUANT_K_DECLARE(name, type, bytes)                      \
    void name##_decode(const void *src, float *dst, int64_t n); \
    void name##_encode(const float *src, void *dst, int64_t n);
QUANT_K_FORMATS(QUANT_K_DECLARE)

#endif
