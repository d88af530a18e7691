/* gemm.c -- speed of the cpu device's matrix product, shape by shape, as a share of the chip's peak.
 *
 * make bench-gemm && build/scripts/bench/gemm [-i avx2] [-t threads] [-s seconds] [-m rows] [-c] [word]
 * Weights are cold, as in a pass over a model's layers: each call takes the next of many copies.
 * A figure is the median of its calls. Prints the chip and the load beside them: on a busy machine
 * they mean little. 'word' picks the lines that hold it ("head", "q4_1", "lora"). */
#include "kernels/base/mem.h"
#include "kernels/base/pool.h"
#include "kernels/base/size.h"
#include "kernels/quant.h"

#include <immintrin.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COLD_BYTES (192 << 20)
#define CALLS 4096

static clockid_t the_clock = CLOCK_MONOTONIC; /* -c: CPU time, one thread: for a shared machine */

static double now(void)
{
    struct timespec t;
    clock_gettime(the_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- the chip's peak: multiply-adds on registers alone -------------------------------------- */

#define PEAK_ROUNDS 400000
#define PEAK_LOOP(suffix, isa, type, set, fma, sum, lanes)                                       \
    __attribute__((target(isa))) static float peak_##suffix(void)                                \
    {                                                                                            \
        type a = set(1), b = set(2), c = set(3), d = set(4), e = set(5), f = set(6), g = set(7), \
             h = set(8), i = set(9), j = set(10), m = set(1.0001f), n = set(0.5f);               \
        for (int r = 0; r < PEAK_ROUNDS; r++) {                                                  \
            a = fma(a, m, n), b = fma(b, m, n), c = fma(c, m, n), d = fma(d, m, n);              \
            e = fma(e, m, n), f = fma(f, m, n), g = fma(g, m, n), h = fma(h, m, n);              \
            i = fma(i, m, n), j = fma(j, m, n);                                                  \
            __asm__ volatile("" : "+x"(m), "+x"(n));                                             \
        }                                                                                        \
        a = a + b + c + d + e + f + g + h + i + j;                                               \
        return a[0];                                                                             \
    }
PEAK_LOOP(avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, , 8)
PEAK_LOOP(avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, , 16)

struct peak {
    int lanes;
    volatile float sink[POOL_MAX_THREADS];
};

static void peak_item(void *ctx, int64_t i, int worker)
{
    (void)i;
    struct peak *p = ctx;
    p->sink[worker] = p->lanes == 16 ? peak_avx512() : peak_avx2();
}

/* GFLOP/s of all threads together: the best of several goes. */
static double peak_measure(struct pool *pool, int lanes)
{
    struct peak p = {.lanes = lanes};
    double best = 0;
    int64_t items = 4 * pool_threads(pool);
    for (int go = 0; go < 60; go++) {
        double start = now();
        pool_run(pool, items, peak_item, &p);
        double rate = (double)items * PEAK_ROUNDS * 10 * lanes * 2 / (now() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

/* --- one line ------------------------------------------------------------------------------- */

struct line {
    const char *what;
    int64_t m, n, k; /* m 0: the rows that were asked for */
    bool trans_x, trans_w;
    double beta;
};

struct bench {
    struct device device;
    double peak, seconds;
    const char *word;
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static float *random_floats(int64_t n)
{
    static uint64_t state = 1;
    float *f = mem_alloc_aligned((size_t)n * sizeof(float));
    for (int64_t i = 0; f && i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        f[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
    return f;
}

/* Copies of a stored weight, one after the other. */
static char *copies(const struct format *f, int64_t elements, size_t *bytes, int64_t *count)
{
    float *values = random_floats(elements);
    *bytes = (format_row_bytes(f, elements) + 63) / 64 * 64;
    *count = i64_max(1, COLD_BYTES / (int64_t)*bytes);
    char *data = mem_alloc_aligned(*bytes * (size_t)*count);
    if (values && data)
        f->encode(values, data, elements);
    for (int64_t i = 1; data && i < *count; i++)
        memcpy(data + *bytes * (size_t)i, data, *bytes);
    mem_free(values);
    return data;
}

/* The median of the calls' seconds; *best is the shortest, the nearest to a quiet machine. */
static double median_seconds(struct bench *b, struct gemm_args *a, const char *w, size_t w_bytes,
                             int64_t w_count, double *best)
{
    static double times[CALLS];
    int calls = 0;
    double start = now(), total = 0;
    for (int64_t i = 0; calls < CALLS && (calls < 5 || total < b->seconds); i++) {
        a->w.data = w + (size_t)(i % w_count) * w_bytes;
        start = now();
        b->device.ops->gemm(&b->device, a);
        times[calls] = now() - start;
        total += times[calls++];
    }
    qsort(times, (size_t)calls, sizeof *times, by_size);
    *best = times[0];
    return times[calls / 2];
}

static void run_line(struct bench *b, const struct line *l, int64_t m, const struct format *f)
{
    char label[96];
    m = l->m ? l->m : m;
    snprintf(label, sizeof label, "%-22s %-5s m %5" PRId64 " n %5" PRId64 " k %5" PRId64, l->what,
             f->name, m, l->n, l->k);
    if (b->word && !strstr(label, b->word))
        return;
    size_t w_bytes;
    int64_t w_count;
    float *x = random_floats(m * l->k), *dst = random_floats(m * l->n);
    char *w = copies(f, l->n * l->k, &w_bytes, &w_count);
    struct gemm_args a = {
        .dst = view_2d(dst, DT_F32, m, l->n),
        .x = l->trans_x ? view_2d(x, DT_F32, l->k, m) : view_2d(x, DT_F32, m, l->k),
        .w = {.format = f,
              .data = w,
              .rows = l->trans_w ? l->n : l->k,
              .cols = l->trans_w ? l->k : l->n,
              .row_stride = l->trans_w ? l->k : l->n},
        .trans_x = l->trans_x,
        .trans_w = l->trans_w,
        .alpha = 1,
        .beta = l->beta,
    };
    a.work.bytes = b->device.ops->gemm_workspace(&b->device, &a);
    a.work.data = mem_alloc_aligned(a.work.bytes);
    if (x && dst && w && a.work.data) {
        double best, s = median_seconds(b, &a, w, w_bytes, w_count, &best);
        double rate = 2e-9 * (double)m * (double)l->n * (double)l->k / s;
        double weights = 1e-9 * (double)format_row_bytes(f, l->n * l->k) / s;
        printf("%s %9.1f us %7.1f GFLOP/s %5.1f %% (best %5.1f)  w %5.1f GB/s  work %zu KiB\n",
               label, s * 1e6, rate, 100 * rate / b->peak, 100 * rate / b->peak * s / best, weights,
               a.work.bytes >> 10);
        fflush(stdout);
    }
    mem_free(x);
    mem_free(dst);
    mem_free(w);
    mem_free(a.work.data);
}

/* --- the shapes of a training step and of decoding (SmolLM2-135M) --------------------------- */

static const struct line weights[] = {
    {"forward", 0, 576, 576, false, true, 0},
    {"forward", 0, 192, 576, false, true, 0},
    {"forward", 0, 1536, 576, false, true, 0},
    {"forward", 0, 576, 1536, false, true, 0},
    {"dX", 0, 576, 576, false, false, 0},
    {"dX", 0, 576, 192, false, false, 1},
    {"dX", 0, 576, 1536, false, false, 1},
    {"dX", 0, 1536, 576, false, false, 0},
    {"head forward", 0, 49152, 576, false, true, 0},
    {"head dX", 0, 576, 49152, false, false, 0},
};
static const struct line floats[] = {
    {"dW", 576, 576, 0, true, false, 1},
    {"dW", 1536, 576, 0, true, false, 1},
    {"lora A forward", 0, 8, 576, false, true, 0},
    {"lora B forward", 0, 576, 8, false, true, 1},
    {"lora dY B", 0, 8, 576, false, false, 0},
    {"lora dX += A", 0, 576, 8, false, false, 1},
    {"lora dA", 8, 576, 0, true, false, 1},
    {"lora dB", 576, 8, 0, true, false, 1},
    {"lora A forward", 0, 64, 1536, false, true, 0},
    {"lora dB", 1536, 64, 0, true, false, 1},
};

static void run_all(struct bench *b, const int64_t *rows, int count)
{
    static const char *const formats_timed[] = {"f32", "bf16", "q4_1", "q8_0"};
    for (int r = 0; r < count; r++) {
        for (int f = 0; f < COUNT_OF(formats_timed); f++)
            for (int i = 0; i < COUNT_OF(weights); i++)
                if (rows[r] > 16 || weights[i].trans_w)
                    run_line(b, &weights[i], rows[r], format_by_name(formats_timed[f]));
        for (int i = 0; rows[r] > 32 && i < COUNT_OF(floats); i++) {
            struct line l = floats[i];
            l.k = l.k ? l.k : rows[r]; /* sums over the tokens */
            run_line(b, &l, rows[r], format_by_name("f32"));
        }
    }
}

int main(int argc, char **argv)
{
    struct bench b = {.seconds = 0.25};
    int threads = 0, option, status = 1;
    int64_t rows[] = {1, 16, 184, 512}, only = 0;
    const char *isa = __builtin_cpu_supports("avx512f") ? "avx512" : "avx2";
    while ((option = getopt(argc, argv, "i:t:s:m:c")) != -1) {
        isa = option == 'i' ? optarg : isa;
        threads = option == 't' ? atoi(optarg) : threads;
        b.seconds = option == 's' ? atof(optarg) : b.seconds;
        only = option == 'm' ? atoll(optarg) : only;
        if (option == 'c')
            the_clock = CLOCK_PROCESS_CPUTIME_ID, threads = 1;
    }
    b.word = argv[optind];
    if (pool_new(threads, &b.device.pool)) {
        fprintf(stderr, "%s\n", status_message());
        return status;
    }
    b.device.ops = !strcmp(isa, "avx512") ? &cpu_ops_avx512
                   : !strcmp(isa, "avx2") ? &cpu_ops_avx2
                                          : &cpu_ops_plain;
    b.peak = peak_measure(b.device.pool, !strcmp(isa, "avx512") ? 16 : 8);
    printf("%s, %d threads, peak %.1f GFLOP/s\n", isa, pool_threads(b.device.pool), b.peak);
    fflush(stdout);
    (void)!system("grep -m1 'model name' /proc/cpuinfo; uptime");
    if (only)
        run_all(&b, &only, 1);
    else
        run_all(&b, rows, COUNT_OF(rows));
    pool_free(b.device.pool);
    return 0;
}
