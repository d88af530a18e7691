/* tokenizer_call.c -- texts to ids and back, as the methods of a Tokenizer.
 *
 * Ids are plain Lua lists. Encoding uses the list that lives in the object, so nothing is lost when
 * Lua raises an error half way. */
#include "lua/tokenizer.h"
#include "kernels/base/size.h"

#include <string.h>

static struct lua_tokenizer *self(lua_State *L)
{
    struct lua_tokenizer *o = bind_arg(L, 1, &tokenizer_class);
    if (!o->t)
        bind_error(L, "the tokenizer was closed");
    return o;
}

/* How to cut and fill up, out of the call's options. */
struct shape {
    bool truncate, pads_left, cuts_left, splits;
    enum { PAD_NONE, PAD_LONGEST, PAD_MAX } padding;
    int64_t max_length;
};

static int one_of(lua_State *L, const char *name, const char *const *choices, int preset)
{
    char found[80];
    int chosen = -1;
    bind_field(L, 3, &tokenizer_call_table, name);
    if (lua_isnil(L, -1))
        chosen = preset;
    else if (lua_isboolean(L, -1))
        chosen = lua_toboolean(L, -1) ? 1 : 0;
    else if (lua_type(L, -1) == LUA_TSTRING)
        for (int i = 0; choices[i]; i++)
            if (!strcmp(choices[i], lua_tostring(L, -1)))
                chosen = i;
    if (chosen < 0)
        bind_error(L, "tokenizer: %s must be true, false or \"%s\", found %s", name, choices[1],
                   bind_describe(L, -1, found, sizeof found));
    lua_pop(L, 1);
    return chosen;
}

static void read_options(lua_State *L, struct lua_tokenizer *o, struct shape *s)
{
    static const char *const paddings[] = {"do_not_pad", "longest", "max_length", NULL};
    static const char *const truncations[] = {"do_not_truncate", "longest_first", "only_first",
                                              NULL};
    options_free(&tokenizer_call_table, &o->call);
    bind_check(L, options_init(&tokenizer_call_table, &o->call));
    bind_options(L, 3, &tokenizer_call_table, &o->call);
    s->padding = one_of(L, "padding", paddings, PAD_NONE);
    s->truncate = one_of(L, "truncation", truncations, 0) != 0;
    bind_field(L, 3, &tokenizer_call_table, "split_special_tokens");
    s->splits = lua_isnil(L, -1) ? o->splits_special : o->call.split_special_tokens;
    lua_pop(L, 1);
    s->pads_left = o->call.padding_side ? o->call.padding_side[0] == 'l' : o->pads_left;
    s->cuts_left = o->call.truncation_side ? o->call.truncation_side[0] == 'l' : o->cuts_left;
    s->max_length = o->call.max_length ? o->call.max_length : tokenizer_max_length(o->t);
    if ((s->truncate || s->padding == PAD_MAX) && s->max_length == INT64_MAX)
        bind_error(L, "tokenizer: the model does not say its longest input; hint: give max_length");
    if (s->padding != PAD_NONE && tokenizer_special_id(o->t, TOKENIZER_PAD) < 0)
        bind_error(L, "the tokenizer has no pad token; hint: tokenizer.pad_token = "
                      "tokenizer.eos_token");
}

/* Cuts the list to s->max_length; bos and eos stay. */
static void truncate(const struct lua_tokenizer *o, struct id_list *list, const struct shape *s)
{
    int64_t over = list->count - s->max_length;
    bool around = o->call.add_special_tokens;
    int64_t before = around ? tokenizer_prefix_count(o->t) : 0;
    int64_t behind = around ? tokenizer_suffix_count(o->t) : 0;
    int64_t text = list->count - before - behind;
    if (!s->truncate || over <= 0)
        return;
    if (over > text)
        over = text;
    int64_t from = s->cuts_left ? before : before + text - over;
    memmove(list->ids + from, list->ids + from + over,
            (size_t)(list->count - from - over) * sizeof *list->ids);
    if (list->spans && o->call.return_offsets_mapping)
        memmove(list->spans + from, list->spans + from + over,
                (size_t)(list->count - from - over) * sizeof *list->spans);
    list->count -= over;
}

