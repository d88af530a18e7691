/* trainer_private.h -- the trainer's state, for the trainer's own files, checkpoints and the tests
 * that look inside. */
#ifndef ENGINE_TRAIN_TRAINER_PRIVATE_H
#define ENGINE_TRAIN_TRAINER_PRIVATE_H

#include "engine/data/pack.h"
#include "engine/data/sampler.h"
#include "engine/train/optimiser.h"
#include "engine/train/schedule.h"
#include "engine/train/sink.h"
#include "engine/train/trainer.h"

/* Sums since the last log entry and since the start. */
struct trainer_sums {
    double loss, hits, targets; /* since the last entry */
    int64_t steps;
    double all_loss; /* of every step so far */
    double seconds;  /* spent in training */
};

/* What training sees of its rows. */
struct run_data {
    int64_t examples, tokens, targets;
    char sha256[65]; /* of ids, lengths and masks; "" = not made, or no rows */
};

struct trainer {
    struct model *m;                       /* kept */
    const struct examples *train, *eval;   /* borrowed */
    const struct training_arguments *args; /* borrowed */
    const struct optimiser *optimiser;
    const struct schedule *schedule;
    struct order order;
    struct trained *trained;
    int64_t trained_count, trained_room;

    int64_t step_examples, epoch_steps, total_steps, warmup, log_steps, eval_steps, save_steps;
    int64_t step;   /* whole steps done */
    int64_t tokens; /* computed in training so far */

    /* the step at hand */
    bool in_step;
    int64_t *batch_order; /* [step_examples] */
    int64_t batch_count, step_targets, step_tokens;
    int64_t *micro_first, micro_room, micro_count, micro;
    struct tensor *losses;    /* F64 [micro_count or more]: loss sum of each micro-batch */
    struct tensor *step_hits; /* F64 one-element */

    /* evaluation */
    bool in_eval, eval_pending, eval_counts; /* counts: for the best model */
    int64_t *eval_order, *eval_first, eval_room, eval_count, eval_micro;
    struct tensor *eval_losses;
    double eval_seconds;

    /* saving */
    bool output, save_pending;
    const struct tokenizer *tokenizer; /* borrowed, or NULL */
    char *saved;                       /* folder of the last checkpoint */
    int64_t saved_step;
    uint64_t run; /* tells the checkpoints of this run from those of others in the folder */

    /* the best evaluation, and stopping early */
    double best_metric;
    int64_t best_step; /* -1 = none */
    char *best_checkpoint;
    int64_t patience, patience_used; /* patience 0 = off */
    double patience_threshold;
    bool stop, best_loaded, finished; /* finished: the last log entry was made */

    struct run_data train_data, eval_data; /* fingerprints, made when first asked for */

    struct tensor *sumsq, *norm, *factor, *finite, *hits; /* F64 one-element */
    struct pack pack;

    struct trainer_log *logs;
    int64_t log_count, log_room;
    struct trainer_sums sums;
    double last_norm, last_rate; /* of the last step, for a log entry asked for later */
    struct sinks sinks;
};

/* trainer_step.c: the next micro-batch of the step at hand, or its update */
int step_next(struct trainer *t, struct trainer_event *event) MUST_CHECK;
int step_cut_packs(const struct trainer *t, const struct examples *e, const int64_t *order,
                   int64_t n, int64_t **first, int64_t *room, int64_t *count) MUST_CHECK;
/* The arrays of a pack as a batch's. */
struct batch_rows step_rows(const struct pack *p);
int step_make_batch(struct trainer *t, const struct examples *e, const int64_t *order, int64_t from,
                    int64_t to, struct batch *b) MUST_CHECK;
int step_loss_room(struct context *ctx, struct tensor **losses, int64_t n) MUST_CHECK;
int step_sum_losses(struct tensor *losses, int64_t n, double *sum) MUST_CHECK;
int step_one_element(struct tensor *losses, int64_t i, struct tensor **out) MUST_CHECK;

/* trainer_eval.c: the next micro-batch of an evaluation, or its result */
bool eval_is_due(const struct trainer *t); /* after the last step */
int eval_begin(struct trainer *t) MUST_CHECK;
int eval_next(struct trainer *t, struct trainer_event *event) MUST_CHECK;

/* trainer_log.c */
int log_step(struct trainer *t, double loss, double hits, bool *logged) MUST_CHECK;
int log_now(struct trainer *t) MUST_CHECK; /* an entry of what came since the last one */
int log_eval(struct trainer *t, double loss, double accuracy) MUST_CHECK;
int log_end(struct trainer *t) MUST_CHECK; /* the run's last entry */

/* trainer_save.c: when to save; the best model */
bool save_is_due(const struct trainer *t);
int save_best_seen(struct trainer *t, double loss, double accuracy) MUST_CHECK;
int save_pending(struct trainer *t, struct trainer_event *event) MUST_CHECK;
int save_load_best(struct trainer *t) MUST_CHECK;

bool trainer_at_epoch(const struct trainer *t); /* the last step ended an epoch, or the run */

#endif
