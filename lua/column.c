/* column.c -- the class Column: what df.Price is. Constant; every method gives a new one. */
#include "lua/column.h"
#include "engine/data/column_math.h"
#include "engine/data/describe.h"
#include "lua/cells.h"
#include "lua/frame.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void column_object_push(lua_State *L, const struct table *t, int64_t place)
{
    struct column_object *o = bind_new(L, &column_class, sizeof *o);
    bind_check(L, table_new(&o->table));
    bind_check(L, table_add(o->table, t->names[place], t->columns[place]));
}

static struct column_object *self(lua_State *L)
{
    return bind_arg(L, 1, &column_class);
}

static const char *name_of(const struct column_object *o)
{
    return o->table->names[0];
}

/* Pushes a column object around the column in the hold at the top; removes nothing. */
static int push_made(lua_State *L, const char *name, const struct column *c)
{
    struct column_object *o = bind_new(L, &column_class, sizeof *o);
    bind_check(L, table_new(&o->table));
    bind_check(L, table_add(o->table, name, c));
    return 1;
}

/* --- arithmetic and comparison ------------------------------------------------------------------ */

/* The operand at 'arg': a column, or a value for every row. */
static const struct column *operand(lua_State *L, int arg)
{
    struct column_object *o = bind_test(L, arg, &column_class);
    if (o)
        return column_of(o);
    if (lua_isnoneornil(L, arg))
        bind_error(L, "a column and nil; hint: :isna() finds nulls, :fillna(value) replaces them");
    return cells_scalar(L, arg, "a column operation");
}

static int binary(lua_State *L, enum column_op op)
{
    lua_settop(L, 2);
    struct column_object *x = bind_test(L, 1, &column_class), *y = bind_test(L, 2, &column_class);
    const struct column *a = operand(L, 1), *b = operand(L, 2);
    if (x && y && a->count != b->count)
        return bind_error(L,
                          "'%.60s' has %" PRId64 " rows and '%.60s' has %" PRId64
                          "; hint: take both from the same DataFrame",
                          name_of(x), a->count, name_of(y), b->count);
    struct column **made = hold_column(L);
    bind_check(L, column_binary(op, a, b, made));
    return push_made(L, name_of(x ? x : y), *made);
}

#define BINARY(name_, op_)         \
    static int name_(lua_State *L) \
    {                              \
        return binary(L, op_);     \
    }
BINARY(meta_add, OP_ADD)
BINARY(meta_sub, OP_SUB)
BINARY(meta_mul, OP_MUL)
BINARY(meta_div, OP_DIV)
BINARY(meta_idiv, OP_FLOOR_DIV)
BINARY(meta_mod, OP_MOD)
BINARY(meta_pow, OP_POW)
BINARY(meta_concat, OP_JOIN)
BINARY(meta_band, OP_AND)
BINARY(meta_bor, OP_OR)
BINARY(method_eq, OP_EQ)
BINARY(method_ne, OP_NE)
BINARY(method_lt, OP_LT)
BINARY(method_le, OP_LE)
BINARY(method_gt, OP_GT)
BINARY(method_ge, OP_GE)
BINARY(method_contains, OP_CONTAINS)
BINARY(method_startswith, OP_STARTS)
BINARY(method_endswith, OP_ENDS)

static int meta_unm(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushinteger(L, -1);
    return binary(L, OP_MUL);
}

/* ~ df.Flag */
static int meta_bnot(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushboolean(L, 0);
    return binary(L, OP_EQ);
}

/* Lua makes one true or false of < and ==, so these can only explain, with what was typed: a > b
 * arrives as b < a. */
