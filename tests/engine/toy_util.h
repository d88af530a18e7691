/* toy_util.h -- a small byte-level tokenizer for tests, as tokenizer.json and as GGUF.
 *
 * Ids 0 to 255 are the bytes; 256 "he", 257 "ll", 258 "hell", 259 "hello", 260 "Ġhe"; merges in the
 * order "h e", "l l", "Ġ he", "he ll", "hell o"; added tokens from 300 on (see toy_util.c). */
#ifndef TESTS_ENGINE_TOY_UTIL_H
#define TESTS_ENGINE_TOY_UTIL_H

#include "engine/formats/gguf.h"
#include "engine/text/tokenizer.h"

struct tokenizer *toy(void);
struct tokenizer *toy_with(const char *config);          /* tokenizer_config.json */
char *toy_json(void);                                    /* mem_free */
char *toy_json_with(const char *part, const char *with); /* one text of it replaced */
char *toy_small_json(void); /* a few letters only: for sweeps over every bit */
char *toy_gguf(size_t *length, const char *pre);
int32_t toy_byte(unsigned char byte);

#endif
