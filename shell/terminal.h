/* terminal.h -- the one writer: output, the status stream and the live line. */
#ifndef SHELL_TERMINAL_H
#define SHELL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

enum style { STYLE_PLAIN, STYLE_DIM, STYLE_BOLD, STYLE_RED, STYLE_YELLOW, STYLE_CYAN };

/* What was asked for (--progress, --color; NULL = auto); fills bind_terminal and sets the writers of
 * bind.h. Returns 0, or the offending word's message through fail(). */
int terminal_open(const char *progress, const char *color);

int terminal_width(void);
bool terminal_is_interactive(void); /* standard input and output are a terminal that can do more
                                       than print */

/* To standard output and standard error. The live line steps aside. */
void terminal_write(const char *text, size_t length);
void terminal_error(const char *text, size_t length);

/* Flushes; false when standard output could not be written (disk full, closed pipe). */
bool terminal_flush(void);

/* Escape sequences that begin and end a style on standard output or error; "" without colour. */
const char *terminal_style(enum style s, bool on_error);

/* Sets (or with NULL ends) the live line. */
void terminal_live(const char *text);

/* Bytes of 'text' that fit in 'columns'; escape sequences count as nothing. *used gets the columns
 * taken. Control characters other than ESC count one. */
size_t terminal_fit(const char *text, size_t length, int columns, int *used);

#endif