static int explain(lua_State *L, const char *method, const char *swapped)
{
    bool left = bind_test(L, 1, &column_class) != NULL;
    struct column_object *o = bind_test(L, left ? 1 : 2, &column_class);
    static const char *const names[] = {"lt", "le", "gt", "ge", "eq"};
    static const char *const signs[] = {"<", "<=", ">", ">=", "="};
    const char *used = left ? method : swapped, *sign = "=";
    for (int i = 0; i < 5; i++)
        if (!strcmp(names[i], used))
            sign = signs[i];
    int other = left ? 2 : 1;
    if (bind_test(L, other, &column_class))
        lua_pushliteral(L, "...");
    else if (lua_type(L, other) == LUA_TSTRING)
        lua_pushfstring(L, "'%s'", lua_tostring(L, other));
    else
        luaL_tolstring(L, other, NULL);
    const char *value = lua_tostring(L, -1);
    return bind_error(
        L,
        "%s of a whole column is not possible in Lua; hint: df.%.60s:%s(%.40s) gives a "
        "column of true and false, df:where(\"%.60s %s %.40s\") the rows",
        sign[0] == '=' ? "==" : sign, name_of(o), used, value, name_of(o), sign, value);
}

static int meta_lt(lua_State *L)
{
    return explain(L, "lt", "gt");
}

static int meta_le(lua_State *L)
{
    return explain(L, "le", "ge");
}

static int meta_equal(lua_State *L)
{
    return explain(L, "eq", "eq");
}

/* --- functions of one column --------------------------------------------------------------------- */

static int text_function(lua_State *L, enum column_text_op op)
{
    struct column_object *o = self(L);
    struct column **made = hold_column(L);
    int status = column_text_function(op, column_of(o), made);
    if (status)
        bind_error(L, "'%.60s': %s", name_of(o), status_message());
    return push_made(L, name_of(o), *made);
}

static int method_str_len(lua_State *L)
{
    return text_function(L, TEXT_LENGTH);
}

static int method_strip(lua_State *L)
{
    return text_function(L, TEXT_STRIP);
}

static int method_lower(lua_State *L)
{
    return text_function(L, TEXT_LOWER);
}

static int method_upper(lua_State *L)
{
    return text_function(L, TEXT_UPPER);
}

static int null_flags(lua_State *L, bool negate)
{
    struct column_object *o = self(L);
    struct column **made = hold_column(L);
    bind_check(L, column_null_flags(column_of(o), made));
    for (int64_t row = 0; negate && row < (*made)->count; row++)
        (*made)->bools[row] = !(*made)->bools[row];
    return push_made(L, name_of(o), *made);
}

static int method_isna(lua_State *L)
{
    return null_flags(L, false);
}

static int method_notna(lua_State *L)
{
    return null_flags(L, true);
}

static int method_fillna(lua_State *L)
{
    struct column_object *o = self(L);
    if (lua_isnoneornil(L, 2))
        return bind_error(L, "fillna wants the value to put in; hint: df.Name:fillna(\"\")");
    const struct column *value = cells_scalar(L, 2, "fillna");
    struct column **made = hold_column(L);
    bind_check(L, column_fill(column_of(o), value, made));
    return push_made(L, name_of(o), *made);
}

static int method_astype(lua_State *L)
{
    struct column_object *o = self(L);
    enum column_type type;
    struct column **made = hold_column(L);
    bind_check(L, column_type_find(luaL_checkstring(L, 2), &type));
    int status = column_cast(column_of(o), type, made);
    if (status)
        return bind_error(L, "'%.60s' as %s: %s", name_of(o), column_type_name(type),
                          status_message());
    return push_made(L, name_of(o), *made);
}

/* (function or table, values) of :map: one value, protected by the caller's error handling */
static void map_value(lua_State *L, const struct column *c, int64_t row)
{
    bool call = lua_type(L, 2) == LUA_TFUNCTION;
    if (call)
        lua_pushvalue(L, 2);
    cells_push(L, c, row);
    if (call)
        lua_call(L, 1, 1);
    else if (lua_isnil(L, -1))
        return;
    else
        lua_gettable(L, 2);
}

