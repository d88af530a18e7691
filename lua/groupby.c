/* groupby.c -- the class GroupBy: what df:groupby gives; and df:merge. */
#include "lua/groupby.h"
#include "engine/data/group.h"
#include "engine/data/merge.h"
#include "engine/data/print.h"
#include "lua/cells.h"
#include "lua/frame.h"
#include "lua/hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct groupby {
    struct table *table, *keys; /* keys: one row a group */
    struct groups groups;
};

static struct groupby *self(lua_State *L)
{
    return bind_arg(L, 1, &groupby_class);
}

int groupby_make(lua_State *L)
{
    struct table *t = frame_arg(L, 1)->table, *narrow;
    int64_t count;
    lua_settop(L, 2);
    if (lua_isnil(L, 2) || (lua_istable(L, 2) && lua_rawlen(L, 2) == 0))
        return bind_error(L, "groupby wants columns; hint: df:groupby(\"A\"):agg{ B = \"mean\" }");
    const int64_t *places = cells_places(L, 2, t, "DataFrame", &count);
    struct groupby *g = bind_new(L, &groupby_class, sizeof *g);
    g->table = table_hold(t);
    bind_check(L, groups_make(t, places, count, &g->groups));
    bind_check(L, table_columns(t, places, count, &narrow));
    int status = rows_table(&g->groups.first, narrow, &g->keys);
    table_free(narrow);
    bind_check(L, status);
    return 1;
}

static int gc(lua_State *L)
{
    struct groupby *g = lua_touserdata(L, 1);
    table_free(g->table);
    table_free(g->keys);
    groups_free(&g->groups);
    g->table = g->keys = NULL;
    return 0;
}

/* Replaces the frame's table by one with the column added. */
static void add_column(lua_State *L, struct frame *f, const char *name, const struct column *c)
{
    struct table *next;
    char other[200];
    if (table_place(f->table, name) >= 0) { /* as a key is called */
        snprintf(other, sizeof other, "%.190s_2", name);
        name = other;
    }
    bind_check(L, table_with(f->table, name, c, &next));
    table_free(f->table);
    f->table = next;
}

/* A function over the list of a group's values, at 'function'. */
static void add_by_function(lua_State *L, const struct groupby *g, struct frame *f, int64_t place,
                            int function)
{
    char what[120];
    int top = lua_gettop(L);
    const struct column *c = g->table->columns[place];
    struct maker *m = hold_makers(L, 1);
    snprintf(what, sizeof what, "agg: column '%.60s'", g->table->names[place]);
    for (int64_t i = 0; i < g->groups.count; i++) {
        lua_pushvalue(L, function);
        lua_newtable(L);
        for (int64_t k = g->groups.start.at[i], n = 0; k < g->groups.start.at[i + 1]; k++)
            if (!column_is_null(c, g->groups.rows.at[k])) {
                cells_push(L, c, g->groups.rows.at[k]);
                lua_rawseti(L, -2, ++n);
            }
        lua_call(L, 1, 1);
        maker_add(L, m, -1, what);
        lua_pop(L, 1);
    }
    add_column(L, f, g->table->names[place], maker_column(L, m));
    lua_settop(L, top);
}

static void add_named(lua_State *L, const struct groupby *g, struct frame *f, int64_t place,
                      const char *how, bool several)
{
    const struct aggregation *a;
    char name[200];
    int top = lua_gettop(L);
    struct column **c = hold_column(L);
    bind_check(L, aggregation_find(how, &a));
    int status = groups_aggregate(&g->groups, g->table->columns[place], a, c);
    if (status)
        fail_in(status, "agg: column '%.60s'", g->table->names[place]);
    bind_check(L, status);
    snprintf(name, sizeof name, "%.150s%s%s", g->table->names[place], several ? "_" : "",
             several ? a->name : "");
    add_column(L, f, name, *c);
    lua_settop(L, top);
}

/* The aggregations of one column, at 'how'. */
static void add_aggregations(lua_State *L, const struct groupby *g, struct frame *f, int64_t place,
                             int how)
{
    char found[80];
    if (lua_type(L, how) == LUA_TSTRING) {
        add_named(L, g, f, place, lua_tostring(L, how), false);
    } else if (lua_isfunction(L, how)) {
        add_by_function(L, g, f, place, how);
    } else if (lua_istable(L, how) && lua_rawlen(L, how) > 0) {
        for (int64_t i = 1; i <= (int64_t)lua_rawlen(L, how); i++) {
            if (lua_rawgeti(L, how, i) != LUA_TSTRING)
                bind_error(L, "agg: '%.60s': wanted names of aggregations, found %s",
                           g->table->names[place], bind_describe(L, -1, found, sizeof found));
            add_named(L, g, f, place, lua_tostring(L, -1), true);
            lua_pop(L, 1);
        }
    } else {
        bind_error(L, "agg: '%.60s': wanted \"mean\", {\"sum\", \"max\"} or a function, found %s",
                   g->table->names[place], bind_describe(L, how, found, sizeof found));
    }
}

