/* cell.c -- a text as it stands in one cell of a printed table.
 *
 * The text is taken apart into glyphs: a base, the marks on it, and how wide they are together; a
 * cut never falls inside one. */
#include "engine/data/cell.h"
#include "engine/text/unicode.h"

#include <string.h>

#define MARKS 6 /* on one base; more are dropped, so that a cell is bounded in bytes too */

struct glyph {
    char bytes[4 * (MARKS + 3)];
    int length, width, marks;
    bool letter; /* the base is part of a script: joiners between its letters shape them */
    bool contested;
};

static void put(struct glyph *g, uint32_t cp)
{
    g->length += utf8_encode(cp, g->bytes + g->length);
    g->width += unicode_width(cp);
}

static bool is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0x2028 || cp == 0x2029;
}

/* The picture of a control character: U+241B for ESC. */
static uint32_t picture(uint32_t cp)
{
    return cp < 0x20 ? 0x2400 + cp : cp == 0x7F ? 0x2421 : cp > 0x7F && cp < 0xA0 ? 0xFFFD : 0x2424;
}

static bool is_selector(uint32_t cp)
{
    return (cp >= 0xFE00 && cp <= 0xFE0F) || (cp >= 0xE0100 && cp <= 0xE01EF) ||
           (cp >= 0x1F3FB && cp <= 0x1F3FF); /* and the skin tones of emoji */
}

static bool is_regional(uint32_t cp)
{
    return cp >= 0x1F1E6 && cp <= 0x1F1FF;
}

static bool is_joiner(uint32_t cp)
{
    return cp == 0x200C || cp == 0x200D;
}

/* Width 0 and no mark: format characters, which show nothing, but also the vowels and finals of
 * Hangul syllables written as letters. */
static bool is_invisible(uint32_t cp, unsigned flags)
{
    return (unicode_width(cp) == 0 && !(flags & (UNICODE_MARK | UNICODE_LETTER))) || cp == 0xAD;
}

/* One code point; what is no UTF-8 is U+FFFD, a byte at a time. */
static const char *take(const char *p, const char *end, uint32_t *cp)
{
    int n = utf8_decode(p, end, cp);
    if (n)
        return p + n;
    *cp = 0xFFFD;
    return p + 1;
}

/* The marks, joiners and second halves that belong to the base before 'p'. */
static const char *take_rest(const char *p, const char *end, uint32_t base, struct glyph *g)
{
    uint32_t cp;
    const char *next;
    for (; p < end; p = next) {
        next = take(p, end, &cp);
        unsigned flags = unicode_flags(cp);
        bool flag_half = is_regional(base) && is_regional(cp) && g->marks == 0;
        if (is_control(cp))
            return p;
        if (is_selector(cp) || (is_invisible(cp, flags) && !(is_joiner(cp) && g->letter)))
            continue;
        bool joins = flags & UNICODE_MARK || is_joiner(cp) || unicode_width(cp) == 0;
        if (!joins && !flag_half)
            return p;
        if (g->marks++ < MARKS) {
            put(g, cp);
            g->contested = g->contested || cp >= 0x900;
        }
    }
    return p;
}

/* A character of an ASCII terminal: ^[ for ESC, ? for all it does not have. */
static void put_ascii(struct glyph *g, uint32_t cp)
{
    if (cp < 0x20 || cp == 0x7F) {
        g->bytes[0] = '^';
        g->bytes[1] = (char)(cp ^ 0x40);
        g->length = g->width = 2;
    } else {
        g->bytes[0] = cp < 0x80 ? (char)cp : '?';
        g->length = g->width = 1;
    }
}

/* The next glyph of [p, end), p < end; it may be empty. Returns where it ends. */
static const char *glyph_next(const char *p, const char *end, bool ascii, struct glyph *g)
{
    uint32_t cp;
    g->length = g->width = g->marks = 0;
    g->letter = g->contested = false;
    p = take(p, end, &cp);
    unsigned flags = unicode_flags(cp);
    if (is_control(cp)) {
        if (ascii)
            put_ascii(g, cp);
        else
            put(g, picture(cp));
        return p;
    }
    if (is_invisible(cp, flags) || is_selector(cp))
        return p;
    if (ascii) {
        if (!(flags & UNICODE_MARK))
            put_ascii(g, cp);
        return p;
    }
    if (!(flags & UNICODE_ASSIGNED))
        cp = 0xFFFD;
    if (unicode_width(cp) == 0)
        put(g, 0x25CC); /* a mark without a base would stand on the border */
    put(g, cp);
    g->letter = flags & (UNICODE_LETTER | UNICODE_MARK);
    g->contested = flags & UNICODE_MARK && cp >= 0x900;
    return take_rest(p, end, cp, g);
}

int cell_width(const char *text, size_t length, int limit, bool ascii)
{
    struct glyph g;
    int width = 0;
    for (const char *p = text, *end = text + length; p < end && width <= limit;) {
        p = glyph_next(p, end, ascii, &g);
        width += g.width;
    }
    return width <= limit ? width : limit + 1;
}

int cell_add(struct buffer *out, const char *text, size_t length, int width, bool ascii,
             bool *contested)
{
    struct glyph g;
    int used = 0, cut = ascii ? 2 : 1;
    int room = cell_width(text, length, width, ascii) > width ? width - cut : width;
    for (const char *p = text, *end = text + length; p < end;) {
        p = glyph_next(p, end, ascii, &g);
        if (used + g.width > room)
            break;
        buffer_add(out, g.bytes, (size_t)g.length);
        used += g.width;
        *contested = *contested || g.contested;
    }
    if (room == width)
        return used;
    buffer_text(out, ascii ? ".." : "\xE2\x80\xA6");
    return used + cut;
}
