/* quant.c -- the weight storage formats: decode and encode, one row of the table each.
 *
 * Written to be read; devices unpack faster and are tested against this. Blocks are GGUF's, little
 * endian, without alignment. Encoding rounds as ggml's reference quantisation does, so files come
 * out the same. A block that holds a NaN or an infinity decodes to NaN, all of it: a level of four
 * bits cannot keep it, and it must not vanish. */
#include "kernels/quant.h"
#include "kernels/base/size.h"
#include "kernels/quant_k.h"

#include <math.h>
#include <string.h>

/* --- scalars -------------------------------------------------------------------------------- */

union bits {
    float f;
    uint32_t u;
};

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7FFF;
    union bits x;
    if (rest >= 0x7C00) /* infinity, NaN */
        x.u = 0x7F800000u | (rest & 0x3FF) << 13;
    else if (rest >= 0x0400)
        x.u = (rest << 13) + (112u << 23);
    else
        x.f = (float)rest * 0x1p-24f;
    x.u |= sign;
    return x.f;
}

uint16_t f32_to_f16(float f)
{
    union bits x = {f};
    uint32_t sign = x.u >> 16 & 0x8000, a = x.u & 0x7FFFFFFFu;
    if (a > 0x7F800000u) /* NaN: keep what fits, and the bit that makes it one */
        return (uint16_t)(sign | 0x7E00 | (a >> 13 & 0x3FF));
    if (a >= 0x477FF000u) /* 65520 and up round to infinity */
        return (uint16_t)(sign | 0x7C00);
    if (a < 0x38800000u) { /* below 2^-14: count steps of 2^-24; adding 2^23 rounds to whole ones */
        union bits steps = {fabsf(f) * 0x1p24f + 0x1p23f};
        return (uint16_t)(sign | (steps.u - 0x4B000000u));
    }
    a += 0xFFF + (a >> 13 & 1);
    return (uint16_t)(sign | (a - (112u << 23)) >> 13);
}

uint16_t f32_to_bf16(float f)
{
    union bits x = {f};
    if ((x.u & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(x.u >> 16 | 0x40);
    return (uint16_t)((x.u + 0x7FFF + (x.u >> 16 & 1)) >> 16);
}

/* --- plain formats -------------------------------------------------------------------------- */

static void f32_decode(const void *src, float *dst, int64_t n)
{
    if (n) /* of nothing there may be no address */
        memcpy(dst, src, (size_t)n * 4);
}

static void f32_encode(const float *src, void *dst, int64_t n)
{
    if (n) /* of nothing there may be no address */
        memcpy(dst, src, (size_t)n * 4);
}

static void f64_decode(const void *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = (float)((const double *)src)[i];
}

static void f64_encode(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ((double *)dst)[i] = src[i];
}

static void f16_decode(const void *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = f16_to_f32(((const uint16_t *)src)[i]);
}

static void f16_encode(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ((uint16_t *)dst)[i] = f32_to_f16(src[i]);
}

static void bf16_decode(const void *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = bf16_to_f32(((const uint16_t *)src)[i]);
}

static void bf16_encode(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ((uint16_t *)dst)[i] = f32_to_bf16(src[i]);
}

/* --- blocks --------------------------------------------------------------------------------- */

#define BLOCK 32

static float half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return f16_to_f32(h);
}

static void put_half(uint8_t *p, float f)
{
    uint16_t h = f32_to_f16(f);
    memcpy(p, &h, 2);
}

/* What encoding wants to know of a block. */
struct range {
    float low, high, extreme; /* extreme: the value of largest magnitude, with its sign */
    bool finite;
};

static struct range range_of(const float *x)
{
    struct range r = {x[0], x[0], 0, true};
    for (int i = 0; i < BLOCK; i++) {
        r.finite = r.finite && isfinite(x[i]);
        if (x[i] < r.low)
            r.low = x[i];
        if (x[i] > r.high)
            r.high = x[i];
        if (fabsf(x[i]) > fabsf(r.extreme))
            r.extreme = x[i];
    }
    return r;
}

static float inverse(float d)
{
    return d != 0 ? 1 / d : 0;
}

/* Whole part of x, kept in [0, top]; also where a tiny step made x infinite or NaN. */
static uint32_t level(float x, uint32_t top)
{
    if (!(x > 0))
        return 0;
    return x < (float)top ? (uint32_t)x : top;
}

/* Levels as nibbles: byte j holds elements j (low) and j + 16 (high). */
static void put_nibbles(uint8_t *q, const uint32_t levels[BLOCK])
{
    for (int j = 0; j < 16; j++)
        q[j] = (uint8_t)((levels[j] & 15) | (levels[j + 16] & 15) << 4);
}

static uint32_t nibble(const uint8_t *q, int e)
{
    return e < 16 ? q[e] & 15 : q[e - 16] >> 4;
}

/* Bit 4 of element e is bit e of a 32-bit word. */
static void put_fifth_bits(uint8_t *p, const uint32_t levels[BLOCK])
{
    uint32_t word = 0;
    for (int e = 0; e < BLOCK; e++)
        word |= (levels[e] >> 4 & 1) << e;
    memcpy(p, &word, 4);
}

static uint32_t fifth_bit(const uint8_t *p, int e)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return (word >> e & 1) << 4;
}

