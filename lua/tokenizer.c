/* tokenizer.c -- the classes AutoTokenizer and Tokenizer: loading, properties, printing. */
#include "lua/tokenizer.h"
#include "engine/core/suggest.h"
#include "engine/model/locate.h"
#include "engine/text/chat.h"
#include "engine/text/chat_options.h"
#include "lua/chat.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct lua_tokenizer *self(lua_State *L)
{
    struct lua_tokenizer *o = bind_arg(L, 1, &tokenizer_class);
    if (!o->t)
        bind_error(L, "the tokenizer was closed");
    return o;
}

struct tokenizer *lua_tokenizer_arg(lua_State *L, int arg)
{
    struct lua_tokenizer *o = bind_arg(L, arg, &tokenizer_class);
    if (!o->t)
        bind_error(L, "the tokenizer was closed");
    return o->t;
}

static int gc(lua_State *L)
{
    struct lua_tokenizer *o = bind_test(L, 1, &tokenizer_class);
    if (!o)
        return 0;
    chat_free(o->chat);
    o->chat = NULL;
    tokenizer_free(o->t);
    o->t = NULL;
    id_list_free(&o->list);
    id_list_free(&o->part);
    text_buffer_free(&o->text);
    options_free(&tokenizer_load_table, &o->load);
    options_free(&tokenizer_call_table, &o->call);
    options_free(&tokenizer_decode_table, &o->decode);
    options_free(&tokenizer_add_table, &o->add);
    return 0;
}

/* --- special tokens --------------------------------------------------------------------------- */

static const char *const special_names[] = {"bos_token", "eos_token", "pad_token", "unk_token"};

static int push_special(lua_State *L, enum tokenizer_special which)
{
    struct lua_tokenizer *o = self(L);
    size_t n;
    int32_t id = tokenizer_special_id(o->t, which);
    const char *text = id < 0 ? NULL : tokenizer_token(o->t, id, &n);
    if (text)
        lua_pushlstring(L, text, n);
    else
        lua_pushnil(L);
    return 1;
}

static int push_special_id(lua_State *L, enum tokenizer_special which)
{
    int32_t id = tokenizer_special_id(self(L)->t, which);
    if (id < 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L, id);
    return 1;
}

/* A hint with the special token nearest to a misspelt one: those are the ones people type. */
static void suggest_token(const struct tokenizer *t, const char *wanted, char *out, size_t bytes)
{
    struct suggest s = {.wanted = wanted};
    for (int32_t id = 0; id < tokenizer_size(t); id++)
        if (tokenizer_is_special(t, id))
            suggest_try(&s, tokenizer_token(t, id, NULL));
    suggest_hint(&s, out, bytes);
}

static void set_by_text(lua_State *L, struct tokenizer *t, enum tokenizer_special which,
                        const char *text, size_t n)
{
    int32_t id = tokenizer_find(t, text, n);
    if (id < 0) {
        char hint[160];
        suggest_token(t, text, hint, sizeof hint);
        bind_error(L, "%s: the vocabulary has no token '%.80s'%s", special_names[which], text,
                   hint);
    }
    bind_check(L, tokenizer_set_special(t, which, id));
}

static int set_special(lua_State *L, enum tokenizer_special which)
{
    struct lua_tokenizer *o = self(L);
    char found[80];
    size_t n;
    if (lua_isnil(L, 2)) {
        bind_check(L, tokenizer_set_special(o->t, which, -1));
        return 0;
    }
    if (lua_type(L, 2) != LUA_TSTRING)
        return bind_error(L, "%s must be the text of a token, found %s; hint: %s_id takes a number",
                          special_names[which], bind_describe(L, 2, found, sizeof found),
                          special_names[which]);
    const char *text = lua_tolstring(L, 2, &n);
    set_by_text(L, o->t, which, text, n);
    return 0;
}

