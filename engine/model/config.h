/* config.h -- the shape of a model, as read from its file (FORMATS 6). */
#ifndef ENGINE_MODEL_CONFIG_H
#define ENGINE_MODEL_CONFIG_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stdint.h>

/* How rotary frequencies are stretched for longer texts: engine/model/rope.h has the formulas. */
enum rope_kind { ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_LLAMA3, ROPE_YARN, ROPE_KINDS };

struct rope_config {
    enum rope_kind kind;
    double theta;
    double factor;                            /* 1 = none */
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* yarn */
    double mscale, mscale_all_dim;            /* yarn: 0 = not given */
    double attention_factor;                  /* of cos and sin, yarn: 0 = made from factor */
    int64_t original_length;                  /* llama3, yarn: context before stretching */
    bool truncate;                            /* yarn: ends of the ramp are whole numbers */
};

#define CONFIG_EOS 16 /* at most that many end-of-text ids */

struct model_config {
    char model_type[32]; /* "llama": selects the architecture */
    char name[96];       /* what a person calls it; "" = unknown */
    char dtype[16];      /* what the file says the weights are: "bfloat16"; "" = unknown */
    int64_t vocab_size, hidden_size, intermediate_size;
    int64_t num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim;
    int64_t max_position_embeddings; /* context the model was made for */
    int64_t sliding_window;          /* a token sees that many, itself counted; 0 = all */
    double rms_norm_eps;
    struct rope_config rope;
    bool tie_word_embeddings;
    bool attention_bias, mlp_bias;                    /* q, k, v, o; gate, up, down have biases */
    int64_t bos_token_id, eos_token_id, pad_token_id; /* -1 = none */
    int eos_count;                                    /* texts may end in several ways: */
    int32_t eos_ids[CONFIG_EOS];                      /* all of them, eos_token_id first */
};

/* Ranges and cross-references: every size within limits, heads divide, key heads divide heads.
 * The message names the field, what was found and what is allowed. */
int config_check(const struct model_config *c) MUST_CHECK;

/* "default", "linear", "dynamic", "llama3", "yarn": the names of config.json. */
const char *rope_kind_name(enum rope_kind kind);

#endif
