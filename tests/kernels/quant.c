/* quant.c -- storage formats: walks the table, so a new row is tested by being there. */
#include "kernels/quant.h"
#include "kernels/base/rng.h"
#include "kernels/base/size.h"
#include "tests/kernels/compare_util.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 768 /* elements: a multiple of every block, several of each */

static const struct rng_key key = {{7, 11}};

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

/* --- scalars: against the definition, and over all 16-bit patterns ---------------------------- */

/* The double value of a 16-bit float, by its fields. */
static double value_of_half(unsigned h, int exponent_bits, int fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(h >> fraction_bits) & ((1 << exponent_bits) - 1);
    int fraction = (int)h & ((1 << fraction_bits) - 1);
    double sign = h >> 15 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return fraction ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

static void halves_decode(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        double f16 = value_of_half(h, 5, 10), bf16 = value_of_half(h, 8, 7);
        float a = f16_to_f32((uint16_t)h), b = bf16_to_f32((uint16_t)h);
        assert_true(isnan(f16) ? isnan(a) : a == f16 && !signbit(a) == !signbit(f16));
        assert_true(isnan(bf16) ? isnan(b) : b == bf16 && !signbit(b) == !signbit(bf16));
        /* and back: the same bits, but that a NaN becomes a quiet one */
        unsigned a2 = f32_to_f16(a), b2 = f32_to_bf16(b);
        assert_true(a2 == h || (isnan(a) && a2 == (h | 0x200)));
        assert_true(b2 == h || (isnan(b) && b2 == (h | 0x40)));
    }
}

/* x rounds to the nearer neighbour, to the even one in the middle. */
static void check_rounding(float x, uint16_t (*encode)(float), int exponent_bits, int fraction_bits)
{
    unsigned h = encode(x);
    unsigned largest = ((1u << exponent_bits) - 1) << fraction_bits; /* infinity's magnitude */
    double got = value_of_half(h, exponent_bits, fraction_bits);
    if ((h & 0x7FFF) == largest) { /* infinity: x is at least halfway past the largest number */
        double most = value_of_half(largest - 1, exponent_bits, fraction_bits);
        double step = most - value_of_half(largest - 2, exponent_bits, fraction_bits);
        assert_true(fabs((double)x) >= most + step / 2);
        return;
    }
    double off = fabs((double)x - got);
    for (int side = -1; side <= 1; side += 2) {
        if ((h & 0x7FFF) == 0 && side < 0)
            continue;
        unsigned other = h + (unsigned)side;
        if ((other & 0x7FFF) >= largest)
            continue;
        double far = fabs((double)x - value_of_half(other, exponent_bits, fraction_bits));
        assert_true(off < far || (off == far && h % 2 == 0));
    }
    assert_true(!signbit(x) == !(h >> 15));
}

static void halves_round_to_even(void **state)
{
    (void)state;
    static const float edges[] = {0,       -0.0f,    65504,    65519.99f,  65520,     -65520,
                                  1e-8f,   2.98e-8f, 0x1p-25f, 0x1.8p-24f, 0x1p-14f,  0x1.ffcp-15f,
                                  FLT_MAX, -FLT_MAX, FLT_MIN,  0x1p-149f,  0x1p-133f, 3.3895e38f};
    for (int i = 0; i < COUNT_OF(edges); i++) {
        check_rounding(edges[i], f32_to_f16, 5, 10);
        check_rounding(edges[i], f32_to_bf16, 8, 7);
    }
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t r = rng_u64(key, i);
        float any, ranged = ldexpf((float)(r >> 40) * 0x1p-24f, (int)(r & 63) - 40);
        uint32_t word = (uint32_t)r;
        memcpy(&any, &word, 4);
        check_rounding(r >> 63 ? -ranged : ranged, f32_to_f16, 5, 10);
        if (isfinite(any)) {
            check_rounding(any, f32_to_bf16, 8, 7);
            check_rounding(any, f32_to_f16, 5, 10);
        }
    }
    for (unsigned h = 0; h < 0x7BFF; h++) { /* exact middles go to the even side */
        float middle = (f16_to_f32((uint16_t)h) + f16_to_f32((uint16_t)(h + 1))) / 2;
        assert_int_equal(f32_to_f16(middle), h + (h & 1));
    }
}

