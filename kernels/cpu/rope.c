/* rope.c -- rotary position embedding.
 *
 * An item is a block of tokens. Cosines and sines are formed once per token, in double, and serve
 * all its heads. */
#include "kernels/base/size.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/sum.h"

#include <math.h>

#define TILE 16384 /* elements per item */
#define CHUNK 128  /* frequencies at a time: a multiple of VD_LANES */

/* --- cosine and sine of VD_LANES angles, rounded to f32 ---------------------------------------- */

#define REDUCE_LIMIT 0x1p22 /* beyond it the reduction below loses digits: the C library then */

static inline vd select_f64(vl mask, vd a, vd b)
{
    return (vd)((mask & (vl)a) | (~mask & (vl)b));
}

/* |x| <= REDUCE_LIMIT. x = q pi/2 + r, pi/2 in parts of which the first two have 33 bits, so that
 * their products with q are exact; Taylor coefficients leave less than 1e-11 for |r| <= pi/4. */
static inline void cos_sin_vector(vd x, vd *cosine, vd *sine)
{
    const double round = 0x1.8p52;
    vd t = x * 0.63661977236758134308 + round;
    vl q = (vl)t;
    t -= round;
    vd r = x - t * 1.57079632673412561417 - t * 6.07710050630396597660e-11;
    r -= t * 2.02226624879595063154e-21;
    vd z = r * r;
    vd s = z * (z * (z * (z * (z * (-1.0 / 39916800) + 1.0 / 362880) - 1.0 / 5040) + 1.0 / 120) -
                1.0 / 6);
    s = r + r * s;
    vd c = z *
           (z * (z * (z * (z * (z * (1.0 / 479001600) - 1.0 / 3628800) + 1.0 / 40320) - 1.0 / 720) +
                 1.0 / 24) -
            0.5);
    c = c + 1.0;
    vl odd = -(q & 1), c_minus = ((q + 1) & 2) << 62, s_minus = (q & 2) << 62;
    *cosine = (vd)((vl)select_f64(odd, s, c) ^ c_minus);
    *sine = (vd)((vl)select_f64(odd, c, s) ^ s_minus);
}

/* n angles pos * freq[0..n); arrays of CHUNK */
static void cos_sin(double pos, const double *freq, int64_t n, double scale, float *cosine,
                    float *sine)
{
    for (int64_t i = 0; i < n; i += VD_LANES) {
        vd f, c, s;
        memcpy(&f, freq + i, sizeof f);
        f *= pos;
        cos_sin_vector(f, &c, &s);
        for (int k = 0; k < VD_LANES; k++) {
            if (!(fabs(f[k]) <= REDUCE_LIMIT))
                c[k] = cos(f[k]), s[k] = sin(f[k]);
            cosine[i + k] = (float)(c[k] * scale);
            sine[i + k] = (float)(s[k] * scale);
        }
    }
}

/* --- rotation ------------------------------------------------------------------------------- */

/* pairs (i, i + half) for i in [0, n) of the pointers given */
static void rotate_split(float *y, const float *x, int64_t half, const float *c, const float *s,
                         int64_t n)
{
    for (int64_t i = 0; i < n; i += VF_LANES) {
        int64_t len = i64_min(VF_LANES, n - i);
        vf vc = vf_load(c + i), vs = vf_load(s + i);
        if (len == VF_LANES) {
            vf a = vf_load(x + i), b = vf_load(x + i + half);
            vf_store(y + i, a * vc - b * vs);
            vf_store(y + i + half, b * vc + a * vs);
        } else {
            vf a = vf_load_part(x + i, len), b = vf_load_part(x + i + half, len);
            vf_store_part(y + i, a * vc - b * vs, len);
            vf_store_part(y + i + half, b * vc + a * vs, len);
        }
    }
}

static void rotate_pairs(float *y, const float *x, const float *c, const float *s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = a * c[i] - b * s[i];
        y[2 * i + 1] = b * c[i] + a * s[i];
    }
}

static void rope_token(const struct rope_args *a, int64_t t)
{
    int64_t heads = a->x.shape[1], width = a->x.shape[2], n = a->inv_freq.shape[0];
    const float *x = (const float *)a->x.data + t * a->x.stride[0];
    float *y = (float *)a->y.data + t * a->y.stride[0];
    double pos = ((const int32_t *)a->pos.data)[t * a->pos.stride[0]];
    double freq[CHUNK] = {0};
    float c[CHUNK], s[CHUNK];
    if (a->inverse)
        pos = -pos;
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t len = i64_min(CHUNK, n - i), step = a->inv_freq.stride[0];
        for (int64_t k = 0; k < len; k++)
            freq[k] = a->inv_freq.dtype == DT_F64
                          ? ((const double *)a->inv_freq.data)[(i + k) * step]
                          : (double)((const float *)a->inv_freq.data)[(i + k) * step];
        cos_sin(pos, freq, len, a->scale, c, s);
        for (int64_t h = 0; h < heads; h++) {
            const float *from = x + h * a->x.stride[1];
            float *to = y + h * a->y.stride[1];
            if (a->interleaved)
                rotate_pairs(to + 2 * i, from + 2 * i, c, s, len);
            else
                rotate_split(to + i, from + i, n, c, s, len);
        }
    }
    for (int64_t h = 0; h < heads && y != x; h++)
        memcpy(y + h * a->y.stride[1] + 2 * n, x + h * a->x.stride[1] + 2 * n,
               (size_t)(width - 2 * n) * sizeof(float));
}

static int64_t tokens_per_item(const struct rope_args *a)
{
    return i64_max(1, TILE / i64_max(1, a->x.shape[1] * a->x.shape[2]));
}

static void rope_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct rope_args *a = ctx;
    int64_t step = tokens_per_item(a);
    for (int64_t t = item * step; t < i64_min((item + 1) * step, a->x.shape[0]); t++)
        rope_token(a, t);
}

void CPU(rope)(struct device *d, const struct rope_args *a)
{
    int64_t step = tokens_per_item(a);
    pool_run(d->pool, (a->x.shape[0] + step - 1) / step, rope_item, (void *)a);
}
