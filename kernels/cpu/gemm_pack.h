/* gemm_pack.h -- bringing operands of the matrix product into the order its tiles read.
 *
 * A strip is STRIP columns of op(w) by a block of k. Packed, it is a row of panels: TILE_COLS columns
 * each, the last one a single vector wide when that is enough; step i of a panel is its width of
 * consecutive floats. Columns beyond the matrix are zero. */
#ifndef KERNELS_CPU_GEMM_PACK_H
#define KERNELS_CPU_GEMM_PACK_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/unpack.h"

/* Two vectors wide: as many rows as leave registers for the operands (16 of them, 32 with AVX-512).
 * One vector wide (narrow products): always 8. */
#if defined(CPU_AVX512)
#define TILE_ROWS 12
#else
#define TILE_ROWS 6
#endif
#define TILE_ROWS_NARROW 8
#define TILE_COLS (2 * VF_LANES)

#define STRIP 32 /* a multiple of what every format unpacks, and of TILE_COLS */

/* Columns of the panel that starts at column 'at' of a strip of 'cols'. */
static inline int panel_width(int at, int cols)
{
    return cols - at <= VF_LANES ? VF_LANES : TILE_COLS;
}

struct pack {
    const struct wview *w;
    struct unpack unpack;
    bool trans_w;
    int64_t col, k; /* where the strip begins: column of op(w), step */
    int cols;       /* 1..STRIP */
    int64_t steps;
};

/* Packs into 'panels' (STRIP * steps floats). */
void CPU(pack_strip)(const struct pack *p, float *panels);

/* dst[j*ds + i] = src[i*ss + j] for i < rows, j < cols. */
void CPU(transpose)(int64_t rows, int64_t cols, const float *src, int64_t ss, float *dst,
                    int64_t ds);

#endif
