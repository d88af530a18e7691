/* pytext_case.c -- upper, lower and title case as Python's str has them. */
#include "engine/text/template/pytext.h"
#include "engine/text/unicode.h"

#include <stdlib.h>

struct case_row { /* first, first + step, ...: count code points move by delta */
    uint32_t first;
    uint8_t step;
    uint16_t count;
    int32_t delta;
};

struct case_many { /* becomes several */
    uint32_t cp;
    uint32_t to[3];
};

#include "engine/text/template/case_tables.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static int row_order(const void *key, const void *row)
{
    uint32_t cp = *(const uint32_t *)key;
    const struct case_row *r = row;
    if (cp < r->first)
        return -1;
    return cp > r->first + (uint32_t)r->step * (r->count - 1u);
}

static int many_order(const void *key, const void *row)
{
    uint32_t cp = *(const uint32_t *)key, at = ((const struct case_many *)row)->cp;
    return (cp > at) - (cp < at);
}

static int map(uint32_t cp, const struct case_row *rows, size_t row_count,
               const struct case_many *many, size_t many_count, uint32_t out[3])
{
    const struct case_many *m = bsearch(&cp, many, many_count, sizeof *many, many_order);
    if (m && m->cp) {
        int n = 0;
        for (; n < 3 && m->to[n]; n++)
            out[n] = m->to[n];
        return n;
    }
    const struct case_row *r = bsearch(&cp, rows, row_count, sizeof *rows, row_order);
    out[0] = r && (cp - r->first) % r->step == 0 ? (uint32_t)((int64_t)cp + r->delta) : cp;
    return 1;
}

int pytext_map(uint32_t cp, enum pytext_case to, uint32_t out[3])
{
    switch (to) {
    case PYTEXT_UPPER:
        return map(cp, upper_rows, COUNT(upper_rows), upper_many, COUNT(upper_many), out);
    case PYTEXT_LOWER:
        return map(cp, lower_rows, COUNT(lower_rows), lower_many, COUNT(lower_many), out);
    default:
        return map(cp, title_rows, COUNT(title_rows), title_many, COUNT(title_many), out);
    }
}

static bool changes(uint32_t cp, enum pytext_case to)
{
    uint32_t out[3];
    return pytext_map(cp, to, out) > 1 || out[0] != cp;
}

static bool cased(uint32_t cp)
{
    return changes(cp, PYTEXT_UPPER) || changes(cp, PYTEXT_LOWER) || changes(cp, PYTEXT_TITLE);
}

static bool ignorable(uint32_t cp) /* between letters it does not end a word */
{
    return cp == '\'' || cp == '.' || cp == ':' || cp == 0xAD || cp == 0xB7 || cp == 0x2019 ||
           (unicode_flags(cp) & UNICODE_MARK);
}

/* A sigma at p (2 bytes) ends a word: letters before it and none behind it. */
static bool final_sigma(const char *text, const char *p, const char *end)
{
    uint32_t cp = 0;
    bool before = false;
    for (const char *q = text; q < p;) {
        int n = utf8_decode(q, p, &cp);
        if (!ignorable(cp))
            before = cased(cp);
        q += n ? n : 1;
    }
    for (const char *q = p + 2; q < end;) {
        int n = utf8_decode(q, end, &cp);
        if (!ignorable(cp))
            return before && !cased(cp);
        q += n ? n : 1;
    }
    return before;
}

static void put(struct buffer *out, uint32_t cp, enum pytext_case to)
{
    uint32_t mapped[3];
    int n = pytext_map(cp, to, mapped);
    for (int i = 0; i < n; i++) {
        char bytes[4];
        buffer_add(out, bytes, (size_t)utf8_encode(mapped[i], bytes));
    }
}

void pytext_to_case(const char *text, size_t length, enum pytext_case to, struct buffer *out)
{
    const char *end = text + length;
    bool inside = false; /* of a word: the character before was cased */
    for (const char *p = text; p < end;) {
        uint32_t cp = 0xFFFD;
        int n = utf8_decode(p, end, &cp);
        enum pytext_case one = to;
        if (to == PYTEXT_CAPITALIZE)
            one = p == text ? PYTEXT_TITLE : PYTEXT_LOWER;
        else if (to == PYTEXT_TITLE)
            one = inside ? PYTEXT_LOWER : PYTEXT_TITLE;
        else if (to == PYTEXT_SWAP)
            one = changes(cp, PYTEXT_LOWER) ? PYTEXT_LOWER : PYTEXT_UPPER;
        inside = cased(cp);
        if (one == PYTEXT_LOWER && cp == 0x3A3 && final_sigma(text, p, end))
            buffer_text(out, "\xCF\x82");
        else
            put(out, cp, one);
        p += n ? n : 1;
    }
}
