/* tokenizer_options.c -- the options of loading and calling a tokenizer. */
#include "engine/text/tokenizer_options.h"
#include "kernels/base/size.h"

#define LOAD(field, kind, preset, ...) \
    OPTION(struct tokenizer_load_options, field, kind, preset, __VA_ARGS__)
#define CALL(field, kind, preset, ...) \
    OPTION(struct tokenizer_call_options, field, kind, preset, __VA_ARGS__)
#define UNUSED(name_, note_)                                                                \
    {                                                                                       \
        .name = name_, .type = OPTION_NOTE, .doc = "accepted, not used here", .note = note_ \
    }

#define LOCAL "files are read from the path as they are"

static const struct option load_rows[] = {
    LOAD(use_fast, BOOL, "true", .doc = "there is one tokenizer, and it is the fast one"),
    LOAD(padding_side, TEXT, "right", .choices = "right,left",
         .doc = "where a short text is filled up in a batch"),
    LOAD(truncation_side, TEXT, "right", .choices = "right,left",
         .doc = "which end of a long text is cut"),
    LOAD(model_max_length, INT, "0", .aliases = "max_len", .min = 0, .max = 9e15,
         .doc = "longest input in tokens; 0 = what the model says"),
    LOAD(add_bos_token, BOOL, NULL, .doc = "put the bos token in front; default: the model's rule"),
    LOAD(add_eos_token, BOOL, NULL, .doc = "put the eos token behind; default: the model's rule"),
    LOAD(bos_token, TEXT, NULL, .doc = "use this token as bos"),
    LOAD(eos_token, TEXT, NULL, .doc = "use this token as eos"),
    LOAD(pad_token, TEXT, NULL, .doc = "use this token for padding"),
    LOAD(unk_token, TEXT, NULL, .doc = "use this token for what is unknown"),
    LOAD(chat_template, TEXT, NULL, .doc = "chat template to keep instead of the file's"),
    LOAD(revision, TEXT, NULL, .doc = "branch, tag or commit of a name on the hub; default: main"),
    UNUSED("trust_remote_code", "trust_remote_code is not needed here: no code of a model "
                                "repository is ever run"),
    UNUSED("legacy", "legacy is decided by the tokenizer's own file"),
    UNUSED("cache_dir", "cache_dir: " LOCAL),
    UNUSED("local_files_only", "local_files_only: " LOCAL),
    UNUSED("token", "token: " LOCAL),
    UNUSED("use_auth_token", "use_auth_token: " LOCAL),
};
const struct option_table tokenizer_load_table = {
    .name = "AutoTokenizer.from_pretrained",
    .doc = "How a tokenizer is opened.",
    .rows = load_rows,
    .count = (int)COUNT_OF(load_rows),
    .struct_bytes = sizeof(struct tokenizer_load_options),
};

static const struct option call_rows[] = {
    CALL(add_special_tokens, BOOL, "true",
         .doc = "put bos and eos around the text as the model "
                "wants them"),
    CALL(split_special_tokens, BOOL, NULL,
         .doc = "treat \"<|im_end|>\" in the text as plain letters; default: "
                "tokenizer.split_special_tokens"),
    CALL(text_pair, TEXT, NULL, .doc = "a second text, put behind the first as the model wants it"),
    CALL(max_length, INT, "0", .min = 0, .max = 9e15,
         .doc = "longest result for truncation and padding; 0 = model_max_length"),
    CALL(pad_to_multiple_of, INT, "0", .min = 0, .max = 1e9,
         .doc = "with padding: fill up to a multiple of this; 0 = as it comes"),
    CALL(padding_side, TEXT, NULL, .choices = "right,left",
         .doc = "where short texts are filled up; default: tokenizer.padding_side"),
    CALL(truncation_side, TEXT, NULL, .choices = "right,left",
         .doc = "which end is cut; default: tokenizer.truncation_side"),
    CALL(return_attention_mask, BOOL, "true", .doc = "also give attention_mask"),
    CALL(return_offsets_mapping, BOOL, "false",
         .doc = "also give offset_mapping: first and last "
                "byte of each token"),
    CALL(return_overflowing_tokens, BOOL, "false",
         .doc = "with truncation: what is cut off makes further rows; overflow_to_sample_mapping "
                "says of which text each row is"),
    CALL(stride, INT, "0", .min = 0, .max = 1e9,
         .doc = "tokens that such a row repeats of the one before"),
    CALL(return_length, BOOL, "false", .doc = "also give length: the ids of each row"),
    {.name = "padding",
     .type = OPTION_OBJECT,
     .doc = "true or \"longest\": to the longest text; \"max_length\"; false (default)"},
    {.name = "truncation",
     .type = OPTION_OBJECT,
     .doc = "true: cut to max_length; false (default): never"},
    UNUSED("return_tensors", "return_tensors: ids are plain lists here, and are taken as such "
                             "everywhere"),
    UNUSED("return_token_type_ids", "return_token_type_ids: models here have no token types"),
};
const struct option_table tokenizer_call_table = {
    .name = "tokenizer",
    .doc = "How a text is encoded.",
    .rows = call_rows,
    .count = (int)COUNT_OF(call_rows),
    .struct_bytes = sizeof(struct tokenizer_call_options),
};

static const struct option decode_rows[] = {
    OPTION(struct tokenizer_decode_options, skip_special_tokens, BOOL, "false",
           .doc = "leave out special tokens such as <|im_end|>"),
    OPTION(struct tokenizer_decode_options, clean_up_tokenization_spaces, BOOL, "false",
           .doc = "take the blank before \".\", \"n't\" and the like away"),
};
const struct option_table tokenizer_decode_table = {
    .name = "tokenizer:decode",
    .doc = "How ids become text.",
    .rows = decode_rows,
    .count = (int)COUNT_OF(decode_rows),
    .struct_bytes = sizeof(struct tokenizer_decode_options),
};

static const struct option add_rows[] = {
    OPTION(struct tokenizer_add_options, special_tokens, BOOL, "false",
           .doc = "they are special: left out by skip_special_tokens, and plain letters with "
                  "split_special_tokens"),
};
const struct option_table tokenizer_add_table = {
    .name = "tokenizer:add_tokens",
    .doc = "How tokens are added.",
    .rows = add_rows,
    .count = (int)COUNT_OF(add_rows),
    .struct_bytes = sizeof(struct tokenizer_add_options),
};
