/* lora_gguf.h -- an adapter as a GGUF file that llama.cpp puts on a model (FORMATS 1.3). */
#ifndef ENGINE_ADAPT_LORA_GGUF_H
#define ENGINE_ADAPT_LORA_GGUF_H

#include "engine/adapt/lora.h"

/* Writes the adapter to 'path', atomically, in F32: pairs lora_a and lora_b under the names of a
 * model file, rows of B in its order for q and k. llama.cpp scales each pair by alpha / r with one
 * alpha for all; where the adapter's own scale is another one (rsLoRA, alpha_pattern) the
 * difference goes into B. Errors: ERR_ARG naming what the file cannot say (trained biases and
 * modules_to_save, base weights that came with the adapter, an adapted embedding or head of a tied
 * model), ERR_NUMERIC, ERR_IO, ERR_MEMORY. */
int lora_save_gguf(struct lora *l, const char *path) MUST_CHECK;

#endif
