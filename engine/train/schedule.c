/* schedule.c -- learning-rate schedules: pure functions, so a resumed run needs only its step.
 *
 * To add one: write the function, add a row. The tests walk the table. */
#include "engine/train/schedule.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static double constant(double progress)
{
    (void)progress;
    return 1;
}

static double linear(double progress)
{
    return 1 - progress;
}

static double cosine(double progress)
{
    return 0.5 * (1 + cos(3.14159265358979323846 * progress));
}

const struct schedule schedules[] = {
    {"linear", linear, "falls in a straight line to zero"},
    {"cosine", cosine, "falls along half a cosine to zero"},
    {"constant", constant, "stays at the peak"},
    {"constant_with_warmup", constant, "stays at the peak after warm-up"},
    {NULL, NULL, NULL},
};

int schedule_find(const char *name, const struct schedule **out)
{
    char names[256] = "";
    size_t used = 0;
    for (const struct schedule *s = schedules; s->name; s++) {
        if (!strcmp(s->name, name ? name : "linear")) {
            *out = s;
            return OK;
        }
        used +=
            (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", s->name);
    }
    return fail(ERR_ARG, "lr_scheduler_type '%.60s' is unknown; hint: one of %s", name, names);
}

double schedule_factor(const struct schedule *s, int64_t step, int64_t warmup, int64_t total)
{
    if (step < warmup)
        return (double)step / (double)warmup;
    if (total <= warmup)
        return 1;
    double progress = (double)(step - warmup) / (double)(total - warmup);
    return s->decay(progress > 1 ? 1 : progress);
}
