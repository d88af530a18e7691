/* split.h -- cuts text into pieces before merging; private to engine/text.
 *
 * The patterns of the models we know are cut by hand: fast, and no text can make them slow. Any
 * other pattern goes through PCRE2 (split_pcre.c), with the classes \p{L}, \p{N} and \s rewritten
 * to the ranges of our own Unicode tables and with limits on its work. */
#ifndef ENGINE_TEXT_SPLIT_H
#define ENGINE_TEXT_SPLIT_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>

enum split_kind {
    SPLIT_GPT2,    /* GPT-2's pattern, also ByteLevel's own */
    SPLIT_LLAMA3,  /* digits in groups of up to three */
    SPLIT_QWEN2,   /* the same, digits one by one */
    SPLIT_DIGIT,   /* every numeric character alone */
    SPLIT_DIGITS,  /* runs of numeric characters */
    SPLIT_WORDS,   /* runs of word characters, runs of what is neither word nor white space */
    SPLIT_PATTERN, /* a regular expression */
    SPLIT_LITERAL, /* a fixed text */
    SPLIT_BLANK,   /* a white space character */
    SPLIT_MARK,    /* a punctuation character */
    /* these write the text anew (encode.c) */
    SPLIT_PREFIX,    /* no cut: a space is put in front unless there is one */
    SPLIT_METASPACE, /* blanks become visible; one in front; cut before each */
    SPLIT_SPELL,     /* no cut: bytes become the characters of the byte-level alphabet */
};

enum split_behavior {
    SPLIT_ISOLATED,        /* matches and what lies between are pieces */
    SPLIT_REMOVED,         /* only what lies between */
    SPLIT_MERGED_PREVIOUS, /* a match belongs to the piece before it */
    SPLIT_MERGED_NEXT,     /* a match belongs to the piece behind it */
    SPLIT_CONTIGUOUS,      /* as isolated, neighbouring matches are one piece */
};

enum split_scheme { SPLIT_ALWAYS, SPLIT_FIRST, SPLIT_NEVER }; /* a blank in front of which pieces */

struct pattern;

struct split_step {
    enum split_kind kind;
    enum split_behavior behavior; /* SPLIT_PATTERN to SPLIT_MARK */
    bool invert;                  /* the pattern says what lies between */
    struct pattern *pattern;      /* owned */
    char *literal;                /* owned; of SPLIT_METASPACE: what a blank becomes */
    size_t literal_length;
    enum split_scheme scheme; /* SPLIT_METASPACE */
    bool whole;               /* SPLIT_METASPACE: no cut */
};

/* Bytes (> 0) of the piece that starts at p < end, for the kinds before SPLIT_WORDS. The text from
 * p to end is all there is: lookahead stops there. */
size_t split_next(enum split_kind kind, const char *p, const char *end);

/* The hand-written kind of a regular expression we know, or -1. */
int split_known(const char *pattern, size_t length);

/* The regular expression of a hand-written kind; NULL for the others. */
const char *split_pattern(enum split_kind kind);

/* Calls emit(ctx, piece, length) for every piece of [p, end), in order; an emitted piece is never
 * empty. Stops at the first failure. */
int split_each(const struct split_step *step, const char *p, const char *end,
               int (*emit)(void *ctx, const char *piece, size_t length), void *ctx) MUST_CHECK;
void split_step_free(struct split_step *step);

/* --- split_pcre.c */

/* Compiles a pattern in the syntax tokenizer.json uses. ERR_FORMAT with PCRE2's reason. */
int pattern_compile(const char *text, size_t length, struct pattern **out) MUST_CHECK;

/* The next match in [p + from, end): offsets from p; *found false = none. ERR_FORMAT when the
 * pattern needs too much work for this text. */
int pattern_next(const struct pattern *m, const char *p, const char *end, size_t from, bool *found,
                 size_t *start, size_t *stop) MUST_CHECK;
void pattern_free(struct pattern *m);

#endif