/* --- the table ------------------------------------------------------------------------------- */

static void table_is_sound(void **state)
{
    (void)state;
    assert_int_equal(formats_count, 15);
    for (int i = 0; i < formats_count; i++) {
        const struct format *f = &formats[i];
        assert_ptr_equal(format_by_name(f->name), f);
        assert_ptr_equal(format_by_ggml(f->ggml_type), f);
        if (f->safetensors)
            assert_ptr_equal(format_by_safetensors(f->safetensors), f);
        assert_int_equal(f->safetensors != NULL, f->dtype != DT_BLOCK);
        assert_true(!strcasecmp(format_ggml_name(f->ggml_type), f->name));
        assert_non_null(strstr(formats_text, format_ggml_name(f->ggml_type)));
        assert_true(f->block > 0 && N % f->block == 0 && f->decode && f->encode);
        assert_int_equal(format_row_bytes(f, 3 * f->block), 3 * f->block_bytes);
        if (f->dtype == DT_BLOCK)
            continue;
        assert_ptr_equal(format_of_dtype(f->dtype), f);
        assert_int_equal(f->block_bytes, dtype_bytes(f->dtype));
        assert_string_equal(f->name, dtype_name(f->dtype));
    }
    assert_null(format_by_name("q9"));
    assert_null(format_by_ggml(-1));
    assert_null(format_by_ggml(16));
    assert_null(format_by_safetensors("F8_E4M3"));
    assert_null(format_of_dtype(DT_BLOCK));
    assert_null(format_of_dtype(DT_I32));
    assert_string_equal(format_ggml_name(12), "Q4_K");
    assert_string_equal(format_ggml_name(20), "IQ4_NL");
    assert_string_equal(format_ggml_name(39), "MXFP4");
    assert_string_equal(format_ggml_name(99), "?");
    assert_string_equal(format_ggml_name(-5), "?");
}

/* Step between levels as a share of the largest magnitude, and how far off a value may be, in
 * steps; plus rounding of the stored halves. */
static double error_bound(const struct format *f, const float *x, int e)
{
    double low = INFINITY, high = -INFINITY, most = 0;
    for (int i = e / f->block * f->block; i < (e / f->block + 1) * f->block; i++) {
        low = fmin(low, (double)x[i]);
        high = fmax(high, (double)x[i]);
        most = fmax(most, fabs((double)x[i]));
    }
    const char *n = f->name;
    double halves = most * 0x1p-10 + 0x1p-24 * 32;
    if (!strcmp(n, "f32") || !strcmp(n, "f64"))
        return 0;
    if (!strcmp(n, "f16"))
        return fabs((double)x[e]) * 0x1p-11 + 0x1p-25;
    if (!strcmp(n, "bf16"))
        return fabs((double)x[e]) * 0x1p-8;
    if (!strcmp(n, "q4_0")) /* the side away from the extreme value has one step less */
        return most / 8 + halves;
    if (!strcmp(n, "q5_0"))
        return most / 16 + halves;
    if (!strcmp(n, "q4_1"))
        return (high - low) / 15 / 2 + 2 * halves;
    if (!strcmp(n, "q5_1"))
        return (high - low) / 31 / 2 + 2 * halves;
    if (!strcmp(n, "q8_0"))
        return most / 127 / 2 + halves;
    if (!strcmp(n, "iq4_nl")) /* the widest gap is 23 of 127, and the end may be left out */
        return most * 24 / 113 / 2 + most * 7 / 127 + halves;
    /* a level or two where the best fit leaves the ends out, and rounding of the scales; offsets
     * pull down only, so 0 belongs to the range */
    double range = fmax(high, 0) - fmin(low, 0);
    if (!strcmp(n, "q2_k"))
        return range * (1 / 3. + 2 / 30. + 1 / 3.) + halves;
    if (!strcmp(n, "q3_k"))
        return most * (1.5 / 4 + 4 / 64.) + halves;
    if (!strcmp(n, "q4_k"))
        return range * (1.5 / 15 + 2 / 126.) + halves;
    if (!strcmp(n, "q5_k"))
        return range * (1.5 / 31 + 2 / 126.) + halves;
    if (!strcmp(n, "q6_k"))
        return most * (1.5 / 32 + 1 / 256.) + halves;
    return -1; /* a new row must say its bound here */
}

