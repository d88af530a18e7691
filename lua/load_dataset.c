/* load_dataset.c -- files as Datasets: formats, lists of files, splits and parts of splits. */
#include "engine/core/file.h"
#include "engine/core/suggest.h"
#include "engine/data/readers.h"
#include "engine/data/split.h"
#include "lua/dataset.h"
#include "lua/frame.h"
#include "lua/hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct load {
    struct reader_options read;
    char *split, *data_dir;
};
static const struct option load_rows[] = {
    {.name = "data_files",
     .type = OPTION_OBJECT,
     .doc = "path, list of paths (read after each other), or {train = ..., test = ...}"},
    OPTION(struct load, split, TEXT, NULL,
           .doc = "\"train\", \"train[:10%]\"; without it a table {train = Dataset}"),
    OPTION(struct load, data_dir, TEXT, NULL, .doc = "folder that data_files lie in"),
    {.name = "delimiter",
     .aliases = "sep",
     .type = OPTION_TEXT,
     .offset = offsetof(struct load, read.delimiter),
     .doc = "character between fields"},
    {.name = "keep_default_na",
     .type = OPTION_BOOL,
     .preset = "true",
     .offset = offsetof(struct load, read.keep_default_na),
     .doc = "NA, N/A, NaN, null and None are null, as in pandas"},
    {.name = "infer",
     .type = OPTION_BOOL,
     .preset = "true",
     .offset = offsetof(struct load, read.infer),
     .doc = "find numbers and truth values; false: every column stays text"},
    {.name = "streaming",
     .type = OPTION_NOTE,
     .doc = "not used",
     .note = "streaming is not needed here: the file is read whole"},
    {.name = "num_proc",
     .type = OPTION_NOTE,
     .doc = "not used",
     .note = "num_proc is not needed here: reading takes one thread"},
    {.name = "cache_dir",
     .type = OPTION_NOTE,
     .doc = "not used",
     .note = "cache_dir is not needed here: nothing is cached"},
    {.name = "trust_remote_code",
     .type = OPTION_NOTE,
     .doc = "not used",
     .note = "trust_remote_code is not needed here: no code of a repository is ever run"},
};
const struct option_table load_dataset_options = {"load_dataset", "Where a data set comes from.",
                                                  load_rows, 10, sizeof(struct load)};

/* Reads the files named by the text or list on top of the stack (popped) into the Dataset's table. */
static void read_files(lua_State *L, const struct reader *r, const struct load *o, struct frame *to)
{
    char path[4096], found[80];
    int files = lua_gettop(L);
    if (lua_type(L, files) == LUA_TSTRING) {
        lua_createtable(L, 1, 0);
        lua_insert(L, files);
        lua_rawseti(L, files, 1);
    }
    int64_t n = lua_istable(L, files) ? (int64_t)lua_rawlen(L, files) : 0;
    if (!n)
        bind_error(L, "load_dataset: data_files wants a path or a list of paths, found %s",
                   bind_describe(L, files, found, sizeof found));
    struct frame *parts = NULL;
    const struct table **tables = hold_array(L, n, sizeof *tables);
    for (int64_t i = 0; i < n; i++) {
        lua_rawgeti(L, files, i + 1);
        const struct reader *of = r;
        const char *name = lua_tostring(L, -1);
        if (!name)
            bind_error(L, "load_dataset: file %" PRId64 " of data_files is no text", i + 1);
        snprintf(path, sizeof path, "%s%s%s", o->data_dir ? o->data_dir : "",
                 o->data_dir ? "/" : "", name);
        if (!of)
            bind_check(L, reader_for_path(path, &of));
        of = reader_within(of, path);
        parts = dataset_new(L); /* stays on the stack */
        bind_check(L, reader_file(of, path, &o->read, &parts->table));
        tables[i] = parts->table;
        lua_remove(L, -2);
        luaL_checkstack(L, 5, NULL);
    }
    if (n == 1)
        to->table = table_hold(tables[0]);
    else
        bind_check(L, table_join(tables, (int)n, &to->table));
    dataset_note(L, to->table, r ? r->name : "csv");
    lua_settop(L, files - 1);
}

/* Is data_files {train = ..., test = ...}? */
static bool by_split(lua_State *L, int files)
{
    if (!lua_istable(L, files) || lua_rawlen(L, files) > 0)
        return false;
    lua_pushnil(L);
    if (!lua_next(L, files))
        return false;
    lua_pop(L, 2);
    return true;
}

