/* source_gguf.h -- a weight source over a GGUF file of the llama family. */
#ifndef ENGINE_MODEL_SOURCE_GGUF_H
#define ENGINE_MODEL_SOURCE_GGUF_H

#include "engine/model/source.h"

/* Opens the file and reads the configuration (not yet checked). Errors: ERR_FORMAT naming the
 * architecture or key, ERR_IO, ERR_MEMORY. */
int source_gguf_open(const char *path, struct model_config *config,
                     struct weight_source **out) MUST_CHECK;
void source_gguf_close(struct weight_source *s); /* NULL is fine */

#endif
