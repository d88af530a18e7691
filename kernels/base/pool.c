/* pool.c -- the thread pool: items claimed from one ticket, bounded spinning, then futex sleep.
 *
 * The ticket holds (run number, next item) in one word. A worker claims an item by a compare and
 * swap on the whole word, so one that comes late, from an earlier run or from a long sleep, can
 * neither take an item of a run whose job it has not read nor make the caller wait: the caller
 * waits for claimed items, never for workers to check in. That also makes a pool usable in a
 * forked child, where the caller simply does everything.
 *
 * A second caller that comes while a run is in progress does its work alone, as worker 0 of its
 * own run, instead of waiting. */
#include "kernels/base/pool.h"
#include "kernels/base/cpus.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef void job_fn(void *ctx, int64_t i, int worker);

#define LINE 64
#define SPIN_NS 100000         /* how long a thread spins for work before it sleeps */
#define SPINS_CROWDED 50       /* pauses when there are more threads than CPUs */
#define RUN_ITEMS 0x7fffffffLL /* items of one ticket; longer runs take several */
#define CLOSED 0xffffffffu     /* as next item: nothing to claim, the job may be rewritten */

struct worker {
    struct pool *pool;
    pthread_t id;
    int number;
};

struct pool {
    int threads; /* the caller included */
    int spins;   /* pauses before sleeping */
    pid_t owner; /* the process that has the workers */
    atomic_bool busy, stop;
    /* the run; written only while the ticket is closed. Atomic since late workers look. */
    _Alignas(LINE) _Atomic(job_fn *) job;
    _Atomic(void *) ctx;
    _Atomic int64_t first; /* the item number of ticket item 0 */
    _Atomic uint32_t count;
    _Alignas(LINE) _Atomic uint64_t ticket; /* run number << 32 | next item */
    _Alignas(LINE) _Atomic uint32_t done;   /* finished items of this run; futex of the caller */
    atomic_bool caller_sleeps;
    _Alignas(LINE) _Atomic uint32_t calls; /* counts runs; futex of the workers */
    _Atomic int32_t sleepers;
    struct worker workers[];
};

static void futex_sleep(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int threads)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Claims and does items of the open run until there are none. */
static void work(struct pool *p, int worker)
{
    uint32_t finished = 0;
    for (;;) {
        uint64_t ticket = atomic_load(&p->ticket);
        uint32_t item = (uint32_t)ticket;
        /* These may belong to a later run than 'ticket'; then the exchange below fails. */
        job_fn *job = atomic_load_explicit(&p->job, memory_order_acquire);
        void *ctx = atomic_load_explicit(&p->ctx, memory_order_acquire);
        int64_t first = atomic_load_explicit(&p->first, memory_order_acquire);
        uint32_t count = atomic_load_explicit(&p->count, memory_order_acquire);
        if (item == CLOSED || item >= count) {
            if (atomic_load(&p->ticket) == ticket)
                break;
            continue;
        }
        if (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket + 1))
            continue;
        job(ctx, first + item, worker);
        finished++;
    }
    /* No item of ours is unfinished here, and those we did are of one run: it cannot have ended
     * before we say so. */
    if (finished) {
        uint32_t count = atomic_load(&p->count);
        if (atomic_fetch_add(&p->done, finished) + finished == count &&
            atomic_load(&p->caller_sleeps))
            futex_wake(&p->done, 1);
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    uint32_t seen = 0; /* runs that came before this thread are as good as new */
    for (;;) {
        uint32_t calls;
        for (int i = 0; (calls = atomic_load(&p->calls)) == seen; i++) {
            if (i < p->spins) {
                relax();
                continue;
            }
            atomic_fetch_add(&p->sleepers, 1);
            futex_sleep(&p->calls, seen);
            atomic_fetch_sub(&p->sleepers, 1);
        }
        seen = calls;
        if (atomic_load(&p->stop))
            return NULL;
        work(p, w->number);
    }
}

/* Tells the workers that p->calls changed; wakes at most 'wanted' of those that sleep. */
static void call_workers(struct pool *p, int64_t wanted)
{
    atomic_fetch_add(&p->calls, 1);
    if (wanted > 0 && atomic_load(&p->sleepers) > 0)
        futex_wake(&p->calls, (int)i64_min(wanted, INT_MAX));
}

