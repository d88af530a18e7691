/* show.c -- values as text.
 *
 * A short text is quoted, so that "1" and 1 differ; a text of several lines is raw, since it is
 * read and not re-typed. Tables read back as Lua, and a table within itself ends there. */
#include "shell/show.h"
#include "engine/text/unicode.h"
#include "lua/bind.h"
#include "lua/number.h"
#include "shell/lex.h"
#include "shell/terminal.h"

#include <stdio.h>
#include <string.h>

#define DEPTH 3
#define ITEMS 100 /* of the whole value, nested tables included */

static int items_left;

/* Every pusher leaves one text on the stack. */
static void push_table(lua_State *L, int t, int depth, int seen, int column, int width);

static void add_escaped(luaL_Buffer *b, const char *s, size_t n)
{
    const char *end = s + n;
    luaL_addchar(b, '"');
    while (s < end) {
        uint32_t cp;
        int bytes = utf8_decode(s, end, &cp);
        unsigned char c = (unsigned char)*s;
        char code[8];
        if (c == '"' || c == '\\') {
            luaL_addchar(b, '\\');
            luaL_addchar(b, (char)c);
        } else if (c == '\n' || c == '\t' || c == '\r') {
            luaL_addstring(b, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        } else if (!bytes || unicode_width(cp) < 0) { /* never a raw ESC on the screen */
            int end_of_it = bytes ? bytes : 1;
            for (int i = 0; i < end_of_it; i++) {
                snprintf(code, sizeof code, "\\x%02X", (unsigned char)s[i]);
                luaL_addstring(b, code);
            }
        } else {
            luaL_addlstring(b, s, (size_t)bytes);
        }
        s += bytes ? bytes : 1;
    }
    luaL_addchar(b, '"');
}

static void push_quoted(lua_State *L, int arg)
{
    size_t n;
    const char *s = lua_tolstring(L, arg, &n);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    add_escaped(&b, s, n);
    luaL_pushresult(&b);
}

static void push_number(lua_State *L, int arg, bool readable)
{
    char text[32];
    if (lua_isinteger(L, arg)) {
        snprintf(text, sizeof text, "%lld", lua_tointeger(L, arg));
    } else {
        double x = lua_tonumber(L, arg);
        number_text(x, text);
        if (readable && x - x != 0) /* inf and nan have no literal */
            snprintf(text, sizeof text, "%s", x != x ? "0/0" : x > 0 ? "math.huge" : "-math.huge");
    }
    lua_pushstring(L, text);
}

static void push_function(lua_State *L, int arg)
{
    const struct lua_class *of;
    const struct lua_method *m = bind_method_of(L, arg, &of);
    if (m) {
        lua_pushfstring(L, "function %s; ?%s%s%s explains", m->signature, of ? of->name : "",
                        of ? "." : "", m->name);
        return;
    }
    lua_Debug ar;
    lua_pushvalue(L, arg);
    lua_getinfo(L, ">S", &ar);
    if (*ar.what == 'C')
        lua_pushliteral(L, "function (built in)");
    else
        lua_pushfstring(L, "function %s:%d", ar.short_src, ar.linedefined);
}

/* A nested value, on one line where it can be. */
static void push_item(lua_State *L, int arg, int depth, int seen, int column, int width)
{
    luaL_checkstack(L, 20, NULL);
    arg = lua_absindex(L, arg);
    switch (lua_type(L, arg)) {
    case LUA_TSTRING:
        push_quoted(L, arg);
        return;
    case LUA_TNUMBER:
        push_number(L, arg, true);
        return;
    case LUA_TFUNCTION:
        lua_pushliteral(L, "<function>");
        return;
    case LUA_TTABLE:
        push_table(L, arg, depth, seen, column, width);
        return;
    case LUA_TUSERDATA: {
        const struct lua_class *c = bind_class_of(L, arg);
        lua_pushfstring(L, "<%s>", c ? c->name : "userdata");
        return;
    }
    case LUA_TTHREAD:
        lua_pushliteral(L, "<coroutine>");
        return;
    default:
        luaL_tolstring(L, arg, NULL);
    }
}

static void push_key(lua_State *L, int key)
{
    size_t n;
    if (lua_type(L, key) == LUA_TSTRING) {
        const char *s = lua_tolstring(L, key, &n);
        struct lex l = {s, s + n};
        struct lex_token t = lex_next(&l);
        if (t.kind == LEX_NAME && t.length == n) {
            lua_pushvalue(L, key);
            return;
        }
        push_quoted(L, key);
    } else if (lua_type(L, key) == LUA_TNUMBER) {
        push_number(L, key, true);
    } else {
        push_item(L, key, 0, 0, 0, 0); /* depth 0: a table as key is only named */
    }
    lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
    lua_remove(L, -2);
}

/* Sorts keys: numbers, then texts, then the rest as they come. C order, not locale order. */
static int key_before(lua_State *L)
{
    int a = lua_type(L, 1), b = lua_type(L, 2);
    bool before;
    if (a == LUA_TNUMBER && b == LUA_TNUMBER) {
        before = lua_compare(L, 1, 2, LUA_OPLT);
    } else if (a == LUA_TSTRING && b == LUA_TSTRING) {
        size_t n, m;
        const char *s = lua_tolstring(L, 1, &n), *t = lua_tolstring(L, 2, &m);
        int order = memcmp(s, t, n < m ? n : m);
        before = order < 0 || (order == 0 && n < m);
    } else {
        int rank_a = a == LUA_TNUMBER ? 0 : a == LUA_TSTRING ? 1 : 2;
        int rank_b = b == LUA_TNUMBER ? 0 : b == LUA_TSTRING ? 1 : 2;
        before = rank_a < rank_b;
    }
    lua_pushboolean(L, before);
    return 1;
}

/* Pushes the sorted sequence of the keys that are not 1..n. Returns how many. */
static lua_Integer push_keys(lua_State *L, int t, lua_Integer n)
{
    lua_Integer count = 0;
    lua_newtable(L);
    int keys = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) {
        if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= n)
            continue;
        lua_pushvalue(L, -2);
        lua_rawseti(L, keys, ++count);
    }
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &push_keys) != LUA_TFUNCTION) { /* the real table.sort */
        lua_pop(L, 1);
        luaL_requiref(L, "table", luaopen_table, 0);
        lua_getfield(L, -1, "sort");
        lua_remove(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &push_keys);
    }
    lua_pushvalue(L, keys);
    lua_pushcfunction(L, key_before);
    lua_call(L, 2, 0);
    return count;
}

