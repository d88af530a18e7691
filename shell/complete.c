/* complete.c -- Tab over Lua values, without side effects.
 *
 * The text before the cursor is read with our own lexer, and the chain of names is walked raw: a
 * table's keys, the tables behind a raw __index, and the specifications of our own classes. An
 * __index that is a function ends the walk, calls are never made, and the collector rests
 * meanwhile, so that no finaliser of the user runs either. */
#include "shell/complete.h"
#include "kernels/base/mem.h"
#include "lua/bind.h"
#include "shell/lex.h"

#include <dirent.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <stdio.h>

#define TOKENS 400   /* before the cursor; what lies further back is not looked at */
#define HOPS 20      /* raw __index tables in a row */
#define BUDGET 20000 /* table entries looked at */
#define SHOWN 400

struct walk {
    lua_State *L;
    struct completion *out;
    const char *word;
    size_t word_length;
    bool fold; /* second try: ignore case */
    const char *suffix;
    int budget;
    struct lex_token t[TOKENS];
    int count;
};

/* --- offering ------------------------------------------------------------------------------------ */

static bool starts_with(const struct walk *w, const char *name)
{
    return w->fold ? !strncasecmp(name, w->word, w->word_length)
                   : !strncmp(name, w->word, w->word_length);
}

static void add(struct walk *w, const char *name, const char *suffix)
{
    struct completion *c = w->out;
    if (!starts_with(w, name))
        return;
    if (c->count >= SHOWN) {
        c->more++;
        return;
    }
    size_t n = strlen(name), m = strlen(suffix);
    if (mem_grow((void **)&c->names, &c->capacity, c->count + 1, sizeof *c->names))
        return;
    char *text = mem_alloc(n + m + 1);
    if (!text)
        return;
    memcpy(text, name, n);
    memcpy(text + n, suffix, m + 1);
    c->names[c->count++] = text;
}

static void add_name(void *ctx, const char *name)
{
    struct walk *w = ctx;
    add(w, name, w->suffix);
}

static bool is_identifier(const char *s)
{
    struct lex l = {s, s + strlen(s)};
    struct lex_token t = lex_next(&l);
    return t.kind == LEX_NAME && t.length == strlen(s);
}

/* Columns that are no identifiers cannot follow a dot. */
static void add_identifier(void *ctx, const char *name)
{
    if (is_identifier(name))
        add_name(ctx, name);
}

/* What follows a value of this kind: a call wants its bracket. */
static const char *suffix_of(lua_State *L, int arg)
{
    const struct lua_class *of = bind_class_table(L, arg);
    const struct lua_method *m;
    if (of)
        return !of->construct ? "." : of->options ? "{" : "(";
    if (!lua_isfunction(L, arg))
        return "";
    m = bind_method_of(L, arg, &of);
    return m && m->options && strchr(m->signature, '{') && !strchr(m->signature, '(') ? "{" : "(";
}

static void add_methods(struct walk *w, const struct lua_method *m)
{
    for (; m && m->name; m++)
        add(w, m->name, "(");
}

/* Keys of the table on top of the stack and of the tables behind its raw __index. Keeps the stack. */
static void add_keys(struct walk *w, bool only_functions)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    lua_pushvalue(L, -1);
    for (int hop = 0; hop < HOPS && lua_istable(L, -1); hop++) {
        const struct lua_class *c = bind_class_table(L, -1);
        if (c)
            add_methods(w, c->statics);
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            if (--w->budget < 0) {
                lua_settop(L, top);
                return;
            }
            if (lua_type(L, -2) != LUA_TSTRING || c)
                continue;
            const char *name = lua_tostring(L, -2);
            if (is_identifier(name) && (!only_functions || lua_isfunction(L, -1)))
                add(w, name, suffix_of(L, -1));
        }
        if (!lua_getmetatable(L, -1))
            break;
        lua_pushliteral(L, "__index");
        lua_rawget(L, -2);
    }
    lua_settop(L, top);
}

/* Members of the value on top of the stack, for '.' or ':'. */
static void add_members(struct walk *w, bool colon)
{
    lua_State *L = w->L;
    const struct lua_class *c = bind_class_of(L, -1);
    if (c) {
        if (colon) {
            add_methods(w, c->methods);
            return;
        }
        for (const struct lua_property *p = c->properties; p && p->name; p++)
            add(w, p->name, "");
        w->suffix = "";
        if (c->names)
            c->names(lua_touserdata(L, -1), add_identifier, w);
        return;
    }
    if (lua_type(L, -1) == LUA_TSTRING && colon) {
        lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
        lua_getfield(L, -1, "string");
        lua_replace(L, -2);
        add_keys(w, true);
        lua_pop(L, 1);
    } else if (lua_istable(L, -1)) {
        add_keys(w, colon);
    }
}

/* --- walking the chain of names --------------------------------------------------------------------- */

