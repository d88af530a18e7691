/* utf8.c -- writing and checking UTF-8. */
#include "engine/core/utf8.h"

#include <string.h>

int utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00 >> n & 0xFF) | cp);
    return n;
}

size_t utf8_valid(const char *text, size_t length)
{
    const char *p = text, *end = text + length;
    uint32_t cp;
    while (p < end) {
        uint64_t word;
        while (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080u) == 0))
            p += 8;
        if (p == end)
            break;
        int n = utf8_decode(p, end, &cp);
        if (n == 0)
            break;
        p += n;
    }
    return (size_t)(p - text);
}

size_t utf8_bad_run(const char *p, const char *end, bool *cut)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t left = (size_t)(end - p), want, n = 1;
    *cut = false;
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return 1;
    want = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (left > 1) {
        /* the second byte has a narrower range after these lead bytes */
        unsigned low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
        unsigned high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
        if (s[1] < low || s[1] > high)
            return 1;
        n = 2;
    }
    while (n < want && n < left && (s[n] & 0xC0) == 0x80)
        n++;
    *cut = n == left && n < want;
    return n;
}
