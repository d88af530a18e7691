/* builtin_filters.c -- filters of texts and single values. */
#include "engine/text/template/eval.h"
#include "engine/text/template/pytext.h"
#include "engine/text/unicode.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The buffer as the result, marked as 'like' is. */
static int finish(struct eval *e, struct buffer *b, struct tv like, struct tv *out)
{
    TRY(tv_spend(&e->budget, b->length / 64));
    TRY(tv_from_buffer(&e->budget, b, out));
    out->safe = like.kind == TV_TEXT && like.safe;
    return OK;
}

static int letters(struct eval *e, struct arguments *a, enum pytext_case to, struct tv *out)
{
    struct buffer b = {0};
    struct tv text = tv_none();
    TRY(builtin_self_text(e, a, &text));
    pytext_to_case(text.as.text, text.length, to, &b);
    return finish(e, &b, text, out);
}

static int upper(struct eval *e, struct arguments *a, struct tv *out)
{
    return letters(e, a, PYTEXT_UPPER, out);
}

static int lower(struct eval *e, struct arguments *a, struct tv *out)
{
    return letters(e, a, PYTEXT_LOWER, out);
}

static int capitalize(struct eval *e, struct arguments *a, struct tv *out)
{
    return letters(e, a, PYTEXT_CAPITALIZE, out);
}

/* Words begin behind blanks and ( { [ < - only. */
static int title(struct eval *e, struct arguments *a, struct tv *out)
{
    struct buffer b = {0};
    struct tv text = tv_none();
    TRY(builtin_self_text(e, a, &text));
    const char *end = text.as.text + text.length;
    for (const char *p = text.as.text; p < end;) {
        const char *q = p;
        uint32_t cp = 0;
        int n = 0, first = 0;
        while (q < end) {
            n = utf8_decode(q, end, &cp);
            if (pytext_is_space(cp) || (cp < 0x80 && cp && strchr("-({[<", (int)cp)))
                break;
            q += n ? n : 1;
            first = first ? first : (int)(q - p);
        }
        pytext_to_case(p, (size_t)first, PYTEXT_UPPER, &b);
        pytext_to_case(p + first, (size_t)(q - p - first), PYTEXT_LOWER, &b);
        if (q < end)
            buffer_add(&b, q, (size_t)n);
        p = q + (q < end ? n : 0);
    }
    return finish(e, &b, tv_none(), out);
}

static int trim(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv text = tv_none(), chars = tv_none();
    size_t start = 0;
    TRY(builtin_self_text(e, a, &text));
    size_t stop = text.length;
    if (a->given[0] && a->values[0].kind != TV_NONE)
        TRY(builtin_text(a, 0, &chars));
    pytext_strip(text.as.text, &start, &stop, chars.kind == TV_TEXT ? chars.as.text : NULL,
                 chars.length, true, true);
    *out = tv_text(text.as.text + start, stop - start);
    out->safe = text.safe;
    return OK;
}

static int string(struct eval *e, struct arguments *a, struct tv *out)
{
    return builtin_self_text(e, a, out);
}

static int safe(struct eval *e, struct arguments *a, struct tv *out)
{
    TRY(builtin_self_text(e, a, out));
    out->safe = true;
    return OK;
}

static int escape(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv empty = tv_text("", 0), text = tv_none();
    empty.safe = true;
    TRY(builtin_self_text(e, a, &text));
    return eval_math(e, OP_ADD, empty, text, out); /* joining to a safe text escapes */
}

static int default_value(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    bool use = a->self.kind == TV_UNDEFINED || (builtin_flag(a, 1, false) && !tv_truth(a->self));
    *out = !use ? a->self : a->given[0] ? a->values[0] : tv_text("", 0);
    return OK;
}

static int replace(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv text = tv_none(), from = tv_none(), to = tv_none();
    struct arguments with = {.count = 2, .positional = NULL};
    struct tv parts[3];
    TRY(builtin_self_text(e, a, &text));
    TRY(tv_to_text(&e->budget, a->values[0], &from));
    TRY(tv_to_text(&e->budget, a->values[1], &to));
    parts[0] = from;
    parts[1] = to;
    if (a->given[2] && a->values[2].kind != TV_NONE) {
        parts[2] = a->values[2];
        with.count = 3;
    }
    with.self = text;
    with.self.safe = false;
    with.positional = parts;
    return builtin_call(e, builtin_method(text, "replace", 7), &with, out);
}

