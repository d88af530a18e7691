/* lex.h -- Lua's tokens, read tolerantly: for cells, completion and error hints. */
#ifndef SHELL_LEX_H
#define SHELL_LEX_H

#include <stdbool.h>
#include <stddef.h>

enum lex_kind {
    LEX_END,
    LEX_NAME,
    LEX_KEYWORD,
    LEX_NUMBER,
    LEX_STRING,  /* "..." or '...' */
    LEX_LONG,    /* [[...]] */
    LEX_COMMENT, /* one line or long */
    LEX_SYMBOL,  /* == ~= <= >= // :: << >> .. ... or one character */
};

struct lex_token {
    enum lex_kind kind;
    const char *start;
    size_t length;
    bool open;    /* a string or long bracket that is not closed */
    bool newline; /* a line break stands between the last token and this one */
};

struct lex {
    const char *at, *end;
};

/* The next token; LEX_END at the end. Never fails: a byte that is no Lua is a symbol. */
struct lex_token lex_next(struct lex *l);

/* As lex_next, but skips comments. */
struct lex_token lex_code(struct lex *l);

bool lex_is(const struct lex_token *t, const char *text);

/* How a token changes the nesting of blocks and brackets: +1, -1 or 0. */
int lex_depth(const struct lex_token *t);

#endif
