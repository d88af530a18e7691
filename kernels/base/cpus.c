/* cpus.c -- how many CPUs this process may use. */
#include "kernels/base/cpus.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The start of a small file as text; returns its length, 0 if it cannot be read. */
static size_t slurp(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, room - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Decimal digits at text[*at], skipping blanks before; false if there are none. */
static bool number(const char *text, size_t length, size_t *at, int64_t *out)
{
    size_t i = *at;
    while (i < length && text[i] == ' ')
        i++;
    size_t start = i;
    int64_t n = 0;
    for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
        if (n > INT64_MAX / 16)
            return false;
        n = 10 * n + (text[i] - '0');
    }
    *at = i;
    *out = n;
    return i > start;
}

int cpus_of_quota(const char *text, size_t length)
{
    size_t at = 0;
    int64_t quota, period;
    if (!number(text, length, &at, &quota) || !number(text, length, &at, &period) || period < 1)
        return 0;
    int64_t cpus = quota / period + (quota % period != 0);
    return cpus < 1 ? 1 : cpus > INT_MAX ? INT_MAX : (int)cpus;
}

static int smaller_limit(int cpus, int limit)
{
    return limit && limit < cpus ? limit : cpus;
}

/* cgroup version 2: the quotas of our group and of every group above it count. */
static int quota_v2(int cpus)
{
    char text[8192], path[8192 + 64], max[64];
    size_t length = slurp("/proc/self/cgroup", text, sizeof text);
    const char *line = length ? strstr(text, "0::/") : NULL;
    if (!line || (line > text && line[-1] != '\n'))
        return cpus;
    line += 3;
    size_t n = strcspn(line, "\n");
    while (n) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/cpu.max", (int)(n == 1 ? 0 : n), line);
        cpus = smaller_limit(cpus, cpus_of_quota(max, slurp(path, max, sizeof max)));
        if (n == 1)
            break;
        while (n > 1 && line[n - 1] != '/')
            n--;
        if (n > 1)
            n--;
    }
    return cpus;
}

/* cgroup version 1, as a container sees it. */
static int quota_v1(int cpus)
{
    char text[128], period[64];
    size_t n = slurp("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", text, 64);
    size_t m = slurp("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period);
    if (!n || !m)
        return cpus;
    n = strcspn(text, "\n");
    int length = snprintf(text + n, sizeof text - n, " %s", period);
    return smaller_limit(cpus, cpus_of_quota(text, n + (size_t)length));
}

int cpus_allowed(void)
{
    cpu_set_t sets[8]; /* 8,192 CPUs; the kernel refuses a mask shorter than its own */
    int cpus = 0;
    if (sched_getaffinity(0, sizeof sets, sets) == 0)
        cpus = CPU_COUNT_S(sizeof sets, sets);
    if (cpus < 1) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        cpus = online > 0 && online <= INT_MAX ? (int)online : 1;
    }
    return quota_v1(quota_v2(cpus));
}
