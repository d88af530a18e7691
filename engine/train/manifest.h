/* manifest.h -- what a checkpoint folder holds: size and SHA-256 of every file.
 *
 * manifest.json is written last. A folder without a manifest, or with one that a file does not
 * match, is no checkpoint: it was cut short or damaged. */
#ifndef ENGINE_TRAIN_MANIFEST_H
#define ENGINE_TRAIN_MANIFEST_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_VERSION 1
#define MANIFEST_NAME "manifest.json"

struct manifest_file {
    char *name; /* owned; a plain file name */
    int64_t bytes;
    char sha256[65];
};

struct manifest {
    int64_t version;
    int64_t step;   /* whole steps done */
    int64_t serial; /* counts the checkpoints of an output folder: the highest is the newest */
    uint64_t run;   /* which run wrote it */
    struct manifest_file *files;
    int64_t count, room;
};
void manifest_free(struct manifest *m); /* zeroed is fine */

/* ERR_FORMAT for what manifest_write would not have written; a newer version is named. */
int manifest_parse(const char *bytes, size_t length, struct manifest *out) MUST_CHECK;

/* Of the folder; only manifest.json is looked at. */
int manifest_read(const char *folder, struct manifest *out) MUST_CHECK;

/* Every file must be there with its size and hash. ERR_FORMAT naming the first that is not. Files
 * that the manifest does not list are left alone. */
int manifest_check(const char *folder, const struct manifest *m) MUST_CHECK;

/* Lists every file of the folder and writes its manifest.json. */
int manifest_write(const char *folder, int64_t step, int64_t serial, uint64_t run) MUST_CHECK;

#endif