static void wait_done(struct pool *p, uint32_t count)
{
    uint32_t done;
    for (int i = 0; (done = atomic_load(&p->done)) != count; i++) {
        if (i < p->spins) {
            relax();
            continue;
        }
        atomic_store(&p->caller_sleeps, true);
        if ((done = atomic_load(&p->done)) != count)
            futex_sleep(&p->done, done);
        atomic_store(&p->caller_sleeps, false);
    }
}

static void run_part(struct pool *p, int64_t first, uint32_t count, job_fn *job, void *ctx)
{
    uint64_t run = ((atomic_load(&p->ticket) >> 32) + 1) << 32;
    atomic_store(&p->ticket, run | CLOSED);
    atomic_store_explicit(&p->job, job, memory_order_release);
    atomic_store_explicit(&p->ctx, ctx, memory_order_release);
    atomic_store_explicit(&p->first, first, memory_order_release);
    atomic_store_explicit(&p->count, count, memory_order_release);
    atomic_store(&p->done, 0);
    atomic_store(&p->ticket, run);
    call_workers(p, count - 1);
    work(p, 0);
    wait_done(p, count);
}

void pool_run(struct pool *p, int64_t count, job_fn *job, void *ctx)
{
    bool alone = !p || p->threads == 1 || count <= 1;
    if (alone || atomic_exchange(&p->busy, true)) {
        for (int64_t i = 0; i < count; i++)
            job(ctx, i, 0);
        return;
    }
    for (int64_t first = 0; first < count; first += RUN_ITEMS)
        run_part(p, first, (uint32_t)i64_min(count - first, RUN_ITEMS), job, ctx);
    atomic_store(&p->busy, false);
}

int pool_threads(const struct pool *p)
{
    return p ? p->threads : 1;
}

/* How many pauses last SPIN_NS: between 10 and 150 cycles each, by chip. */
static int spins_measured(void)
{
    struct timespec from, to;
    enum { TRIES = 500 };
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < TRIES; i++)
        relax();
    clock_gettime(CLOCK_MONOTONIC, &to);
    int64_t ns = (to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec);
    return (int)i64_max(500, i64_min(20000, (int64_t)TRIES * SPIN_NS / i64_max(ns, 1)));
}

/* Starts the workers with every signal blocked: signals are for the main thread. */
static int start_workers(struct pool *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int threads = p->threads, error = 0;
    for (p->threads = 1; p->threads < threads && !error; p->threads += !error) {
        struct worker *w = &p->workers[p->threads - 1];
        *w = (struct worker){.pool = p, .number = p->threads};
        error = pthread_create(&w->id, NULL, worker_main, w);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return fail(ERR_MEMORY,
                    "thread pool: thread %d of %d could not be started: %s; hint: use "
                    "fewer threads (--threads)",
                    p->threads + 1, threads, strerror(error));
    return OK;
}

int pool_new(int threads, struct pool **out)
{
    if (threads < 0 || threads > POOL_MAX_THREADS)
        return fail(ERR_ARG, "threads is %d, wanted 0 (one per CPU) to %d", threads,
                    POOL_MAX_THREADS);
    int cpus = cpus_allowed();
    if (threads == 0)
        threads = cpus < POOL_MAX_THREADS ? cpus : POOL_MAX_THREADS;
    size_t bytes = sizeof(struct pool) + (size_t)(threads - 1) * sizeof(struct worker);
    struct pool *p = mem_alloc_aligned(bytes);
    if (!p)
        return ERR_MEMORY;
    memset(p, 0, bytes);
    p->threads = threads;
    p->spins = threads > cpus ? SPINS_CROWDED : spins_measured();
    p->owner = getpid();
    p->ticket = CLOSED;
    int status = start_workers(p);
    if (status) {
        pool_free(p);
        return status;
    }
    *out = p;
    return OK;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    if (p->owner == getpid()) {
        atomic_store(&p->stop, true);
        call_workers(p, INT_MAX);
        for (int i = 1; i < p->threads; i++)
            pthread_join(p->workers[i - 1].id, NULL);
    }
    mem_free(p);
}
