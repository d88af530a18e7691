/* unicode.c -- the character classes of Unicode 16.0. */
#include "engine/text/unicode.h"
#include "engine/text/unicode_tables.h"

#define WIDTH_SHIFT 5
#define RANGES ((int)(sizeof unicode_ranges / sizeof *unicode_ranges))
#define PAGES ((int)(sizeof unicode_pages / sizeof *unicode_pages) - 1)

/* Number of the range that holds 'cp': the last one that starts at or before it. */
static int find(uint32_t cp)
{
    int page = (int)(cp >> 8);
    int low = unicode_pages[page < PAGES ? page : PAGES];
    int high = page < PAGES ? unicode_pages[page + 1] : RANGES - 1;
    while (low < high) {
        int mid = (low + high + 1) / 2;
        if (unicode_ranges[mid] >> 8 <= cp)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

static unsigned lookup(uint32_t cp)
{
    return unicode_ranges[find(cp)] & 0xFF;
}

uint32_t unicode_next_change(uint32_t cp)
{
    int range = cp > 0x10FFFF ? RANGES : find(cp) + 1;
    return range < RANGES ? unicode_ranges[range] >> 8 : 0x110000;
}

unsigned unicode_flags(uint32_t cp)
{
    return cp > 0x10FFFF ? 0 : lookup(cp) & ~(3u << WIDTH_SHIFT);
}

bool unicode_is_punctuation(uint32_t cp)
{
    int low = 0, high = (int)(sizeof unicode_marks / sizeof *unicode_marks) - 1;
    while (low < high) {
        int mid = (low + high + 1) / 2;
        if (unicode_marks[mid][0] <= cp)
            low = mid;
        else
            high = mid - 1;
    }
    return unicode_marks[low][0] <= cp && cp <= unicode_marks[low][1];
}

int unicode_width(uint32_t cp)
{
    if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        return -1;
    return (int)(lookup(cp) >> WIDTH_SHIFT & 3);
}
