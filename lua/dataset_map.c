/* dataset_map.c -- Dataset:map: a function over rows, or over batches of them. */
#include "engine/data/table.h"
#include "lua/cells.h"
#include "lua/dataset.h"
#include "lua/frame.h"
#include "lua/hold.h"
#include "lua/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct map {
    bool with_indices, batched;
    int64_t batch_size;
};
static const struct option map_rows[] = {
    OPTION(struct map, with_indices, BOOL, "false",
           .doc = "the function gets the row number too (a list of them when batched)"),
    OPTION(struct map, batched, BOOL, "false",
           .doc = "the function gets {column = list} of many rows and gives such a table"),
    OPTION(struct map, batch_size, INT, "1000", .min = 1, .max = 1e9, .doc = "rows of a batch"),
    {.name = "remove_columns",
     .type = OPTION_OBJECT,
     .doc = "columns to leave out; what the function sets stays"},
    {.name = "num_proc",
     .type = OPTION_NOTE,
     .doc = "not used",
     .note = "num_proc is not used: Lua runs on one thread"},
    {.name = "desc", .type = OPTION_NOTE, .doc = "not used", .note = "desc is not shown"},
};
const struct option_table map_options = {"map", "How a function is mapped.", map_rows,
                                         (int)(sizeof map_rows / sizeof *map_rows),
                                         sizeof(struct map)};

/* Columns that the function set. Places in the makers: [0, t->width) for the table's columns, then
 * the new ones in order of appearance; 'extra' is a Lua table name -> place. */
struct mapping {
    struct maker *makers;
    bool *used, *removed;
    int64_t room, count; /* makers; new columns so far */
    int extra;           /* registry reference of the table and of the list of names */
    int names;
};
#define MAP_NEW_COLUMNS 256

static int64_t map_place(lua_State *L, struct mapping *m, const struct table *t)
{
    const char *name = lua_tostring(L, -2);
    int64_t place = table_place(t, name);
    if (place >= 0)
        return place;
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->extra);
    if (lua_getfield(L, -1, name) == LUA_TNIL) {
        if (m->count == MAP_NEW_COLUMNS)
            bind_error(L, "map: over %d new columns", MAP_NEW_COLUMNS);
        place = t->width + m->count++;
        lua_pushinteger(L, place);
        lua_setfield(L, -3, name);
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->names);
        lua_pushvalue(L, -5);
        lua_rawseti(L, -2, m->count);
        lua_pop(L, 1);
    } else {
        place = lua_tointeger(L, -1);
    }
    lua_pop(L, 2);
    return place;
}

/* Brings a column up to 'row': what the function left alone keeps its value, a new one is null. */
static void catch_up(lua_State *L, struct mapping *m, const struct table *t, int64_t place,
                     int64_t row)
{
    struct maker *maker = &m->makers[place];
    while ((maker->column ? maker->column->count : maker->nulls) < row) {
        int64_t at = maker->column ? maker->column->count : maker->nulls;
        if (place < t->width)
            maker_add_from(L, maker, t->columns[place], at);
        else
            maker_add_null(L, maker);
    }
}

static void take_fields(lua_State *L, struct cells_loop *loop, int64_t row)
{
    struct mapping *m = loop->ctx;
    char what[120], found[80];
    if (!lua_istable(L, -1))
        bind_error(L,
                   "map: the function gave %s, wanted a table of fields; hint: return { Text = ... "
                   "} or return row",
                   bind_describe(L, -1, found, sizeof found));
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            bind_error(L, "map: field names are texts, found %s",
                       bind_describe(L, -2, found, sizeof found));
        int64_t place = map_place(L, m, loop->t);
        snprintf(what, sizeof what, "map: column '%.60s'", lua_tostring(L, -2));
        m->used[place] = true;
        catch_up(L, m, loop->t, place, row);
        maker_add(L, &m->makers[place], -1, what);
    }
}

