/* attention.c -- attention over packed sequences, and its gradient.
 *
 * Each query walks over the keys it sees, twice: for the largest score, then for the sum. The
 * geometry (which keys, which rows) is written once, in struct scene, for both directions. */
#include "kernels/ref/ref.h"

#include <math.h>

struct scene {
    struct view q, k, q_start, k_start, k_len, pages, slopes;
    int64_t page_rows, window, group;
    double scale, softcap;
    bool causal;
};

/* One query: row and head, the sequence it belongs to, the keys [low, high) it sees. */
struct query {
    int64_t row, head, key_head, seq, low, high;
    int64_t diagonal; /* nk - nq + i */
};

static int64_t sequences(const struct scene *s)
{
    return s->q_start.shape[0] - 1;
}

static int64_t key_count(const struct scene *s, int64_t seq)
{
    if (ref_given(s->k_len))
        return int1(s->k_len, seq);
    return int1(s->k_start, seq + 1) - int1(s->k_start, seq);
}

/* Row of k and v that holds key j of a sequence. */
static int64_t key_row(const struct scene *s, int64_t seq, int64_t j)
{
    if (!ref_given(s->pages))
        return int1(s->k_start, seq) + j;
    const int32_t *pages = s->pages.data;
    int64_t page = pages[seq * s->pages.stride[0] + j / s->page_rows * s->pages.stride[1]];
    return page * s->page_rows + j % s->page_rows;
}

static struct query query_of(const struct scene *s, int64_t seq, int64_t row, int64_t head)
{
    int64_t nk = key_count(s, seq), first = int1(s->q_start, seq);
    int64_t nq = int1(s->q_start, seq + 1) - first;
    struct query r = {.row = row, .head = head, .key_head = head / s->group, .seq = seq};
    r.diagonal = nk - nq + row - first;
    r.high = nk;
    if (s->causal && r.diagonal + 1 < nk)
        r.high = r.diagonal + 1 > 0 ? r.diagonal + 1 : 0;
    if (s->window > 0 && r.high > s->window)
        r.low = r.high - s->window;
    return r;
}

/* The score of key j, and by how much it moves with q.k (the soft cap bends it). */
static double score(const struct scene *s, const struct query *q, int64_t j, double *slope)
{
    int64_t row = key_row(s, q->seq, j);
    double dot = 0;
    for (int64_t i = 0; i < s->q.shape[2]; i++)
        dot += get3(s->q, q->row, q->head, i) * get3(s->k, row, q->key_head, i);
    double x = s->scale * dot;
    *slope = s->scale;
    if (s->softcap > 0) {
        double t = tanh(x / s->softcap);
        x = s->softcap * t;
        *slope = s->scale * (1 - t * t);
    }
    if (ref_given(s->slopes))
        x += get1(s->slopes, q->head) * (double)(j - q->diagonal);
    return x;
}

static double logsumexp(const struct scene *s, const struct query *q)
{
    double most = -INFINITY, sum = 0, slope;
    for (int64_t j = q->low; j < q->high; j++) {
        double x = score(s, q, j, &slope);
        most = x > most || isnan(x) ? x : most;
    }
    if (most == -INFINITY) /* it sees nothing */
        return most;
    for (int64_t j = q->low; j < q->high; j++)
        sum += exp(score(s, q, j, &slope) - most);
    return most + log(sum);
}

/* --- forward: workspace is one output row ---------------------------------------------------- */

size_t ref_attention_workspace(struct device *d, const struct attention_args *a)
{
    (void)d;
    return (size_t)a->q.shape[2] * sizeof(double);
}

static void attend(const struct attention_args *a, const struct scene *s, const struct query *q)
{
    double *out = a->work.data, lse = logsumexp(s, q), slope;
    int64_t width = a->q.shape[2];
    for (int64_t i = 0; i < width; i++)
        out[i] = 0;
    for (int64_t j = q->low; j < q->high && lse != -INFINITY; j++) {
        double p = exp(score(s, q, j, &slope) - lse);
        int64_t row = key_row(s, q->seq, j);
        for (int64_t i = 0; i < width; i++)
            out[i] += p * get3(a->v, row, q->key_head, i);
    }
    for (int64_t i = 0; i < width; i++)
        put3(a->out, q->row, q->head, i, out[i]);
    if (ref_given(a->lse))
        put2(a->lse, q->head, q->row, lse);
}

