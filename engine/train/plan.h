/* plan.h -- what a run will cost, known before its first step. */
#ifndef ENGINE_TRAIN_PLAN_H
#define ENGINE_TRAIN_PLAN_H

#include "engine/data/examples.h"
#include "engine/model/model.h"
#include "engine/train/arguments.h"

struct train_plan {
    int64_t weight_bytes, state_bytes, step_bytes; /* step: activations, logits, scratch at most */
    int64_t largest_pack;                          /* tokens computed at a time */
    double flops;                                  /* of all steps */
    double seconds;                                /* estimated */
};

/* Walks a training step of the largest micro-batch on the null device, which only counts memory,
 * and times a small product on the real one. 'steps' and 'tokens' (per step) of the whole run. */
int plan_make(struct model *m, const struct examples *e, const struct training_arguments *args,
              int64_t steps, int64_t state_bytes, struct train_plan *out) MUST_CHECK;

#endif
