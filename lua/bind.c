/* bind.c -- classes, functions, arguments and errors between the engine and Lua.
 *
 * Every method and function is one C closure over its specification, so that a call through a dot
 * is answered with "use a colon", help() can find the text of any function value, and Tab knows
 * what it looks at without running anything. Errors are plain strings without a position: the
 * shell finds cell and line itself. */
#include "lua/bind.h"
#include "engine/core/suggest.h"
#include "kernels/kernels.h"
#include "lua/runtime.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLLECT_AFTER (INT64_C(64) << 20)

volatile int bind_interrupted, bind_interrupt_taken, bind_terminated;
struct bind_host bind_host;

static int width_unknown(void)
{
    return 80;
}

static void live_nowhere(const char *text)
{
    (void)text;
}

struct bind_terminal bind_terminal = {
    .progress = BIND_PROGRESS_PLAIN, .utf8 = true, .width = width_unknown, .live = live_nowhere};

void bind_take_interrupt(lua_State *L)
{
    if (bind_terminated)
        return;
    bind_interrupted = 0;
    bind_interrupt_taken = 1;
    lua_sethook(L, NULL, 0, 0);
}

static const char class_key; /* its address: metatable[&class_key] = the class */

/* --- errors and notes ------------------------------------------------------------------------ */

void bind_check(lua_State *L, int status)
{
    if (!status)
        return;
    if (status == ERR_CANCELLED && bind_interrupted < 2) { /* a second Ctrl-C stays armed */
        bind_interrupted = 0;
        lua_sethook(L, NULL, 0, 0);
    }
    lua_pushstring(L, status == ERR_CANCELLED ? "interrupted" : status_message());
    lua_error(L);
}

int bind_error(lua_State *L, const char *fmt, ...)
{
    char text[1024]; /* Lua's own formatter knows neither %.60s nor PRId64 */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    lua_pushstring(L, text);
    return lua_error(L);
}

int bind_exit(lua_State *L, int code, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, text);
    lua_setfield(L, -2, "message");
    luaL_newmetatable(L, "lorash.exit");
    lua_setmetatable(L, -2);
    return lua_error(L);
}

bool bind_exit_code(lua_State *L, int arg, int *code, const char **message)
{
    arg = lua_absindex(L, arg);
    if (lua_type(L, arg) != LUA_TTABLE || !lua_getmetatable(L, arg))
        return false;
    luaL_getmetatable(L, "lorash.exit");
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (!same)
        return false;
    lua_getfield(L, arg, "code");
    *code = (int)lua_tointeger(L, -1);
    lua_getfield(L, arg, "message");
    *message = lua_tostring(L, -1); /* the table holds it */
    lua_pop(L, 2);
    return true;
}

static void write_to_stdout(const char *text, size_t length)
{
    fwrite(text, 1, length, stdout);
}

static void (*writer)(const char *text, size_t length) = write_to_stdout;

void bind_set_writer(void (*write)(const char *text, size_t length))
{
    writer = write ? write : write_to_stdout;
}

void bind_write(const char *text, size_t length)
{
    writer(text, length);
}

static void note_to_stderr(const char *text)
{
    fprintf(stderr, "      %s\n", text);
}

static void (*note_writer)(const char *text) = note_to_stderr;

void bind_set_note_writer(void (*write)(const char *text))
{
    note_writer = write ? write : note_to_stderr;
}

void bind_note(lua_State *L, const char *fmt, ...)
{
    (void)L;
    if (bind_host.quiet)
        return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    note_writer(text);
}

struct device *bind_device(lua_State *L)
{
    if (!bind_host.device) {
        const char *name = bind_host.device_name ? bind_host.device_name : "cpu";
        bind_check(L, device_open(name, bind_host.pool, &bind_host.device));
    }
    return bind_host.device;
}

/* --- objects --------------------------------------------------------------------------------- */

const struct lua_class *bind_class_of(lua_State *L, int arg)
{
    if (lua_type(L, arg) != LUA_TUSERDATA || !lua_getmetatable(L, arg))
        return NULL;
    lua_rawgetp(L, -1, &class_key);
    const struct lua_class *c = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return c;
}

void *bind_test(lua_State *L, int arg, const struct lua_class *c)
{
    return bind_class_of(L, arg) == c ? lua_touserdata(L, arg) : NULL;
}

