/* lora_patterns.h -- rank_pattern and alpha_pattern made anew for a file.
 *
 * PEFT takes the first pattern that matches a layer, but writes them in the order of their names, so
 * a file can give a layer another value than the adapter had. And vLLM and others know lora_alpha / r
 * alone and would use the wrong strength without a word. Both are met by patterns of our own: the
 * name of a kind of layer where all of that name agree, else the path of each layer. */
#ifndef ENGINE_ADAPT_LORA_PATTERNS_H
#define ENGINE_ADAPT_LORA_PATTERNS_H

#include "engine/adapt/lora.h"

/* Do some layers have another scale than lora_alpha / r of the configuration? */
bool lora_scales_differ(const struct lora *l);

/* The configuration as it can be written: its own patterns when they mean the same in the order of
 * their names, else new ones of which one matches each layer. Free with options_free. */
int lora_written_config(const struct lora *l, struct lora_config *out) MUST_CHECK;

/* The configuration with r = the largest rank and patterns that give every layer the same *scale: B
 * must be stored times (its layer's scale / *scale). ERR_ARG when lora_alpha is 0. */
int lora_one_scale(const struct lora *l, struct lora_config *out, double *scale) MUST_CHECK;

#endif
