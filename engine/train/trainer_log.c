/* trainer_log.c -- when the log gets an entry, and what stands in it. */
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"

#include <string.h>

static int add(struct trainer *t, struct trainer_log entry)
{
    TRY(mem_grow((void **)&t->logs, &t->log_room, t->log_count + 1, sizeof *t->logs));
    entry.step = t->step;
    entry.epoch = trainer_epoch(t);
    t->logs[t->log_count++] = entry;
    if (t->output)
        sinks_write(&t->sinks, t->args, t->logs, t->log_count);
    return OK;
}

static bool log_due(const struct trainer *t)
{
    if (!strcmp(t->args->logging_strategy, "no"))
        return false;
    if (t->args->logging_first_step && t->step == 1)
        return true;
    if (!strcmp(t->args->logging_strategy, "epoch"))
        return trainer_at_epoch(t);
    return t->step % t->log_steps == 0 || t->step == t->total_steps;
}

int log_now(struct trainer *t)
{
    struct trainer_sums *s = &t->sums;
    struct trainer_log entry = {0};
    if (!s->steps)
        return OK;
    log_set(&entry, LOG_LOSS, s->loss / (double)s->steps);
    log_set(&entry, LOG_GRAD_NORM, t->last_norm);
    log_set(&entry, LOG_LEARNING_RATE, t->last_rate);
    log_set(&entry, LOG_NUM_TOKENS, (double)t->tokens);
    if (s->targets > 0)
        log_set(&entry, LOG_ACCURACY, s->hits / s->targets);
    TRY(add(t, entry));
    s->loss = s->hits = s->targets = 0;
    s->steps = 0;
    return OK;
}

int log_step(struct trainer *t, double loss, double hits, bool *logged)
{
    t->sums.loss += loss;
    t->sums.hits += hits;
    t->sums.targets += (double)t->step_targets;
    t->sums.steps++;
    t->sums.all_loss += loss;
    *logged = log_due(t);
    return *logged ? log_now(t) : OK;
}

int log_eval(struct trainer *t, double loss, double accuracy)
{
    struct trainer_log entry = {0};
    log_set(&entry, LOG_EVAL_LOSS, loss);
    log_set(&entry, LOG_EVAL_ACCURACY, accuracy);
    log_set(&entry, LOG_EVAL_RUNTIME, t->eval_seconds);
    if (t->eval_seconds > 0) {
        log_set(&entry, LOG_EVAL_SAMPLES_PER_SECOND, (double)t->eval->count / t->eval_seconds);
        log_set(&entry, LOG_EVAL_STEPS_PER_SECOND, (double)t->eval_count / t->eval_seconds);
    }
    return add(t, entry);
}

/* Multiplications and additions of training, by transformers' rule of thumb. */
static double flops(const struct trainer *t)
{
    return 6.0 * (double)t->tokens * (double)model_parameters(t->m);
}

int log_end(struct trainer *t)
{
    struct trainer_log entry = {0};
    double seconds = t->sums.seconds;
    log_set(&entry, LOG_TRAIN_LOSS, trainer_train_loss(t));
    log_set(&entry, LOG_TRAIN_RUNTIME, seconds);
    log_set(&entry, LOG_TOTAL_FLOS, flops(t));
    if (seconds > 0) {
        double examples = trainer_epoch(t) * (double)t->train->count;
        log_set(&entry, LOG_TRAIN_SAMPLES_PER_SECOND, examples / seconds);
        log_set(&entry, LOG_TRAIN_STEPS_PER_SECOND, (double)t->step / seconds);
    }
    TRY(add(t, entry));
    t->finished = true;
    return OK;
}

const struct trainer_log *trainer_logs(const struct trainer *t, int64_t *count)
{
    *count = t->log_count;
    return t->logs;
}

const char *trainer_log_problem(struct trainer *t)
{
    return sinks_problem(&t->sinks);
}
