/* chat_options.c -- the options of tokenizer:apply_chat_template. */
#include "engine/text/chat_options.h"
#include "kernels/base/size.h"

#define ROW(field, kind, preset, ...) \
    OPTION(struct chat_call_options, field, kind, preset, __VA_ARGS__)

static const struct option rows[] = {
    {.name = "tools",
     .type = OPTION_OBJECT,
     .doc = "list of functions the model may call, each described as a JSON schema"},
    {.name = "documents",
     .type = OPTION_OBJECT,
     .doc = "list of {title = ..., text = ...} the model may read"},
    ROW(chat_template, TEXT, NULL, .doc = "use this template instead of tokenizer.chat_template"),
    ROW(add_generation_prompt, BOOL, "false",
        .doc = "end with what the assistant's next turn begins with"),
    ROW(continue_final_message, TEXT, "false", .boolean = true,
        .doc = "end inside the last message, so that the model goes on with it; the name of a "
               "field: inside that field"),
    ROW(tokenize, BOOL, "true", .doc = "give token ids; false: the text"),
    ROW(return_dict, BOOL, "true", .doc = "give {input_ids, attention_mask}; false: the ids alone"),
    ROW(return_assistant_tokens_mask, BOOL, "false",
        .doc = "also give assistant_masks: 1 for what the assistant says"),
    ROW(max_length, INT, "0", .min = 0, .max = 9e15,
        .doc = "longest result for truncation and padding; 0 = model_max_length"),
    {.name = "padding",
     .type = OPTION_OBJECT,
     .doc = "true: fill up to the longest conversation; \"max_length\"; false (default)"},
    {.name = "truncation",
     .type = OPTION_OBJECT,
     .doc = "true: cut to max_length; false (default): never"},
    {.name = "return_tensors",
     .type = OPTION_NOTE,
     .doc = "accepted, not used here",
     .note = "return_tensors: ids are plain lists here, and are taken as such everywhere"},
    {.name = "sanitize_control_tokens",
     .type = OPTION_REFUSED,
     .doc = "special tokens in messages as plain letters",
     .note = "clean the messages before"},
    {.name = "tokenizer_kwargs",
     .type = OPTION_REFUSED,
     .doc = "further options of the tokenizer",
     .note = "render with tokenize = false and call the tokenizer on the text"},
};

const struct option_table chat_call_table = {
    .name = "apply_chat_template",
    .doc = "How a conversation becomes text or ids. Any other name is a variable of the template "
           "(enable_thinking = false).",
    .rows = rows,
    .count = (int)COUNT_OF(rows),
    .struct_bytes = sizeof(struct chat_call_options),
};
