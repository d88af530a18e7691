/* hash.h -- a fast hash of bytes for tables inside one process.
 *
 * The seed is drawn once per process, so a file cannot be made that fills one chain of a table.
 * Never store a value: the next run gives another. */
#ifndef ENGINE_CORE_HASH_H
#define ENGINE_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *bytes, size_t length);

/* The seed (never 0), for tables that hash numbers with hash_number. */
uint64_t hash_seed(void);

static inline uint64_t hash_number(uint64_t seed, uint64_t v)
{
    unsigned __int128 p = (unsigned __int128)(v ^ seed) * 0xD6E8FEB86659FD93u;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

#endif
