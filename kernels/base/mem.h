/* mem.h -- all host memory goes through here.
 *
 * Every block is counted, so tests can prove that nothing leaks, and any allocation can be made to
 * fail, so tests can prove that running out of memory is survived. On failure the pressure hook
 * (if set) runs once and the allocation is tried again; then NULL is returned and the thread's
 * message says how many bytes were wanted. Thread-safe. */
#ifndef KERNELS_BASE_MEM_H
#define KERNELS_BASE_MEM_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

/* 'bytes' of uninitialised memory, aligned to 16. A size of 0 gives a valid block. */
void *mem_alloc(size_t bytes) MUST_CHECK;

/* As mem_alloc, aligned to 64 (tensors, packing buffers). */
void *mem_alloc_aligned(size_t bytes) MUST_CHECK;

/* 'count' items of 'size' bytes, zeroed; the product is checked. */
void *mem_calloc(size_t count, size_t size) MUST_CHECK;

/* Grows or shrinks a block of mem_alloc or mem_calloc (not an aligned one). NULL allocates. On
 * failure NULL is returned and the old block is untouched. */
void *mem_realloc(void *block, size_t bytes) MUST_CHECK;

/* Grows the array '*items' of 'size'-byte items to hold at least 'wanted', doubling '*capacity'.
 * On failure nothing is changed. */
int mem_grow(void **items, int64_t *capacity, int64_t wanted, size_t size) MUST_CHECK;

/* Copy of 'length' bytes of text with a terminating NUL. */
char *mem_text(const char *text, size_t length) MUST_CHECK;

/* Any block from above; NULL is fine. */
void mem_free(void *block);

struct mem_stats {
    int64_t live_bytes, peak_bytes, live_blocks;
    int64_t calls; /* allocations asked for since the start */
};
struct mem_stats mem_stats(void);

/* Sets peak_bytes to live_bytes. */
void mem_reset_peak(void);

/* 0 = no limit. An allocation that would pass the limit fails. */
void mem_set_limit(int64_t bytes);

/* Test hook: the n-th allocation from now (1 = next) fails; with 'for_good' all later ones too.
 * 0 switches it off. Returns how many allocations were seen since it was last set. */
int64_t mem_fail_at(int64_t n, int for_good);

/* Called once before an allocation is given up: release what can be made again. */
void mem_set_pressure(void (*hook)(void *), void *ctx);

/* The same counting, limit and fault hook for memory that is obtained elsewhere (mmap): call
 * before obtaining; on refusal ERR_MEMORY. mem_account(-bytes) gives it back, never fails. */
int mem_account(int64_t bytes);

#endif
