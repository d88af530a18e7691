/* help.c -- ?name and help(): the text comes from the specifications, nothing is written twice.
 *
 * A name is looked up as class, member of a class, function, option of any table, and at last as a
 * variable whose value tells its class. Nothing is called and no property is read on the way. */
#include "lua/help.h"
#include "engine/core/suggest.h"
#include "engine/text/unicode.h"
#include "lua/bind.h"
#include "lua/lib.h"
#include "lua/strict.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

extern const struct lua_method help_functions[];

#define LEFT 36 /* widest column of names; longer ones get a line of their own */

/* --- text -------------------------------------------------------------------------------------------- */

static int columns(const char *p, size_t n)
{
    int width = 0;
    uint32_t cp;
    for (const char *end = p + n; p < end;) {
        int bytes = utf8_decode(p, end, &cp);
        int w = bytes ? unicode_width(cp) : 1;
        width += w > 0 ? w : 0;
        p += bytes ? bytes : 1;
    }
    return width;
}

static void add_blanks(luaL_Buffer *b, int n)
{
    while (n-- > 0)
        luaL_addchar(b, ' ');
}

/* Words of 'text', from column 'at' on, wrapped to the width with 'indent' before the next lines. */
static void add_wrapped(luaL_Buffer *b, const char *text, int at, int indent)
{
    int width = bind_terminal.width() - 1;
    if (width > 110)
        width = 110; /* longer lines are hard to read */
    bool first = true;
    for (const char *p = text; *p;) {
        if (*p == ' ') {
            p++;
            continue;
        }
        size_t n = strcspn(p, " ");
        int w = columns(p, n);
        if (!first && at + 1 + w > width) {
            luaL_addchar(b, '\n');
            add_blanks(b, indent);
            at = indent;
        } else if (!first) {
            luaL_addchar(b, ' ');
            at++;
        }
        luaL_addlstring(b, p, n);
        at += w;
        p += n;
        first = false;
    }
    luaL_addchar(b, '\n');
}

/* "  left    right right right", right wrapped at its own column. */
static void add_row(luaL_Buffer *b, const char *left, int left_width, const char *right)
{
    int w = columns(left, strlen(left));
    luaL_addstring(b, "  ");
    luaL_addstring(b, left);
    if (w > left_width) {
        luaL_addchar(b, '\n');
        add_blanks(b, left_width + 4);
    } else {
        add_blanks(b, left_width - w + 2);
    }
    add_wrapped(b, right, left_width + 4, left_width + 4);
}

/* The first sentence of a text. */
static const char *first_sentence(const char *doc, char *out, size_t bytes)
{
    size_t n = strlen(doc);
    for (const char *p = doc; (p = strchr(p, '.')); p++)
        if ((p[1] == ' ' && isupper((unsigned char)p[2])) || p[1] == '\0') {
            n = (size_t)(p - doc);
            break;
        }
    snprintf(out, bytes, "%.*s", (int)n, doc);
    return out;
}

/* --- pages ------------------------------------------------------------------------------------------- */

static void option_left(const struct option *o, char *out, size_t bytes)
{
    bool quoted = o->type == OPTION_TEXT;
    if (o->preset)
        snprintf(out, bytes, quoted ? "%s = \"%s\"" : "%s = %s", o->name,
                 *o->preset || quoted ? o->preset : "{}");
    else
        snprintf(out, bytes, "%s", o->name);
}

static void add_option(luaL_Buffer *b, const struct option *o, int width)
{
    char left[160], right[1200], range[80] = "";
    option_left(o, left, sizeof left);
    if (o->min < o->max)
        snprintf(range, sizeof range, " from %g to %g", o->min, o->max);
    if (o->type == OPTION_REFUSED)
        snprintf(right, sizeof right, "%s (not available; %s)", o->doc, o->note);
    else if (o->type == OPTION_NOTE)
        snprintf(right, sizeof right, "%s%s%s", o->doc, o->note ? "; " : "",
                 o->note ? o->note : "");
    else
        snprintf(right, sizeof right, "%s (%s%s%s%s%s%s%s%s)", o->doc, options_type_name(o->type),
                 range, o->choices ? ": " : "", o->choices ? o->choices : "",
                 o->aliases ? "; also " : "", o->aliases ? o->aliases : "",
                 o->refused ? "; not available: " : "", o->refused ? o->refused : "");
    add_row(b, left, width, right);
}

