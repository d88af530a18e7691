/* trainer.h -- training as a machine that is pulled: one micro-batch per call.
 *
 * The loop, progress and Ctrl-C live above: whoever stops calling has paused, with gradients,
 * moments and data position kept, and going on gives the same bits as never having paused. A step
 * is a transaction: computed, checked finite, then applied. The loss of a step is summed over its
 * targets and divided once, so any cut into micro-batches gives the same gradient. */
#ifndef ENGINE_TRAIN_TRAINER_H
#define ENGINE_TRAIN_TRAINER_H

#include "engine/data/examples.h"
#include "engine/model/model.h"
#include "engine/train/arguments.h"

enum trainer_event_kind {
    TRAINER_MICRO, /* a micro-batch of the step at hand is done */
    TRAINER_STEP,  /* a step was applied */
    TRAINER_EVAL_MICRO,
    TRAINER_EVAL, /* an evaluation is complete */
    TRAINER_DONE, /* nothing left to do */
};

/* One entry of trainer.state.log_history; NaN = not in this entry. */
struct trainer_log {
    int64_t step;
    double epoch;
    double loss, grad_norm, learning_rate;         /* training */
    double eval_loss, eval_accuracy, eval_seconds; /* evaluation */
    double train_loss, seconds;                    /* last entry */
};

struct trainer_event {
    enum trainer_event_kind kind;
    int64_t step, total_steps; /* whole steps done */
    double epoch;
    int64_t micro, micro_total;            /* of the step or evaluation at hand */
    int64_t tokens;                        /* computed by this micro-batch */
    double loss, grad_norm, learning_rate; /* STEP: its own values; EVAL: loss */
    double accuracy;                       /* EVAL: share of targets that are the likeliest token */
    bool logged;                           /* STEP: an entry was added to the log */
};

struct trainer;

/* 'train' and 'eval' (may be NULL) are borrowed and must stay. The model's trainable tensors are
 * those with requires_grad (an adapter's, or all: see trainer_unfreeze). Errors: ERR_ARG for
 * nothing to train, nothing to learn, unknown optimiser or schedule. */
int trainer_new(struct model *m, const struct examples *train, const struct examples *eval,
                const struct training_arguments *args, struct trainer **out) MUST_CHECK;
void trainer_free(struct trainer *t); /* NULL is fine */

/* Makes every floating-point weight of a model without adapter trainable. ERR_ARG naming a weight
 * that is stored in blocks. */
int trainer_unfreeze(struct model *m) MUST_CHECK;

/* Does the next piece of work and says what it was. ERR_NUMERIC: the step's gradient is not finite;
 * the message names the first bad tensor, weights are unchanged, and the step can be tried again
 * or the run given up. */
int trainer_next(struct trainer *t, struct trainer_event *event) MUST_CHECK;

/* Starts an evaluation now (it may interrupt a step, which is kept): then call trainer_next until
 * TRAINER_EVAL. ERR_ARG without evaluation data. */
int trainer_evaluate(struct trainer *t) MUST_CHECK;

/* Forgets the micro-batches of a step that is not complete. */
void trainer_drop_step(struct trainer *t);

int64_t trainer_step(const struct trainer *t); /* whole steps done */
bool trainer_in_step(const struct trainer *t); /* paused inside one */
int64_t trainer_total_steps(const struct trainer *t);
double trainer_epoch(const struct trainer *t);
int64_t trainer_trainable(const struct trainer *t);   /* trained weights */
int64_t trainer_state_bytes(const struct trainer *t); /* optimiser state and gradients */

const struct trainer_log *trainer_logs(const struct trainer *t, int64_t *count);

#endif
