/* sort.c -- a heap sort of numbers by what they stand for. */
#include "engine/core/sort.h"

static void swap(int32_t *order, int64_t a, int64_t b)
{
    int32_t kept = order[a];
    order[a] = order[b];
    order[b] = kept;
}

/* Sinks order[root] in the heap of 'n' numbers, the last one on top. */
static void sink(int32_t *order, int64_t root, int64_t n,
                 bool (*before)(const void *ctx, int32_t a, int32_t b), const void *ctx)
{
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && before(ctx, order[child], order[child + 1]))
            child++;
        if (!before(ctx, order[root], order[child]))
            return;
        swap(order, root, child);
    }
}

void sort_numbers(int32_t *order, int64_t n, bool (*before)(const void *ctx, int32_t a, int32_t b),
                  const void *ctx)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sink(order, i, n, before, ctx);
    for (int64_t last = n - 1; last > 0; last--) {
        swap(order, 0, last);
        sink(order, 0, last, before, ctx);
    }
}
