/* config_json.c -- any bytes as a config.json: settings that pass their own check or a clean error;
 * what was read, written and read again is the same; an edit leaves a text that reads back. */
#include "engine/model/config_json.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const struct model_config *c)
{
    struct model_config again;
    struct buffer text = {0};
    if (config_to_json(c, "float32", &text))
        abort();
    if (config_from_json(text.bytes, (size_t)text.length, &again))
        abort();
    if (again.hidden_size != c->hidden_size || again.rope.factor != c->rope.factor ||
        again.rope.kind != c->rope.kind || again.eos_count != c->eos_count ||
        again.head_dim != c->head_dim || again.sliding_window != c->sliding_window)
        abort();
    buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *json = (const char *)data;
    struct model_config c, edited;
    mem_set_limit(64 << 20);
    if (config_from_json(json, size, &c))
        return 0;
    if (config_check(&c))
        abort();
    write_and_read(&c);
    struct config_edit edits[] = {{"vocab_size", "77", NULL}, {"dtype", "\"f\"", "torch_dtype"}};
    struct buffer text = {0};
    if (config_edit_json(json, size, edits, 2, &text))
        abort();
    if (config_from_json(text.bytes, (size_t)text.length, &edited) || edited.vocab_size != 77 ||
        strcmp(edited.dtype, "f") || edited.hidden_size != c.hidden_size)
        abort();
    buffer_free(&text);
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
