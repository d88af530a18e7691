/* tokenizer_private.h -- what the tokenizer and its loaders share. */
#ifndef ENGINE_TEXT_TOKENIZER_PRIVATE_H
#define ENGINE_TEXT_TOKENIZER_PRIVATE_H

#include "engine/core/buffer.h"
#include "engine/text/added.h"
#include "engine/text/bpe.h"
#include "engine/text/decoder.h"
#include "engine/text/normalizer.h"
#include "engine/text/split.h"
#include "engine/text/tokenizer.h"
#include "engine/text/unigram.h"
#include "engine/text/vocab.h"

#define TOKENIZER_STEPS 16 /* longest chain of splitters */
#define TOKENIZER_AFFIX 8  /* most tokens put before or behind a text */

struct affix {
    int32_t ids[TOKENIZER_AFFIX];
    int count;
};

/* How a text, or two, and special tokens stand together. */
struct template_item {
    int32_t id; /* of a token */
    enum { TEMPLATE_TOKEN, TEMPLATE_A, TEMPLATE_B } kind;
};
struct template
{
    struct template_item items[2 * TOKENIZER_AFFIX + 2];
    int count; /* 0 = one behind the other */
};

enum tokenizer_change {
    CHANGED_SPECIAL = 1, /* << enum tokenizer_special */
    CHANGED_ADD_BOS = 16,
    CHANGED_ADD_EOS = 32,
    CHANGED_LENGTH = 64,
    CHANGED_TEMPLATE = 128,
    CHANGED_TOKENS = 256, /* some were added */
};

enum tokenizer_model { MODEL_BPE, MODEL_UNIGRAM, MODEL_WORDPIECE, MODEL_WORDLEVEL };

/* The files a tokenizer came from, kept to be saved as they were. */
#define TOKENIZER_FILES 10
struct tokenizer_file {
    char *name, *bytes; /* owned */
    size_t length;
};

struct tokenizer {
    char *name;
    struct vocab vocab;
    int32_t base_size;
    enum tokenizer_model model;
    bool bytes; /* pieces are bytes (byte-level), else characters */
    struct bpe bpe;
    struct unigram unigram;
    struct trie words; /* WordPiece: all tokens */
    char *word_prefix; /* WordPiece: of pieces inside a word; owned */
    size_t prefix_length, word_limit;
    struct added raw;        /* cut from the text as it is */
    struct added normalized; /* cut after normalising */
    struct normalizer normalizer;
    struct split_step steps[TOKENIZER_STEPS];
    int step_count;
    struct decoder decoder;
    struct affix prefix, suffix; /* with TOKENIZER_ADD_SPECIAL */
    struct template pair;
    int32_t special[4]; /* by enum tokenizer_special */
    int64_t max_length;
    char *chat_template;
    struct tokenizer_file files[TOKENIZER_FILES];
    int file_count;
    bool has_scores;   /* of a SentencePiece vocabulary */
    bool space_prefix; /* a blank is put in front of texts */
    unsigned changed;  /* enum tokenizer_change: since it was loaded */
};

/* An empty tokenizer for the loaders to fill; released by tokenizer_free at any state. */
struct tokenizer *tokenizer_new(void);

/* After vocabulary, merges, added tokens and steps are in: builds what encoding needs and checks
 * that every id that is named exists. */
int tokenizer_finish(struct tokenizer *t) MUST_CHECK;

/* The end of a loader: after 'status' OK the configuration (may be NULL) and tokenizer_finish. *out
 * is the tokenizer, or it is freed and the status returned. */
int tokenizer_ready(struct tokenizer *t, int status, const char *config, size_t config_length,
                    struct tokenizer **out) MUST_CHECK;

/* A merge "left right" of the vocabulary; 'rank' is its number in the file. */
int tokenizer_add_merge(struct tokenizer *t, const char *left, size_t left_length,
                        const char *right, size_t right_length, int64_t rank) MUST_CHECK;
/* The same from one text with a space between. */
int tokenizer_add_merge_text(struct tokenizer *t, const char *text, size_t length,
                             int64_t rank) MUST_CHECK;

int tokenizer_add_step(struct tokenizer *t, enum split_kind kind) MUST_CHECK;

/* The decoder chain of SentencePiece vocabularies: U+2581 to blanks, bytes, and with 'strip' one
 * blank off the start. */
int tokenizer_add_piece_decoders(struct tokenizer *t, bool strip) MUST_CHECK;

/* After scores and types of a SentencePiece vocabulary are in: ranks its merges (MODEL_BPE) or
 * makes its trie (MODEL_UNIGRAM), freezes user-defined pieces if 'frozen'. */
int tokenizer_finish_pieces(struct tokenizer *t, bool frozen) MUST_CHECK;

/* tokenizer_gguf.c: the name that GGUF files have for the splitters; NULL = none. */
const char *tokenizer_find_pre(const struct tokenizer *t);

/* tokenizer_export.c: parts of a tokenizer.json. */
struct json_writer;
int tokenizer_export_json(const struct tokenizer *t, struct buffer *out) MUST_CHECK;
void tokenizer_export_post(const struct tokenizer *t, struct json_writer *w, const char *key);
void tokenizer_export_added(const struct tokenizer *t, struct json_writer *w, int32_t id);

/* wordpiece.c: appends the ids of one word. */
int wordpiece_encode(struct tokenizer *t, const char *p, size_t n, struct id_list *out) MUST_CHECK;

/* Keeps a file for tokenizer_save; 'bytes' become the tokenizer's on success. */
int tokenizer_keep_file(struct tokenizer *t, const char *name, char *bytes,
                        size_t length) MUST_CHECK;

/* Marks the token of this id as added. */
int tokenizer_add_added(struct tokenizer *t, struct added_token token, bool normalized) MUST_CHECK;

/* tokenizer_config.json: special tokens by text, model_max_length, chat_template and so on. */
int tokenizer_read_config(struct tokenizer *t, const char *json, size_t length) MUST_CHECK;

#endif
