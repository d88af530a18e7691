/* regex.h -- regular expressions (PCRE2), with the work of one match limited.
 *
 * Patterns may come from files and from people: one that is not understood or needs too much work is
 * an error, never a hang. Text may be any bytes; what is not UTF-8 matches nothing. What Python's re
 * and PCRE2 have in common is what people write here. */
#ifndef ENGINE_CORE_REGEX_H
#define ENGINE_CORE_REGEX_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>

struct regex;

enum regex_flags {
    REGEX_FULL = 1, /* the whole text must match, as Python's fullmatch */
};

/* Errors: ERR_FORMAT when the pattern is not understood ("the pattern '(a' is not understood:
 * missing closing parenthesis"), ERR_MEMORY. */
int regex_compile(const char *pattern, size_t length, int flags, struct regex **out) MUST_CHECK;

/* The first match at or after byte 'from'; *start and *stop are set when *found. */
int regex_find(const struct regex *r, const char *text, size_t length, size_t from, bool *found,
               size_t *start, size_t *stop) MUST_CHECK;

/* regex_find for a NUL-terminated text of which only "does it match" is asked. */
int regex_matches(const struct regex *r, const char *text, bool *found) MUST_CHECK;

void regex_free(struct regex *r); /* NULL is fine */

/* Why the last regex_compile of this thread failed with ERR_FORMAT. */
const char *regex_reason(void);

#endif
