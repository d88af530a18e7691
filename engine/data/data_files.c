/* data_files.c -- which files make a data set, and which split each belongs to. */
#include "engine/data/data_files.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FILES_MAX 100000

void data_files_free(struct data_files *d)
{
    for (int64_t i = 0; i < d->count; i++) {
        mem_free(d->items[i].split);
        mem_free(d->items[i].path);
    }
    mem_free(d->items);
    *d = (struct data_files){0};
}

/* ^\w+(\.\w+)*$ */
static bool is_split(const char *name)
{
    bool word = false;
    for (const char *p = name; *p; p++) {
        if (!isalnum((unsigned char)*p) && *p != '_' && !(*p == '.' && word))
            return false;
        word = *p != '.';
    }
    return word && strlen(name) < 64;
}

int data_files_push(struct data_files *d, const char *split, const char *path)
{
    if (d->count == FILES_MAX)
        return fail(ERR_ARG, "over %d data files", FILES_MAX);
    TRY(mem_grow((void **)&d->items, &d->room, d->count + 1, sizeof *d->items));
    struct data_file f = {mem_text(split, strlen(split)), mem_text(path, strlen(path))};
    if (!f.split || !f.path) {
        mem_free(f.split);
        mem_free(f.path);
        return ERR_MEMORY;
    }
    d->items[d->count++] = f;
    return OK;
}

static int too_long(const char *path)
{
    return fail(ERR_ARG, "the path %.60s... is over %d bytes long", path, FILE_PATH);
}

/* base/pattern, where what the base holds of * ? [ \ stands for itself in a pattern. */
static int put_below(const char *base, const char *pattern, bool escape, char out[FILE_PATH])
{
    size_t used = 0;
    for (const char *p = base; p && *p; p++) {
        if (used + 3 >= FILE_PATH)
            return too_long(base);
        if (escape && strchr("*?[\\", *p))
            out[used++] = '\\';
        out[used++] = *p;
    }
    bool slash = used && out[used - 1] != '/';
    size_t length = strlen(pattern);
    if (used + slash + length >= FILE_PATH)
        return too_long(pattern);
    if (slash)
        out[used++] = '/';
    memcpy(out + used, pattern, length + 1);
    return OK;
}

int data_files_add(struct data_files *d, const char *split, const char *base, const char *pattern)
{
    char path[FILE_PATH];
    struct file_names names = {0};
    if (!is_split(split))
        return fail(ERR_ARG, "'%.60s' is no name of a split; hint: letters, digits and _ only",
                    split);
    bool many = file_is_pattern(pattern) && !file_exists(pattern);
    TRY(put_below(base && pattern[0] != '/' ? base : NULL, pattern, many, path));
    if (!many)
        return data_files_push(d, split, path);
    int status = file_glob(path, &names);
    if (!status && names.count == 0)
        status = fail(ERR_IO, "no file matches %s", path);
    for (int64_t i = 0; i < names.count && !status; i++)
        status = data_files_push(d, split, names.items[i]);
    file_names_free(&names);
    return status;
}

/* --- order ------------------------------------------------------------------------------------ */

static int split_rank(const char *split)
{
    static const char *const first[] = {"train", "validation", "test"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(split, first[i]))
            return i;
    return 3;
}

static bool before(const struct data_file *a, const struct data_file *b)
{
    int x = split_rank(a->split), y = split_rank(b->split);
    return x != y ? x < y : strcmp(a->split, b->split) < 0;
}

/* Stable: each file goes behind the last one that does not come after it. */
void data_files_sort(struct data_files *d)
{
    for (int64_t i = 1; i < d->count; i++) {
        struct data_file f = d->items[i];
        int64_t low = 0, high = i;
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            if (before(&f, &d->items[middle]))
                high = middle;
            else
                low = middle + 1;
        }
        memmove(d->items + low + 1, d->items + low, (size_t)(i - low) * sizeof f);
        d->items[low] = f;
    }
}

/* --- a folder's files ------------------------------------------------------------------------- */

