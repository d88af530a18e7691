/* file.c -- the only door to files.
 *
 * System calls go through the wrappers of file_call.h, which ask the fault hook first. Interrupted
 * calls are repeated, short reads and writes go on, a failed fsync is never retried (the kernel may
 * have dropped the data). Folders and whole files: file_folder.c. */
#include "engine/core/file.h"
#include "engine/core/file_call.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The failure of opening a file that is not there, with the nearest name of its folder. */
static int fail_missing(const char *path)
{
    char hint[320] = "";
    char *folder = file_parent(path);
    if (!folder)
        return fail(ERR_IO, "cannot open '%s': %s", path, strerror(ENOENT));
    const char *slash = strrchr(path, '/');
    struct suggest s = {.wanted = slash ? slash + 1 : path};
    DIR *dir = call_fault(NULL) ? NULL : opendir(folder);
    if (dir) {
        struct dirent *e; /* names live as long as the folder is open, on every libc we use... */
        char best[sizeof e->d_name] = "";
        while ((e = readdir(dir))) {
            const char *before = s.best;
            if (e->d_name[0] == '.')
                continue;
            suggest_try(&s, e->d_name);
            if (s.best != before) { /* ...but the entry itself is overwritten by the next one */
                snprintf(best, sizeof best, "%s", e->d_name);
                s.best = best;
            }
        }
        suggest_hint(&s, hint, sizeof hint);
        closedir(dir);
        fail(ERR_IO, "cannot open '%s': no such file%s", path, hint);
    } else {
        fail(ERR_IO, "cannot open '%s': there is no folder '%s'", path, folder);
    }
    mem_free(folder);
    return ERR_IO;
}


/* Opens a regular file for reading. */
static int open_regular(const char *path, int *fd, int64_t *size)
{
    struct stat st;
    if (path[0] == '\0')
        return fail(ERR_ARG, "the path is empty, wanted a file name");
    *fd = call_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return errno == ENOENT ? fail_missing(path) : file_fail("open", path);
    if (call_fstat(*fd, &st) < 0) {
        int status = file_fail("read", path);
        call_close(*fd);
        return status;
    }
    *size = (int64_t)st.st_size;
    if (S_ISREG(st.st_mode))
        return OK;
    call_close(*fd);
    if (S_ISDIR(st.st_mode))
        return fail(ERR_ARG, "'%s' is a folder, wanted a file", path);
    return fail(ERR_ARG, "'%s' is not a regular file", path);
}

int file_read(const char *path, size_t limit, char **bytes, size_t *length)
{
    int fd, status = OK;
    int64_t size;
    char *buffer = NULL;
    ssize_t n;
    TRY(open_regular(path, &fd, &size));
    if (limit && (uint64_t)size > limit) {
        status =
            fail(ERR_ARG, "'%s' has %" PRId64 " bytes, at most %zu are read", path, size, limit);
        goto out;
    }
    buffer = mem_alloc((size_t)size + 1);
    if (!buffer) {
        status = fail_in(ERR_MEMORY, "'%s'", path);
        goto out;
    }
    n = call_pread(fd, buffer, (size_t)size, 0);
    if (n < 0) {
        status = file_fail("read", path);
        goto out;
    }
    buffer[n] = '\0';
    *bytes = buffer;
    *length = (size_t)n;
    buffer = NULL;
out:
    call_close(fd); /* nothing was written: its result means nothing */
    mem_free(buffer);
    return status;
}

struct file {
    int fd;
    int64_t size;
    char path[];
};

int file_open(const char *path, struct file **out)
{
    int fd;
    int64_t size;
    TRY(open_regular(path, &fd, &size));
    size_t n = strlen(path);
    struct file *f = mem_alloc(sizeof *f + n + 1);
    if (!f) {
        call_close(fd);
        return fail_in(ERR_MEMORY, "'%s'", path);
    }
    f->fd = fd;
    f->size = size;
    memcpy(f->path, path, n + 1);
    *out = f;
    return OK;
}

int64_t file_size(const struct file *f)
{
    return f->size;
}

const char *file_path(const struct file *f)
{
    return f->path;
}

int file_read_at(struct file *f, int64_t offset, void *out, size_t length)
{
    if (offset < 0 || offset > f->size || length > (uint64_t)(f->size - offset))
        return fail(ERR_FORMAT,
                    "'%s' has %" PRId64 " bytes, wanted %zu at %" PRId64
                    "; hint: the file is cut short, get it again",
                    f->path, f->size, length, offset);
    ssize_t n = call_pread(f->fd, out, length, offset);
    if (n < 0)
        return file_fail("read", f->path);
    if ((size_t)n < length)
        return fail(ERR_FORMAT, "'%s' became shorter while it was read", f->path);
    return OK;
}

