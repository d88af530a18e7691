/* tokenizer.h -- text to token ids and back, as the model's own tokenizer does it.
 *
 * Out of a GGUF file ("gpt2" and "llama" vocabularies), a tokenizer.json, GPT-2's vocab.json +
 * merges.txt, or a SentencePiece tokenizer.model (BPE and unigram). Ids agree with the reference
 * libraries on any valid UTF-8; bytes that are no UTF-8 are encoded as they are where the vocabulary
 * has them. A tokenizer has scratch memory and a word cache of its own: one thread at a time.
 * A component of a tokenizer.json that is not built is an error that names it. */
#ifndef ENGINE_TEXT_TOKENIZER_H
#define ENGINE_TEXT_TOKENIZER_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

/* 'path': a GGUF file, a tokenizer.json, a tokenizer.model, or a folder with tokenizer.json,
 * vocab.json + merges.txt or tokenizer.model, in this order (tokenizer_config.json,
 * special_tokens_map.json and chat_template.jinja beside them are read). Messages name the file. */
int tokenizer_load(const char *path, struct tokenizer **out) MUST_CHECK;
void tokenizer_free(struct tokenizer *t); /* NULL is fine */

/* The parts of tokenizer_load that read memory only: for tests and fuzzing. 'config' may be NULL. */
struct gguf;
int tokenizer_from_gguf(const struct gguf *g, struct tokenizer **out) MUST_CHECK;
int tokenizer_from_json(const char *json, size_t length, const char *config, size_t config_length,
                        struct tokenizer **out) MUST_CHECK;
int tokenizer_from_vocab(const char *vocab, size_t vocab_length, const char *merges,
                         size_t merges_length, const char *config, size_t config_length,
                         struct tokenizer **out) MUST_CHECK;

/* Without a configuration a BPE model puts its bos in front, as Llama and Mistral want it. */
int tokenizer_from_sentencepiece(const char *bytes, size_t length, const char *config,
                                 size_t config_length, struct tokenizer **out) MUST_CHECK;

/* Token ids; grows as needed. Start zeroed, end with id_list_free. */
struct id_list {
    int32_t *ids;
    int64_t count, capacity;
    struct token_span *spans; /* with TOKENIZER_SPANS: one per id */
    int64_t spans_capacity;
};
struct token_span {
    int64_t start, end; /* bytes of the text; both 0 for an added bos or eos */
};
void id_list_free(struct id_list *list);
int id_list_add(struct id_list *list, int32_t id) MUST_CHECK;
int id_list_span(struct id_list *list, struct token_span span) MUST_CHECK; /* of the last id */

enum tokenizer_flag {
    TOKENIZER_ADD_SPECIAL = 1,   /* bos and eos as the model wants them */
    TOKENIZER_PARSE_SPECIAL = 2, /* "<|im_end|>" in the text becomes the token of that name */
    TOKENIZER_SPANS = 4, /* also fill list->spans; must be the same in all calls on one list */
};

/* Appends the ids of 'length' bytes of text (< 2 GiB) to 'list', which is as before on failure. */
int tokenizer_encode(struct tokenizer *t, const char *text, size_t length, int flags,
                     struct id_list *list) MUST_CHECK;

/* Two texts with the tokens of the pair template around them, where the tokenizer has one. Spans
 * count from the start of each text. */
int tokenizer_encode_pair(struct tokenizer *t, const char *a, size_t a_length, const char *b,
                          size_t b_length, int flags, struct id_list *list) MUST_CHECK;

/* Bytes that grow as needed. Start zeroed, end with text_buffer_free. */
struct text_buffer {
    char *bytes; /* always followed by a NUL once anything was added */
    int64_t length, capacity;
};
void text_buffer_free(struct text_buffer *b);
int text_buffer_add(struct text_buffer *b, const char *bytes, size_t length) MUST_CHECK;

/* Appends the text of 'n' ids as valid UTF-8: bytes that are none become U+FFFD. Special tokens are
 * left out with 'skip_special'. ERR_ARG for an id that is no token. */
int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t n, bool skip_special,
                     struct text_buffer *out) MUST_CHECK;

/* The reference's clean_up_tokenization_spaces over out->bytes[from ...]: " ." to "." and the like.
 * Never done unless asked for. */
void tokenizer_clean_up(struct text_buffer *out, int64_t from);

/* Decoding one id at a time: a character whose bytes are not complete is held back. Start zeroed.
 * Feeding all ids and finishing gives what tokenizer_decode gives, but for a run of byte tokens
 * (<0x..>) that is no UTF-8 as a whole: here its good characters are kept, where the reference
 * replaces the whole run. */
struct decoder_step;
struct token_stream {
    char held[4];
    int held_bytes;
    bool seen, begun; /* a token came; text was given out */
    int tail;         /* blanks held back, which go if nothing follows */
    int64_t stripped;
    const struct decoder_step *strip; /* borrowed from the tokenizer */
};
int tokenizer_stream(const struct tokenizer *t, struct token_stream *s, int32_t id,
                     bool skip_special, struct text_buffer *out) MUST_CHECK;
