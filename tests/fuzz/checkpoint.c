/* checkpoint.c -- any bytes as a manifest and as a training state: what is accepted is written out
 * and read again, and gives the same text. */
#include "engine/train/manifest.h"
#include "engine/train/run_state.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_state(const char *bytes, size_t size)
{
    struct run_state s, again;
    struct buffer one = {0}, two = {0};
    if (run_state_parse(bytes, size, &s))
        return;
    run_state_write(&one, &s);
    if (one.status)
        abort();
    if (run_state_parse(one.bytes, (size_t)one.length, &again))
        abort();
    run_state_write(&two, &again);
    if (one.length != two.length || memcmp(one.bytes, two.bytes, (size_t)one.length))
        abort();
    run_state_free(&s);
    run_state_free(&again);
    buffer_free(&one);
    buffer_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest m;
    mem_set_limit(64 << 20);
    if (!manifest_parse((const char *)data, size, &m)) {
        for (int64_t i = 0; i < m.count; i++)
            if (m.files[i].bytes < 0 || strlen(m.files[i].sha256) != 64 ||
                strchr(m.files[i].name, '/'))
                abort();
        manifest_free(&m);
    }
    check_state((const char *)data, size);
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
