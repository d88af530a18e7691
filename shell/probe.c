/* probe.c -- lorash.probe: the tests' view of memory, printing, completion and errors.
 *
 * fail_at(n, for_good) makes the n-th allocation from now fail; live() and calls() are counters;
 * show(value, width), help(name), complete(text) and compile(text) give as values what the prompt
 * would print or do. Not for people; nothing here is documented or promised. */
#include "shell/probe.h"
#include "kernels/base/mem.h"
#include "lua/bind.h"
#include "lua/help.h"
#include "shell/cell.h"
#include "shell/complete.h"
#include "shell/input.h"
#include "shell/python.h"
#include "shell/show.h"

#include <string.h>

static int fail_at(lua_State *L)
{
    lua_pushinteger(L, mem_fail_at(luaL_checkinteger(L, 1), lua_toboolean(L, 2)));
    return 1;
}

static int live(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT); /* finalisers run, */
    lua_gc(L, LUA_GCCOLLECT); /* their objects go */
    struct mem_stats s = mem_stats();
    lua_pushinteger(L, s.live_blocks);
    lua_pushinteger(L, s.live_bytes);
    return 2;
}

/* bytes() -> in use now, nothing collected first */
static int bytes(lua_State *L)
{
    lua_pushinteger(L, mem_stats().live_bytes);
    return 1;
}

static int live_line(lua_State *L)
{
    bind_terminal.live(luaL_optstring(L, 1, NULL));
    return 0;
}

static int show(lua_State *L)
{
    int width = (int)luaL_optinteger(L, 2, 80);
    luaL_checkany(L, 1);
    show_value(L, 1, width);
    return 1;
}

static int help(lua_State *L)
{
    help_text(L, luaL_optstring(L, 1, ""));
    return 1;
}

static int complete(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    struct completion c;
    complete_at(L, text, n, &c);
    lua_createtable(L, c.count, 0);
    for (int i = 0; i < c.count; i++) {
        lua_pushstring(L, c.names[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushinteger(L, (lua_Integer)c.start + 1);
    complete_free(&c);
    return 2;
}

/* compile(text) -> "ready", function, hide | "unfinished" | "wrong", message */
static int compile(lua_State *L)
{
    static const char *const names[] = {"ready", "unfinished", "wrong"};
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    struct cell cell;
    enum cell_state state = cell_compile(L, text, n, "=cell", true, &cell);
    lua_pushstring(L, names[state]);
    if (state == CELL_UNFINISHED)
        return 1;
    lua_insert(L, -2);
    lua_pushboolean(L, cell.hide);
    return 3;
}

/* python(text, line) -> hint, underlined */
static int python(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    struct python_hint h = python_look(text, n, (int)luaL_optinteger(L, 2, 1));
    if (!h.hint)
        return 0;
    lua_pushstring(L, h.hint);
    lua_pushlstring(L, h.start, h.length);
    return 2;
}

static int clean(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    char *copy = lua_newuserdatauv(L, n + 1, 0);
    memcpy(copy, text, n + 1);
    lua_pushlstring(L, copy, input_clean(copy, n));
    return 1;
}

/* classes() -> { {name =, doc =, members = { {name, signature, doc} ... }, options = {...}} ... } is
 * what the documentation tests walk; here as flat rows: kind, name, signature, doc. */
static void add_row(lua_State *L, const char *kind, const char *name, const char *signature,
                    const char *doc)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, kind);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, signature);
    lua_setfield(L, -2, "signature");
    lua_pushstring(L, doc);
    lua_setfield(L, -2, "doc");
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void add_options(lua_State *L, const struct option_table *t)
{
    for (int i = 0; t && i < t->count; i++)
        add_row(L, t->name, t->rows[i].name, options_type_name(t->rows[i].type), t->rows[i].doc);
}

static void add_methods(lua_State *L, const char *kind, const struct lua_method *m)
{
    for (; m && m->name; m++) {
        add_row(L, kind, m->name, m->signature, m->doc);
        add_options(L, m->options);
    }
}

static int specs(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; lua_classes[i]; i++) {
        const struct lua_class *c = lua_classes[i];
        bool callable = c->construct != NULL;
        add_row(L, "class", c->name, callable || !c->statics ? c->signature : c->name, c->doc);
        add_methods(L, c->name, c->methods);
        add_methods(L, c->name, c->statics);
        for (const struct lua_property *p = c->properties; p && p->name; p++)
            add_row(L, c->name, p->name, p->name, p->doc);
        add_options(L, c->options);
    }
    for (int i = 0; lua_functions[i]; i++)
        add_methods(L, "function", lua_functions[i]);
    for (int i = 0; option_tables[i]; i++)
        add_options(L, option_tables[i]);
    return 1;
}

struct search {
    const char *table, *name;
    const struct option *found;
    bool seen;
};

static void look_up(void *ctx, const struct option_table *t)
{
    struct search *s = ctx;
    if (s->seen || strcmp(t->name, s->table))
        return;
    s->seen = true;
    if (options_find(t, s->name, &s->found))
        s->found = NULL;
}

/* find_option(table, name) -> canonical name, or nil and the message */
static int find_option(lua_State *L)
{
    struct search s = {luaL_checkstring(L, 1), luaL_checkstring(L, 2), NULL, false};
    help_each_table(look_up, &s);
    if (!s.seen)
        return bind_error(L, "no option table '%s'", s.table);
    lua_pushstring(L, s.found ? s.found->name : NULL);
    lua_pushstring(L, s.found ? "" : status_message());
    return 2;
}

int probe_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"fail_at", fail_at},   {"live", live},
        {"bytes", bytes},       {"live_line", live_line},
        {"show", show},         {"help", help},
        {"complete", complete}, {"compile", compile},
        {"python", python},     {"clean", clean},
        {"specs", specs},       {"find_option", find_option},
        {NULL, NULL},
    };
    lua_getglobal(L, "lorash");
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "probe");
    lua_pop(L, 1);
    return 0;
}
