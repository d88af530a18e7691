/* attention.c -- attention over packed sequences, forward.
 *
 * An item is a block of queries of one sequence with all heads that share a key head. It walks over
 * the blocks of keys its queries see, with a running maximum and sum per row (online softmax); the
 * blocks, and so the order of every sum, follow from the shapes alone. Scores never leave the first
 * cache level.
 *
 * Decoding, a single query per sequence, is bound by reading the keys: scores are then plain dot
 * products without transposition, and a long row of keys is cut into parts, each an item of its
 * own, that are merged at the end. */
#include "kernels/cpu/attention.h"

#include <math.h>

#define ROWS 192 /* of a block of queries: enough to pay for the transposition of the keys */
#define MAX_KEYS 64
#define FEW_ROWS 12   /* up to here dot products beat transposing the keys */
#define PART_KEYS 256 /* per part of a single query's keys */

struct forward {
    const struct attention_args *a;
    struct at_scene s;
    int64_t block, blocks; /* queries per block, blocks for max_q */
    int64_t parts;         /* of the keys; 1 unless there are single queries alone */
    size_t worker_floats;
    float *merge; /* [sequences, key heads, parts, group] of struct row and [pad] */
};

/* A row of a block: one query and head. */
struct row {
    const float *q;
    int64_t low, high;     /* keys it sees */
    float slope, diagonal; /* slope * (key - diagonal) is added to scores */
    float max;             /* of the scores so far */
    double sum;            /* of exp(score - max) */
};

/* One item at work. */
struct block {
    const struct forward *f;
    struct at_sequence q;
    int64_t key_head, first, rows; /* first query; rows = queries * group */
    int64_t part;
    bool few;                 /* rows: dot products */
    const float *k[MAX_KEYS]; /* the keys of a block */
    /* scratch of the worker */
    struct row *row; /* [rows], and copies of the last one up to a whole tile */
    float *out;      /* [rows][pad], sums not yet divided */
    float *panels;   /* the transposed keys of a block */
    float *values;   /* [keys][pad]: v has rows far apart, often in the same cache sets */
    float *scores;   /* [TILE_ROWS][keys] */
};

static int64_t tile_count(int64_t rows)
{
    return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

static struct forward forward_of(const struct attention_args *a)
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
    f.parts = a->max_q == 1 ? i64_max(1, (a->max_k + PART_KEYS - 1) / PART_KEYS) : 1;
    size_t rows = (size_t)(tile_count(f.block * group) * TILE_ROWS), keys = (size_t)f.s.keys;
    f.worker_floats = rows * ((size_t)f.s.pad + sizeof(struct row) / sizeof(float)) +
                      keys * ((size_t)f.s.pad * 2 + TILE_ROWS);
    f.worker_floats = (f.worker_floats + 15) / 16 * 16;
    return f;
}

/* Floats of one row that waits to be merged. */
static size_t merge_row(const struct forward *f)
{
    return sizeof(struct row) / sizeof(float) + (size_t)f->s.pad;
}

size_t CPU(attention_workspace)(struct device *d, const struct attention_args *a)
{
    struct forward f = forward_of(a);
    size_t rows = (size_t)(at_sequences(&f.s) * f.s.heads * f.parts);
    size_t floats = f.worker_floats * (size_t)pool_threads(d->pool);
    return (floats + (f.parts > 1 ? rows * merge_row(&f) : 0)) * sizeof(float);
}

/* --- a tile of scores: TILE_ROWS rows by the vectors [from, to) of a block of keys --------------- */

struct span {
    int64_t k0; /* first key of the block */
    int64_t from, to;
};

/* Largest score of a row. Plain scores stay unscaled until they are exponentiated; keys that the row
 * does not see become -infinity. NaN is passed over: the sum will show it. */
static inline vf plain_max(float *scores, const struct row *r, const struct span *b)
{
    vf most = vf_set(-INFINITY);
    int64_t low = r->low - b->k0, high = r->high - b->k0;
    for (int64_t j = b->from; j < b->to; j += VF_LANES) {
        vf x = vf_load(scores + j);
        if (j < low || j + VF_LANES > high) {
            x = vf_select(at_seen(j, low, high), x, vf_set(-INFINITY));
            vf_store(scores + j, x);
        }
        most = vf_max(most, x);
    }
    return most;
}

