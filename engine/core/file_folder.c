/* file_folder.c -- folders, patterns and whole files of the file layer. */
#include "engine/core/file.h"
#include "engine/core/file_call.h"
#include "kernels/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool file_is_plain_name(const char *name)
{
    return name[0] && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int file_join(char out[FILE_PATH], const char *folder, const char *name)
{
    size_t n = strlen(folder);
    int used =
        snprintf(out, FILE_PATH, "%s%s%s", folder, n && folder[n - 1] != '/' ? "/" : "", name);
    return used >= 0 && used < FILE_PATH ? OK
                                         : fail(ERR_ARG, "'%.200s': the path is too long", folder);
}

bool file_ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    return n >= m && !strcmp(name + n - m, ending);
}

/* --- making, syncing, renaming ---------------------------------------------------------------- */

/* One folder; there already is fine when it is one. */
static int make_one(const char *path)
{
    if (call_mkdir(path) == 0 || (errno == EEXIST && file_is_folder(path)))
        return OK;
    if (errno == EEXIST)
        return fail(ERR_IO, "cannot make the folder '%s': a file of that name is there", path);
    return file_fail("make the folder", path);
}

int file_make_folder(const char *path)
{
    if (!path[0])
        return fail(ERR_ARG, "the path is empty, wanted a folder name");
    if (file_is_folder(path))
        return OK;
    char *part = mem_text(path, strlen(path));
    if (!part)
        return fail_in(ERR_MEMORY, "'%s'", path);
    int status = OK;
    for (char *p = part + 1; *p && !status; p++)
        if (*p == '/' && p[-1] != '/') {
            *p = '\0';
            if (!file_is_folder(part))
                status = make_one(part);
            *p = '/';
        }
    if (!status)
        status = make_one(part);
    if (!status)
        status = file_sync_parent(part);
    mem_free(part);
    return status;
}

int file_sync_folder(const char *path)
{
    int status = OK;
    int fd = call_open(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return file_fail("open", path);
    if (call_fsync(fd) < 0 && errno != EINVAL) /* EINVAL: a file system without it */
        status = file_fail("sync", path);
    call_close(fd);
    return status;
}

int file_sync_parent(const char *path)
{
    char *folder = file_parent(path);
    if (!folder)
        return ERR_MEMORY;
    int status = file_sync_folder(folder);
    mem_free(folder);
    return status;
}

int file_rename(const char *from, const char *to)
{
    struct stat st;
    if (call_lstat(to, &st) == 0)
        return fail(ERR_IO, "cannot rename '%s' to '%s': that name is taken", from, to);
    if (call_rename(from, to) < 0)
        return file_fail("rename", from);
    return file_sync_parent(to);
}

/* --- removing --------------------------------------------------------------------------------- */

int file_remove(const char *path)
{
    return call_unlink(path) < 0 ? file_fail("remove", path) : OK;
}

/* As file_join, but owned: for lists of paths. */
static char *join(const char *folder, const char *name)
{
    size_t n = strlen(folder), k = strlen(name);
    bool slash = n && folder[n - 1] != '/';
    char *path = mem_alloc(n + k + 2);
    if (!path)
        return NULL;
    memcpy(path, folder, n);
    if (slash)
        path[n++] = '/';
    memcpy(path + n, name, k + 1);
    return path;
}

static int push(struct file_names *names, char *owned)
{
    int status = owned ? mem_grow((void **)&names->items, &names->room, names->count + 1,
                                  sizeof *names->items)
                       : ERR_MEMORY;
    if (status)
        mem_free(owned);
    else
        names->items[names->count++] = owned;
    return status;
}

/* Unlinks a file, or adds a folder to the list of those still to be emptied. */
static int remove_or_keep(struct file_names *folders, const char *folder, const char *name)
{
    struct stat st;
    char *path = join(folder, name);
    if (!path)
        return ERR_MEMORY;
    int status = OK;
    if (call_lstat(path, &st) < 0)
        status = errno == ENOENT ? OK : file_fail("remove", path);
    else if (S_ISDIR(st.st_mode))
        return push(folders, path);
    else if (call_unlink(path) < 0 && errno != ENOENT)
        status = file_fail("remove", path);
    mem_free(path);
    return status;
}

/* A list instead of recursion: folders found are appended and, once all files are gone, removed
 * from the last to the first, so that inner ones go before outer ones. */
int file_remove_folder(const char *path)
{
    struct stat st;
    struct file_names folders = {0};
    if (call_lstat(path, &st) < 0)
        return errno == ENOENT ? OK : file_fail("remove", path);
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_ARG, "'%s' is not a folder", path);
    int status = push(&folders, mem_text(path, strlen(path)));
    for (int64_t i = 0; i < folders.count && !status; i++) {
        struct file_names inside = {0};
        status = file_list(folders.items[i], &inside);
        for (int64_t k = 0; k < inside.count && !status; k++)
            status = remove_or_keep(&folders, folders.items[i], inside.items[k]);
        file_names_free(&inside);
    }
    for (int64_t i = folders.count; i-- > 0 && !status;)
        if (call_rmdir(folders.items[i]) < 0 && errno != ENOENT)
            status = file_fail("remove", folders.items[i]);
    file_names_free(&folders);
    return status;
}

