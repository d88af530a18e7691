/* repl.h -- the prompt: read a cell, run it, print its values. */
#ifndef SHELL_REPL_H
#define SHELL_REPL_H

#include <lua.h>
#include <stddef.h>

/* Runs until end of input or :quit. Returns the exit code. */
int repl_run(lua_State *L);

/* Runs one cell (a command or Lua) as if typed; REPL_QUIT when it asked to leave. */
enum { REPL_OK = -1, REPL_ERROR = -2 }; /* else: the exit code to leave with */
int repl_cell(lua_State *L, const char *text, size_t length);

/* Compiles and runs Lua under the next cell number, prints its values. REPL_OK, REPL_ERROR or a
 * code that bind_exit asked for. */
int repl_lua(lua_State *L, const char *text, size_t length);

#endif
