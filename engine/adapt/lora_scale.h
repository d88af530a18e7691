/* lora_scale.h -- an adapter told with one scale for all layers.
 *
 * PEFT reads rank_pattern and alpha_pattern; vLLM and others know lora_alpha / r alone and would use
 * the wrong strength without a word. An adapter whose B holds the rest of the strength, and whose
 * patterns say that every layer has the same scale, is right in both. */
#ifndef ENGINE_ADAPT_LORA_SCALE_H
#define ENGINE_ADAPT_LORA_SCALE_H

#include "engine/adapt/lora.h"

/* Do some layers have another scale than lora_alpha / r of the configuration? */
bool lora_scales_differ(const struct lora *l);

/* The configuration with r = the largest rank, rank_pattern and alpha_pattern made anew, and in
 * *scale what every layer then has: B must be stored times (its layer's scale / *scale). Free with
 * options_free. ERR_ARG when lora_alpha is 0. */
int lora_one_scale(const struct lora *l, struct lora_config *out, double *scale) MUST_CHECK;

#endif
