/* nest.h -- walking several views of one shape in step, in parallel.
 *
 * Neighbouring dimensions that lie alike in all views are merged, so contiguous tensors become one
 * long run. Work is cut into tiles of NEST_TILE elements. A run hands out f32 arrays: pieces of the
 * views themselves where they have unit stride, copies in a buffer where not. */
#ifndef KERNELS_CPU_NEST_H
#define KERNELS_CPU_NEST_H

#include "kernels/cpu/cpu.h"

#define NEST_VIEWS 6
#define NEST_TILE 16384 /* elements per pool item */

struct nest {
    int64_t count; /* elements */
    int ndim;      /* 1..VIEW_DIMS, after merging */
    int views;
    int64_t shape[VIEW_DIMS];
    int64_t stride[NEST_VIEWS][VIEW_DIMS];
    void *data[NEST_VIEWS];
};

/* 'views' of the same shape (1..NEST_VIEWS of them). */
void CPU(nest_make)(struct nest *n, const struct view *v, int views);

/* Where element 'index' (row-major) lies: its offset in each view, and how many elements follow it
 * in the innermost dimension (itself included). */
int64_t CPU(nest_seek)(const struct nest *n, int64_t index, int64_t offset[NEST_VIEWS]);

/* One run of n elements: p[k] is an f32 array for view k. */
typedef void nest_run(const void *ctx, float *const p[], int64_t n);

/* Calls 'run' over all f32 views of the nest. The first 'outputs' views are written (and never
 * read before they are written, unless they are inputs too), the others read. */
void CPU(nest_map)(struct pool *pool, const struct nest *n, int outputs, nest_run *run,
                   const void *ctx);

#endif