struct map_state {
    const struct column_object *o;
    struct maker *m;
    int64_t row;
};

/* (state, function or table) */
static int map_rows(lua_State *L)
{
    struct map_state *s = lua_touserdata(L, 1);
    const struct column *c = column_of(s->o);
    for (s->row = 0; s->row < c->count; s->row++) {
        if (bind_interrupted)
            bind_check(L, ERR_CANCELLED);
        map_value(L, c, s->row);
        maker_add(L, s->m, -1, "map");
        lua_settop(L, 2);
    }
    return 0;
}

static int method_map(lua_State *L)
{
    struct map_state s = {.o = self(L)};
    lua_settop(L, 2);
    if (lua_type(L, 2) != LUA_TFUNCTION && lua_type(L, 2) != LUA_TTABLE)
        return bind_error(L, "map wants a function of a value, or a table {old = new}");
    s.m = hold_makers(L, 1);
    lua_pushcfunction(L, map_rows);
    lua_pushlightuserdata(L, &s);
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        if (lua_type(L, -1) == LUA_TSTRING && !bind_interrupted) {
            char place[40];
            snprintf(place, sizeof place, " (row %" PRId64 ")", s.row + 1);
            lua_pushstring(L, place);
            lua_concat(L, 2);
        }
        return lua_error(L);
    }
    return push_made(L, name_of(s.o), maker_column(L, s.m));
}

/* --- numbers and lists --------------------------------------------------------------------------- */

static struct column_stats statistics(lua_State *L)
{
    struct column_object *o = self(L);
    struct column_stats s;
    int status = column_statistics(column_of(o), &s);
    if (status)
        bind_error(L, "'%.60s': %s", name_of(o), status_message());
    return s;
}

/* An integer column's sum and extremes stay integers. */
static int push_like(lua_State *L, double value)
{
    const struct column *c = column_of(self(L));
    if (c->type != COLUMN_FLOAT && fabs(value) < 0x1p53)
        lua_pushinteger(L, (lua_Integer)value);
    else if (isnan(value))
        lua_pushnil(L);
    else
        lua_pushnumber(L, value);
    return 1;
}

static int method_sum(lua_State *L)
{
    return push_like(L, statistics(L).sum);
}

static int method_mean(lua_State *L)
{
    struct column_stats s = statistics(L);
    if (s.count)
        lua_pushnumber(L, s.mean);
    else
        lua_pushnil(L);
    return 1;
}

static int method_std(lua_State *L)
{
    struct column_stats s = statistics(L);
    if (s.count > 1)
        lua_pushnumber(L, s.deviation);
    else
        lua_pushnil(L);
    return 1;
}

/* The first or last value in order; texts too. */
static int extreme(lua_State *L, int sign)
{
    const struct column *c = column_of(self(L));
    int64_t best = -1;
    for (int64_t row = 0; row < c->count; row++)
        if (!column_is_null(c, row) && (best < 0 || sign * column_compare(c, row, c, best) > 0))
            best = row;
    if (best >= 0)
        cells_push(L, c, best);
    else
        lua_pushnil(L);
    return 1;
}

static int method_min(lua_State *L)
{
    return extreme(L, -1);
}

static int method_max(lua_State *L)
{
    return extreme(L, 1);
}

static int push_quantile(lua_State *L, double share)
{
    struct column_object *o = self(L);
    double value;
    int status = column_quantiles(column_of(o), &share, 1, &value);
    if (status)
        bind_error(L, "'%.60s': %s", name_of(o), status_message());
    if (isnan(value))
        lua_pushnil(L);
    else
        lua_pushnumber(L, value);
    return 1;
}

static int method_median(lua_State *L)
{
    return push_quantile(L, 0.5);
}

static int method_quantile(lua_State *L)
{
    double share = luaL_optnumber(L, 2, 0.5);
    if (!(share >= 0 && share <= 1))
        return bind_error(L, "quantile %g, wanted 0 to 1; hint: 0.25 is the first quartile", share);
    return push_quantile(L, share);
}

