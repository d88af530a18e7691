/* unpack.c -- rows of stored weights to f32. */
#include "kernels/cpu/unpack.h"

/* Whole blocks in registers; what is left of a plain format's row goes through a padded block. */
#define UNPACK(name, bytes)                                           \
    static void unpack_##name(const void *src, float *dst, int64_t n) \
    {                                                                 \
        const uint8_t *b = src;                                       \
        vf v[BLOCK_VECTORS];                                          \
        for (; n >= BLOCK; n -= BLOCK, b += (bytes), dst += BLOCK) {  \
            block_##name(b, v);                                       \
            for (int i = 0; i < BLOCK_VECTORS; i++)                   \
                vf_store(dst + i * VF_LANES, v[i]);                   \
        }                                                             \
        if (n > 0) {                                                  \
            uint8_t last[bytes] = {0};                                \
            memcpy(last, b, (size_t)n *((bytes) / BLOCK));            \
            block_##name(last, v);                                    \
            memcpy(dst, v, (size_t)n * sizeof(float));                \
        }                                                             \
    }
BLOCK_FORMATS(UNPACK)

unpack_fn *CPU(unpack_of)(const struct format *f)
{
#define CHOOSE(format_name, bytes)      \
    if (!strcmp(f->name, #format_name)) \
        return unpack_##format_name;
    BLOCK_FORMATS(CHOOSE)
    return f->decode;
}