static void round_trip(const struct format *f, const float *x)
{
    unsigned char stored[N * 8 + 16], again[N * 8 + 16];
    float y[N], z[N];
    size_t bytes = format_row_bytes(f, N);
    memset(stored, 0x5A, sizeof stored);
    f->encode(x, stored + 1 * (f->dtype == DT_BLOCK), N); /* blocks know no alignment */
    unsigned char *at = stored + 1 * (f->dtype == DT_BLOCK);
    assert_int_equal(at[bytes], 0x5A);
    f->decode(at, y, N);
    for (int e = 0; e < N; e++) {
        double bound = error_bound(f, x, e);
        if (!(fabs((double)y[e] - (double)x[e]) <= bound))
            fail_msg("%s: element %d: %g became %g, allowed %g", f->name, e, (double)x[e],
                     (double)y[e], bound);
    }
    f->encode(y, again, N); /* what was decoded once is near a fixed point */
    f->decode(again, z, N);
    for (int e = 0; e < N; e++)
        assert_true(fabs((double)z[e] - (double)y[e]) <= error_bound(f, y, e));
}

static void encode_decode(void **state)
{
    (void)state;
    for (int i = 0; i < formats_count; i++)
        for (int kind = 0; kind < 6; kind++)
            for (uint64_t run = 0; run < 20; run++) {
                static const double sizes[] = {1, 1e-3, 1000, 0.02, 1, 1};
                float x[N];
                for (int e = 0; e < N; e++) {
                    double v = rng_normal(key, run * N + (uint64_t)e) * sizes[kind];
                    if (kind == 4)
                        v = fabs(v) + 3; /* far from 0 */
                    if (kind == 5 && e % 37)
                        v *= 1e-3; /* a few large ones */
                    x[e] = (float)v;
                }
                round_trip(&formats[i], x);
            }
}

static float level_of_iq4_nl(int e)
{
    static const float levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
    return levels[e % 16];
}

static void representable_is_exact(void **state)
{
    (void)state;
    for (int i = 0; i < formats_count; i++) {
        const struct format *f = &formats[i];
        float x[N], y[N];
        unsigned char stored[N * 8];
        for (int e = 0; e < N;
             e++) { /* level e % 16 of steps of 1/4, from -2: all formats hold it */
            x[e] = (float)(e % 16) * 0.25f - 2;
            if (f->block == 32 && !strcmp(f->name, "q8_0")) /* largest must be 127 steps */
                x[e] = (float)(e % 32 == 0 ? -127 : e % 16 * 8 - 60) * 0.5f;
            if (!strcmp(f->name, "q5_0")) /* the extreme value lies on level 0 of 32 */
                x[e] = (float)(e % 32) * 0.25f - 4;
            if (!strcmp(f->name, "q5_1"))
                x[e] = (float)(e % 32) * 0.25f - 1;
            if (!strcmp(f->name, "iq4_nl"))
                x[e] = level_of_iq4_nl(e) * 0.25f;
        }
        if (f->block == 256) /* scales of scales: see the limits on errors */
            continue;
        f->encode(x, stored, N);
        f->decode(stored, y, N);
        for (int e = 0; e < N; e++)
            if (y[e] != x[e])
                fail_msg("%s: element %d: %g became %g", f->name, e, (double)x[e], (double)y[e]);
    }
}

