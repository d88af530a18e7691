/* strings_util.h -- deterministic random strings, the same as scripts/golden/tokenizer_hashes.py
 * makes: change both together, and make the hashes again. */
#ifndef TESTS_ENGINE_STRINGS_UTIL_H
#define TESTS_ENGINE_STRINGS_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define RANDOM_STRING_BYTES 4096

/* String number 'index' of the series, not NUL-terminated (it may hold NUL); returns its length. */
size_t random_string(uint64_t index, char out[RANDOM_STRING_BYTES]);

#define SPECIAL_STRING_BYTES 256

/* Text number 'index' around special tokens and their like, NUL-terminated; 0 = no more. */
int special_string(int index, char out[SPECIAL_STRING_BYTES]);

/* List number 'index' of ids below 'size'; returns how many. */
int random_ids(uint64_t index, int32_t size, int32_t ids[12]);

#endif
