/* unigram.h -- the most likely cut of a text into pieces; private to engine/text.
 *
 * SentencePiece's and tokenizer.json's Unigram model: every piece has a score, the best sum wins.
 * One pass over the text, linear for a given longest piece; nothing is recursive. */
#ifndef ENGINE_TEXT_UNIGRAM_H
#define ENGINE_TEXT_UNIGRAM_H

#include "engine/text/tokenizer.h"
#include "engine/text/trie.h"
#include "engine/text/vocab.h"

struct unigram_best;

struct unigram {               /* zeroed = empty */
    const struct vocab *vocab; /* borrowed: scores and types */
    struct trie pieces;
    bool all;           /* every token takes part, not only normal and user-defined ones */
    double least, most; /* scores */
    int32_t unk;
    bool byte_fallback;
    bool wide;                 /* sums in double, as tokenizer.json's library; else in float */
    int32_t byte_ids[256];     /* of <0x00> to <0xFF> */
    struct unigram_best *best; /* scratch */
    int64_t capacity;
};

/* After the vocabulary is complete; 'unk' and the switches are set. */
int unigram_finish(struct unigram *u, const struct vocab *v) MUST_CHECK;

/* Appends the ids of a text; a run of unknown characters is one id. */
int unigram_encode(struct unigram *u, const char *text, size_t length,
                   struct id_list *out) MUST_CHECK;
void unigram_free(struct unigram *u);

#endif
