/* quant.h -- the table of weight storage formats: one row each, with decode and encode.
 *
 * A row of a weight is a whole number of blocks. decode and encode are plain C, written to be
 * read, and are the specification; devices unpack faster on their own and are tested against
 * them. Layouts: GGUF's (ggml) for the quantised ones, IEEE or bfloat16 for the plain ones. */
#ifndef KERNELS_QUANT_H
#define KERNELS_QUANT_H

#include "kernels/kernels.h"

struct format {
    const char *name;        /* "f32", "q4_1" */
    enum dtype dtype;        /* the plain dtype, or DT_BLOCK */
    int ggml_type;           /* type id in GGUF files, -1 = none */
    const char *safetensors; /* dtype in safetensors files, NULL = none */
    int block;               /* elements per block (1 for plain formats) */
    int block_bytes;         /* bytes per block */
    /* 'n' elements, a multiple of block, of contiguous storage. f64 decodes with rounding here. */
    void (*decode)(const void *src, float *dst, int64_t n);
    void (*encode)(const float *src, void *dst, int64_t n);
};

extern const struct format formats[];
extern const int formats_count;
extern const char formats_text[]; /* their names in GGUF files, for messages */

const struct format *format_by_name(const char *name);         /* NULL = unknown */
const struct format *format_by_ggml(int type);                 /* NULL = not one we read */
const struct format *format_by_safetensors(const char *dtype); /* NULL = not one we read */
const struct format *format_of_dtype(enum dtype t); /* plain formats; NULL for DT_BLOCK */
const char *format_ggml_name(int type); /* name of any GGUF type id, for errors; "?" = unknown */

/* Bytes of one row of 'cols' elements. cols must be a multiple of the block. */
size_t format_row_bytes(const struct format *f, int64_t cols);

/* Scalar conversions, round to nearest even, NaN kept. */
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);
static inline float bf16_to_f32(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } x = {(uint32_t)h << 16};
    return x.f;
}
uint16_t f32_to_bf16(float f);

#endif