static void zero_blocks(void **state)
{
    (void)state;
    for (int i = 0; i < formats_count; i++) {
        float x[N] = {0}, y[N];
        unsigned char stored[N * 8];
        formats[i].encode(x, stored, N);
        formats[i].decode(stored, y, N);
        for (int e = 0; e < N; e++)
            assert_true(y[e] == 0);
        for (int e = 0; e < N; e++)
            x[e] = 0x1p-140f; /* smaller than any stored step */
        formats[i].encode(x, stored, N);
        formats[i].decode(stored, y, N);
        for (int e = 0; e < N; e++)
            assert_true(y[e] == 0 || y[e] == x[e]);
    }
}

static void nan_does_not_vanish(void **state)
{
    (void)state;
    for (int i = 0; i < formats_count; i++)
        for (int kind = 0; kind < 2; kind++) {
            float x[N], y[N];
            unsigned char stored[N * 8];
            for (int e = 0; e < N; e++)
                x[e] = (float)e;
            x[70] = kind ? INFINITY : NAN;
            formats[i].encode(x, stored, N);
            formats[i].decode(stored, y, N);
            assert_false(isfinite(y[70]));
            int block = formats[i].block, first = 70 / block * block, after = first + block;
            for (int e = first; e < after; e++)
                assert_true(block == 1 || isnan(y[e]));
            assert_true((first == 0 || isfinite(y[first - 1])) && isfinite(y[after]));
        }
}

/* The same for blocks of 256: bits 2, 3, 4, 5 or 6. Rounded to f32 where the formats' products are. */
static double decoded_k(int bits, const unsigned char *b, int e)
{
    const unsigned char *s = b + (bits == 3 ? 96 : 4);
    int half = e / 128, group = e / 32, l = e % 32, k = e / 16, quarter = group % 4;
    int at = bits == 2 ? 80 : bits == 3 ? 108 : bits == 6 ? 208 : 0;
    double d = value_of_half(b[at] | b[at + 1] << 8, 5, 10);
    double dmin = value_of_half(b[at + 2] | b[at + 3] << 8, 5, 10); /* 2, 4, 5 bits */
    int level, scale, offset = 0;
    if (bits == 2) {
        level = b[16 + 32 * half + l] >> (2 * quarter) & 3;
        scale = b[k] & 15;
        offset = b[k] >> 4;
    } else if (bits == 3) {
        int high = b[l] >> group & 1;
        level = (b[32 + 32 * half + l] >> (2 * quarter) & 3) - (high ? 0 : 4);
        scale = (k < 8 ? s[k] & 15 : s[k - 8] >> 4) + 16 * (s[8 + k % 4] >> (2 * (k / 4)) & 3) - 32;
    } else if (bits == 6) {
        level = (b[64 * half + 32 * (quarter % 2) + l] >> (quarter < 2 ? 0 : 4) & 15) +
                16 * (b[128 + 32 * half + l] >> (2 * quarter) & 3) - 32;
        scale = (signed char)b[192 + k];
    } else {
        level = b[(bits == 4 ? 16 : 48) + 32 * (group / 2) + l] >> (4 * (group % 2)) & 15;
        if (bits == 5)
            level += 16 * (b[16 + l] >> group & 1);
        scale = group < 4 ? s[group] & 63 : (s[group + 4] & 15) + 16 * (s[group - 4] >> 6);
        offset = group < 4 ? s[group + 4] & 63 : (s[group + 4] >> 4) + 16 * (s[group] >> 6);
    }
    if (bits == 3 || bits == 6)
        return (double)(float)(d * scale) * level;
    return (double)(float)((double)(float)(d * scale) * level) - (double)(float)(dmin * offset);
}

