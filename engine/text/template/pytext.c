/* pytext.c -- searching and stripping. */
#include "engine/text/template/pytext.h"
#include "engine/text/unicode.h"

#include <string.h>

int64_t pytext_find(const char *text, size_t length, const char *needle, size_t needle_length)
{
    if (!needle_length)
        return 0;
    const char *at = length ? memmem(text, length, needle, needle_length) : NULL;
    return at ? at - text : -1;
}

int64_t pytext_find_last(const char *text, size_t length, const char *needle, size_t needle_length)
{
    if (!needle_length)
        return (int64_t)length;
    for (size_t left = length; left >= needle_length; left--) {
        const char *at = memrchr(text, needle[0], left - needle_length + 1);
        if (!at)
            return -1;
        if (memcmp(at, needle, needle_length) == 0)
            return at - text;
        left = (size_t)(at - text) + needle_length;
    }
    return -1;
}

int64_t pytext_count(const char *text, size_t length)
{
    int64_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

bool pytext_is_space(uint32_t cp)
{
    return (cp >= 0x1C && cp <= 0x1F) || (unicode_flags(cp) & UNICODE_SPACE);
}

/* Is the character at p, of n bytes, to be stripped? */
static bool strips(const char *p, int n, uint32_t cp, const char *chars, size_t chars_length)
{
    if (!chars)
        return pytext_is_space(cp);
    for (size_t i = 0; i + (size_t)n <= chars_length; i++)
        if (memcmp(chars + i, p, (size_t)n) == 0)
            return true;
    return false;
}

void pytext_strip(const char *text, size_t *start, size_t *stop, const char *chars,
                  size_t chars_length, bool left, bool right)
{
    uint32_t cp = 0;
    while (left && *start < *stop) {
        int n = utf8_decode(text + *start, text + *stop, &cp);
        if (!n || !strips(text + *start, n, cp, chars, chars_length))
            break;
        *start += (size_t)n;
    }
    while (right && *start < *stop) {
        size_t last = *stop - 1;
        while (last > *start && ((unsigned char)text[last] & 0xC0) == 0x80)
            last--;
        int n = utf8_decode(text + last, text + *stop, &cp);
        if (!n || !strips(text + last, n, cp, chars, chars_length))
            break;
        *stop = last;
    }
}
