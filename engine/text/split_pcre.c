/* split_pcre.c -- patterns we have no splitter for, through PCRE2 (the only file that uses it).
 *
 * PCRE2's own tables are of an older Unicode than the tokenizer library's, so \p{L}, \p{N}, \s and
 * their complements are written out as ranges of our tables first. Patterns come from files: the
 * work for one match is limited, and a pattern that passes the limit is an error. */
#include "engine/text/split.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define PATTERN_BYTES (64 << 10)
#define MATCH_LIMIT 200000
#define HEAP_LIMIT_KIB (32 << 10)
#define JIT_STACK (1 << 20)

struct pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_general_context *general;
};

static void *pcre_alloc(size_t bytes, void *ctx)
{
    (void)ctx;
    return mem_alloc(bytes);
}

static void pcre_release(void *block, void *ctx)
{
    (void)ctx;
    mem_free(block);
}

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

static int prepare(struct pattern *m)
{
    m->match = pcre2_match_data_create(1, m->general);
    m->context = pcre2_match_context_create(m->general);
    if (!m->match || !m->context)
        return ERR_MEMORY;
    pcre2_set_match_limit(m->context, MATCH_LIMIT);
    pcre2_set_heap_limit(m->context, HEAP_LIMIT_KIB);
    if (pcre2_jit_compile(m->code, PCRE2_JIT_COMPLETE) != 0)
        return OK; /* without JIT it is slower and the same */
    m->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK, m->general);
    if (!m->stack)
        return ERR_MEMORY;
    pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return OK;
}

static int compile(struct pattern *m, const char *text, size_t length)
{
    struct rewrite r = {0};
    int error = 0, status = rewrite(text, text + length, &r);
    PCRE2_SIZE at = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(m->general);
    if (!status && !context)
        status = ERR_MEMORY;
    if (!status) {
        m->code =
            pcre2_compile((PCRE2_SPTR)r.bytes, (PCRE2_SIZE)r.count,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
                          &error, &at, context);
        if (!m->code) {
            PCRE2_UCHAR reason[160] = "";
            pcre2_get_error_message(error, reason, sizeof reason);
            status = error == PCRE2_ERROR_NOMEMORY || error == 121 /* failed to get memory */
                         ? ERR_MEMORY
                         : fail(ERR_FORMAT, "the pattern '%.*s' is not understood: %s",
                                (int)(length < 120 ? length : 120), text, (const char *)reason);
        }
    }
    pcre2_compile_context_free(context);
    mem_free(r.bytes);
    return status ? status : prepare(m);
}

int pattern_compile(const char *text, size_t length, struct pattern **out)
{
    if (length > PATTERN_BYTES)
        return fail(ERR_FORMAT, "a pattern of %zu bytes, at most %d are read", length,
                    PATTERN_BYTES);
    struct pattern *m = mem_calloc(1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    m->general = pcre2_general_context_create(pcre_alloc, pcre_release, NULL);
    int status = m->general ? compile(m, text, length) : ERR_MEMORY;
    if (status) {
        pattern_free(m);
        return status;
    }
    *out = m;
    return OK;
}

int pattern_next(const struct pattern *m, const char *p, const char *end, size_t from, bool *found,
                 size_t *start, size_t *stop)
{
    int rc =
        pcre2_match(m->code, (PCRE2_SPTR)p, (PCRE2_SIZE)(end - p), from, 0, m->match, m->context);
    *found = rc >= 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return OK;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return fail(ERR_MEMORY, "out of memory while matching a pattern");
    if (rc < 0) {
        PCRE2_UCHAR reason[160] = "";
        pcre2_get_error_message(rc, reason, sizeof reason);
        return fail(ERR_FORMAT,
                    "the tokenizer's pattern needs too much work for this text (%s); hint: cut "
                    "the text into shorter ones",
                    (const char *)reason);
    }
    const PCRE2_SIZE *ovector = pcre2_get_ovector_pointer(m->match);
    *start = ovector[0];
    *stop = ovector[1] < ovector[0] ? ovector[0] : ovector[1]; /* \K can turn them round */
    return OK;
}

void pattern_free(struct pattern *m)
{
    if (!m)
        return;
    pcre2_code_free(m->code);
    pcre2_match_data_free(m->match);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    pcre2_general_context_free(m->general);
    mem_free(m);
}
