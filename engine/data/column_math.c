/* column_math.c -- arithmetic, comparisons and text functions on whole columns. */
#include "engine/data/column_math.h"
#include "engine/core/utf8.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

static const char *const op_names[] = {[OP_ADD] = "+",
                                       [OP_SUB] = "-",
                                       [OP_MUL] = "*",
                                       [OP_DIV] = "/",
                                       [OP_FLOOR_DIV] = "//",
                                       [OP_MOD] = "%",
                                       [OP_POW] = "^",
                                       [OP_JOIN] = "..",
                                       [OP_EQ] = "eq",
                                       [OP_NE] = "ne",
                                       [OP_LT] = "lt",
                                       [OP_LE] = "le",
                                       [OP_GT] = "gt",
                                       [OP_GE] = "ge",
                                       [OP_CONTAINS] = "contains",
                                       [OP_STARTS] = "startswith",
                                       [OP_ENDS] = "endswith",
                                       [OP_AND] = "and",
                                       [OP_OR] = "or"};

static bool is_number(const struct column *c)
{
    return c->type == COLUMN_INT || c->type == COLUMN_FLOAT;
}

static int refuse(enum column_op op, const struct column *a, const struct column *b,
                  const char *hint)
{
    return fail(ERR_ARG, "%s between %s and %s columns%s", op_names[op], column_type_name(a->type),
                column_type_name(b->type), hint);
}

/* The type of the result, or a refusal. */
static int result_type(enum column_op op, const struct column *a, const struct column *b,
                       enum column_type *out)
{
    bool text = a->type == COLUMN_TEXT || b->type == COLUMN_TEXT;
    *out = op == OP_JOIN ? COLUMN_TEXT : COLUMN_BOOL;
    if (op == OP_JOIN)
        return OK;
    if (op < OP_JOIN) {
        if (!is_number(a) || !is_number(b))
            return refuse(op, a, b,
                          text && op == OP_ADD ? "; hint: texts are joined with .."
                                               : "; hint: :astype(\"float\") converts");
        bool whole = a->type == COLUMN_INT && b->type == COLUMN_INT;
        *out = whole && op != OP_DIV && op != OP_POW ? COLUMN_INT : COLUMN_FLOAT;
    } else if (op >= OP_AND) {
        if (a->type != COLUMN_BOOL || b->type != COLUMN_BOOL)
            return refuse(op, a, b, ", wanted bool");
    } else if (op >= OP_CONTAINS) {
        if (a->type != COLUMN_TEXT || b->type != COLUMN_TEXT)
            return refuse(op, a, b, ", wanted texts");
    } else if (a->type != b->type && !(is_number(a) && is_number(b))) {
        return refuse(op, a, b, "; hint: :astype converts one of them");
    }
    return OK;
}

/* One row of an integer result. */
static int whole_row(enum column_op op, int64_t x, int64_t y, int64_t *out)
{
    bool over = false;
    switch (op) {
    case OP_ADD:
        over = __builtin_add_overflow(x, y, out);
        break;
    case OP_SUB:
        over = __builtin_sub_overflow(x, y, out);
        break;
    case OP_MUL:
        over = __builtin_mul_overflow(x, y, out);
        break;
    default: /* // and %, rounding down as Lua does */
        if (y == 0)
            return fail(ERR_ARG, "division of an integer by 0; hint: / gives inf");
        if (y == -1) { /* INT64_MIN / -1 traps */
            *out = 0;
            over = op == OP_FLOOR_DIV && __builtin_sub_overflow((int64_t)0, x, out);
            break;
        }
        *out = op == OP_MOD ? x % y : x / y;
        if (x % y != 0 && (x % y < 0) != (y < 0))
            *out += op == OP_MOD ? y : -1;
    }
    if (over)
        return fail(ERR_ARG, "%" PRId64 " %s %" PRId64 " is over 64 bits; hint: :astype(\"float\")",
                    x, op_names[op], y);
    return OK;
}

static double float_row(enum column_op op, double x, double y)
{
    switch (op) {
    case OP_ADD:
        return x + y;
    case OP_SUB:
        return x - y;
    case OP_MUL:
        return x * y;
    case OP_DIV:
        return x / y;
    case OP_FLOOR_DIV:
        return floor(x / y);
    case OP_MOD: {
        double r = fmod(x, y);
        return r * y < 0 ? r + y : r;
    }
    default:
        return pow(x, y);
    }
}

static bool text_row(enum column_op op, const struct column *a, int64_t i, const struct column *b,
                     int64_t j)
{
    size_t n, m;
    const char *s = column_text(a, i, &n), *t = column_text(b, j, &m);
    if (op == OP_CONTAINS)
        return memmem(s, n, t, m) != NULL;
    return m <= n && !memcmp(op == OP_STARTS ? s : s + n - m, t, m);
}

