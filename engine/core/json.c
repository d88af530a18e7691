/* json.c -- a pull parser for JSON: grammar and events. The keys seen stand in json_seen.c. */
#include "engine/core/json.h"
#include "engine/core/json_seen.h"
#include "engine/core/utf8.h"
#include "kernels/base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {"nothing",
                                         "null",
                                         "true or false",
                                         "a number",
                                         "text",
                                         "an array",
                                         "an object",
                                         "a key",
                                         "the end of an array",
                                         "the end of an object",
                                         "the end of the text"};

void json_begin_part(struct json *j, const char *bytes, size_t start, size_t stop,
                     const struct json_options *options)
{
    memset(j, 0, sizeof *j);
    j->whole = bytes;
    j->p = bytes + start;
    j->end = bytes + stop;
    if (options)
        j->options = *options;
    j->want_value = true;
}

void json_begin(struct json *j, const char *bytes, size_t length,
                const struct json_options *options)
{
    bool mark = length >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0;
    json_begin_part(j, bytes, mark ? 3 : 0, length, options);
}

void json_free(struct json *j)
{
    mem_free(j->scratch);
    json_seen_free(j->seen);
    j->scratch = NULL;
    j->seen = NULL;
}

/* "line 3, column 7: ..." for byte 'at'. Lines are counted only when something is wrong. */
static int fail_at(const struct json *j, size_t at, const char *fmt, va_list args)
{
    char text[1024];
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column++;
        if (j->whole[i] == '\n') {
            line++;
            column = 1;
        }
    }
    vsnprintf(text, sizeof text, fmt, args);
    return fail(ERR_FORMAT, "line %zu, column %zu: %s", line, column, text);
}

static int PRINTF_LIKE(2, 3) bad(const struct json *j, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int status = fail_at(j, (size_t)(j->p - j->whole), fmt, args);
    va_end(args);
    return status;
}

int json_fail(const struct json *j, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int status = fail_at(j, j->offset, fmt, args);
    va_end(args);
    return status;
}

/* What stands at p, for messages. */
static const char *found(const struct json *j, char out[24])
{
    unsigned char c;
    if (j->p >= j->end)
        return "the end of the text";
    c = (unsigned char)*j->p;
    if (c >= 0x20 && c < 0x7F)
        snprintf(out, 24, "'%c'", c);
    else
        snprintf(out, 24, "byte 0x%02X", c);
    return out;
}

static int expected(const struct json *j, const char *what)
{
    char c[24];
    return bad(j, "expected %s, found %s", what, found(j, c));
}

static void skip_space(struct json *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
        j->p++;
}

static int hex4(struct json *j, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, j->p++) {
        int c = j->p < j->end ? (unsigned char)*j->p : 0;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return expected(j, "four hexadecimal digits after \\u");
        v = v << 4 | (uint32_t)digit;
    }
    *out = v;
    return OK;
}

/* p stands behind "\u"; a high surrogate must be followed by a low one. */
static int unicode_escape(struct json *j, uint32_t *cp)
{
    uint32_t low;
    TRY(hex4(j, cp));
    if (*cp < 0xD800 || *cp > 0xDFFF)
        return OK;
    if (*cp >= 0xDC00 || j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u')
        return bad(j, "half a surrogate pair (\\u%04X) in a text", (unsigned)*cp);
    j->p += 2;
    TRY(hex4(j, &low));
    if (low < 0xDC00 || low > 0xDFFF)
        return bad(j, "half a surrogate pair (\\u%04X) in a text", (unsigned)*cp);
    *cp = 0x10000 + ((*cp - 0xD800) << 10) + (low - 0xDC00);
    return OK;
}

/* p stands behind '\'. Writes at most 4 bytes. */
static int escape(struct json *j, char *out, int *bytes)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = j->p < j->end ? *j->p : '\0';
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        j->p++;
        out[0] = to[at - from];
        *bytes = 1;
        return OK;
    }
    if (c != 'u')
        return expected(j, "an escape (one of \"\\/bfnrtu) after '\\'");
    uint32_t cp;
    j->p++;
    TRY(unicode_escape(j, &cp));
    *bytes = utf8_encode(cp, out);
    return OK;
}

