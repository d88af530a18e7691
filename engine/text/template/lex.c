/* lex.c -- outside tags, inside tags, and what is cut between. */
#include "engine/text/template/lex.h"
#include "engine/text/template/unescape.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BRACKETS = 256, NUMBER_BYTES = 128 };

struct lexer {
    struct heap *heap;
    const struct source *source;
    const char *p, *end;
    struct token_list *out;
    char open[BRACKETS]; /* the closing brackets that are due */
    int depth;
};

void lex_place(const struct source *source, uint32_t at, int *line, int *column)
{
    *line = *column = 1;
    for (uint32_t i = 0; i < at && i < source->length; i++) {
        char c = source->text[i];
        *line += c == '\n';
        *column = c == '\n' ? 1 : *column + (((unsigned char)c & 0xC0) != 0x80);
    }
}

int lex_fail(const struct source *source, uint32_t at, int code, const char *fmt, ...)
{
    char message[512];
    int line, column;
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    lex_place(source, at, &line, &column);
    return fail(code, "line %d, column %d: %s", line, column, message);
}

static uint32_t offset(const struct lexer *l, const char *p)
{
    return (uint32_t)(p - l->source->text);
}

static int add(struct lexer *l, struct token t)
{
    TRY(mem_grow((void **)&l->out->tokens, &l->out->capacity, l->out->count + 1, sizeof t));
    l->out->tokens[l->out->count++] = t;
    return OK;
}

static int add_text(struct lexer *l, enum token_type type, const char *text, size_t length)
{
    return add(l, (struct token){type, offset(l, text), (uint32_t)length, {.text = text}});
}

/* Bytes of the white space character at p; 0 = none. */
static int space(const char *p, const char *end)
{
    uint32_t cp;
    int n = utf8_decode(p, end, &cp);
    if (n && ((unicode_flags(cp) & UNICODE_SPACE) || (cp >= 0x1C && cp <= 0x1F)))
        return n;
    return 0;
}

static const char *skip_space(const char *p, const char *end)
{
    for (int n; (n = space(p, end)) > 0;)
        p += n;
    return p;
}

/* The end of [p, end) without its trailing white space. */
static const char *trimmed(const char *p, const char *end)
{
    while (end > p) {
        const char *last = end - 1;
        while (last > p && ((unsigned char)*last & 0xC0) == 0x80)
            last--;
        if (!space(last, end))
            break;
        end = last;
    }
    return end;
}

static bool starts(const struct lexer *l, const char *p, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(l->end - p) >= n && memcmp(p, word, n) == 0;
}

/* Text before a tag: '-' takes all white space; without '+' blanks behind the last line end go. */
static int add_data(struct lexer *l, const char *p, const char *end, char sign, bool print)
{
    if (sign == '-') {
        end = trimmed(p, end);
    } else if (sign != '+' && !print) {
        const char *line = end;
        while (line > p && line[-1] != '\n')
            line--;
        bool begins = line > p || p == l->source->text || p[-1] == '\n';
        if (begins && skip_space(line, end) == end)
            end = line;
    }
    return p < end ? add_text(l, TOKEN_DATA, p, (size_t)(end - p)) : OK;
}

/* Where text goes on after a closing tag with its sign in front. */
static const char *after_tag(const struct lexer *l, const char *p, char sign, bool print)
{
    if (sign == '-')
        return skip_space(p, l->end);
    if (sign != '+' && !print && p < l->end && *p == '\n')
        return p + 1;
    return p;
}

static int comment(struct lexer *l, const char *begin)
{
    for (const char *p = l->p; p < l->end; p++)
        if (starts(l, p, "#}")) {
            char sign = p > l->p && (p[-1] == '-' || p[-1] == '+') ? p[-1] : 0;
            l->p = after_tag(l, p + 2, sign, false);
            return OK;
        }
    return lex_fail(l->source, offset(l, begin), ERR_FORMAT,
                    "a comment without its end; wanted #}");
}

/* The word of a tag like {% raw %} at p, which stands behind "{%": the place behind the closing
 * bracket, NULL when it is another tag. */
