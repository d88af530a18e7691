/* gemm_wide.c -- the matrix product at a width this chip may not have, and random shapes of it.
 *
 * The sources of kernels/cpu/gemm* are compiled once more, 16 lanes wide over pairs of AVX2
 * registers: what AVX-512 runs but for its intrinsics. Random shapes, transpositions, strides,
 * formats and factors are checked against sums in double, and bit for bit over 1, 2, 3, 4 and 7
 * threads; for the wide build and for the builds of the program itself. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* loops stay rolled at -O2: only slow */
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif
#define CPU_ISA wide
#define CPU_AVX2
#define CPU_WIDE 16
#include "kernels/cpu/gemm.c"
#include "kernels/cpu/gemm_pack.c"
#include "kernels/cpu/unpack.c"
#define job job_small
#define run_item run_item_small
#include "kernels/cpu/gemm_small.c"
#undef job
#undef run_item
#define job job_gemv
#define run_item run_item_gemv
#undef ITEM_BYTES
#include "kernels/cpu/gemv.c"
#undef job
#undef run_item
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "kernels/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CASES 320
#define LIMIT 3e-6 /* of the sum of magnitudes */
#define TAIL 64    /* bytes after the scratch that must not change */

struct build {
    const char *name;
    void (*gemm)(struct device *d, const struct gemm_args *a);
    size_t (*workspace)(struct device *d, const struct gemm_args *a);
};

static int builds_here(struct build out[4])
{
    int n = 0;
    out[n++] = (struct build){"plain", cpu_ops_plain.gemm, cpu_ops_plain.gemm_workspace};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        out[n++] = (struct build){"avx2", cpu_ops_avx2.gemm, cpu_ops_avx2.gemm_workspace};
        out[n++] = (struct build){"wide", CPU(gemm), CPU(gemm_workspace)};
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        out[n++] = (struct build){"avx512", cpu_ops_avx512.gemm, cpu_ops_avx512.gemm_workspace};
#endif
    return n;
}

static uint64_t state;

