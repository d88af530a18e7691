/* dropout.c -- inverted dropout whose mask is a pure function of key, sample, place and epoch.
 *
 * One Philox call serves four channels; VG_LANES of them run side by side in the lanes of 64-bit
 * integers, which is what a 32 x 32 -> 64 bit product wants. */
#include "kernels/base/size.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/sum.h"

#include <math.h>

#define TILE 8192
#define VG_LANES VD_LANES
typedef uint64_t vg __attribute__((vector_size(8 * VG_LANES)));

/* low halves only; the high halves of a and b are 0 */
static inline vg multiply(vg a, uint32_t b)
{
#if defined(CPU_AVX512) && VG_LANES == 8
    return (vg)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(CPU_AVX2) && VG_LANES == 4
    return (vg)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#else
    return a * b;
#endif
}

/* as rng_philox, of counters {sample, offset, channel + lane, epoch} */
static inline void philox(struct rng_key key, uint32_t sample, uint32_t offset, uint32_t channel,
                          uint32_t epoch, vg out[4])
{
    const vg low = (vg){0} + 0xffffffffu;
    vg x0 = (vg){0} + sample, x1 = (vg){0} + offset, x2, x3 = (vg){0} + epoch;
    for (int i = 0; i < VG_LANES; i++)
        x2[i] = (uint32_t)(channel + (uint32_t)i);
    uint32_t k0 = key.k[0], k1 = key.k[1];
    for (int round = 0; round < 10; round++) {
        vg p0 = multiply(x0, 0xD2511F53u), p1 = multiply(x2, 0xCD9E8D57u);
        x0 = (p1 >> 32) ^ x1 ^ k0;
        x2 = (p0 >> 32) ^ x3 ^ k1;
        x1 = p1 & low;
        x3 = p0 & low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

static void drop_row(const struct dropout_args *a, int64_t t, float keep_scale, uint32_t limit)
{
    const float *x = (const float *)a->x.data + t * a->x.stride[0];
    float *y = (float *)a->y.data + t * a->y.stride[0];
    uint32_t sample = (uint32_t)((const int32_t *)a->sample.data)[t * a->sample.stride[0]];
    uint32_t offset = (uint32_t)((const int32_t *)a->offset.data)[t * a->offset.stride[0]];
    int64_t width = a->x.shape[1];
    for (int64_t c = 0; c < width; c += 4 * VG_LANES) {
        vg word[4];
        philox(a->key, sample, offset, a->channel_base + (uint32_t)(c / 4), a->epoch, word);
        float factor[4 * VG_LANES];
        for (int i = 0; i < VG_LANES; i++)
            for (int k = 0; k < 4; k++)
                factor[4 * i + k] = (uint32_t)word[k][i] >> 8 >= limit ? keep_scale : 0;
        int64_t len = i64_min(4 * VG_LANES, width - c);
        for (int64_t i = 0; i < len; i++)
            y[c + i] = factor[i] != 0 ? x[c + i] * factor[i] : 0;
    }
}

static int64_t rows_per_item(const struct dropout_args *a)
{
    return i64_max(1, TILE / i64_max(1, a->x.shape[1]));
}

static void drop_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct dropout_args *a = ctx;
    int64_t step = rows_per_item(a);
    /* rng_unit(word) >= p, in integers: (word >> 8) >= p 2^24 */
    uint32_t limit = (uint32_t)ceil(a->p * 0x1p24);
    float keep_scale = (float)(1 / (1 - a->p));
    for (int64_t t = item * step; t < i64_min((item + 1) * step, a->x.shape[0]); t++)
        drop_row(a, t, keep_scale, limit);
}

void CPU(dropout)(struct device *d, const struct dropout_args *a)
{
    int64_t step = rows_per_item(a);
    pool_run(d->pool, (a->x.shape[0] + step - 1) / step, drop_item, (void *)a);
}
