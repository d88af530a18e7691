/* value.c -- value trees as Lua tables and back.
 *
 * Back goes in two steps, so that nothing is owned while Lua may raise: the table is checked first,
 * then built by calls that only return. */
#include "lua/value.h"
#include "engine/core/json.h"
#include "engine/core/utf8.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "lua/bind.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char map_key; /* registry[&map_key] = the metatable of empty maps */

static int drop(lua_State *L)
{
    struct value **v = lua_touserdata(L, 1);
    value_drop(*v);
    *v = NULL;
    return 0;
}

struct value **lua_value_hold(lua_State *L)
{
    luaL_checkstack(L, 3, NULL);
    struct value **v = lua_newuserdatauv(L, sizeof *v, 0);
    *v = NULL;
    if (luaL_newmetatable(L, "lorash.value")) {
        lua_pushcfunction(L, drop);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return v;
}

/* --- to Lua ----------------------------------------------------------------------------------- */

static int null_text(lua_State *L)
{
    lua_pushstring(L, lua_touserdata(L, 1) ? "light userdata" : "null");
    return 1;
}

void lua_value_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
    if (!lua_getmetatable(L, -1)) { /* one for all light userdata */
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, null_text);
        lua_setfield(L, -2, "__tostring");
        lua_pushvalue(L, -1);
        lua_setmetatable(L, -3);
    }
    lua_pop(L, 1);
}

static void mark_map(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &map_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 1);
        lua_pushstring(L, "map");
        lua_setfield(L, -2, "__name");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &map_key);
    }
    lua_setmetatable(L, -2);
}

static bool is_marked(lua_State *L, int arg)
{
    if (!lua_getmetatable(L, arg))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &map_key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static int size_hint(int64_t count)
{
    return count < 1 << 20 ? (int)count : 1 << 20;
}

void lua_value_push(lua_State *L, const struct value *v)
{
    luaL_checkstack(L, 5, "values nested too deeply");
    switch ((enum value_kind)v->kind) {
    case VALUE_NONE:
        lua_pushnil(L);
        return;
    case VALUE_BOOL:
        lua_pushboolean(L, v->as.boolean);
        return;
    case VALUE_INT:
        lua_pushinteger(L, v->as.integer);
        return;
    case VALUE_FLOAT:
        lua_pushnumber(L, v->as.number);
        return;
    case VALUE_TEXT:
        lua_pushlstring(L, v->as.text.bytes, v->as.text.length);
        return;
    case VALUE_LIST:
        lua_createtable(L, size_hint(v->as.list.count), 0);
        for (int64_t i = 0; i < v->as.list.count; i++) {
            if (v->as.list.items[i]->kind == VALUE_NONE)
                lua_value_push_null(L);
            else
                lua_value_push(L, v->as.list.items[i]);
            lua_rawseti(L, -2, i + 1);
        }
        return;
    case VALUE_MAP:
        lua_createtable(L, 0, size_hint(v->as.map.count));
        for (int64_t i = 0; i < v->as.map.count; i++) {
            const struct value *key = v->as.map.entries[i].key;
            lua_pushlstring(L, key->as.text.bytes, key->as.text.length);
            lua_value_push(L, v->as.map.entries[i].value);
            lua_rawset(L, -3);
        }
        if (v->as.map.count == 0)
            mark_map(L);
        return;
    }
}

void lua_value_push_json(lua_State *L, const char *json, size_t length)
{
    struct json_options options = {.nan = true};
    struct value **v = lua_value_hold(L);
    bind_check(L, value_from_json(json, length, &options, v));
    lua_value_push(L, *v);
    lua_remove(L, -2);
}

/* --- from Lua: checking ----------------------------------------------------------------------- */

static void check(lua_State *L, int arg, const char *what, int depth);

static void check_text(lua_State *L, int arg, const char *what)
{
    size_t n;
    const char *text = lua_tolstring(L, arg, &n);
    size_t bad = utf8_valid(text, n);
    if (bad != n)
        bind_error(L, "%s: byte %zu of a text (0x%02X) is not UTF-8", what, bad + 1,
                   (unsigned char)text[bad]);
}

static void check_table(lua_State *L, int arg, const char *what, int depth)
{
    char found[80];
    int64_t length = (int64_t)lua_rawlen(L, arg), places = 0, names = 0;
    if (depth >= VALUE_DEPTH)
        bind_error(L, "%s: tables nested deeper than %d levels, or within themselves", what,
                   VALUE_DEPTH);
    luaL_checkstack(L, 6, "tables nested too deeply");
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            check_text(L, lua_absindex(L, -2), what);
            names++;
        } else if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 &&
                   lua_tointeger(L, -2) <= length) {
            places++;
        } else {
            bind_error(L, "%s: a table with the key %s; hint: a list without holes, or text keys",
                       what, bind_describe(L, -2, found, sizeof found));
        }
        if (names && places)
            bind_error(L, "%s: a table with names and numbered values at once", what);
        check(L, lua_gettop(L), what, depth + 1);
    }
    if (places != length)
        bind_error(L, "%s: a list of %" PRId64 " with holes; hint: lorash.null stands for null",
                   what, length);
}

