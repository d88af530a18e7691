/* lora_json.h -- adapter_config.json: a LoraConfig as PEFT writes and reads it.
 *
 * Reading takes files of any PEFT release: keys that are new to us are noted, keys of variants that
 * would change the arithmetic (use_dora, trainable_token_indices ...) are refused unless they have
 * their default value. Writing gives PEFT's keys, sorted, indented by two, without a newline at the
 * end. */
#ifndef ENGINE_ADAPT_LORA_JSON_H
#define ENGINE_ADAPT_LORA_JSON_H

#include "engine/adapt/lora_config.h"
#include "engine/core/buffer.h"

/* Fills an uninitialised *out (free it with options_free(&lora_options, out)); on failure it holds
 * nothing. 'notes' gets a line for each thing a person should know; may be NULL. Errors: ERR_FORMAT
 * with line and column, ERR_ARG for values that cannot be used, ERR_MEMORY. */
int lora_json_parse(const char *bytes, size_t length, struct lora_config *out,
                    struct buffer *notes) MUST_CHECK;

/* 'base': base_model_name_or_path, NULL = null. */
int lora_json_write(const struct lora_config *c, const char *base, struct buffer *out) MUST_CHECK;

#endif