/* Replaces the value on top by its raw member 'key'; false leaves anything. */
static bool step(lua_State *L, const char *key, size_t length)
{
    for (int hop = 0; hop < HOPS && lua_istable(L, -1); hop++) {
        lua_pushlstring(L, key, length);
        if (lua_rawget(L, -2) != LUA_TNIL) {
            lua_replace(L, -2);
            return true;
        }
        lua_pop(L, 1);
        if (!lua_getmetatable(L, -1))
            return false;
        lua_pushliteral(L, "__index");
        lua_rawget(L, -2);
        lua_replace(L, -3);
        lua_pop(L, 1);
    }
    return false;
}

/* The value of the chain that ends before token 'end' ("a.b.c"): pushes it, or returns false. *method
 * is set when its last member is one of our methods (obj:method): nothing is pushed then. */
static bool push_chain(struct walk *w, int end, const struct lua_method **method)
{
    lua_State *L = w->L;
    int first = end - 1;
    *method = NULL;
    if (first < 0 || w->t[first].kind != LEX_NAME)
        return false;
    while (first >= 2 && (lex_is(&w->t[first - 1], ".") || lex_is(&w->t[first - 1], ":")) &&
           w->t[first - 2].kind == LEX_NAME)
        first -= 2;
    if (first > 0 && (lex_is(&w->t[first - 1], ".") || lex_is(&w->t[first - 1], ":")))
        return false; /* the result of a call or an index: unknown */
    int top = lua_gettop(L);
    lua_pushglobaltable(L);
    for (int i = first; i < end; i += 2) {
        const struct lua_class *c = bind_class_of(L, -1);
        for (const struct lua_method *m = c ? c->methods : NULL; m && m->name; m++)
            if (i == end - 1 && lex_is(&w->t[i], m->name))
                *method = m;
        if (*method || !step(L, w->t[i].start, w->t[i].length)) {
            lua_settop(L, top);
            return false;
        }
    }
    return true;
}

/* Options of what is called before token 'end': Class{ or object:method( or function(. */
static const struct option_table *options_before(struct walk *w, int end)
{
    const struct lua_method *m;
    const struct lua_class *c = NULL;
    const struct option_table *found = NULL;
    if (push_chain(w, end, &m)) {
        if ((c = bind_class_table(w->L, -1)))
            found = c->options;
        else if ((m = bind_method_of(w->L, -1, &c)))
            found = m->options;
        lua_pop(w->L, 1);
    } else if (m) {
        found = m->options;
    }
    return found;
}

/* The option table of the call whose braces the cursor is in, or NULL. 'end': tokens before it. */
static const struct option_table *enclosing_options(struct walk *w, int end)
{
    int depth = 0;
    for (int i = end - 1; i >= 0; i--) {
        if (lex_is(&w->t[i], "}") || lex_is(&w->t[i], ")") || lex_is(&w->t[i], "]"))
            depth++;
        else if (lex_is(&w->t[i], "{") || lex_is(&w->t[i], "(") || lex_is(&w->t[i], "["))
            depth--;
        if (depth >= 0)
            continue;
        if (!lex_is(&w->t[i], "{"))
            return NULL;
        const struct option_table *t = options_before(w, i);
        if (t)
            return t;
        for (int j = i - 1, nested = 0; j >= 0; j--) { /* f(x, { : look for the open bracket */
            if (lex_is(&w->t[j], ")") || lex_is(&w->t[j], "}"))
                nested++;
            else if (lex_is(&w->t[j], "{"))
                nested--;
            else if (lex_is(&w->t[j], "(") && nested-- == 0)
                return options_before(w, j);
            if (nested < 0)
                return NULL;
        }
        return NULL;
    }
    return NULL;
}

/* --- the kinds of places ------------------------------------------------------------------------------ */

static void add_options(struct walk *w, const struct option_table *t)
{
    for (int i = 0; t && i < t->count; i++)
        add(w, t->rows[i].name, " = ");
}

static void add_globals(struct walk *w)
{
    static const char *const words[] = {
        "and ",      "break",   "do ",   "else", "elseif ", "end",   "false", "for ",
        "function ", "goto ",   "if ",   "in ",  "local ",  "nil",   "not ",  "or ",
        "repeat ",   "return ", "then ", "true", "until ",  "while "};
    lua_pushglobaltable(w->L);
    add_keys(w, false);
    lua_pop(w->L, 1);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        add(w, words[i], "");
}

static void add_choices(struct walk *w, const struct option *o)
{
    for (const char *p = o->choices; p && *p;) {
        p += strspn(p, ", ");
        char name[80];
        size_t n = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        add(w, name, "\"");
        p += n;
    }
}

static void add_files(struct walk *w)
{
    char folder[1024], full[1400];
    const char *slash = memrchr(w->word, '/', w->word_length);
    size_t n = slash ? (size_t)(slash + 1 - w->word) : 0;
    if (n >= sizeof folder)
        return;
    snprintf(folder, sizeof folder, "%.*s", (int)n, w->word);
    DIR *d = opendir(n ? folder : ".");
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) && w->budget-- > 0;) {
        struct stat s;
        if (e->d_name[0] == '.' && (w->word_length == n || w->word[n] != '.'))
            continue;
        snprintf(full, sizeof full, "%s%s", folder, e->d_name);
        if (!stat(full, &s))
            add(w, full, S_ISDIR(s.st_mode) ? "/" : "\"");
    }
    closedir(d);
}

