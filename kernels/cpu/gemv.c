/* gemv.c -- one row of x times w^T: what decoding a token is made of.
 *
 * w is read once, row after row, and unpacked in registers, so that memory speed is the limit.
 * q4_0, q4_1 and q8_0 are not even unpacked: d and m of a block are taken out of its sum,
 *     sum (d q + m) x = d (sum q x) + m (sum x),
 * and x is laid out beforehand in the order in which the nibbles come out of their bytes.
 * A row's sum is one chain for each vector of a block (one for d, one for m), added up in a fixed
 * tree at the end. */
#include "kernels/base/size.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/unpack.h"

#define ITEM_BYTES 16384 /* stored bytes of w that make an item */
#define AHEAD 1536       /* bytes: how far ahead of the reading memory is fetched */
#define GROUP 4          /* rows whose sums are finished together */

/* x as the loops want it. */
struct row {
    const float *x;
    const float *woven; /* x in the order of the nibbles of a block; NULL if the format has none */
    const float *sums;  /* of each block, over its vectors: VF_LANES floats */
    int64_t k;
};

/* sums[r] = dot of x and row r of w, for GROUP rows 'stride' bytes apart */
typedef void gemv_fn(const uint8_t *w, int64_t stride, const struct row *x, float sums[GROUP]);

struct job {
    const struct product *p;
    gemv_fn *rows;
    struct row x;
    int64_t item_rows, stride;
};

#define ROW_INLINE static inline __attribute__((always_inline)) vf

/* Whole blocks straight from memory; the rest of a plain format's row from padded copies. */
#define GEMV_ROW(name, bytes)                                                      \
    ROW_INLINE row_##name(const uint8_t *w, const struct row *r)                   \
    {                                                                              \
        vf chain[BLOCK_VECTORS] = {{0}}, v[BLOCK_VECTORS];                         \
        const float *x = r->x;                                                     \
        int64_t k = r->k;                                                          \
        for (; k >= BLOCK; k -= BLOCK, w += (bytes), x += BLOCK) {                 \
            for (int line = 0; line < (bytes); line += 64)                         \
                __builtin_prefetch(w + AHEAD + line, 0, 3);                        \
            block_##name(w, v);                                                    \
            for (int i = 0; i < BLOCK_VECTORS; i++)                                \
                chain[i] = vf_fma(v[i], vf_load(x + i * VF_LANES), chain[i]);      \
        }                                                                          \
        if (k > 0) {                                                               \
            uint8_t last[bytes] = {0};                                             \
            float last_x[BLOCK] = {0};                                             \
            memcpy(last, w, (size_t)k *((bytes) / BLOCK));                         \
            memcpy(last_x, x, (size_t)k * sizeof(float));                          \
            block_##name(last, v);                                                 \
            for (int i = 0; i < BLOCK_VECTORS; i++)                                \
                chain[i] = vf_fma(v[i], vf_load(last_x + i * VF_LANES), chain[i]); \
        }                                                                          \
        for (int i = 1; i < BLOCK_VECTORS; i++)                                    \
            chain[0] = chain[0] + chain[i];                                        \
        return chain[0];                                                           \
    }
#define GEMV(name)                                                                 \
    static void gemv_##name(const uint8_t *w, int64_t stride, const struct row *x, \
                            float sums[GROUP])                                     \
    {                                                                              \
        vf row[GROUP];                                                             \
        EACH(r, GROUP)                                                             \
        row[r] = row_##name(w + r * stride, x);                                    \
        vf_sum4(row, sums);                                                        \
    }
#define GEMV_ALL(name, bytes) GEMV_ROW(name, bytes) GEMV(name)
BLOCK_FORMATS(GEMV_ALL)

/* Formats of 256: a group of 32 at a time. Too much code to be put in place four times. */
#define GEMV_K_ROW(name, type, bytes)                                                     \
    static __attribute__((noinline)) vf row_##name(const uint8_t *w, const struct row *r) \
    {                                                                                     \
        vf chain[BLOCK_VECTORS] = {{0}};                                                  \
        const float *x = r->x;                                                            \
        for (int64_t k = r->k; k > 0; k -= QUANT_K, w += (bytes)) {                       \
            for (int line = 0; line < (bytes); line += 64)                                \
                __builtin_prefetch(w + AHEAD + line, 0, 3);                               \
            for (int g = 0; g < QUANT_K / BLOCK; g++) {                                   \
                vf v[BLOCK_VECTORS];                                                      \
                group_##name(w, g, v);                                                    \
                for (int i = 0; i < BLOCK_VECTORS; i++, x += VF_LANES)                    \
                    chain[i] = vf_fma(v[i], vf_load(x), chain[i]);                        \
            }                                                                             \
        }                                                                                 \
        for (int i = 1; i < BLOCK_VECTORS; i++)                                           \
            chain[0] = chain[0] + chain[i];                                               \
        return chain[0];                                                                  \
    }
