/* lint.h -- what is odd about the rows of a data set, found while they are tokenised.
 *
 * Each finding has a count and the first rows it was seen in. A finding is no error: the rows are
 * learned as they are, but for those without a target. */
#ifndef ENGINE_DATA_LINT_H
#define ENGINE_DATA_LINT_H

#include "engine/core/buffer.h"
#include <stdbool.h>
#include <stdint.h>

enum lint_kind {
    LINT_EMPTY,     /* nothing but blanks */
    LINT_NO_TARGET, /* no token is learned: left out */
    LINT_CUT,       /* longer than the limit */
    LINT_NO_EOS,    /* no end-of-text or end-of-turn token is learned */
    LINT_TWO_BOS,   /* starts with two begin-of-text tokens */
    LINT_DUPLICATE, /* the same tokens as an earlier row */
    LINT_TEMPLATE,  /* marks of a chat template that the tokenizer does not know, or left open */
    LINT_ROLE,      /* a role other than system, user, assistant and tool */
    LINT_BOUNDARY,  /* a token holds the end of the prompt and the start of the answer */
    LINT_KINDS,
};

#define LINT_ROWS 5 /* first rows that are remembered */

struct lint {
    struct {
        int64_t count, last;     /* last: row that was counted */
        int64_t rows[LINT_ROWS]; /* 0-based */
    } found[LINT_KINDS];
    int64_t rows; /* looked at */
    /* private: what rows were seen, until lint_finish */
    uint64_t *seen;
    int64_t seen_count, seen_room;
};

extern const struct lint_text {
    const char *name; /* "duplicates" */
    const char *doc;  /* "rows with the tokens of an earlier one": follows the count */
    const char *hint; /* what to do, or NULL */
    bool normal;      /* said elsewhere already: only in the full report */
} lint_texts[LINT_KINDS];

/* Notes that row 'row' is so. The same row twice in a call order counts once. */
void lint_add(struct lint *l, enum lint_kind kind, int64_t row);

/* Looks at a row's tokens: duplicates, two begin-of-text tokens. */
int lint_tokens(struct lint *l, const int32_t *ids, int64_t count, int32_t bos,
                int64_t row) MUST_CHECK;

/* Releases what was needed while rows came. */
void lint_finish(struct lint *l);

/* "3 rows ... (rows 1, 5, 9)" of a finding, without its hint. */
void lint_line(const struct lint *l, enum lint_kind kind, struct buffer *out);

/* Are there marks of a chat template in a plain text that 'is_token' does not know, or "[INST]" and
 * "<|im_start|>" that are not closed? */
bool lint_odd_template(const char *text, size_t length,
                       bool (*is_token)(void *ctx, const char *text, size_t length), void *ctx);

#endif