/* The same with scale, cap and slope applied. */
static vf full_max(float *scores, const struct row *r, const struct span *b,
                   const struct at_scene *s)
{
    vf most = vf_set(-INFINITY), bend;
    int64_t low = r->low - b->k0, high = r->high - b->k0;
    float scale = s->scale, softcap = s->softcap, slope = r->slope;
    float away = (float)b->k0 - r->diagonal;
    for (int64_t j = b->from; j < b->to; j += VF_LANES) {
        vf x = at_score(vf_load(scores + j), scale, softcap, slope, (float)j + away, &bend);
        if (j < low || j + VF_LANES > high)
            x = vf_select(at_seen(j, low, high), x, vf_set(-INFINITY));
        vf_store(scores + j, x);
        most = vf_max(most, x);
    }
    return most;
}

/* scores = exp(scale * scores - max); returns their sum */
static inline vf exponentials(float *scores, const struct span *b, float scale, float max)
{
    vf sum = {0};
    for (int64_t j = b->from; j < b->to; j += VF_LANES) {
        vf p = vf_exp_neg(vf_fma(vf_load(scores + j), vf_set(scale), vf_set(-max)));
        vf_store(scores + j, p);
        sum += p;
    }
    return sum;
}

/* Takes the scores of a tile into the running maxima and sums of its rows; shrink[r] is the factor
 * for what row r has summed so far. Step by step over all rows: rows do not wait for each other. */
static void soften(struct row *row, int rows, float *scores, const struct span *b,
                   const struct at_scene *s, float shrink[TILE_ROWS])
{
    bool plain = s->softcap == 0 && !s->slopes.data && s->scale > 0;
    float scale = plain ? s->scale : 1, base[TILE_ROWS], gap[TILE_ROWS + VF_LANES] = {0};
    vf fold[TILE_ROWS];
    for (int r = 0; r < rows; r++)
        fold[r] = plain ? plain_max(scores + r * s->keys, row + r, b)
                        : full_max(scores + r * s->keys, row + r, b, s);
    for (int r = 0; r < rows; r++) {
        float most = vf_max_lane(fold[r]) * scale, before = row[r].max;
        most = most > before ? most : before;
        base[r] = most > -INFINITY ? most : 0; /* nothing seen, or nothing but NaN */
        gap[r] = before - base[r];
        row[r].max = most;
    }
    for (int r = 0; r < rows; r += VF_LANES)
        vf_store(gap + r, vf_exp_neg(vf_load(gap + r)));
    for (int r = 0; r < rows; r++)
        fold[r] = exponentials(scores + r * s->keys, b, scale, base[r]);
    for (int r = 0; r < rows; r++) {
        shrink[r] = gap[r];
        row[r].sum = row[r].sum * (double)shrink[r] + (double)vf_sum(fold[r]);
    }
}

/* Rows [t, t + TILE_ROWS) with n keys from k0 on: scores, softened, times the values. */
static void attend_tile(const struct block *b, int64_t t, int64_t k0, int64_t n)
{
    const struct at_scene *s = &b->f->s;
    struct row *row = b->row + t;
    int rows = b->few ? (int)i64_min(b->rows - t, TILE_ROWS) : TILE_ROWS;
    int64_t low = i64_max(row[0].low - k0, 0), high = i64_min(row[rows - 1].high - k0, n);
    if (low >= high)
        return;
    const float *q[TILE_ROWS], *p[TILE_ROWS];
    float *out[TILE_ROWS], shrink[TILE_ROWS];
    struct span span = {k0, low / VF_LANES * VF_LANES, (high + VF_LANES - 1) / VF_LANES * VF_LANES};
    for (int r = 0; r < TILE_ROWS; r++) {
        q[r] = row[r].q;
        p[r] = b->scores + r * s->keys + low;
        out[r] = b->out + (t + r) * s->pad;
    }
    if (b->few)
        for (int r = 0; r < rows; r++)
            CPU(at_dots)
    (b->scores + r * s->keys + span.from, q[r], b->k + span.from, high - span.from, s->width);
    else CPU(at_scores)(b->scores, s->keys, q, b->panels, s->width, low, high);
    soften(row, rows, b->scores, &span, s, shrink);
    for (int r = 0; r < rows; r++)
        if (shrink[r] != 1)
            for (int64_t c = 0; c < s->pad; c += VF_LANES)
                vf_store(out[r] + c, vf_load(out[r] + c) * shrink[r]);
    CPU(at_product)(out, p, 1, b->values + low * s->pad, s->pad, high - low, s->pad);
}

