/* gemm.c -- the matrix product.
 *
 * Workspace: x as doubles, the sums as doubles, one row of the weight (decoded once). Sums run over
 * k in order. */
#include "kernels/ref/ref.h"

struct room {
    double *x, *sum, *row; /* [M,K], [M,N], [cols] */
    float *temp;           /* [cols] */
};

static size_t layout(const struct gemm_args *a, struct room *room)
{
    size_t m = (size_t)a->dst.shape[0], n = (size_t)a->dst.shape[1];
    size_t k = (size_t)(a->trans_w ? a->w.cols : a->w.rows), cols = (size_t)a->w.cols;
    *room = (struct room){.x = a->work.data};
    if (room->x) {
        room->sum = room->x + m * k;
        room->row = room->sum + m * n;
        room->temp = (float *)(room->row + cols);
    }
    return (m * k + m * n + cols) * sizeof(double) + cols * sizeof(float);
}

size_t ref_gemm_workspace(struct device *d, const struct gemm_args *a)
{
    (void)d;
    struct room room;
    return layout(a, &room);
}

/* w [N,K]: each stored row is one column of the result. */
static void times_transposed(const struct gemm_args *a, struct room *r)
{
    int64_t m = a->dst.shape[0], n = a->w.rows, k = a->w.cols;
    for (int64_t j = 0; j < n; j++) {
        ref_weight_row(&a->w, j, r->temp, r->row);
        for (int64_t i = 0; i < m; i++)
            for (int64_t l = 0; l < k; l++)
                r->sum[i * n + j] += r->x[i * k + l] * r->row[l];
    }
}

/* w [K,N]: each stored row is one term of every sum. */
static void times_plain(const struct gemm_args *a, struct room *r)
{
    int64_t m = a->dst.shape[0], n = a->w.cols, k = a->w.rows;
    for (int64_t l = 0; l < k; l++) {
        ref_weight_row(&a->w, l, r->temp, r->row);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++)
                r->sum[i * n + j] += r->x[i * k + l] * r->row[j];
    }
}

void ref_gemm(struct device *d, const struct gemm_args *a)
{
    (void)d;
    struct room r;
    layout(a, &r);
    int64_t m = a->dst.shape[0], n = a->dst.shape[1], k = a->trans_w ? a->w.cols : a->w.rows;
    for (int64_t i = 0; i < m; i++)
        for (int64_t l = 0; l < k; l++)
            r.x[i * k + l] = a->trans_x ? get2(a->x, l, i) : get2(a->x, i, l);
    for (int64_t i = 0; i < m * n; i++)
        r.sum[i] = 0;
    if (a->trans_w)
        times_transposed(a, &r);
    else
        times_plain(a, &r);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double y = a->alpha * r.sum[i * n + j];
            if (a->beta != 0) /* what is not read cannot spread a NaN */
                y += a->beta * get2(a->dst, i, j);
            if (a->epilogue == EPILOGUE_BIAS)
                y += get1(a->bias, j);
            put2(a->dst, i, j, y);
        }
}
