/* open.h -- a Lua state as lorash gives it to people. */
#ifndef LUA_OPEN_H
#define LUA_OPEN_H

#include <lua.h>
#include <stddef.h>

/* A state on our counted allocator with the standard libraries, text-only loading, strict globals,
 * the table 'lorash' and every class and function. On failure ERR_MEMORY (or ERR_INTERNAL when an
 * embedded Lua file does not run) and *out is NULL. */
int open_state(lua_State **out);
void open_close(lua_State *L); /* NULL is fine */

/* Compiles text (bytecode is refused); pushes the function or the message, returns lua_load's. */
int open_load(lua_State *L, const char *text, size_t length, const char *chunk_name);

/* Modules of the recipe's folder come first, and the current folder does not count. */
void open_recipe_folder(lua_State *L, const char *recipe_path);

#endif
