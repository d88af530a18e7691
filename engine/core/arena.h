/* arena.h -- memory for many small texts that live and die together. Blocks never move. */
#ifndef ENGINE_CORE_ARENA_H
#define ENGINE_CORE_ARENA_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

struct arena_block;
struct arena { /* zeroed = empty */
    struct arena_block *last;
    size_t used, size; /* of the last block */
};

/* 'bytes' of memory, aligned to 1; NULL when there is none. */
char *arena_alloc(struct arena *a, size_t bytes) MUST_CHECK;

/* A copy of a text with a NUL behind it; NULL when there is no memory. */
char *arena_text(struct arena *a, const char *text, size_t length) MUST_CHECK;
void arena_free(struct arena *a);

#endif
