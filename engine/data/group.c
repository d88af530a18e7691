/* group.c -- groups of rows, and what is computed over them. */
#include "engine/data/group.h"
#include "engine/core/json_write.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void groups_free(struct groups *g)
{
    rows_free(&g->first);
    rows_free(&g->start);
    rows_free(&g->rows);
    g->count = 0;
}

/* --- making ----------------------------------------------------------------------------------- */

static bool has_null(const struct table *t, const int64_t *places, int64_t count, int64_t row)
{
    for (int64_t i = 0; i < count; i++)
        if (column_is_null(t->columns[places[i]], row))
            return true;
    return false;
}

/* The groups of 'first' in order of their keys; those with a null are left out. 'rank' gets the new
 * number of each, or -1. */
static int order_groups(const struct table *t, const int64_t *places, int64_t count,
                        const struct rows *first, struct groups *out, struct rows *rank)
{
    struct table *keys = NULL, *narrow = NULL;
    struct rows order = {0}, all = {0};
    bool *down = mem_calloc((size_t)count, sizeof *down);
    int status = down ? OK : ERR_MEMORY;
    if (!status)
        status = table_columns(t, places, count, &narrow);
    if (!status)
        status = rows_table(first, narrow, &keys);
    if (!status)
        status = rows_range(&all, 0, count);
    if (!status)
        status = rows_sorted(&order, keys, all.at, down, count);
    for (int64_t i = 0; i < first->count && !status; i++)
        status = rows_add(rank, -1);
    for (int64_t i = 0; i < order.count && !status; i++) {
        int64_t row = first->at[order.at[i]];
        if (has_null(t, places, count, row))
            continue;
        rank->at[order.at[i]] = out->count++;
        status = rows_add(&out->first, row);
    }
    mem_free(down);
    rows_free(&order);
    rows_free(&all);
    table_free(keys);
    table_free(narrow);
    return status;
}

/* Counting sort of the rows by their groups' new numbers. */
static int sort_rows(const struct table *t, const struct rows *group, const struct rows *rank,
                     struct groups *out)
{
    for (int64_t i = 0; i <= out->count; i++)
        TRY(rows_add(&out->start, 0));
    for (int64_t row = 0; row < t->rows; row++) {
        int64_t at = rank->at[group->at[row]];
        if (at >= 0) {
            out->start.at[at + 1]++;
            TRY(rows_add(&out->rows, 0));
        }
    }
    for (int64_t i = 0; i < out->count; i++)
        out->start.at[i + 1] += out->start.at[i];
    for (int64_t row = 0; row < t->rows; row++) {
        int64_t at = rank->at[group->at[row]];
        if (at >= 0)
            out->rows.at[out->start.at[at]++] = row;
    }
    for (int64_t i = out->count; i > 0; i--) /* each start has moved to the next one's */
        out->start.at[i] = out->start.at[i - 1];
    out->start.at[0] = 0;
    return OK;
}

int groups_make(const struct table *t, const int64_t *places, int64_t count, struct groups *out)
{
    struct rows first = {0}, group = {0}, rank = {0};
    struct groups made = {0};
    int status = rows_distinct(&first, t, places, count, &group);
    if (!status)
        status = order_groups(t, places, count, &first, &made, &rank);
    if (!status)
        status = sort_rows(t, &group, &rank, &made);
    rows_free(&first);
    rows_free(&group);
    rows_free(&rank);
    if (status)
        groups_free(&made);
    else
        *out = made;
    return status;
}

/* --- aggregations ----------------------------------------------------------------------------- */

static int always_int(enum column_type from)
{
    (void)from;
    return COLUMN_INT;
}

static int always_json(enum column_type from)
{
    (void)from;
    return COLUMN_JSON;
}

static int same_type(enum column_type from)
{
    return (int)from;
}

static int number_sum(enum column_type from)
{
    return column_type_has_texts(from) ? -1 : from == COLUMN_FLOAT ? COLUMN_FLOAT : COLUMN_INT;
}

static int number_float(enum column_type from)
{
    return column_type_has_texts(from) ? -1 : COLUMN_FLOAT;
}

static int ordered(enum column_type from)
{
    return from == COLUMN_JSON ? -1 : (int)from;
}

/* Null, or NaN. */
static bool is_missing(const struct column *c, int64_t row)
{
    return column_is_null(c, row) || (c->type == COLUMN_FLOAT && isnan(c->floats[row]));
}

static int add_size(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    (void)c, (void)rows;
    return column_add_int(to, count);
}

static int add_count(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        n += !is_missing(c, rows[i]);
    return column_add_int(to, n);
}

static int add_sum(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    int64_t whole = 0;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        if (is_missing(c, rows[i]))
            continue;
        if (c->type == COLUMN_FLOAT)
            sum += c->floats[rows[i]];
        else if (__builtin_add_overflow(
                     whole, c->type == COLUMN_INT ? c->ints[rows[i]] : c->bools[rows[i]], &whole))
            return fail(ERR_ARG, "sum is over 64 bits; hint: :astype(\"float\")");
    }
    return c->type == COLUMN_FLOAT ? column_add_float(to, sum) : column_add_int(to, whole);
}

/* Number, mean and sum of squared distances of what is not missing. */
static int64_t moments(const struct column *c, const int64_t *rows, int64_t count, double *mean,
                       double *squares)
{
    int64_t n = 0;
    *mean = *squares = 0;
    for (int64_t i = 0; i < count; i++) {
        if (is_missing(c, rows[i]))
            continue;
        double x = column_number(c, rows[i]), d = x - *mean;
        *mean += d / (double)++n;
        *squares += d * (x - *mean);
    }
    return n;
}

