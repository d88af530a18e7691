/* device.c -- opening devices by name, and their memory and time.
 *
 * The devices whose memory is the host's (cpu, ref) share the functions here; guard.c has its own,
 * and the null device hands out addresses that lead nowhere.
 *
 * The cpu tables are weak: a program built without kernels/cpu (the fuzz targets) still links, and
 * has no cpu device. */
#include "kernels/guard.h"
#include "kernels/kernels.h"
#include "kernels/base/mem.h"
#include "kernels/base/pool.h"
#include "kernels/base/size.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#pragma weak cpu_ops_plain
#pragma weak cpu_ops_avx2
#pragma weak cpu_ops_avx512

/* --- memory of the host --------------------------------------------------------------------- */

static int host_alloc(struct device *d, size_t bytes, void **out)
{
    (void)d;
    void *block = mem_alloc_aligned(bytes);
    if (!block)
        return ERR_MEMORY;
    *out = block;
    return OK;
}

static void host_release(struct device *d, void *data, size_t bytes)
{
    (void)d, (void)bytes;
    mem_free(data);
}

static int host_copy(struct device *d, void *dst, const void *src, size_t bytes,
                     enum copy_direction dir)
{
    (void)d, (void)dir;
    memmove(dst, src, bytes);
    return OK;
}

static int host_set(struct device *d, void *dst, int byte, size_t bytes)
{
    (void)d;
    memset(dst, byte, bytes);
    return OK;
}

static int host_sync(struct device *d)
{
    (void)d;
    return OK;
}

