/* complete.h -- what could stand at the cursor. Runs no user code. */
#ifndef SHELL_COMPLETE_H
#define SHELL_COMPLETE_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

struct completion {
    size_t start;    /* where the word begins that the names would replace */
    char **names;    /* sorted, each with its suffix: "head(", "learning_rate = " */
    int count, more; /* 'more' were left out */
    int64_t capacity;
};

/* Candidates for text[0, cursor). Never raises; without memory there are none. */
void complete_at(lua_State *L, const char *text, size_t cursor, struct completion *out);
void complete_free(struct completion *c);

/* Length of what all names have in common beyond 'typed' bytes. */
size_t complete_common(const struct completion *c);

#endif
