/* attention_grad.c -- gradients of attention; scores are computed again from q, k and lse.
 *
 * An item is one sequence, one key head and every 'chunks'-th block of its keys. For each block it
 * runs over the blocks of queries (with all heads of the key head) that see it, and forms
 *   P = exp(score - lse), dS = P (dout v' - delta) scale, dv += P' dout, dk += dS' q, dq += dS k,
 * with delta = sum of dout * out. dk and dv of a block belong to one item. dq is added to by all
 * chunks: the first writes dq itself, the others parts in the workspace, which are added in order.
 * There is more than one chunk only where sequences and heads are too few to occupy the threads of
 * an ordinary machine; that depends on the shapes, never on the threads. */
#include "kernels/cpu/attention.h"
#include "kernels/cpu/exp.h"
#include "kernels/cpu/sum.h"

#include <math.h>

#define ROWS 96     /* of a block of queries */
#define MAX_KEYS 64 /* of a block of keys */
#define MAX_CHUNKS 4
#define ITEMS 12    /* wanted */
#define SUM_ROWS 16 /* tokens per item of the passes before and after */

struct grad {
    const struct attention_grad_args *a;
    struct at_scene s;
    int64_t block; /* queries per block */
    int64_t chunks;
    int64_t ld; /* between rows of p and ds: more than keys, or columns would share cache sets */
    size_t worker_floats;
    float *parts; /* [chunks - 1][Tq, Hq, D] */
    float *delta; /* [Tq, Hq]: sum over D of dout * out */
};

/* One item at work: the block of keys, then the block of queries it is at. */
struct work {
    const struct grad *g;
    struct at_sequence q;
    int64_t key_head, chunk;
    struct view dq; /* where this chunk adds */
    int64_t k0, n;  /* keys */
    int64_t first, rows;
    /* scratch of the worker */
    float *k_panels, *v_panels, *k_copy; /* [keys][pad] each */
    float *dk, *dv;                      /* [keys + TILE_ROWS][pad] */
    float *q_copy, *dout;                /* [rows][pad] */
    float *spare;                        /* [pad], for rows of a tile that are none */
    float *p, *ds;                       /* [rows][ld], keys columns used */
    float *delta, *lse;                  /* [rows] */
};