/* In an open text: a column in x[", a choice in option = ", else a file. 'n' tokens stand before. */
static void complete_text(struct walk *w, int n)
{
    const struct lua_method *m;
    if (n >= 2 && lex_is(&w->t[n - 1], "[") && push_chain(w, n - 1, &m)) {
        const struct lua_class *c = bind_class_of(w->L, -1);
        w->suffix = "\"]";
        if (c && c->names)
            c->names(lua_touserdata(w->L, -1), add_name, w);
        lua_pop(w->L, 1);
        return;
    }
    if (n >= 2 && lex_is(&w->t[n - 1], "=") && w->t[n - 2].kind == LEX_NAME) {
        const struct option_table *t = enclosing_options(w, n - 2);
        for (int i = 0; t && i < t->count; i++)
            if (lex_is(&w->t[n - 2], t->rows[i].name) && t->rows[i].choices) {
                add_choices(w, &t->rows[i]);
                return;
            }
    }
    add_files(w);
}

/* 'n' tokens stand before the word. */
static void complete_name(struct walk *w, int n)
{
    const struct lua_method *m;
    if (n >= 1 && (lex_is(&w->t[n - 1], ".") || lex_is(&w->t[n - 1], ":"))) {
        if (push_chain(w, n - 1, &m)) {
            add_members(w, lex_is(&w->t[n - 1], ":"));
            lua_pop(w->L, 1);
        }
        return;
    }
    if (n >= 1 && (lex_is(&w->t[n - 1], "{") || lex_is(&w->t[n - 1], ","))) {
        const struct option_table *t = enclosing_options(w, n);
        add_options(w, t);
        if (t && (w->out->count || !w->word_length))
            return;
    }
    if (w->word_length)
        add_globals(w);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads the tokens, keeps the last ones. */
static void read_tokens(struct walk *w, const char *text, size_t cursor)
{
    struct lex l = {text, text + cursor};
    w->count = 0;
    for (struct lex_token t = lex_next(&l); t.kind != LEX_END; t = lex_next(&l)) {
        if (w->count == TOKENS) {
            memmove(w->t, w->t + TOKENS / 2, sizeof w->t / 2);
            w->count = TOKENS / 2;
        }
        w->t[w->count++] = t;
    }
}

static int look(lua_State *L)
{
    struct walk *w = lua_touserdata(L, 1);
    const char *cursor = w->word; /* set by the caller to the end of the text */
    int n = w->count;
    struct lex_token *last = n ? &w->t[n - 1] : NULL;
    luaL_checkstack(L, 2 * HOPS + 20, NULL);
    if (last && (last->kind == LEX_COMMENT || (last->kind == LEX_LONG && last->open)))
        return 0;
    bool in_text = last && last->kind == LEX_STRING && last->open;
    bool in_name = last && (last->kind == LEX_NAME || last->kind == LEX_KEYWORD) &&
                   last->start + last->length == cursor;
    if (in_text || in_name)
        n--;
    w->word = in_text ? last->start + 1 : in_name ? last->start : cursor;
    w->word_length = (size_t)(cursor - w->word);
    for (w->fold = false;; w->fold = true) {
        if (in_text)
            complete_text(w, n);
        else
            complete_name(w, n);
        if (w->out->count || w->fold)
            return 0;
    }
}

void complete_at(lua_State *L, const char *text, size_t cursor, struct completion *out)
{
    static struct walk w; /* large; one thread only */
    *out = (struct completion){0};
    w.L = L;
    w.out = out;
    w.word = text + cursor;
    w.budget = BUDGET;
    w.suffix = "";
    read_tokens(&w, text, cursor);
    int top = lua_gettop(L), running = lua_gc(L, LUA_GCISRUNNING);
    lua_gc(L, LUA_GCSTOP);
    lua_pushcfunction(L, look);
    lua_pushlightuserdata(L, &w);
    lua_pcall(L, 1, 0, 0);
    lua_settop(L, top);
    if (running)
        lua_gc(L, LUA_GCRESTART);
    out->start = (size_t)(w.word - text);
    if (!out->count)
        return;
    qsort(out->names, (size_t)out->count, sizeof *out->names, compare);
    int kept = 1;
    for (int i = 1; i < out->count; i++) {
        if (!strcmp(out->names[i], out->names[kept - 1]))
            mem_free(out->names[i]);
        else
            out->names[kept++] = out->names[i];
    }
    out->count = kept;
}

void complete_free(struct completion *c)
{
    for (int i = 0; i < c->count; i++)
        mem_free(c->names[i]);
    mem_free(c->names);
    *c = (struct completion){0};
}

size_t complete_common(const struct completion *c)
{
    size_t n = c->count ? strlen(c->names[0]) : 0;
    for (int i = 1; i < c->count; i++) {
        size_t same = 0;
        while (same < n && c->names[0][same] == c->names[i][same])
            same++;
        n = same;
    }
    return n;
}
