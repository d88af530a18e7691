/* python.c -- recognises Python in what does not compile.
 *
 * Called only after the compiler refused a text, so a pattern that is also correct Lua in other
 * places (a '#' with a space) does no harm. One function per family of habits, tried in order. */
#include "shell/python.h"
#include "shell/lex.h"

#include <string.h>

#define TOKENS 512 /* of the lines that are looked at */

struct look {
    struct lex_token t[TOKENS];
    char inside[TOKENS]; /* the innermost open bracket around the token: ( [ { or 0 */
    int count;
};

static struct python_hint found(const struct lex_token *from, const struct lex_token *to,
                                const char *hint)
{
    return (struct python_hint){hint, from->start, (size_t)(to->start + to->length - from->start)};
}

static const struct python_hint nothing;

/* Two symbols without a space between. */
static bool pair(const struct look *k, int i, const char *a, const char *b)
{
    return i + 1 < k->count && lex_is(&k->t[i], a) && lex_is(&k->t[i + 1], b) &&
           k->t[i].start + k->t[i].length == k->t[i + 1].start;
}

static bool last_of_line(const struct look *k, int i)
{
    return i + 1 >= k->count || k->t[i + 1].newline;
}

static struct python_hint operators(const struct look *k, int i)
{
    static const char *const assigned[] = {"+", "-", "*", "/", "%", "//", "..", "^", "&", "|"};
    static const struct {
        const char *a, *b, *hint;
    } pairs[] = {
        {"!", "=", "in Lua write ~= for 'not equal'"},
        {"+", "+", "in Lua write x = x + 1"},
        {"&", "&", "in Lua write and"},
        {"|", "|", "in Lua write or"},
        {"*", "*", "in Lua write ^ for a power"},
        {"=", ">", "in Lua write function(x) return ... end"},
        {"<", ">", "in Lua write ~= for 'not equal'"},
        {"~", "==", "in Lua write ~= for 'not equal'"},
    };
    for (size_t j = 0; j < sizeof assigned / sizeof assigned[0]; j++)
        if (pair(k, i, assigned[j], "="))
            return found(&k->t[i], &k->t[i + 1], "in Lua write x = x + y");
    for (size_t j = 0; j < sizeof pairs / sizeof pairs[0]; j++)
        if (pair(k, i, pairs[j].a, pairs[j].b))
            return found(&k->t[i], &k->t[i + 1], pairs[j].hint);
    if (lex_is(&k->t[i], "!"))
        return found(&k->t[i], &k->t[i], "in Lua write not x");
    if (lex_is(&k->t[i], "?"))
        return found(&k->t[i], &k->t[i], "in Lua write condition and a or b");
    if (lex_is(&k->t[i], "#") &&
        (i == 0 || k->t[i].newline || i + 1 >= k->count || k->t[i].start + 1 < k->t[i + 1].start))
        return found(&k->t[i], &k->t[i], "in Lua a comment starts with --");
    if (lex_is(&k->t[i], "@") && (i == 0 || k->t[i].newline))
        return found(&k->t[i], &k->t[i], "Lua has no decorators; call the function yourself");
    if (lex_is(&k->t[i], "\\"))
        return found(&k->t[i], &k->t[i], "in Lua a line simply goes on; no \\ is needed");
    return nothing;
}

/* Words that begin a Python statement. */
static struct python_hint words(const struct look *k, int i)
{
    static const struct {
        const char *word, *hint;
    } table[] = {
        {"def", "in Lua write function name(x) ... end"},
        {"elif", "in Lua write elseif ... then"},
        {"import", "nothing needs importing here; a Lua module: local m = require \"m\""},
        {"from", "nothing needs importing here; a Lua module: local m = require \"m\""},
        {"class", "Lua has no classes; a table with functions does it"},
        {"try", "in Lua write local ok, err = pcall(function() ... end)"},
        {"except", "in Lua write local ok, err = pcall(function() ... end)"},
        {"finally", "in Lua write local ok, err = pcall(function() ... end)"},
        {"raise", "in Lua write error(\"message\")"},
        {"throw", "in Lua write error(\"message\")"},
        {"assert", "in Lua write assert(condition, \"message\")"},
        {"with", "in Lua write local f <close> = io.open(path)"},
        {"lambda", "in Lua write function(x) return ... end"},
        {"del", "in Lua write x = nil"},
        {"pass", "in Lua an empty block needs nothing in it"},
        {"continue", "in Lua write goto continue, and ::continue:: before end"},
        {"let", "in Lua write local x = ..., or just x = ..."},
        {"var", "in Lua write local x = ..., or just x = ..."},
        {"const", "in Lua write local x <const> = ..."},
        {"is", "in Lua write == (or ~= for 'is not')"},
        {"global", "in Lua a name is global unless it is local; nothing to write"},
        {"print", "in Lua write print(x)"},
        {"switch", "in Lua write if ... then ... elseif ... end"},
        {"None", "in Lua write nil"},
        {"True", "in Lua write true"},
        {"False", "in Lua write false"},
    };
    const struct lex_token *t = &k->t[i];
    if (t->kind != LEX_NAME || (i > 0 && (lex_is(t - 1, ".") || lex_is(t - 1, ":"))))
        return nothing;
    for (size_t j = 0; j < sizeof table / sizeof table[0]; j++) {
        if (!lex_is(t, table[j].word))
            continue;
        /* a word that is used as an ordinary name stays one */
        if (i + 1 < k->count && !t[1].newline &&
            (lex_is(t + 1, "(") || lex_is(t + 1, "=") || lex_is(t + 1, ".") || lex_is(t + 1, ",")))
            return nothing;
        return found(t, t, table[j].hint);
    }
    return nothing;
}

