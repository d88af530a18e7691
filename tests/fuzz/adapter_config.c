/* adapter_config.c -- any bytes as an adapter_config.json: a configuration that passes its own check
 * or a clean error; what was read, written and read again is written the same. */
#include "engine/adapt/lora_json.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lora_config c, again;
    struct buffer notes = {0}, first = {0}, second = {0};
    mem_set_limit(64 << 20);
    int status = lora_json_parse((const char *)data, size, &c, &notes);
    buffer_free(&notes);
    if (status)
        return 0;
    if (lora_config_check(&c) || lora_json_write(&c, c.base_model_name_or_path, &first))
        abort();
    if (lora_json_parse(first.bytes, (size_t)first.length, &again, NULL))
        abort();
    if (lora_json_write(&again, again.base_model_name_or_path, &second))
        abort();
    if (first.length != second.length || memcmp(first.bytes, second.bytes, (size_t)first.length))
        abort();
    buffer_free(&first);
    buffer_free(&second);
    options_free(&lora_options, &c);
    options_free(&lora_options, &again);
    return 0;
}
