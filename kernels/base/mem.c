/* mem.c -- counted, limited, fault-injected allocation over malloc.
 *
 * Each block carries a 16-byte header just before the pointer handed out. */
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct header {
    uint64_t bytes;
    uint32_t offset; /* from the malloc pointer to the user's */
    uint32_t magic;
};
#define MAGIC 0x10AA5EEDu

static _Atomic int64_t live_bytes, peak_bytes, live_blocks, calls, limit;
static _Atomic int64_t fail_n, fail_seen;
static _Atomic int fail_for_good;
static void (*pressure_hook)(void *);
static void *pressure_ctx;

static bool fault(void)
{
    atomic_fetch_add(&calls, 1);
    int64_t n = atomic_load(&fail_n);
    int64_t seen = atomic_fetch_add(&fail_seen, 1) + 1;
    return n && (seen == n || (seen > n && atomic_load(&fail_for_good)));
}

static void count(int64_t bytes, int blocks)
{
    int64_t now = atomic_fetch_add(&live_bytes, bytes) + bytes;
    atomic_fetch_add(&live_blocks, blocks);
    int64_t peak = atomic_load(&peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now))
        ;
}

static bool over_limit(size_t bytes)
{
    int64_t max = atomic_load(&limit);
    return max && (bytes > (size_t)max || atomic_load(&live_bytes) + (int64_t)bytes > max);
}

static void *no_memory(size_t bytes)
{
    fail(ERR_MEMORY, "out of memory: %zu bytes wanted, %" PRId64 " in use%s", bytes,
         atomic_load(&live_bytes),
         atomic_load(&limit) ? " (a limit is set)"
                             : "; hint: close other programs or use a "
                               "smaller batch, model or max_length");
    return NULL;
}

/* One attempt. 'lead' is 16 or 64: where the user's bytes start. */
static void *attempt(size_t bytes, size_t lead)
{
    size_t total;
    if (!size_add(bytes, lead, &total) || !size_pad(total, lead, &total) || fault() ||
        over_limit(bytes))
        return NULL;
    char *raw = lead == 16 ? malloc(total) : aligned_alloc(lead, total);
    if (!raw)
        return NULL;
    struct header *h = (struct header *)(raw + lead) - 1;
    *h = (struct header){bytes, (uint32_t)lead, MAGIC};
    count((int64_t)bytes, 1);
    return raw + lead;
}

static void *get(size_t bytes, size_t lead)
{
    void *block = attempt(bytes, lead);
    if (!block && pressure_hook) {
        pressure_hook(pressure_ctx);
        block = attempt(bytes, lead);
    }
    return block ? block : no_memory(bytes);
}

void *mem_alloc(size_t bytes)
{
    return get(bytes, 16);
}

void *mem_alloc_aligned(size_t bytes)
{
    return get(bytes, 64);
}

void *mem_calloc(size_t items, size_t size)
{
    size_t bytes;
    if (!size_mul(items, size, &bytes))
        return no_memory(SIZE_MAX);
    void *block = get(bytes, 16);
    if (block)
        memset(block, 0, bytes);
    return block;
}

static struct header *header_of(void *block)
{
    struct header *h = (struct header *)block - 1;
    if (h->magic != MAGIC)
        __builtin_trap(); /* freed twice, or not ours: going on would corrupt the heap */
    return h;
}

void *mem_realloc(void *block, size_t bytes)
{
    if (!block)
        return mem_alloc(bytes);
    struct header *h = header_of(block);
    void *bigger = mem_alloc(bytes);
    if (!bigger)
        return NULL;
    memcpy(bigger, block, h->bytes < bytes ? h->bytes : bytes);
    mem_free(block);
    return bigger;
}

int mem_grow(void **items, int64_t *capacity, int64_t wanted, size_t size)
{
    if (wanted <= *capacity)
        return OK;
    int64_t room = *capacity < 8 ? 8 : *capacity;
    while (room < wanted)
        if (__builtin_mul_overflow(room, 2, &room))
            return fail(ERR_MEMORY, "out of memory: an array of %" PRId64 " items", wanted);
    size_t bytes;
    if (!size_mul((size_t)room, size, &bytes))
        return fail(ERR_MEMORY, "out of memory: an array of %" PRId64 " items", room);
    void *block = mem_realloc(*items, bytes);
    if (!block)
        return ERR_MEMORY;
    *items = block;
    *capacity = room;
    return OK;
}

char *mem_text(const char *text, size_t length)
{
    char *copy = mem_alloc(length + 1);
    if (copy) {
        if (length)
            memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

void mem_free(void *block)
{
    if (!block)
        return;
    struct header *h = header_of(block);
    count(-(int64_t)h->bytes, -1);
    h->magic = 0;
    free((char *)block - h->offset);
}

struct mem_stats mem_stats(void)
{
    return (struct mem_stats){atomic_load(&live_bytes), atomic_load(&peak_bytes),
                              atomic_load(&live_blocks), atomic_load(&calls)};
}

void mem_reset_peak(void)
{
    atomic_store(&peak_bytes, atomic_load(&live_bytes));
}

void mem_set_limit(int64_t bytes)
{
    atomic_store(&limit, bytes);
}

int64_t mem_fail_at(int64_t n, int for_good)
{
    int64_t seen = atomic_load(&fail_seen);
    atomic_store(&fail_n, n);
    atomic_store(&fail_for_good, for_good);
    atomic_store(&fail_seen, 0);
    return seen;
}

void mem_set_pressure(void (*hook)(void *), void *ctx)
{
    pressure_hook = hook;
    pressure_ctx = ctx;
}

int mem_account(int64_t bytes)
{
    if (bytes > 0 && (fault() || over_limit((size_t)bytes))) {
        no_memory((size_t)bytes);
        return ERR_MEMORY;
    }
    count(bytes, bytes > 0 ? 1 : -1);
    return OK;
}
