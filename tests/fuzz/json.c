/* json.c -- any bytes through the JSON parser: it ends, reads no byte outside, and what it accepts
 * it accepts again part by part. */
#include "engine/core/json.h"
#include "kernels/base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int walk(struct json *j, size_t *events)
{
    int status = json_next(j);
    for (; !status && j->kind != JSON_END; status = json_next(j)) {
        int64_t i;
        double d;
        (*events)++;
        if (j->kind == JSON_NUMBER && !json_int(j, "n", &i) && json_double(j, "n", &d))
            abort();
    }
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json j;
    size_t events = 0, again = 0;
    if (size == 0)
        return 0;
    struct json_options options = {.nan = data[0] & 1, .duplicates = data[0] & 2};
    const char *text = (const char *)data + 1;
    mem_set_limit(64 << 20);
    json_begin(&j, text, size - 1, &options);
    int status = walk(&j, &events);
    json_free(&j);
    if (!status) { /* a value stands alone as well as in its place */
        json_begin(&j, text, size - 1, &options);
        if (json_skip_value(&j))
            abort();
        size_t stop = (size_t)(j.p - j.whole), start = j.p > j.whole ? 0 : stop;
        json_free(&j);
        if (size > 3 && data[1] == 0xEF)
            start = 3;
        json_begin_part(&j, text, start, stop, &options);
        if (walk(&j, &again) || again != events)
            abort();
        json_free(&j);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
