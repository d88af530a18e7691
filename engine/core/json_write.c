/* json_write.c -- commas, indentation, quoting and numbers of JSON as Python writes it. */
#include "engine/core/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_quote(struct buffer *out, const char *text, size_t length)
{
    static const char letters[] = "btn?fr"; /* of the bytes 8 to 13; 11 has none */
    size_t from = 0;
    buffer_text(out, "\"");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buffer_add(out, text + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            buffer_printf(out, "\\%c", c);
        else if (c >= 8 && c <= 13 && c != 11)
            buffer_printf(out, "\\%c", letters[c - 8]);
        else
            buffer_printf(out, "\\u%04x", c);
    }
    buffer_add(out, text + from, length - from);
    buffer_text(out, "\"");
}

/* Shortest digits that read back the same, in Python's form: an exponent below 1e-4 and from 1e16
 * on, with at least two digits; else with ".0" when whole. */
void json_number_text(double value, char out[32])
{
    char text[32];
    int digits = 1;
    if (!isfinite(value)) {
        snprintf(out, 32, "null");
        return;
    }
    do
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
    while (strtod(text, NULL) != value && ++digits <= 17);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (value != 0 && (exponent < -4 || exponent >= 16))
        snprintf(out, 32, "%s", text); /* C writes two exponent digits as well */
    else if (digits - 1 > exponent)
        snprintf(out, 32, "%.*f", digits - 1 - exponent, value);
    else
        snprintf(out, 32, "%.1f", value);
}

void json_write_begin(struct json_writer *w, struct buffer *out, int indent)
{
    *w = (struct json_writer){.out = out, .indent = indent};
}

static void line(struct json_writer *w)
{
    if (w->indent > 0) {
        buffer_text(w->out, "\n");
        buffer_repeat(w->out, " ", (int64_t)w->indent * w->depth);
    }
}

/* Comma, line and key before a value. */
static void before(struct json_writer *w, const char *key)
{
    if (w->some)
        buffer_text(w->out, w->indent < 0 ? ", " : ",");
    if (w->depth)
        line(w);
    if (key) {
        json_quote(w->out, key, strlen(key));
        buffer_text(w->out, w->indent ? ": " : ":");
    }
    w->some = true;
}

void json_write_open(struct json_writer *w, const char *key, char bracket)
{
    before(w, key);
    if (w->depth >= JSON_WRITE_DEPTH) {
        if (!w->out->status)
            w->out->status = fail(ERR_ARG, "JSON deeper than %d levels", JSON_WRITE_DEPTH);
        return;
    }
    buffer_add(w->out, &bracket, 1);
    w->close[w->depth++] = bracket == '{' ? '}' : ']';
    w->some = false;
}

void json_write_close(struct json_writer *w)
{
    if (!w->depth) {
        if (!w->out->status)
            w->out->status = fail(ERR_INTERNAL, "JSON: nothing is open");
        return;
    }
    char bracket = w->close[--w->depth];
    if (w->some)
        line(w);
    buffer_add(w->out, &bracket, 1);
    w->some = true;
}

void json_write_bytes(struct json_writer *w, const char *key, const char *text, size_t length)
{
    before(w, key);
    json_quote(w->out, text, length);
}

void json_write_text(struct json_writer *w, const char *key, const char *text)
{
    if (text)
        json_write_bytes(w, key, text, strlen(text));
    else
        json_write_null(w, key);
}

void json_write_raw(struct json_writer *w, const char *key, const char *json, size_t length)
{
    before(w, key);
    buffer_add(w->out, json, length);
}

void json_write_int(struct json_writer *w, const char *key, int64_t value)
{
    before(w, key);
    buffer_printf(w->out, "%lld", (long long)value);
}

void json_write_double(struct json_writer *w, const char *key, double value)
{
    char text[32];
    json_number_text(value, text);
    json_write_raw(w, key, text, strlen(text));
}

void json_write_bool(struct json_writer *w, const char *key, bool value)
{
    json_write_raw(w, key, value ? "true" : "false", value ? 4 : 5);
}

void json_write_null(struct json_writer *w, const char *key)
{
    json_write_raw(w, key, "null", 4);
}
