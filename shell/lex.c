/* lex.c -- a tolerant reader of Lua's tokens.
 *
 * It reads what people type, unfinished and misspelt, so nothing is an error here: an open string
 * ends at its line, an unknown byte is a symbol of its own. No state but the position. */
#include "shell/lex.h"

#include <ctype.h>
#include <string.h>

static bool name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

static bool name_part(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

bool lex_is(const struct lex_token *t, const char *text)
{
    return t->kind != LEX_STRING && t->kind != LEX_LONG && t->length == strlen(text) &&
           !memcmp(t->start, text, t->length);
}

static bool keyword(const char *s, size_t n)
{
    static const char *const words[] = {"and",   "break", "do",       "else", "elseif", "end",
                                        "false", "for",   "function", "goto", "if",     "in",
                                        "local", "nil",   "not",      "or",   "repeat", "return",
                                        "then",  "true",  "until",    "while"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == n && !memcmp(words[i], s, n))
            return true;
    return false;
}

/* Level of a long bracket opening at p, or -1. */
static int long_level(const char *p, const char *end)
{
    int level = 0;
    for (p++; p < end && *p == '='; p++)
        level++;
    return p < end && *p == '[' ? level : -1;
}

/* Past the closing bracket of 'level'; *open when there is none. */
static const char *skip_long(const char *p, const char *end, int level, bool *open)
{
    for (; p < end; p++) {
        if (*p != ']')
            continue;
        const char *q = p + 1;
        int n = 0;
        while (q < end && *q == '=')
            q++, n++;
        if (n == level && q < end && *q == ']')
            return q + 1;
    }
    *open = true;
    return end;
}

static const char *skip_string(const char *p, const char *end, bool *open)
{
    char quote = *p++;
    while (p < end && *p != quote) {
        if (*p == '\n') {
            *open = true;
            return p;
        }
        if (*p == '\\' && p + 1 < end) {
            p++;
            if (*p == 'z')
                while (p + 1 < end && isspace((unsigned char)p[1]))
                    p++;
        }
        p++;
    }
    *open = p >= end;
    return p < end ? p + 1 : end;
}

static const char *skip_number(const char *p, const char *end)
{
    while (p < end &&
           (name_part(*p) || *p == '.' || ((*p == '+' || *p == '-') && strchr("eEpP", p[-1]))))
        p++;
    return p;
}

static size_t symbol_length(const char *p, const char *end)
{
    static const char *const symbols[] = {
        "...", "==", "~=", "<=", ">=", "//", "::", "<<", ">>", ".."};
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        size_t n = strlen(symbols[i]);
        if ((size_t)(end - p) >= n && !memcmp(p, symbols[i], n))
            return n;
    }
    return 1;
}

static const char *skip_comment(const char *p, const char *end, bool *open)
{
    p += 2;
    int level = p < end && *p == '[' ? long_level(p, end) : -1;
    if (level >= 0)
        return skip_long(p + level + 2, end, level, open);
    const char *line = memchr(p, '\n', (size_t)(end - p));
    return line ? line : end;
}

struct lex_token lex_next(struct lex *l)
{
    struct lex_token t = {.kind = LEX_END};
    const char *p = l->at, *end = l->end;
    for (; p < end && isspace((unsigned char)*p); p++)
        t.newline |= *p == '\n';
    t.start = p;
    if (p >= end) {
        l->at = p;
        return t;
    }
    int level;
    if (name_start(*p)) {
        while (p < end && name_part(*p))
            p++;
        t.kind = keyword(t.start, (size_t)(p - t.start)) ? LEX_KEYWORD : LEX_NAME;
    } else if (isdigit((unsigned char)*p) ||
               (*p == '.' && p + 1 < end && isdigit((unsigned char)p[1]))) {
        p = skip_number(p, end);
        t.kind = LEX_NUMBER;
    } else if (*p == '"' || *p == '\'') {
        p = skip_string(p, end, &t.open);
        t.kind = LEX_STRING;
    } else if (*p == '[' && (level = long_level(p, end)) >= 0) {
        p = skip_long(p + level + 2, end, level, &t.open);
        t.kind = LEX_LONG;
    } else if (*p == '-' && p + 1 < end && p[1] == '-') {
        p = skip_comment(p, end, &t.open);
        t.kind = LEX_COMMENT;
    } else {
        p += symbol_length(p, end);
        t.kind = LEX_SYMBOL;
    }
    t.length = (size_t)(p - t.start);
    l->at = p;
    return t;
}

struct lex_token lex_code(struct lex *l)
{
    bool newline = false;
    for (;;) {
        struct lex_token t = lex_next(l);
        newline |= t.newline;
        if (t.kind != LEX_COMMENT) {
            t.newline = newline;
            return t;
        }
    }
}

int lex_depth(const struct lex_token *t)
{
    static const char *const openers[] = {"(", "[", "{", "function", "do", "if", "repeat"};
    static const char *const closers[] = {")", "]", "}", "end", "until"};
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++)
        if (lex_is(t, openers[i]))
            return 1;
    for (size_t i = 0; i < sizeof closers / sizeof closers[0]; i++)
        if (lex_is(t, closers[i]))
            return -1;
    return 0;
}
