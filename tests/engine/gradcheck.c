/* gradcheck.c -- every operation of the engine against finite differences, driven by one table.
 *
 * Each row is a test of its own on 'ref' in float64, names the kernels it exercises (and is held to
 * it), and runs again on 'guard', whose memory the host cannot read, with the same bits. The last
 * test is the gate: every kernel that kernels.def calls DIFF or GRAD must have been run by a row.
 *
 * To add an operation: write make and run, add a row. */
#include "tests/engine/gradcheck_util.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <stdio.h>
#include <string.h>

/* --- elementwise ----------------------------------------------------------------------------- */

/* Away from 0, where ABS and RELU have a corner, and where LOG, SQRT and POW have an end. */
static void make_positive(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(3, 4), 0.5, 2);
}

/* Mixed signs, each at least 0.2 from 0. */
static void make_mixed(struct gradcheck *g)
{
    double values[12];
    struct tensor *x = gc_leaf(g, SHAPE(3, 4), 0.2, 2);
    CHECK(tensor_read_double(x, values));
    for (int i = 0; i < 12; i += 2)
        values[i] = -values[i];
    struct tensor *wide;
    CHECK(tensor_from(g->ctx, DT_F64, SHAPE(3, 4), values, &wide));
    CHECK(RUN(g->ctx, copy, .dst = x->view, .src = wide->view));
    tensor_release(wide);
}

static int run_unary(struct gradcheck *g, struct tensor **out)
{
    return op_unary(g->input[0], (enum unary_kind)g->kind, g->kind == UNARY_POW ? 2.5 : 1.7, -0.3,
                    out);
}

/* A transposed window, and the same tensor read twice. */
static int run_unary_strided(struct gradcheck *g, struct tensor **out)
{
    struct tensor *t, *a, *b;
    TRY(op_transpose(g->input[0], 0, 1, &t));
    TRY(op_unary(t, UNARY_SILU, 0, 0, &a));
    TRY(op_unary(t, UNARY_SIN, 0, 0, &b));
    tensor_release(t);
    TRY(op_binary(a, b, BINARY_MUL, 0, out));
    tensor_release(a);
    tensor_release(b);
    return OK;
}

static void make_pair(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(3, 4), 0.5, 2);
    gc_leaf(g, SHAPE(3, 4), 0.5, 2);
}

static void make_row_and_column(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(1, 4), 0.5, 2);
    gc_leaf(g, SHAPE(3, 1), 0.5, 2);
}

static void make_long_left(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(2, 3, 4), 0.5, 2);
    gc_leaf(g, SHAPE(4), 0.5, 2);
}

static void make_long_right(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(3, 1), 0.5, 2);
    gc_leaf(g, SHAPE(2, 3, 4), 0.5, 2);
}

static void make_number_left(struct gradcheck *g)
{
    gc_leaf(g, 0, NULL, 0.5, 2);
    gc_leaf(g, SHAPE(5), 0.5, 2);
}

static void make_one_frozen(struct gradcheck *g)
{
    gc_frozen(g, SHAPE(3, 4), 0.5, 2);
    gc_leaf(g, SHAPE(4), 0.5, 2);
}

static int run_binary(struct gradcheck *g, struct tensor **out)
{
    return op_binary(g->input[0], g->input[1], (enum binary_kind)g->kind, -1.3, out);
}

static int run_binary_same(struct gradcheck *g, struct tensor **out)
{
    return op_binary(g->input[0], g->input[0], (enum binary_kind)g->kind, -1.3, out);
}

/* --- reductions: kind = 10 * (dim + 1) + 2 * keep + mean ------------------------------------- */

static void make_cube(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(2, 3, 4), -1, 1);
}

static int run_reduce(struct gradcheck *g, struct tensor **out)
{
    int dim = g->kind / 10 - 1;
    bool keep = g->kind / 2 % 2, mean = g->kind % 2;
    return (mean ? op_mean : op_sum)(g->input[0], dim, keep, out);
}

/* Of a window, and twice, so that the second adds to what the first has left. */
static int run_reduce_strided(struct gradcheck *g, struct tensor **out)
{
    struct tensor *t, *a, *b;
    TRY(op_transpose(g->input[0], 0, 2, &t));
    TRY(op_sum(t, 1, true, &a));
    TRY(op_mean(t, 0, true, &b));
    tensor_release(t);
    TRY(op_binary(a, b, BINARY_MUL, 0, out));
    tensor_release(a);
    tensor_release(b);
    return OK;
}

