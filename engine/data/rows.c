/* rows.c -- lists of row numbers: orders, samples, groups. */
#include "engine/data/rows.h"
#include "kernels/base/mem.h"
#include "kernels/base/rng.h"
#include "kernels/base/size.h"

#include <string.h>

void rows_free(struct rows *r)
{
    mem_free(r->at);
    *r = (struct rows){0};
}

static int reserve(struct rows *r, int64_t more)
{
    void *items = r->at;
    TRY(mem_grow(&items, &r->capacity, r->count + more, sizeof *r->at));
    r->at = items;
    return OK;
}

int rows_add(struct rows *r, int64_t row)
{
    TRY(reserve(r, 1));
    r->at[r->count++] = row;
    return OK;
}

int rows_range(struct rows *r, int64_t from, int64_t count)
{
    TRY(reserve(r, count));
    for (int64_t i = 0; i < count; i++)
        r->at[r->count++] = from + i;
    return OK;
}

int rows_shuffled(struct rows *r, uint64_t seed, int stream, int64_t count, int64_t take)
{
    struct rng_key key = rng_key(seed, (enum rng_stream)stream);
    TRY(reserve(r, take));
    for (int64_t i = 0; i < take; i++)
        r->at[r->count++] = rng_permute(key, i, count);
    return OK;
}

/* --- sorting: merges of runs, so that equal rows keep their order ------------------------------ */

struct order {
    const struct table *t;
    const int64_t *places;
    const bool *down;
    int64_t count;
};

static int compare(const struct order *o, int64_t i, int64_t j)
{
    for (int64_t k = 0; k < o->count; k++) {
        const struct column *c = o->t->columns[o->places[k]];
        int order = column_compare(c, i, c, j);
        if (order && o->down[k] && !column_is_null(c, i) && !column_is_null(c, j))
            order = -order;
        if (order)
            return order;
    }
    return 0;
}

static void merge(const struct order *o, const int64_t *from, int64_t left, int64_t middle,
                  int64_t right, int64_t *to)
{
    int64_t i = left, j = middle;
    for (int64_t k = left; k < right; k++) {
        bool first = i < middle && (j >= right || compare(o, from[i], from[j]) <= 0);
        to[k] = first ? from[i++] : from[j++];
    }
}

int rows_sorted(struct rows *r, const struct table *t, const int64_t *places, const bool *down,
                int64_t count)
{
    struct order o = {t, places, down, count};
    int64_t before = r->count, n = t->rows;
    TRY(rows_range(r, 0, n));
    int64_t *spare = mem_calloc((size_t)n, sizeof *spare), *from = r->at + before, *to = spare;
    if (!spare) {
        r->count = before;
        return ERR_MEMORY;
    }
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t at = 0; at < n; at += 2 * run)
            merge(&o, from, at, i64_min(at + run, n), i64_min(at + 2 * run, n), to);
        int64_t *other = from;
        from = to;
        to = other;
    }
    if (from == spare && n)
        memcpy(to, from, (size_t)n * sizeof *from);
    mem_free(spare);
    return OK;
}

/* --- groups: a hash table of first rows --------------------------------------------------------- */

static bool same(const struct table *t, const int64_t *places, int64_t count, int64_t i, int64_t j)
{
    int64_t n = count ? count : t->width;
    for (int64_t k = 0; k < n; k++) {
        const struct column *c = t->columns[count ? places[k] : k];
        if (column_compare(c, i, c, j))
            return false;
    }
    return true;
}

static uint64_t hash(const struct table *t, const int64_t *places, int64_t count, int64_t row)
{
    uint64_t h = 0;
    int64_t n = count ? count : t->width;
    for (int64_t k = 0; k < n; k++)
        h = column_hash(t->columns[count ? places[k] : k], row, h);
    return h;
}

int rows_distinct(struct rows *r, const struct table *t, const int64_t *places, int64_t count,
                  struct rows *group)
{
    int64_t slots = 16, base = r->count;
    while (slots < 2 * t->rows)
        slots *= 2;
    int64_t *table = mem_calloc((size_t)slots, sizeof *table); /* group + 1; 0 = free */
    if (!table)
        return ERR_MEMORY;
    int status = OK;
    for (int64_t row = 0; row < t->rows; row++) {
        int64_t at = (int64_t)(hash(t, places, count, row) & (uint64_t)(slots - 1));
        while (table[at] && !same(t, places, count, r->at[base + table[at] - 1], row))
            at = (at + 1) & (slots - 1);
        if (!table[at]) {
            TRY_OUT(rows_add(r, row));
            table[at] = r->count - base;
        }
        if (group)
            TRY_OUT(rows_add(group, table[at] - 1));
    }
out:
    mem_free(table);
    return status;
}

int rows_table(const struct rows *r, const struct table *t, struct table **out)
{
    return table_pick(t, r->at, r->count, out);
}
