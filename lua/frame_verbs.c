/* frame_verbs.c -- the methods of DataFrame: each gives a new frame, none changes its own. */
#include "engine/data/column_math.h"
#include "engine/data/describe.h"
#include "engine/data/row_text.h"
#include "engine/data/rows.h"
#include "engine/data/where.h"
#include "kernels/base/mem.h"
#include "kernels/base/rng.h"
#include "lua/cells.h"
#include "lua/column.h"
#include "lua/dataset.h"
#include "lua/frame.h"
#include "lua/groupby.h"
#include "lua/verbs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct table *table_of(lua_State *L)
{
    return frame_arg(L, 1)->table;
}

/* Pushes a frame of the rows in the list. */
static int push_rows(lua_State *L, const struct rows *rows, const struct table *t, bool part)
{
    struct frame *made = frame_new(L);
    bind_check(L, rows_table(rows, t, &made->table));
    if (part && made->table->rows < t->rows)
        made->whole = table_hold(t);
    return 1;
}

/* --- looking ----------------------------------------------------------------------------------------- */

/* Pushes rows [from, from + count) and remembers what they were taken from. */
static int push_slice(lua_State *L, int64_t from, int64_t count)
{
    struct table *t = table_of(L);
    struct frame *made = frame_new(L);
    bind_check(L, table_slice(t, from, count, &made->table));
    if (count < t->rows)
        made->whole = table_hold(t);
    return 1;
}

/* The n of head and tail: negative = all but so many. */
static int64_t wanted_rows(lua_State *L)
{
    int64_t rows = table_of(L)->rows, n = luaL_optinteger(L, 2, 5);
    n = n < 0 ? rows + n : n;
    return n < 0 ? 0 : n > rows ? rows : n;
}

static int verb_head(lua_State *L)
{
    return push_slice(L, 0, wanted_rows(L));
}

static int verb_tail(lua_State *L)
{
    int64_t n = wanted_rows(L);
    return push_slice(L, table_of(L)->rows - n, n);
}

struct sample {
    int64_t n, seed;
    double frac;
};
static const struct option sample_rows[] = {
    OPTION(struct sample, n, INT, "-1", .doc = "rows; default 1"),
    OPTION(struct sample, seed, INT, "-1", .aliases = "random_state",
           .doc =
               "where the random order starts; default: other rows each time, from the session's "
               "--seed"),
    OPTION(struct sample, frac, FLOAT, "-1", .doc = "share of the rows instead of a number"),
};
static const struct option_table sample_options = {"sample", "Which rows df:sample takes.",
                                                   sample_rows, 3, sizeof(struct sample)};

/* df:sample(5, {seed = 1}), df:sample{frac = 0.1} */
static int verb_sample(lua_State *L)
{
    struct table *t = table_of(L);
    int options = lua_istable(L, 2) ? 2 : 3;
    lua_settop(L, 3);
    struct sample *o = hold_options(L, &sample_options);
    bind_options(L, options, &sample_options, o);
    int64_t n = options == 3 ? luaL_optinteger(L, 2, 1) : o->n >= 0 ? o->n : 1;
    if (o->frac >= 0)
        n = (int64_t)llround(o->frac * (double)t->rows);
    if (n < 0 || n > t->rows)
        return bind_error(L,
                          "sample of %" PRId64 " rows, wanted 0 to %" PRId64 "; hint: rows are "
                          "taken once",
                          n, t->rows);
    struct rows *rows = hold_rows(L);
    static uint64_t calls; /* looking again shows other rows; a recipe run again the same */
    uint64_t seed =
        o->seed >= 0 ? (uint64_t)o->seed : rng_u64(rng_key(bind_host.seed, RNG_USER), calls++);
    bind_check(L, rows_shuffled(rows, seed, RNG_USER, t->rows, n));
    return push_rows(L, rows, t, true);
}

static int verb_describe(lua_State *L)
{
    struct table *t = table_of(L);
    struct frame *made = frame_new(L);
    bind_check(L, table_describe(t, &made->table));
    return 1;
}

