/* bind_options.c -- option tables filled from Lua tables.
 *
 * A table call like TrainingArguments{ ... } is checked against the rows of its option table: names,
 * types, ranges, choices. What means nothing here is accepted with a note, nothing is ignored. */
#include "lua/bind.h"

#include <stdlib.h>
#include <string.h>

static const char noted_key; /* registry[&noted_key] = set of notes already given */

/* The note of an option, once per session. */
static void note_once(lua_State *L, const struct option_table *t, const struct option *o)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &noted_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &noted_key);
    }
    lua_pushfstring(L, "%s.%s", t->name, o->name);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
        lua_pushvalue(L, -2);
        lua_pushboolean(L, 1);
        lua_rawset(L, -5);
        bind_note(L, "note: %s", o->note);
    }
    lua_pop(L, 3);
}

/* Pushes t[name] or t[alias] and returns how it was spelt, or NULL with nil pushed. 'where' is an
 * absolute index. Two spellings at once are an error. */
static const char *get_option(lua_State *L, int where, const struct option_table *t,
                              const struct option *o)
{
    const char *spelt = NULL;
    lua_pushstring(L, o->name);
    lua_pushvalue(L, -1); /* keep the spelling below its value */
    if (lua_rawget(L, where) != LUA_TNIL)
        spelt = o->name;
    for (const char *p = o->aliases; p && *p;) {
        p += strspn(p, ", ");
        size_t n = strcspn(p, ",");
        lua_pushlstring(L, p, n);
        p += n;
        lua_pushvalue(L, -1);
        if (lua_rawget(L, where) == LUA_TNIL) {
            lua_pop(L, 2);
            continue;
        }
        if (spelt)
            bind_error(L, "%s: '%s' and '%s' are the same option; hint: give one of them", t->name,
                       spelt, lua_tostring(L, -2));
        spelt = lua_tostring(L, -2);
        lua_replace(L, -3);
        lua_replace(L, -3);
    }
    lua_remove(L, -2); /* the text lives on as the table's own key */
    return spelt;
}

void bind_field(lua_State *L, int arg, const struct option_table *table, const char *name)
{
    arg = lua_absindex(L, arg);
    const struct option *o;
    if (lua_type(L, arg) != LUA_TTABLE) {
        lua_pushnil(L);
        return;
    }
    bind_check(L, options_find(table, name, &o));
    get_option(L, arg, table, o);
}

static void wrong_option(lua_State *L, const struct option_table *t, const struct option *o)
{
    char found[80];
    bind_error(L, "%s: %s wants %s, found %s; hint: %s", t->name, o->name,
               options_type_name(o->type), bind_describe(L, -1, found, sizeof found), o->doc);
}

/* The sequence on top as a list of texts. The pointers stay valid: 'anchor' is a Lua table that
 * holds every text, and the array itself is a userdata. */
static int set_list(lua_State *L, const struct option_table *t, const struct option *o,
                    void *config)
{
    int list = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    lua_Integer keys = 0;
    for (lua_pushnil(L); lua_next(L, list); lua_pop(L, 1))
        keys++;
    if (keys != n || n > 1000000 || o->type != OPTION_LIST) {
        lua_settop(L, list);
        wrong_option(L, t, o);
    }
    lua_createtable(L, (int)n, 0);
    const char **items = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *items, 0);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, list, i + 1);
        if (!lua_isstring(L, -1)) {
            char found[80];
            bind_error(L, "%s: %s wants texts, item %lld is %s", t->name, o->name, i + 1,
                       bind_describe(L, -1, found, sizeof found));
        }
        items[i] = lua_tostring(L, -1); /* converts our copy, not the user's number */
        lua_rawseti(L, list + 1, i + 1);
    }
    int status = options_set_list(t, o, config, items, (int)n);
    lua_settop(L, list);
    return status;
}

/* The table on top of names and numbers, { q_proj = 4 }, in the order of the names; or of pairs,
 * { {"q_proj", 4} }, in their own order. Names and numbers are gathered in Lua first. */
