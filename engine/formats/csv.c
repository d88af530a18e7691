/* csv.c -- the one file that uses libcsv.
 *
 * libcsv tells neither rows nor lines nor positions, so the text is fed to it line by line (in
 * pieces of at most PIECE bytes) and those are counted here. Its callbacks run while its state is
 * in C locals and cannot stop it: the first failure is kept, later fields are dropped, and the
 * failure is returned once libcsv has. Options are set before the first byte: it writes past its
 * buffer when they change later. */
#include "engine/formats/csv.h"
#include "kernels/base/mem.h"

#include <csv.h>
#include <inttypes.h>
#include <string.h>

#define PIECE ((size_t)1 << 18)

struct reader {
    struct csv_parser parser;
    const struct csv_options *options;
    const struct csv_sink *sink;
    const char *bytes;
    size_t length;
    int64_t row, columns; /* the row being read (0 = header); fields of the header, -1 = unknown */
    int64_t field;        /* fields of this row so far */
    int64_t line, row_line; /* of the next byte; where the row began; from 1 */
    char delimiter;
    int status;
    bool too_long, no_memory;
};

/* libcsv's allocation hooks have no context. */
static _Thread_local struct reader *growing;

static void *grow(void *block, size_t bytes)
{
    if (growing->no_memory) /* libcsv asks again for less: no is no */
        return NULL;
    if (bytes > CSV_FIELD_LIMIT) {
        growing->too_long = true; /* asked again for less, the limit is reached exactly */
        return NULL;
    }
    void *bigger = mem_realloc(block, bytes);
    growing->no_memory = !bigger;
    if (bigger) /* doubling: the default adds 128 bytes a time, quadratic for a long field */
        csv_set_blk_size(&growing->parser, bytes);
    return bigger;
}

static int not_a_space(unsigned char c)
{
    (void)c;
    return 0;
}

/* "row 3 (line 5)" or "header (line 1)" before the stored message */
static int fail_in_row(const struct reader *r, int code)
{
    if (r->row == 0)
        return fail_in(code, "header (line %" PRId64 ")", r->row_line);
    return fail_in(code, "row %" PRId64 " (line %" PRId64 ")", r->row, r->row_line);
}

static void on_field(void *text, size_t length, void *ctx)
{
    struct reader *r = ctx;
    if (r->status)
        return;
    int64_t column = r->field++;
    if (r->columns >= 0 && column >= r->columns)
        return; /* counted; refused at the end of the row */
    if (column >= CSV_COLUMN_LIMIT)
        r->status = fail(ERR_FORMAT,
                         "over %d columns; hint: is this a CSV file, and is the "
                         "delimiter right?",
                         CSV_COLUMN_LIMIT);
    else
        r->status = r->sink->field(r->sink->ctx, r->row, column, text ? text : "", length);
    if (r->status)
        fail_in_row(r, r->status);
}

static void on_row(int end, void *ctx)
{
    struct reader *r = ctx;
    (void)end;
    if (r->status)
        return;
    if (r->columns < 0)
        r->columns = r->field;
    if (r->field != r->columns)
        r->status = fail(ERR_FORMAT,
                         "%" PRId64 " field%s, wanted %" PRId64 " as in the header; hint: a field "
                         "with a '%c' or a line end in it must stand in double quotes",
                         r->field, r->field == 1 ? "" : "s", r->columns, r->delimiter);
    else
        r->status = r->sink->end_of_row(r->sink->ctx, r->row, r->columns);
    if (r->status)
        fail_in_row(r, r->status);
    r->row++;
    r->field = 0;
}

static int no_room(struct reader *r)
{
    if (r->no_memory)
        return ERR_MEMORY; /* the message is mem_realloc's */
    fail(ERR_FORMAT, "field %" PRId64 " is over %d MiB long; hint: a quote that is never closed?",
         r->field + 1, CSV_FIELD_LIMIT >> 20);
    return fail_in_row(r, ERR_FORMAT);
}

static int stray_quote(struct reader *r, size_t at)
{
    size_t quote = at > 0 && r->bytes[at] != '"' ? at - 1 : at;
    fail(ERR_FORMAT,
         "field %" PRId64 ": stray double quote on line %" PRId64
         ", byte %zu; hint: a field with a "
         "quote in it stands in quotes, and the quote inside is written twice (\"\"); or a quote "
         "before it was not closed",
         r->field + 1, r->line, quote);
    return fail_in_row(r, ERR_FORMAT);
}

static bool at_row_start(const struct reader *r)
{
    return r->parser.pstate == 0; /* no byte of the next row was read */
}

/* A line of blanks between rows. With a delimiter that is a blank it may be a row. */
static bool blank(const struct reader *r, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] == r->delimiter || !strchr(" \t\r\n", text[i]))
            return false;
    return true;
}

