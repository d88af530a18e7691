/* ops.h -- differentiable operations on tensors.
 *
 * Each runs at once on the context's device and, where gradients are on and wanted, records a
 * node. *out has one reference that belongs to the caller. Inputs are never changed unless the
 * name says "inplace". Shapes are checked here or by the kernels; all return a status. */
#ifndef ENGINE_TENSOR_OPS_H
#define ENGINE_TENSOR_OPS_H

#include "engine/tensor/tensor.h"

/* --- elementwise (ops_elementwise.c) --------------------------------------------------------- */

int op_unary(struct tensor *x, enum unary_kind kind, double alpha, double beta,
             struct tensor **out) MUST_CHECK;

/* Shapes are broadcast as in NumPy: aligned at the right, size 1 repeats. */
int op_binary(struct tensor *a, struct tensor *b, enum binary_kind kind, double alpha,
              struct tensor **out) MUST_CHECK;

/* --- reductions (ops_reduce.c) --------------------------------------------------------------- */

/* Over dimension 'dim' (0-based; -1 = all). keep: the dimension stays with size 1. */
int op_sum(struct tensor *x, int dim, bool keep, struct tensor **out) MUST_CHECK;
int op_mean(struct tensor *x, int dim, bool keep, struct tensor **out) MUST_CHECK;
int op_max(struct tensor *x, int dim, bool keep, struct tensor **out) MUST_CHECK; /* no gradient */
int op_min(struct tensor *x, int dim, bool keep, struct tensor **out) MUST_CHECK; /* no gradient */

/* --- views and copies (ops_view.c) ----------------------------------------------------------- */

int op_slice(struct tensor *x, int dim, int64_t start, int64_t count,
             struct tensor **out) MUST_CHECK;
int op_select(struct tensor *x, int dim, int64_t index, struct tensor **out) MUST_CHECK;
int op_transpose(struct tensor *x, int dim0, int dim1, struct tensor **out) MUST_CHECK;
int op_reshape(struct tensor *x, int ndim, const int64_t *shape, struct tensor **out) MUST_CHECK;
int op_contiguous(struct tensor *x, struct tensor **out) MUST_CHECK;

/* a [M,K] times b [K,N]. */
int op_matmul(struct tensor *a, struct tensor *b, struct tensor **out) MUST_CHECK;

/* --- parts of a model ------------------------------------------------------------------------ */

/* Where dropout's numbers come from: a pure function of these. */
struct dropout_source {
    struct tensor *sample, *offset; /* I32 [T] */
    struct rng_key key;
    uint32_t epoch;
};

/* One low-rank term of a linear layer: y += scale * (dropout(x) A^T) B^T. */
struct adapter_term {
    struct tensor *a; /* [r, in] */
    struct tensor *b; /* [out, r] */
    double scale;
    double dropout;   /* 0 in evaluation */
    uint32_t channel; /* where this module's dropout channels begin */
    bool active;
};

#define LINEAR_ADAPTERS 4

/* A linear layer, or a table of rows for op_embedding: stored weight, optional bias, adapters. */
struct linear {
    struct tensor *weight; /* [out, in], any format; of a table [rows, width] */
    struct tensor *bias;   /* [out] or NULL */
    /* What stands in for weight and bias while an adapter that trains them is active; NULL = nothing.
     * Borrowed from engine/adapt. */
    struct tensor *weight_copy, *bias_copy;
    int adapters;
    struct adapter_term *adapter[LINEAR_ADAPTERS]; /* borrowed from engine/adapt */
};

/* The weight and bias that count now. */
static inline struct tensor *linear_weight(const struct linear *l)
{
    return l->weight_copy ? l->weight_copy : l->weight;
}
static inline struct tensor *linear_bias(const struct linear *l)
{
    return l->bias_copy ? l->bias_copy : l->bias;
}

/* y = x W^T + bias + adapters; x [T, in]. 'source' may be NULL when no dropout is wanted. */
int op_linear(struct tensor *x, const struct linear *l, const struct dropout_source *source,
              struct tensor **y) MUST_CHECK;

/* Rows of a stored weight: y[i] = w[ids[i]]. Gradient: scatter-add. */
int op_embed(struct tensor *w, struct tensor *ids, struct tensor **y) MUST_CHECK;

/* op_embed of a table with its adapters: y[i] += scale * B A[:, ids[i]] with A [r, rows] and B
 * [width, r]. Dropout has no part in it (as in PEFT). */
int op_embedding(const struct linear *table, struct tensor *ids, struct tensor **y) MUST_CHECK;

/* s = x + res, y = rmsnorm(s) * w. res NULL: s is x, and *sum is x with one more reference. With
 * res, x's memory is reused for the sum: x must not be read afterwards. y can be dropped. */
int op_rms_norm(struct tensor *x, struct tensor *res, struct tensor *w, double eps,
                struct tensor **y, struct tensor **sum) MUST_CHECK;

/* Rotary embedding on x [T, heads*D] in x's own memory: x must not be read afterwards. */
struct rope {
    struct tensor *inv_freq; /* [D_rot/2] */
    double scale;
    bool interleaved;
};
int op_rope_inplace(struct tensor *x, int64_t heads, struct tensor *positions,
                    const struct rope *rope, struct tensor **y) MUST_CHECK;

/* y = act(g) * u. y can be dropped. */
int op_glu(struct tensor *g, struct tensor *u, enum glu_kind kind, struct tensor **y) MUST_CHECK;

/* Attention over packed sequences; q [Tq, Hq*D], k, v [Tk, Hk*D] -> out [Tq, Hq*D]. */
struct attention {
    int64_t heads, kv_heads, head_dim;
    struct tensor *q_start, *k_start; /* I32 [n+1] */
    struct tensor *k_len;             /* I32 [n] or NULL */
    int64_t max_q, max_k, window;
    double scale, softcap;
};
int op_attention(struct tensor *q, struct tensor *k, struct tensor *v, const struct attention *a,
                 struct tensor **out) MUST_CHECK;

/* Head and loss in one, in chunks of rows, so that logits never exist as a whole:
 *   loss = scale * sum_i weight_i * ce(x_i W^T, target_i), one element, compute dtype.
 * x [n,H] rows, w the head weight, targets I32 [n], weights [n] (compute dtype), smoothing as label
 * smoothing. tally (may be NULL): where to count besides. */
struct loss_tally {
    struct tensor
        *total; /* F64 one element, zero before: the sum without scale; NULL = not wanted */
    struct tensor *hits; /* F64 one element, added to: rows whose likeliest token is the target */
};
int op_linear_cross_entropy(struct tensor *x, struct tensor *w, struct tensor *targets,
                            struct tensor *weights, double scale, double smoothing,
                            const struct loss_tally *tally, struct tensor **loss) MUST_CHECK;

/* The same for a head with low-rank terms: logits = x W^T + sum_i scale_i h_i B_i^T, where the
 * caller has made h_i = dropout(x) A_i^T [n, r] (so the gradient of A_i is the graph's business). */
struct loss_head {
    struct tensor *weight; /* [V, H] */
    int terms;
    struct {
        struct tensor *h, *b; /* [n, r], [V, r] */
        double scale;
    } term[LINEAR_ADAPTERS];
};
int op_head_cross_entropy(struct tensor *x, const struct loss_head *head, struct tensor *targets,
                          struct tensor *weights, double scale, double smoothing,
                          const struct loss_tally *tally, struct tensor **loss) MUST_CHECK;

/* Inverted dropout of x [T, C]. */
int op_dropout(struct tensor *x, const struct dropout_source *source, double p, uint32_t channel,
               struct tensor **y) MUST_CHECK;

#endif
