/* row_text.c -- texts made by filling a pattern with each row. */
#include "engine/data/row_text.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A stretch of the pattern, or a field of it. */
struct piece {
    const char *text;
    size_t length;
    const struct column *column; /* NULL = text */
    char kind;                   /* 'f', 'e', 'g', 'd', or 0: as it is */
    int precision;
};

struct pieces {
    struct piece *at;
    int64_t count, capacity;
};

static int add(struct pieces *p, struct piece piece)
{
    void *items = p->at;
    TRY(mem_grow(&items, &p->capacity, p->count + 1, sizeof *p->at));
    p->at = items;
    p->at[p->count++] = piece;
    return OK;
}

/* ".2f", "d": at most two digits of precision */
static int read_kind(const char *spec, size_t length, struct piece *piece)
{
    size_t i = 0;
    piece->precision = 6;
    if (i < length && spec[i] == '.') {
        piece->precision = 0;
        for (i++; i < length && i < 4 && spec[i] >= '0' && spec[i] <= '9'; i++)
            piece->precision = 10 * piece->precision + (spec[i] - '0');
    }
    if (i + 1 == length && strchr("dfeg", spec[i]) && piece->precision < 100) {
        piece->kind = spec[i];
        if (!column_type_has_texts(piece->column->type))
            return OK;
        return fail(ERR_ARG, "format: ':%.*s' on a text column; hint: leave it out", (int)length,
                    spec);
    }
    return fail(ERR_ARG,
                "format: ':%.*s' is unknown, wanted d, f, e or g after a precision, as in "
                "{Price:.2f}",
                length > 20 ? 20 : (int)length, spec);
}

/* '*p' is behind a '{'; it ends up behind the '}'. */
static int read_field(const struct table *t, const char **p, const char *end, struct pieces *to)
{
    const char *close = memchr(*p, '}', (size_t)(end - *p));
    if (!close)
        return fail(ERR_ARG, "format: '{' is not closed; hint: {{ stands for a brace");
    size_t length = (size_t)(close - *p);
    char *name = mem_text(*p, length);
    if (!name)
        return ERR_MEMORY;
    struct piece piece = {0};
    char *colon = NULL;
    int64_t place = table_place(t, name);
    int status = OK;
    if (place < 0 && (colon = strrchr(name, ':')))
        *colon = '\0';
    if (place < 0)
        status = table_find(t, name, &place);
    if (status)
        fail_in(status, "format");
    else
        piece.column = t->columns[place];
    if (!status && colon)
        status = read_kind(colon + 1, length - (size_t)(colon + 1 - name), &piece);
    mem_free(name);
    *p = close + 1;
    return status ? status : add(to, piece);
}

static int read_pattern(const struct table *t, const char *p, size_t length, struct pieces *to)
{
    const char *end = p + length;
    while (p < end) {
        const char *stop = p;
        while (stop < end && *stop != '{' && *stop != '}')
            stop++;
        bool doubled = stop + 1 < end && stop[1] == *stop;
        if (stop < end && *stop == '}' && !doubled)
            return fail(ERR_ARG, "format: '}' without '{'; hint: }} stands for a brace");
        if (stop > p || doubled)
            TRY(add(to, (struct piece){.text = p, .length = (size_t)(stop - p) + doubled}));
        p = stop + (stop < end) + doubled;
        if (stop < end && !doubled)
            TRY(read_field(t, &p, end, to));
    }
    return OK;
}

static void show(const struct piece *piece, int64_t row, struct buffer *out)
{
    const struct column *c = piece->column;
    if (!c) {
        buffer_add(out, piece->text, piece->length);
    } else if (!piece->kind || column_is_null(c, row)) {
        column_show(c, row, out);
    } else {
        double x = column_number(c, row);
        int digits = piece->precision;
        switch (piece->kind) {
        case 'f':
            buffer_printf(out, "%.*f", digits, x);
            break;
        case 'e':
            buffer_printf(out, "%.*e", digits, x);
            break;
        case 'g':
            buffer_printf(out, "%.*g", digits, x);
            break;
        default:
            buffer_printf(out, "%.0f", x);
        }
    }
}

int row_text(const struct table *t, const char *pattern, size_t length, struct column **out)
{
    struct pieces pieces = {0};
    struct buffer text = {0};
    struct column *made = NULL;
    int status = OK;
    TRY_OUT(read_pattern(t, pattern, length, &pieces));
    TRY_OUT(column_new(COLUMN_TEXT, &made));
    for (int64_t row = 0; row < t->rows; row++) {
        text.length = 0;
        for (int64_t i = 0; i < pieces.count; i++)
            show(&pieces.at[i], row, &text);
        TRY_OUT(text.status);
        TRY_OUT(column_add_text(made, text.bytes, (size_t)text.length));
    }
    *out = made;
    made = NULL;
out:
    column_free(made);
    buffer_free(&text);
    mem_free(pieces.at);
    return status;
}