static void no_split(lua_State *L, int files, const char *name, bool fields)
{
    char hint[100];
    struct suggest near = {.wanted = name};
    struct buffer *list = hold_buffer(L);
    if (!fields) {
        suggest_try(&near, "train");
        buffer_text(list, "train");
    }
    for (lua_pushnil(L); fields && lua_next(L, files); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            continue;
        suggest_try(&near, lua_tostring(L, -2));
        buffer_printf(list, "%s%s", list->length ? ", " : "", lua_tostring(L, -2));
    }
    bind_check(L, buffer_close(list));
    bind_error(L, "load_dataset: there is no split '%s'%s; hint: there is %s", name,
               suggest_hint(&near, hint, sizeof hint), list->bytes);
}

/* Pushes the files of split 'name': all of data_files for "train", or its field. 'files' is an
 * absolute index. */
static void push_split_files(lua_State *L, int files, const char *name)
{
    bool fields = by_split(L, files);
    if (!fields && strcmp(name, "train") != 0)
        no_split(L, files, name, fields);
    if (!fields)
        lua_pushvalue(L, files);
    else if (lua_getfield(L, files, name) == LUA_TNIL)
        no_split(L, files, name, fields);
}

static int push_one_split(lua_State *L, const struct reader *r, const struct load *o, int files)
{
    struct split s;
    int64_t from, count;
    bind_check(L, split_parse(o->split, &s));
    struct frame *whole = dataset_new(L);
    push_split_files(L, files, s.name);
    read_files(L, r, o, whole);
    split_rows(&s, whole->table->rows, &from, &count);
    struct frame *part = dataset_new(L);
    bind_check(L, table_slice(whole->table, from, count, &part->table));
    return 1;
}

static int push_all_splits(lua_State *L, const struct reader *r, const struct load *o, int files)
{
    lua_newtable(L);
    int splits = lua_gettop(L);
    if (!by_split(L, files)) {
        struct frame *d = dataset_new(L);
        lua_pushvalue(L, files);
        read_files(L, r, o, d);
        lua_setfield(L, splits, "train");
        return 1;
    }
    for (lua_pushnil(L); lua_next(L, files);) {
        struct frame *d = dataset_new(L);
        lua_insert(L, -2);
        read_files(L, r, o, d); /* pops the files */
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, splits);
    }
    return 1;
}

/* load_dataset("csv", {data_files = ..., split = "train"}), load_dataset("file.csv") */
static int load_dataset(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    const struct reader *r = NULL;
    int options = lua_istable(L, 2) ? 2 : 3;
    lua_settop(L, 3);
    if (options == 3 && !lua_isnil(L, 2))
        bind_note(L, "note: a configuration name means nothing for files and is left out");
    struct load *o = hold_options(L, &load_dataset_options);
    bind_options(L, options, &load_dataset_options, o);
    o->read.cancel = &bind_interrupted;
    bind_field(L, options, &load_dataset_options, "data_files");
    int files = lua_gettop(L);
    bool is_path = strchr(path, '/') || strchr(path, '.') || file_exists(path);
    if (is_path && !file_exists(path) && !strchr(path, '.'))
        return bind_error(L,
                          "'%s' is no file here, and data sets of the hub are not fetched yet; "
                          "hint: load_dataset(\"csv\", {data_files = \"file.csv\"})",
                          path);
    if (is_path) {
        if (!lua_isnil(L, files))
            return bind_error(L, "load_dataset: a path and data_files at once; hint: "
                                 "load_dataset(\"csv\", {data_files = ...})");
        lua_pushvalue(L, 1);
        lua_replace(L, files);
    } else {
        bind_check(L, reader_find(path, &r));
    }
    if (lua_isnil(L, files))
        return bind_error(L,
                          "load_dataset(\"%s\") wants data_files; hint: load_dataset(\"%s\", "
                          "{data_files = \"file.csv\", split = \"train\"})",
                          path, path);
    return o->split ? push_one_split(L, r, o, files) : push_all_splits(L, r, o, files);
}

static int concatenate_datasets(lua_State *L)
{
    int count;
    lua_settop(L, 1);
    const struct table *const *parts = dataset_list(L, 1, "concatenate_datasets", &count);
    struct frame *made = dataset_new(L);
    bind_check(L, table_join(parts, count, &made->table));
    return 1;
}

const struct lua_method dataset_functions[] = {
    {"load_dataset", load_dataset,
     "load_dataset(\"csv\", {data_files = \"file.csv\", split = \"train\"})",
     "Reads a data set from CSV or TSV files: a Dataset with split, else a table {train = "
     "Dataset}. "
     "load_dataset(\"file.csv\") goes by the file's name.",
     &load_dataset_options},
    {"concatenate_datasets", concatenate_datasets, "concatenate_datasets({a, b})",
     "One Dataset of the rows of several, under each other; columns are matched by name.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
