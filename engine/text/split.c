/* split.c -- cuts text into pieces: the hand-written splitters and the rules around matches.
 *
 * The patterns, in order of preference at each place (L letter, N number, S white space):
 *   GPT-2    's 't 're 've 'm 'll 'd |  ?L+ |  ?N+ |  ?[^S L N]+ | S+(?!\S) | S+
 *   Llama-3  the same endings in any case | [^\r\n L N]?L+ | N{1,3} |  ?[^S L N]+[\r\n]*
 *            | S*[\r\n]+ | S+(?!\S) | S+
 *   Qwen-2   as Llama-3 with N alone */
#include "engine/text/split.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <string.h>

enum class_of { OTHER, LETTER, NUMBER, SPACE };

/* Class of the character at p and its bytes; a byte that is no UTF-8 is a symbol of its own. */
static inline enum class_of class_at(const char *p, const char *end, int *bytes)
{
    static const unsigned char ascii[128] = {
        ['\t'] = SPACE, ['\n'] = SPACE, ['\v'] = SPACE, ['\f'] = SPACE, ['\r'] = SPACE,
        [' '] = SPACE,  ['0'] = NUMBER, ['1'] = NUMBER, ['2'] = NUMBER, ['3'] = NUMBER,
        ['4'] = NUMBER, ['5'] = NUMBER, ['6'] = NUMBER, ['7'] = NUMBER, ['8'] = NUMBER,
        ['9'] = NUMBER, ['A'] = LETTER, ['B'] = LETTER, ['C'] = LETTER, ['D'] = LETTER,
        ['E'] = LETTER, ['F'] = LETTER, ['G'] = LETTER, ['H'] = LETTER, ['I'] = LETTER,
        ['J'] = LETTER, ['K'] = LETTER, ['L'] = LETTER, ['M'] = LETTER, ['N'] = LETTER,
        ['O'] = LETTER, ['P'] = LETTER, ['Q'] = LETTER, ['R'] = LETTER, ['S'] = LETTER,
        ['T'] = LETTER, ['U'] = LETTER, ['V'] = LETTER, ['W'] = LETTER, ['X'] = LETTER,
        ['Y'] = LETTER, ['Z'] = LETTER, ['a'] = LETTER, ['b'] = LETTER, ['c'] = LETTER,
        ['d'] = LETTER, ['e'] = LETTER, ['f'] = LETTER, ['g'] = LETTER, ['h'] = LETTER,
        ['i'] = LETTER, ['j'] = LETTER, ['k'] = LETTER, ['l'] = LETTER, ['m'] = LETTER,
        ['n'] = LETTER, ['o'] = LETTER, ['p'] = LETTER, ['q'] = LETTER, ['r'] = LETTER,
        ['s'] = LETTER, ['t'] = LETTER, ['u'] = LETTER, ['v'] = LETTER, ['w'] = LETTER,
        ['x'] = LETTER, ['y'] = LETTER, ['z'] = LETTER};
    unsigned char c = (unsigned char)*p;
    uint32_t cp;
    *bytes = 1;
    if (c < 128)
        return (enum class_of)ascii[c];
    int n = utf8_decode(p, end, &cp);
    if (n == 0)
        return OTHER;
    *bytes = n;
    unsigned f = unicode_flags(cp);
    return f & UNICODE_LETTER   ? LETTER
           : f & UNICODE_NUMBER ? NUMBER
           : f & UNICODE_SPACE  ? SPACE
                                : OTHER;
}

/* End of the run of 'class' at p, of at most 'most' characters. */
static const char *run_end(const char *p, const char *end, enum class_of class, int most)
{
    int bytes;
    while (p < end && most-- > 0 && class_at(p, end, &bytes) == class)
        p += bytes;
    return p;
}

#define ALL 0x7FFFFFFF

/* Bytes of 's 't 're 've 'm 'll 'd at p (which holds "'"), 0 = none. 'fold': in any case; of the
 * letters outside ASCII only the long s (U+017F) folds to one of these. */
static size_t ending(const char *p, const char *end, bool fold)
{
    char a = end - p > 1 ? p[1] : '\0', b = end - p > 2 ? p[2] : '\0';
    if (fold) {
        if (a == '\xC5' && b == '\xBF')
            return 3;
        a = a >= 'A' && a <= 'Z' ? (char)(a + 32) : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b + 32) : b;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    return 0;
}

/* White space at p: all of it at the end of the text, else all but the last character, which goes
 * with what follows; a single one stands alone. */
