/* pytext.h -- what Python's str methods do, on UTF-8.
 *
 * Pure functions over bytes; results go to buffers or are offsets. White space is Python's, which
 * also counts U+001C to U+001F. */
#ifndef ENGINE_TEXT_TEMPLATE_PYTEXT_H
#define ENGINE_TEXT_TEMPLATE_PYTEXT_H

#include "engine/core/buffer.h"
#include <stdbool.h>

/* Offset of the first or last 'needle', -1 when there is none. */
int64_t pytext_find(const char *text, size_t length, const char *needle, size_t needle_length);
int64_t pytext_find_last(const char *text, size_t length, const char *needle, size_t needle_length);

/* Characters of a text. */
int64_t pytext_count(const char *text, size_t length);

bool pytext_is_space(uint32_t cp);

/* Narrows [*start, *stop) by the characters of 'chars' (NULL: white space) on the chosen sides. */
void pytext_strip(const char *text, size_t *start, size_t *stop, const char *chars,
                  size_t chars_length, bool left, bool right);

enum pytext_case { PYTEXT_UPPER, PYTEXT_LOWER, PYTEXT_CAPITALIZE, PYTEXT_TITLE, PYTEXT_SWAP };
void pytext_to_case(const char *text, size_t length, enum pytext_case to, struct buffer *out);

/* The case mapping of one character: 1 to 3 code points into 'out'. 'to': UPPER, LOWER, TITLE. */
int pytext_map(uint32_t cp, enum pytext_case to, uint32_t out[3]);

#endif
