/* dropout.c -- inverted dropout whose mask is a pure function of key, sample, place and epoch.
 *
 * One Philox call serves four channels; VG_LANES calls run side by side in the lanes of 64-bit
 * integers, which is what a 32 x 32 -> 64 bit product wants. */
#include "kernels/base/size.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/sum.h"

#include <math.h>

#define TILE 8192
#define VG_LANES VD_LANES
typedef uint64_t vg __attribute__((vector_size(8 * VG_LANES)));

/* The low halves of a and b multiplied; what the high halves hold does not matter. */
static inline vg multiply(vg a, uint32_t b)
{
#if defined(CPU_AVX512)
    return (vg)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(CPU_AVX2) && VG_LANES == 4
    return (vg)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#else
    return (a & 0xffffffffu) * b;
#endif
}

/* Lanes a0 b0 a1 b1 ... of the first and of the second half of a and b. */
#if VG_LANES == 2
#define FIRST 0, 2
#define SECOND 1, 3
#elif VG_LANES == 4
#define FIRST 0, 4, 1, 5
#define SECOND 2, 6, 3, 7
#else
#define FIRST 0, 8, 1, 9, 2, 10, 3, 11
#define SECOND 4, 12, 5, 13, 6, 14, 7, 15
#endif

/* What a call needs of the arguments, the round keys in all lanes. */
struct mask {
    const struct dropout_args *a;
    float keep_scale;
    int32_t limit; /* rng_unit(word) >= p, in integers: (word >> 8) >= p 2^24 */
    vg key[20];
};

static struct mask mask_of(const struct dropout_args *a)
{
    struct mask m = {a, (float)(1 / (1 - a->p)), (int32_t)ceil(a->p * 0x1p24), {{0}}};
    for (uint32_t r = 0; r < 10; r++) {
        m.key[2 * r] += (uint32_t)(a->key.k[0] + r * 0x9E3779B9u);
        m.key[2 * r + 1] += (uint32_t)(a->key.k[1] + r * 0xBB67AE85u);
    }
    return m;
}

/* rng_philox of the counters {sample, offset, channel + lane, epoch}; the words in the order of the
 * elements they decide: out[0] those of the first VF_LANES channels, out[1] of the next. */
static inline void philox(const struct mask *m, vg x0, vg x1, vg x2, vg x3, vu out[2])
{
    for (int r = 0; r < 10; r++) {
        vg p0 = multiply(x0, 0xD2511F53u), p1 = multiply(x2, 0xCD9E8D57u);
        x0 = (p1 >> 32) ^ x1 ^ m->key[2 * r];
        x2 = (p0 >> 32) ^ x3 ^ m->key[2 * r + 1];
        x1 = p1;
        x3 = p0;
    }
    vg words01 = (x0 & 0xffffffffu) | x1 << 32, words23 = (x2 & 0xffffffffu) | x3 << 32;
    out[0] = (vu)__builtin_shufflevector(words01, words23, FIRST);
    out[1] = (vu)__builtin_shufflevector(words01, words23, SECOND);
}

static void drop_row(const struct mask *m, int64_t t)
{
    const struct dropout_args *a = m->a;
    const float *x = (const float *)a->x.data + t * a->x.stride[0];
    float *y = (float *)a->y.data + t * a->y.stride[0];
    vg sample = (vg){0} + (uint32_t)((const int32_t *)a->sample.data)[t * a->sample.stride[0]];
    vg offset = (vg){0} + (uint32_t)((const int32_t *)a->offset.data)[t * a->offset.stride[0]];
    vg epoch = (vg){0} + a->epoch, channel;
    int64_t width = a->x.shape[1];
    for (uint32_t i = 0; i < VG_LANES; i++)
        channel[i] = (uint32_t)(a->channel_base + i);
    for (int64_t c = 0; c < width;
         c += 2 * VF_LANES, channel = (channel + VG_LANES) & 0xffffffffu) {
        vu word[2];
        philox(m, sample, offset, channel, epoch, word);
        for (int k = 0; k < 2; k++) {
            int64_t at = c + k * VF_LANES, len = i64_min(VF_LANES, width - at);
            vi keep = (vi)(word[k] >> 8) >= m->limit;
            if (len == VF_LANES)
                vf_store(y + at, (vf)(keep & (vi)(vf_load(x + at) * m->keep_scale)));
            else if (len > 0)
                vf_store_part(y + at, (vf)(keep & (vi)(vf_load_part(x + at, len) * m->keep_scale)),
                              len);
        }
    }
}

static int64_t rows_per_item(const struct dropout_args *a)
{
    return i64_max(1, TILE / i64_max(1, a->x.shape[1]));
}

static void drop_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct mask *m = ctx;
    int64_t step = rows_per_item(m->a), rows = m->a->x.shape[0];
    for (int64_t t = item * step; t < i64_min((item + 1) * step, rows); t++)
        drop_row(m, t);
}

void CPU(dropout)(struct device *d, const struct dropout_args *a)
{
    struct mask m = mask_of(a);
    int64_t step = rows_per_item(a);
    pool_run(d->pool, (a->x.shape[0] + step - 1) / step, drop_item, &m);
}
