/* run_state_read.c -- lorash_state.json back into a struct: every entry is needed, ranges are
 * checked, what is not known is left out. */
#include "engine/train/run_state.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* A number, or null for NaN. */
static int take_number(struct json *j, const char *what, double *out)
{
    TRY(json_next(j));
    if (j->kind == JSON_NULL) {
        *out = NAN;
        return OK;
    }
    if (j->kind != JSON_NUMBER)
        return json_fail(j, "%s: expected a number", what);
    return json_double(j, what, out);
}

static int take_count(struct json *j, const char *what, int64_t least, int64_t *out)
{
    TRY(json_take_int(j, what, out));
    return *out < least ? json_fail(j, "%s: %" PRId64 " is too small", what, *out) : OK;
}

/* Text or null. */
static int take_text_or_null(struct json *j, const char *what, char **out)
{
    TRY(json_next(j));
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind != JSON_STRING || (j->length && memchr(j->text, '\0', j->length)))
        return json_fail(j, "%s: expected a text", what);
    *out = mem_text(j->length ? j->text : "", j->length);
    return *out ? OK : ERR_MEMORY;
}

static int read_cursor(struct json *j, struct run_state *s)
{
    TRY(json_open(j, JSON_OBJECT, "cursor"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        if (json_is(j, "epoch"))
            TRY(take_count(j, "epoch", 0, &s->epoch));
        else if (json_is(j, "position"))
            TRY(take_count(j, "position", 0, &s->position));
        else
            TRY(json_skip_value(j));
    }
}

static int read_sums(struct json *j, struct run_state *s)
{
    struct {
        const char *name;
        double *value;
    } numbers[] = {
        {"loss", &s->sums.loss},
        {"hits", &s->sums.hits},
        {"targets", &s->sums.targets},
        {"all_loss", &s->sums.all_loss},
        {"seconds", &s->sums.seconds},
        {"last_grad_norm", &s->last_norm},
        {"last_learning_rate", &s->last_rate},
    };
    TRY(json_open(j, JSON_OBJECT, "sums"));
    for (;;) {
        size_t i = 0;
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        while (i < sizeof numbers / sizeof *numbers && !json_is(j, numbers[i].name))
            i++;
        if (i < sizeof numbers / sizeof *numbers)
            TRY(take_number(j, numbers[i].name, numbers[i].value));
        else if (json_is(j, "steps"))
            TRY(take_count(j, "steps", 0, &s->sums.steps));
        else
            TRY(json_skip_value(j));
    }
}

static int read_best(struct json *j, struct run_state *s)
{
    TRY(json_open(j, JSON_OBJECT, "best"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        if (json_is(j, "metric"))
            TRY(take_number(j, "metric", &s->best_metric));
        else if (json_is(j, "step"))
            TRY(take_count(j, "step", -1, &s->best_step));
        else if (json_is(j, "patience_used"))
            TRY(take_count(j, "patience_used", 0, &s->patience_used));
        else if (json_is(j, "checkpoint") && !s->best_checkpoint)
            TRY(take_text_or_null(j, "checkpoint", &s->best_checkpoint));
        else
            TRY(json_skip_value(j));
    }
}

static int read_data(struct json *j, const char *what, struct run_data *d)
{
    TRY(json_next(j));
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind != JSON_OBJECT)
        return json_fail(j, "%s: expected an object or null", what);
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        if (json_is(j, "examples")) {
            TRY(take_count(j, "examples", 0, &d->examples));
        } else if (json_is(j, "tokens")) {
            TRY(take_count(j, "tokens", 0, &d->tokens));
        } else if (json_is(j, "targets")) {
            TRY(take_count(j, "targets", 0, &d->targets));
        } else if (json_is(j, "sha256")) {
            TRY(json_next(j));
            bool good = j->kind == JSON_STRING && j->length == 64;
            for (int i = 0; i < 64 && good; i++)
                good = j->text[i] && strchr("0123456789abcdef", j->text[i]);
            if (!good)
                return json_fail(j, "%s: sha256: expected 64 hexadecimal digits", what);
            memcpy(d->sha256, j->text, 64);
        } else {
            TRY(json_skip_value(j));
        }
    }
}

