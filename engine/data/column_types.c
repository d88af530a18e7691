/* column_types.c -- what a text means as a number or truth value, and conversions between types.
 *
 * Inference never loses a digit silently: codes with leading zeros ("007"), integers over 64 bits
 * and decimals with more digits than a double keeps stay text. */
#include "engine/core/suggest.h"
#include "engine/data/column.h"
#include "engine/data/nested.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const type_names[] = {[COLUMN_TEXT] = "str",
                                         [COLUMN_INT] = "int",
                                         [COLUMN_FLOAT] = "float",
                                         [COLUMN_BOOL] = "bool",
                                         [COLUMN_JSON] = "json"};

const char *column_type_name(enum column_type type)
{
    return type_names[type];
}

const char *column_dtype(const struct column *c)
{
    size_t length;
    for (int64_t row = 0; c->type == COLUMN_JSON && row < c->count; row++) {
        const char *text = column_text(c, row, &length);
        if (text)
            return length && text[0] == '[' ? "list" : "struct";
    }
    return type_names[c->type];
}

int column_type_find(const char *name, enum column_type *out)
{
    static const struct {
        const char *name;
        enum column_type type;
    } names[] = {
        {"str", COLUMN_TEXT},     {"string", COLUMN_TEXT},   {"text", COLUMN_TEXT},
        {"object", COLUMN_TEXT},  {"int", COLUMN_INT},       {"integer", COLUMN_INT},
        {"int64", COLUMN_INT},    {"int32", COLUMN_INT},     {"float", COLUMN_FLOAT},
        {"json", COLUMN_JSON},    {"list", COLUMN_JSON},     {"struct", COLUMN_JSON},
        {"number", COLUMN_FLOAT}, {"double", COLUMN_FLOAT},  {"float64", COLUMN_FLOAT},
        {"bool", COLUMN_BOOL},    {"float32", COLUMN_FLOAT}, {"boolean", COLUMN_BOOL},
    };
    struct suggest near = {.wanted = name};
    for (int64_t i = 0; i < COUNT_OF(names); i++) {
        if (!strcmp(names[i].name, name)) {
            *out = names[i].type;
            return OK;
        }
        suggest_try(&near, names[i].name);
    }
    char hint[64];
    return fail(ERR_ARG, "type '%s' is unknown, wanted str, int, float, bool or json%s", name,
                suggest_hint(&near, hint, sizeof hint));
}

static size_t digits(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return (size_t)(p - start);
}

bool column_parse_int(const char *text, size_t length, int64_t *out)
{
    const char *p = text, *end = text + length;
    bool minus = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end || digits(p, end) != (size_t)(end - p))
        return false;
    int64_t value = 0;
    for (; p < end; p++) /* downwards: the range has one more value there */
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *p - '0', &value))
            return false;
    if (!minus && value == INT64_MIN)
        return false;
    *out = minus ? value : -value;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits], or inf; at least one digit. */
static bool looks_float(const char *p, const char *end)
{
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    size_t left = (size_t)(end - p);
    if (left && (*p | 0x20) == 'i')
        return (left == 3 && !strncasecmp(p, "inf", 3)) ||
               (left == 8 && !strncasecmp(p, "infinity", 8));
    size_t whole = digits(p, end), part = 0;
    p += whole;
    if (p < end && *p == '.') {
        part = digits(p + 1, end);
        p += 1 + part;
    }
    if (whole + part == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        size_t power = digits(p, end);
        if (!power)
            return false;
        p += power;
    }
    return p == end;
}

/* Numbers of few digits, which most are: at most 15 of them make an integer that a double holds
 * exactly, powers of ten up to 22 are exact too, so that one division or product is rounded once:
 * the same value as strtod's. 'text' looks like a number. */
static bool short_float(const char *text, size_t length, double *out)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *p = text, *end = text + length;
    int64_t whole = 0;
    int part = 0;
    bool minus = *p == '-', dot = false;
    if (length > 17)
        return false;
    if (*p == '-' || *p == '+')
        p++;
    for (; p < end; p++) {
        if (*p == '.' && !dot) {
            dot = true;
            continue;
        }
        if (*p < '0' || *p > '9')
            return false;
        whole = 10 * whole + (*p - '0');
        part += dot;
    }
    if (whole >= INT64_C(1000000000000000))
        return false;
    *out = (double)whole / tens[part];
    if (minus)
        *out = -*out;
    return true;
}

bool column_parse_float(const char *text, size_t length, double *out)
{
    char copy[512];
    if (length >= sizeof copy)
        return false;
    if (length == 3 && (text[0] | 0x20) == 'n' && !strncasecmp(text, "nan", 3)) {
        *out = NAN;
        return true;
    }
    if (!looks_float(text, text + length))
        return false;
    if (short_float(text, length, out))
        return true;
    memcpy(copy, text, length);
    copy[length] = '\0';
    *out = strtod(copy, NULL); /* the locale is never set to one with a decimal comma */
    return true;
}

