/* attention_tile.c -- products of small blocks, and rows of keys brought into the order they read.
 *
 * A tile is TILE_ROWS x two vectors of sums in registers. The functions are not inlined: among
 * other code the compiler would not keep the sums there. */
#include "kernels/cpu/attention.h"

/* One row of the tile: a[t] times the vectors of b. Written out row by row, so that one broadcast
 * is alive at a time: with 16 registers there is no room for more. */
#define ROW(r)                                             \
    do {                                                   \
        vf left = vf_set(a##r[at]);                        \
        for (int v = 0; v < nv; v++)                       \
            acc[r][v] = vf_fma(left, right[v], acc[r][v]); \
    } while (0)

/* nv vectors wide; 'len' columns are read and stored. nv and add are constants where it is called. */
static inline __attribute__((always_inline)) void tile(float *const out[TILE_ROWS],
                                                       const float *const a[TILE_ROWS],
                                                       int64_t step, const float *b, int64_t ldb,
                                                       int64_t n, int nv, bool add, int64_t len)
{
    vf acc[TILE_ROWS][2];
    for (int r = 0; r < TILE_ROWS; r++)
        for (int v = 0; v < nv; v++) {
            acc[r][v] = (vf){0};
            if (add)
                acc[r][v] = len == nv * VF_LANES ? vf_load(out[r] + v * VF_LANES)
                                                 : vf_load_part(out[r], len);
        }
    const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3], *a4 = a[4], *a5 = a[5];
    for (int64_t at = 0, end = n * step; at < end; at += step) {
        vf right[2];
        for (int v = 0; v < nv; v++)
            right[v] = vf_load(b + v * VF_LANES);
        b += ldb;
        ROW(0);
        ROW(1);
        ROW(2);
        ROW(3);
        ROW(4);
        ROW(5);
    }
    for (int r = 0; r < TILE_ROWS; r++)
        for (int v = 0; v < nv; v++)
            if (len == nv * VF_LANES)
                vf_store(out[r] + v * VF_LANES, acc[r][v]);
            else
                vf_store_part(out[r], acc[r][v], len);
}

#define SEPARATE static __attribute__((noinline)) void

SEPARATE tile_add_2(float *const out[], const float *const a[], int64_t step, const float *b,
                    int64_t ldb, int64_t n)
{
    tile(out, a, step, b, ldb, n, 2, true, TILE_COLS);
}

SEPARATE tile_add_1(float *const out[], const float *const a[], int64_t step, const float *b,
                    int64_t ldb, int64_t n, int64_t len)
{
    if (len == VF_LANES)
        tile(out, a, step, b, ldb, n, 1, true, VF_LANES);
    else
        tile(out, a, step, b, ldb, n, 1, true, len);
}

void CPU(at_product)(float *const out[TILE_ROWS], const float *const a[TILE_ROWS], int64_t step,
                     const float *b, int64_t ldb, int64_t n, int64_t width)
{
    float *o[TILE_ROWS];
    for (int64_t c = 0, len; c < width; c += len) {
        len = i64_min(TILE_COLS, width - c);
        for (int r = 0; r < TILE_ROWS; r++)
            o[r] = out[r] + c;
        if (len == TILE_COLS) {
            tile_add_2(o, a, step, b + c, ldb, n);
        } else {
            len = i64_min(VF_LANES, len);
            tile_add_1(o, a, step, b + c, ldb, n, len);
        }
    }
}

SEPARATE scores_2(float *const out[], const float *const a[], const float *panel, int64_t width)
{
    tile(out, a, 1, panel, TILE_COLS, width, 2, false, TILE_COLS);
}

SEPARATE scores_1(float *const out[], const float *const a[], const float *panel, int64_t width)
{
    tile(out, a, 1, panel, TILE_COLS, width, 1, false, VF_LANES);
}

void CPU(at_scores)(float *out, int64_t ld, const float *const a[TILE_ROWS], const float *panels,
                    int64_t width, int64_t from, int64_t to)
{
    float *o[TILE_ROWS];
    for (int64_t c = from / TILE_COLS * TILE_COLS; c < to; c += TILE_COLS) {
        for (int r = 0; r < TILE_ROWS; r++)
            o[r] = out + r * ld + c;
        if (to - c > VF_LANES)
            scores_2(o, a, panels + c * width, width);
        else
            scores_1(o, a, panels + c * width, width);
    }
}

/* --- transposition -------------------------------------------------------------------------- */