static int feed(struct reader *r, size_t at, size_t length)
{
    const char *zero = memchr(r->bytes + at, '\0', length);
    if (zero) {
        fail(ERR_FORMAT,
             "NUL byte on line %" PRId64 ", byte %zu; hint: text has none: is this a "
             "binary file, or UTF-16 (save it as UTF-8)?",
             r->line, (size_t)(zero - r->bytes));
        return fail_in_row(r, ERR_FORMAT);
    }
    size_t done = csv_parse(&r->parser, r->bytes + at, length, on_field, on_row, r);
    if (r->status)
        return r->status;
    if (done == length)
        return OK;
    return csv_error(&r->parser) == CSV_EPARSE ? stray_quote(r, at + done) : no_room(r);
}

static int feed_all(struct reader *r, size_t at)
{
    while (at < r->length) {
        if (r->options->cancel && *r->options->cancel)
            return fail(ERR_CANCELLED, "interrupted");
        size_t left = r->length - at, piece = left < PIECE ? left : PIECE;
        const char *end = memchr(r->bytes + at, '\n', piece);
        if (end)
            piece = (size_t)(end - r->bytes) + 1 - at;
        bool fresh = at_row_start(r);
        if (fresh)
            r->row_line = r->line;
        if (!fresh || !blank(r, r->bytes + at, piece))
            TRY(feed(r, at, piece));
        at += piece;
        r->line += end != NULL;
    }
    if (csv_fini(&r->parser, on_field, on_row, r) == 0 || r->status)
        return r->status;
    if (csv_error(&r->parser) != CSV_EPARSE)
        return no_room(r);
    fail(ERR_FORMAT,
         "field %" PRId64 ": the file ends inside a quoted field; hint: look for a "
         "quote that is opened there and never closed",
         r->field + 1);
    return fail_in_row(r, ERR_FORMAT);
}

/* Length of a byte order mark, or a failure for the encodings we do not read. */
static int skip_mark(const char *bytes, size_t length, size_t *mark)
{
    *mark = length >= 3 && !memcmp(bytes, "\xEF\xBB\xBF", 3) ? 3 : 0;
    if (length >= 2 && (!memcmp(bytes, "\xFF\xFE", 2) || !memcmp(bytes, "\xFE\xFF", 2)))
        return fail(ERR_FORMAT, "this is UTF-16, wanted UTF-8; hint: save it as CSV UTF-8, or run "
                                "iconv -f UTF-16 -t UTF-8");
    if (length == *mark)
        return fail(ERR_FORMAT, "the file is empty; hint: the first line names the columns");
    return OK;
}

int csv_read(const char *bytes, size_t length, const struct csv_options *options,
             const struct csv_sink *sink)
{
    size_t mark;
    TRY(skip_mark(bytes, length, &mark));
    struct reader r = {.options = options,
                       .sink = sink,
                       .bytes = bytes,
                       .length = length,
                       .columns = -1,
                       .line = 1,
                       .row_line = 1,
                       .delimiter = options->delimiter ? options->delimiter : ','};
    if (strchr("\"\r\n", r.delimiter) || (unsigned char)r.delimiter >= 0x80)
        return fail(ERR_ARG, "delimiter: a quote, line end or non-ASCII character cannot separate "
                             "fields; hint: ',', ';', '|' or '\\t'");
    csv_init(&r.parser, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_delim(&r.parser, (unsigned char)r.delimiter);
    csv_set_space_func(&r.parser, not_a_space);
    csv_set_realloc_func(&r.parser, grow);
    csv_set_free_func(&r.parser, mem_free);
    csv_set_blk_size(&r.parser, 4096);
    struct reader *outer = growing; /* a sink may read another text */
    growing = &r;
    int status = feed_all(&r, mark);
    csv_free(&r.parser);
    growing = outer;
    if (!status && r.row == 0)
        return fail(ERR_FORMAT, "the file holds only blank lines; hint: the first line names the "
                                "columns");
    return status;
}

void csv_put(struct buffer *out, const char *text, size_t length, char delimiter)
{
    bool mark = length >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3); /* at the start it would go */
    bool plain = !mark && !memchr(text, delimiter, length) && !memchr(text, '"', length) &&
                 !memchr(text, '\n', length) && !memchr(text, '\r', length);
    if (plain) {
        buffer_add(out, text, length);
        return;
    }
    buffer_add(out, "\"", 1);
    for (const char *end = text + length; text < end;) {
        const char *quote = memchr(text, '"', (size_t)(end - text));
        size_t run = quote ? (size_t)(quote - text) + 1 : (size_t)(end - text);
        buffer_add(out, text, run);
        if (quote)
            buffer_add(out, "\"", 1);
        text += run;
    }
    buffer_add(out, "\"", 1);
}