/* --- listing ---------------------------------------------------------------------------------- */

void file_names_free(struct file_names *names)
{
    for (int64_t i = 0; i < names->count; i++)
        mem_free(names->items[i]);
    mem_free(names->items);
    *names = (struct file_names){0};
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct file_names *names)
{
    if (names->count > 1)
        qsort(names->items, (size_t)names->count, sizeof *names->items, by_bytes);
}

int file_list(const char *folder, struct file_names *out)
{
    struct file_names names = {0};
    int status = OK;
    DIR *dir = call_fault(NULL) ? NULL : opendir(folder);
    if (!dir)
        return file_fail("read the folder", folder);
    for (;;) {
        errno = call_fault(NULL) ? errno : 0;
        struct dirent *e = errno ? NULL : readdir(dir);
        if (!e && errno)
            status = file_fail("read the folder", folder);
        if (!e || status)
            break;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            (status = push(&names, mem_text(e->d_name, strlen(e->d_name)))))
            break;
    }
    closedir(dir);
    if (status) {
        file_names_free(&names);
        return status;
    }
    sort(&names);
    *out = names;
    return OK;
}

bool file_is_pattern(const char *path)
{
    return strpbrk(path, "*?[") != NULL;
}

/* The next part of a pattern behind 'p': its length; *rest is what follows its slashes. */
static size_t part_of(const char *p, const char **rest)
{
    size_t n = strcspn(p, "/");
    *rest = p + n;
    while (**rest == '/')
        (*rest)++;
    return n;
}

/* A folder reached by the parts before 'rest'. */
struct reached {
    char *folder; /* "" = the current one; owned */
    const char *rest;
};

struct walk {
    struct reached *items;
    int64_t count, room;
};

static int reach(struct walk *w, char *folder, const char *rest)
{
    int status = folder ? mem_grow((void **)&w->items, &w->room, w->count + 1, sizeof *w->items)
                        : ERR_MEMORY;
    if (status)
        mem_free(folder);
    else
        w->items[w->count++] = (struct reached){folder, rest};
    return status;
}

/* One entry of a folder against the part at hand: a file for the last part, else a folder to go on
 * in. "**" stands for any number of folders. */
static int match_entry(struct walk *w, int64_t at, const char *name, const char *part, bool deep,
                       const char *rest, struct file_names *out)
{
    struct stat st;
    if (fnmatch(part, name, FNM_PERIOD) != 0 && !(deep && name[0] != '.'))
        return OK;
    char *path = join(w->items[at].folder, name);
    if (!path)
        return ERR_MEMORY;
    bool there = call_stat(path, &st) == 0;
    if (!there && errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != EACCES) {
        int status = file_fail("look at", path);
        mem_free(path);
        return status;
    }
    if (there && S_ISDIR(st.st_mode) && deep) {
        if (call_lstat(path, &st) == 0 && !S_ISLNK(st.st_mode)) /* links may go round in circles */
            return reach(w, path, w->items[at].rest);
    } else if (there && S_ISDIR(st.st_mode) && *rest) {
        return reach(w, path, rest);
    } else if (there && S_ISREG(st.st_mode) && !*rest) {
        return push(out, path);
    }
    mem_free(path);
    return OK;
}

