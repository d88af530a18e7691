/* table.c -- named columns of one length, and the verbs that only rearrange them. */
#include "engine/data/table.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int table_new(struct table **out)
{
    struct table *t = mem_calloc(1, sizeof *t);
    if (!t)
        return ERR_MEMORY;
    t->refs = 1;
    *out = t;
    return OK;
}

struct table *table_hold(const struct table *t)
{
    struct table *held = (struct table *)(uintptr_t)t; /* the count is not part of its value */
    held->refs++;
    return held;
}

void table_free(struct table *t)
{
    if (!t || --t->refs)
        return;
    for (int64_t i = 0; i < t->width; i++) {
        column_free(t->columns[i]);
        mem_free(t->names[i]);
    }
    mem_free(t->columns);
    mem_free(t->names);
    mem_free(t);
}

int64_t table_place(const struct table *t, const char *name)
{
    for (int64_t i = 0; i < t->width; i++)
        if (!strcmp(t->names[i], name))
            return i;
    return -1;
}

/* "Code, Name, ... (12 in all)": what a person needs to see to go on */
static void list_columns(const struct table *t, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int64_t i = 0; i < t->width; i++) {
        size_t n = strlen(t->names[i]);
        if (used + n + 32 > bytes) {
            snprintf(out + used, bytes - used, ", ... (%" PRId64 " in all)", t->width);
            return;
        }
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", i ? ", " : "", t->names[i]);
    }
}

int table_find(const struct table *t, const char *name, int64_t *out)
{
    char hint[160], list[300];
    *out = table_place(t, name);
    if (*out >= 0)
        return OK;
    struct suggest near = {.wanted = name};
    for (int64_t i = 0; i < t->width; i++)
        suggest_try(&near, t->names[i]);
    if (near.best)
        return fail(ERR_ARG, "no column '%.100s'%s", name, suggest_hint(&near, hint, sizeof hint));
    list_columns(t, list, sizeof list);
    return fail(ERR_ARG, "no column '%.100s'; hint: there %s %s", name,
                t->width == 0   ? "are no columns at all"
                : t->width == 1 ? "is only"
                                : "are",
                list);
}

int table_add(struct table *t, const char *name, const struct column *c)
{
    if (table_place(t, name) >= 0)
        return fail(ERR_ARG, "two columns are called '%s'; hint: rename one of them", name);
    if (t->width && c->count != t->rows)
        return fail(ERR_ARG, "column '%s' has %" PRId64 " values, wanted %" PRId64 " as in '%s'",
                    name, c->count, t->rows, t->names[0]);
    void *items = t->columns;
    TRY(mem_grow(&items, &t->capacity, t->width + 1, sizeof *t->columns));
    t->columns = items;
    items = t->names;
    TRY(mem_grow(&items, &t->name_capacity, t->width + 1, sizeof *t->names));
    t->names = items;
    t->names[t->width] = mem_text(name, strlen(name));
    if (!t->names[t->width])
        return ERR_MEMORY;
    t->columns[t->width++] = column_hold(c);
    t->rows = c->count;
    return OK;
}

const char *table_text(const struct table *t, int64_t column, int64_t row, size_t *length)
{
    return column_text(t->columns[column], row, length);
}

/* A table without columns still has its rows: they come back when a column is added. */
static int table_begin(const struct table *like, struct table **out)
{
    TRY(table_new(out));
    (*out)->rows = like->rows;
    return OK;
}

int table_with(const struct table *t, const char *name, const struct column *c, struct table **out)
{
    struct table *made;
    int64_t place = table_place(t, name);
    int status = OK;
    TRY(table_begin(t, &made));
    for (int64_t i = 0; i < t->width; i++)
        TRY_OUT(table_add(made, t->names[i], i == place ? c : t->columns[i]));
    if (place < 0)
        TRY_OUT(table_add(made, name, c));
    *out = made;
    return OK;
out:
    table_free(made);
    return status;
}

int table_columns(const struct table *t, const int64_t *places, int64_t count, struct table **out)
{
    struct table *made;
    int status = OK;
    TRY(table_begin(t, &made));
    for (int64_t i = 0; i < count; i++)
        TRY_OUT(table_add(made, t->names[places[i]], t->columns[places[i]]));
    *out = made;
    return OK;
out:
    table_free(made);
    return status;
}

int table_without(const struct table *t, const int64_t *places, int64_t count, struct table **out)
{
    struct table *made;
    int status = OK;
    TRY(table_begin(t, &made));
    for (int64_t i = 0; i < t->width; i++) {
        bool drop = false;
        for (int64_t k = 0; k < count; k++)
            drop = drop || places[k] == i;
        if (!drop)
            TRY_OUT(table_add(made, t->names[i], t->columns[i]));
    }
    *out = made;
    return OK;
out:
    table_free(made);
    return status;
}

