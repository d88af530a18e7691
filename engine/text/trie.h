/* trie.h -- texts found by their beginning; private to engine/text.
 *
 * One table of edges (node, byte) -> node: adding and stepping cost the same whatever the texts. */
#ifndef ENGINE_TEXT_TRIE_H
#define ENGINE_TEXT_TRIE_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

struct trie_edge {
    uint64_t key; /* node << 8 | byte; UINT64_MAX = empty */
    int32_t node;
};

struct trie { /* zeroed = empty */
    struct trie_edge *edges;
    uint64_t mask, seed;
    int64_t edge_count;
    int32_t *values; /* of each node, -1 = no text ends here */
    int64_t node_count, room;
};

/* Adds text -> value (>= 0); an older value of the same text is replaced. */
int trie_add(struct trie *t, const char *text, size_t length, int32_t value) MUST_CHECK;

/* From node (0 = the start) by one byte: the next node, or -1. */
int32_t trie_step(const struct trie *t, int32_t node, unsigned char byte);

/* The longest text that [p, end) starts with: its length in *length and its value; -1 = none. */
int32_t trie_longest(const struct trie *t, const char *p, const char *end, size_t *length);
void trie_free(struct trie *t);

#endif
