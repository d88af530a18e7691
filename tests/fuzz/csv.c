/* csv.c -- fuzz target: bytes as a CSV or TSV file; what was read is written and read again. */
#include "engine/data/readers.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader_options options = READER_DEFAULTS;
    struct table *t, *back;
    if (size == 0)
        return 0;
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