static int set_special_id(lua_State *L, enum tokenizer_special which)
{
    struct lua_tokenizer *o = self(L);
    char found[80];
    if (!lua_isnil(L, 2) && !lua_isinteger(L, 2))
        return bind_error(L, "%s_id must be a token id, found %s", special_names[which],
                          bind_describe(L, 2, found, sizeof found));
    lua_Integer id = lua_isnil(L, 2) ? -1 : lua_tointeger(L, 2);
    if (id < -1 || id > INT32_MAX || (id == -1 && !lua_isnil(L, 2)))
        return bind_error(L, "%s_id %lld is no token id; hint: ids run from 0 to %d",
                          special_names[which], (long long)id, tokenizer_size(o->t) - 1);
    bind_check(L, tokenizer_set_special(o->t, which, (int32_t)id));
    return 0;
}

#define SPECIAL(name, which)                 \
    static int get_##name(lua_State *L)      \
    {                                        \
        return push_special(L, which);       \
    }                                        \
    static int set_##name(lua_State *L)      \
    {                                        \
        return set_special(L, which);        \
    }                                        \
    static int get_##name##_id(lua_State *L) \
    {                                        \
        return push_special_id(L, which);    \
    }                                        \
    static int set_##name##_id(lua_State *L) \
    {                                        \
        return set_special_id(L, which);     \
    }
SPECIAL(bos, TOKENIZER_BOS)
SPECIAL(eos, TOKENIZER_EOS)
SPECIAL(pad, TOKENIZER_PAD)
SPECIAL(unk, TOKENIZER_UNK)

static int get_all_special(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    lua_Integer count = 0;
    lua_newtable(L);
    for (int32_t id = 0; id < tokenizer_size(o->t); id++)
        if (tokenizer_is_special(o->t, id)) {
            size_t n;
            const char *text = tokenizer_token(o->t, id, &n);
            lua_pushlstring(L, text, n);
            lua_rawseti(L, -2, ++count);
        }
    return 1;
}

/* --- other properties ------------------------------------------------------------------------- */

static int get_padding_side(lua_State *L)
{
    lua_pushstring(L, self(L)->pads_left ? "left" : "right");
    return 1;
}

/* "left" or "right" at argument 2. */
static bool take_side(lua_State *L, const char *name)
{
    const char *side = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    char found[80];
    if (strcmp(side, "left") != 0 && strcmp(side, "right") != 0)
        bind_error(L, "%s must be \"left\" or \"right\", found %s", name,
                   bind_describe(L, 2, found, sizeof found));
    return side[0] == 'l';
}

static int set_padding_side(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    o->pads_left = take_side(L, "padding_side");
    return 0;
}

static int get_truncation_side(lua_State *L)
{
    lua_pushstring(L, self(L)->cuts_left ? "left" : "right");
    return 1;
}

static int set_truncation_side(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    o->cuts_left = take_side(L, "truncation_side");
    return 0;
}

static int get_splits_special(lua_State *L)
{
    lua_pushboolean(L, self(L)->splits_special);
    return 1;
}

static int set_splits_special(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    char found[80];
    if (!lua_isboolean(L, 2))
        return bind_error(L, "split_special_tokens must be true or false, found %s",
                          bind_describe(L, 2, found, sizeof found));
    o->splits_special = lua_toboolean(L, 2);
    return 0;
}

static int get_model_max_length(lua_State *L)
{
    int64_t n = tokenizer_max_length(self(L)->t);
    if (n == INT64_MAX)
        lua_pushnumber(L, (lua_Number)INFINITY);
    else
        lua_pushinteger(L, n);
    return 1;
}

static int set_model_max_length(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    char found[80];
    int whole;
    lua_Integer n = lua_tointegerx(L, 2, &whole);
    bool endless = lua_type(L, 2) == LUA_TNUMBER && lua_tonumber(L, 2) > 9e15;
    if (!endless && (!whole || n < 1 || lua_type(L, 2) != LUA_TNUMBER))
        return bind_error(L, "model_max_length must be 1 or more, found %s",
                          bind_describe(L, 2, found, sizeof found));
    tokenizer_set_max_length(o->t, endless ? INT64_MAX : n);
    return 0;
}

static int get_add_bos(lua_State *L)
{
    lua_pushboolean(L, tokenizer_adds_bos(self(L)->t));
    return 1;
}

static int set_add_bos(lua_State *L)
{
    bind_check(L, tokenizer_set_add_bos(self(L)->t, lua_toboolean(L, 2)));
    return 0;
}

