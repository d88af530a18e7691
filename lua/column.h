/* column.h -- the class Column: one column of a DataFrame, with arithmetic and text functions. */
#ifndef LUA_COLUMN_H
#define LUA_COLUMN_H

#include "engine/data/table.h"
#include "lua/bind.h"

/* A table of exactly one column: its name travels along. */
struct column_object {
    struct table *table;
};

extern const struct lua_class column_class;

/* Pushes the column object of column 'place' of 't'. */
void column_object_push(lua_State *L, const struct table *t, int64_t place);

static inline const struct column *column_of(const struct column_object *o)
{
    return o->table->columns[0];
}

#endif