/* The text without blanks around it, as a C string; false when it is too long for a number. */
static bool number_text(struct tv text, char out[80])
{
    size_t start = 0, stop = text.length, n = 0;
    pytext_strip(text.as.text, &start, &stop, NULL, 0, true, true);
    for (size_t i = start; i < stop; i++) {
        char c = text.as.text[i];
        bool between = i > start && i + 1 < stop && text.as.text[i - 1] != '_';
        if (n == 79 || c == '\0' || (c == '_' && !between))
            return false;
        if (c != '_')
            out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

/* Python's float(text): no hexadecimal, "inf" and "nan" in any case. */
static bool read_double(struct tv text, double *out)
{
    char digits[80], *end;
    if (!number_text(text, digits) || strpbrk(digits, "xXpP("))
        return false;
    *out = strtod(digits, &end);
    return *end == '\0';
}

static bool read_int(struct tv text, int64_t base, int64_t *out)
{
    char digits[80], *end, *from = digits;
    if (!number_text(text, digits))
        return false;
    char *sign = *from == '-' || *from == '+' ? from + 1 : from;
    bool prefixed = sign[0] == '0' && sign[1] &&
                    ((base == 16 && (sign[1] | 32) == 'x') ||
                     (base == 8 && (sign[1] | 32) == 'o') || (base == 2 && (sign[1] | 32) == 'b'));
    if (prefixed)
        memmove(sign, sign + 2, strlen(sign + 2) + 1);
    if (!*sign || *sign == ' ' || *sign == '-' || *sign == '+')
        return false;
    errno = 0;
    *out = strtoll(from, &end, (int)base);
    return *end == '\0' && errno == 0;
}

static int undefined(struct tv v)
{
    return fail(ERR_ARG, "'%.*s' is undefined", (int)v.length, v.as.text);
}

static int to_int(struct eval *e, struct arguments *a, struct tv *out)
{
    int64_t i, base;
    double d = 0;
    bool is = false;
    (void)e;
    TRY(builtin_int(a, 1, 10, &base));
    if (base < 2 || base > 36)
        return fail(ERR_ARG, "the base must be 2 to 36, found %lld", (long long)base);
    if (a->self.kind == TV_UNDEFINED)
        return undefined(a->self);
    if (a->self.kind == TV_BOOL || a->self.kind == TV_INT) {
        *out = tv_int(tv_integer(a->self));
        return OK;
    }
    if (a->self.kind == TV_TEXT && read_int(a->self, base, &i)) {
        *out = tv_int(i);
        return OK;
    }
    if (a->self.kind == TV_FLOAT) {
        d = a->self.as.number;
        is = true;
    } else if (a->self.kind == TV_TEXT) {
        is = read_double(a->self, &d);
    }
    is = is && d > -0x1p63 && d < 0x1p63;
    *out = is ? tv_int((int64_t)d) : a->given[0] ? a->values[0] : tv_int(0);
    return OK;
}

static int to_float(struct eval *e, struct arguments *a, struct tv *out)
{
    double d;
    (void)e;
    if (a->self.kind == TV_UNDEFINED)
        return undefined(a->self);
    if (tv_is_number(a->self))
        *out = tv_float(tv_double(a->self));
    else if (a->self.kind == TV_TEXT && read_double(a->self, &d))
        *out = tv_float(d);
    else
        *out = a->given[0] ? a->values[0] : tv_float(0);
    return OK;
}

static int absolute(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    if (a->self.kind == TV_FLOAT)
        *out = tv_float(fabs(a->self.as.number));
    else if (tv_is_number(a->self) && tv_integer(a->self) != INT64_MIN)
        *out = tv_int(llabs(tv_integer(a->self)));
    else
        return fail(ERR_ARG, "a %s has no absolute value", tv_type(a->self));
    return OK;
}

static int rounded(struct eval *e, struct arguments *a, struct tv *out)
{
    int64_t places;
    char text[400];
    struct tv method = tv_text("common", 6);
    (void)e;
    TRY(builtin_int(a, 0, 0, &places));
    if (a->given[1])
        TRY(builtin_text(a, 1, &method));
    if (!tv_is_number(a->self) || places < -15 || places > 15)
        return fail(ERR_ARG, "a %s cannot be rounded to %lld places", tv_type(a->self),
                    (long long)places);
    double d = tv_double(a->self), scale = pow(10, (double)places);
    if (method.length == 4 && memcmp(method.as.text, "ceil", 4) == 0) {
        *out = tv_float(ceil(d * scale) / scale);
    } else if (method.length == 5 && memcmp(method.as.text, "floor", 5) == 0) {
        *out = tv_float(floor(d * scale) / scale);
    } else if (a->self.kind != TV_FLOAT && places >= 0) {
        *out = tv_int(tv_integer(a->self));
    } else if (places >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)places, d);
        *out = tv_float(strtod(text, NULL));
    } else {
        d = nearbyint(d * scale) / scale;
        *out = a->self.kind == TV_FLOAT ? tv_float(d) : tv_int((int64_t)d);
    }
    return OK;
}

