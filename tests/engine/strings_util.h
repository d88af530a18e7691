/* strings_util.h -- deterministic random strings, the same as scripts/golden/tokenizer_hashes.py
 * makes: change both together, and make the hashes again. */
#ifndef TESTS_ENGINE_STRINGS_UTIL_H
#define TESTS_ENGINE_STRINGS_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define RANDOM_STRING_BYTES 4096

/* String number 'index' of the series, not NUL-terminated (it may hold NUL); returns its length. */
size_t random_string(uint64_t index, char out[RANDOM_STRING_BYTES]);

#endif
