/* lib.h -- the embedded Lua half. */
#ifndef LUA_LIB_H
#define LUA_LIB_H

#include <lua.h>

/* Runs every embedded file and publishes what it returns. Raises on failure. */
void lib_open(lua_State *L);

/* Pushes {signature =, doc =} of an embedded function on the stack at 'arg' and returns 1, or
 * pushes nothing and returns 0. */
int lib_spec(lua_State *L, int arg);

/* Pushes the table name -> function of everything the Lua half published. */
void lib_names(lua_State *L);

#endif
