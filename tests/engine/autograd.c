/* autograd.c -- the machinery of tensors and nodes: long chains, walking twice, switching off,
 * collecting, running out of memory at every allocation, and no allocation in a steady step. */
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/gradcheck_util.h"
#include "tests/engine/tiny_util.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static struct tensor *number(struct context *ctx, double value, bool trainable)
{
    struct tensor *t;
    CHECK(tensor_scalar(ctx, ctx->compute, value, &t));
    t->requires_grad = trainable;
    return t;
}

static double item(struct tensor *t)
{
    double value;
    assert_non_null(t);
    CHECK(tensor_item(t, &value));
    return value;
}

static struct tensor *plus(struct tensor *a, struct tensor *b)
{
    struct tensor *c;
    CHECK(op_binary(a, b, BINARY_ADD, 0, &c));
    return c;
}

static struct tensor *times(struct tensor *a, struct tensor *b)
{
    struct tensor *c;
    CHECK(op_binary(a, b, BINARY_MUL, 0, &c));
    return c;
}

/* --- long chains ----------------------------------------------------------------------------- */

#define LINKS 100000
#define SMALL_STACK (128 << 10)

static struct tensor *chain(struct tensor *x)
{
    struct tensor *t = tensor_keep(x), *next;
    for (int i = 0; i < LINKS; i++) {
        CHECK(op_unary(t, UNARY_LINEAR, 1, 1, &next));
        tensor_release(t);
        t = next;
    }
    return t;
}

/* Walks (when asked to) and releases a tensor on a small stack: a frame per link would not fit. */
struct job {
    struct tensor *end;
    bool walk;
    int status;
};

static void *on_small_stack(void *arg)
{
    struct job *j = arg;
    if (j->walk)
        j->status = tensor_backward(j->end, NULL);
    tensor_release(j->end);
    return NULL;
}

static void run_small(struct job *j)
{
    pthread_attr_t attr;
    pthread_t thread;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, (size_t)SMALL_STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, on_small_stack, j), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
    assert_int_equal(j->status, OK);
}

static void long_chain_released(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 1, true), *end = chain(x);
    assert_true(item(end) == 1 + LINKS);
    assert_int_equal(ctx->live_tensors, LINKS + 1);
    run_small(&(struct job){.end = end});
    assert_int_equal(ctx->live_tensors, 1);
    tensor_release(x);
    util_context_free(ctx);
}

static void long_chain_walked(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 1, true), *end = chain(x);
    run_small(&(struct job){.end = end, .walk = true});
    assert_true(item(x->grad) == 1);
    assert_int_equal(ctx->live_tensors, 2);
    tensor_release(x);
    util_context_free(ctx);
}

/* A doubling per level: 2^40 paths, 40 nodes, each visited once. */
static void diamonds(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 1, true), *t = tensor_keep(x);
    for (int i = 0; i < 40; i++) {
        struct tensor *next = plus(t, t);
        tensor_release(t);
        t = next;
    }
    CHECK(tensor_backward(t, NULL));
    assert_true(item(x->grad) == 0x1p40);
    tensor_release(t);
    tensor_release(x);
    util_context_free(ctx);
}

/* --- what is refused ------------------------------------------------------------------------- */

static void walked_twice(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 3, true), *y = times(x, x);
    CHECK(tensor_backward(y, NULL));
    assert_true(item(x->grad) == 6);
    assert_int_equal(tensor_backward(y, NULL), ERR_ARG);
    assert_non_null(strstr(status_message(), "walked already"));
    assert_true(item(x->grad) == 6);
    tensor_release(y);
    tensor_release(x);
    util_context_free(ctx);
}

/* Two losses over one part: the second walk would lose that part's share, so it is refused. */
static void shared_part(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 3, true), *h = times(x, x);
    struct tensor *a = times(h, h), *b = plus(h, h);
    CHECK(tensor_backward(a, NULL));
    assert_true(item(x->grad) == 4 * 27);
    assert_int_equal(tensor_backward(b, NULL), ERR_ARG);
    assert_non_null(strstr(status_message(), "walked already"));
    tensor_release(a);
    tensor_release(b);
    tensor_release(h);
    tensor_release(x);
    util_context_free(ctx);
}