/* --- views: kind is the dimension ------------------------------------------------------------ */

static int run_slice(struct gradcheck *g, struct tensor **out)
{
    return op_slice(g->input[0], g->kind, 1, g->kind == 0 ? 1 : 2, out);
}

static int run_select(struct gradcheck *g, struct tensor **out)
{
    return op_select(g->input[0], g->kind, 1, out);
}

static int run_transpose(struct gradcheck *g, struct tensor **out)
{
    return op_transpose(g->input[0], g->kind, (g->kind + 1) % 3, out);
}

static int run_reshape(struct gradcheck *g, struct tensor **out)
{
    return op_reshape(g->input[0], SHAPE(4, 6), out);
}

static int run_reshape_strided(struct gradcheck *g, struct tensor **out)
{
    struct tensor *t;
    TRY(op_transpose(g->input[0], 0, 2, &t));
    TRY(op_reshape(t, SHAPE(2, 12), out));
    tensor_release(t);
    return OK;
}

static int run_contiguous(struct gradcheck *g, struct tensor **out)
{
    struct tensor *t;
    TRY(op_transpose(g->input[0], 1, 2, &t));
    TRY(op_contiguous(t, out));
    tensor_release(t);
    return OK;
}

/* Overlapping windows of windows of the same memory. */
static int run_windows(struct gradcheck *g, struct tensor **out)
{
    struct tensor *a, *b, *c, *d;
    TRY(op_slice(g->input[0], 2, 0, 3, &a)); /* [2,3,3] */
    TRY(op_slice(g->input[0], 2, 1, 3, &b));
    TRY(op_transpose(a, 1, 2, &c));
    TRY(op_select(c, 0, 1, &d)); /* [3,3] */
    TRY(op_binary(b, d, BINARY_MUL, 0, out));
    tensor_release(a);
    tensor_release(b);
    tensor_release(c);
    tensor_release(d);
    return OK;
}

/* --- matrix products ------------------------------------------------------------------------- */

static void make_matmul(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(3, 4), -1, 1);
    gc_leaf(g, SHAPE(4, 5), -1, 1);
}

static int run_matmul(struct gradcheck *g, struct tensor **out)
{
    return op_matmul(g->input[0], g->input[1], out);
}

static void make_matmul_turned(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(4, 3), -1, 1);
    gc_leaf(g, SHAPE(5, 4), -1, 1);
}

static int run_matmul_turned(struct gradcheck *g, struct tensor **out)
{
    struct tensor *a, *b;
    TRY(op_transpose(g->input[0], 0, 1, &a));
    TRY(op_transpose(g->input[1], 0, 1, &b));
    TRY(op_matmul(a, b, out));
    tensor_release(a);
    tensor_release(b);
    return OK;
}

static void make_square(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(4, 4), -1, 1);
}

static int run_matmul_same(struct gradcheck *g, struct tensor **out)
{
    return op_matmul(g->input[0], g->input[0], out);
}

/* --- the linear layer: kind is a set of these ------------------------------------------------ */

enum { BIAS = 1, TRAIN_W = 2, TRAIN_X = 4, DROPOUT = 8, STRIDED = 16, IDLE = 32, ADAPTERS = 64 };
/* plus ADAPTERS * how many */

static struct tensor *pick(struct gradcheck *g, bool train, int64_t rows, int64_t cols)
{
    return (train ? gc_leaf : gc_frozen)(g, 2, (int64_t[]){rows, cols}, -1, 1);
}

static void make_source(struct gradcheck *g, int64_t rows)
{
    int32_t sample[16], offset[16];
    for (int i = 0; i < 16; i++) {
        sample[i] = 100 + i / 3;
        offset[i] = i % 3;
    }
    g->source.sample = gc_index(g, rows, sample);
    g->source.offset = gc_index(g, rows, offset);
    g->source.key = rng_key(5, RNG_DROPOUT);
    g->source.epoch = 2;
}