/* Encodes the text at 'arg' into o->list. */
static void encode(lua_State *L, struct lua_tokenizer *o, int arg, const struct shape *s)
{
    size_t n;
    char found[80];
    int flags = (o->call.add_special_tokens ? TOKENIZER_ADD_SPECIAL : 0) |
                (s->splits ? 0 : TOKENIZER_PARSE_SPECIAL) |
                (o->call.return_offsets_mapping ? TOKENIZER_SPANS : 0);
    if (lua_type(L, arg) != LUA_TSTRING)
        bind_error(L,
                   "a tokenizer encodes texts, found %s; hint: tokenizer(\"text\") or "
                   "tokenizer{\"text\", \"text\"}",
                   bind_describe(L, arg, found, sizeof found));
    const char *text = lua_tolstring(L, arg, &n);
    o->list.count = 0;
    const char *pair = o->call.text_pair;
    if (pair && s->truncate)
        bind_error(L, "tokenizer: text_pair with truncation is not supported");
    bind_check(L, pair ? tokenizer_encode_pair(o->t, text, n, pair, strlen(pair), flags, &o->list)
                       : tokenizer_encode(o->t, text, n, flags, &o->list));
    truncate(o, &o->list, s);
}

static void push_ids(lua_State *L, const struct id_list *list)
{
    lua_createtable(L, (int)list->count, 0);
    for (int64_t i = 0; i < list->count; i++) {
        lua_pushinteger(L, list->ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* First and last byte of each token, 1-based as in string.sub; an empty span is {0, 0}. */
static void push_spans(lua_State *L, const struct id_list *list)
{
    lua_createtable(L, (int)list->count, 0);
    for (int64_t i = 0; i < list->count; i++) {
        bool empty = list->spans[i].start == list->spans[i].end;
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, empty ? 0 : list->spans[i].start + 1);
        lua_rawseti(L, -2, 1);
        lua_pushinteger(L, empty ? 0 : list->spans[i].end);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, i + 1);
    }
}

/* The list on top, filled up with 'value' to 'want' entries. */
static void pad(lua_State *L, int64_t want, lua_Integer value, bool left)
{
    int64_t count = (int64_t)lua_rawlen(L, -1), more = want - count;
    if (more <= 0)
        return;
    for (int64_t i = count; left && i >= 1; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + more);
    }
    for (int64_t i = 1; i <= more; i++) {
        lua_pushinteger(L, value);
        lua_rawseti(L, -2, left ? i : count + i);
    }
}

/* The length to fill up to, rounded up to pad_to_multiple_of. */
static int64_t padded(const struct lua_tokenizer *o, int64_t want)
{
    int64_t m = o->call.pad_to_multiple_of;
    return m > 0 ? (want + m - 1) / m * m : want;
}

/* Pushes the mask of 'count' tokens, filled up to 'want'. */
static void push_mask(lua_State *L, int64_t count, int64_t want, bool left)
{
    lua_createtable(L, (int)(want > count ? want : count), 0);
    for (int64_t i = 1; i <= count; i++) {
        lua_pushinteger(L, 1);
        lua_rawseti(L, -2, i);
    }
    pad(L, want, 0, left);
}

/* The table at 'result' gets the encoding in o->list: as element 'row' of its lists, or (row 0) as
 * the lists themselves. */
static void store(lua_State *L, const struct lua_tokenizer *o, int result, lua_Integer row,
                  const char *name)
{
    (void)o;
    if (row == 0) {
        lua_setfield(L, result, name);
        return;
    }
    lua_getfield(L, result, name);
    lua_insert(L, -2);
    lua_rawseti(L, -2, row);
    lua_pop(L, 1);
}

