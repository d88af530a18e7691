/* weights.h -- a trainer's tensors in files: what others read, and what resuming needs.
 *
 * Others read adapter_model.safetensors (PEFT) or model.safetensors (transformers). The rest is in
 * lorash_state.safetensors: optimiser state as "state.<n>.<name>" and every trained weight, as
 * "weight.<name>", that the files for others do not hold in the same form. */
#ifndef ENGINE_TRAIN_WEIGHTS_H
#define ENGINE_TRAIN_WEIGHTS_H

#include "engine/train/trainer.h"

#define WEIGHTS_STATE "lorash_state.safetensors"

/* The adapter or the whole model, tokenizer and README.md into 'folder', which is made when
 * missing. ERR_ARG for the folder that the base model was opened from. */
int weights_export(struct model *m, const struct tokenizer *tokenizer,
                   const struct training_arguments *args, const char *folder) MUST_CHECK;

/* lorash_state.safetensors beside exported files. */
int weights_write_state(struct trainer *t, const char *folder) MUST_CHECK;

/* Bytes that both together take, roughly. */
int64_t weights_bytes(const struct trainer *t, bool state);

/* Weights (and, with 'state', the optimiser's) of a checkpoint folder into the trainer's tensors:
 * all or, on failure, none. The set of tensors must be exactly the trainer's. */
int weights_load(struct trainer *t, const char *folder, bool state) MUST_CHECK;

#endif
