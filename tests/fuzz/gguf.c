/* gguf.c -- any bytes as a GGUF header: what is accepted can be read through every accessor, its
 * tensors lie inside the file, and a tokenizer may be asked of it. */
#include "engine/formats/gguf.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_value(const struct gguf *g, const struct gguf_value *v)
{
    struct gguf_list list;
    const char *text;
    size_t n, sum = 0;
    int64_t i;
    double d;
    bool b;
    if (gguf_find(g, v->key) != v)
        abort();
    if (!gguf_int(g, v->key, &i) && gguf_float(g, v->key, &d))
        abort();
    if (!gguf_text(g, v->key, &text, &n))
        sum += n ? (unsigned char)text[n - 1] : 0;
    (void)!gguf_bool_or(g, v->key, false, &b);
    if (!gguf_list_of_text(g, v->key, &list))
        while (list.left > 0) {
            gguf_list_text(&list, &text, &n);
            sum += n ? (unsigned char)text[n - 1] : 0;
        }
    if (!gguf_list_of_int(g, v->key, &list))
        while (list.left > 0)
            sum += (size_t)gguf_list_int(&list);
    if (!gguf_list_of_float(g, v->key, &list))
        while (list.left > 0)
            sum += gguf_list_float(&list) > 0;
    volatile size_t keep = sum;
    (void)keep;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *g;
    struct tokenizer *t;
    struct id_list list = {0};
    mem_set_limit(64 << 20);
    if (!gguf_parse((const char *)data, size, size, &g, NULL)) {
        for (int64_t i = 0; i < gguf_value_count(g); i++)
            read_value(g, gguf_value(g, i));
        for (int64_t i = 0; i < gguf_tensor_count(g); i++) {
            const struct gguf_tensor *k = gguf_tensor(g, i);
            if (k->offset < 0 || (size_t)k->offset > size || k->bytes > size - (size_t)k->offset ||
                gguf_find_tensor(g, k->name) != i)
                abort();
        }
        if (!tokenizer_from_gguf(g, &t)) {
            (void)!tokenizer_encode(t, "Hello hell <s> 12", 17, 7, &list);
            id_list_free(&list);
            tokenizer_free(t);
        }
        gguf_close(g);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
