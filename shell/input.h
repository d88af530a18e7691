/* input.h -- one cell from the person: through Readline on a terminal, plainly elsewhere. */
#ifndef SHELL_INPUT_H
#define SHELL_INPUT_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum input_end { INPUT_TEXT, INPUT_EOF, INPUT_INTERRUPTED, INPUT_NO_MEMORY };

/* 'complete' tells whether a text can run as it stands; it is asked at every Enter. */
void input_open(lua_State *L, bool (*complete)(lua_State *L, const char *text, size_t length));
void input_close(void);

/* Reads a cell. On INPUT_TEXT *text is the caller's (mem_free). */
enum input_end input_read(lua_State *L, const char *prompt, char **text);

/* Removes "[3]> " at line starts, carriage returns and tabs, in place; returns the new length. */
size_t input_clean(char *text, size_t length);

/* Prints the history entries that hold 'word' (NULL = the last 25), oldest first. */
void input_print_history(const char *word);

#endif
