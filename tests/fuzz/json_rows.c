/* json_rows.c -- fuzz target: bytes as JSON, JSON lines or text; what was read is written as JSON and
 * read again, with the same rows; nested cells are taken for conversations and tools. */
#include "engine/data/readers.h"
#include "engine/data/row_format.h"
#include "engine/data/writer_json.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const struct table *t, enum json_form form)
{
    struct reader_options options = READER_DEFAULTS;
    const struct reader *json;
    struct buffer first = {0}, second = {0};
    struct table *back;
    if (reader_find(form == JSON_FORM_LINES ? "jsonl" : "json", &json))
        abort();
    if (table_to_json(t, form, &first)) { /* only text that is no UTF-8, which none is here */
        abort();
    }
    if (t->rows == 0 || t->width == 0) {
        buffer_free(&first);
        return;
    }
    if (json->read(first.bytes, (size_t)first.length, &options, &back))
        abort(); /* what we write, we read */
    if (back->rows != t->rows || back->width != t->width || table_to_json(back, form, &second))
        abort();
    table_free(back);
    buffer_free(&first);
    buffer_free(&second);
}

static void look_at_cells(const struct table *t)
{
    struct value *v;
    for (int64_t i = 0; i < t->width; i++)
        for (int64_t row = 0; row < t->rows && t->columns[i]->type == COLUMN_JSON; row++) {
            if (!row_messages(t, i, row, &v))
                value_drop(v);
            if (!row_tools(t, i, row, &v))
                value_drop(v);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"json", "jsonl", "text", "json"};
    struct reader_options options = READER_DEFAULTS;
    const struct reader *r;
    struct table *t;
    char field[] = "a";
    if (size == 0 || reader_find(names[data[0] & 3], &r))
        return 0;
    options.infer = data[0] & 4;
    if ((data[0] & 3) == 3)
        options.field = field;
    mem_set_limit(64 << 20);
    if (!r->read((const char *)data + 1, size - 1, &options, &t)) {
        write_and_read(t, JSON_FORM_LINES);
        write_and_read(t, JSON_FORM_ROWS);
        look_at_cells(t);
        table_free(t);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
