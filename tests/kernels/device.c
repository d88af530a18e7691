/* device.c -- opening devices, their memory, and what the checks in front of operations say. */
#include "kernels/base/mem.h"
#include "kernels/base/pool.h"
#include "kernels/base/size.h"
#include "kernels/quant.h"
#include "tests/kernels/ref_util.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct device *opened(const char *name)
{
    struct device *d = NULL;
    assert_int_equal(device_open(name, NULL, &d), OK);
    return d;
}

static void *memory(struct device *d, size_t bytes)
{
    void *p = NULL;
    assert_int_equal(device_alloc(d, bytes, &p), OK);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    return p;
}

/* --- names ----------------------------------------------------------------------------------- */

static void names(void **state)
{
    (void)state;
    static const char *const kinds[] = {"ref", "guard", "null", "cpu", "cpu-plain"};
    for (int i = 0; i < COUNT_OF(kinds); i++) {
        struct device *d = opened(kinds[i]);
        assert_int_equal(strncmp(d->kind, kinds[i], 3), 0);
        assert_true(strlen(d->name) > 0);
        device_close(d);
    }
    device_close(NULL);
    static const char *const unknown[] = {"", "gpu", "CPU", "cpu-", "cpu-avx9", "reference"};
    for (int i = 0; i < COUNT_OF(unknown); i++) {
        struct device *d = (struct device *)1;
        assert_int_equal(device_open(unknown[i], NULL, &d), ERR_DEVICE);
        assert_ptr_equal(d, (struct device *)1);
        assert_non_null(strstr(status_message(), "hint"));
    }
    struct pool *pool;
    assert_int_equal(pool_new(3, &pool), OK);
    struct device *d;
    assert_int_equal(device_open("cpu-plain", pool, &d), OK);
    assert_non_null(strstr(d->name, "plain, 3 threads"));
    device_close(d);
    pool_free(pool);
    d = opened("cpu");
    assert_non_null(strstr(d->name, ", 1 thread"));
    device_close(d);
}

static void time_passes(void **state)
{
    (void)state;
    struct device *d = opened("ref");
    struct event from, to;
    d->record(d, &from);
    d->record(d, &to);
    assert_true(d->seconds(d, &from, &to) >= 0);
    assert_int_equal(device_sync(d), OK);
    device_close(d);
}

/* --- memory ---------------------------------------------------------------------------------- */

static void memory_is_counted(void **state)
{
    (void)state;
    static const char *const kinds[] = {"ref", "guard", "null", "cpu"};
    int64_t live = mem_stats().live_bytes, blocks = mem_stats().live_blocks;
    for (int i = 0; i < COUNT_OF(kinds); i++) {
        struct device *d = opened(kinds[i]);
        void *a = memory(d, 1000), *b = memory(d, 24), *nothing = memory(d, 0);
        assert_int_equal(d->live_bytes, 1024);
        device_release(d, a, 1000);
        device_release(d, nothing, 0);
        device_release(d, NULL, 0);
        assert_int_equal(d->live_bytes, 24);
        assert_int_equal(d->peak_bytes, 1024);
        device_release(d, b, 24);
        device_close(d);
        assert_int_equal(mem_stats().live_bytes, live);
        assert_int_equal(mem_stats().live_blocks, blocks);
    }
    struct device *d = opened("guard"); /* closing gives back what was forgotten */
    memory(d, 5000);
    device_close(d);
    assert_int_equal(mem_stats().live_bytes, live);
}

