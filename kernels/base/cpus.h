/* cpus.h -- how many CPUs this process may use.
 *
 * The smallest of: CPUs in the affinity mask, and the cgroup's CPU quota rounded up. Reads /proc
 * and /sys directly: these are the kernel's own words, not user files. */
#ifndef KERNELS_BASE_CPUS_H
#define KERNELS_BASE_CPUS_H

#include <stddef.h>

/* At least 1. */
int cpus_allowed(void);

/* The quota in CPUs, rounded up, that the text of a cgroup's cpu.max ("150000 100000") states; 0 if
 * it states none ("max 100000") or cannot be read. */
int cpus_of_quota(const char *text, size_t length);

#endif
