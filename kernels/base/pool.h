/* pool.h -- the one thread pool of the process.
 *
 * Made by main and used by kernels, tokeniser and readers alike. A run hands out item numbers from
 * a shared counter, so a worker that is slowed by a busy neighbour holds up nothing but the item
 * it has; the calling thread works too. Waiting threads spin for a bounded time and then sleep.
 * Work is cut by problem size, never by thread count, so results do not depend on it.
 * Jobs must not call fail(), allocate, or start another run. */
#ifndef KERNELS_BASE_POOL_H
#define KERNELS_BASE_POOL_H

#include "kernels/base/status.h"
#include <stdint.h>

struct pool;

/* 'threads' >= 1 counts the caller: 1 makes no thread at all. 0 = one per CPU this process may
 * use (affinity mask and cgroup quota respected). At most POOL_MAX_THREADS. */
#define POOL_MAX_THREADS 256
int pool_new(int threads, struct pool **out) MUST_CHECK;

/* Stops and joins the workers. NULL is fine. */
void pool_free(struct pool *pool);

/* Threads that take part, the caller included. A NULL pool has 1. */
int pool_threads(const struct pool *pool);

/* Calls job(ctx, i, worker) once for every i in [0, count), worker in [0, pool_threads). Returns
 * when all are done; what the jobs wrote is visible to the caller. A NULL pool, or count <= 1,
 * runs in the caller. */
void pool_run(struct pool *pool, int64_t count, void (*job)(void *ctx, int64_t i, int worker),
              void *ctx);

#endif
