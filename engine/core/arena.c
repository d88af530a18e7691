/* arena.c -- memory for many small texts that live and die together. */
#include "engine/core/arena.h"
#include "kernels/base/mem.h"

#include <string.h>

#define FIRST_BLOCK 4096
#define LARGEST_BLOCK (256 << 10)

struct arena_block {
    struct arena_block *before;
    char bytes[];
};

char *arena_alloc(struct arena *a, size_t bytes)
{
    if (!a->last || a->size - a->used < bytes) {
        size_t size = a->size ? a->size * 2 : FIRST_BLOCK; /* small users stay small */
        if (size > LARGEST_BLOCK)
            size = LARGEST_BLOCK;
        if (size < bytes)
            size = bytes;
        if (size > SIZE_MAX - sizeof(struct arena_block))
            return NULL;
        struct arena_block *b = mem_alloc(sizeof *b + size);
        if (!b)
            return NULL;
        b->before = a->last;
        a->last = b;
        a->size = size;
        a->used = 0;
    }
    char *p = a->last->bytes + a->used;
    a->used += bytes;
    return p;
}

char *arena_text(struct arena *a, const char *text, size_t length)
{
    char *p = length < SIZE_MAX ? arena_alloc(a, length + 1) : NULL;
    if (!p)
        return NULL;
    if (length)
        memcpy(p, text, length);
    p[length] = '\0';
    return p;
}

void arena_free(struct arena *a)
{
    while (a->last) {
        struct arena_block *before = a->last->before;
        mem_free(a->last);
        a->last = before;
    }
    a->used = a->size = 0;
}
