/* gemv.c -- one row of x times w^T: what decoding a token is made of.
 *
 * w is read once, row after row, and unpacked in registers, so that memory speed is the limit.
 * q4_0, q4_1 and q8_0 are not even unpacked: d and m of a block are taken out of its sum,
 *     sum (d q + m) x = d (sum q x) + m (sum x),
 * and x is laid out beforehand in the order in which the nibbles come out of their bytes.
 * Blocks of 256 are summed in the same way, group by group.
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

/* In which order a format's loop reads x; woven ones have its sums too. */
enum weaving { STRAIGHT, WOVEN, WOVEN_PAIRS };

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

/* --- blocks of 256: their scales first, all of a block; then a group of 32 at a time. These are
 * functions of their own: too much code to be put in place four times. */

/* Scales and offsets of the 16 halves of groups, as the products of the block's halves. */
struct scales {
    float d[16], m[16];
};

static inline void scales_q2_k(const uint8_t *b, struct scales *s)
{
    float d = quant_k_half(b + 80), m = quant_k_half(b + 82);
    for (int i = 0; i < 16; i++) {
        s->d[i] = d * (float)(b[i] & 15);
        s->m[i] = m * (float)(b[i] >> 4);
    }
}

static inline void scales_q3_k(const uint8_t *b, struct scales *s)
{
    float d = quant_k_half(b + 108);
    for (int i = 0; i < 16; i++)
        s->d[i] = d * (float)(q3_k_scale(b + 96, i) - 32);
}

static inline void scales_q6_k(const uint8_t *b, struct scales *s)
{
    float d = quant_k_half(b + 208);
    for (int i = 0; i < 16; i++)
        s->d[i] = d * (float)(int8_t)b[192 + i];
}

/* One a group, in the first 8. */
static inline void scales_q4_k(const uint8_t *b, struct scales *s)
{
    const uint32_t six = 0x3F3F3F3F, four = 0x0F0F0F0F, two = 0x30303030;
    uint32_t word[3], packed[4];
    uint8_t byte[16];
    float d = quant_k_half(b), m = quant_k_half(b + 2);
    memcpy(word, b + 4, sizeof word);
    packed[0] = word[0] & six;
    packed[1] = (word[2] & four) | (word[0] >> 2 & two);
    packed[2] = word[1] & six;
    packed[3] = (word[2] >> 4 & four) | (word[1] >> 2 & two);
    memcpy(byte, packed, sizeof byte);
    for (int i = 0; i < 8; i++) {
        s->d[i] = d * (float)byte[i];
        s->m[i] = m * (float)byte[8 + i];
    }
}

#define scales_q5_k scales_q4_k
#define ROW_K(name) \
    static __attribute__((noinline)) vf row_##name(const uint8_t *w, const struct row *r)

/* Two groups share their bytes: nibble j of a lane belongs to group j % 2, and x is laid out so (see
 * weave). Scales and offsets are those of whole groups; the sums of x were made before. */
ROW_K(q4_k)
{
    vf sum = {0}, offset = {0};
    const float *x = r->woven, *sums = r->sums;
    struct scales s;
    for (int64_t k = r->k; k > 0; k -= QUANT_K, w += 144) {
        const uint8_t *q = w + 16;
        __builtin_prefetch(w + AHEAD, 0, 3);
        __builtin_prefetch(w + AHEAD + 64, 0, 3);
        __builtin_prefetch(w + AHEAD + 128, 0, 3);
        scales_q4_k(w, &s);
        for (int g = 0; g < QUANT_K / BLOCK; g += 2, q += 32) {
            vf part[2] = {{0}};
            for (int half = 0; half < 2; half++) {
                vi nibbles = spread(q + 16 * half);
                for (int j = 0; j < BLOCK_VECTORS; j++, x += VF_LANES) {
                    vf level = __builtin_convertvector(nibbles & (15 << 4 * j), vf);
                    part[j % 2] = vf_fma(level, vf_load(x), part[j % 2]);
                }
            }
            for (int i = 0; i < 2; i++, sums += VF_LANES) {
                sum = vf_fma(part[i], vf_set(s.d[g + i]), sum);
                offset = vf_fma(vf_load(sums), vf_set(s.m[g + i]), offset);
            }
        }
    }
    return sum - offset;
}
GEMV(q4_k)

ROW_K(q5_k)
{
    vf sum = {0}, offset = {0}, v[BLOCK_VECTORS];
    const float *x = r->x, *sums = r->sums;
    struct scales s;
    for (int64_t k = r->k; k > 0; k -= QUANT_K, w += 176) {
        for (int line = 0; line < 176; line += 64)
            __builtin_prefetch(w + AHEAD + line, 0, 3);
        scales_q5_k(w, &s);
        for (int g = 0; g < QUANT_K / BLOCK; g++, x += BLOCK, sums += VF_LANES) {
            levels_q5_k(w, g, v);
            vf part = v[0] * vf_load(x);
            for (int i = 1; i < BLOCK_VECTORS; i++)
                part = vf_fma(v[i], vf_load(x + i * VF_LANES), part);
            sum = vf_fma(part, vf_set(s.d[g]), sum);
            offset = vf_fma(vf_load(sums), vf_set(s.m[g]), offset);
        }
    }
    return sum - offset;
}
GEMV(q5_k)

