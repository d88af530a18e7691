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
int file_write_in(const char *folder, const char *name, const void *bytes,
                  size_t length) MUST_CHECK; /* at "folder/name" */

bool file_exists(const char *path);
bool file_is_folder(const char *path);

/* What stands at a path, told apart from a system that refuses to say (ERR_IO): both false when
 * there is nothing, or a link to nothing. */
int file_look(const char *path, bool *exists, bool *is_folder) MUST_CHECK;

/* True for a name without '/', that is neither empty nor "." nor "..": what a file named by another
 * file (a shard, an adapter) must be. */
bool file_is_plain_name(const char *name);

#define FILE_PATH 4096 /* room for any path the system takes */

/* "folder/name" in 'out'; the folder may end with a slash or be "". ERR_ARG when it is too long. */
int file_join(char out[FILE_PATH], const char *folder, const char *name) MUST_CHECK;

/* "model.gguf" ends in ".gguf". */
bool file_ends_in(const char *name, const char *ending);

/* --- folders and whole files */

/* With its parents; one that is there already is fine. */
int file_make_folder(const char *path) MUST_CHECK;

/* Names in a folder (not "." and ".."), or paths that match a pattern, sorted by bytes. */
struct file_names {
    int64_t count, room;
    char **items; /* owned */
};
void file_names_free(struct file_names *names); /* zeroed is fine */
int file_list(const char *folder, struct file_names *out) MUST_CHECK;

/* Paths that match a pattern: '*' and '?' inside one name, [a-z] and [!a-z], "**" for any folders.
 * A name that starts with '.' is matched only by a '.' that is written. Folders are left out. No
 * match is OK with none. */
int file_glob(const char *pattern, struct file_names *out) MUST_CHECK;
bool file_is_pattern(const char *path); /* holds one of * ? [ */

int file_remove(const char *path) MUST_CHECK; /* one file or link; missing is ERR_IO */

/* A folder with everything in it; links are removed, not followed. Missing is fine. */
int file_remove_folder(const char *path) MUST_CHECK;

/* Renames a file or folder and syncs the parent folder. The target must not exist. */
int file_rename(const char *from, const char *to) MUST_CHECK;
int file_sync_folder(const char *path) MUST_CHECK;

/* A copy with save's guarantees; copying onto itself is ERR_ARG. */
int file_copy(const char *from, const char *to) MUST_CHECK;

/* True when both exist and are one file. */
bool file_same(const char *a, const char *b);

/* Adds to the end of a file, made when missing: for logs. Not synced. */
int file_append(const char *path, const void *bytes, size_t length) MUST_CHECK;

/* Bytes that an unprivileged writer can still put on the file system of 'path' (its parent when it
 * does not exist yet). */
int file_free_bytes(const char *path, int64_t *out) MUST_CHECK;

/* Test hook: the n-th file call from now fails with errno 'error' (EIO, ENOSPC, EINTR ...); a
 * negative error makes a write or read of that call short. 0 switches it off. Returns the calls
 * seen since it was last set. */
int64_t file_fail_at(int64_t n, int error);

/* File descriptors this layer holds open now (tests: must be 0 at the end). */
int file_open_count(void);

#endif
