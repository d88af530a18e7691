/* chat.h -- conversations as Lua tables: tokenizer:apply_chat_template and what generate needs. */
#ifndef LUA_CHAT_H
#define LUA_CHAT_H

#include "engine/text/tokenizer.h"
#include <lua.h>
#include <stdbool.h>

/* tokenizer:apply_chat_template(messages, options) */
int tokenizer_method_apply_chat_template(lua_State *L);

/* Is the value at 'arg' a conversation: a list whose first item is a table with text keys? */
bool lua_chat_is(lua_State *L, int arg);

/* Appends the ids of the conversation at 'arg' to 'ids', ready for the model to answer: with the
 * generation prompt, or inside the last message when that is the assistant's. Raises. */
void lua_chat_encode(lua_State *L, int tokenizer, int arg, struct id_list *ids);

#endif
