/* pool.c -- tests of the thread pool: every item exactly once, visibility, stress, failures.
 *
 * Run it in a SAN=thread build too: that is where a wrong claim shows. */
#include "kernels/base/pool.h"
#include "kernels/base/cpus.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ITEMS 5000

struct tally {
    int threads;
    int visits[ITEMS];          /* plain on purpose: two visits at once would be a race */
    _Atomic int64_t worker_bad; /* worker number out of range */
    _Atomic int inside[POOL_MAX_THREADS];
};

static void visit(void *ctx, int64_t i, int worker)
{
    struct tally *t = ctx;
    if (worker < 0 || worker >= t->threads || atomic_fetch_add(&t->inside[worker], 1) != 0)
        atomic_fetch_add(&t->worker_bad, 1); /* a worker number must not be in use twice at once */
    t->visits[i]++;
    atomic_fetch_sub(&t->inside[worker], 1);
}

static void test_every_item_once(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 4, 7};
    static const int64_t counts[] = {0, 1, 2, 3, 5, 64, 1000, ITEMS};
    static struct tally t;
    for (int k = 0; k < COUNT_OF(threads); k++) {
        struct pool *p;
        assert_int_equal(pool_new(threads[k], &p), OK);
        assert_int_equal(pool_threads(p), threads[k]);
        for (int c = 0; c < COUNT_OF(counts); c++) {
            memset(&t, 0, sizeof t);
            t.threads = threads[k];
            pool_run(p, counts[c], visit, &t);
            for (int64_t i = 0; i < ITEMS; i++)
                assert_int_equal(t.visits[i], i < counts[c]);
            assert_int_equal(t.worker_bad, 0);
        }
        pool_free(p);
    }
}

struct chain {
    int64_t from[ITEMS], to[ITEMS];
};

static void step_chain(void *ctx, int64_t i, int worker)
{
    (void)worker;
    struct chain *c = ctx;
    c->to[i] = c->from[(i * 7 + 3) % ITEMS] + 1; /* reads what another worker wrote last run */
}

static void test_results_are_visible(void **state)
{
    (void)state;
    static struct chain c;
    struct pool *p;
    memset(&c, 0, sizeof c);
    assert_int_equal(pool_new(3, &p), OK);
    for (int run = 1; run <= 200; run++) {
        pool_run(p, ITEMS, step_chain, &c);
        for (int i = 0; i < ITEMS; i++)
            assert_int_equal(c.to[i], run);
        memcpy(c.from, c.to, sizeof c.from); /* the caller reads and writes between runs */
    }
    pool_free(p);
}

struct sum {
    _Atomic int64_t total;
};

static void add(void *ctx, int64_t i, int worker)
{
    (void)worker;
    atomic_fetch_add(&((struct sum *)ctx)->total, i + 1);
}

static void pause_us(int us)
{
    struct timespec t = {0, us * 1000L};
    nanosleep(&t, NULL);
}

/* Many short runs, with gaps that let the workers spin, sleep, and be caught in between; each run
 * has a context of its own that is gone when it ends. */
static void test_stress(void **state)
{
    (void)state;
    static const int threads[] = {2, 4, 7};
    for (int k = 0; k < COUNT_OF(threads); k++) {
        struct pool *p;
        assert_int_equal(pool_new(threads[k], &p), OK);
        for (int run = 0; run < 3000; run++) {
            struct sum s = {0};
            int64_t n = run % 17;
            pool_run(p, n, add, &s);
            assert_int_equal(s.total, n * (n + 1) / 2);
            if (run % 100 == 99)
                pause_us(run % 200 == 99 ? 300 : 30);
        }
        pool_free(p);
    }
    for (int i = 0; i < 50; i++) { /* stop workers that have not yet looked for work */
        struct pool *p;
        assert_int_equal(pool_new(3, &p), OK);
        pool_free(p);
    }
}

static void slow_first(void *ctx, int64_t i, int worker)
{
    if (i == 0)
        pause_us(20000);
    add(ctx, i, worker);
}

/* The caller has to sleep for a worker that is late with its item. */
static void test_slow_item(void **state)
{
    (void)state;
    struct pool *p;
    assert_int_equal(pool_new(2, &p), OK);
    for (int run = 0; run < 10; run++) {
        struct sum s = {0};
        pool_run(p, 100, slow_first, &s);
        assert_int_equal(s.total, 5050);
    }
    pool_free(p);
}

struct second {
    struct pool *pool;
    struct sum sum;
};

static void *second_caller(void *arg)
{
    struct second *s = arg;
    for (int run = 0; run < 500; run++)
        pool_run(s->pool, 10, add, &s->sum);
    return NULL;
}