static int64_t room_rows(const struct grad *g)
{
    return (g->block * g->s.group + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
}

static int64_t chunk_count(const struct attention_grad_args *a, int64_t keys)
{
    int64_t items = (a->q_start.shape[0] - 1) * a->k.shape[1];
    int64_t blocks = (a->max_k + keys - 1) / keys;
    int64_t chunks = items > 0 ? (ITEMS + items - 1) / items : 1;
    return i64_max(1, i64_min(i64_min(chunks, MAX_CHUNKS), blocks));
}

static struct grad grad_of(const struct attention_grad_args *a)
{
    struct grad g = {.a = a};
    int64_t group = a->q.shape[1] / a->k.shape[1], width = a->q.shape[2];
    g.s = (struct at_scene){.q_start = a->q_start,
                            .k_start = a->k_start,
                            .slopes = a->slopes,
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
    g.block = i64_max(1, i64_min(ROWS / i64_max(1, group), a->max_q));
    g.chunks = chunk_count(a, g.s.keys);
    g.ld = g.s.keys + 16;
    size_t rows = (size_t)room_rows(&g), keys = (size_t)g.s.keys, pad = (size_t)g.s.pad;
    g.worker_floats =
        keys * pad * 3 + 2 * (keys + TILE_ROWS) * pad + pad + 2 * rows * (pad + (size_t)g.ld + 1);
    g.worker_floats = (g.worker_floats + 31) / 16 * 16; /* a tile may read a little past ds */
    return g;
}

size_t CPU(attention_grad_workspace)(struct device *d, const struct attention_grad_args *a)
{
    struct grad g = grad_of(a);
    size_t parts = (size_t)(g.chunks - 1) * (size_t)view_count(a->q);
    size_t rows = (size_t)(a->q.shape[0] * a->q.shape[1]);
    return (g.worker_floats * (size_t)pool_threads(d->pool) + parts + rows) * sizeof(float);
}

static float *row_of(const struct view *v, int64_t t, int64_t head)
{
    return (float *)v->data + t * v->stride[0] + head * v->stride[1];
}

/* --- scores: P and dS of one row -------------------------------------------------------------- */

static void row_gradient(const struct work *w, int64_t r, int64_t from, int64_t to)
{
    const struct at_scene *s = &w->g->s;
    int64_t i = w->first + r / s->group, head = w->key_head * s->group + r % s->group;
    int64_t low = at_low(s, &w->q, i) - w->k0, high = i64_min(at_high(s, &w->q, i) - w->k0, w->n);
    float *p = w->p + r * w->g->ld, *ds = w->ds + r * w->g->ld;
    float lse = w->lse[r], delta = w->delta[r], slope = at_slope(s, head);
    float scale = s->scale,
          softcap = s->softcap; /* stores below might be to *s, for all gcc knows */
    float away = (float)(w->k0 - (w->q.nk - w->q.nq + i));
    if (lse == -INFINITY) /* no key counts */
        high = 0;
    for (int64_t j = from; j < to; j += VF_LANES) {
        vf bend, x = at_score(vf_load(p + j), scale, softcap, slope, (float)j + away, &bend);
        vf e = vf_exp_neg(x - lse);
        vf d = e * (vf_load(ds + j) - delta) * bend;
        if (j < low || j + VF_LANES > high) {
            vi seen = at_seen(j, low, high);
            e = vf_select(seen, e, (vf){0});
            d = vf_select(seen, d, (vf){0});
        }
        vf_store(p + j, e);
        vf_store(ds + j, d);
    }
    for (int64_t j = 0; j < s->keys; j += VF_LANES)
        if (j < from || j >= to) {
            vf_store(p + j, (vf){0});
            vf_store(ds + j, (vf){0});
        }
}

/* P and dS of rows [t, t + TILE_ROWS), and their share of dq. */
static void grad_tile(const struct work *w, int64_t t)
{
    const struct at_scene *s = &w->g->s;
    int64_t ld = w->g->ld;
    const float *q[TILE_ROWS], *dout[TILE_ROWS], *ds[TILE_ROWS];
    float *dq[TILE_ROWS];
    int64_t last = i64_min(t + TILE_ROWS, w->rows) - 1;
    int64_t low = i64_max(at_low(s, &w->q, w->first + t / s->group) - w->k0, 0);
    int64_t high = i64_min(at_high(s, &w->q, w->first + last / s->group) - w->k0, w->n);
    for (int r = 0; r < TILE_ROWS; r++) {
        q[r] = w->q_copy + (t + r) * s->pad;
        dout[r] = w->dout + (t + r) * s->pad;
    }
    int64_t from = low / VF_LANES * VF_LANES, to = (high + VF_LANES - 1) / VF_LANES * VF_LANES;
    if (low >= high)
        from = to = 0;
    CPU(at_scores)(w->p + t * ld, ld, q, w->k_panels, s->width, from, to);
    CPU(at_scores)(w->ds + t * ld, ld, dout, w->v_panels, s->width, from, to);
    for (int64_t r = t; r <= last; r++)
        row_gradient(w, r, from, to);
    if (low >= high)
        return;
    for (int r = 0; r < TILE_ROWS; r++) {
        int64_t i = w->first + (t + r) / s->group, head = (t + r) % s->group;
        ds[r] = w->ds + (t + r) * ld + low;
        dq[r] = w->spare;
        if (t + r <= last)
            dq[r] = row_of(&w->dq, w->q.q0 + i, w->key_head * s->group + head);
    }
    CPU(at_product)(dq, ds, 1, w->k_copy + low * s->pad, s->pad, high - low, s->width);
}

/* --- a block of queries against a block of keys ------------------------------------------------ */

static void load_queries(const struct work *w)
{
    const struct attention_grad_args *a = w->g->a;
    const struct at_scene *s = &w->g->s;
    for (int64_t r = 0; r < w->rows; r++) {
        int64_t t = w->q.q0 + w->first + r / s->group, head = w->key_head * s->group + r % s->group;
        float *dout = w->dout + r * s->pad;
        at_copy(w->q_copy + r * s->pad, row_of(&a->q, t, head), s->width, s->pad);
        at_copy(dout, row_of(&a->dout, t, head), s->width, s->pad);
        w->delta[r] = w->g->delta[t * s->heads + head];
        w->lse[r] = *((const float *)a->lse.data + head * a->lse.stride[0] + t * a->lse.stride[1]);
    }
}

/* dv += P' dout and dk += dS' q, by tiles of keys; rows that see none of a tile are left out. */
static void add_to_keys(const struct work *w)
{
    const struct at_scene *s = &w->g->s;
    int64_t shift = w->q.nk - w->q.nq, ld = w->g->ld;
    for (int64_t j = 0; j < w->n; j += TILE_ROWS) {
        int64_t begin = 0, end = w->rows;
        if (s->causal)
            begin = i64_max(0, (w->k0 + j - shift - w->first) * s->group);
        if (s->window > 0)
            end =
                i64_min(end, (w->k0 + j + TILE_ROWS - 1 + s->window - shift - w->first) * s->group);
        if (begin >= end)
            continue;
        const float *p[TILE_ROWS], *ds[TILE_ROWS];
        float *dv[TILE_ROWS], *dk[TILE_ROWS];
        for (int r = 0; r < TILE_ROWS; r++) {
            p[r] = w->p + begin * ld + j + r;
            ds[r] = w->ds + begin * ld + j + r;
            dv[r] = w->dv + (j + r) * s->pad;
            dk[r] = w->dk + (j + r) * s->pad;
        }
        CPU(at_product)(dv, p, ld, w->dout + begin * s->pad, s->pad, end - begin, s->pad);
        CPU(at_product)(dk, ds, ld, w->q_copy + begin * s->pad, s->pad, end - begin, s->pad);
    }
}

/* --- a block of keys ------------------------------------------------------------------------ */

static void load_keys(struct work *w)
{
    const struct attention_grad_args *a = w->g->a;
    const struct at_scene *s = &w->g->s;
    const float *rows[MAX_KEYS] = {NULL};
    for (int64_t j = 0; j < w->n; j++)
        rows[j] = row_of(&a->v, w->q.k0 + w->k0 + j, w->key_head);
    CPU(at_pack)(w->v_panels, rows, w->n, s->width);
    for (int64_t j = 0; j < w->n; j++)
        rows[j] = row_of(&a->k, w->q.k0 + w->k0 + j, w->key_head);
    CPU(at_pack)(w->k_panels, rows, w->n, s->width);
    for (int64_t j = 0; j < w->n; j++)
        at_copy(w->k_copy + j * s->pad, rows[j], s->width, s->pad);
}

/* The queries [*begin, *end) that see any of keys [k0, k0 + n). */
static void queries_of(const struct work *w, int64_t *begin, int64_t *end)
{
    const struct at_scene *s = &w->g->s;
    int64_t shift = w->q.nk - w->q.nq;
    *begin = s->causal ? i64_max(0, w->k0 - shift) : 0;
    *end = w->q.nq;
    if (s->window > 0)
        *end = i64_min(*end, w->k0 + w->n - 1 + s->window - shift);
}

static void grad_keys(struct work *w)
{
    const struct attention_grad_args *a = w->g->a;
    const struct at_scene *s = &w->g->s;
    size_t bytes = (size_t)(w->n + TILE_ROWS) * (size_t)s->pad * sizeof(float);
    int64_t begin, end;
    memset(w->dk, 0, bytes);
    memset(w->dv, 0, bytes);
    load_keys(w);
    queries_of(w, &begin, &end);
    for (w->first = begin; w->first < end; w->first += w->g->block) {
        w->rows = i64_min(w->g->block, end - w->first) * s->group;
        load_queries(w);
        for (int64_t t = 0; t < w->rows; t += TILE_ROWS)
            grad_tile(w, t);
        add_to_keys(w);
    }
    for (int64_t j = 0; j < w->n; j++) {
        size_t row = (size_t)s->width * sizeof(float);
        int64_t t = w->q.k0 + w->k0 + j;
        memcpy(row_of(&a->dk, t, w->key_head), w->dk + j * s->pad, row);
        memcpy(row_of(&a->dv, t, w->key_head), w->dv + j * s->pad, row);
    }
}

static void clear_dq(const struct work *w)
{
    const struct at_scene *s = &w->g->s;
    for (int64_t t = w->q.q0; t < w->q.q0 + w->q.nq; t++)
        for (int64_t h = w->key_head * s->group; h < (w->key_head + 1) * s->group; h++)
            memset(row_of(&w->dq, t, h), 0, (size_t)s->width * sizeof(float));
}

/* The view of dq that a chunk adds to. */
static struct view dq_of(const struct grad *g, int64_t chunk)
{
    struct view v = g->a->dq;
    if (chunk == 0)
        return v;
    float *part = g->parts + (chunk - 1) * view_count(g->a->q);
    return view_3d(part, DT_F32, v.shape[0], v.shape[1], v.shape[2]);
}

static void grad_item(void *ctx, int64_t item, int worker)
{
    const struct grad *g = ctx;
    const struct at_scene *s = &g->s;
    int64_t index = item / g->chunks;
    struct work w = {.g = g, .chunk = item % g->chunks, .key_head = index % s->key_heads};
    w.q = at_sequence(s, index / s->key_heads);
    w.dq = dq_of(g, w.chunk);
    int64_t rows = room_rows(g);
    float *p = (float *)g->a->work.data + (size_t)worker * g->worker_floats;
    w.k_panels = p, p += s->keys * s->pad;
    w.v_panels = p, p += s->keys * s->pad;
    w.k_copy = p, p += s->keys * s->pad;
    w.dk = p, p += (s->keys + TILE_ROWS) * s->pad;
    w.dv = p, p += (s->keys + TILE_ROWS) * s->pad;
    w.q_copy = p, p += rows * s->pad;
    w.dout = p, p += rows * s->pad;
    w.spare = p, p += s->pad;
    w.delta = p, p += rows;
    w.lse = p, p += rows;
    w.p = p, p += rows * g->ld;
    w.ds = p;
    clear_dq(&w);
    for (w.k0 = w.chunk * s->keys; w.k0 < w.q.nk; w.k0 += g->chunks * s->keys) {
        w.n = i64_min(s->keys, w.q.nk - w.k0);
        grad_keys(&w);
    }
}

/* --- before and after ------------------------------------------------------------------------------- */

static void delta_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct grad *g = ctx;
    int64_t end = i64_min((item + 1) * SUM_ROWS, g->a->q.shape[0]), width = g->s.width;
    for (int64_t t = item * SUM_ROWS; t < end; t++)
        for (int64_t h = 0; h < g->s.heads; h++) {
            const float *x = row_of(&g->a->dout, t, h), *y = row_of(&g->a->out, t, h);
            vd sum = {0};
            int64_t c = 0;
            for (; c + VF_LANES <= width; c += VF_LANES)
                sum += vd_fold(vf_load(x + c) * vf_load(y + c));
            if (c < width)
                sum += vd_fold(vf_load_part(x + c, width - c) * vf_load_part(y + c, width - c));
            g->delta[t * g->s.heads + h] = (float)vd_sum(sum);
        }
}

/* dq += the parts, for some queries of a sequence */
static void sum_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct grad *g = ctx;
    int64_t per = (g->a->max_q + SUM_ROWS - 1) / SUM_ROWS;
    struct at_sequence q = at_sequence(&g->s, item / per);
    int64_t first = item % per * SUM_ROWS, end = i64_min(first + SUM_ROWS, q.nq);
    for (int64_t chunk = 1; chunk < g->chunks; chunk++) {
        struct view part = dq_of(g, chunk);
        for (int64_t i = first; i < end; i++)
            for (int64_t h = 0; h < g->s.heads; h++) {
                float *restrict to = row_of(&g->a->dq, q.q0 + i, h);
                const float *restrict from = row_of(&part, q.q0 + i, h);
                for (int64_t c = 0; c < g->s.width; c++)
                    to[c] += from[c];
            }
    }
}