/* q4_0, q5_0: v = d * (q - half), levels 0 .. 2*half-1. The extreme value lies on level 0, where
 * there is one step more than on the other side. */
static float symmetric_levels(const float *x, int half, uint32_t levels[BLOCK])
{
    struct range r = range_of(x);
    float d = r.extreme / (float)-half, id = inverse(d);
    for (int e = 0; e < BLOCK; e++)
        levels[e] = level(x[e] * id + ((float)half + 0.5f), 2 * (uint32_t)half - 1);
    return r.finite ? d : NAN;
}

/* q4_1, q5_1: v = d * q + m, levels 0 .. top. */
static float offset_levels(const float *x, uint32_t top, uint32_t levels[BLOCK], float *m)
{
    struct range r = range_of(x);
    float d = (r.high - r.low) / (float)top, id = inverse(d);
    for (int e = 0; e < BLOCK; e++)
        levels[e] = level((x[e] - r.low) * id + 0.5f, top);
    *m = r.low;
    return r.finite ? d : NAN;
}

/* d, 16 bytes */
static void q4_0_decode(const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t i = 0; i < n; i += BLOCK, b += 18)
        for (int e = 0; e < BLOCK; e++)
            dst[i + e] = half_at(b) * (float)((int)nibble(b + 2, e) - 8);
}

static void q4_0_encode(const float *src, void *dst, int64_t n)
{
    uint8_t *b = dst;
    uint32_t levels[BLOCK];
    for (int64_t i = 0; i < n; i += BLOCK, b += 18) {
        put_half(b, symmetric_levels(src + i, 8, levels));
        put_nibbles(b + 2, levels);
    }
}

/* d, m, 16 bytes */
static void q4_1_decode(const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t i = 0; i < n; i += BLOCK, b += 20)
        for (int e = 0; e < BLOCK; e++)
            dst[i + e] = half_at(b) * (float)nibble(b + 4, e) + half_at(b + 2);
}

static void q4_1_encode(const float *src, void *dst, int64_t n)
{
    uint8_t *b = dst;
    uint32_t levels[BLOCK];
    float m;
    for (int64_t i = 0; i < n; i += BLOCK, b += 20) {
        put_half(b, offset_levels(src + i, 15, levels, &m));
        put_half(b + 2, m);
        put_nibbles(b + 4, levels);
    }
}

/* d, fifth bits, 16 bytes */
static void q5_0_decode(const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t i = 0; i < n; i += BLOCK, b += 22)
        for (int e = 0; e < BLOCK; e++)
            dst[i + e] = half_at(b) * (float)((int)(nibble(b + 6, e) | fifth_bit(b + 2, e)) - 16);
}

