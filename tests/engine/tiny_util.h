/* tiny_util.h -- a tiny llama model of random weights, made without a file, and packed batches. */
#ifndef TESTS_ENGINE_TINY_UTIL_H
#define TESTS_ENGINE_TINY_UTIL_H

#include "tests/engine/engine_util.h"

#define TINY_VOCAB 13

/* Two layers, grouped heads, sliding window; 1,000 to 1,800 parameters of the context's compute
 * dtype. The same values on every device. */
struct tiny_options {
    bool tied;
    int64_t window, context; /* 0 = none; 0 = 64 */
    int64_t layers;          /* 0 = 2 */
};
struct model *tiny_model(struct context *ctx, const struct tiny_options *o);
int tiny_model_try(struct context *ctx, const struct tiny_options *o, struct model **out);

/* Makes every tensor of the model a trainable leaf. */
void tiny_train_all(struct model *m);

/* LoRA on the named targets ("all-linear", "q_proj,v_proj"), with further options after a ';'
 * ("q_proj;modules_to_save=norm"); B is random, so that A has gradients. */
struct lora *tiny_lora(struct model *m, const char *targets, double dropout, uint64_t seed);

/* Samples of the given lengths, packed; sample keys first_sample, first_sample + 1, ...; loss masks
 * on: the first token of each sample predicts nothing, and every third target has another weight.
 * 'only' >= 0: a batch of that one sample alone. */
struct tiny_rows {
    int64_t samples;
    int64_t length[8];
    int32_t first_sample;
    bool training; /* dropout on */
};
int tiny_batch_try(struct model *m, const struct tiny_rows *r, int only, struct batch *out);
struct batch tiny_batch(struct model *m, const struct tiny_rows *r, int only);

/* Gradients of all leaves of the model and its adapter, one after the other. Those without count
 * as zero. Free with mem_free. */
double *tiny_gradients(struct model *m, int64_t *n);
void tiny_clear_gradients(struct model *m);

/* Loss and backward. */
int tiny_step(struct model *m, const struct batch *b, double scale, double *loss);

#endif