/* Pushes the sequence of "value" and "key = value" texts of a table; returns its length. */
static lua_Integer push_items(lua_State *L, int t, int depth, int seen, int column, int width)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, t), made = 0;
    lua_newtable(L);
    int items = lua_gettop(L);
    lua_Integer count = push_keys(L, t, n);
    int keys = lua_gettop(L);
    for (lua_Integer i = 1; i <= n && items_left-- > 0; i++) {
        lua_rawgeti(L, t, i);
        push_item(L, -1, depth - 1, seen, column + 2, width);
        lua_rawseti(L, items, ++made);
        lua_settop(L, keys);
    }
    for (lua_Integer i = 1; i <= count && items_left-- > 0; i++) {
        lua_rawgeti(L, keys, i);
        push_key(L, -1);
        lua_pushvalue(L, -2);
        lua_rawget(L, t);
        push_item(L, -1, depth - 1, seen, column + 2, width);
        lua_remove(L, -2);
        lua_pushfstring(L, "%s = %s", lua_tostring(L, -2), lua_tostring(L, -1));
        lua_rawseti(L, items, ++made);
        lua_settop(L, keys);
    }
    if (n + count > made) {
        char text[64];
        snprintf(text, sizeof text, "--[[ %lld more ]]", (long long)(n + count - made));
        lua_pushstring(L, text);
        lua_rawseti(L, items, ++made);
    }
    lua_settop(L, items);
    return made;
}

/* Does the text fit in what is left of the line, without line breaks? */
static bool fits(const char *text, size_t n, int columns)
{
    int used;
    return !memchr(text, '\n', n) && terminal_fit(text, n, columns, &used) == n;
}

static void indent(luaL_Buffer *b, int columns)
{
    for (int i = 0; i < columns; i++)
        luaL_addchar(b, ' ');
}

/* The items on one line: "{1, 2, x = 3}". */
static void push_joined(lua_State *L, int items, lua_Integer n)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addchar(&b, '{');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addstring(&b, ", ");
        lua_rawgeti(L, items, i);
        luaL_addvalue(&b);
    }
    luaL_addchar(&b, '}');
    luaL_pushresult(&b);
}

