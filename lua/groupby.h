/* groupby.h -- the class GroupBy: what df:groupby gives; and df:merge. */
#ifndef LUA_GROUPBY_H
#define LUA_GROUPBY_H

#include "lua/bind.h"

extern const struct lua_class groupby_class;

/* df:groupby("A"), df:groupby{"A", "B"} */
int groupby_make(lua_State *L);

/* df:merge(other, {on = "A", how = "inner"}) */
int groupby_merge(lua_State *L);
extern const struct option_table merge_options;

#endif
