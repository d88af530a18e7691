/* load_dataset.c -- files as Datasets: formats, lists of files, splits and parts of splits. */
#include "engine/core/file.h"
#include "engine/core/hub_cache.h"
#include "engine/core/suggest.h"
#include "engine/data/data_files.h"
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
    char *split, *data_dir, *revision;
};
#define NOTE(name_, note_)                                                    \
    {                                                                         \
        .name = name_, .type = OPTION_NOTE, .doc = "not used", .note = note_, \
    }
#define READ(name_, kind_, preset_, doc_)                                                    \
    {                                                                                        \
        .name = #name_, .type = OPTION_##kind_, .offset = offsetof(struct load, read.name_), \
        .preset = preset_, .doc = doc_                                                       \
    }
static const struct option load_rows[] = {
    {.name = "data_files",
     .type = OPTION_OBJECT,
     .doc = "path, pattern (*.json), list of them, or {train = ..., test = ...}"},
    OPTION(struct load, split, TEXT, NULL,
           .doc =
               "\"train\", \"train[:10%]\", \"train+test\"; without it a table {train = Dataset}"),
    OPTION(struct load, data_dir, TEXT, NULL, .doc = "folder that data_files lie in"),
    OPTION(struct load, revision, TEXT, NULL,
           .doc = "of a data set in the hub cache: branch, tag or commit; default main"),
    {.name = "delimiter",
     .aliases = "sep",
     .type = OPTION_TEXT,
     .offset = offsetof(struct load, read.delimiter),
     .doc = "character between fields (csv)"},
    READ(keep_default_na, BOOL, "true", "NA, N/A, NaN, null and None are null, as in pandas (csv)"),
    READ(infer, BOOL, "true", "find numbers and truth values; false: every column stays text"),
    READ(field, TEXT, NULL, "key of the outermost object that holds the rows (json)"),
    READ(sample_by, TEXT, NULL, "what a row is: line (default), paragraph or document (text)"),
    NOTE("streaming", "streaming is not needed here: the file is read whole"),
    NOTE("num_proc", "num_proc is not needed here: reading takes one thread"),
    NOTE("cache_dir", "cache_dir is not needed here: nothing is cached"),
    NOTE("trust_remote_code",
         "trust_remote_code is not needed here: no code of a repository is ever run"),
    NOTE("token", "token is not needed here: nothing is fetched"),
};
const struct option_table load_dataset_options = {
    "load_dataset", "Where a data set comes from.", load_rows,
    (int)(sizeof load_rows / sizeof *load_rows), sizeof(struct load)};

/* --- which files ------------------------------------------------------------------------------ */

static int files_gc(lua_State *L)
{
    data_files_free(lua_touserdata(L, 1));
    return 0;
}