static const char *word_tag(const struct lexer *l, const char *p, const char *word, char *sign)
{
    if (p < l->end && (*p == '-' || *p == '+'))
        p++;
    p = skip_space(p, l->end);
    if (!starts(l, p, word))
        return NULL;
    p = skip_space(p + strlen(word), l->end);
    *sign = 0;
    if (p < l->end && (*p == '-' || *p == '+'))
        *sign = *p++;
    return starts(l, p, "%}") ? p + 2 : NULL;
}

static int raw(struct lexer *l, const char *begin, const char *text, char sign)
{
    char end_sign = 0;
    if (sign == '-')
        text = skip_space(text, l->end);
    for (const char *p = text; p < l->end; p++) {
        const char *behind = starts(l, p, "{%") ? word_tag(l, p + 2, "endraw", &end_sign) : NULL;
        if (behind) {
            TRY(add_data(l, text, p, p[2], false));
            l->p = after_tag(l, behind, end_sign, false);
            return OK;
        }
    }
    return lex_fail(l->source, offset(l, begin), ERR_FORMAT,
                    "a raw block without its end; wanted {%% endraw %%}");
}

struct operator
{
    const char *text;
    enum token_type type;
};

static const struct operator operators[] = {
    {"//", TOKEN_FLOORDIV}, {"**", TOKEN_POW},   {"==", TOKEN_EQ},       {"!=", TOKEN_NE},
    {">=", TOKEN_GE},       {"<=", TOKEN_LE},    {"+", TOKEN_ADD},       {"-", TOKEN_SUB},
    {"*", TOKEN_MUL},       {"/", TOKEN_DIV},    {"%", TOKEN_MOD},       {"~", TOKEN_TILDE},
    {"<", TOKEN_LT},        {">", TOKEN_GT},     {"=", TOKEN_ASSIGN},    {".", TOKEN_DOT},
    {",", TOKEN_COMMA},     {":", TOKEN_COLON},  {";", TOKEN_SEMICOLON}, {"|", TOKEN_PIPE},
    {"(", TOKEN_LPAREN},    {")", TOKEN_RPAREN}, {"[", TOKEN_LBRACKET},  {"]", TOKEN_RBRACKET},
    {"{", TOKEN_LBRACE},    {"}", TOKEN_RBRACE},
};

/* Brackets must close in order; inside them "}}" and "%}" end no tag. */
static int balance(struct lexer *l, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (l->depth == BRACKETS)
            return lex_fail(l->source, offset(l, l->p), ERR_FORMAT,
                            "more than %d brackets inside one another", BRACKETS);
        l->open[l->depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (l->depth == 0)
            return lex_fail(l->source, offset(l, l->p), ERR_FORMAT,
                            "found '%c' without its opening bracket", c);
        if (l->open[l->depth - 1] != c)
            return lex_fail(l->source, offset(l, l->p), ERR_FORMAT, "found '%c', expected '%c'", c,
                            l->open[l->depth - 1]);
        l->depth--;
    }
    return OK;
}

static int operator_token(struct lexer *l)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (starts(l, l->p, operators[i].text)) {
            TRY(balance(l, *l->p));
            TRY(add_text(l, operators[i].type, l->p, strlen(operators[i].text)));
            l->p += strlen(operators[i].text);
            return OK;
        }
    uint32_t cp = 0;
    int n = utf8_decode(l->p, l->end, &cp);
    return lex_fail(l->source, offset(l, l->p), ERR_FORMAT,
                    "found '%.*s', which begins no expression", n ? n : 1, l->p);
}

static int string(struct lexer *l)
{
    const char *from = l->p + 1, *p = from;
    bool escapes = false;
    while (p < l->end && *p != *l->p) {
        escapes = escapes || *p == '\\';
        p += *p == '\\' && p + 1 < l->end ? 2 : 1;
    }
    if (p >= l->end)
        return lex_fail(l->source, offset(l, l->p), ERR_FORMAT, "a text without its closing %c",
                        *l->p);
    struct token t = {TOKEN_STRING, offset(l, l->p), (uint32_t)(p - from), {.text = from}};
    if (escapes) {
        char *text = heap_alloc(l->heap, (size_t)(p - from));
        if (!text)
            return ERR_MEMORY;
        long n = unescape_text(from, (size_t)(p - from), text);
        if (n < 0)
            return lex_fail(l->source, t.at, ERR_FORMAT, "a text with a bad \\ escape");
        t.as.text = text;
        t.length = (uint32_t)n;
    }
    l->p = p + 1;
    return add(l, t);
}

