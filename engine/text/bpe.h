/* bpe.h -- byte-pair merging of one piece of text; private to engine/text.
 *
 * The lowest-ranked pair is merged first, the leftmost among equals, until no pair has a rank.
 * Short pieces are scanned, long ones use a heap: n log n, nothing recursive. Pieces seen lately
 * come out of a cache.
 *
 * Merging starts from bytes (byte-level vocabularies) or from characters. SentencePiece's BPE is the
 * same thing: the pair whose joined piece has the best score goes first, so merges are ranked by
 * score and pieces of equal score share a rank. */
#ifndef ENGINE_TEXT_BPE_H
#define ENGINE_TEXT_BPE_H

#include "engine/text/tokenizer.h"
#include "engine/text/trie.h"
#include "engine/text/vocab.h"

struct bpe_merge {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX = empty */
    uint32_t rank;
    int32_t id; /* of the merged token */
};

struct bpe_cached;

struct bpe_parts {
    int32_t left, right; /* -1 = not seen */
};

struct bpe {                   /* zeroed = empty */
    const struct vocab *vocab; /* borrowed */
    int32_t known;             /* ids from here on were added: no piece becomes one of them */
    bool characters;           /* symbols are characters at first, not bytes */
    bool byte_fallback;        /* a character without a token: its bytes' tokens <0x..> */
    struct bpe_merge *merges;
    uint64_t mask, seed;
    int64_t merge_count;
    int32_t byte_ids[256];   /* of single bytes, or of <0x00> to <0xFF> with 'characters' */
    int32_t ascii_ids[128];  /* with 'characters' */
    int32_t unk;             /* for what has no token; -1 = it is dropped */
    bool fuse_unk;           /* a run of them is one */
    bool whole_first;        /* ignore_merges: a piece that is a token is that token */
    struct textmap by_bytes; /* with whole_first */
    struct trie frozen;      /* user-defined pieces: symbols that no merge touches */
    struct bpe_parts *parts; /* of unused pieces, which are taken apart again; NULL = none is */
    bool cuts;               /* texts may be cut before U+2581: no token goes across, but for */
    uint8_t no_cut[32];      /* those with one of these bytes before it */
    struct bpe_cached *cache;
    /* scratch of long pieces */
    int32_t *symbols; /* three arrays: id, previous, next */
    uint64_t *heap;
    int64_t symbols_capacity, heap_capacity;
};

/* Room for that many merges at once. */
int bpe_reserve(struct bpe *b, int64_t merges) MUST_CHECK;

/* Merge number 'rank': left + right -> id. Of a pair that is given twice the last one counts, as
 * in the reference. */
int bpe_add_merge(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id) MUST_CHECK;

/* After the vocabulary is complete: byte ids, the table of whole tokens. */
int bpe_finish(struct bpe *b, const struct vocab *v) MUST_CHECK;

/* Appends the ids of one piece. */
int bpe_encode(struct bpe *b, const char *piece, size_t length, struct id_list *out) MUST_CHECK;
void bpe_free(struct bpe *b);

#endif
