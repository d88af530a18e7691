/* guard.h -- device memory that the host cannot touch. */
#ifndef KERNELS_GUARD_H
#define KERNELS_GUARD_H

#include "kernels/kernels.h"

/* Gives 'd' guarded memory: fills in its alloc, release, copy, set, enter, leave, close. */
int guard_open(struct device *d) MUST_CHECK;

#endif
