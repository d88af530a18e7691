/* print.c -- a table as text. */
#include "engine/data/print.h"
#include "engine/data/cell.h"
#include "engine/data/describe.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEAST 10           /* columns a cut column keeps at least */
#define LAYOUT_MAX 400     /* most table columns looked at: a line is never wide enough for more */
#define FOOTER_ROWS 200000 /* larger tables are not counted through for the line below */

/* What a box is drawn with, in both alphabets. */
struct lines {
    const char *bar, *dash, *null, *more, *dot;
    const char *top[3], *middle[3], *bottom[3]; /* left, between, right */
};
static const struct lines unicode_lines = {
    .bar = "\xE2\x94\x82",
    .dash = "\xE2\x94\x80",
    .null = "\xE2\x88\x85",
    .more = "\xE2\x80\xA6",
    .dot = " \xC2\xB7 ",
    .top = {"\xE2\x94\x8C", "\xE2\x94\xAC", "\xE2\x94\x90"},
    .middle = {"\xE2\x94\x9C", "\xE2\x94\xBC", "\xE2\x94\xA4"},
    .bottom = {"\xE2\x94\x94", "\xE2\x94\xB4", "\xE2\x94\x98"}};
static const struct lines ascii_lines = {.bar = "|",
                                         .dash = "-",
                                         .null = "null",
                                         .more = "..",
                                         .dot = ", ",
                                         .top = {"+", "+", "+"},
                                         .middle = {"+", "+", "+"},
                                         .bottom = {"+", "+", "+"}};

/* One printed column: the row numbers, a column of the table, or the gap where some are hidden. */
struct slot {
    int64_t column; /* -1 = row numbers, -2 = gap */
    int width;
    bool right; /* aligned to the right */
};

struct box {
    const struct table *t;
    const struct print_style *style;
    const struct lines *lines;
    bool ascii;
    int64_t first, last; /* rows shown at the start and at the end */
    struct slot slots[LAYOUT_MAX + 2];
    int count;
    int64_t hidden_from, hidden_to; /* columns of the table that are not shown */
    struct buffer scratch, *out;
};

const char *print_count(int64_t n, char out[32])
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%" PRId64, n), used = 0;
    for (int i = 0; i < length; i++) {
        out[used++] = digits[i];
        int left = length - 1 - i;
        if (left && left % 3 == 0 && digits[i] != '-')
            out[used++] = ',';
    }
    out[used] = '\0';
    return out;
}

void print_float(double value, char out[32])
{
    column_float_text(value, out);
    if (strlen(out) > 9)
        snprintf(out, 32, "%.6g", value);
}

/* The text of a cell, valid until the next call. */
static const char *cell_text(struct box *b, int64_t column, int64_t row, size_t *length)
{
    const struct column *c = b->t->columns[column];
    char number[32];
    if (column_is_null(c, row)) {
        *length = strlen(b->lines->null);
        return b->lines->null;
    }
    if (column_type_has_texts(c->type))
        return column_text(c, row, length);
    b->scratch.length = 0;
    if (c->type == COLUMN_FLOAT) {
        print_float(c->floats[row], number);
        buffer_text(&b->scratch, number);
    } else {
        column_show(c, row, &b->scratch);
    }
    *length = (size_t)b->scratch.length;
    return b->scratch.bytes ? b->scratch.bytes : "";
}

/* --- layout ----------------------------------------------------------------------------------- */

/* What a column would like to have, at most 'limit' columns. */
static int wish(struct box *b, int64_t column, int limit)
{
    const char *name = b->t->names[column];
    int widest = cell_width(name, strlen(name), limit, b->ascii);
    int type = (int)strlen(column_dtype(b->t->columns[column]));
    if (type > widest)
        widest = type;
    for (int64_t i = 0; i < b->first + b->last && widest <= limit; i++) {
        int64_t row = i < b->first ? i : b->t->rows - b->last + (i - b->first);
        size_t length;
        const char *text = cell_text(b, column, row, &length);
        int width = cell_width(text, length, limit, b->ascii);
        if (width > widest)
            widest = width;
    }
    int least = 3; /* room for an ellipsis */
    return widest > limit ? limit : widest < least ? least : widest;
}

