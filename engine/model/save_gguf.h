/* save_gguf.h -- a whole model as a GGUF file of arch llama, which llama.cpp runs (FORMATS 1.2). */
#ifndef ENGINE_MODEL_SAVE_GGUF_H
#define ENGINE_MODEL_SAVE_GGUF_H

#include "engine/model/model.h"

struct tokenizer;

struct save_gguf_config {
    /* NULL or "auto": as stored; "f32", "f16", "bf16", "q8_0", "q4_0" */
    const char *dtype;
    /* Whose vocabulary the file gets. NULL: the one of the GGUF file that the model came from. */
    const struct tokenizer *tokenizer;
};

/* Writes 'path', atomically. Vectors are F32; rows that are no whole blocks F16; with q4_0 the
 * matrix that makes logits is Q6_K or Q8_0, as llama.cpp does. general.* keys of a GGUF base are kept.
 * Dynamic scaling has no key: the file says the plain frequencies, which are right up to the
 * model's context. A sliding window is written, and llama.cpp does not apply it to arch llama.
 * Errors: ERR_ARG (an adapter, no vocabulary to be had, more tokens than rows, the file it came
 * from, settings without a key), ERR_NUMERIC, ERR_IO, ERR_MEMORY, ERR_CANCELLED. */
int model_save_gguf(struct model *m, const char *path,
                    const struct save_gguf_config *config) MUST_CHECK;

#endif
