/* dataset.h -- the class Dataset, load_dataset, and access to its rows for the trainer. */
#ifndef LUA_DATASET_H
#define LUA_DATASET_H

#include "engine/data/table.h"
#include "lua/bind.h"

extern const struct lua_class dataset_class;
extern const struct lua_method dataset_functions[]; /* load_dataset.c */
extern const struct option_table load_dataset_options, train_test_split_options;

/* Pushes an empty Dataset whose table the caller sets. */
struct frame *dataset_new(lua_State *L);

/* The rows of the Dataset or DataFrame at 'arg', or an error. Borrowed: the caller keeps the Lua
 * value alive, or holds the table (table_hold). */
const struct table *lua_dataset_arg(lua_State *L, int arg);

/* ds:map, in lua/dataset_map.c */
int dataset_map(lua_State *L);
extern const struct option_table map_options;

/* The status line after loading: "400 rows x 4 columns, 104.5 KiB, csv". */
void dataset_note(lua_State *L, const struct table *t, const char *format, const char *split);

/* The tables of a list of Datasets or DataFrames at 'arg', in a pushed array. At least one. */
const struct table *const *dataset_list(lua_State *L, int arg, const char *who, int *count);

/* Pushes a Dataset that holds 't' once more. */
void dataset_push(lua_State *L, const struct table *t);

#endif