static void make_linear(struct gradcheck *g)
{
    int64_t rows = 5, in = 6, out = 4;
    pick(g, g->kind & TRAIN_X, rows, g->kind & STRIDED ? in + 3 : in);
    g->linear.weight = pick(g, g->kind & TRAIN_W, out, in);
    if (g->kind & BIAS)
        g->linear.bias = gc_leaf(g, SHAPE(4), -1, 1);
    g->linear.adapters = g->kind / ADAPTERS;
    for (int i = 0; i < g->linear.adapters; i++) {
        struct adapter_term *t = &g->term[i];
        bool idle = g->kind & IDLE && i == 0;
        *t = (struct adapter_term){.scale = 0.7 + i,
                                   .channel = (uint32_t)i << 16,
                                   .active = !idle,
                                   .dropout = g->kind & DROPOUT ? 0.4 : 0};
        t->a = pick(g, !idle, 2 + i % 2, in);
        t->b = pick(g, !idle, out, 2 + i % 2);
        g->linear.adapter[i] = t;
    }
    if (g->kind & DROPOUT)
        make_source(g, rows);
}

static int run_linear(struct gradcheck *g, struct tensor **out)
{
    struct tensor *x = tensor_keep(g->input[0]);
    if (g->kind & STRIDED) {
        tensor_release(x);
        TRY(op_slice(g->input[0], 1, 2, 6, &x));
    }
    TRY(op_linear(x, &g->linear, g->kind & DROPOUT ? &g->source : NULL, out));
    tensor_release(x);
    return OK;
}

/* --- embedding ------------------------------------------------------------------------------- */

static void make_embed(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(5, 3), -1, 1);
    gc_index(g, 6, (int32_t[]){4, 0, 2, 0, 0, 3});
}

static int run_embed(struct gradcheck *g, struct tensor **out)
{
    return op_embed(g->input[0], g->input[1], out);
}

/* Rows picked out of a computed tensor, as model_loss does. */
static int run_embed_picked(struct gradcheck *g, struct tensor **out)
{
    struct tensor *h;
    TRY(op_unary(g->input[0], UNARY_SIN, 0, 0, &h));
    TRY(op_embed(h, g->input[1], out));
    tensor_release(h);
    return OK;
}

/* --- norm: kind is a set --------------------------------------------------------------------- */

enum { RES = 1, USE_Y = 2, USE_SUM = 4, FROZEN_W = 8, FROZEN_RES = 16, FROZEN_X = 32 };

static void make_norm(struct gradcheck *g)
{
    pick(g, !(g->kind & FROZEN_X), 3, 5);
    (g->kind & FROZEN_W ? gc_frozen : gc_leaf)(g, SHAPE(5), 0.5, 1.5);
    if (g->kind & RES)
        pick(g, !(g->kind & FROZEN_RES), 3, 5);
    g->outputs = (g->kind & USE_Y && g->kind & USE_SUM) ? 2 : 1;
}

/* x is copied first: its memory becomes the sum's. */
static int run_norm(struct gradcheck *g, struct tensor **out)
{
    struct tensor *x, *y, *sum;
    int o = 0;
    TRY(op_contiguous(g->input[0], &x));
    TRY(op_rms_norm(x, g->kind & RES ? g->input[2] : NULL, g->input[1], 1e-5, &y, &sum));
    tensor_release(x);
    if (g->kind & USE_Y)
        out[o++] = tensor_keep(y);
    if (g->kind & USE_SUM)
        out[o++] = tensor_keep(sum);
    tensor_release(y);
    tensor_release(sum);
    return OK;
}

/* Two norms in a row around a layer, the stream carried on, the norms' outputs dropped: the shape
 * of a block. */
static void make_stream(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(3, 4), -1, 1);
    gc_leaf(g, SHAPE(4), 0.5, 1.5);
    g->linear.weight = gc_leaf(g, SHAPE(4, 4), -1, 1);
    g->outputs = 2;
}

static int run_stream(struct gradcheck *g, struct tensor **out)
{
    struct tensor *x, *y, *h, *stream, *next;
    TRY(op_contiguous(g->input[0], &x));
    TRY(op_rms_norm(x, NULL, g->input[1], 1e-5, &y, &stream));
    tensor_release(x);
    for (int i = 0; i < 2; i++) {
        TRY(op_linear(y, &g->linear, NULL, &h));
        tensor_drop(y);
        tensor_release(y);
        TRY(op_rms_norm(h, stream, g->input[1], 1e-5, &y, &next));
        tensor_release(h);
        tensor_release(stream);
        stream = next;
    }
    out[0] = y;
    out[1] = stream;
    return OK;
}

