/* probe.h -- what only tests need: the table lorash.probe. */
#ifndef SHELL_PROBE_H
#define SHELL_PROBE_H

#include <lua.h>

/* Adds the table. Raises without memory. */
int probe_open(lua_State *L);

#endif
