/* rope.c -- rotary frequencies against numbers of the reference library (transformers 5, made to
 * work in float64), llama 3's factors back and forth, dynamic scaling in whole models. */
#include "engine/model/rope.h"
#include "engine/model/cache.h"
#include "engine/model/generate.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/tiny_util.h"

#include <math.h>
#include <string.h>

struct wanted {
    struct rope_config r;
    int64_t head_dim, max_positions, length;
    double scale;
    double inv[7]; /* at 0, 1, n/4, n/2, n/2 + 1, 3n/4, n - 1 of n = head_dim / 2 */
};

#define LLAMA3(factor_)                                                             \
    {                                                                               \
        .kind = ROPE_LLAMA3, .theta = 5e5, .factor = factor_, .low_freq_factor = 1, \
        .high_freq_factor = 4, .original_length = 8192                              \
    }
#define YARN(theta_, factor_, original, ...)                                                \
    {                                                                                       \
        .kind = ROPE_YARN, .theta = theta_, .factor = factor_, .original_length = original, \
        __VA_ARGS__                                                                         \
    }

static const struct wanted table[] = {
    {{.theta = 1e4, .factor = 1},
     64,
     2048,
     10,
     1,
     {1, 0.7498942093324559, 0.1, 0.01, 0.007498942093324558, 0.001, 0.0001333521432163324}},
    {{.kind = ROPE_LINEAR, .theta = 1e4, .factor = 4},
     64,
     2048,
     10,
     1,
     {0.25, 0.18747355233311397, 0.025, 0.0025, 0.0018747355233311397, 0.00025,
      3.33380358040831e-05}},
    {{.kind = ROPE_DYNAMIC, .theta = 1e4, .factor = 2},
     64,
     2048,
     2000,
     1,
     {1, 0.7498942093324559, 0.1, 0.01, 0.007498942093324559, 0.001, 0.0001333521432163324}},
    {{.kind = ROPE_DYNAMIC, .theta = 1e4, .factor = 2},
     64,
     2048,
     5000,
     1,
     {1, 0.7177864848979212, 0.07046317601723166, 0.004965059174435371, 0.0035638523721281392,
      0.0003498538385442105, 3.434421394706348e-05}},
    {LLAMA3(8),
     128,
     131072,
     10,
     1,
     {1, 0.8146172338565447, 0.03760603093086393, 0.0005248461609929547, 0.00031269375038406517,
      6.647869871181236e-06, 3.068925988914511e-07}},
    {LLAMA3(32),
     64,
     131072,
     10,
     1,
     {1, 0.6636012376960885, 0.03760603093086393, 0.00042955679655936815, 9.70828780262767e-05,
      1.661967467795309e-06, 9.418306725434909e-08}},
    {YARN(1e6, 4, 32768, .beta_fast = 32, .beta_slow = 1, .truncate = true),
     128,
     131072,
     10,
     1.138629436111989,
     {1, 0.8058421877614819, 0.03162277660168379, 0.0006029411764705882, 0.00045032357551376927,
      7.905694150420949e-06, 3.102344401879299e-07}},
    {YARN(1e6, 4, 32768, .beta_fast = 24, .beta_slow = 2, .truncate = false),
     128,
     131072,
     10,
     1.138629436111989,
     {1, 0.8058421877614819, 0.03162277660168379, 0.0005392749057181446, 0.0003820669825466424,
      7.905694150420949e-06, 3.102344401879299e-07}},
    {YARN(1e4, 40, 4096, .beta_fast = 32, .beta_slow = 1, .truncate = true, .mscale = 0.707,
          .mscale_all_dim = 1.5),
     128,
     131072,
     10,
     0.8116769910542814,
     {1, 0.8659643233600653, 0.1, 0.0055, 0.004438067157220334, 2.5e-05, 2.8869549617236457e-06}},
    {YARN(1e4, 40, 4096, .beta_fast = 32, .beta_slow = 1, .truncate = true,
          .attention_factor = 1.25),
     128,
     131072,
     10,
     1.25,
     {1, 0.8659643233600653, 0.1, 0.0055, 0.004438067157220334, 2.5e-05, 2.8869549617236457e-06}},
};

static void frequencies(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(table); i++) {
        const struct wanted *w = &table[i];
        double inv[64];
        int64_t n = w->head_dim / 2, at[] = {0, 1, n / 4, n / 2, n / 2 + 1, 3 * n / 4, n - 1};
        double scale = rope_frequencies(&w->r, w->head_dim, w->max_positions, w->length, inv);
        assert_true(fabs(scale - w->scale) <= 1e-15 * w->scale * 4);
        for (int k = 0; k < 7; k++)
            if (!(fabs(inv[at[k]] - w->inv[k]) <= 1e-14 * w->inv[k]))
                fail_msg("row %d, pair %d: %.17g, wanted %.17g", i, (int)at[k], inv[at[k]],
                         w->inv[k]);
    }
}

