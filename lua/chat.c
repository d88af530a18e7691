/* chat.c -- tokenizer:apply_chat_template: conversations in Lua tables to text, ids and masks.
 *
 * Options that the table of apply_chat_template does not know are variables of the template, as in
 * the original; a name that the template never reads is told, and refused when it is a misspelt
 * option. The parsed template is kept in the tokenizer, so a call for each row is cheap. */
#include "lua/chat.h"
#include "engine/core/suggest.h"
#include "engine/text/chat.h"
#include "engine/text/chat_options.h"
#include "lua/hold.h"
#include "lua/tokenizer.h"
#include "lua/value.h"

#include <string.h>

/* What one call owns; a userdata, so that errors on the way cannot leak. */
struct run {
    struct template_result text;
    struct id_list ids;
    struct chat_mask mask;
};

static int run_gc(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);
    template_result_free(&r->text);
    id_list_free(&r->ids);
    chat_mask_free(&r->mask);
    return 0;
}

static struct run *run_new(lua_State *L)
{
    struct run *r = lua_newuserdatauv(L, sizeof *r, 0);
    memset(r, 0, sizeof *r);
    if (luaL_newmetatable(L, "lorash.chat")) {
        lua_pushcfunction(L, run_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return r;
}

/* The tokenizer's chat for a template (NULL = its own), parsed at most once. */
static struct chat *chat_of(lua_State *L, struct lua_tokenizer *o, const char *template)
{
    const char *wanted = template ? template : tokenizer_chat_template(o->t);
    size_t length;
    if (o->chat && wanted) {
        const char *kept = chat_text(o->chat, &length);
        if (length == strlen(wanted) && memcmp(kept, wanted, length) == 0)
            return o->chat;
    }
    chat_free(o->chat);
    o->chat = NULL;
    bind_check(L, chat_open(o->t, wanted, wanted ? strlen(wanted) : 0, &o->chat));
    return o->chat;
}

static bool known(const char *name)
{
    for (int i = 0; i < chat_call_table.count; i++)
        if (strcmp(chat_call_table.rows[i].name, name) == 0)
            return true;
    return false;
}

/* Divides the table at 'arg': pushes one of options and one of variables. */
static void divide(lua_State *L, int arg)
{
    char found[80];
    lua_newtable(L);
    lua_newtable(L);
    if (lua_isnoneornil(L, arg))
        return;
    if (!lua_istable(L, arg))
        bind_error(L, "apply_chat_template: expected a table of options, found %s",
                   bind_describe(L, arg, found, sizeof found));
    for (lua_pushnil(L); lua_next(L, arg);) {
        if (lua_type(L, -2) != LUA_TSTRING)
            bind_error(L, "apply_chat_template: options have names, found %s",
                       bind_describe(L, -2, found, sizeof found));
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, known(lua_tostring(L, -2)) ? -5 : -4);
    }
}

/* A variable that the template does not read is a slip. */
static void check_variables(lua_State *L, int variables, const struct chat *c)
{
    for (lua_pushnil(L); lua_next(L, variables); lua_pop(L, 1)) {
        char hint[120];
        const char *name = lua_tostring(L, -2);
        struct suggest s = {.wanted = name};
        if (chat_mentions(c, name))
            continue;
        for (int i = 0; i < chat_call_table.count; i++)
            suggest_try(&s, chat_call_table.rows[i].name);
        if (s.best)
            bind_error(L, "apply_chat_template has no option '%.60s'%s", name,
                       suggest_hint(&s, hint, sizeof hint));
        bind_note(L, "note: the chat template does not read '%.60s'", name);
    }
}

/* A table field as a value tree, in a hold that stays on the stack; NULL = nil. */
static const struct value *field_value(lua_State *L, int table, const char *name)
{
    lua_getfield(L, table, name);
    if (lua_isnil(L, -1))
        return NULL;
    return lua_value_at(L, lua_gettop(L), name);
}

enum padding { PAD_NONE, PAD_LONGEST, PAD_MAX };

struct call {
    struct lua_tokenizer *tokenizer;
    struct chat_call_options *config;
    struct chat *chat;
    struct chat_options options;
    enum padding padding;
    bool truncate;
    int64_t max_length;
};

static bool truth_or(lua_State *L, int table, const char *name, const char *text, bool *is_text)
{
    char found[80];
    lua_getfield(L, table, name);
    int type = lua_type(L, -1);
    bool truth = lua_toboolean(L, -1);
    *is_text = false;
    if (type == LUA_TSTRING) {
        const char *given = lua_tostring(L, -1);
        *is_text = strcmp(given, text) == 0;
        truth = strcmp(given, "do_not_pad") != 0 && strcmp(given, "do_not_truncate") != 0;
    } else if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
        bind_error(L, "apply_chat_template: %s must be true, false or a text, found %s", name,
                   bind_describe(L, -1, found, sizeof found));
    }
    lua_pop(L, 1);
    return truth;
}

