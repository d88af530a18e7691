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

/* Groups of 32, from the middle of a block to the middle of another. */
#define UNPACK_K(name, type, bytes)                                               \
    static void part_##name(const void *src, int64_t skip, float *dst, int64_t n) \
    {                                                                             \
        const uint8_t *b = src;                                                   \
        int g = (int)(skip / BLOCK);                                              \
        vf v[BLOCK_VECTORS];                                                      \
        for (; n > 0; n -= BLOCK, dst += BLOCK) {                                 \
            group_##name(b, g, v);                                                \
            for (int i = 0; i < BLOCK_VECTORS; i++)                               \
                vf_store(dst + i * VF_LANES, v[i]);                               \
            g = (g + 1) % (QUANT_K / BLOCK);                                      \
            b += g ? 0 : (bytes);                                                 \
        }                                                                         \
    }                                                                             \
    static void unpack_##name(const void *src, float *dst, int64_t n)             \
    {                                                                             \
        part_##name(src, 0, dst, n);                                              \
    }
QUANT_K_FORMATS(UNPACK_K)

struct unpack CPU(unpack_of)(const struct format *f)
{
#define CHOOSE(format_name, bytes)      \
    if (!strcmp(f->name, #format_name)) \
        return (struct unpack){unpack_##format_name, NULL};
    BLOCK_FORMATS(CHOOSE)
#define CHOOSE_K(format_name, type, bytes) \
    if (!strcmp(f->name, #format_name))    \
        return (struct unpack){unpack_##format_name, part_##format_name};
    QUANT_K_FORMATS(CHOOSE_K)
    return (struct unpack){f->decode, NULL};
}