static bool is_text_object(lua_State *L, int arg)
{
    const struct lua_class *of = bind_class_of(L, arg);
    return of && !strcmp(of->name, "GeneratedText");
}

static void check(lua_State *L, int arg, const char *what, int depth)
{
    char found[80];
    switch (lua_type(L, arg)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
        return;
    case LUA_TSTRING:
        check_text(L, arg, what);
        return;
    case LUA_TTABLE:
        check_table(L, arg, what, depth);
        return;
    default:
        if (lua_islightuserdata(L, arg) && !lua_touserdata(L, arg))
            return;
        bind_error(L, "%s: %s, wanted text, a number, true, false, nil or a table%s", what,
                   bind_describe(L, arg, found, sizeof found),
                   is_text_object(L, arg) ? "; hint: tostring() makes a text of it" : "");
    }
}

/* --- from Lua: building ----------------------------------------------------------------------- */

struct member {
    const char *key;
    size_t length;
    struct value *value;
};

/* Place among the keys of messages and tools; others come after them. */
static int key_rank(const struct member *m)
{
    static const char *const usual[] = {"role",        "from",       "id",       "type",
                                        "function",    "name",       "content",  "value",
                                        "description", "parameters", "arguments"};
    int i = 0;
    while (i < COUNT_OF(usual) &&
           (strlen(usual[i]) != m->length || memcmp(usual[i], m->key, m->length) != 0))
        i++;
    return i;
}

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int rank = key_rank(x) - key_rank(y);
    size_t n = x->length < y->length ? x->length : y->length;
    int order = rank ? rank : memcmp(x->key, y->key, n);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static struct value *build(lua_State *L, int arg);

static struct value *build_list(lua_State *L, int arg, int64_t length)
{
    struct value *list = value_list();
    int status = list ? OK : ERR_MEMORY;
    for (int64_t i = 1; i <= length && !status; i++) {
        lua_rawgeti(L, arg, i);
        status = value_list_add(list, build(L, lua_gettop(L)));
        lua_pop(L, 1);
    }
    if (!status)
        return list;
    value_drop(list);
    return NULL;
}

static struct value *build_map(lua_State *L, int arg)
{
    struct member *members = NULL;
    int64_t count = 0, room = 0;
    struct value *map = value_map();
    int status = map ? OK : ERR_MEMORY;
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        struct member m;
        if (status)
            continue; /* goes on to leave the stack as it was */
        m.key = lua_tolstring(L, -2, &m.length);
        m.value = build(L, lua_gettop(L));
        status = m.value ? mem_grow((void **)&members, &room, count + 1, sizeof m) : ERR_MEMORY;
        if (status)
            value_drop(m.value);
        else
            members[count++] = m;
    }
    if (count > 1)
        qsort(members, (size_t)count, sizeof *members, by_key);
    for (int64_t i = 0; i < count; i++) {
        if (status)
            value_drop(members[i].value);
        else
            status = value_map_set_bytes(map, members[i].key, members[i].length, members[i].value);
    }
    mem_free(members);
    if (!status)
        return map;
    value_drop(map);
    return NULL;
}

/* NULL when there is no memory. */
static struct value *build(lua_State *L, int arg)
{
    size_t n;
    const char *text;
    switch (lua_type(L, arg)) {
    case LUA_TBOOLEAN:
        return value_bool(lua_toboolean(L, arg));
    case LUA_TNUMBER:
        return lua_isinteger(L, arg) ? value_int(lua_tointeger(L, arg))
                                     : value_float(lua_tonumber(L, arg));
    case LUA_TSTRING:
        text = lua_tolstring(L, arg, &n);
        return value_text(text, n);
    case LUA_TTABLE:
        if (lua_rawlen(L, arg))
            return build_list(L, arg, (int64_t)lua_rawlen(L, arg));
        lua_pushnil(L);
        if (lua_next(L, arg))
            lua_pop(L, 2);
        else if (!is_marked(L, arg))
            return value_list();
        return build_map(L, arg);
    default:
        return value_none();
    }
}

struct value *lua_value_at(lua_State *L, int arg, const char *what)
{
    arg = lua_absindex(L, arg);
    check(L, arg, what, 0);
    struct value **v = lua_value_hold(L);
    /* building uses a few places a level and must not raise */
    luaL_checkstack(L, 6 * VALUE_DEPTH, "tables nested too deeply");
    *v = build(L, arg);
    if (!*v)
        bind_check(L, ERR_MEMORY);
    return *v;
}
