/* embed.c -- rows of a stored weight by number, and the gradient of that. */
#include "kernels/ref/ref.h"

#include <math.h>

size_t ref_embed_workspace(struct device *d, const struct embed_args *a)
{
    (void)d;
    return (size_t)a->w.cols * (sizeof(double) + sizeof(float));
}

void ref_embed(struct device *d, const struct embed_args *a)
{
    (void)d;
    double *row = a->work.data;
    float *temp = (float *)(row + a->w.cols);
    for (int64_t i = 0; i < a->ids.shape[0]; i++) {
        int64_t id = int1(a->ids, i);
        bool inside = id >= 0 && id < a->w.rows;
        if (inside)
            ref_weight_row(&a->w, id, temp, row);
        for (int64_t j = 0; j < a->w.cols; j++)
            put2(a->y, i, j, inside ? row[j] : NAN);
    }
}

void ref_scatter_add(struct device *d, const struct scatter_add_args *a)
{
    (void)d;
    for (int64_t i = 0; i < a->ids.shape[0]; i++) {
        int64_t id = int1(a->ids, i);
        if (id < 0 || id >= a->y.shape[0])
            continue;
        for (int64_t j = 0; j < a->y.shape[1]; j++)
            put2(a->y, id, j, get2(a->y, id, j) + get2(a->x, i, j));
    }
}