#define GEMV_K(name, type, bytes) GEMV_K_ROW(name, type, bytes) GEMV(name)
#if defined(CPU_AVX512) || defined(CPU_AVX2)
QUANT_K_FORMATS(GEMV_K)
#endif

/* --- sums of whole numbers ------------------------------------------------------------------ */

#if defined(CPU_AVX512) || defined(CPU_AVX2)

/* The 16 bytes of nibbles of a block, spread over the lanes of one vector: each lane holds as many
 * nibbles as the block has vectors. Vector j of the block is nibble j of every lane. It is not
 * shifted down: it counts 16^j times too much, and x is laid out divided by that. */
static inline vi spread(const uint8_t *q)
{
#if defined(CPU_AVX512)
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)q));
#elif VF_LANES == 8
    return (vi)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)q));
#else
    vi v;
    for (int i = 0; i < VF_LANES; i++)
        v[i] = q[i];
    return v;
#endif
}

static int woven_element(int j, int lane)
{
    return j % 2 * 16 + lane * (BLOCK_VECTORS / 2) + j / 2;
}

static inline vf woven_sum(const uint8_t *q, const float *x)
{
    vi nibbles = spread(q);
    vf sum = __builtin_convertvector(nibbles & 15, vf) * vf_load(x);
    for (int j = 1; j < BLOCK_VECTORS; j++) {
        vf level = __builtin_convertvector(nibbles & (15 << 4 * j), vf);
        sum = vf_fma(level, vf_load(x + j * VF_LANES), sum);
    }
    return sum;
}

/* Two halves that follow each other, each in every lane. */
static inline void halves(const uint8_t *p, vf *d, vf *m)
{
#if defined(CPU_AVX512)
    __m512 both = _mm512_cvtph_ps(_mm256_castps_si256(_mm256_broadcast_ss((const float *)p)));
    *d = (vf)_mm512_moveldup_ps(both);
    *m = (vf)_mm512_movehdup_ps(both);
#elif VF_LANES == 8
    __m256 both = _mm256_cvtph_ps(_mm_castps_si128(_mm_broadcast_ss((const float *)p)));
    *d = (vf)_mm256_moveldup_ps(both);
    *m = (vf)_mm256_movehdup_ps(both);
#else
    *d = block_half(p);
    *m = block_half(p + 2);
#endif
}

/* VF_LANES signed bytes as floats */
static inline vf bytes_floats(const uint8_t *p)
{
#if defined(CPU_AVX512)
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
#elif VF_LANES == 8
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
#else
    vf v;
    for (int i = 0; i < VF_LANES; i++)
        v[i] = (float)(int8_t)p[i];
    return v;
#endif
}

ROW_INLINE row_woven_q4_1(const uint8_t *w, const struct row *r)
{
    vf sum = {0}, offset = {0}, d, m;
    const float *x = r->woven, *sums = r->sums;
    for (int64_t k = r->k; k > 0; k -= BLOCK, w += 20, x += BLOCK, sums += VF_LANES) {
        __builtin_prefetch(w + AHEAD, 0, 3);
        halves(w, &d, &m);
        sum = vf_fma(woven_sum(w + 4, x), d, sum);
        offset = vf_fma(m, vf_load(sums), offset);
    }
    return sum + offset;
}

ROW_INLINE row_woven_q4_0(const uint8_t *w, const struct row *r)
{
    vf sum = {0}, offset = {0};
    const float *x = r->woven, *sums = r->sums;
    for (int64_t k = r->k; k > 0; k -= BLOCK, w += 18, x += BLOCK, sums += VF_LANES) {
        __builtin_prefetch(w + AHEAD, 0, 3);
        vf d = block_half(w);
        sum = vf_fma(woven_sum(w + 2, x), d, sum);
        offset = vf_fma(d, vf_load(sums), offset);
    }
    return sum - 8 * offset;
}

ROW_INLINE row_woven_q8_0(const uint8_t *w, const struct row *r)
{
    vf sum = {0};
    const float *x = r->x;
    for (int64_t k = r->k; k > 0; k -= BLOCK, w += 34, x += BLOCK) {
        __builtin_prefetch(w + AHEAD, 0, 3);
        vf block = bytes_floats(w + 2) * vf_load(x);
        for (int i = 1; i < BLOCK_VECTORS; i++)
            block = vf_fma(bytes_floats(w + 2 + i * VF_LANES), vf_load(x + i * VF_LANES), block);
        sum = vf_fma(block, block_half(w), sum);
    }
    return sum;
}