/* if x:   for i in x:   while x:   else:   a if c else b   x in y */
static struct python_hint blocks(const struct look *k, int i)
{
    const struct lex_token *t = &k->t[i];
    if (lex_is(t, ":") && last_of_line(k, i) && !k->inside[i]) {
        int first = i;
        while (first > 0 && !k->t[first].newline)
            first--;
        const struct lex_token *head = &k->t[first];
        if (lex_is(head, "if") || lex_is(head, "elif") || lex_is(head, "elseif"))
            return found(t, t, "in Lua write if ... then ... end");
        if (lex_is(head, "for") || lex_is(head, "while"))
            return found(t, t, "in Lua write do instead of the colon, and end at the end");
        if (lex_is(head, "else"))
            return found(t, t, "in Lua write else without a colon");
    }
    if (lex_is(t, "if") && i > 0 && !t->newline && !lex_is(t - 1, ";")) {
        for (int j = i + 1; j < k->count && !k->t[j].newline; j++) {
            if (lex_is(&k->t[j], "then"))
                return nothing;
            if (lex_is(&k->t[j], "else"))
                return found(t, t, "in Lua write condition and a or b");
        }
    }
    return nothing;
}

/* [1, 2]   {"a": 1}   f(x, name = 1)   x[1:3]   three quotes */
static struct python_hint literals(const struct look *k, int i)
{
    const struct lex_token *t = &k->t[i];
    if (lex_is(t, "[") &&
        (i == 0 || lex_is(t - 1, "=") || lex_is(t - 1, "(") || lex_is(t - 1, ",") ||
         lex_is(t - 1, "in") || lex_is(t - 1, "return")) &&
        k->inside[i] != '{')
        return found(t, t, "in Lua write { a, b } for a list");
    if (lex_is(t, ":") && i > 0 && k->inside[i] == '{' &&
        (t[-1].kind == LEX_STRING || t[-1].kind == LEX_NUMBER || t[-1].kind == LEX_NAME) && i > 1 &&
        (lex_is(t - 2, "{") || lex_is(t - 2, ",")))
        return found(t, t, "in Lua write { key = value }");
    if (lex_is(t, ":") && k->inside[i] == '[')
        return found(t, t, "in Lua write s:sub(a, b) for texts, t[{{a, b}}] for tensors");
    if (lex_is(t, "=") && i > 1 && k->inside[i] == '(' && t[-1].kind == LEX_NAME &&
        (lex_is(t - 2, "(") || lex_is(t - 2, ",")))
        return found(
            t - 1, t,
            "in Lua named arguments go in a table: f{ name = value } or f(x, { name = value })");
    if (t->kind == LEX_STRING && t->length == 2 && i + 1 < k->count && t[1].kind == LEX_STRING &&
        t[1].start == t->start + 2)
        return found(t, t, "in Lua write [[ ... ]] for a text of several lines");
    if (t->kind == LEX_STRING && i > 0 && t[-1].kind == LEX_NAME && t[-1].length == 1 &&
        t[-1].start + 1 == t->start && strchr("fFrRbBuU", *t[-1].start))
        return found(t - 1, t,
                     "in Lua write fmt(\"{name}\", row) for f\"...\", and no letter else");
    return nothing;
}

/* The tokens of lines from..to, with what bracket they stand in. */
static void collect(struct look *k, const char *text, size_t length, int from, int to)
{
    struct lex l = {text, text + length};
    char open[256];
    int depth = 0, line = 1;
    const char *at = text;
    k->count = 0;
    for (struct lex_token t = lex_code(&l); t.kind != LEX_END; t = lex_code(&l)) {
        for (; at < t.start; at++)
            line += *at == '\n';
        if (line > to || k->count == TOKENS)
            return;
        bool closes = lex_is(&t, ")") || lex_is(&t, "]") || lex_is(&t, "}");
        if (closes && depth > 0)
            depth--;
        if (line >= from) {
            k->inside[k->count] = depth > 0 && depth <= 256 ? open[depth - 1] : 0;
            k->t[k->count++] = t;
        }
        if (lex_is(&t, "(") || lex_is(&t, "[") || lex_is(&t, "{")) {
            if (depth < 256)
                open[depth] = *t.start;
            depth++;
        }
    }
}

struct python_hint python_look(const char *text, size_t length, int line)
{
    static struct python_hint (*const looks[])(const struct look *, int) = {words, operators,
                                                                            blocks, literals};
    static struct look k; /* too large for a small stack; used by one thread only */
    for (int back = 0; back < 2 && line - back >= 1; back++) {
        collect(&k, text, length, line - back, line);
        if (k.count)
            k.t[0].newline = true;
        for (size_t f = 0; f < sizeof looks / sizeof looks[0]; f++)
            for (int i = 0; i < k.count; i++) {
                struct python_hint h = looks[f](&k, i);
                if (h.hint)
                    return h;
            }
    }
    return nothing;
}
