/* cells.h -- between Lua values and tables: cells, rows as Lua tables, tables from Lua tables. */
#ifndef LUA_CELLS_H
#define LUA_CELLS_H

#include "lua/hold.h"
#include <stdbool.h>

/* Pushes a cell: text, integer, float, boolean, a table for a list or object, or nil for null. */
void cells_push(lua_State *L, const struct column *c, int64_t row);

/* Pushes the metatable of the rows of 't': reading a field that is no column raises with the
 * nearest name, so that a misspelt row.Symptons is not silently nil. Made once per loop. */
void cells_push_row_meta(lua_State *L, const struct table *t);

/* Pushes row 'row' as {column = value}; 'meta' is the stack index of its metatable. */
void cells_push_row(lua_State *L, const struct table *t, int64_t row, int meta);

/* Pushes a column as a list; nulls leave holes. */
void cells_push_list(lua_State *L, const struct column *c);

/* Fills 'out' (a hold's place) from the Lua table at 'arg': a list of rows {{a = 1}, {a = 2}}, whose
 * columns are sorted by name, or columns {a = {1, 2}, b = {3, 4}}, sorted too. 'who' is for
 * messages: "DataFrame". */
void cells_table(lua_State *L, int arg, const char *who, struct table **out);

/* One column from a list at 'arg' of 'rows' values (nil among them is null). 'rows' < 0: as many as
 * the list has. Pushes a hold. */
const struct column *cells_column(lua_State *L, int arg, int64_t rows, const char *what);

/* A column of one value, the scalar at 'arg'. Pushes a hold. */
const struct column *cells_scalar(lua_State *L, int arg, const char *what);

/* Calls the function at 'arg' with each row of 't', in order; after each call 'take' finds the
 * results (as many as 'results') on top of the stack and leaves the stack as it likes. An error of
 * the function gets " (row 17)" behind its message. Ctrl-C is seen between rows. With 'index', the
 * row number is a second argument. */
struct cells_loop {
    const struct table *t;
    int results;
    bool index;
    void (*take)(lua_State *L, struct cells_loop *loop, int64_t row);
    void *ctx;
    int64_t row; /* the one being worked on */
};
void cells_each_row(lua_State *L, int arg, struct cells_loop *loop);

/* The name of a column at 'arg' and its place; raises "DataFrame has no column ...". */
int64_t cells_place(lua_State *L, int arg, const struct table *t, const char *who);

/* A name or a list of names at 'arg' as places in a pushed array; nil = all columns. */
const int64_t *cells_places(lua_State *L, int arg, const struct table *t, const char *who,
                            int64_t *count);

#endif
