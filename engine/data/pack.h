/* pack.h -- concatenates examples into one batch without padding. */
#ifndef ENGINE_DATA_PACK_H
#define ENGINE_DATA_PACK_H

#include "engine/data/examples.h"

/* Host arrays of a packed batch, reused from call to call. T tokens, S sequences, N targets. */
struct pack {
    int64_t tokens, sequences, targets;
    int32_t *ids, *positions, *sample; /* [T] */
    int32_t *starts;                   /* [S+1] */
    int32_t *target_rows, *target_ids; /* [N] */
    int64_t token_room, sequence_room;
};

void pack_clear(struct pack *p); /* empty, memory kept */
void pack_free(struct pack *p);  /* releases the arrays */

/* Appends example 'i'. On failure the pack is unchanged. */
int pack_add(struct pack *p, const struct examples *e, int64_t i) MUST_CHECK;

/* How many of the examples order[0..n) fit behind one another in at most 'limit' tokens; at least
 * one (an example longer than the limit goes alone). */
int64_t pack_fit(const struct examples *e, const int64_t *order, int64_t n, int64_t limit);

#endif