static void refused(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *plain = number(ctx, 1, false), *x, *y;
    assert_int_equal(tensor_backward(plain, NULL), ERR_ARG);
    assert_non_null(strstr(status_message(), "requires"));
    CHECK(tensor_from(ctx, DT_F64, 1, (int64_t[]){3}, (double[]){1, 2, 3}, &x));
    x->requires_grad = true;
    CHECK(op_unary(x, UNARY_EXP, 0, 0, &y));
    assert_int_equal(tensor_backward(y, NULL), ERR_ARG);
    assert_non_null(strstr(status_message(), "one element"));
    assert_int_equal(tensor_backward(y, plain), ERR_ARG); /* a seed of another shape */
    CHECK(tensor_backward(y, x));                         /* refusals have not consumed the graph */
    double g[3];
    CHECK(tensor_read(x->grad, g));
    assert_true(fabs(g[2] - 3 * exp(3)) < 1e-12);
    tensor_release(y);
    tensor_release(x);
    tensor_release(plain);
    util_context_free(ctx);
}

/* --- recording ------------------------------------------------------------------------------- */

static void switched_off(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 3, true), *frozen = number(ctx, 4, false), *y, *z;
    ctx->grad = false;
    y = times(x, x);
    assert_false(tensor_needs_grad(y));
    tensor_release(y);
    ctx->grad = true;
    y = times(frozen, frozen); /* nothing wants a gradient: no node, nothing kept */
    assert_null(y->node);
    assert_int_equal(frozen->refs, 1);
    z = times(x, y);
    CHECK(tensor_backward(z, NULL));
    assert_true(item(x->grad) == 16);
    assert_null(y->grad);
    assert_null(frozen->grad);
    assert_true(ctx->grad); /* the walk puts the switch back */
    tensor_release(z);
    tensor_release(y);
    tensor_release(frozen);
    tensor_release(x);
    util_context_free(ctx);
}

static void not_differentiable(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 3, true), *y = NULL, *z;
    CHECK(op_unary(x, UNARY_GT, 1, 0, &y));
    assert_false(tensor_needs_grad(y));
    CHECK(op_binary(x, y, BINARY_LT, 0, &z));
    assert_false(tensor_needs_grad(z));
    tensor_release(z);
    CHECK(op_max(x, -1, false, &z));
    assert_false(tensor_needs_grad(z));
    tensor_release(z);
    tensor_release(y);
    tensor_release(x);
    util_context_free(ctx);
}

static void leaves_collect(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 3, true), *kept = NULL;
    for (int i = 1; i <= 3; i++) {
        struct tensor *y = times(x, x);
        CHECK(tensor_backward(y, NULL));
        tensor_release(y);
        assert_true(item(x->grad) == 6 * i);
        kept = kept ? kept : tensor_keep(x->grad); /* a gradient that somebody holds stays his */
        assert_ptr_equal(kept, x->grad);
    }
    tensor_clear(&x->grad);
    struct tensor *y = times(x, x);
    CHECK(tensor_backward(y, NULL));
    assert_true(item(x->grad) == 6 && item(kept) == 18);
    tensor_release(y);
    tensor_release(kept);
    tensor_release(x);
    util_context_free(ctx);
}

/* The seed is read, never given away or changed. */
static void seed_stays(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x = number(ctx, 3, true), *seed = number(ctx, 5, false), *y, *z;
    CHECK(op_unary(x, UNARY_EXP, 0, 0, &y));
    CHECK(op_unary(y, UNARY_LINEAR, 2, 0, &z));
    CHECK(tensor_backward(z, seed));
    assert_true(item(seed) == 5 && seed->refs == 1);
    assert_true(fabs(item(x->grad) - 10 * exp(3)) < 1e-10);
    tensor_release(z);
    tensor_release(y);
    tensor_release(seed);
    tensor_release(x);
    util_context_free(ctx);
}

/* A gradient may be wanted of a middle tensor's views while the leaf is a strided window's base. */
static void write_to_a_window(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *x, *column;
    double all[6] = {0}, wanted[6] = {0, 7, 0, 0, 8, 0};
    CHECK(tensor_from(ctx, DT_F64, 2, (int64_t[]){2, 3}, all, &x));
    CHECK(op_select(x, 1, 1, &column));
    CHECK(tensor_write(column, (double[]){7, 8}));
    CHECK(tensor_read(x, all));
    assert_memory_equal(all, wanted, sizeof all);
    tensor_release(column);
    tensor_release(x);
    util_context_free(ctx);
}