static struct data_files *hold_files(lua_State *L)
{
    struct data_files *d = lua_newuserdatauv(L, sizeof *d, 0);
    memset(d, 0, sizeof *d);
    if (luaL_newmetatable(L, "lorash.data_files")) {
        lua_pushcfunction(L, files_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return d;
}

/* Adds the path, pattern or list of them at 'arg' (an absolute index). */
static void add_files(lua_State *L, int arg, const char *split, const char *base,
                      struct data_files *to)
{
    char found[80];
    int64_t n = lua_istable(L, arg) ? (int64_t)lua_rawlen(L, arg) : 0;
    if (lua_type(L, arg) == LUA_TSTRING) {
        bind_check(L, data_files_add(to, split, base, lua_tostring(L, arg)));
        return;
    }
    if (!n)
        bind_error(L, "load_dataset: data_files wants a path or a list of paths, found %s",
                   bind_describe(L, arg, found, sizeof found));
    for (int64_t i = 1; i <= n; i++) {
        if (lua_rawgeti(L, arg, i) != LUA_TSTRING)
            bind_error(L, "load_dataset: file %" PRId64 " of data_files is %s, wanted a path", i,
                       bind_describe(L, -1, found, sizeof found));
        bind_check(L, data_files_add(to, split, base, lua_tostring(L, -1)));
        lua_pop(L, 1);
    }
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

static void take_data_files(lua_State *L, int files, const char *base, struct data_files *to)
{
    char found[80];
    if (!by_split(L, files)) {
        add_files(L, files, "train", base, to);
        return;
    }
    for (lua_pushnil(L); lua_next(L, files); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            bind_error(L, "load_dataset: data_files: names of splits are texts, found %s",
                       bind_describe(L, -2, found, sizeof found));
        add_files(L, lua_gettop(L), lua_tostring(L, -2), base, to);
    }
    data_files_sort(to);
}

/* Folder of a data set: a path, or a name in the hub cache. */
static void find_folder(lua_State *L, const char *path, const struct load *o, char out[4096])
{
    char near[80];
    if (!strcmp(path, "pandas") || !strcmp(path, "parquet") || !strcmp(path, "arrow"))
        bind_error(L, "dataset format '%s' is not read yet, wanted csv, json or text", path);
    if (file_is_folder(path)) {
        if (o->revision)
            bind_note(L, "note: revision means nothing for a folder and is left out");
        snprintf(out, 4096, "%s", path);
        return;
    }
    if (strchr(path, '/') && !hub_name_is_valid(path))
        bind_error(L, "there is no file or folder '%s'%s", path,
                   path[0] == '~' ? "; hint: ~ is not expanded: os.getenv(\"HOME\") .. \"/...\""
                                  : "");
    const struct reader *r;
    struct suggest s = {.wanted = path};
    for (r = readers; r->name; r++)
        suggest_try(&s, r->name);
    if (!strchr(path, '/') && s.best)
        bind_error(L, "dataset format '%s' is unknown, wanted csv, json or text%s", path,
                   suggest_hint(&s, near, sizeof near));
    bind_check(L, hub_cache_find(HUB_DATASET, path, o->revision, out, 4096));
}

/* Fills 'to' from load_dataset's arguments; 'files' is the index of data_files. Returns the reader
 * that was named, or NULL: the file names tell. */
static const struct reader *find_files(lua_State *L, const char *path, const char *config,
                                       const struct load *o, int files, struct data_files *to)
{
    char folder[4096], below[8192];
    const struct reader *r = NULL;
    bool given = !lua_isnil(L, files), pattern = file_is_pattern(path);
    if (!file_exists(path) && !reader_find(path, &r)) {
        if (!given && !o->data_dir)
            bind_error(L,
                       "load_dataset(\"%s\") wants data_files; hint: load_dataset(\"%s\", "
                       "{data_files = \"file.%s\", split = \"train\"})",
                       path, path, !strcmp(path, "text") ? "txt" : path);
        if (given)
            take_data_files(L, files, o->data_dir, to);
        else
            bind_check(L, data_files_find(to, o->data_dir, NULL));
        return r;
    }
    const char *dot = strrchr(path, '.');
    const char *slash = strrchr(path, '/');
    bool named_file = dot && (!slash || dot > slash) && !file_is_folder(path) &&
                      (reader_by_extension(dot + 1, strlen(dot + 1)) || file_exists(path));
    if (pattern || named_file) {
        if (given)
            bind_error(L, "load_dataset: a path and data_files at once; hint: "
                          "load_dataset(\"csv\", {data_files = ...})");
        bind_check(L, data_files_add(to, "train", NULL, path));
        return NULL;
    }
    find_folder(L, path, o, folder);
    snprintf(below, sizeof below, "%s%s%s", folder, o->data_dir ? "/" : "",
             o->data_dir ? o->data_dir : "");
    if (given)
        take_data_files(L, files, below, to);
    else
        bind_check(L, data_files_find(to, below, config));
    return NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Files of one split have one set of columns: said with their names, not as parts of a table. */
static void check_columns(lua_State *L, const struct table *const *tables, int64_t count,
                          const struct data_file *files)
{
    for (int64_t i = 1; i < count; i++)
        for (int64_t k = 0; k < tables[i]->width; k++)
            if (table_place(tables[0], tables[i]->names[k]) < 0)
                bind_error(L,
                           "%s has a column '%.60s' that %s lacks; hint: the files of a split have "
                           "the same columns: data_files = {...} names some, {train = ..., test = "
                           "...} parts them",
                           files[i].path, tables[i]->names[k], files[0].path);
}

/* Pushes the Dataset of files [from, to) of the list. */
static void push_split(lua_State *L, const struct reader *r, const struct load *o,
                       const struct data_files *d, int64_t from, int64_t to)
{
    char what[60], split[80];
    struct frame *whole = dataset_new(L);
    int base = lua_gettop(L);
    const struct table **tables = hold_array(L, to - from, sizeof *tables);
    const struct reader *of = r;
    lua_createtable(L, (int)(to - from), 0); /* holds the parts */
    for (int64_t i = from; i < to; i++) {
        of = r;
        if (!of)
            bind_check(L, reader_for_path(d->items[i].path, &of));
        of = reader_within(of, d->items[i].path);
        struct frame *part = dataset_new(L);
        bind_check(L, reader_file(of, d->items[i].path, &o->read, &part->table));
        tables[i - from] = part->table;
        lua_rawseti(L, -2, i - from + 1);
    }
    check_columns(L, tables, to - from, d->items + from);
    if (to - from == 1)
        whole->table = table_hold(tables[0]);
    else
        bind_check(L, table_join(tables, (int)(to - from), &whole->table));
    lua_settop(L, base);
    snprintf(split, sizeof split, "%.60s", d->items[from].split);
    if (to - from > 1)
        snprintf(what, sizeof what, "%" PRId64 " %s files", to - from, of->name);
    else
        snprintf(what, sizeof what, "%s", of->name);
    dataset_note(L, whole->table, what, d->count > to - from ? split : NULL);
}

/* The files of split 'name' are [*from, *to); without any, an error that lists the splits. */
static void split_files(lua_State *L, const struct data_files *d, const char *name, int64_t *from,
                        int64_t *to)
{
    char hint[100];
    struct suggest near = {.wanted = name};
    struct buffer *list = hold_buffer(L);
    for (*from = 0; *from < d->count && strcmp(d->items[*from].split, name) != 0; ++*from) {
        const char *split = d->items[*from].split;
        if (*from && !strcmp(split, d->items[*from - 1].split))
            continue;
        suggest_try(&near, split);
        buffer_printf(list, "%s%s", list->length ? ", " : "", split);
    }
    for (*to = *from; *to < d->count && !strcmp(d->items[*to].split, name);)
        ++*to;
    bind_check(L, buffer_close(list));
    if (*from == d->count)
        bind_error(L, "load_dataset: there is no split '%s'%s; hint: there is %s", name,
                   suggest_hint(&near, hint, sizeof hint), list->length ? list->bytes : "none");
    lua_pop(L, 1);
}

/* Pushes the whole Dataset of a split, read once: 'cache' is a table of those read. */
static struct frame *push_cached(lua_State *L, const struct reader *r, const struct load *o,
                                 const struct data_files *d, const char *name, int cache)
{
    int64_t from, to;
    if (lua_getfield(L, cache, name) == LUA_TNIL) {
        lua_pop(L, 1);
        split_files(L, d, name, &from, &to);
        push_split(L, r, o, d, from, to);
        lua_pushvalue(L, -1);
        lua_setfield(L, cache, name);
    }
    return lua_touserdata(L, -1);
}

/* Pushes the Dataset that "train[:10%]+test" means. */
static int push_wanted(lua_State *L, const struct reader *r, const struct load *o,
                       const struct data_files *d)
{
    char part[128];
    int count = 1, done = 0;
    for (const char *p = o->split; *p; p++)
        count += *p == '+';
    struct frame *made = dataset_new(L);
    int result = lua_gettop(L);
    const struct table **tables = hold_array(L, count, sizeof *tables);
    lua_newtable(L);
    int cache = lua_gettop(L);
    luaL_checkstack(L, count + 8, "too many parts of a split");
    for (const char *p = o->split; done < count; done++) {
        struct split s;
        int64_t from, rows;
        size_t n = strcspn(p, "+");
        while (n && *p == ' ')
            p++, n--;
        size_t used = n;
        while (used && p[used - 1] == ' ')
            used--;
        snprintf(part, sizeof part, "%.*s", (int)(used < sizeof part ? used : 0), p);
        bind_check(L, split_parse(part, &s));
        const struct frame *whole = push_cached(L, r, o, d, s.name, cache);
        lua_pop(L, 1); /* the cache keeps it */
        split_rows(&s, whole->table->rows, &from, &rows);
        struct frame *piece = dataset_new(L); /* stays on the stack */
        bind_check(L, table_slice(whole->table, from, rows, &piece->table));
        tables[done] = piece->table;
        p += n + (p[n] == '+');
    }
    if (count == 1)
        made->table = table_hold(tables[0]);
    else
        bind_check(L, table_join(tables, count, &made->table));
    lua_settop(L, result);
    return 1;
}

static int push_all_splits(lua_State *L, const struct reader *r, const struct load *o,
                           const struct data_files *d)
{
    lua_newtable(L);
    for (int64_t from = 0, to; from < d->count; from = to) {
        for (to = from; to < d->count && !strcmp(d->items[to].split, d->items[from].split);)
            to++;
        push_split(L, r, o, d, from, to);
        lua_setfield(L, -2, d->items[from].split);
    }
    return 1;
}

/* load_dataset("csv", {data_files = ..., split = "train"}), load_dataset("file.csv"),
 * load_dataset("folder"), load_dataset("owner/name", "config", {...}) */
static int load_dataset(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    int options = lua_istable(L, 2) ? 2 : 3;
    lua_settop(L, 3);
    const char *config = options == 3 && !lua_isnil(L, 2) ? luaL_checkstring(L, 2) : NULL;
    struct load *o = hold_options(L, &load_dataset_options);
    bind_options(L, options, &load_dataset_options, o);
    o->read.cancel = &bind_interrupted;
    bind_field(L, options, &load_dataset_options, "data_files");
    int files = lua_gettop(L);
    struct data_files *d = hold_files(L);
    const struct reader *r = find_files(L, path, config, o, files, d);
    if (config && (r || file_exists(path)) && !file_is_folder(path))
        bind_note(L, "note: a configuration name means nothing for files and is left out");
    return o->split ? push_wanted(L, r, o, d) : push_all_splits(L, r, o, d);
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
     "Reads a data set from CSV, TSV, JSON, JSON lines or text files: a Dataset with split, else a "
     "table {train = Dataset}. load_dataset(\"file.csv\") goes by the file's name, "
     "load_dataset(\"folder\") finds the splits by the names in it, load_dataset(\"owner/name\") "
     "reads what the hub's tools have downloaded.",
     &load_dataset_options},
    {"concatenate_datasets", concatenate_datasets, "concatenate_datasets({a, b})",
     "One Dataset of the rows of several, under each other; columns are matched by name.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
