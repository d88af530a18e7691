/* frame.h -- the class DataFrame, and what Dataset shares with it. */
#ifndef LUA_FRAME_H
#define LUA_FRAME_H

#include "engine/data/print.h"
#include "engine/data/table.h"
#include "lua/bind.h"

/* A DataFrame or a Dataset. Its table is replaced when a column is assigned, never changed. */
struct frame {
    struct table *table;
    struct table *whole; /* what its rows were taken from (head, sample), or NULL: for printing */
};

extern const struct lua_class frame_class;
extern const struct lua_method frame_functions[]; /* read_csv, read_json */
extern const struct lua_method frame_verbs[];     /* the methods (frame_verbs.c) */

/* Pushes an empty DataFrame whose table the caller sets. */
struct frame *frame_new(lua_State *L);

/* The DataFrame at 'arg', or an error. */
struct frame *frame_arg(lua_State *L, int arg);

/* The table of the DataFrame or Dataset at 'arg', or NULL. */
struct table *frame_table_at(lua_State *L, int arg);

/* Pushes the table as text for where output goes: a box on a terminal, else tab-separated. */
int frame_push_text(lua_State *L, const struct table *t, const struct table *whole);

/* How a table is printed where output goes now. */
void frame_style(struct print_style *style);

/* f->table with column 'name' set to the value at 'arg': Column, list, function of a row, or one
 * value for all rows. */
void frame_assign(lua_State *L, struct frame *f, const char *name, int arg, const char *who);

/* Reads options of read_csv and load_dataset: delimiter, keep_default_na. Pushes a userdata that
 * owns them. */
struct reader_options;
extern const struct option_table read_csv_options;
const struct reader_options *frame_reader_options(lua_State *L, int arg);

/* Writes the table at 'path' as CSV; options {index, sep} at 'arg'. */
void frame_write_csv(lua_State *L, const struct table *t, const char *path, int arg);
extern const struct option_table to_csv_options;

/* The same as JSON; options {orient, lines}. 'lines' is what the option is by default. */
void frame_write_json(lua_State *L, const struct table *t, const char *path, int arg, bool lines);
extern const struct option_table to_json_options, read_json_options;

/* Fills the empty frame on top of the stack from a JSON file; options of read_json at 'arg'. */
void frame_read_json(lua_State *L, const char *path, int arg, struct frame *to);

#endif
