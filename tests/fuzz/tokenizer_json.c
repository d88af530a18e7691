/* tokenizer_json.c -- any bytes as a tokenizer.json; bytes behind a 0xFF are its configuration. What
 * is accepted encodes and decodes. */
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct tokenizer *t)
{
    static const char text[] = "hello hell \xF0\x9F\x98\x80 <s>  12'll\r\n \xFF";
    struct id_list list = {0};
    struct text_buffer out = {0};
    if (!tokenizer_encode(t, text, sizeof text - 1, 7, &list) &&
        tokenizer_decode(t, list.ids, list.count, true, &out) && status_code() != ERR_MEMORY)
        abort();
    for (int64_t i = 0; i < list.count; i++)
        if (list.spans[i].start < 0 || list.spans[i].start > list.spans[i].end ||
            list.spans[i].end > (int64_t)sizeof text - 1)
            abort();
    id_list_free(&list);
    text_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer *t;
    const uint8_t *mark = size ? memchr(data, 0xFF, size) : NULL;
    size_t length = mark ? (size_t)(mark - data) : size;
    mem_set_limit(128 << 20);
    if (!tokenizer_from_json((const char *)data, length, mark ? (const char *)mark + 1 : NULL,
                             mark ? size - length - 1 : 0, &t)) {
        use(t);
        tokenizer_free(t);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
