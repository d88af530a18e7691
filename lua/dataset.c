/* dataset.c -- the class Dataset. Loading: load_dataset.c. */
#include "lua/dataset.h"
#include "engine/data/print.h"
#include "engine/data/readers.h"
#include "engine/data/rows.h"
#include "engine/data/split.h"
#include "kernels/base/rng.h"
#include "lua/cells.h"
#include "lua/column.h"
#include "lua/frame.h"
#include "lua/verbs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct frame *dataset_new(lua_State *L)
{
    return bind_new(L, &dataset_class, sizeof(struct frame));
}

static struct table *table_of(lua_State *L)
{
    return ((struct frame *)bind_arg(L, 1, &dataset_class))->table;
}

void dataset_push(lua_State *L, const struct table *t)
{
    dataset_new(L)->table = table_hold(t);
}

const struct table *lua_dataset_arg(lua_State *L, int arg)
{
    struct table *t = frame_table_at(L, arg);
    char found[80];
    if (!t)
        bind_error(L,
                   "wanted a Dataset or DataFrame, found %s; hint: load_dataset(..., {split = "
                   "\"train\"}) gives one",
                   bind_describe(L, arg, found, sizeof found));
    return t;
}

const struct table *const *dataset_list(lua_State *L, int arg, const char *who, int *count)
{
    arg = lua_absindex(L, arg);
    int64_t n = lua_istable(L, arg) ? (int64_t)lua_rawlen(L, arg) : 0;
    if (n < 1 || n > 100000)
        bind_error(L, "%s wants a list of datasets; hint: %s{a, b}", who, who);
    const struct table **parts = hold_array(L, n, sizeof *parts);
    for (int64_t i = 0; i < n; i++) {
        lua_rawgeti(L, arg, i + 1); /* the list keeps it alive */
        parts[i] = lua_dataset_arg(L, -1);
        lua_pop(L, 1);
    }
    *count = (int)n;
    return parts;
}

void dataset_note(lua_State *L, const struct table *t, const char *format, const char *split)
{
    char rows[32], bytes[32];
    const char *times = bind_terminal.utf8 ? "\xC3\x97" : "x",
               *dot = bind_terminal.utf8 ? "\xC2\xB7" : "-";
    bind_note(L, "%s row%s %s %" PRId64 " column%s %s %s %s %s, UTF-8%s%s%s%s",
              print_count(t->rows, rows), t->rows == 1 ? "" : "s", times, t->width,
              t->width == 1 ? "" : "s", dot, verbs_bytes_text(table_bytes(t), bytes), dot, format,
              split ? " " : "", split ? dot : "", split ? " " : "", split ? split : "");
    if (t->rows == 0)
        bind_note(L, "note: there are no rows");
    const char *other = t->width == 1 ? strpbrk(t->names[0], ";\t|") : NULL;
    if (other)
        bind_note(L, "note: there is one column, '%.60s'; hint: {delimiter = \"%s\"} parts it",
                  t->names[0],
                  *other == '\t'  ? "\\t"
                  : *other == ';' ? ";"
                                  : "|");
}

/* --- rows -------------------------------------------------------------------------------------------- */

static int push_rows(lua_State *L, const struct rows *rows, const struct table *t)
{
    struct frame *made = dataset_new(L);
    bind_check(L, rows_table(rows, t, &made->table));
    return 1;
}

static int method_filter(lua_State *L)
{
    struct table *t = table_of(L);
    lua_settop(L, 2);
    return push_rows(L, verbs_where(L, 2, t, "filter"), t);
}

static int method_select(lua_State *L)
{
    struct table *t = table_of(L);
    lua_settop(L, 2);
    if (!lua_istable(L, 2))
        return bind_error(L, "select wants a list of row numbers; hint: ds:select{1, 5, -1}");
    struct rows *rows = hold_rows(L);
    for (int64_t i = 1, n = (int64_t)lua_rawlen(L, 2); i <= n; i++) {
        lua_rawgeti(L, 2, i);
        bind_check(L, rows_add(rows, bind_index(L, -1, t->rows, "row")));
        lua_pop(L, 1);
    }
    return push_rows(L, rows, t);
}

