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

/* pool_run, but in the caller where there is so little to do that waking others takes longer. */
#define AT_SMALL 300000 /* multiply-adds */
static inline void at_run(struct pool *pool, int64_t items, int64_t work,
                          void (*job)(void *ctx, int64_t i, int worker), void *ctx)
{
    if (work > AT_SMALL)
        pool_run(pool, items, job, ctx);
    else
        for (int64_t i = 0; i < items; i++)
            job(ctx, i, 0);
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
static inline vf at_score(vf dot, float scale, float softcap, float slope, float away, vf *bend)
{
    vf x = dot * scale;
    *bend = vf_set(scale);
    if (softcap > 0) {
        vf t = vf_tanh(x / softcap);
        x = softcap * t;
        *bend = scale * (1.0f - t * t);
    }
    if (slope != 0)
        x += slope * (at_lanes() + away);
    return x;
}

/* --- products of small blocks and copies (attention_tile.c) ------------------------------------ */

/* out[r][c] += sum over t < n of a[r][t * step] * b[t * ldb + c] for TILE_ROWS rows r and 'width'
 * columns c. b must be readable up to whole vectors of columns. */
void CPU(at_product)(float *const out[TILE_ROWS], const float *const a[TILE_ROWS], int64_t step,
                     const float *b, int64_t ldb, int64_t n, int64_t width);

/* out[r * ld + c] = dot product of a[r] and column c of the panels, for TILE_ROWS rows r and columns
 * [from, to) (and some around them, to whole vectors or panels). */
void CPU(at_scores)(float *out, int64_t ld, const float *const a[TILE_ROWS], const float *panels,
                    int64_t width, int64_t from, int64_t to);

/* n rows of 'width' floats, given by their pointers, into panels [TILE_COLS keys][width]: panel
 * p holds row p * TILE_COLS + c in column c. Columns past n, up to a whole panel, are 0. */
void CPU(at_pack)(float *panels, const float *const *rows, int64_t n, int64_t width);

/* out[j] = dot product of q and k[j] for j < n, and something up to a whole vector. */
void CPU(at_dots)(float *out, const float *q, const float *const *k, int64_t n, int64_t width);

/* A row of 'width' floats copied and filled up with 0 to 'pad', a whole number of vectors. */
static inline void at_copy(float *dst, const float *src, int64_t width, int64_t pad)
{
    int64_t c = 0;
    for (; c + VF_LANES <= width; c += VF_LANES)
        vf_store(dst + c, vf_load(src + c));
    if (c < pad)
        vf_store(dst + c, vf_load_part(src + c, width - c));
}

#endif