static int verb_info(lua_State *L)
{
    struct table *t = table_of(L);
    char rows[32], bytes[32];
    struct table **info = hold_table(L);
    bind_check(L, table_info(t, info));
    luaL_Buffer b;
    print_count(t->rows, rows);
    verbs_bytes_text(table_bytes(t), bytes);
    frame_push_text(L, *info, NULL);
    luaL_buffinit(L, &b);
    lua_pushfstring(L, "DataFrame %s rows, %I columns, %s\n", rows, (LUAI_UACINT)t->width, bytes);
    luaL_addvalue(&b);
    lua_pushvalue(L, -2);
    luaL_addvalue(&b);
    luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    bind_write(text, length);
    return 0;
}

static int verb_to_string(lua_State *L)
{
    struct frame *f = frame_arg(L, 1);
    return verbs_to_string(L, f->table, f->whole);
}

/* --- columns ----------------------------------------------------------------------------------------- */

static int verb_col(lua_State *L)
{
    struct table *t = table_of(L);
    column_object_push(L, t, cells_place(L, 2, t, "DataFrame"));
    return 1;
}

static void take_result(lua_State *L, struct cells_loop *loop, int64_t row)
{
    (void)row;
    maker_add(L, loop->ctx, -1, "apply");
}

struct apply {
    int64_t axis;
};
static const struct option apply_rows[] = {
    OPTION(struct apply, axis, INT, "1", .min = 0, .max = 1,
           .doc = "1 = row by row; there is no other way here"),
};
static const struct option_table apply_options = {"apply", "How df:apply goes.", apply_rows, 1,
                                                  sizeof(struct apply)};

/* df:apply(function(row) ... end) -> Column */
static int verb_apply(lua_State *L)
{
    lua_settop(L, 3);
    struct apply *o = hold_options(L, &apply_options);
    bind_options(L, 3, &apply_options, o);
    if (o->axis != 1)
        return bind_error(L, "apply: axis = 0 goes over columns, which is not done here; hint: "
                             "df.Price:mean() and the like, or leave axis out for rows");
    struct maker *m = hold_makers(L, 1);
    struct table **t = hold_table(L), **made;
    *t = table_hold(table_of(L)); /* the function may assign columns of this frame */
    struct cells_loop loop = {.t = *t, .results = 1, .take = take_result, .ctx = m};
    cells_each_row(L, 2, &loop);
    made = hold_table(L);
    bind_check(L, table_new(made));
    bind_check(L, table_add(*made, "result", maker_column(L, m)));
    column_object_push(L, *made, 0);
    return 1;
}

static int verb_format(lua_State *L)
{
    struct table *t = table_of(L);
    size_t length;
    const char *pattern = luaL_checklstring(L, 2, &length);
    struct column **c = hold_column(L);
    bind_check(L, row_text(t, pattern, length, c));
    struct table **made = hold_table(L);
    bind_check(L, table_new(made));
    bind_check(L, table_add(*made, "result", *c));
    column_object_push(L, *made, 0);
    return 1;
}

/* df:rename{Old = "New"}, df:rename{columns = {Old = "New"}} */
static int verb_rename(lua_State *L)
{
    struct table *t = table_of(L);
    lua_settop(L, 2);
    if (!lua_istable(L, 2))
        return bind_error(L, "rename wants a table; hint: df:rename{ Old = \"New\" }");
    if (lua_getfield(L, 2, "columns") == LUA_TTABLE && table_place(t, "columns") < 0)
        lua_replace(L, 2);
    lua_settop(L, 2);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        cells_place(L, -2, t, "DataFrame");
        if (lua_type(L, -1) != LUA_TSTRING)
            return bind_error(L, "rename: the new name of '%.60s' must be a text",
                              lua_tostring(L, -2));
    }
    struct frame *made = frame_new(L);
    bind_check(L, table_new(&made->table));
    made->table->rows = t->rows;
    for (int64_t i = 0; i < t->width; i++) { /* all at once: names may be exchanged */
        lua_getfield(L, 2, t->names[i]);
        const char *name = lua_isnil(L, -1) ? t->names[i] : lua_tostring(L, -1);
        bind_check(L, table_add(made->table, name, t->columns[i]));
        lua_pop(L, 1);
    }
    return 1;
}

