/* commands.h -- what the prompt understands besides Lua: :name, !shell, ?name. */
#ifndef SHELL_COMMANDS_H
#define SHELL_COMMANDS_H

#include <lua.h>
#include <stdbool.h>

struct command {
    const char *name, *arguments, *doc;
    int (*run)(lua_State *L, const char *rest); /* REPL_OK, REPL_ERROR, or an exit code to leave */
};
extern const struct command commands[]; /* ends with a NULL name; :help lists it */

/* Is the text (without leading blanks) a command and not Lua? */
bool commands_match(const char *text);

/* Runs it. */
int commands_run(lua_State *L, const char *text);

#endif
