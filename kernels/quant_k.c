/* quant_k.c -- formats with blocks of 256 elements: decode, and encode by search.
 *
 * A block is cut into sub-blocks of 16 or 32 elements. Each gets the scale (and offset) with the
 * least weighted square error among some twenty trials, where large values count more; then these
 * are rounded to a few bits against the block's own halves, and the levels are chosen anew for what
 * was stored. A block with a NaN or an infinity decodes to NaN, all of it. */
#include "kernels/quant_k.h"
#include "kernels/base/size.h"

#include <math.h>

#define DECODE(name, type, bytes)                                \
    void name##_decode(const void *src, float *dst, int64_t n)   \
    {                                                            \
        const uint8_t *b = src;                                  \
        for (int64_t i = 0; i < n; i += QUANT_K, b += (bytes))   \
            for (int g = 0; g < QUANT_K / QUANT_K_GROUP; g++)    \
                name##_group(b, g, dst + i + g * QUANT_K_GROUP); \
    }
QUANT_K_FORMATS(DECODE)

/* --- search ----------------------------------------------------------------------------------- */

#define TRIALS 10 /* on each side of the plain scale */
#define MOST 32   /* elements of a sub-block */

static float inverse(float d)
{
    return d != 0 ? 1 / d : 0;
}

/* Four elements at a time, on any machine. */
typedef float lanes __attribute__((vector_size(16)));
typedef int32_t masks __attribute__((vector_size(16)));

static lanes load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

static lanes all(float x)
{
    return (lanes){x, x, x, x};
}

static lanes select(masks mask, lanes a, lanes b)
{
    return (lanes)((mask & (masks)a) | (~mask & (masks)b));
}

static double sum(lanes v)
{
    return (double)((v[0] + v[1]) + (v[2] + v[3]));
}

/* x to the nearest whole number (half to even) in [low, high]; NaN gives low. */
static lanes whole4(lanes x, float low, float high)
{
    x = select(x > all(low), x, all(low));
    x = select(x < all(high), x, all(high));
    return (x + 0x1.8p23f) - 0x1.8p23f; /* that sum has no bits left below 1 */
}

static int whole(float x, int low, int high)
{
    return (int)whole4(all(x), (float)low, (float)high)[0];
}

static void weights(const float *x, int n, float w[MOST])
{
    float squares = 0;
    for (int i = 0; i < n; i++)
        squares += x[i] * x[i];
    for (int i = 0; i < n; i++)
        w[i] = sqrtf(squares / (float)n) + fabsf(x[i]);
}

struct fit {
    float scale, offset; /* x is about scale * level - offset */
    double gain;         /* by how much that lowers the weighted square error */
};

/* The best scale and offset (>= 0) for the levels that 'inv' gives to x - low. */
static struct fit fit_line(const float *x, const float *w, int n, float low, float inv, int top)
{
    lanes w1 = {0}, wl = {0}, wll = {0}, wx = {0}, wlx = {0};
    for (int i = 0; i < n; i += 4) {
        lanes xi = load(x + i), wi = load(w + i);
        lanes level = whole4(all(inv) * (xi - all(low)), 0, (float)top), u = wi * level;
        w1 += wi, wl += u, wll += u * level;
        wx += wi * xi, wlx += u * xi;
    }
    double sw = sum(w1), sl = sum(wl), sll = sum(wll), sx = sum(wx), slx = sum(wlx);
    double det = sw * sll - sl * sl;
    double scale = (sw * slx - sl * sx) / det, offset = (sl * slx - sll * sx) / det;
    if (!(det > 1e-6 * sw * sll) || offset < 0) { /* one level for all; no offset lifts values */
        offset = 0;
        scale = sll > 0 ? slx / sll : 0;
    }
    return (struct fit){(float)scale, (float)offset, scale * slx - offset * sx};
}

/* Levels 0..top with an offset. */
static struct fit search_offset(const float *x, int n, int top)
{
    float w[MOST], low = 0, high = 0; /* 0 is in reach: the offset pulls down only */
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    struct fit best = {.offset = -low, .gain = -INFINITY};
    if (!(high > low))
        return best;
    weights(x, n, w);
    for (int t = -TRIALS; t <= TRIALS; t++) {
        float inv = ((float)top + 0.1f * (float)t) / (high - low);
        struct fit f = fit_line(x, w, n, low, inv, top);
        if (f.gain > best.gain && f.scale >= 0)
            best = f;
    }
    return best;
}

