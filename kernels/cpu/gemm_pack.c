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
    enum { CHUNK = 4 * BLOCK };
    _Alignas(64) float piece[TILE_COLS * CHUNK];
    for (int at = 0; at < p->cols; at += TILE_COLS, panels += TILE_COLS * p->steps) {
        int width = panel_width(at, p->cols), cols = p->cols - at < width ? p->cols - at : width;
        for (int64_t i = 0; i < p->steps; i += CHUNK) {
            int64_t n = p->steps - i < CHUNK ? p->steps - i : CHUNK;
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
                unpack_piece(&p->unpack, p->w, p->col + at + c, p->k + i, piece + c * CHUNK, n);
            CPU(transpose)(cols, n, piece, CHUNK, out, width);
        }
    }
}

/* w [K,N]: steps are rows of w, a strip is a piece of each: any columns, any format. */
static void pack_cols_part(const struct pack *p, float *panels)
{
    for (int64_t i = 0; i < p->steps; i++) {
        float row[STRIP] = {0}, *out = panels;
        unpack_piece(&p->unpack, p->w, p->k + i, p->col, row, p->cols);
        for (int at = 0; at < p->cols; at += TILE_COLS, out += TILE_COLS * p->steps) {
            int width = panel_width(at, p->cols);
            for (int j = 0; j < width; j++)
                out[i * width + j] = row[at + j];
        }
    }
}

/* The same for a whole strip: one block of the format a row (of a format of 256, group g of one),
 * kept in registers. */
typedef void pack_fn(const uint8_t *row, int g, int64_t stride, int64_t steps, float *panels);

#define PACK(name, unpack)                                                                 \
    static void pack_cols_##name(const uint8_t *row, int g, int64_t stride, int64_t steps, \
                                 float *panels)                                            \
    {                                                                                      \
        (void)g;                                                                           \
        for (int64_t i = 0; i < steps; i++, row += stride, panels += TILE_COLS) {          \
            vf v[BLOCK_VECTORS];                                                           \
            unpack;                                                                        \
            float *out = panels;                                                           \
            for (int j = 0; j < BLOCK_VECTORS; j += 2, out += TILE_COLS * steps) {         \
                vf_store(out, v[j]);                                                       \
                vf_store(out + VF_LANES, v[j + 1]);                                        \
            }                                                                              \
        }                                                                                  \
    }
#define PACK_BLOCK(name, bytes) PACK(name, block_##name(row, v))
#define PACK_GROUP(name, type, bytes) PACK(name, group_##name(row, g, v))
BLOCK_FORMATS(PACK_BLOCK)
QUANT_K_FORMATS(PACK_GROUP)

static pack_fn *pack_of(const struct format *f)
{
#define PACK_CHOOSE(format_name, bytes) \
    if (!strcmp(f->name, #format_name)) \
        return pack_cols_##format_name;
#define PACK_CHOOSE_K(format_name, type, bytes) PACK_CHOOSE(format_name, bytes)
    BLOCK_FORMATS(PACK_CHOOSE)
    QUANT_K_FORMATS(PACK_CHOOSE_K)
    return NULL;
}

static void pack_cols(const struct pack *p, float *panels)
{
    const struct format *f = p->w->format;
    pack_fn *whole = p->cols == STRIP ? pack_of(f) : NULL;
    if (whole)
        whole(weight_at(p->w, p->k, p->col), (int)(p->col % QUANT_K / BLOCK),
              p->w->row_stride / f->block * f->block_bytes, p->steps, panels);
    else
        pack_cols_part(p, panels);
}

void CPU(pack_strip)(const struct pack *p, float *panels)
{
    if (p->trans_w)
        pack_rows(p, panels);
    else
        pack_cols(p, panels);
}
