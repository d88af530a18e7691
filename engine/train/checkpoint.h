/* checkpoint.h -- folders output_dir/checkpoint-<step> that a run can go on from.
 *
 * A checkpoint holds the files that transformers or PEFT read (weights, tokenizer, README,
 * trainer_state.json) and our own state beside them. It is written to checkpoint-<step>.tmp, every
 * file synced, the manifest last; then the folder is synced and renamed, and only then older ones
 * are retired. A crash or a failing call at any point leaves the older checkpoints as they were. */
#ifndef ENGINE_TRAIN_CHECKPOINT_H
#define ENGINE_TRAIN_CHECKPOINT_H

#include "engine/core/buffer.h"
#include "engine/train/trainer.h"

/* Writes the trainer's last whole step. *path (owned by the caller) is the folder. ERR_IO names
 * what was refused; when the disk is too full, how much is needed. */
int checkpoint_write(struct trainer *t, char **path) MUST_CHECK;

/* trainer_state.json into output_dir. */
int checkpoint_write_log(struct trainer *t) MUST_CHECK;

/* The valid checkpoint of a folder that was written last and has what resuming needs; those that
 * are skipped are told in lines added to 'notes'. ERR_ARG when there is none. */
int checkpoint_newest(const char *folder, char **path, struct buffer *notes) MUST_CHECK;

/* The trainer continues behind the checkpoint's step: weights, optimiser state, sums and log are
 * the checkpoint's. On failure the trainer is as it was. Differences that are allowed are told in
 * 'notes'. */
int checkpoint_resume(struct trainer *t, const char *path, struct buffer *notes) MUST_CHECK;

/* The weights alone. */
int checkpoint_load_weights(struct trainer *t, const char *path) MUST_CHECK;

/* Removes what a killed run left half done in an output folder, and finishes a checkpoint that only
 * lacked its name. A missing folder is fine. */
int checkpoint_clean(const char *folder, struct buffer *notes) MUST_CHECK;

/* Number of checkpoints in a folder (valid or not), and the highest step among them. */
int checkpoint_count(const char *folder, int64_t *count, int64_t *highest) MUST_CHECK;

#endif