int tokenizer_stream_finish(struct token_stream *s, struct text_buffer *out) MUST_CHECK;

/* --- the vocabulary. Ids run from 0 to size - 1; a few may be unused gaps. */
int32_t tokenizer_size(const struct tokenizer *t);      /* added tokens included */
int32_t tokenizer_base_size(const struct tokenizer *t); /* without them: "vocab_size" */

/* The token as the vocabulary spells it ("Ġthe"), NUL-terminated, borrowed; NULL for no token. */
const char *tokenizer_token(const struct tokenizer *t, int32_t id, size_t *length);

/* The bytes a token stands for (" the"), borrowed; NULL for no token. */
const char *tokenizer_token_bytes(const struct tokenizer *t, int32_t id, size_t *length);
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);
bool tokenizer_is_added(const struct tokenizer *t, int32_t id); /* special ones are, too */
int32_t tokenizer_find(const struct tokenizer *t, const char *token, size_t length); /* -1 = none */

enum tokenizer_special { TOKENIZER_BOS, TOKENIZER_EOS, TOKENIZER_PAD, TOKENIZER_UNK };
int32_t tokenizer_special_id(const struct tokenizer *t,
                             enum tokenizer_special which); /* -1 = none */
int tokenizer_set_special(struct tokenizer *t, enum tokenizer_special which,
                          int32_t id) MUST_CHECK; /* -1 = none */

/* Whether TOKENIZER_ADD_SPECIAL puts bos in front and eos behind. Setting true without such a
 * token is ERR_ARG. */
bool tokenizer_adds_bos(const struct tokenizer *t);
bool tokenizer_adds_eos(const struct tokenizer *t);
int tokenizer_set_add_bos(struct tokenizer *t, bool add) MUST_CHECK;
int tokenizer_set_add_eos(struct tokenizer *t, bool add) MUST_CHECK;

/* How many tokens TOKENIZER_ADD_SPECIAL puts in front and behind. */
int tokenizer_prefix_count(const struct tokenizer *t);
int tokenizer_suffix_count(const struct tokenizer *t);

/* Longest input of the model in tokens; INT64_MAX = not said. */
int64_t tokenizer_max_length(const struct tokenizer *t);
void tokenizer_set_max_length(struct tokenizer *t, int64_t tokens);

const char *tokenizer_chat_template(const struct tokenizer *t);                    /* NULL = none */
int tokenizer_set_chat_template(struct tokenizer *t, const char *text) MUST_CHECK; /* NULL = none */
const char *tokenizer_kind(const struct tokenizer *t); /* "byte-level BPE" */

/* What it was asked for as: the path given to tokenizer_load, until another name is set. */
const char *tokenizer_name(const struct tokenizer *t);
int tokenizer_set_name(struct tokenizer *t, const char *name) MUST_CHECK;

/* Adds tokens to the end of the vocabulary, to be found in texts from now on. One that is there
 * already keeps its id and is only marked. *added counts the new ones. A model may have no row for
 * a new id: it says so when it meets one. */
struct token_flags {
    bool special, lstrip, rstrip, single_word, normalized;
};
int tokenizer_add_token(struct tokenizer *t, const char *text, size_t length,
                        struct token_flags flags, int64_t *added) MUST_CHECK;

/* --- saving */

/* Writes the files of a tokenizer into a folder (made when missing): those it was loaded from as
 * they were, with what was set since then (special tokens, chat template, added tokens) changed in
 * them. A tokenizer out of a GGUF or vocabulary file becomes tokenizer.json and
 * tokenizer_config.json. The reference library opens the folder and gives the same ids. */
int tokenizer_save(const struct tokenizer *t, const char *folder) MUST_CHECK;

/* --- what a writer of GGUF files needs */

/* "gpt2" (merges count) or "llama" (scores count): tokenizer.ggml.model; NULL = GGUF has no such
 * vocabulary. */
const char *tokenizer_gguf_model(const struct tokenizer *t);

/* The name of the splitter (tokenizer.ggml.pre): "llama-bpe", "qwen2" ...; "default" for "llama";
 * NULL = GGUF has no name for it. */
const char *tokenizer_pre_name(const struct tokenizer *t);

/* 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused (also for a gap), 6 byte. */
int tokenizer_token_type(const struct tokenizer *t, int32_t id);

/* The score of every token (mem_free), tokenizer_size of them. A vocabulary without scores gets
 * minus the number of the first merge that makes a token, so that the order of merging is kept. */
int tokenizer_scores(const struct tokenizer *t, float **out) MUST_CHECK;

/* The merges in order: *pairs (mem_free) holds left and right id of each. */
int tokenizer_merges(const struct tokenizer *t, int32_t **pairs, int64_t *count) MUST_CHECK;

/* Whether a blank is put in front of texts (tokenizer.ggml.add_space_prefix). */
bool tokenizer_adds_space(const struct tokenizer *t);

#endif
