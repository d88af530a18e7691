/* writer_json.h -- tables as JSON and JSON lines.
 *
 * Rows are objects with the columns in order; nulls, NaN and infinite floats are null; nested cells
 * are written as what they are. Text that is no UTF-8 is ERR_ARG with its row and column. */
#ifndef ENGINE_DATA_WRITER_JSON_H
#define ENGINE_DATA_WRITER_JSON_H

#include "engine/data/table.h"

enum json_form {
    JSON_FORM_ROWS,    /* [{"a": 1}, {"a": 2}], one row a line */
    JSON_FORM_LINES,   /* {"a": 1} and {"a": 2} on lines of their own, no brackets */
    JSON_FORM_COLUMNS, /* {"a": [1, 2]}, one column a line */
};

int table_to_json(const struct table *t, enum json_form form, struct buffer *out) MUST_CHECK;

#endif
