/* log.c -- the names of what a run logs, and an entry as JSON. */
#include "engine/train/log.h"

#include <math.h>
#include <string.h>

/* transformers' logging puts "eval_x" under "eval/x" and everything else under "train/". */
const struct log_field log_fields[LOG_NAMES] = {
    [LOG_LOSS] = {"loss", "train/loss", false},
    [LOG_GRAD_NORM] = {"grad_norm", "train/grad_norm", false},
    [LOG_LEARNING_RATE] = {"learning_rate", "train/learning_rate", false},
    [LOG_NUM_TOKENS] = {"num_tokens", "train/num_tokens", false},
    [LOG_ACCURACY] = {"mean_token_accuracy", "train/mean_token_accuracy", false},
    [LOG_EVAL_LOSS] = {"eval_loss", "eval/loss", false},
    [LOG_EVAL_ACCURACY] = {"eval_mean_token_accuracy", "eval/mean_token_accuracy", false},
    [LOG_EVAL_RUNTIME] = {"eval_runtime", "eval/runtime", true},
    [LOG_EVAL_SAMPLES_PER_SECOND] = {"eval_samples_per_second", "eval/samples_per_second", true},
    [LOG_EVAL_STEPS_PER_SECOND] = {"eval_steps_per_second", "eval/steps_per_second", true},
    [LOG_TRAIN_LOSS] = {"train_loss", "train/train_loss", false},
    [LOG_TRAIN_RUNTIME] = {"train_runtime", "train/train_runtime", true},
    [LOG_TRAIN_SAMPLES_PER_SECOND] = {"train_samples_per_second", "train/train_samples_per_second",
                                      true},
    [LOG_TRAIN_STEPS_PER_SECOND] = {"train_steps_per_second", "train/train_steps_per_second", true},
    [LOG_TOTAL_FLOS] = {"total_flos", "train/total_flos", false},
};

void log_set(struct trainer_log *e, enum log_name name, double value)
{
    e->has |= 1u << name;
    e->value[name] = value;
}

bool log_has(const struct trainer_log *e, enum log_name name)
{
    return e->has >> name & 1;
}

double log_get(const struct trainer_log *e, enum log_name name)
{
    return log_has(e, name) ? e->value[name] : NAN;
}

enum log_name log_find(const char *name)
{
    int i = 0;
    while (i < LOG_NAMES && strcmp(log_fields[i].name, name))
        i++;
    return i;
}

/* Index of the first name after 'last' in byte order, among those of the entry; LOG_NAMES = none. */
static int next_name(const struct trainer_log *e, const char *last)
{
    int best = LOG_NAMES;
    for (int i = 0; i < LOG_NAMES; i++)
        if (log_has(e, i) && strcmp(log_fields[i].name, last) > 0 &&
            (best == LOG_NAMES || strcmp(log_fields[i].name, log_fields[best].name) < 0))
            best = i;
    return best;
}

void log_write(struct json_writer *w, const char *key, const struct trainer_log *e)
{
    bool epoch = false, step = false;
    const char *last = "";
    json_write_open(w, key, '{');
    for (;;) {
        int i = next_name(e, last);
        const char *name = i < LOG_NAMES ? log_fields[i].name : "~";
        if (!epoch && strcmp("epoch", name) < 0) {
            json_write_double(w, "epoch", e->epoch);
            epoch = true;
        }
        if (!step && strcmp("step", name) < 0) {
            json_write_int(w, "step", e->step);
            step = true;
        }
        if (i == LOG_NAMES)
            break;
        if (i == LOG_NUM_TOKENS && fabs(e->value[i]) < 0x1p53)
            json_write_int(w, name, (int64_t)e->value[i]);
        else
            json_write_double(w, name, e->value[i]);
        last = name;
    }
    json_write_close(w);
}

/* The next value into *out, when it is a number or null. */
static int read_number(struct json *j, const char *what, double *out, bool *number)
{
    TRY(json_next(j));
    *number = j->kind == JSON_NUMBER || j->kind == JSON_NULL;
    if (j->kind == JSON_NULL)
        *out = NAN;
    else if (j->kind == JSON_NUMBER)
        return json_double(j, what, out);
    return json_skip(j);
}

static int read_field(struct json *j, struct trainer_log *out)
{
    char name[64] = "";
    double value = 0;
    bool number;
    if (j->length < sizeof name)
        memcpy(name, j->text, j->length);
    if (!strcmp(name, "step"))
        return json_take_int(j, "step", &out->step);
    TRY(read_number(j, name, &value, &number));
    if (!number)
        return OK;
    enum log_name i = log_find(name);
    if (!strcmp(name, "epoch"))
        out->epoch = value;
    else if (i != LOG_NAMES)
        log_set(out, i, value);
    return OK;
}

int log_read(struct json *j, struct trainer_log *out)
{
    *out = (struct trainer_log){0};
    TRY(json_open(j, JSON_OBJECT, "log entry"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        TRY(read_field(j, out));
    }
}