/* x^b at its ends: finite where the true slope is. */
static void power_at_zero(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *a, *b, *y, *sum;
    double g[3], wanted_a[3] = {0, 0, 2}, wanted_b[3] = {0, 0, 0};
    CHECK(tensor_from(ctx, DT_F64, 1, (int64_t[]){3}, (double[]){0, 0, 1}, &a));
    CHECK(tensor_from(ctx, DT_F64, 1, (int64_t[]){3}, (double[]){2, 0, 2}, &b));
    a->requires_grad = b->requires_grad = true;
    CHECK(op_binary(a, b, BINARY_POW, 0, &y));
    CHECK(op_sum(y, -1, false, &sum));
    CHECK(tensor_backward(sum, NULL));
    CHECK(tensor_read(a->grad, g));
    for (int i = 0; i < 3; i++)
        assert_true(g[i] == wanted_a[i]);
    CHECK(tensor_read(b->grad, g));
    for (int i = 0; i < 3; i++)
        assert_true(g[i] == wanted_b[i]);
    tensor_release(sum);
    tensor_release(y);
    tensor_release(b);
    tensor_release(a);
    util_context_free(ctx);
}

/* --- out of memory --------------------------------------------------------------------------- */

static const struct tiny_rows batch_rows = {2, {6, 4}, 40, true};

/* A whole step: batch, forward, loss, backward. */
static int whole_step(struct model *m, double *loss)
{
    struct batch b;
    TRY(tiny_batch_try(m, &batch_rows, -1, &b));
    int status = tiny_step(m, &b, 0.5, loss);
    batch_free(&b);
    return status;
}

static struct model *trained_model(struct context *ctx, bool lora)
{
    struct model *m = tiny_model(ctx, &(struct tiny_options){.tied = true, .window = 4});
    if (lora)
        tiny_lora(m, "all-linear", 0.3, 5);
    else
        tiny_train_all(m);
    return m;
}

/* Fails allocation 1, 2, 3 ... of a step, once or from there on, in a context without cached
 * blocks: every time ERR_MEMORY and nothing kept; afterwards a step gives the usual bits. */
static void every_allocation(const char *device, bool lora, bool for_good, int step)
{
    struct context *ctx = gc_context(device, DT_F64);
    struct model *m = trained_model(ctx, lora);
    double loss, wanted_loss;
    int64_t n, count;
    CHECK(whole_step(m, &wanted_loss));
    double *wanted = tiny_gradients(m, &count);
    tiny_clear_gradients(m);
    context_trim(ctx);
    int64_t blocks = mem_stats().live_blocks, tensors = ctx->live_tensors, refused_steps = 0;
    for (n = 1;; n += step) {
        mem_fail_at(n, for_good);
        int status = whole_step(m, &loss);
        int64_t seen = mem_fail_at(0, 0);
        if (seen < n) { /* it came to its end before the n-th */
            CHECK(status);
            break;
        }
        if (status && status != ERR_MEMORY)
            fail_msg("allocation %d: status %d, %s", (int)n, status, status_message());
        if (!status) /* only notes of freed blocks were refused */
            assert_true(loss == wanted_loss);
        refused_steps += status != OK;
        tiny_clear_gradients(m);
        context_trim(ctx);
        assert_int_equal(ctx->live_tensors, tensors);
        assert_int_equal(mem_stats().live_blocks, blocks);
        assert_true(ctx->grad);
        if (n % (13 * step) == 1) { /* the next step is as good as any */
            CHECK(whole_step(m, &loss));
            double *got = tiny_gradients(m, &count);
            assert_true(loss == wanted_loss);
            assert_memory_equal(got, wanted, (size_t)count * sizeof *got);
            mem_free(got);
            tiny_clear_gradients(m);
            context_trim(ctx);
        }
    }
    assert_true(n > 300 && refused_steps > n / (2 * step));
    mem_free(wanted);
    model_release(m);
    util_context_free(ctx);
}

static void no_memory_full(void **state)
{
    (void)state;
    every_allocation("ref", false, true, 1);
}

static void no_memory_lora(void **state)
{
    (void)state;
    every_allocation("ref", true, true, 1);
}

static void no_memory_once(void **state)
{
    (void)state;
    every_allocation("ref", true, false, 1);
}

static void no_memory_guard(void **state)
{
    (void)state;
    every_allocation("guard", true, false, 5);
}

/* The user stops the step at operation 1, 2, 3 ...: ERR_CANCELLED (or it was too late: the usual
 * result), nothing kept, and the next step gives the usual bits. */
