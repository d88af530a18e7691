/* reader_text.h -- plain text as a table of one column, "text".
 *
 * sample_by "line" (the default): a row for each line, empty ones too, without its end (LF, CRLF or
 * CR); "paragraph": what blank lines part, empty ones left out; "document": the whole file. A byte
 * order mark is dropped; text that is no UTF-8 is ERR_FORMAT with its line. */
#ifndef ENGINE_DATA_READER_TEXT_H
#define ENGINE_DATA_READER_TEXT_H

#include "engine/data/readers.h"

int reader_text(const char *bytes, size_t length, const struct reader_options *options,
                struct table **out) MUST_CHECK;

#endif
