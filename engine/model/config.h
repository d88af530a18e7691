/* config.h -- the shape of a model, as read from its file. */
#ifndef ENGINE_MODEL_CONFIG_H
#define ENGINE_MODEL_CONFIG_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct model_config {
    char model_type[32]; /* "llama": selects the architecture */
    char name[96];       /* what a person calls it; "" = unknown */
    int64_t vocab_size, hidden_size, intermediate_size;
    int64_t num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim;
    int64_t max_position_embeddings; /* context the model was made for */
    int64_t sliding_window;          /* 0 = none */
    double rms_norm_eps, rope_theta;
    double rope_factor; /* linear scaling: positions divided by it; 1 = none */
    bool tie_word_embeddings;
    int64_t bos_token_id, eos_token_id; /* -1 = none */
};

/* Ranges and cross-references: every size within limits, heads divide, key heads divide heads.
 * The message names the field, what was found and what is allowed. */
int config_check(const struct model_config *c) MUST_CHECK;

#endif
