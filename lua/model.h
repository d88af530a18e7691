/* model.h -- the Lua class Model, for bindings that train, adapt or run one. */
#ifndef LUA_MODEL_H
#define LUA_MODEL_H

#include "engine/model/model.h"
#include "lua/bind.h"

extern const struct lua_class model_class, auto_model_class, state_dict_class, text_class;
extern const struct option_table from_pretrained_options;

/* The model at 'arg', or an error. Borrowed. */
struct model *lua_model_arg(lua_State *L, int arg);

/* AutoModelForCausalLM.from_pretrained(name, {...}) */
int model_from_pretrained(lua_State *L);

/* model:generate(...), in lua/generate.c */
int model_generate(lua_State *L);

/* model:logits(ids), in lua/forward.c */
int model_logits_call(lua_State *L);

/* model:state_dict(), in lua/state_dict.c */
int model_state_dict(lua_State *L);

/* Pushes the folded tree that a person sees (lua/model_show.c). */
int model_push_tree(lua_State *L, struct model *m);

#endif
