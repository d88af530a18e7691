/* reader_csv.c -- CSV and TSV files as tables. */
#include "engine/data/reader_csv.h"
#include "engine/formats/csv.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct csv_table {
    struct table *table;     /* holds the header; its columns are filled in place */
    struct column **columns; /* [count], held once here until the end */
    char **names;
    int64_t count, capacity, name_capacity;
};

static int check_text(const struct csv_table *ct, int64_t column, const char *text, size_t length)
{
    size_t bad = utf8_valid(text, length);
    if (bad == length)
        return OK;
    return fail(ERR_FORMAT,
                "column %" PRId64 "%s%.60s%s: byte %zu of the field (0x%02X) is not UTF-8; hint: "
                "save the file as UTF-8, for example with iconv -f WINDOWS-1252 -t UTF-8",
                column + 1, column < ct->count ? " ('" : "",
                column < ct->count ? ct->names[column] : "", column < ct->count ? "')" : "",
                bad + 1, (unsigned char)text[bad]);
}

static int header_field(struct csv_table *ct, int64_t column, const char *text, size_t length)
{
    char unnamed[40];
    if (length == 0) { /* pandas writes its row numbers under an empty name */
        length = (size_t)snprintf(unnamed, sizeof unnamed, "Unnamed: %" PRId64, column);
        text = unnamed;
    }
    for (int64_t i = 0; i < ct->count; i++)
        if (strlen(ct->names[i]) == length && !memcmp(ct->names[i], text, length))
            return fail(ERR_FORMAT,
                        "columns %" PRId64 " and %" PRId64 " are both called '%s'; "
                        "hint: rename one in the file",
                        i + 1, column + 1, ct->names[i]);
    void *items = ct->names;
    TRY(mem_grow(&items, &ct->name_capacity, column + 1, sizeof *ct->names));
    ct->names = items;
    items = ct->columns;
    TRY(mem_grow(&items, &ct->capacity, column + 1, sizeof *ct->columns));
    ct->columns = items;
    char *name = mem_text(text, length);
    if (!name)
        return ERR_MEMORY;
    int status = column_new(COLUMN_TEXT, &ct->columns[column]);
    if (status) {
        mem_free(name);
        return status;
    }
    ct->names[column] = name;
    ct->count = column + 1;
    return OK;
}

static int csv_field(void *ctx, int64_t row, int64_t column, const char *text, size_t length)
{
    struct csv_table *ct = ctx;
    TRY(check_text(ct, column, text, length));
    if (row == 0)
        return header_field(ct, column, text, length);
    return column_add_text(ct->columns[column], text, length);
}

static int csv_row(void *ctx, int64_t row, int64_t columns)
{
    (void)ctx, (void)row, (void)columns;
    return OK;
}

static int infer_all(struct csv_table *ct, const struct reader_options *o, struct table **out)
{
    struct table *t;
    struct column *c = NULL;
    int status = OK;
    TRY(table_new(&t));
    for (int64_t i = 0; i < ct->count; i++) {
        if (o->infer)
            TRY_OUT(column_infer(ct->columns[i], o->keep_default_na, &c));
        else
            c = column_hold(ct->columns[i]);
        TRY_OUT(table_add(t, ct->names[i], c));
        column_free(c);
        c = NULL;
        column_free(ct->columns[i]); /* one text at a time is there twice, not all */
        ct->columns[i] = NULL;
    }
    *out = t;
    return OK;
out:
    column_free(c);
    table_free(t);
    return status;
}

static int read_delimited(const char *bytes, size_t length, const struct reader_options *o,
                          char preset, struct table **out)
{
    struct csv_table ct = {0};
    struct csv_sink sink = {.ctx = &ct, .field = csv_field, .end_of_row = csv_row};
    struct csv_options options = {.delimiter = preset, .cancel = o->cancel};
    if (o->delimiter && strlen(o->delimiter) != 1 && strcmp(o->delimiter, "\\t") != 0)
        return fail(ERR_ARG,
                    "delimiter '%.20s': wanted one character; hint: ',', ';', '|' or '\\t'",
                    o->delimiter);
    if (o->delimiter)
        options.delimiter = o->delimiter[0] == '\\' ? '\t' : o->delimiter[0];
    int status = csv_read(bytes, length, &options, &sink);
    if (!status)
        status = infer_all(&ct, o, out);
    for (int64_t i = 0; i < ct.count; i++) {
        column_free(ct.columns[i]);
        mem_free(ct.names[i]);
    }
    mem_free(ct.columns);
    mem_free(ct.names);
    return status;
}

int reader_csv(const char *bytes, size_t length, const struct reader_options *o, struct table **out)
{
    return read_delimited(bytes, length, o, ',', out);
}

int reader_tsv(const char *bytes, size_t length, const struct reader_options *o, struct table **out)
{
    return read_delimited(bytes, length, o, '\t', out);
}
