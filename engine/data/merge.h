/* merge.h -- two tables side by side, rows matched by the values of some columns. */
#ifndef ENGINE_DATA_MERGE_H
#define ENGINE_DATA_MERGE_H

#include "engine/data/table.h"

enum merge_how {
    MERGE_INNER, /* rows that have a match */
    MERGE_LEFT,  /* all rows of the first table; what has no match is null on the right */
    MERGE_OUTER, /* the rows of the second table without a match come behind them */
};

/* Rows come in the order of 'a' and, for one of its rows, in that of 'b'. Nulls match nulls, as in
 * pandas. 'at_a' and 'at_b' are the places of the 'count' key columns in both; they stand once in
 * the result, where 'a' has them. Other names that are in both get the endings '_x' and '_y'.
 * ERR_ARG for keys of types that cannot be compared, and for results of over 2^31 rows. */
int table_merge(const struct table *a, const struct table *b, const int64_t *at_a,
                const int64_t *at_b, int64_t count, enum merge_how how,
                struct table **out) MUST_CHECK;

#endif