static int method_count(lua_State *L)
{
    const struct column *c = column_of(self(L));
    lua_pushinteger(L, c->count - c->nulls);
    return 1;
}

static int method_nunique(lua_State *L)
{
    int64_t distinct;
    bind_check(L, column_distinct(column_of(self(L)), &distinct));
    lua_pushinteger(L, distinct);
    return 1;
}

static int method_unique(lua_State *L)
{
    struct column_object *o = self(L);
    struct rows *first = hold_rows(L);
    bind_check(L, rows_distinct(first, o->table, NULL, 0, NULL));
    lua_newtable(L);
    for (int64_t i = 0, n = 0; i < first->count; i++)
        if (!column_is_null(column_of(o), first->at[i])) {
            cells_push(L, column_of(o), first->at[i]);
            lua_rawseti(L, -2, ++n);
        }
    return 1;
}

static int method_to_list(lua_State *L)
{
    cells_push_list(L, column_of(self(L)));
    return 1;
}

static int method_value_counts(lua_State *L)
{
    struct column_object *o = self(L);
    struct frame *made = frame_new(L);
    bind_check(L, table_value_counts(o->table, 0, &made->table));
    return 1;
}

static int method_head(lua_State *L)
{
    struct column_object *o = self(L);
    int64_t n = luaL_optinteger(L, 2, 5), rows = column_of(o)->count;
    struct column_object *made = bind_new(L, &column_class, sizeof *made);
    n = n < 0 ? 0 : n > rows ? rows : n;
    bind_check(L, table_slice(o->table, 0, n, &made->table));
    return 1;
}

/* --- class ---------------------------------------------------------------------------------------- */

static int get_name(lua_State *L)
{
    lua_pushstring(L, name_of(self(L)));
    return 1;
}

static int get_dtype(lua_State *L)
{
    lua_pushstring(L, column_dtype(column_of(self(L))));
    return 1;
}

static int meta_gc(lua_State *L)
{
    struct column_object *o = lua_touserdata(L, 1);
    table_free(o->table);
    o->table = NULL;
    return 0;
}

static int meta_len(lua_State *L)
{
    lua_pushinteger(L, column_of(self(L))->count);
    return 1;
}

static int meta_tostring(lua_State *L)
{
    return frame_push_text(L, self(L)->table, NULL);
}

/* col[3], negatives from the end; one past the end is nil, which ends ipairs */
static int index_value(lua_State *L)
{
    const struct column *c = column_of(self(L));
    if (lua_type(L, 2) != LUA_TNUMBER)
        return 0;
    if (lua_isinteger(L, 2) && lua_tointeger(L, 2) == c->count + 1)
        lua_pushnil(L);
    else
        cells_push(L, c, bind_index(L, 2, c->count, "row"));
    return 1;
}

