/* normalizer.c -- the normalizers of tokenizer.json as a chain of rewrites. */
#include "engine/text/normalizer.h"
#include "engine/text/normalize.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <string.h>

int normalizer_add(struct normalizer *n, enum normalizer_kind kind, struct normalizer_step **out)
{
    if (n->count == NORMALIZER_STEPS)
        return fail(ERR_FORMAT, "more than %d normalizers in a row", NORMALIZER_STEPS);
    *out = &n->steps[n->count++];
    **out = (struct normalizer_step){.kind = kind};
    return OK;
}

void normalizer_free(struct normalizer *n)
{
    for (int i = 0; i < n->count; i++) {
        struct normalizer_step *s = &n->steps[i];
        mem_free(s->from);
        mem_free(s->to);
        pattern_free(s->pattern);
        mem_free(s->map.bytes);
    }
    memset(n, 0, sizeof *n);
}

/* Bytes of the character at p, a byte that is no UTF-8 alone. */
static int character(const char *p, const char *end, uint32_t *cp)
{
    int n = utf8_decode(p, end, cp);
    if (n == 0)
        *cp = UINT32_MAX;
    return n ? n : 1;
}

/* One stretch that may change: up to the next character that starts anew. */
static int put_form(enum normal_form form, const struct source *s, size_t at, size_t n,
                    struct edit *out)
{
    char *text;
    size_t length;
    TRY(normalize_form(form, s->text + at, n, &text, &length));
    int status = length == n && memcmp(text, s->text + at, n) == 0
                     ? edit_keep(out, s, at, n)
                     : edit_put(out, text, length, source_range(s, at, n));
    mem_free(text);
    return status;
}

/* Marks in a row are put in order by a sort of quadratic time in the library: no more than these at
 * once. (Unicode calls a text with more than 30 unsafe.) */
#define MARKS 256

static int run_form(enum normal_form form, const struct source *s, struct edit *out)
{
    uint32_t limit = form == NORMAL_NFC ? 0x300 : 0x80, cp;
    const char *end = s->text + s->length;
    for (size_t at = 0, marks = 0; at < s->length; marks = 0) {
        size_t n = normalize_unchanged(form, s->text + at, s->length - at);
        TRY(edit_keep(out, s, at, n));
        at += n;
        n = 0;
        while (at + n < s->length) {
            int used = utf8_decode(s->text + at + n, end, &cp);
            if (used == 0 || (cp < limit && n > 0) || marks == MARKS)
                break;
            marks = unicode_flags(cp) & UNICODE_MARK ? marks + 1 : 0;
            n += (size_t)used;
        }
        if (n)
            TRY(put_form(form, s, at, n, out));
        at += n;
        if (n == 0 && at < s->length) /* not UTF-8: kept */
            TRY(edit_keep(out, s, at++, 1));
    }
    return OK;
}

static int run_lowercase(const struct source *s, struct edit *out)
{
    const char *end = s->text + s->length;
    char low[8];
    uint32_t cp;
    size_t n;
    for (size_t at = 0; at < s->length;) {
        size_t used = (size_t)character(s->text + at, end, &cp);
        if (cp == UINT32_MAX) {
            TRY(edit_keep(out, s, at, used));
        } else {
            TRY(normalize_lower(cp, low, &n));
            TRY(edit_put(out, low, n, source_range(s, at, used)));
        }
        at += used;
    }
    return OK;
}

static int run_strip(const struct normalizer_step *step, const struct source *s, struct edit *out)
{
    const char *end = s->text + s->length;
    size_t from = 0, to = 0;
    bool started = !step->left;
    uint32_t cp;
    for (size_t at = 0; at < s->length;) {
        size_t used = (size_t)character(s->text + at, end, &cp);
        bool space = cp != UINT32_MAX && unicode_flags(cp) & UNICODE_SPACE;
        if (!started && !space) {
            from = at;
            started = true;
        }
        at += used;
        if (!space || !step->right)
            to = at;
    }
    return started && to > from ? edit_keep(out, s, from, to - from) : OK;
}

static int run_strip_accents(const struct source *s, struct edit *out)
{
    const char *end = s->text + s->length;
    uint32_t cp;
    for (size_t at = 0; at < s->length;) {
        size_t used = (size_t)character(s->text + at, end, &cp);
        if (cp == UINT32_MAX || !(unicode_flags(cp) & UNICODE_MARK))
            TRY(edit_keep(out, s, at, used));
        at += used;
    }
    return OK;
}

static int run_replace_pattern(const struct normalizer_step *step, const struct source *s,
                               struct edit *out)
{
    size_t done = 0, from = 0;
    while (from <= s->length) {
        bool found = false;
        size_t start = 0, stop = 0;
        TRY(pattern_next(step->pattern, s->text, s->text + s->length, from, &found, &start, &stop));
        if (!found)
            break;
        TRY(edit_keep(out, s, done, start - done));
        TRY(edit_put(out, step->to, step->to_length, source_range(s, start, stop - start)));
        done = stop;
        if (stop > start) {
            from = stop;
        } else if (start < s->length) { /* an empty match: on by one character */
            uint32_t cp;
            from = start + (size_t)character(s->text + start, s->text + s->length, &cp);
        } else {
            break;
        }
    }
    return edit_keep(out, s, done, s->length - done);
}

