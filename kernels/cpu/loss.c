/* loss.c -- cross-entropy of rows of logits, with the gradient in place.
 *
 * A row is read once for its maximum and the sum of exponentials: blocks that stay in the first
 * cache level are scanned for their maximum, and the sum so far is scaled when it rises. With
 * 'grad' it is read and written once more. An item is a row or a few; losses wait in the workspace
 * and are added in the order of the rows. */
#include "kernels/base/size.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/exp.h"
#include "kernels/cpu/sum.h"

#include <math.h>

#define TILE 16384 /* logits per item, when rows are short */
#define BLOCK 2048 /* logits per block of the scan: 8 KiB */

struct loss {
    const struct cross_entropy_args *a;
    int64_t rows, width, step;
    double *row_loss, *row_hit; /* workspace, [rows] each */
};

static struct loss loss_of(const struct cross_entropy_args *a)
{
    struct loss l = {.a = a, .rows = a->logits.shape[0], .width = a->logits.shape[1]};
    l.step = i64_max(1, TILE / i64_max(1, l.width));
    l.row_loss = a->work.data;
    l.row_hit = l.row_loss + l.rows;
    return l;
}

size_t CPU(cross_entropy_workspace)(struct device *d, const struct cross_entropy_args *a)
{
    (void)d;
    return (size_t)a->logits.shape[0] * 2 * sizeof(double);
}

struct scan {
    float max;
    double sum;     /* of exp(x - max) */
    double total;   /* of x, for smoothing */
    int64_t argmax; /* the first of equal ones */
};

static float block_max(const float *x, int64_t n)
{
    vf m[2] = {vf_set(-INFINITY), vf_set(-INFINITY)};
    int64_t i = 0;
    for (; i + 2 * VF_LANES <= n; i += 2 * VF_LANES) {
        m[0] = vf_max(m[0], vf_load(x + i)); /* a NaN is passed over here; the sum shows it */
        m[1] = vf_max(m[1], vf_load(x + i + VF_LANES));
    }
    float r = vf_max_lane(vf_max(m[0], m[1]));
    for (; i < n; i++)
        r = x[i] > r ? x[i] : r;
    return r;
}

static double block_sum(const float *x, int64_t n, float max)
{
    vf s[2] = {{0}};
    int64_t i = 0;
    for (; i + 2 * VF_LANES <= n; i += 2 * VF_LANES) {
        s[0] += vf_exp_neg(vf_load(x + i) - max);
        s[1] += vf_exp_neg(vf_load(x + i + VF_LANES) - max);
    }
    for (; i < n; i += VF_LANES) {
        vf v = vf_set(-INFINITY);
        memcpy(&v, x + i, (size_t)i64_min(VF_LANES, n - i) * sizeof(float));
        s[0] += vf_exp_neg(v - max);
    }
    return vd_sum(vd_fold(s[0]) + vd_fold(s[1]));
}

SUM_LOOP(sum_of, x)

static struct scan scan_row(const float *x, int64_t n, bool smoothing)
{
    struct scan s = {.max = -INFINITY};
    int64_t best = 0;
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t len = i64_min(BLOCK, n - at);
        float max = block_max(x + at, len);
        if (max > s.max) {
            s.sum *= exp((double)s.max - (double)max);
            s.max = max;
            best = at;
        }
        s.sum += block_sum(x + at, len, s.max > -INFINITY ? s.max : 0); /* -inf - -inf is NaN */
        if (smoothing)
            s.total += sum_of(x + at, len);
    }
    for (s.argmax = best; s.argmax < n && x[s.argmax] != s.max;)
        s.argmax++;
    return s;
}

/* x = factor * (exp(x - max) - bias); the target's share is taken off by the caller */
static void grad_row(float *x, int64_t n, float max, float factor, float bias)
{
    for (int64_t i = 0; i < n; i += VF_LANES) {
        if (i + VF_LANES <= n)
            vf_store(x + i, vf_exp_neg(vf_load(x + i) - max) * factor - bias);
        else
            vf_store_part(x + i, vf_exp_neg(vf_load_part(x + i, n - i) - max) * factor - bias,
                          n - i);
    }
}

static void fill_row(float *x, int64_t n, float value)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = value;
}

static double weight_at(const struct view *w, int64_t t)
{
    return w->dtype == DT_F64 ? ((const double *)w->data)[t * w->stride[0]]
                              : (double)((const float *)w->data)[t * w->stride[0]];
}

static void loss_row(const struct loss *l, int64_t t)
{
    const struct cross_entropy_args *a = l->a;
    float *x = (float *)a->logits.data + t * a->logits.stride[0];
    int64_t target = ((const int32_t *)a->targets.data)[t * a->targets.stride[0]], n = l->width;
    double weight = weight_at(&a->weight, t), e = a->smoothing;
    l->row_loss[t] = l->row_hit[t] = 0;
    if (weight == 0 || target < 0 || target >= n) {
        float value = weight == 0 ? 0 : NAN;
        l->row_loss[t] = (double)value;
        if (a->grad)
            fill_row(x, n, value);
        return;
    }
    struct scan s = scan_row(x, n, e > 0);
    double lse = (double)s.max + log(s.sum), score = (1 - e) * (double)x[target];
    if (e > 0)
        score += e * (s.total / (double)n);
    l->row_loss[t] = weight * (lse - score);
    l->row_hit[t] = weight > 0 && s.argmax == target;
    if (!a->grad)
        return;
    double factor = a->scale * weight;
    double p = exp((double)x[target] - lse); /* in double: p - 1 may cancel */
    grad_row(x, n, s.max, (float)(factor / s.sum), (float)(factor * e / (double)n));
    x[target] = (float)(factor * (p - (1 - e) - e / (double)n));
}

static void loss_item(void *ctx, int64_t item, int worker)
{
    (void)worker;
    const struct loss *l = ctx;
    for (int64_t t = item * l->step; t < i64_min((item + 1) * l->step, l->rows); t++)
        loss_row(l, t);
}

void CPU(cross_entropy)(struct device *d, const struct cross_entropy_args *a)
{
    struct loss l = loss_of(a);
    pool_run(d->pool, (l.rows + l.step - 1) / l.step, loss_item, &l);
    double loss = 0, hits = 0;
    for (int64_t t = 0; t < l.rows; t++) {
        loss += l.row_loss[t];
        hits += l.row_hit[t];
    }
    *(double *)a->loss.data += loss;
    if (a->hits.data)
        *(double *)a->hits.data += hits;
}
