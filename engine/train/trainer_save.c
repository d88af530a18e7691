/* trainer_save.c -- when a checkpoint is due, which model was the best, when to stop early. */
#include "engine/core/hash.h"
#include "engine/train/checkpoint.h"
#include "engine/train/checkpoint_folder.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

void trainer_set_output(struct trainer *t, const struct tokenizer *tokenizer)
{
    static atomic_uint_fast64_t runs;
    t->output = true;
    t->tokenizer = tokenizer;
    t->run = hash_number(hash_seed(), atomic_fetch_add(&runs, 1) + 1);
}

bool save_is_due(const struct trainer *t)
{
    const char *when = t->args->save_strategy;
    if (!t->output || !strcmp(when, "no") || !strcmp(when, "best"))
        return false;
    if (!strcmp(when, "epoch"))
        return trainer_at_epoch(t);
    return (t->save_steps > 0 && t->step % t->save_steps == 0) || t->step == t->total_steps;
}

int trainer_save(struct trainer *t, const char **path)
{
    char *folder = NULL;
    if (!t->output)
        return fail(ERR_ARG, "the trainer has no output folder");
    if (!t->saved || t->saved_step != t->step) {
        TRY(checkpoint_write(t, &folder));
        mem_free(t->saved);
        t->saved = folder;
        t->saved_step = t->step;
    }
    t->save_pending = false;
    *path = t->saved;
    return checkpoint_retire(t->args->output_dir, t->run, t->args->save_total_limit,
                             t->best_checkpoint);
}

int save_pending(struct trainer *t, struct trainer_event *event)
{
    const char *path;
    event->kind = TRAINER_SAVE;
    return trainer_save(t, &path);
}

bool trainer_unsaved(const struct trainer *t)
{
    return t->step > 0 && t->saved_step != t->step;
}

void trainer_skip_save(struct trainer *t)
{
    t->save_pending = false;
}

const char *trainer_saved(const struct trainer *t)
{
    return t->saved;
}

/* --- the best model --------------------------------------------------------------------------- */

int trainer_stop_early(struct trainer *t, int64_t patience, double threshold)
{
    char name[64];
    if (!arguments_metric(t->args, name))
        return fail(ERR_ARG, "EarlyStoppingCallback: no metric_for_best_model is given; hint: "
                             "metric_for_best_model = \"loss\"");
    if (!t->eval || !strcmp(t->args->eval_strategy, "no"))
        return fail(ERR_ARG, "EarlyStoppingCallback: nothing is evaluated; hint: eval_strategy = "
                             "\"steps\" and an eval_dataset");
    t->patience = patience;
    t->patience_threshold = threshold;
    return OK;
}

/* As transformers: compared with the best before this evaluation; NaN is never better. */
int save_best_seen(struct trainer *t, double loss, double accuracy)
{
    char name[64];
    const char *metric = arguments_metric(t->args, name);
    if (!metric)
        return OK;
    double value = !strcmp(metric, "eval_loss") ? loss : accuracy;
    bool first = t->best_step < 0;
    bool greater = arguments_greater_is_better(t->args);
    bool better =
        !isnan(value) && (first || (greater ? value > t->best_metric : value < t->best_metric));
    bool enough = better && (first || fabs(value - t->best_metric) > t->patience_threshold);
    if (t->patience) {
        t->patience_used = enough ? 0 : t->patience_used + 1;
        t->stop = t->stop || t->patience_used >= t->patience;
    }
    if (better) {
        t->best_metric = value;
        t->best_step = t->step;
    }
    if (t->output && !strcmp(t->args->save_strategy, "best"))
        t->save_pending = better;
    else if (t->output && t->stop && !strcmp(t->args->save_strategy, "steps"))
        t->save_pending = true; /* as at the end of a run */
    return OK;
}

int save_load_best(struct trainer *t)
{
    TRY(checkpoint_load_weights(t, t->best_checkpoint));
    t->best_loaded = true;
    return OK;
}

struct trainer_best trainer_best(const struct trainer *t)
{
    return (struct trainer_best){t->best_metric, t->best_step, t->best_checkpoint};
}