static int run_replace(const struct normalizer_step *step, const struct source *s, struct edit *out)
{
    const char *p = s->text, *end = p + s->length;
    if (step->pattern)
        return run_replace_pattern(step, s, out);
    while (p < end) {
        const char *at = step->from_length == 1
                             ? memchr(p, step->from[0], (size_t)(end - p))
                             : memmem(p, (size_t)(end - p), step->from, step->from_length);
        const char *stop = at ? at : end;
        TRY(edit_keep(out, s, (size_t)(p - s->text), (size_t)(stop - p)));
        if (!at)
            break;
        TRY(edit_put(out, step->to, step->to_length,
                     source_range(s, (size_t)(at - s->text), step->from_length)));
        p = at + step->from_length;
    }
    return OK;
}

static bool is_cjk(uint32_t cp)
{
    static const uint32_t ranges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                         {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                         {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (cp >= ranges[i][0] && cp <= ranges[i][1])
            return true;
    return false;
}

/* Control and format characters, and code points that are none. Of format characters our tables have
 * only that they are no wider than marks, but for the soft hyphen. */
static bool is_control(uint32_t cp)
{
    if (cp < 0x80)
        return cp < 0x20 || cp == 0x7F;
    unsigned f = cp <= 0x10FFFF ? unicode_flags(cp) : 0;
    return cp < 0xA0 || cp == 0xAD || cp == 0xFFFD || !(f & UNICODE_ASSIGNED) ||
           (unicode_width(cp) == 0 && !(f & (UNICODE_MARK | UNICODE_LETTER)));
}

/* Control characters go, all white space becomes blanks, blanks stand around CJK. */
static int run_bert_clean(const struct normalizer_step *step, const struct source *s,
                          struct edit *out)
{
    const char *end = s->text + s->length;
    uint32_t cp;
    for (size_t at = 0; at < s->length;) {
        size_t used = (size_t)character(s->text + at, end, &cp);
        struct origin range = source_range(s, at, used);
        bool space = cp == '\t' || cp == '\n' || cp == '\r' ||
                     (cp != UINT32_MAX && unicode_flags(cp) & UNICODE_SPACE);
        bool control = !space && is_control(cp);
        at += used;
        if (step->clean && control)
            continue;
        if (step->clean && space)
            TRY(edit_put(out, " ", 1, range));
        else if (step->cjk && is_cjk(cp)) {
            TRY(edit_put(out, " ", 1, range));
            TRY(edit_keep(out, s, at - used, used));
            TRY(edit_put(out, " ", 1, range));
        } else {
            TRY(edit_keep(out, s, at - used, used));
        }
    }
    return OK;
}

static int run_one(const struct normalizer_step *step, const struct source *s, struct edit *out)
{
    switch (step->kind) {
    case NORMALIZER_NFC:
        return run_form(NORMAL_NFC, s, out);
    case NORMALIZER_NFD:
        return run_form(NORMAL_NFD, s, out);
    case NORMALIZER_NFKC:
        return run_form(NORMAL_NFKC, s, out);
    case NORMALIZER_NFKD:
        return run_form(NORMAL_NFKD, s, out);
    case NORMALIZER_LOWERCASE:
        return run_lowercase(s, out);
    case NORMALIZER_STRIP:
        return run_strip(step, s, out);
    case NORMALIZER_STRIP_ACCENTS:
        return run_strip_accents(s, out);
    case NORMALIZER_PREPEND:
        if (s->length == 0)
            return OK;
        TRY(edit_put(out, step->to, step->to_length, source_range(s, 0, 0)));
        return edit_keep(out, s, 0, s->length);
    case NORMALIZER_REPLACE:
        return run_replace(step, s, out);
    case NORMALIZER_CHARSMAP:
        return normalizer_charsmap(step, s, out);
    case NORMALIZER_SENTENCEPIECE:
        return normalizer_sentencepiece(step, s, out);
    case NORMALIZER_BERT:
        return run_bert_clean(step, s, out);
    }
    return OK;
}

/* True when the step surely leaves the text alone, so that no copy is made. */
static bool changes_nothing(const struct normalizer_step *step, const struct source *s)
{
    switch (step->kind) {
    case NORMALIZER_NFC:
        return normalize_unchanged(NORMAL_NFC, s->text, s->length) == s->length;
    case NORMALIZER_NFD:
    case NORMALIZER_NFKC:
    case NORMALIZER_NFKD:
        return normalize_unchanged(NORMAL_NFD, s->text, s->length) == s->length;
    case NORMALIZER_REPLACE:
        return !step->pattern && !memmem(s->text, s->length, step->from, step->from_length);
    default:
        return false;
    }
}

int normalizer_run(const struct normalizer *n, const struct source *text, struct edit *out,
                   bool *changed)
{
    struct source s = *text;
    bool tracked = out->tracked;
    *changed = false;
    for (int i = 0; i < n->count; i++) {
        struct edit next = {.tracked = tracked};
        if (changes_nothing(&n->steps[i], &s))
            continue;
        int status = run_one(&n->steps[i], &s, &next);
        edit_free(out);
        if (status) {
            edit_free(&next);
            return status;
        }
        *out = next;
        s = edit_source(out, text);
        *changed = true;
    }
    return OK;
}
