/* guard.c -- device memory that the host cannot touch.
 *
 * One region of address space without access rights. It is opened for the time of an operation or
 * a copy (one mprotect over the part in use) and closed again, so an engine that follows a device
 * pointer on its own dies at that line instead of working until it meets a GPU. Fresh memory is
 * filled with NaN (all bits set), so that reading before writing shows too.
 *
 * The books are kept outside the region: a list of spans in order of address, first fit. */
#include "kernels/guard.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define REGION_BYTES ((size_t)8 << 30)
#define REGION_LEAST ((size_t)256 << 20) /* where address space is limited */
#define ALIGN 64
#define PAGE 4096
#define TRIM_BYTES ((size_t)1 << 20)

struct span {
    size_t at, bytes;
    bool taken;
};

struct guard {
    char *base;
    size_t bytes, used; /* 'used': from base to the highest page ever handed out */
    struct span *spans; /* cover [0, bytes) without gap */
    int64_t count, capacity;
    int depth;
};

static void rights(struct guard *g, int prot)
{
    /* cannot fail for a mapping of our own but for want of kernel memory; then the next touch
     * faults, which is what this device is for */
    if (g->used && mprotect(g->base, g->used, prot))
        __builtin_trap();
}

static void guard_enter(struct device *d)
{
    struct guard *g = d->state;
    if (g->depth++ == 0)
        rights(g, PROT_READ | PROT_WRITE);
}

static void guard_leave(struct device *d)
{
    struct guard *g = d->state;
    if (--g->depth == 0)
        rights(g, PROT_NONE);
}

static int64_t first_fit(const struct guard *g, size_t bytes)
{
    for (int64_t i = 0; i < g->count; i++)
        if (!g->spans[i].taken && g->spans[i].bytes >= bytes)
            return i;
    return -1;
}

/* Takes 'bytes' from the front of free span i; there is room for one more entry. */
static void take(struct guard *g, int64_t i, size_t bytes)
{
    struct span *s = &g->spans[i];
    if (s->bytes > bytes) {
        memmove(s + 2, s + 1, (size_t)(g->count - i - 1) * sizeof *s);
        s[1] = (struct span){s->at + bytes, s->bytes - bytes, false};
        g->count++;
    }
    s->bytes = bytes;
    s->taken = true;
}

static int guard_alloc(struct device *d, size_t bytes, void **out)
{
    struct guard *g = d->state;
    size_t padded;
    if (!size_pad(bytes ? bytes : 1, ALIGN, &padded))
        return fail(ERR_MEMORY, "out of memory: %zu bytes wanted on the guard device", bytes);
    TRY(mem_grow((void **)&g->spans, &g->capacity, g->count + 1, sizeof *g->spans));
    int64_t i = first_fit(g, padded);
    if (i < 0)
        return fail(ERR_MEMORY,
                    "out of memory: %zu bytes wanted in the %zu MiB of the guard device", bytes,
                    g->bytes >> 20);
    TRY(mem_account((int64_t)padded));
    take(g, i, padded);
    size_t end = g->spans[i].at + padded, pages = (end + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (pages > g->used)
        g->used = pages;
    guard_enter(d);
    memset(g->base + g->spans[i].at, 0xFF, padded);
    guard_leave(d);
    *out = g->base + g->spans[i].at;
    return OK;
}

static int64_t span_at(const struct guard *g, size_t at)
{
    int64_t low = 0, high = g->count;
    while (low + 1 < high) {
        int64_t mid = (low + high) / 2;
        if (g->spans[mid].at <= at)
            low = mid;
        else
            high = mid;
    }
    return low;
}

static void drop(struct guard *g, int64_t i)
{
    memmove(g->spans + i, g->spans + i + 1, (size_t)(g->count - i - 1) * sizeof *g->spans);
    g->count--;
}

/* Gives back the pages behind the last span in use: changing the rights of a large workspace that
 * is long gone would slow down every operation after it. */
static void trim(struct guard *g)
{
    const struct span *last = &g->spans[g->count - 1];
    size_t end = (last->at + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (last->taken || g->used < end + TRIM_BYTES)
        return;
    madvise(g->base + end, g->used - end, MADV_DONTNEED);
    g->used = end;
}

static void guard_release(struct device *d, void *data, size_t bytes)
{
    struct guard *g = d->state;
    (void)bytes;
    int64_t i = span_at(g, (size_t)((char *)data - g->base));
    struct span *s = &g->spans[i];
    if (!s->taken || (char *)data != g->base + s->at)
        __builtin_trap(); /* released twice, or not ours */
    mem_account(-(int64_t)s->bytes);
    s->taken = false;
    if (i + 1 < g->count && !s[1].taken) {
        s->bytes += s[1].bytes;
        drop(g, i + 1);
    }
    if (i > 0 && !s[-1].taken) {
        s[-1].bytes += s->bytes;
        drop(g, i);
    }
    trim(g);
}

static int guard_copy(struct device *d, void *dst, const void *src, size_t bytes,
                      enum copy_direction dir)
{
    (void)dir;
    guard_enter(d);
    memmove(dst, src, bytes);
    guard_leave(d);
    return OK;
}

static int guard_set(struct device *d, void *dst, int byte, size_t bytes)
{
    guard_enter(d);
    memset(dst, byte, bytes);
    guard_leave(d);
    return OK;
}

static void guard_close(struct device *d)
{
    struct guard *g = d->state;
    for (int64_t i = 0; i < g->count; i++) /* what was never released is no longer in use */
        if (g->spans[i].taken)
            mem_account(-(int64_t)g->spans[i].bytes);
    munmap(g->base, g->bytes);
    mem_free(g->spans);
    mem_free(g);
}

static int reserve(struct guard *g)
{
    for (g->bytes = REGION_BYTES; g->bytes >= REGION_LEAST; g->bytes /= 2) {
        void *base =
            mmap(NULL, g->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base != MAP_FAILED) {
            g->base = base;
            return OK;
        }
    }
    return fail(ERR_MEMORY, "guard device: no %zu MiB of address space: %s", REGION_LEAST >> 20,
                strerror(errno));
}

int guard_open(struct device *d)
{
    struct guard *g = mem_calloc(1, sizeof *g);
    if (!g)
        return ERR_MEMORY;
    int status;
    TRY_OUT(mem_grow((void **)&g->spans, &g->capacity, 1, sizeof *g->spans));
    TRY_OUT(reserve(g));
    g->spans[0] = (struct span){0, g->bytes, false};
    g->count = 1;
    d->state = g;
    d->alloc = guard_alloc;
    d->release = guard_release;
    d->copy = guard_copy;
    d->set = guard_set;
    d->enter = guard_enter;
    d->leave = guard_leave;
    d->close = guard_close;
    return OK;
out:
    mem_free(g->spans);
    mem_free(g);
    return status;
}
