/* csv.c -- fuzz target: bytes as a CSV or TSV file; what was read is written and read again, and
 * plain rows come out as from libcsv. */
#include "engine/data/readers.h"
#include "engine/formats/csv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int log_field(void *ctx, int64_t row, int64_t column, const char *text, size_t length)
{
    buffer_printf(ctx, "%d.%d=%zu:", (int)row, (int)column, length);
    buffer_add(ctx, text, length);
    return OK;
}

static int log_row(void *ctx, int64_t row, int64_t columns)
{
    buffer_printf(ctx, "[%d %d]", (int)row, (int)columns);
    return OK;
}

static void both_ways(const char *text, size_t length, char delimiter)
{
    struct buffer logs[2] = {{0}, {0}};
    int status[2];
    for (int slow = 0; slow < 2; slow++) {
        struct csv_options o = {.delimiter = delimiter, .slow = slow};
        struct csv_sink sink = {&logs[slow], log_field, log_row};
        status[slow] = csv_read(text, length, &o, &sink);
    }
    if (status[0] != status[1])
        abort();
    if (!status[0] && (logs[0].length != logs[1].length ||
                       memcmp(logs[0].bytes, logs[1].bytes, (size_t)logs[0].length) != 0))
        abort();
    buffer_free(&logs[0]);
    buffer_free(&logs[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader_options options = READER_DEFAULTS;
    struct table *t, *back;
    if (size == 0)
        return 0;
    both_ways((const char *)data + 1, size - 1, data[0] & 1 ? '\t' : ',');
    const struct reader *r = &readers[data[0] & 1];
    options.infer = data[0] & 2;
    if (r->read((const char *)data + 1, size - 1, &options, &t))
        return 0;
    struct buffer text = {0};
    if (table_to_csv(t, ',', false, &text) || !text.length ||
        readers[0].read(text.bytes, (size_t)text.length, &options, &back))
        abort(); /* what we write, we read */
    if (back->rows != t->rows || back->width != t->width)
        abort();
    table_free(back);
    table_free(t);
    buffer_free(&text);
    return 0;
}