static int64_t below(int64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

static void random_fill(float *f, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        f[i] = (float)(below(2001) - 1000) * 1e-3f;
}

static float *floats(int64_t n)
{
    float *f = mem_alloc_aligned((size_t)(n + 1) * sizeof(float));
    assert_non_null(f);
    random_fill(f, n + 1);
    return f;
}

struct shape {
    int64_t m, n, k;
    bool trans_x, trans_w, bias;
    double alpha, beta;
    const struct format *format;
};

#define PICK(array) array[below(COUNT_OF(array))]

static struct shape random_shape(void)
{
    static const int64_t m[] = {1, 2, 3, 5, 8, 12, 13, 31, 47, 64, 100, 184, 200};
    static const int64_t n[] = {1, 3, 8, 9, 16, 17, 24, 31, 32, 33, 48, 64, 65, 192, 200};
    static const int64_t k[] = {0, 1, 2, 7, 8, 9, 31, 32, 33, 64, 100, 384, 576, 600, 1056, 1200};
    static const double alpha[] = {1, 0.5, -2}, beta[] = {0, 0, 1, 0.25};
    struct shape s = {.m = PICK(m), .n = PICK(n), .k = PICK(k)};
    s.format = &formats[below(formats_count)];
    s.trans_x = below(2);
    s.trans_w = below(2);
    s.bias = below(3) == 0;
    s.alpha = PICK(alpha);
    s.beta = PICK(beta);
    int64_t *row = s.trans_w ? &s.k : &s.n;
    *row = (*row + s.format->block - 1) / s.format->block * s.format->block;
    return s;
}

struct data {
    struct gemm_args args;
    float *x, *w, *first, *dst, *before, *bias;
    void *stored;
    int64_t x_stride, w_stride, dst_stride;
};

static void make(struct data *t, const struct shape *s)
{
    int64_t x_rows = s->trans_x ? s->k : s->m, x_cols = s->trans_x ? s->m : s->k;
    int64_t w_rows = s->trans_w ? s->n : s->k, w_cols = s->trans_w ? s->k : s->n;
    t->x_stride = x_cols + below(2) * 5;
    t->w_stride = w_cols + (s->format->block == 1 ? below(2) * 3 : 0);
    t->dst_stride = s->n + below(2) * 7;
    t->x = floats(x_rows * t->x_stride);
    t->w = floats(w_rows * t->w_stride);
    t->bias = floats(2 * s->n);
    t->before = floats(s->m * t->dst_stride);
    t->dst = floats(s->m * t->dst_stride);
    t->first = floats(s->m * t->dst_stride);
    t->stored = mem_alloc(format_row_bytes(s->format, w_rows * t->w_stride) + 1);
    assert_non_null(t->stored);
    s->format->encode(t->w, t->stored, w_rows * t->w_stride);
    s->format->decode(t->stored, t->w, w_rows * t->w_stride);
    for (int64_t i = 0; s->beta == 0 && i < s->m * t->dst_stride; i++)
        t->before[i] = NAN; /* must not be read */
    t->args = (struct gemm_args){
        .dst = view_2d(t->dst, DT_F32, s->m, s->n),
        .x = view_2d(t->x, DT_F32, x_rows, x_cols),
        .w = {s->format, t->stored, {0}, w_rows, w_cols, t->w_stride},
        .trans_x = s->trans_x,
        .trans_w = s->trans_w,
        .alpha = s->alpha,
        .beta = s->beta,
        .epilogue = s->bias ? EPILOGUE_BIAS : EPILOGUE_NONE,
        .bias = view_1d(t->bias, DT_F32, s->n),
    };
    t->args.bias.stride[0] = 2;
    t->args.x.stride[0] = t->x_stride;
    t->args.dst.stride[0] = t->dst_stride;
}

static void unmake(struct data *t)
{
    mem_free(t->x);
    mem_free(t->w);
    mem_free(t->bias);
    mem_free(t->before);
    mem_free(t->dst);
    mem_free(t->first);
    mem_free(t->stored);
}

/* Largest error of a result as a share of its magnitudes; NaN if a gap between rows changed. */
static double error_of(const struct shape *s, const struct data *t)
{
    double worst = 0;
    for (int64_t m = 0; m < s->m; m++) {
        const float *c = t->dst + m * t->dst_stride, *old = t->before + m * t->dst_stride;
        for (int64_t n = 0; n < s->n; n++) {
            double sum = 0, size = 1;
            for (int64_t k = 0; k < s->k; k++) {
                double x = t->x[s->trans_x ? k * t->x_stride + m : m * t->x_stride + k];
                double w = t->w[s->trans_w ? n * t->w_stride + k : k * t->w_stride + n];
                sum += x * w;
                size += fabs(x * w);
            }
            sum = s->alpha * sum + (s->beta != 0 ? s->beta * (double)old[n] : 0);
            sum += s->bias ? (double)t->bias[2 * n] : 0;
            double error = fabs((double)c[n] - sum) / size;
            worst = error <= worst ? worst : error;
        }
        if (memcmp(c + s->n, old + s->n, (size_t)(t->dst_stride - s->n) * sizeof(float)) != 0)
            return NAN;
    }
    return worst;
}

static void run(const struct build *b, struct pool *pool, const struct shape *s, struct data *t)
{
    struct device d = {.pool = pool};
    memcpy(t->dst, t->before, (size_t)(s->m * t->dst_stride) * sizeof(float));
    size_t bytes = b->workspace(&d, &t->args);
    char *scratch = mem_alloc_aligned(bytes + TAIL);
    assert_non_null(scratch);
    memset(scratch, 0x7f, bytes + TAIL); /* junk that must not be used */
    t->args.work = (struct scratch){scratch, bytes};
    b->gemm(&d, &t->args);
    for (int i = 0; i < TAIL; i++)
        assert_int_equal(scratch[bytes + (size_t)i], 0x7f);
    mem_free(scratch);
}

#define THREADS 5
static struct pool *pools[THREADS];

static void check(const struct shape *s)
{
    struct build builds[4];
    struct data t;
    int count = builds_here(builds);
    make(&t, s);
    for (int b = 0; b < count; b++) {
        for (int p = 0; p < THREADS; p++) {
            run(&builds[b], pools[p], s, &t);
            size_t bytes = (size_t)(s->m * t.dst_stride) * sizeof(float);
            double error = p == 0 ? error_of(s, &t) : 0;
            bool same = p == 0 || memcmp(t.first, t.dst, bytes) == 0;
            if (!(error <= LIMIT) || !same)
                fail_msg("%s, %d threads: m %d n %d k %d%s%s %s alpha %g beta %g%s: %s, error %g",
                         builds[b].name, pool_threads(pools[p]), (int)s->m, (int)s->n, (int)s->k,
                         s->trans_x ? " x^T" : "", s->trans_w ? " w^T" : "", s->format->name,
                         s->alpha, s->beta, s->bias ? " bias" : "",
                         same ? "same bits" : "other bits than 1 thread", error);
            if (p == 0)
                memcpy(t.first, t.dst, bytes);
        }
    }
    unmake(&t);
}

static void test_random_shapes(void **ctx)
{
    (void)ctx;
    for (int i = 0; i < CASES; i++) {
        state = 1000 + (uint64_t)i;
        below(2);
        struct shape s = random_shape();
        check(&s);
    }
}

/* What random shapes do not reach: pieces of x^T, crowded x, swapped products, strips that are not cut. */
static void test_large_shapes(void **ctx)
{
    (void)ctx;
    const struct format *f32 = format_by_name("f32"), *q4_1 = format_by_name("q4_1"),
                        *q4_k = format_by_name("q4_k");
    const struct shape shapes[] = {
        {70, 32, 9000, true, false, false, 1, 0, f32},
        {600, 8, 184, true, false, true, 2, 1, f32},
        {1500, 40, 400, true, false, false, 1, 1, f32},
        {40, 64, 9024, true, true, true, 1, 0, q4_1},
        {40, 64, 9216, true, true, true, 1, 0, q4_k},
        {60, 33, 1280, false, true, false, 1, 0, q4_k},
        /* rows of x a multiple of a page apart (unless make() adds a gap) */
        {30, 300, 1024, false, false, true, 1, 0, f32},
        {40, 288, 1024, false, true, false, 1, 1, q4_1},
        {35, 264, 2048, false, false, true, -1, 0, f32},
        {1100, 256, 1024, false, false, true, 1, 0, f32},
        {60, 640, 1184, false, true, false, 1, 0, q4_1},
        {60, 640, 1200, false, false, false, 1, 1, q4_1},
    };
    state = 7;
    for (int i = 0; i < COUNT_OF(shapes); i++)
        check(&shapes[i]);
}

static int start(void **ctx)
{
    (void)ctx;
    static const int threads[THREADS] = {1, 2, 3, 4, 7};
    for (int i = 0; i < THREADS; i++)
        if (pool_new(threads[i], &pools[i]))
            return -1;
    return 0;
}

static int stop(void **ctx)
{
    (void)ctx;
    for (int i = 0; i < THREADS; i++)
        pool_free(pools[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_large_shapes),
    };
    return cmocka_run_group_tests(all, start, stop);
}
