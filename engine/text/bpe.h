/* bpe.h -- byte-pair merging of one piece of text; private to engine/text.
 *
 * The lowest-ranked pair is merged first, the leftmost among equals, until no pair has a rank.
 * Short pieces are scanned, long ones use a heap: n log n, nothing recursive. Pieces seen lately
 * come out of a cache. */
#ifndef ENGINE_TEXT_BPE_H
#define ENGINE_TEXT_BPE_H

#include "engine/text/tokenizer.h"
#include "engine/text/vocab.h"

struct bpe_merge {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX = empty */
    uint32_t rank;
    int32_t id; /* of the merged token */
};

struct bpe_cached;

struct bpe { /* zeroed = empty */
    struct bpe_merge *merges;
    uint64_t mask, seed;
    int64_t merge_count;
    int32_t byte_ids[256];
    int32_t unk;             /* for a byte without a token; -1 = the byte is dropped */
    bool fuse_unk;           /* a run of them is one */
    bool whole_first;        /* ignore_merges: a piece that is a token is that token */
    struct textmap by_bytes; /* with whole_first */
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