/* g:agg{ Price = "mean", Count = {"sum", "max"} } */
static int method_agg(lua_State *L)
{
    struct groupby *g = self(L);
    char found[80];
    lua_settop(L, 2);
    if (!lua_istable(L, 2))
        return bind_error(
            L,
            "agg wants a table {column = aggregation}, found %s; hint: g:agg{ Price = "
            "\"mean\" }",
            bind_describe(L, 2, found, sizeof found));
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
        cells_place(L, -2, g->table, "DataFrame"); /* misspelt ones are refused first */
    struct frame *f = frame_new(L);
    f->table = table_hold(g->keys);
    for (int64_t i = 0; i < g->table->width; i++) { /* in the columns' order */
        if (lua_getfield(L, 2, g->table->names[i]) != LUA_TNIL)
            add_aggregations(L, g, f, i, lua_gettop(L));
        lua_pop(L, 1);
    }
    return 1;
}

/* g:size(): the keys and how many rows each has */
static int method_size(lua_State *L)
{
    struct groupby *g = self(L);
    struct frame *f = frame_new(L);
    f->table = table_hold(g->keys);
    struct column **c = hold_column(L);
    bind_check(L, groups_aggregate(&g->groups, g->keys->columns[0], &aggregations[0], c));
    add_column(L, f, "size", *c);
    lua_pop(L, 1);
    return 1;
}

static int get_length(lua_State *L)
{
    lua_pushinteger(L, self(L)->groups.count);
    return 1;
}

static int show(lua_State *L)
{
    struct groupby *g = self(L);
    char groups[32], rows[32];
    lua_pushfstring(L, "GroupBy { %s groups of %s rows by ", print_count(g->groups.count, groups),
                    print_count(g->table->rows, rows));
    for (int64_t i = 0; i < g->keys->width; i++)
        lua_pushfstring(L, "%s%s", i ? ", " : "", g->keys->names[i]);
    lua_pushliteral(L, " }");
    lua_concat(L, (int)g->keys->width + 2);
    return 1;
}

/* --- merge ------------------------------------------------------------------------------------ */

struct merge {
    char *how;
};
static const struct option merge_rows[] = {
    OPTION(struct merge, how, TEXT, "inner", .choices = "inner,left,outer",
           .doc = "which rows stay: those with a match, all of this frame, or all of both"),
    {.name = "on", .type = OPTION_OBJECT, .doc = "columns to match by; default: all names in both"},
    {.name = "left_on", .type = OPTION_OBJECT, .doc = "the columns in this frame"},
    {.name = "right_on", .type = OPTION_OBJECT, .doc = "and what they are called in the other"},
};
const struct option_table merge_options = {"merge", "How two frames are matched.", merge_rows, 4,
                                           sizeof(struct merge)};

/* Pushes a list of the names that both tables have. */
static void push_common(lua_State *L, const struct table *a, const struct table *b)
{
    lua_Integer n = 0;
    lua_newtable(L);
    for (int64_t i = 0; i < a->width; i++)
        if (table_place(b, a->names[i]) >= 0) {
            lua_pushstring(L, a->names[i]);
            lua_rawseti(L, -2, ++n);
        }
    if (n == 0)
        bind_error(L, "merge: the frames have no column of one name; hint: {left_on = \"A\", "
                      "right_on = \"B\"}");
}

int groupby_merge(lua_State *L)
{
    struct table *a = frame_arg(L, 1)->table, *b = frame_table_at(L, 2);
    int64_t count, right_count;
    char found[80];
    lua_settop(L, 3);
    if (!b)
        return bind_error(L, "merge wants a DataFrame, found %s",
                          bind_describe(L, 2, found, sizeof found));
    struct merge *o = hold_options(L, &merge_options);
    bind_options(L, 3, &merge_options, o);
    bind_field(L, 3, &merge_options, "on");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        bind_field(L, 3, &merge_options, "left_on");
        bind_field(L, 3, &merge_options, "right_on");
        if (lua_isnil(L, -1) != lua_isnil(L, -2))
            return bind_error(L, "merge: left_on and right_on go together");
    } else {
        lua_pushvalue(L, -1);
    }
    if (lua_isnil(L, -1)) {
        lua_pop(L, 2);
        push_common(L, a, b);
        lua_pushvalue(L, -1);
    }
    int right = lua_gettop(L);
    const int64_t *at_a = cells_places(L, right - 1, a, "the first DataFrame", &count);
    const int64_t *at_b = cells_places(L, right, b, "the second DataFrame", &right_count);
    if (count != right_count || count == 0)
        return bind_error(L, "merge: %" PRId64 " columns on one side, %" PRId64 " on the other",
                          count, right_count);
    struct frame *made = frame_new(L);
    bind_check(L, table_merge(a, b, at_a, at_b, count,
                              o->how[0] == 'i'   ? MERGE_INNER
                              : o->how[0] == 'l' ? MERGE_LEFT
                                                 : MERGE_OUTER,
                              &made->table));
    return 1;
}

static const struct lua_method methods[] = {
    {"agg", method_agg, "g:agg{ Price = \"mean\", Count = {\"sum\", \"max\"} }",
     "One row a group: the keys and, for each column named, size, count, sum, mean, median, std, "
     "min, max, first, last, nunique, list, or a function of the list of its values.",
     NULL},
    {"size", method_size, "g:size()", "One row a group: the keys and the number of rows.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {
    {"__gc", gc}, {"__len", get_length}, {"__tostring", show}, {NULL, NULL}};

const struct lua_class groupby_class = {
    .name = "GroupBy",
    .doc = "A GroupBy holds the rows of a DataFrame in groups that share the values of some "
           "columns, in order of these; "
           "#g is the number of groups. Rows with a null among them are in none.",
    .signature = "df:groupby(\"A\")",
    .methods = methods,
    .meta = meta,
};
