/* edit.h -- a text that is being rewritten, with where each byte came from; private to engine/text.
 *
 * Normalisers and a few splitters change the text before it is cut. When spans are wanted, every
 * byte of the changed text keeps the range of the original text it stands for, through any number
 * of rewrites. */
#ifndef ENGINE_TEXT_EDIT_H
#define ENGINE_TEXT_EDIT_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct origin {
    uint32_t start, end; /* bytes of the original text */
};

/* A text and what is known of its origin. */
struct source {
    const char *text;
    size_t length;
    const struct origin *origins; /* one a byte; NULL = it is the original from byte 'at' on */
    uint32_t at;
    bool first; /* the original starts here */
};

/* Start zeroed but for 'tracked'; end with edit_free. */
struct edit {
    char *bytes;
    int64_t length, capacity;
    struct origin *origins; /* with 'tracked' */
    int64_t room;
    bool tracked;
};

/* The range that bytes [from, from + n) of a source stand for; n = 0: the empty range there. */
struct origin source_range(const struct source *s, size_t from, size_t n);

/* The part [from, from + n) as a source of its own. */
struct source source_part(const struct source *s, size_t from, size_t n);

/* Appends bytes of the source as they are. */
int edit_keep(struct edit *e, const struct source *s, size_t from, size_t n) MUST_CHECK;

/* Appends other bytes, which stand for 'range'. */
int edit_put(struct edit *e, const char *bytes, size_t n, struct origin range) MUST_CHECK;

/* What was written, as a source: 'of' is what it was written from. */
struct source edit_source(const struct edit *e, const struct source *of);
void edit_free(struct edit *e);

#endif