static const struct lua_method methods[] = {
    {"eq", method_eq, "col:eq(value)", "true in the rows that equal a value or another column.",
     NULL},
    {"ne", method_ne, "col:ne(value)", "true in the rows that differ.", NULL},
    {"lt", method_lt, "col:lt(value)", "true in the rows that are less.", NULL},
    {"le", method_le, "col:le(value)", "true in the rows that are less or equal.", NULL},
    {"gt", method_gt, "col:gt(value)", "true in the rows that are greater.", NULL},
    {"ge", method_ge, "col:ge(value)", "true in the rows that are greater or equal.", NULL},
    {"contains", method_contains, "col:contains(text)",
     "true where the text is found, as it is: no pattern.", NULL},
    {"startswith", method_startswith, "col:startswith(text)",
     "true where the text stands at the start.", NULL},
    {"endswith", method_endswith, "col:endswith(text)", "true where the text stands at the end.",
     NULL},
    {"str_len", method_str_len, "col:str_len()", "Characters of each text.", NULL},
    {"strip", method_strip, "col:strip()", "Texts without blanks and line ends around them.", NULL},
    {"lower", method_lower, "col:lower()", "Texts in small letters.", NULL},
    {"upper", method_upper, "col:upper()", "Texts in capitals.", NULL},
    {"isna", method_isna, "col:isna()", "true where the value is null.", NULL},
    {"notna", method_notna, "col:notna()", "true where there is a value.", NULL},
    {"fillna", method_fillna, "col:fillna(value)", "Nulls replaced by a value.", NULL},
    {"astype", method_astype, "col:astype(type)",
     "Converted to \"str\", \"int\", \"float\" or \"bool\"; a value that cannot be is an error "
     "that names its row.",
     NULL},
    {"map", method_map, "col:map(function(value) ... end)",
     "Each value through a function, or looked up in a table {old = new}; nil is null.", NULL},
    {"sum", method_sum, "col:sum()", "Sum of the values that are no null.", NULL},
    {"mean", method_mean, "col:mean()", "Mean; nil without values.", NULL},
    {"std", method_std, "col:std()",
     "Standard deviation of a sample (n - 1); nil for fewer than two values.", NULL},
    {"min", method_min, "col:min()", "Least value, of texts too.", NULL},
    {"max", method_max, "col:max()", "Greatest value, of texts too.", NULL},
    {"median", method_median, "col:median()", "The middle value.", NULL},
    {"quantile", method_quantile, "col:quantile(share)",
     "The value below which a share (0 to 1) of the values lies.", NULL},
    {"count", method_count, "col:count()", "How many values are no null; #col counts all rows.",
     NULL},
    {"unique", method_unique, "col:unique()",
     "List of the different values in order of appearance, nulls left out.", NULL},
    {"nunique", method_nunique, "col:nunique()", "How many different values there are.", NULL},
    {"value_counts", method_value_counts, "col:value_counts()",
     "A DataFrame of the different values and how often each comes, most frequent first.", NULL},
    {"to_list", method_to_list, "col:to_list()", "All values as a list; nulls leave holes.", NULL},
    {"tolist", method_to_list, "col:tolist()", "The same as to_list.", NULL},
    {"head", method_head, "col:head(n = 5)", "The first n rows.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static int get_str(lua_State *L)
{
    return bind_error(L, "a Column has no str; hint: the text functions are its own: :str_len(), "
                         ":contains(\"x\"), :strip(), :lower(), :upper()");
}

static const struct lua_property properties[] = {
    {"str", get_str, NULL, "Not there: says what to type instead."},
    {"name", get_name, NULL, "The column's name."},
    {"dtype", get_dtype, NULL, "\"str\", \"int\", \"float\" or \"bool\"."},
    {NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {
    {"__gc", meta_gc},     {"__len", meta_len},   {"__tostring", meta_tostring},
    {"__add", meta_add},   {"__sub", meta_sub},   {"__mul", meta_mul},
    {"__div", meta_div},   {"__idiv", meta_idiv}, {"__mod", meta_mod},
    {"__pow", meta_pow},   {"__unm", meta_unm},   {"__concat", meta_concat},
    {"__band", meta_band}, {"__bor", meta_bor},   {"__bnot", meta_bnot},
    {"__lt", meta_lt},     {"__le", meta_le},     {"__eq", meta_equal},
    {NULL, NULL},
};

const struct lua_class column_class = {
    .name = "Column",
    .signature = "df.Name",
    .doc = "A Column is one column of a DataFrame: df.Price or df[\"Product Name\"]. + - * / // % "
           "^ and .. "
           "work row "
           "by row with another column or a value, & | ~ on columns of true and false; comparisons "
           "are "
           "methods (df.Price:gt(100)), since Lua makes a single true or false of > itself.",
    .methods = methods,
    .properties = properties,
    .meta = meta,
    .index = index_value,
};
