/* unicode.h -- UTF-8 and the character classes of Unicode 16.0.
 *
 * One class table of our own, since the tokenizer we must agree with and the libraries of the
 * system follow different versions of Unicode. Pure functions: no state, no allocation. */
#ifndef ENGINE_TEXT_UNICODE_H
#define ENGINE_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum unicode_flag {
    UNICODE_LETTER = 1, /* general category L */
    UNICODE_NUMBER = 2, /* N */
    UNICODE_SPACE = 4,  /* White_Space: 25 code points */
    UNICODE_WORD = 8,   /* what \w means in the reference: letters, marks, digits, connectors */
    UNICODE_MARK = 16,  /* M */
    UNICODE_ASSIGNED = 128, /* not unassigned, surrogate or private */
};

/* All flags of a code point; the values above may be or'ed. Code points above U+10FFFF have none. */
unsigned unicode_flags(uint32_t cp);

/* Columns on a terminal: 2 for wide (CJK, emoji), 0 for combining marks and format characters,
 * -1 for control characters (below U+0020, U+007F to U+009F) and what is no code point, else 1. */
int unicode_width(uint32_t cp);

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