/* Levels -half..half-1, no offset; the scale may be negative: the extreme value has level -half. */
static float search_symmetric(const float *x, int n, int half)
{
    float w[MOST], extreme = 0, best = 0;
    double most = 0;
    for (int i = 0; i < n; i++)
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    if (extreme == 0)
        return 0;
    weights(x, n, w);
    for (int t = -TRIALS; t <= TRIALS; t++) {
        lanes inv = all(-((float)half + 0.1f * (float)t) / extreme), wlx = {0}, wll = {0};
        for (int i = 0; i < n; i += 4) {
            lanes xi = load(x + i), level = whole4(inv * xi, (float)-half, (float)half - 1);
            lanes u = load(w + i) * level;
            wlx += u * xi;
            wll += u * level;
        }
        double lx = sum(wlx), ll = sum(wll);
        if (ll > 0 && lx * lx > most * ll) { /* the error falls by lx^2 / ll */
            most = lx * lx / ll;
            best = (float)(lx / ll);
        }
    }
    return best;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void put_half(uint8_t *p, float f)
{
    uint16_t h = f32_to_f16(f);
    memcpy(p, &h, 2);
}

/* Finite, and not so large that no half could be its scale. */
static bool storable(const float *x)
{
    bool fits = true;
    for (int i = 0; i < QUANT_K; i++)
        fits = fits && fabsf(x[i]) < 1e9f;
    return fits;
}

/* What a block with offsets stores: 'subs' sub-blocks, each with whole scale and offset. */
struct stored {
    float d, dmin; /* as the halves give them back */
    int scale[16], offset[16];
    int level[QUANT_K];
};

/* Scales and offsets as whole numbers up to 'most'; then the levels for them. */
static void choose_offset(const float *x, int subs, int top, int most, struct stored *s)
{
    struct fit fit[16];
    int n = QUANT_K / subs;
    float scale = 0, offset = 0;
    for (int k = 0; k < subs; k++) {
        fit[k] = search_offset(x + k * n, n, top);
        scale = fit[k].scale > scale ? fit[k].scale : scale;
        offset = fit[k].offset > offset ? fit[k].offset : offset;
    }
    s->d = f16_to_f32(f32_to_f16(scale / (float)most));
    s->dmin = f16_to_f32(f32_to_f16(offset / (float)most));
    for (int k = 0; k < subs; k++) {
        s->scale[k] = whole(fit[k].scale * inverse(s->d), 0, most);
        s->offset[k] = whole(fit[k].offset * inverse(s->dmin), 0, most);
        float inv = inverse(s->d * (float)s->scale[k]), low = s->dmin * (float)s->offset[k];
        for (int i = k * n; i < (k + 1) * n; i++)
            s->level[i] = whole((x[i] + low) * inv, 0, top);
    }
}

/* Signed scales in [-most, most-1], 16 sub-blocks, levels -half..half-1 stored from 0 on. */
static void choose_symmetric(const float *x, int half, int most, struct stored *s)
{
    float scale[16], extreme = 0;
    for (int k = 0; k < 16; k++) {
        scale[k] = search_symmetric(x + 16 * k, 16, half);
        extreme = fabsf(scale[k]) > fabsf(extreme) ? scale[k] : extreme;
    }
    s->d = f16_to_f32(f32_to_f16(extreme / (float)-most));
    for (int k = 0; k < 16; k++) {
        s->scale[k] = whole(scale[k] * inverse(s->d), -most, most - 1);
        float inv = inverse(s->d * (float)s->scale[k]);
        for (int i = 16 * k; i < 16 * (k + 1); i++)
            s->level[i] = half + (inv != 0 ? whole(x[i] * inv, -half, half - 1) : 0);
    }
}

static void put_q2_k(uint8_t *b, const struct stored *s)
{
    for (int k = 0; k < 16; k++)
        b[k] = (uint8_t)(s->scale[k] | s->offset[k] << 4);
    for (int i = 0; i < QUANT_K; i++)
        b[16 + i / 128 * 32 + i % 32] |= (uint8_t)(s->level[i] << i % 128 / 32 * 2);
    put_half(b + 80, s->d);
    put_half(b + 82, s->dmin);
}

static void put_q3_k(uint8_t *b, const struct stored *s)
{
    for (int i = 0; i < QUANT_K; i++) {
        b[32 + i / 128 * 32 + i % 32] |= (uint8_t)((s->level[i] & 3) << i % 128 / 32 * 2);
        b[i % 32] |= (uint8_t)(s->level[i] >> 2 << i / 32);
    }
    for (int k = 0; k < 16; k++) {
        int v = s->scale[k] + 32;
        b[96 + k % 8] |= (uint8_t)((v & 15) << k / 8 * 4);
        b[104 + k % 4] |= (uint8_t)(v >> 4 << k / 4 * 2);
    }
    put_half(b + 108, s->d);
}

static void put_scales(uint8_t *b, const struct stored *s)
{
    for (int k = 0; k < 8; k++) {
        if (k < 4) {
            b[k] |= (uint8_t)s->scale[k];
            b[k + 4] |= (uint8_t)s->offset[k];
        } else {
            b[k + 4] = (uint8_t)((s->scale[k] & 15) | (s->offset[k] & 15) << 4);
            b[k - 4] |= (uint8_t)(s->scale[k] >> 4 << 6);
            b[k] |= (uint8_t)(s->offset[k] >> 4 << 6);
        }
    }
}

static void put_q4_k(uint8_t *b, const struct stored *s)
{
    put_half(b, s->d);
    put_half(b + 2, s->dmin);
    put_scales(b + 4, s);
    for (int i = 0; i < QUANT_K; i++)
        b[16 + i / 64 * 32 + i % 32] |= (uint8_t)(s->level[i] << i / 32 % 2 * 4);
}

static void put_q5_k(uint8_t *b, const struct stored *s)
{
    put_half(b, s->d);
    put_half(b + 2, s->dmin);
    put_scales(b + 4, s);
    for (int i = 0; i < QUANT_K; i++) {
        b[48 + i / 64 * 32 + i % 32] |= (uint8_t)((s->level[i] & 15) << i / 32 % 2 * 4);
        b[16 + i % 32] |= (uint8_t)(s->level[i] >> 4 << i / 32);
    }
}

static void put_q6_k(uint8_t *b, const struct stored *s)
{
    for (int i = 0; i < QUANT_K; i++) {
        int half = i / 128, t = i / 32 % 4, l = i % 32;
        b[64 * half + t % 2 * 32 + l] |= (uint8_t)((s->level[i] & 15) << t / 2 * 4);
        b[128 + 32 * half + l] |= (uint8_t)(s->level[i] >> 4 << 2 * t);
    }
    for (int k = 0; k < 16; k++)
        b[192 + k] = (uint8_t)(int8_t)s->scale[k];
    put_half(b + 208, s->d);
}

/* The levels stay 0 in a block that is not finite: NaN times anything is NaN. */
#define ENCODE(name, bytes, choose)                              \
    void name##_encode(const float *src, void *dst, int64_t n)   \
    {                                                            \
        uint8_t *b = dst;                                        \
        memset(b, 0, (size_t)(n / QUANT_K * (bytes)));           \
        for (int64_t i = 0; i < n; i += QUANT_K, b += (bytes)) { \
            const float *x = src + i;                            \
            struct stored s = {.d = NAN, .dmin = 0};             \
            if (storable(x))                                     \
                choose;                                          \
            put_##name(b, &s);                                   \
        }                                                        \
    }
ENCODE(q2_k, 84, choose_offset(x, 16, 3, 15, &s))
ENCODE(q3_k, 110, choose_symmetric(x, 4, 32, &s))
ENCODE(q4_k, 144, choose_offset(x, 8, 15, 63, &s))
ENCODE(q5_k, 176, choose_offset(x, 8, 31, 63, &s))
ENCODE(q6_k, 210, choose_symmetric(x, 32, 128, &s))
