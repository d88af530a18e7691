/* attention.h -- what the two directions of attention share: which keys a query sees, and products
 * of small blocks in registers.
 *
 * The query heads of one key head read the same keys, so they are handled together: the rows of a
 * block are pairs (query, head), heads fastest, and 'group' rows share a query. Products run by
 * tiles of TILE_ROWS x two vectors; what lies across the vectors of the left matrix is read as
 * single floats, so only the keys (and in the gradient the values) are ever transposed. */
#ifndef KERNELS_CPU_ATTENTION_H
#define KERNELS_CPU_ATTENTION_H

#include "kernels/base/size.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/exp.h"

#define TILE_ROWS 6
#define TILE_COLS (2 * VF_LANES)

/* --- geometry ------------------------------------------------------------------------------- */

struct at_scene {
    struct view q_start, k_start, k_len, pages, slopes;
    int64_t page_rows, window;
    int64_t heads, key_heads, group, width; /* Hq, Hk, Hq/Hk, D */
    int64_t pad;                            /* D rounded up to whole vectors */
    int64_t keys;                           /* per block of keys: a multiple of TILE_COLS */
    float scale, softcap;
    bool causal;
};

struct at_sequence {
    int64_t index, q0, nq, k0, nk; /* first row and number of rows of queries and keys */
};

static inline int64_t at_int(struct view v, int64_t i)
{
    return ((const int32_t *)v.data)[i * v.stride[0]];
}

static inline int64_t at_sequences(const struct at_scene *s)
{
    return s->q_start.shape[0] - 1;
}

static inline struct at_sequence at_sequence(const struct at_scene *s, int64_t i)
{
    struct at_sequence r = {.index = i, .q0 = at_int(s->q_start, i)};
    r.nq = at_int(s->q_start, i + 1) - r.q0;
    if (!s->pages.data)
        r.k0 = at_int(s->k_start, i);
    r.nk = s->k_len.data ? at_int(s->k_len, i) : at_int(s->k_start, i + 1) - r.k0;
    return r;
}

/* Query i sees the keys [at_low, at_high). Both rise with i. */
static inline int64_t at_high(const struct at_scene *s, const struct at_sequence *q, int64_t i)
{
    if (!s->causal)
        return q->nk;
    int64_t high = q->nk - q->nq + i + 1;
    return high > 0 ? high : 0;
}

static inline int64_t at_low(const struct at_scene *s, const struct at_sequence *q, int64_t i)
{
    int64_t high = at_high(s, q, i);
    return s->window > 0 && high > s->window ? high - s->window : 0;
}

/* Row of k and v that holds key j. */
static inline int64_t at_key_row(const struct at_scene *s, const struct at_sequence *q, int64_t j)
{
    if (!s->pages.data)
        return q->k0 + j;
    const int32_t *pages = (const int32_t *)s->pages.data + q->index * s->pages.stride[0];
    return pages[j / s->page_rows * s->pages.stride[1]] * s->page_rows + j % s->page_rows;
}

/* Keys per block: the transposed keys, the keys and the values of a block stay in cache. */
static inline int64_t at_block_keys(int64_t width)
{
    int64_t keys = width <= 96 ? 64 : 32;
    return i64_max(keys, TILE_COLS);
}

/* --- scores --------------------------------------------------------------------------------- */

static inline float at_slope(const struct at_scene *s, int64_t head)
{
    return s->slopes.data ? ((const float *)s->slopes.data)[head * s->slopes.stride[0]] : 0;
}

static inline vf at_lanes(void)
{
    vf v;
    for (int i = 0; i < VF_LANES; i++)
        v[i] = (float)i;
    return v;
}

/* Which of the keys j .. j + VF_LANES of a block lie in [low, high)? */
static inline vi at_seen(int64_t j, int64_t low, int64_t high)
{
    vf at = at_lanes() + (float)j;
    return (at >= (float)low) & (at < (float)high);
}

