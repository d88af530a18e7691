/* describe.c -- tables about tables. */
#include "engine/data/describe.h"
#include "engine/data/column_math.h"
#include "engine/data/print.h"
#include "engine/data/rows.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COUNT, EMPTY, DISTINCT, TOP, LONGEST, MEAN, STD, MIN, LOW, MEDIAN, HIGH, MAX, ROWS };
static const char *const statistics[ROWS] = {"count", "empty", "distinct", "top", "longest", "mean",
                                             "std",   "min",   "25%",      "50%", "75%",     "max"};

int64_t column_empty(const struct column *c)
{
    int64_t empty = c->nulls;
    size_t length;
    for (int64_t row = 0; c->type == COLUMN_TEXT && row < c->count; row++)
        empty += column_text(c, row, &length) && length == 0;
    return empty;
}

/* A table of this one column, to be freed. */
static int alone(const struct column *c, struct table **out)
{
    struct table *made;
    TRY(table_new(&made));
    int status = table_add(made, "value", c);
    if (status)
        table_free(made);
    else
        *out = made;
    return status;
}

int column_distinct(const struct column *c, int64_t *out)
{
    struct table *t;
    struct rows first = {0};
    TRY(alone(c, &t));
    int status = rows_distinct(&first, t, NULL, 0, NULL);
    *out = first.count - (c->nulls > 0);
    rows_free(&first);
    table_free(t);
    return status;
}

int table_value_counts(const struct table *t, int64_t place, struct table **out)
{
    struct rows first = {0}, group = {0}, order = {0};
    struct column *values = NULL, *counts = NULL;
    struct table *made = NULL;
    int status = OK;
    TRY_OUT(rows_distinct(&first, t, &place, 1, &group));
    TRY_OUT(column_pick(t->columns[place], first.at, first.count, &values));
    TRY_OUT(column_new(COLUMN_INT, &counts));
    for (int64_t i = 0; i < first.count; i++)
        TRY_OUT(column_add_int(counts, 0));
    for (int64_t row = 0; row < t->rows; row++)
        counts->ints[group.at[row]]++;
    TRY_OUT(table_new(&made));
    TRY_OUT(table_add(made, t->names[place], values));
    TRY_OUT(table_add(made, strcmp(t->names[place], "count") ? "count" : "count_", counts));
    TRY_OUT(rows_sorted(&order, made, (int64_t[]){1}, (bool[]){true}, 1));
    status = rows_table(&order, made, out);
out:
    rows_free(&first);
    rows_free(&group);
    rows_free(&order);
    column_free(values);
    column_free(counts);
    table_free(made);
    return status;
}

static int describe_numbers(const struct column *c, struct column *to)
{
    struct column_stats s;
    double quartiles[3];
    int64_t distinct;
    TRY(column_statistics(c, &s));
    TRY(column_quantiles(c, (double[]){0.25, 0.5, 0.75}, 3, quartiles));
    TRY(column_distinct(c, &distinct));
    double values[ROWS] = {
        (double)s.count, (double)c->nulls, (double)distinct, NAN,  NAN, s.mean, s.deviation, s.min,
        quartiles[0],    quartiles[1],     quartiles[2],     s.max};
    for (int i = 0; i < ROWS; i++)
        TRY(isnan(values[i]) ? column_add_null(to) : column_add_float(to, values[i]));
    return OK;
}

static int64_t longest(const struct column *c)
{
    int64_t most = 0;
    size_t length;
    for (int64_t row = 0; row < c->count; row++) {
        const char *text = column_text(c, row, &length);
        int64_t n = 0;
        for (size_t i = 0; i < length; i++)
            n += ((unsigned char)text[i] & 0xC0) != 0x80;
        most = n > most ? n : most;
    }
    return most;
}

static int add_number(struct column *to, int64_t n)
{
    char text[32];
    return column_add_text(to, text, (size_t)snprintf(text, sizeof text, "%" PRId64, n));
}