static size_t space_run(const char *p, const char *end)
{
    const char *q = p, *last = p;
    int bytes;
    while (q < end && class_at(q, end, &bytes) == SPACE) {
        last = q;
        q += bytes;
    }
    return (size_t)((q == end || last == p ? q : last) - p);
}

static size_t next_gpt2(const char *p, const char *end)
{
    size_t n = *p == '\'' ? ending(p, end, false) : 0;
    int bytes;
    if (n)
        return n;
    const char *q = *p == ' ' && p + 1 < end ? p + 1 : p;
    enum class_of c = class_at(q, end, &bytes);
    return c == SPACE ? space_run(p, end) : (size_t)(run_end(q, end, c, ALL) - p);
}

/* White space up to and with its last line break; 0 = there is none. */
static size_t through_last_break(const char *p, const char *end)
{
    const char *q = p, *stop = p;
    int bytes;
    while (q < end && class_at(q, end, &bytes) == SPACE) {
        if (*q == '\r' || *q == '\n')
            stop = q + 1;
        q += bytes;
    }
    return (size_t)(stop - p);
}

static size_t next_llama3(const char *p, const char *end, int digits)
{
    size_t n = *p == '\'' ? ending(p, end, true) : 0;
    int bytes, after;
    if (n)
        return n;
    enum class_of c = class_at(p, end, &bytes);
    if (c == LETTER)
        return (size_t)(run_end(p, end, LETTER, ALL) - p);
    if (c == NUMBER)
        return (size_t)(run_end(p, end, NUMBER, digits) - p);
    const char *q = p + bytes;
    enum class_of next = q < end ? class_at(q, end, &after) : SPACE;
    if (*p != '\r' && *p != '\n' && next == LETTER)
        return (size_t)(run_end(q, end, LETTER, ALL) - p);
    if (c == OTHER || (*p == ' ' && next == OTHER)) {
        q = run_end(c == OTHER ? p : q, end, OTHER, ALL);
        while (q < end && (*q == '\r' || *q == '\n'))
            q++;
        return (size_t)(q - p);
    }
    n = through_last_break(p, end);
    return n ? n : space_run(p, end);
}

/* Numeric characters, one or all; what is between them. */
static size_t next_digits(const char *p, const char *end, int most)
{
    int bytes;
    if (class_at(p, end, &bytes) == NUMBER)
        return (size_t)(run_end(p, end, NUMBER, most) - p);
    const char *q = p;
    while (q < end && class_at(q, end, &bytes) != NUMBER)
        q += bytes;
    return (size_t)(q - p);
}

size_t split_next(enum split_kind kind, const char *p, const char *end)
{
    switch (kind) {
    case SPLIT_GPT2:
        return next_gpt2(p, end);
    case SPLIT_LLAMA3:
        return next_llama3(p, end, 3);
    case SPLIT_QWEN2:
        return next_llama3(p, end, 1);
    case SPLIT_DIGIT:
        return next_digits(p, end, 1);
    case SPLIT_DIGITS:
        return next_digits(p, end, ALL);
    default:
        return (size_t)(end - p);
    }
}

static const struct {
    const char *pattern;
    enum split_kind kind;
} known[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     SPLIT_GPT2},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", SPLIT_GPT2},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     SPLIT_LLAMA3},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     SPLIT_QWEN2},
    {"\\p{N}", SPLIT_DIGIT},
};

int split_known(const char *pattern, size_t length)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (length == strlen(known[i].pattern) && memcmp(known[i].pattern, pattern, length) == 0)
            return (int)known[i].kind;
    return -1;
}

const char *split_pattern(enum split_kind kind)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].kind == kind)
            return known[i].pattern;
    return NULL;
}

/* --- pieces around matches */

struct cutter {
    const struct split_step *step;
    int (*emit)(void *, const char *, size_t);
    void *ctx;
    const char *held; /* a piece that may still grow; NULL = none */
    const char *held_end;
    bool held_match;
};

static int flush(struct cutter *c)
{
    const char *p = c->held;
    size_t n = p ? (size_t)(c->held_end - p) : 0;
    c->held = NULL;
    return n ? c->emit(c->ctx, p, n) : OK;
}

