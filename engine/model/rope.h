/* rope.h -- rotary frequencies: what position p turns pair i of a head by, p * inv_freq_i.
 *
 * With theta the base, D the head's dimensions and inv_i = theta^(-2i/D) (FORMATS 6, "RoPE"):
 *   linear   inv_i / factor
 *   dynamic  theta' = theta ((factor L / Lmax) - (factor - 1))^(D / (D - 2)), L = max(length, Lmax)
 *   llama3   wave length 2 pi / inv_i below original / high: inv_i; above original / low:
 *            inv_i / factor; between: a weighted mean of the two
 *   yarn     inv_i / factor for slow pairs, inv_i for fast ones, a ramp between; cos and sin are
 *            multiplied by attention_factor, else by 0.1 ln(factor) + 1
 * Lmax is the context the model was made for. All in double. */
#ifndef ENGINE_MODEL_ROPE_H
#define ENGINE_MODEL_ROPE_H

#include "engine/model/config.h"

/* Fills inv_freq[head_dim / 2] and returns the factor of cos and sin. 'length' counts for dynamic
 * only: the tokens of the longest text at hand. The settings have passed config_check. */
double rope_frequencies(const struct rope_config *r, int64_t head_dim, int64_t max_positions,
                        int64_t length, double *inv_freq);

/* The factor of cos and sin that yarn has when the settings name none. */
double rope_yarn_attention(const struct rope_config *r);

/* llama3 as GGUF stores it: factors[head_dim / 2] that plain frequencies are divided by. */
void rope_llama3_factors(const struct rope_config *r, int64_t head_dim, double *factors);

/* The way back: true when llama3 settings (low 1, high 4, an original length that is a power of
 * two: what the published models have) give these factors. Sets *r, of which theta is kept. */
bool rope_find_llama3(const double *factors, int64_t head_dim, struct rope_config *r);

/* How many tokens a text may have: dynamic scaling goes past the context the model was made for. */
int64_t rope_context(const struct model_config *c);

#endif