/* Scales of half groups; 'offsets' of them too, or 0. */
#define GEMV_K16(name, bytes, offsets)                                          \
    ROW_K(name)                                                                 \
    {                                                                           \
        enum { HALF = BLOCK_VECTORS / 2 };                                      \
        vf sum = {0}, offset = {0}, v[BLOCK_VECTORS];                           \
        const float *x = r->x;                                                  \
        struct scales s;                                                        \
        for (int64_t k = r->k; k > 0; k -= QUANT_K, w += (bytes)) {             \
            for (int line = 0; line < (bytes); line += 64)                      \
                __builtin_prefetch(w + AHEAD + line, 0, 3);                     \
            scales_##name(w, &s);                                               \
            for (int g = 0; g < QUANT_K / BLOCK; g++) {                         \
                levels_##name(w, g, v);                                         \
                for (int h = 0; h < 2; h++, x += BLOCK / 2) {                   \
                    vf xi = vf_load(x), part = v[h * HALF] * xi, whole = xi;    \
                    for (int i = 1; i < HALF; i++) {                            \
                        xi = vf_load(x + i * VF_LANES);                         \
                        part = vf_fma(v[h * HALF + i], xi, part);               \
                        whole = whole + xi;                                     \
                    }                                                           \
                    sum = vf_fma(part, vf_set(s.d[2 * g + h]), sum);            \
                    if (offsets)                                                \
                        offset = vf_fma(whole, vf_set(s.m[2 * g + h]), offset); \
                }                                                               \
            }                                                                   \
        }                                                                       \
        return (offsets) ? sum - offset : sum;                                  \
    }                                                                           \
    GEMV(name)
GEMV_K16(q2_k, 84, 1)
GEMV_K16(q3_k, 110, 0)
GEMV_K16(q6_k, 210, 0)

GEMV(woven_q4_0)
GEMV(woven_q4_1)
GEMV(woven_q8_0)

static const struct {
    const char *name;
    gemv_fn *rows;
    enum weaving weaving;
} whole_numbers[] = {
    {"q4_0", gemv_woven_q4_0, WOVEN},    {"q4_1", gemv_woven_q4_1, WOVEN},
    {"q8_0", gemv_woven_q8_0, STRAIGHT}, {"q2_k", gemv_q2_k, STRAIGHT},
    {"q3_k", gemv_q3_k, STRAIGHT},       {"q4_k", gemv_q4_k, WOVEN_PAIRS},
    {"q5_k", gemv_q5_k, WOVEN_PAIRS},    {"q6_k", gemv_q6_k, STRAIGHT},
};

static gemv_fn *whole_numbers_of(const struct format *f, enum weaving *weaving)
{
    for (int i = 0; i < COUNT_OF(whole_numbers); i++)
        if (!strcmp(whole_numbers[i].name, f->name)) {
            *weaving = whole_numbers[i].weaving;
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

/* The same for two groups of 32 whose nibbles share bytes: the low ones are of the first. */
static void weave_pairs(struct row *r, float *scratch)
{
    float *woven = scratch, *sums = scratch + r->k;
    r->woven = woven;
    r->sums = sums;
    for (int64_t k = 0; k < r->k; k += 2 * BLOCK, sums += 2 * VF_LANES) {
        vf sum[2] = {{0}};
        for (int half = 0; half < 2; half++) {
            float part = 1;
            for (int j = 0; j < BLOCK_VECTORS; j++, part /= 16, woven += VF_LANES) {
                vf x;
                for (int lane = 0; lane < VF_LANES; lane++)
                    x[lane] =
                        r->x[k + j % 2 * BLOCK + 16 * half + lane * (BLOCK_VECTORS / 2) + j / 2];
                vf_store(woven, x * vf_set(part));
                sum[j % 2] = sum[j % 2] + x;
            }
        }
        vf_store(sums, sum[0]);
        vf_store(sums + VF_LANES, sum[1]);
    }
}

#else
static gemv_fn *whole_numbers_of(const struct format *f, enum weaving *weaving)
{
    (void)f, (void)weaving;
    return NULL;
}

static void weave(struct row *r, float *scratch)
{
    (void)r, (void)scratch;
}

static void weave_pairs(struct row *r, float *scratch)
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
    enum weaving weaving = STRAIGHT;
    struct job j = {.p = p, .rows = whole_numbers_of(f, &weaving), .x = {.x = p->x, .k = p->k}};
    if (!j.rows)
        j.rows = gemv_of(f);
    if (!j.rows)
        return false;
    if (weaving == WOVEN)
        weave(&j.x, scratch);
    else if (weaving == WOVEN_PAIRS)
        weave_pairs(&j.x, scratch);
    j.stride = p->w.row_stride / f->block * f->block_bytes;
    j.item_rows = i64_max(1, ITEM_BYTES / i64_max(1, j.stride) / GROUP) * GROUP;
    pool_run(d->pool, (p->n + j.item_rows - 1) / j.item_rows, run_item, &j);
    return true;
}
