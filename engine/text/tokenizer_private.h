/* tokenizer_private.h -- what the tokenizer and its loaders share. */
#ifndef ENGINE_TEXT_TOKENIZER_PRIVATE_H
#define ENGINE_TEXT_TOKENIZER_PRIVATE_H

#include "engine/text/added.h"
#include "engine/text/bpe.h"
#include "engine/text/split.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocab.h"

#define TOKENIZER_STEPS 16 /* longest chain of splitters */
#define TOKENIZER_AFFIX 8  /* most tokens put before or behind a text */

struct affix {
    int32_t ids[TOKENIZER_AFFIX];
    int count;
};

struct tokenizer {
    char *name;
    struct vocab vocab;
    int32_t base_size;
    struct bpe bpe;
    struct added raw;        /* cut from the text as it is */
    struct added normalized; /* cut after normalising */
    struct split_step steps[TOKENIZER_STEPS];
    int step_count;
    bool nfc;
    struct affix prefix, suffix; /* with TOKENIZER_ADD_SPECIAL */
    int32_t special[4];          /* by enum tokenizer_special */
    int64_t max_length;
    char *chat_template;
};

/* An empty tokenizer for the loaders to fill; released by tokenizer_free at any state. */
struct tokenizer *tokenizer_new(void);

/* After vocabulary, merges, added tokens and steps are in: builds what encoding needs and checks
 * that every id that is named exists. */
int tokenizer_finish(struct tokenizer *t) MUST_CHECK;

/* A merge "left right" of the vocabulary; 'rank' is its number in the file. */
int tokenizer_add_merge(struct tokenizer *t, const char *left, size_t left_length,
                        const char *right, size_t right_length, int64_t rank) MUST_CHECK;
/* The same from one text with a space between. */
int tokenizer_add_merge_text(struct tokenizer *t, const char *text, size_t length,
                             int64_t rank) MUST_CHECK;

int tokenizer_add_step(struct tokenizer *t, enum split_kind kind) MUST_CHECK;

/* Marks the token of this id as added. */
int tokenizer_add_added(struct tokenizer *t, struct added_token token, bool normalized) MUST_CHECK;

/* tokenizer_config.json: special tokens by text, model_max_length, chat_template and so on. */
int tokenizer_read_config(struct tokenizer *t, const char *json, size_t length) MUST_CHECK;

#endif