/* Moves p over plain characters of a text: stops at '"', '\', a control character or the end. */
static int plain_run(struct json *j)
{
    while (j->p < j->end) {
        unsigned char c = (unsigned char)*j->p;
        if (c < 0x80) {
            if (c == '"' || c == '\\' || c < 0x20)
                return OK;
            j->p++;
            continue;
        }
        uint32_t cp;
        int n = utf8_decode(j->p, j->end, &cp);
        if (n == 0)
            return bad(j, "byte 0x%02X is not UTF-8", c);
        j->p += n;
    }
    return OK;
}

static int scratch_add(struct json *j, size_t *used, const char *bytes, size_t n)
{
    TRY(mem_grow((void **)&j->scratch, &j->scratch_bytes, (int64_t)(*used + n), 1));
    if (n)
        memcpy(j->scratch + *used, bytes, n);
    *used += n;
    return OK;
}

/* p stands behind the opening '"'. Text without escapes is used where it stands. */
static int string(struct json *j)
{
    const char *run = j->p;
    size_t used = 0;
    bool copied = false;
    for (;;) {
        TRY(plain_run(j));
        if (j->p >= j->end)
            return bad(j, "a text has no closing '\"'");
        if (copied || *j->p == '\\')
            TRY(scratch_add(j, &used, run, (size_t)(j->p - run)));
        if (*j->p == '"')
            break;
        if (*j->p != '\\')
            return expected(j, "no raw control character in a text");
        char out[4];
        int n = 0;
        j->p++;
        TRY(escape(j, out, &n));
        TRY(scratch_add(j, &used, out, (size_t)n));
        copied = true;
        run = j->p;
    }
    j->text = copied ? j->scratch : run;
    j->length = copied ? used : (size_t)(j->p - run);
    j->p++;
    return OK;
}

static bool digits(struct json *j)
{
    const char *start = j->p;
    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > start;
}

static bool word(struct json *j, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0)
        return false;
    j->p += n;
    return true;
}

static int number(struct json *j)
{
    const char *start = j->p;
    bool minus = word(j, "-");
    if (j->options.nan && (word(j, "Infinity") || (!minus && word(j, "NaN"))))
        goto done;
    if (!word(j, "0") && !digits(j))
        return expected(j, minus ? "a digit" : "a value");
    if (word(j, ".") && !digits(j))
        return expected(j, "a digit after '.'");
    if (word(j, "e") || word(j, "E")) {
        if (!word(j, "+"))
            (void)word(j, "-");
        if (!digits(j))
            return expected(j, "a digit in the exponent");
    }
done:
    j->text = start;
    j->length = (size_t)(j->p - start);
    if (j->length > JSON_NUMBER_BYTES)
        return bad(j, "a number of %zu characters, at most %d are read", j->length,
                   JSON_NUMBER_BYTES);
    return OK;
}

static int push(struct json *j, enum json_kind kind)
{
    if (j->depth == JSON_DEPTH)
        return bad(j, "nested deeper than %d levels", JSON_DEPTH);
    j->stack[j->depth++] = (unsigned char)kind;
    j->kind = kind;
    j->p++;
    j->want_value = false;
    return OK;
}

/* A value starts at p. */
static int value(struct json *j)
{
    j->want_value = false;
    switch (j->p < j->end ? *j->p : '\0') {
    case '{':
        return push(j, JSON_OBJECT);
    case '[':
        return push(j, JSON_ARRAY);
    case '"':
        j->kind = JSON_STRING;
        j->p++;
        return string(j);
    case 't':
    case 'f':
        j->kind = JSON_BOOL;
        j->boolean = *j->p == 't';
        return word(j, j->boolean ? "true" : "false") ? OK : expected(j, "true or false");
    case 'n':
        j->kind = JSON_NULL;
        return word(j, "null") ? OK : expected(j, "null");
    default:
        j->kind = JSON_NUMBER;
        return number(j);
    }
}

/* A key and its ':' start at p. */
static int key(struct json *j)
{
    if (j->p >= j->end || *j->p != '"')
        return expected(j, "a key in '\"'");
    j->kind = JSON_KEY;
    size_t at = (size_t)(j->p - j->whole);
    j->p++;
    TRY(string(j));
    if (!j->options.duplicates)
        TRY(json_seen_add(j, at));
    skip_space(j);
    if (!word(j, ":"))
        return expected(j, "':' after a key");
    j->want_value = true;
    return OK;
}

static int close(struct json *j, bool object)
{
    j->p++;
    j->depth--;
    if (object)
        json_seen_close(j->seen, j->depth + 1);
    j->kind = object ? JSON_OBJECT_END : JSON_ARRAY_END;
    j->want_value = false;
    return OK;
}

