/* export.h -- writing models for other programs, from Lua. */
#ifndef LUA_EXPORT_H
#define LUA_EXPORT_H

#include "engine/model/model.h"
#include "lua/bind.h"

/* model:save_pretrained(dir, ...) of a model without adapter. */
int export_whole(lua_State *L, struct model *m, const char *dir, const char *dtype,
                 const char *max_shard_size);

#endif