/* --- a block of keys ------------------------------------------------------------------------ */

static const float *key_row(const struct block *b, const struct view *v, int64_t j)
{
    return (const float *)v->data + at_key_row(&b->f->s, &b->q, j) * v->stride[0] +
           b->key_head * v->stride[1];
}

/* Asks for keys [k0, k0 + n): a single query does so little with each that memory is waited for. */
static void prefetch_keys(const struct block *b, int64_t k0, int64_t n)
{
    for (int64_t j = k0; j < k0 + n; j++) {
        const float *k = key_row(b, &b->f->a->k, j), *v = key_row(b, &b->f->a->v, j);
        for (int64_t c = 0; c < b->f->s.width; c += 16) {
            __builtin_prefetch(k + c);
            __builtin_prefetch(v + c);
        }
    }
}

/* Keys [k0, k0 + n) of those up to 'end': transposes them, copies the values, runs all rows. */
static void attend_keys(struct block *b, int64_t k0, int64_t n, int64_t end)
{
    const struct at_scene *s = &b->f->s;
    for (int64_t j = 0; j < n; j++) {
        b->k[j] = key_row(b, &b->f->a->k, k0 + j);
        at_copy(b->values + j * s->pad, key_row(b, &b->f->a->v, k0 + j), s->width, s->pad);
    }
    if (b->few)
        prefetch_keys(b, k0 + n, i64_min(s->keys, end - k0 - n));
    else
        CPU(at_pack)(b->panels, b->k, n, s->width);
    for (int64_t t = 0; t < b->rows; t += TILE_ROWS)
        attend_tile(b, t, k0, n);
}

/* --- a block of queries --------------------------------------------------------------------- */

static void start_rows(const struct block *b)
{
    const struct at_scene *s = &b->f->s;
    const struct view *q = &b->f->a->q;
    int64_t r = 0, room = tile_count(b->rows) * TILE_ROWS;
    for (int64_t i = b->first; r < b->rows; i++)
        for (int64_t g = 0; g < s->group; g++, r++) {
            int64_t head = b->key_head * s->group + g;
            b->row[r] = (struct row){
                .q = (const float *)q->data + (b->q.q0 + i) * q->stride[0] + head * q->stride[1],
                .low = at_low(s, &b->q, i),
                .high = at_high(s, &b->q, i),
                .slope = at_slope(s, head),
                .diagonal = (float)(b->q.nk - b->q.nq + i),
                .max = -INFINITY,
            };
        }
    for (; r < room; r++)
        b->row[r] = b->row[b->rows - 1];
    memset(b->out, 0, (size_t)(room * s->pad) * sizeof(float));
}

/* Row i of the output for one head, from sums not yet divided. */
static void finish_row(const struct forward *f, const struct row *row, const float *from, int64_t i,
                       int64_t head)
{
    const struct view *out = &f->a->out, *lse = &f->a->lse;
    float *to = (float *)out->data + i * out->stride[0] + head * out->stride[1];
    float sum = (float)row->sum, share = sum != 0 ? 1 / sum : 0; /* no key seen: zeros */
    int64_t c = 0, width = f->s.width;
    for (; c + VF_LANES <= width; c += VF_LANES)
        vf_store(to + c, vf_load(from + c) * share);
    if (c < width)
        vf_store_part(to + c, vf_load(from + c) * share, width - c);
    if (lse->data)
        ((float *)lse->data)[head * lse->stride[0] + i * lse->stride[1]] = row->max + logf(sum);
}

/* Where a row of a part waits: sequence, head and part. */
static float *waiting_row(const struct forward *f, int64_t sequence, int64_t head, int64_t part)
{
    int64_t index = (sequence * f->s.heads + head) * f->parts + part;
    return f->merge + (size_t)index * merge_row(f);
}