/* A second, slow decoder from the layout table: value of element e from the raw block. */
static double decoded_by_hand(const char *name, const unsigned char *b, int e)
{
    double d = value_of_half(b[0] | b[1] << 8, 5, 10), m = value_of_half(b[2] | b[3] << 8, 5, 10);
    int j = e % 16, high = e / 16;
    if (!strcmp(name, "q4_0"))
        return d * ((b[2 + j] >> (4 * high) & 15) - 8);
    if (!strcmp(name, "q4_1"))
        return d * (b[4 + j] >> (4 * high) & 15) + m;
    if (!strcmp(name, "q5_0"))
        return d * ((b[6 + j] >> (4 * high) & 15) + 16 * (b[2 + e / 8] >> e % 8 & 1) - 16);
    if (!strcmp(name, "q5_1"))
        return d * ((b[8 + j] >> (4 * high) & 15) + 16 * (b[4 + e / 8] >> e % 8 & 1)) + m;
    if (!strcmp(name, "q8_0"))
        return d * (b[2 + e] < 128 ? b[2 + e] : b[2 + e] - 256);
    if (!strcmp(name, "iq4_nl"))
        return d * (double)level_of_iq4_nl(b[2 + j] >> (4 * high) & 15);
    if (!strcmp(name + 2, "_k"))
        return decoded_k(name[1] - '0', b, e);
    fail_msg("%s: a new block format needs its layout here", name);
    return 0;
}

static void random_bits_decode(void **state)
{
    (void)state;
    for (int i = 0; i < formats_count; i++) {
        const struct format *f = &formats[i];
        if (f->dtype != DT_BLOCK)
            continue;
        for (uint64_t run = 0; run < 1000; run++) {
            unsigned char b[256];
            float y[256];
            for (int k = 0; k < 256; k++)
                b[k] = (unsigned char)rng_u64(key, run * 256 + (uint64_t)k + 999);
            f->decode(b, y, f->block);
            for (int e = 0; e < f->block; e++) {
                double want = decoded_by_hand(f->name, b, e), got = y[e];
                assert_true(isnan(want) ? isnan(got) : got == (double)(float)want);
            }
        }
    }
}

/* Random blocks decode to what the reference's decoder makes of them: scripts/golden/quant_hashes.py.
 */
static uint64_t hash_of_random_blocks(const struct format *f, int64_t n)
{
    int64_t bytes = (int64_t)format_row_bytes(f, n);
    unsigned char *stored = malloc((size_t)bytes);
    float *y = malloc((size_t)n * sizeof *y);
    uint64_t hash = 0xCBF29CE484222325u;
    assert_true(stored && y);
    for (int64_t i = 0; i < bytes; i++) {
        uint64_t z = ((uint64_t)f->ggml_type << 32) + (uint64_t)i;
        z = (z + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        stored[i] = (unsigned char)((z ^ z >> 31) >> 56);
    }
    f->decode(stored, y, n);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = isnan(y[i]) ? 0x7FC00000 : bits_of(y[i]);
        for (int k = 0; k < 4; k++)
            hash = (hash ^ (bits >> 8 * k & 0xFF)) * 0x100000001B3u;
    }
    free(stored);
    free(y);
    return hash;
}

static void as_the_reference_decodes(void **state)
{
    (void)state;
    char name[32];
    long long n;
    unsigned long long hash;
    int found = 0, wanted = 0;
    FILE *golden = fopen("tests/golden/quant_hashes.txt", "r");
    assert_non_null(golden);
    while (fscanf(golden, "%31s %lld %llx", name, &n, &hash) == 3) {
        const struct format *f = format_by_name(name);
        assert_non_null(f);
        if (hash_of_random_blocks(f, n) != hash)
            fail_msg("%s: random blocks decode differently", name);
        found++;
    }
    fclose(golden);
    for (int i = 0; i < formats_count; i++)
        wanted += formats[i].dtype == DT_BLOCK;
    assert_int_equal(found, wanted);
}

