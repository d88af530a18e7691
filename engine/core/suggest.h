/* suggest.h -- the nearest name to a misspelt one. */
#ifndef ENGINE_CORE_SUGGEST_H
#define ENGINE_CORE_SUGGEST_H

#include <stddef.h>

/* Edit distance (insert, delete, change, swap of neighbours; case counts as half a step), times
 * two; stops early and returns a value > limit when it would pass 'limit'. */
int suggest_distance(const char *a, const char *b, int limit);

/* Collects candidates and keeps the best. Start with {.wanted = name}. */
struct suggest {
    const char *wanted;
    const char *best; /* NULL = nothing is near; borrowed from the caller of suggest_try */
    int distance;
};
void suggest_try(struct suggest *s, const char *candidate);

/* Writes "; did you mean 'x'?" or "" into 'out'; returns out. */
char *suggest_hint(const struct suggest *s, char *out, size_t bytes);

#endif