static void attend_block(struct block *b)
{
    const struct at_scene *s = &b->f->s;
    start_rows(b);
    int64_t begin = b->row[0].low / s->keys * s->keys, end = b->row[b->rows - 1].high;
    if (b->f->parts > 1) {
        begin = i64_max(begin, b->part * PART_KEYS);
        end = i64_min(end, (b->part + 1) * PART_KEYS);
    }
    for (int64_t k0 = begin; k0 < end; k0 += s->keys)
        attend_keys(b, k0, i64_min(s->keys, end - k0), end);
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t head = b->key_head * s->group + r % s->group;
        const float *out = b->out + r * s->pad;
        if (b->f->parts > 1) {
            float *wait = waiting_row(b->f, b->q.index, head, b->part);
            memcpy(wait, b->row + r, sizeof *b->row);
            memcpy(wait + sizeof *b->row / sizeof *wait, out, (size_t)s->pad * sizeof *out);
        } else {
            finish_row(b->f, b->row + r, out, b->q.q0 + b->first + r / s->group, head);
        }
    }
}

/* The parts of one sequence and head into one row, in order. */
static void merge_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct forward *f = ctx;
    struct at_sequence q = at_sequence(&f->s, item / f->s.heads);
    int64_t head = item % f->s.heads;
    if (q.nq < 1)
        return;
    struct row total = {.max = -INFINITY}, row;
    float *sum = waiting_row(f, q.index, head, 0) + sizeof row / sizeof *sum;
    for (int64_t p = 0; p < f->parts; p++) {
        const float *wait = waiting_row(f, q.index, head, p),
                    *out = wait + sizeof row / sizeof *sum;
        memcpy(&row, wait, sizeof row);
        float most = row.max > total.max ? row.max : total.max;
        float base = most > -INFINITY ? most : 0;
        float before = p > 0 ? expf(total.max - base) : 0, here = expf(row.max - base);
        total.sum = total.sum * (double)before + row.sum * (double)here;
        total.max = most;
        for (int64_t c = 0; c < f->s.pad; c++)
            sum[c] = (p > 0 ? sum[c] * before : 0) + out[c] * here;
    }
    finish_row(f, &total, sum, q.q0, head);
}

/* Items of the last queries come first: they see the most keys. */
static void forward_item(void *ctx, int64_t item, int worker)
{
    const struct forward *f = ctx;
    const struct at_scene *s = &f->s;
    int64_t per_block = at_sequences(s) * s->key_heads * f->parts, index = item % per_block;
    struct block b = {.f = f, .part = index % f->parts};
    index /= f->parts;
    b.q = at_sequence(s, index / s->key_heads);
    b.key_head = index % s->key_heads;
    b.first = (f->blocks - 1 - item / per_block) * f->block;
    if (b.first >= b.q.nq)
        return;
    b.rows = i64_min(f->block, b.q.nq - b.first) * s->group;
    b.few = b.q.nq == 1 && b.rows <= FEW_ROWS;
    int64_t room = tile_count(f->block * s->group) * TILE_ROWS;
    float *p = (float *)f->a->work.data + (size_t)worker * f->worker_floats;
    b.row = (struct row *)p, p += room * (int64_t)(sizeof(struct row) / sizeof(float));
    b.out = p, p += room * s->pad;
    b.panels = p, p += s->keys * s->pad;
    b.values = p, p += s->keys * s->pad;
    b.scores = p;
    attend_block(&b);
}

void CPU(attention)(struct device *d, const struct attention_args *a)
{
    struct forward f = forward_of(a);
    int64_t n = at_sequences(&f.s), work = n * f.s.heads * f.s.width * a->max_q * a->max_k;
    if (f.s.heads == 0)
        return;
    f.merge = (float *)a->work.data + f.worker_floats * (size_t)pool_threads(d->pool);
    at_run(d->pool, n * f.s.key_heads * f.blocks * f.parts, work, forward_item, &f);
    if (f.parts > 1)
        at_run(d->pool, n * f.s.heads, n * f.s.heads * f.parts * f.s.pad, merge_item, &f);
}