/* The new Dataset's table: what the function set, and what it left alone. */
static void map_result(lua_State *L, struct mapping *m, const struct table *t, struct frame *made,
                       int64_t rows)
{
    int64_t all = t->width + m->count;
    bind_check(L, table_new(&made->table));
    made->table->rows = rows;
    for (int64_t i = 0; i < all; i++) {
        const struct column *c = i < t->width ? t->columns[i] : NULL;
        const char *name = i < t->width ? t->names[i] : NULL;
        if (!name) {
            lua_rawgeti(L, LUA_REGISTRYINDEX, m->names);
            lua_rawgeti(L, -1, i - t->width + 1);
            name = lua_tostring(L, -1);
            lua_pop(L, 2); /* the list keeps the text */
        }
        if (i < t->width && m->removed[i] && !m->used[i])
            continue;
        if (m->used[i]) {
            catch_up(L, m, t, i, rows);
            c = maker_column(L, &m->makers[i]);
        }
        bind_check(L, table_add(made->table, name, c));
    }
}

/* --- batches ---------------------------------------------------------------------------------- */

struct batches {
    struct mapping *m;
    const struct table *t;
    int64_t size, from, count; /* rows of a batch; the one at hand */
    int64_t rows;              /* given so far */
    bool index, uneven;        /* uneven: some batch gave another number of rows than it got */
};

static void push_batch(lua_State *L, const struct batches *b)
{
    lua_createtable(L, 0, (int)b->t->width);
    for (int64_t i = 0; i < b->t->width; i++) {
        const struct column *c = b->t->columns[i];
        lua_createtable(L, (int)(b->count < 1 << 20 ? b->count : 1 << 20), 0);
        for (int64_t row = 0; row < b->count; row++) {
            if (column_is_null(c, b->from + row))
                lua_value_push_null(L); /* a hole would make the list shorter */
            else
                cells_push(L, c, b->from + row);
            lua_rawseti(L, -2, row + 1);
        }
        lua_setfield(L, -2, b->t->names[i]);
    }
}

static void push_numbers(lua_State *L, const struct batches *b)
{
    lua_createtable(L, 0, 0);
    for (int64_t row = 0; row < b->count; row++) {
        lua_pushinteger(L, b->from + row + 1);
        lua_rawseti(L, -2, row + 1);
    }
}

/* How many rows the table on top gives: the length of its lists, which must agree. */
static int64_t given_rows(lua_State *L)
{
    char found[80], first[64] = "";
    int64_t rows = -1;
    if (!lua_istable(L, -1))
        bind_error(
            L,
            "map: the function gave %s, wanted a table {column = list}; hint: with batched = "
            "true it gets and gives lists",
            bind_describe(L, -1, found, sizeof found));
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_istable(L, -1))
            bind_error(L, "map: with batched = true every field is a list, found %s in '%.60s'",
                       bind_describe(L, -1, found, sizeof found),
                       lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?");
        int64_t n = (int64_t)lua_rawlen(L, -1);
        if (rows >= 0 && n != rows)
            bind_error(L,
                       "map: column '%.60s' has %" PRId64 " values, '%s' has %" PRId64
                       "; hint: lorash.null stands for null in a list",
                       lua_tostring(L, -2), n, first, rows);
        snprintf(first, sizeof first, "%.60s", lua_tostring(L, -2));
        rows = n;
    }
    return rows;
}

/* Brings a maker to 'rows' values with nulls. */
static void pad(lua_State *L, struct maker *maker, int64_t rows)
{
    while ((maker->column ? maker->column->count : maker->nulls) < rows)
        maker_add_null(L, maker);
}

static void take_batch(lua_State *L, struct batches *b)
{
    char what[120];
    struct mapping *m = b->m;
    int64_t rows = given_rows(L);
    if (rows < 0) /* an empty table changes nothing */
        rows = b->count;
    b->uneven = b->uneven || rows != b->count;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        int64_t place = map_place(L, m, b->t);
        snprintf(what, sizeof what, "map: column '%.60s'", lua_tostring(L, -2));
        m->used[place] = true;
        pad(L, &m->makers[place], b->rows);
        for (int64_t i = 1; i <= rows; i++) {
            lua_rawgeti(L, -1, i);
            maker_add(L, &m->makers[place], -1, what);
            lua_pop(L, 1);
        }
    }
    b->rows += rows;
}

/* The loop, protected: (batches, function) */
static int loop_batches(lua_State *L)
{
    struct batches *b = lua_touserdata(L, 1);
    for (b->from = 0; b->from < b->t->rows; b->from += b->size) {
        if (bind_interrupted)
            bind_check(L, ERR_CANCELLED);
        b->count = b->t->rows - b->from < b->size ? b->t->rows - b->from : b->size;
        luaL_checkstack(L, 10, NULL);
        lua_pushvalue(L, 2);
        push_batch(L, b);
        if (b->index)
            push_numbers(L, b);
        lua_call(L, b->index ? 2 : 1, 1);
        take_batch(L, b);
        lua_settop(L, 2);
    }
    return 0;
}

