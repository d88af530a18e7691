/* gemm_small.c -- the matrix product for few rows of x: decoding and short prompts.
 *
 * The time is that of reading w once, so w is not packed: a group of its rows is unpacked into a
 * small buffer (f32 is read in place) and multiplied with every row of x by dot products along k.
 * Each dot product has one chain of VF_LANES partial sums per block of k, whatever the group. */
#include "kernels/base/size.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/unpack.h"

#define SMALL_ROWS 32 /* most rows of x */
#define DOT_X 3       /* rows of x and rows of w of a register tile */
#define DOT_W 4
#define DOT_STEPS 1024   /* block of k */
#define ITEM_BYTES 32768 /* stored bytes of w that make an item */

struct job {
    const struct product *p;
    unpack_fn *unpack;
    int64_t rows; /* of w, of an item; a multiple of DOT_W */
    char *scratch;
};

/* sums[i][j] = dot of row i of x and row j of w */
static inline __attribute__((always_inline)) void dot_tile(const int rows_x, const int rows_w,
                                                           const float *x, int64_t xr,
                                                           const float *const *w, int64_t k,
                                                           float sums[DOT_X][DOT_W])
{
    vf sum[DOT_X][DOT_W];
    for (int i = 0; i < rows_x; i++)
        for (int j = 0; j < rows_w; j++)
            sum[i][j] = (vf){0};
    for (int64_t s = 0; s < k; s += VF_LANES) {
        int64_t n = k - s;
        vf a[DOT_X], b[DOT_W];
        for (int i = 0; i < rows_x; i++)
            a[i] = n >= VF_LANES ? vf_load(x + i * xr + s) : vf_load_part(x + i * xr + s, n);
        for (int j = 0; j < rows_w; j++)
            b[j] = n >= VF_LANES ? vf_load(w[j] + s) : vf_load_part(w[j] + s, n);
        for (int i = 0; i < rows_x; i++)
            for (int j = 0; j < rows_w; j++)
                sum[i][j] = vf_fma(a[i], b[j], sum[i][j]);
    }
    for (int i = 0; i < rows_x; i++)
        for (int j = 0; j < rows_w; j++)
            sums[i][j] = vf_sum(sum[i][j]);
}

static void dots(int rows_x, int rows_w, const float *x, int64_t xr, const float *const *w,
                 int64_t k, float sums[DOT_X][DOT_W])
{
    if (rows_w == DOT_W) {
        if (rows_x == 1)
            dot_tile(1, DOT_W, x, xr, w, k, sums);
        else if (rows_x == 2)
            dot_tile(2, DOT_W, x, xr, w, k, sums);
        else
            dot_tile(3, DOT_W, x, xr, w, k, sums);
        return;
    }
    for (int i = 0; i < rows_x; i++)
        for (int j = 0; j < rows_w; j++) {
            float one[DOT_X][DOT_W];
            dot_tile(1, 1, x + i * xr, xr, w + j, k, one);
            sums[i][j] = one[0][0];
        }
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

/* All rows of x with 'rows_w' rows of w from row n on. */
static void run_group(const struct job *j, float *unpacked, int64_t n, int rows_w)
{
    const struct product *p = j->p;
    int64_t groups = (p->m + DOT_X - 1) / DOT_X;
    for (int64_t k = 0; k == 0 || k < p->k; k += DOT_STEPS) {
        int64_t steps = i64_min(DOT_STEPS, p->k - k);
        const float *w[DOT_W];
        for (int r = 0; r < rows_w; r++) {
            const uint8_t *stored = weight_at(&p->w, n + r, k);
            w[r] = (const float *)stored;
            if (p->w.format->dtype != DT_F32) {
                float *out = unpacked + r * DOT_STEPS;
                j->unpack(stored, out, steps);
                w[r] = out;
            }
        }
        for (int64_t g = 0; g < groups; g++) {
            int64_t m = p->m * g / groups, rows = p->m * (g + 1) / groups - m;
            float sums[DOT_X][DOT_W];
            dots((int)rows, rows_w, p->x + m * p->xr + k, p->xr, w, steps, sums);
            for (int64_t r = 0; r < rows; r++)
                for (int c = 0; c < rows_w; c++)
                    put(p, m + r, n + c, sums[r][c], k == 0, k + DOT_STEPS >= p->k);
        }
    }
}

static void run_item(void *ctx, int64_t i, int worker)
{
    const struct job *j = ctx;
    float *unpacked = (float *)(j->scratch + (size_t)worker * CPU(gemm_small_scratch)());
    int64_t end = i64_min(j->p->n, (i + 1) * j->rows);
    for (int64_t n = i * j->rows; n < end; n += DOT_W)
        run_group(j, unpacked, n, (int)i64_min(DOT_W, end - n));
}

bool CPU(gemm_is_small)(const struct product *p)
{
    return p->m <= SMALL_ROWS && p->trans_w && p->xk == 1;
}

size_t CPU(gemm_small_scratch)(void)
{
    return DOT_W * DOT_STEPS * sizeof(float);
}

void CPU(gemm_small)(struct device *d, const struct product *p, char *scratch)
{
    const struct format *f = p->w.format;
    int64_t row_bytes = i64_max(1, p->k / f->block * f->block_bytes);
    int64_t rows = i64_max(1, ITEM_BYTES / row_bytes / DOT_W) * DOT_W;
    struct job j = {p, CPU(unpack_of)(f), rows, scratch};
    pool_run(d->pool, (p->n + rows - 1) / rows, run_item, &j);
}
