/* attention_pack.c -- bringing rows of keys and values into the order the tiles read. */
#include "kernels/cpu/attention.h"

/* VF_LANES rows into VF_LANES columns of a panel */
static void pack_columns(float *panel, const float *const *rows, int64_t n, int64_t width)
{
    static const float zeros[VF_LANES];
    int64_t d = 0;
    vf v[VF_LANES];
    for (; d + VF_LANES <= width; d += VF_LANES) {
        for (int i = 0; i < VF_LANES; i++)
            v[i] = vf_load(i < n ? rows[i] + d : zeros);
        vf_transpose(v);
        for (int i = 0; i < VF_LANES; i++)
            vf_store(panel + (d + i) * TILE_COLS, v[i]);
    }
    for (; d < width; d++)
        for (int i = 0; i < VF_LANES; i++)
            panel[d * TILE_COLS + i] = i < n ? rows[i][d] : 0;
}

void CPU(at_pack)(float *panels, const float *const *rows, int64_t n, int64_t width)
{
    for (int64_t at = 0; at < n; at += TILE_COLS, panels += TILE_COLS * width)
        for (int64_t c = 0; c < TILE_COLS; c += VF_LANES)
            pack_columns(panels + c, rows + at + c, n - at - c, width);
}

void CPU(at_copy)(float *dst, const float *const *rows, int64_t n, int64_t width, int64_t pad)
{
    for (int64_t i = 0; i < n; i++, dst += pad) {
        memcpy(dst, rows[i], (size_t)width * sizeof(float));
        for (int64_t c = width; c < pad; c++)
            dst[c] = 0;
    }
}
