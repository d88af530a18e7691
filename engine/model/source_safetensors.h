/* source_safetensors.h -- a weight source over a folder as Hugging Face saves models: config.json
 * and model.safetensors, or an index and several files. */
#ifndef ENGINE_MODEL_SOURCE_SAFETENSORS_H
#define ENGINE_MODEL_SOURCE_SAFETENSORS_H

#include "engine/model/source.h"

/* 'path': the folder, or one .safetensors file in it. Reads config.json, the ids that
 * generation_config.json adds to those that end a text, and the headers of the files; all tensors of
 * an index must be in their files. Errors: ERR_FORMAT naming file and tensor or key, ERR_IO,
 * ERR_MEMORY. 'path' must stay. */
int source_safetensors_open(const char *path, struct model_config *config,
                            struct weight_source **out) MUST_CHECK;

#endif