static bool is_skipped(const char *name)
{
    static const char *const names[] = {"README.md",         "config.json",
                                        "dataset_info.json", "dataset_infos.json",
                                        "dataset_dict.json", "dummy_data.zip"};
    if (name[0] == '.')
        return true;
    for (int64_t i = 0; i < COUNT_OF(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static int add_name(struct file_names *names, const char *name)
{
    if (names->count == FILES_MAX)
        return fail(ERR_ARG, "the folder holds over %d files", FILES_MAX);
    TRY(mem_grow((void **)&names->items, &names->room, names->count + 1, sizeof *names->items));
    char *copy = mem_text(name, strlen(name));
    if (!copy)
        return ERR_MEMORY;
    names->items[names->count++] = copy;
    return OK;
}

/* One entry of the folder 'below' of 'folder': a file goes to 'files', a folder to 'todo'. */
static int visit(const char *folder, const char *below, const char *name, struct file_names *todo,
                 struct file_names *files)
{
    char path[FILE_PATH], inside[FILE_PATH];
    bool exists, is_folder;
    if (is_skipped(name))
        return OK;
    TRY(put_below(below, name, false, inside));
    TRY(put_below(folder, inside, false, path));
    TRY(file_look(path, &exists, &is_folder));
    if (!is_folder)
        return add_name(files, inside);
    return strncmp(name, "__", 2) != 0 ? add_name(todo, inside) : OK;
}

/* All files below 'folder' that are not skipped, as paths below it. */
static int walk(const char *folder, struct file_names *files)
{
    struct file_names todo = {0}; /* folders; the first is the folder itself */
    char path[FILE_PATH];
    int status = add_name(&todo, "");
    for (int64_t i = 0; i < todo.count && !status; i++) {
        struct file_names names = {0};
        status = put_below(folder, todo.items[i], false, path);
        if (!status)
            status = file_list(path, &names);
        for (int64_t k = 0; k < names.count && !status; k++)
            status = visit(folder, todo.items[i], names.items[k], &todo, files);
        file_names_free(&names);
    }
    file_names_free(&todo);
    return status;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* --- splits from names ------------------------------------------------------------------------ */

static bool is_separator(char c)
{
    return (c >= '0' && c <= '9') || (c && strchr("-._ ", c));
}

static bool holds(const char *name, size_t length, const char *keyword)
{
    size_t n = strlen(keyword);
    for (size_t i = 0; i + n <= length; i++)
        if (!memcmp(name + i, keyword, n) && (i == 0 || is_separator(name[i - 1])) &&
            (i + n == length || is_separator(name[i + n])))
            return true;
    return false;
}

/* The split that a name's keywords mean, or NULL. */
static const char *keyword_split(const char *name, size_t length)
{
    static const struct {
        const char *keyword, *split;
    } words[] = {{"train", "train"},      {"training", "train"}, {"validation", "validation"},
                 {"valid", "validation"}, {"dev", "validation"}, {"val", "validation"},
                 {"test", "test"},        {"testing", "test"},   {"eval", "test"},
                 {"evaluation", "test"}};
    for (int64_t i = 0; i < COUNT_OF(words); i++)
        if (holds(name, length, words[i].keyword))
            return words[i].split;
    return NULL;
}

static const char *folder_split(const char *path)
{
    const char *split = NULL;
    for (const char *p = path, *slash; !split && (slash = strchr(p, '/')); p = slash + 1)
        split = keyword_split(p, (size_t)(slash - p));
    return split;
}

static const char *file_split(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strchr(name, '.');
    return dot ? keyword_split(name, strlen(name)) : NULL;
}

static bool five_digits(const char *p)
{
    return strspn(p, "0123456789") >= 5;
}

/* data/<split>-00000-of-00001*.*: the split into 'out', or NULL. */
static const char *sharded_split(const char *path, char out[64])
{
    if (strncmp(path, "data/", 5) != 0 || strchr(path + 5, '/'))
        return NULL;
    for (const char *p = strchr(path, '-'); p; p = strchr(p + 1, '-')) {
        if (!five_digits(p + 1) || strncmp(p + 6, "-of-", 4) != 0 || !five_digits(p + 10) ||
            !strchr(p + 15, '.'))
            continue;
        int n = snprintf(out, 64, "%.*s", (int)(p - path - 5), path + 5);
        return n < 64 && is_split(out) ? out : NULL;
    }
    return NULL;
}

enum rule { SHARDED, BY_FOLDER, BY_FILE, ALL_TRAIN };

static const char *split_by(enum rule rule, const char *path, char room[64])
{
    switch (rule) {
    case SHARDED:
        return sharded_split(path, room);
    case BY_FOLDER:
        return folder_split(path);
    case BY_FILE:
        return file_split(path);
    case ALL_TRAIN:
        break;
    }
    return "train";
}

/* --- formats ---------------------------------------------------------------------------------- */

/* The family that one of the dotted endings of a name means ("x.json.gz": json), or NULL. */
static const char *family_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *p = strchr(slash ? slash : path, '.');
    for (; p; p = strchr(p + 1, '.')) {
        size_t n = strcspn(p + 1, ".");
        const struct reader *r = reader_by_extension(p + 1, n);
        if (r)
            return r->family;
        if ((n == 7 && !strncasecmp(p + 1, "parquet", n)) ||
            (n == 5 && !strncasecmp(p + 1, "arrow", n)))
            return "parquet";
    }
    return NULL;
}

/* Leaves out the files of all formats but the most frequent one. */
static int keep_one_format(struct data_files *d, const char *folder)
{
    static const char *const families[] = {"parquet", "json", "csv", "text"}; /* ties: first */
    int64_t counts[COUNT_OF(families)] = {0}, best = 0, kept = 0;
    for (int64_t i = 0; i < d->count; i++)
        for (int64_t k = 0; k < COUNT_OF(families); k++) {
            const char *family = family_of(d->items[i].path);
            counts[k] += family && !strcmp(family, families[k]);
        }
    for (int64_t k = 1; k < COUNT_OF(families); k++)
        if (counts[k] > counts[best])
            best = k;
    if (counts[best] == 0)
        return fail(ERR_IO, "%s holds no data file; hint: .csv, .json, .jsonl and .txt are read",
                    folder);
    if (best == 0)
        return fail(ERR_ARG,
                    "%s: the data set is in Parquet files, which are not read yet; hint: write it "
                    "as JSON lines first, in Python: dataset.to_json(\"rows.jsonl\")",
                    folder);
    for (int64_t i = 0; i < d->count; i++) {
        const char *family = family_of(d->items[i].path);
        if (family && !strcmp(family, families[best])) {
            d->items[kept++] = d->items[i];
            continue;
        }
        mem_free(d->items[i].split);
        mem_free(d->items[i].path);
    }
    d->count = kept;
    return OK;
}

/* --- all together ----------------------------------------------------------------------------- */

/* By names, by the first rule that finds something. */
static int by_names(struct data_files *d, const char *folder)
{
    char room[64], path[FILE_PATH];
    struct file_names names = {0};
    int status = walk(folder, &names);
    if (!status && names.count > 1)
        qsort(names.items, (size_t)names.count, sizeof *names.items, by_bytes);
    for (int rule = SHARDED; rule <= ALL_TRAIN && !status && d->count == 0; rule++)
        for (int64_t i = 0; i < names.count && !status; i++) {
            const char *split = split_by((enum rule)rule, names.items[i], room);
            if (!split || !family_of(names.items[i]))
                continue;
            status = put_below(folder, names.items[i], false, path);
            if (!status)
                status = data_files_push(d, split, path);
        }
    file_names_free(&names);
    return status;
}

/* By README.md; adds nothing when it says nothing. */
static int by_readme(struct data_files *d, const char *folder, const char *config)
{
    char path[FILE_PATH], *text;
    size_t length;
    struct data_files patterns = {0};
    bool exists, is_folder;
    TRY(put_below(folder, "README.md", false, path));
    TRY(file_look(path, &exists, &is_folder));
    if (!exists || is_folder)
        return config ? fail(ERR_ARG,
                             "%s has no README.md that could define '%.60s'; hint: leave "
                             "the configuration's name out",
                             folder, config)
                      : OK;
    TRY(file_read(path, (size_t)16 << 20, &text, &length));
    int status = data_files_from_readme(text, length, config, &patterns);
    mem_free(text);
    if (status)
        fail_in(status, "%s", path);
    for (int64_t i = 0; i < patterns.count && !status; i++)
        status = data_files_add(d, patterns.items[i].split, folder, patterns.items[i].path);
    data_files_free(&patterns);
    return status;
}

int data_files_find(struct data_files *d, const char *folder, const char *config)
{
    struct data_files found = {0};
    int status = by_readme(&found, folder, config);
    if (!status && found.count == 0)
        status = by_names(&found, folder);
    if (!status)
        status = keep_one_format(&found, folder);
    data_files_sort(&found);
    for (int64_t i = 0; i < found.count && !status; i++)
        status = data_files_push(d, found.items[i].split, found.items[i].path);
    data_files_free(&found);
    return status;
}
