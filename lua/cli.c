/* cli.c -- recipe options; to be filled. */
#include "lua/bind.h"

extern const struct lua_method cli_functions[];
const struct lua_method cli_functions[] = {{NULL, NULL, NULL, NULL, NULL}};
