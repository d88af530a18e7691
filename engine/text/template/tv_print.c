/* tv_print.c -- template values as Python's str and repr print them. */
#include "engine/core/json_write.h"
#include "engine/text/template/eval.h"
#include "engine/text/template/tv.h"
#include "engine/text/unicode.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* What repr shows as it is. */
static bool printable(uint32_t cp)
{
    unsigned flags = unicode_flags(cp);
    if (cp < 0x7F)
        return cp >= 0x20;
    if (!(flags & UNICODE_ASSIGNED) || (flags & UNICODE_SPACE) || cp == 0xAD)
        return false;
    int width = unicode_width(cp);
    return width > 0 || (width == 0 && (flags & (UNICODE_MARK | UNICODE_LETTER)));
}

static void escape(struct buffer *out, uint32_t cp)
{
    static const char letters[] = "tn??r"; /* of the bytes 9 to 13 */
    if (cp == 9 || cp == 10 || cp == 13)
        buffer_printf(out, "\\%c", letters[cp - 9]);
    else if (cp < 0x100)
        buffer_printf(out, "\\x%02x", cp);
    else
        buffer_printf(out, cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
}

/* In single quotes, unless there are single and no double ones inside. */
static void quoted(struct buffer *out, const char *text, size_t length)
{
    bool single = memchr(text, '\'', length) != NULL, twice = memchr(text, '"', length) != NULL;
    char quote = single && !twice ? '"' : '\'';
    const char *p = text, *end = text + length;
    buffer_add(out, &quote, 1);
    while (p < end) {
        uint32_t cp = 0;
        int n = utf8_decode(p, end, &cp);
        n = n ? n : 1;
        if (cp == (uint32_t)quote || cp == '\\')
            buffer_printf(out, "\\%c", (char)cp);
        else if (printable(cp))
            buffer_add(out, p, (size_t)n);
        else
            escape(out, cp);
        p += n;
    }
    buffer_add(out, &quote, 1);
}

static void number(struct buffer *out, double d)
{
    char text[32];
    if (isnan(d)) {
        buffer_text(out, "nan");
    } else if (isinf(d)) {
        buffer_text(out, d < 0 ? "-inf" : "inf");
    } else {
        json_number_text(d, text);
        buffer_text(out, text);
    }
}

static int repr_at(struct tv_budget *b, struct tv v, int depth, struct buffer *out);

static int items(struct tv_budget *b, const struct tv_list *list, const char *open,
                 const char *close, int depth, struct buffer *out)
{
    buffer_text(out, open);
    for (int64_t i = 0; i < list->count; i++) {
        if (i)
            buffer_text(out, ", ");
        TRY(repr_at(b, list->items[i], depth + 1, out));
    }
    buffer_text(out, close);
    return out->status;
}

static int pairs(struct tv_budget *b, const struct tv_map *map, int depth, struct buffer *out)
{
    buffer_text(out, "{");
    for (int64_t i = 0; i < map->count; i++) {
        if (i)
            buffer_text(out, ", ");
        TRY(repr_at(b, map->pairs[i].key, depth + 1, out));
        buffer_text(out, ": ");
        TRY(repr_at(b, map->pairs[i].value, depth + 1, out));
    }
    buffer_text(out, "}");
    return out->status;
}

static int other(struct tv_budget *b, struct tv v, int depth, struct buffer *out)
{
    switch (v.kind) {
    case TV_RANGE:
        buffer_printf(out, "%s)", v.as.list->name);
        return out->status;
    case TV_VIEW:
        buffer_text(out, v.as.list->name);
        return items(b, v.as.list, "([", "])", depth, out);
    case TV_NAMESPACE:
        buffer_text(out, "<Namespace ");
        TRY(pairs(b, v.as.map, depth, out));
        buffer_text(out, ">");
        return out->status;
    case TV_MACRO:
        buffer_printf(out, "<Macro '%.*s'>", (int)v.as.macro->name_length, v.as.macro->name);
        return out->status;
    default:
        return fail(ERR_ARG, "a %s cannot be printed", tv_type(v));
    }
}

static int repr_at(struct tv_budget *b, struct tv v, int depth, struct buffer *out)
{
    if (depth > TV_DEPTH)
        return fail(ERR_ARG, "a value nested deeper than %d is printed", TV_DEPTH);
    TRY(tv_spend(b, 1 + (v.kind == TV_TEXT ? v.length / 256 : 0)));
    TRY(tv_check(b, out));
    switch (v.kind) {
    case TV_UNDEFINED:
        buffer_text(out, "Undefined");
        return out->status;
    case TV_NONE:
        buffer_text(out, "None");
        return out->status;
    case TV_BOOL:
        buffer_text(out, v.as.boolean ? "True" : "False");
        return out->status;
    case TV_INT:
        buffer_printf(out, "%" PRId64, v.as.integer);
        return out->status;
    case TV_FLOAT:
        number(out, v.as.number);
        return out->status;
    case TV_TEXT:
        if (v.safe)
            buffer_text(out, "Markup(");
        quoted(out, v.as.text, v.length);
        if (v.safe)
            buffer_text(out, ")");
        return out->status;
    case TV_LIST:
        return items(b, v.as.list, "[", "]", depth, out);
    case TV_TUPLE:
        return items(b, v.as.list, "(", v.as.list->count == 1 ? ",)" : ")", depth, out);
    case TV_MAP:
        return pairs(b, v.as.map, depth, out);
    default:
        return other(b, v, depth, out);
    }
}

int tv_repr(struct tv_budget *b, struct tv v, struct buffer *out)
{
    return repr_at(b, v, 0, out);
}

int tv_str(struct tv_budget *b, struct tv v, struct buffer *out)
{
    if (v.kind == TV_UNDEFINED)
        return OK;
    if (v.kind != TV_TEXT)
        return repr_at(b, v, 0, out);
    TRY(tv_spend(b, v.length / 256));
    buffer_add(out, v.as.text, v.length);
    return tv_check(b, out);
}

int tv_from_buffer(struct tv_budget *b, struct buffer *buffer, struct tv *out)
{
    int status = tv_check(b, buffer);
    size_t length = (size_t)buffer->length;
    if (!status) {
        const char *text = heap_text(&b->heap, buffer->bytes, length);
        *out = tv_text(text, length);
        status = text ? OK : ERR_MEMORY;
    }
    buffer_free(buffer);
    return status;
}

int tv_to_text(struct tv_budget *b, struct tv v, struct tv *out)
{
    struct buffer text = {0};
    if (v.kind == TV_TEXT) {
        *out = v;
        return OK;
    }
    int status = tv_str(b, v, &text);
    if (!status)
        return tv_from_buffer(b, &text, out);
    buffer_free(&text);
    return status;
}