/* --- rotary: kind 1 = interleaved, 2 = only part of the head is rotated ---------------------- */

static void make_rope(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(3, 12), -1, 1); /* 2 heads of 6 */
    gc_index(g, 3, (int32_t[]){0, 7, 2});
    g->rope = (struct rope){.scale = 1.2, .interleaved = g->kind & 1};
    g->rope.inv_freq = gc_frozen(g, 1, (int64_t[]){g->kind & 2 ? 2 : 3}, 0.1, 1);
}

static int run_rope(struct gradcheck *g, struct tensor **out)
{
    struct tensor *x;
    TRY(op_contiguous(g->input[0], &x));
    TRY(op_rope_inplace(x, 2, g->input[1], &g->rope, out));
    tensor_release(x);
    return OK;
}

/* --- gated activation ------------------------------------------------------------------------ */

static void make_glu(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(3, 5), -2, 2);
    gc_leaf(g, SHAPE(3, 5), -2, 2);
}

static int run_glu(struct gradcheck *g, struct tensor **out)
{
    return op_glu(g->input[0], g->input[1], (enum glu_kind)g->kind, out);
}

static int run_glu_same(struct gradcheck *g, struct tensor **out)
{
    return op_glu(g->input[0], g->input[0], (enum glu_kind)g->kind, out);
}

/* Its output dropped, and read again by a trainable layer. */
static void make_glu_dropped(struct gradcheck *g)
{
    make_glu(g);
    g->linear.weight = gc_leaf(g, SHAPE(4, 5), -1, 1);
}

static int run_glu_dropped(struct gradcheck *g, struct tensor **out)
{
    struct tensor *a;
    TRY(op_glu(g->input[0], g->input[1], (enum glu_kind)g->kind, &a));
    TRY(op_linear(a, &g->linear, NULL, out));
    tensor_drop(a);
    tensor_release(a);
    return OK;
}

/* --- attention: kind is a set ---------------------------------------------------------------- */

enum { GROUPED = 1, WINDOW = 2, SOFTCAP = 4, FUSED = 8, LONG_KEYS = 16, FROZEN_KV = 32 };

static void make_attention(struct gradcheck *g)
{
    int64_t heads = 4, kv = g->kind & GROUPED ? 2 : 4, width = 3;
    int64_t tq = 9, tk = g->kind & LONG_KEYS ? 12 : tq;
    g->attention = (struct attention){.heads = heads,
                                      .kv_heads = kv,
                                      .head_dim = width,
                                      .max_q = 5,
                                      .max_k = g->kind & LONG_KEYS ? 6 : 5,
                                      .window = g->kind & WINDOW ? 2 : 0,
                                      .scale = 0.8,
                                      .softcap = g->kind & SOFTCAP ? 1.5 : 0};
    g->attention.q_start = gc_index(g, 5, (int32_t[]){0, 5, 6, 6, 9}); /* one is empty */
    g->attention.k_start = g->attention.q_start;
    if (g->kind & LONG_KEYS) /* more keys than queries: aligned at the end */
        g->attention.k_start = gc_index(g, 5, (int32_t[]){0, 6, 8, 8, 12});
    if (g->kind & FUSED) {
        gc_leaf(g, 2, (int64_t[]){tq, (heads + 2 * kv) * width}, -1, 1);
        return;
    }
    pick(g, true, tq, heads * width);
    pick(g, !(g->kind & FROZEN_KV), tk, kv * width);
    pick(g, !(g->kind & FROZEN_KV), tk, kv * width);
}

static int run_attention(struct gradcheck *g, struct tensor **out)
{
    int first = g->kind & LONG_KEYS ? 2 : 1;
    struct tensor *q = g->input[first], *k = g->input[first + 1], *v = g->input[first + 2];
    if (!(g->kind & FUSED))
        return op_attention(q, k, v, &g->attention, out);
    int64_t kv = g->attention.kv_heads * 3;
    struct tensor *all = q;
    TRY(op_slice(all, 1, 0, 12, &q));
    TRY(op_slice(all, 1, 12, kv, &k));
    TRY(op_slice(all, 1, 12 + kv, kv, &v));
    TRY(op_attention(q, k, v, &g->attention, out));
    tensor_release(q);
    tensor_release(k);
    tensor_release(v);
    return OK;
}

