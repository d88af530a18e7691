/* tokenizer_vocab.c -- adding tokens to a Tokenizer, listing its vocabulary, saving it. */
#include "lua/tokenizer.h"

#include <stdio.h>
#include <string.h>

static struct lua_tokenizer *self(lua_State *L)
{
    struct lua_tokenizer *o = bind_arg(L, 1, &tokenizer_class);
    if (!o->t)
        bind_error(L, "the tokenizer was closed");
    return o;
}

/* A switch of the token that is a table at 'arg'. */
static bool switch_of(lua_State *L, int arg, const char *name, bool preset)
{
    char found[80];
    lua_getfield(L, arg, name);
    if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
        bind_error(L, "an added token's %s must be true or false, found %s", name,
                   bind_describe(L, -1, found, sizeof found));
    bool value = lua_isnil(L, -1) ? preset : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static void refuse_others(lua_State *L, int arg)
{
    static const char *const names[] = {"content",     "special",    "lstrip", "rstrip",
                                        "single_word", "normalized", NULL};
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        bool known = false;
        for (int i = 0; names[i] && lua_type(L, -2) == LUA_TSTRING; i++)
            known |= !strcmp(names[i], lua_tostring(L, -2));
        if (!known)
            bind_error(L,
                       "an added token has no '%s'; hint: content, special, lstrip, rstrip, "
                       "single_word, normalized",
                       lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "list entry");
    }
}

/* Adds the token at 'arg' (absolute), a text or a table with its content, and returns its id. As in
 * the reference, tokens are matched in normalised text unless they are special. */
static int32_t add_one(lua_State *L, struct lua_tokenizer *o, int arg, bool special, int64_t *added)
{
    struct token_flags flags = {.special = special, .normalized = !special};
    char found[80];
    size_t n;
    if (lua_istable(L, arg)) {
        refuse_others(L, arg);
        flags.special = switch_of(L, arg, "special", special);
        flags.normalized = switch_of(L, arg, "normalized", !flags.special);
        flags.lstrip = switch_of(L, arg, "lstrip", false);
        flags.rstrip = switch_of(L, arg, "rstrip", false);
        flags.single_word = switch_of(L, arg, "single_word", false);
        lua_getfield(L, arg, "content");
    } else {
        lua_pushvalue(L, arg);
    }
    if (lua_type(L, -1) != LUA_TSTRING)
        bind_error(L, "a token to add is a text or {content = \"...\"}, found %s",
                   bind_describe(L, -1, found, sizeof found));
    const char *text = lua_tolstring(L, -1, &n);
    bind_check(L, tokenizer_add_token(o->t, text, n, flags, added));
    int32_t id = tokenizer_find(o->t, text, n);
    lua_pop(L, 1);
    return id;
}

/* The token, or the list of tokens, at 'arg'. */
static void add_all(lua_State *L, struct lua_tokenizer *o, int arg, bool special, int64_t *added)
{
    lua_Integer n = lua_istable(L, arg) ? (lua_Integer)lua_rawlen(L, arg) : 0;
    if (lua_istable(L, arg) && n == 0) {
        lua_getfield(L, arg, "content");
        bool one = !lua_isnil(L, -1);
        lua_pop(L, 1);
        if (!one)
            return; /* an empty list */
    }
    if (n == 0) {
        add_one(L, o, arg, special, added);
        return;
    }
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, arg, i);
        add_one(L, o, lua_gettop(L), special, added);
        lua_pop(L, 1);
    }
}

int tokenizer_method_add_tokens(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    int64_t added = 0;
    lua_settop(L, 3);
    options_free(&tokenizer_add_table, &o->add);
    bind_check(L, options_init(&tokenizer_add_table, &o->add));
    bind_options(L, 3, &tokenizer_add_table, &o->add);
    add_all(L, o, 2, o->add.special_tokens, &added);
    lua_pushinteger(L, added);
    return 1;
}

int tokenizer_method_add_special_tokens(lua_State *L)
{
    static const char *const parts[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    struct lua_tokenizer *o = self(L);
    int64_t added = 0;
    char found[80];
    lua_settop(L, 2);
    if (!lua_istable(L, 2))
        return bind_error(L,
                          "add_special_tokens wants a table, found %s; hint: {pad_token = "
                          "\"<pad>\"}",
                          bind_describe(L, 2, found, sizeof found));
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "a list entry";
        int which = -1;
        for (int i = 0; i < 4; i++)
            which = strcmp(parts[i], name) ? which : i;
        if (!strcmp(name, "additional_special_tokens") || !strcmp(name, "extra_special_tokens"))
            add_all(L, o, lua_gettop(L), true, &added);
        else if (which < 0)
            bind_error(L,
                       "add_special_tokens has no '%.60s'; hint: bos_token, eos_token, "
                       "pad_token, unk_token and additional_special_tokens",
                       name);
        else
            bind_check(L, tokenizer_set_special(o->t, (enum tokenizer_special)which,
                                                add_one(L, o, lua_gettop(L), true, &added)));
    }
    lua_pushinteger(L, added);
    return 1;
}

static void push_vocab(lua_State *L, const struct tokenizer *t, bool added_only)
{
    lua_createtable(L, 0, added_only ? 16 : tokenizer_size(t));
    for (int32_t id = 0; id < tokenizer_size(t); id++) {
        size_t n;
        const char *text = tokenizer_token(t, id, &n);
        if (!text || (added_only && !tokenizer_is_added(t, id)))
            continue;
        lua_pushlstring(L, text, n);
        lua_pushinteger(L, id);
        lua_rawset(L, -3);
    }
}

int tokenizer_method_get_vocab(lua_State *L)
{
    push_vocab(L, self(L)->t, false);
    return 1;
}

int tokenizer_method_get_added_vocab(lua_State *L)
{
    push_vocab(L, self(L)->t, true);
    return 1;
}

int tokenizer_method_save_pretrained(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    char found[80];
    lua_settop(L, 2);
    if (lua_type(L, 2) != LUA_TSTRING)
        return bind_error(L, "save_pretrained wants a folder, found %s",
                          bind_describe(L, 2, found, sizeof found));
    bind_check(L, tokenizer_save(o->t, lua_tostring(L, 2)));
    return 1; /* the folder, at 2 */
}