static void q5_0_encode(const float *src, void *dst, int64_t n)
{
    uint8_t *b = dst;
    uint32_t levels[BLOCK];
    for (int64_t i = 0; i < n; i += BLOCK, b += 22) {
        put_half(b, symmetric_levels(src + i, 16, levels));
        put_fifth_bits(b + 2, levels);
        put_nibbles(b + 6, levels);
    }
}

/* d, m, fifth bits, 16 bytes */
static void q5_1_decode(const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t i = 0; i < n; i += BLOCK, b += 24)
        for (int e = 0; e < BLOCK; e++)
            dst[i + e] =
                half_at(b) * (float)(nibble(b + 8, e) | fifth_bit(b + 4, e)) + half_at(b + 2);
}

static void q5_1_encode(const float *src, void *dst, int64_t n)
{
    uint8_t *b = dst;
    uint32_t levels[BLOCK];
    float m;
    for (int64_t i = 0; i < n; i += BLOCK, b += 24) {
        put_half(b, offset_levels(src + i, 31, levels, &m));
        put_half(b + 2, m);
        put_fifth_bits(b + 4, levels);
        put_nibbles(b + 8, levels);
    }
}

/* d, 32 signed bytes */
static void q8_0_decode(const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t i = 0; i < n; i += BLOCK, b += 34)
        for (int e = 0; e < BLOCK; e++)
            dst[i + e] = half_at(b) * (float)(int8_t)b[2 + e];
}

static void q8_0_encode(const float *src, void *dst, int64_t n)
{
    uint8_t *b = dst;
    for (int64_t i = 0; i < n; i += BLOCK, b += 34) {
        struct range r = range_of(src + i);
        float d = fabsf(r.extreme) / 127, id = inverse(d);
        put_half(b, r.finite ? d : NAN);
        for (int e = 0; e < BLOCK; e++) {
            float q = roundf(src[i + e] * id); /* half away from zero */
            b[2 + e] = (uint8_t)(int8_t)(q > -127 ? q < 127 ? (int)q : 127 : -127);
        }
    }
}

/* d, 16 bytes whose nibbles are places in a table: finer around 0 */
static const int8_t iq4_nl_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};

static void iq4_nl_decode(const void *src, float *dst, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t i = 0; i < n; i += BLOCK, b += 18)
        for (int e = 0; e < BLOCK; e++)
            dst[i + e] = half_at(b) * (float)iq4_nl_levels[nibble(b + 2, e)];
}

/* Place of the level next to x: how many middles between two of them lie below. */
static uint32_t iq4_nl_level(float x)
{
    static const float middles[15] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                      7,       19,     31.5f, 45.5f, 61,  79,     101};
    uint32_t place = 0;
    for (int i = 0; i < 15; i++)
        place += x > middles[i];
    return place;
}

/* The step with the least square error, of those that put the extreme value near an end. */
static float iq4_nl_step(const float *x, float extreme)
{
    float best = 0;
    double most = 0;
    for (int t = -7; t <= 7; t++) {
        float inv = ((float)iq4_nl_levels[0] + (float)t) / extreme;
        double xl = 0, ll = 0;
        for (int e = 0; e < BLOCK; e++) {
            double l = iq4_nl_levels[iq4_nl_level(inv * x[e])];
            xl += l * (double)x[e];
            ll += l * l;
        }
        if (xl * xl > most * ll) {
            most = xl * xl / ll;
            best = (float)(xl / ll);
        }
    }
    return best;
}

static void iq4_nl_encode(const float *src, void *dst, int64_t n)
{
    uint8_t *b = dst;
    uint32_t levels[BLOCK];
    for (int64_t i = 0; i < n; i += BLOCK, b += 18) {
        struct range r = range_of(src + i);
        float d = r.finite && r.extreme != 0 ? iq4_nl_step(src + i, r.extreme) : 0;
        put_half(b, r.finite ? d : NAN);
        float id = inverse(half_at(b));
        for (int e = 0; e < BLOCK; e++)
            levels[e] = iq4_nl_level(src[i + e] * id);
        put_nibbles(b + 2, levels);
    }
}