/* The most frequent value as text; null when there is none. */
static int add_top(const struct column *c, struct column *to)
{
    struct table *t, *counts = NULL;
    struct buffer shown = {0};
    int status = OK;
    TRY(alone(c, &t));
    TRY_OUT(table_value_counts(t, 0, &counts));
    int64_t row = 0;
    while (row < counts->rows && column_is_null(counts->columns[0], row))
        row++;
    if (row == counts->rows) {
        status = column_add_null(to);
        goto out;
    }
    column_show(counts->columns[0], row, &shown);
    TRY_OUT(shown.status);
    status = column_add_text(to, shown.bytes ? shown.bytes : "", (size_t)shown.length);
out:
    buffer_free(&shown);
    table_free(counts);
    table_free(t);
    return status;
}

static int describe_texts(const struct column *c, struct column *to)
{
    int64_t distinct;
    TRY(column_distinct(c, &distinct));
    TRY(add_number(to, c->count - c->nulls));
    TRY(add_number(to, column_empty(c)));
    TRY(add_number(to, distinct));
    TRY(add_top(c, to));
    TRY(column_type_has_texts(c->type) ? add_number(to, longest(c)) : column_add_null(to));
    while (to->count < ROWS)
        TRY(column_add_null(to));
    return OK;
}

static int describe_column(const struct column *c, struct column **out)
{
    bool number = c->type == COLUMN_INT || c->type == COLUMN_FLOAT;
    struct column *made;
    TRY(column_new(number ? COLUMN_FLOAT : COLUMN_TEXT, &made));
    int status = number ? describe_numbers(c, made) : describe_texts(c, made);
    if (status)
        column_free(made);
    else
        *out = made;
    return status;
}

/* The rows that say something for at least one column. */
static int used_rows(const struct table *t, struct rows *out)
{
    for (int64_t row = 0; row < t->rows; row++) {
        bool used = t->width == 1;
        for (int64_t i = 1; i < t->width; i++)
            used = used || !column_is_null(t->columns[i], row);
        if (used)
            TRY(rows_add(out, row));
    }
    return OK;
}

int table_describe(const struct table *t, struct table **out)
{
    struct table *made = NULL;
    struct column *c = NULL;
    struct rows used = {0};
    int status = OK;
    TRY_OUT(table_new(&made));
    TRY_OUT(column_new(COLUMN_TEXT, &c));
    for (int i = 0; i < ROWS; i++)
        TRY_OUT(column_add_text(c, statistics[i], strlen(statistics[i])));
    TRY_OUT(table_add(made, table_place(t, "statistic") < 0 ? "statistic" : "statistic_", c));
    for (int64_t i = 0; i < t->width; i++) {
        column_free(c);
        c = NULL;
        TRY_OUT(describe_column(t->columns[i], &c));
        TRY_OUT(table_add(made, t->names[i], c));
    }
    TRY_OUT(used_rows(made, &used));
    status = rows_table(&used, made, out);
out:
    rows_free(&used);
    column_free(c);
    table_free(made);
    return status;
}

static int info_rows(const struct table *t, struct column *const c[4])
{
    for (int64_t i = 0; i < t->width; i++) {
        const char *type = column_dtype(t->columns[i]);
        int64_t empty = column_empty(t->columns[i]);
        TRY(column_add_text(c[0], t->names[i], strlen(t->names[i])));
        TRY(column_add_text(c[1], type, strlen(type)));
        TRY(column_add_int(c[2], t->rows - empty));
        TRY(column_add_int(c[3], empty));
    }
    return OK;
}

int table_info(const struct table *t, struct table **out)
{
    static const char *const names[4] = {"column", "dtype", "filled", "empty"};
    struct column *c[4] = {0};
    struct table *made = NULL;
    int status = OK;
    for (int i = 0; i < 4; i++)
        TRY_OUT(column_new(i < 2 ? COLUMN_TEXT : COLUMN_INT, &c[i]));
    TRY_OUT(info_rows(t, c));
    TRY_OUT(table_new(&made));
    for (int i = 0; i < 4; i++)
        TRY_OUT(table_add(made, names[i], c[i]));
    *out = made;
    made = NULL;
out:
    table_free(made);
    for (int i = 0; i < 4; i++)
        column_free(c[i]);
    return status;
}
