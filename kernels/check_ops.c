/* check_ops.c -- what each operation claims of its arguments; see the contracts in kernels.h.
 *
 * Values that live in device memory (ids, starts, lengths, pages) cannot be seen from here; their
 * makers check them on the host. */
#include "kernels/check.h"
#include "kernels/quant.h"

#include <inttypes.h>
#include <math.h>

#define BEGIN(name) struct check check_ = {d, name, OK}, *c = &check_

int check_copy(struct device *d, const struct copy_args *a)
{
    BEGIN("copy");
    check_view(c, "dst", a->dst, ANY_NDIM);
    check_view(c, "src", a->src, ANY_NDIM);
    check_same(c, "src", a->src, "dst", a->dst);
    check_output(c, "dst", a->dst);
    check_apart(c, "dst", a->dst, "src", a->src, true);
    return c->status;
}

int check_fill(struct device *d, const struct fill_args *a)
{
    BEGIN("fill");
    check_view(c, "dst", a->dst, ANY_NDIM);
    check_output(c, "dst", a->dst);
    return c->status;
}

int check_unary(struct device *d, const struct unary_args *a)
{
    BEGIN("unary");
    check_that(c, (unsigned)a->kind < UNARY_COUNT, "kind %d is unknown", (int)a->kind);
    check_float(c, "y", a->y, ANY_NDIM);
    check_float(c, "x", a->x, ANY_NDIM);
    check_same(c, "x", a->x, "y", a->y);
    check_output(c, "y", a->y);
    check_apart(c, "y", a->y, "x", a->x, true);
    return c->status;
}

int check_unary_grad(struct device *d, const struct unary_grad_args *a)
{
    BEGIN("unary_grad");
    check_that(c, (unsigned)a->kind < UNARY_COUNT, "kind %d is unknown", (int)a->kind);
    check_float(c, "dx", a->dx, ANY_NDIM);
    check_float(c, "dy", a->dy, ANY_NDIM);
    check_float(c, "x", a->x, ANY_NDIM);
    check_same(c, "dy", a->dy, "dx", a->dx);
    check_same(c, "x", a->x, "dx", a->dx);
    check_output(c, "dx", a->dx);
    check_apart(c, "dx", a->dx, "dy", a->dy, true);
    check_apart(c, "dx", a->dx, "x", a->x, false);
    return c->status;
}

int check_binary(struct device *d, const struct binary_args *a)
{
    BEGIN("binary");
    check_that(c, (unsigned)a->kind < BINARY_COUNT, "kind %d is unknown", (int)a->kind);
    check_float(c, "z", a->z, ANY_NDIM);
    check_float(c, "a", a->a, ANY_NDIM);
    check_float(c, "b", a->b, ANY_NDIM);
    check_same(c, "a", a->a, "z", a->z);
    check_same(c, "b", a->b, "z", a->z);
    check_output(c, "z", a->z);
    check_apart(c, "z", a->z, "a", a->a, true);
    check_apart(c, "z", a->z, "b", a->b, true);
    return c->status;
}

int check_reduce(struct device *d, const struct reduce_args *a)
{
    BEGIN("reduce");
    check_that(c, (unsigned)a->kind < REDUCE_COUNT, "kind %d is unknown", (int)a->kind);
    check_that(c, a->kind == REDUCE_SUM || !a->accumulate, "only sums accumulate");
    check_float(c, "y", a->y, ANY_NDIM);
    check_float(c, "x", a->x, a->y.ndim);
    check_output(c, "y", a->y);
    for (int i = 0; i < a->y.ndim && !c->status; i++)
        if (a->y.shape[i] != 1)
            check_dim(c, "y", a->y, i, a->x.shape[i]);
    check_apart(c, "y", a->y, "x", a->x, false);
    if (!c->status && a->kind != REDUCE_SUM)
        check_that(c, view_count(a->x) > 0 || view_count(a->y) == 0,
                   "nothing has no largest or smallest element");
    return c->status;
}