static void copies(void **state)
{
    (void)state;
    static const char *const kinds[] = {"ref", "guard", "cpu"};
    for (int i = 0; i < COUNT_OF(kinds); i++) {
        struct device *d = opened(kinds[i]);
        char *a = memory(d, 256), *b = memory(d, 256), host[256];
        for (int k = 0; k < 256; k++)
            host[k] = (char)k;
        assert_int_equal(device_copy(d, a, host, 256, COPY_TO_DEVICE), OK);
        assert_int_equal(device_set(d, b, 7, 256), OK);
        assert_int_equal(device_copy(d, b + 3, a + 10, 100, COPY_ON_DEVICE), OK);
        assert_int_equal(device_copy(d, host, b, 256, COPY_TO_HOST), OK);
        for (int k = 0; k < 256; k++)
            assert_int_equal(host[k], k >= 3 && k < 103 ? (char)(k + 7) : 7);
        assert_int_equal(device_copy(d, NULL, NULL, 0, COPY_TO_HOST), OK);
        device_release(d, a, 256);
        device_release(d, b, 256);
        device_close(d);
    }
}

static void no_memory(void **state)
{
    (void)state;
    static const char *const kinds[] = {"ref", "guard", "null", "cpu"};
    int64_t live = mem_stats().live_bytes;
    for (int i = 0; i < COUNT_OF(kinds); i++)
        for (int n = 1;; n++) { /* the n-th allocation fails, until none is left to fail */
            struct device *d = NULL;
            void *p = NULL;
            mem_fail_at(n, 0);
            int status = device_open(kinds[i], NULL, &d);
            if (!status)
                status = device_alloc(d, 100, &p);
            bool all_seen = mem_fail_at(0, 0) < n;
            assert_int_equal(status, all_seen ? OK : ERR_MEMORY);
            if (p)
                device_release(d, p, 100);
            device_close(d);
            assert_int_equal(mem_stats().live_bytes, live);
            if (all_seen)
                break;
        }
    struct device *d = opened("guard");
    void *p;
    assert_int_equal(device_alloc(d, (size_t)1 << 40, &p), ERR_MEMORY);
    assert_int_equal(device_alloc(d, SIZE_MAX, &p), ERR_MEMORY);
    mem_set_limit(mem_stats().live_bytes + 1000);
    assert_int_equal(device_alloc(d, 2000, &p), ERR_MEMORY);
    mem_set_limit(0);
    assert_int_equal(d->live_bytes, 0);
    device_close(d);
}

/* --- guard ----------------------------------------------------------------------------------- */

/* Does touching p from the host end the process by SIGSEGV? */
static bool faults(volatile char *p, bool write)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* not the sanitizer's report */
        signal(SIGBUS, SIG_DFL);
        if (write)
            *p = 1;
        else
            (void)*p;
        _exit(0);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    return WIFSIGNALED(how) && WTERMSIG(how) == SIGSEGV;
}

static void guard_faults(void **state)
{
    (void)state;
    struct device *d = opened("guard");
    char *p = memory(d, 10000), *q = memory(d, 8);
    char host[8] = "shell";
    assert_true(faults(p, false) && faults(p, true) && faults(p + 9999, false) && faults(q, false));
    assert_int_equal(device_copy(d, q, host, 8, COPY_TO_DEVICE), OK);
    assert_true(faults(q, false)); /* shut again after a copy */
    struct fill_args fill = {.dst = view_1d(q, DT_F32, 2), .value = 1};
    assert_int_equal(k_fill(d, &fill), OK);
    assert_true(faults(q, false));     /* and after an operation */
    assert_false(faults(host, false)); /* the test itself can say no */
    device_release(d, p, 10000);
    assert_true(faults(p, false));
    device_release(d, q, 8);
    device_close(d);
}

static void guard_memory_starts_as_nan(void **state)
{
    (void)state;
    struct device *d = opened("guard");
    float x[16];
    float *p = memory(d, sizeof x);
    assert_int_equal(device_set(d, p, 0, sizeof x), OK);
    device_release(d, p, sizeof x);
    p = memory(d, sizeof x); /* the same place, but not the old content */
    assert_int_equal(device_copy(d, x, p, sizeof x, COPY_TO_HOST), OK);
    for (int i = 0; i < 16; i++)
        assert_true(isnan(x[i]));
    device_release(d, p, sizeof x);
    device_close(d);
}

