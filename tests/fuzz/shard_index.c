/* shard_index.c -- any bytes as a model.safetensors.index.json: file names stay in the folder. */
#include "engine/formats/shard_index.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shard_index *s;
    mem_set_limit(64 << 20);
    if (!shard_index_parse((const char *)data, size, &s)) {
        for (int64_t i = 0; i < shard_index_files(s); i++)
            if (!file_is_plain_name(shard_index_file(s, i)))
                abort();
        for (int64_t i = 0; i < shard_index_count(s); i++) {
            int64_t file = shard_index_file_of(s, i);
            if (file < 0 || file >= shard_index_files(s) ||
                shard_index_find(s, shard_index_name(s, i)) != i)
                abort();
        }
        shard_index_free(s);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