int check_stats(struct device *d, const struct stats_args *a)
{
    BEGIN("stats");
    check_that(c, a->bins >= 0 && a->bins <= 4096, "bins is %d, wanted 0 to 4096", a->bins);
    check_dtype(c, "out", a->out, 1, DT_F64);
    check_dim(c, "out", a->out, 0, STATS_FIXED + a->bins);
    check_view(c, "x", a->x, ANY_NDIM);
    check_output(c, "out", a->out);
    check_apart(c, "out", a->out, "x", a->x, false);
    return c->status;
}

int check_gemm(struct device *d, const struct gemm_args *a)
{
    BEGIN("gemm");
    check_float(c, "dst", a->dst, 2);
    check_float(c, "x", a->x, 2);
    check_weight(c, "w", &a->w);
    check_rows(c, "dst", a->dst);
    check_rows(c, "x", a->x);
    check_output(c, "dst", a->dst);
    if (c->status)
        return c->status;
    int64_t m = a->dst.shape[0], n = a->dst.shape[1], k = a->trans_w ? a->w.cols : a->w.rows;
    check_that(c, (a->trans_w ? a->w.rows : a->w.cols) == n,
               "w is %" PRId64 " x %" PRId64 "%s, but dst has %" PRId64 " columns", a->w.rows,
               a->w.cols, a->trans_w ? " (transposed)" : "", n);
    check_dim(c, "x", a->x, a->trans_x ? 1 : 0, m);
    check_dim(c, "x", a->x, a->trans_x ? 0 : 1, k);
    check_that(c, (unsigned)a->epilogue <= EPILOGUE_BIAS, "epilogue %d is unknown",
               (int)a->epilogue);
    if (a->epilogue == EPILOGUE_BIAS) {
        check_float(c, "bias", a->bias, 1);
        check_dim(c, "bias", a->bias, 0, n);
        check_rows(c, "bias", a->bias);
        check_apart(c, "dst", a->dst, "bias", a->bias, false);
    }
    check_apart(c, "dst", a->dst, "x", a->x, false);
    return c->status;
}

int check_embed(struct device *d, const struct embed_args *a)
{
    BEGIN("embed");
    check_float(c, "y", a->y, 2);
    check_weight(c, "w", &a->w);
    check_dtype(c, "ids", a->ids, 1, DT_I32);
    check_dim(c, "y", a->y, 0, a->ids.shape[0]);
    check_dim(c, "y", a->y, 1, a->w.cols);
    check_rows(c, "y", a->y);
    check_output(c, "y", a->y);
    return c->status;
}

int check_scatter_add(struct device *d, const struct scatter_add_args *a)
{
    BEGIN("scatter_add");
    check_float(c, "y", a->y, 2);
    check_float(c, "x", a->x, 2);
    check_dtype(c, "ids", a->ids, 1, DT_I32);
    check_dim(c, "x", a->x, 0, a->ids.shape[0]);
    check_dim(c, "x", a->x, 1, a->y.shape[1]);
    check_rows(c, "y", a->y);
    check_rows(c, "x", a->x);
    check_output(c, "y", a->y);
    check_apart(c, "y", a->y, "x", a->x, false);
    return c->status;
}

/* A float view [rows, cols] shaped like 'like', unit stride in cols. */
static void like_rows(struct check *c, const char *name, struct view v, const char *other,
                      struct view like)
{
    check_float(c, name, v, like.ndim);
    check_same(c, name, v, other, like);
    check_rows(c, name, v);
}

static void norm_width(struct check *c, struct view x)
{
    if (!c->status)
        check_that(c, x.shape[1] >= 1, "rows of width 0 have no mean");
}