/* --- the table ------------------------------------------------------------------------------ */

#define ROW(n, type, id, elements, bytes, ...)                                               \
    {                                                                                        \
        .name = #n, .dtype = type, .ggml_type = id, .block = elements, .block_bytes = bytes, \
        .decode = n##_decode, .encode = n##_encode, __VA_ARGS__                              \
    }
const struct format formats[] = {ROW(f32, DT_F32, 0, 1, 4, .safetensors = "F32"),
                                 ROW(f64, DT_F64, 28, 1, 8, .safetensors = "F64"),
                                 ROW(f16, DT_F16, 1, 1, 2, .safetensors = "F16"),
                                 ROW(bf16, DT_BF16, 30, 1, 2, .safetensors = "BF16"),
                                 ROW(q4_0, DT_BLOCK, 2, BLOCK, 18, ),
                                 ROW(q4_1, DT_BLOCK, 3, BLOCK, 20, ),
                                 ROW(q5_0, DT_BLOCK, 6, BLOCK, 22, ),
                                 ROW(q5_1, DT_BLOCK, 7, BLOCK, 24, ),
                                 ROW(q8_0, DT_BLOCK, 8, BLOCK, 34, ),
                                 ROW(iq4_nl, DT_BLOCK, 20, BLOCK, 18, ),
#define K_ROW(name, type, bytes) ROW(name, DT_BLOCK, type, QUANT_K, bytes, ),
                                 QUANT_K_FORMATS(K_ROW)};
const char formats_text[] =
    "F32, F16, BF16, F64, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, Q2_K, Q3_K, "
    "Q4_K, Q5_K, Q6_K";
const int formats_count = COUNT_OF(formats);

const struct format *format_by_name(const char *name)
{
    for (int i = 0; i < formats_count; i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

const struct format *format_by_ggml(int type)
{
    for (int i = 0; i < formats_count; i++)
        if (type >= 0 && formats[i].ggml_type == type)
            return &formats[i];
    return NULL;
}

const struct format *format_by_safetensors(const char *dtype)
{
    for (int i = 0; i < formats_count; i++)
        if (formats[i].safetensors && !strcmp(formats[i].safetensors, dtype))
            return &formats[i];
    return NULL;
}

const struct format *format_of_dtype(enum dtype t)
{
    for (int i = 0; i < formats_count; i++)
        if (t != DT_BLOCK && formats[i].dtype == t)
            return &formats[i];
    return NULL;
}

const char *format_ggml_name(int type)
{
    static const char *const names[] = {
        "F32",
        "F16",
        "Q4_0",
        "Q4_1",
        "Q4_2 (removed)",
        "Q4_3 (removed)",
        "Q5_0",
        "Q5_1",
        "Q8_0",
        "Q8_1",
        "Q2_K",
        "Q3_K",
        "Q4_K",
        "Q5_K",
        "Q6_K",
        "Q8_K",
        "IQ2_XXS",
        "IQ2_XS",
        "IQ3_XXS",
        "IQ1_S",
        "IQ4_NL",
        "IQ3_S",
        "IQ2_S",
        "IQ4_XS",
        "I8",
        "I16",
        "I32",
        "I64",
        "F64",
        "IQ1_M",
        "BF16",
        "removed",
        "removed",
        "removed",
        "TQ1_0",
        "TQ2_0",
        "removed",
        "removed",
        "removed",
        "MXFP4",
        "NVFP4",
        "Q1_0",
        "Q2_0",
    };
    return type >= 0 && type < COUNT_OF(names) ? names[type] : "?";
}

size_t format_row_bytes(const struct format *f, int64_t cols)
{
    return (size_t)(cols / f->block) * (size_t)f->block_bytes;
}
