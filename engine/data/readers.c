/* readers.c -- the list of dataset formats, and tables as CSV. */
#include "engine/data/readers.h"
#include "engine/core/file.h"
#include "engine/core/suggest.h"
#include "engine/data/reader_csv.h"
#include "engine/data/reader_json.h"
#include "engine/data/reader_text.h"
#include "engine/formats/csv.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const struct reader readers[] = {
    {.name = "csv", .extensions = "csv", .family = "csv", .read = reader_csv},
    {.name = "tsv", .extensions = "tsv,tab", .family = "csv", .read = reader_tsv},
    {.name = "json", .extensions = "json", .family = "json", .read = reader_json},
    {.name = "jsonl", .extensions = "jsonl,ndjson", .family = "json", .read = reader_json_lines},
    {.name = "text", .extensions = "txt,text", .family = "text", .read = reader_text},
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
    return fail(ERR_ARG, "dataset format '%.60s' is unknown, wanted csv, json or text%s", name,
                suggest_hint(&near, hint, sizeof hint));
}

/* Is 'name' of 'n' bytes in the comma-separated list? */
static bool listed(const char *list, const char *name, size_t n)
{
    for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
        if (!strncasecmp(p, name, n) && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

const struct reader *reader_by_extension(const char *extension, size_t length)
{
    for (const struct reader *r = readers; r->name && length; r++)
        if (listed(r->extensions, extension, length))
            return r;
    return NULL;
}

int reader_for_path(const char *path, const struct reader **out)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    const char *ending = dot ? dot + 1 : "";
    *out = reader_by_extension(ending, strlen(ending));
    if (*out)
        return OK;
    if (dot && listed("gz,zip,xz,bz2,zst,lz4", ending, strlen(ending)))
        return fail(ERR_ARG, "%s: compressed files are not read; hint: unpack it first (%s)", path,
                    !strcasecmp(ending, "gz")    ? "gunzip -k"
                    : !strcasecmp(ending, "zip") ? "unzip"
                                                 : "its own program");
    if (dot && listed("parquet,arrow", ending, strlen(ending)))
        return fail(ERR_ARG,
                    "%s: %s files are not read yet; hint: write it as JSON lines first, "
                    "in Python: dataset.to_json(\"rows.jsonl\")",
                    path, ending);
    return fail(ERR_ARG,
                "%s: the format of the file is not known from its name, wanted .csv, .tsv, .json, "
                ".jsonl or .txt; hint: say it: load_dataset(\"csv\", {data_files = \"...\"})",
                path);
}

const struct reader *reader_within(const struct reader *r, const char *path)
{
    const char *dot = strrchr(path, '.');
    const struct reader *of = dot ? reader_by_extension(dot + 1, strlen(dot + 1)) : NULL;
    return of && !strcmp(of->family, r->family) ? of : r;
}

/* Compressed data under any name would only give a message about strange bytes. */
static int refuse_packed(const char *bytes, size_t length)
{
    static const struct {
        const char *name, *magic;
        size_t length;
    } kinds[] = {{"gzip", "\x1F\x8B", 2},
                 {"zip", "PK\x03\x04", 4},
                 {"zstd", "\x28\xB5\x2F\xFD", 4},
                 {"xz",
                  "\xFD"
                  "7zXZ",
                  5},
                 {"Parquet", "PAR1", 4}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (length >= kinds[i].length && !memcmp(bytes, kinds[i].magic, kinds[i].length))
            return fail(ERR_FORMAT,
                        "this is %s data, wanted text; hint: unpack or convert it first",
                        kinds[i].name);
    return OK;
}

int reader_file(const struct reader *r, const char *path, const struct reader_options *options,
                struct table **out)
{
    char *bytes;
    size_t length;
    TRY(file_read(path, 0, &bytes, &length));
    int status = refuse_packed(bytes, length);
    if (!status)
        status = r->read(bytes, length, options, out);
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
    bool texts = column_type_has_texts(c->type);
    if (!texts && !column_is_null(c, row)) {
        column_show(c, row, out);
        return;
    }
    const char *text = texts ? column_text(c, row, &length) : NULL;
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