static volatile int stop;
static int64_t stop_at, operations;

static void count_operation(struct device *d)
{
    (void)d;
    stop = stop || ++operations == stop_at;
}

static void do_nothing(struct device *d)
{
    (void)d;
}

static void cancelled(void **state)
{
    (void)state;
    struct context *ctx = gc_context("ref", DT_F64);
    struct model *m = trained_model(ctx, true);
    double loss, wanted;
    int64_t tensors = ctx->live_tensors, stopped = 0;
    stop_at = operations = stop = 0;
    CHECK(whole_step(m, &wanted));
    tiny_clear_gradients(m);
    ctx->device->enter = count_operation;
    ctx->device->leave = do_nothing;
    m->cancel = &stop;
    for (stop_at = 1;; stop_at++) {
        operations = stop = 0;
        int status = whole_step(m, &loss);
        bool met = stop;
        stop = 0;
        assert_true(status == ERR_CANCELLED || (!status && loss == wanted));
        stopped += status != OK;
        tiny_clear_gradients(m);
        assert_int_equal(ctx->live_tensors, tensors);
        assert_true(ctx->grad);
        if (!met)
            break;
        stop_at += 4;
        operations = -1000000;
        CHECK(whole_step(m, &loss));
        tiny_clear_gradients(m);
        assert_true(loss == wanted);
    }
    assert_true(stopped > 5);
    model_release(m);
    util_context_free(ctx);
}

/* Making the model and the adapter, likewise. */
static int make_and_drop(struct context *ctx)
{
    struct model *m;
    struct lora *l;
    struct lora_config c;
    TRY(tiny_model_try(ctx, &(struct tiny_options){.tied = false}, &m));
    int status = options_init(&lora_options, &c);
    if (!status) {
        status = lora_attach(m, &c, 1, &l);
        options_free(&lora_options, &c);
    }
    if (status && m->adapter)
        fail_msg("a failed attach left an adapter");
    model_release(m);
    return status;
}

static void no_memory_making(void **state)
{
    (void)state;
    struct context *ctx = gc_context("ref", DT_F64);
    int64_t blocks = mem_stats().live_blocks;
    for (int64_t n = 1;; n++) {
        mem_fail_at(n, n % 2);
        int status = make_and_drop(ctx);
        int64_t seen = mem_fail_at(0, 0);
        context_trim(ctx);
        assert_int_equal(mem_stats().live_blocks, blocks);
        if (seen < n) {
            CHECK(status);
            assert_true(n > 100);
            break;
        }
        assert_true(status == ERR_MEMORY ||
                    !status); /* a refused note of a freed block is no harm */
    }
    util_context_free(ctx);
}

/* --- a steady step ---------------------------------------------------------------------------- */

static int64_t device_allocs;
static int (*real_alloc)(struct device *d, size_t bytes, void **out);

static int counted_alloc(struct device *d, size_t bytes, void **out)
{
    device_allocs++;
    return real_alloc(d, bytes, out);
}

static void steady_step(void **state)
{
    (void)state;
    for (int lora = 0; lora < 2; lora++) {
        struct context *ctx = gc_context("ref", DT_F64);
        real_alloc = ctx->device->alloc;
        ctx->device->alloc = counted_alloc;
        struct model *m = trained_model(ctx, lora);
        int64_t live = 0, host = 0;
        double loss;
        for (int step = 0; step < 5; step++) {
            if (step == 2) {
                live = ctx->device->live_bytes;
                host = mem_stats().live_bytes;
                device_allocs = 0;
            }
            CHECK(whole_step(m, &loss));
            tiny_clear_gradients(m);
        }
        assert_int_equal(device_allocs, 0);
        assert_int_equal(ctx->device->live_bytes, live);
        assert_int_equal(mem_stats().live_bytes, host);
        assert_true(ctx->cached_bytes > 0);
        context_trim(ctx);
        assert_int_equal(ctx->cached_bytes, 0);
        CHECK(whole_step(m, &loss));
        model_release(m);
        util_context_free(ctx);
    }
}

/* Steps of many sizes: the device never holds much more than the largest step had in use at once,
 * and equal steps soon ask for nothing more. The null device computes nothing, so the sizes can be
 * real. */
