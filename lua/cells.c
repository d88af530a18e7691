/* cells.c -- between Lua values and tables. */
#include "lua/cells.h"
#include "engine/core/suggest.h"
#include "lua/bind.h"
#include "lua/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void cells_push(lua_State *L, const struct column *c, int64_t row)
{
    size_t length;
    if (column_is_null(c, row)) {
        lua_pushnil(L);
        return;
    }
    switch (c->type) {
    case COLUMN_TEXT: {
        const char *text = column_text(c, row, &length);
        lua_pushlstring(L, text, length);
        return;
    }
    case COLUMN_JSON: {
        const char *text = column_text(c, row, &length);
        lua_value_push_json(L, text, length);
        return;
    }
    case COLUMN_INT:
        lua_pushinteger(L, c->ints[row]);
        return;
    case COLUMN_FLOAT:
        lua_pushnumber(L, c->floats[row]);
        return;
    case COLUMN_BOOL:
        lua_pushboolean(L, c->bools[row]);
        return;
    }
}

/* --- rows ---------------------------------------------------------------------------------------- */

/* row.name for a field that is not set: nil when it is a column (then it is null), else an error.
 * Upvalue 1: the set of column names. */
static int missing_field(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 0;
    char hint[160];
    struct suggest near = {.wanted = lua_tostring(L, 2)};
    for (lua_pushnil(L); lua_next(L, lua_upvalueindex(1)); lua_pop(L, 1))
        suggest_try(&near, lua_tostring(L, -2));
    return bind_error(L, "the row has no column '%.80s'%s", near.wanted,
                      suggest_hint(&near, hint, sizeof hint));
}

void cells_push_row_meta(lua_State *L, const struct table *t)
{
    luaL_checkstack(L, 5, NULL);
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, (int)t->width);
    for (int64_t i = 0; i < t->width; i++) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, t->names[i]);
    }
    lua_pushcclosure(L, missing_field, 1);
    lua_setfield(L, -2, "__index");
}

void cells_push_row(lua_State *L, const struct table *t, int64_t row, int meta)
{
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, 0, (int)t->width);
    for (int64_t i = 0; i < t->width; i++) {
        cells_push(L, t->columns[i], row);
        lua_setfield(L, -2, t->names[i]);
    }
    lua_pushvalue(L, meta);
    lua_setmetatable(L, -2);
}

void cells_push_list(lua_State *L, const struct column *c)
{
    luaL_checkstack(L, 3, NULL);
    lua_createtable(L, c->count < INT32_MAX ? (int)c->count : 0, 0);
    for (int64_t row = 0; row < c->count; row++) {
        cells_push(L, c, row);
        lua_rawseti(L, -2, row + 1);
    }
}

/* The loop itself, protected: (loop, function) */
static int loop_rows(lua_State *L)
{
    struct cells_loop *loop = lua_touserdata(L, 1);
    cells_push_row_meta(L, loop->t);
    for (loop->row = 0; loop->row < loop->t->rows; loop->row++) {
        if (bind_interrupted)
            bind_check(L, ERR_CANCELLED);
        lua_pushvalue(L, 2);
        cells_push_row(L, loop->t, loop->row, 3);
        if (loop->index)
            lua_pushinteger(L, loop->row + 1);
        lua_call(L, loop->index ? 2 : 1, loop->results);
        loop->take(L, loop, loop->row);
        lua_settop(L, 3);
    }
    return 0;
}

/* What stands behind the message of a function that failed in a row: the row, and, when it met a
 * null as nil, how to meet it. */
static void push_place(lua_State *L, const struct cells_loop *loop, const char *message)
{
    static const char before[] = "nil value (field '";
    const char *field = strstr(message, before);
    char name[100];
    if (field) {
        field += strlen(before);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(field, "'"), field);
        int64_t place = table_place(loop->t, name);
        if (place >= 0 && column_is_null(loop->t->columns[place], loop->row)) {
            lua_pushfstring(L,
                            " (row %I); hint: %s is null there; row.%s or %s stands in for it, "
                            ":dropna(\"%s\") leaves such rows out",
                            (LUAI_UACINT)loop->row + 1, name, name,
                            loop->t->columns[place]->type == COLUMN_TEXT ? "\"\"" : "0", name);
            return;
        }
    }
    lua_pushfstring(L, " (row %I)", (LUAI_UACINT)loop->row + 1);
}