struct shuffle {
    int64_t seed;
};
static const struct option shuffle_rows[] = {
    OPTION(struct shuffle, seed, INT, "-1", .aliases = "generator",
           .doc = "where the random order starts; default the session's --seed"),
};
static const struct option_table shuffle_options = {"shuffle", "How rows are shuffled.",
                                                    shuffle_rows, 1, sizeof(struct shuffle)};

static uint64_t seed_or_session(int64_t seed)
{
    return seed >= 0 ? (uint64_t)seed : bind_host.seed;
}

/* ds:shuffle{seed = 42}, ds:shuffle(42) */
static int method_shuffle(lua_State *L)
{
    struct table *t = table_of(L);
    lua_settop(L, 2);
    struct shuffle *o = hold_options(L, &shuffle_options);
    if (lua_isinteger(L, 2))
        o->seed = lua_tointeger(L, 2);
    else
        bind_options(L, 2, &shuffle_options, o);
    struct rows *rows = hold_rows(L);
    bind_check(L, rows_shuffled(rows, seed_or_session(o->seed), RNG_SHUFFLE, t->rows, t->rows));
    return push_rows(L, rows, t);
}

struct sort {
    bool reverse;
};
static const struct option sort_rows[] = {
    OPTION(struct sort, reverse, BOOL, "false", .doc = "the greatest first"),
};
static const struct option_table sort_options = {"sort", "How rows are ordered.", sort_rows, 1,
                                                 sizeof(struct sort)};

static int method_sort(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t count;
    lua_settop(L, 3);
    if (lua_isnil(L, 2))
        return bind_error(L, "sort wants a column; hint: ds:sort(\"Name\")");
    const int64_t *places = cells_places(L, 2, t, "Dataset", &count);
    struct sort *o = hold_options(L, &sort_options);
    bind_options(L, 3, &sort_options, o);
    bool *down = hold_array(L, count, sizeof *down);
    for (int64_t i = 0; i < count; i++)
        down[i] = o->reverse;
    struct rows *rows = hold_rows(L);
    bind_check(L, rows_sorted(rows, t, places, down, count));
    return push_rows(L, rows, t);
}

struct train_test {
    double test_size, train_size;
    int64_t seed;
    bool shuffle;
};
static const struct option train_test_rows[] = {
    OPTION(struct train_test, test_size, FLOAT, "0.25",
           .doc = "share of the rows (under 1) or number of rows of the test part"),
    OPTION(struct train_test, train_size, FLOAT, "0",
           .doc = "the same for the train part; 0 = all that is left"),
    OPTION(struct train_test, seed, INT, "-1",
           .doc = "where the random order starts; default the session's --seed"),
    OPTION(struct train_test, shuffle, BOOL, "true",
           .doc = "false: the last rows are the test part"),
};
const struct option_table train_test_split_options = {
    "train_test_split", "How rows are parted.", train_test_rows, 4, sizeof(struct train_test)};

/* Pushes {train = Dataset, test = Dataset}. */
static int method_train_test_split(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t test, train;
    lua_settop(L, 2);
    struct train_test *o = hold_options(L, &train_test_split_options);
    bind_options(L, 2, &train_test_split_options, o);
    bind_check(L, split_test_rows(o->test_size, t->rows, &test));
    train = t->rows - test;
    if (o->train_size > 0) {
        double n = o->train_size < 1 ? floor(o->train_size * (double)t->rows) : o->train_size;
        if (!(n >= 1 && n <= (double)train))
            return bind_error(L,
                              "train_size %g and test_size %g are more than all %" PRId64 " rows",
                              o->train_size, o->test_size, t->rows);
        train = (int64_t)n;
    }
    struct rows *rows = hold_rows(L);
    if (o->shuffle)
        bind_check(L, rows_shuffled(rows, seed_or_session(o->seed), RNG_SHUFFLE, t->rows, t->rows));
    else
        bind_check(L, rows_range(rows, 0, t->rows));
    /* shuffled, the test part comes first, so that its rows do not depend on train_size */
    int64_t test_from = o->shuffle ? 0 : t->rows - test, train_from = o->shuffle ? test : 0;
    lua_createtable(L, 0, 2);
    struct frame *part = dataset_new(L);
    bind_check(L, table_pick(t, rows->at + train_from, train, &part->table));
    lua_setfield(L, -2, "train");
    part = dataset_new(L);
    bind_check(L, table_pick(t, rows->at + test_from, test, &part->table));
    lua_setfield(L, -2, "test");
    return 1;
}