static int get_add_eos(lua_State *L)
{
    lua_pushboolean(L, tokenizer_adds_eos(self(L)->t));
    return 1;
}

static int set_add_eos(lua_State *L)
{
    bind_check(L, tokenizer_set_add_eos(self(L)->t, lua_toboolean(L, 2)));
    return 0;
}

static int get_vocab_size(lua_State *L)
{
    lua_pushinteger(L, tokenizer_base_size(self(L)->t));
    return 1;
}

static int get_name(lua_State *L)
{
    lua_pushstring(L, tokenizer_name(self(L)->t));
    return 1;
}

static int get_is_fast(lua_State *L)
{
    lua_pushboolean(L, self(L)->t != NULL);
    return 1;
}

static int get_chat_template(lua_State *L)
{
    lua_pushstring(L, tokenizer_chat_template(self(L)->t)); /* NULL gives nil */
    return 1;
}

static int set_chat_template(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    char found[80];
    if (!lua_isnil(L, 2) && lua_type(L, 2) != LUA_TSTRING)
        return bind_error(L, "chat_template must be a text, found %s",
                          bind_describe(L, 2, found, sizeof found));
    bind_check(L, tokenizer_set_chat_template(o->t, lua_tostring(L, 2)));
    return 0;
}

static int length(lua_State *L)
{
    lua_pushinteger(L, tokenizer_size(self(L)->t));
    return 1;
}

/* --- printing --------------------------------------------------------------------------------- */

/* 50295 -> "50,295" */
static void add_count(luaL_Buffer *b, int32_t n)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%d", n);
    for (size_t i = 0, count = strlen(digits); i < count; i++) {
        if (i && (count - i) % 3 == 0)
            luaL_addchar(b, ',');
        luaL_addchar(b, digits[i]);
    }
}

/* " · eos <|endoftext|> 50256", control characters made visible. */
static void add_special(luaL_Buffer *b, const struct tokenizer *t, const char *label, int32_t id)
{
    char number[16];
    const char *text = tokenizer_token(t, id, NULL);
    luaL_addstring(b, " \xC2\xB7 ");
    luaL_addstring(b, label);
    luaL_addchar(b, ' ');
    for (; *text; text++)
        luaL_addchar(b, (unsigned char)*text < 0x20 ? '?' : *text);
    snprintf(number, sizeof number, " %d", id);
    luaL_addstring(b, number);
}

/* The last part of a path, which is what the model is called. */
static const char *short_name(const char *path)
{
    size_t n = strlen(path);
    const char *slash = strrchr(path, '/');
    bool file = n > 6 && (!strcmp(path + n - 5, ".gguf") || !strcmp(path + n - 5, ".json") ||
                          !strcmp(path + n - 6, ".model"));
    return file && slash ? slash + 1 : path;
}

static int show(lua_State *L)
{
    struct lua_tokenizer *o = bind_arg(L, 1, &tokenizer_class);
    luaL_Buffer b;
    if (!o->t) {
        lua_pushliteral(L, "Tokenizer (closed)");
        return 1;
    }
    int32_t eos = tokenizer_special_id(o->t, TOKENIZER_EOS);
    int32_t pad = tokenizer_special_id(o->t, TOKENIZER_PAD);
    luaL_buffinit(L, &b);
    luaL_addstring(&b, "Tokenizer ");
    luaL_addstring(&b, short_name(tokenizer_name(o->t)));
    luaL_addstring(&b, " \xC2\xB7 ");
    luaL_addstring(&b, tokenizer_kind(o->t));
    luaL_addstring(&b, " \xC2\xB7 ");
    add_count(&b, tokenizer_size(o->t));
    luaL_addstring(&b, " tokens");
    if (tokenizer_adds_bos(o->t))
        add_special(&b, o->t, "starts with", tokenizer_special_id(o->t, TOKENIZER_BOS));
    if (eos >= 0)
        add_special(&b, o->t, "eos", eos);
    if (pad < 0)
        luaL_addstring(&b, " \xC2\xB7 no pad");
    else if (pad == eos)
        luaL_addstring(&b, " \xC2\xB7 pad = eos");
    else
        add_special(&b, o->t, "pad", pad);
    luaL_addstring(&b, o->pads_left ? " \xC2\xB7 pads left" : " \xC2\xB7 pads right");
    luaL_pushresult(&b);
    return 1;
}

