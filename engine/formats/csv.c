/* csv.c -- the one file that uses libcsv.
 *
 * Rows that can mean only one thing (fields without quotes, or in quotes from end to end) are taken
 * apart here, with the same result, since libcsv looks at each byte through a function call. All
 * others are its business, and so is every refusal of a quote.
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

struct piece {
    const char *text; /* in the file, or NULL: 'start' bytes into the unquoted texts */
    size_t start, length;
};

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
    /* a plain row being taken apart */
    struct piece *pieces;
    int64_t count, room;
    char *unquoted; /* fields whose doubled quotes were made single */
    int64_t unquoted_length, unquoted_room;
    bool stops[256]; /* what ends a run of a field without quotes */
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

/* --- plain rows ------------------------------------------------------------------------------- */

static int add_piece(struct reader *r, struct piece piece)
{
    if (r->count == r->room) {
        void *items = r->pieces;
        TRY(mem_grow(&items, &r->room, r->count + 1, sizeof *r->pieces));
        r->pieces = items;
    }
    r->pieces[r->count++] = piece;
    return OK;
}

static int add_unquoted(struct reader *r, const char *text, size_t length)
{
    void *items = r->unquoted;
    TRY(mem_grow(&items, &r->unquoted_room, r->unquoted_length + (int64_t)length, 1));
    r->unquoted = items;
    memcpy(r->unquoted + r->unquoted_length, text, length);
    r->unquoted_length += (int64_t)length;
    return OK;
}

/* The field in quotes whose inside starts at '*p'; '*p' ends up behind the closing quote, or is NULL
 * when this is no plain field. */
static int quoted_piece(struct reader *r, const char **p, const char *end, int64_t *lines)
{
    const char *start = *p, *run = start, *q = start;
    struct piece piece = {.start = (size_t)r->unquoted_length};
    for (;; q++) {
        while (q < end && *q != '"' && *q != '\n' && *q != '\0')
            q++;
        if (q == end || *q == '\0') {
            *p = NULL;
            return OK;
        }
        if (*q == '\n') {
            ++*lines;
            continue;
        }
        if (q + 1 == end || q[1] != '"')
            break;
        TRY(add_unquoted(r, run, (size_t)(q + 1 - run))); /* with one of the two */
        run = ++q + 1;
    }
    if (run == start)
        piece = (struct piece){start, 0, (size_t)(q - start)};
    else
        TRY(add_unquoted(r, run, (size_t)(q - run)));
    if (!piece.text)
        piece.length = (size_t)r->unquoted_length - piece.start;
    *p = q + 1;
    return add_piece(r, piece);
}

/* Takes the row at 'at' apart. '*next' is where the next one starts, or 0 when the row is not plain
 * and nothing has been done. */
static int split_row(struct reader *r, size_t at, size_t *next, int64_t *lines)
{
    const char *p = r->bytes + at, *end = r->bytes + r->length;
    r->count = r->unquoted_length = 0;
    *next = 0;
    *lines = 0;
    for (;;) {
        const char *start = p;
        if (p < end && *p == '"') {
            p++;
            TRY(quoted_piece(r, &p, end, lines));
            if (!p)
                return OK;
        } else {
            while (p < end && !r->stops[(unsigned char)*p])
                p++;
            TRY(add_piece(r, (struct piece){start, 0, (size_t)(p - start)}));
        }
        if (r->pieces[r->count - 1].length >= CSV_FIELD_LIMIT || r->count > CSV_COLUMN_LIMIT)
            return OK;
        if (p == end || *p != r->delimiter)
            break;
        p++;
    }
    if (p < end && *p == '\r' && p + 1 < end && p[1] == '\n')
        p++;
    if (p < end && *p != '\n')
        return OK;
    *lines += p < end;
    *next = (size_t)(p - r->bytes) + (p < end);
    return OK;
}

/* Hands a plain row on. '*next' as in split_row. */
static int plain_row(struct reader *r, size_t at, size_t *next)
{
    int64_t lines;
    TRY(split_row(r, at, next, &lines));
    if (!*next)
        return OK;
    for (int64_t i = 0; i < r->count && !r->status; i++) {
        const struct piece *f = &r->pieces[i];
        const char *text = f->text ? f->text : r->unquoted + f->start;
        on_field((void *)(uintptr_t)text, f->length, r);
    }
    on_row('\n', r);
    r->line += lines;
    return r->status;
}

static int feed_all(struct reader *r, size_t at)
{
    while (at < r->length) {
        size_t next = 0;
        if (r->options->cancel && *r->options->cancel)
            return fail(ERR_CANCELLED, "interrupted");
        if (!r->options->slow && at_row_start(r) &&
            ((unsigned char)r->bytes[at] > ' ' || !strchr(" \t\r\n", r->bytes[at]))) {
            r->row_line = r->line;
            TRY(plain_row(r, at, &next));
            if (next) {
                at = next;
                continue;
            }
        }
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
    r.stops[(unsigned char)r.delimiter] = r.stops['\n'] = r.stops['\r'] = r.stops['"'] =
        r.stops['\0'] = true;
    int status = feed_all(&r, mark);
    csv_free(&r.parser);
    mem_free(r.pieces);
    mem_free(r.unquoted);
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