/* --- columns ----------------------------------------------------------------------------------------- */

static int method_rename_column(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t place = cells_place(L, 2, t, "Dataset");
    const char *name = luaL_checkstring(L, 3);
    struct frame *made = dataset_new(L);
    bind_check(L, table_rename(t, place, name, &made->table));
    return 1;
}

static int method_remove_columns(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t count;
    if (lua_isnoneornil(L, 2))
        return bind_error(L, "remove_columns wants names; hint: ds:remove_columns{\"A\", \"B\"}");
    const int64_t *places = cells_places(L, 2, t, "Dataset", &count);
    struct frame *made = dataset_new(L);
    bind_check(L, table_without(t, places, count, &made->table));
    return 1;
}

static int method_select_columns(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t count;
    if (lua_isnoneornil(L, 2))
        return bind_error(L, "select_columns wants names; hint: ds:select_columns{\"A\", \"B\"}");
    const int64_t *places = cells_places(L, 2, t, "Dataset", &count);
    struct frame *made = dataset_new(L);
    bind_check(L, table_columns(t, places, count, &made->table));
    return 1;
}

static int method_add_column(lua_State *L)
{
    struct table *t = table_of(L);
    const char *name = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    if (table_place(t, name) >= 0)
        return bind_error(L,
                          "the Dataset has a column '%s' already; hint: :remove_columns first, or "
                          ":map",
                          name);
    struct frame *made = dataset_new(L);
    made->table = table_hold(t);
    frame_assign(L, made, name, 3, "add_column");
    lua_settop(L, 4);
    return 1;
}

static int method_unique(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t place = cells_place(L, 2, t, "Dataset");
    struct rows *rows = hold_rows(L);
    bind_check(L, rows_distinct(rows, t, &place, 1, NULL));
    lua_newtable(L);
    for (int64_t i = 0, n = 0; i < rows->count; i++)
        if (!column_is_null(t->columns[place], rows->at[i])) {
            cells_push(L, t->columns[place], rows->at[i]);
            lua_rawseti(L, -2, ++n);
        }
    return 1;
}

static int method_to_pandas(lua_State *L)
{
    struct table *t = table_of(L);
    frame_new(L)->table = table_hold(t);
    return 1;
}

static int method_to_csv(lua_State *L)
{
    struct table *t = table_of(L);
    const char *path = luaL_optstring(L, 2, NULL);
    lua_settop(L, 3);
    frame_write_csv(L, t, path, 3);
    return path ? 0 : 1;
}

static int method_to_json(lua_State *L)
{
    struct table *t = table_of(L);
    const char *path = luaL_optstring(L, 2, NULL);
    lua_settop(L, 3);
    frame_write_json(L, t, path, 3, true);
    return path ? 0 : 1;
}

static int method_rows(lua_State *L)
{
    return verbs_iterate(L, table_of(L));
}

/* --- statics ----------------------------------------------------------------------------------------- */

static int static_from_pandas(lua_State *L)
{
    struct table *t = bind_test(L, 1, &frame_class) ? frame_table_at(L, 1) : NULL;
    char found[80];
    if (!t)
        return bind_error(L, "Dataset.from_pandas wants a DataFrame, found %s",
                          bind_describe(L, 1, found, sizeof found));
    dataset_push(L, t);
    return 1;
}

