/* heap.h -- memory of one template or one rendering: handed out, never given back one by one.
 *
 * A rendering makes many small values that die together; what it may use in all is limited, so a
 * template cannot eat the machine. Blocks never move. */
#ifndef ENGINE_TEXT_TEMPLATE_HEAP_H
#define ENGINE_TEXT_TEMPLATE_HEAP_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

struct heap_block;

struct heap { /* zeroed but for 'limit' = empty */
    struct heap_block *last;
    size_t used, size; /* of the last block */
    size_t total;      /* bytes of all blocks, with what heap_charge added */
    size_t limit;
};

/* 'bytes' of memory aligned to 8, not zeroed. NULL with ERR_MEMORY, also over the limit. */
void *heap_alloc(struct heap *h, size_t bytes) MUST_CHECK;

/* 'count' zeroed items. */
void *heap_array(struct heap *h, size_t count, size_t size) MUST_CHECK;

/* A copy of a text. */
char *heap_text(struct heap *h, const char *bytes, size_t length) MUST_CHECK;

/* Counts 'bytes' that are held elsewhere against the limit. */
int heap_charge(struct heap *h, size_t bytes) MUST_CHECK;
void heap_free(struct heap *h);

#endif
