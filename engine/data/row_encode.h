/* row_encode.h -- rows of a table as token ids with their loss masks.
 *
 * The same text path as everywhere: texts and pairs are encoded with the tokenizer's own begin and
 * end tokens and an end-of-text token behind, exactly once; conversations through the chat
 * template, which brings its own; ids are taken as they are. Masks come from spans of the text or
 * from the template's turns, never from token values. What is odd about a row is told to a lint. */
#ifndef ENGINE_DATA_ROW_ENCODE_H
#define ENGINE_DATA_ROW_ENCODE_H

#include "engine/data/examples.h"
#include "engine/data/lint.h"
#include "engine/data/row_format.h"
#include "engine/text/tokenizer.h"

struct row_options {
    int64_t max_length;   /* tokens; 0 = no limit */
    bool keep_end;        /* a row that is too long loses its start instead of its end */
    bool append_eos;      /* of texts and pairs */
    bool completion_only; /* of pairs: the answer alone is learned */
    bool assistant_only;  /* of conversations: what the assistant says alone is learned */
};

struct row_encoder;

/* 'format' NULL: texts come through row_encode_text. Holds the table; borrows the tokenizer and
 * 'lint'. ERR_ARG: conversations without a chat template, assistant_only without conversations. */
int row_encoder_open(const struct table *t, const struct row_format *format,
                     const struct row_options *options, struct tokenizer *tokenizer,
                     struct lint *lint, struct row_encoder **out) MUST_CHECK;
void row_encoder_free(struct row_encoder *e); /* NULL is fine */

/* Adds row 'row' to the examples. ERR_ARG names row, key, found and wanted. */
int row_encode(struct row_encoder *e, int64_t row, struct examples *to) MUST_CHECK;

/* Adds a text as row 'row'. */
int row_encode_text(struct row_encoder *e, const char *text, size_t length, int64_t row,
                    struct examples *to) MUST_CHECK;

#endif