/* Goes on from place 'at' of the walk by one part of the pattern. */
static int step(struct walk *w, int64_t at, struct file_names *out)
{
    char part[256];
    const char *rest, *folder = w->items[at].folder;
    size_t n = part_of(w->items[at].rest, &rest);
    if (n >= sizeof part)
        return fail(ERR_ARG, "the pattern has a part of %zu bytes, at most 255 are allowed", n);
    memcpy(part, w->items[at].rest, n);
    part[n] = '\0';
    bool deep = !strcmp(part, "**");
    if (deep && *rest)
        TRY(reach(w, mem_text(folder, strlen(folder)), rest));
    struct file_names names = {0};
    bool exists, is_folder;
    TRY(file_look(folder[0] ? folder : ".", &exists, &is_folder));
    if (!is_folder)
        return OK;
    TRY(file_list(folder[0] ? folder : ".", &names));
    int status = OK;
    for (int64_t i = 0; i < names.count && !status; i++)
        status = match_entry(w, at, names.items[i], part, deep, rest, out);
    file_names_free(&names);
    return status;
}

int file_glob(const char *pattern, struct file_names *out)
{
    struct walk w = {0};
    struct file_names found = {0};
    const char *rest = pattern;
    while (*rest == '/')
        rest++;
    int status = reach(&w, mem_text(rest > pattern ? "/" : "", rest > pattern), rest);
    for (int64_t i = 0; i < w.count && !status; i++)
        status = *w.items[i].rest ? step(&w, i, &found) : OK;
    for (int64_t i = 0; i < w.count; i++)
        mem_free(w.items[i].folder);
    mem_free(w.items);
    if (status) {
        file_names_free(&found);
        return status;
    }
    sort(&found);
    *out = found;
    return OK;
}

/* --- whole files ------------------------------------------------------------------------------ */

bool file_same(const char *a, const char *b)
{
    struct stat x, y;
    return call_stat(a, &x) == 0 && call_stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

int file_copy(const char *from, const char *to)
{
    enum { CHUNK = 1 << 20 };
    struct file *f;
    struct file_save *s;
    if (file_same(from, to))
        return fail(ERR_ARG, "'%s' cannot be copied onto itself", from);
    TRY(file_open(from, &f));
    int status = file_save_begin(to, &s);
    if (status) {
        file_close(f);
        return status;
    }
    char *chunk = mem_alloc(CHUNK);
    status = chunk ? OK : fail_in(ERR_MEMORY, "'%s'", from);
    for (int64_t at = 0; at < file_size(f) && !status; at += CHUNK) {
        size_t n = (size_t)(file_size(f) - at < CHUNK ? file_size(f) - at : CHUNK);
        status = file_read_at(f, at, chunk, n);
        if (!status)
            status = file_save_write(s, chunk, n);
    }
    mem_free(chunk);
    file_close(f);
    if (status) {
        file_save_abandon(s);
        return status;
    }
    return file_save_commit(s);
}

int file_append(const char *path, const void *bytes, size_t length)
{
    int fd = call_open(path, O_WRONLY | O_CREAT | O_APPEND);
    if (fd < 0)
        return file_fail("write", path);
    int status = call_write(fd, bytes, length) < 0 ? file_fail("write", path) : OK;
    if (call_close(fd) < 0 && !status)
        status = file_fail("write", path);
    return status;
}

int file_free_bytes(const char *path, int64_t *out)
{
    struct statvfs fs;
    char *place = mem_text(path, strlen(path));
    int status = place ? OK : ERR_MEMORY;
    while (!status) {
        errno = 0;
        if (!call_fault(NULL) && statvfs(place, &fs) == 0)
            break;
        if (errno != ENOENT) {
            status = file_fail("look at", path);
            break;
        }
        char *parent = file_parent(place); /* it does not exist yet */
        bool end = !parent || !strcmp(parent, place);
        mem_free(place);
        place = parent;
        if (end)
            status = fail(parent ? ERR_IO : ERR_MEMORY, "cannot look at '%s'", path);
    }
    mem_free(place);
    if (!status)
        *out = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    return status;
}
