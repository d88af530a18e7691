/* reader_csv.c -- CSV and TSV files as tables.
 *
 * A column is text until SAMPLE rows tell what it seems to be; from then on its numbers are kept as
 * numbers. When a later field says otherwise, the column is read again as text, so that the result
 * is that of column_infer over all rows, whatever the sample held. */
#include "engine/data/reader_csv.h"
#include "engine/formats/csv.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SAMPLE 256

struct csv_table {
    const struct reader_options *options;
    struct column **columns; /* [count], held once here until the end; NULL: read again */
    struct column **again_columns;
    char **names;
    int64_t count, capacity, name_capacity;
    bool valid;          /* the whole text is UTF-8, so every field is */
    bool sampled, again; /* types were guessed; some wrongly: read once more */
};

static int check_text(const struct csv_table *ct, int64_t column, const char *text, size_t length)
{
    size_t bad = ct->valid ? length : utf8_valid(text, length);
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
    struct column *c = ct->columns[column];
    if (!c) /* guessed wrongly */
        return OK;
    if (c->type == COLUMN_TEXT)
        return column_add_text(c, text, length);
    bool fits;
    TRY(column_add_parsed(c, text, length, ct->options->keep_default_na, &fits));
    if (fits)
        return OK;
    ct->again = true;
    ct->columns[column] = NULL;
    column_free(c);
    return OK;
}

static int csv_row(void *ctx, int64_t row, int64_t columns)
{
    struct csv_table *ct = ctx;
    struct column *c;
    (void)columns;
    if (row < SAMPLE || ct->sampled || !ct->options->infer)
        return OK;
    ct->sampled = true;
    for (int64_t i = 0; i < ct->count; i++) {
        TRY(column_infer(ct->columns[i], ct->options->keep_default_na, &c));
        if (c->type == COLUMN_TEXT) { /* its nulls are found at the end */
            column_free(c);
            continue;
        }
        column_free(ct->columns[i]);
        ct->columns[i] = c;
    }
    return OK;
}

/* The second reading: columns that were guessed wrongly, as text. */
static int again_field(void *ctx, int64_t row, int64_t column, const char *text, size_t length)
{
    struct csv_table *ct = ctx;
    struct column **missing = ct->again_columns;
    return row && missing[column] ? column_add_text(missing[column], text, length) : OK;
}

static int again_row(void *ctx, int64_t row, int64_t columns)
{
    (void)ctx, (void)row, (void)columns;
    return OK;
}

static int read_again(struct csv_table *ct, const char *bytes, size_t length,
                      const struct csv_options *options)
{
    struct csv_sink sink = {.ctx = ct, .field = again_field, .end_of_row = again_row};
    ct->again_columns = mem_calloc((size_t)ct->count, sizeof *ct->again_columns);
    int status = ct->again_columns ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < ct->count && !status; i++)
        if (!ct->columns[i])
            status = column_new(COLUMN_TEXT, &ct->again_columns[i]);
    if (!status)
        status = csv_read(bytes, length, options, &sink);
    for (int64_t i = 0; i < ct->count && ct->again_columns; i++)
        if (!ct->columns[i])
            ct->columns[i] = ct->again_columns[i];
    mem_free(ct->again_columns);
    ct->again_columns = NULL;
    return status;
}

static int infer_all(struct csv_table *ct, const struct reader_options *o, struct table **out)
{
    struct table *t;
    struct column *c = NULL;
    int status = OK;
    TRY(table_new(&t));
    for (int64_t i = 0; i < ct->count; i++) {
        if (o->infer && ct->columns[i]->type == COLUMN_TEXT)
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
    struct csv_table ct = {.options = o, .valid = utf8_valid(bytes, length) == length};
    struct csv_sink sink = {.ctx = &ct, .field = csv_field, .end_of_row = csv_row};
    struct csv_options options = {.delimiter = preset, .cancel = o->cancel};
    if (o->delimiter && strlen(o->delimiter) != 1 && strcmp(o->delimiter, "\\t") != 0)
        return fail(ERR_ARG,
                    "delimiter '%.20s': wanted one character; hint: ',', ';', '|' or '\\t'",
                    o->delimiter);
    if (o->delimiter)
        options.delimiter = o->delimiter[0] == '\\' ? '\t' : o->delimiter[0];
    int status = csv_read(bytes, length, &options, &sink);
    if (!status && ct.again)
        status = read_again(&ct, bytes, length, &options);
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
