/* examples.h -- tokenised rows with their loss masks, ready to be packed.
 *
 * A row is a run of token ids and, for each, whether it is learned as a target. Masks come from
 * spans, never from token values: an end-of-text token is learned even when it is also the padding
 * token. Rows longer than the limit are cut and counted; rows without a target are left out and
 * counted. Nothing here pads. */
#ifndef ENGINE_DATA_EXAMPLES_H
#define ENGINE_DATA_EXAMPLES_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct example {
    int64_t start; /* first token in examples.ids */
    int32_t tokens;
    int32_t targets; /* learned tokens, never counting the first of the row */
    int64_t row;     /* of the data set, 0-based */
};

struct examples {
    int64_t count, room;
    struct example *items;
    int64_t tokens, token_room, mask_room;
    int32_t *ids;
    unsigned char *learn;    /* per token */
    int64_t rows;            /* offered */
    int64_t cut, cut_tokens; /* rows cut to the limit; tokens lost */
    int64_t without_target;  /* rows left out */
    int64_t ended;           /* rows whose end-of-text token is learned */
    int64_t longest, targets;
};

int examples_new(struct examples **out) MUST_CHECK;
void examples_free(struct examples *e); /* NULL is fine */

/* As examples_add, keeping the end of a row that is cut instead of its start. */
int examples_add_end(struct examples *e, const int32_t *ids, const unsigned char *learn, int64_t n,
                     int64_t limit, int32_t eos, int64_t row) MUST_CHECK;

/* Adds one row of 'n' ids; 'learn' NULL = all. Cut to 'limit' tokens (0 = none). eos: the id whose
 * being learned at the end is counted; -1 = none. */
int examples_add(struct examples *e, const int32_t *ids, const unsigned char *learn, int64_t n,
                 int64_t limit, int32_t eos, int64_t row) MUST_CHECK;

#endif
