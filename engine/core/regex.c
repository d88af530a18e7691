/* regex.c -- regular expressions through PCRE2 (the only file that uses it).
 *
 * Memory comes from mem.h, so it is counted and can be made to fail. */
#include "engine/core/regex.h"
#include "kernels/base/mem.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_LIMIT 200000
#define HEAP_LIMIT_KIB (32 << 10)
#define JIT_STACK (1 << 20)
#define ERROR_NO_MEMORY 121 /* PCRE2's compile error "failed to allocate heap memory" */

struct regex {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_general_context *general;
};

static _Thread_local char reason[160];

const char *regex_reason(void)
{
    return reason;
}

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

static int prepare(struct regex *m)
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

static int compile(struct regex *m, const char *text, size_t length, int flags)
{
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    int error = 0;
    PCRE2_SIZE at = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(m->general);
    if (!context)
        return ERR_MEMORY;
    if (flags & REGEX_FULL)
        options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    m->code = pcre2_compile((PCRE2_SPTR)text, (PCRE2_SIZE)length, options, &error, &at, context);
    pcre2_compile_context_free(context);
    if (m->code)
        return prepare(m);
    if (error == PCRE2_ERROR_NOMEMORY || error == ERROR_NO_MEMORY)
        return ERR_MEMORY;
    pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof reason);
    return fail(ERR_FORMAT, "the pattern '%.*s' is not understood: %s",
                (int)(length < 120 ? length : 120), text, reason);
}

int regex_compile(const char *pattern, size_t length, int flags, struct regex **out)
{
    struct regex *m = mem_calloc(1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    m->general = pcre2_general_context_create(pcre_alloc, pcre_release, NULL);
    int status = m->general ? compile(m, pattern, length, flags) : ERR_MEMORY;
    if (status) {
        regex_free(m);
        return status;
    }
    *out = m;
    return OK;
}

int regex_find(const struct regex *m, const char *text, size_t length, size_t from, bool *found,
               size_t *start, size_t *stop)
{
    int rc =
        pcre2_match(m->code, (PCRE2_SPTR)text, (PCRE2_SIZE)length, from, 0, m->match, m->context);
    *found = rc >= 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return OK;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return fail(ERR_MEMORY, "out of memory while matching a pattern");
    if (rc < 0) {
        char why[160] = "";
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
        return fail(ERR_FORMAT,
                    "a pattern needs too much work for this text (%s); hint: cut the text into "
                    "shorter ones, or write the pattern without nested repetition",
                    why);
    }
    const PCRE2_SIZE *ovector = pcre2_get_ovector_pointer(m->match);
    *start = ovector[0];
    *stop = ovector[1] < ovector[0] ? ovector[0] : ovector[1]; /* \K can turn them round */
    return OK;
}

int regex_matches(const struct regex *r, const char *text, bool *found)
{
    size_t start, stop;
    return regex_find(r, text, strlen(text), 0, found, &start, &stop);
}

void regex_free(struct regex *m)
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
