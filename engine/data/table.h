/* table.h -- named columns of one length: what a DataFrame and a Dataset hold.
 *
 * A table is counted and constant once made; every verb gives a new table that shares the columns
 * it did not change. Column names are UTF-8 and unique. Rows are counted from 0 here and from 1
 * wherever a person reads or writes them. */
#ifndef ENGINE_DATA_TABLE_H
#define ENGINE_DATA_TABLE_H

#include "engine/data/column.h"

struct table {
    int refs;
    int64_t rows;
    int64_t width; /* columns */
    char **names;  /* [width] */
    struct column **columns;
    int64_t capacity, name_capacity; /* while being made */
};

/* No columns, no rows, held once. */
int table_new(struct table **out) MUST_CHECK;
struct table *table_hold(const struct table *t);
void table_free(struct table *t); /* one holder less; NULL is fine */

/* Appends a column while the table is made (held once); holds it once more. The first column
 * decides the number of rows. ERR_ARG for a length or name that does not fit. */
int table_add(struct table *t, const char *name, const struct column *c) MUST_CHECK;

/* Place of a column, or -1. */
int64_t table_place(const struct table *t, const char *name);

/* As table_place; ERR_ARG "no column 'Txt'; did you mean 'Text'?" or with the list of columns. */
int table_find(const struct table *t, const char *name, int64_t *out) MUST_CHECK;

/* Text of a cell, not NUL-terminated; NULL and 0 for null. The column must be a text column. */
const char *table_text(const struct table *t, int64_t column, int64_t row, size_t *length);

/* --- verbs: each gives a new table held once */

/* With the column added at the end, or in place of the one of that name. */
int table_with(const struct table *t, const char *name, const struct column *c,
               struct table **out) MUST_CHECK;

/* The columns at these places, in this order. */
int table_columns(const struct table *t, const int64_t *places, int64_t count,
                  struct table **out) MUST_CHECK;

/* Without the columns at these places. */
int table_without(const struct table *t, const int64_t *places, int64_t count,
                  struct table **out) MUST_CHECK;

/* With column 'place' called 'name'. */
int table_rename(const struct table *t, int64_t place, const char *name,
                 struct table **out) MUST_CHECK;

/* Rows in the given order; repeats allowed. */
int table_pick(const struct table *t, const int64_t *rows, int64_t count,
               struct table **out) MUST_CHECK;

/* Rows [from, from + count). */
int table_slice(const struct table *t, int64_t from, int64_t count, struct table **out) MUST_CHECK;

/* One table under the other; the columns of the first decide, by name. A column that another table
 * lacks is null there. ERR_ARG when a column's types differ, but for int and float. */
int table_join(const struct table *const *parts, int count, struct table **out) MUST_CHECK;

/* Bytes held, texts shared with other tables counted in full. */
int64_t table_bytes(const struct table *t);

#endif