static void encode_into(lua_State *L, struct lua_tokenizer *o, int text, int result,
                        lua_Integer row, const struct shape *s)
{
    encode(L, o, text, s);
    push_ids(L, &o->list);
    store(L, o, result, row, "input_ids");
    if (o->call.return_offsets_mapping) {
        push_spans(L, &o->list);
        store(L, o, result, row, "offset_mapping");
    }
}

/* Fills up the ids of one text and adds its mask. */
static void finish_row(lua_State *L, const struct lua_tokenizer *o, int result, lua_Integer row,
                       int64_t want, const struct shape *s)
{
    lua_getfield(L, result, "input_ids");
    if (row)
        lua_rawgeti(L, -1, row);
    int64_t count = (int64_t)lua_rawlen(L, -1);
    if (s->padding != PAD_NONE)
        pad(L, want, tokenizer_special_id(o->t, TOKENIZER_PAD), s->pads_left);
    lua_pop(L, row ? 2 : 1);
    int64_t filled = s->padding == PAD_NONE || want < count ? count : want;
    if (o->call.return_length) {
        lua_pushinteger(L, filled);
        store(L, o, result, row, "length");
    }
    if (!o->call.return_attention_mask)
        return;
    push_mask(L, count, filled, s->pads_left);
    store(L, o, result, row, "attention_mask");
}

/* tokenizer{"a", "b", padding = true}: the option would be lost among the texts. */
static void refuse_names(lua_State *L)
{
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING)
            bind_error(L,
                       "tokenizer: '%.60s' stands among the texts; hint: tokenizer({texts}, "
                       "{%.60s = ...})",
                       lua_tostring(L, -2), lua_tostring(L, -2));
}

/* Tokens [start, stop) of the text in o->list as a row of their own, bos and eos around them. */
static void make_part(lua_State *L, struct lua_tokenizer *o, int64_t before, int64_t behind,
                      int64_t start, int64_t stop)
{
    int64_t n = before + stop - start + behind;
    o->part.count = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t from = i < before                  ? i
                       : i < before + stop - start ? i + start
                                                   : o->list.count - (n - i);
        bind_check(L, id_list_add(&o->part, o->list.ids[from]));
        if (o->call.return_offsets_mapping)
            bind_check(L, id_list_span(&o->part, o->list.spans[from]));
    }
}

static void push_part(lua_State *L, struct lua_tokenizer *o, int result, lua_Integer row,
                      lua_Integer sample)
{
    push_ids(L, &o->part);
    store(L, o, result, row, "input_ids");
    if (o->call.return_offsets_mapping) {
        push_spans(L, &o->part);
        store(L, o, result, row, "offset_mapping");
    }
    lua_pushinteger(L, sample);
    store(L, o, result, row, "overflow_to_sample_mapping");
}

/* The text at 'text' as one row or, cut at the longest length, several; returns the last row. */
static lua_Integer encode_parts(lua_State *L, struct lua_tokenizer *o, int text, int result,
                                lua_Integer row, lua_Integer sample, const struct shape *s)
{
    struct shape whole = *s;
    whole.truncate = false;
    encode(L, o, text, &whole);
    int64_t before = o->call.add_special_tokens ? tokenizer_prefix_count(o->t) : 0;
    int64_t behind = o->call.add_special_tokens ? tokenizer_suffix_count(o->t) : 0;
    int64_t body = o->list.count - before - behind, step;
    int64_t room = s->truncate ? s->max_length - before - behind : body;
    if (s->truncate && room <= o->call.stride)
        bind_error(L, "tokenizer: stride %lld must be below max_length without bos and eos, %lld",
                   (long long)o->call.stride, (long long)room);
    step = room - (s->truncate ? o->call.stride : 0);
    for (int64_t done = 0, more = 1; more; done += step) { /* from the side that is kept */
        int64_t end = done + room < body ? done + room : body;
        make_part(L, o, before, behind, s->cuts_left ? body - end : done,
                  s->cuts_left ? body - done : end);
        push_part(L, o, result, ++row, sample);
        more = end < body;
    }
    return row;
}