/* One stretch of text, a match or what lies between; applies the behaviour. */
static int stretch(struct cutter *c, const char *p, const char *end, bool match)
{
    bool joined = false;
    if (p == end)
        return OK;
    switch (c->step->behavior) {
    case SPLIT_REMOVED:
        return match ? OK : c->emit(c->ctx, p, (size_t)(end - p));
    case SPLIT_ISOLATED:
        return c->emit(c->ctx, p, (size_t)(end - p));
    case SPLIT_MERGED_PREVIOUS: /* a piece is closed by its match */
        joined = match && c->held && !c->held_match;
        break;
    case SPLIT_MERGED_NEXT:
        joined = !match && c->held && c->held_match;
        break;
    case SPLIT_CONTIGUOUS:
        joined = c->held && c->held_match == match;
        break;
    }
    if (joined) {
        c->held_end = end;
        c->held_match = c->step->behavior == SPLIT_CONTIGUOUS ? match : !c->held_match;
        return OK;
    }
    TRY(flush(c));
    c->held = p;
    c->held_end = end;
    c->held_match = match;
    return OK;
}

/* The next character of a class. */
static void find_character(const struct split_step *step, const char *p, const char *end,
                           size_t from, bool *found, size_t *start, size_t *stop)
{
    uint32_t cp;
    for (const char *q = p + from; q < end && !*found;) {
        int n = utf8_decode(q, end, &cp);
        *found = n && (step->kind == SPLIT_MARK ? unicode_is_punctuation(cp)
                                                : (unicode_flags(cp) & UNICODE_SPACE) != 0);
        *start = (size_t)(q - p);
        q += n ? n : 1;
        *stop = (size_t)(q - p);
    }
}

static int find_match(const struct split_step *step, const char *p, const char *end, size_t from,
                      bool *found, size_t *start, size_t *stop)
{
    *found = false;
    if (step->kind == SPLIT_PATTERN)
        return pattern_next(step->pattern, p, end, from, found, start, stop);
    if (step->kind == SPLIT_BLANK || step->kind == SPLIT_MARK) {
        find_character(step, p, end, from, found, start, stop);
        return OK;
    }
    const char *at =
        memmem(p + from, (size_t)(end - p) - from, step->literal, step->literal_length);
    *found = at != NULL;
    if (at) {
        *start = (size_t)(at - p);
        *stop = *start + step->literal_length;
    }
    return OK;
}

static int split_matches(const struct split_step *step, const char *p, const char *end,
                         int (*emit)(void *, const char *, size_t), void *ctx)
{
    struct cutter c = {.step = step, .emit = emit, .ctx = ctx};
    size_t length = (size_t)(end - p), done = 0, from = 0;
    while (from < length) {
        bool found = false;
        size_t start = 0, stop = 0;
        TRY(find_match(step, p, end, from, &found, &start, &stop));
        if (!found)
            break;
        if (start == stop) { /* an empty match cuts nothing: look further on */
            int bytes;
            if (start >= length)
                break;
            class_at(p + start, end, &bytes);
            from = start + (size_t)bytes;
            continue;
        }
        TRY(stretch(&c, p + done, p + start, step->invert));
        TRY(stretch(&c, p + start, p + stop, !step->invert));
        done = from = stop;
    }
    TRY(stretch(&c, p + done, end, step->invert));
    return flush(&c);
}

/* White space is dropped; what is left is cut where word characters meet others. */
static int split_words(const char *p, const char *end, int (*emit)(void *, const char *, size_t),
                       void *ctx)
{
    const char *start = p;
    int last = 0;
    while (p <= end) {
        uint32_t cp;
        int n = p < end ? utf8_decode(p, end, &cp) : 0, kind = 0; /* 0 white space, 1 word */
        if (p < end) {
            unsigned f = n ? unicode_flags(cp) : 0;
            kind = f & UNICODE_WORD ? 1 : f & UNICODE_SPACE ? 0 : 2;
        }
        if (kind != last && last && p > start)
            TRY(emit(ctx, start, (size_t)(p - start)));
        if (kind != last)
            start = p;
        last = kind;
        p += n ? n : 1;
    }
    return OK;
}

int split_each(const struct split_step *step, const char *p, const char *end,
               int (*emit)(void *ctx, const char *piece, size_t length), void *ctx)
{
    if (step->kind == SPLIT_WORDS)
        return split_words(p, end, emit, ctx);
    if (step->kind > SPLIT_WORDS)
        return split_matches(step, p, end, emit, ctx);
    while (p < end) {
        size_t n = split_next(step->kind, p, end);
        TRY(emit(ctx, p, n));
        p += n;
    }
    return OK;
}

void split_step_free(struct split_step *step)
{
    pattern_free(step->pattern);
    mem_free(step->literal);
    memset(step, 0, sizeof *step);
}