static void changing_steps(void **state)
{
    (void)state;
    static const int64_t lengths[] = {60, 60, 60, 31, 31, 31, 47, 47, 47, 9, 9, 9, 60, 60, 60};
    struct context *ctx = util_context("null", DT_F32, 1);
    int64_t first = 0;
    double loss;
    struct model *m = tiny_model(ctx, &(struct tiny_options){.tied = true, .layers = 40});
    tiny_lora(m, "all-linear", 0.1, 1);
    real_alloc = ctx->device->alloc;
    ctx->device->alloc = counted_alloc;
    for (int i = 0; i < COUNT_OF(lengths); i++) {
        struct tiny_rows rows = {4, {lengths[i], lengths[i], lengths[i], lengths[i]}, 1, true};
        struct batch b = tiny_batch(m, &rows, -1);
        device_allocs = 0;
        CHECK(tiny_step(m, &b, 1, &loss));
        batch_free(&b);
        tiny_clear_gradients(m);
        if (i < 3) /* with room to spare, the second already */
            assert_true(i == 0 || device_allocs == 0);
        if (i % 3 == 0)
            first = device_allocs;
        if (i % 3 == 2)
            assert_true(device_allocs <= first / 4);
        assert_true(ctx->peak_used > 2000000);
        assert_true(ctx->device->live_bytes <=
                    ctx->peak_used + ctx->peak_used / 16 + (2 << 20)); /* and scratch */
    }
    model_release(m);
    util_context_free(ctx);
}

/* Under a limit, what lies unused in the cache is given back before a request is refused. */
static void cache_yields(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct tensor *t;
    CHECK(tensor_new_2d(ctx, DT_F64, 300, 1000, &t));
    tensor_release(t);
    assert_true(ctx->cached_bytes >= 2400000);
    mem_set_limit(mem_stats().live_bytes + 1000000);
    CHECK(tensor_new_2d(ctx, DT_F64, 290, 500, &t)); /* another size class */
    tensor_release(t);
    assert_int_equal(tensor_new_2d(ctx, DT_F64, 1000, 1000, &t), ERR_MEMORY);
    mem_set_limit(0);
    CHECK(tensor_new_2d(ctx, DT_F64, 1000, 1000, &t));
    tensor_release(t);
    struct scratch s;
    context_trim(ctx);
    CHECK(tensor_new_2d(ctx, DT_F64, 300, 1000, &t));
    tensor_release(t);
    mem_set_limit(mem_stats().live_bytes + 1000000);
    CHECK(context_scratch(ctx, 2000000, &s)); /* scratch too */
    mem_set_limit(0);
    util_context_free(ctx);
}

/* Size classes: what comes back goes to the same class, for every size. */
static void size_classes(void **state)
{
    (void)state;
    struct context *ctx = util_context("null", DT_F32, 1);
    for (size_t bytes = 0; bytes < (size_t)1 << 40; bytes += 1 + bytes / 37) {
        void *a, *b;
        size_t got, again;
        CHECK(context_alloc(ctx, bytes, &a, &got));
        assert_true(got >= bytes && (got <= 256 || got * 4 <= bytes * 5 + 64));
        context_free(ctx, a, got);
        CHECK(context_alloc(ctx, bytes, &b, &again));
        assert_ptr_equal(a, b);
        assert_int_equal(got, again);
        context_free(ctx, b, again);
        assert_int_equal(ctx->cached_bytes, got);
        assert_int_equal(ctx->device->live_bytes, got);
        context_trim(ctx);
        assert_int_equal(ctx->device->live_bytes, 0);
    }
    util_context_free(ctx);
}

static int64_t blocks_before;

static int begin(void **state)
{
    (void)state;
    blocks_before = mem_stats().live_blocks;
    return 0;
}

static int no_leak(void **state)
{
    (void)state;
    mem_fail_at(0, 0);
    mem_set_limit(0);
    assert_int_equal(mem_stats().live_blocks, blocks_before);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, no_leak)
    const struct CMUnitTest tests[] = {
        TEST(long_chain_released), TEST(long_chain_walked),  TEST(diamonds),
        TEST(walked_twice),        TEST(shared_part),        TEST(refused),
        TEST(switched_off),        TEST(not_differentiable), TEST(leaves_collect),
        TEST(seed_stays),          TEST(write_to_a_window),  TEST(power_at_zero),
        TEST(no_memory_full),      TEST(no_memory_lora),     TEST(no_memory_once),
        TEST(no_memory_guard),     TEST(no_memory_making),   TEST(cancelled),
        TEST(steady_step),         TEST(changing_steps),     TEST(cache_yields),
        TEST(size_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
