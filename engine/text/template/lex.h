/* lex.h -- the words of a chat template.
 *
 * Text between tags is cut as transformers sets Jinja up: trim_blocks (the line end behind a block
 * or comment goes), lstrip_blocks (blanks between the line's start and a block go), '-' and '+'
 * inside the brackets, one trailing newline of the template dropped. Comments leave no token, raw
 * blocks leave text. */
#ifndef ENGINE_TEXT_TEMPLATE_LEX_H
#define ENGINE_TEXT_TEMPLATE_LEX_H

#include "engine/text/template/heap.h"
#include <stdbool.h>

enum token_type {
    TOKEN_END,
    TOKEN_DATA, /* text outside tags */
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_NAME,
    TOKEN_STRING, /* text: unescaped */
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_ADD,
    TOKEN_SUB,
    TOKEN_MUL,
    TOKEN_DIV,
    TOKEN_FLOORDIV,
    TOKEN_MOD,
    TOKEN_POW,
    TOKEN_TILDE,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_ASSIGN,
    TOKEN_DOT,
    TOKEN_COMMA,
    TOKEN_COLON,
    TOKEN_SEMICOLON,
    TOKEN_PIPE,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_LBRACE,
    TOKEN_RBRACE,
};

struct token {
    enum token_type type;
    uint32_t at;     /* offset in the source */
    uint32_t length; /* of 'text' */
    union {
        const char *text; /* data, name, string, operators: not NUL-terminated */
        int64_t integer;
        double number;
    } as;
};

struct source {
    const char *text; /* line ends are '\n' */
    uint32_t length;
};

struct token_list {
    struct token *tokens; /* the last is TOKEN_END */
    int64_t count, capacity;
};

#define TEMPLATE_BYTES (1 << 20) /* longest template */

/* Copies the source into 'heap' and cuts it up. Start 'out' zeroed; its array is released with
 * mem_free, also after a failure. ERR_FORMAT with line and column. */
int lex_template(struct heap *heap, const char *text, size_t length, struct source *source,
                 struct token_list *out) MUST_CHECK;

/* A failure at a place of the source: "line 3, column 12: ...". */
int lex_fail(const struct source *source, uint32_t at, int code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

void lex_place(const struct source *source, uint32_t at, int *line, int *column);

/* "'%}'", "the name 'x'", "the end of the template": for messages. Returns out. */
const char *lex_describe(const struct token *t, char *out, size_t bytes);

#endif