static bool order_row(enum column_op op, const struct column *a, int64_t i, const struct column *b,
                      int64_t j)
{
    int order;
    if (a->type == b->type && a->type != COLUMN_FLOAT) {
        order = column_compare(a, i, b, j);
    } else {
        double x = column_number(a, i), y = column_number(b, j);
        if (isnan(x) || isnan(y))
            return op == OP_NE;
        order = (x > y) - (x < y);
    }
    switch (op) {
    case OP_EQ:
        return order == 0;
    case OP_NE:
        return order != 0;
    case OP_LT:
        return order < 0;
    case OP_LE:
        return order <= 0;
    case OP_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static int join_row(struct column *to, struct buffer *both, const struct column *a, int64_t i,
                    const struct column *b, int64_t j)
{
    both->length = 0;
    column_show(a, i, both);
    column_show(b, j, both);
    TRY(both->status);
    return column_add_text(to, both->bytes, (size_t)both->length);
}

static int binary_row(enum column_op op, struct column *to, struct buffer *both,
                      const struct column *a, int64_t i, const struct column *b, int64_t j)
{
    int64_t whole = 0;
    if (column_is_null(a, i) || column_is_null(b, j))
        return column_add_null(to);
    if (op == OP_JOIN)
        return join_row(to, both, a, i, b, j);
    if (to->type == COLUMN_FLOAT)
        return column_add_float(to, float_row(op, column_number(a, i), column_number(b, j)));
    if (to->type == COLUMN_INT) {
        TRY(whole_row(op, a->ints[i], b->ints[j], &whole));
        return column_add_int(to, whole);
    }
    bool truth = op == OP_AND        ? a->bools[i] && b->bools[j]
                 : op == OP_OR       ? a->bools[i] || b->bools[j]
                 : op >= OP_CONTAINS ? text_row(op, a, i, b, j)
                                     : order_row(op, a, i, b, j);
    return column_add_bool(to, truth);
}

int column_binary(enum column_op op, const struct column *a, const struct column *b,
                  struct column **out)
{
    enum column_type type;
    struct column *made;
    struct buffer both = {0};
    int64_t rows = a->count == 1 ? b->count : a->count;
    int status = OK;
    if (a->count != b->count && a->count != 1 && b->count != 1)
        return fail(ERR_ARG, "%s between columns of %" PRId64 " and %" PRId64 " rows", op_names[op],
                    a->count, b->count);
    TRY(result_type(op, a, b, &type));
    TRY(column_new(type, &made));
    TRY_OUT(column_reserve(made, rows));
    for (int64_t row = 0; row < rows; row++) {
        status =
            binary_row(op, made, &both, a, a->count == 1 ? 0 : row, b, b->count == 1 ? 0 : row);
        if (status) {
            if (status == ERR_ARG)
                fail_in(status, "row %" PRId64, row + 1);
            goto out;
        }
    }
    *out = made;
    made = NULL;
out:
    buffer_free(&both);
    column_free(made);
    return status;
}

/* --- text functions ----------------------------------------------------------------------------- */

static int64_t count_characters(const char *text, size_t length)
{
    int64_t n = 0;
    for (size_t i = 0; i < length; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Case of a letter of any script; the locale only says that text is Unicode. */
static uint32_t change_case(uint32_t cp, bool upper)
{
    static locale_t unicode;
    if (cp < 0x80)
        return upper ? (cp >= 'a' && cp <= 'z' ? cp - 32 : cp)
                     : (cp >= 'A' && cp <= 'Z' ? cp + 32 : cp);
    if (!unicode)
        unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!unicode)
        return cp;
    return upper ? towupper_l(cp, unicode) : towlower_l(cp, unicode);
}

static int case_row(struct column *to, struct buffer *b, const char *text, size_t length,
                    bool upper)
{
    char bytes[4];
    b->length = 0;
    for (const char *p = text, *end = text + length; p < end;) {
        uint32_t cp = 0;
        int n = utf8_decode(p, end, &cp);
        if (n)
            buffer_add(b, bytes, (size_t)utf8_encode(change_case(cp, upper), bytes));
        else
            buffer_add(b, p, 1);
        p += n ? n : 1;
    }
    TRY(b->status);
    return column_add_text(to, b->bytes, (size_t)b->length);
}

static int text_function_row(enum column_text_op op, struct column *to, struct buffer *b,
                             const char *text, size_t length)
{
    switch (op) {
    case TEXT_LENGTH:
        return column_add_int(to, count_characters(text, length));
    case TEXT_STRIP:
        while (length && is_blank(*text))
            text++, length--;
        while (length && is_blank(text[length - 1]))
            length--;
        return column_add_text(to, text, length);
    case TEXT_LOWER:
    case TEXT_UPPER:
        return case_row(to, b, text, length, op == TEXT_UPPER);
    }
    return fail(ERR_INTERNAL, "text function %d", (int)op);
}

int column_text_function(enum column_text_op op, const struct column *c, struct column **out)
{
    struct column *made;
    struct buffer b = {0};
    size_t length;
    int status = OK;
    if (c->type != COLUMN_TEXT)
        return fail(ERR_ARG, "a text function on a column of type %s; hint: :astype(\"str\")",
                    column_type_name(c->type));
    TRY(column_new(op == TEXT_LENGTH ? COLUMN_INT : COLUMN_TEXT, &made));
    for (int64_t row = 0; row < c->count; row++) {
        const char *text = column_text(c, row, &length);
        if (text)
            TRY_OUT(text_function_row(op, made, &b, text, length));
        else
            TRY_OUT(column_add_null(made));
    }
    *out = made;
    made = NULL;
out:
    buffer_free(&b);
    column_free(made);
    return status;
}

int column_fill(const struct column *c, const struct column *value, struct column **out)
{
    struct column *as = NULL, *made = NULL;
    int status = OK;
    TRY_OUT(column_cast(value, c->type, &as));
    TRY_OUT(column_new(c->type, &made));
    TRY_OUT(column_reserve(made, c->count));
    for (int64_t row = 0; row < c->count; row++) {
        bool null = column_is_null(c, row);
        TRY_OUT(column_add_from(made, null ? as : c, null ? 0 : row));
    }
    *out = made;
    made = NULL;
out:
    column_free(as);
    column_free(made);
    return status;
}

int column_null_flags(const struct column *c, struct column **out)
{
    struct column *made;
    int status = OK;
    TRY(column_new(COLUMN_BOOL, &made));
    for (int64_t row = 0; row < c->count; row++)
        TRY_OUT(column_add_bool(made, column_is_null(c, row)));
    *out = made;
    return OK;
out:
    column_free(made);
    return status;
}

/* --- statistics --------------------------------------------------------------------------------- */

static int want_numbers(const struct column *c, const char *what)
{
    if (c->type != COLUMN_TEXT)
        return OK;
    return fail(ERR_ARG,
                "%s of a text column, wanted numbers; hint: :astype(\"float\") or :str_len()",
                what);
}

int column_statistics(const struct column *c, struct column_stats *out)
{
    struct column_stats s = {.min = NAN, .max = NAN, .mean = NAN, .deviation = NAN};
    double squares = 0, lost = 0;
    TRY(want_numbers(c, "statistics"));
    for (int64_t row = 0; row < c->count; row++) {
        if (column_is_null(c, row))
            continue;
        double x = column_number(c, row), y = x - lost, t = s.sum + y;
        lost = isfinite(t) ? (t - s.sum) - y : 0; /* what rounding lost is added to the next one */
        s.sum = t;
        s.min = !(x >= s.min) ? x : s.min; /* also when min is still NaN */
        s.max = !(x <= s.max) ? x : s.max;
        s.count++;
    }
    s.mean = s.count ? s.sum / (double)s.count : NAN;
    for (int64_t row = 0; row < c->count; row++)
        if (!column_is_null(c, row)) {
            double d = column_number(c, row) - s.mean;
            squares += d * d;
        }
    s.deviation = s.count > 1 ? sqrt(squares / (double)(s.count - 1)) : NAN;
    *out = s;
    return OK;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return !!isnan(x) - !!isnan(y);
    return (x > y) - (x < y);
}

int column_quantiles(const struct column *c, const double *shares, int count, double *out)
{
    TRY(want_numbers(c, "quantiles"));
    double *values = mem_calloc((size_t)c->count, sizeof *values);
    if (!values)
        return ERR_MEMORY;
    int64_t n = 0;
    for (int64_t row = 0; row < c->count; row++)
        if (!column_is_null(c, row))
            values[n++] = column_number(c, row);
    if (n)
        qsort(values, (size_t)n, sizeof *values, compare_numbers);
    for (int i = 0; i < count; i++) {
        double place = shares[i] * (double)(n - 1);
        int64_t low = (int64_t)floor(place), high = i64_min(low + 1, n - 1);
        double part = place - (double)low;
        out[i] = n ? values[low] + part * (values[high] - values[low]) : NAN;
    }
    mem_free(values);
    return OK;
}
