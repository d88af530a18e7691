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
};

#define TILE_INLINE static inline __attribute__((always_inline))

/* The sums live in registers only if every loop over them is unrolled, at any -O level. */
#if defined(__clang__)
#define UNROLL(n) _Pragma("clang loop unroll(full)")
#else
#define UNROLL(n) UNROLL_(GCC unroll n)
#define UNROLL_(text) _Pragma(#text)
#endif

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
    float *c = t->c;
    if (t->cols < vectors * VF_LANES || t->bias) {
        float spill[12 * TILE_COLS];
        UNROLL(12)
        for (int r = 0; r < rows; r++)
            UNROLL(2)
        for (int v = 0; v < vectors; v++)
            vf_store(spill + (r * vectors + v) * VF_LANES, sum[r][v]);
        tile_store_edge(t, rows, vectors, spill);
    } else if (t->beta == 0) {
        UNROLL(12)
        for (int r = 0; r < rows; r++, c += t->cr)
            UNROLL(2)
        for (int v = 0; v < vectors; v++)
            vf_store(c + v * VF_LANES, sum[r][v] * alpha);
    } else {
        UNROLL(12)
        for (int r = 0; r < rows; r++, c += t->cr)
            UNROLL(2)
        for (int v = 0; v < vectors; v++)
            vf_store(c + v * VF_LANES, sum[r][v] * alpha + beta * vf_load(c + v * VF_LANES));
    }
}

TILE_INLINE void tile_sum(const struct tile *t, const int rows, const int vectors)
{
    vf sum[12][2];
    const float *w = t->w, *x = t->x;
    int64_t xr = t->xr, xk = t->xk, wk = t->wk;
    UNROLL(12)
    for (int r = 0; r < rows; r++)
        UNROLL(2)
    for (int v = 0; v < vectors; v++)
        sum[r][v] = (vf){0};
    for (int64_t i = t->k; i > 0; i--, w += wk, x += xk) {
        vf b[2];
        UNROLL(2)
        for (int v = 0; v < vectors; v++)
            b[v] = vf_load(w + v * VF_LANES);
        UNROLL(12)
        for (int r = 0; r < rows; r++) {
            vf a = vf_set(x[r * xr]);
            UNROLL(2)
            for (int v = 0; v < vectors; v++)
                sum[r][v] = vf_fma(a, b[v], sum[r][v]);
        }
    }
    tile_store(t, rows, vectors, sum);
}

typedef void tile_fn(const struct tile *t);

#define TILE(rows, vectors)                                   \
    static void tile_##rows##x##vectors(const struct tile *t) \
    {                                                         \
        tile_sum(t, rows, vectors);                           \
    }
#define TILES(X)                                                                            \
    X(1, 1)                                                                                 \
    X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) \
        X(5, 2) X(6, 2) TILES_WIDE(X)
#if TILE_ROWS == 12
#define TILES_WIDE(X) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2)
#else
#define TILES_WIDE(X)
#endif
TILES(TILE)

/* [vectors - 1][rows - 1] */
static tile_fn *const tiles[2][12] = {
#define TILE_ENTRY(rows, vectors) [vectors - 1][rows - 1] = tile_##rows##x##vectors,
    TILES(TILE_ENTRY)};

#endif
