/* batch.h -- the one batch type: packed tokens.
 *
 * Sequences lie one after the other; no operation touches a padding token and attention never
 * crosses a sequence. The same struct serves training, evaluation, prefill and decoding. */
#ifndef ENGINE_MODEL_BATCH_H
#define ENGINE_MODEL_BATCH_H

#include "engine/tensor/ops.h"

struct cache;

/* The host's side of a batch; all arrays borrowed. T tokens, S sequences, N targets. */
struct batch_rows {
    int64_t tokens, sequences, targets;
    const int32_t *ids;         /* [T] */
    const int32_t *positions;   /* [T] */
    const int32_t *starts;      /* [S+1] first token of each sequence */
    const int32_t *sample;      /* [T] row of the data set, for dropout; NULL = 0 */
    const int32_t *target_rows; /* [N] token that predicts */
    const int32_t *target_ids;  /* [N] what it should predict */
    const float *weights;       /* [N]; NULL = 1 */
};

struct batch {
    int64_t tokens, sequences, targets;
    struct tensor *ids, *positions;          /* I32 [T] */
    struct tensor *starts;                   /* I32 [S+1] */
    struct tensor *target_rows, *target_ids; /* I32 [N]; NULL without targets */
    struct tensor *weights;                  /* [N] */
    struct dropout_source dropout;           /* sample, offset I32 [T] */
    bool training;                           /* dropout is on */
    int64_t longest;                         /* tokens of the longest sequence */
    struct cache *cache;                     /* borrowed; NULL = none */
};

/* Copies rows to the device; ids must lie in [0, vocab). Errors: ERR_ARG naming the token,
 * ERR_MEMORY. On failure nothing is kept. */
int batch_from(struct context *ctx, const struct batch_rows *rows, int64_t vocab,
               struct batch *out) MUST_CHECK;
void batch_free(struct batch *b);

#endif
