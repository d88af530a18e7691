/* run_util.h -- a small training run that can be begun, saved, thrown away and gone on with. */
#ifndef TESTS_ENGINE_RUN_UTIL_H
#define TESTS_ENGINE_RUN_UTIL_H

#include "engine/train/trainer.h"
#include "tests/engine/engine_util.h"

struct run_setting {
    bool full;         /* train the whole model, not an adapter */
    const char *dtype; /* of the model's weights: "float32", "bfloat16" */
    double dropout;
    int accumulate, threads;
    const char *micro; /* micro_batch_tokens */
    const char *steps; /* max_steps */
};

struct run {
    struct context *ctx;
    struct model *m;
    struct lora *lora;
    struct examples *data, *eval;
    struct training_arguments args;
    struct trainer *t;
};

/* A model of tests/golden, 13 rows to train and 4 to evaluate on, checkpoints and logs under
 * 'folder'. The trainer is made by run_start, so that arguments can be set before. */
void run_open(struct run *r, const struct run_setting *s, const char *folder);
void run_set(struct run *r, const char *name, const char *value);
void run_start(struct run *r);
void run_close(struct run *r);

/* Pulls until 'steps' whole steps are done and everything due then; then 'micro' micro-batches of
 * the next one. */
void run_to(struct run *r, int64_t steps, int micro);
void run_to_end(struct run *r);

/* Everything that must not differ: trained weights, optimiser state, counters, log without times. */
uint64_t run_hash(struct run *r);

/* A fresh folder under TMPDIR (default: in memory), and its removal. */
void run_folder(char out[256]);
void run_folder_remove(const char *folder);

#endif
