/* hash.h -- a fast hash of bytes for tables inside one process.
 *
 * The seed is drawn once per process, so a file cannot be made that fills one chain of a table.
 * Never store a value: the next run gives another. */
#ifndef ENGINE_CORE_HASH_H
#define ENGINE_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *bytes, size_t length);

#endif
