/* eval_format.c -- "text %s %d" % values, the common part of Python's printf-style formatting. */
#include "engine/text/template/eval.h"

#include <stdio.h>
#include <string.h>

enum { WIDEST = 1000 };

struct conversion {
    char flags[8];
    int width, precision; /* -1 = none */
    char type;
};

/* The next value: of the tuple in turn, or of the map by "(name)". */
static int next_value(struct tv values, int64_t *at, const char *name, size_t length,
                      struct tv *out)
{
    if (name) {
        const struct tv *v =
            values.kind == TV_MAP ? tv_map_find(values.as.map, name, length) : NULL;
        if (!v)
            return fail(ERR_ARG, "no value '%.*s' to format", (int)length, name);
        *out = *v;
        return OK;
    }
    if (values.kind != TV_TUPLE) {
        *out = values;
        return (*at)++ == 0 ? OK : fail(ERR_ARG, "too few values for the format");
    }
    if (*at >= values.as.list->count)
        return fail(ERR_ARG, "too few values for the format");
    *out = values.as.list->items[(*at)++];
    return OK;
}

static const char *read_conversion(const char *p, const char *end, struct conversion *c)
{
    size_t flags = 0;
    *c = (struct conversion){.width = 0, .precision = -1};
    while (p < end && *p && strchr("-+ 0#", *p)) {
        if (flags < sizeof c->flags - 1 && !strchr(c->flags, *p))
            c->flags[flags++] = *p;
        p++;
    }
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        c->width = c->width <= WIDEST ? c->width * 10 + (*p - '0') : c->width;
    if (p < end && *p == '.')
        for (p++, c->precision = 0; p < end && *p >= '0' && *p <= '9'; p++)
            c->precision = c->precision <= WIDEST ? c->precision * 10 + (*p - '0') : c->precision;
    if (p >= end)
        return NULL;
    c->type = *p;
    return p + 1;
}

static int text_value(struct eval *e, const struct conversion *c, struct tv v, struct buffer *out)
{
    struct buffer b = {0};
    int status = c->type == 'r' ? tv_repr(&e->budget, v, &b) : tv_str(&e->budget, v, &b);
    int64_t length = 0, bytes = 0;
    for (; !status && bytes < b.length; bytes++) {
        bool starts = ((unsigned char)b.bytes[bytes] & 0xC0) != 0x80;
        if (starts && c->precision >= 0 && length == c->precision)
            break;
        length += starts;
    }
    bool left = strchr(c->flags, '-') != NULL;
    if (!left && c->width > length)
        buffer_repeat(out, " ", c->width - length);
    if (bytes)
        buffer_add(out, b.bytes, (size_t)bytes);
    if (left && c->width > length)
        buffer_repeat(out, " ", c->width - length);
    buffer_free(&b);
    return status ? status : out->status;
}

static int number_value(const struct conversion *c, struct tv v, struct buffer *out)
{
    char form[32], width[12] = "", precision[12] = "";
    if (!tv_is_number(v))
        return fail(ERR_ARG, "%%%c of a %s, expected a number", c->type, tv_type(v));
    if (c->width)
        snprintf(width, sizeof width, "%d", c->width);
    if (c->precision >= 0)
        snprintf(precision, sizeof precision, ".%d", c->precision);
    bool real = strchr("eEfFgG", c->type) != NULL;
    char type = c->type == 'i' || c->type == 'u' ? 'd' : c->type;
    snprintf(form, sizeof form, "%%%s%s%s%s%c", c->flags, width, precision, real ? "" : "ll", type);
    char text[2400];
    double d = tv_double(v);
    if (!real && v.kind == TV_FLOAT && !(d > -0x1p63 && d < 0x1p63))
        return fail(ERR_ARG, "a number that does not fit 64 bits");
    long long whole = v.kind == TV_FLOAT ? (long long)d : (long long)tv_integer(v);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = real ? snprintf(text, sizeof text, form, d) : snprintf(text, sizeof text, form, whole);
#pragma GCC diagnostic pop
    if (n < 0 || n >= (int)sizeof text)
        return fail(ERR_ARG, "a number of %d characters", n);
    buffer_add(out, text, (size_t)n);
    return out->status;
}

static int convert(struct eval *e, const char **p, const char *end, struct tv values, int64_t *at,
                   struct buffer *out)
{
    struct conversion c;
    const char *name = NULL;
    size_t length = 0;
    struct tv v = tv_none();
    if (*p < end && **p == '%') {
        (*p)++;
        buffer_text(out, "%");
        return out->status;
    }
    if (*p < end && **p == '(') {
        name = *p + 1;
        const char *close = memchr(name, ')', (size_t)(end - name));
        if (!close)
            return fail(ERR_ARG, "a format with '(' and no ')'");
        length = (size_t)(close - name);
        *p = close + 1;
    }
    *p = read_conversion(*p, end, &c);
    if (!*p || !strchr("srdiuxXoeEfFgG", c.type))
        return fail(ERR_ARG, "a format with '%%' and no letter that is known");
    if (c.width > WIDEST || c.precision > WIDEST)
        return fail(ERR_ARG, "a format wider than %d", WIDEST);
    TRY(next_value(values, at, name, length, &v));
    TRY(tv_spend(&e->budget, 1 + c.width / 16));
    return c.type == 's' || c.type == 'r' ? text_value(e, &c, v, out) : number_value(&c, v, out);
}

int eval_format(struct eval *e, struct tv format, struct tv values, struct tv *out)
{
    struct buffer b = {0};
    int64_t at = 0;
    int status = OK;
    const char *p = format.as.text, *end = p + format.length;
    while (p < end && !status) {
        const char *percent = memchr(p, '%', (size_t)(end - p));
        buffer_add(&b, p, (size_t)((percent ? percent : end) - p));
        p = percent ? percent + 1 : end;
        if (percent)
            status = convert(e, &p, end, values, &at, &b);
        if (!status)
            status = tv_check(&e->budget, &b);
    }
    if (!status && values.kind == TV_TUPLE && at < values.as.list->count)
        status = fail(ERR_ARG, "more values than the format takes");
    if (!status && values.kind != TV_TUPLE && values.kind != TV_MAP && at == 0)
        status = fail(ERR_ARG, "a value that the format does not take");
    if (!status)
        return tv_from_buffer(&e->budget, &b, out);
    buffer_free(&b);
    return status;
}
