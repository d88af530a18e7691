/* peft.h -- what Model can do with adapters, and the classes PeftModel, PeftConfig and
 * AutoPeftModelForCausalLM. */
#ifndef LUA_PEFT_H
#define LUA_PEFT_H

#include "engine/adapt/lora.h"
#include "lua/bind.h"

extern const struct lua_class peft_model_class, peft_config_class, auto_peft_class;
extern const struct option_table peft_load_options, peft_save_options, merge_options_table;

/* Methods of Model (lua/model.c has the rows). */
int peft_add_adapter(lua_State *L);
int peft_load_adapter(lua_State *L);
int peft_set_adapter(lua_State *L);
int peft_delete_adapter(lua_State *L);
int peft_disable_adapter(lua_State *L);
int peft_enable_adapter(lua_State *L);
int peft_merge_and_unload(lua_State *L);
int peft_merge_adapter(lua_State *L);
int peft_unmerge_adapter(lua_State *L);
int peft_unload(lua_State *L);

/* model:save_pretrained(dir, {...}): the adapters, or the whole model when there is none. */
int peft_save_pretrained(lua_State *L);

/* Properties of Model. */
int peft_active_adapter(lua_State *L);
int peft_config_of(lua_State *L);

/* For AutoModelForCausalLM.from_pretrained on an adapter's folder 'dir' (arguments: dir, options):
 * opens the base model that its configuration names and puts the adapter on. Pushes the model. */
int peft_open_with_base(lua_State *L, const char *dir);

/* Things to know about a fresh adapter: biases that are not there, weights that are shared. */
void peft_note_adapter(const struct lora *l);

#endif
