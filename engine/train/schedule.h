/* schedule.h -- learning-rate schedules as factors of the peak rate. */
#ifndef ENGINE_TRAIN_SCHEDULE_H
#define ENGINE_TRAIN_SCHEDULE_H

#include "kernels/base/status.h"
#include <stdint.h>

struct schedule {
    const char *name;
    double (*decay)(double progress); /* progress in [0,1] after warm-up -> factor */
    const char *doc;
};
extern const struct schedule schedules[]; /* ends with a NULL name */

/* NULL name is "linear". ERR_ARG for an unknown one, with the names there are. */
int schedule_find(const char *name, const struct schedule **out) MUST_CHECK;

/* Factor at 'step' (0-based) of 'total': the first 'warmup' steps rise linearly from 0, then the
 * decay runs to the end. As transformers' get_*_schedule_with_warmup: with warm-up the first step's
 * factor is 0. */
double schedule_factor(const struct schedule *s, int64_t step, int64_t warmup, int64_t total);

#endif
