/* help.h -- what ?name prints. */
#ifndef LUA_HELP_H
#define LUA_HELP_H

#include "engine/core/options.h"
#include <lua.h>

/* Pushes the text for a name ("TrainingArguments", "df:head", "DataFrame.head", "learning_rate"; ""
 * = the list of everything), or raises with a suggestion. */
void help_text(lua_State *L, const char *name);

/* Calls visit for every option table that a class, method or function has or that option_tables[]
 * lists; a table may come more than once. */
void help_each_table(void (*visit)(void *ctx, const struct option_table *t), void *ctx);

/* Prints it through bind_write. */
void help_print(lua_State *L, const char *name);

#endif