struct pair {
    const char *name; /* kept by the user's table, or by the list at 'anchor' */
    double value;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

/* (name, number) on top: into 'p'; pops both. */
static void take_pair(lua_State *L, const struct option_table *t, const struct option *o,
                      struct pair *p)
{
    char found[80];
    if (lua_type(L, -2) != LUA_TSTRING)
        bind_error(L, "%s: %s: names are texts, found %s; hint: %s", t->name, o->name,
                   bind_describe(L, -2, found, sizeof found), o->doc);
    p->name = lua_tostring(L, -2);
    if (lua_type(L, -1) != LUA_TNUMBER)
        bind_error(L, "%s: %s: '%s' wants a number, found %s; hint: %s", t->name, o->name, p->name,
                   bind_describe(L, -1, found, sizeof found), o->doc);
    p->value = lua_tonumber(L, -1);
    lua_pop(L, 2);
}

static int set_numbers(lua_State *L, const struct option_table *t, const struct option *o,
                       void *config)
{
    int list = lua_gettop(L);
    lua_Integer n = 0, ordered = (lua_Integer)lua_rawlen(L, list);
    for (lua_pushnil(L); lua_next(L, list); lua_pop(L, 1))
        n++;
    if (n > 100000 || (ordered && ordered != n))
        bind_error(L, "%s: %s wants names and numbers, { name = number }; hint: %s", t->name,
                   o->name, o->doc);
    struct pair *pairs = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *pairs, 0);
    const char **names = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *names, 0);
    double *values = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *values, 0);
    lua_Integer at = 0;
    for (lua_Integer i = 1; i <= ordered; i++) {
        char found[80];
        if (lua_rawgeti(L, list, i) != LUA_TTABLE || lua_rawlen(L, -1) != 2)
            bind_error(L, "%s: %s wants { name = number }, item %lld is %s; hint: %s", t->name,
                       o->name, i, bind_describe(L, -1, found, sizeof found), o->doc);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        take_pair(L, t, o, &pairs[at++]);
        lua_pop(L, 1);
    }
    for (lua_pushnil(L); !ordered && lua_next(L, list);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        take_pair(L, t, o, &pairs[at++]);
    }
    if (!ordered)
        qsort(pairs, (size_t)at, sizeof *pairs, by_name);
    for (lua_Integer i = 0; i < at; i++) {
        names[i] = pairs[i].name;
        values[i] = pairs[i].value;
    }
    int status = options_set_numbers(t, o, config, names, values, (int)at);
    lua_settop(L, list);
    return status;
}

static bool is_empty(lua_State *L, int table)
{
    lua_pushnil(L);
    if (!lua_next(L, table))
        return true;
    lua_pop(L, 2);
    return false;
}

/* Sets option 'o' from the value on top of the stack. */
static void set_option(lua_State *L, const struct option_table *t, const struct option *o,
                       void *config)
{
    int status = OK;
    if (o->type == OPTION_NOTE || o->type == OPTION_OBJECT)
        return;
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        status = options_set_bool(t, o, config, lua_toboolean(L, -1));
        break;
    case LUA_TNUMBER:
        status = lua_isinteger(L, -1) ? options_set_int(t, o, config, lua_tointeger(L, -1))
                                      : options_set_number(t, o, config, lua_tonumber(L, -1));
        break;
    case LUA_TSTRING:
        status = options_set_text(t, o, config, lua_tostring(L, -1));
        break;
    case LUA_TTABLE:
        if (o->type == OPTION_REFUSED && is_empty(L, lua_gettop(L)))
            break;
        if (o->type == OPTION_REFUSED)
            status = options_set_list(t, o, config, NULL, 0);
        else if (o->type == OPTION_NUMBERS)
            status = set_numbers(L, t, o, config);
        else
            status = set_list(L, t, o, config);
        break;
    default:
        wrong_option(L, t, o);
    }
    bind_check(L, status);
}

/* Every text key must be a known option; positions are the caller's. */
static void check_names(lua_State *L, int arg, const struct option_table *table)
{
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        const struct option *o;
        char found[80];
        if (lua_type(L, -2) == LUA_TSTRING)
            bind_check(L, options_find(table, lua_tostring(L, -2), &o));
        else if (!lua_isinteger(L, -2))
            bind_error(L, "%s: option names are texts, found %s", table->name,
                       bind_describe(L, -2, found, sizeof found));
    }
}

void bind_options(lua_State *L, int arg, const struct option_table *table, void *config)
{
    if (lua_isnoneornil(L, arg))
        return;
    arg = lua_absindex(L, arg);
    char found[80];
    if (lua_type(L, arg) != LUA_TTABLE)
        bind_error(L, "%s wants a table of options, found %s; hint: write %s{ name = value }",
                   table->name, bind_describe(L, arg, found, sizeof found), table->name);
    luaL_checkstack(L, 10, NULL);
    check_names(L, arg, table);
    for (int i = 0; i < table->count; i++) { /* table order: messages do not depend on hashing */
        const struct option *o = &table->rows[i];
        const char *spelt = get_option(L, arg, table, o);
        if (spelt) {
            set_option(L, table, o, config);
            if (o->note && (o->type == OPTION_NOTE || strcmp(spelt, o->name) != 0))
                note_once(L, table, o);
        }
        lua_pop(L, 1);
    }
}
