/* csv.h -- comma-separated text, read strictly (libcsv) and written as RFC 4180 says.
 *
 * Reading: a UTF-8 BOM is dropped; lines end in LF, CRLF or CR; blank lines are skipped; nothing is
 * trimmed; a quoted field may hold delimiters, line ends and doubled quotes. A stray or unclosed
 * quote, rows of uneven length, NUL bytes and fields over 16 MiB are refused, with row, line and
 * byte. What the bytes of a field mean (UTF-8, numbers) is the business of the sink. */
#ifndef ENGINE_FORMATS_CSV_H
#define ENGINE_FORMATS_CSV_H

#include "engine/core/buffer.h"
#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_FIELD_LIMIT (16 << 20) /* bytes of one field */
#define CSV_COLUMN_LIMIT 16384     /* columns of one file */

struct csv_options {
    char delimiter;             /* 0 = ',' */
    bool slow;                  /* tests: plain rows go through libcsv like all others */
    volatile const int *cancel; /* not 0: stop with ERR_CANCELLED; may be NULL */
};

/* Where rows go. Row 0 is the header; 'text' is not NUL-terminated and lives only during the call.
 * The sink returns a status; what it says is prefixed with the row and line. */
struct csv_sink {
    void *ctx;
    int (*field)(void *ctx, int64_t row, int64_t column, const char *text, size_t length);
    int (*end_of_row)(void *ctx, int64_t row, int64_t columns);
};

/* Hands every field of every row to the sink. All rows have as many fields as row 0. Errors:
 * ERR_FORMAT "row 3 (line 5): ...", ERR_MEMORY, ERR_CANCELLED, what the sink returns. */
int csv_read(const char *bytes, size_t length, const struct csv_options *options,
             const struct csv_sink *sink) MUST_CHECK;

/* Adds one field, in quotes only where needed: delimiter, quote, CR or LF inside. */
void csv_put(struct buffer *out, const char *text, size_t length, char delimiter);

#endif
