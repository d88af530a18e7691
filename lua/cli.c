/* cli.c -- the command line of a recipe: args = cli(TrainingArguments{...}).
 *
 * The words after the recipe's name override fields of a configuration object, by the same option
 * table that checked the table call. cli works on every object whose class has an option table and
 * whose memory begins with the configuration struct. Nothing is overridden that was not named. */
#include "engine/core/suggest.h"
#include "lua/bind.h"

#include <stdio.h>
#include <string.h>

extern const struct lua_method cli_functions[];

struct cli {
    lua_State *L;
    const struct option_table *table; /* NULL = the recipe has only options of its own */
    void *config;
    int own;    /* stack index of the recipe's own options, 0 = none */
    int result; /* stack index of their values */
    int words;  /* stack index of arg */
    lua_Integer at, count, positional;
};

/* --- the recipe's own options -------------------------------------------------------------------------- */

/* Type of the recipe's own option 'name' (its default's), or LUA_TNIL. */
static int own_type(struct cli *c, const char *name)
{
    if (!c->own)
        return LUA_TNIL;
    int type = lua_getfield(c->L, c->own, name);
    lua_pop(c->L, 1);
    return type;
}

static void set_own(struct cli *c, const char *name, const char *value)
{
    lua_State *L = c->L;
    switch (own_type(c, name)) {
    case LUA_TNUMBER:
        if (!lua_stringtonumber(L, value))
            bind_exit(L, 2, "--%s wants a number, found '%.60s'", name, value);
        break;
    case LUA_TBOOLEAN:
        if (strcmp(value, "true") && strcmp(value, "false"))
            bind_exit(L, 2, "--%s wants true or false, found '%.60s'", name, value);
        lua_pushboolean(L, !strcmp(value, "true"));
        break;
    default:
        lua_pushstring(L, value);
    }
    lua_setfield(L, c->result, name);
}

/* --- help ---------------------------------------------------------------------------------------------- */

static void add_line(luaL_Buffer *b, const char *name, const char *value, const char *doc)
{
    char left[200], line[1200];
    snprintf(left, sizeof left, "--%s%s%s", name, *value ? " " : "", value);
    snprintf(line, sizeof line, "  %-36s  %s\n", left, doc);
    luaL_addstring(b, line);
}

/* The recipe's own options with their values, by name. */
static void print_own(struct cli *c)
{
    lua_State *L = c->L;
    const char *last = "", *next;
    do {
        next = NULL;
        if (c->own)
            for (lua_pushnil(L); lua_next(L, c->own); lua_pop(L, 1)) {
                const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
                if (name && strcmp(name, last) > 0 && (!next || strcmp(name, next) < 0))
                    next = name; /* the table holds it */
            }
        if (next) {
            char line[400];
            lua_getfield(L, c->own, next);
            snprintf(line, sizeof line, "  --%s %s\n", next, luaL_tolstring(L, -1, NULL));
            bind_write(line, strlen(line));
            lua_pop(L, 2);
            last = next;
        }
    } while (next);
}

static int print_help(struct cli *c)
{
    lua_State *L = c->L;
    luaL_Buffer b;
    char value[120];
    lua_rawgeti(L, c->words, 0);
    const char *recipe = lua_tostring(L, -1);
    luaL_buffinit(L, &b);
    luaL_addstring(&b, "usage: lorash ");
    luaL_addstring(&b, recipe ? recipe : "recipe.lua");
    luaL_addstring(&b, " [--option value ...]");
    lua_Integer names = c->own ? (lua_Integer)lua_rawlen(L, c->own) : 0;
    for (lua_Integer i = 1; i <= names; i++) {
        lua_rawgeti(L, c->own, i);
        snprintf(value, sizeof value, " [%s]", lua_tostring(L, -1));
        lua_pop(L, 1);
        luaL_addstring(&b, value);
    }
    luaL_addstring(&b, "\n\n");
    luaL_pushresult(&b);
    bind_write(lua_tostring(L, -1), lua_rawlen(L, -1));
    print_own(c);
    luaL_buffinit(L, &b);
    for (int i = 0; c->table && i < c->table->count; i++) {
        const struct option *o = &c->table->rows[i];
        if (o->type == OPTION_OBJECT || o->type == OPTION_NOTE || o->type == OPTION_REFUSED)
            continue;
        options_show(o, c->config, value, sizeof value);
        add_line(&b, o->name, value, o->doc);
    }
    luaL_addstring(&b, "\nThe values shown are those of the recipe.\n");
    luaL_pushresult(&b);
    bind_write(lua_tostring(L, -1), lua_rawlen(L, -1));
    return bind_exit(L, 0, "%s", "");
}

/* --- reading the words --------------------------------------------------------------------------------- */

