/* help.h -- what ?name prints. */
#ifndef LUA_HELP_H
#define LUA_HELP_H

#include <lua.h>

/* Pushes the text for a name ("TrainingArguments", "df:head", "DataFrame.head", "learning_rate"; ""
 * = the list of everything), or raises with a suggestion. */
void help_text(lua_State *L, const char *name);

/* Prints it through bind_write. */
void help_print(lua_State *L, const char *name);

#endif
