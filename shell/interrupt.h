/* interrupt.h -- Ctrl-C while Lua or the engine runs. */
#ifndef SHELL_INTERRUPT_H
#define SHELL_INTERRUPT_H

#include <lua.h>

/* Installs the handler and the coroutine functions that keep track of the running thread. */
void interrupt_open(lua_State *L);

/* Around every protected run of user code. */
void interrupt_begin(lua_State *L);
void interrupt_end(lua_State *L);

#endif