const char *bind_describe(lua_State *L, int arg, char *out, size_t bytes)
{
    const struct lua_class *c = bind_class_of(L, arg);
    int type = lua_type(L, arg);
    if (c)
        snprintf(out, bytes, "a %s", c->name);
    else if (type == LUA_TNONE || type == LUA_TNIL)
        snprintf(out, bytes, "%s", type == LUA_TNONE ? "nothing" : "nil");
    else if (type == LUA_TBOOLEAN)
        snprintf(out, bytes, "%s", lua_toboolean(L, arg) ? "true" : "false");
    else if (lua_isinteger(L, arg))
        snprintf(out, bytes, "%lld", lua_tointeger(L, arg));
    else if (type == LUA_TNUMBER)
        snprintf(out, bytes, "%g", lua_tonumber(L, arg));
    else if (type == LUA_TSTRING)
        snprintf(out, bytes, "the text '%.40s'", lua_tostring(L, arg));
    else
        snprintf(out, bytes, "a %s", lua_typename(L, type));
    return out;
}

/* Lua's collector sees a tensor as a few bytes. When what objects hold outside Lua has grown by half
 * (and 64 MiB) since the last look, unreachable ones are released before another is made. */
static void collect_under_pressure(lua_State *L)
{
    static int64_t limit = COLLECT_AFTER;
    if (runtime_bytes_in_use() <= limit)
        return;
    lua_gc(L, LUA_GCCOLLECT);
    int64_t live = runtime_bytes_in_use();
    limit = live + live / 2 + COLLECT_AFTER;
}

void *bind_new(lua_State *L, const struct lua_class *c, size_t bytes)
{
    collect_under_pressure(L);
    void *object = lua_newuserdatauv(L, bytes ? bytes : 1, 1);
    memset(object, 0, bytes);
    int type = luaL_getmetatable(L, c->name);
    assert(type == LUA_TTABLE && "class has no row in lua_classes[] (lua/open.c)");
    (void)type;
    lua_setmetatable(L, -2);
    return object;
}

/* Which of our functions is running? Its name for messages: "head". */
static const char *running(lua_State *L)
{
    lua_Debug ar;
    const struct lua_class *of;
    const struct lua_method *m = NULL;
    if (lua_getstack(L, 0, &ar) && lua_getinfo(L, "f", &ar)) {
        m = bind_method_of(L, -1, &of);
        lua_pop(L, 1);
    }
    return m ? m->name : "this function";
}

void *bind_arg(lua_State *L, int arg, const struct lua_class *c)
{
    void *object = bind_test(L, arg, c);
    if (!object) {
        char found[80];
        bind_error(L, "%s: argument %d must be a %s, found %s", running(L), arg, c->name,
                   bind_describe(L, arg, found, sizeof found));
    }
    return object;
}

int64_t bind_index(lua_State *L, int arg, int64_t count, const char *what)
{
    int whole;
    lua_Integer i = lua_tointegerx(L, arg, &whole);
    char found[80];
    if (!whole || lua_type(L, arg) != LUA_TNUMBER)
        return bind_error(L, "%s must be an integer, found %s", what,
                          bind_describe(L, arg, found, sizeof found));
    if (i == 0)
        return bind_error(L, "%s 0: positions count from 1; hint: the first is 1, the last is -1",
                          what);
    if (i > count || i < -count)
        return bind_error(L, "%s %lld is out of range; hint: there are %" PRId64, what, i, count);
    return i > 0 ? i - 1 : count + i;
}

/* --- methods, properties, statics ------------------------------------------------------------ */

static int count_methods(const struct lua_method *m)
{
    int n = 0;
    while (m && m[n].name)
        n++;
    return n;
}

static const struct lua_property *find_property(const struct lua_class *c, const char *name)
{
    for (const struct lua_property *p = c->properties; p && p->name; p++)
        if (!strcmp(p->name, name))
            return p;
    return NULL;
}

static void offer(void *ctx, const char *name)
{
    suggest_try(ctx, name);
}

/* Best match among every name an object (or, with object NULL, the class) has. The candidates of
 * c->names are borrowed for the call only, so the text is copied out. */
static const char *member_hint(const struct lua_class *c, void *object, const char *wanted,
                               char *out, size_t bytes)
{
    struct suggest s = {.wanted = wanted};
    for (const struct lua_method *m = c->methods; m && m->name; m++)
        suggest_try(&s, m->name);
    for (const struct lua_property *p = c->properties; p && p->name; p++)
        suggest_try(&s, p->name);
    if (object && c->names)
        c->names(object, offer, &s);
    if (!object)
        for (const struct lua_method *m = c->statics; m && m->name; m++)
            suggest_try(&s, m->name);
    return suggest_hint(&s, out, bytes);
}

