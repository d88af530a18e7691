/* where.c -- fuzz target: bytes as a filter expression and as a pattern of row texts. */
#include "engine/data/readers.h"
#include "engine/data/row_text.h"
#include "engine/data/where.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct table *t;
    static const char csv[] = "k,x,Long Name,b\n1,0.5,a,true\n2,,b,false\n-3,1e9,,true\n";
    static const struct reader_options options = READER_DEFAULTS;
    struct rows rows = {0};
    struct column *c = NULL;
    if (!t && readers[0].read(csv, sizeof csv - 1, &options, &t))
        abort();
    char *text = mem_text((const char *)data, size);
    if (!text)
        abort();
    (void)!where_rows(t, text, &rows);
    if (rows.count > t->rows)
        abort();
    rows_free(&rows);
    (void)!row_text(t, text, size, &c);
    column_free(c);
    mem_free(text);
    return 0;
}