/* df:drop("A"), df:drop{"A", "B"}, df:drop{columns = {"A"}} */
static int verb_drop(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t count;
    lua_settop(L, 2);
    if (lua_isnoneornil(L, 2))
        return bind_error(L, "drop wants the columns to leave out; hint: df:drop(\"A\") or "
                             "df:drop{\"A\", \"B\"}");
    if (lua_istable(L, 2) && lua_getfield(L, 2, "columns") != LUA_TNIL)
        lua_replace(L, 2);
    lua_settop(L, 2);
    if (lua_istable(L, 2) && lua_rawlen(L, 2) == 0)
        return bind_error(L, "drop wants a list of columns; hint: df:drop{\"A\", \"B\"}");
    const int64_t *places = cells_places(L, 2, t, "DataFrame", &count);
    struct frame *made = frame_new(L);
    bind_check(L, table_without(t, places, count, &made->table));
    return 1;
}

/* df:astype("Price", "int"), df:astype{Price = "int"} */
static int verb_astype(lua_State *L)
{
    struct frame *made;
    struct table *t = table_of(L);
    lua_settop(L, 3);
    if (!lua_istable(L, 2)) {
        lua_newtable(L);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        if (lua_isnil(L, 2) || lua_isnil(L, 3))
            return bind_error(L,
                              "astype wants a column and a type; hint: df:astype{Price = \"int\"}");
        lua_rawset(L, -3);
        lua_replace(L, 2);
    }
    made = frame_new(L);
    made->table = table_hold(t);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        enum column_type type;
        int64_t place = cells_place(L, -2, t, "DataFrame");
        struct table *next;
        int top = lua_gettop(L);
        struct column **c = hold_column(L);
        bind_check(L, column_type_find(luaL_checkstring(L, top), &type));
        int status = column_cast(made->table->columns[place], type, c);
        if (status)
            return bind_error(L, "'%.60s' as %s: %s", t->names[place], column_type_name(type),
                              status_message());
        bind_check(L, table_with(made->table, t->names[place], *c, &next));
        table_free(made->table);
        made->table = next;
        lua_settop(L, top);
    }
    return 1;
}

/* --- rows -------------------------------------------------------------------------------------------- */

/* df:where("Price > 100"), df:where(function(row) ... end), df:where(column of true and false) */
static int verb_where(lua_State *L)
{
    struct table *t = table_of(L);
    lua_settop(L, 2);
    if (bind_test(L, 2, &column_class)) {
        lua_gettable(L, 1);
        return 1;
    }
    const struct rows *rows = verbs_where(L, 2, t, "where");
    return push_rows(L, rows, t, true);
}

static int iterate_rows(lua_State *L)
{
    return verbs_iterate(L, table_of(L));
}

/* df:rows(1, 5): rows 1 to 5; without arguments: for i, row in df:rows() */
static int verb_rows(lua_State *L)
{
    struct table *t = table_of(L);
    if (lua_isnoneornil(L, 2))
        return iterate_rows(L);
    if (t->rows == 0)
        return push_slice(L, 0, 0);
    int64_t from = bind_index(L, 2, t->rows, "row");
    int64_t to = lua_isnoneornil(L, 3) ? from : bind_index(L, 3, t->rows, "row");
    return push_slice(L, from, to < from ? 0 : to - from + 1);
}

struct sort {
    int ascending; /* fetched by hand: one value or a list */
};
static const struct option sort_rows[] = {
    {.name = "ascending", .type = OPTION_OBJECT, .doc = "true (default), false, or a list of them"},
};
static const struct option_table sort_options = {"sort_values", "How rows are ordered.", sort_rows,
                                                 1, sizeof(struct sort)};

