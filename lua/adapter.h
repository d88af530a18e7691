/* adapter.h -- the Lua class LoraConfig and what attaches adapters. */
#ifndef LUA_ADAPTER_H
#define LUA_ADAPTER_H

#include "engine/adapt/lora.h"
#include "lua/bind.h"

extern const struct lua_class lora_config_class;
extern const struct option_table attach_options;    /* of get_peft_model */
extern const struct lua_method adapter_functions[]; /* get_peft_model, prepare_model_for_... */

/* The configuration at 'arg', or an error. Borrowed. */
struct lora_config *lua_lora_arg(lua_State *L, int arg);

/* Shared by configuration classes whose userdata begins with the struct: reading, assigning and
 * printing fields through the option table. */
int config_get(lua_State *L, const struct option_table *table, const void *config);
int config_set(lua_State *L, const struct option_table *table, void *config);
int config_show(lua_State *L, const struct option_table *table, const void *config);

#endif
