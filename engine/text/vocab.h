/* vocab.h -- the tokens of a tokenizer: id, spelling, bytes; private to engine/text.
 *
 * Byte-level vocabularies spell every byte as one printable character (GPT-2's table). A token is
 * kept in both forms: the spelling is the key for looking up, the bytes are what decoding needs.
 * A text that is not in that alphabet (added tokens, which stand raw) is its own bytes. Other
 * vocabularies spell tokens as text; what decoding makes of them is set later. */
#ifndef ENGINE_TEXT_VOCAB_H
#define ENGINE_TEXT_VOCAB_H

#include "engine/core/arena.h"
#include "engine/core/textmap.h"
#include "kernels/base/status.h"
#include <stdbool.h>
#include <stdint.h>

enum token_flag {
    TOKEN_ADDED = 1, /* cut out of the text before anything else */
    TOKEN_SPECIAL = 2,
    TOKEN_BYTE = 4, /* decodes as one byte */
};

/* As SentencePiece and GGUF files number them. */
enum piece_type {
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN = 2,
    PIECE_CONTROL = 3,
    PIECE_USER_DEFINED = 4,
    PIECE_UNUSED = 5,
    PIECE_BYTE = 6,
};

struct token {
    const char *spelling; /* NUL-terminated; NULL = a gap */
    const char *bytes;
    uint32_t spelling_length, length;
    uint16_t flags;
    uint8_t type; /* enum piece_type; 0 = the file has no types */
    double score;
};

struct vocab {  /* zeroed = empty */
    bool plain; /* spelt as text, not in the byte-level alphabet: set before tokens are added */
    struct token *tokens;
    int64_t capacity;
    int32_t count;      /* highest id + 1 */
    struct textmap ids; /* by spelling */
    struct arena arena;
};

/* Adds a token. ERR_FORMAT when the id or the text is taken, is out of range or too long. 'limit':
 * ids must be below it, so that a huge id cannot ask for a huge table. */
int vocab_add(struct vocab *v, int64_t id, int64_t limit, const char *spelling, size_t length,
              uint32_t flags) MUST_CHECK;
int32_t vocab_find(const struct vocab *v, const char *spelling, size_t length); /* -1 = none */

/* The token stands raw in the text: its bytes are its spelling, and 'flags' are set. */
void vocab_mark_added(struct vocab *v, int32_t id, uint32_t flags);

/* Fills bytes[256] with the id of each single byte, -1 where there is none: spelt in the byte-level
 * alphabet, or ('fallback') as "<0x0A>". */
void vocab_byte_ids(const struct vocab *v, bool fallback, int32_t bytes[256]);

/* The byte that "<0x0A>" stands for: exactly two hexadecimal digits; else -1. */
int byte_of_name(const char *spelling, size_t length);
void vocab_free(struct vocab *v);

/* GPT-2's alphabet: the code point that spells a byte, and back (-1 = spells none). */
uint32_t byte_spelling(unsigned char byte);
int byte_of_spelling(uint32_t cp);

#endif