static int separators(struct tv v, struct value_json *how, char texts[2][32])
{
    if (v.kind == TV_NONE)
        return OK;
    if ((v.kind != TV_LIST && v.kind != TV_TUPLE) || v.as.list->count != 2)
        return fail(ERR_ARG, "separators: expected two texts, found a %s", tv_type(v));
    for (int i = 0; i < 2; i++) {
        struct tv text = v.as.list->items[i];
        if (text.kind != TV_TEXT || text.length > 31)
            return fail(ERR_ARG, "separators: expected two short texts");
        snprintf(texts[i], 32, "%.*s", (int)text.length, text.as.text);
    }
    how->separator = texts[0];
    how->colon = texts[1];
    return OK;
}

static int indentation(struct tv v, struct value_json *how, char text[64])
{
    if (v.kind == TV_NONE)
        return OK;
    if (v.kind == TV_TEXT) {
        if (v.length > 63)
            return fail(ERR_ARG, "indent: a text of %u bytes, at most 63 are possible", v.length);
        snprintf(text, 64, "%.*s", (int)v.length, v.as.text);
        how->indent_text = text;
        how->indent = 1;
        return OK;
    }
    if (v.kind != TV_INT && v.kind != TV_BOOL)
        return fail(ERR_ARG, "indent: expected an integer, found a %s", tv_type(v));
    int64_t n = tv_integer(v);
    if (n > 100)
        return fail(ERR_ARG, "indent: %lld, at most 100 is possible", (long long)n);
    how->indent = n < 0 ? 0 : (int)n;
    return OK;
}

static int tojson(struct eval *e, struct arguments *a, struct tv *out)
{
    struct value_json how = {.indent = -1, .ascii = builtin_flag(a, 0, false)};
    char texts[2][32], indent[64];
    struct buffer b = {0};
    struct value *v = NULL;
    how.sort_keys = builtin_flag(a, 3, false);
    if (a->given[1])
        TRY(indentation(a->values[1], &how, indent));
    if (a->given[2])
        TRY(separators(a->values[2], &how, texts));
    TRY(tv_to_value(&e->budget, a->self, &v));
    int status = value_to_json(v, &how, &b);
    value_drop(v);
    if (status) {
        buffer_free(&b);
        return status;
    }
    return finish(e, &b, tv_none(), out);
}

/* Behind the line that begins at p, its end in *stop: all line ends that Python knows. */
static const char *next_line(const char *p, const char *end, const char **stop)
{
    while (p < end) {
        uint32_t cp = 0;
        int n = utf8_decode(p, end, &cp);
        n = n ? n : 1;
        if ((cp >= 10 && cp <= 13) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 ||
            cp == 0x2029) {
            *stop = p;
            return p + n + (cp == 13 && p + 1 < end && p[1] == '\n');
        }
        p += n;
    }
    *stop = p;
    return p;
}

static int indent(struct eval *e, struct arguments *a, struct tv *out)
{
    struct buffer b = {0};
    struct tv text = tv_none(), by = tv_text("    ", 4);
    int64_t width = 4;
    if (a->self.kind != TV_TEXT)
        return fail(ERR_ARG, "expected a text, found a %s", tv_type(a->self));
    text = a->self;
    bool text_width = a->given[0] && a->values[0].kind == TV_TEXT;
    if (text_width)
        by = a->values[0];
    else
        TRY(builtin_int(a, 0, 4, &width));
    if (!text_width)
        TRY(eval_math(e, OP_MUL, tv_text(" ", 1), tv_int(width), &by));
    bool first = builtin_flag(a, 1, false), blank = builtin_flag(a, 2, false);
    const char *p = text.as.text, *end = p + text.length, *stop = p;
    for (bool one = true; one || p < end || stop < end; one = false) {
        const char *line = p;
        p = next_line(p, end, &stop);
        if (!one)
            buffer_text(&b, "\n");
        if (one ? first : (blank || stop > line))
            buffer_add(&b, by.as.text, by.length);
        buffer_add(&b, line, (size_t)(stop - line));
        if (p == end && stop == end)
            break;
    }
    return finish(e, &b, text, out);
}

