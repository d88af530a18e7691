/* heap.c -- blocks of growing size, chained. */
#include "engine/text/template/heap.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <string.h>

enum { FIRST_BLOCK = 8 << 10, LARGEST_BLOCK = 256 << 10 };

struct heap_block {
    struct heap_block *before;
    size_t pad; /* keeps the data behind aligned to 16 */
};

int heap_charge(struct heap *h, size_t bytes)
{
    if (bytes > h->limit || h->total > h->limit - bytes)
        return fail(ERR_MEMORY, "more memory than a template may use (%zu KiB)", h->limit >> 10);
    h->total += bytes;
    return OK;
}

/* A block of 'size' bytes, counted. */
static struct heap_block *new_block(struct heap *h, size_t size)
{
    if (heap_charge(h, sizeof(struct heap_block) + size))
        return NULL;
    return mem_alloc(sizeof(struct heap_block) + size);
}

/* Memory of its own for what is large: it stands behind the block that is being filled. */
static void *large(struct heap *h, size_t bytes)
{
    struct heap_block *b = new_block(h, bytes);
    if (!b)
        return NULL;
    if (h->last) {
        b->before = h->last->before;
        h->last->before = b;
    } else {
        b->before = NULL;
        h->last = b;
        h->used = h->size = bytes;
    }
    return b + 1;
}

static int next_block(struct heap *h)
{
    size_t size = h->size < FIRST_BLOCK ? FIRST_BLOCK : h->size * 2;
    if (size > LARGEST_BLOCK)
        size = LARGEST_BLOCK;
    struct heap_block *b = new_block(h, size);
    if (!b)
        return ERR_MEMORY;
    b->before = h->last;
    h->last = b;
    h->used = 0;
    h->size = size;
    return OK;
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    size_t wanted;
    if (!size_pad(bytes ? bytes : 1, 8, &wanted)) {
        (void)fail(ERR_MEMORY, "%zu bytes", bytes);
        return NULL;
    }
    if (wanted > FIRST_BLOCK / 2 && (!h->last || wanted > h->size - h->used))
        return large(h, wanted);
    if ((!h->last || wanted > h->size - h->used) && next_block(h))
        return NULL;
    char *at = (char *)(h->last + 1) + h->used;
    h->used += wanted;
    return at;
}

void *heap_array(struct heap *h, size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes)) {
        (void)fail(ERR_MEMORY, "%zu items of %zu bytes", count, size);
        return NULL;
    }
    void *items = heap_alloc(h, bytes);
    if (items)
        memset(items, 0, bytes);
    return items;
}

char *heap_text(struct heap *h, const char *bytes, size_t length)
{
    char *text = heap_alloc(h, length);
    if (text && length)
        memcpy(text, bytes, length);
    return text;
}

void heap_free(struct heap *h)
{
    while (h->last) {
        struct heap_block *b = h->last;
        h->last = b->before;
        mem_free(b);
    }
    h->used = h->size = h->total = 0;
}
