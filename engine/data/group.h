/* group.h -- rows that share the values of some columns, and what is computed over each group.
 *
 * Groups are in order of their keys; rows with a null among the keys are in none, as in pandas.
 * Nulls and NaN are left out of every aggregation but size. */
#ifndef ENGINE_DATA_GROUP_H
#define ENGINE_DATA_GROUP_H

#include "engine/data/rows.h"

struct groups {        /* zeroed = none; release with groups_free */
    int64_t count;     /* groups */
    struct rows first; /* [count] first row of each */
    struct rows start; /* [count + 1] where the rows of a group start in 'rows' */
    struct rows rows;  /* all rows, group by group, each in the table's order */
};
void groups_free(struct groups *g);

/* By the columns at 'places' (at least one). */
int groups_make(const struct table *t, const int64_t *places, int64_t count,
                struct groups *out) MUST_CHECK;

struct aggregation {
    const char *name; /* "mean" */
    const char *doc;
    /* the type of the result for a column of type 'from'; -1 = not for such columns */
    int (*type)(enum column_type from);
    int (*add)(const struct column *c, const int64_t *rows, int64_t count,
               struct column *to) MUST_CHECK; /* adds the value of one group */
};
extern const struct aggregation aggregations[]; /* ends with a NULL name */

/* ERR_ARG with the nearest name. */
int aggregation_find(const char *name, const struct aggregation **out) MUST_CHECK;

/* One value a group. ERR_ARG for a column whose type does not fit. */
int groups_aggregate(const struct groups *g, const struct column *c, const struct aggregation *a,
                     struct column **out) MUST_CHECK;

#endif