static int truncate_text(struct eval *e, struct arguments *a, struct tv *out)
{
    int64_t length, leeway;
    struct tv text = tv_none(), tail = tv_text("...", 3), head = tv_none(), stop;
    if (a->self.kind != TV_TEXT)
        return fail(ERR_ARG, "expected a text, found a %s", tv_type(a->self));
    text = a->self;
    TRY(builtin_int(a, 0, 255, &length));
    TRY(builtin_int(a, 3, 5, &leeway));
    if (a->given[2])
        TRY(builtin_text(a, 2, &tail));
    int64_t keep = length - pytext_count(tail.as.text, tail.length);
    if (keep < 0 || leeway < 0)
        return fail(ERR_ARG, "a length of %lld is too short", (long long)length);
    *out = text;
    if (pytext_count(text.as.text, text.length) <= length + leeway)
        return OK;
    stop = tv_int(keep);
    TRY(eval_slice(e, text, NULL, &stop, NULL, &head));
    int64_t blank = pytext_find_last(head.as.text, head.length, " ", 1);
    if (!builtin_flag(a, 1, false) && blank >= 0)
        head.length = (uint32_t)blank;
    return eval_math(e, OP_ADD, head, tail, out);
}

static int center(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv width = a->given[0] ? a->values[0] : tv_int(80), text = tv_none();
    TRY(builtin_self_text(e, a, &text));
    struct arguments with = {.self = text, .positional = &width, .count = 1};
    return builtin_call(e, builtin_method(text, "center", 6), &with, out);
}

static int wordcount(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv text = tv_none();
    int64_t count = 0;
    bool inside = false;
    TRY(builtin_self_text(e, a, &text));
    for (const char *p = text.as.text, *end = p + text.length; p < end;) {
        uint32_t cp = 0;
        int n = utf8_decode(p, end, &cp);
        bool word = cp == '_' || (unicode_flags(cp) & (UNICODE_LETTER | UNICODE_NUMBER));
        count += word && !inside;
        inside = word;
        p += n ? n : 1;
    }
    *out = tv_int(count);
    return OK;
}

static int format(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv text = tv_none(), values = tv_none();
    TRY(builtin_self_text(e, a, &text));
    if (a->named && a->named->count) {
        values = (struct tv){.kind = TV_MAP, .as.map = a->named};
    } else {
        TRY(tv_new_list(&e->budget, TV_TUPLE, a->count, &values));
        for (int64_t i = 0; i < a->count; i++)
            values.as.list->items[i] = a->positional[i];
    }
    return eval_format(e, text, values, out);
}

static int attr(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv name = tv_none();
    TRY(builtin_text(a, 0, &name));
    if (a->self.kind == TV_MAP) { /* keys of a map are no attributes */
        const struct builtin *f = builtin_method(a->self, name.as.text, name.length);
        if (!f) {
            *out = tv_undefined(name.as.text, name.length);
            return OK;
        }
    }
    return eval_attribute(e, a->self, name.as.text, name.length, out);
}

const struct builtin builtin_filters[] = {
    {"abs", absolute, {NULL}, 0, false},
    {"attr", attr, {"name"}, 1, false},
    {"capitalize", capitalize, {NULL}, 0, false},
    {"center", center, {"width"}, 0, false},
    {"d", default_value, {"default_value", "boolean"}, 0, false},
    {"default", default_value, {"default_value", "boolean"}, 0, false},
    {"e", escape, {NULL}, 0, false},
    {"escape", escape, {NULL}, 0, false},
    {"float", to_float, {"default"}, 0, false},
    {"format", format, {NULL}, 0, true},
    {"indent", indent, {"width", "first", "blank"}, 0, false},
    {"int", to_int, {"default", "base"}, 0, false},
    {"lower", lower, {NULL}, 0, false},
    {"replace", replace, {"old", "new", "count"}, 2, false},
    {"round", rounded, {"precision", "method"}, 0, false},
    {"safe", safe, {NULL}, 0, false},
    {"string", string, {NULL}, 0, false},
    {"title", title, {NULL}, 0, false},
    {"tojson", tojson, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0, false},
    {"trim", trim, {"chars"}, 0, false},
    {"truncate", truncate_text, {"length", "killwords", "end", "leeway"}, 0, false},
    {"upper", upper, {NULL}, 0, false},
    {"wordcount", wordcount, {NULL}, 0, false},
    {NULL, NULL, {NULL}, 0, false},
};
