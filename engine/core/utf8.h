/* utf8.h -- reading and writing UTF-8. Pure functions: no state, no allocation. */
#ifndef ENGINE_CORE_UTF8_H
#define ENGINE_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes one code point of [p, end): the bytes used (1 to 4), or 0 when p == end or the bytes are
 * no UTF-8 (overlong forms, surrogates and cut sequences included); *cp is set on success only. */
static inline int utf8_decode(const char *p, const char *end, uint32_t *cp)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    if (left == 0)
        return 0;
    if (s[0] < 0x80) {
        *cp = s[0];
        return 1;
    }
    if (s[0] < 0xC2 || s[0] > 0xF4 || left < 2 || (s[1] & 0xC0) != 0x80)
        return 0;
    if (s[0] < 0xE0) {
        *cp = (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
        return 2;
    }
    if (left < 3 || (s[2] & 0xC0) != 0x80)
        return 0;
    if (s[0] < 0xF0) {
        uint32_t c = (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
        if (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF))
            return 0;
        *cp = c;
        return 3;
    }
    if (left < 4 || (s[3] & 0xC0) != 0x80)
        return 0;
    uint32_t c = (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
    if (c < 0x10000 || c > 0x10FFFF)
        return 0;
    *cp = c;
    return 4;
}

/* Writes 'cp' (a Unicode scalar; anything else is written as U+FFFD) and returns its bytes, 1-4. */
int utf8_encode(uint32_t cp, char out[4]);

/* Offset of the first byte that is no UTF-8, or 'length' when all of it is. */
size_t utf8_valid(const char *text, size_t length);

/* Bytes at p (p < end) that one U+FFFD stands for, when utf8_decode gave 0: the longest start of a
 * valid sequence, at least 1. *cut is set when more bytes after 'end' could make it valid. */
size_t utf8_bad_run(const char *p, const char *end, bool *cut);

#endif
