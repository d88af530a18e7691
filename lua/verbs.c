/* verbs.c -- what DataFrame and Dataset methods have in common. */
#include "lua/verbs.h"
#include "engine/data/where.h"
#include "lua/cells.h"
#include "lua/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void take_truth(lua_State *L, struct cells_loop *loop, int64_t row)
{
    if (lua_toboolean(L, -1))
        bind_check(L, rows_add(loop->ctx, row));
}

const struct rows *verbs_where(lua_State *L, int arg, const struct table *t, const char *verb)
{
    char found[80];
    arg = lua_absindex(L, arg);
    struct rows *rows = hold_rows(L);
    if (lua_isfunction(L, arg)) {
        struct table **held = hold_table(L);
        *held = table_hold(t);
        struct cells_loop loop = {.t = t, .results = 1, .take = take_truth, .ctx = rows};
        cells_each_row(L, arg, &loop);
    } else if (lua_type(L, arg) == LUA_TSTRING) {
        bind_check(L, where_rows(t, lua_tostring(L, arg), rows));
    } else {
        bind_error(L,
                   "%s wants an expression or a function of a row, found %s; hint: "
                   ":%s(\"Price > 100\")",
                   verb, bind_describe(L, arg, found, sizeof found), verb);
    }
    return rows;
}

/* Upvalues: a hold of the table, the rows' metatable, the next row. */
static int next_row(lua_State *L)
{
    struct table *const *t = lua_touserdata(L, lua_upvalueindex(1));
    int64_t row = lua_tointeger(L, lua_upvalueindex(3));
    if (row >= (*t)->rows)
        return 0;
    if (bind_interrupted)
        bind_check(L, ERR_CANCELLED);
    lua_pushinteger(L, row + 1);
    lua_copy(L, -1, lua_upvalueindex(3));
    cells_push_row(L, *t, row, lua_upvalueindex(2));
    return 2;
}

int verbs_iterate(lua_State *L, const struct table *t)
{
    struct table **held = hold_table(L);
    *held = table_hold(t);
    lua_pushlightuserdata(L, held); /* inside the userdata, which upvalue 4 keeps */
    lua_insert(L, -2);
    cells_push_row_meta(L, t);
    lua_insert(L, -2);
    lua_pushinteger(L, 0);
    lua_insert(L, -2);
    lua_pushcclosure(L, next_row, 4);
    return 1;
}

int verbs_step(lua_State *L, const struct table *t)
{
    lua_settop(L, 3);
    if (!lua_isnil(L, 2) || !(lua_isnil(L, 3) || lua_isinteger(L, 3)))
        return bind_error(L,
                          "a table of rows is no function; hint: df[\"Name\"] is a column, df[3] a "
                          "row, for i, row in df do ... end goes through the rows");
    int64_t row = lua_tointeger(L, 3);
    if (row < 0 || row >= t->rows)
        return 0;
    lua_pushinteger(L, row + 1);
    cells_push_row_meta(L, t);
    cells_push_row(L, t, row, 5);
    lua_remove(L, 5);
    return 2;
}

struct to_string {
    int64_t width, max_rows;
    char *style;
};
static const struct option to_string_rows[] = {
    OPTION(struct to_string, width, INT, "0", .min = 0, .max = 100000,
           .doc = "columns of the terminal; 0 = as wide as it is"),
    OPTION(struct to_string, max_rows, INT, "0", .min = 0, .max = 1e9,
           .doc = "more rows are cut to the first and last few; 0 = 20"),
    OPTION(struct to_string, style, TEXT, "box", .choices = "box,ascii,tsv,markdown",
           .doc = "how it looks"),
};
const struct option_table to_string_options = {"to_string", "How a table is written as text.",
                                               to_string_rows, 3, sizeof(struct to_string)};

int verbs_to_string(lua_State *L, const struct table *t, const struct table *whole)
{
    struct print_style style;
    lua_settop(L, 2);
    struct to_string *o = hold_options(L, &to_string_options);
    bind_options(L, 2, &to_string_options, o);
    frame_style(&style);
    style.place_borders = false;
    style.form = !strcmp(o->style, "box")        ? PRINT_BOX
                 : !strcmp(o->style, "ascii")    ? PRINT_ASCII
                 : !strcmp(o->style, "markdown") ? PRINT_MARKDOWN
                                                 : PRINT_TSV;
    if (o->width)
        style.width = (int)o->width;
    style.most_rows = o->max_rows;
    struct buffer *text = hold_buffer(L);
    bind_check(L, print_table(t, whole, &style, text));
    lua_pushlstring(L, text->bytes ? text->bytes : "", (size_t)text->length);
    return 1;
}

const char *verbs_bytes_text(int64_t bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)bytes;
    int unit = 0;
    for (; n >= 1024 && unit < 4; unit++)
        n /= 1024;
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return out;
}