void cells_each_row(lua_State *L, int arg, struct cells_loop *loop)
{
    char found[80];
    luaL_checkstack(L, 4, NULL);
    arg = lua_absindex(L, arg);
    if (lua_type(L, arg) != LUA_TFUNCTION)
        bind_error(L,
                   "wanted a function of a row, found %s; hint: function(row) return row.Name end",
                   bind_describe(L, arg, found, sizeof found));
    lua_pushcfunction(L, loop_rows);
    lua_pushlightuserdata(L, loop);
    lua_pushvalue(L, arg);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK)
        return;
    if (lua_type(L, -1) == LUA_TSTRING && !bind_interrupted) {
        push_place(L, loop, lua_tostring(L, -1));
        lua_concat(L, 2);
    }
    lua_error(L);
}

/* --- tables from Lua ----------------------------------------------------------------------------- */

const struct column *cells_column(lua_State *L, int arg, int64_t rows, const char *what)
{
    arg = lua_absindex(L, arg);
    struct maker *m = hold_makers(L, 1);
    int64_t n = (int64_t)lua_rawlen(L, arg);
    if (rows >= 0 && n != rows)
        bind_error(L, "%s has %" PRId64 " values, wanted %" PRId64 ", one for each row%s", what, n,
                   rows, n < rows ? "; hint: a list cannot end in nil; function(row) can" : "");
    for (int64_t i = 0; i < (rows >= 0 ? rows : n); i++) {
        lua_geti(L, arg, i + 1);
        maker_add(L, m, -1, what);
        lua_pop(L, 1);
    }
    return maker_column(L, m);
}

const struct column *cells_scalar(lua_State *L, int arg, const char *what)
{
    arg = lua_absindex(L, arg);
    struct maker *m = hold_makers(L, 1);
    maker_add(L, m, arg, what);
    return maker_column(L, m);
}

static int compare_names(lua_State *L, int a, int b)
{
    return strcmp(lua_tostring(L, a), lua_tostring(L, b));
}

/* Sorts the list of texts at 'list' (insertion: there are few columns, often in order). */
static void sort_names(lua_State *L, int list)
{
    int64_t n = (int64_t)lua_rawlen(L, list);
    for (int64_t i = 2; i <= n; i++) {
        lua_rawgeti(L, list, i);
        int64_t k = i - 1;
        for (; k >= 1; k--) {
            lua_rawgeti(L, list, k);
            if (compare_names(L, -1, -2) <= 0) {
                lua_pop(L, 1);
                break;
            }
            lua_rawseti(L, list, k + 1);
        }
        lua_rawseti(L, list, k + 1);
    }
}

/* Adds the text keys of the table at 'from' that are new to the set and list. */
static void gather_names(lua_State *L, int from, int set, int list, const char *who)
{
    char found[80];
    for (lua_pushnil(L); lua_next(L, from); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            bind_error(L, "%s: column names are texts, found %s", who,
                       bind_describe(L, -2, found, sizeof found));
        lua_pushvalue(L, -2);
        if (lua_rawget(L, set) == LUA_TNIL) {
            lua_pushvalue(L, -3);
            lua_pushboolean(L, 1);
            lua_rawset(L, set);
            lua_pushvalue(L, -3);
            lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
            if (lua_rawlen(L, list) > 16384)
                bind_error(L, "%s: over 16384 columns", who);
        }
        lua_pop(L, 1);
    }
}

