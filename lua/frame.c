/* frame.c -- the class DataFrame: making, indexing, assigning, printing. Verbs: frame_verbs.c. */
#include "lua/frame.h"
#include "engine/core/file.h"
#include "engine/data/readers.h"
#include "engine/data/writer_json.h"
#include "lua/cells.h"
#include "lua/column.h"
#include "lua/dataset.h"
#include "lua/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct frame *frame_new(lua_State *L)
{
    return bind_new(L, &frame_class, sizeof(struct frame));
}

struct frame *frame_arg(lua_State *L, int arg)
{
    return bind_arg(L, arg, &frame_class);
}

struct table *frame_table_at(lua_State *L, int arg)
{
    struct frame *f = bind_test(L, arg, &frame_class);
    if (!f)
        f = bind_test(L, arg, &dataset_class);
    return f ? f->table : NULL;
}

/* --- printing -------------------------------------------------------------------------------------- */

void frame_style(struct print_style *style)
{
    bool terminal = isatty(STDOUT_FILENO);
    *style = (struct print_style){
        .form = !terminal            ? PRINT_TSV
                : bind_terminal.utf8 ? PRINT_BOX
                                     : PRINT_ASCII,
        .width = bind_terminal.width ? bind_terminal.width() : 80,
        .place_borders = terminal && bind_terminal.utf8,
    };
}

int frame_push_text(lua_State *L, const struct table *t, const struct table *whole)
{
    struct print_style style;
    struct buffer *text = hold_buffer(L);
    frame_style(&style);
    bind_check(L, print_table(t, whole, &style, text));
    int64_t n = text->length; /* print() ends the line itself */
    lua_pushlstring(L, text->bytes ? text->bytes : "", (size_t)(n > 0 ? n - 1 : 0));
    return 1;
}

static int meta_tostring(lua_State *L)
{
    struct frame *f = frame_arg(L, 1);
    return frame_push_text(L, f->table, f->whole);
}

/* --- making ---------------------------------------------------------------------------------------- */

/* load_dataset without a split gives {train = Dataset}: a frame is made from one of them. */
static void refuse_splits(lua_State *L, int arg)
{
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1))
        if (bind_test(L, -1, &dataset_class)) {
            const char *split = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "train";
            bind_error(L,
                       "this is a table of datasets, wanted one; hint: DataFrame(dataset.%s), or "
                       "load_dataset(..., {split = \"%s\"})",
                       split, split);
        }
}

/* DataFrame(dataset), DataFrame{ {a = 1}, ... }, DataFrame{a = {...}} */
static int construct(lua_State *L)
{
    char found[80];
    lua_settop(L, 1);
    struct table *t = frame_table_at(L, 1);
    struct column_object *c = bind_test(L, 1, &column_class);
    struct frame *f = frame_new(L);
    if (t || c) {
        f->table = table_hold(t ? t : c->table);
    } else if (lua_istable(L, 1)) {
        refuse_splits(L, 1);
        cells_table(L, 1, "DataFrame", &f->table);
    } else if (lua_isnil(L, 1)) {
        bind_check(L, table_new(&f->table));
    } else {
        bind_error(L,
                   "DataFrame cannot be made from %s; hint: DataFrame(dataset), "
                   "DataFrame{ {Name = \"x\"}, ... } or read_csv(path)",
                   bind_describe(L, 1, found, sizeof found));
    }
    return 1;
}

/* --- assigning ------------------------------------------------------------------------------------- */

static void take_value(lua_State *L, struct cells_loop *loop, int64_t row)
{
    (void)row;
    maker_add(L, loop->ctx, -1, "the function");
}

/* Pushes what keeps the column alive. */
static const struct column *column_for(lua_State *L, const struct frame *f, int arg,
                                       const char *what)
{
    int64_t rows = f->table->rows;
    struct column_object *o = bind_test(L, arg, &column_class);
    if (o) {
        lua_pushvalue(L, arg);
        return column_of(o);
    }
    if (lua_isfunction(L, arg)) {
        struct maker *m = hold_makers(L, 1);
        struct table **t = hold_table(L);
        *t = table_hold(f->table); /* the function may assign columns itself */
        struct cells_loop loop = {.t = *t, .results = 1, .take = take_value, .ctx = m};
        cells_each_row(L, arg, &loop);
        return maker_column(L, m);
    }
    if (lua_istable(L, arg))
        return cells_column(L, arg, f->table->width ? rows : -1, what);
    const struct column *one = cells_scalar(L, arg, what);
    struct column **made = hold_column(L);
    int64_t *zeros = hold_array(L, rows, sizeof *zeros);
    bind_check(L, column_pick(one, zeros, rows, made));
    return *made;
}

