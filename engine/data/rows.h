/* rows.h -- lists of row numbers: orders, samples, groups. Start with {0}; release with rows_free.
 * Every maker adds to what the list holds. */
#ifndef ENGINE_DATA_ROWS_H
#define ENGINE_DATA_ROWS_H

#include "engine/data/table.h"

struct rows {
    int64_t *at;
    int64_t count, capacity;
};

void rows_free(struct rows *r);
int rows_add(struct rows *r, int64_t row) MUST_CHECK;

/* from, from + 1, ..., 'count' of them */
int rows_range(struct rows *r, int64_t from, int64_t count) MUST_CHECK;

/* The first 'take' of a random order of 'count' rows. The order depends on nothing but the seed and
 * 'count'; 'stream' keeps uses apart (RNG_SHUFFLE, RNG_USER). */
int rows_shuffled(struct rows *r, uint64_t seed, int stream, int64_t count,
                  int64_t take) MUST_CHECK;

/* All rows of the table ordered by the columns at 'places', equal ones as they stood; nulls last
 * whichever the direction. */
int rows_sorted(struct rows *r, const struct table *t, const int64_t *places, const bool *down,
                int64_t count) MUST_CHECK;

/* The first row of each distinct value of the columns at 'places' together (all columns when count
 * is 0), in order of appearance. 'group' (may be NULL) gets the number of each row's group. */
int rows_distinct(struct rows *r, const struct table *t, const int64_t *places, int64_t count,
                  struct rows *group) MUST_CHECK;

/* The table of these rows. */
int rows_table(const struct rows *r, const struct table *t, struct table **out) MUST_CHECK;

#endif