/* Columns of item i; false when it has several lines. */
static bool measure(lua_State *L, int items, lua_Integer i, int width, int *used)
{
    size_t bytes;
    lua_rawgeti(L, items, i);
    const char *text = lua_tolstring(L, -1, &bytes);
    bool one_line = !memchr(text, '\n', bytes);
    *used = width;
    if (one_line)
        terminal_fit(text, bytes, width, used);
    lua_pop(L, 1);
    return one_line;
}

/* Several lines; short items share a line. */
static void push_wrapped(lua_State *L, int items, lua_Integer n, int column, int width)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, "{");
    int at = width; /* the first item opens a line */
    for (lua_Integer i = 1; i <= n; i++) {
        int used;
        bool one_line = measure(L, items, i, width, &used);
        if (at + used + 2 > width || !one_line) {
            luaL_addchar(&b, '\n');
            indent(&b, column + 2);
            at = column + 2;
        } else {
            luaL_addchar(&b, ' ');
        }
        lua_rawgeti(L, items, i);
        luaL_addvalue(&b);
        luaL_addchar(&b, ',');
        at = one_line ? at + used + 2 : width;
    }
    luaL_addchar(&b, '\n');
    indent(&b, column);
    luaL_addchar(&b, '}');
    luaL_pushresult(&b);
}

static void push_table(lua_State *L, int t, int depth, int seen, int column, int width)
{
    int top = lua_gettop(L);
    lua_pushvalue(L, t);
    if (seen && lua_rawget(L, seen) != LUA_TNIL) {
        lua_settop(L, top);
        lua_pushliteral(L, "<cycle>");
        return;
    }
    lua_settop(L, top);
    if (depth <= 0) {
        lua_pushnil(L);
        bool empty = !lua_next(L, t);
        lua_settop(L, top);
        lua_pushstring(L, empty ? "{}" : "{...}");
        return;
    }
    lua_pushvalue(L, t);
    lua_pushboolean(L, 1);
    lua_rawset(L, seen);
    lua_Integer n = push_items(L, t, depth, seen, column, width);
    lua_pushvalue(L, t);
    lua_pushnil(L);
    lua_rawset(L, seen);
    int items = top + 1;
    push_joined(L, items, n);
    size_t bytes;
    const char *text = lua_tolstring(L, -1, &bytes);
    if (!fits(text, bytes, width - column)) {
        lua_settop(L, items);
        push_wrapped(L, items, n, column, width);
    }
    lua_replace(L, items);
    lua_settop(L, items);
}

/* A text alone on the prompt's line. */
static void push_text(lua_State *L, int arg)
{
    size_t n;
    const char *s = lua_tolstring(L, arg, &n);
    bool printable = utf8_valid(s, n) == n;
    for (size_t i = 0; i < n && printable; i++)
        printable = (unsigned char)s[i] >= ' ' || s[i] == '\n' || s[i] == '\t';
    if (printable && memchr(s, '\n', n))
        lua_pushvalue(L, arg);
    else
        push_quoted(L, arg);
}

/* __show or __tostring of an object (or of a table that has one). */
static bool push_by_metamethod(lua_State *L, int arg)
{
    if (luaL_getmetafield(L, arg, "__show") != LUA_TNIL) {
        lua_pushvalue(L, arg);
        lua_call(L, 1, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            return true;
        lua_pop(L, 1);
        bind_error(L, "__show must return a text");
    }
    if (lua_type(L, arg) == LUA_TUSERDATA || luaL_getmetafield(L, arg, "__tostring") != LUA_TNIL) {
        luaL_tolstring(L, arg, NULL);
        return true;
    }
    return false;
}

void show_value(lua_State *L, int arg, int width)
{
    arg = lua_absindex(L, arg);
    luaL_checkstack(L, 20, NULL);
    int top = lua_gettop(L);
    switch (lua_type(L, arg)) {
    case LUA_TSTRING:
        push_text(L, arg);
        break;
    case LUA_TNUMBER:
        push_number(L, arg, false);
        break;
    case LUA_TFUNCTION:
        push_function(L, arg);
        break;
    case LUA_TTABLE:
    case LUA_TUSERDATA:
        if (push_by_metamethod(L, arg))
            break;
        items_left = ITEMS;
        lua_newtable(L);
        push_table(L, arg, DEPTH, lua_gettop(L), 0, width);
        break;
    default:
        luaL_tolstring(L, arg, NULL);
    }
    lua_copy(L, -1, top + 1);
    lua_settop(L, top + 1);
}
