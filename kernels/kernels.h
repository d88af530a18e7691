/* kernels.h -- devices, views, and the contract of every operation.
 *
 * A device carries memory and time. Every operation takes the device first and only enqueues; what
 * it yields as a number (a loss, a norm, "all finite") is a one-element device view, never a C
 * return value. The host never touches device memory except through device_copy: the 'guard'
 * device enforces it. Operations know nothing of models, files or Lua.
 *
 * Calling: fill the operation's argument struct, ask k_<name>_workspace(device, &args) for the
 * bytes of scratch it wants, point args.work at that many bytes of device memory (64-byte
 * aligned), call k_<name>(device, &args). Shapes, dtypes and ranges are checked there, on the
 * calling thread, before anything is enqueued: a non-zero return means that nothing happened.
 * Unless an operation says so, outputs must not overlap inputs.
 *
 * Dtypes: the 'ref' device reads any storage dtype, computes in double and stores what the output
 * view asks for. The 'cpu' device computes in f32 over f32 views (F64 is refused there) and reads
 * weights in any stored format. A missing combination is an error, never a fallback. copy, fill
 * and stats take every dtype on every device.
 *
 * Strides: elementwise operations, copy, fill, reduce, stats and sumsq take any strides. All others
 * want unit stride in the last dimension of their float views (I32 vectors and inv_freq: any). No
 * output may broadcast. Empty views (a size of 0) are valid and still have a data pointer.
 *
 * Names: T tokens (rows), H hidden width, V vocabulary, D head width, Hq / Hk query / key heads. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include "kernels/base/rng.h"
#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;
struct format; /* kernels/quant.h: a weight storage format */

/* --- views ---------------------------------------------------------------------------------- */

enum dtype { DT_F32, DT_F64, DT_F16, DT_BF16, DT_I32, DT_I64, DT_U8, DT_BLOCK, DT_COUNT };
/* DT_BLOCK: block-quantised storage; only wview can describe it. */

size_t dtype_bytes(enum dtype t);     /* bytes of one element; 0 for DT_BLOCK */
const char *dtype_name(enum dtype t); /* "f32", ... */
bool dtype_is_float(enum dtype t);    /* f32, f64, f16, bf16 */

#define VIEW_DIMS 4

/* A strided window on device memory, without ownership. Strides count elements; 0 repeats
 * (broadcast). ndim 0 is a single element. A view with data == NULL is "not given". */
struct view {
    void *data;
    enum dtype dtype;
    int ndim;
    int64_t shape[VIEW_DIMS], stride[VIEW_DIMS];
};

struct view view_1d(void *data, enum dtype t, int64_t n);
struct view view_2d(void *data, enum dtype t, int64_t rows, int64_t cols);
struct view view_3d(void *data, enum dtype t, int64_t a, int64_t b, int64_t c);
int64_t view_count(struct view v);      /* elements */
bool view_is_contiguous(struct view v); /* row-major without gaps */
bool view_same_shape(struct view a, struct view b);
struct view view_slice(struct view v, int dim, int64_t start, int64_t count);

/* A stored weight matrix [rows, cols], rows contiguous in its format, rows one after the other
 * without gap ('cols' is a multiple of the format's block). side[] are the format's extra planes
 * (scales, nested scales, zero points, group index), NULL where it has none. */
struct wview {
    const struct format *format;
    const void *data;
    const void *side[4];
    int64_t rows, cols;
    int64_t
        row_stride; /* elements between rows; = cols for block formats; plain ones may be larger */
};

struct wview wview_of(struct view v); /* a 2-d float view with unit column stride as a weight */

/* --- devices -------------------------------------------------------------------------------- */

struct scratch {
    void *data;
    size_t bytes;
};

enum copy_direction { COPY_TO_DEVICE, COPY_TO_HOST, COPY_ON_DEVICE };

struct device;

/* A point in a device's queue, for timing. */
struct event {
    uint64_t opaque[2];
};

