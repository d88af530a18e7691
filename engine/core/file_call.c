/* file_call.c -- the system calls of the file layer, each behind the fault hook. */
#include "engine/core/file_call.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_int_fast64_t calls_seen, fail_call;
static atomic_int fail_errno, open_files;

int64_t file_fail_at(int64_t n, int error)
{
    int64_t seen = atomic_exchange(&calls_seen, 0);
    atomic_store(&fail_errno, error);
    atomic_store(&fail_call, n);
    return seen;
}

int file_open_count(void)
{
    return atomic_load(&open_files);
}

/* True when this call must fail; errno is set. A call that must be short halves *length. */
bool call_fault(size_t *length)
{
    int64_t n = atomic_fetch_add(&calls_seen, 1) + 1;
    if (n != atomic_load(&fail_call))
        return false;
    int error = atomic_load(&fail_errno);
    if (error < 0) {
        if (length && *length > 1)
            *length /= 2;
        return false;
    }
    errno = error;
    return true;
}

int call_open(const char *path, int flags)
{
    int fd;
    do {
        fd = call_fault(NULL) ? -1 : open(path, flags | O_CLOEXEC, 0666);
    } while (fd < 0 && errno == EINTR);
    if (fd >= 0)
        atomic_fetch_add(&open_files, 1);
    return fd;
}

int call_close(int fd)
{
    bool faulty = call_fault(NULL);
    int error = errno;
    int rc = close(fd); /* also when the test wants a failure: the descriptor must not leak */
    atomic_fetch_sub(&open_files, 1);
    if (faulty) {
        errno = error;
        return error == EINTR ? 0 : -1;
    }
    return rc < 0 && errno == EINTR ? 0 : rc; /* Linux has closed it all the same */
}

int call_fstat(int fd, struct stat *st)
{
    return call_fault(NULL) ? -1 : fstat(fd, st);
}

int call_stat(const char *path, struct stat *st)
{
    return call_fault(NULL) ? -1 : stat(path, st);
}

/* Bytes read, fewer than 'length' only at the end of the file; -1 on failure. */
ssize_t call_pread(int fd, char *out, size_t length, int64_t offset)
{
    size_t done = 0;
    while (done < length) {
        size_t want = length - done;
        ssize_t n =
            call_fault(&want) ? -1 : pread(fd, out + done, want, (off_t)(offset + (int64_t)done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int call_write(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        size_t want = length;
        ssize_t n = call_fault(&want) ? -1 : write(fd, bytes, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

int call_fsync(int fd)
{
    int rc;
    do {
        rc = call_fault(NULL) ? -1 : fsync(fd);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

int call_rename(const char *from, const char *to)
{
    return call_fault(NULL) ? -1 : rename(from, to);
}

/* Length of the folder part of 'path' without the last '/': 0 = the current folder or the root. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

int call_mkdir(const char *path)
{
    return call_fault(NULL) ? -1 : mkdir(path, 0777);
}

int call_unlink(const char *path)
{
    return call_fault(NULL) ? -1 : unlink(path);
}

int call_rmdir(const char *path)
{
    return call_fault(NULL) ? -1 : rmdir(path);
}

int call_lstat(const char *path, struct stat *st)
{
    return call_fault(NULL) ? -1 : lstat(path, st);
}

char *file_parent(const char *path)
{
    size_t n = folder_length(path);
    if (n == 0)
        return mem_text(path[0] == '/' ? "/" : ".", 1);
    return mem_text(path, n);
}

int file_fail(const char *what, const char *path)
{
    int error = errno;
    return fail(error == ENOMEM ? ERR_MEMORY : ERR_IO, "cannot %s '%s': %s%s", what, path,
                strerror(error), error == ENOSPC ? "; hint: free some space and try again" : "");
}
