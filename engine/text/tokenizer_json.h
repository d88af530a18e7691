/* tokenizer_json.h -- the parts of a tokenizer.json; private to the loaders.
 *
 * One function for each part: normaliser, pre-tokenizer, post-processor, decoder. A component that
 * is not built is an error that names it, never skipped. */
#ifndef ENGINE_TEXT_TOKENIZER_JSON_H
#define ENGINE_TEXT_TOKENIZER_JSON_H

#include "engine/core/json.h"
#include "engine/text/tokenizer_private.h"

/* Each reads the next value of 'j' whole. */
int read_normalizer(struct tokenizer *t, struct json *j) MUST_CHECK;
/* *byte_level: a ByteLevel is among them, so the vocabulary is in its alphabet. */
int read_pre_tokenizer(struct tokenizer *t, struct json *j, bool *byte_level) MUST_CHECK;
int read_post_processor(struct tokenizer *t, struct json *j) MUST_CHECK;
int read_decoder(struct tokenizer *t, struct json *j) MUST_CHECK;

#endif