/* One row per device kind. Everything enqueues; errors of asynchronous work surface at sync. */
#define OP(name, flags) struct name##_args;
#include "kernels/kernels.def"
#undef OP

struct device_ops {
#define OP(name, flags) void (*name)(struct device * d, const struct name##_args *a);
#include "kernels/kernels.def"
#undef OP
/* bytes of scratch wanted for these (already checked) arguments; NULL = none */
#define OP(name, flags) size_t (*name##_workspace)(struct device * d, const struct name##_args *a);
#include "kernels/kernels.def"
#undef OP
    /* Which dtypes does this device compute in? Checked for every float view of an operation. */
    bool (*supports)(enum dtype compute);
};

enum op_id {
#define OP(name, flags) OP_##name,
#include "kernels/kernels.def"
#undef OP
    OP_COUNT
};
_Static_assert(sizeof(struct device_ops) == (2 * OP_COUNT + 1) * sizeof(void *),
               "a device table has one function and one workspace query per operation");

const char *op_name(enum op_id id);

struct device {
    const char *kind; /* "cpu", "ref", "guard", "null" */
    char name[96];    /* "cpu: AMD EPYC, avx2, 2 threads" */
    const struct device_ops *ops;
    struct pool *pool; /* borrowed; NULL = the calling thread alone */
    /* memory and time */
    int (*alloc)(struct device *d, size_t bytes, void **out);
    void (*release)(struct device *d, void *data, size_t bytes);
    int (*copy)(struct device *d, void *dst, const void *src, size_t bytes,
                enum copy_direction dir);
    int (*set)(struct device *d, void *dst, int byte, size_t bytes);
    int (*sync)(struct device *d);
    void (*record)(struct device *d, struct event *e);
    double (*seconds)(struct device *d, const struct event *from, const struct event *to);
    void (*enter)(struct device *d); /* around every operation; NULL = nothing to do */
    void (*leave)(struct device *d);
    void (*close)(struct device *d);
    int64_t live_bytes, peak_bytes; /* device memory handed out */
    void *state;                    /* the device's own */
};

/* Opens "cpu" (fastest build this chip runs), "cpu-avx512", "cpu-avx2", "cpu-plain" (that build, or
 * ERR_DEVICE), "ref" (the double-precision specification), "guard" (ref with memory unreadable
 * outside its own operations), "null" (counts memory, computes nothing). 'pool' is borrowed.
 * Errors: ERR_DEVICE for an unknown name or a missing device, ERR_MEMORY. */
int device_open(const char *name, struct pool *pool, struct device **out) MUST_CHECK;
void device_close(struct device *d); /* NULL is fine */

int device_alloc(struct device *d, size_t bytes, void **out) MUST_CHECK; /* 64-byte aligned */
void device_release(struct device *d, void *data, size_t bytes);
int device_copy(struct device *d, void *dst, const void *src, size_t bytes,
                enum copy_direction dir) MUST_CHECK;
int device_set(struct device *d, void *dst, int byte, size_t bytes) MUST_CHECK;
int device_sync(struct device *d) MUST_CHECK;

/* --- operations ----------------------------------------------------------------------------- */

/* dst = src, converted to dst's dtype (round to nearest even). Any strides; src may broadcast
 * (stride 0). Same shape. Integer <-> float conversion is allowed (float to integer truncates; what
 * does not fit gives the nearest end of the range, NaN gives 0; integers that do not fit wrap). */
struct copy_args {
    struct view dst, src;
    struct scratch work;
};

/* dst = value */
struct fill_args {
    struct view dst;
    double value;
    struct scratch work;
};

/* y = f(x), elementwise; y may be x (same memory, same strides). LINEAR: alpha * x + beta.
 * POW: x ^ alpha. GT/LT/GE/LE/EQ/NE: 1 where x <rel> alpha, else 0 (no gradient flows).
 * RELU keeps NaN; the gradients of RELU and ABS at 0 are 0. */