/* Stages of a square transposition: pairs inside 128 bits, then the 128-bit parts themselves. */
#if VF_LANES == 4
#define LOW_PS 0, 4, 1, 5
#define HIGH_PS 2, 6, 3, 7
#define LOW_PD 0, 1, 4, 5
#define HIGH_PD 2, 3, 6, 7
#elif VF_LANES == 8
#define LOW_PS 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_PS 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_PD 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_PD 2, 3, 10, 11, 6, 7, 14, 15
#define LOW_128 0, 1, 2, 3, 8, 9, 10, 11
#define HIGH_128 4, 5, 6, 7, 12, 13, 14, 15
#else
#define LOW_PS 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_PS 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_PD 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_PD 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_128 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define HIGH_128 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#endif
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* Four rows at a time: afterwards each 128-bit part of row i holds a column of its own 4 x 4. */
static inline __attribute__((always_inline)) void transpose_parts(vf v[VF_LANES])
{
    for (int i = 0; i < VF_LANES; i += 4) {
        vf ab = MIX(v[i], v[i + 1], LOW_PS), AB = MIX(v[i], v[i + 1], HIGH_PS);
        vf cd = MIX(v[i + 2], v[i + 3], LOW_PS), CD = MIX(v[i + 2], v[i + 3], HIGH_PS);
        v[i] = MIX(ab, cd, LOW_PD), v[i + 1] = MIX(ab, cd, HIGH_PD);
        v[i + 2] = MIX(AB, CD, LOW_PD), v[i + 3] = MIX(AB, CD, HIGH_PD);
    }
}

static inline __attribute__((always_inline)) void vf_transpose(vf v[VF_LANES])
{
    transpose_parts(v);
#if VF_LANES == 8
    for (int i = 0; i < 4; i++) {
        vf a = v[i], b = v[i + 4];
        v[i] = MIX(a, b, LOW_128), v[i + 4] = MIX(a, b, HIGH_128);
    }
#elif VF_LANES == 16
    for (int i = 0; i < 4;
         i++) { /* v[i + 4 k] holds parts (k, 0..3); LOW_128 takes parts 0 and 2 */
        vf a = v[i], b = v[i + 4], c = v[i + 8], d = v[i + 12];
        vf ab = MIX(a, b, LOW_128), AB = MIX(a, b, HIGH_128); /* a0 a2 b0 b2, a1 a3 b1 b3 */
        vf cd = MIX(c, d, LOW_128), CD = MIX(c, d, HIGH_128);
        v[i] = MIX(ab, cd, LOW_128), v[i + 8] = MIX(ab, cd, HIGH_128);
        v[i + 4] = MIX(AB, CD, LOW_128), v[i + 12] = MIX(AB, CD, HIGH_128);
    }
#endif
}

/* VF_LANES rows into VF_LANES columns of a panel */
static void pack_columns(float *panel, const float *const *rows, int64_t n, int64_t width)
{
    static const float zeros[VF_LANES];
    int64_t d = 0;
    vf v[VF_LANES];
    for (; d + VF_LANES <= width; d += VF_LANES) {
        for (int i = 0; i < VF_LANES; i++)
            v[i] = vf_load(i < n ? rows[i] + d : zeros);
        vf_transpose(v);
        for (int i = 0; i < VF_LANES; i++)
            vf_store(panel + (d + i) * TILE_COLS, v[i]);
    }
    for (; d < width; d++)
        for (int i = 0; i < VF_LANES; i++)
            panel[d * TILE_COLS + i] = i < n ? rows[i][d] : 0;
}

void CPU(at_pack)(float *panels, const float *const *rows, int64_t n, int64_t width)
{
    for (int64_t at = 0; at < n; at += TILE_COLS, panels += TILE_COLS * width)
        for (int64_t c = 0; c < TILE_COLS; c += VF_LANES)
            pack_columns(panels + c, rows + at + c, n - at - c, width);
}

/* --- dot products, for a few queries against many keys ------------------------------------------ */

void CPU(at_dots)(float *out, const float *q, const float *const *k, int64_t n, int64_t width)
{
    for (int64_t j = 0; j < n; j += VF_LANES) {
        const float *row[VF_LANES];
        vf sum[VF_LANES];
        for (int i = 0; i < VF_LANES; i++) {
            row[i] = k[i64_min(j + i, n - 1)];
            sum[i] = (vf){0};
        }
        int64_t c = 0;
        for (; c + VF_LANES <= width; c += VF_LANES) {
            vf x = vf_load(q + c);
            for (int i = 0; i < VF_LANES; i++)
                sum[i] = vf_fma(x, vf_load(row[i] + c), sum[i]);
        }
        if (c < width) {
            vf x = vf_load_part(q + c, width - c);
            for (int i = 0; i < VF_LANES; i++)
                sum[i] = vf_fma(x, vf_load_part(row[i] + c, width - c), sum[i]);
        }
        vf_transpose(sum);
        for (int m = VF_LANES / 2; m > 0; m /= 2)
            for (int i = 0; i < m; i++)
                sum[i] += sum[i + m];
        vf_store(out + j, sum[0]);
    }
}
