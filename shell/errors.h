/* errors.h -- errors as people should see them: one red line, where, and the source below it. */
#ifndef SHELL_ERRORS_H
#define SHELL_ERRORS_H

#include <lua.h>
#include <stddef.h>

/* Remembers the text of a chunk ("=[3]", "=(command line)", "@recipe.lua") so that errors can show
 * the line. Without memory the line is just not shown. */
void errors_add_source(const char *chunk_name, const char *text, size_t length);
void errors_close(void);

/* Message handler for lua_pcall: looks at the stack while it still stands. Returns the value
 * unchanged. */
int errors_handler(lua_State *L);

/* Prepares the report of a chunk that does not compile; 'message' is the compiler's. */
void errors_syntax(lua_State *L, const char *chunk_name, const char *message);

/* Prints the report of the last error, whose value is on top of the stack; pops it. Returns the
 * exit code that fits: 1, 2 (usage), 3 (no device), 4 (no memory), 130 (interrupted), or what
 * bind_exit asked for (0 possible). */
int errors_print(lua_State *L);

/* The user's frames of the last error, for :tb. */
void errors_print_frames(void);

#endif
