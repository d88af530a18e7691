/* added.h -- finds added tokens in a text; private to engine/text.
 *
 * A trie over the tokens' bytes, searched from each place of the text: the leftmost match, and of
 * those the longest. */
#ifndef ENGINE_TEXT_ADDED_H
#define ENGINE_TEXT_ADDED_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDED_BYTES 1024 /* longest added token: it bounds the search at one place */

struct added_token {
    int32_t id;
    bool special;        /* left alone when special tokens are not to be parsed */
    bool single_word;    /* only between non-word characters */
    bool lstrip, rstrip; /* swallows white space before, behind */
};

struct added_node {
    int32_t child, sibling; /* 0 = none (node 0 is the root, which is neither) */
    int32_t token;          /* index into tokens, -1 = no token ends here */
    unsigned char byte;
};

struct added { /* zeroed = empty */
    struct added_token *tokens;
    int64_t count, tokens_capacity;
    struct added_node *nodes;
    int64_t node_count, nodes_capacity;
    int32_t first[256]; /* node of each first byte, 0 = none */
};

/* Adds a token; one with the same text replaces the older. */
int added_add(struct added *a, const char *text, size_t length,
              struct added_token token) MUST_CHECK;

/* Takes the token with this text out again; none is fine. */
void added_remove(struct added *a, const char *text, size_t length);

struct added_match {
    const char *start, *end; /* white space that it swallows included */
    int32_t id;
};

/* The next match in [from, end); 'text' is where the text starts, 'from' the end of the match
 * before. False = none. */
bool added_next(const struct added *a, const char *text, const char *from, const char *end,
                bool parse_special, struct added_match *out);
void added_free(struct added *a);

#endif
