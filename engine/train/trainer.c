/* trainer.c -- the training machine: made out of a model, rows and arguments; what comes next.
 *
 * trainer_step.c computes, trainer_eval.c evaluates, trainer_log.c keeps the log, trainer_save.c
 * decides about checkpoints and the best model. */
#include "engine/adapt/lora.h"
#include "engine/core/clock.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* --- making ---------------------------------------------------------------------------------- */

static int add_trained(void *ctx, const char *name, struct tensor *param)
{
    struct trainer *t = ctx;
    if (!param->requires_grad)
        return OK;
    TRY(mem_grow((void **)&t->trained, &t->trained_room, t->trained_count + 1, sizeof *t->trained));
    struct trained *x = &t->trained[t->trained_count];
    *x = (struct trained){.name = mem_text(name, strlen(name)), .decay = param->view.ndim > 1};
    if (!x->name)
        return ERR_MEMORY;
    x->param = tensor_keep(param);
    t->trained_count++;
    return optimiser_prepare(t->optimiser, x);
}

static int64_t share_of(double value, int64_t total)
{
    return value > 0 && value < 1 ? (int64_t)ceil(value * (double)total) : (int64_t)value;
}

static void count_steps(struct trainer *t)
{
    const struct training_arguments *a = t->args;
    t->step_examples = a->per_device_train_batch_size * a->gradient_accumulation_steps;
    t->epoch_steps = (t->train->count + t->step_examples - 1) / t->step_examples;
    t->total_steps = a->max_steps > 0
                         ? a->max_steps
                         : (int64_t)ceil(a->num_train_epochs * (double)t->epoch_steps - 1e-9);
    t->warmup = a->warmup_steps > 0 ? share_of(a->warmup_steps, t->total_steps)
                                    : (int64_t)ceil(a->warmup_ratio * (double)t->total_steps);
    t->log_steps = i64_max(share_of(a->logging_steps, t->total_steps), 1);
    t->eval_steps =
        a->eval_steps > 0 ? i64_max(share_of(a->eval_steps, t->total_steps), 1) : t->log_steps;
    t->save_steps = share_of(a->save_steps, t->total_steps);
}

static int check_inputs(const struct trainer *t)
{
    if (!t->train->count)
        return fail(ERR_ARG,
                    "training: none of %" PRId64 " rows has a token to learn; hint: check "
                    "the text column and max_length",
                    t->train->rows);
    if (t->eval && !t->eval->count)
        return fail(ERR_ARG, "evaluation: none of %" PRId64 " rows has a token to predict",
                    t->eval->rows);
    return OK;
}

static int make_scalars(struct trainer *t)
{
    struct tensor **scalars[] = {&t->sumsq,  &t->norm, &t->factor,
                                 &t->finite, &t->hits, &t->step_hits};
    for (int i = 0; i < COUNT_OF(scalars); i++)
        TRY(tensor_scalar(t->m->ctx, DT_F64, 0, scalars[i]));
    return OK;
}

static int prepare(struct trainer *t)
{
    TRY(check_inputs(t));
    TRY(arguments_check(t->args));
    TRY(optimiser_find(t->args->optim, &t->optimiser));
    TRY(schedule_find(t->args->lr_scheduler_type, &t->schedule));
    count_steps(t);
    TRY(lora_walk_all(t->m, add_trained, t));
    if (!t->trained_count)
        return fail(ERR_ARG, "training: the model has no trainable weight; hint: %s",
                    lora_of(t->m) ? "its adapter is merged, switched off, or was loaded without "
                                    "is_trainable = true"
                                  : "give peft_config = LoraConfig{...}");
    t->order.seed = (uint64_t)(t->args->data_seed >= 0 ? t->args->data_seed : t->args->seed);
    t->order.count = t->train->count;
    t->order.sequential = !strcmp(t->args->train_sampling_strategy, "sequential");
    t->batch_order = mem_calloc((size_t)t->step_examples, sizeof *t->batch_order);
    if (!t->batch_order)
        return ERR_MEMORY;
    t->eval_pending = t->eval_counts = t->eval && t->args->eval_on_start;
    return make_scalars(t);
}

int trainer_new(struct model *m, const struct examples *train, const struct examples *eval,
                const struct training_arguments *args, struct trainer **out)
{
    struct trainer *t = mem_calloc(1, sizeof *t);
    if (!t)
        return ERR_MEMORY;
    t->m = model_keep(m);
    t->train = train;
    t->eval = eval;
    t->args = args;
    t->best_step = -1;
    t->best_metric = t->last_norm = t->last_rate = NAN;
    t->saved_step = -1;
    int status = prepare(t);
    if (status)
        trainer_free(t);
    else
        *out = t;
    return status;
}

