/* lib.c -- the Lua half of lorash, embedded as text.
 *
 * Each file of lua/lib/ is a chunk that gets the table 'lorash' and returns a table
 *     name = { call = function, signature = "name(...)", doc = "..." }
 * whose functions become globals, members of 'lorash' and entries of help(). One row in LIB below
 * adds a file. C owns all state and every step; the Lua half owns only vocabulary. */
#include "lua/lib.h"
#include "lua/bind.h"
#include "lua/open.h"

#include <string.h>

#define LIB(row) row(text)

#define EMBED(name)                                                               \
    __asm__(".pushsection .rodata\n"                                              \
            "lib_" #name "_start: .incbin \"lua/lib/" #name ".lua\"\n"            \
            "lib_" #name "_end: .byte 0\n"                                        \
            ".popsection\n");                                                     \
    extern const char lib_##name##_start[] __attribute__((visibility("hidden"))); \
    extern const char lib_##name##_end[] __attribute__((visibility("hidden")));
LIB(EMBED)

#define ROW(name) {#name, lib_##name##_start, lib_##name##_end},
static const struct {
    const char *name, *start, *end;
} files[] = {LIB(ROW)};

static const char specs_key; /* registry[&specs_key]: function -> {call, signature, doc} */
static const char names_key; /* registry[&names_key]: name -> function */

/* Publishes the table on top of the stack. */
static void publish_all(lua_State *L, const char *file)
{
    int result = lua_gettop(L);
    if (!lua_istable(L, result))
        bind_error(L, "lua/lib/%s.lua returns no table", file);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &specs_key);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
    lua_getglobal(L, "lorash");
    for (lua_pushnil(L); lua_next(L, result); lua_pop(L, 1)) {
        const char *name = lua_tostring(L, -2);
        lua_getfield(L, -1, "call");
        lua_pushvalue(L, -1);
        lua_pushvalue(L, -3);
        lua_rawset(L, result + 1); /* specs[function] = spec */
        lua_pushvalue(L, -1);
        lua_setfield(L, result + 2, name);
        lua_pushvalue(L, -1);
        lua_setfield(L, result + 3, name);
        lua_setglobal(L, name);
    }
    lua_settop(L, result - 1);
}

void lib_open(lua_State *L)
{
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &specs_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &names_key);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        lua_pushfstring(L, "=lorash.%s", files[i].name);
        size_t length = (size_t)(files[i].end - files[i].start);
        if (open_load(L, files[i].start, length, lua_tostring(L, -1)) != LUA_OK)
            lua_error(L);
        lua_getglobal(L, "lorash");
        lua_call(L, 1, 1);
        publish_all(L, files[i].name);
        lua_pop(L, 1);
    }
}

int lib_spec(lua_State *L, int arg)
{
    if (!lua_isfunction(L, arg))
        return 0;
    arg = lua_absindex(L, arg);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &specs_key);
    lua_pushvalue(L, arg);
    int type = lua_rawget(L, -2);
    lua_remove(L, -2);
    if (type == LUA_TTABLE)
        return 1;
    lua_pop(L, 1);
    return 0;
}

void lib_names(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
}
