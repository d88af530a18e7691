/* merge.c -- two tables side by side: their keys stand under each other in one table, whose groups
 * tell which rows match. */
#include "engine/data/merge.h"
#include "engine/data/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROWS_MAX INT32_MAX

struct merge {
    const struct table *a, *b;
    const int64_t *at_a, *at_b;
    int64_t count;
    struct table *keys;              /* of a, then of b */
    struct rows group;               /* of each row of 'keys' */
    struct rows start, members;      /* rows of b, group by group */
    struct rows left, right, key_at; /* the result's rows in a, b (-1 = none) and 'keys' */
};

/* The keys of 'b' under the names they have in 'a'. */
static int right_keys(const struct merge *m, struct table **out)
{
    struct table *t;
    int status = OK;
    TRY(table_new(&t));
    for (int64_t i = 0; i < m->count; i++)
        TRY_OUT(table_add(t, m->a->names[m->at_a[i]], m->b->columns[m->at_b[i]]));
    *out = t;
    return OK;
out:
    table_free(t);
    return status;
}

static int gather_keys(struct merge *m)
{
    struct table *parts[2] = {NULL, NULL};
    struct rows first = {0};
    int status = table_columns(m->a, m->at_a, m->count, &parts[0]);
    if (!status)
        status = right_keys(m, &parts[1]);
    if (!status)
        status = table_join((const struct table *const *)parts, 2, &m->keys);
    if (!status)
        status = rows_distinct(&first, m->keys, NULL, 0, &m->group);
    for (int64_t i = 0; i <= first.count + 1 && !status; i++)
        status = rows_add(&m->start, 0);
    rows_free(&first);
    table_free(parts[0]);
    table_free(parts[1]);
    return status;
}

/* Counting sort of the rows of b by their groups: those of group g end up at [start[g],
 * start[g + 1]). */
static int sort_right(struct merge *m)
{
    const int64_t *group = m->group.at + m->a->rows;
    for (int64_t row = 0; row < m->b->rows; row++) {
        m->start.at[group[row] + 2]++;
        TRY(rows_add(&m->members, 0));
    }
    for (int64_t i = 1; i < m->start.count; i++)
        m->start.at[i] += m->start.at[i - 1];
    for (int64_t row = 0; row < m->b->rows; row++)
        m->members.at[m->start.at[group[row] + 1]++] = row;
    return OK;
}

static int add_row(struct merge *m, int64_t left, int64_t right)
{
    if (m->left.count == ROWS_MAX)
        return fail(ERR_ARG,
                    "merge gives over %d rows; hint: are the keys those that tell rows "
                    "apart? drop_duplicates on one side helps",
                    ROWS_MAX);
    TRY(rows_add(&m->left, left));
    TRY(rows_add(&m->right, right));
    return rows_add(&m->key_at, left >= 0 ? left : m->a->rows + right);
}

static int match(struct merge *m, enum merge_how how)
{
    struct rows seen = {0}; /* groups of a */
    int status = OK;
    for (int64_t i = 0; i < m->start.count && !status; i++)
        status = rows_add(&seen, 0);
    for (int64_t row = 0; row < m->a->rows && !status; row++) {
        int64_t g = m->group.at[row], from = m->start.at[g], to = m->start.at[g + 1];
        seen.at[g] = 1;
        for (int64_t i = from; i < to && !status; i++)
            status = add_row(m, row, m->members.at[i]);
        if (!status && from == to && how != MERGE_INNER)
            status = add_row(m, row, -1);
    }
    for (int64_t row = 0; row < m->b->rows && how == MERGE_OUTER && !status; row++)
        if (!seen.at[m->group.at[m->a->rows + row]])
            status = add_row(m, -1, row);
    rows_free(&seen);
    return status;
}

static int64_t find(const int64_t *at, int64_t count, int64_t place)
{
    for (int64_t i = 0; i < count; i++)
        if (at[i] == place)
            return i;
    return -1;
}

/* Is a name of one table, no key, also one of the other, no key there? */
static bool clashes(const struct table *other, const int64_t *at, int64_t count, const char *name)
{
    int64_t place = table_place(other, name);
    return place >= 0 && find(at, count, place) < 0;
}

static int add_columns(const struct merge *m, bool right, struct table *to)
{
    const struct table *t = right ? m->b : m->a, *other = right ? m->a : m->b;
    const int64_t *at = right ? m->at_b : m->at_a, *other_at = right ? m->at_a : m->at_b;
    for (int64_t i = 0; i < t->width; i++) {
        int64_t key = find(at, m->count, i);
        char name[512];
        struct column *c;
        if (key >= 0 && right)
            continue;
        bool both = key < 0 && clashes(other, other_at, m->count, t->names[i]);
        snprintf(name, sizeof name, "%.500s%s", t->names[i], !both ? "" : right ? "_y" : "_x");
        const struct rows *rows = key >= 0 ? &m->key_at : right ? &m->right : &m->left;
        TRY(column_pick(key >= 0 ? m->keys->columns[key] : t->columns[i], rows->at, rows->count,
                        &c));
        int status = table_add(to, name, c);
        column_free(c);
        TRY(status);
    }
    return OK;
}

int table_merge(const struct table *a, const struct table *b, const int64_t *at_a,
                const int64_t *at_b, int64_t count, enum merge_how how, struct table **out)
{
    struct merge m = {.a = a, .b = b, .at_a = at_a, .at_b = at_b, .count = count};
    struct table *made = NULL;
    int status = OK;
    TRY_OUT(gather_keys(&m));
    TRY_OUT(sort_right(&m));
    TRY_OUT(match(&m, how));
    TRY_OUT(table_new(&made));
    TRY_OUT(add_columns(&m, false, made));
    TRY_OUT(add_columns(&m, true, made));
    *out = made;
    made = NULL;
out:
    table_free(made);
    table_free(m.keys);
    rows_free(&m.group);
    rows_free(&m.start);
    rows_free(&m.members);
    rows_free(&m.left);
    rows_free(&m.right);
    rows_free(&m.key_at);
    return status;
}
