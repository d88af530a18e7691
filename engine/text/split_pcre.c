/* split_pcre.c -- patterns we have no splitter for, as regular expressions.
 *
 * PCRE2's own tables are of an older Unicode than the tokenizer library's, so \p{L}, \p{N}, \s and
 * their complements are written out as ranges of our tables first. Patterns come from files: the
 * work for one match is limited, and a pattern that passes the limit is an error. */
#include "engine/text/split.h"
#include "engine/core/regex.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

#define PATTERN_BYTES (64 << 10)

struct pattern {
    struct regex *regex;
};

struct rewrite {
    char *bytes;
    int64_t count, capacity;
};

static int put(struct rewrite *r, const char *text, size_t length)
{
    TRY(mem_grow((void **)&r->bytes, &r->capacity, r->count + (int64_t)length, 1));
    memcpy(r->bytes + r->count, text, length);
    r->count += (int64_t)length;
    return OK;
}

/* Every range of code points with (or, negated, without) a flag. */
static int put_ranges(struct rewrite *r, unsigned flag, bool negated)
{
    char text[32];
    uint32_t start = 0;
    bool inside = false;
    for (uint32_t cp = 0; cp <= 0x110000; cp = cp < 0x110000 ? unicode_next_change(cp) : cp + 1) {
        bool in = cp < 0x110000 && ((unicode_flags(cp) & flag) != 0) != negated;
        if (in && !inside)
            start = cp;
        if (!in && inside) {
            int n =
                snprintf(text, sizeof text, "\\x{%X}-\\x{%X}", (unsigned)start, (unsigned)cp - 1);
            TRY(put(r, text, (size_t)n));
        }
        inside = in;
    }
    return OK;
}

/* The class at p (which holds '\'): its flag and length; flag 0 = not one of ours. */
static unsigned class_escape(const char *p, const char *end, bool *negated, size_t *length)
{
    static const struct {
        const char *text;
        unsigned flag;
        bool negated;
    } classes[] = {{"\\p{L}", UNICODE_LETTER, false}, {"\\P{L}", UNICODE_LETTER, true},
                   {"\\p{N}", UNICODE_NUMBER, false}, {"\\P{N}", UNICODE_NUMBER, true},
                   {"\\p{^L}", UNICODE_LETTER, true}, {"\\p{^N}", UNICODE_NUMBER, true},
                   {"\\pL", UNICODE_LETTER, false},   {"\\pN", UNICODE_NUMBER, false},
                   {"\\p{M}", UNICODE_MARK, false},   {"\\P{M}", UNICODE_MARK, true},
                   {"\\s", UNICODE_SPACE, false},     {"\\S", UNICODE_SPACE, true}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t n = strlen(classes[i].text);
        if ((size_t)(end - p) >= n && memcmp(p, classes[i].text, n) == 0) {
            *negated = classes[i].negated;
            *length = n;
            return classes[i].flag;
        }
    }
    return 0;
}

static int rewrite(const char *p, const char *end, struct rewrite *r)
{
    bool in_class = false;
    while (p < end) {
        bool negated = false;
        size_t n = 1;
        unsigned flag = *p == '\\' ? class_escape(p, end, &negated, &n) : 0;
        if (flag) {
            if (!in_class)
                TRY(put(r, "[", 1));
            TRY(put_ranges(r, flag, negated));
            if (!in_class)
                TRY(put(r, "]", 1));
        } else {
            n = *p == '\\' && end - p > 1 ? 2 : 1;
            if (n == 1 && *p == '[') {
                in_class = true;
                size_t open = end - p > 1 && p[1] == '^' ? 2 : 1; /* "[^]..." and "[]..." */
                n = (size_t)(end - p) > open && p[open] == ']' ? open + 1 : open;
            } else if (n == 1 && *p == ']') {
                in_class = false;
            }
            TRY(put(r, p, n));
        }
        p += n;
    }
    return OK;
}

int pattern_compile(const char *text, size_t length, struct pattern **out)
{
    struct rewrite r = {0};
    if (length > PATTERN_BYTES)
        return fail(ERR_FORMAT, "a pattern of %zu bytes, at most %d are read", length,
                    PATTERN_BYTES);
    struct pattern *m = mem_calloc(1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    int status = rewrite(text, text + length, &r);
    if (!status)
        status = regex_compile(r.bytes ? r.bytes : "", (size_t)r.count, 0, &m->regex);
    if (status == ERR_FORMAT) /* the rewritten text means nothing to a person */
        status = fail(ERR_FORMAT, "the pattern '%.*s' is not understood: %s",
                      (int)(length < 120 ? length : 120), text, regex_reason());
    mem_free(r.bytes);
    if (status)
        pattern_free(m);
    else
        *out = m;
    return status;
}

int pattern_next(const struct pattern *m, const char *p, const char *end, size_t from, bool *found,
                 size_t *start, size_t *stop)
{
    return regex_find(m->regex, p, (size_t)(end - p), from, found, start, stop);
}

void pattern_free(struct pattern *m)
{
    if (!m)
        return;
    regex_free(m->regex);
    mem_free(m);
}