static void encode_batch(lua_State *L, struct lua_tokenizer *o, int result, const struct shape *s)
{
    bool parts = o->call.return_overflowing_tokens;
    const struct {
        const char *name;
        bool wanted;
    } fields[] = {{"input_ids", true},
                  {"attention_mask", o->call.return_attention_mask},
                  {"offset_mapping", o->call.return_offsets_mapping},
                  {"length", o->call.return_length},
                  {"overflow_to_sample_mapping", parts}};
    bool list = lua_istable(L, 2);
    lua_Integer texts = list ? (lua_Integer)lua_rawlen(L, 2) : 1, rows = 0;
    int64_t longest = 0;
    if (list)
        refuse_names(L);
    if (o->call.text_pair && (list || parts))
        bind_error(L, "tokenizer: text_pair goes with one text and one row");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!fields[i].wanted)
            continue;
        lua_createtable(L, (int)texts, 0);
        lua_setfield(L, result, fields[i].name);
    }
    for (lua_Integer text = 1; text <= texts; text++) {
        if (list)
            lua_rawgeti(L, 2, text);
        else
            lua_pushvalue(L, 2);
        if (parts)
            rows = encode_parts(L, o, lua_gettop(L), result, rows, text, s);
        else
            encode_into(L, o, lua_gettop(L), result, ++rows, s);
        lua_pop(L, 1);
        int64_t count =
            parts && s->truncate ? i64_min(o->list.count, s->max_length) : o->list.count;
        longest = i64_max(longest, count);
    }
    int64_t want = padded(o, s->padding == PAD_MAX ? s->max_length : longest);
    for (lua_Integer row = 1; row <= rows; row++)
        finish_row(L, o, result, row, want, s);
}

int tokenizer_method_call(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    struct shape s;
    lua_settop(L, 3);
    read_options(L, o, &s);
    lua_newtable(L);
    int result = lua_gettop(L);
    if (lua_istable(L, 2) || o->call.return_overflowing_tokens) {
        encode_batch(L, o, result, &s);
    } else {
        encode_into(L, o, 2, result, 0, &s);
        finish_row(L, o, result, 0, padded(o, s.padding == PAD_MAX ? s.max_length : o->list.count),
                   &s);
    }
    lua_settop(L, result);
    return 1;
}

int tokenizer_method_encode(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    struct shape s;
    lua_settop(L, 3);
    read_options(L, o, &s);
    encode(L, o, 2, &s);
    push_ids(L, &o->list);
    if (s.padding == PAD_MAX)
        pad(L, padded(o, s.max_length), tokenizer_special_id(o->t, TOKENIZER_PAD), s.pads_left);
    return 1;
}

static int push_token(lua_State *L, const struct lua_tokenizer *o, int32_t id)
{
    size_t n;
    const char *text = tokenizer_token(o->t, id, &n);
    if (!text)
        return bind_error(L, "there is no token %d; hint: ids run from 0 to %d", id,
                          tokenizer_size(o->t) - 1);
    lua_pushlstring(L, text, n);
    return 1;
}

int tokenizer_method_tokenize(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    struct shape s = {.truncate = false};
    lua_settop(L, 2);
    options_free(&tokenizer_call_table, &o->call);
    bind_check(L, options_init(&tokenizer_call_table, &o->call));
    o->call.add_special_tokens = false;
    s.splits = o->splits_special;
    encode(L, o, 2, &s);
    lua_createtable(L, (int)o->list.count, 0);
    for (int64_t i = 0; i < o->list.count; i++) {
        push_token(L, o, o->list.ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* The id at the top of the stack, which stays there. */
static int32_t take_id(lua_State *L)
{
    char found[80];
    int whole;
    lua_Integer id = lua_tointegerx(L, -1, &whole);
    if (!whole || lua_type(L, -1) != LUA_TNUMBER)
        bind_error(L, "token ids are integers, found %s",
                   bind_describe(L, -1, found, sizeof found));
    if (id < 0 || id > INT32_MAX)
        bind_error(L, "there is no token %lld", (long long)id);
    return (int32_t)id;
}

/* The id or list of ids at 'arg' into o->list. */
static void take_ids(lua_State *L, struct lua_tokenizer *o, int arg)
{
    char found[80];
    o->list.count = 0;
    if (lua_type(L, arg) == LUA_TNUMBER) {
        lua_pushvalue(L, arg);
        bind_check(L, id_list_add(&o->list, take_id(L)));
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, arg))
        bind_error(L,
                   "wanted a list of token ids, found %s; hint: tokenizer:encode(text) gives "
                   "one",
                   bind_describe(L, arg, found, sizeof found));
    lua_Integer n = (lua_Integer)lua_rawlen(L, arg);
    if (n == 0 && lua_getfield(L, arg, "input_ids") != LUA_TNIL)
        bind_error(L, "wanted a list of token ids, found an encoding; hint: give its input_ids");
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, arg, i);
        bind_check(L, id_list_add(&o->list, take_id(L)));
        lua_pop(L, 1);
    }
}

