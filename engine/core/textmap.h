/* textmap.h -- a hash table from byte strings to 32-bit numbers.
 *
 * Keys are not copied: they belong to the caller and must stay where they are. Insert only; lookups
 * never allocate, so a filled map may be read by many threads. */
#ifndef ENGINE_CORE_TEXTMAP_H
#define ENGINE_CORE_TEXTMAP_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct textmap_entry {
    const char *text; /* NULL = empty */
    uint32_t length, hash;
    int32_t value;
};

struct textmap { /* zeroed = empty */
    struct textmap_entry *entries;
    uint64_t mask;
    int64_t count;
};

/* Adds text -> value unless the text is there: then *old gets its value and *found is true. Texts
 * of 4 GiB and more are ERR_ARG. */
int textmap_add(struct textmap *m, const char *text, size_t length, int32_t value, bool *found,
                int32_t *old) MUST_CHECK;

/* Replaces or adds. */
int textmap_set(struct textmap *m, const char *text, size_t length, int32_t value) MUST_CHECK;

/* The value of a text, or 'none'. */
int32_t textmap_find(const struct textmap *m, const char *text, size_t length, int32_t none);

/* Makes room for 'count' texts at once. */
int textmap_reserve(struct textmap *m, int64_t count) MUST_CHECK;
void textmap_free(struct textmap *m);

#endif
