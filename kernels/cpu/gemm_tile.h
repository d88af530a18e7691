/* gemm_tile.h -- the register tiles of the matrix product.
 *
 * A tile is up to TILE_ROWS rows of dst times one or two vectors of columns. Every element of dst is
 * summed by one chain of multiply-adds in order of k, whatever tile it falls in: that is why the
 * cutting of the work cannot change a bit.
 * Only gemm.c includes this. */
#ifndef KERNELS_CPU_GEMM_TILE_H
#define KERNELS_CPU_GEMM_TILE_H

#include "kernels/cpu/gemm_pack.h"

struct tile {
    int64_t k;      /* length of the sums */
    const float *x; /* element (row r, step i) is x[r*xr + i*xk] */
    int64_t xr, xk;
    const float *w; /* the vectors of step i start at w[i*wk] */
    int64_t wk;
    float *c; /* dst; rows lie cr apart */
    int64_t cr;
    int cols;          /* columns to store; the vectors may reach beyond */
    float alpha, beta; /* c = alpha * sum + beta * c; c is not read when beta is 0 */
    const float *bias; /* added when not NULL, one full tile of columns */
    /* Memory that will be wanted after this tile: a line is fetched every so many steps. A burst of
     * prefetches would hold up the tile's own loads. */
    const uint8_t *fetch;
    int64_t fetch_stride, fetch_steps;
};

#define TILE_INLINE static inline __attribute__((always_inline))

/* The general way to store: any number of columns, bias. 'sum' is rows x vectors. */
static __attribute__((noinline)) void tile_store_edge(const struct tile *t, int rows, int vectors,
                                                      const float *sum)
{
    for (int r = 0; r < rows; r++, sum += vectors * VF_LANES) {
        float *c = t->c + r * t->cr;
        for (int j = 0; j < t->cols; j++) {
            float s = sum[j] * t->alpha;
            if (t->beta != 0)
                s = s + t->beta * c[j];
            c[j] = t->bias ? s + t->bias[j] : s;
        }
    }
}

TILE_INLINE void tile_store(const struct tile *t, const int rows, const int vectors, vf sum[12][2])
{
    const vf alpha = vf_set(t->alpha), beta = vf_set(t->beta);
    if (t->cols < vectors * VF_LANES || t->bias) {
        float spill[12 * TILE_COLS];
        EACH(i, rows * vectors)
        {
            vf_store(spill + i * VF_LANES, sum[i / vectors][i % vectors]);
        }
        tile_store_edge(t, rows, vectors, spill);
    } else if (t->beta == 0) {
        EACH(i, rows * vectors)
        {
            float *c = t->c + i / vectors * t->cr + i % vectors * VF_LANES;
            vf_store(c, sum[i / vectors][i % vectors] * alpha);
        }
    } else {
        EACH(i, rows * vectors)
        {
            float *c = t->c + i / vectors * t->cr + i % vectors * VF_LANES;
            vf_store(c, sum[i / vectors][i % vectors] * alpha + beta * vf_load(c));
        }
    }
}

TILE_INLINE void tile_step(const int rows, const int vectors, const float *x, int64_t xr,
                           const float *w, vf sum[12][2])
{
    vf b[2];
    EACH(v, vectors)
    {
        b[v] = vf_load(w + v * VF_LANES);
    }
    EACH(r, rows)
    {
        vf a = vf_set(x[r * xr]);
        EACH(v, vectors)
        {
            sum[r][v] = vf_fma(a, b[v], sum[r][v]);
        }
    }
}

TILE_INLINE void tile_sum(const struct tile *t, const int rows, const int vectors)
{
    vf sum[12][2];
    const float *w = t->w, *x = t->x;
    const uint8_t *fetch = t->fetch;
    int64_t xr = t->xr, xk = t->xk, wk = t->wk;
    EACH(i, rows * vectors)
    {
        sum[i / vectors][i % vectors] = (vf){0};
    }
    for (int64_t k = t->k; k > 0; k -= t->fetch_steps, fetch += t->fetch_stride) {
        __builtin_prefetch(fetch, 0, 2);
        int64_t steps = k < t->fetch_steps ? k : t->fetch_steps;
        for (int64_t i = 0; i < steps; i++, w += wk, x += xk)
            tile_step(rows, vectors, x, xr, w, sum);
    }
    tile_store(t, rows, vectors, sum);
}

typedef void tile_fn(const struct tile *t);

/* clang-format off */
#define TILE(rows, vectors)                                                                        \
    static void tile_##rows##x##vectors(const struct tile *t)                                      \
    {                                                                                              \
        tile_sum(t, rows, vectors);                                                                \
    }
#define TILES(X)                                                                                   \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1)                                \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) TILES_WIDE(X)
/* clang-format on */
#if TILE_ROWS == 12
#define TILES_WIDE(X) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2)
#else
#define TILES_WIDE(X)
#endif
TILES(TILE)

#endif
