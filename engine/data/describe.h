/* describe.h -- tables about tables: statistics, value counts, what a frame consists of. */
#ifndef ENGINE_DATA_DESCRIBE_H
#define ENGINE_DATA_DESCRIBE_H

#include "engine/data/table.h"

/* One row per statistic (column "statistic"), one column per column. Numbers: count, empty,
 * distinct, mean, std, min, quartiles, max. Others: count, empty, distinct, top, longest. */
int table_describe(const struct table *t, struct table **out) MUST_CHECK;

/* One row per distinct value of a column, the most frequent first; columns: its name, "count". */
int table_value_counts(const struct table *t, int64_t place, struct table **out) MUST_CHECK;

/* One row per column: column, dtype, filled, empty. */
int table_info(const struct table *t, struct table **out) MUST_CHECK;

/* Rows that hold nothing: null or, for text, the empty text. */
int64_t column_empty(const struct column *c);

/* How many different values there are, null not counted. */
int column_distinct(const struct column *c, int64_t *out) MUST_CHECK;

#endif