/* Rows of dk and dv before the first and after the last sequence. */
static void clear_outside(const struct grad *g)
{
    const struct attention_grad_args *a = g->a;
    int64_t n = at_sequences(&g->s), from = at_int(a->k_start, 0), to = at_int(a->k_start, n);
    for (int64_t t = 0; t < a->k.shape[0]; t++)
        for (int64_t h = 0; (t < from || t >= to) && h < g->s.key_heads; h++) {
            memset(row_of(&a->dk, t, h), 0, (size_t)g->s.width * sizeof(float));
            memset(row_of(&a->dv, t, h), 0, (size_t)g->s.width * sizeof(float));
        }
}

void CPU(attention_grad)(struct device *d, const struct attention_grad_args *a)
{
    struct grad g = grad_of(a);
    int64_t n = at_sequences(&g.s), count = view_count(a->q), rows = a->q.shape[0];
    g.parts = (float *)a->work.data + g.worker_floats * (size_t)pool_threads(d->pool);
    g.delta = g.parts + (g.chunks - 1) * count;
    clear_outside(&g);
    at_run(d->pool, (rows + SUM_ROWS - 1) / SUM_ROWS, count, delta_item, &g);
    at_run(d->pool, n * g.s.key_heads * g.chunks, n * g.s.heads * g.s.width * a->max_q * a->max_k,
           grad_item, &g);
    if (g.chunks > 1)
        at_run(d->pool, n * ((a->max_q + SUM_ROWS - 1) / SUM_ROWS), count * g.chunks, sum_item, &g);
}
