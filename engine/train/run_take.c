/* run_take.c -- the state out of a trainer, and as transformers wants to read it. */
#include "engine/adapt/lora.h"
#include "engine/core/sha256.h"
#include "engine/train/run_state.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* --- out of a trainer ------------------------------------------------------------------------- */

static int add_option(struct run_options *o, const char *name, size_t length, const char *value,
                      size_t value_length)
{
    TRY(mem_grow((void **)&o->items, &o->room, o->count + 1, sizeof *o->items));
    struct run_option *x = &o->items[o->count];
    *x = (struct run_option){.name = mem_text(name, length)};
    if (!x->name)
        return ERR_MEMORY;
    o->count++;
    if (value && !(x->value = mem_text(value, value_length)))
        return ERR_MEMORY;
    return OK;
}

/* The value of a row as exact text; *given false = NULL. */
static void option_text(struct buffer *b, const struct option *o, const void *config, bool *given)
{
    const void *field = (const char *)config + o->offset;
    const struct text_list *list = field;
    const struct number_list *numbers = field;
    char number[32];
    *given = true;
    switch (o->type) {
    case OPTION_BOOL:
        buffer_text(b, *(const bool *)field ? "true" : "false");
        break;
    case OPTION_INT:
        buffer_printf(b, "%" PRId64, *(const int64_t *)field);
        break;
    case OPTION_FLOAT:
        json_number_text(*(const double *)field, number);
        buffer_text(b, number);
        break;
    case OPTION_TEXT:
        *given = *(char *const *)field != NULL;
        buffer_text(b, *given ? *(char *const *)field : "");
        break;
    case OPTION_LIST:
        for (int i = 0; i < list->count; i++)
            buffer_printf(b, "%s%s", i ? "," : "", list->items[i]);
        break;
    case OPTION_NUMBERS:
        for (int i = 0; i < numbers->count; i++) {
            json_number_text(numbers->items[i].value, number);
            buffer_printf(b, "%s%s=%s", i ? "," : "", numbers->items[i].name, number);
        }
        break;
    case OPTION_NOTE:
    case OPTION_REFUSED:
    case OPTION_OBJECT:
        *given = false;
        break;
    }
}

static int take_options(const struct option_table *table, const void *config,
                        struct run_options *out)
{
    int status = OK;
    for (int i = 0; i < table->count && !status; i++) {
        const struct option *o = &table->rows[i];
        struct buffer b = {0};
        bool given;
        if (o->type == OPTION_NOTE || o->type == OPTION_REFUSED || o->type == OPTION_OBJECT)
            continue;
        option_text(&b, o, config, &given);
        status = buffer_close(&b);
        if (!status)
            status =
                add_option(out, o->name, strlen(o->name), given ? b.bytes : NULL, (size_t)b.length);
        buffer_free(&b);
    }
    return status;
}

/* Of everything that training sees of the rows. */
static void fingerprint(const struct examples *e, struct run_data *out)
{
    struct sha256 s;
    if (!e)
        return;
    sha256_begin(&s);
    for (int64_t i = 0; i < e->count; i++) {
        int64_t n[2] = {e->items[i].tokens, e->items[i].targets};
        sha256_add(&s, n, sizeof n);
        sha256_add(&s, e->ids + e->items[i].start, (size_t)n[0] * sizeof *e->ids);
        sha256_add(&s, e->learn + e->items[i].start, (size_t)n[0]);
    }
    *out = (struct run_data){.examples = e->count, .tokens = e->tokens, .targets = e->targets};
    sha256_end(&s, out->sha256);
}

static int take_texts(struct trainer *t, struct run_state *s)
{
    struct lora *l = lora_of(t->m);
    const char *type = t->m->config.model_type, *device = t->m->ctx->device->name;
    s->model_type = mem_text(type, strlen(type));
    const char *threads = strrchr(device, ','); /* their number changes nothing */
    s->device = mem_text(device, threads ? (size_t)(threads - device) : strlen(device));
    if (!s->model_type || !s->device)
        return ERR_MEMORY;
    const char *base = t->m->name ? t->m->name : t->m->path;
    if (base && !(s->base = mem_text(base, strlen(base))))
        return ERR_MEMORY;
    if (t->best_checkpoint) {
        const char *slash = strrchr(t->best_checkpoint, '/');
        const char *name = slash ? slash + 1 : t->best_checkpoint;
        if (!(s->best_checkpoint = mem_text(name, strlen(name))))
            return ERR_MEMORY;
    }
    TRY(take_options(&training_arguments, t->args, &s->arguments));
    return l ? take_options(&lora_options, &l->config, &s->adapter_options) : OK;
}