void trainer_free(struct trainer *t)
{
    if (!t)
        return;
    for (int64_t i = 0; i < t->trained_count; i++) {
        mem_free(t->trained[i].name);
        tensor_clear(&t->trained[i].param->grad);
        tensor_release(t->trained[i].param);
        for (int s = 0; s < OPTIMISER_STATES; s++)
            tensor_release(t->trained[i].state[s]);
    }
    struct tensor *owned[] = {t->sumsq, t->norm,   t->factor,      t->finite,
                              t->hits,  t->losses, t->eval_losses, t->step_hits};
    for (int i = 0; i < COUNT_OF(owned); i++)
        tensor_release(owned[i]);
    mem_free(t->trained);
    mem_free(t->batch_order);
    mem_free(t->micro_first);
    mem_free(t->eval_first);
    mem_free(t->eval_order);
    mem_free(t->logs);
    mem_free(t->saved);
    mem_free(t->best_checkpoint);
    sinks_close(&t->sinks);
    pack_free(&t->pack);
    model_release(t->m);
    mem_free(t);
}

static int unfreeze(void *ctx, const char *name, struct tensor *param)
{
    (void)ctx;
    if (param->view.dtype == DT_BLOCK)
        return fail(ERR_ARG,
                    "training: %s is stored as %s and cannot be trained itself; hint: give "
                    "peft_config = LoraConfig{...}, or load with dtype = \"float32\"",
                    name, param->format->name);
    param->requires_grad = true;
    return OK;
}

int trainer_unfreeze(struct model *m)
{
    return model_walk(m, unfreeze, NULL);
}

/* --- the machine ----------------------------------------------------------------------------- */

static int next_eval(struct trainer *t, struct trainer_event *event)
{
    double begun = clock_seconds();
    if (!t->in_eval) {
        t->eval_counts = true;
        TRY(eval_begin(t));
    }
    if (t->eval_micro == t->eval_count) /* its time goes into the log entry */
        return eval_next(t, event);
    int status = eval_next(t, event);
    t->eval_seconds += clock_seconds() - begun;
    return status;
}

/* The end of a run: the best weights, the last log entry, and then nothing. */
static int next_end(struct trainer *t, struct trainer_event *event)
{
    event->kind = TRAINER_DONE;
    if (t->finished)
        return OK;
    if (t->args->load_best_model_at_end && t->best_checkpoint && !t->best_loaded) {
        event->kind = TRAINER_BEST;
        return save_load_best(t);
    }
    event->logged = true;
    return log_end(t);
}

int trainer_next(struct trainer *t, struct trainer_event *event)
{
    int status;
    double begun = clock_seconds();
    *event = (struct trainer_event){.kind = TRAINER_DONE, .total_steps = t->total_steps};
    if (t->in_eval || t->eval_pending) {
        status = next_eval(t, event);
    } else if (t->save_pending) {
        status = save_pending(t, event);
        t->sums.seconds += clock_seconds() - begun;
    } else if (!trainer_ended(t)) {
        status = step_next(t, event);
        t->sums.seconds += clock_seconds() - begun;
    } else {
        status = next_end(t, event);
    }
    event->step = t->step;
    event->epoch = trainer_epoch(t);
    return status;
}

int trainer_ask(struct trainer *t, enum trainer_request what)
{
    switch (what) {
    case TRAINER_ASK_LOG:
        return log_now(t);
    case TRAINER_ASK_EVAL:
        if (!t->eval)
            return trainer_evaluate(t); /* which says so */
        t->eval_pending = true;
        return OK;
    case TRAINER_ASK_SAVE:
        t->save_pending = t->output;
        return OK;
    case TRAINER_ASK_STOP:
        t->stop = true;
        return OK;
    }
    return fail(ERR_INTERNAL, "trainer: no such request");
}

void trainer_go_on(struct trainer *t)
{
    t->stop = false;
    t->patience_used = 0;
    if (t->step < t->total_steps)
        t->finished = t->best_loaded = false;
}

/* --- looking in ------------------------------------------------------------------------------ */

int64_t trainer_step(const struct trainer *t)
{
    return t->step;
}

bool trainer_in_step(const struct trainer *t)
{
    return t->in_step;
}

int64_t trainer_total_steps(const struct trainer *t)
{
    return t->total_steps;
}

bool trainer_ended(const struct trainer *t)
{
    return t->stop || t->step >= t->total_steps;
}

bool trainer_at_epoch(const struct trainer *t)
{
    return t->step % t->epoch_steps == 0 || t->step == t->total_steps;
}

double trainer_train_loss(const struct trainer *t)
{
    return t->step ? t->sums.all_loss / (double)t->step : NAN;
}

double trainer_epoch(const struct trainer *t)
{
    return (double)t->step / (double)t->epoch_steps;
}

int64_t trainer_trainable(const struct trainer *t)
{
    int64_t n = 0;
    for (int64_t i = 0; i < t->trained_count; i++)
        n += tensor_count(t->trained[i].param);
    return n;
}

int64_t trainer_state_bytes(const struct trainer *t)
{
    int64_t n = 0;
    for (int64_t i = 0; i < t->trained_count; i++)
        n += tensor_count(t->trained[i].param) * (1 + t->optimiser->states) *
             (int64_t)dtype_bytes(t->m->ctx->compute);
    return n;
}