int check_rms_norm(struct device *d, const struct rms_norm_args *a)
{
    BEGIN("rms_norm");
    check_float(c, "x", a->x, 2);
    check_rows(c, "x", a->x);
    norm_width(c, a->x);
    like_rows(c, "y", a->y, "x", a->x);
    check_float(c, "w", a->w, 1);
    check_dim(c, "w", a->w, 0, a->x.shape[1]);
    check_rows(c, "w", a->w);
    if (given(a->res)) {
        like_rows(c, "res", a->res, "x", a->x);
        check_that(c, given(a->sum), "sum is missing, but res is given");
    }
    if (given(a->sum)) {
        like_rows(c, "sum", a->sum, "x", a->x);
        check_output(c, "sum", a->sum);
    }
    if (given(a->rstd)) {
        check_float(c, "rstd", a->rstd, 1);
        check_dim(c, "rstd", a->rstd, 0, a->x.shape[0]);
        check_rows(c, "rstd", a->rstd);
        check_output(c, "rstd", a->rstd);
    }
    check_output(c, "y", a->y);
    check_apart(c, "y", a->y, "x", a->x, false);
    check_apart(c, "y", a->y, "res", a->res, false);
    check_apart(c, "y", a->y, "sum", a->sum, false);
    check_apart(c, "sum", a->sum, "x", a->x, true);
    check_apart(c, "sum", a->sum, "res", a->res, true);
    check_that(c, a->eps >= 0, "eps is %g, wanted 0 or more", a->eps);
    return c->status;
}

int check_rms_norm_grad(struct device *d, const struct rms_norm_grad_args *a)
{
    BEGIN("rms_norm_grad");
    check_float(c, "dx", a->dx, 2);
    check_rows(c, "dx", a->dx);
    norm_width(c, a->dx);
    like_rows(c, "dy", a->dy, "dx", a->dx);
    like_rows(c, "s", a->s, "dx", a->dx);
    check_float(c, "w", a->w, 1);
    check_dim(c, "w", a->w, 0, a->dx.shape[1]);
    check_rows(c, "w", a->w);
    check_float(c, "rstd", a->rstd, 1);
    check_dim(c, "rstd", a->rstd, 0, a->dx.shape[0]);
    check_rows(c, "rstd", a->rstd);
    if (given(a->dres))
        like_rows(c, "dres", a->dres, "dx", a->dx);
    if (given(a->dw)) {
        check_float(c, "dw", a->dw, 1);
        check_dim(c, "dw", a->dw, 0, a->dx.shape[1]);
        check_rows(c, "dw", a->dw);
        check_output(c, "dw", a->dw);
        check_apart(c, "dw", a->dw, "dx", a->dx, false);
    }
    check_output(c, "dx", a->dx);
    check_apart(c, "dx", a->dx, "dy", a->dy, true);
    check_apart(c, "dx", a->dx, "dres", a->dres, true);
    check_apart(c, "dx", a->dx, "s", a->s, false);
    return c->status;
}

int check_rope(struct device *d, const struct rope_args *a)
{
    BEGIN("rope");
    check_float(c, "x", a->x, 3);
    check_rows(c, "x", a->x);
    like_rows(c, "y", a->y, "x", a->x);
    check_output(c, "y", a->y);
    check_apart(c, "y", a->y, "x", a->x, true);
    check_dtype(c, "pos", a->pos, 1, DT_I32);
    check_dim(c, "pos", a->pos, 0, a->x.shape[0]);
    check_view(c, "inv_freq", a->inv_freq, 1);
    check_that(c, a->inv_freq.dtype == DT_F64 || a->inv_freq.dtype == DT_F32,
               "inv_freq is %s, wanted f64 or f32", dtype_name(a->inv_freq.dtype));
    if (!c->status)
        check_that(c, 2 * a->inv_freq.shape[0] <= a->x.shape[2],
                   "inv_freq has %" PRId64 " frequencies for heads of width %" PRId64
                   ", wanted at most half",
                   a->inv_freq.shape[0], a->x.shape[2]);
    check_that(c, isfinite(a->scale), "scale is %g", a->scale);
    return c->status;
}

int check_glu(struct device *d, const struct glu_args *a)
{
    BEGIN("glu");
    check_that(c, (unsigned)a->kind < GLU_COUNT, "kind %d is unknown", (int)a->kind);
    check_float(c, "g", a->g, 2);
    check_rows(c, "g", a->g);
    like_rows(c, "u", a->u, "g", a->g);
    like_rows(c, "y", a->y, "g", a->g);
    check_output(c, "y", a->y);
    check_apart(c, "y", a->y, "g", a->g, true);
    check_apart(c, "y", a->y, "u", a->u, true);
    return c->status;
}

