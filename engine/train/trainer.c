/* trainer.c -- the training machine: steps out of micro-batches, the update, the log. */
#include "engine/train/trainer.h"
#include "engine/adapt/lora.h"
#include "engine/data/pack.h"
#include "engine/data/sampler.h"
#include "engine/tensor/autograd.h"
#include "engine/train/optimiser.h"
#include "engine/train/schedule.h"
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
    struct tensor **scalars[] = {&t->sumsq, &t->norm, &t->factor, &t->finite, &t->hits};
    for (int i = 0; i < COUNT_OF(scalars); i++)
        TRY(tensor_scalar(t->m->ctx, DT_F64, 0, scalars[i]));
    return OK;
}

static int prepare(struct trainer *t)
{
    TRY(check_inputs(t));
    TRY(optimiser_find(t->args->optim, &t->optimiser));
    TRY(schedule_find(t->args->lr_scheduler_type, &t->schedule));
    count_steps(t);
    TRY(lora_walk_all(t->m, add_trained, t));
    if (!t->trained_count)
        return fail(ERR_ARG,
                    "training: the model has no trainable weight; hint: give peft_config = "
                    "LoraConfig{...}");
    t->order.seed = (uint64_t)(t->args->data_seed >= 0 ? t->args->data_seed : t->args->seed);
    t->order.count = t->train->count;
    t->order.sequential = !strcmp(t->args->train_sampling_strategy, "sequential");
    t->batch_order = mem_calloc((size_t)t->step_examples, sizeof *t->batch_order);
    if (!t->batch_order)
        return ERR_MEMORY;
    t->eval_pending = t->eval && t->args->eval_on_start;
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
    t->log_sum = 0;
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
    struct tensor *owned[] = {t->sumsq, t->norm,   t->factor,     t->finite,
                              t->hits,  t->losses, t->eval_losses};
    for (int i = 0; i < COUNT_OF(owned); i++)
        tensor_release(owned[i]);
    mem_free(t->trained);
    mem_free(t->batch_order);
    mem_free(t->micro_first);
    mem_free(t->eval_first);
    mem_free(t->eval_order);
    mem_free(t->logs);
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

/* --- a step ---------------------------------------------------------------------------------- */

/* Cuts 'n' examples of 'order' into packs of at most micro_batch_tokens: first[i] is where pack i
 * begins, first[*count] = n. */
static int cut_packs(const struct trainer *t, const struct examples *e, const int64_t *order,
                     int64_t n, int64_t **first, int64_t *room, int64_t *count)
{
    *count = 0;
    for (int64_t at = 0; at < n;) {
        TRY(mem_grow((void **)first, room, *count + 2, sizeof **first));
        (*first)[(*count)++] = at;
        at += pack_fit(e, order + at, n - at, t->args->micro_batch_tokens);
        (*first)[*count] = at;
    }
    return OK;
}

static int zero_grads(struct trainer *t)
{
    for (int64_t i = 0; i < t->trained_count; i++) {
        struct tensor *p = t->trained[i].param;
        if (!p->grad)
            TRY(tensor_new_like(p, p->ctx->compute, &p->grad));
        TRY(tensor_fill(p->grad, 0));
    }
    return OK;
}

/* Zeroed F64 [n], kept from step to step while it is large enough. */
static int loss_room(struct context *ctx, struct tensor **losses, int64_t n)
{
    if (!*losses || tensor_count(*losses) < n) {
        tensor_clear(losses);
        TRY(tensor_new(ctx, DT_F64, 1, &n, losses));
    }
    return tensor_fill(*losses, 0);
}

static int begin_step(struct trainer *t)
{
    int64_t epoch = t->step / t->epoch_steps, in_epoch = t->step % t->epoch_steps;
    int64_t from = in_epoch * t->step_examples;
    t->batch_count = i64_min(t->step_examples, t->train->count - from);
    t->step_targets = 0;
    for (int64_t i = 0; i < t->batch_count; i++) {
        t->batch_order[i] = order_example(&t->order, epoch, from + i);
        t->step_targets += t->train->items[t->batch_order[i]].targets;
    }
    TRY(cut_packs(t, t->train, t->batch_order, t->batch_count, &t->micro_first, &t->micro_room,
                  &t->micro_count));
    TRY(zero_grads(t));
    TRY(loss_room(t->m->ctx, &t->losses, t->micro_count));
    t->micro = 0;
    t->in_step = true;
    return OK;
}

void trainer_drop_step(struct trainer *t)
{
    t->in_step = false;
    t->micro = 0;
}

/* Packs examples order[from..to) and copies them to the device. */
static int make_batch(struct trainer *t, const struct examples *e, const int64_t *order,
                      int64_t from, int64_t to, struct batch *b)
{
    pack_clear(&t->pack);
    for (int64_t i = from; i < to; i++)
        TRY(pack_add(&t->pack, e, order[i]));
    const struct pack *p = &t->pack;
    struct batch_rows rows = {.tokens = p->tokens,
                              .sequences = p->sequences,
                              .targets = p->targets,
                              .ids = p->ids,
                              .positions = p->positions,
                              .starts = p->starts,
                              .sample = p->sample,
                              .target_rows = p->target_rows,
                              .target_ids = p->target_ids};
    return batch_from(t->m->ctx, &rows, t->m->config.vocab_size, b);
}

/* Element i as a scalar on the same memory. */
static int one_element(struct tensor *losses, int64_t i, struct tensor **out)
{
    struct view v = view_slice(losses->view, 0, i, 1);
    v.ndim = 0;
    return tensor_view(losses, v, out);
}

static int run_micro(struct trainer *t, struct batch *b)
{
    struct tensor *loss = NULL, *total = NULL;
    TRY(one_element(t->losses, t->micro, &total));
    struct loss_tally tally = {.total = total};
    b->training = true;
    b->dropout.key = rng_key((uint64_t)t->args->seed, RNG_DROPOUT);
    b->dropout.epoch = (uint32_t)(t->step / t->epoch_steps);
    int status = model_loss(t->m, b, 1.0 / (double)t->step_targets, t->args->label_smoothing_factor,
                            &tally, &loss);
    if (!status)
        status = tensor_backward(loss, NULL);
    tensor_release(loss);
    tensor_release(total);
    return status;
}

static int train_micro(struct trainer *t, struct trainer_event *event)
{
    struct batch b;
    TRY(make_batch(t, t->train, t->batch_order, t->micro_first[t->micro],
                   t->micro_first[t->micro + 1], &b));
    int status = run_micro(t, &b);
    event->tokens = b.tokens;
    batch_free(&b);
    if (status) { /* gradients may hold half of it: the step starts again */
        trainer_drop_step(t);
        return status;
    }
    t->micro++;
    t->tokens += event->tokens;
    return OK;
}

/* --- the update ------------------------------------------------------------------------------ */

static int clip_grads(struct trainer *t)
{
    struct context *ctx = t->m->ctx;
    TRY(tensor_fill(t->sumsq, 0));
    for (int64_t i = 0; i < t->trained_count; i++) {
        struct tensor *g = t->trained[i].param->grad;
        TRY(RUN(ctx, sumsq, .out = t->sumsq->view, .x = g->view));
    }
    return RUN(ctx, clip, .sumsq = t->sumsq->view, .norm = t->norm->view, .factor = t->factor->view,
               .finite = t->finite->view, .max_norm = t->args->max_grad_norm);
}

static int first_bad_gradient(struct trainer *t)
{
    double bad[STATS_FIXED + 1];
    int64_t n = STATS_FIXED + 1;
    struct tensor *stats;
    TRY(tensor_new(t->m->ctx, DT_F64, 1, &n, &stats));
    int status = OK;
    for (int64_t i = 0; i < t->trained_count && !status; i++) {
        status = RUN(t->m->ctx, stats, .out = stats->view, .x = t->trained[i].param->grad->view,
                     .bins = 1);
        if (!status)
            status = tensor_read(stats, bad);
        if (!status && bad[1] + bad[2] > 0)
            status = fail(ERR_NUMERIC,
                          "step %" PRId64 ": the gradient of %s has %.0f NaN and %.0f "
                          "infinite values; weights are unchanged; hint: lower the "
                          "learning rate, or look at the data and the adapter's weights",
                          t->step + 1, t->trained[i].name, bad[1], bad[2]);
    }
    tensor_release(stats);
    return status ? status
                  : fail(ERR_NUMERIC,
                         "step %" PRId64 ": the gradient's norm is too large for a "
                         "number; weights are unchanged; hint: lower the learning rate",
                         t->step + 1);
}

static double rate_of(const struct trainer *t)
{
    return t->args->learning_rate *
           schedule_factor(t->schedule, t->step, t->warmup, t->total_steps);
}

static int apply(struct trainer *t, double rate)
{
    const struct training_arguments *a = t->args;
    struct optimiser_step s = {.lr = rate,
                               .beta1 = a->adam_beta1,
                               .beta2 = a->adam_beta2,
                               .epsilon = a->adam_epsilon,
                               .weight_decay = a->weight_decay,
                               .step = t->step + 1,
                               .factor = t->factor,
                               .finite = t->finite};
    for (int64_t i = 0; i < t->trained_count; i++)
        TRY(t->optimiser->apply(&t->trained[i], &s));
    return device_sync(t->m->ctx->device);
}

/* Sum of the first n losses. */
static int sum_losses(struct tensor *losses, int64_t n, double *sum)
{
    double *values = mem_alloc((size_t)tensor_count(losses) * sizeof *values);
    if (!values)
        return ERR_MEMORY;
    int status = tensor_read(losses, values);
    *sum = 0;
    for (int64_t i = 0; i < n && !status; i++)
        *sum += values[i];
    mem_free(values);
    return status;
}

static int add_log(struct trainer *t, struct trainer_log entry)
{
    TRY(mem_grow((void **)&t->logs, &t->log_room, t->log_count + 1, sizeof *t->logs));
    entry.step = t->step;
    entry.epoch = trainer_epoch(t);
    t->logs[t->log_count++] = entry;
    return OK;
}

#define EMPTY_LOG                                                                    \
    {                                                                                \
        .loss = NAN, .grad_norm = NAN, .learning_rate = NAN, .eval_loss = NAN,       \
        .eval_accuracy = NAN, .eval_seconds = NAN, .train_loss = NAN, .seconds = NAN \
    }

static bool log_due(const struct trainer *t)
{
    if (!strcmp(t->args->logging_strategy, "no"))
        return false;
    if (t->args->logging_first_step && t->step == 1)
        return true;
    if (!strcmp(t->args->logging_strategy, "epoch"))
        return t->step % t->epoch_steps == 0 || t->step == t->total_steps;
    return t->step % t->log_steps == 0 || t->step == t->total_steps;
}

static bool eval_due(const struct trainer *t)
{
    if (!t->eval || !strcmp(t->args->eval_strategy, "no"))
        return false;
    if (!strcmp(t->args->eval_strategy, "epoch"))
        return t->step % t->epoch_steps == 0 || t->step == t->total_steps;
    return t->step % t->eval_steps == 0 || t->step == t->total_steps;
}

static int log_step(struct trainer *t, double loss, double norm, double rate, bool *logged)
{
    t->log_sum += loss;
    t->log_n++;
    t->loss_sum += loss;
    *logged = log_due(t);
    if (!*logged)
        return OK;
    struct trainer_log entry = EMPTY_LOG;
    entry.loss = t->log_sum / (double)t->log_n;
    entry.grad_norm = norm;
    entry.learning_rate = rate;
    t->log_sum = 0;
    t->log_n = 0;
    return add_log(t, entry);
}

static int finish_step(struct trainer *t, struct trainer_event *event)
{
    double loss, norm, finite, rate = rate_of(t);
    TRY(clip_grads(t));
    TRY(tensor_item(t->finite, &finite));
    TRY(tensor_item(t->norm, &norm));
    TRY(sum_losses(t->losses, t->micro_count, &loss));
    if (finite == 0) {
        trainer_drop_step(t);
        return first_bad_gradient(t);
    }
    TRY(apply(t, rate));
    t->in_step = false;
    t->step++;
    loss /= (double)t->step_targets;
    event->kind = TRAINER_STEP;
    event->loss = loss;
    event->grad_norm = norm;
    event->learning_rate = rate;
    t->eval_pending = t->eval_pending || eval_due(t);
    return log_step(t, loss, norm, rate, &event->logged);
}

/* --- evaluation ------------------------------------------------------------------------------ */

static int begin_eval(struct trainer *t)
{
    const struct examples *e = t->eval;
    if (!t->eval_order) {
        t->eval_order = mem_calloc((size_t)e->count, sizeof *t->eval_order);
        if (!t->eval_order)
            return ERR_MEMORY;
        for (int64_t i = 0; i < e->count; i++)
            t->eval_order[i] = i;
        TRY(cut_packs(t, e, t->eval_order, e->count, &t->eval_first, &t->eval_room,
                      &t->eval_count));
    }
    TRY(loss_room(t->m->ctx, &t->eval_losses, t->eval_count));
    TRY(tensor_fill(t->hits, 0));
    t->eval_micro = 0;
    t->in_eval = true;
    t->eval_pending = false;
    return OK;
}

int trainer_evaluate(struct trainer *t)
{
    if (!t->eval)
        return fail(ERR_ARG, "evaluate: the trainer has no eval_dataset; hint: SFTTrainer{..., "
                             "eval_dataset = ...}");
    return begin_eval(t);
}

static int eval_micro(struct trainer *t, struct trainer_event *event)
{
    struct batch b;
    struct tensor *loss = NULL, *total = NULL;
    struct context *ctx = t->m->ctx;
    bool grad = ctx->grad;
    TRY(make_batch(t, t->eval, t->eval_order, t->eval_first[t->eval_micro],
                   t->eval_first[t->eval_micro + 1], &b));
    ctx->grad = false;
    int status = one_element(t->eval_losses, t->eval_micro, &total);
    struct loss_tally tally = {.total = total, .hits = t->hits};
    if (!status)
        status = model_loss(t->m, &b, 1, 0, &tally, &loss);
    ctx->grad = grad;
    event->tokens = b.tokens;
    tensor_release(loss);
    tensor_release(total);
    batch_free(&b);
    if (!status)
        t->eval_micro++;
    return status;
}

static int finish_eval(struct trainer *t, struct trainer_event *event)
{
    double sum, hits, targets = (double)t->eval->targets;
    TRY(sum_losses(t->eval_losses, t->eval_count, &sum));
    TRY(tensor_item(t->hits, &hits));
    t->in_eval = false;
    struct trainer_log entry = EMPTY_LOG;
    entry.eval_loss = event->loss = sum / targets;
    entry.eval_accuracy = event->accuracy = hits / targets;
    event->kind = TRAINER_EVAL;
    return add_log(t, entry);
}

static int next_eval(struct trainer *t, struct trainer_event *event)
{
    event->micro_total = t->eval_count;
    if (t->eval_micro == t->eval_count)
        return finish_eval(t, event);
    event->kind = TRAINER_EVAL_MICRO;
    int status = eval_micro(t, event);
    event->micro = t->eval_micro;
    if (status && status != ERR_CANCELLED)
        t->in_eval = false;
    return status;
}

/* --- the machine ----------------------------------------------------------------------------- */

static int next_train(struct trainer *t, struct trainer_event *event)
{
    if (!t->in_step)
        TRY(begin_step(t));
    event->micro_total = t->micro_count;
    if (t->micro < t->micro_count) {
        event->kind = TRAINER_MICRO;
        int status = train_micro(t, event);
        event->micro = t->micro;
        return status;
    }
    event->micro = t->micro;
    return finish_step(t, event);
}

int trainer_next(struct trainer *t, struct trainer_event *event)
{
    int status;
    *event = (struct trainer_event){.kind = TRAINER_DONE, .total_steps = t->total_steps};
    if (t->in_eval || t->eval_pending) {
        status = t->in_eval ? OK : begin_eval(t);
        if (!status)
            status = next_eval(t, event);
    } else {
        status = t->step < t->total_steps ? next_train(t, event) : OK;
    }
    event->step = t->step;
    event->epoch = trainer_epoch(t);
    return status;
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

const struct trainer_log *trainer_logs(const struct trainer *t, int64_t *count)
{
    *count = t->log_count;
    return t->logs;
}
