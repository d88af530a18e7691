/* log.h -- entries of a run's log: one list of names for transformers' log_history, JSON lines,
 * TensorBoard and Lua. */
#ifndef ENGINE_TRAIN_LOG_H
#define ENGINE_TRAIN_LOG_H

#include "engine/core/json.h"
#include "engine/core/json_write.h"

enum log_name {
    LOG_LOSS,
    LOG_GRAD_NORM,
    LOG_LEARNING_RATE,
    LOG_NUM_TOKENS,
    LOG_ACCURACY,
    LOG_EVAL_LOSS,
    LOG_EVAL_ACCURACY,
    LOG_EVAL_RUNTIME, /* seconds */
    LOG_EVAL_SAMPLES_PER_SECOND,
    LOG_EVAL_STEPS_PER_SECOND,
    LOG_TRAIN_LOSS,
    LOG_TRAIN_RUNTIME,
    LOG_TRAIN_SAMPLES_PER_SECOND,
    LOG_TRAIN_STEPS_PER_SECOND,
    LOG_TOTAL_FLOS,
    LOG_NAMES
};

/* One entry. A value that is there may be NaN: a loss that is no number is shown as such. */
struct trainer_log {
    int64_t step;
    double epoch;
    uint32_t has; /* bit n: value[n] is in this entry */
    double value[LOG_NAMES];
};

struct log_field {
    const char *name; /* in log_history */
    const char *tag;  /* in TensorBoard */
    bool timing;      /* differs from run to run */
};
extern const struct log_field log_fields[LOG_NAMES];

void log_set(struct trainer_log *e, enum log_name name, double value);
bool log_has(const struct trainer_log *e, enum log_name name);
double log_get(const struct trainer_log *e, enum log_name name); /* NaN when it is not there */

/* "loss" or "eval_loss" -> its name; LOG_NAMES = there is none. */
enum log_name log_find(const char *name);

/* The entry as an object, keys sorted: {"epoch": 1.0, "loss": 2.5, "step": 3}. */
void log_write(struct json_writer *w, const char *key, const struct trainer_log *e);

/* The next value of the text, an object as log_write makes it; null is NaN. Unknown keys are left
 * out. */
int log_read(struct json *j, struct trainer_log *out) MUST_CHECK;

#endif