/* With another number of rows than before, only what the function set can stay. */
static void check_uneven(lua_State *L, const struct batches *b)
{
    for (int64_t i = 0; b->uneven && i < b->t->width; i++)
        if (!b->m->used[i] && !b->m->removed[i])
            bind_error(L,
                       "map: the function gave %" PRId64 " rows for %" PRId64
                       ", and column '%.60s' has the old number; hint: remove_columns = "
                       "ds.column_names",
                       b->rows, b->t->rows, b->t->names[i]);
}

static void run_batches(lua_State *L, struct batches *b, int function)
{
    char found[80];
    if (!lua_isfunction(L, function))
        bind_error(L, "map wants a function, found %s",
                   bind_describe(L, function, found, sizeof found));
    lua_pushcfunction(L, loop_batches);
    lua_pushlightuserdata(L, b);
    lua_pushvalue(L, function);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK)
        return;
    if (lua_type(L, -1) == LUA_TSTRING && !bind_interrupted) {
        lua_pushfstring(L, " (rows %I to %I)", (LUAI_UACINT)b->from + 1,
                        (LUAI_UACINT)(b->from + b->count));
        lua_concat(L, 2);
    }
    lua_error(L);
}

/* --- map -------------------------------------------------------------------------------------- */

/* The protected part: (mapping, batches or nil, loop, function); pushes the Dataset. */
static int map_protected(lua_State *L)
{
    struct mapping *m = lua_touserdata(L, 1);
    struct batches *b = lua_touserdata(L, 2);
    struct cells_loop *loop = lua_touserdata(L, 3);
    struct frame *made = dataset_new(L);
    if (!b) {
        cells_each_row(L, 4, loop);
        map_result(L, m, loop->t, made, loop->t->rows);
        lua_settop(L, 5);
        return 1;
    }
    run_batches(L, b, 4);
    check_uneven(L, b);
    for (int64_t i = 0; i < m->room; i++)
        if (m->used[i])
            pad(L, &m->makers[i], b->rows);
    map_result(L, m, b->t, made, b->rows);
    lua_settop(L, 5);
    return 1;
}

int dataset_map(lua_State *L)
{
    struct table *t = ((struct frame *)bind_arg(L, 1, &dataset_class))->table;
    int64_t count;
    lua_settop(L, 3);
    struct map *o = hold_options(L, &map_options);
    bind_options(L, 3, &map_options, o);
    struct mapping m = {.room = t->width + MAP_NEW_COLUMNS};
    m.makers = hold_makers(L, m.room);
    m.used = hold_array(L, m.room, sizeof *m.used);
    m.removed = hold_array(L, t->width, sizeof *m.removed);
    bind_field(L, 3, &map_options, "remove_columns");
    if (!lua_isnil(L, -1)) {
        const int64_t *places = cells_places(L, -1, t, "Dataset", &count);
        for (int64_t i = 0; i < count; i++)
            m.removed[places[i]] = true;
    }
    lua_newtable(L);
    lua_newtable(L);
    m.names = luaL_ref(L, LUA_REGISTRYINDEX);
    m.extra = luaL_ref(L, LUA_REGISTRYINDEX);
    struct cells_loop loop = {
        .t = t, .results = 1, .index = o->with_indices, .take = take_fields, .ctx = &m};
    struct batches b = {.m = &m, .t = t, .size = o->batch_size, .index = o->with_indices};
    lua_pushcfunction(L, map_protected);
    lua_pushlightuserdata(L, &m);
    if (o->batched)
        lua_pushlightuserdata(L, &b);
    else
        lua_pushnil(L);
    lua_pushlightuserdata(L, &loop);
    lua_pushvalue(L, 2);
    int status = lua_pcall(L, 4, 1, 0);
    luaL_unref(L, LUA_REGISTRYINDEX, m.names);
    luaL_unref(L, LUA_REGISTRYINDEX, m.extra);
    return status == LUA_OK ? 1 : lua_error(L);
}
