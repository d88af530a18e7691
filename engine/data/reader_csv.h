/* reader_csv.h -- CSV and TSV files as tables: the header names the columns, types are found by
 * column_infer. Grammar: engine/formats/csv.h. */
#ifndef ENGINE_DATA_READER_CSV_H
#define ENGINE_DATA_READER_CSV_H

#include "engine/data/readers.h"

int reader_csv(const char *bytes, size_t length, const struct reader_options *options,
               struct table **out) MUST_CHECK;
int reader_tsv(const char *bytes, size_t length, const struct reader_options *options,
               struct table **out) MUST_CHECK;

#endif
