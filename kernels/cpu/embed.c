/* embed.c -- picking rows of a stored weight, and its gradient: adding rows into rows. */
#include "kernels/base/size.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/quant.h"

#include <math.h>

#define TILE 16384 /* elements per item */

static int32_t id_at(const struct view *ids, int64_t i)
{
    return ((const int32_t *)ids->data)[i * ids->stride[0]];
}

static int64_t rows_per_item(int64_t cols)
{
    return i64_max(1, TILE / i64_max(1, cols));
}

static void decode_row(const struct wview *w, int64_t row, float *dst)
{
    const struct format *f = w->format;
    int64_t offset = row * w->row_stride / f->block * f->block_bytes;
    const char *src = (const char *)w->data + offset;
    if (f->dtype == DT_F32 || f->dtype == DT_BF16 || f->dtype == DT_F16)
        CPU(convert)(dst, DT_F32, src, f->dtype, w->cols);
    else
        f->decode(src, dst, w->cols);
}

static void embed_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct embed_args *a = ctx;
    int64_t n = a->y.shape[0], cols = a->y.shape[1], step = rows_per_item(cols);
    for (int64_t i = item * step; i < i64_min((item + 1) * step, n); i++) {
        float *y = (float *)a->y.data + i * a->y.stride[0];
        int32_t id = id_at(&a->ids, i);
        if (id >= 0 && id < a->w.rows)
            decode_row(&a->w, id, y);
        else
            for (int64_t j = 0; j < cols; j++)
                y[j] = NAN;
    }
}

void CPU(embed)(struct device *d, const struct embed_args *a)
{
    int64_t step = rows_per_item(a->y.shape[1]);
    pool_run(d->pool, (a->y.shape[0] + step - 1) / step, embed_item, (void *)a);
}

/* Rows may repeat, so an item is a band of columns: each element is added to in the order of i. */
#define BAND 64

static void scatter_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct scatter_add_args *a = ctx;
    int64_t n = a->x.shape[0], first = item * BAND, width = i64_min(BAND, a->x.shape[1] - first);
    for (int64_t i = 0; i < n; i++) {
        int32_t id = id_at(&a->ids, i);
        if (id < 0 || id >= a->y.shape[0])
            continue;
        float *restrict y = (float *)a->y.data + id * a->y.stride[0] + first;
        const float *restrict x = (const float *)a->x.data + i * a->x.stride[0] + first;
        for (int64_t j = 0; j < width; j++)
            y[j] += x[j];
    }
}

void CPU(scatter_add)(struct device *d, const struct scatter_add_args *a)
{
    pool_run(d->pool, (a->x.shape[1] + BAND - 1) / BAND, scatter_item, (void *)a);
}
