/* run_state.h -- what a checkpoint knows besides tensors: lorash_state.json and transformers'
 * trainer_state.json.
 *
 * Randomness is a function of seeds and counters and the order of rows one of seed, epoch and
 * position, so a run is its step number, its sums, its log and the arguments that it stands on. */
#ifndef ENGINE_TRAIN_RUN_STATE_H
#define ENGINE_TRAIN_RUN_STATE_H

#include "engine/train/trainer_private.h"

#define RUN_STATE_VERSION 1

/* An option as text: exact, so that equal texts mean equal values. */
struct run_option {
    char *name, *value; /* owned; value NULL = not given */
};

struct run_options {
    struct run_option *items;
    int64_t count, room;
};

struct run_state {
    int64_t version, step, total_steps, tokens;
    int64_t epoch, position; /* the data cursor: the next step's first example */
    bool eval_pending;
    struct trainer_sums sums;
    double last_norm, last_rate;
    double best_metric;
    int64_t best_step, patience_used;
    char *best_checkpoint; /* owned; folder name, or NULL */
    struct run_data train, eval;
    char *model_type, *device; /* owned */
    char *base;                /* owned; where the model came from, or NULL */
    int64_t model_parameters, model_bytes;
    bool adapter;
    struct run_options arguments, adapter_options;
    struct trainer_log *logs;
    int64_t log_count, log_room;
};
void run_state_free(struct run_state *s); /* zeroed is fine */

/* The state of a trainer at its last whole step. */
int run_state_of(struct trainer *t, struct run_state *out) MUST_CHECK;

void run_state_write(struct buffer *out, const struct run_state *s);
void run_state_write_logs(struct json_writer *w, const struct run_state *s);
int run_state_parse(const char *bytes, size_t length, struct run_state *out) MUST_CHECK;

/* Can a trainer that stands on 'now' go on from 'saved'? ERR_ARG with what differs and a hint; what
 * may differ is told in lines added to 'notes'. */
int run_state_compare(const struct run_state *saved, const struct run_state *now,
                      struct buffer *notes) MUST_CHECK;

/* trainer_state.json, with the keys that transformers' TrainerState takes. */
void run_state_write_transformers(struct buffer *out, const struct trainer *t,
                                  const struct run_state *s);

#endif
