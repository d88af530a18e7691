/* safetensors.c -- any bytes as a safetensors file: what is accepted covers the file without gap or
 * overlap, and every tensor is found by its name. */
#include "engine/formats/safetensors.h"
#include "kernels/base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct safetensors *s, size_t size)
{
    size_t header = size, bytes = 0;
    for (int64_t i = 0; i < safetensors_count(s); i++) {
        const struct safetensors_tensor *t = safetensors_tensor(s, i);
        if (t->offset < 8 || (size_t)t->offset > size || t->bytes > size - (size_t)t->offset)
            abort();
        if (safetensors_find(s, t->name) != i || !safetensors_bits(t->dtype))
            abort();
        if ((size_t)t->offset < header)
            header = (size_t)t->offset;
        bytes += t->bytes;
    }
    if (header + bytes != size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *s;
    mem_set_limit(64 << 20);
    if (!safetensors_parse((const char *)data, size, size, &s)) {
        check(s, size);
        (void)safetensors_meta(s, "format");
        safetensors_close(s);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