/* df:sort_values("A", {ascending = false}), df:sort_values({"A", "B"}, {ascending = {true, false}}) */
static int verb_sort_values(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t count;
    lua_settop(L, 3);
    if (lua_isnil(L, 2))
        return bind_error(L, "sort_values wants a column; hint: df:sort_values(\"Name\")");
    const int64_t *places = cells_places(L, 2, t, "DataFrame", &count);
    bool *down = hold_array(L, count, sizeof *down);
    struct sort *o = hold_options(L, &sort_options);
    bind_options(L, 3, &sort_options, o);
    bind_field(L, 3, &sort_options, "ascending");
    for (int64_t i = 0; i < count; i++) {
        if (lua_istable(L, -1))
            lua_rawgeti(L, -1, i + 1);
        else
            lua_pushvalue(L, -1);
        down[i] = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    struct rows *rows = hold_rows(L);
    bind_check(L, rows_sorted(rows, t, places, down, count));
    return push_rows(L, rows, t, false);
}

static int verb_value_counts(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t place = cells_place(L, 2, t, "DataFrame");
    struct frame *made = frame_new(L);
    bind_check(L, table_value_counts(t, place, &made->table));
    return 1;
}

/* The columns of dropna and drop_duplicates: nothing, "A", {"A", "B"} or {subset = ...}. */
static const int64_t *subset(lua_State *L, const struct table *t, int64_t *count)
{
    lua_settop(L, 2);
    if (lua_istable(L, 2) && lua_getfield(L, 2, "subset") != LUA_TNIL)
        lua_replace(L, 2);
    lua_settop(L, 2);
    if (lua_istable(L, 2) && lua_rawlen(L, 2) == 0)
        bind_error(L, "wanted names of columns; hint: \"A\", {\"A\", \"B\"} or {subset = {\"A\"}}");
    return cells_places(L, 2, t, "DataFrame", count);
}

static int verb_dropna(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t count;
    const int64_t *places = subset(L, t, &count);
    struct rows *rows = hold_rows(L);
    for (int64_t row = 0; row < t->rows; row++) {
        bool null = false;
        for (int64_t i = 0; i < count; i++)
            null = null || column_is_null(t->columns[places[i]], row);
        if (!null)
            bind_check(L, rows_add(rows, row));
    }
    return push_rows(L, rows, t, false);
}

static int verb_drop_duplicates(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t count;
    const int64_t *places = subset(L, t, &count);
    struct rows *rows = hold_rows(L);
    bind_check(L, rows_distinct(rows, t, places, count, NULL));
    return push_rows(L, rows, t, false);
}

/* Can a null of 'c' become the value? */
static bool fits(const struct column *c, const struct column *value)
{
    bool number = value->type == COLUMN_INT || value->type == COLUMN_FLOAT;
    bool whole =
        value->type == COLUMN_INT || (number && value->floats[0] == floor(value->floats[0]));
    if (c->type == COLUMN_FLOAT)
        return number;
    return c->type == COLUMN_INT ? whole && number : c->type == value->type;
}

/* Replaces the table of 'made' by one whose column 'place' has no nulls. */
static void fill_column(lua_State *L, struct frame *made, int64_t place, const struct column *value)
{
    struct table *next;
    struct column **c = hold_column(L);
    bind_check(L, column_fill(made->table->columns[place], value, c));
    bind_check(L, table_with(made->table, made->table->names[place], *c, &next));
    table_free(made->table);
    made->table = next;
    lua_pop(L, 1);
}

/* df:fillna(""), df:fillna{Age = 0, Name = "?"} */
static int verb_fillna(lua_State *L)
{
    struct table *t = table_of(L);
    lua_settop(L, 2);
    if (lua_isnil(L, 2))
        return bind_error(L, "fillna wants the value to put in; hint: df:fillna(\"\") or "
                             "df:fillna{Age = 0}");
    struct frame *made = frame_new(L);
    made->table = table_hold(t);
    if (lua_istable(L, 2)) {
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
            int64_t place = cells_place(L, -2, t, "DataFrame");
            const struct column *value = cells_scalar(L, -1, "fillna");
            fill_column(L, made, place, value);
            lua_pop(L, 1);
        }
        lua_settop(L, 3);
        return 1;
    }
    const struct column *value = cells_scalar(L, 2, "fillna");
    for (int64_t i = 0; i < t->width; i++) {
        const struct column *c = t->columns[i];
        if (c->nulls && fits(c, value))
            fill_column(L, made, i, value);
        else if (c->nulls)
            bind_note(L, "note: '%.60s' is %s and keeps its nulls (%" PRId64 ")", t->names[i],
                      column_type_name(c->type), c->nulls);
    }
    lua_settop(L, 3);
    return 1;
}