/* --- loading ---------------------------------------------------------------------------------- */

static bool given(lua_State *L, const char *name)
{
    bind_field(L, 2, &tokenizer_load_table, name);
    bool there = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return there;
}

static void apply_options(lua_State *L, struct lua_tokenizer *o)
{
    const struct tokenizer_load_options *c = &o->load;
    char *const tokens[] = {c->bos_token, c->eos_token, c->pad_token, c->unk_token};
    for (int i = 0; i < 4; i++)
        if (tokens[i])
            set_by_text(L, o->t, (enum tokenizer_special)i, tokens[i], strlen(tokens[i]));
    o->pads_left = c->padding_side[0] == 'l';
    o->cuts_left = c->truncation_side[0] == 'l';
    if (c->model_max_length > 0)
        tokenizer_set_max_length(o->t, c->model_max_length);
    if (given(L, "add_bos_token"))
        bind_check(L, tokenizer_set_add_bos(o->t, c->add_bos_token));
    if (given(L, "add_eos_token"))
        bind_check(L, tokenizer_set_add_eos(o->t, c->add_eos_token));
    if (c->chat_template)
        bind_check(L, tokenizer_set_chat_template(o->t, c->chat_template));
}

static int from_pretrained(lua_State *L)
{
    char found[80], path[LOCATE_BYTES];
    if (lua_type(L, 1) != LUA_TSTRING)
        return bind_error(L,
                          "AutoTokenizer.from_pretrained wants a path or a name on the hub, "
                          "found %s; hint: a .gguf file, a tokenizer.json or the folder of a "
                          "model",
                          bind_describe(L, 1, found, sizeof found));
    lua_settop(L, 2);
    struct lua_tokenizer *o = bind_new(L, &tokenizer_class, sizeof *o);
    bind_check(L, options_init(&tokenizer_load_table, &o->load));
    bind_options(L, 2, &tokenizer_load_table, &o->load);
    const char *name = lua_tostring(L, 1);
    bind_check(L, locate_tokenizer(name, o->load.revision, path, sizeof path));
    bind_check(L, tokenizer_load(path, &o->t));
    bind_check(L, tokenizer_set_name(o->t, name));
    apply_options(L, o);
    return 1;
}

/* --- the classes ------------------------------------------------------------------------------ */

