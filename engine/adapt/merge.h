/* merge.h -- an adapter's terms written into the model's weights, and taken out again.
 *
 * W' = W + s B A in f32 (f64 where the model computes in it); copies of an adapter take the place of
 * what they stand in for. A weight of a block or 16-bit format becomes f32 (or the format asked for):
 * writing it back into blocks would lose a part of the change. The weights that were replaced are
 * kept, so that unmerging gives back the same bits. */
#ifndef ENGINE_ADAPT_MERGE_H
#define ENGINE_ADAPT_MERGE_H

#include "engine/adapt/lora.h"

struct merge_options {
    const char *dtype; /* of merged weights: NULL or "float32", "float16", "bfloat16" */
};

/* What a merge did, for a note. */
struct merge_report {
    int64_t weights, converted; /* replaced; of these: kept in another format than before */
    double largest;             /* largest change of a weight */
    double rounding;            /* largest error of storing merged weights in 16 bits; 0 in f32 */
    char largest_name[160];     /* and where */
    char from[64], to[16];      /* formats of the converted ones: "q4_1, q8_0", and "f32" */
    bool untied;                /* embedding and head are no longer one weight */
};

/* Writes the active adapter into the model; every new weight must be finite. The adapters stay;
 * until merge_undo none has a further effect. On failure nothing is changed. Errors: ERR_ARG (no adapter, merged already),
 * ERR_NUMERIC naming the weight, ERR_MEMORY. */
int merge_adapter(struct model *m, const struct merge_options *o,
                  struct merge_report *report) MUST_CHECK;

/* The weights as they were, bit for bit; nothing to do when not merged. */
void merge_undo(struct lora_set *set);

/* Merges (unless merged already) and takes all adapters off. */
int merge_and_unload(struct model *m, const struct merge_options *o,
                     struct merge_report *report) MUST_CHECK;

/* Lets go of the kept weights; the merge stays. */
void merge_forget(struct lora_set *set);

/* ERR_ARG: "the adapter 'x' is merged, so ...". */
int merge_refuse(const struct lora_set *set, const char *what);

#endif