enum unary_kind {
    UNARY_LINEAR,
    UNARY_POW,
    UNARY_NEG,
    UNARY_ABS,
    UNARY_EXP,
    UNARY_LOG,
    UNARY_SQRT,
    UNARY_TANH,
    UNARY_SIGMOID,
    UNARY_SILU,
    UNARY_RELU,
    UNARY_GELU_TANH, /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    UNARY_SIN,
    UNARY_COS,
    UNARY_GT,
    UNARY_LT,
    UNARY_GE,
    UNARY_LE,
    UNARY_EQ,
    UNARY_NE,
    UNARY_COUNT
};
struct unary_args {
    struct view y, x;
    enum unary_kind kind;
    double alpha, beta;
    struct scratch work;
};

/* dx = dy * f'(x). For LINEAR, NEG only dy is read, but x must be given. dx may be dy. */
struct unary_grad_args {
    struct view dx, dy, x;
    enum unary_kind kind;
    double alpha, beta;
    struct scratch work;
};

/* z = a op b, elementwise; same shapes (broadcast by stride 0 views); z may be a or b.
 * AXPY: z = a + alpha * b. MAX, MIN: NaN wins. GT..NE give 1 or 0. */
enum binary_kind {
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_POW,
    BINARY_MAX,
    BINARY_MIN,
    BINARY_AXPY,
    BINARY_GT,
    BINARY_LT,
    BINARY_GE,
    BINARY_LE,
    BINARY_EQ,
    BINARY_NE,
    BINARY_COUNT
};
struct binary_args {
    struct view z, a, b;
    enum binary_kind kind;
    double alpha;
    struct scratch work;
};

/* y = reduction of x over every dimension where y.shape is 1 (same ndim; other sizes equal).
 * SUM: y = alpha * sum (+ y when 'accumulate'). MAX, MIN: NaN wins; accumulate must be false.
 * Sums are combined in a fixed tree that depends on the sizes alone. A MAX or MIN of nothing is
 * refused. */
enum reduce_kind { REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_COUNT };
struct reduce_args {
    struct view y, x;
    enum reduce_kind kind;
    double alpha;
    bool accumulate;
    struct scratch work;
};

/* What a person wants to see of a tensor. out: F64 [STATS_FIXED + bins]: count of finite values,
 * NaNs, infinities, min, max, mean, standard deviation (divided by n) of the finite ones (0 if
 * there are none), then a histogram of the finite ones in equal bins from min to max (all in the
 * first if min = max). x of any stored dtype and stride. */
#define STATS_FIXED 7
struct stats_args {
    struct view out, x;
    int bins;
    struct scratch work;
};

/* dst[M,N] = alpha * op(x) * op(w) + beta * dst, then the epilogue.
 *   trans_x false: x [M,K], true: x [K,M].   trans_w false: w [K,N], true: w [N,K].
 * The three products of training: forward Y = X W^T (trans_w); dX = dY W (none);
 * dW = dY^T X (trans_x; w is X seen through wview_of). x and dst: unit column stride, any row
 * stride. beta 0 means that dst is not read (NaN there is not spread). K = 0 gives beta * dst.
 * Each element is summed in an order that depends on M, N, K alone, never on threads.
 * EPILOGUE_BIAS adds bias[N] to every row. */
enum epilogue { EPILOGUE_NONE, EPILOGUE_BIAS };
struct gemm_args {
    struct view dst, x;
    struct wview w;
    bool trans_x, trans_w;
    double alpha, beta;
    enum epilogue epilogue;
    struct view bias;
    struct scratch work;
};

/* y[i] = w[ids[i]], rows of a stored weight decoded. ids: I32 [n] (any stride); y [n, cols].
 * ids outside [0, rows) give a row of NaN (checked on the host by callers before). */
struct embed_args {
    struct view y;
    struct wview w;
    struct view ids;
    struct scratch work;
};

/* y[ids[i]] += x[i], in order of i: the gradient of embed. y [rows, cols], x [n, cols]. ids outside
 * [0, rows) are skipped. */
struct scatter_add_args {
    struct view y, x, ids;
    struct scratch work;
};