static int read_model(struct json *j, struct run_state *s)
{
    TRY(json_open(j, JSON_OBJECT, "model"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        if (json_is(j, "type") && !s->model_type)
            TRY(json_take_text(j, "type", &s->model_type));
        else if (json_is(j, "from") && !s->base)
            TRY(take_text_or_null(j, "from", &s->base));
        else if (json_is(j, "device") && !s->device)
            TRY(json_take_text(j, "device", &s->device));
        else if (json_is(j, "parameters"))
            TRY(take_count(j, "parameters", 0, &s->model_parameters));
        else if (json_is(j, "bytes"))
            TRY(take_count(j, "bytes", 0, &s->model_bytes));
        else
            TRY(json_skip_value(j));
    }
}

/* The open object of texts. */
static int read_options(struct json *j, struct run_options *out)
{
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        if (!j->length || memchr(j->text, '\0', j->length))
            return json_fail(j, "an option's name is empty or holds a NUL");
        TRY(mem_grow((void **)&out->items, &out->room, out->count + 1, sizeof *out->items));
        struct run_option *x = &out->items[out->count];
        *x = (struct run_option){.name = mem_text(j->text, j->length)};
        if (!x->name)
            return ERR_MEMORY;
        out->count++;
        TRY(take_text_or_null(j, x->name, &x->value));
    }
}

static int read_adapter(struct json *j, struct run_state *s)
{
    TRY(json_next(j));
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind != JSON_OBJECT)
        return json_fail(j, "adapter: expected an object or null");
    s->adapter = true;
    return read_options(j, &s->adapter_options);
}

static int read_logs(struct json *j, struct run_state *s)
{
    TRY(json_open(j, JSON_ARRAY, "log_history"));
    while (json_more(j)) {
        TRY(mem_grow((void **)&s->logs, &s->log_room, s->log_count + 1, sizeof *s->logs));
        TRY(log_read(j, &s->logs[s->log_count]));
        s->log_count++;
    }
    return json_next(j);
}

enum {
    SEEN_CURSOR = 1,
    SEEN_SUMS = 2,
    SEEN_BEST = 4,
    SEEN_TRAIN = 8,
    SEEN_MODEL = 16,
    SEEN_ARGUMENTS = 32,
    SEEN_ADAPTER = 64,
    SEEN_LOGS = 128,
    SEEN_EVAL = 256,
    SEEN_ALL = 511
};

/* An object or array by its name. */
static int read_part(struct json *j, struct run_state *s, int *seen)
{
    if (json_is(j, "cursor"))
        return *seen |= SEEN_CURSOR, read_cursor(j, s);
    if (json_is(j, "sums"))
        return *seen |= SEEN_SUMS, read_sums(j, s);
    if (json_is(j, "best"))
        return *seen |= SEEN_BEST, read_best(j, s);
    if (json_is(j, "train_dataset"))
        return *seen |= SEEN_TRAIN, read_data(j, "train_dataset", &s->train);
    if (json_is(j, "eval_dataset"))
        return *seen |= SEEN_EVAL, read_data(j, "eval_dataset", &s->eval);
    if (json_is(j, "model"))
        return *seen |= SEEN_MODEL, read_model(j, s);
    if (json_is(j, "adapter"))
        return *seen |= SEEN_ADAPTER, read_adapter(j, s);
    if (json_is(j, "log_history"))
        return *seen |= SEEN_LOGS, read_logs(j, s);
    if (!json_is(j, "arguments"))
        return json_skip_value(j);
    *seen |= SEEN_ARGUMENTS;
    TRY(json_open(j, JSON_OBJECT, "arguments"));
    return read_options(j, &s->arguments);
}

static int read_entry(struct json *j, struct run_state *s, int *seen)
{
    if (json_is(j, "version")) {
        TRY(take_count(j, "version", 1, &s->version));
        if (s->version != RUN_STATE_VERSION)
            return json_fail(j,
                             "version %" PRId64 ", this program reads %d; hint: a newer lorash "
                             "wrote it",
                             s->version, RUN_STATE_VERSION);
        return OK;
    }
    if (json_is(j, "step"))
        return take_count(j, "step", 0, &s->step);
    if (json_is(j, "total_steps"))
        return take_count(j, "total_steps", 0, &s->total_steps);
    if (json_is(j, "tokens"))
        return take_count(j, "tokens", 0, &s->tokens);
    if (json_is(j, "eval_pending"))
        return json_take_bool(j, "eval_pending", &s->eval_pending);
    return read_part(j, s, seen);
}

int run_state_parse(const char *bytes, size_t length, struct run_state *out)
{
    struct run_state s = {.step = -1, .total_steps = -1, .tokens = -1, .best_step = -1};
    struct json j;
    int status, seen = 0;
    json_begin(&j, bytes, length, NULL);
    TRY_OUT(json_open(&j, JSON_OBJECT, "the state"));
    for (;;) {
        TRY_OUT(json_next(&j));
        if (j.kind == JSON_OBJECT_END)
            break;
        TRY_OUT(read_entry(&j, &s, &seen));
    }
    TRY_OUT(json_end(&j));
    if (!s.version || s.step < 0 || s.total_steps < 0 || s.tokens < 0 || seen != SEEN_ALL ||
        !s.model_type || !s.device || !*s.train.sha256)
        status = fail(ERR_FORMAT, "an entry of the training state is missing");
out:
    json_free(&j);
    if (status)
        run_state_free(&s);
    else
        *out = s;
    return status;
}
