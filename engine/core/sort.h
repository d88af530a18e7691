/* sort.h -- sorting that no input can make slow: no recursion, no memory, no bad case. */
#ifndef ENGINE_CORE_SORT_H
#define ENGINE_CORE_SORT_H

#include <stdbool.h>
#include <stdint.h>

/* Puts the numbers order[0..n) into the order that 'before' says (of two that are equal neither is
 * before the other; their order is open). A heap sort. */
void sort_numbers(int32_t *order, int64_t n, bool (*before)(const void *ctx, int32_t a, int32_t b),
                  const void *ctx);

#endif