static bool parse_bool(const char *text, size_t length, bool *out)
{
    bool yes = length == 4 && !strncasecmp(text, "true", 4);
    bool no = length == 5 && !strncasecmp(text, "false", 5);
    *out = yes;
    return yes || no;
}

/* A leading zero before another digit: an article number or postcode, not a quantity. */
static bool is_code(const char *text, size_t length)
{
    size_t i = length && (text[0] == '-' || text[0] == '+');
    return text[0] == '+' ||
           (i + 1 < length && text[i] == '0' && text[i + 1] >= '0' && text[i + 1] <= '9');
}

/* Would a double drop digits that stand in the text? */
static bool loses_digits(const char *text, size_t length, double value)
{
    int count = 0;
    bool leading = true;
    for (size_t i = 0; i < length && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] < '0' || text[i] > '9')
            continue;
        leading = leading && text[i] == '0';
        count += !leading;
    }
    char last = text[length - 1];
    bool finite_text = last == '.' || (last >= '0' && last <= '9');
    return count > 17 || (finite_text && isinf(value));
}

/* Most values of a column of numbers: no word has to be looked for. */
static bool starts_with_digit(const char *text, size_t length)
{
    return length && text[0] >= '0' && text[0] <= '9';
}

static bool is_null_word(const char *text, size_t length)
{
    if (starts_with_digit(text, length) || length > 4 || (length && !strchr("Nn-<#", text[0])))
        return false;
    static const char *const words[] = {"",     "NA",   "N/A",  "n/a",  "NaN",  "nan",  "-NaN",
                                        "-nan", "null", "NULL", "None", "<NA>", "#N/A", "#NA"};
    for (int64_t i = 0; i < COUNT_OF(words); i++)
        if (strlen(words[i]) == length && !memcmp(words[i], text, length))
            return true;
    return false;
}

/* The narrowest type that fits all values: bits of those still possible. */
enum { MAY_INT = 1, MAY_FLOAT = 2, MAY_BOOL = 4 };

/* What was found on the way: that of the narrowest type. */
struct parsed {
    int64_t whole;
    double number;
    bool truth;
};

static int possible(const char *text, size_t length, struct parsed *p)
{
    if (length && !starts_with_digit(text, length) && strchr("tTfF", text[0]) &&
        parse_bool(text, length, &p->truth))
        return MAY_BOOL;
    if (is_code(text, length))
        return 0;
    if (column_parse_int(text, length, &p->whole)) {
        bool exact = p->whole >= -(INT64_C(1) << 53) && p->whole <= INT64_C(1) << 53;
        return MAY_INT | (exact ? MAY_FLOAT : 0);
    }
    if (column_parse_float(text, length, &p->number) && !loses_digits(text, length, p->number))
        return MAY_FLOAT;
    return 0;
}

int column_add_parsed(struct column *c, const char *text, size_t length, bool words, bool *fits)
{
    struct parsed p;
    *fits = true;
    if (words && is_null_word(text, length))
        return column_add_null(c);
    int may = possible(text, length, &p);
    if (c->type == COLUMN_INT && (may & MAY_INT))
        return column_add_int(c, p.whole);
    if (c->type == COLUMN_FLOAT && (may & MAY_FLOAT)) {
        if ((may & MAY_INT) && !column_parse_float(text, length, &p.number)) /* "-0" is -0.0 */
            return fail(ERR_INTERNAL, "an integer that is no number");
        return column_add_float(c, p.number);
    }
    if (c->type == COLUMN_BOOL && (may & MAY_BOOL))
        return column_add_bool(c, p.truth);
    *fits = false;
    return OK;
}

static int add_nested(struct column *to, const char *text, size_t length)
{
    struct buffer json = {0};
    int status = nested_text(text, length, &json);
    if (!status)
        status = column_add_text(to, json.bytes, (size_t)json.length);
    buffer_free(&json);
    return status == ERR_FORMAT ? fail_in(ERR_ARG, "as JSON") : status;
}