int table_rename(const struct table *t, int64_t place, const char *name, struct table **out)
{
    struct table *made;
    int status = OK;
    TRY(table_begin(t, &made));
    for (int64_t i = 0; i < t->width; i++)
        TRY_OUT(table_add(made, i == place ? name : t->names[i], t->columns[i]));
    *out = made;
    return OK;
out:
    table_free(made);
    return status;
}

int table_pick(const struct table *t, const int64_t *rows, int64_t count, struct table **out)
{
    struct table *made;
    struct column *c = NULL;
    int status = OK;
    TRY(table_new(&made));
    made->rows = count;
    for (int64_t i = 0; i < t->width; i++) {
        TRY_OUT(column_pick(t->columns[i], rows, count, &c));
        TRY_OUT(table_add(made, t->names[i], c));
        column_free(c);
        c = NULL;
    }
    *out = made;
    return OK;
out:
    column_free(c);
    table_free(made);
    return status;
}

int table_slice(const struct table *t, int64_t from, int64_t count, struct table **out)
{
    if (from == 0 && count == t->rows) {
        *out = table_hold(t);
        return OK;
    }
    int64_t *rows = mem_calloc((size_t)count, sizeof *rows);
    if (!rows)
        return ERR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        rows[i] = from + i;
    int status = table_pick(t, rows, count, out);
    mem_free(rows);
    return status;
}

/* The type of one column of all parts: float takes ints, and a column of nothing but nulls fits
 * every type. */
static int join_type(const struct table *const *parts, int count, const char *name,
                     enum column_type *out)
{
    bool known = false;
    for (int i = 0; i < count; i++) {
        int64_t place = table_place(parts[i], name);
        const struct column *c = place < 0 ? NULL : parts[i]->columns[place];
        if (!c || (c->nulls == c->count && (known || i + 1 < count)))
            continue;
        if (!known || (c->type == COLUMN_FLOAT && *out == COLUMN_INT)) {
            *out = c->type;
            known = true;
        } else if (c->type != *out && !(c->type == COLUMN_INT && *out == COLUMN_FLOAT)) {
            return fail(ERR_ARG,
                        "column '%s' is %s in one part and %s in part %d; hint: convert one "
                        "first, with :astype",
                        name, column_type_name(*out), column_type_name(c->type), i + 1);
        }
    }
    if (!known)
        *out = parts[0]->columns[table_place(parts[0], name)]->type;
    return OK;
}

static int join_column(const struct table *const *parts, int count, const char *name,
                       struct column **out)
{
    enum column_type type = COLUMN_TEXT;
    int status = OK;
    TRY(join_type(parts, count, name, &type));
    struct column **pieces = mem_calloc((size_t)count, sizeof *pieces);
    if (!pieces)
        return ERR_MEMORY;
    for (int i = 0; i < count; i++) {
        int64_t place = table_place(parts[i], name);
        const struct column *c = place < 0 ? NULL : parts[i]->columns[place];
        if (!c || (c->type != type && c->nulls == c->count))
            TRY_OUT(column_nulls(type, parts[i]->rows, &pieces[i]));
        else
            TRY_OUT(column_cast(c, type, &pieces[i]));
    }
    status = column_join((const struct column *const *)pieces, count, out);
out:
    for (int i = 0; i < count; i++)
        column_free(pieces[i]);
    mem_free(pieces);
    return status;
}

int table_join(const struct table *const *parts, int count, struct table **out)
{
    struct table *made;
    struct column *c = NULL;
    int status = OK;
    TRY(table_new(&made));
    for (int i = 0; i < count; i++) {
        made->rows += parts[i]->rows;
        for (int64_t k = 0; k < parts[i]->width; k++)
            if (table_place(parts[0], parts[i]->names[k]) < 0) {
                status = fail(ERR_ARG,
                              "part %d has a column '%s' that the first part lacks; "
                              "hint: drop or rename it",
                              i + 1, parts[i]->names[k]);
                goto out;
            }
    }
    for (int64_t k = 0; k < (count ? parts[0]->width : 0); k++) {
        TRY_OUT(join_column(parts, count, parts[0]->names[k], &c));
        TRY_OUT(table_add(made, parts[0]->names[k], c));
        column_free(c);
        c = NULL;
    }
    *out = made;
    return OK;
out:
    column_free(c);
    table_free(made);
    return status;
}

int64_t table_bytes(const struct table *t)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < t->width; i++)
        bytes += column_bytes(t->columns[i]);
    return bytes;
}
