/* file.h -- the only door to files.
 *
 * Reading is read() into our own memory; saving writes a temporary file beside the target, syncs
 * it, renames it over the target and syncs the folder, so a crash leaves the old file or the new
 * one. Every system call passes a fault hook, so tests can make the n-th one fail. Messages name
 * the path and the system's reason. */
#ifndef ENGINE_CORE_FILE_H
#define ENGINE_CORE_FILE_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a whole regular file. *bytes is owned by the caller (mem_free) and is followed by one NUL
 * that does not count. Errors: ERR_IO (missing: the hint names near files of the folder),
 * ERR_MEMORY, ERR_ARG for a folder or over 'limit' bytes (0 = none). */
int file_read(const char *path, size_t limit, char **bytes, size_t *length) MUST_CHECK;

/* A file opened for reading parts of it: a model whose weights are read one by one. */
struct file;
int file_open(const char *path, struct file **out) MUST_CHECK;
int64_t file_size(const struct file *f);
const char *file_path(const struct file *f);
/* Exactly 'length' bytes at 'offset' into 'out'; past the end is ERR_FORMAT. */
int file_read_at(struct file *f, int64_t offset, void *out, size_t length) MUST_CHECK;
void file_close(struct file *f); /* NULL is fine */

/* Saving: begin, write any number of times, then commit; abandon at any point removes the
 * temporary file. After a failed write the later calls fail too. */
struct file_save;
int file_save_begin(const char *path, struct file_save **out) MUST_CHECK;
int file_save_write(struct file_save *s, const void *bytes, size_t length) MUST_CHECK;
int file_save_commit(struct file_save *s) MUST_CHECK; /* frees s, also on failure */
void file_save_abandon(struct file_save *s);          /* NULL is fine */

/* begin + write + commit */
int file_write_all(const char *path, const void *bytes, size_t length) MUST_CHECK;

bool file_exists(const char *path);
bool file_is_folder(const char *path);

/* Test hook: the n-th file call from now fails with errno 'error' (EIO, ENOSPC, EINTR ...); a
 * negative error makes a write or read of that call short. 0 switches it off. Returns the calls
 * seen since it was last set. */
int64_t file_fail_at(int64_t n, int error);

/* File descriptors this layer holds open now (tests: must be 0 at the end). */
int file_open_count(void);

#endif