static void test_two_callers(void **state)
{
    (void)state;
    struct second a = {0}, b = {0};
    pthread_t id;
    assert_int_equal(pool_new(3, &a.pool), OK);
    b.pool = a.pool;
    assert_int_equal(pthread_create(&id, NULL, second_caller, &b), 0);
    second_caller(&a);
    pthread_join(id, NULL);
    assert_int_equal(a.sum.total, 500 * 55);
    assert_int_equal(b.sum.total, 500 * 55);
    pool_free(a.pool);
}

static int tasks(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_one_makes_no_thread(void **state)
{
    (void)state;
    int before = tasks();
    struct pool *p;
    struct sum s = {0};
    assert_int_equal(pool_new(1, &p), OK);
    assert_int_equal(tasks(), before);
    pool_run(p, 10, add, &s);
    assert_int_equal(s.total, 55);
    pool_free(p);
    pool_free(NULL);
    s.total = 0;
    pool_run(NULL, 10, add, &s);
    assert_int_equal(s.total, 55);
    assert_int_equal(pool_threads(NULL), 1);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    struct pool *p = NULL;
    assert_int_equal(pool_new(-1, &p), ERR_ARG);
    assert_int_equal(pool_new(POOL_MAX_THREADS + 1, &p), ERR_ARG);
    assert_null(p);
    assert_non_null(strstr(status_message(), "257"));
}

static void test_no_memory(void **state)
{
    (void)state;
    struct mem_stats before = mem_stats();
    struct pool *p = NULL;
    mem_fail_at(1, 0);
    assert_int_equal(pool_new(2, &p), ERR_MEMORY);
    mem_fail_at(0, 0);
    assert_null(p);
    assert_int_equal(pool_new(2, &p), OK);
    pool_free(p);
    assert_int_equal(mem_stats().live_bytes, before.live_bytes);
}

static void note_mask(void *ctx, int64_t i, int worker)
{
    (void)i;
    sigset_t *masks = ctx;
    pthread_sigmask(SIG_BLOCK, NULL, &masks[worker]);
    pause_us(2000); /* let the other one take an item */
}

static void test_workers_block_signals(void **state)
{
    (void)state;
    struct pool *p;
    sigset_t masks[2];
    sigfillset(&masks[1]);
    assert_int_equal(pool_new(2, &p), OK);
    pool_run(p, 20, note_mask, masks);
    assert_int_equal(sigismember(&masks[0], SIGINT), 0);
    assert_int_equal(sigismember(&masks[1], SIGINT), 1);
    assert_int_equal(sigismember(&masks[1], SIGTERM), 1);
    pool_free(p);
}

#if !defined(__SANITIZE_THREAD__)
static void test_fork(void **state)
{
    (void)state;
    struct pool *p;
    assert_int_equal(pool_new(3, &p), OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* has no workers: the caller does it all */
        struct sum s = {0};
        alarm(20);
        pool_run(p, 100, add, &s);
        pool_free(p);
        _exit(s.total == 5050 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    pool_free(p);
}
#endif

static void test_quota_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int cpus;
    } cases[] = {
        {"max 100000\n", 0},
        {"150000 100000\n", 2},
        {"200000 100000\n", 2},
        {"1 100000", 1},
        {"0 100000", 1},
        {"", 0},
        {"100000", 0},
        {"100000 0", 0},
        {"-1 100000", 0},
        {"99999999999999999999 1", 0},
        {"9999999999999 1", INT32_MAX},
    };
    for (int i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(cpus_of_quota(cases[i].text, strlen(cases[i].text)), cases[i].cpus);
}

/* On one CPU "one per CPU" is one, and more threads than CPUs must still work. */
static void test_affinity(void **state)
{
    (void)state;
    cpu_set_t old, one;
    int cpu = 0;
    assert_true(cpus_allowed() >= 1);
    assert_int_equal(sched_getaffinity(0, sizeof old, &old), 0);
    while (!CPU_ISSET(cpu, &old))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    struct pool *p;
    assert_int_equal(cpus_allowed(), 1);
    assert_int_equal(pool_new(0, &p), OK);
    assert_int_equal(pool_threads(p), 1);
    pool_free(p);
    assert_int_equal(pool_new(3, &p), OK);
    struct sum s = {0};
    for (int run = 0; run < 20; run++)
        pool_run(p, 10, add, &s);
    assert_int_equal(s.total, 20 * 55);
    pool_free(p);
    assert_int_equal(sched_setaffinity(0, sizeof old, &old), 0);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_results_are_visible),
        cmocka_unit_test(test_stress),
        cmocka_unit_test(test_slow_item),
        cmocka_unit_test(test_two_callers),
        cmocka_unit_test(test_one_makes_no_thread),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_workers_block_signals),
#if !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_fork),
#endif
        cmocka_unit_test(test_quota_text),
        cmocka_unit_test(test_affinity),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