/* Random allocations and releases: every block keeps its content, and all comes back in one. */
static void guard_allocator(void **state)
{
    (void)state;
    enum { BLOCKS = 60, ROUNDS = 1500 };
    struct device *d = opened("guard");
    struct {
        unsigned char *p;
        size_t bytes;
    } blocks[BLOCKS] = {{0}};
    static unsigned char host[5000];
    struct rng_key key = rng_key(1, RNG_USER);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t r = rng_u64(key, i);
        size_t at = r % BLOCKS;
        if (blocks[at].p) {
            assert_int_equal(device_copy(d, host, blocks[at].p, blocks[at].bytes, COPY_TO_HOST),
                             OK);
            for (size_t k = 0; k < blocks[at].bytes; k++)
                assert_int_equal(host[k], at);
            device_release(d, blocks[at].p, blocks[at].bytes);
            blocks[at].p = NULL;
        } else {
            blocks[at].bytes = (r >> 16) % sizeof host;
            blocks[at].p = memory(d, blocks[at].bytes);
            assert_int_equal(device_set(d, blocks[at].p, (int)at, blocks[at].bytes), OK);
        }
    }
    for (size_t at = 0; at < BLOCKS; at++)
        if (blocks[at].p)
            device_release(d, blocks[at].p, blocks[at].bytes);
    assert_int_equal(d->live_bytes, 0);
    void *first = memory(d, 100000), *second = memory(d, 64);
    assert_ptr_equal((char *)first + 100032, second); /* one hole again */
    device_release(d, first, 100000);
    device_release(d, second, 64);
    device_close(d);
}

/* --- null ------------------------------------------------------------------------------------ */

static void null_does_nothing(void **state)
{
    (void)state;
    struct device *d = opened("null");
    int64_t live = mem_stats().live_bytes;
    size_t huge = (size_t)1 << 44; /* 16 TiB: only counted */
    char *p = memory(d, huge), *q = memory(d, 1);
    assert_true(q >= p + huge);
    assert_int_equal(d->live_bytes, (int64_t)huge + 1);
    assert_int_equal(mem_stats().live_bytes, live);
    char host[4] = "abc";
    assert_int_equal(device_copy(d, p, host, 4, COPY_TO_DEVICE), OK);
    assert_int_equal(device_set(d, p, 1, huge), OK);
    assert_int_equal(device_copy(d, host, p, 4, COPY_TO_HOST), OK);
    assert_int_equal(host[0], 0);
    struct view x = view_2d(p, DT_BF16, 1 << 20, 1 << 20);
    struct unary_args unary = {.y = x, .x = x, .kind = UNARY_EXP};
    assert_int_equal(k_unary(d, &unary), OK);
    unary.x.ndim = 1; /* checks are the same as everywhere */
    assert_int_equal(k_unary(d, &unary), ERR_ARG);
    device_release(d, p, huge);
    device_release(d, q, 1);
    device_close(d);
#define OP(name, flags)             \
    assert_non_null(null_ops.name); \
    assert_non_null(ref_ops.name);
#include "kernels/kernels.def"
#undef OP
}

/* --- checks ---------------------------------------------------------------------------------- */

static double x[64], y[64], z[64];
static int32_t ids[8];

