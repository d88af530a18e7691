/* sentencepiece.c -- any bytes as a SentencePiece model. What is accepted encodes and decodes. */
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct tokenizer *t)
{
    static const char text[] = "Hello <sep>  the A\xEF\xAC\x81 \xE2\x91\xA0\xFF king <s>";
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
    mem_set_limit(128 << 20);
    if (!tokenizer_from_sentencepiece((const char *)data, size, NULL, 0, &t)) {
        use(t);
        tokenizer_free(t);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
