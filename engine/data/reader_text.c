/* reader_text.c -- plain text as a table of one column. */
#include "engine/data/reader_text.h"
#include "engine/text/unicode.h"

#include <string.h>

static int check_utf8(const char *text, size_t length)
{
    size_t bad = utf8_valid(text, length), line = 1;
    if (bad == length)
        return OK;
    for (size_t i = 0; i < bad; i++)
        line += text[i] == '\n';
    return fail(ERR_FORMAT,
                "line %zu: byte 0x%02X is not UTF-8; hint: save the file as UTF-8, for example "
                "with iconv -f WINDOWS-1252 -t UTF-8",
                line, (unsigned char)text[bad]);
}

static int add_lines(struct column *c, const char *p, const char *end)
{
    while (p < end) {
        const char *stop = p;
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        TRY(column_add_text(c, p, (size_t)(stop - p)));
        p = stop + 1 + (stop + 1 < end && stop[0] == '\r' && stop[1] == '\n');
    }
    return OK;
}

/* Behind the end of the line at p. */
static const char *line_end(const char *p, const char *end)
{
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    return stop ? stop + 1 : end;
}

static bool is_blank(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p))
        p++;
    return p == end;
}

static int add_paragraphs(struct column *c, const char *p, const char *end)
{
    while (p < end) {
        const char *next = line_end(p, end), *stop = p;
        if (is_blank(p, next)) {
            p = next;
            continue;
        }
        for (next = p; next < end && !is_blank(next, line_end(next, end));)
            stop = next = line_end(next, end);
        while (stop > p && (stop[-1] == '\n' || stop[-1] == '\r'))
            stop--;
        TRY(column_add_text(c, p, (size_t)(stop - p)));
        p = next;
    }
    return OK;
}

static int fill(struct column *c, const char *text, size_t length, const char *by)
{
    if (!by || !strcmp(by, "line"))
        return add_lines(c, text, text + length);
    if (!strcmp(by, "paragraph"))
        return add_paragraphs(c, text, text + length);
    if (!strcmp(by, "document"))
        return column_add_text(c, text, length);
    return fail(ERR_ARG, "sample_by '%.40s' is unknown, wanted line, paragraph or document", by);
}

int reader_text(const char *bytes, size_t length, const struct reader_options *options,
                struct table **out)
{
    struct table *t = NULL;
    struct column *c = NULL;
    size_t mark = length >= 3 && !memcmp(bytes, "\xEF\xBB\xBF", 3) ? 3 : 0;
    int status = OK;
    TRY(check_utf8(bytes + mark, length - mark));
    TRY_OUT(table_new(&t));
    TRY_OUT(column_new(COLUMN_TEXT, &c));
    TRY_OUT(fill(c, bytes + mark, length - mark, options->sample_by));
    TRY_OUT(table_add(t, "text", c));
    *out = t;
    t = NULL;
out:
    column_free(c);
    table_free(t);
    return status;
}