static void host_record(struct device *d, struct event *e)
{
    (void)d;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    e->opaque[0] = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double host_seconds(struct device *d, const struct event *from, const struct event *to)
{
    (void)d;
    return (double)(int64_t)(to->opaque[0] - from->opaque[0]) * 1e-9;
}

static int host_open(struct device *d)
{
    d->alloc = host_alloc;
    d->release = host_release;
    d->copy = host_copy;
    d->set = host_set;
    return OK;
}

/* --- memory that is only counted ------------------------------------------------------------ */

static int null_alloc(struct device *d, size_t bytes, void **out)
{
    uintptr_t *next = d->state;
    size_t padded, end;
    if (!size_pad(bytes ? bytes : 1, 64, &padded) || !size_add(*next, padded, &end))
        return fail(ERR_MEMORY, "out of memory: %zu bytes wanted on the null device", bytes);
    *out = (void *)*next;
    *next = end;
    return OK;
}

static void null_release(struct device *d, void *data, size_t bytes)
{
    (void)d, (void)data, (void)bytes;
}

/* What the host reads back must be the same on every run. */
static int null_copy(struct device *d, void *dst, const void *src, size_t bytes,
                     enum copy_direction dir)
{
    (void)d, (void)src;
    if (dir == COPY_TO_HOST)
        memset(dst, 0, bytes);
    return OK;
}

static int null_set(struct device *d, void *dst, int byte, size_t bytes)
{
    (void)d, (void)dst, (void)byte, (void)bytes;
    return OK;
}

static void null_close(struct device *d)
{
    mem_free(d->state);
}

static int null_open(struct device *d)
{
    uintptr_t *next = mem_alloc(sizeof *next);
    if (!next)
        return ERR_MEMORY;
    *next = 64; /* never NULL */
    d->state = next;
    d->alloc = null_alloc;
    d->release = null_release;
    d->copy = null_copy;
    d->set = null_set;
    d->close = null_close;
    return OK;
}

/* --- which chip is this? -------------------------------------------------------------------- */

#if defined(__x86_64__)
/* The builtins know whether the system keeps the wide registers; f16c is not among their names. */
static bool has_avx2(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

static void chip_name(char name[49])
{
    unsigned r[12] = {0}, most = __get_cpuid_max(0x80000000u, NULL);
    for (unsigned i = 0; i < 3 && most >= 0x80000004u; i++)
        __get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    memcpy(name, r, 48);
    name[48] = '\0';
}
#else
static bool has_avx2(void)
{
    return false;
}

static bool has_avx512(void)
{
    return false;
}

static void chip_name(char name[49])
{
    name[0] = '\0';
}
#endif

/* The brand string without its padding: makers fill it with runs of spaces. */
static void chip_name_tidy(char name[49])
{
    chip_name(name);
    char *to = name;
    for (const char *from = name; *from; from++)
        if (*from != ' ' || (to > name && to[-1] != ' '))
            *to++ = *from;
    while (to > name && to[-1] == ' ')
        to--;
    *to = '\0';
    if (!*name)
        strcpy(name, "unknown chip");
}

static bool has_any(void)
{
    return true;
}

static const struct build {
    const char *name; /* as in "cpu-avx2" */
    const struct device_ops *ops;
    bool (*runs)(void);
} builds[] = {
    /* fastest first */
    {"avx512", &cpu_ops_avx512, has_avx512},
    {"avx2", &cpu_ops_avx2, has_avx2},
    {"plain", &cpu_ops_plain, has_any},
};

/* NULL = none, with the message left. */
static const struct build *cpu_choose(const char *wanted)
{
    for (int i = 0; i < COUNT_OF(builds); i++) {
        const struct build *b = &builds[i];
        if (wanted && strcmp(wanted, b->name))
            continue;
        if (b->ops && b->runs())
            return b;
        if (wanted) {
            fail(ERR_DEVICE, "device 'cpu-%s': %s; hint: 'cpu' takes what there is", wanted,
                 b->ops ? "this chip cannot run it" : "not part of this program");
            return NULL;
        }
    }
    if (wanted)
        fail(ERR_DEVICE, "device 'cpu-%s' unknown; hint: cpu-avx512, cpu-avx2, cpu-plain", wanted);
    else
        fail(ERR_DEVICE, "device 'cpu': not part of this program");
    return NULL;
}

static int cpu_open(struct device *d, const char *wanted, struct pool *pool)
{
    const struct build *b = cpu_choose(wanted);
    if (!b)
        return ERR_DEVICE;
    char chip[49];
    chip_name_tidy(chip);
    int threads = pool ? pool_threads(pool) : 1;
    d->kind = "cpu";
    d->ops = b->ops;
    d->pool = pool;
    snprintf(d->name, sizeof d->name, "cpu: %s, %s, %d thread%s", chip, b->name, threads,
             threads == 1 ? "" : "s");
    return host_open(d);
}

/* --- devices -------------------------------------------------------------------------------- */

static const struct kind {
    const char *name;
    const struct device_ops *ops;
    int (*open)(struct device *d);
} kinds[] = {
    {"ref", &ref_ops, host_open},
    {"guard", &ref_ops, guard_open},
    {"null", &null_ops, null_open},
};

static int open_kind(struct device *d, const char *name, struct pool *pool)
{
    if (!strcmp(name, "cpu"))
        return cpu_open(d, NULL, pool);
    if (!strncmp(name, "cpu-", 4))
        return cpu_open(d, name + 4, pool);
    for (int i = 0; i < COUNT_OF(kinds); i++) {
        if (strcmp(name, kinds[i].name))
            continue;
        d->kind = kinds[i].name;
        d->ops = kinds[i].ops;
        d->pool = pool;
        snprintf(d->name, sizeof d->name, "%s", d->kind);
        return kinds[i].open(d);
    }
    return fail(ERR_DEVICE, "device '%s' unknown; hint: one of cpu, ref, guard, null", name);
}

int device_open(const char *name, struct pool *pool, struct device **out)
{
    struct device *d = mem_calloc(1, sizeof *d);
    if (!d)
        return ERR_MEMORY;
    d->sync = host_sync;
    d->record = host_record;
    d->seconds = host_seconds;
    int status = open_kind(d, name, pool);
    if (status) {
        mem_free(d);
        return status;
    }
    *out = d;
    return OK;
}

void device_close(struct device *d)
{
    if (!d)
        return;
    if (d->close)
        d->close(d);
    mem_free(d);
}

int device_alloc(struct device *d, size_t bytes, void **out)
{
    TRY(d->alloc(d, bytes, out));
    d->live_bytes += (int64_t)bytes;
    if (d->live_bytes > d->peak_bytes)
        d->peak_bytes = d->live_bytes;
    return OK;
}

void device_release(struct device *d, void *data, size_t bytes)
{
    if (!data)
        return;
    d->live_bytes -= (int64_t)bytes;
    d->release(d, data, bytes);
}

int device_copy(struct device *d, void *dst, const void *src, size_t bytes, enum copy_direction dir)
{
    return bytes ? d->copy(d, dst, src, bytes, dir) : OK;
}

int device_set(struct device *d, void *dst, int byte, size_t bytes)
{
    return bytes ? d->set(d, dst, byte, bytes) : OK;
}

int device_sync(struct device *d)
{
    return d->sync(d);
}
