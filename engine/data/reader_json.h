/* reader_json.h -- JSON and JSON lines as tables.
 *
 * Read: an array of objects, one object a line, an array of texts (column "text"), or one object of
 * lists, one for each column. With the option 'field', the rows are the value of that key of the
 * outermost object. A byte order mark is dropped, blank lines are skipped, NaN and Infinity are
 * numbers. Columns stand in order of first appearance; a key that a row lacks is null there.
 *
 * A column has one type: bool, int (64 bits), float (ints among floats become floats when no digit
 * is lost), text, list or struct. Anything else is ERR_FORMAT with line, column, row and name.
 * With 'infer' off, every value is kept as text instead. */
#ifndef ENGINE_DATA_READER_JSON_H
#define ENGINE_DATA_READER_JSON_H

#include "engine/data/readers.h"

int reader_json(const char *bytes, size_t length, const struct reader_options *options,
                struct table **out) MUST_CHECK;

/* As reader_json, but a file of one object is one row. */
int reader_json_lines(const char *bytes, size_t length, const struct reader_options *options,
                      struct table **out) MUST_CHECK;

#endif
