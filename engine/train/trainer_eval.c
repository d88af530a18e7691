/* trainer_eval.c -- loss and token accuracy on the evaluation rows, micro-batch by micro-batch. */
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"

#include <string.h>

bool eval_is_due(const struct trainer *t)
{
    const char *when = t->args->eval_strategy;
    bool epoch = !strcmp(when, "epoch");
    if (!t->eval || !strcmp(when, "no"))
        return false;
    if ((epoch ? trainer_epoch(t) : (double)t->step) < t->args->eval_delay)
        return false;
    if (epoch)
        return trainer_at_epoch(t);
    return t->step % t->eval_steps == 0 || t->step == t->total_steps;
}

/* The rows in their order, cut into packs: made once. */
static int make_order(struct trainer *t)
{
    const struct examples *e = t->eval;
    if (t->eval_order)
        return OK;
    int64_t *order = mem_calloc((size_t)e->count, sizeof *order);
    if (!order)
        return ERR_MEMORY;
    for (int64_t i = 0; i < e->count; i++)
        order[i] = i;
    int status =
        step_cut_packs(t, e, order, e->count, &t->eval_first, &t->eval_room, &t->eval_count);
    if (status)
        mem_free(order);
    else
        t->eval_order = order;
    return status;
}

int eval_begin(struct trainer *t)
{
    TRY(make_order(t));
    TRY(step_loss_room(t->m->ctx, &t->eval_losses, t->eval_count));
    TRY(tensor_fill(t->hits, 0));
    t->eval_micro = 0;
    t->in_eval = true;
    t->eval_seconds = 0;
    if (t->eval_counts)
        t->eval_pending = false;
    return OK;
}

int trainer_evaluate(struct trainer *t)
{
    if (!t->eval)
        return fail(ERR_ARG, "evaluate: the trainer has no eval_dataset; hint: SFTTrainer{..., "
                             "eval_dataset = ...}");
    if (t->in_eval && t->eval_counts)
        t->eval_pending = true; /* one that was due starts again afterwards */
    t->eval_counts = false;
    return eval_begin(t);
}

static int eval_micro(struct trainer *t, struct trainer_event *event)
{
    struct batch b;
    struct tensor *loss = NULL, *total = NULL;
    struct context *ctx = t->m->ctx;
    bool grad = ctx->grad;
    TRY(step_make_batch(t, t->eval, t->eval_order, t->eval_first[t->eval_micro],
                        t->eval_first[t->eval_micro + 1], &b));
    ctx->grad = false;
    int status = step_one_element(t->eval_losses, t->eval_micro, &total);
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
    TRY(step_sum_losses(t->eval_losses, t->eval_count, &sum));
    TRY(tensor_item(t->hits, &hits));
    t->in_eval = false;
    event->loss = sum / targets;
    event->accuracy = hits / targets;
    event->kind = TRAINER_EVAL;
    TRY(log_eval(t, event->loss, event->accuracy));
    return t->eval_counts ? save_best_seen(t, event->loss, event->accuracy) : OK;
}

int eval_next(struct trainer *t, struct trainer_event *event)
{
    event->micro_total = t->eval_count;
    if (t->eval_micro == t->eval_count)
        return finish_eval(t, event);
    event->kind = TRAINER_EVAL_MICRO;
    int status = eval_micro(t, event);
    event->micro = t->eval_micro;
    if (status && status != ERR_CANCELLED) {
        t->in_eval = false;
        t->eval_pending = t->eval_counts; /* one that was due is tried again */
    }
    return status;
}