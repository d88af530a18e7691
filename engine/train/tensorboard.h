/* tensorboard.h -- TensorBoard event files: the records of a sink.
 *
 * A record is the length of its data (u64, little-endian), a masked CRC-32C of those 8 bytes, the
 * data (a protocol-buffer Event), and a masked CRC-32C of the data. */
#ifndef ENGINE_TRAIN_TENSORBOARD_H
#define ENGINE_TRAIN_TENSORBOARD_H

#include "engine/train/arguments.h"
#include "engine/train/log.h"

/* <logging_dir>[/<run_name>]/events.out.tfevents.<seconds>.<host>.<pid>.<n> */
int tensorboard_path(const struct training_arguments *args, int n, char **out) MUST_CHECK;

void tensorboard_begin(struct buffer *out); /* the record that names the format's version */
void tensorboard_entry(struct buffer *out, const struct trainer_log *e); /* one scalar a value */

#endif
