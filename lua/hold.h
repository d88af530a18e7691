/* hold.h -- engine objects of the data layer that must survive a Lua error.
 *
 * A C local that owns something is lost when Lua raises. Here such an object lives in a small
 * userdata on the Lua stack, made empty first and filled then; the collector releases it. */
#ifndef LUA_HOLD_H
#define LUA_HOLD_H

#include "engine/core/buffer.h"
#include "engine/data/rows.h"
#include "engine/data/table.h"
#include <lua.h>

/* Each pushes one userdata and returns the place for its object, empty. */
struct table **hold_table(lua_State *L);
struct column **hold_column(lua_State *L);
struct rows *hold_rows(lua_State *L);
struct buffer *hold_buffer(lua_State *L);

/* A configuration struct with its defaults, released with the userdata. */
struct option_table;
void *hold_options(lua_State *L, const struct option_table *table);

/* 'count' zeroed items of 'size' bytes in a userdata. */
void *hold_array(lua_State *L, int64_t count, size_t size);

/* A column that takes its type from the values that come: nil leaves a null, integers become floats
 * when the first float arrives. */
struct maker {
    struct column *column; /* NULL while only nils came */
    int64_t nulls;         /* those */
};

/* 'count' makers. */
struct maker *hold_makers(lua_State *L, int64_t count);

/* Adds the value at 'arg'; a table becomes a nested value. Raises for a value no column can hold, or of another type than before:
 * "'what' got a table ...". */
void maker_add(lua_State *L, struct maker *m, int arg, const char *what);
void maker_add_null(lua_State *L, struct maker *m);
void maker_add_from(lua_State *L, struct maker *m, const struct column *c, int64_t row);

/* The column of all values, of text type when there was none but nil. It stays the maker's. */
const struct column *maker_column(lua_State *L, struct maker *m);

#endif
