/* nested.h -- lists and objects in cells, as one line of JSON text.
 *
 * A nested column (COLUMN_JSON) holds each value as Python's json.dumps(ensure_ascii=False) writes
 * it: ", " and ": " between, escapes only where JSON needs them, numbers as they stood in the file
 * (NaN and Infinity among them). So equal values mostly have equal texts, and a cell can be printed,
 * compared, hashed and written without being taken apart. */
#ifndef ENGINE_DATA_NESTED_H
#define ENGINE_DATA_NESTED_H

#include "engine/core/buffer.h"
#include "engine/core/json.h"

/* Adds the value whose first event 'j' has just read, and reads it to its end. */
int nested_add(struct json *j, struct buffer *out) MUST_CHECK;

/* Adds the text of an array or object; ERR_FORMAT when it is no JSON or something else. */
int nested_text(const char *text, size_t length, struct buffer *out) MUST_CHECK;

#endif