static int verb_isna(lua_State *L)
{
    struct table *t = table_of(L);
    struct frame *made = frame_new(L);
    bind_check(L, table_new(&made->table));
    for (int64_t i = 0; i < t->width; i++) {
        struct column **c = hold_column(L);
        bind_check(L, column_null_flags(t->columns[i], c));
        bind_check(L, table_add(made->table, t->names[i], *c));
        lua_pop(L, 1);
    }
    return 1;
}

/* --- out --------------------------------------------------------------------------------------------- */

static int verb_to_json(lua_State *L)
{
    struct table *t = table_of(L);
    const char *path = luaL_optstring(L, 2, NULL);
    lua_settop(L, 3);
    frame_write_json(L, t, path, 3, false);
    return path ? 0 : 1;
}

static int verb_to_csv(lua_State *L)
{
    struct table *t = table_of(L);
    const char *path = luaL_optstring(L, 2, NULL);
    lua_settop(L, 3);
    frame_write_csv(L, t, path, 3);
    return path ? 0 : 1;
}

/* df:to_dict("records") or df:to_dict("list") */
static int verb_to_dict(lua_State *L)
{
    struct table *t = table_of(L);
    const char *kind = luaL_optstring(L, 2, "list");
    if (!strcmp(kind, "records")) {
        cells_push_row_meta(L, t);
        int meta = lua_gettop(L);
        lua_createtable(L, t->rows < INT32_MAX ? (int)t->rows : 0, 0);
        for (int64_t row = 0; row < t->rows; row++) {
            cells_push_row(L, t, row, meta);
            lua_pushnil(L);
            lua_setmetatable(L, -2);
            lua_rawseti(L, -2, row + 1);
        }
        return 1;
    }
    if (strcmp(kind, "list") != 0)
        return bind_error(L, "to_dict('%.20s'), wanted \"records\" or \"list\"", kind);
    lua_createtable(L, 0, (int)t->width);
    for (int64_t i = 0; i < t->width; i++) {
        cells_push_list(L, t->columns[i]);
        lua_setfield(L, -2, t->names[i]);
    }
    return 1;
}

static int verb_copy(lua_State *L)
{
    struct table *t = table_of(L);
    struct frame *made = frame_new(L);
    made->table = table_hold(t);
    return 1;
}

