/* gemm_small.c -- the matrix product for few rows of x: decoding and short prompts.
 *
 * The time is that of reading w once, so w is not packed: a group of its rows is unpacked into a
 * small buffer (f32 is read in place) and multiplied with every row of x by dot products along k.
 * Each dot product has one chain of VF_LANES partial sums per block of k, whatever the group. */
#include "kernels/base/size.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/unpack.h"

#define SMALL_ROWS 12 /* most rows of x: from here on packing pays */
#define DOT_X 3       /* rows of x and rows of w of a register tile */
#define DOT_W 4
#define DOT_STEPS 1024   /* block of k */
#define ITEM_BYTES 16384 /* stored bytes of w that make an item */

/* A group of rows of w as floats. */
struct unpacked {
    _Alignas(64) float rows[DOT_W][DOT_STEPS];
};

struct job {
    const struct product *p;
    struct unpack unpack;
    int64_t rows;             /* of w, of an item; a multiple of DOT_W */
    int64_t group_bytes;      /* DOT_W stored rows of w */
    struct unpacked *scratch; /* one for each worker */
};

#define DOT_INLINE static inline __attribute__((always_inline))
#define LINE_FLOATS 16

/* sums[i][j] += one vector of row i of x times one of row j of w; the last ones may be partial. */
DOT_INLINE void dot_step(const int rows, const float *x, int64_t xr, const float *const *w,
                         int64_t at, int64_t n, vf sum[DOT_X][DOT_W])
{
    vf a[DOT_X];
    EACH(i, rows)
    {
        a[i] = n >= VF_LANES ? vf_load(x + i * xr + at) : vf_load_part(x + i * xr + at, n);
    }
    EACH(j, DOT_W)
    {
        vf b = n >= VF_LANES ? vf_load(w[j] + at) : vf_load_part(w[j] + at, n);
        EACH(i, rows)
        {
            sum[i][j] = vf_fma(a[i], b, sum[i][j]);
        }
    }
}

/* sums[i][j] = dot of row i of x and row j of w. The memory 'ahead' floats after what is read of w
 * is fetched. */
DOT_INLINE void dot_tile(const int rows, const float *x, int64_t xr, const float *const *w,
                         int64_t k, int64_t ahead, float sums[DOT_X][DOT_W])
{
    vf sum[DOT_X][DOT_W];
    int64_t at = 0;
    EACH(i, rows * DOT_W)
    {
        sum[i / DOT_W][i % DOT_W] = (vf){0};
    }
    for (; at + LINE_FLOATS <= k; at += LINE_FLOATS) {
        EACH(j, DOT_W)
        {
            __builtin_prefetch(w[j] + at + ahead, 0, 3);
        }
        EACH(i, LINE_FLOATS / VF_LANES)
        {
            dot_step(rows, x, xr, w, at + i * VF_LANES, VF_LANES, sum);
        }
    }
    for (; at < k; at += VF_LANES)
        dot_step(rows, x, xr, w, at, k - at, sum);
    EACH(i, rows)
    {
        vf_sum4(sum[i], sums[i]);
    }
}

static void dots(int rows, const float *x, int64_t xr, const float *const *w, int64_t k,
                 int64_t ahead, float sums[DOT_X][DOT_W])
{
    if (rows == 1)
        dot_tile(1, x, xr, w, k, ahead, sums);
    else if (rows == 2)
        dot_tile(2, x, xr, w, k, ahead, sums);
    else
        dot_tile(3, x, xr, w, k, ahead, sums);
}

static void put(const struct product *p, int64_t m, int64_t n, float sum, bool first, bool last)
{
    float *c = p->dst + m * p->dst_stride + n, s = sum * p->alpha;
    if (!first || p->beta != 0)
        s = s + (first ? p->beta : 1) * *c;
    if (last && p->bias.data)
        s = s + ((const float *)p->bias.data)[n * p->bias.stride[0]];
    *c = s;
}

/* The rows n.. of w from step k on, as floats: in place or unpacked. Rows that are not there are
 * the last one again. */
static void group_of(const struct job *j, struct unpacked *unpacked, int64_t n, int rows, int64_t k,
                     int64_t steps, const float *w[DOT_W])
{
    const struct product *p = j->p;
    bool plain = p->w.format->dtype == DT_F32;
    for (int r = 0; r < DOT_W; r++) {
        if (r >= rows) {
            w[r] = w[rows - 1];
            continue;
        }
        const uint8_t *stored = weight_at(&p->w, n + r, k);
        w[r] = plain ? (const float *)stored : unpacked->rows[r];
        if (!plain) {
            for (int64_t at = 0; at < j->group_bytes / DOT_W; at += 64)
                __builtin_prefetch(stored + j->group_bytes + at, 0, 3);
            j->unpack.whole(stored, unpacked->rows[r], steps); /* DOT_STEPS is whole blocks */
        }
    }
}

/* All rows of x with the rows n.. of w. */
static void run_group(const struct job *j, struct unpacked *unpacked, int64_t n, int rows_w)
{
    const struct product *p = j->p;
    int64_t stripes = (p->m + DOT_X - 1) / DOT_X;
    int64_t ahead = p->w.format->dtype == DT_F32 ? DOT_W * p->w.row_stride : 0;
    for (int64_t k = 0; k == 0 || k < p->k; k += DOT_STEPS) {
        int64_t steps = i64_min(DOT_STEPS, p->k - k);
        const float *w[DOT_W];
        group_of(j, unpacked, n, rows_w, k, steps, w);
        for (int64_t s = 0; s < stripes; s++) {
            int64_t m = p->m * s / stripes, rows = p->m * (s + 1) / stripes - m;
            float sums[DOT_X][DOT_W];
            dots((int)rows, p->x + m * p->xr + k, p->xr, w, steps, s ? 0 : ahead, sums);
            for (int64_t r = 0; r < rows; r++)
                for (int c = 0; c < rows_w; c++)
                    put(p, m + r, n + c, sums[r][c], k == 0, k + DOT_STEPS >= p->k);
        }
    }
}

static void run_item(void *ctx, int64_t i, int worker)
{
    const struct job *j = ctx;
    int64_t end = i64_min(j->p->n, (i + 1) * j->rows);
    for (int64_t n = i * j->rows; n < end; n += DOT_W)
        run_group(j, &j->scratch[worker], n, (int)i64_min(DOT_W, end - n));
}

bool CPU(gemm_is_small)(const struct product *p)
{
    return p->m <= SMALL_ROWS && p->trans_w && p->xk == 1;
}

size_t CPU(gemm_small_workspace)(struct device *d, const struct product *p)
{
    size_t dots = (size_t)pool_threads(d->pool) * sizeof(struct unpacked);
    size_t one = p->m == 1 ? CPU(gemv_scratch)(p) : 0;
    return one > dots ? one : dots;
}

void CPU(gemm_small)(struct device *d, const struct product *p, void *scratch)
{
    if (p->m == 1 && CPU(gemv)(d, p, scratch))
        return;
    const struct format *f = p->w.format;
    int64_t row_bytes = p->w.row_stride / f->block * f->block_bytes;
    int64_t rows = i64_max(1, ITEM_BYTES / i64_max(1, row_bytes) / DOT_W) * DOT_W;
    struct job j = {p, CPU(unpack_of)(f), rows, DOT_W * row_bytes, scratch};
    pool_run(d->pool, (p->n + rows - 1) / rows, run_item, &j);
}
