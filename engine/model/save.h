/* save.h -- a whole model as a Hugging Face folder: config.json, generation_config.json and
 * model.safetensors, or several files with an index. transformers opens it. */
#ifndef ENGINE_MODEL_SAVE_H
#define ENGINE_MODEL_SAVE_H

#include "engine/core/buffer.h"
#include "engine/model/model.h"

struct save_config {
    const char *dtype;          /* NULL: as stored */
    const char *max_shard_size; /* NULL: "5GB" */
};

/* Writes the model into 'folder', made when it is missing; a folder that is there keeps its other
 * files, and keeps all of them when a call fails (engine/core/folder_save.h). config.json is the
 * text that the model came with, with what changed put in; for a GGUF it is made. Weights keep
 * their stored type unless 'dtype' says otherwise; those of block formats need one. 'files' (may
 * be NULL): how many weight files there are. Errors: ERR_ARG (an adapter, block formats without a
 * dtype, the folder it came from, settings that config.json cannot say), ERR_NUMERIC naming a
 * tensor that is not finite, ERR_IO naming the path, ERR_CANCELLED between tensors. */
int model_save(struct model *m, const char *folder, const struct save_config *config,
               int64_t *files) MUST_CHECK;

/* What model_save writes as config.json, for weights saved as 'dtype' ("float32"). */
int model_config_json(const struct model *m, const char *dtype, struct buffer *out) MUST_CHECK;

#endif
