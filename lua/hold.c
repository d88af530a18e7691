/* hold.c -- engine objects in userdata, and columns made from Lua values. */
#include "lua/hold.h"
#include "kernels/base/mem.h"
#include "lua/bind.h"
#include "lua/value.h"

#include <stddef.h>
#include <string.h>

enum hold_kind { HOLD_TABLE, HOLD_COLUMN, HOLD_ROWS, HOLD_BUFFER, HOLD_MAKERS, HOLD_OPTIONS };

struct hold {
    enum hold_kind kind;
    int64_t count; /* makers */
    const struct option_table *options;
    union {
        struct table *table;
        struct column *column;
        struct rows rows;
        struct buffer buffer;
        struct maker makers[1];
        max_align_t config; /* its first bytes */
    };
};

static int collect(lua_State *L)
{
    struct hold *h = lua_touserdata(L, 1);
    switch (h->kind) {
    case HOLD_TABLE:
        table_free(h->table);
        h->table = NULL;
        break;
    case HOLD_COLUMN:
        column_free(h->column);
        h->column = NULL;
        break;
    case HOLD_ROWS:
        rows_free(&h->rows);
        break;
    case HOLD_BUFFER:
        buffer_free(&h->buffer);
        break;
    case HOLD_MAKERS:
        for (int64_t i = 0; i < h->count; i++)
            column_free(h->makers[i].column);
        h->count = 0;
        break;
    case HOLD_OPTIONS:
        if (h->options)
            options_free(h->options, &h->config);
        h->options = NULL;
        break;
    }
    return 0;
}

static struct hold *hold(lua_State *L, enum hold_kind kind, size_t more)
{
    size_t bytes = sizeof(struct hold) + more;
    luaL_checkstack(L, 3, NULL);
    struct hold *h = lua_newuserdatauv(L, bytes, 0);
    memset(h, 0, bytes);
    h->kind = kind;
    if (luaL_newmetatable(L, "lorash.hold")) {
        lua_pushcfunction(L, collect);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return h;
}

struct table **hold_table(lua_State *L)
{
    return &hold(L, HOLD_TABLE, 0)->table;
}

struct column **hold_column(lua_State *L)
{
    return &hold(L, HOLD_COLUMN, 0)->column;
}

struct rows *hold_rows(lua_State *L)
{
    return &hold(L, HOLD_ROWS, 0)->rows;
}

struct buffer *hold_buffer(lua_State *L)
{
    return &hold(L, HOLD_BUFFER, 0)->buffer;
}

struct maker *hold_makers(lua_State *L, int64_t count)
{
    struct hold *h = hold(L, HOLD_MAKERS, (size_t)count * sizeof(struct maker));
    h->count = count;
    return h->makers;
}

void *hold_options(lua_State *L, const struct option_table *table)
{
    struct hold *h = hold(L, HOLD_OPTIONS, table->struct_bytes);
    bind_check(L, options_init(table, &h->config));
    h->options = table;
    return &h->config;
}

void *hold_array(lua_State *L, int64_t count, size_t size)
{
    size_t bytes = (size_t)(count ? count : 1) * size;
    void *items = lua_newuserdatauv(L, bytes, 0);
    memset(items, 0, bytes);
    return items;
}

/* --- columns from values ------------------------------------------------------------------------ */

/* The column's type for a value, or a refusal. */
static enum column_type type_of(lua_State *L, int arg, const char *what)
{
    char found[80];
    switch (lua_type(L, arg)) {
    case LUA_TBOOLEAN:
        return COLUMN_BOOL;
    case LUA_TNUMBER:
        return lua_isinteger(L, arg) ? COLUMN_INT : COLUMN_FLOAT;
    case LUA_TSTRING:
        return COLUMN_TEXT;
    case LUA_TTABLE:
        return COLUMN_JSON;
    default:
        bind_error(L, "%s got %s, wanted text, a number, true, false, nil or a table", what,
                   bind_describe(L, arg, found, sizeof found));
    }
    return COLUMN_TEXT;
}

static void begin(lua_State *L, struct maker *m, enum column_type type)
{
    bind_check(L, column_new(type, &m->column));
    for (int64_t i = 0; i < m->nulls; i++)
        bind_check(L, column_add_null(m->column));
}

/* Makes the column fit for a value of 'type'. */
static void fit(lua_State *L, struct maker *m, enum column_type type, const char *what)
{
    struct column *wider;
    if (!m->column)
        begin(L, m, type);
    if (m->column->type == type || (m->column->type == COLUMN_FLOAT && type == COLUMN_INT))
        return;
    if (m->column->type != COLUMN_INT || type != COLUMN_FLOAT)
        bind_error(L, "%s got %s where earlier rows have %s; hint: tostring() makes one of both",
                   what, column_type_name(type), column_type_name(m->column->type));
    bind_check(L, column_cast(m->column, COLUMN_FLOAT, &wider));
    column_free(m->column);
    m->column = wider;
}

/* A Lua table as a nested value. */
static void add_table(lua_State *L, struct maker *m, int arg, const char *what)
{
    int top = lua_gettop(L);
    const struct value *v = lua_value_at(L, arg, what);
    struct buffer *json = hold_buffer(L);
    bind_check(L, value_to_json(v, NULL, json));
    bind_check(L, column_add_text(m->column, json->bytes, (size_t)json->length));
    lua_settop(L, top);
}

void maker_add(lua_State *L, struct maker *m, int arg, const char *what)
{
    size_t length;
    const char *text;
    bool null = lua_islightuserdata(L, arg) && !lua_touserdata(L, arg); /* lorash.null */
    if (null || lua_isnoneornil(L, arg)) {
        maker_add_null(L, m);
        return;
    }
    const struct lua_class *of = bind_class_of(L, arg);
    if (of && !strcmp(of->name, "GeneratedText")) { /* what model:generate gives is a text */
        luaL_tolstring(L, arg, NULL);
        maker_add(L, m, lua_gettop(L), what);
        lua_pop(L, 1);
        return;
    }
    fit(L, m, type_of(L, arg, what), what);
    switch (m->column->type) {
    case COLUMN_JSON:
        add_table(L, m, arg, what);
        return;
    case COLUMN_TEXT:
        text = lua_tolstring(L, arg, &length);
        bind_check(L, column_add_text(m->column, text, length));
        return;
    case COLUMN_INT:
        bind_check(L, column_add_int(m->column, lua_tointeger(L, arg)));
        return;
    case COLUMN_FLOAT:
        bind_check(L, column_add_float(m->column, lua_tonumber(L, arg)));
        return;
    case COLUMN_BOOL:
        bind_check(L, column_add_bool(m->column, lua_toboolean(L, arg)));
        return;
    }
}

void maker_add_null(lua_State *L, struct maker *m)
{
    if (m->column)
        bind_check(L, column_add_null(m->column));
    else
        m->nulls++;
}

void maker_add_from(lua_State *L, struct maker *m, const struct column *c, int64_t row)
{
    if (!m->column)
        begin(L, m, c->type);
    if (m->column->type == c->type) {
        bind_check(L, column_add_from(m->column, c, row));
    } else if (column_is_null(c, row)) {
        maker_add_null(L, m);
    } else {
        fit(L, m, c->type, "a column");
        if (m->column->type == c->type)
            bind_check(L, column_add_from(m->column, c, row));
        else /* ints among floats */
            bind_check(L, column_add_float(m->column, column_number(c, row)));
    }
}

const struct column *maker_column(lua_State *L, struct maker *m)
{
    if (!m->column)
        begin(L, m, COLUMN_TEXT);
    return m->column;
}
