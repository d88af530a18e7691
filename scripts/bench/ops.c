/* ops.c -- speed of the cpu device's operations other than gemm, at the shapes of SmolLM2-135M.
 *
 * make bench-ops && build/scripts/bench/ops [-i avx2] [-t threads] [-s seconds] [-c] [word]
 * Two settings: 'short', 184 tokens in 8 sequences of 23; 'long', one sequence of 512. A figure is
 * the best of its calls: on a busy machine that is the honest one. -c measures the CPU time of one
 * thread instead of the time on the wall. 'word' picks the lines that hold it, '=word' the one line. */
#include "kernels/base/mem.h"
#include "kernels/base/pool.h"
#include "kernels/base/rng.h"
#include "kernels/kernels.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { H = 576, F = 1536, HQ = 9, HK = 3, D = 64, V = 49152, MAX_T = 512 };

static clockid_t the_clock = CLOCK_MONOTONIC;
static double seconds = 0.3;
static const char *word;
static struct device *dev;

static double now(void)
{
    struct timespec t;
    clock_gettime(the_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(void)
{
    fprintf(stderr, "ops: %s\n", status_message());
    exit(1);
}

static float *floats(int64_t n, float scale)
{
    static uint64_t drawn;
    struct rng_key key = rng_key(1, RNG_USER);
    float *p = mem_alloc_aligned((size_t)n * sizeof(float));
    if (!p)
        die();
    for (int64_t i = 0; i < n; i++)
        p[i] = ((float)(rng_u64(key, drawn++) >> 40) * 0x1p-23f - 1) * scale;
    return p;
}

static void *scratch(size_t bytes)
{
    static void *block;
    static size_t room;
    if (bytes > room) {
        mem_free(block);
        block = mem_alloc_aligned(bytes);
        room = bytes;
        if (!block)
            die();
    }
    return block;
}

/* Runs an operation again and again; 'work' is bytes or FLOPs of one call. */
#define BENCH(setting, label, op, work_, unit, ...)                                           \
    do {                                                                                      \
        char line[64];                                                                        \
        snprintf(line, sizeof line, "%s %s", setting, label);                                 \
        if (word && (*word == '=' ? strcmp(line, word + 1) != 0 : !strstr(line, word)))       \
            break;                                                                            \
        struct op##_args a = {__VA_ARGS__};                                                   \
        size_t bytes = k_##op##_workspace(dev, &a);                                           \
        a.work = (struct scratch){scratch(bytes), bytes};                                     \
        double best = INFINITY, start = now();                                                \
        int calls = 0;                                                                        \
        while (calls < 3 || now() - start < seconds) {                                        \
            double from = now();                                                              \
            if (k_##op(dev, &a))                                                              \
                die();                                                                        \
            double took = now() - from;                                                       \
            best = took < best ? took : best;                                                 \
            calls++;                                                                          \
        }                                                                                     \
        printf("%-28s %10.1f us %8.2f %s\n", line, best * 1e6, (double)(work_) / best * 1e-9, \
               unit);                                                                         \
    } while (0)

#define GB "GB/s"
#define GF "GFLOP/s"
#define V1(p, n) view_1d(p, DT_F32, n)
#define V2(p, m, n) view_2d(p, DT_F32, m, n)
#define V3(p, m, n, k) view_3d(p, DT_F32, m, n, k)

struct setting {
    const char *name;
    int64_t t;
    int sequences;
    int32_t starts[16], pos[MAX_T];
};

static struct setting setting_of(const char *name, int sequences, int32_t length)
{
    struct setting s = {.name = name, .t = (int64_t)sequences * length, .sequences = sequences};
    for (int i = 0; i <= sequences; i++)
        s.starts[i] = i * length;
    for (int64_t t = 0; t < s.t; t++)
        s.pos[t] = (int32_t)(t % length);
    return s;
}

static void bench_rows(struct setting *s)
{
    const char *n = s->name;
    int64_t t = s->t;
    float *x = floats(t * H, 2), *res = floats(t * H, 2), *sum = floats(t * H, 1);
    float *y = floats(t * H, 1), *w = floats(H, 1), *rstd = floats(t, 1), *dw = floats(H, 0);
    BENCH(n, "rms_norm + residual", rms_norm, t * H * 16, GB, .y = V2(y, t, H), .x = V2(x, t, H),
          .res = V2(res, t, H), .sum = V2(sum, t, H), .w = V1(w, H), .rstd = V1(rstd, t),
          .eps = 1e-5);
    BENCH(n, "rms_norm_grad", rms_norm_grad, t * H * 16, GB, .dx = V2(y, t, H), .dy = V2(x, t, H),
          .s = V2(sum, t, H), .w = V1(w, H), .rstd = V1(rstd, t), .dres = V2(res, t, H));
    BENCH(n, "rms_norm_grad + dw", rms_norm_grad, t * H * 16, GB, .dx = V2(y, t, H),
          .dy = V2(x, t, H), .s = V2(sum, t, H), .w = V1(w, H), .rstd = V1(rstd, t),
          .dres = V2(res, t, H), .dw = V1(dw, H));
    BENCH(n, "add", binary, t * H * 12, GB, .z = V2(y, t, H), .a = V2(x, t, H), .b = V2(res, t, H),
          .kind = BINARY_ADD);
    BENCH(n, "exp", unary, t * H * 8, GB, .y = V2(y, t, H), .x = V2(x, t, H), .kind = UNARY_EXP);
    BENCH(n, "tanh", unary, t * H * 8, GB, .y = V2(y, t, H), .x = V2(x, t, H), .kind = UNARY_TANH);
    BENCH(n, "copy, transposed", copy, t * H * 8, GB, .dst = {y, DT_F32, 2, {H, t}, {t, 1}},
          .src = {x, DT_F32, 2, {H, t}, {1, H}});
    BENCH(n, "copy to bf16", copy, t * H * 6, GB, .dst = view_2d(y, DT_BF16, t, H),
          .src = V2(x, t, H));
    BENCH(n, "sum of rows", reduce, t * H * 4, GB, .y = V2(y, t, 1), .x = V2(x, t, H), .alpha = 1);
    BENCH(n, "sum of columns", reduce, t * H * 4, GB, .y = V2(y, 1, H), .x = V2(x, t, H),
          .alpha = 1);
    BENCH(n, "stats, 32 bins", stats, t * H * 4, GB, .out = view_1d(rstd, DT_F64, STATS_FIXED + 32),
          .x = V2(x, t, H), .bins = 32);
    int32_t *ids = s->pos;
    BENCH(n, "embed", embed, t * H * 8, GB, .y = V2(y, t, H), .w = wview_of(V2(x, t, H)),
          .ids = view_1d(ids, DT_I32, t));
    BENCH(n, "scatter_add", scatter_add, t * H * 12, GB, .y = V2(sum, t, H), .x = V2(x, t, H),
          .ids = view_1d(ids, DT_I32, t));
    BENCH(n, "dropout", dropout, t * H * 8, GB, .y = V2(y, t, H), .x = V2(x, t, H),
          .sample = view_1d(s->pos, DT_I32, t), .offset = view_1d(s->pos, DT_I32, t), .p = 0.1);
    mem_free(x), mem_free(res), mem_free(sum), mem_free(y), mem_free(w), mem_free(rstd);
    mem_free(dw);
}

static void bench_mlp(struct setting *s)
{
    int64_t t = s->t;
    float *gu = floats(t * 2 * F, 2), *dy = floats(t * F, 1), *out = floats(t * 2 * F, 1);
    struct view both = V2(gu, t, 2 * F), dboth = V2(out, t, 2 * F);
    BENCH(s->name, "glu", glu, t * F * 12, GB, .y = V2(dy, t, F), .g = view_slice(both, 1, 0, F),
          .u = view_slice(both, 1, F, F));
    BENCH(s->name, "glu_grad, y again", glu_grad, t * F * 24, GB, .dg = view_slice(dboth, 1, 0, F),
          .du = view_slice(dboth, 1, F, F), .dy = V2(dy, t, F), .y = V2(dy, t, F),
          .g = view_slice(both, 1, 0, F), .u = view_slice(both, 1, F, F));
    mem_free(gu), mem_free(dy), mem_free(out);
}

static void bench_attention(struct setting *s)
{
    const char *n = s->name;
    int64_t t = s->t, length = t / s->sequences;
    float *q = floats(t * HQ * D, 1), *k = floats(t * HK * D, 1), *v = floats(t * HK * D, 1);
    float *out = floats(t * HQ * D, 1), *lse = floats(HQ * t, 1), *dout = floats(t * HQ * D, 1);
    float *dq = floats(t * HQ * D, 1), *dk = floats(t * HK * D, 1), *dv = floats(t * HK * D, 1);
    double freq[D / 2];
    for (int i = 0; i < D / 2; i++)
        freq[i] = pow(10000, -i / (D / 2.0));
    BENCH(n, "rope, 9 heads", rope, t * HQ * D * 8, GB, .y = V3(q, t, HQ, D), .x = V3(q, t, HQ, D),
          .pos = view_1d(s->pos, DT_I32, t), .inv_freq = view_1d(freq, DT_F64, D / 2), .scale = 1);
    struct view rows = view_1d(s->starts, DT_I32, s->sequences + 1);
    /* two products of D over the pairs that are seen; five in the gradient */
    double pairs = (double)s->sequences * HQ * (double)(length * (length + 1) / 2);
    BENCH(n, "attention", attention, pairs * D * 4, GF, .out = V3(out, t, HQ, D),
          .lse = V2(lse, HQ, t), .q = V3(q, t, HQ, D), .k = V3(k, t, HK, D), .v = V3(v, t, HK, D),
          .q_start = rows, .k_start = rows, .max_q = length, .max_k = length, .scale = 0.125,
          .causal = true);
    BENCH(n, "attention_grad", attention_grad, pairs * D * 10, GF, .dq = V3(dq, t, HQ, D),
          .dk = V3(dk, t, HK, D), .dv = V3(dv, t, HK, D), .dout = V3(dout, t, HQ, D),
          .out = V3(out, t, HQ, D), .lse = V2(lse, HQ, t), .q = V3(q, t, HQ, D),
          .k = V3(k, t, HK, D), .v = V3(v, t, HK, D), .q_start = rows, .k_start = rows,
          .max_q = length, .max_k = length, .scale = 0.125, .causal = true);
    int32_t one[2] = {0, 1}, all[2] = {0, (int32_t)t};
    BENCH(n, "attention, one query", attention, (double)t * HK * D * 8, GB,
          .out = V3(out, 1, HQ, D), .q = V3(q, 1, HQ, D), .k = V3(k, t, HK, D),
          .v = V3(v, t, HK, D), .q_start = view_1d(one, DT_I32, 2),
          .k_start = view_1d(all, DT_I32, 2), .max_q = 1, .max_k = t, .scale = 0.125,
          .causal = true);
    mem_free(q), mem_free(k), mem_free(v), mem_free(out), mem_free(lse), mem_free(dout);
    mem_free(dq), mem_free(dk), mem_free(dv);
}

static void bench_loss(struct setting *s)
{
    int64_t t = 64;
    float *logits = floats(t * V, 4), *weight = floats(t, 0);
    int32_t *targets = s->pos;
    double loss = 0;
    for (int64_t i = 0; i < t; i++)
        weight[i] = 1;
    BENCH(s->name, "cross_entropy", cross_entropy, t * V * 4, GB, .logits = V2(logits, t, V),
          .targets = view_1d(targets, DT_I32, t), .weight = V1(weight, t),
          .loss = view_1d(&loss, DT_F64, 1), .scale = 1);
    BENCH(s->name, "cross_entropy + grad", cross_entropy, t * V * 12, GB,
          .logits = V2(logits, t, V), .targets = view_1d(targets, DT_I32, t),
          .weight = V1(weight, t), .loss = view_1d(&loss, DT_F64, 1), .scale = 1, .grad = true);
    mem_free(logits), mem_free(weight);
}

static void bench_optim(void)
{
    int64_t n = 8 << 20;
    float *p = floats(n, 1), *g = floats(n, 1), *m = floats(n, 0), *v = floats(n, 0);
    double sum = 0;
    BENCH("8M", "sumsq", sumsq, n * 4, GB, .out = view_1d(&sum, DT_F64, 1), .x = V1(g, n));
    BENCH("8M", "adamw", adamw, n * 28, GB, .p = V1(p, n), .g = V1(g, n), .m = V1(m, n),
          .v = V1(v, n), .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 1);
    BENCH("8M", "adamw, p bf16", adamw, n * 24, GB, .p = view_1d(p, DT_BF16, n), .g = V1(g, n),
          .m = V1(m, n), .v = V1(v, n), .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
          .step = 1);
    mem_free(p), mem_free(g), mem_free(m), mem_free(v);
}

int main(int argc, char **argv)
{
    int threads = 0, c;
    char name[32] = "cpu";
    while ((c = getopt(argc, argv, "i:t:s:c")) != -1) {
        if (c == 'i')
            snprintf(name, sizeof name, "cpu-%s", optarg);
        else if (c == 't')
            threads = atoi(optarg);
        else if (c == 's')
            seconds = atof(optarg);
        else if (c == 'c')
            the_clock = CLOCK_THREAD_CPUTIME_ID, threads = 1;
        else
            return 2;
    }
    word = argv[optind];
    struct pool *pool;
    if (pool_new(threads, &pool) || device_open(name, pool, &dev))
        die();
    printf("%s\n", dev->name);
    struct setting shorts = setting_of("short", 8, 23), longs = setting_of("long", 1, 512);
    struct setting *all[] = {&shorts, &longs};
    for (int i = 0; i < 2; i++) {
        bench_rows(all[i]);
        bench_mlp(all[i]);
        bench_attention(all[i]);
    }
    bench_loss(&shorts);
    bench_optim();
    device_close(dev);
    pool_free(pool);
    return 0;
}
