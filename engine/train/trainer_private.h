/* trainer_private.h -- the trainer's state, for trainer.c and the tests that look inside. */
#ifndef ENGINE_TRAIN_TRAINER_PRIVATE_H
#define ENGINE_TRAIN_TRAINER_PRIVATE_H

#include "engine/data/pack.h"
#include "engine/data/sampler.h"
#include "engine/train/optimiser.h"
#include "engine/train/schedule.h"
#include "engine/train/trainer.h"

struct trainer {
    struct model *m;                       /* kept */
    const struct examples *train, *eval;   /* borrowed */
    const struct training_arguments *args; /* borrowed */
    const struct optimiser *optimiser;
    const struct schedule *schedule;
    struct order order;
    struct trained *trained;
    int64_t trained_count, trained_room;

    int64_t step_examples, epoch_steps, total_steps, warmup, log_steps, eval_steps;
    int64_t step;   /* whole steps done */
    int64_t tokens; /* computed in training so far */

    /* the step at hand */
    bool in_step;
    int64_t *batch_order; /* [step_examples] */
    int64_t batch_count, step_targets;
    int64_t *micro_first, micro_room, micro_count, micro;
    struct tensor *losses; /* F64 [micro_count or more]: loss sum of each micro-batch */

    /* evaluation */
    bool in_eval, eval_pending;
    int64_t *eval_order, *eval_first, eval_room, eval_count, eval_micro;
    struct tensor *eval_losses;

    struct tensor *sumsq, *norm, *factor, *finite, *hits; /* F64 one-element */
    struct pack pack;

    struct trainer_log *logs;
    int64_t log_count, log_room, log_n;
    double log_sum, loss_sum;
};

#endif