void file_close(struct file *f)
{
    if (!f)
        return;
    call_close(f->fd);
    mem_free(f);
}

struct file_save {
    int fd;
    int status; /* of the first failure: later calls repeat it */
    char *path; /* where it goes, links resolved */
    char *temp; /* beside it */
};

static void save_free(struct file_save *s)
{
    if (s->fd >= 0)
        call_close(s->fd);
    mem_free(s->path);
    mem_free(s->temp);
    mem_free(s);
}

/* A link is followed: its target is replaced, the link stays. */
static int resolve(const char *path, char **out)
{
    char *real = call_fault(NULL) ? NULL : realpath(path, NULL);
    *out = mem_text(real ? real : path, strlen(real ? real : path));
    free(real); /* realpath's own memory, the one block that is not ours */
    return *out ? OK : ERR_MEMORY;
}

/* A new file beside the target; the number makes names of one process unique, O_EXCL the rest. */
static int create_temp(struct file_save *s)
{
    static atomic_uint serial;
    size_t n = strlen(s->path) + 48;
    s->temp = mem_alloc(n);
    if (!s->temp)
        return ERR_MEMORY;
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(s->temp, n, "%s.%ld-%u.tmp", s->path, (long)getpid(),
                 atomic_fetch_add(&serial, 1));
        s->fd = call_open(s->temp, O_WRONLY | O_CREAT | O_EXCL);
        if (s->fd >= 0)
            return OK;
        if (errno != EEXIST)
            break;
    }
    return file_fail("write", s->path);
}

int file_save_begin(const char *path, struct file_save **out)
{
    struct stat st;
    int status;
    if (path[0] == '\0')
        return fail(ERR_ARG, "the path is empty, wanted a file name");
    struct file_save *s = mem_calloc(1, sizeof *s);
    if (!s)
        return fail_in(ERR_MEMORY, "'%s'", path);
    s->fd = -1;
    TRY_OUT(resolve(path, &s->path));
    bool exists = call_stat(s->path, &st) == 0;
    if (exists && !S_ISREG(st.st_mode)) {
        status = fail(ERR_ARG, "'%s' is %s, wanted a file to write", path,
                      S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
        goto out;
    }
    TRY_OUT(create_temp(s));
    if (exists) /* keeps who may read it; a refusal costs nothing but that */
        (void)!fchmod(s->fd, st.st_mode & 07777);
    *out = s;
    return OK;
out:
    save_free(s);
    return status;
}

int file_save_write(struct file_save *s, const void *bytes, size_t length)
{
    if (s->status)
        return fail(s->status, "cannot write '%s': an earlier write failed", s->path);
    if (call_write(s->fd, bytes, length) < 0)
        s->status = file_fail("write", s->path);
    return s->status;
}


int file_save_commit(struct file_save *s)
{
    int status = s->status;
    if (status) {
        fail(status, "cannot write '%s': an earlier write failed", s->path);
    } else if (call_fsync(s->fd) < 0) {
        status = file_fail("sync", s->path);
    } else {
        int rc = call_close(s->fd);
        s->fd = -1;
        if (rc < 0)
            status = file_fail("write", s->path);
        else if (call_rename(s->temp, s->path) < 0)
            status = file_fail("write", s->path);
    }
    if (status) {
        file_save_abandon(s);
        return status;
    }
    status = file_sync_parent(s->path);
    save_free(s);
    return status;
}

void file_save_abandon(struct file_save *s)
{
    if (!s)
        return;
    if (s->temp && s->temp[0])
        unlink(s->temp);
    save_free(s);
}

int file_write_all(const char *path, const void *bytes, size_t length)
{
    struct file_save *s;
    TRY(file_save_begin(path, &s));
    int status = file_save_write(s, bytes, length);
    if (status) {
        file_save_abandon(s);
        return status;
    }
    return file_save_commit(s);
}

int file_write_in(const char *folder, const char *name, const void *bytes, size_t length)
{
    char path[FILE_PATH];
    TRY(file_join(path, folder, name));
    return file_write_all(path, bytes, length);
}

bool file_exists(const char *path)
{
    struct stat st;
    return call_stat(path, &st) == 0;
}

int file_look(const char *path, bool *exists, bool *is_folder)
{
    struct stat st;
    *exists = *is_folder = false;
    if (call_stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR ? OK : file_fail("look at", path);
    *exists = true;
    *is_folder = S_ISDIR(st.st_mode);
    return OK;
}

bool file_is_folder(const char *path)
{
    struct stat st;
    return call_stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
