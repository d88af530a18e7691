/* template.c -- any bytes as a chat template: parsing and rendering end within their limits, the
 * text is UTF-8, spans lie inside it, and a second rendering gives the same. */
#include "engine/core/utf8.h"
#include "engine/core/value.h"
#include "engine/text/template/template.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char variables[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi <think>a</think> b\"}, {\"role\": "
    "\"assistant\", \"content\": {\"b\": 1, \"a\": \"\\u00e9\"}, \"tool_calls\": [{\"function\": "
    "{\"name\": \"f\", \"arguments\": {\"x\": [1, 2.5, null]}}}]}], \"tools\": [{\"name\": "
    "\"f\"}], "
    "\"add_generation_prompt\": true, \"a\": 1, \"s\": \"x y\", \"l\": [3, 1, 2]}";

static void check(const struct template_result *r)
{
    if (utf8_valid(r->text, r->length) < r->length)
        abort();
    for (int64_t i = 0; i < r->span_count; i++)
        if (r->spans[i].start < 0 || r->spans[i].end < r->spans[i].start ||
            r->spans[i].end > (int64_t)r->length)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct template *t = NULL;
    struct template_result first = {0}, second = {0};
    struct template_options o = {
        .fuel = 200000, .output = 1 << 18, .memory = 16 << 20, .now = 1770091506};
    struct value *v = NULL;
    mem_set_limit(64 << 20);
    if (value_from_json(variables, sizeof variables - 1, NULL, &v))
        abort();
    if (!template_parse((const char *)data, size, &t)) {
        int status = template_render(t, v, &o, &first);
        if (status != template_render(t, v, &o, &second))
            abort();
        if (!status) {
            check(&first);
            if (first.length != second.length || memcmp(first.text, second.text, first.length) != 0)
                abort();
        }
    }
    template_result_free(&first);
    template_result_free(&second);
    template_free(t);
    value_drop(v);
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
