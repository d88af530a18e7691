/* run_compare.c -- may a run go on from a checkpoint of another?
 *
 * What decides the bits (rows, seeds, optimiser, the size of a step, the adapter) must be the same.
 * What a person may well want to change (rates, limits, how often something is logged) is used as
 * it is now, and told when it changes the numbers. */
#include "engine/train/run_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const struct run_options *o, const char *name)
{
    for (int64_t i = 0; i < o->count; i++)
        if (!strcmp(o->items[i].name, name))
            return o->items[i].value;
    return NULL;
}

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool listed(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (!strcmp(*names, name))
            return true;
    return false;
}

static int64_t number_of(const struct run_options *o, const char *name)
{
    const char *text = value_of(o, name);
    return text ? strtoll(text, NULL, 10) : 0;
}

static const char *shown(const char *value)
{
    return value ? value : "not given";
}

static int compare_model(const struct run_state *saved, const struct run_state *now)
{
    if (strcmp(saved->model_type, now->model_type) ||
        saved->model_parameters != now->model_parameters)
        return fail(ERR_ARG,
                    "it trained a %s model of %" PRId64 " parameters, this one is %s of %" PRId64
                    "; hint: load the model it was made with",
                    saved->model_type, saved->model_parameters, now->model_type,
                    now->model_parameters);
    if (saved->adapter != now->adapter)
        return fail(ERR_ARG, "it trained %s, this trainer trains %s; hint: %s peft_config",
                    saved->adapter ? "an adapter" : "the whole model",
                    now->adapter ? "an adapter" : "the whole model",
                    saved->adapter ? "give the same" : "leave out");
    return OK;
}

static int compare_adapter(const struct run_state *saved, const struct run_state *now)
{
    static const char *const free_to_change[] = {"init_lora_weights", "task_type", "inference_mode",
                                                 NULL};
    for (int64_t i = 0; i < saved->adapter_options.count; i++) {
        const struct run_option *o = &saved->adapter_options.items[i];
        const char *value = value_of(&now->adapter_options, o->name);
        if (!same(o->value, value) && !listed(free_to_change, o->name))
            return fail(ERR_ARG, "LoraConfig: %s was %.80s, found %.80s; hint: give the same value",
                        o->name, shown(o->value), shown(value));
    }
    return OK;
}

static int compare_rows(const struct run_state *saved, const struct run_state *now,
                        struct buffer *notes)
{
    if (strcmp(saved->train.sha256, now->train.sha256))
        return fail(ERR_ARG,
                    "train_dataset: its rows are not those of the checkpoint (%" PRId64
                    " examples, %" PRId64 " tokens then; %" PRId64 " and %" PRId64
                    " now); hint: the same data, tokenizer and max_length go on exactly; for other "
                    "data start a new run",
                    saved->train.examples, saved->train.tokens, now->train.examples,
                    now->train.tokens);
    if (strcmp(saved->eval.sha256, now->eval.sha256))
        buffer_printf(notes, "note: eval_dataset is not the one of the checkpoint: its losses do "
                             "not compare with the earlier ones\n");
    return OK;
}

/* What decides which rows a step sees, and what it does with them. */
static int compare_strict(const struct run_state *saved, const struct run_state *now)
{
    static const char *const strict[] = {"seed", "data_seed", "train_sampling_strategy", "optim",
                                         NULL};
    for (int i = 0; strict[i]; i++) {
        const char *a = value_of(&saved->arguments, strict[i]);
        const char *b = value_of(&now->arguments, strict[i]);
        if (!same(a, b))
            return fail(ERR_ARG, "%s was %.60s, found %.60s; hint: give the same value", strict[i],
                        shown(a), shown(b));
    }
    int64_t then = number_of(&saved->arguments, "per_device_train_batch_size") *
                   number_of(&saved->arguments, "gradient_accumulation_steps");
    int64_t here = number_of(&now->arguments, "per_device_train_batch_size") *
                   number_of(&now->arguments, "gradient_accumulation_steps");
    if (then != here)
        return fail(ERR_ARG,
                    "a step had %" PRId64 " examples, found %" PRId64
                    "; hint: per_device_train_batch_size x gradient_accumulation_steps must stay",
                    then, here);
    return OK;
}

/* A model that was moved is still the same. */
static const char *last_part(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

static void note_changes(const struct run_state *saved, const struct run_state *now,
                         struct buffer *notes)
{
    static const char *const telling[] = {"learning_rate",
                                          "lr_scheduler_type",
                                          "warmup_steps",
                                          "warmup_ratio",
                                          "weight_decay",
                                          "adam_beta1",
                                          "adam_beta2",
                                          "adam_epsilon",
                                          "max_grad_norm",
                                          "label_smoothing_factor",
                                          "num_train_epochs",
                                          "max_steps",
                                          NULL};
    for (int64_t i = 0; i < now->arguments.count; i++) {
        const struct run_option *o = &now->arguments.items[i];
        const char *before = value_of(&saved->arguments, o->name);
        if (listed(telling, o->name) && !same(o->value, before))
            buffer_printf(notes, "note: %s was %s, from here on it is %s\n", o->name, shown(before),
                          shown(o->value));
    }
    if (saved->total_steps != now->total_steps)
        buffer_printf(notes,
                      "note: the run was planned for %" PRId64 " steps and now has %" PRId64
                      ": the learning rate follows the new length\n",
                      saved->total_steps, now->total_steps);
    const char *a = value_of(&saved->arguments, "micro_batch_tokens");
    const char *b = value_of(&now->arguments, "micro_batch_tokens");
    if (!same(a, b))
        buffer_printf(notes,
                      "note: micro_batch_tokens was %s, now %s: the same gradients, rounded "
                      "differently\n",
                      shown(a), shown(b));
    const char *from = last_part(saved->base), *here = last_part(now->base);
    if (!same(from, here))
        buffer_printf(
            notes,
            "note: the checkpoint was trained on %s, this model is %s: make sure that the "
            "weights are the same\n",
            shown(from), shown(here));
    if (saved->model_bytes != now->model_bytes)
        buffer_printf(notes, "note: the base model's weights are stored in another format than "
                             "before: it goes on, but not bit for bit\n");
    if (strcmp(saved->device, now->device))
        buffer_printf(notes,
                      "note: the checkpoint is from %s, this is %s: it goes on, but not bit for "
                      "bit\n",
                      saved->device, now->device);
}

int run_state_compare(const struct run_state *saved, const struct run_state *now,
                      struct buffer *notes)
{
    TRY(compare_model(saved, now));
    TRY(compare_adapter(saved, now));
    TRY(compare_rows(saved, now, notes));
    TRY(compare_strict(saved, now));
    if (saved->step > now->total_steps)
        return fail(ERR_ARG,
                    "it is at step %" PRId64 ", this run has %" PRId64
                    " steps in all; hint: raise num_train_epochs or max_steps",
                    saved->step, now->total_steps);
    note_changes(saved, now, notes);
    return OK;
}