static void push_text(lua_State *L, struct lua_tokenizer *o, int ids)
{
    take_ids(L, o, ids);
    o->text.length = 0;
    bind_check(L, tokenizer_decode(o->t, o->list.ids, o->list.count, o->decode.skip_special_tokens,
                                   &o->text));
    if (o->decode.clean_up_tokenization_spaces)
        tokenizer_clean_up(&o->text, 0);
    lua_pushlstring(L, o->text.bytes, (size_t)o->text.length);
}

static void read_decode_options(lua_State *L, struct lua_tokenizer *o)
{
    lua_settop(L, 3);
    options_free(&tokenizer_decode_table, &o->decode);
    bind_check(L, options_init(&tokenizer_decode_table, &o->decode));
    bind_options(L, 3, &tokenizer_decode_table, &o->decode);
}

int tokenizer_method_decode(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    read_decode_options(L, o);
    push_text(L, o, 2);
    return 1;
}

int tokenizer_method_batch_decode(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    char found[80];
    read_decode_options(L, o);
    if (!lua_istable(L, 2))
        return bind_error(L, "batch_decode wants a list of lists of ids, found %s",
                          bind_describe(L, 2, found, sizeof found));
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        push_text(L, o, lua_gettop(L));
        lua_rawseti(L, 4, i);
        lua_settop(L, 4);
    }
    return 1;
}

/* Id of the token at 'arg', the unknown token's, or -1. */
static int32_t find_token(lua_State *L, const struct lua_tokenizer *o, int arg)
{
    size_t n;
    char found[80];
    if (lua_type(L, arg) != LUA_TSTRING)
        bind_error(L, "tokens are texts, found %s", bind_describe(L, arg, found, sizeof found));
    const char *text = lua_tolstring(L, arg, &n);
    int32_t id = tokenizer_find(o->t, text, n);
    return id >= 0 ? id : tokenizer_special_id(o->t, TOKENIZER_UNK);
}

int tokenizer_method_tokens_to_ids(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    lua_settop(L, 2);
    if (!lua_istable(L, 2)) {
        int32_t id = find_token(L, o, 2);
        if (id < 0)
            lua_pushnil(L);
        else
            lua_pushinteger(L, id);
        return 1;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        int32_t id = find_token(L, o, lua_gettop(L));
        if (id < 0)
            return bind_error(L, "the vocabulary has no token '%.80s'", lua_tostring(L, -1));
        lua_pushinteger(L, id);
        lua_rawseti(L, 3, i);
        lua_settop(L, 3);
    }
    return 1;
}

int tokenizer_method_ids_to_tokens(lua_State *L)
{
    struct lua_tokenizer *o = self(L);
    lua_settop(L, 2);
    take_ids(L, o, 2);
    if (lua_type(L, 2) == LUA_TNUMBER)
        return push_token(L, o, o->list.ids[0]);
    lua_createtable(L, (int)o->list.count, 0);
    for (int64_t i = 0; i < o->list.count; i++) {
        push_token(L, o, o->list.ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}
