/* trainer.h -- training as a machine that is pulled: one micro-batch per call.
 *
 * The loop, progress and Ctrl-C live above: whoever stops calling has paused, with gradients,
 * moments and data position kept, and going on gives the same bits as never having paused. A step
 * is a transaction: computed, checked finite, then applied. The loss of a step is summed over its
 * targets and divided once, so any cut into micro-batches gives the same gradient. Checkpoints,
 * the best model and the log are written by the machine itself, once trainer_set_output has said
 * where. */
#ifndef ENGINE_TRAIN_TRAINER_H
#define ENGINE_TRAIN_TRAINER_H

#include "engine/data/examples.h"
#include "engine/model/model.h"
#include "engine/train/arguments.h"
#include "engine/train/log.h"

enum trainer_event_kind {
    TRAINER_MICRO, /* a micro-batch of the step at hand is done */
    TRAINER_STEP,  /* a step was applied */
    TRAINER_EVAL_MICRO,
    TRAINER_EVAL, /* an evaluation is complete */
    TRAINER_SAVE, /* a checkpoint was written: trainer_saved tells where */
    TRAINER_BEST, /* the weights of the best checkpoint were loaded, at the end of the run */
    TRAINER_DONE, /* nothing left to do */
};

struct trainer_event {
    enum trainer_event_kind kind;
    int64_t step, total_steps; /* whole steps done */
    double epoch;
    int64_t micro, micro_total;            /* of the step or evaluation at hand */
    int64_t tokens;                        /* computed by this micro-batch */
    double loss, grad_norm, learning_rate; /* STEP: its own values; EVAL: loss */
    double accuracy;                       /* EVAL: share of targets that are the likeliest token */
    bool logged;                           /* an entry was added to the log */
};

struct trainer;
struct tokenizer;

/* 'train' and 'eval' (may be NULL) are borrowed and must stay. The model's trainable tensors are
 * those with requires_grad (an adapter's, or all: see trainer_unfreeze). Errors: ERR_ARG for
 * nothing to train, nothing to learn, unknown optimiser or schedule, arguments that contradict one
 * another. */
int trainer_new(struct model *m, const struct examples *train, const struct examples *eval,
                const struct training_arguments *args, struct trainer **out) MUST_CHECK;
void trainer_free(struct trainer *t); /* NULL is fine */

/* From now on checkpoints and logs are written under args->output_dir, as the arguments say.
 * 'tokenizer' (may be NULL) is borrowed: its files go into every checkpoint. Nothing is written
 * before the first step. */
void trainer_set_output(struct trainer *t, const struct tokenizer *tokenizer);

/* Ends the run when 'patience' evaluations in a row were not better than the best by more than
 * 'threshold'. ERR_ARG without metric_for_best_model or without evaluations. */
int trainer_stop_early(struct trainer *t, int64_t patience, double threshold) MUST_CHECK;

/* Makes every floating-point weight of a model without adapter trainable. ERR_ARG naming a weight
 * that is stored in blocks. */
int trainer_unfreeze(struct model *m) MUST_CHECK;

/* Does the next piece of work and says what it was. ERR_NUMERIC: the step's gradient is not finite;
 * the message names the first bad tensor, weights are unchanged, and the step can be tried again
 * or the run given up. A checkpoint that cannot be written is an error of the file layer: nothing
 * is lost, and the next call tries again (trainer_skip_save goes on without it). */
int trainer_next(struct trainer *t, struct trainer_event *event) MUST_CHECK;

/* Starts an evaluation now (it may interrupt a step, which is kept): then call trainer_next until
 * TRAINER_EVAL. It does not count for the best model. ERR_ARG without evaluation data. */
int trainer_evaluate(struct trainer *t) MUST_CHECK;

/* What a callback may ask for after a step: done by the next calls of trainer_next. */
enum trainer_request { TRAINER_ASK_LOG, TRAINER_ASK_EVAL, TRAINER_ASK_SAVE, TRAINER_ASK_STOP };
int trainer_ask(struct trainer *t, enum trainer_request what) MUST_CHECK;
void trainer_go_on(struct trainer *t); /* takes back TRAINER_ASK_STOP and an early stop */
void trainer_skip_save(struct trainer *t);

/* Forgets the micro-batches of a step that is not complete. */
void trainer_drop_step(struct trainer *t);

/* Writes a checkpoint of the last whole step now, whatever the strategy says; one that is there
 * already is not written again. *path (borrowed, until the next save) is its folder. */
int trainer_save(struct trainer *t, const char **path) MUST_CHECK;

int64_t trainer_step(const struct trainer *t); /* whole steps done */
bool trainer_in_step(const struct trainer *t); /* paused inside one */
bool trainer_ended(const struct trainer *t);   /* all steps done, or stopped early */
int64_t trainer_total_steps(const struct trainer *t);
bool trainer_unsaved(const struct trainer *t); /* steps were done that no checkpoint holds */
double trainer_epoch(const struct trainer *t);
double trainer_train_loss(const struct trainer *t); /* mean over all steps; NaN before the first */
int64_t trainer_trainable(const struct trainer *t); /* trained weights */
int64_t trainer_state_bytes(const struct trainer *t); /* optimiser state and gradients */
const char *trainer_saved(const struct trainer *t);   /* folder of the last checkpoint, or NULL */

/* The best evaluation so far; metric NaN and NULL = none. */
struct trainer_best {
    double metric;
    int64_t step;
    const char *checkpoint;
};
struct trainer_best trainer_best(const struct trainer *t);

const struct trainer_log *trainer_logs(const struct trainer *t, int64_t *count);

/* Why a log could not be written since the last call, NULL = all went well. Training goes on. */
const char *trainer_log_problem(struct trainer *t);

#endif
