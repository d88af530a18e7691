/* decoder.h -- what becomes of a token's spelling in the text; private to engine/text.
 *
 * A chain of steps as in tokenizer.json. Up to Fuse they work on one token at a time, so their
 * result is made once for every token; behind it on the whole text, of which only the two ends can
 * change. So ids can be decoded one by one as they come. */
#ifndef ENGINE_TEXT_DECODER_H
#define ENGINE_TEXT_DECODER_H

#include "engine/text/split.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocab.h"

#define DECODER_STEPS 8

enum decoder_kind {
    DECODER_BYTE_LEVEL,    /* the byte-level alphabet: the token's bytes */
    DECODER_REPLACE,       /* every 'from' becomes 'to' */
    DECODER_BYTE_FALLBACK, /* "<0x0A>" becomes that byte */
    DECODER_FUSE,          /* what follows sees the whole text */
    DECODER_STRIP,         /* up to start and stop times 'from' off the ends */
    DECODER_METASPACE,     /* 'from' becomes a blank, in the first token nothing */
    DECODER_WORDPIECE,     /* blanks between words, 'from' ("##") joins */
    DECODER_SUFFIX,        /* 'from' at a word's end becomes a blank */
    DECODER_JOIN,          /* a blank between all tokens */
};

struct decoder_step {
    enum decoder_kind kind;
    char *from, *to; /* owned */
    size_t from_length, to_length;
    struct pattern *pattern; /* REPLACE; owned */
    size_t start, stop;      /* STRIP */
    bool always;             /* METASPACE: also where the first token drops it */
    bool clean_up;           /* WORDPIECE */
};

struct decoder { /* zeroed = tokens as they are spelt */
    struct decoder_step steps[DECODER_STEPS];
    int count;
    bool whole_runs; /* a run of byte tokens that is no UTF-8 as a whole: each byte is replaced */
    /* by decoder_finish */
    bool first_differs, byte_fallback;
    const struct decoder_step *strip; /* behind Fuse; NULL = none */
};

int decoder_add(struct decoder *d, enum decoder_kind kind, struct decoder_step **out) MUST_CHECK;

/* After the steps are in: sets every token's bytes and TOKEN_BYTE. ERR_FORMAT for a chain that
 * cannot be run token by token. */
int decoder_finish(struct decoder *d, struct vocab *v) MUST_CHECK;

/* Sets the bytes of one token, as decoder_finish does for all. */
int decoder_set(const struct decoder *d, struct vocab *v, int32_t id) MUST_CHECK;

/* Appends what a token becomes, byte fallback left out; 'first': nothing was decoded before it. */
int decoder_token(const struct decoder *d, const struct token *t, bool first,
                  struct text_buffer *out) MUST_CHECK;
void decoder_free(struct decoder *d);

/* The reference's clean-up of blanks before punctuation, over out->bytes[from ...]. */
void decoder_clean_up(struct text_buffer *out, int64_t from, bool wordpiece);

#endif