const struct lua_method frame_verbs[] = {
    {"head", verb_head, "df:head(n = 5)", "The first n rows; -n: all but the last n.", NULL},
    {"tail", verb_tail, "df:tail(n = 5)", "The last n rows; -n: all but the first n.", NULL},
    {"sample", verb_sample, "df:sample(n = 1, {seed = 42})",
     "n rows in random order; the same seed gives the same rows. df:sample{frac = 0.1} takes a "
     "share.",
     &sample_options},
    {"describe", verb_describe, "df:describe()",
     "Statistics of every column as a DataFrame: count, empty, distinct; mean, deviation and "
     "quartiles of numbers; the most frequent and the longest text.",
     NULL},
    {"info", verb_info, "df:info()",
     "Prints columns, types, how many values are filled, and the size.", NULL},
    {"to_string", verb_to_string, "df:to_string{width = 80, max_rows = 20, style = \"box\"}",
     "The frame as text.", &to_string_options},
    {"col", verb_col, "df:col(name)", "The column, also where a method has its name.", NULL},
    {"apply", verb_apply, "df:apply(function(row) return ... end)",
     "Calls the function with each row, a table {column = value}, and gives a Column of its "
     "results; nil is null. Assign it: df.Text = df:apply(f).",
     &apply_options},
    {"format", verb_format, "df:format(\"Product: {Product Name}, {Price:.2f}\")",
     "A Column of texts: the pattern filled with each row, without calling Lua. {{ and }} stand "
     "for braces.",
     NULL},
    {"rename", verb_rename, "df:rename{ Old = \"New\" }", "Columns under new names.", NULL},
    {"drop", verb_drop, "df:drop(\"A\")",
     "Without a column, or without several: df:drop{\"A\", \"B\"}.", NULL},
    {"astype", verb_astype, "df:astype{ Price = \"float\" }",
     "Columns converted to str, int, float or bool.", NULL},
    {"where", verb_where, "df:where(\"Price > 100 and Name contains 'x'\")",
     "The rows for which an expression or a function(row) holds. Operators: = ~= < <= > >= "
     "contains startswith endswith in (...) is null, joined by and, or, not; `column with spaces`; "
     "texts in quotes.",
     NULL},
    {"query", verb_where, "df:query(\"Price > 100\")", "The same as where.", NULL},
    {"filter", verb_where, "df:filter(function(row) return ... end)", "The same as where.", NULL},
    {"rows", verb_rows, "df:rows(from, to)",
     "Rows from to to, both included, negatives from the end. Without arguments it iterates: for "
     "i, row in df:rows() do.",
     NULL},
    {"iterrows", iterate_rows, "for i, row in df:iterrows() do ... end",
     "Goes through the rows as tables {column = value}.", NULL},
    {"sort_values", verb_sort_values, "df:sort_values(\"A\", {ascending = true})",
     "Rows in order of one or more columns; equal rows keep their order, nulls come last.",
     &sort_options},
    {"value_counts", verb_value_counts, "df:value_counts(\"A\")",
     "The different values of a column and how often each comes, most frequent first.", NULL},
    {"dropna", verb_dropna, "df:dropna(\"A\")",
     "Without the rows that are null in any of the columns given (a name, a list, {subset = ...}), "
     "or in any at all.",
     NULL},
    {"drop_duplicates", verb_drop_duplicates, "df:drop_duplicates(\"A\")",
     "The first row of each distinct value of the columns given, or of the whole row.", NULL},
    {"fillna", verb_fillna, "df:fillna(value)",
     "Nulls replaced by a value in every column it fits, or by one per column: df:fillna{Age = 0}.",
     NULL},
    {"isna", verb_isna, "df:isna()", "A frame of true where a value is null.", NULL},
    {"to_csv", verb_to_csv, "df:to_csv(path, {index = false, sep = \",\"})",
     "Writes a CSV file, at once or not at all; without a path the text is returned.",
     &to_csv_options},
    {"groupby", groupby_make, "df:groupby(\"A\"):agg{ Price = \"mean\" }",
     "Groups rows by one column or a list of them, to be aggregated.", NULL},
    {"merge", groupby_merge, "df:merge(other, {on = \"A\", how = \"inner\"})",
     "Two frames side by side, their rows matched by the values of columns; other columns of one "
     "name "
     "get the endings _x and _y.",
     &merge_options},
    {"to_json", verb_to_json, "df:to_json(path, {orient = \"records\", lines = true})",
     "Writes a JSON file, at once or not at all; without a path the text is returned. Floats that "
     "are no number are written as null.",
     &to_json_options},
    {"to_dict", verb_to_dict, "df:to_dict(\"records\")",
     "As Lua tables: a list of rows (\"records\"), or {column = list} (\"list\", the default).",
     NULL},
    {"copy", verb_copy, "df:copy()", "A frame of its own with the same columns.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