/* The factors as GGUF holds them, in f32, give the settings back. */
static void llama3_factors(void **state)
{
    (void)state;
    static const double scales[] = {8, 32, 4, 16, 2.5};
    for (int i = 0; i < COUNT_OF(scales); i++) {
        struct rope_config r = LLAMA3(scales[i]), found = {.theta = 5e5, .factor = 1};
        double factors[64], plain[64], scaled[64];
        rope_llama3_factors(&r, 128, factors);
        rope_frequencies(&found, 128, 2048, 0, plain);
        rope_frequencies(&r, 128, 2048, 0, scaled);
        for (int k = 0; k < 64; k++) {
            assert_true(fabs(plain[k] / factors[k] - scaled[k]) <= 1e-15 * plain[k]);
            factors[k] = (double)(float)factors[k];
        }
        assert_true(rope_find_llama3(factors, 128, &found));
        assert_int_equal(found.kind, ROPE_LLAMA3);
        assert_int_equal(found.original_length, 8192);
        assert_true(found.factor == scales[i] && found.theta == 5e5);
        assert_true(found.low_freq_factor == 1 && found.high_freq_factor == 4);
        factors[20] *= 1.01;
        found = (struct rope_config){.theta = 5e5, .factor = 1};
        assert_false(rope_find_llama3(factors, 128, &found));
        assert_int_equal(found.kind, ROPE_DEFAULT);
    }
    double ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct rope_config none = {.theta = 1e4, .factor = 1};
    assert_false(rope_find_llama3(ones, 16, &none));
}

static void how_far(void **state)
{
    (void)state;
    struct model_config c = {.max_position_embeddings = 100, .rope = {.theta = 1e4, .factor = 2.5}};
    assert_int_equal(rope_context(&c), 100);
    c.rope.kind = ROPE_DYNAMIC;
    assert_int_equal(rope_context(&c), 250);
    c.rope.factor = 0.5;
    assert_int_equal(rope_context(&c), 100);
    c.rope.factor = 1e30;
    assert_int_equal(rope_context(&c), 1 << 28);
}

/* --- dynamic scaling in a model -------------------------------------------------------------- */

#define TOKENS 24

static struct model *dynamic_model(struct context *ctx)
{
    struct model *m = tiny_model(ctx, &(struct tiny_options){.context = 8});
    m->config.rope = (struct rope_config){.kind = ROPE_DYNAMIC, .theta = 100, .factor = 3};
    return m;
}

/* Hidden states of tokens from .. from + n. */
static void hidden_of(struct model *m, struct cache *cache, int64_t from, int64_t n, double *out)
{
    int32_t ids[TOKENS], positions[TOKENS], starts[2] = {0, (int32_t)n};
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (int32_t)((from + i) * 5 % TINY_VOCAB);
        positions[i] = (int32_t)(from + i);
    }
    struct batch_rows rows = {
        .tokens = n, .sequences = 1, .ids = ids, .positions = positions, .starts = starts};
    struct batch b;
    struct tensor *hidden;
    CHECK(batch_from(m->ctx, &rows, TINY_VOCAB, &b));
    b.cache = cache;
    m->ctx->grad = false;
    CHECK(model_forward(m, &b, &hidden));
    CHECK(tensor_read_double(hidden, out));
    tensor_release(hidden);
    batch_free(&b);
}

static struct cache *new_cache(struct model *m)
{
    struct cache *c;
    const struct model_config *s = &m->config;
    CHECK(
        cache_new(m->ctx, s->num_hidden_layers, TOKENS, s->num_key_value_heads * s->head_dim, &c));
    return c;
}

/* A prompt that is known to be long is read in pieces as if it were read at once; without that
 * knowledge its first piece is turned by other frequencies. */
static void prompt_in_pieces(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct model *m = dynamic_model(ctx);
    double whole[TOKENS * 8], pieces[TOKENS * 8];
    hidden_of(m, NULL, 0, 20, whole);
    for (int told = 0; told < 2; told++) {
        struct cache *c = new_cache(m);
        c->expected = told ? 20 : 0;
        hidden_of(m, c, 0, 7, pieces);
        hidden_of(m, c, 7, 4, pieces + 7 * 8);
        hidden_of(m, c, 11, 9, pieces + 11 * 8);
        double error = util_rel_l2(pieces, whole, 20 * 8);
        assert_true(told ? error <= 1e-13 : error > 1e-3);
        cache_free(c);
    }
    model_release(m);
    util_context_free(ctx);
}

/* Within its context a dynamic model is a plain one, and the longest text of a batch decides. */
static void longest_decides(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct model *m = dynamic_model(ctx), *plain = tiny_model(ctx, &(struct tiny_options){0});
    double a[TOKENS * 8], b[TOKENS * 8];
    hidden_of(m, NULL, 0, 8, a);
    hidden_of(plain, NULL, 0, 8, b);
    assert_memory_equal(a, b, 8 * 8 * sizeof *a);
    hidden_of(m, NULL, 0, 9, a);
    hidden_of(plain, NULL, 0, 9, b);
    assert_true(util_rel_l2(a, b, 9 * 8) > 1e-4);
    model_release(m);
    model_release(plain);
    util_context_free(ctx);
}

/* A generator may go past the context that the model was made for, up to factor times it. */
static void generator_reaches(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct model *m = dynamic_model(ctx);
    struct generation_config c;
    struct generator *g;
    struct generate_event e;
    int32_t prompt[3] = {1, 2, 3};
    int64_t n;
    CHECK(options_init(&generation_options, &c));
    c.max_new_tokens = 100;
    CHECK(generator_new(m, &c, 1, prompt, 3, NULL, 0, &g));
    do {
        CHECK(generator_next(g, &e));
    } while (e.kind != GENERATE_DONE);
    generator_ids(g, &n);
    assert_int_equal(n, 24);
    generator_free(g);
    options_free(&generation_options, &c);
    model_release(m);
    util_context_free(ctx);
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies),
        cmocka_unit_test(llama3_factors),
        cmocka_unit_test(how_far),
        cmocka_unit_test_teardown(prompt_in_pieces, no_leak),
        cmocka_unit_test_teardown(longest_decides, no_leak),
        cmocka_unit_test_teardown(generator_reaches, no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