/* Inside an array or object, after its start or after a whole value. */
static int member(struct json *j, bool first)
{
    bool object = j->stack[j->depth - 1] == JSON_OBJECT;
    char closing = object ? '}' : ']';
    if (j->p < j->end && *j->p == closing)
        return close(j, object);
    if (!first) {
        if (!word(j, ","))
            return expected(j, object ? "',' or '}'" : "',' or ']'");
        skip_space(j);
        j->offset = (size_t)(j->p - j->whole);
    }
    return object ? key(j) : value(j);
}

int json_next(struct json *j)
{
    bool first = j->kind == JSON_ARRAY || j->kind == JSON_OBJECT;
    skip_space(j);
    j->offset = (size_t)(j->p - j->whole);
    j->text = NULL;
    j->length = 0;
    if (j->want_value)
        return value(j);
    if (j->depth > 0)
        return member(j, first);
    if (j->p < j->end)
        return expected(j, "the end of the text");
    j->kind = JSON_END;
    return OK;
}

int json_skip(struct json *j)
{
    if (j->kind != JSON_ARRAY && j->kind != JSON_OBJECT)
        return OK;
    int outside = j->depth - 1;
    while (j->depth > outside)
        TRY(json_next(j));
    return OK;
}

int json_skip_value(struct json *j)
{
    TRY(json_next(j));
    return json_skip(j);
}

int json_open(struct json *j, enum json_kind kind, const char *what)
{
    TRY(json_next(j));
    if (j->kind == kind)
        return OK;
    return json_fail(j, "%s%sexpected %s, found %s", what ? what : "", what ? ": " : "",
                     kind_names[kind], kind_names[j->kind]);
}

bool json_more(struct json *j)
{
    skip_space(j);
    return j->p >= j->end || (*j->p != ']' && *j->p != '}'); /* at the end the next event fails */
}

int json_end(struct json *j)
{
    return json_open(j, JSON_END, NULL);
}

bool json_is(const struct json *j, const char *literal)
{
    return j->text && j->length == strlen(literal) && memcmp(j->text, literal, j->length) == 0;
}

int json_double(const struct json *j, const char *what, double *out)
{
    char text[JSON_NUMBER_BYTES + 1];
    if (j->kind != JSON_NUMBER)
        return json_fail(j, "%s: expected a number, found %s", what, kind_names[j->kind]);
    memcpy(text, j->text, j->length);
    text[j->length] = '\0';
    *out = strtod(text, NULL); /* the program keeps LC_NUMERIC at "C" */
    return OK;
}

int json_int(const struct json *j, const char *what, int64_t *out)
{
    double d;
    bool whole = j->kind == JSON_NUMBER;
    for (size_t i = 0; whole && i < j->length; i++)
        whole = j->text[i] == '-' || (j->text[i] >= '0' && j->text[i] <= '9');
    if (whole && j->length < 24) {
        char text[24];
        memcpy(text, j->text, j->length);
        text[j->length] = '\0';
        errno = 0;
        long long v = strtoll(text, NULL, 10);
        if (errno == 0) {
            *out = v;
            return OK;
        }
    } else {
        TRY(json_double(j, what, &d));
        if (d >= -0x1p53 && d <= 0x1p53 && d == floor(d)) {
            *out = (int64_t)d;
            return OK;
        }
    }
    return json_fail(j, "%s: expected an integer of 64 bits, found %.*s", what,
                     (int)(j->length < 64 ? j->length : 64), j->text);
}

int json_take_text(struct json *j, const char *what, char **out)
{
    TRY(json_open(j, JSON_STRING, what));
    if (memchr(j->text, '\0', j->length))
        return json_fail(j, "%s: a text with a zero byte", what);
    char *copy = mem_text(j->text, j->length);
    if (!copy)
        return ERR_MEMORY;
    *out = copy;
    return OK;
}

int json_take_int(struct json *j, const char *what, int64_t *out)
{
    TRY(json_open(j, JSON_NUMBER, what));
    return json_int(j, what, out);
}

int json_take_double(struct json *j, const char *what, double *out)
{
    TRY(json_open(j, JSON_NUMBER, what));
    return json_double(j, what, out);
}

int json_take_bool(struct json *j, const char *what, bool *out)
{
    TRY(json_open(j, JSON_BOOL, what));
    *out = j->boolean;
    return OK;
}