/* Shares 'room' out: who wants less than an equal part gets all it wants. */
static void share(struct slot *slots, int count, int room)
{
    int left = count, given[LAYOUT_MAX + 2] = {0};
    for (bool again = true; again && left;) {
        again = false;
        int part = room / left;
        for (int i = 0; i < count; i++)
            if (!given[i] && slots[i].width <= part) {
                given[i] = 1;
                room -= slots[i].width;
                left--;
                again = true;
            }
    }
    for (int i = 0; i < count; i++)
        if (!given[i]) {
            slots[i].width = room / left;
            room -= slots[i].width;
            left--;
        }
}

static int least_width(int wanted)
{
    return wanted < LEAST ? wanted : LEAST;
}

/* How many of the columns fit when each gets its least: from both ends, the middle is hidden. */
static int64_t fitting(const int *wishes, int64_t width, int room)
{
    int used = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < width; i++)
        used += least_width(wishes[i]) + 3;
    if (used <= room)
        return width;
    used = 1 + 3; /* the gap */
    while (n < width) {
        int64_t column = n % 2 == 0 ? n / 2 : width - 1 - n / 2;
        used += least_width(wishes[column]) + 3;
        if (used > room)
            break;
        n++;
    }
    return n > 0 ? n : 1;
}

static void add_slot(struct box *b, int64_t column, int width)
{
    const struct column *c = column >= 0 ? b->t->columns[column] : NULL;
    b->slots[b->count++] = (struct slot){
        column, width, column == -1 || (c && (c->type == COLUMN_INT || c->type == COLUMN_FLOAT))};
}

static void lay_out(struct box *b)
{
    char number[32];
    int wishes[LAYOUT_MAX];
    int total = b->style->width < PRINT_NARROWEST ? PRINT_NARROWEST : b->style->width;
    int64_t width = b->t->width;
    int numbers = snprintf(number, sizeof number, "%" PRId64, b->t->rows);
    int room = total - 1 - (numbers + 3);
    /* with more columns than a line can hold, only those near the ends can be shown */
    int64_t looked = width < LAYOUT_MAX ? width : LAYOUT_MAX;
    int64_t head = (looked + 1) / 2;
    for (int64_t i = 0; i < looked; i++)
        wishes[i] = wish(b, i < head ? i : width - looked + i, room - 3);
    int64_t shown = looked ? fitting(wishes, looked, looked < width ? room - 4 : room) : 0;
    if (looked < width && shown == looked)
        shown--;
    add_slot(b, -1, numbers);
    int64_t left = (shown + 1) / 2, right = shown - left;
    b->hidden_from = left;
    b->hidden_to = width - right;
    for (int64_t i = 0; i < left; i++)
        add_slot(b, i, wishes[i]);
    if (shown < width)
        add_slot(b, -2, b->ascii ? 2 : 1);
    for (int64_t i = width - right; i < width; i++)
        add_slot(b, i, wishes[looked - (width - i)]);
    int rest = total - 1 - 3 * b->count;
    share(b->slots, b->count, rest);
}

/* --- drawing ---------------------------------------------------------------------------------- */

static void rule(struct box *b, const char *const ends[3])
{
    for (int i = 0; i < b->count; i++) {
        buffer_text(b->out, ends[i > 0]);
        buffer_repeat(b->out, b->lines->dash, b->slots[i].width + 2);
    }
    buffer_text(b->out, ends[2]);
    buffer_text(b->out, "\n");
}

/* One cell after its bar; '*at' is the terminal column (from 1) where the next bar belongs. */
static void cell(struct box *b, const struct slot *s, const char *text, size_t length, int *at)
{
    bool contested = false;
    int64_t mark = b->out->length;
    int used = cell_add(b->out, text, length, s->width, b->ascii, &contested);
    if (s->right && used < s->width && !b->out->status) { /* numbers: known only once it stands */
        b->scratch.length = 0;
        buffer_add(&b->scratch, b->out->bytes + mark, (size_t)(b->out->length - mark));
        b->out->length = mark;
        buffer_repeat(b->out, " ", s->width - used);
        buffer_add(b->out, b->scratch.bytes, (size_t)b->scratch.length);
    } else {
        buffer_repeat(b->out, " ", s->width - used);
    }
    *at += s->width + 3;
    buffer_text(b->out, " ");
    if (contested && b->style->place_borders)
        buffer_printf(b->out, "\033[%dG", *at);
    buffer_text(b->out, b->lines->bar);
}

enum { ROW_NAMES = -1, ROW_TYPES = -2, ROW_GAP = -3 };