static const struct lua_method methods[] = {
    {"encode", tokenizer_method_encode, "tokenizer:encode(text, {add_special_tokens = true})",
     "The ids of a text as a list.", &tokenizer_call_table},
    {"decode", tokenizer_method_decode, "tokenizer:decode(ids, {skip_special_tokens = false})",
     "The text of a list of ids, or of one id.", &tokenizer_decode_table},
    {"apply_chat_template", tokenizer_method_apply_chat_template,
     "tokenizer:apply_chat_template(messages, {add_generation_prompt = false, tokenize = true})",
     "A conversation as the model was taught to read it, through tokenizer.chat_template: the ids, "
     "or with tokenize = false the text. messages is a list of {role = ..., content = ...}, or a "
     "list of such lists.",
     &chat_call_table},
    {"batch_decode", tokenizer_method_batch_decode,
     "tokenizer:batch_decode(lists, {skip_special_tokens = false})",
     "The texts of several lists of ids.", &tokenizer_decode_table},
    {"tokenize", tokenizer_method_tokenize, "tokenizer:tokenize(text)",
     "The tokens of a text as the vocabulary spells them; no bos or eos.", NULL},
    {"convert_tokens_to_ids", tokenizer_method_tokens_to_ids,
     "tokenizer:convert_tokens_to_ids(tokens)",
     "The id of a token, or the ids of a list of tokens. What is no token gives the unknown "
     "token's id, or nil.",
     NULL},
    {"convert_ids_to_tokens", tokenizer_method_ids_to_tokens,
     "tokenizer:convert_ids_to_tokens(ids)", "The token of an id, or the tokens of a list of ids.",
     NULL},
    {"add_tokens", tokenizer_method_add_tokens,
     "tokenizer:add_tokens(tokens, {special_tokens = false})",
     "Adds a token or a list of tokens to the end of the vocabulary; returns how many were new. A "
     "token is a text, or {content = \"<x>\", lstrip = true, ...}. The model needs a row for each "
     "new "
     "id.",
     &tokenizer_add_table},
    {"add_special_tokens", tokenizer_method_add_special_tokens,
     "tokenizer:add_special_tokens{pad_token = \"<pad>\", additional_special_tokens = {...}}",
     "Adds special tokens and gives them their part; returns how many were new.", NULL},
    {"get_vocab", tokenizer_method_get_vocab, "tokenizer:get_vocab()",
     "Every token and its id as a table.", NULL},
    {"get_added_vocab", tokenizer_method_get_added_vocab, "tokenizer:get_added_vocab()",
     "The added tokens, which are looked for in a text before anything else, and their ids.", NULL},
    {"save_pretrained", tokenizer_method_save_pretrained, "tokenizer:save_pretrained(folder)",
     "Writes tokenizer.json, tokenizer_config.json and what else belongs to it into a folder, for "
     "from_pretrained here and in transformers. Returns the folder.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const struct lua_property properties[] = {
    {"bos_token", get_bos, set_bos, "Token before a text; nil = none."},
    {"eos_token", get_eos, set_eos, "Token that ends a text; nil = none."},
    {"pad_token", get_pad, set_pad, "Token that fills up short texts; nil = none."},
    {"unk_token", get_unk, set_unk, "Token for what is unknown; nil = none."},
    {"bos_token_id", get_bos_id, set_bos_id, "Id of bos_token."},
    {"eos_token_id", get_eos_id, set_eos_id, "Id of eos_token."},
    {"pad_token_id", get_pad_id, set_pad_id, "Id of pad_token."},
    {"unk_token_id", get_unk_id, set_unk_id, "Id of unk_token."},
    {"all_special_tokens", get_all_special, NULL, "Every special token."},
    {"padding_side", get_padding_side, set_padding_side, "\"right\" or \"left\"."},
    {"truncation_side", get_truncation_side, set_truncation_side, "\"right\" or \"left\"."},
    {"split_special_tokens", get_splits_special, set_splits_special,
     "Whether special tokens in a text are plain letters: for texts that must not give orders."},
    {"model_max_length", get_model_max_length, set_model_max_length,
     "Longest input in tokens; math.huge = not said."},
    {"add_bos_token", get_add_bos, set_add_bos, "Whether the bos token is put in front."},
    {"add_eos_token", get_add_eos, set_add_eos, "Whether the eos token is put behind."},
    {"vocab_size", get_vocab_size, NULL, "Tokens without the added ones; #tokenizer counts all."},
    {"name_or_path", get_name, NULL, "Where it was loaded from."},
    {"is_fast", get_is_fast, NULL, "Always true: there is one kind, and it is fast."},
    {"chat_template", get_chat_template, set_chat_template,
     "The model's chat template; nil = none."},
    {NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {
    {"__gc", gc}, {"__len", length}, {"__tostring", show}, {"__call", tokenizer_method_call},
    {NULL, NULL},
};

const struct lua_class tokenizer_class = {
    .name = "Tokenizer",
    .doc =
        "A Tokenizer turns text into token ids and back. Called with a text (or a list) it gives "
        "input_ids and attention_mask.",
    .signature = "tokenizer(text, {padding = false, truncation = false})",
    .options = &tokenizer_call_table,
    .methods = methods,
    .properties = properties,
    .meta = meta,
};

static const struct lua_method statics[] = {
    {"from_pretrained", from_pretrained,
     "AutoTokenizer.from_pretrained(path, {padding_side = \"right\"})",
     "Opens the tokenizer of a model: a .gguf file, a tokenizer.json, a folder that holds "
     "tokenizer.json (or vocab.json and merges.txt), or a name on the hub that was downloaded.",
     &tokenizer_load_table},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct lua_class auto_tokenizer_class = {
    .name = "AutoTokenizer",
    .doc = "Opens tokenizers.",
    .statics = statics,
};
