/* show.h -- how the prompt prints values. */
#ifndef SHELL_SHOW_H
#define SHELL_SHOW_H

#include <lua.h>

/* Pushes the text for the value at 'arg', without a final newline. Tables are re-readable Lua,
 * sorted, cut at depth 3 and 100 items, wrapped to 'width' columns. Objects print through __show or
 * __tostring, which may raise. */
void show_value(lua_State *L, int arg, int width);

#endif