static void line(struct box *b, int64_t row)
{
    char number[32];
    int at = 1;
    buffer_text(b->out, b->lines->bar);
    for (int i = 0; i < b->count; i++) {
        const struct slot *s = &b->slots[i];
        const char *text = "";
        size_t length;
        buffer_text(b->out, " ");
        if (row == ROW_GAP || (s->column == -2 && row != ROW_TYPES))
            text = b->lines->more;
        else if (s->column >= 0 && row == ROW_NAMES)
            text = b->t->names[s->column];
        else if (s->column >= 0 && row == ROW_TYPES)
            text = column_dtype(b->t->columns[s->column]);
        else if (s->column == -1 && row >= 0)
            snprintf(number, sizeof number, "%" PRId64, row + 1), text = number;
        length = strlen(text);
        if (s->column >= 0 && row >= 0)
            text = cell_text(b, s->column, row, &length);
        cell(b, s, text, length, &at);
    }
    buffer_text(b->out, "\n");
}

/* --- the lines below --------------------------------------------------------------------------- */

static void hidden_columns(struct box *b)
{
    char number[32];
    bool unused = false;
    int total = b->style->width < PRINT_NARROWEST ? PRINT_NARROWEST : b->style->width;
    int64_t hidden = b->hidden_to - b->hidden_from;
    if (hidden <= 0)
        return;
    b->scratch.length = 0;
    buffer_printf(&b->scratch, "%s column%s hidden:", print_count(hidden, number),
                  hidden == 1 ? "" : "s");
    int64_t at = b->scratch.length;
    buffer_add(b->out, b->scratch.bytes, (size_t)b->scratch.length);
    for (int64_t i = b->hidden_from; i < b->hidden_to; i++) { /* wrapped, never cut off */
        const char *name = b->t->names[i];
        int width = cell_width(name, strlen(name), total - 4, b->ascii);
        if (width > total - 4)
            width = total - 4;
        if (at + 2 + width > total) {
            buffer_text(b->out, "\n ");
            at = 1;
        }
        buffer_text(b->out, " ");
        at += 2 + cell_add(b->out, name, strlen(name), width < 3 ? 3 : width, b->ascii, &unused);
        buffer_text(b->out, i + 1 < b->hidden_to ? "," : "");
    }
    buffer_text(b->out, "\n");
}

/* "4 empty Response", for at most two columns */
static void say_empty(struct box *b, const struct table *of)
{
    char number[32];
    for (int64_t i = 0, said = 0; i < of->width && said < 2; i++) {
        int64_t empty = column_empty(of->columns[i]);
        if (!empty)
            continue;
        buffer_printf(&b->scratch, "%s%s empty %.60s", b->lines->dot, print_count(empty, number),
                      of->names[i]);
        said++;
    }
}

/* "994 distinct Context": the first text column in which something comes twice */
static int say_distinct(struct box *b, const struct table *of)
{
    char number[32];
    for (int64_t i = 0; i < of->width && i < 20; i++) {
        const struct column *c = of->columns[i];
        int64_t distinct;
        if (c->type != COLUMN_TEXT)
            continue;
        TRY(column_distinct(c, &distinct));
        if (distinct == c->count - c->nulls)
            continue;
        buffer_printf(&b->scratch, "%s%s distinct %.60s", b->lines->dot,
                      print_count(distinct, number), of->names[i]);
        break;
    }
    return OK;
}

static int footer(struct box *b, const struct table *whole)
{
    char one[32], two[32];
    const struct table *of = whole ? whole : b->t;
    int64_t shown = whole ? b->t->rows : b->first + b->last;
    bool unused = false;
    hidden_columns(b);
    b->scratch.length = 0;
    if (shown < of->rows)
        buffer_printf(&b->scratch, "%s of ", print_count(shown, one));
    buffer_printf(&b->scratch, "%s row%s", print_count(of->rows, two), of->rows == 1 ? "" : "s");
    if (!whole)
        buffer_printf(&b->scratch, "%s%s column%s", b->lines->dot, print_count(of->width, one),
                      of->width == 1 ? "" : "s");
    if (shown < of->rows && of->rows < FOOTER_ROWS) { /* of what is not seen */
        say_empty(b, of);
        TRY(say_distinct(b, of));
    }
    int total = b->style->width < PRINT_NARROWEST ? PRINT_NARROWEST : b->style->width;
    static const char more[] = "df:describe() tells more";
    const char *text = b->scratch.bytes ? b->scratch.bytes : "";
    if (whole &&
        cell_width(text, (size_t)b->scratch.length, total, b->ascii) + 3 + (int)strlen(more) <=
            total)
        buffer_printf(&b->scratch, "%s%s", b->lines->dot, more);
    cell_add(b->out, b->scratch.bytes ? b->scratch.bytes : "", (size_t)b->scratch.length, total,
             b->ascii, &unused);
    buffer_text(b->out, "\n");
    return OK;
}

