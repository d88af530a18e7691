/* help.c -- help() and ?name; to be filled. */
#include "lua/bind.h"

extern const struct lua_method help_functions[];
const struct lua_method help_functions[] = {{NULL, NULL, NULL, NULL, NULL}};