static void read_lengths(lua_State *L, int table, struct call *c)
{
    bool to_max, unused;
    bool pads = truth_or(L, table, "padding", "max_length", &to_max);
    c->padding = to_max ? PAD_MAX : pads ? PAD_LONGEST : PAD_NONE;
    c->truncate = truth_or(L, table, "truncation", "", &unused);
    c->max_length =
        c->config->max_length ? c->config->max_length : tokenizer_max_length(c->tokenizer->t);
    if ((c->truncate || to_max) && c->max_length == INT64_MAX)
        bind_error(L, "apply_chat_template: the model does not say its longest input; hint: give "
                      "max_length");
    if (c->padding != PAD_NONE && tokenizer_special_id(c->tokenizer->t, TOKENIZER_PAD) < 0)
        bind_error(L, "the tokenizer has no pad token; hint: tokenizer.pad_token = "
                      "tokenizer.eos_token");
}

/* Reads options and variables; holds stay on the stack. */
static void read_call(lua_State *L, int arg, struct call *c)
{
    divide(L, arg);
    int variables = lua_gettop(L), options = variables - 1;
    c->config = hold_options(L, &chat_call_table);
    bind_options(L, options, &chat_call_table, c->config);
    const struct chat_call_options *o = c->config;
    if (o->return_assistant_tokens_mask && !(o->return_dict && o->tokenize))
        bind_error(L, "return_assistant_tokens_mask wants return_dict = true and tokenize = true");
    c->chat = chat_of(L, c->tokenizer, o->chat_template);
    check_variables(L, variables, c->chat);
    read_lengths(L, options, c);
    c->options.tools = field_value(L, options, "tools");
    c->options.documents = field_value(L, options, "documents");
    lua_pushnil(L);
    if (lua_next(L, variables)) {
        lua_pop(L, 2);
        c->options.variables = lua_value_at(L, variables, "apply_chat_template");
    }
    c->options.add_generation_prompt = o->add_generation_prompt;
    if (strcmp(o->continue_final_message, "false") != 0)
        c->options.continue_field =
            strcmp(o->continue_final_message, "true") == 0 ? "content" : o->continue_final_message;
}

/* Ids of one conversation as lists of the table at 'result': field, or element 'row' of field. */
static void store(lua_State *L, int result, lua_Integer row, const char *name)
{
    if (row == 0) {
        lua_setfield(L, result, name);
        return;
    }
    if (lua_getfield(L, result, name) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, result, name);
    }
    lua_insert(L, -2);
    lua_rawseti(L, -2, row);
    lua_pop(L, 1);
}

static void cut(const struct call *c, struct run *r)
{
    int64_t over = r->ids.count - c->max_length;
    if (!c->truncate || over <= 0)
        return;
    int64_t from = c->tokenizer->cuts_left ? over : 0;
    memmove(r->ids.ids, r->ids.ids + from, (size_t)c->max_length * sizeof *r->ids.ids);
    if (r->mask.count)
        memmove(r->mask.learn, r->mask.learn + from, (size_t)c->max_length);
    r->ids.count = c->max_length;
}