/* Residual add and RMSNorm in one: s = x + res (s = x when res is not given; then 'sum' may be left
 * out too), y = s / sqrt(mean(s^2) + eps) * w. x, res, sum, y [T,H], w [H], rstd [T] (saved
 * 1/sqrt(...), may be left out). sum may be x or res. H >= 1. */
struct rms_norm_args {
    struct view y, x, res, sum, w, rstd;
    double eps;
    struct scratch work;
};

/* With s = the saved sum: dx = (gradient of the norm) + dres (when given; the gradient that arrives
 * along the residual path). dx may be dres or dy. dw [H] is accumulated into (+=) when given.
 * With n = s*rstd: dx_i = rstd * (dy_i w_i - n_i * mean_j(dy_j w_j n_j)). */
struct rms_norm_grad_args {
    struct view dx, dy, s, w, rstd, dres, dw;
    struct scratch work;
};

/* Rotary position embedding on x [T, heads, D] (unit stride in D): the first 2*n elements of each
 * head are rotated, where inv_freq is F64 or F32 [n]; the rest is copied. angle = pos * inv_freq_i,
 * cos and sin are multiplied by 'scale' (YaRN's attention factor; 1 otherwise). pos: I32 [T].
 * half-split: element i is paired with i+n; interleaved: 2i with 2i+1.
 * inverse: rotate by the negative angle (same scale): this is the gradient. y may be x.
 * Angles are formed in double. */
struct rope_args {
    struct view y, x, pos, inv_freq;
    double scale;
    bool interleaved, inverse;
    struct scratch work;
};

/* y = act(g) * u, all [T,F]. y may be g or u. */
enum glu_kind { GLU_SILU, GLU_GELU_TANH, GLU_COUNT };
struct glu_args {
    struct view y, g, u;
    enum glu_kind kind;
    struct scratch work;
};

/* dg = dy * u * act'(g), du = dy * act(g). dg may be g, du may be u (or dy may be one of them).
 * When y is given it receives act(g) * u again, so that forward need not keep it; y may be dy. */
struct glu_grad_args {
    struct view dg, du, dy, g, u, y;
    enum glu_kind kind;
    struct scratch work;
};

/* Attention over packed sequences: one contract for training, prefill, decode and serving.
 *   q, out [Tq, Hq, D], k, v [Tk, Hk, D] (unit stride in D; other strides free), Hq % Hk == 0;
 *   query head h reads key head h / (Hq/Hk). lse [Hq, Tq] (f32, or f64 on ref) may be left out.
 *   q_start I32 [n+1]: queries of sequence s are rows q_start[s] .. q_start[s+1].
 *   k_start I32 [n+1]: keys likewise; k_len I32 [n], when given, says how many of the rows from
 *   k_start[s] on are in use (a cache with room at the end); else k_start[s+1]-k_start[s].
 *   Lengths may differ: with nk keys and nq queries, query i of a causal sequence sees keys
 *   0 .. nk-nq+i (aligned at the end). window w > 0: only the last w of those.
 *   score = scale * q.k; softcap c > 0: score = c * tanh(score / c); slopes [Hq] (when given):
 *   + slope * (j - (nk-nq+i)). Then softmax and the weighted sum of v.
 *   pages I32 [n, max_pages] with page_rows > 0: key row j of sequence s is row
 *   pages[s, j / page_rows] * page_rows + j % page_rows of k and v, and k_len must be given
 *   (k_start is then not read and may be left out).
 * window > 0 is for causal attention only. Rows of out and lse outside every sequence are not
 * written.
 * A query that sees no key gives zeros, lse = -inf, and zero gradients.
 * max_q, max_k: upper bounds of the lengths, known to the host (launch sizes). */
struct attention_args {
    struct view out, lse, q, k, v;
    struct view q_start, k_start, k_len, pages, slopes;
    int64_t page_rows, max_q, max_k, window;
    double scale, softcap;
    bool causal;
    struct scratch work;
};