static void from_records(lua_State *L, int arg, const char *who, struct table **out)
{
    char what[160];
    int64_t rows = (int64_t)lua_rawlen(L, arg);
    lua_newtable(L);
    int set = lua_gettop(L);
    lua_newtable(L);
    int list = lua_gettop(L);
    for (int64_t i = 1; i <= rows; i++) {
        if (lua_rawgeti(L, arg, i) != LUA_TTABLE)
            bind_error(L, "%s: row %" PRId64 " is %s, wanted a table {column = value}", who, i,
                       bind_describe(L, -1, what, sizeof what));
        gather_names(L, lua_gettop(L), set, list, who);
        lua_pop(L, 1);
    }
    sort_names(L, list);
    int64_t width = (int64_t)lua_rawlen(L, list);
    struct maker *makers = hold_makers(L, width);
    for (int64_t i = 1; i <= rows; i++) {
        lua_rawgeti(L, arg, i);
        for (int64_t k = 0; k < width; k++) {
            lua_rawgeti(L, list, k + 1);
            snprintf(what, sizeof what, "row %" PRId64 ": column '%.60s'", i, lua_tostring(L, -1));
            lua_rawget(L, -2);
            maker_add(L, &makers[k], -1, what);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    bind_check(L, table_new(out));
    (*out)->rows = rows;
    for (int64_t k = 0; k < width; k++) {
        lua_rawgeti(L, list, k + 1);
        bind_check(L, table_add(*out, lua_tostring(L, -1), maker_column(L, &makers[k])));
        lua_pop(L, 1);
    }
}

static void from_columns(lua_State *L, int arg, const char *who, struct table **out)
{
    char what[160], found[80];
    lua_newtable(L);
    int set = lua_gettop(L);
    lua_newtable(L);
    int list = lua_gettop(L);
    int64_t rows = 0;
    gather_names(L, arg, set, list, who);
    sort_names(L, list);
    int64_t width = (int64_t)lua_rawlen(L, list);
    for (int64_t k = 1; k <= width; k++) { /* the longest list: a nil at an end is a null */
        lua_rawgeti(L, list, k);
        snprintf(what, sizeof what, "column '%.60s'", lua_tostring(L, -1));
        lua_rawget(L, arg);
        if (lua_type(L, -1) != LUA_TTABLE)
            bind_error(L, "%s: %s is %s, wanted a list of values", who, what,
                       bind_describe(L, -1, found, sizeof found));
        int64_t n = (int64_t)lua_rawlen(L, -1);
        rows = n > rows ? n : rows;
        lua_pop(L, 1);
    }
    bind_check(L, table_new(out));
    for (int64_t k = 1; k <= width; k++) {
        lua_rawgeti(L, list, k);
        const char *name = lua_tostring(L, -1);
        snprintf(what, sizeof what, "%s: column '%.60s'", who, name);
        lua_pushvalue(L, -1);
        lua_rawget(L, arg);
        int64_t n = (int64_t)lua_rawlen(L, -1);
        if (n < rows)
            bind_error(L, "%s has %" PRId64 " values, others have %" PRId64, what, n, rows);
        bind_check(L, table_add(*out, name, cells_column(L, -1, rows, what)));
        lua_pop(L, 3);
    }
}

void cells_table(lua_State *L, int arg, const char *who, struct table **out)
{
    luaL_checkstack(L, 12, NULL);
    arg = lua_absindex(L, arg);
    int top = lua_gettop(L);
    if (lua_rawlen(L, arg) > 0)
        from_records(L, arg, who, out);
    else
        from_columns(L, arg, who, out);
    lua_settop(L, top);
}

/* --- names of columns ---------------------------------------------------------------------------- */

int64_t cells_place(lua_State *L, int arg, const struct table *t, const char *who)
{
    char found[80];
    int64_t place;
    if (lua_type(L, arg) != LUA_TSTRING)
        bind_error(L, "wanted the name of a column, found %s",
                   bind_describe(L, arg, found, sizeof found));
    int status = table_find(t, lua_tostring(L, arg), &place);
    if (status) /* "DataFrame has no column 'Txt'; did you mean 'Text'?" */
        bind_error(L, "%s has %s", who, status_message());
    return place;
}

const int64_t *cells_places(lua_State *L, int arg, const struct table *t, const char *who,
                            int64_t *count)
{
    int64_t n = lua_isnoneornil(L, arg) ? t->width
                : lua_istable(L, arg)   ? (int64_t)lua_rawlen(L, arg)
                                        : 1;
    luaL_checkstack(L, 3, NULL);
    arg = lua_absindex(L, arg);
    int64_t *places = hold_array(L, n, sizeof *places);
    for (int64_t i = 0; i < n; i++) {
        if (lua_isnoneornil(L, arg)) {
            places[i] = i;
        } else if (lua_istable(L, arg)) {
            lua_rawgeti(L, arg, i + 1);
            places[i] = cells_place(L, -1, t, who);
            lua_pop(L, 1);
        } else {
            places[i] = cells_place(L, arg, t, who);
        }
    }
    *count = n;
    return places;
}