GEMV(woven_q4_0)
GEMV(woven_q4_1)
GEMV(woven_q8_0)

static const struct {
    const char *name;
    gemv_fn *rows;
    bool woven;
} whole_numbers[] = {
    {"q4_0", gemv_woven_q4_0, true},
    {"q4_1", gemv_woven_q4_1, true},
    {"q8_0", gemv_woven_q8_0, false},
};

static gemv_fn *whole_numbers_of(const struct format *f, bool *woven)
{
    for (int i = 0; i < COUNT_OF(whole_numbers); i++)
        if (!strcmp(whole_numbers[i].name, f->name)) {
            *woven = whole_numbers[i].woven;
            return whole_numbers[i].rows;
        }
    return NULL;
}

/* Lays out x in scratch. */
static void weave(struct row *r, float *scratch)
{
    float *woven = scratch, *sums = scratch + r->k;
    r->woven = woven;
    r->sums = sums;
    for (int64_t k = 0; k < r->k; k += BLOCK, woven += BLOCK, sums += VF_LANES) {
        vf sum = {0};
        float part = 1;
        for (int j = 0; j < BLOCK_VECTORS; j++, part /= 16) {
            vf x;
            for (int lane = 0; lane < VF_LANES; lane++)
                x[lane] = r->x[k + woven_element(j, lane)];
            vf_store(woven + j * VF_LANES, x * vf_set(part));
            sum = sum + x;
        }
        vf_store(sums, sum);
    }
}

#else
static gemv_fn *whole_numbers_of(const struct format *f, bool *woven)
{
    (void)f, (void)woven;
    return NULL;
}

static void weave(struct row *r, float *scratch)
{
    (void)r, (void)scratch;
}
#endif

/* --- the job -------------------------------------------------------------------------------- */

static gemv_fn *gemv_of(const struct format *f)
{
#define GEMV_CHOOSE(format_name, bytes) \
    if (!strcmp(f->name, #format_name)) \
        return gemv_##format_name;
    BLOCK_FORMATS(GEMV_CHOOSE)
#if defined(CPU_AVX512) || defined(CPU_AVX2)
#define GEMV_K_CHOOSE(format_name, type, bytes) GEMV_CHOOSE(format_name, bytes)
    QUANT_K_FORMATS(GEMV_K_CHOOSE)
#endif
    (void)f;
    return NULL;
}

static void run_item(void *ctx, int64_t i, int worker)
{
    (void)worker;
    const struct job *j = ctx;
    const struct product *p = j->p;
    const float *bias = p->bias.data;
    int64_t end = i64_min(p->n, (i + 1) * j->item_rows);
    for (int64_t n = i * j->item_rows; n < end; n += GROUP) {
        /* the last group may be short: its rows are then done one by one */
        int64_t rows = i64_min(GROUP, end - n);
        float sums[GROUP];
        if (rows == GROUP) {
            j->rows(weight_at(&p->w, n, 0), j->stride, &j->x, sums);
        } else {
            for (int64_t r = 0; r < rows; r++) {
                float same[GROUP];
                j->rows(weight_at(&p->w, n + r, 0), 0, &j->x, same);
                sums[r] = same[0];
            }
        }
        for (int64_t r = 0; r < rows; r++) {
            float *c = p->dst + n + r, s = sums[r] * p->alpha;
            if (p->beta != 0)
                s = s + p->beta * *c;
            *c = bias ? s + bias[(n + r) * p->bias.stride[0]] : s;
        }
    }
}

size_t CPU(gemv_scratch)(const struct product *p)
{
    return (size_t)(p->k + p->k / BLOCK * VF_LANES) * sizeof(float);
}

bool CPU(gemv)(struct device *d, const struct product *p, float *scratch)
{
    const struct format *f = p->w.format;
    bool woven = false;
    struct job j = {.p = p, .rows = whole_numbers_of(f, &woven), .x = {.x = p->x, .k = p->k}};
    if (!j.rows)
        j.rows = gemv_of(f);
    if (!j.rows)
        return false;
    if (woven)
        weave(&j.x, scratch);
    j.stride = p->w.row_stride / f->block * f->block_bytes;
    j.item_rows = i64_max(1, ITEM_BYTES / i64_max(1, j.stride) / GROUP) * GROUP;
    pool_run(d->pool, (p->n + j.item_rows - 1) / j.item_rows, run_item, &j);
    return true;
}