int check_glu_grad(struct device *d, const struct glu_grad_args *a)
{
    BEGIN("glu_grad");
    check_that(c, (unsigned)a->kind < GLU_COUNT, "kind %d is unknown", (int)a->kind);
    check_float(c, "g", a->g, 2);
    check_rows(c, "g", a->g);
    like_rows(c, "u", a->u, "g", a->g);
    like_rows(c, "dy", a->dy, "g", a->g);
    like_rows(c, "dg", a->dg, "g", a->g);
    like_rows(c, "du", a->du, "g", a->g);
    check_output(c, "dg", a->dg);
    check_output(c, "du", a->du);
    if (given(a->y)) {
        like_rows(c, "y", a->y, "g", a->g);
        check_output(c, "y", a->y);
        check_apart(c, "y", a->y, "dg", a->dg, false);
        check_apart(c, "y", a->y, "du", a->du, false);
        check_apart(c, "y", a->y, "dy", a->dy, true);
    }
    check_apart(c, "dg", a->dg, "du", a->du, false);
    check_apart(c, "dg", a->dg, "g", a->g, true);
    check_apart(c, "dg", a->dg, "dy", a->dy, true);
    check_apart(c, "du", a->du, "u", a->u, true);
    check_apart(c, "du", a->du, "dy", a->dy, true);
    return c->status;
}

/* What forward and backward share; q and k are checked to be 3-d floats first. */
static void attention_shapes(struct check *c, struct view q, struct view k, struct view v,
                             struct view q_start, struct view slopes)
{
    check_float(c, "q", q, 3);
    check_float(c, "k", k, 3);
    check_rows(c, "q", q);
    check_rows(c, "k", k);
    like_rows(c, "v", v, "k", k);
    check_dim(c, "k", k, 2, q.shape[2]);
    if (!c->status)
        check_that(c, k.shape[1] > 0 && q.shape[1] % k.shape[1] == 0,
                   "%" PRId64 " query heads over %" PRId64 " key heads, wanted a multiple",
                   q.shape[1], k.shape[1]);
    check_dtype(c, "q_start", q_start, 1, DT_I32);
    if (!c->status)
        check_that(c, q_start.shape[0] >= 1, "q_start is empty, wanted one more than sequences");
    if (given(slopes)) {
        check_float(c, "slopes", slopes, 1);
        check_dim(c, "slopes", slopes, 0, q.shape[1]);
        check_rows(c, "slopes", slopes);
    }
}

static void attention_numbers(struct check *c, int64_t max_q, int64_t max_k, int64_t window,
                              bool causal, double scale, double softcap)
{
    check_that(c, max_q >= 0 && max_k >= 0, "max_q %" PRId64 ", max_k %" PRId64, max_q, max_k);
    check_that(c, window >= 0, "window is %" PRId64 ", wanted 0 (none) or more", window);
    check_that(c, causal || window == 0, "a window wants causal attention");
    check_that(c, isfinite(scale), "scale is %g", scale);
    check_that(c, softcap >= 0 && isfinite(softcap), "softcap is %g, wanted 0 (none) or more",
               softcap);
}

static void attention_saved(struct check *c, struct view lse, struct view q)
{
    check_float(c, "lse", lse, 2);
    check_dim(c, "lse", lse, 0, q.shape[1]);
    check_dim(c, "lse", lse, 1, q.shape[0]);
    check_rows(c, "lse", lse);
}