static bool digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* Behind a run of digits with single '_' between them. */
static const char *digits(const char *p, const char *end)
{
    while (digit(p, end) || (p < end && *p == '_' && digit(p + 1, end)))
        p++;
    return p;
}

/* Behind fraction and exponent at p; p itself when there are none. */
static const char *float_tail(const char *p, const char *end)
{
    if (p < end && *p == '.' && digit(p + 1, end))
        p = digits(p + 1, end);
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1;
        if (q < end && (*q == '+' || *q == '-'))
            q++;
        if (digit(q, end))
            p = digits(q, end);
    }
    return p;
}

/* Behind 0x, 0o, 0b and its digits, with the base; NULL when there is no such prefix. */
static const char *based(const char *p, const char *end, int *base)
{
    if (end - p < 3 || *p != '0')
        return NULL;
    char c = (char)(p[1] | 0x20);
    *base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    const char *q = p + 2;
    for (; *base && q < end; q++) {
        int v = *q >= '0' && *q <= '9'                     ? *q - '0'
                : (*q | 0x20) >= 'a' && (*q | 0x20) <= 'f' ? (*q | 0x20) - 'a' + 10
                                                           : 99;
        if (*q != '_' && v >= *base)
            break;
    }
    return *base && q > p + 2 ? q : NULL;
}

static int number(struct lexer *l)
{
    char text[NUMBER_BYTES];
    size_t n = 0;
    int base = 10;
    struct token t = {.type = TOKEN_INT, .at = offset(l, l->p)};
    const char *stop = based(l->p, l->end, &base), *from = l->p;
    if (stop) {
        from += 2;
    } else {
        base = 10;
        stop = digits(l->p, l->end);
        if (l->p == l->source->text || l->p[-1] != '.') {
            const char *tail = float_tail(stop, l->end);
            t.type = tail > stop ? TOKEN_FLOAT : TOKEN_INT;
            stop = tail;
        }
        if (t.type == TOKEN_INT && *l->p == '0') /* "01" is 0 and 1 */
            for (stop = l->p + 1; stop < l->end && *stop == '0';)
                stop++;
    }
    for (; from < stop && n < sizeof text - 1; from++)
        if (*from != '_')
            text[n++] = *from;
    text[n] = '\0';
    errno = 0;
    if (t.type == TOKEN_FLOAT)
        t.as.number = strtod(text, NULL);
    else
        t.as.integer = strtoll(text, NULL, base);
    if (from < stop || (t.type == TOKEN_INT && errno))
        return lex_fail(l->source, t.at, ERR_FORMAT, "a number that does not fit 64 bits");
    l->p = stop;
    return add(l, t);
}

static bool name_part(const char *p, const char *end, bool first, int *bytes)
{
    uint32_t cp;
    *bytes = utf8_decode(p, end, &cp);
    if (!*bytes || (first && cp >= '0' && cp <= '9'))
        return false;
    return cp == '_' || (unicode_flags(cp) & UNICODE_WORD);
}

static int name(struct lexer *l)
{
    const char *from = l->p;
    int n;
    while (l->p < l->end && name_part(l->p, l->end, l->p == from, &n))
        l->p += n;
    return add_text(l, TOKEN_NAME, from, (size_t)(l->p - from));
}

/* The closing tag at p with an optional sign; sets sign and returns where it stops, else NULL. */
static const char *closing(const struct lexer *l, bool print, char *sign)
{
    const char *p = l->p;
    *sign = 0;
    if (p < l->end && (*p == '-' || (*p == '+' && !print)))
        *sign = *p++;
    return starts(l, p, print ? "}}" : "%}") ? p + 2 : NULL;
}