static int unknown_option(struct cli *c, const char *name)
{
    lua_State *L = c->L;
    struct suggest s = {.wanted = name};
    char hint[160];
    for (int i = 0; c->table && i < c->table->count; i++)
        suggest_try(&s, c->table->rows[i].name);
    if (c->own)
        for (lua_pushnil(L); lua_next(L, c->own); lua_pop(L, 1))
            if (lua_type(L, -2) == LUA_TSTRING)
                suggest_try(&s, lua_tostring(L, -2));
    suggest_try(&s, "help");
    suggest_hint(&s, hint, sizeof hint);
    return bind_exit(L, 2, "unknown option '--%.60s'%s", name,
                     *hint ? hint : "; hint: --help lists them");
}

/* The word after the option at c->at, when it is a value for it; NULL = none. */
static const char *next_value(struct cli *c, bool boolean)
{
    lua_State *L = c->L;
    if (c->at >= c->count)
        return NULL;
    lua_rawgeti(L, c->words, c->at + 1);
    const char *word = lua_tostring(L, -1); /* the table arg holds it */
    lua_pop(L, 1);
    if (!strncmp(word, "--", 2))
        return NULL;
    if (boolean && strcmp(word, "true") && strcmp(word, "false"))
        return NULL; /* --fp16 data.csv: the flag stands alone */
    c->at++;
    return word;
}

static void read_option(struct cli *c, const char *word)
{
    lua_State *L = c->L;
    char name[80];
    const char *equals = strchr(word, '='), *value = NULL;
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    if (n >= sizeof name)
        n = sizeof name - 1;
    for (size_t i = 0; i < n; i++)
        name[i] = word[i] == '-' ? '_' : word[i]; /* --max-steps as well */
    name[n] = '\0';
    if (!strcmp(name, "help"))
        print_help(c);
    int own = own_type(c, name);
    const struct option *o = NULL;
    if (own == LUA_TNIL && (!c->table || options_find(c->table, name, &o)))
        unknown_option(c, name);
    bool boolean = own == LUA_TBOOLEAN || (o && o->type == OPTION_BOOL);
    value = equals ? equals + 1 : next_value(c, boolean);
    if (!value && !boolean && !(o && o->boolean))
        bind_exit(L, 2, "--%s wants a value", name);
    if (!value)
        value = "true";
    if (own != LUA_TNIL)
        set_own(c, name, value);
    else if (options_parse(c->table, o, c->config, value))
        bind_exit(L, 2, "%s", status_message());
}

/* A word without --: the next name of the sequence part of the recipe's own options. */
static void read_positional(struct cli *c, const char *word)
{
    lua_State *L = c->L;
    const char *name = NULL;
    if (c->own && lua_rawgeti(L, c->own, ++c->positional) == LUA_TSTRING)
        name = lua_tostring(L, -1);
    if (!name)
        bind_exit(L, 2, "unexpected argument '%.60s'; hint: options are written --name value",
                  word);
    set_own(c, name, word);
    lua_pop(L, 1);
}

static void find_object(struct cli *c)
{
    lua_State *L = c->L;
    if (lua_isnil(L, 1))
        return;
    const struct lua_class *k = bind_class_of(L, 1);
    char found[80];
    if (!k || !k->options)
        bind_error(L,
                   "cli wants an object with options, found %s; hint: args = "
                   "cli(TrainingArguments{ ... })",
                   bind_describe(L, 1, found, sizeof found));
    c->table = k->options;
    c->config = lua_touserdata(L, 1);
}

/* cli(object, own) -> object, values of own */
static int cli(lua_State *L)
{
    struct cli c = {.L = L};
    lua_settop(L, 2);
    lua_pushboolean(L, 1); /* who prints a command line to go on with asks for it */
    lua_setfield(L, LUA_REGISTRYINDEX, "lorash.cli");
    luaL_checkstack(L, 20, NULL);
    find_object(&c);
    lua_newtable(L);
    c.result = 3;
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        c.own = 2;
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
            if (lua_type(L, -2) == LUA_TSTRING)
                lua_setfield(L, c.result, lua_tostring(L, -2)), lua_pushnil(L);
    }
    lua_pushglobaltable(L);
    lua_pushliteral(L, "arg");
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_settop(L, 3);
        lua_remove(L, 2);
        return 2; /* at the prompt: nothing to override */
    }
    c.words = lua_gettop(L);
    c.count = (lua_Integer)lua_rawlen(L, c.words);
    for (c.at = 1; c.at <= c.count; c.at++) {
        lua_rawgeti(L, c.words, c.at);
        const char *word = lua_tostring(L, -1);
        if (!word)
            bind_error(L, "arg[%d] is no text", (int)c.at);
        if (!strncmp(word, "--", 2) && word[2])
            read_option(&c, word + 2);
        else
            read_positional(&c, word);
        lua_settop(L, c.words);
    }
    lua_settop(L, 3);
    lua_remove(L, 2);
    return 2;
}

const struct lua_method cli_functions[] = {
    {"cli", cli, "args, own = cli(args, { csv = \"data.csv\", \"csv\" })",
     "Lets the command line of a recipe override the fields of args: lorash recipe.lua --max_steps "
     "5. "
     "The second table names options of the recipe's own with their defaults, whose values are the "
     "second result; its sequence part names those that may also be given by position. --help "
     "prints "
     "them all.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
