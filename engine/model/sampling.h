/* sampling.h -- choosing the next token from a row of logits. */
#ifndef ENGINE_MODEL_SAMPLING_H
#define ENGINE_MODEL_SAMPLING_H

#include "engine/core/options.h"
#include "kernels/base/rng.h"
#include <stdbool.h>
#include <stdint.h>

/* How text is generated: GenerationConfig's names and defaults. */
struct generation_config {
    int64_t max_new_tokens, max_length, min_new_tokens, seed;
    bool do_sample, skip_special_tokens, stream;
    double temperature, top_p, min_p, repetition_penalty;
    int64_t top_k, eos_token_id;
    struct text_list stop_strings;
};
extern const struct option_table generation_options;

/* Working memory for one vocabulary. */
struct sampler;
int sampler_new(int64_t vocab, struct sampler **out) MUST_CHECK;
void sampler_free(struct sampler *s); /* NULL is fine */

/* Picks a token. logits [vocab] are changed. 'seen' [n]: all token ids so far (repetition penalty).
 * The number drawn depends on (key, position) alone. Order as in transformers: penalty,
 * temperature, top_k, top_p, min_p. ERR_NUMERIC when no logit is finite. */
int sampler_pick(struct sampler *s, const struct generation_config *c, float *logits,
                 const int32_t *seen, int64_t n, struct rng_key key, int64_t position,
                 int32_t *token) MUST_CHECK;

#endif
