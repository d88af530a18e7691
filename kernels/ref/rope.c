/* rope.c -- rotary position embedding; the inverse rotation is its gradient. */
#include "kernels/ref/ref.h"

#include <math.h>

void ref_rope(struct device *d, const struct rope_args *a)
{
    (void)d;
    int64_t rows = a->x.shape[0], heads = a->x.shape[1], width = a->x.shape[2];
    int64_t pairs = a->inv_freq.shape[0];
    for (int64_t t = 0; t < rows; t++)
        for (int64_t i = 0; i < pairs; i++) {
            double angle = (double)int1(a->pos, t) * get1(a->inv_freq, i);
            double c = a->scale * cos(angle), s = a->scale * sin(angle) * (a->inverse ? -1 : 1);
            int64_t first = a->interleaved ? 2 * i : i,
                    second = first + (a->interleaved ? 1 : pairs);
            for (int64_t h = 0; h < heads; h++) {
                double x = get3(a->x, t, h, first), y = get3(a->x, t, h, second);
                put3(a->y, t, h, first, x * c - y * s);
                put3(a->y, t, h, second, x * s + y * c);
            }
        }
    for (int64_t t = 0; t < rows; t++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 2 * pairs; i < width; i++)
                put3(a->y, t, h, i, get3(a->x, t, h, i));
}