static int add_mean(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (!is_missing(c, rows[i])) {
            sum += column_number(c, rows[i]);
            n++;
        }
    return n ? column_add_float(to, sum / (double)n) : column_add_null(to);
}

static int add_std(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    double mean, squares;
    int64_t n = moments(c, rows, count, &mean, &squares);
    return n > 1 ? column_add_float(to, sqrt(squares / (double)(n - 1))) : column_add_null(to);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int add_median(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    int64_t n = 0;
    double *values = mem_calloc((size_t)count, sizeof *values);
    if (!values)
        return ERR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        if (!is_missing(c, rows[i]))
            values[n++] = column_number(c, rows[i]);
    qsort(values, (size_t)n, sizeof *values, by_value);
    int status =
        n ? column_add_float(to, (values[(n - 1) / 2] + values[n / 2]) / 2) : column_add_null(to);
    mem_free(values);
    return status;
}

/* The row of the least (sign -1) or greatest value; -1 = none. */
static int64_t extreme(const struct column *c, const int64_t *rows, int64_t count, int sign)
{
    int64_t best = -1;
    for (int64_t i = 0; i < count; i++)
        if (!is_missing(c, rows[i]) && (best < 0 || sign * column_compare(c, rows[i], c, best) > 0))
            best = rows[i];
    return best;
}

static int add_min(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    return column_add_from(to, c, extreme(c, rows, count, -1));
}

static int add_max(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    return column_add_from(to, c, extreme(c, rows, count, 1));
}

static int add_first(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    int64_t i = 0;
    while (i < count && is_missing(c, rows[i]))
        i++;
    return column_add_from(to, c, i < count ? rows[i] : -1);
}

static int add_last(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    while (count > 0 && is_missing(c, rows[count - 1]))
        count--;
    return column_add_from(to, c, count > 0 ? rows[count - 1] : -1);
}

static int add_nunique(const struct column *c, const int64_t *rows, int64_t count,
                       struct column *to)
{
    struct column *part = NULL;
    struct table *t = NULL;
    struct rows first = {0};
    int64_t missing = 0, place = 0;
    int status = OK;
    TRY_OUT(column_pick(c, rows, count, &part));
    TRY_OUT(table_new(&t));
    TRY_OUT(table_add(t, "value", part));
    TRY_OUT(rows_distinct(&first, t, &place, 1, NULL));
    for (int64_t i = 0; i < first.count; i++)
        missing += is_missing(part, first.at[i]);
    status = column_add_int(to, first.count - missing);
out:
    rows_free(&first);
    table_free(t);
    column_free(part);
    return status;
}

static void put_value(const struct column *c, int64_t row, struct buffer *out)
{
    char number[32];
    size_t n;
    if (column_is_null(c, row)) {
        buffer_text(out, "null");
    } else if (c->type == COLUMN_TEXT) {
        const char *text = column_text(c, row, &n);
        json_quote(out, text, n);
    } else if (c->type == COLUMN_FLOAT) {
        json_number_text(c->floats[row], number);
        buffer_text(out, number);
    } else {
        column_show(c, row, out);
    }
}

static int add_list(const struct column *c, const int64_t *rows, int64_t count, struct column *to)
{
    struct buffer b = {0};
    buffer_text(&b, "[");
    for (int64_t i = 0; i < count; i++) {
        if (i)
            buffer_text(&b, ", ");
        put_value(c, rows[i], &b);
    }
    buffer_text(&b, "]");
    int status = b.status ? b.status : column_add_text(to, b.bytes, (size_t)b.length);
    buffer_free(&b);
    return status;
}

const struct aggregation aggregations[] = {
    {"size", "rows", always_int, add_size},
    {"count", "values that are not null", always_int, add_count},
    {"sum", "sum", number_sum, add_sum},
    {"mean", "mean", number_float, add_mean},
    {"median", "median", number_float, add_median},
    {"std", "standard deviation of a sample", number_float, add_std},
    {"min", "least value", ordered, add_min},
    {"max", "greatest value", ordered, add_max},
    {"first", "first value", same_type, add_first},
    {"last", "last value", same_type, add_last},
    {"nunique", "different values", always_int, add_nunique},
    {"list", "all values, as a list in the cell", always_json, add_list},
    {NULL, NULL, NULL, NULL},
};

int aggregation_find(const char *name, const struct aggregation **out)
{
    char hint[64];
    struct suggest near = {.wanted = name};
    for (const struct aggregation *a = aggregations; a->name; a++) {
        if (!strcmp(a->name, name)) {
            *out = a;
            return OK;
        }
        suggest_try(&near, a->name);
    }
    return fail(ERR_ARG,
                "aggregation '%.40s' is unknown, wanted size, count, sum, mean, median, std, min, "
                "max, first, last, nunique or list%s",
                name, suggest_hint(&near, hint, sizeof hint));
}

int groups_aggregate(const struct groups *g, const struct column *c, const struct aggregation *a,
                     struct column **out)
{
    struct column *made = NULL;
    int type = a->type(c->type), status = OK;
    if (type < 0)
        return fail(ERR_ARG,
                    "%s of a column of type %s; hint: count, first, nunique and list go "
                    "with every type",
                    a->name, column_dtype(c));
    TRY(type == (int)c->type ? column_like(c, &made) : column_new((enum column_type)type, &made));
    TRY_OUT(column_reserve(made, g->count));
    for (int64_t i = 0; i < g->count; i++)
        TRY_OUT(a->add(c, g->rows.at + g->start.at[i], g->start.at[i + 1] - g->start.at[i], made));
    *out = made;
    return OK;
out:
    column_free(made);
    return status;
}