static void add_options(luaL_Buffer *b, const struct option_table *t)
{
    int width = 12;
    char left[160];
    if (!t)
        return;
    luaL_addstring(b, "\nOptions:\n");
    for (int i = 0; i < t->count; i++) {
        option_left(&t->rows[i], left, sizeof left);
        int w = columns(left, strlen(left));
        if (w > width)
            width = w < LEFT ? w : LEFT;
    }
    for (int i = 0; i < t->count; i++)
        add_option(b, &t->rows[i], width);
}

static void add_method_rows(luaL_Buffer *b, const char *title, const struct lua_method *m)
{
    char text[400];
    if (!m || !m->name)
        return;
    luaL_addchar(b, '\n');
    luaL_addstring(b, title);
    luaL_addstring(b, ":\n");
    for (; m->name; m++)
        add_row(b, m->signature, LEFT, first_sentence(m->doc, text, sizeof text));
}

static void push_method(lua_State *L, const struct lua_method *m)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, m->signature);
    luaL_addchar(&b, '\n');
    luaL_addstring(&b, "  ");
    add_wrapped(&b, m->doc, 2, 2);
    add_options(&b, m->options);
    luaL_pushresult(&b);
}

static void push_class(lua_State *L, const struct lua_class *c)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, c->signature ? c->signature : c->name);
    luaL_addstring(&b, "\n  ");
    add_wrapped(&b, c->doc, 2, 2);
    add_options(&b, c->options);
    add_method_rows(&b, "Made by", c->statics);
    add_method_rows(&b, "Methods", c->methods);
    if (c->properties && c->properties->name)
        luaL_addstring(&b, "\nProperties:\n");
    for (const struct lua_property *p = c->properties; p && p->name; p++) {
        char text[400];
        snprintf(text, sizeof text, "%s%s", p->doc, p->set ? "" : " (read only)");
        add_row(&b, p->name, LEFT, text);
    }
    luaL_pushresult(&b);
}

static void push_property(lua_State *L, const struct lua_class *c, const struct lua_property *p)
{
    lua_pushfstring(L, "%s.%s%s\n  %s\n", c->name, p->name, p->set ? "" : " (read only)", p->doc);
}

/* {signature =, doc =} on top of the stack -> its page. */
static void push_lib_spec(lua_State *L)
{
    lua_getfield(L, -1, "signature");
    lua_getfield(L, -2, "doc");
    struct lua_method m = {.signature = lua_tostring(L, -2), .doc = lua_tostring(L, -1)};
    if (!m.signature || !m.doc)
        bind_error(L, "no text was written for this function");
    push_method(L, &m);
}

static void push_list(lua_State *L)
{
    luaL_Buffer b;
    char text[400];
    luaL_buffinit(L, &b);
    luaL_addstring(&b, "Classes:\n");
    for (int i = 0; lua_classes[i]; i++)
        add_row(&b, lua_classes[i]->name, 24,
                first_sentence(lua_classes[i]->doc, text, sizeof text));
    luaL_addstring(&b, "\nFunctions:\n");
    for (int i = 0; lua_functions[i]; i++)
        for (const struct lua_method *m = lua_functions[i]; m->name; m++)
            add_row(&b, m->name, 24, first_sentence(m->doc, text, sizeof text));
    luaL_pushresult(&b);
    lib_names(L);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (!lib_spec(L, -1))
            continue;
        lua_getfield(L, -1, "doc");
        const char *name = lua_tostring(L, -4);
        char row[600];
        snprintf(row, sizeof row, "  %-24s  %s\n", name,
                 first_sentence(lua_tostring(L, -1), text, sizeof text));
        lua_pop(L, 2);
        lua_pushvalue(L, -4); /* text so far */
        lua_pushstring(L, row);
        lua_concat(L, 2);
        lua_replace(L, -5);
    }
    lua_pop(L, 1);
    lua_pushliteral(L, "\n?name explains any of them, a method (?DataFrame.head) or an option.\n");
    lua_concat(L, 2);
}

/* --- looking up -------------------------------------------------------------------------------------- */

static const struct lua_class *find_class(const char *name)
{
    for (int i = 0; lua_classes[i]; i++)
        if (!strcmp(lua_classes[i]->name, name))
            return lua_classes[i];
    return NULL;
}

static const struct lua_method *find_method(const struct lua_method *m, const char *name)
{
    for (; m && m->name; m++)
        if (!strcmp(m->name, name))
            return m;
    return NULL;
}

static const struct lua_property *find_property(const struct lua_class *c, const char *name)
{
    for (const struct lua_property *p = c->properties; p && p->name; p++)
        if (!strcmp(p->name, name))
            return p;
    return NULL;
}