static void attention_pages(struct check *c, const struct attention_args *a)
{
    if (given(a->pages)) {
        check_dtype(c, "pages", a->pages, 2, DT_I32);
        check_dim(c, "pages", a->pages, 0, a->q_start.shape[0] - 1);
        check_that(c, a->page_rows > 0, "page_rows is %" PRId64 ", but pages are given",
                   a->page_rows);
        check_that(c, given(a->k_len), "k_len is missing, but pages are given");
    } else {
        check_that(c, a->page_rows == 0, "page_rows is %" PRId64 " without pages", a->page_rows);
        check_dtype(c, "k_start", a->k_start, 1, DT_I32);
        check_dim(c, "k_start", a->k_start, 0, a->q_start.shape[0]);
    }
    if (given(a->k_len)) {
        check_dtype(c, "k_len", a->k_len, 1, DT_I32);
        check_dim(c, "k_len", a->k_len, 0, a->q_start.shape[0] - 1);
    }
}

int check_attention(struct device *d, const struct attention_args *a)
{
    BEGIN("attention");
    attention_shapes(c, a->q, a->k, a->v, a->q_start, a->slopes);
    like_rows(c, "out", a->out, "q", a->q);
    check_output(c, "out", a->out);
    check_apart(c, "out", a->out, "q", a->q, false);
    check_apart(c, "out", a->out, "k", a->k, false);
    check_apart(c, "out", a->out, "v", a->v, false);
    if (given(a->lse)) {
        attention_saved(c, a->lse, a->q);
        check_output(c, "lse", a->lse);
    }
    attention_pages(c, a);
    attention_numbers(c, a->max_q, a->max_k, a->window, a->causal, a->scale, a->softcap);
    return c->status;
}

int check_attention_grad(struct device *d, const struct attention_grad_args *a)
{
    BEGIN("attention_grad");
    attention_shapes(c, a->q, a->k, a->v, a->q_start, a->slopes);
    check_dtype(c, "k_start", a->k_start, 1, DT_I32);
    check_dim(c, "k_start", a->k_start, 0, a->q_start.shape[0]);
    like_rows(c, "dout", a->dout, "q", a->q);
    like_rows(c, "out", a->out, "q", a->q);
    like_rows(c, "dq", a->dq, "q", a->q);
    like_rows(c, "dk", a->dk, "k", a->k);
    like_rows(c, "dv", a->dv, "k", a->k);
    attention_saved(c, a->lse, a->q);
    check_output(c, "dq", a->dq);
    check_output(c, "dk", a->dk);
    check_output(c, "dv", a->dv);
    const struct view in[] = {a->q, a->k, a->v, a->dout, a->out};
    static const char *const in_name[] = {"q", "k", "v", "dout", "out"};
    for (int i = 0; i < 5; i++) {
        check_apart(c, "dq", a->dq, in_name[i], in[i], false);
        check_apart(c, "dk", a->dk, in_name[i], in[i], false);
        check_apart(c, "dv", a->dv, in_name[i], in[i], false);
    }
    attention_numbers(c, a->max_q, a->max_k, a->window, a->causal, a->scale, a->softcap);
    return c->status;
}

int check_cross_entropy(struct device *d, const struct cross_entropy_args *a)
{
    BEGIN("cross_entropy");
    check_float(c, "logits", a->logits, 2);
    check_rows(c, "logits", a->logits);
    if (a->grad)
        check_output(c, "logits", a->logits);
    if (!c->status)
        check_that(c, a->logits.shape[1] >= 1, "logits have no column");
    check_dtype(c, "targets", a->targets, 1, DT_I32);
    check_dim(c, "targets", a->targets, 0, a->logits.shape[0]);
    check_view(c, "weight", a->weight, 1);
    check_that(c, a->weight.dtype == DT_F32 || a->weight.dtype == DT_F64,
               "weight is %s, wanted f32 or f64", dtype_name(a->weight.dtype));
    check_dim(c, "weight", a->weight, 0, a->logits.shape[0]);
    check_rows(c, "weight", a->weight);
    check_number(c, "loss", a->loss);
    if (given(a->hits))
        check_number(c, "hits", a->hits);
    check_that(c, a->smoothing >= 0 && a->smoothing < 1, "smoothing is %g, wanted 0 to below 1",
               a->smoothing);
    return c->status;
}

