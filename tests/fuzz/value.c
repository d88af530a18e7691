/* value.c -- any bytes as a JSON value tree: what is read is written in every form and read again
 * as the same tree. */
#include "engine/core/buffer.h"
#include "engine/core/json.h"
#include "engine/core/value.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NaN equals nothing, itself included. */
static bool has_nan(const struct value *v)
{
    if (v->kind == VALUE_FLOAT)
        return isnan(v->as.number);
    for (int64_t i = 0; v->kind == VALUE_LIST && i < v->as.list.count; i++)
        if (has_nan(v->as.list.items[i]))
            return true;
    for (int64_t i = 0; v->kind == VALUE_MAP && i < v->as.map.count; i++)
        if (has_nan(v->as.map.entries[i].value))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct value_json forms[] = {
        {.indent = -1},
        {.indent = 2, .sort_keys = true, .ascii = true},
        {.indent = -1, .separator = ",", .colon = ":"},
    };
    struct json_options options = {.nan = true, .duplicates = size && data[0] == '{'};
    struct value *v = NULL;
    mem_set_limit(64 << 20);
    if (!value_from_json((const char *)data, size, &options, &v)) {
        for (int i = 0; i < 3; i++) {
            struct buffer b = {0};
            struct value *again = NULL;
            if (value_to_json(v, &forms[i], &b) ||
                value_from_json(b.bytes, (size_t)b.length, &options, &again) ||
                (!has_nan(v) && !value_equal(v, again)))
                abort();
            value_drop(again);
            buffer_free(&b);
        }
        value_drop(v);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
