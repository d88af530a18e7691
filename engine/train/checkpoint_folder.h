/* checkpoint_folder.h -- the checkpoints of an output folder: names, order, renaming, retiring. */
#ifndef ENGINE_TRAIN_CHECKPOINT_FOLDER_H
#define ENGINE_TRAIN_CHECKPOINT_FOLDER_H

#include "engine/core/buffer.h"
#include "kernels/base/status.h"
#include <stdint.h>

/* Paths for one step, owned. */
struct checkpoint_names {
    char *final; /* folder/checkpoint-<step> */
    char *temp;  /* ... while it is written */
    char *old;   /* an earlier one of that name, on its way out */
};
int checkpoint_names(const char *folder, int64_t step, struct checkpoint_names *out) MUST_CHECK;
void checkpoint_names_free(struct checkpoint_names *n);

/* The serial number of the folder's next checkpoint. */
int checkpoint_serial(const char *folder, int64_t *out) MUST_CHECK;

/* Renames temp to final. An earlier folder of that name goes first to 'old' and comes back when
 * the second renaming fails. */
int checkpoint_place(const struct checkpoint_names *n) MUST_CHECK;

/* Removes a folder after a failure, whose message is kept. */
void checkpoint_give_up(const char *temp);

/* Removes the oldest checkpoints of 'run' beyond 'limit' (0 = none), never 'best' (may be NULL) nor
 * the newest. */
int checkpoint_retire(const char *folder, uint64_t run, int64_t limit, const char *best) MUST_CHECK;

/* The folder 'name' beside 'path', or *out NULL when there is none. */
int checkpoint_beside(const char *path, const char *name, char **out) MUST_CHECK;

#endif