int check_dropout(struct device *d, const struct dropout_args *a)
{
    BEGIN("dropout");
    check_float(c, "x", a->x, 2);
    check_rows(c, "x", a->x);
    like_rows(c, "y", a->y, "x", a->x);
    check_output(c, "y", a->y);
    check_apart(c, "y", a->y, "x", a->x, true);
    check_dtype(c, "sample", a->sample, 1, DT_I32);
    check_dim(c, "sample", a->sample, 0, a->x.shape[0]);
    check_dtype(c, "offset", a->offset, 1, DT_I32);
    check_dim(c, "offset", a->offset, 0, a->x.shape[0]);
    check_between(c, "p", a->p, 0, 1);
    return c->status;
}

int check_sumsq(struct device *d, const struct sumsq_args *a)
{
    BEGIN("sumsq");
    check_number(c, "out", a->out);
    check_float(c, "x", a->x, ANY_NDIM);
    check_apart(c, "out", a->out, "x", a->x, false);
    return c->status;
}

int check_clip(struct device *d, const struct clip_args *a)
{
    BEGIN("clip");
    check_number(c, "sumsq", a->sumsq);
    if (given(a->loss))
        check_number(c, "loss", a->loss);
    check_number(c, "norm", a->norm);
    check_number(c, "factor", a->factor);
    check_number(c, "finite", a->finite);
    check_that(c, a->max_norm >= 0, "max_norm is %g, wanted 0 (off) or more", a->max_norm);
    return c->status;
}

/* A float vector as long as p. */
static void optimiser_state(struct check *c, const char *name, struct view v, struct view p)
{
    check_float(c, name, v, 1);
    check_same(c, name, v, "p", p);
    if (!c->status)
        check_that(c, view_is_contiguous(v), "%s has gaps", name);
    check_apart(c, name, v, "p", p, false);
}

static void optimiser_common(struct check *c, struct view p, struct view g, struct view factor,
                             struct view finite, double lr, double weight_decay)
{
    check_any_float(c, "p", p, 1);
    if (!c->status && p.dtype == DT_F64)
        check_float(c, "p", p, 1);
    if (!c->status)
        check_that(c, view_is_contiguous(p), "p has gaps");
    optimiser_state(c, "g", g, p);
    if (given(factor))
        check_number(c, "factor", factor);
    if (given(finite))
        check_number(c, "finite", finite);
    check_that(c, lr >= 0 && isfinite(lr), "lr is %g, wanted 0 or more", lr);
    check_that(c, weight_decay >= 0 && isfinite(weight_decay),
               "weight_decay is %g, wanted 0 or more", weight_decay);
}

int check_adamw(struct device *d, const struct adamw_args *a)
{
    BEGIN("adamw");
    optimiser_common(c, a->p, a->g, a->factor, a->finite, a->lr, a->weight_decay);
    optimiser_state(c, "m", a->m, a->p);
    optimiser_state(c, "v", a->v, a->p);
    check_apart(c, "m", a->m, "v", a->v, false);
    check_apart(c, "m", a->m, "g", a->g, false);
    check_apart(c, "v", a->v, "g", a->g, false);
    check_that(c, a->beta1 >= 0 && a->beta1 < 1, "beta1 is %g, wanted 0 to below 1", a->beta1);
    check_that(c, a->beta2 >= 0 && a->beta2 < 1, "beta2 is %g, wanted 0 to below 1", a->beta2);
    check_that(c, a->eps >= 0 && isfinite(a->eps), "eps is %g, wanted 0 or more", a->eps);
    check_that(c, a->step >= 1, "step is %" PRId64 ", wanted 1 or more", a->step);
    return c->status;
}

int check_sgd(struct device *d, const struct sgd_args *a)
{
    BEGIN("sgd");
    optimiser_common(c, a->p, a->g, a->factor, a->finite, a->lr, a->weight_decay);
    check_that(c, a->momentum >= 0 && isfinite(a->momentum), "momentum is %g, wanted 0 or more",
               a->momentum);
    if (a->momentum > 0 || given(a->m))
        optimiser_state(c, "m", a->m, a->p);
    return c->status;
}
