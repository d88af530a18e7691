/* gemm_pack.c -- packing of weight strips, and the transposition it rests on. */
#include "kernels/cpu/gemm_pack.h"

/* --- transposition -------------------------------------------------------------------------- */

#if defined(CPU_AVX512) || defined(CPU_AVX2)
#define SQUARE 8
/* dst[j*ds + i] = src[i*ss + j] for i, j < 8 */
static inline void transpose_square(const float *src, int64_t ss, float *dst, int64_t ds)
{
    __m256 a[8], b[8];
    for (int i = 0; i < 4; i++) { /* rows i and i+4 by halves: no lane crossing later */
        const float *p = src + i * ss, *q = src + (i + 4) * ss;
        a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1);
        a[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 4)),
                                        _mm_loadu_ps(q + 4), 1);
    }
    for (int h = 0; h < 8; h += 4) {
        b[h] = _mm256_unpacklo_ps(a[h], a[h + 1]);
        b[h + 1] = _mm256_unpackhi_ps(a[h], a[h + 1]);
        b[h + 2] = _mm256_unpacklo_ps(a[h + 2], a[h + 3]);
        b[h + 3] = _mm256_unpackhi_ps(a[h + 2], a[h + 3]);
        _mm256_storeu_ps(dst + (h + 0) * ds, _mm256_shuffle_ps(b[h], b[h + 2], 0x44));
        _mm256_storeu_ps(dst + (h + 1) * ds, _mm256_shuffle_ps(b[h], b[h + 2], 0xEE));
        _mm256_storeu_ps(dst + (h + 2) * ds, _mm256_shuffle_ps(b[h + 1], b[h + 3], 0x44));
        _mm256_storeu_ps(dst + (h + 3) * ds, _mm256_shuffle_ps(b[h + 1], b[h + 3], 0xEE));
    }
}
#else
#define SQUARE 4
static inline void transpose_square(const float *src, int64_t ss, float *dst, int64_t ds)
{
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 4; i++)
            dst[j * ds + i] = src[i * ss + j];
}
#endif

void CPU(transpose)(int64_t rows, int64_t cols, const float *src, int64_t ss, float *dst,
                    int64_t ds)
{
    int64_t i = 0;
    for (; i + SQUARE <= rows; i += SQUARE) {
        int64_t j = 0;
        for (; j + SQUARE <= cols; j += SQUARE)
            transpose_square(src + i * ss + j, ss, dst + j * ds + i, ds);
        for (; j < cols; j++)
            for (int64_t r = i; r < i + SQUARE; r++)
                dst[j * ds + r] = src[r * ss + j];
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            dst[j * ds + i] = src[i * ss + j];
}

/* --- strips --------------------------------------------------------------------------------- */

/* w [N,K]: columns of the strip are rows of w, a piece of each is unpacked and turned. */
static void pack_rows(const struct pack *p, float *panels)
{
    bool plain = p->w->format->dtype == DT_F32;
    _Alignas(64) float piece[TILE_COLS * BLOCK];
    for (int at = 0; at < p->cols; at += TILE_COLS, panels += TILE_COLS * p->steps) {
        int width = panel_width(at, p->cols), cols = p->cols - at < width ? p->cols - at : width;
        for (int64_t i = 0; i < p->steps; i += BLOCK) {
            int64_t n = p->steps - i < BLOCK ? p->steps - i : BLOCK;
            float *out = panels + i * width;
            if (cols < width)
                memset(out, 0, (size_t)(n * width) * sizeof(float));
            if (plain) {
                CPU(transpose)
                (cols, n, (const float *)weight_at(p->w, p->col + at, p->k + i), p->w->row_stride,
                 out, width);
                continue;
            }
            for (int c = 0; c < cols; c++)
                p->unpack(weight_at(p->w, p->col + at + c, p->k + i), piece + c * BLOCK, n);
            CPU(transpose)(cols, n, piece, BLOCK, out, width);
        }
    }
}

/* w [K,N]: steps are rows of w, a strip is a piece of each. */
static void pack_cols(const struct pack *p, float *panels)
{
    _Alignas(64) float row[STRIP] = {0};
    for (int64_t i = 0; i < p->steps; i++) {
        p->unpack(weight_at(p->w, p->k + i, p->col), row, p->cols);
        float *out = panels;
        for (int at = 0; at < p->cols; at += TILE_COLS, out += TILE_COLS * p->steps) {
            int width = panel_width(at, p->cols);
            for (int j = 0; j < width; j += VF_LANES)
                vf_store(out + i * width + j, vf_load(row + at + j));
        }
    }
}

void CPU(pack_strip)(const struct pack *p, float *panels)
{
    if (p->trans_w)
        pack_rows(p, panels);
    else
        pack_cols(p, panels);
}
