/* writer_json.c -- tables as JSON and JSON lines. */
#include "engine/data/writer_json.h"
#include "engine/core/json_write.h"
#include "engine/text/unicode.h"

#include <inttypes.h>
#include <string.h>

static int write_text(const struct table *t, int64_t column, int64_t row, const char *text,
                      size_t length, struct buffer *out)
{
    if (utf8_valid(text, length) != length)
        return fail(ERR_ARG, "to_json: row %" PRId64 ", column '%.60s' is no UTF-8 text", row + 1,
                    t->names[column]);
    json_quote(out, text, length);
    return OK;
}

static int write_cell(const struct table *t, int64_t column, int64_t row, struct buffer *out)
{
    const struct column *c = t->columns[column];
    char number[32];
    size_t length;
    if (column_is_null(c, row)) {
        buffer_text(out, "null");
        return OK;
    }
    switch (c->type) {
    case COLUMN_TEXT: {
        const char *text = column_text(c, row, &length);
        return write_text(t, column, row, text, length, out);
    }
    case COLUMN_FLOAT:
        json_number_text(c->floats[row], number);
        buffer_text(out, number);
        return OK;
    case COLUMN_INT:
    case COLUMN_BOOL:
    case COLUMN_JSON:
        column_show(c, row, out);
        return OK;
    }
    return fail(ERR_INTERNAL, "column type %d", (int)c->type);
}

static int write_name(const struct table *t, int64_t column, struct buffer *out)
{
    size_t n = strlen(t->names[column]);
    if (utf8_valid(t->names[column], n) != n)
        return fail(ERR_ARG, "to_json: the name of column %" PRId64 " is no UTF-8 text",
                    column + 1);
    json_quote(out, t->names[column], n);
    buffer_text(out, ": ");
    return OK;
}

static int write_row(const struct table *t, int64_t row, struct buffer *out)
{
    buffer_text(out, "{");
    for (int64_t i = 0; i < t->width; i++) {
        if (i)
            buffer_text(out, ", ");
        TRY(write_name(t, i, out));
        TRY(write_cell(t, i, row, out));
    }
    buffer_text(out, "}");
    return OK;
}

static int write_columns(const struct table *t, struct buffer *out)
{
    buffer_text(out, "{");
    for (int64_t i = 0; i < t->width; i++) {
        if (i)
            buffer_text(out, ",\n");
        TRY(write_name(t, i, out));
        buffer_text(out, "[");
        for (int64_t row = 0; row < t->rows && !out->status; row++) {
            if (row)
                buffer_text(out, ", ");
            TRY(write_cell(t, i, row, out));
        }
        buffer_text(out, "]");
    }
    buffer_text(out, "}\n");
    return OK;
}

int table_to_json(const struct table *t, enum json_form form, struct buffer *out)
{
    if (form == JSON_FORM_COLUMNS) {
        TRY(write_columns(t, out));
        return out->status;
    }
    bool lines = form == JSON_FORM_LINES;
    if (!lines)
        buffer_text(out, "[");
    for (int64_t row = 0; row < t->rows && !out->status; row++) {
        if (row && !lines)
            buffer_text(out, ",\n");
        TRY(write_row(t, row, out));
        if (lines)
            buffer_text(out, "\n");
    }
    if (!lines)
        buffer_text(out, "]\n");
    return out->status;
}