int run_state_of(struct trainer *t, struct run_state *out)
{
    struct run_state s = {
        .version = RUN_STATE_VERSION,
        .step = t->step,
        .total_steps = t->total_steps,
        .tokens = t->tokens,
        .epoch = t->step / t->epoch_steps,
        .position = t->step % t->epoch_steps * t->step_examples,
        .eval_pending = t->eval_pending || (t->in_eval && t->eval_counts),
        .sums = t->sums,
        .last_norm = t->last_norm,
        .last_rate = t->last_rate,
        .best_metric = t->best_metric,
        .best_step = t->best_step,
        .patience_used = t->patience_used,
        .model_parameters = model_parameters(t->m),
        .model_bytes = model_bytes(t->m),
        .adapter = lora_of(t->m) != NULL,
    };
    if (!*t->train_data.sha256) { /* rows do not change: once is enough */
        fingerprint(t->train, &t->train_data);
        fingerprint(t->eval, &t->eval_data);
    }
    s.train = t->train_data;
    s.eval = t->eval_data;
    int status = take_texts(t, &s);
    size_t bytes = (size_t)t->log_count * sizeof *s.logs;
    if (!status && t->log_count) {
        if (!(s.logs = mem_alloc(bytes)))
            status = ERR_MEMORY;
        else
            memcpy(s.logs, t->logs, bytes);
        s.log_count = t->log_count;
    }
    if (status)
        run_state_free(&s);
    else
        *out = s;
    return status;
}

/* --- trainer_state.json ----------------------------------------------------------------------- */

static void write_callbacks(struct json_writer *w, const struct trainer *t,
                            const struct run_state *s)
{
    json_write_open(w, "stateful_callbacks", '{');
    if (t->patience) {
        json_write_open(w, "EarlyStoppingCallback", '{');
        json_write_open(w, "args", '{');
        json_write_int(w, "early_stopping_patience", t->patience);
        json_write_double(w, "early_stopping_threshold", t->patience_threshold);
        json_write_close(w);
        json_write_open(w, "attributes", '{');
        json_write_int(w, "early_stopping_patience_counter", s->patience_used);
        json_write_close(w);
        json_write_close(w);
    }
    json_write_open(w, "TrainerControl", '{');
    json_write_open(w, "args", '{');
    json_write_bool(w, "should_epoch_stop", false);
    json_write_bool(w, "should_evaluate", false);
    json_write_bool(w, "should_log", false);
    json_write_bool(w, "should_save", true);
    json_write_bool(w, "should_training_stop", trainer_ended(t));
    json_write_close(w);
    json_write_open(w, "attributes", '{');
    json_write_close(w);
    json_write_close(w);
    json_write_close(w);
}

void run_state_write_transformers(struct buffer *out, const struct trainer *t,
                                  const struct run_state *s)
{
    struct json_writer w;
    json_write_begin(&w, out, 2);
    json_write_open(&w, NULL, '{');
    if (s->best_step >= 0) {
        json_write_int(&w, "best_global_step", s->best_step);
        json_write_double(&w, "best_metric", s->best_metric);
    } else {
        json_write_null(&w, "best_global_step");
        json_write_null(&w, "best_metric");
    }
    json_write_text(&w, "best_model_checkpoint", t->best_checkpoint);
    json_write_double(&w, "epoch", trainer_epoch(t));
    json_write_int(&w, "eval_steps", t->eval_steps);
    json_write_int(&w, "global_step", s->step);
    json_write_bool(&w, "is_hyper_param_search", false);
    json_write_bool(&w, "is_local_process_zero", true);
    json_write_bool(&w, "is_world_process_zero", true);
    run_state_write_logs(&w, s);
    json_write_int(&w, "logging_steps", t->log_steps);
    json_write_int(&w, "max_steps", s->total_steps);
    json_write_int(&w, "num_input_tokens_seen", s->tokens);
    json_write_int(&w, "num_train_epochs", (t->total_steps + t->epoch_steps - 1) / t->epoch_steps);
    json_write_int(&w, "save_steps", t->save_steps);
    write_callbacks(&w, t, s);
    json_write_double(&w, "total_flos", 6.0 * (double)s->tokens * (double)s->model_parameters);
    json_write_int(&w, "train_batch_size", t->args->per_device_train_batch_size);
    json_write_null(&w, "trial_name");
    json_write_null(&w, "trial_params");
    json_write_close(&w);
    buffer_text(out, "\n");
}
