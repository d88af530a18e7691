/* row_text.h -- the column of texts made by filling "Product: {Product Name}, {Price:.2f}" with each
 * row. "{{" and "}}" stand for braces; a null leaves nothing. */
#ifndef ENGINE_DATA_ROW_TEXT_H
#define ENGINE_DATA_ROW_TEXT_H

#include "engine/data/table.h"

/* ERR_ARG for a column that is not there (with the nearest one), an open brace, or a format other
 * than d, f, e, g with a precision. */
int row_text(const struct table *t, const char *pattern, size_t length,
             struct column **out) MUST_CHECK;

#endif