/* Closure over (class, method): a method called with anything but its object came through a dot. */
static int call_method(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    const struct lua_method *m = lua_touserdata(L, lua_upvalueindex(2));
    if (bind_class_of(L, 1) != c) {
        char found[80];
        bind_describe(L, 1, found, sizeof found);
        lua_Debug ar;
        bool colon = lua_getstack(L, 0, &ar) && lua_getinfo(L, "n", &ar) && ar.namewhat &&
                     !strcmp(ar.namewhat, "method");
        if (colon)
            return bind_error(L, "%s is a method of %s, but was called on %s", m->name, c->name,
                              found);
        return bind_error(L, "%s.%s wants its %s first, found %s; hint: use a colon: %s", c->name,
                          m->name, c->name, found, m->signature);
    }
    return m->call(L);
}

/* Closure over (class, method): Class.name(...); Class:name(...) passes the class table first. */
static int call_static(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    const struct lua_method *m = lua_touserdata(L, lua_upvalueindex(2));
    if (lua_istable(L, 1) && lua_getmetatable(L, 1)) {
        lua_rawgetp(L, -1, &class_key);
        bool itself = lua_touserdata(L, -1) == c;
        lua_pop(L, 2);
        if (itself)
            return bind_error(L, "%s is no method; hint: use a dot: %s", m->name, m->signature);
    }
    return m->call(L);
}

static int call_function(lua_State *L)
{
    const struct lua_method *m = lua_touserdata(L, lua_upvalueindex(2));
    return m->call(L);
}

/* Class(...): the metamethod gets the class table first. */
static int call_construct(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    lua_remove(L, 1);
    return c->construct(L);
}

static void push_closure(lua_State *L, const struct lua_class *c, const struct lua_method *m,
                         lua_CFunction through)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_pushlightuserdata(L, (void *)(uintptr_t)m);
    lua_pushcclosure(L, through, 2);
}

const struct lua_method *bind_method_of(lua_State *L, int arg, const struct lua_class **of)
{
    lua_CFunction f = lua_tocfunction(L, arg);
    if (f != call_method && f != call_static && f != call_function)
        return NULL;
    arg = lua_absindex(L, arg);
    lua_getupvalue(L, arg, 1);
    lua_getupvalue(L, arg, 2);
    *of = lua_touserdata(L, -2);
    const struct lua_method *m = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return m;
}

const struct lua_class *bind_class_table(lua_State *L, int arg)
{
    if (lua_type(L, arg) != LUA_TTABLE || !lua_getmetatable(L, arg))
        return NULL;
    lua_rawgetp(L, -1, &class_key);
    const struct lua_class *c = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return c;
}

/* object.key: method, then property, then the class's own names, then an error that helps. */
static int object_index(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    void *object = bind_test(L, 1, c);
    if (!object)
        return bind_error(L, "%s: wrong object", c->name); /* only through debug.getmetatable */
    lua_settop(L, 2);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    if (name) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
            return 1;
        lua_settop(L, 2);
        const struct lua_property *p = find_property(c, name);
        if (p) {
            lua_settop(L, 1);
            return p->get(L);
        }
    }
    if (c->index) {
        if (c->index(L))
            return 1;
        lua_settop(L, 2);
    }
    char text[160];
    if (!name)
        return bind_error(L, "a %s cannot be indexed with %s", c->name,
                          bind_describe(L, 2, text, sizeof text));
    member_hint(c, object, name, text, sizeof text);
    return bind_error(L, "%s has no member '%.80s'%s", c->name, name, text);
}

static bool is_method(lua_State *L, int key)
{
    lua_pushvalue(L, key);
    bool found = lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL;
    lua_pop(L, 1);
    return found;
}

