/* shared_util.c -- where tests find public data and models, and small helpers of parser tests. */
#include "tests/engine/shared_util.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

static char *buffer(void)
{
    static char buffers[4][1024];
    static unsigned next;
    return buffers[next++ % 4];
}

const char *shared_path(const char *name)
{
    const char *root = getenv("LORASH_SHARED");
    char *path = buffer();
    snprintf(path, 1024, "%s/%s", root ? root : "../shared", name);
    if (access(path, R_OK) == 0)
        return path;
    printf("# skipped: no %s; hint: LORASH_SHARED says where the shared data is\n", path);
    return NULL;
}

const char *demo_model_path(void)
{
    const char *given = getenv("LORASH_DEMO_MODEL"), *home = getenv("HOME");
    char *path = buffer(), folder[512];
    if (given && access(given, R_OK) == 0)
        return given;
    snprintf(folder, sizeof folder, "%s/.cache/lorash", home ? home : "");
    DIR *d = opendir(folder);
    struct dirent *e;
    bool found = false;
    while (d && !found && (e = readdir(d))) {
        size_t n = strlen(e->d_name);
        found = n > 5 && strcmp(e->d_name + n - 5, ".gguf") == 0;
        if (found)
            snprintf(path, 1024, "%s/%s", folder, e->d_name);
    }
    if (d)
        closedir(d);
    if (!found)
        printf("# skipped: no demo model; hint: scripts/demo-model gets it, or set "
               "LORASH_DEMO_MODEL\n");
    return found ? path : NULL;
}

static char folder_name[64];

static void remove_folder(void)
{
    int status = file_remove_folder(folder_name);
    (void)status; /* what the system cannot remove stays */
}

/* True when the memory file system is there and roomy: some containers give it only 64 MiB. */
static bool memory_is_roomy(void)
{
    struct statvfs fs;
    return statvfs("/dev/shm", &fs) == 0 && fs.f_bavail * fs.f_frsize >= 256u << 20;
}

const char *temp_folder(void)
{
    if (!folder_name[0]) {
        snprintf(folder_name, sizeof folder_name, "%s/lorash-test-XXXXXX",
                 memory_is_roomy() && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(folder_name))
            fail_msg("no folder can be made: %s", folder_name);
        atexit(remove_folder);
    }
    return folder_name;
}

const char *temp_path(const char *name)
{
    char *path = buffer();
    snprintf(path, 1024, "%s/%s", temp_folder(), name);
    return path;
}

void temp_write(const char *name, const void *bytes, size_t length)
{
    FILE *f = fopen(temp_path(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, length, f), length);
    assert_int_equal(fclose(f), 0);
}

/* The parser gets a block of exactly 'length' bytes, so a sanitizer sees any read past it. */
static void one_bad_input(const char *bytes, size_t length,
                          int (*parse)(const char *bytes, size_t length))
{
    char *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    int64_t blocks = mem_stats().live_blocks;
    status_clear();
    int status = parse(copy, length);
    if (status && (status == ERR_INTERNAL || !status_message()[0]))
        fail_msg("status %d with message '%s'", status, status_message());
    if (mem_stats().live_blocks != blocks)
        fail_msg("%lld blocks leaked", (long long)(mem_stats().live_blocks - blocks));
    free(copy);
}

static void check_peak(int64_t before, int64_t bytes_limit)
{
    int64_t used = mem_stats().peak_bytes - before;
    if (used > bytes_limit)
        fail_msg("%lld bytes in use at the peak, at most %lld wanted", (long long)used,
                 (long long)bytes_limit);
}

void bad_input_sweep(const void *bytes, size_t length, size_t limit, int64_t bytes_limit,
                     int (*parse)(const char *bytes, size_t length))
{
    size_t n = length < limit ? length : limit;
    char *copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    mem_reset_peak();
    int64_t before = mem_stats().live_bytes;
    for (size_t cut = 0; cut < n; cut++)
        one_bad_input(copy, cut, parse);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        copy[bit / 8] ^= (char)(1 << bit % 8);
        one_bad_input(copy, length, parse);
        copy[bit / 8] ^= (char)(1 << bit % 8);
    }
    free(copy);
    check_peak(before, bytes_limit);
}

void bad_number_sweep(const void *bytes, size_t length, size_t limit, int64_t bytes_limit,
                      int (*parse)(const char *bytes, size_t length))
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       4096,
                                       UINT64_MAX,
                                       INT64_MAX,
                                       UINT32_MAX,
                                       (uint64_t)1 << 63,
                                       (uint64_t)1 << 61,
                                       INT32_MAX,
                                       0xFFFF};
    size_t n = length < limit ? length : limit;
    char *copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    mem_reset_peak();
    int64_t before = mem_stats().live_bytes;
    for (size_t width = 4; width <= 8; width += 4)
        for (size_t at = 0; at + width <= n; at++)
            for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
                memcpy(copy + at, &numbers[i], width); /* little-endian machines */
                one_bad_input(copy, length, parse);
                memcpy(copy + at, (const char *)bytes + at, width);
            }
    free(copy);
    check_peak(before, bytes_limit);
}

void memory_sweep(int (*work)(void *ctx), void *ctx)
{
    for (int for_good = 0; for_good <= 1; for_good++) {
        int64_t n = 1;
        for (;; n++) {
            int64_t blocks = mem_stats().live_blocks;
            mem_fail_at(n, for_good);
            int status = work(ctx);
            int64_t seen = mem_fail_at(0, 0);
            if (mem_stats().live_blocks != blocks)
                fail_msg("allocation %lld refused: %lld blocks leaked", (long long)n,
                         (long long)(mem_stats().live_blocks - blocks));
            if (status == OK && seen < n)
                break;
            if (status != ERR_MEMORY && status != OK) /* OK: it went on without that block */
                fail_msg("allocation %lld refused: status %d (%s)", (long long)n, status,
                         status_message());
        }
        assert_true(n > 1);
    }
}