static int static_from_table(lua_State *L)
{
    char found[80];
    lua_settop(L, 1);
    if (!lua_istable(L, 1))
        return bind_error(L,
                          "Dataset.from_list and from_dict want a table, found %s; hint: "
                          "Dataset.from_list{ {Text = \"a\"}, {Text = \"b\"} }",
                          bind_describe(L, 1, found, sizeof found));
    struct frame *made = dataset_new(L);
    cells_table(L, 1, "Dataset", &made->table);
    return 1;
}

static int static_from_csv(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    const struct reader_options *o = frame_reader_options(L, 2);
    struct frame *made = dataset_new(L);
    bind_check(L, reader_file(&readers[0], path, o, &made->table));
    dataset_note(L, made->table, "csv", NULL);
    return 1;
}

static int static_from_json(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    frame_read_json(L, path, 2, dataset_new(L));
    return 1;
}

/* --- class ------------------------------------------------------------------------------------------- */

static int get_column_names(lua_State *L)
{
    struct table *t = table_of(L);
    lua_createtable(L, (int)t->width, 0);
    for (int64_t i = 0; i < t->width; i++) {
        lua_pushstring(L, t->names[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int get_features(lua_State *L)
{
    struct table *t = table_of(L);
    lua_createtable(L, 0, (int)t->width);
    for (int64_t i = 0; i < t->width; i++) {
        lua_pushstring(L, column_dtype(t->columns[i]));
        lua_setfield(L, -2, t->names[i]);
    }
    return 1;
}

static int get_num_rows(lua_State *L)
{
    lua_pushinteger(L, table_of(L)->rows);
    return 1;
}

static int meta_tostring(lua_State *L)
{
    struct table *t = table_of(L);
    struct buffer *b = hold_buffer(L);
    buffer_text(b, "Dataset { features = {");
    for (int64_t i = 0; i < t->width; i++)
        buffer_printf(b, "%s\"%s\"", i ? ", " : "", t->names[i]);
    buffer_printf(b, "}, num_rows = %" PRId64 " }", t->rows);
    bind_check(L, b->status);
    lua_pushlstring(L, b->bytes, (size_t)b->length);
    return 1;
}

/* ds[3] is a row, ds["Name"] a list */
static int index_dataset(lua_State *L)
{
    struct table *t = table_of(L);
    int64_t place;
    if (lua_type(L, 2) == LUA_TNUMBER) {
        if (lua_isinteger(L, 2) && lua_tointeger(L, 2) == t->rows + 1)
            return lua_pushnil(L), 1; /* ipairs ends here */
        int64_t row = bind_index(L, 2, t->rows, "row");
        cells_push_row_meta(L, t);
        cells_push_row(L, t, row, lua_gettop(L));
        return 1;
    }
    if (lua_type(L, 2) != LUA_TSTRING || (place = table_place(t, lua_tostring(L, 2))) < 0)
        return 0;
    cells_push_list(L, t->columns[place]);
    return 1;
}

static int newindex_dataset(lua_State *L)
{
    return bind_error(
        L, "a Dataset is not changed in place; hint: ds = ds:add_column(name, values) or "
           "ds:map(f)");
}

static int meta_gc(lua_State *L)
{
    struct frame *f = lua_touserdata(L, 1);
    table_free(f->table);
    f->table = NULL;
    return 0;
}

static int meta_call(lua_State *L)
{
    return verbs_step(L, table_of(L));
}

static void offer_names(void *object, void (*offer)(void *ctx, const char *name), void *ctx)
{
    struct frame *f = object;
    for (int64_t i = 0; f->table && i < f->table->width; i++)
        offer(ctx, f->table->names[i]);
}

static const struct lua_method methods[] = {
    {"map", dataset_map, "ds:map(function(row) return { Text = ... } end)",
     "Calls the function with each row and merges the fields it returns into the row: new fields "
     "are new columns. With batched = true it gets and gives {column = list} of batch_size rows, "
     "and may give more or fewer.",
     &map_options},
    {"filter", method_filter, "ds:filter(function(row) return ... end)",
     "The rows for which the function gives true; or an expression, as in df:where.", NULL},
    {"select", method_select, "ds:select{1, 2, 3}",
     "Rows by number, in the order given; negatives count from the end.", NULL},
    {"shuffle", method_shuffle, "ds:shuffle{seed = 42}",
     "All rows in random order; the same seed gives the same order.", &shuffle_options},
    {"sort", method_sort, "ds:sort(\"Name\", {reverse = false})",
     "Rows in order of one or more columns; nulls come last.", &sort_options},
    {"train_test_split", method_train_test_split,
     "ds:train_test_split{test_size = 0.25, seed = 42}",
     "Two Datasets: { train = ..., test = ... }.", &train_test_split_options},
    {"rename_column", method_rename_column, "ds:rename_column(\"Old\", \"New\")",
     "A column under a new name.", NULL},
    {"remove_columns", method_remove_columns, "ds:remove_columns{\"A\", \"B\"}",
     "Without some columns.", NULL},
    {"select_columns", method_select_columns, "ds:select_columns{\"A\", \"B\"}",
     "Only some columns, in this order.", NULL},
    {"add_column", method_add_column, "ds:add_column(name, values)",
     "With a new column: a list, a Column, a value or a function of a row.", NULL},
    {"unique", method_unique, "ds:unique(\"A\")", "List of the different values of a column.",
     NULL},
    {"to_pandas", method_to_pandas, "ds:to_pandas()",
     "The same rows as a DataFrame; nothing is copied.", NULL},
    {"to_csv", method_to_csv, "ds:to_csv(path, {sep = \",\"})",
     "Writes a CSV file, at once or not at all.", &to_csv_options},
    {"to_json", method_to_json, "ds:to_json(path, {lines = true})",
     "Writes a JSON lines file (one row a line), at once or not at all; without a path the text is "
     "returned.",
     &to_json_options},
    {"rows", method_rows, "for i, row in ds:rows() do ... end",
     "Goes through the rows as tables {column = value}.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const struct lua_method statics[] = {
    {"from_pandas", static_from_pandas, "Dataset.from_pandas(df)",
     "The rows of a DataFrame as a Dataset; nothing is copied.", NULL},
    {"from_list", static_from_table, "Dataset.from_list{ {Text = \"a\"}, {Text = \"b\"} }",
     "From a list of rows.", NULL},
    {"from_dict", static_from_table, "Dataset.from_dict{ Text = {\"a\", \"b\"} }",
     "From lists, one for each column.", NULL},
    {"from_csv", static_from_csv, "Dataset.from_csv(path)", "From a CSV file.", &read_csv_options},
    {"from_json", static_from_json, "Dataset.from_json(path)", "From a JSON or JSON lines file.",
     &read_json_options},
    {NULL, NULL, NULL, NULL, NULL},
};

static const struct lua_property properties[] = {
    {"column_names", get_column_names, NULL, "List of the column names."},
    {"features", get_features, NULL,
     "{column = type}: \"str\", \"int\", \"float\", \"bool\", \"list\" or \"struct\"."},
    {"num_rows", get_num_rows, NULL, "How many rows there are; #ds is the same."},
    {NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {{"__gc", meta_gc},
                                {"__len", get_num_rows},
                                {"__tostring", meta_tostring},
                                {"__call", meta_call},
                                {NULL, NULL}};

const struct lua_class dataset_class = {
    .name = "Dataset",
    .doc =
        "Rows to train on, as load_dataset gives them: ds[3] is a row, ds[\"Text\"] a column as a "
        "list, #ds the number of rows. Constant: every method gives a new Dataset that shares what "
        "it did not change.",
    .methods = methods,
    .properties = properties,
    .statics = statics,
    .meta = meta,
    .index = index_dataset,
    .newindex = newindex_dataset,
    .names = offer_names,
};
