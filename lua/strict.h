/* strict.h -- reading an undefined global is an error with a suggestion. */
#ifndef LUA_STRICT_H
#define LUA_STRICT_H

#include <lua.h>

/* Makes the globals of the state strict. Names that start with '_' read as nil. */
void strict_open(lua_State *L);

/* What to write in Lua instead of a Python name ("len" -> "#x for the length of x"), or NULL. */
const char *strict_python(const char *name);

/* The global nearest to 'name' is offered in 'out' as "; did you mean 'x'?". Raw: runs no code. */
char *strict_hint(lua_State *L, const char *name, char *out, size_t bytes);

#endif
