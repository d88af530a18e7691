/* unescape.c -- backslash escapes of a text in a template. No escape is longer than its meaning. */
#include "engine/text/template/unescape.h"
#include "engine/core/utf8.h"

#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly 'count' hex digits at p. */
static bool read_hex(const char *p, const char *end, int count, uint32_t *cp)
{
    *cp = 0;
    if (end - p < count)
        return false;
    for (int i = 0; i < count; i++) {
        int v = hex(p[i]);
        if (v < 0)
            return false;
        *cp = *cp << 4 | (uint32_t)v;
    }
    return true;
}

/* One escape; p stands behind the backslash. Returns where it stops, NULL for a bad one. */
static const char *escape(const char *p, const char *end, char **out)
{
    static const char letters[] = "\\'\"abfnrtv", meanings[] = "\\'\"\a\b\f\n\r\t\v";
    const char *letter = strchr(letters, *p);
    uint32_t cp = 0;
    if (*p == '\n')
        return p + 1;
    if (letter && *letter) {
        *(*out)++ = meanings[letter - letters];
        return p + 1;
    }
    if (*p >= '0' && *p <= '7') {
        const char *stop = p;
        while (stop < end && stop < p + 3 && *stop >= '0' && *stop <= '7')
            cp = cp << 3 | (uint32_t)(*stop++ - '0');
        *out += utf8_encode(cp, *out);
        return stop;
    }
    int count = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    if (count) {
        if (!read_hex(p + 1, end, count, &cp) || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
            return NULL;
        *out += utf8_encode(cp, *out);
        return p + 1 + count;
    }
    if (*p == 'N')
        return NULL;
    *(*out)++ = '\\';
    *(*out)++ = *p;
    return p + 1;
}

long unescape_text(const char *text, size_t length, char *out)
{
    const char *p = text, *end = text + length;
    char *to = out;
    while (p < end) {
        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }
        if (++p == end)
            return -1;
        p = escape(p, end, &to);
        if (!p)
            return -1;
    }
    return to - out;
}
