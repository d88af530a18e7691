/* tokenizer_options.h -- the options of loading and calling a tokenizer. */
#ifndef ENGINE_TEXT_TOKENIZER_OPTIONS_H
#define ENGINE_TEXT_TOKENIZER_OPTIONS_H

#include "engine/core/options.h"

struct tokenizer_load_options {
    bool use_fast, add_bos_token, add_eos_token;
    char *padding_side, *truncation_side;
    int64_t model_max_length; /* 0 = not given */
    char *bos_token, *eos_token, *pad_token, *unk_token, *chat_template, *revision;
};
extern const struct option_table tokenizer_load_table;

/* padding and truncation may be true, false or a text: the caller reads them itself. */
struct tokenizer_call_options {
    bool add_special_tokens, split_special_tokens, return_attention_mask, return_offsets_mapping;
    bool return_overflowing_tokens, return_length;
    int64_t max_length; /* 0 = not given */
    int64_t stride;
    int64_t pad_to_multiple_of; /* 0 = not given */
    char *padding_side, *truncation_side, *text_pair;
};
extern const struct option_table tokenizer_call_table;

struct tokenizer_decode_options {
    bool skip_special_tokens, clean_up_tokenization_spaces;
};
extern const struct option_table tokenizer_decode_table;

/* Of add_tokens; its flags count for texts, a token that is a table has its own. */
struct tokenizer_add_options {
    bool special_tokens;
};
extern const struct option_table tokenizer_add_table;

#endif
