/* line.h -- the Readline half of input.h; only input.c calls it. */
#ifndef SHELL_LINE_H
#define SHELL_LINE_H

#include "shell/input.h"

/* False when there is no Readline in this build or the terminal cannot carry it. */
bool line_open(lua_State *L, bool (*complete)(lua_State *L, const char *text, size_t length));
void line_close(void);
enum input_end line_read(const char *prompt, char **text);
void line_print_history(const char *word);

#endif
