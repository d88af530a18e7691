/* attention.c -- attention over packed sequences, forward.
 *
 * An item is a block of queries of one sequence with all heads that share a key head. It walks over
 * the blocks of keys its queries see, with a running maximum and sum per row (online softmax); the
 * blocks, and so the order of every sum, follow from the shapes alone. Scores never leave the first
 * cache level. A single query (decoding) has a path of its own: see attention_single.c. */
#include "kernels/cpu/attention.h"

#include <math.h>

#define ROWS 192 /* of a block of queries: enough to pay for the transposition of the keys */
#define MAX_KEYS 64

struct forward {
    const struct attention_args *a;
    struct at_scene s;
    int64_t block, blocks; /* queries per block, blocks for max_q */
    size_t worker_floats;
};

/* One item at work. */
struct block {
    const struct forward *f;
    struct at_sequence q;
    int64_t key_head, first, rows; /* first query; rows = queries * group */
    /* scratch of the worker */
    float *out;    /* [rows][pad], sums not yet divided */
    float *panels; /* the transposed keys of a block */
    float *values; /* [keys][pad], where v itself cannot be read */
    float *scores; /* [TILE_ROWS][keys] */
    float *max;    /* [rows] */
    double *sum;   /* [rows] */
};

static int64_t tile_count(int64_t rows)
{
    return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

static struct forward forward_of(struct device *d, const struct attention_args *a)
{
    struct forward f = {.a = a};
    int64_t group = a->q.shape[1] / a->k.shape[1], width = a->q.shape[2];
    f.s = (struct at_scene){.q_start = a->q_start,
                            .k_start = a->k_start,
                            .k_len = a->k_len,
                            .pages = a->pages,
                            .slopes = a->slopes,
                            .page_rows = a->page_rows,
                            .window = a->window,
                            .heads = a->q.shape[1],
                            .key_heads = a->k.shape[1],
                            .group = group,
                            .width = width,
                            .pad = (width + VF_LANES - 1) / VF_LANES * VF_LANES,
                            .keys = at_block_keys(width),
                            .scale = (float)a->scale,
                            .softcap = (float)a->softcap,
                            .causal = a->causal};
    f.block = i64_max(1, ROWS / i64_max(1, group));
    f.block = i64_min(f.block, i64_max(1, a->max_q));
    f.blocks = (a->max_q + f.block - 1) / f.block;
    size_t rows = (size_t)(tile_count(f.block * group) * TILE_ROWS), keys = (size_t)f.s.keys;
    f.worker_floats = rows * ((size_t)f.s.pad + 3) + keys * ((size_t)f.s.pad * 2 + TILE_ROWS);
    f.worker_floats = (f.worker_floats + 15) / 16 * 16;
    (void)d;
    return f;
}

size_t CPU(attention_workspace)(struct device *d, const struct attention_args *a)
{
    return forward_of(d, a).worker_floats * sizeof(float) * (size_t)pool_threads(d->pool);
}

/* --- one row of scores ---------------------------------------------------------------------- */

/* A row's scores in the current block of keys: those of keys [low, high) count. */
struct row {
    float *scores;
    int64_t low, high;
    int64_t from, to;  /* whole vectors that were computed and will be read */
    float slope, away; /* slope * (key - diagonal) is added; away = first key - diagonal */
};

/* Scale, cap, slope, mask; returns the largest score. NaN is passed over: the sum shows it. */
static float finish_scores(const struct at_scene *s, const struct row *r)
{
    vf most = vf_set(-INFINITY), bend;
    for (int64_t j = r->from; j < r->to; j += VF_LANES) {
        vf x = at_score(s, vf_load(r->scores + j), r->slope, (float)j + r->away, &bend);
        if (j < r->low || j + VF_LANES > r->high)
            x = vf_select(at_seen(j, r->low, r->high), x, vf_set(-INFINITY));
        vf_store(r->scores + j, x);
        most = vf_max(most, x);
    }
    return vf_max_lane(most);
}

/* Scores into exp(score - max); returns their sum. */
static double exponentials(const struct row *r, float max)
{
    vf sum = {0};
    for (int64_t j = r->from; j < r->to; j += VF_LANES) {
        vf p = vf_exp_neg(vf_load(r->scores + j) - max);
        vf_store(r->scores + j, p);
        sum += p;
    }
    return (double)vf_sum(sum);
}

/* Takes the scores of one row into its running maximum and sum; returns the factor by which what
 * was summed so far must shrink. */
static float soften(const struct at_scene *s, const struct row *r, float *max, double *sum)
{
    float before = *max, most = finish_scores(s, r);
    most = most > before ? most : before;
    float base = most > -INFINITY ? most : 0; /* nothing seen, or nothing but NaN */
    float shrink = before == most ? 1 : vf_exp_neg(vf_set(before - base))[0];
    *sum = *sum * (double)shrink + exponentials(r, base);
    *max = most;
    return shrink;
}

/* --- a block of keys ------------------------------------------------------------------------ */

/* Where row r of the block reads its query. */
static const float *query_row(const struct block *b, int64_t r)
{
    const struct view *q = &b->f->a->q;
    int64_t group = b->f->s.group, i = b->q.q0 + b->first + r / group;
    int64_t head = b->key_head * group + r % group;
    return (const float *)q->data + i * q->stride[0] + head * q->stride[1];
}

/* The scores of rows [t, t + TILE_ROWS) with keys [k0, k0 + n), softened and multiplied with the
 * values. */
static void attend_tile(const struct block *b, int64_t t, int64_t k0, int64_t n,
                        const float *values, int64_t value_stride)
{
    const struct at_scene *s = &b->f->s;
    const float *q[TILE_ROWS], *p[TILE_ROWS];
    float *out[TILE_ROWS];
    struct row row[TILE_ROWS];
    int64_t low = n, high = 0;
    for (int r = 0; r < TILE_ROWS; r++) {
        int64_t at = i64_min(t + r, b->rows - 1), i = b->first + at / s->group;
        q[r] = query_row(b, at);
        row[r].scores = b->scores + r * s->keys;
        row[r].low = i64_max(at_low(s, &b->q, i) - k0, 0);
        row[r].high = i64_min(at_high(s, &b->q, i) - k0, n);
        row[r].slope = at_slope(s, b->key_head * s->group + at % s->group);
        row[r].away = (float)(k0 - (b->q.nk - b->q.nq + i));
        low = i64_min(low, row[r].low);
        high = i64_max(high, row[r].high);
        p[r] = row[r].scores;
        out[r] = b->out + (t + r) * s->pad;
    }
    if (low >= high)
        return;
    for (int64_t c = low / TILE_COLS * TILE_COLS; c < high; c += TILE_COLS)
        CPU(at_scores)(b->scores + c, s->keys, q, b->panels + c * s->width, s->width);
    int64_t from = low / VF_LANES * VF_LANES, to = (high + VF_LANES - 1) / VF_LANES * VF_LANES;
    for (int r = 0; r < TILE_ROWS; r++) {
        row[r].from = from, row[r].to = to;
        p[r] = row[r].scores + low;
        if (t + r >= b->rows)
            continue; /* a copy of the last row: its result is not used */
        float shrink = soften(s, &row[r], b->max + t + r, b->sum + t + r);
        if (shrink != 1)
            for (int64_t c = 0; c < s->pad; c += VF_LANES)
                vf_store(out[r] + c, vf_load(out[r] + c) * shrink);
    }
    CPU(at_product)(out, p, 1, values + low * value_stride, value_stride, high - low, s->pad);
}

/* Keys [k0, k0 + n): transposes them, makes the values readable, runs all rows. */
static void attend_keys(const struct block *b, int64_t k0, int64_t n)
{
    const struct at_scene *s = &b->f->s;
    const struct view *k = &b->f->a->k, *v = &b->f->a->v;
    const float *rows[MAX_KEYS] = {NULL};
    for (int64_t j = 0; j < n; j++)
        rows[j] = (const float *)k->data + at_key_row(s, &b->q, k0 + j) * k->stride[0] +
                  b->key_head * k->stride[1];
    CPU(at_pack)(b->panels, rows, n, s->width);
    for (int64_t j = 0; j < n; j++)
        rows[j] = (const float *)v->data + at_key_row(s, &b->q, k0 + j) * v->stride[0] +
                  b->key_head * v->stride[1];
    const float *values = rows[0];
    int64_t stride = v->stride[0];
    if (s->pad != s->width || s->pages.data) {
        CPU(at_copy)(b->values, rows, n, s->width, s->pad);
        values = b->values;
        stride = s->pad;
    }
    for (int64_t t = 0; t < b->rows; t += TILE_ROWS)
        attend_tile(b, t, k0, n, values, stride);
}

static void finish_row(const struct block *b, int64_t r)
{
    const struct at_scene *s = &b->f->s;
    const struct view *out = &b->f->a->out, *lse = &b->f->a->lse;
    int64_t i = b->q.q0 + b->first + r / s->group, head = b->key_head * s->group + r % s->group;
    float *to = (float *)out->data + i * out->stride[0] + head * out->stride[1];
    const float *from = b->out + r * s->pad;
    float share = b->sum[r] != 0 ? (float)(1 / b->sum[r]) : 0; /* no key seen: zeros */
    for (int64_t c = 0; c < s->width; c++)
        to[c] = from[c] * share;
    if (lse->data)
        ((float *)lse->data)[head * lse->stride[0] + i * lse->stride[1]] =
            (float)((double)b->max[r] + log(b->sum[r]));
}

static void attend_block(struct block *b)
{
    const struct at_scene *s = &b->f->s;
    int64_t last = b->first + b->rows / s->group - 1;
    int64_t begin = at_low(s, &b->q, b->first) / s->keys * s->keys, end = at_high(s, &b->q, last);
    memset(b->out, 0, (size_t)(tile_count(b->rows) * TILE_ROWS * s->pad) * sizeof(float));
    for (int64_t r = 0; r < b->rows; r++) {
        b->max[r] = -INFINITY;
        b->sum[r] = 0;
    }
    for (int64_t k0 = begin; k0 < end; k0 += s->keys)
        attend_keys(b, k0, i64_min(s->keys, end - k0));
    for (int64_t r = 0; r < b->rows; r++)
        finish_row(b, r);
}

/* Items of the last queries come first: they see the most keys. */
static void forward_item(void *ctx, int64_t item, int worker)
{
    const struct forward *f = ctx;
    const struct at_scene *s = &f->s;
    int64_t per_block = at_sequences(s) * s->key_heads, index = item % per_block;
    struct block b = {.f = f, .q = at_sequence(s, index / s->key_heads)};
    b.key_head = index % s->key_heads;
    b.first = (f->blocks - 1 - item / per_block) * f->block;
    if (b.first >= b.q.nq)
        return;
    b.rows = i64_min(f->block, b.q.nq - b.first) * s->group;
    int64_t room = tile_count(f->block * s->group) * TILE_ROWS;
    float *p = (float *)f->a->work.data + (size_t)worker * f->worker_floats;
    b.sum = (double *)p, p += 2 * room;
    b.max = p, p += room;
    b.out = p, p += room * s->pad;
    b.panels = p, p += s->keys * s->pad;
    b.values = p, p += s->keys * s->pad;
    b.scores = p;
    attend_block(&b);
}

void CPU(attention)(struct device *d, const struct attention_args *a)
{
    struct forward f = forward_of(d, a);
    if (f.s.heads > 0)
        pool_run(d->pool, at_sequences(&f.s) * f.s.key_heads * f.blocks, forward_item, &f);
}