void ref_attention(struct device *d, const struct attention_args *a)
{
    (void)d;
    struct scene s = {.q = a->q,
                      .k = a->k,
                      .q_start = a->q_start,
                      .k_start = a->k_start,
                      .k_len = a->k_len,
                      .pages = a->pages,
                      .slopes = a->slopes,
                      .page_rows = a->page_rows,
                      .window = a->window,
                      .group = a->q.shape[1] / a->k.shape[1],
                      .scale = a->scale,
                      .softcap = a->softcap,
                      .causal = a->causal};
    for (int64_t seq = 0; seq < sequences(&s); seq++)
        for (int64_t row = int1(a->q_start, seq); row < int1(a->q_start, seq + 1); row++)
            for (int64_t head = 0; head < a->q.shape[1]; head++) {
                struct query q = query_of(&s, seq, row, head);
                attend(a, &s, &q);
            }
}

/* --- backward: workspace is dk and dv in double, which many heads add to, and one row of dq -- */

struct sums {
    double *dk, *dv, *dq; /* [Tk, Hk, D], [Tk, Hk, D], [D] */
};

static size_t sums_layout(const struct attention_grad_args *a, struct sums *s)
{
    size_t keys = (size_t)view_count(a->k), width = (size_t)a->q.shape[2];
    *s = (struct sums){.dk = a->work.data};
    if (s->dk) {
        s->dv = s->dk + keys;
        s->dq = s->dv + keys;
    }
    return (2 * keys + width) * sizeof(double);
}

size_t ref_attention_grad_workspace(struct device *d, const struct attention_grad_args *a)
{
    (void)d;
    struct sums s;
    return sums_layout(a, &s);
}

static void attend_back(const struct attention_grad_args *a, const struct scene *s,
                        const struct query *q, struct sums *to)
{
    int64_t width = a->q.shape[2], heads = a->k.shape[1];
    double lse = get2(a->lse, q->head, q->row), along = 0, slope; /* along: dout . out */
    for (int64_t i = 0; i < width; i++) {
        to->dq[i] = 0;
        along += get3(a->dout, q->row, q->head, i) * get3(a->out, q->row, q->head, i);
    }
    for (int64_t j = q->low; j < q->high && lse != -INFINITY; j++) {
        double p = exp(score(s, q, j, &slope) - lse), dp = 0;
        int64_t row = key_row(s, q->seq, j), at = (row * heads + q->key_head) * width;
        for (int64_t i = 0; i < width; i++) {
            double dout = get3(a->dout, q->row, q->head, i);
            dp += dout * get3(a->v, row, q->key_head, i);
            to->dv[at + i] += p * dout;
        }
        double ds = p * (dp - along) * slope;
        for (int64_t i = 0; i < width; i++) {
            to->dq[i] += ds * get3(a->k, row, q->key_head, i);
            to->dk[at + i] += ds * get3(a->q, q->row, q->head, i);
        }
    }
    for (int64_t i = 0; i < width; i++)
        put3(a->dq, q->row, q->head, i, to->dq[i]);
}

void ref_attention_grad(struct device *d, const struct attention_grad_args *a)
{
    (void)d;
    struct sums to;
    sums_layout(a, &to);
    struct scene s = {.q = a->q,
                      .k = a->k,
                      .q_start = a->q_start,
                      .k_start = a->k_start,
                      .slopes = a->slopes,
                      .window = a->window,
                      .group = a->q.shape[1] / a->k.shape[1],
                      .scale = a->scale,
                      .softcap = a->softcap,
                      .causal = a->causal};
    int64_t keys = view_count(a->k);
    for (int64_t i = 0; i < keys; i++)
        to.dk[i] = to.dv[i] = 0;
    for (int64_t seq = 0; seq < sequences(&s); seq++)
        for (int64_t row = int1(a->q_start, seq); row < int1(a->q_start, seq + 1); row++)
            for (int64_t head = 0; head < a->q.shape[1]; head++) {
                struct query q = query_of(&s, seq, row, head);
                attend_back(a, &s, &q, &to);
            }
    for (int64_t i = 0; i < keys; i++) {
        put(a->dk, i, to.dk[i]);
        put(a->dv, i, to.dv[i]);
    }
}