/* dq, dk, dv from dout and the saved out and lse. Not for paged keys. Rows of dk, dv that no query
 * reads are written as zero; rows of dq outside every sequence are not written. */
struct attention_grad_args {
    struct view dq, dk, dv, dout, out, lse, q, k, v;
    struct view q_start, k_start, slopes;
    int64_t max_q, max_k, window;
    double scale, softcap;
    bool causal;
    struct scratch work;
};

/* Cross-entropy of logits [T,V] against target ids I32 [T] with weight [T] (F32/F64) per row:
 *   *loss += sum_t weight_t * (logsumexp(logits_t) - logits_t[target_t])      F64 one element
 *   *hits += sum over rows with weight > 0 of (argmax == target)              F64, may be left out
 * and, when 'grad' is set, logits are replaced in place by scale * weight_t * (softmax - onehot).
 * Rows of weight 0 are skipped, whatever they hold (their logits become 0 with grad). smoothing e:
 * the target distribution is (1-e) onehot + e/V. The first of equal maxima is the argmax. A target
 * outside [0, V) in a row of weight not 0 makes the loss and that row NaN. */
struct cross_entropy_args {
    struct view logits, targets, weight, loss, hits;
    double scale, smoothing;
    bool grad;
    struct scratch work;
};

/* Inverted dropout: y = keep ? x / (1-p) : 0; y may be x. x [T,C]. Element (t, c) is kept iff
 * rng_unit(word c%4 of philox(key, {sample_t, offset_t, channel_base + c/4, epoch})) >= p, where
 * sample and offset are I32 [T]. The same call on dy is the gradient. */
struct dropout_args {
    struct view y, x, sample, offset;
    struct rng_key key;
    uint32_t epoch, channel_base;
    double p;
    struct scratch work;
};

/* *out += sum(x^2) (F64 one element; NaN and inf stay visible). Fixed summation order. */
struct sumsq_args {
    struct view out, x;
    struct scratch work;
};

/* From the accumulated sum of squares: *norm = sqrt(sumsq), *finite = 1 if it is finite and so is
 * *loss (when given), else 0, *factor = max_norm > 0 ? min(1, max_norm / (norm + 1e-6)) : 1 (as
 * torch.nn.utils.clip_grad_norm_). All F64 one-element. */
struct clip_args {
    struct view sumsq, loss, norm, factor, finite;
    double max_norm;
    struct scratch work;
};

/* AdamW as torch.optim.AdamW: with gf = g * (*factor):
 *   p *= 1 - lr*wd; m = b1 m + (1-b1) gf; v = b2 v + (1-b2) gf^2;
 *   p -= lr / (1-b1^step) * m / (sqrt(v / (1-b2^step)) + eps).
 * factor, finite: F64 one-element (may be left out = 1). When *finite is 0 nothing changes.
 * p any float dtype; g, m, v f32 (f64 on ref). step counts from 1. All 1-d contiguous. */
struct adamw_args {
    struct view p, g, m, v, factor, finite;
    double lr, beta1, beta2, eps, weight_decay;
    int64_t step;
    struct scratch work;
};

/* SGD with momentum as torch.optim.SGD (dampening 0): gf = g * factor + wd * p;
 * m = momentum * m + gf (m given when momentum > 0); p -= lr * m (or gf). */
struct sgd_args {
    struct view p, g, m, factor, finite;
    double lr, momentum, weight_decay;
    struct scratch work;
};

#define OP(name, flags)                                                         \
    size_t k_##name##_workspace(struct device *d, const struct name##_args *a); \
    int k_##name(struct device *d, const struct name##_args *a) MUST_CHECK;
#include "kernels/kernels.def"
#undef OP

/* The device tables, for device.c and the tests. cpu_ops_<isa>: NULL-free on any machine; running
 * one that the chip lacks is the caller's bug (device_open checks). */
extern const struct device_ops ref_ops, null_ops, cpu_ops_plain, cpu_ops_avx2, cpu_ops_avx512;

#endif
