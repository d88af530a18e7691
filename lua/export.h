/* export.h -- writing models for other programs, from Lua. */
#ifndef LUA_EXPORT_H
#define LUA_EXPORT_H

#include "engine/model/model.h"
#include "lua/bind.h"

/* model:save_pretrained(dir, ...) of a model without adapter. */
int export_whole(lua_State *L, struct model *m, const char *dir, const char *dtype,
                 const char *max_shard_size);

/* Methods of Model (lua/model.c has the rows). */
int export_save_gguf(lua_State *L);         /* model:save_gguf(path, {...}) */
int export_save_adapter_gguf(lua_State *L); /* model:save_adapter_gguf(path, {...}) */
extern const struct option_table save_gguf_options, save_adapter_gguf_options;

#endif