static int add_as(struct column *to, const char *text, size_t length)
{
    int64_t whole = 0;
    double number = 0;
    bool truth = false;
    switch (to->type) {
    case COLUMN_TEXT:
        return column_add_text(to, text, length);
    case COLUMN_INT:
        if (column_parse_int(text, length, &whole))
            return column_add_int(to, whole);
        break;
    case COLUMN_FLOAT:
        if (column_parse_float(text, length, &number))
            return column_add_float(to, number);
        break;
    case COLUMN_BOOL:
        if (parse_bool(text, length, &truth))
            return column_add_bool(to, truth);
        break;
    case COLUMN_JSON:
        return add_nested(to, text, length);
    }
    return fail(ERR_ARG, "'%.*s' is no %s", length > 40 ? 40 : (int)length, text,
                to->type == COLUMN_INT     ? "integer"
                : to->type == COLUMN_FLOAT ? "number"
                                           : "truth value (true, false)");
}

/* 'c' with null words as nulls, its texts shared. */
static int with_nulls(const struct column *c, struct column **out)
{
    struct column *made;
    int status = OK;
    size_t length;
    TRY(column_like(c, &made));
    TRY_OUT(column_reserve(made, c->count));
    for (int64_t row = 0; row < c->count; row++) {
        const char *text = column_text(c, row, &length);
        TRY_OUT(column_add_from(made, c, text && is_null_word(text, length) ? -1 : row));
    }
    *out = made;
    return OK;
out:
    column_free(made);
    return status;
}

/* The texts as values of a type that all of them have but null words. */
static int typed(const struct column *c, enum column_type type, bool words, struct column **out)
{
    struct column *made;
    int status = OK;
    size_t length;
    TRY(column_new(type, &made));
    TRY_OUT(column_reserve(made, c->count));
    for (int64_t row = 0; row < c->count; row++) {
        const char *text = column_text(c, row, &length);
        if (!text || (words && is_null_word(text, length)))
            TRY_OUT(column_add_null(made));
        else
            TRY_OUT(add_as(made, text, length));
    }
    *out = made;
    return OK;
out:
    column_free(made);
    return status;
}

int column_infer(const struct column *c, bool words, struct column **out)
{
    size_t length;
    int may = MAY_INT | MAY_FLOAT | MAY_BOOL;
    int64_t null_words = 0, values = 0;
    struct parsed p;
    for (int64_t row = 0; row < c->count; row++) {
        const char *text = column_text(c, row, &length);
        if (!text)
            continue;
        if (words && is_null_word(text, length)) {
            null_words++;
            continue;
        }
        values++;
        if (may)
            may &= possible(text, length, &p);
    }
    if (may && values) /* nothing is known of an empty column */
        return typed(c,
                     may & MAY_BOOL  ? COLUMN_BOOL
                     : may & MAY_INT ? COLUMN_INT
                                     : COLUMN_FLOAT,
                     words, out);
    if (null_words)
        return with_nulls(c, out);
    *out = column_hold(c);
    return OK;
}

static int cast_number(const struct column *c, int64_t row, struct column *to)
{
    double number = column_number(c, row);
    if (to->type == COLUMN_FLOAT)
        return column_add_float(to, number);
    if (to->type == COLUMN_BOOL)
        return column_add_bool(to, number != 0);
    if (c->type != COLUMN_FLOAT)
        return column_add_int(to, c->type == COLUMN_INT ? c->ints[row] : c->bools[row]);
    if (number != floor(number) || !(fabs(number) < 0x1p63))
        return fail(ERR_ARG, "%g is no integer; hint: round it first, for example with :map",
                    number);
    return column_add_int(to, (int64_t)number);
}

static int cast_row(const struct column *c, int64_t row, struct column *to)
{
    size_t length;
    if (column_is_null(c, row))
        return column_add_null(to);
    if (column_type_has_texts(c->type)) {
        const char *text = column_text(c, row, &length);
        return c->type == COLUMN_TEXT || to->type == COLUMN_TEXT
                   ? add_as(to, text, length)
                   : fail(ERR_ARG, "a list or object is no %s", type_names[to->type]);
    }
    if (to->type == COLUMN_JSON)
        return fail(ERR_ARG, "%s is no list or object", type_names[c->type]);
    if (to->type != COLUMN_TEXT)
        return cast_number(c, row, to);
    struct buffer shown = {0};
    column_show(c, row, &shown);
    int status =
        shown.status ? shown.status : column_add_text(to, shown.bytes, (size_t)shown.length);
    buffer_free(&shown);
    return status;
}

int column_cast(const struct column *c, enum column_type type, struct column **out)
{
    struct column *made;
    int status = OK;
    if (type == c->type) {
        *out = column_hold(c);
        return OK;
    }
    TRY(column_new(type, &made));
    TRY_OUT(column_reserve(made, c->count));
    for (int64_t row = 0; row < c->count; row++) {
        status = cast_row(c, row, made);
        if (status) {
            if (status == ERR_ARG)
                fail_in(status, "row %" PRId64, row + 1);
            goto out;
        }
    }
    *out = made;
    return OK;
out:
    column_free(made);
    return status;
}