/* --- head and loss: kind is a set ------------------------------------------------------------ */

enum { FROZEN_HEAD = 1, SMOOTH = 2, CHUNKS = 4, TIED = 8, FROZEN_HIDDEN = 16 };

static void make_loss(struct gradcheck *g)
{
    int64_t rows = g->kind & CHUNKS ? 37 : 6, vocab = 7;
    int32_t targets[37], ids[37];
    for (int i = 0; i < 37; i++) {
        targets[i] = (i * 5 + 3) % 7;
        ids[i] = (i * 3 + 1) % 7;
    }
    if (g->kind & CHUNKS)
        g->ctx->logits_bytes = 1; /* 16 rows at a time, the least */
    (g->kind & FROZEN_HEAD ? gc_frozen : gc_leaf)(g, 2, (int64_t[]){vocab, 3}, -1, 1);
    gc_index(g, rows, targets);
    struct tensor *weights = gc_frozen(g, 1, &rows, 0.2, 1.5);
    CHECK(tensor_fill(&(struct tensor){.ctx = g->ctx, .view = view_slice(weights->view, 0, 2, 1)},
                      0)); /* a masked row */
    if (g->kind & TIED)
        gc_index(g, rows, ids);
    else
        pick(g, !(g->kind & FROZEN_HIDDEN), rows, 3);
}

static int run_loss(struct gradcheck *g, struct tensor **out)
{
    struct tensor *w = g->input[0], *x = g->input[3], *h;
    double smoothing = g->kind & SMOOTH ? 0.15 : 0;
    if (!(g->kind & TIED))
        return op_linear_cross_entropy(x, w, g->input[1], g->input[2], 0.3, smoothing, NULL, out);
    TRY(op_embed(w, x, &h));
    TRY(op_linear_cross_entropy(h, w, g->input[1], g->input[2], 0.3, smoothing, NULL, out));
    tensor_release(h);
    return OK;
}

/* --- dropout --------------------------------------------------------------------------------- */

static void make_dropout(struct gradcheck *g)
{
    gc_leaf(g, SHAPE(5, 6), -1, 1);
    make_source(g, 5);
}

static int run_dropout(struct gradcheck *g, struct tensor **out)
{
    return op_dropout(g->input[0], &g->source, g->kind / 10.0, 3, out);
}

/* --- the table ------------------------------------------------------------------------------- */

#define UNARY_ROW(kind, make)                                             \
    {                                                                     \
        "unary " #kind, "unary,unary_grad", make, run_unary, UNARY_##kind \
    }
