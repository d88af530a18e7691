/* cell.c -- compiling what is typed at the prompt.
 *
 * Up to three readings are tried: the whole as an expression, statements with a last expression,
 * statements alone. Only when all fail at the end of the text is it unfinished. The second reading
 * matters: stock Lua asks for more after "x = 1; y". */
#include "shell/cell.h"
#include "lua/open.h"
#include "shell/lex.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

#define LAST_STARTS 48 /* how many places near the end are tried as start of the last expression */

/* Pushes the function and returns true, or pushes the message. */
static bool load_parts(lua_State *L, const char *head, size_t head_length, const char *between,
                       const char *tail, size_t tail_length, const char *chunk_name)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addlstring(&b, head, head_length);
    luaL_addstring(&b, between);
    luaL_addlstring(&b, tail, tail_length);
    luaL_pushresult(&b);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    int status = open_load(L, text, length, chunk_name);
    lua_remove(L, -2);
    if (status == LUA_ERRMEM)
        lua_error(L);
    return status == LUA_OK;
}

/* Can an expression that is a statement of its own begin with this token? After a plain line break
 * only what cannot go on the line before: "x = f" and then "(g)" is one call in Lua. */
static bool may_start(const struct lex_token *t, bool after_semicolon)
{
    switch (t->kind) {
    case LEX_NAME:
        return true;
    case LEX_KEYWORD:
        return lex_is(t, "not") || lex_is(t, "nil") || lex_is(t, "true") || lex_is(t, "false") ||
               lex_is(t, "function");
    case LEX_NUMBER:
        return true;
    case LEX_STRING:
    case LEX_LONG:
        return after_semicolon;
    case LEX_SYMBOL:
        return after_semicolon ? strchr("({-~#.", *t->start) != NULL : *t->start == '#';
    default:
        return false;
    }
}

/* Fills 'starts' with the last places (in order) where a last expression could begin. */
static int find_starts(const char *text, size_t length, const char *starts[LAST_STARTS])
{
    struct lex l = {text, text + length};
    int depth = 0, n = 0;
    bool semicolon = false;
    for (struct lex_token t = lex_code(&l); t.kind != LEX_END; t = lex_code(&l)) {
        if (depth == 0 && t.start > text && may_start(&t, semicolon)) {
            if (n == LAST_STARTS) {
                memmove(starts, starts + 1, (LAST_STARTS - 1) * sizeof *starts);
                n--;
            }
            starts[n++] = t.start;
        }
        depth += lex_depth(&t);
        semicolon = lex_is(&t, ";");
    }
    return n;
}

static bool with_last_expression(lua_State *L, const char *text, size_t length,
                                 const char *chunk_name)
{
    const char *starts[LAST_STARTS];
    for (int n = find_starts(text, length, starts); n-- > 0;) {
        size_t head = (size_t)(starts[n] - text);
        if (load_parts(L, text, head, " return ", starts[n], length - head, chunk_name))
            return true;
        lua_pop(L, 1);
    }
    return false;
}

/* Did the compiler stop because the text ends? A short string cannot go on in the next line. */
static bool at_end(const char *message, char last)
{
    size_t n = strlen(message);
    if (strstr(message, ": unfinished string") && last != '\\')
        return false;
    return (n >= 5 && !strcmp(message + n - 5, "<eof>")) ||
           (n >= 7 && !strcmp(message + n - 7, "'<eof>'"));
}

/* The last code token is ';'. */
static bool ends_in_semicolon(const char *text, size_t length)
{
    struct lex l = {text, text + length};
    bool last = false;
    for (struct lex_token t = lex_code(&l); t.kind != LEX_END; t = lex_code(&l))
        last = lex_is(&t, ";");
    return last;
}

/* --- local at the prompt ----------------------------------------------------------------------- */

/* Reads the names after 'local' without moving l: where " = nil" must go (NULL = not needed), or
 * false when an attribute stands there. */
static bool read_names(struct lex l, const char **nil_at)
{
    struct lex_token name = lex_code(&l);
    *nil_at = NULL;
    if (lex_is(&name, "function"))
        return true;
    for (;;) {
        if (name.kind != LEX_NAME)
            return true; /* a syntax error: the compiler will say so */
        struct lex_token t = lex_code(&l);
        if (lex_is(&t, "<"))
            return false;
        if (lex_is(&t, "="))
            return true;
        if (!lex_is(&t, ",")) {
            *nil_at = name.start + name.length;
            return true;
        }
        name = lex_code(&l);
    }
}

