/* chat_options.h -- the options of tokenizer:apply_chat_template. */
#ifndef ENGINE_TEXT_CHAT_OPTIONS_H
#define ENGINE_TEXT_CHAT_OPTIONS_H

#include "engine/core/options.h"

/* tools and documents are tables, padding and truncation true, false or a text: the caller reads
 * those itself. Any other name is a variable of the template. */
struct chat_call_options {
    bool tokenize, add_generation_prompt, return_dict, return_assistant_tokens_mask;
    char *continue_final_message; /* "false", "true" or the field */
    char *chat_template;          /* NULL = the tokenizer's */
    int64_t max_length;           /* 0 = not given */
};
extern const struct option_table chat_call_table;

#endif
