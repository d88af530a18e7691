/* gguf_vocab.h -- the tokenizer's keys of a GGUF file (FORMATS 1.2). */
#ifndef ENGINE_MODEL_GGUF_VOCAB_H
#define ENGINE_MODEL_GGUF_VOCAB_H

#include "engine/formats/gguf_write.h"
#include "engine/model/model.h"

struct tokenizer;

/* Adds tokenizer.ggml.* and tokenizer.chat_template: of 't', or, when it is NULL, as they stand in
 * 'from'. Ids that have no token up to the model's vocab_size become unused ones. Errors: ERR_ARG
 * when there is neither, when the vocabulary has more tokens than the model has rows, when
 * llama.cpp has no name for it. */
int gguf_vocab_keys(struct gguf_write *w, const struct model *m, const struct gguf *from,
                    const struct tokenizer *t) MUST_CHECK;

#endif
