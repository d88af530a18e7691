/* data_readme.c -- fuzz target: bytes as a data set's README.md. What is accepted names splits and
 * patterns inside the folder, and the same again when asked for by name. */
#include "engine/data/data_files.h"
#include "kernels/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const configs[] = {NULL, "en", "default"};
    const char *text = (const char *)data;
    mem_set_limit(64 << 20);
    for (int i = 0; i < 3; i++) {
        struct data_files d = {0};
        if (data_files_from_readme(text, size, configs[i], &d))
            continue;
        for (int64_t k = 0; k < d.count; k++)
            if (!d.items[k].split || d.items[k].path[0] == '/' || strstr(d.items[k].path, ".."))
                abort();
        data_files_free(&d);
    }
    if (mem_stats().live_blocks)
        abort();
    return 0;
}
