/* cell.h -- one input at the prompt: is it complete, what does it compile to? */
#ifndef SHELL_CELL_H
#define SHELL_CELL_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum cell_state {
    CELL_READY,      /* a function was pushed */
    CELL_UNFINISHED, /* more lines are wanted; nothing was pushed */
    CELL_WRONG,      /* the message was pushed */
};

struct cell {
    bool hide;     /* ends in ';': results are not printed */
    bool promoted; /* a 'local' became a name of the session */
    bool kept;     /* a 'local' with <const> or <close> was left alone */
};

/* Compiles 'text' under 'chunk_name'. The last expression becomes the result, also after
 * statements; 'local' outside blocks becomes a name of the session when 'promote'. Columns and
 * lines of the text are kept. Runs nothing. Must be called in protected mode. */
enum cell_state cell_compile(lua_State *L, const char *text, size_t length, const char *chunk_name,
                             bool promote, struct cell *out);

/* The indentation that a new line after 'text' should have, in spaces. */
int cell_indent(const char *text, size_t length);

#endif
