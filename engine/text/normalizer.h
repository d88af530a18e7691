/* normalizer.h -- what is done to a text before it is cut; private to engine/text.
 *
 * A chain of steps, each of which rewrites the text: the normalizers of tokenizer.json, and the one
 * of SentencePiece model files (character map, blanks, the blank in front). */
#ifndef ENGINE_TEXT_NORMALIZER_H
#define ENGINE_TEXT_NORMALIZER_H

#include "engine/text/edit.h"
#include "engine/text/split.h"
#include "engine/text/trie.h"

#define NORMALIZER_STEPS 16

enum normalizer_kind {
    NORMALIZER_NFC,
    NORMALIZER_NFD,
    NORMALIZER_NFKC,
    NORMALIZER_NFKD,
    NORMALIZER_LOWERCASE,
    NORMALIZER_STRIP,         /* white space, at the sides asked for */
    NORMALIZER_STRIP_ACCENTS, /* every mark */
    NORMALIZER_PREPEND,       /* 'to' in front, unless the text is empty */
    NORMALIZER_REPLACE,       /* every 'from', or every match of 'pattern', becomes 'to' */
    NORMALIZER_CHARSMAP,      /* the character map of a SentencePiece file, alone */
    NORMALIZER_SENTENCEPIECE, /* the whole of a SentencePiece file's normalizer */
    NORMALIZER_BERT,          /* BERT's: clean text, blanks around CJK, accents, lower case */
};

/* The map of a SentencePiece file: a double-array trie (Darts) and the texts it leads to. Read with
 * every access checked: the file is not trusted. */
struct charsmap {
    char *bytes; /* owned; NULL = maps nothing */
    const char *texts;
    size_t units, text_bytes;
};

struct normalizer_step {
    enum normalizer_kind kind;
    char *from, *to; /* owned */
    size_t from_length, to_length;
    struct pattern *pattern;         /* owned */
    bool left, right;                /* STRIP */
    bool clean, cjk, accents, lower; /* BERT */
    struct charsmap map;
    /* SENTENCEPIECE */
    bool dummy_prefix, trim, escape, suffix;
    const struct trie *kept; /* pieces that are left as they are; borrowed */
};

struct normalizer { /* zeroed = changes nothing */
    struct normalizer_step steps[NORMALIZER_STEPS];
    int count;
};

/* A new step at the end, zeroed but for its kind. */
int normalizer_add(struct normalizer *n, enum normalizer_kind kind,
                   struct normalizer_step **out) MUST_CHECK;

/* Takes a copy of a precompiled map as it stands in model files. ERR_FORMAT when its sizes cannot
 * be. */
int charsmap_set(struct charsmap *m, const char *bytes, size_t length) MUST_CHECK;

/* Runs all steps. *changed false: the text is as it was and 'out' is empty; else 'out' holds the
 * new text (tracked as the caller set it). Nothing is left in 'out' on failure. */
int normalizer_run(const struct normalizer *n, const struct source *text, struct edit *out,
                   bool *changed) MUST_CHECK;
void normalizer_free(struct normalizer *n);

/* --- normalizer_spm.c */
int normalizer_charsmap(const struct normalizer_step *step, const struct source *s,
                        struct edit *out) MUST_CHECK;
int normalizer_sentencepiece(const struct normalizer_step *step, const struct source *s,
                             struct edit *out) MUST_CHECK;

#endif
