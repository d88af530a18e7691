/* state_dict.c -- model:state_dict(): all tensors by name. */
#include "engine/adapt/lora.h"
#include "lua/model.h"
#include "lua/tensor.h"

#include <string.h>

/* The object holds the model as its user value and looks tensors up when asked. */
struct state_dict {
    struct model *model; /* kept alive by the user value */
};

int model_state_dict(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    struct state_dict *s = bind_new(L, &state_dict_class, sizeof *s);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    s->model = m;
    return 1;
}

static struct state_dict *self(lua_State *L)
{
    return bind_arg(L, 1, &state_dict_class);
}

/* --- walking --------------------------------------------------------------------------------- */

struct collect {
    lua_State *L;
    const char *pattern; /* NULL = all */
    lua_Integer count;
    int list; /* stack index of the list of names, 0 = none */
};

/* Shell pattern: * any run, ? one character. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *back = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            back = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static int collect_name(void *ctx, const char *name, struct tensor *t)
{
    struct collect *c = ctx;
    (void)t;
    if (c->pattern && !matches(c->pattern, name))
        return OK;
    c->count++;
    if (c->list) {
        lua_pushstring(c->L, name);
        lua_rawseti(c->L, c->list, c->count);
    }
    return OK;
}

/* A list that prints itself, works with ipairs and #, and directly in "for name in keys do". */
static int key_next(lua_State *L)
{
    lua_Integer at = 1;
    if (!lua_isnoneornil(L, 3)) {
        lua_getmetatable(L, 1);
        lua_getfield(L, -1, "places");
        lua_pushvalue(L, 3);
        lua_rawget(L, -2);
        at = lua_tointeger(L, -1) + 1;
    }
    lua_rawgeti(L, 1, at);
    return 1;
}

static int key_text(lua_State *L)
{
    luaL_Buffer b;
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\n');
        lua_rawgeti(L, 1, i);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    return 1;
}

static void make_key_list(lua_State *L, int list)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    lua_createtable(L, 0, 3);
    lua_createtable(L, 0, (int)n);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, list, i);
        lua_pushinteger(L, i);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "places");
    lua_pushcfunction(L, key_next);
    lua_setfield(L, -2, "__call");
    lua_pushcfunction(L, key_text);
    lua_setfield(L, -2, "__tostring");
    lua_setmetatable(L, list);
}

static int keys(lua_State *L)
{
    struct state_dict *s = self(L);
    struct collect c = {.L = L, .pattern = luaL_optstring(L, 2, NULL)};
    lua_newtable(L);
    c.list = lua_gettop(L);
    luaL_checkstack(L, 4, NULL);
    bind_check(L, lora_walk_all(s->model, collect_name, &c));
    make_key_list(L, c.list);
    return 1;
}

static int length(lua_State *L)
{
    struct collect c = {0};
    bind_check(L, lora_walk_all(self(L)->model, collect_name, &c));
    lua_pushinteger(L, c.count);
    return 1;
}

/* --- one tensor ------------------------------------------------------------------------------ */

struct lookup {
    const char *name;
    struct tensor *found;
};

static int look(void *ctx, const char *name, struct tensor *t)
{
    struct lookup *l = ctx;
    if (!strcmp(name, l->name))
        l->found = t;
    return OK;
}

/* Pushes the tensor called 'name', or returns 0. */
static int push_tensor(lua_State *L, struct model *m, const char *name)
{
    struct lookup l = {name, NULL};
    bind_check(L, lora_walk_all(m, look, &l));
    if (!l.found)
        return 0;
    struct tensor **out = lua_tensor_new(L);
    *out = tensor_keep(l.found);
    return 1;
}

static int index_name(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    return push_tensor(L, self(L)->model, lua_tostring(L, 2));
}

/* Closure over (state_dict, list of names, position). */
static int pairs_next(lua_State *L)
{
    struct state_dict *s = lua_touserdata(L, lua_upvalueindex(1));
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(3)) + 1;
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(3));
    if (lua_rawgeti(L, lua_upvalueindex(2), at) == LUA_TNIL)
        return 1;
    push_tensor(L, s->model, lua_tostring(L, -1));
    return 2;
}

static int pairs(lua_State *L)
{
    struct state_dict *s = self(L);
    struct collect c = {.L = L, .pattern = luaL_optstring(L, 2, NULL)};
    lua_settop(L, 2);
    lua_pushvalue(L, 1);
    lua_newtable(L);
    c.list = lua_gettop(L);
    luaL_checkstack(L, 4, NULL);
    bind_check(L, lora_walk_all(s->model, collect_name, &c));
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, pairs_next, 3);
    return 1;
}

static int show(lua_State *L)
{
    struct collect c = {0};
    bind_check(L, lora_walk_all(self(L)->model, collect_name, &c));
    lua_pushfstring(L, "StateDict of %I tensors; :keys(\"*q_proj*\") lists names, :pairs() walks",
                    (LUAI_UACINT)c.count);
    return 1;
}

struct offering {
    void (*offer)(void *ctx, const char *name);
    void *ctx;
};

static int offer_name(void *ctx, const char *name, struct tensor *t)
{
    struct offering *o = ctx;
    (void)t;
    o->offer(o->ctx, name);
    return OK;
}

static void names(void *object, void (*offer)(void *ctx, const char *name), void *ctx)
{
    struct state_dict *s = object;
    struct offering o = {offer, ctx};
    int status = lora_walk_all(s->model, offer_name, &o);
    (void)status; /* offer_name never fails */
}

static const struct lua_method methods[] = {
    {"keys", keys, "sd:keys(\"*q_proj*\")", "Names of all tensors, or of those that fit a pattern.",
     NULL},
    {"pairs", pairs, "for name, t in sd:pairs() do ... end",
     "Walks names and tensors in the model's order; a pattern chooses.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {
    {"__len", length}, {"__tostring", show}, {"__pairs", pairs}, {NULL, NULL}};

const struct lua_class state_dict_class = {
    .name = "StateDict",
    .doc = "The tensors of a model by name; sd[\"model.norm.weight\"] is one of them.",
    .signature = "StateDict, from model:state_dict()",
    .methods = methods,
    .meta = meta,
    .index = index_name,
    .names = names,
};