void frame_assign(lua_State *L, struct frame *f, const char *name, int arg, const char *who)
{
    char what[160];
    struct table *made;
    snprintf(what, sizeof what, "%s: column '%.60s'", who, name);
    if (lua_isnoneornil(L, arg))
        bind_error(L,
                   "%s cannot be assigned nil; hint: df = df:drop(\"%.60s\") takes a column away",
                   what, name);
    const struct column *c = column_for(L, f, arg, what);
    if (f->table->width && c->count != f->table->rows)
        bind_error(L, "%s would get %" PRId64 " values, wanted %" PRId64 ", one for each row", what,
                   c->count, f->table->rows);
    bind_check(L, table_with(f->table, name, c, &made));
    table_free(f->table);
    table_free(f->whole);
    f->table = made;
    f->whole = NULL;
}

static int newindex(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    const char *name = lua_tostring(L, 2);
    frame_assign(L, frame_arg(L, 1), name, 3, "DataFrame");
    for (const struct lua_method *m = frame_verbs; m->name; m++)
        if (!strcmp(m->name, name))
            bind_note(L, "note: df.%s is a method; hint: df:col(\"%s\") reads the column", name,
                      name);
    return 1;
}

/* --- indexing -------------------------------------------------------------------------------------- */

/* df[df.Price:gt(100)] */
static int index_mask(lua_State *L, struct frame *f, const struct column_object *o)
{
    const struct column *c = column_of(o);
    if (c->type != COLUMN_BOOL)
        return bind_error(L,
                          "a DataFrame is indexed with a column of true and false, '%.60s' is %s; "
                          "hint: df[df.%.60s:eq(value)]",
                          o->table->names[0], column_type_name(c->type), o->table->names[0]);
    if (c->count != f->table->rows)
        return bind_error(L, "the mask has %" PRId64 " rows, the DataFrame %" PRId64, c->count,
                          f->table->rows);
    struct rows *rows = hold_rows(L);
    for (int64_t row = 0; row < c->count; row++)
        if (!column_is_null(c, row) && c->bools[row])
            bind_check(L, rows_add(rows, row));
    struct frame *made = frame_new(L);
    bind_check(L, rows_table(rows, f->table, &made->table));
    return 1;
}

/* df[3], df[{"A", "B"}], df[mask], df.Name */
static int index_frame(lua_State *L)
{
    struct frame *f = frame_arg(L, 1);
    struct column_object *o = bind_test(L, 2, &column_class);
    int64_t place, count;
    if (o)
        return index_mask(L, f, o);
    if (lua_type(L, 2) == LUA_TNUMBER) {
        if (lua_isinteger(L, 2) && lua_tointeger(L, 2) == f->table->rows + 1)
            return lua_pushnil(L), 1; /* ipairs ends here */
        int64_t row = bind_index(L, 2, f->table->rows, "row");
        cells_push_row_meta(L, f->table);
        cells_push_row(L, f->table, row, lua_gettop(L));
        return 1;
    }
    if (lua_istable(L, 2)) {
        const int64_t *places = cells_places(L, 2, f->table, "DataFrame", &count);
        struct frame *made = frame_new(L);
        bind_check(L, table_columns(f->table, places, count, &made->table));
        return 1;
    }
    if (lua_type(L, 2) != LUA_TSTRING || (place = table_place(f->table, lua_tostring(L, 2))) < 0)
        return 0;
    column_object_push(L, f->table, place);
    return 1;
}

static void offer_names(void *object, void (*offer)(void *ctx, const char *name), void *ctx)
{
    struct frame *f = object;
    for (int64_t i = 0; f->table && i < f->table->width; i++)
        offer(ctx, f->table->names[i]);
}

/* --- properties ------------------------------------------------------------------------------------ */

static int get_shape(lua_State *L)
{
    struct frame *f = frame_arg(L, 1);
    lua_createtable(L, 2, 0);
    lua_pushinteger(L, f->table->rows);
    lua_rawseti(L, -2, 1);
    lua_pushinteger(L, f->table->width);
    lua_rawseti(L, -2, 2);
    return 1;
}

