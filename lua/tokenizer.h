/* tokenizer.h -- tokenizers as Lua objects. */
#ifndef LUA_TOKENIZER_H
#define LUA_TOKENIZER_H

#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_options.h"
#include "lua/bind.h"

extern const struct lua_class tokenizer_class, auto_tokenizer_class;

/* The userdata. Scratch memory lives here, so that an error raised by Lua leaks nothing. */
struct lua_tokenizer {
    struct tokenizer *t;
    bool pads_left, cuts_left, splits_special;
    struct tokenizer_load_options load;
    struct tokenizer_call_options call;
    struct tokenizer_decode_options decode;
    struct tokenizer_add_options add;
    struct id_list list, part; /* part: a row of a text that makes several */
    struct text_buffer text;
    struct chat *chat; /* the parsed template, kept by lua/chat.c; NULL = none yet */
};

/* The tokenizer at 'arg', or an error that says what was found. It lives as long as the object. */
struct tokenizer *lua_tokenizer_arg(lua_State *L, int arg);

/* lua/tokenizer_call.c: the methods that turn texts into ids and back. */
int tokenizer_method_call(lua_State *L); /* tokenizer(text, options) */
int tokenizer_method_encode(lua_State *L);
int tokenizer_method_tokenize(lua_State *L);
int tokenizer_method_decode(lua_State *L);
int tokenizer_method_batch_decode(lua_State *L);
int tokenizer_method_tokens_to_ids(lua_State *L);
int tokenizer_method_ids_to_tokens(lua_State *L);

/* lua/tokenizer_vocab.c: adding tokens, listing and saving them. */
int tokenizer_method_add_tokens(lua_State *L);
int tokenizer_method_add_special_tokens(lua_State *L);
int tokenizer_method_get_vocab(lua_State *L);
int tokenizer_method_get_added_vocab(lua_State *L);
int tokenizer_method_save_pretrained(lua_State *L);

#endif
