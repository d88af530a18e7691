/* dropout.c -- inverted dropout whose mask is a function of where an element stands. */
#include "kernels/ref/ref.h"

void ref_dropout(struct device *d, const struct dropout_args *a)
{
    (void)d;
    for (int64_t t = 0; t < a->x.shape[0]; t++)
        for (int64_t c = 0; c < a->x.shape[1]; c++) {
            uint32_t counter[4] = {(uint32_t)int1(a->sample, t), (uint32_t)int1(a->offset, t),
                                   a->channel_base + (uint32_t)(c / 4), a->epoch};
            uint32_t words[4];
            rng_philox(a->key, counter, words);
            bool keep = (double)rng_unit(words[c % 4]) >= a->p;
            put2(a->y, t, c, keep ? get2(a->x, t, c) / (1 - a->p) : 0);
        }
}
