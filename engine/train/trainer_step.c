/* trainer_step.c -- one optimiser step: its micro-batches, then the update, if all is finite. */
#include "engine/tensor/autograd.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <string.h>

/* Cuts 'n' examples of 'order' into packs of at most micro_batch_tokens: first[i] is where pack i
 * begins, first[*count] = n. */
int step_cut_packs(const struct trainer *t, const struct examples *e, const int64_t *order,
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
int step_loss_room(struct context *ctx, struct tensor **losses, int64_t n)
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
    TRY(step_cut_packs(t, t->train, t->batch_order, t->batch_count, &t->micro_first, &t->micro_room,
                       &t->micro_count));
    TRY(zero_grads(t));
    TRY(step_loss_room(t->m->ctx, &t->losses, t->micro_count));
    TRY(tensor_fill(t->step_hits, 0));
    t->micro = 0;
    t->step_tokens = 0;
    t->in_step = true;
    return OK;
}

void trainer_drop_step(struct trainer *t)
{
    t->in_step = false;
    t->micro = 0;
}

struct batch_rows step_rows(const struct pack *p)
{
    return (struct batch_rows){.tokens = p->tokens,
                               .sequences = p->sequences,
                               .targets = p->targets,
                               .ids = p->ids,
                               .positions = p->positions,
                               .starts = p->starts,
                               .sample = p->sample,
                               .target_rows = p->target_rows,
                               .target_ids = p->target_ids};
}

/* Packs examples order[from..to) and copies them to the device. */
int step_make_batch(struct trainer *t, const struct examples *e, const int64_t *order, int64_t from,
                    int64_t to, struct batch *b)
{
    pack_clear(&t->pack);
    for (int64_t i = from; i < to; i++)
        TRY(pack_add(&t->pack, e, order[i]));
    struct batch_rows rows = step_rows(&t->pack);
    return batch_from(t->m->ctx, &rows, t->m->config.vocab_size, b);
}

/* Element i as a scalar on the same memory. */
int step_one_element(struct tensor *losses, int64_t i, struct tensor **out)
{
    struct view v = view_slice(losses->view, 0, i, 1);
    v.ndim = 0;
    return tensor_view(losses, v, out);
}

static int run_micro(struct trainer *t, struct batch *b)
{
    struct tensor *loss = NULL, *total = NULL;
    TRY(step_one_element(t->losses, t->micro, &total));
    struct loss_tally tally = {.total = total, .hits = t->step_hits};
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
    TRY(step_make_batch(t, t->train, t->batch_order, t->micro_first[t->micro],
                        t->micro_first[t->micro + 1], &b));
    int status = run_micro(t, &b);
    event->tokens = b.tokens;
    batch_free(&b);
    if (status) { /* gradients may hold half of it: the step starts again */
        trainer_drop_step(t);
        return status;
    }
    t->micro++;
    t->step_tokens += event->tokens;
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

/* NaN and infinite values of x, counted on the device. */
static int count_bad(struct tensor *stats, struct tensor *x, double *nan, double *infinite)
{
    double values[STATS_FIXED + 1];
    TRY(RUN(x->ctx, stats, .out = stats->view, .x = x->view, .bins = 1));
    TRY(tensor_read(stats, values));
    *nan = values[1];
    *infinite = values[2];
    return OK;
}

/* The first weight, else the first gradient, that is not finite. */
static int name_bad(struct trainer *t, struct tensor *stats)
{
    double nan, infinite;
    for (int gradients = 0; gradients < 2; gradients++)
        for (int64_t i = 0; i < t->trained_count; i++) {
            struct tensor *p = t->trained[i].param;
            TRY(count_bad(stats, gradients ? p->grad : p, &nan, &infinite));
            if (nan + infinite == 0)
                continue;
            return fail(ERR_NUMERIC,
                        "step %" PRId64 ": %s%s has %.0f NaN and %.0f infinite values; no weight "
                        "was changed; hint: %s",
                        t->step + 1, gradients ? "the gradient of " : "", t->trained[i].name, nan,
                        infinite,
                        gradients ? "lower the learning rate, or look at the data"
                                  : "go back to a checkpoint, and lower the learning rate");
        }
    return fail(ERR_NUMERIC,
                "step %" PRId64 ": the gradient's norm is too large for a number; no weight was "
                "changed; hint: lower the learning rate",
                t->step + 1);
}

static int first_bad_gradient(struct trainer *t)
{
    int64_t n = STATS_FIXED + 1;
    struct tensor *stats;
    TRY(tensor_new(t->m->ctx, DT_F64, 1, &n, &stats));
    int status = name_bad(t, stats);
    tensor_release(stats);
    return status;
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
int step_sum_losses(struct tensor *losses, int64_t n, double *sum)
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

static int finish_step(struct trainer *t, struct trainer_event *event)
{
    double loss, norm, finite, hits, rate = rate_of(t);
    TRY(clip_grads(t));
    TRY(tensor_item(t->finite, &finite));
    TRY(tensor_item(t->norm, &norm));
    TRY(tensor_item(t->step_hits, &hits));
    TRY(step_sum_losses(t->losses, t->micro_count, &loss));
    if (finite == 0) {
        trainer_drop_step(t);
        return first_bad_gradient(t);
    }
    TRY(apply(t, rate));
    t->in_step = false;
    t->step++;
    t->tokens += t->step_tokens;
    t->last_norm = norm;
    t->last_rate = rate;
    loss /= (double)t->step_targets;
    event->kind = TRAINER_STEP;
    event->loss = loss;
    event->grad_norm = norm;
    event->learning_rate = rate;
    t->eval_pending = t->eval_pending || eval_is_due(t);
    t->save_pending = t->save_pending || save_is_due(t);
    return log_step(t, loss, hits, &event->logged);
}

int step_next(struct trainer *t, struct trainer_event *event)
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
