/* run_state.c -- a run's state as JSON: lorash_state.json. */
#include "engine/train/run_state.h"
#include "kernels/base/mem.h"

static void free_options(struct run_options *o)
{
    for (int64_t i = 0; i < o->count; i++) {
        mem_free(o->items[i].name);
        mem_free(o->items[i].value);
    }
    mem_free(o->items);
}

void run_state_free(struct run_state *s)
{
    mem_free(s->best_checkpoint);
    mem_free(s->model_type);
    mem_free(s->device);
    mem_free(s->base);
    mem_free(s->logs);
    free_options(&s->arguments);
    free_options(&s->adapter_options);
    *s = (struct run_state){0};
}

static void write_options(struct json_writer *w, const char *key, const struct run_options *o)
{
    json_write_open(w, key, '{');
    for (int64_t i = 0; i < o->count; i++)
        json_write_text(w, o->items[i].name, o->items[i].value);
    json_write_close(w);
}

static void write_data(struct json_writer *w, const char *key, const struct run_data *d)
{
    if (!*d->sha256) {
        json_write_null(w, key);
        return;
    }
    json_write_open(w, key, '{');
    json_write_int(w, "examples", d->examples);
    json_write_int(w, "tokens", d->tokens);
    json_write_int(w, "targets", d->targets);
    json_write_text(w, "sha256", d->sha256);
    json_write_close(w);
}

static void write_sums(struct json_writer *w, const struct run_state *s)
{
    json_write_open(w, "sums", '{');
    json_write_double(w, "loss", s->sums.loss);
    json_write_double(w, "hits", s->sums.hits);
    json_write_double(w, "targets", s->sums.targets);
    json_write_int(w, "steps", s->sums.steps);
    json_write_double(w, "all_loss", s->sums.all_loss);
    json_write_double(w, "seconds", s->sums.seconds);
    json_write_double(w, "last_grad_norm", s->last_norm);
    json_write_double(w, "last_learning_rate", s->last_rate);
    json_write_close(w);
}

void run_state_write_logs(struct json_writer *w, const struct run_state *s)
{
    json_write_open(w, "log_history", '[');
    for (int64_t i = 0; i < s->log_count; i++)
        log_write(w, NULL, &s->logs[i]);
    json_write_close(w);
}

void run_state_write(struct buffer *out, const struct run_state *s)
{
    struct json_writer w;
    json_write_begin(&w, out, 2);
    json_write_open(&w, NULL, '{');
    json_write_text(&w, "format", "lorash training state");
    json_write_int(&w, "version", s->version);
    json_write_int(&w, "step", s->step);
    json_write_int(&w, "total_steps", s->total_steps);
    json_write_int(&w, "tokens", s->tokens);
    json_write_open(&w, "cursor", '{');
    json_write_int(&w, "epoch", s->epoch);
    json_write_int(&w, "position", s->position);
    json_write_close(&w);
    json_write_bool(&w, "eval_pending", s->eval_pending);
    write_sums(&w, s);
    json_write_open(&w, "best", '{');
    json_write_double(&w, "metric", s->best_metric);
    json_write_int(&w, "step", s->best_step);
    json_write_text(&w, "checkpoint", s->best_checkpoint);
    json_write_int(&w, "patience_used", s->patience_used);
    json_write_close(&w);
    write_data(&w, "train_dataset", &s->train);
    write_data(&w, "eval_dataset", &s->eval);
    json_write_open(&w, "model", '{');
    json_write_text(&w, "type", s->model_type);
    json_write_text(&w, "from", s->base);
    json_write_int(&w, "parameters", s->model_parameters);
    json_write_int(&w, "bytes", s->model_bytes);
    json_write_text(&w, "device", s->device);
    json_write_close(&w);
    write_options(&w, "arguments", &s->arguments);
    if (s->adapter)
        write_options(&w, "adapter", &s->adapter_options);
    else
        json_write_null(&w, "adapter");
    run_state_write_logs(&w, s);
    json_write_close(&w);
    buffer_text(out, "\n");
}
