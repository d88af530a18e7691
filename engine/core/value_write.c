/* value_write.c -- a value tree as JSON, in the forms that Python's json.dumps knows. */
#include "engine/core/json_write.h"
#include "engine/core/utf8.h"
#include "engine/core/value.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct writing {
    struct value_json how;
    struct buffer *out;
};

static void escaped(struct buffer *out, uint32_t unit)
{
    buffer_printf(out, "\\u%04x", unit);
}

/* A quoted text; with 'ascii' what is beyond '~' comes as \u escapes, in two halves from U+10000. */
static void text(struct writing *w, const char *bytes, size_t length)
{
    int64_t from = w->out->length;
    json_quote(w->out, bytes, length);
    if (!w->how.ascii || w->out->status)
        return;
    struct buffer plain = {0};
    buffer_add(&plain, w->out->bytes + from, (size_t)(w->out->length - from));
    w->out->length = from;
    const char *end = plain.bytes ? plain.bytes + plain.length : NULL;
    for (const char *p = plain.bytes; p < end;) {
        uint32_t cp = 0;
        int n = utf8_decode(p, end, &cp);
        if (n == 1 && cp < 0x7F)
            buffer_add(w->out, p, 1);
        else if (n == 0 || cp < 0x10000)
            escaped(w->out, n == 0 ? 0xFFFD : cp);
        else {
            escaped(w->out, 0xD800 + ((cp - 0x10000) >> 10));
            escaped(w->out, 0xDC00 + (cp & 0x3FF));
        }
        p += n ? n : 1;
    }
    if (plain.status && !w->out->status)
        w->out->status = plain.status;
    buffer_free(&plain);
}

static void number(struct writing *w, double d)
{
    char digits[32];
    if (isnan(d))
        buffer_text(w->out, "NaN");
    else if (isinf(d))
        buffer_text(w->out, d < 0 ? "-Infinity" : "Infinity");
    else {
        json_number_text(d, digits);
        buffer_text(w->out, digits);
    }
}

static void line(struct writing *w, int depth)
{
    if (w->how.indent < 0)
        return;
    buffer_text(w->out, "\n");
    if (w->how.indent_text)
        buffer_repeat(w->out, w->how.indent_text, depth);
    else
        buffer_repeat(w->out, " ", (int64_t)w->how.indent * depth);
}

static void write_value(struct writing *w, const struct value *v, int depth);

static void list(struct writing *w, const struct value *v, int depth)
{
    buffer_text(w->out, "[");
    for (int64_t i = 0; i < v->as.list.count; i++) {
        if (i)
            buffer_text(w->out, w->how.separator);
        line(w, depth + 1);
        write_value(w, v->as.list.items[i], depth + 1);
    }
    if (v->as.list.count)
        line(w, depth);
    buffer_text(w->out, "]");
}

static int by_key(const void *a, const void *b)
{
    const struct value *x = (*(const struct value_entry *const *)a)->key;
    const struct value *y = (*(const struct value_entry *const *)b)->key;
    size_t both = x->as.text.length < y->as.text.length ? x->as.text.length : y->as.text.length;
    int order = memcmp(x->as.text.bytes, y->as.text.bytes, both);
    if (order)
        return order;
    return (x->as.text.length > both) - (y->as.text.length > both);
}

/* The entries of a map in the order of writing; NULL = no memory. */
static const struct value_entry **ordered(const struct value *v, bool sort)
{
    const struct value_entry **entries = mem_calloc((size_t)v->as.map.count + 1, sizeof *entries);
    if (!entries)
        return NULL;
    for (int64_t i = 0; i < v->as.map.count; i++)
        entries[i] = &v->as.map.entries[i];
    if (sort)
        qsort(entries, (size_t)v->as.map.count, sizeof *entries, by_key);
    return entries;
}

static void map(struct writing *w, const struct value *v, int depth)
{
    const struct value_entry **entries = ordered(v, w->how.sort_keys);
    if (!entries && !w->out->status)
        w->out->status = ERR_MEMORY;
    buffer_text(w->out, "{");
    for (int64_t i = 0; entries && i < v->as.map.count; i++) {
        const struct value *key = entries[i]->key;
        if (i)
            buffer_text(w->out, w->how.separator);
        line(w, depth + 1);
        text(w, key->as.text.bytes, key->as.text.length);
        buffer_text(w->out, w->how.colon);
        write_value(w, entries[i]->value, depth + 1);
    }
    if (v->as.map.count)
        line(w, depth);
    buffer_text(w->out, "}");
    mem_free(entries);
}

/* Recursion is at most VALUE_DEPTH deep: no tree is higher. */
static void write_value(struct writing *w, const struct value *v, int depth)
{
    if (w->out->status)
        return;
    switch ((enum value_kind)v->kind) {
    case VALUE_NONE:
        buffer_text(w->out, "null");
        return;
    case VALUE_BOOL:
        buffer_text(w->out, v->as.boolean ? "true" : "false");
        return;
    case VALUE_INT:
        buffer_printf(w->out, "%" PRId64, v->as.integer);
        return;
    case VALUE_FLOAT:
        number(w, v->as.number);
        return;
    case VALUE_TEXT:
        text(w, v->as.text.bytes, v->as.text.length);
        return;
    case VALUE_LIST:
        list(w, v, depth);
        return;
    case VALUE_MAP:
        map(w, v, depth);
        return;
    }
}

int value_to_json(const struct value *v, const struct value_json *how, struct buffer *out)
{
    struct writing w = {.how = {.indent = -1}, .out = out};
    if (how)
        w.how = *how;
    if (!w.how.separator)
        w.how.separator = w.how.indent < 0 ? ", " : ",";
    if (!w.how.colon)
        w.how.colon = ": ";
    write_value(&w, v, 0);
    return out->status;
}
