/* shared_util.h -- where tests find public data and models, and small helpers of parser tests. */
#ifndef TESTS_ENGINE_SHARED_UTIL_H
#define TESTS_ENGINE_SHARED_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Path of a file of the shared data folder (LORASH_SHARED, else ../shared) in a static buffer that
 * the fourth call from now overwrites; NULL and a printed reason when it is not there. */
const char *shared_path(const char *name);

/* The demo model: LORASH_DEMO_MODEL, else the first GGUF file in ~/.cache/lorash; NULL and a
 * printed reason when there is none. */
const char *demo_model_path(void);

/* A folder for the test's own files, removed with all in it at exit; in memory where there is room,
 * since every save waits for the disk. */
const char *temp_folder(void);
const char *temp_path(const char *name); /* in it; buffers as shared_path */
void temp_write(const char *name, const void *bytes, size_t length);

/* Runs 'parse' on every prefix and on every single-bit flip of the first 'limit' bytes. It must
 * return OK or an error with a message; memory stays under 'bytes_limit' and none may leak. */
void bad_input_sweep(const void *bytes, size_t length, size_t limit, int64_t bytes_limit,
                     int (*parse)(const char *bytes, size_t length));

/* The same with every 4 and 8 bytes from the start overwritten by numbers that sizes and counts must
 * survive: 0, 1, the largest, its half, and what wraps when multiplied. */
void bad_number_sweep(const void *bytes, size_t length, size_t limit, int64_t bytes_limit,
                      int (*parse)(const char *bytes, size_t length));

/* Fails the n-th allocation for n = 1, 2, ... (once, and for good) until 'work' succeeds; it must
 * return ERR_MEMORY every time before that and leave no block behind. Work that frees all it made
 * returns OK. */
void memory_sweep(int (*work)(void *ctx), void *ctx);

#endif