/* One tag, from behind its opening bracket to behind its closing one. */
static int tag(struct lexer *l, const char *begin, bool print)
{
    l->depth = 0;
    for (;;) {
        char sign;
        int n;
        l->p = skip_space(l->p, l->end);
        const char *stop = l->depth ? NULL : closing(l, print, &sign);
        if (stop) {
            TRY(add_text(l, print ? TOKEN_PRINT_END : TOKEN_BLOCK_END, l->p,
                         (size_t)(stop - l->p)));
            l->p = after_tag(l, stop, sign, print);
            return OK;
        }
        if (l->p >= l->end)
            return lex_fail(l->source, offset(l, begin), ERR_FORMAT,
                            "a tag without its end; wanted %s", print ? "}}" : "%}");
        if (digit(l->p, l->end))
            TRY(number(l));
        else if (*l->p == '"' || *l->p == '\'')
            TRY(string(l));
        else if (name_part(l->p, l->end, true, &n))
            TRY(name(l));
        else
            TRY(operator_token(l));
    }
}

/* The next "{%", "{{" or "{#" at or behind p; 'end' when there is none. */
static const char *opening(const struct lexer *l, const char *p)
{
    for (;;) {
        p = p < l->end ? memchr(p, '{', (size_t)(l->end - p)) : NULL;
        if (!p || p + 1 >= l->end)
            return l->end;
        if (p[1] == '%' || p[1] == '{' || p[1] == '#')
            return p;
        p++;
    }
}

static int part(struct lexer *l)
{
    const char *text = l->p, *begin = opening(l, text);
    if (begin == l->end) {
        l->p = l->end;
        return add_text(l, TOKEN_DATA, text, (size_t)(l->end - text));
    }
    bool print = begin[1] == '{';
    const char *p = begin + 2, *behind;
    char sign = p < l->end && (*p == '-' || *p == '+') ? *p : 0, raw_sign = 0;
    TRY(add_data(l, text, begin, sign, print));
    if (begin[1] == '%' && (behind = word_tag(l, p, "raw", &raw_sign)) && raw_sign != '+')
        return raw(l, begin, behind, raw_sign);
    l->p = sign ? p + 1 : p;
    if (begin[1] == '#')
        return comment(l, begin);
    TRY(add_text(l, print ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN, begin, 2));
    return tag(l, begin, print);
}

/* A copy with '\n' line ends and without the last of them. */
static int normalized(struct heap *heap, const char *text, size_t length, struct source *source)
{
    char *copy = heap_alloc(heap, length);
    size_t n = 0;
    if (!copy)
        return ERR_MEMORY;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\r') {
            copy[n++] = '\n';
            i += i + 1 < length && text[i + 1] == '\n';
        } else {
            copy[n++] = text[i];
        }
    }
    if (n && copy[n - 1] == '\n')
        n--;
    *source = (struct source){copy, (uint32_t)n};
    return OK;
}

int lex_template(struct heap *heap, const char *text, size_t length, struct source *source,
                 struct token_list *out)
{
    if (length > TEMPLATE_BYTES)
        return fail(ERR_FORMAT, "%zu bytes, at most %d are read", length, TEMPLATE_BYTES);
    TRY(normalized(heap, text, length, source));
    struct lexer l = {.heap = heap, .source = source, .p = source->text, .out = out};
    l.end = source->text + source->length;
    size_t bad = utf8_valid(source->text, source->length);
    if (bad < source->length)
        return lex_fail(source, (uint32_t)bad, ERR_FORMAT, "bytes that are no UTF-8");
    while (l.p < l.end)
        TRY(part(&l));
    return add_text(&l, TOKEN_END, l.end, 0);
}

const char *lex_describe(const struct token *t, char *out, size_t bytes)
{
    int n = t->length < 40 ? (int)t->length : 40;
    switch (t->type) {
    case TOKEN_END:
        snprintf(out, bytes, "the end of the template");
        break;
    case TOKEN_DATA:
        snprintf(out, bytes, "text");
        break;
    case TOKEN_NAME:
        snprintf(out, bytes, "the name '%.*s'", n, t->as.text);
        break;
    case TOKEN_STRING:
        snprintf(out, bytes, "the text '%.*s'", n, t->as.text);
        break;
    case TOKEN_INT:
    case TOKEN_FLOAT:
        snprintf(out, bytes, "a number");
        break;
    default:
        snprintf(out, bytes, "'%.*s'", n, t->as.text);
    }
    return out;
}