static int object_newindex(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    void *object = bind_test(L, 1, c);
    if (!object)
        return bind_error(L, "%s: wrong object", c->name);
    lua_settop(L, 3);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    const struct lua_property *p = name ? find_property(c, name) : NULL;
    if (p && !p->set)
        return bind_error(L, "%s.%s is read only", c->name, name);
    if (p) {
        lua_remove(L, 2);
        return p->set(L);
    }
    if (c->newindex && c->newindex(L))
        return 0;
    char text[160];
    if (!name)
        return bind_error(L, "a %s has no place for %s", c->name,
                          bind_describe(L, 2, text, sizeof text));
    if (is_method(L, 2))
        return bind_error(L, "%s is a method of %s and cannot be assigned", name, c->name);
    member_hint(c, object, name, text, sizeof text);
    return bind_error(L, "%s has no member '%.80s' to assign%s", c->name, name, text);
}

static int object_tostring(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushstring(L, c->name);
    return 1;
}

/* Class.name that is no static: methods can be reached too (help(DataFrame.head)). */
static int class_index(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
        return 1;
    char text[160];
    const char *name = luaL_tolstring(L, 2, NULL);
    member_hint(c, NULL, name, text, sizeof text);
    return bind_error(L, "%s has no member '%.80s'%s", c->name, name, text);
}

static int class_newindex(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    return bind_error(L, "%s is a class: its members cannot be assigned", c->name);
}

static int class_tostring(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushfstring(L, "class %s; ?%s explains", c->name, c->name);
    return 1;
}

static int class_call_refused(lua_State *L)
{
    const struct lua_class *c = lua_touserdata(L, lua_upvalueindex(1));
    const struct lua_method *m = c->statics;
    if (m && m->name)
        return bind_error(L, "%s is not called itself; hint: %s", c->name, m->signature);
    return bind_error(L, "a %s is not made by calling its class", c->name);
}

/* t[name] = closure over (c, methods at the top of the stack); keeps the stack. */
static void set_closure(lua_State *L, int table, const char *name, const struct lua_class *c,
                        lua_CFunction f)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, f, 2);
    lua_setfield(L, table, name);
}

static void bind_metatable(lua_State *L, const struct lua_class *c)
{
    int fresh = luaL_newmetatable(L, c->name);
    assert(fresh && "two classes of one name");
    (void)fresh;
    int meta = lua_gettop(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_rawsetp(L, meta, &class_key);
    lua_createtable(L, 0, count_methods(c->methods));
    for (const struct lua_method *m = c->methods; m && m->name; m++) {
        push_closure(L, c, m, call_method);
        lua_setfield(L, -2, m->name);
    }
    set_closure(L, meta, "__index", c, object_index);
    set_closure(L, meta, "__newindex", c, object_newindex);
    set_closure(L, meta, "__tostring", c, object_tostring);
    lua_pushstring(L, c->name);
    lua_setfield(L, meta, "__metatable"); /* getmetatable(df) gives a name, not the insides */
    for (const luaL_Reg *r = c->meta; r && r->name; r++) {
        lua_pushcfunction(L, r->func);
        if (!strcmp(r->name, "__gc")) { /* local x <close> = ... frees at once */
            lua_pushvalue(L, -1);
            lua_setfield(L, meta, "__close");
        }
        lua_setfield(L, meta, r->name);
    }
    lua_remove(L, meta); /* leaves the method table */
}

/* Sets the value on top as a global and in the table lorash; pops it. */
static void publish(lua_State *L, const char *name)
{
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "lorash");
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, name);
    lua_pop(L, 2);
    lua_pushglobaltable(L);
    lua_insert(L, -2);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void bind_class(lua_State *L, const struct lua_class *c)
{
    int base = lua_gettop(L);
    bind_metatable(L, c);
    int methods = base + 1;
    lua_createtable(L, 0, count_methods(c->statics));
    for (const struct lua_method *m = c->statics; m && m->name; m++) {
        push_closure(L, c, m, call_static);
        lua_setfield(L, -2, m->name);
    }
    lua_createtable(L, 0, 8);
    int meta = lua_gettop(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_rawsetp(L, meta, &class_key);
    lua_pushvalue(L, methods);
    set_closure(L, meta, "__index", c, class_index);
    set_closure(L, meta, "__newindex", c, class_newindex);
    set_closure(L, meta, "__tostring", c, class_tostring);
    set_closure(L, meta, "__call", c, c->construct ? call_construct : class_call_refused);
    lua_pop(L, 1);
    lua_pushstring(L, c->name);
    lua_setfield(L, meta, "__metatable");
    lua_setmetatable(L, -2);
    publish(L, c->name);
    lua_settop(L, base);
}

void bind_function(lua_State *L, const struct lua_method *f)
{
    push_closure(L, NULL, f, call_function);
    publish(L, f->name);
}
