/* file_call.h -- system calls with a fault hook, for the file layer alone.
 *
 * Each returns what the system call returns, with errno set; interrupted calls are repeated, reads
 * and writes go on until done. file_fail_at() makes the n-th one fail. */
#ifndef ENGINE_CORE_FILE_CALL_H
#define ENGINE_CORE_FILE_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Counts one call. True when it must fail; errno is set. A call that must be short halves *length. */
bool call_fault(size_t *length);

int call_open(const char *path, int flags);
int call_close(int fd);
int call_fstat(int fd, struct stat *st);
int call_stat(const char *path, struct stat *st);
int call_lstat(const char *path, struct stat *st);
/* Bytes read, fewer than 'length' only at the end of the file; -1 on failure. */
ssize_t call_pread(int fd, char *out, size_t length, int64_t offset);
int call_write(int fd, const char *bytes, size_t length);
int call_fsync(int fd);
int call_rename(const char *from, const char *to);
int call_mkdir(const char *path);
int call_unlink(const char *path);
int call_rmdir(const char *path);

/* Folder of 'path' as text ("." or "/" where it has none); owned by the caller, NULL = no memory. */
char *file_parent(const char *path);

/* ERR_IO (ERR_MEMORY for ENOMEM): "cannot <what> '<path>': <errno's reason>". */
int file_fail(const char *what, const char *path);

int file_sync_parent(const char *path); /* makes a rename in its folder durable */

#endif