static bool is_option(const struct option *o, const char *name)
{
    if (!strcmp(o->name, name))
        return true;
    size_t n = strlen(name);
    for (const char *p = o->aliases; p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
        p += strspn(p, " ");
        if (!strncmp(p, name, n) && (p[n] == ',' || p[n] == '\0'))
            return true;
    }
    return false;
}

void help_each_table(void (*visit)(void *ctx, const struct option_table *t), void *ctx)
{
    for (int i = 0; lua_classes[i]; i++) {
        const struct lua_class *c = lua_classes[i];
        if (c->options)
            visit(ctx, c->options);
        for (const struct lua_method *m = c->methods; m && m->name; m++)
            if (m->options)
                visit(ctx, m->options);
        for (const struct lua_method *m = c->statics; m && m->name; m++)
            if (m->options)
                visit(ctx, m->options);
    }
    for (int i = 0; lua_functions[i]; i++)
        for (const struct lua_method *m = lua_functions[i]; m->name; m++)
            if (m->options)
                visit(ctx, m->options);
    for (int i = 0; option_tables[i]; i++)
        visit(ctx, option_tables[i]);
}

struct option_search {
    const char *name;
    const struct option_table *only; /* NULL = every table */
    const struct option_table *seen[64];
    int count;
    luaL_Buffer *b;
};

static void visit_option(void *ctx, const struct option_table *t)
{
    struct option_search *s = ctx;
    for (int i = 0; i < s->count; i++)
        if (s->seen[i] == t)
            return;
    for (int i = 0; i < t->count; i++) {
        if (!is_option(&t->rows[i], s->name) || s->count == 64)
            continue;
        s->seen[s->count++] = t;
        luaL_addstring(s->b, t->name);
        luaL_addstring(s->b, ":\n");
        add_option(s->b, &t->rows[i], LEFT);
        return;
    }
}

/* Pushes the page of an option name, or returns false. */
static bool push_option(lua_State *L, const char *name, const struct option_table *only)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    struct option_search s = {.name = name, .b = &b};
    if (only)
        visit_option(&s, only);
    else
        help_each_table(visit_option, &s);
    luaL_pushresult(&b);
    if (!s.count)
        lua_pop(L, 1);
    return s.count > 0;
}

static bool push_member(lua_State *L, const struct lua_class *c, const char *member)
{
    const struct lua_method *m = find_method(c->methods, member);
    if (!m)
        m = find_method(c->statics, member);
    if (m) {
        push_method(L, m);
        return true;
    }
    const struct lua_property *p = find_property(c, member);
    if (p) {
        push_property(L, c, p);
        return true;
    }
    return c->options && push_option(L, member, c->options);
}

/* Pushes the pages of every class member of that name ("head"), or returns false. */
static bool push_anywhere(lua_State *L, const char *member)
{
    int found = 0;
    lua_pushliteral(L, "");
    for (int i = 0; lua_classes[i]; i++) {
        const struct lua_class *c = lua_classes[i];
        const struct lua_method *m = find_method(c->methods, member);
        if (!m)
            m = find_method(c->statics, member);
        const struct lua_property *p = m ? NULL : find_property(c, member);
        if (!m && !p)
            continue;
        lua_pushfstring(L, "%s%s", found++ ? "\n" : "", c->name);
        lua_pushliteral(L, ": ");
        if (m)
            push_method(L, m);
        else
            push_property(L, c, p);
        lua_concat(L, 4);
    }
    if (!found)
        lua_pop(L, 1);
    return found > 0;
}

/* Pushes the page of the value on top of the stack, or returns false. */
static bool push_value(lua_State *L)
{
    const struct lua_class *c = bind_class_table(L, -1);
    if (!c)
        c = bind_class_of(L, -1);
    if (c) {
        push_class(L, c);
        return true;
    }
    const struct lua_method *m = bind_method_of(L, -1, &c);
    if (m) {
        push_method(L, m);
        return true;
    }
    if (lib_spec(L, -1)) {
        push_lib_spec(L);
        return true;
    }
    return false;
}

/* The raw value of "a.b.c"; pushes it, or returns false. */
static bool push_path(lua_State *L, const char *path)
{
    int top = lua_gettop(L);
    lua_pushglobaltable(L);
    while (*path) {
        size_t n = strcspn(path, ".:");
        if (!lua_istable(L, -1)) {
            lua_settop(L, top);
            return false;
        }
        lua_pushlstring(L, path, n);
        if (lua_rawget(L, -2) == LUA_TNIL) {
            lua_settop(L, top);
            return false;
        }
        path += n + (path[n] != '\0');
    }
    return true;
}

