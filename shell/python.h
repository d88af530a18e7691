/* python.h -- what to type instead of Python's syntax. */
#ifndef SHELL_PYTHON_H
#define SHELL_PYTHON_H

#include <stddef.h>

struct python_hint {
    const char *hint;  /* "in Lua write ~= for 'not equal'"; NULL = nothing recognised */
    const char *start; /* what to underline, within the text */
    size_t length;
};

/* Looks at what does not compile: habits of Python (and a few of C and JavaScript) on line 'line'
 * (1-based) or the one before. Reads no further than 'length'. */
struct python_hint python_look(const char *text, size_t length, int line);

#endif