/* Pushes the text, or stores ids and mask. */
static void convert(lua_State *L, struct call *c, struct run *r, const struct value *messages,
                    int result, lua_Integer row)
{
    bool masked = c->config->return_assistant_tokens_mask;
    r->ids.count = r->mask.count = 0;
    bind_check(L, chat_encode(c->chat, messages, &c->options, &r->ids, masked ? &r->mask : NULL));
    cut(c, r);
    lua_createtable(L, (int)r->ids.count, 0);
    for (int64_t i = 0; i < r->ids.count; i++) {
        lua_pushinteger(L, r->ids.ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
    store(L, result, row, "input_ids");
    if (!masked)
        return;
    lua_createtable(L, (int)r->ids.count, 0);
    for (int64_t i = 0; i < r->ids.count; i++) {
        lua_pushinteger(L, r->mask.learn[i]);
        lua_rawseti(L, -2, i + 1);
    }
    store(L, result, row, "assistant_masks");
}

/* The list on top, filled up with 'value'. */
static void pad(lua_State *L, int64_t want, lua_Integer value, bool left)
{
    int64_t count = (int64_t)lua_rawlen(L, -1), more = want - count;
    for (int64_t i = count; left && i >= 1 && more > 0; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + more);
    }
    for (int64_t i = 1; i <= more; i++) {
        lua_pushinteger(L, value);
        lua_rawseti(L, -2, left ? i : count + i);
    }
}

/* Pushes the list of a row and returns its length. */
static int64_t push_row(lua_State *L, int result, lua_Integer row, const char *name)
{
    lua_getfield(L, result, name);
    if (row) {
        lua_rawgeti(L, -1, row);
        lua_remove(L, -2);
    }
    return (int64_t)lua_rawlen(L, -1);
}

/* Padding and attention_mask of one row. */
static void finish_row(lua_State *L, const struct call *c, int result, lua_Integer row,
                       int64_t want)
{
    bool left = c->tokenizer->pads_left;
    int64_t count = push_row(L, result, row, "input_ids");
    want = c->padding == PAD_NONE || want < count ? count : want;
    pad(L, want, tokenizer_special_id(c->tokenizer->t, TOKENIZER_PAD), left);
    lua_pop(L, 1);
    if (c->config->return_assistant_tokens_mask) {
        push_row(L, result, row, "assistant_masks");
        pad(L, want, 0, left);
        lua_pop(L, 1);
    }
    lua_createtable(L, (int)want, 0);
    for (int64_t i = 1; i <= count; i++) {
        lua_pushinteger(L, 1);
        lua_rawseti(L, -2, i);
    }
    pad(L, want, 0, left);
    store(L, result, row, "attention_mask");
}

static void convert_all(lua_State *L, struct call *c, struct run *r, const struct value *messages,
                        bool batch, int result)
{
    lua_Integer rows = batch ? messages->as.list.count : 1;
    int64_t longest = 0;
    for (lua_Integer row = 1; row <= rows; row++) {
        convert(L, c, r, batch ? messages->as.list.items[row - 1] : messages, result,
                batch ? row : 0);
        longest = r->ids.count > longest ? r->ids.count : longest;
    }
    for (lua_Integer row = 1; row <= rows; row++)
        finish_row(L, c, result, batch ? row : 0, c->padding == PAD_MAX ? c->max_length : longest);
}

static void push_text(lua_State *L, struct call *c, struct run *r, const struct value *messages)
{
    template_result_free(&r->text);
    bind_check(L, chat_render(c->chat, messages, &c->options, &r->text));
    lua_pushlstring(L, r->text.text, r->text.length);
}

static int push_texts(lua_State *L, struct call *c, struct run *r, const struct value *messages,
                      bool batch)
{
    if (!batch) {
        push_text(L, c, r, messages);
        return 1;
    }
    lua_createtable(L, (int)messages->as.list.count, 0);
    for (int64_t i = 0; i < messages->as.list.count; i++) {
        push_text(L, c, r, messages->as.list.items[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

int tokenizer_method_apply_chat_template(lua_State *L)
{
    struct call c = {.tokenizer = bind_arg(L, 1, &tokenizer_class)};
    char found[80];
    lua_settop(L, 3);
    lua_tokenizer_arg(L, 1);
    if (!lua_istable(L, 2))
        return bind_error(L,
                          "apply_chat_template: expected a list of messages, found %s; hint: "
                          "{{role = \"user\", content = \"...\"}}",
                          bind_describe(L, 2, found, sizeof found));
    read_call(L, 3, &c);
    const struct value *messages = lua_value_at(L, 2, "messages");
    bool batch = messages->kind == VALUE_LIST && messages->as.list.count > 0 &&
                 messages->as.list.items[0]->kind == VALUE_LIST;
    struct run *r = run_new(L);
    if (!c.config->tokenize)
        return push_texts(L, &c, r, messages, batch);
    lua_newtable(L);
    convert_all(L, &c, r, messages, batch, lua_gettop(L));
    if (!c.config->return_dict)
        lua_getfield(L, -1, "input_ids");
    return 1;
}

bool lua_chat_is(lua_State *L, int arg)
{
    bool is = false;
    if (lua_type(L, arg) != LUA_TTABLE)
        return false;
    if (lua_rawgeti(L, arg, 1) == LUA_TTABLE) {
        lua_pushliteral(L, "role");
        is = lua_rawget(L, -2) != LUA_TNIL;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return is;
}

void lua_chat_encode(lua_State *L, int tokenizer, int arg, struct id_list *ids)
{
    struct lua_tokenizer *o = bind_arg(L, tokenizer, &tokenizer_class);
    struct chat *c = chat_of(L, o, NULL);
    struct chat_options options = {.add_generation_prompt = true};
    const struct value *messages = lua_value_at(L, arg, "messages");
    int64_t count = messages->kind == VALUE_LIST ? messages->as.list.count : 0;
    if (count &&
        value_is_text(value_map_get(messages->as.list.items[count - 1], "role"), "assistant")) {
        options.add_generation_prompt = false;
        options.continue_field = "content";
    }
    bind_check(L, chat_encode(c, messages, &options, ids, NULL));
    lua_pop(L, 1);
}