/* Root mean square error over two kinds of data: no worse than 1.02
 * of what the reference's quantisation of such data leaves. */
static void error_is_small(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double normal, cosine; /* what the reference leaves */
    } limits[] = {{"q2_k", 0.2922, 0.2985}, {"q3_k", 0.1513, 0.1608},  {"q4_k", 0.0712, 0.0629},
                  {"q5_k", 0.0363, 0.0340}, {"q6_k", 0.01767, 0.0166}, {"iq4_nl", 0.0764, 0.0797}};
    enum { COUNT = 64 * 256 };
    static float x[COUNT], y[COUNT];
    static unsigned char stored[COUNT];
    for (int i = 0; i < COUNT_OF(limits); i++)
        for (int kind = 0; kind < 2; kind++) {
            const struct format *f = format_by_name(limits[i].name);
            double error = 0, most = kind ? limits[i].cosine : limits[i].normal;
            for (int e = 0; e < COUNT; e++)
                x[e] = kind ? 0.1f + 2 * cosf((float)e) : (float)rng_normal(key, (uint64_t)e);
            f->encode(x, stored, COUNT);
            f->decode(stored, y, COUNT);
            for (int e = 0; e < COUNT; e++)
                error += ((double)y[e] - (double)x[e]) * ((double)y[e] - (double)x[e]);
            error = sqrt(error / COUNT);
            if (!(error <= 1.02 * most))
                fail_msg("%s: error %g, allowed %g", f->name, error, 1.02 * most);
        }
}

/* Blocks worked out by hand from the reference quantisation. */
static void known_blocks(void **state)
{
    (void)state;
    float x[32] = {0};
    unsigned char b[40];
    x[0] = 4, x[1] = -8, x[17] = 7.4f, x[20] = 0.5f; /* q4_0: d = -8/-8 = 1 */
    format_by_name("q4_0")->encode(x, b, 32);
    assert_int_equal(b[0] | b[1] << 8, 0x3C00);
    assert_int_equal(b[2], 8 << 4 | 12);    /* elements 0 and 16 */
    assert_int_equal(b[3], 15 << 4 | 0);    /* 7.4 is cut to the top level; -8 is level 0 */
    assert_int_equal(b[2 + 4], 9 << 4 | 8); /* 0.5 rounds up */
    memset(x, 0, sizeof x);
    x[3] = 254, x[4] = -1, x[5] = 3; /* q8_0: d = 2, halves away from zero */
    format_by_name("q8_0")->encode(x, b, 32);
    assert_int_equal(b[0] | b[1] << 8, 0x4000);
    assert_int_equal((int8_t)b[2 + 3], 127);
    assert_int_equal((int8_t)b[2 + 4], -1);
    assert_int_equal((int8_t)b[2 + 5], 2);
    for (int e = 0; e < 32; e++)
        x[e] = (float)(e - 1) * 0.5f; /* q5_1: d = 15.5/31, m = -0.5 */
    format_by_name("q5_1")->encode(x, b, 32);
    assert_int_equal(b[0] | b[1] << 8, 0x3800);
    assert_int_equal(b[2] | b[3] << 8, 0xB800);
    assert_int_equal(b[4] | b[5] << 8, 0);
    assert_int_equal(b[6] | b[7] << 8, 0xFFFF);
    assert_int_equal(b[8 + 5], 5 << 4 | 5);
    assert_int_equal(bits_of(f16_to_f32(0x3555)), bits_of(0x1.554p-2f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_decode),          cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(table_is_sound),         cmocka_unit_test(encode_decode),
        cmocka_unit_test(representable_is_exact), cmocka_unit_test(zero_blocks),
        cmocka_unit_test(nan_does_not_vanish),    cmocka_unit_test(random_bits_decode),
        cmocka_unit_test(known_blocks),           cmocka_unit_test(as_the_reference_decodes),
        cmocka_unit_test(error_is_small),
    };
    return cmocka_run_group_tests_name("quant", tests, NULL, NULL);
}