static void offer_option(void *ctx, const struct option_table *t)
{
    for (int i = 0; i < t->count; i++)
        suggest_try(ctx, t->rows[i].name);
}

static int unknown(lua_State *L, const char *name)
{
    const char *python = strict_python(name);
    if (python)
        return bind_error(L, "nothing is called '%.80s' here; %s", name, python);
    struct suggest s = {.wanted = name};
    for (int i = 0; lua_classes[i]; i++)
        suggest_try(&s, lua_classes[i]->name);
    for (int i = 0; lua_functions[i]; i++)
        for (const struct lua_method *m = lua_functions[i]; m->name; m++)
            suggest_try(&s, m->name);
    help_each_table(offer_option, &s);
    char hint[160];
    if (s.best)
        return bind_error(L, "nothing is called '%.80s'%s", name,
                          suggest_hint(&s, hint, sizeof hint));
    return bind_error(L, "nothing is called '%.80s'%s", name,
                      strict_hint(L, name, hint, sizeof hint));
}

static void no_member(lua_State *L, const struct lua_class *c, const char *member)
{
    char hint[160];
    struct suggest s = {.wanted = member};
    for (const struct lua_method *m = c->methods; m && m->name; m++)
        suggest_try(&s, m->name);
    for (const struct lua_method *m = c->statics; m && m->name; m++)
        suggest_try(&s, m->name);
    for (const struct lua_property *p = c->properties; p && p->name; p++)
        suggest_try(&s, p->name);
    bind_error(L, "%s has no member '%.80s'%s", c->name, member,
               suggest_hint(&s, hint, sizeof hint));
}

/* "DataFrame.head", "df:head", "load_dataset.split": pushes the page of what stands before 'last', or
 * returns false when that is nothing of ours. */
static bool push_dotted(lua_State *L, const char *name, const char *last)
{
    char owner[128];
    snprintf(owner, sizeof owner, "%.*s", (int)(last - name), name);
    const struct lua_class *c = find_class(owner);
    if (!c && push_path(L, owner)) {
        const struct lua_class *of;
        const struct lua_method *m = bind_method_of(L, -1, &of);
        if (m && m->options && push_option(L, last + 1, m->options))
            return true; /* load_dataset.split */
        c = bind_class_of(L, -1);
        lua_pop(L, 1);
    }
    if (c && !push_member(L, c, last + 1))
        no_member(L, c, last + 1);
    return c != NULL;
}

/* Members of any class and options of any table that have this name. */
static bool push_everywhere(lua_State *L, const char *name)
{
    bool member = push_anywhere(L, name);
    bool option = push_option(L, name, NULL);
    if (member && option) {
        lua_pushliteral(L, "\n");
        lua_insert(L, -2);
        lua_concat(L, 3);
    }
    return member || option;
}

void help_text(lua_State *L, const char *name)
{
    luaL_checkstack(L, 30, NULL);
    if (!*name) {
        push_list(L);
        return;
    }
    const struct lua_class *c = find_class(name);
    if (c) {
        push_class(L, c);
        return;
    }
    const char *last = strrchr(name, '.'), *colon = strrchr(name, ':');
    if (!last || (colon && colon > last))
        last = colon;
    if (last && push_dotted(L, name, last))
        return;
    bool exists = push_path(L, name);
    if (exists && push_value(L))
        return;
    if (push_everywhere(L, last && !exists ? last + 1 : name))
        return;
    if (!exists)
        unknown(L, name);
    char found[80];
    bind_describe(L, -1, found, sizeof found);
    lua_pushfstring(L,
                    lua_isfunction(L, -1)
                        ? "%s is a function of Lua or of your own; nothing more is "
                          "written about it\n"
                        : "%s is %s\n",
                    name, found);
}

void help_print(lua_State *L, const char *name)
{
    help_text(L, name);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    bind_write(text, length);
    lua_pop(L, 1);
}

static int help(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING || lua_isnone(L, 1)) {
        help_print(L, luaL_optstring(L, 1, ""));
        return 0;
    }
    char found[80];
    lua_settop(L, 1);
    if (!push_value(L))
        lua_pushfstring(L, "this is %s; help(\"name\") explains names\n",
                        bind_describe(L, 1, found, sizeof found));
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    bind_write(text, length);
    return 0;
}

const struct lua_method help_functions[] = {
    {"help", help, "help(name)",
     "Explains a class, method, function or option: help(\"DataFrame\"), help(\"DataFrame.head\"), "
     "help(\"learning_rate\"), help(df). Without a name it lists everything. At the prompt ?name "
     "does "
     "the same.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
