/* value.h -- value trees (engine/core/value.h) as Lua tables and back.
 *
 * A list is a sequence, a map a table with text keys. null is nil: a key that is null is not there;
 * inside a list it is lorash.null, so that positions stay. An empty map carries a metatable that
 * tells it from an empty list. Lua tables have no order of keys: on the way back the keys of
 * messages and tools come in their usual order (role, content; type, function; name, description,
 * parameters ...), others sorted after them. */
#ifndef LUA_VALUE_H
#define LUA_VALUE_H

#include "engine/core/value.h"
#include <lua.h>

/* Pushes a userdata that drops the value it is given later; returns the place. */
struct value **lua_value_hold(lua_State *L);

/* Pushes the value; 'v' must be held elsewhere. */
void lua_value_push(lua_State *L, const struct value *v);

/* The value of the Lua value at 'arg', in a hold that is pushed. Raises "what: ..." for functions,
 * tables with both kinds of keys or holes, tables within themselves, and other objects. Texts must
 * be UTF-8. */
struct value *lua_value_at(lua_State *L, int arg, const char *what);

/* Pushes what a JSON text means (NaN allowed). Raises for what is none. */
void lua_value_push_json(lua_State *L, const char *json, size_t length);

/* lorash.null: pushed where a list has null. */
void lua_value_push_null(lua_State *L);

#endif