/* Scores from dot products: scaled, capped, and with slope * (key - diagonal) added, where 'away' is
 * that difference for lane 0. *bend is the derivative by the dot product. */
static inline vf at_score(const struct at_scene *s, vf dot, float slope, float away, vf *bend)
{
    vf x = dot * s->scale;
    *bend = vf_set(s->scale);
    if (s->softcap > 0) {
        vf t = vf_tanh(x / s->softcap);
        x = s->softcap * t;
        *bend = s->scale * (1.0f - t * t);
    }
    if (slope != 0)
        x += slope * (at_lanes() + away);
    return x;
}

/* --- tiles ---------------------------------------------------------------------------------- */

/* out[r][c] = (add ? out[r][c] : 0) + sum over t < n of a[r][t * step] * b[t * ldb + c], for
 * TILE_ROWS rows r and nv vectors of columns c; 'len' columns are stored, nv and add are constants
 * where it is called. */
static inline __attribute__((always_inline)) void
tile_product(float *const out[TILE_ROWS], const float *const a[TILE_ROWS], int64_t step,
             const float *b, int64_t ldb, int64_t n, int nv, bool add, int64_t len)
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
    for (int64_t t = 0; t < n; t++) {
        vf row[2];
        for (int v = 0; v < nv; v++)
            row[v] = vf_load(b + v * VF_LANES);
        b += ldb;
        const vf left[TILE_ROWS] = {vf_set(a0[t * step]), vf_set(a1[t * step]),
                                    vf_set(a2[t * step]), vf_set(a3[t * step]),
                                    vf_set(a4[t * step]), vf_set(a5[t * step])};
        for (int r = 0; r < TILE_ROWS; r++)
            for (int v = 0; v < nv; v++)
                acc[r][v] = vf_fma(left[r], row[v], acc[r][v]);
    }
    for (int r = 0; r < TILE_ROWS; r++)
        for (int v = 0; v < nv; v++)
            if (len == nv * VF_LANES)
                vf_store(out[r] + v * VF_LANES, acc[r][v]);
            else
                vf_store_part(out[r], acc[r][v], len);
}

/* The same over 'width' columns; b has them padded to whole vectors. */
static inline void tile_rows(float *const out[TILE_ROWS], const float *const a[TILE_ROWS],
                             int64_t step, const float *b, int64_t ldb, int64_t n, int64_t width)
{
    float *o[TILE_ROWS];
    int64_t c = 0;
    for (; c + TILE_COLS <= width; c += TILE_COLS) {
        for (int r = 0; r < TILE_ROWS; r++)
            o[r] = out[r] + c;
        tile_product(o, a, step, b + c, ldb, n, 2, true, TILE_COLS);
    }
    for (; c < width; c += VF_LANES) {
        for (int r = 0; r < TILE_ROWS; r++)
            o[r] = out[r] + c;
        if (c + VF_LANES <= width)
            tile_product(o, a, step, b + c, ldb, n, 1, true, VF_LANES);
        else
            tile_product(o, a, step, b + c, ldb, n, 1, true, width - c);
    }
}

/* out[r][0..TILE_COLS) of rows 'ld' apart = the dot products of a[r] and the columns of a panel */
static inline void tile_scores(float *out, int64_t ld, const float *const a[TILE_ROWS],
                               const float *panel, int64_t width)
{
    float *o[TILE_ROWS];
    for (int r = 0; r < TILE_ROWS; r++)
        o[r] = out + r * ld;
    tile_product(o, a, 1, panel, TILE_COLS, width, 2, false, TILE_COLS);
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

/* n rows of 'width' floats, given by their pointers, into panels [TILE_COLS keys][width]: panel
 * p holds row p * TILE_COLS + c in column c. Columns past n, up to a whole panel, are 0. */
void CPU(at_pack)(float *panels, const float *const *rows, int64_t n, int64_t width);

/* n rows copied to 'pad' floats each, filled up with 0. */
void CPU(at_copy)(float *dst, const float *const *rows, int64_t n, int64_t width, int64_t pad);

#endif