/* Pushes the text with every 'local' outside blocks blanked out: a cell pasted from a notebook
 * keeps its names for the next cell. Lines and columns before the change stay as they are. */
static void push_promoted(lua_State *L, const char *text, size_t length, struct cell *out)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    struct lex l = {text, text + length};
    const char *done = text;
    int depth = 0;
    for (struct lex_token t = lex_code(&l); t.kind != LEX_END; t = lex_code(&l)) {
        const char *nil_at;
        if (depth == 0 && lex_is(&t, "local")) {
            if (!read_names(l, &nil_at)) {
                out->kept = true;
                continue;
            }
            luaL_addlstring(&b, done, (size_t)(t.start - done));
            luaL_addstring(&b, "     ");
            done = t.start + t.length;
            if (nil_at) {
                luaL_addlstring(&b, done, (size_t)(nil_at - done));
                luaL_addstring(&b, " = nil");
                done = nil_at;
            }
            out->promoted = true;
        }
        depth += lex_depth(&t);
    }
    luaL_addlstring(&b, done, (size_t)(text + length - done));
    luaL_pushresult(&b);
}

/* --- the cell ---------------------------------------------------------------------------------- */

/* Was an expression meant, so that its message tells more than the statement's? "1 + 2 3" is wrong at
 * its first token as a statement. */
static bool reads_as_expression(const char *text, size_t length, const char *statement_message)
{
    struct lex l = {text, text + length};
    struct lex_token t = lex_code(&l);
    const char *near = strstr(statement_message, "syntax error near '");
    if (near && near[19] && strchr("+-*/%^.~<>&|=", near[19]))
        return true;
    return t.kind == LEX_NUMBER || t.kind == LEX_STRING || t.kind == LEX_LONG || lex_is(&t, "-") ||
           lex_is(&t, "#") || lex_is(&t, "{") || lex_is(&t, "not");
}

/* The messages as expression and as statement lie on the stack: leaves the better one. */
static enum cell_state choose_message(lua_State *L, const char *text, size_t length)
{
    char last = length ? text[length - 1] : '\0';
    const char *statement = lua_tostring(L, -1), *expression = lua_tostring(L, -2);
    if (at_end(statement, last) || at_end(expression, last)) {
        lua_pop(L, 2);
        return CELL_UNFINISHED;
    }
    if (reads_as_expression(text, length, statement))
        lua_pop(L, 1);
    else
        lua_remove(L, -2);
    const char *end = strstr(lua_tostring(L, -1), "<eof> expected near ");
    if (end) { /* what stands behind a complete expression */
        const char *message = lua_tostring(L, -1);
        lua_pushlstring(L, message, (size_t)(end - message));
        lua_pushfstring(L, "unexpected %s", end + 20);
        lua_concat(L, 2);
        lua_remove(L, -2);
    }
    return CELL_WRONG;
}

static enum cell_state compile(lua_State *L, const char *text, size_t length,
                               const char *chunk_name)
{
    int top = lua_gettop(L);
    if (load_parts(L, "", 0, "return ", text, length, chunk_name))
        return CELL_READY;
    if (with_last_expression(L, text, length, chunk_name) ||
        load_parts(L, text, length, "", "", 0, chunk_name)) {
        lua_remove(L, top + 1);
        return CELL_READY;
    }
    return choose_message(L, text, length);
}

enum cell_state cell_compile(lua_State *L, const char *text, size_t length, const char *chunk_name,
                             bool promote, struct cell *out)
{
    *out = (struct cell){.hide = ends_in_semicolon(text, length)};
    int top = lua_gettop(L);
    if (promote) {
        push_promoted(L, text, length, out);
        text = lua_tolstring(L, -1, &length);
    }
    enum cell_state state = compile(L, text, length, chunk_name);
    if (promote)
        lua_remove(L, top + 1);
    return state;
}

int cell_indent(const char *text, size_t length)
{
    struct lex l = {text, text + length};
    int depth = 0;
    for (struct lex_token t = lex_code(&l); t.kind != LEX_END; t = lex_code(&l))
        depth += lex_depth(&t);
    return depth > 0 ? 2 * depth : 0;
}
