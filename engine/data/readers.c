/* readers.c -- files that become tables. */
#include "engine/data/readers.h"
#include "engine/core/file.h"
#include "engine/core/suggest.h"
#include "engine/formats/csv.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

static int read_csv(const char *bytes, size_t length, const struct reader_options *o,
                    struct table **out)
{
    return read_delimited(bytes, length, o, ',', out);
}

static int read_tsv(const char *bytes, size_t length, const struct reader_options *o,
                    struct table **out)
{
    return read_delimited(bytes, length, o, '\t', out);
}

const struct reader readers[] = {
    {.name = "csv", .extensions = "csv", .read = read_csv},
    {.name = "tsv", .extensions = "tsv,tab", .read = read_tsv},
    {.name = NULL},
};

int reader_find(const char *name, const struct reader **out)
{
    char hint[64];
    struct suggest near = {.wanted = name};
    for (const struct reader *r = readers; r->name; r++) {
        if (!strcmp(r->name, name)) {
            *out = r;
            return OK;
        }
        suggest_try(&near, r->name);
    }
    return fail(ERR_ARG, "dataset format '%s' is unknown, wanted csv or tsv%s", name,
                suggest_hint(&near, hint, sizeof hint));
}

int reader_for_path(const char *path, const struct reader **out)
{
    const char *dot = strrchr(path, '.');
    size_t n = dot ? strlen(dot + 1) : 0;
    for (const struct reader *r = readers; r->name && n; r++)
        for (const char *p = r->extensions; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
            if (!strncasecmp(p, dot + 1, n) && (p[n] == ',' || p[n] == '\0')) {
                *out = r;
                return OK;
            }
    return fail(ERR_ARG,
                "%s: the format of the file is not known from its name, wanted .csv or .tsv; hint: "
                "say it: load_dataset(\"csv\", {data_files = \"...\"})",
                path);
}

int reader_file(const struct reader *r, const char *path, const struct reader_options *options,
                struct table **out)
{
    char *bytes;
    size_t length;
    TRY(file_read(path, 0, &bytes, &length));
    int status = r->read(bytes, length, options, out);
    mem_free(bytes);
    if (status && status != ERR_CANCELLED)
        fail_in(status, "%s", path);
    return status;
}

static bool only_blanks(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] != ' ' && text[i] != '\t')
            return false;
    return true;
}

/* 'alone' = the one field of its line. Blank lines are skipped by readers, so such a field stands
 * in quotes. */
static void write_text(struct buffer *out, const char *text, size_t length, char delimiter,
                       bool alone)
{
    if (alone && only_blanks(text, length))
        buffer_printf(out, "\"%.*s\"", (int)length, text);
    else
        csv_put(out, text, length, delimiter);
}

static void write_cell(struct buffer *out, const struct column *c, int64_t row, char delimiter,
                       bool alone)
{
    size_t length = 0;
    if (c->type != COLUMN_TEXT && !column_is_null(c, row)) {
        column_show(c, row, out);
        return;
    }
    const char *text = c->type == COLUMN_TEXT ? column_text(c, row, &length) : NULL;
    write_text(out, text ? text : "", length, delimiter, alone);
}

int table_to_csv(const struct table *t, char delimiter, bool index, struct buffer *out)
{
    bool alone = t->width == 1 && !index;
    for (int64_t i = 0; i < t->width; i++) {
        if (i || index)
            buffer_add(out, &delimiter, 1);
        write_text(out, t->names[i], strlen(t->names[i]), delimiter, alone);
    }
    buffer_text(out, "\n");
    for (int64_t row = 0; row < t->rows && !out->status; row++) {
        if (index)
            buffer_printf(out, "%" PRId64, row + 1);
        for (int64_t i = 0; i < t->width; i++) {
            if (i || index)
                buffer_add(out, &delimiter, 1);
            write_cell(out, t->columns[i], row, delimiter, alone);
        }
        buffer_text(out, "\n");
    }
    return out->status;
}