#define BINARY_ROWS(kind, kernels)                                                               \
    {"binary " #kind, kernels, make_pair, run_binary, BINARY_##kind},                            \
        {"binary " #kind ", row and column", kernels ",reduce", make_row_and_column, run_binary, \
         BINARY_##kind},                                                                         \
        {"binary " #kind ", longer left", kernels ",reduce", make_long_left, run_binary,         \
         BINARY_##kind},                                                                         \
        {"binary " #kind ", longer right", kernels ",reduce", make_long_right, run_binary,       \
         BINARY_##kind},                                                                         \
        {"binary " #kind ", number left", kernels ",reduce", make_number_left, run_binary,       \
         BINARY_##kind},                                                                         \
        {"binary " #kind ", left frozen", kernels ",reduce", make_one_frozen, run_binary,        \
         BINARY_##kind},                                                                         \
    {                                                                                            \
        "binary " #kind ", same tensor twice", kernels, make_positive, run_binary_same,          \
            BINARY_##kind                                                                        \
    }
#define REDUCE_ROW(name, dim, keep, mean)                                             \
    {                                                                                 \
        name, "reduce", make_cube, run_reduce, 10 * ((dim) + 1) + 2 * (keep) + (mean) \
    }
#define LINEAR_ROW(name, kernels, kind)                         \
    {                                                           \
        "linear, " name, kernels, make_linear, run_linear, kind \
    }
#define NORM_ROW(name, kind)                                                   \
    {                                                                          \
        "rms_norm, " name, "rms_norm,rms_norm_grad", make_norm, run_norm, kind \
    }
#define ATTENTION_ROW(name, kind)                                                           \
    {                                                                                       \
        "attention, " name, "attention,attention_grad", make_attention, run_attention, kind \
    }
#define LOSS_ROW(name, kind)                                           \
    {                                                                  \
        "loss, " name, "gemm,cross_entropy", make_loss, run_loss, kind \
    }

static const struct gc_row rows[] = {
    UNARY_ROW(LINEAR, make_mixed),
    UNARY_ROW(POW, make_positive),
    UNARY_ROW(NEG, make_mixed),
    UNARY_ROW(ABS, make_mixed),
    UNARY_ROW(EXP, make_mixed),
    UNARY_ROW(LOG, make_positive),
    UNARY_ROW(SQRT, make_positive),
    UNARY_ROW(TANH, make_mixed),
    UNARY_ROW(SIGMOID, make_mixed),
    UNARY_ROW(SILU, make_mixed),
    UNARY_ROW(RELU, make_mixed),
    UNARY_ROW(GELU_TANH, make_mixed),
    UNARY_ROW(SIN, make_mixed),
    UNARY_ROW(COS, make_mixed),
    {"unary, window read twice", "unary,unary_grad,binary,copy", make_mixed, run_unary_strided, 0},
    BINARY_ROWS(ADD, "binary"),
    BINARY_ROWS(SUB, "binary"),
    BINARY_ROWS(MUL, "binary"),
    BINARY_ROWS(DIV, "binary"),
    BINARY_ROWS(POW, "binary,unary"),
    BINARY_ROWS(MAX, "binary"),
    BINARY_ROWS(MIN, "binary"),
    BINARY_ROWS(AXPY, "binary"),
    REDUCE_ROW("sum of all", -1, 0, 0),
    REDUCE_ROW("sum of all, kept", -1, 1, 0),
    REDUCE_ROW("mean of all", -1, 0, 1),
    REDUCE_ROW("mean of all, kept", -1, 1, 1),
    REDUCE_ROW("sum over 0", 0, 0, 0),
    REDUCE_ROW("sum over 1", 1, 0, 0),
    REDUCE_ROW("sum over 2", 2, 0, 0),
    REDUCE_ROW("sum over 0, kept", 0, 1, 0),
    REDUCE_ROW("sum over 1, kept", 1, 1, 0),
    REDUCE_ROW("sum over 2, kept", 2, 1, 0),
    REDUCE_ROW("mean over 0", 0, 0, 1),
    REDUCE_ROW("mean over 1, kept", 1, 1, 1),
    REDUCE_ROW("mean over 2", 2, 0, 1),
    {"sum and mean of a window", "reduce,binary", make_cube, run_reduce_strided, 0},
    {"slice of 0", "binary,fill", make_cube, run_slice, 0},
    {"slice of 1", "binary,fill", make_cube, run_slice, 1},
    {"slice of 2", "binary,fill", make_cube, run_slice, 2},
    {"select of 0", "binary,fill", make_cube, run_select, 0},
    {"select of 1", "binary,fill", make_cube, run_select, 1},
    {"select of 2", "binary,fill", make_cube, run_select, 2},
    {"transpose 0 1", "binary", make_cube, run_transpose, 0},
    {"transpose 1 2", "binary", make_cube, run_transpose, 1},
    {"transpose 2 0", "binary", make_cube, run_transpose, 2},
    {"reshape", "binary", make_cube, run_reshape, 0},
    {"reshape of a window", "binary,copy", make_cube, run_reshape_strided, 0},
    {"contiguous", "copy", make_cube, run_contiguous, 0},
    {"overlapping windows", "binary", make_cube, run_windows, 0},
    {"matmul", "gemm", make_matmul, run_matmul, 0},
    {"matmul of transposed", "gemm,copy", make_matmul_turned, run_matmul_turned, 0},
    {"matmul, same tensor twice", "gemm", make_square, run_matmul_same, 0},
    LINEAR_ROW("all trainable", "gemm", TRAIN_X | TRAIN_W),
    LINEAR_ROW("bias", "gemm,reduce", TRAIN_X | TRAIN_W | BIAS),
    LINEAR_ROW("frozen weight", "gemm", TRAIN_X),
    LINEAR_ROW("frozen x", "gemm", TRAIN_W | BIAS),
    LINEAR_ROW("window as x", "gemm", TRAIN_X | TRAIN_W | STRIDED),
    LINEAR_ROW("one adapter", "gemm", TRAIN_X | ADAPTERS),
    LINEAR_ROW("one adapter, all trainable", "gemm,reduce", TRAIN_X | TRAIN_W | BIAS | ADAPTERS),
    LINEAR_ROW("one adapter, frozen x", "gemm", ADAPTERS),
    LINEAR_ROW("two adapters", "gemm", TRAIN_X | BIAS | 2 * ADAPTERS),
    LINEAR_ROW("two adapters, one idle", "gemm", TRAIN_X | IDLE | 2 * ADAPTERS),
    LINEAR_ROW("dropout", "gemm,dropout", TRAIN_X | DROPOUT | ADAPTERS),
    LINEAR_ROW("dropout, frozen x", "gemm,dropout", DROPOUT | ADAPTERS),
    LINEAR_ROW("dropout, two adapters, trainable, window", "gemm,dropout",
               TRAIN_X | TRAIN_W | BIAS | DROPOUT | STRIDED | 2 * ADAPTERS),
    LINEAR_ROW("dropout, four adapters", "gemm,dropout", TRAIN_X | DROPOUT | 4 * ADAPTERS),
    {"embed", "embed,scatter_add", make_embed, run_embed, 0},
    {"embed of a computed tensor", "embed,scatter_add", make_embed, run_embed_picked, 0},
    NORM_ROW("no residual", USE_Y),
    NORM_ROW("no residual, both outputs", USE_Y | USE_SUM),
    NORM_ROW("no residual, frozen weight", USE_Y | FROZEN_W),
    NORM_ROW("no residual, frozen x", USE_Y | FROZEN_X),
    NORM_ROW("residual", RES | USE_Y),
    NORM_ROW("residual, both outputs", RES | USE_Y | USE_SUM),
    NORM_ROW("residual, frozen weight", RES | USE_Y | USE_SUM | FROZEN_W),
    NORM_ROW("residual frozen", RES | USE_Y | USE_SUM | FROZEN_RES),
    NORM_ROW("residual, frozen x", RES | USE_Y | USE_SUM | FROZEN_X),
    {"rms_norm, residual, only the sum used", "rms_norm", make_norm, run_norm,
     RES | USE_SUM | FROZEN_W},
    {"residual stream with drops", "rms_norm,rms_norm_grad,gemm", make_stream, run_stream, 0},
    {"rope", "rope", make_rope, run_rope, 0},
    {"rope, interleaved", "rope", make_rope, run_rope, 1},
    {"rope, part of the head", "rope", make_rope, run_rope, 2},
    {"rope, interleaved, part of the head", "rope", make_rope, run_rope, 3},
    {"glu silu", "glu,glu_grad", make_glu, run_glu, GLU_SILU},
    {"glu gelu", "glu,glu_grad", make_glu, run_glu, GLU_GELU_TANH},
    {"glu silu, same tensor twice", "glu,glu_grad", make_mixed, run_glu_same, GLU_SILU},
    {"glu silu, dropped", "glu,glu_grad,gemm", make_glu_dropped, run_glu_dropped, GLU_SILU},
    {"glu gelu, dropped", "glu,glu_grad,gemm", make_glu_dropped, run_glu_dropped, GLU_GELU_TANH},
    ATTENTION_ROW("packed", 0),
    ATTENTION_ROW("grouped heads", GROUPED),
    ATTENTION_ROW("window", WINDOW),
    ATTENTION_ROW("soft cap", SOFTCAP),
    ATTENTION_ROW("grouped, window, soft cap, more keys", GROUPED | WINDOW | SOFTCAP | LONG_KEYS),
    ATTENTION_ROW("more keys than queries", LONG_KEYS),
    ATTENTION_ROW("windows of one tensor", FUSED | GROUPED),
    ATTENTION_ROW("frozen keys and values", FROZEN_KV),
    LOSS_ROW("all trainable", 0),
    LOSS_ROW("frozen head", FROZEN_HEAD),
    LOSS_ROW("frozen hidden", FROZEN_HIDDEN),
    LOSS_ROW("smoothing", SMOOTH),
    LOSS_ROW("chunks", CHUNKS),
    LOSS_ROW("chunks, smoothing, frozen head", CHUNKS | SMOOTH | FROZEN_HEAD),
    LOSS_ROW("tied", TIED),
    LOSS_ROW("tied, chunks, smoothing", TIED | CHUNKS | SMOOTH),
    {"dropout", "dropout", make_dropout, run_dropout, 3},
    {"dropout of nothing", "dropout", make_dropout, run_dropout, 0},
};

/* --- running it ------------------------------------------------------------------------------ */

static enum op_id op_by_name(const char *name, size_t n)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (strlen(op_name((enum op_id)i)) == n && !strncmp(op_name((enum op_id)i), name, n))
            return (enum op_id)i;
    fail_msg("the table names an unknown kernel: %.*s", (int)n, name);
    return OP_COUNT;
}

static void check_row(void **state)
{
    const struct gc_row *row = *state;
    int64_t before[OP_COUNT], blocks = mem_stats().live_blocks;
    for (int i = 0; i < OP_COUNT; i++)
        before[i] = gc_calls((enum op_id)i);
    gc_check_row(row);
    for (const char *at = row->kernels; *at;) {
        size_t n = strcspn(at, ",");
        enum op_id id = op_by_name(at, n);
        if (gc_calls(id) == before[id])
            fail_msg("%s: kernel %s is in its list but was not run", row->name, op_name(id));
        at += n + (at[n] == ',');
    }
    assert_int_equal(mem_stats().live_blocks, blocks);
}

/* Every row on the device whose memory the host cannot read: the same bits as ref. */
static void guard_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(rows); i++) {
        int64_t n, m;
        double *wanted = gc_gradients(&rows[i], "ref", DT_F64, &n);
        double *got = gc_gradients(&rows[i], "guard", DT_F64, &m);
        assert_int_equal(n, m);
        if (memcmp(got, wanted, (size_t)n * sizeof *got))
            fail_msg("%s: guard and ref differ", rows[i].name);
        mem_free(wanted);
        mem_free(got);
    }
    assert_int_equal(mem_stats().live_blocks, 0);
}

/* Every row in f32 on cpu against float64 on ref. */
static void cpu_near(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(rows); i++) {
        int64_t n, m;
        double *wanted = gc_gradients(&rows[i], "ref", DT_F64, &n);
        double *got = gc_gradients(&rows[i], "cpu", DT_F32, &m);
        assert_int_equal(n, m);
        double rel = util_rel_l2(got, wanted, n);
        if (!(rel <= 2e-6))
            fail_msg("%s: cpu is off by rel %.3g", rows[i].name, rel);
        mem_free(wanted);
        mem_free(got);
    }
    assert_int_equal(mem_stats().live_blocks, 0);
}

static void coverage(void **state)
{
    (void)state;
    enum { DIFF, GRAD, NOGRAD };
    static const int flags[] = {
#define OP(name, flag) flag,
#include "kernels/kernels.def"
#undef OP
    };
    for (int i = 0; i < OP_COUNT; i++)
        if (flags[i] != NOGRAD && !gc_calls((enum op_id)i))
            fail_msg("kernel %s is %s in kernels.def, but no row runs it", op_name((enum op_id)i),
                     flags[i] == DIFF ? "DIFF" : "GRAD");
}

int main(void)
{
    static struct CMUnitTest tests[COUNT_OF(rows) + 3];
    for (int i = 0; i < COUNT_OF(rows); i++)
        tests[i] = (struct CMUnitTest){.name = rows[i].name,
                                       .test_func = check_row,
                                       .initial_state = (void *)(uintptr_t)&rows[i]};
    tests[COUNT_OF(rows)] = (struct CMUnitTest)cmocka_unit_test(guard_same_bits);
    tests[COUNT_OF(rows) + 1] = (struct CMUnitTest)cmocka_unit_test(cpu_near);
    tests[COUNT_OF(rows) + 2] = (struct CMUnitTest)cmocka_unit_test(coverage);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