static int print_box(const struct table *t, const struct table *whole,
                     const struct print_style *style, struct buffer *out)
{
    struct box *b = mem_calloc(1, sizeof *b);
    if (!b)
        return ERR_MEMORY;
    int64_t most = style->most_rows > 0 ? style->most_rows : PRINT_ROWS;
    b->t = t;
    b->style = style;
    b->ascii = style->form == PRINT_ASCII;
    b->lines = b->ascii ? &ascii_lines : &unicode_lines;
    b->out = out;
    b->first = t->rows <= most ? t->rows : style->most_rows > 0 ? (most + 1) / 2 : 5;
    b->last = t->rows <= most ? 0 : style->most_rows > 0 ? most / 2 : 5;
    lay_out(b);
    rule(b, b->lines->top);
    line(b, ROW_NAMES);
    line(b, ROW_TYPES);
    rule(b, b->lines->middle);
    for (int64_t row = 0; row < b->first; row++)
        line(b, row);
    if (b->first < t->rows)
        line(b, ROW_GAP);
    for (int64_t row = t->rows - b->last; row < t->rows; row++)
        line(b, row);
    rule(b, b->lines->bottom);
    int status = footer(b, whole);
    status = out->status ? out->status : b->scratch.status ? b->scratch.status : status;
    buffer_free(&b->scratch);
    mem_free(b);
    return status;
}

/* --- for programs ------------------------------------------------------------------------------ */

/* A text in one field of one line. */
static void escaped(struct buffer *out, const char *text, size_t length, bool markdown)
{
    for (size_t i = 0; i < length; i++) {
        const char *as = NULL;
        if (text[i] == '\n')
            as = markdown ? "<br>" : "\\n";
        else if (text[i] == '\r')
            as = markdown ? "" : "\\r";
        else if (text[i] == '\t')
            as = markdown ? " " : "\\t";
        else if (text[i] == '\\' && !markdown)
            as = "\\\\";
        else if (text[i] == '|' && markdown)
            as = "\\|";
        if (as)
            buffer_text(out, as);
        else
            buffer_add(out, text + i, 1);
    }
}

static void record(struct buffer *out, const struct table *t, int64_t row, bool markdown)
{
    struct buffer shown = {0};
    for (int64_t i = 0; i < t->width; i++) {
        buffer_text(out, markdown ? i ? " | " : "| " : i ? "\t" : "");
        shown.length = 0;
        if (row < 0)
            buffer_text(&shown, t->names[i]);
        else
            column_show(t->columns[i], row, &shown);
        escaped(out, shown.bytes, (size_t)shown.length, markdown);
    }
    buffer_text(out, markdown ? " |\n" : "\n");
    if (shown.status && !out->status)
        out->status = shown.status;
    buffer_free(&shown);
}

static int print_lines(const struct table *t, const struct print_style *style, struct buffer *out)
{
    bool markdown = style->form == PRINT_MARKDOWN;
    char number[32];
    int64_t most = style->most_rows > 0 ? style->most_rows : 60;
    int64_t first = t->rows <= most ? t->rows : (most + 1) / 2,
            last = t->rows <= most ? 0 : most / 2;
    if (!style->most_rows && t->rows > most)
        first = last = 5;
    record(out, t, -1, markdown);
    if (markdown) {
        buffer_repeat(out, "|---", t->width);
        buffer_text(out, "|\n");
    }
    for (int64_t row = 0; row < t->rows && !out->status; row++) {
        if (row == first) {
            int64_t left = t->rows - first - last;
            buffer_printf(out, "... %s rows not shown; df:to_csv(path) writes all\n",
                          print_count(left, number));
            row = t->rows - last;
        }
        if (row < t->rows)
            record(out, t, row, markdown);
    }
    return out->status;
}

int print_table(const struct table *t, const struct table *whole, const struct print_style *style,
                struct buffer *out)
{
    if (style->form == PRINT_TSV || style->form == PRINT_MARKDOWN)
        return print_lines(t, style, out);
    return print_box(t, whole, style, out);
}