/* k_<op> on ref refuses with a message that holds 'text'. */
#define REFUSED(text, op, ...)                                        \
    do {                                                              \
        struct op##_args a_ = {__VA_ARGS__};                          \
        a_.work = ref_scratch(k_##op##_workspace(ref_device(), &a_)); \
        refused(k_##op(ref_device(), &a_), ERR_ARG, #op, text);       \
    } while (0)

static void refused(int status, int wanted, const char *op, const char *text)
{
    if (status != wanted || strncmp(status_message(), op, strlen(op)) ||
        !strstr(status_message(), text))
        fail_msg("%s: status %d, message \"%s\", wanted \"%s\"", op, status, status_message(),
                 text);
    status_clear();
}

static void elementwise_checks(void **state)
{
    (void)state;
    struct view bad = d1(x, 8);
    bad.stride[0] = 0;
    REFUSED("dst is missing", copy, .src = d1(x, 8));
    REFUSED("src has shape [8], wanted that of dst, [7]", copy, .dst = d1(y, 7), .src = d1(x, 8));
    REFUSED("repeats one element", fill, .dst = bad);
    REFUSED("kind 99 is unknown", unary, .y = d1(y, 8), .x = d1(x, 8), .kind = 99);
    REFUSED("x is i32, wanted a float", unary, .y = d1(y, 8), .x = i1(ids, 8));
    REFUSED("y overlaps x", unary, .y = d1(x + 1, 8), .x = d1(x, 8));
    REFUSED("dx overlaps x", unary_grad, .dx = d1(x, 8), .dy = d1(y, 8), .x = d1(x, 8));
    REFUSED("b has shape [3, 2]", binary, .z = d2(z, 2, 3), .a = d2(x, 2, 3), .b = d2(y, 3, 2));
    bad = d1(x, 8);
    bad.data = (char *)x + 1;
    REFUSED("not aligned", unary, .y = d1(y, 8), .x = bad);
    bad = d1(x, 8);
    bad.ndim = 5;
    REFUSED("5 dimensions", unary, .y = d1(y, 8), .x = bad);
    bad = d1(x, -1);
    REFUSED("cannot be addressed", fill, .dst = bad);
    bad = d2(x, INT64_MAX, INT64_MAX);
    REFUSED("cannot be addressed", fill, .dst = bad);
    bad = d2(x, 2, 2);
    bad.stride[0] = INT64_MIN;
    REFUSED("cannot be addressed", fill, .dst = bad);
    bad = d1(x, 2);
    bad.dtype = DT_BLOCK;
    REFUSED("stored as block", fill, .dst = bad);
    bad.dtype = 1000;
    REFUSED("stored as ?", fill, .dst = bad);
}

static void reduce_checks(void **state)
{
    (void)state;
    REFUSED("wanted 3 in dimension 0", reduce, .y = d2(y, 2, 1), .x = d2(x, 3, 4));
    REFUSED("only sums accumulate", reduce, .y = d1(y, 1), .x = d1(x, 4), .kind = REDUCE_MAX,
            .accumulate = true);
    REFUSED("no largest", reduce, .y = d1(y, 1), .x = d1(x, 0), .kind = REDUCE_MAX);
    REFUSED("wanted 10 in dimension 0", stats, .out = d1(y, 9), .x = d1(x, 4), .bins = 3);
    REFUSED("bins is -1", stats, .out = d1(y, 6), .x = d1(x, 4), .bins = -1);
    REFUSED("wanted one element", sumsq, .out = d1(y, 2), .x = d1(x, 4));
    REFUSED("out is i32, wanted f64", sumsq, .out = i1(ids, 1), .x = d1(x, 4));
    REFUSED("norm is missing", clip, .sumsq = d1(x, 1), .factor = d1(y, 1), .finite = d1(z, 1));
    REFUSED("max_norm is nan", clip, .sumsq = d1(x, 1), .norm = d1(x + 1, 1), .factor = d1(y, 1),
            .finite = d1(z, 1), .max_norm = NAN);
}

static void gemm_checks(void **state)
{
    (void)state;
    struct wview w = wview_of(d2(y, 3, 4));
    REFUSED("dst has 5 columns", gemm, .dst = d2(z, 2, 5), .x = d2(x, 2, 3), .w = w);
    REFUSED("x has shape [2, 4], wanted 3 in dimension 1", gemm, .dst = d2(z, 2, 4),
            .x = d2(x, 2, 4), .w = w);
    REFUSED("bias is missing", gemm, .dst = d2(z, 2, 4), .x = d2(x, 2, 3), .w = w,
            .epilogue = EPILOGUE_BIAS);
    REFUSED("w has no storage format", gemm, .dst = d2(z, 2, 4), .x = d2(x, 2, 3));
    struct view t = d2(x, 2, 3);
    t.stride[0] = 1, t.stride[1] = 2;
    REFUSED("stride 2 in its last dimension", gemm, .dst = d2(z, 2, 4), .x = t, .w = w);
    w.row_stride = 2;
    REFUSED("row stride 2 with 4 columns", gemm, .dst = d2(z, 2, 4), .x = d2(x, 2, 3), .w = w);
    w.row_stride = 4;
    w.format = format_by_name("q4_0");
    REFUSED("multiple of 32", gemm, .dst = d2(z, 2, 4), .x = d2(x, 2, 3), .w = w);
    w = wview_of(d2(y, 3, 4));
    REFUSED("dst overlaps x", gemm, .dst = d2(x, 2, 4), .x = d2(x, 2, 3), .w = w);
    REFUSED("ids is f64, wanted i32", embed, .y = d2(x, 2, 4), .w = w, .ids = d1(z, 2));
    REFUSED("wanted 4 in dimension 1", embed, .y = d2(x, 2, 3), .w = w, .ids = i1(ids, 2));
    REFUSED("wanted 2 in dimension 0", scatter_add, .y = d2(x, 5, 3), .x = d2(y, 3, 3),
            .ids = i1(ids, 2));
}

static void row_checks(void **state)
{
    (void)state;
    REFUSED("sum is missing", rms_norm, .y = d2(y, 2, 3), .x = d2(x, 2, 3), .res = d2(z, 2, 3),
            .w = d1(z + 8, 3));
    REFUSED("width 0", rms_norm, .y = d2(y, 2, 0), .x = d2(x, 2, 0), .w = d1(z, 0));
    REFUSED("w has shape [4]", rms_norm, .y = d2(y, 2, 3), .x = d2(x, 2, 3), .w = d1(z, 4));
    struct view apart = d1(z, 3);
    apart.stride[0] = 2;
    REFUSED("w has stride 2", rms_norm, .y = d2(y, 2, 3), .x = d2(x, 2, 3), .w = apart);
    REFUSED("eps is nan", rms_norm, .y = d2(y, 2, 3), .x = d2(x, 2, 3), .w = d1(z, 3), .eps = NAN);
    REFUSED("rstd is missing", rms_norm_grad, .dx = d2(y, 2, 3), .dy = d2(x, 2, 3),
            .s = d2(x, 2, 3), .w = d1(z, 3));
    REFUSED("at most half", rope, .y = d3(y, 1, 2, 4), .x = d3(x, 1, 2, 4), .pos = i1(ids, 1),
            .inv_freq = d1(z, 3), .scale = 1);
    REFUSED("pos is missing", rope, .y = d3(y, 1, 2, 4), .x = d3(x, 1, 2, 4), .inv_freq = d1(z, 2));
    REFUSED("u has shape", glu, .y = d2(y, 2, 3), .g = d2(x, 2, 3), .u = d2(z, 2, 4));
    REFUSED("dg overlaps du", glu_grad, .dg = d2(z, 2, 3), .du = d2(z, 2, 3), .dy = d2(y, 2, 3),
            .g = d2(x, 2, 3), .u = d2(x, 2, 3));
    REFUSED("p is 8.95, wanted 0 to 1", dropout, .y = d2(y, 2, 3), .x = d2(x, 2, 3),
            .sample = i1(ids, 2), .offset = i1(ids, 2), .p = 8.95);
    REFUSED("p is nan", dropout, .y = d2(y, 2, 3), .x = d2(x, 2, 3), .sample = i1(ids, 2),
            .offset = i1(ids, 2), .p = NAN);
}

/* A valid call, to be spoilt in one place each. */
static struct attention_args attention_call(void)
{
    return (struct attention_args){.out = d3(z, 2, 2, 4),
                                   .q = d3(x, 2, 2, 4),
                                   .k = d3(y, 3, 1, 4),
                                   .v = d3(y + 16, 3, 1, 4),
                                   .q_start = i1(ids, 2),
                                   .k_start = i1(ids, 2),
                                   .max_q = 2,
                                   .max_k = 3,
                                   .scale = 1};
}

static void attention_checks(void **state)
{
    (void)state;
    ids[0] = 0, ids[1] = 2;
    static const struct {
        const char *text;
        int what;
    } spoilt[] = {
        {"2 query heads over 3 key heads", 0},
        {"k has shape", 1},
        {"k_start is missing", 2},
        {"a window wants causal", 3},
        {"window is -1", 4},
        {"k_len is missing", 5},
        {"page_rows is 0", 6},
        {"scale is inf", 7},
        {"softcap is -2", 8},
        {"slopes has shape [3]", 9},
        {"lse has shape", 10},
        {"out overlaps q", 11},
        {"page_rows is 4 without pages", 12},
        {"q_start is empty", 13},
    };
    for (int i = 0; i < COUNT_OF(spoilt); i++) {
        struct attention_args a = attention_call();
        a.k = spoilt[i].what == 0 ? d3(y, 3, 3, 4) : spoilt[i].what == 1 ? d3(y, 3, 1, 3) : a.k;
        a.v = spoilt[i].what <= 1 ? a.k : a.v;
        a.k_start = spoilt[i].what == 2 ? (struct view){0} : a.k_start;
        a.window = spoilt[i].what == 3 ? 1 : spoilt[i].what == 4 ? -1 : 0;
        a.pages = spoilt[i].what == 5 || spoilt[i].what == 6 ? view_2d(ids, DT_I32, 1, 2)
                                                             : (struct view){0};
        a.page_rows = spoilt[i].what == 5 || spoilt[i].what == 12 ? 4 : 0;
        a.scale = spoilt[i].what == 7 ? INFINITY : 1;
        a.softcap = spoilt[i].what == 8 ? -2 : 0;
        a.slopes = spoilt[i].what == 9 ? d1(z, 3) : a.slopes;
        a.lse = spoilt[i].what == 10 ? d2(z + 32, 2, 3) : a.lse;
        a.out = spoilt[i].what == 11 ? a.q : a.out;
        a.q_start = spoilt[i].what == 13 ? i1(ids, 0) : a.q_start;
        a.work = ref_scratch(k_attention_workspace(ref_device(), &a));
        refused(k_attention(ref_device(), &a), ERR_ARG, "attention", spoilt[i].text);
    }
    struct attention_args good = attention_call();
    good.work = ref_scratch(k_attention_workspace(ref_device(), &good));
    assert_int_equal(k_attention(ref_device(), &good), OK);
    REFUSED("lse is missing", attention_grad, .dq = d3(z, 2, 2, 4), .dk = d3(z, 3, 1, 4),
            .dv = d3(z, 3, 1, 4), .dout = good.q, .out = good.q, .q = good.q, .k = good.k,
            .v = good.v, .q_start = good.q_start, .k_start = good.k_start);
}

static void loss_and_optimiser_checks(void **state)
{
    (void)state;
    REFUSED("no column", cross_entropy, .logits = d2(x, 2, 0), .targets = i1(ids, 2),
            .weight = d1(y, 2), .loss = d1(z, 1));
    REFUSED("smoothing is 1", cross_entropy, .logits = d2(x, 2, 3), .targets = i1(ids, 2),
            .weight = d1(y, 2), .loss = d1(z, 1), .smoothing = 1);
    REFUSED("weight is i32", cross_entropy, .logits = d2(x, 2, 3), .targets = i1(ids, 2),
            .weight = i1(ids, 2), .loss = d1(z, 1));
    REFUSED("loss is missing", cross_entropy, .logits = d2(x, 2, 3), .targets = i1(ids, 2),
            .weight = d1(y, 2));
    struct view p = d1(x, 4), g = d1(y, 4), m = d1(z, 4), v = d1(z + 4, 4);
    REFUSED("step is 0", adamw, .p = p, .g = g, .m = m, .v = v, .beta1 = 0.9, .beta2 = 0.9);
    REFUSED("beta1 is 1", adamw, .p = p, .g = g, .m = m, .v = v, .beta1 = 1, .step = 1);
    REFUSED("lr is nan", adamw, .p = p, .g = g, .m = m, .v = v, .lr = NAN, .step = 1);
    REFUSED("m overlaps v", adamw, .p = p, .g = g, .m = m, .v = m, .step = 1);
    REFUSED("g has shape [3]", sgd, .p = p, .g = d1(y, 3));
    REFUSED("m is missing", sgd, .p = p, .g = g, .momentum = 0.9);
    p.stride[0] = 2;
    REFUSED("p has gaps", sgd, .p = p, .g = g);
}

static void workspace_checks(void **state)
{
    (void)state;
    struct device *d = ref_device();
    struct gemm_args a = {
        .dst = d2(z, 2, 4), .x = d2(x, 2, 3), .w = wview_of(d2(y, 3, 4)), .alpha = 1};
    size_t bytes = k_gemm_workspace(d, &a);
    assert_true(bytes > 0);
    refused(k_gemm(d, &a), ERR_ARG, "gemm", "workspace of 0 bytes");
    a.work = ref_scratch(bytes);
    a.work.bytes--;
    refused(k_gemm(d, &a), ERR_ARG, "gemm", "workspace of");
    a.work = ref_scratch(bytes + 8);
    a.work.data = (char *)a.work.data + 8;
    refused(k_gemm(d, &a), ERR_ARG, "gemm", "aligned to 64");
    a.x.shape[0] = 7; /* wrong arguments want nothing: the call itself says why */
    assert_int_equal(k_gemm_workspace(d, &a), 0);
}

static void no_silent_fallback(void **state)
{
    (void)state;
    struct device *d = opened("cpu-plain");
    struct unary_args a = {.y = d1(y, 8), .x = d1(x, 8)};
    assert_int_equal(k_unary(d, &a), ERR_DEVICE);
    assert_non_null(strstr(status_message(), "unary"));
    assert_non_null(strstr(status_message(), "f64"));
    assert_non_null(strstr(status_message(), d->name));
    struct wview w = wview_of(d2(y, 3, 4));
    float fx[8], fy[8];
    struct gemm_args g = {.dst = view_2d(fy, DT_F32, 2, 4), .x = view_2d(fx, DT_F32, 2, 3), .w = w};
    assert_int_equal(k_gemm(d, &g), ERR_DEVICE);
    device_close(d);
    struct device_ops none = *ref_device()->ops;
    none.unary = NULL;
    struct device lacking = *ref_device();
    lacking.ops = &none;
    refused(k_unary(&lacking, &a), ERR_DEVICE, "unary", "has no such operation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(time_passes),
        cmocka_unit_test(memory_is_counted),
        cmocka_unit_test(copies),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(guard_faults),
        cmocka_unit_test(guard_memory_starts_as_nan),
        cmocka_unit_test(guard_allocator),
        cmocka_unit_test(null_does_nothing),
        cmocka_unit_test(elementwise_checks),
        cmocka_unit_test(reduce_checks),
        cmocka_unit_test(gemm_checks),
        cmocka_unit_test(row_checks),
        cmocka_unit_test(attention_checks),
        cmocka_unit_test(loss_and_optimiser_checks),
        cmocka_unit_test(workspace_checks),
        cmocka_unit_test(no_silent_fallback),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