static int get_columns(lua_State *L)
{
    struct frame *f = frame_arg(L, 1);
    lua_createtable(L, (int)f->table->width, 0);
    for (int64_t i = 0; i < f->table->width; i++) {
        lua_pushstring(L, f->table->names[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int get_dtypes(lua_State *L)
{
    struct frame *f = frame_arg(L, 1);
    lua_createtable(L, 0, (int)f->table->width);
    for (int64_t i = 0; i < f->table->width; i++) {
        lua_pushstring(L, column_dtype(f->table->columns[i]));
        lua_setfield(L, -2, f->table->names[i]);
    }
    return 1;
}

static int get_iloc(lua_State *L)
{
    return bind_error(L, "a DataFrame has no iloc or loc; hint: df[3] is a row, df:rows(1, 5) are "
                         "rows 1 to 5, df:where(\"Price > 100\") filters, positions count from 1");
}

static const struct lua_property properties[] = {
    {"shape", get_shape, NULL, "{rows, columns}"},
    {"columns", get_columns, NULL, "List of the column names."},
    {"dtypes", get_dtypes, NULL,
     "{column = type}: \"str\", \"int\", \"float\", \"bool\", \"list\" or \"struct\"."},
    {"iloc", get_iloc, NULL, "Not there: says what to type instead."},
    {"loc", get_iloc, NULL, "Not there: says what to type instead."},
    {NULL, NULL, NULL, NULL},
};

/* --- reading and writing CSV ------------------------------------------------------------------------ */

static const struct option read_csv_rows[] = {
    OPTION(struct reader_options, delimiter, TEXT, NULL, .aliases = "sep",
           .doc = "character between fields; default what the file's name says"),
    OPTION(struct reader_options, keep_default_na, BOOL, "true",
           .doc = "NA, N/A, NaN, null and None are null, as in pandas; false: only empty fields in "
                  "number columns"),
    OPTION(struct reader_options, infer, BOOL, "true",
           .doc = "find numbers and truth values; false: every column stays text"),
};
const struct option_table read_csv_options = {"read_csv", "How a CSV file is read.", read_csv_rows,
                                              3, sizeof(struct reader_options)};

const struct reader_options *frame_reader_options(lua_State *L, int arg)
{
    struct reader_options *o = hold_options(L, &read_csv_options);
    bind_options(L, arg, &read_csv_options, o);
    o->cancel = &bind_interrupted;
    return o;
}

static int read_csv(lua_State *L)
{
    const struct reader *r;
    const char *path = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    const struct reader_options *o = frame_reader_options(L, 2);
    if (reader_for_path(path, &r))
        r = &readers[0];
    struct frame *f = frame_new(L);
    bind_check(L, reader_file(r, path, o, &f->table));
    dataset_note(L, f->table, r->name, NULL);
    return 1;
}

struct to_csv {
    bool index;
    char *sep;
};
static const struct option to_csv_rows[] = {
    OPTION(struct to_csv, index, BOOL, "false", .doc = "write row numbers in front"),
    OPTION(struct to_csv, sep, TEXT, ",", .aliases = "delimiter",
           .doc = "character between fields"),
};
const struct option_table to_csv_options = {"to_csv", "How a CSV file is written.", to_csv_rows, 2,
                                            sizeof(struct to_csv)};

void frame_write_csv(lua_State *L, const struct table *t, const char *path, int arg)
{
    struct to_csv *o = hold_options(L, &to_csv_options);
    bind_options(L, arg, &to_csv_options, o);
    const char *sep = !strcmp(o->sep, "\\t") ? "\t" : o->sep;
    if (strlen(sep) != 1 || strchr("\"\r\n", sep[0]))
        bind_error(L, "to_csv: sep '%.20s', wanted one character; hint: ',', ';' or '\\t'", sep);
    struct buffer *text = hold_buffer(L);
    bind_check(L, table_to_csv(t, sep[0], o->index, text));
    if (path)
        bind_check(L, file_write_all(path, text->bytes, (size_t)text->length));
    else
        lua_pushlstring(L, text->bytes, (size_t)text->length);
}

/* --- reading and writing JSON ------------------------------------------------------------------------ */

struct read_json {
    struct reader_options read;
    bool lines;
};
static const struct option read_json_rows[] = {
    OPTION(struct read_json, lines, BOOL, "false",
           .doc = "every line is a row, whatever the file is called"),
    {.name = "field",
     .type = OPTION_TEXT,
     .offset = offsetof(struct read_json, read.field),
     .doc = "key of the outermost object that holds the rows"},
    {.name = "infer",
     .type = OPTION_BOOL,
     .preset = "true",
     .offset = offsetof(struct read_json, read.infer),
     .doc = "false: every value is kept as text"},
};
const struct option_table read_json_options = {"read_json", "How a JSON file is read.",
                                               read_json_rows, 3, sizeof(struct read_json)};

void frame_read_json(lua_State *L, const char *path, int arg, struct frame *to)
{
    const struct reader *r;
    struct read_json *o = hold_options(L, &read_json_options);
    bind_options(L, arg, &read_json_options, o);
    o->read.cancel = &bind_interrupted;
    bind_check(L, reader_find(o->lines ? "jsonl" : "json", &r));
    r = reader_within(r, path);
    bind_check(L, reader_file(r, path, &o->read, &to->table));
    dataset_note(L, to->table, r->name, NULL);
    lua_pop(L, 1);
}

static int read_json(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    frame_read_json(L, path, 2, frame_new(L));
    return 1;
}

struct to_json {
    char *orient;
    bool lines; /* fetched by hand: its default is the caller's */
};
static const struct option to_json_rows[] = {
    OPTION(struct to_json, orient, TEXT, "records", .choices = "records,list",
           .doc = "records: a list of rows; list: one object with a list for each column"),
    {.name = "lines",
     .type = OPTION_OBJECT,
     .doc = "true: one row a line (JSON lines); default for Datasets and for .jsonl files"},
};
const struct option_table to_json_options = {"to_json", "How a JSON file is written.", to_json_rows,
                                             2, sizeof(struct to_json)};

static bool is_lines_name(const char *path)
{
    const struct reader *r;
    return path && !reader_for_path(path, &r) && !strcmp(r->name, "jsonl");
}

void frame_write_json(lua_State *L, const struct table *t, const char *path, int arg, bool lines)
{
    struct to_json *o = hold_options(L, &to_json_options);
    bind_options(L, arg, &to_json_options, o);
    bind_field(L, arg, &to_json_options, "lines");
    bool columns = !strcmp(o->orient, "list");
    o->lines = lua_isnil(L, -1) ? !columns && (lines || is_lines_name(path)) : lua_toboolean(L, -1);
    if (o->lines && columns)
        bind_error(L, "to_json: lines = true wants orient = \"records\"");
    struct buffer *text = hold_buffer(L);
    bind_check(L, table_to_json(t,
                                columns    ? JSON_FORM_COLUMNS
                                : o->lines ? JSON_FORM_LINES
                                           : JSON_FORM_ROWS,
                                text));
    if (path)
        bind_check(L, file_write_all(path, text->bytes, (size_t)text->length));
    else
        lua_pushlstring(L, text->bytes ? text->bytes : "", (size_t)text->length);
}

const struct lua_method frame_functions[] = {
    {"read_csv", read_csv, "read_csv(path, {delimiter = \",\"})",
     "Reads a CSV or TSV file into a DataFrame. Columns of numbers and of true and false are "
     "found; "
     "codes such as 007 stay text. A broken file is an error that names row, line and byte.",
     &read_csv_options},
    {"read_json", read_json, "read_json(path, {lines = false})",
     "Reads a JSON or JSON lines file into a DataFrame. Lists and objects in cells are kept: row.x "
     "is a table. Columns of mixed types are refused with row and column.",
     &read_json_options},
    {NULL, NULL, NULL, NULL, NULL},
};

/* --- class ------------------------------------------------------------------------------------------ */

static int meta_gc(lua_State *L)
{
    struct frame *f = lua_touserdata(L, 1);
    table_free(f->table);
    table_free(f->whole);
    f->table = f->whole = NULL;
    return 0;
}

static int meta_len(lua_State *L)
{
    lua_pushinteger(L, frame_arg(L, 1)->table->rows);
    return 1;
}

static int meta_call(lua_State *L)
{
    return verbs_step(L, frame_arg(L, 1)->table);
}

/* DataFrame.concat{a, b} */
static int static_concat(lua_State *L)
{
    struct frame *made = NULL;
    lua_settop(L, 1);
    int count;
    const struct table *const *parts = dataset_list(L, 1, "concat", &count);
    made = frame_new(L);
    bind_check(L, table_join(parts, count, &made->table));
    return 1;
}

static const struct lua_method statics[] = {
    {"concat", static_concat, "DataFrame.concat{a, b}",
     "One frame of the rows of several, under each other; columns are matched by name.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {{"__gc", meta_gc},
                                {"__len", meta_len},
                                {"__tostring", meta_tostring},
                                {"__call", meta_call},
                                {NULL, NULL}};

const struct lua_class frame_class = {
    .name = "DataFrame",
    .doc =
        "A table of named, typed columns. df.Name or df[\"Product Name\"] is a column, df[3] a "
        "row, "
        "df[{\"A\", \"B\"}] some columns, #df the number of rows, for i, row in df do goes through "
        "them; df.New = column, list, value or "
        "function(row) adds a column. Methods give new frames that share what they did not change. "
        "A method wins over a column of the same name: df:col(\"count\") reads the column.",
    .methods = frame_verbs,
    .properties = properties,
    .statics = statics,
    .construct = construct,
    .signature = "DataFrame(dataset)",
    .meta = meta,
    .index = index_frame,
    .newindex = newindex,
    .names = offer_names,
};
