/* sampling.c -- choosing tokens: each filter against a plain computation of the distribution it
 * should give, by counting (chi-square; the numbers are keyed, so the outcome is fixed). */
#include "engine/model/sampling.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/engine_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define VOCAB 12
#define DRAWS 20000

static const float start_logits[VOCAB] = {0.3f, -1.2f, 2.1f, 0.9f, 2.0f,  -0.4f,
                                          1.1f, 0.0f,  0.9f, 2.9f, -3.0f, 1.6f};

static struct generation_config config(const char *settings)
{
    struct generation_config c;
    CHECK(options_init(&generation_options, &c));
    for (const char *at = settings; *at;) {
        char name[40], value[40];
        int used;
        const struct option *o;
        assert_int_equal(sscanf(at, " %39[^=]=%39s%n", name, value, &used), 2);
        CHECK(options_find(&generation_options, name, &o));
        CHECK(options_parse(&generation_options, o, &c, value));
        at += used;
    }
    return c;
}

static int pick(const struct generation_config *c, const float *logits, int64_t vocab,
                const int32_t *seen, int64_t n, uint64_t seed, int64_t position, int32_t *token)
{
    struct sampler *s;
    float copy[64];
    assert_true(vocab <= 64);
    memcpy(copy, logits, (size_t)vocab * sizeof *copy);
    CHECK(sampler_new(vocab, &s));
    int status = sampler_pick(s, c, copy, seen, n, rng_key(seed, RNG_SAMPLE), position, token);
    sampler_free(s);
    return status;
}

/* --- the distribution, computed plainly ------------------------------------------------------ */

static void normalise(double *p)
{
    double sum = 0;
    for (int i = 0; i < VOCAB; i++)
        sum += p[i];
    for (int i = 0; i < VOCAB; i++)
        p[i] /= sum;
}

/* Place of token i when sorted by likelihood, the likeliest first, ties by id. */
static int rank_of(const double *p, int i)
{
    int rank = 0;
    for (int k = 0; k < VOCAB; k++)
        rank += p[k] > p[i] || (p[k] == p[i] && k < i);
    return rank;
}

static void plain(const struct generation_config *c, const int32_t *seen, int64_t n, double *p)
{
    double copy[VOCAB], most = 0;
    for (int i = 0; i < VOCAB; i++) {
        double l = (double)start_logits[i];
        bool met = false;
        for (int64_t k = 0; k < n; k++)
            met = met || seen[k] == i;
        if (met)
            l = l > 0 ? l / c->repetition_penalty : l * c->repetition_penalty;
        p[i] = exp(l / c->temperature);
    }
    memcpy(copy, p, sizeof copy);
    for (int i = 0; i < VOCAB && c->top_k; i++)
        if (rank_of(copy, i) >= c->top_k)
            p[i] = 0;
    normalise(p);
    memcpy(copy, p, sizeof copy);
    for (int i = 0; i < VOCAB; i++) { /* dropped when those before it reach top_p already */
        double before = 0;
        for (int k = 0; k < VOCAB; k++)
            before += rank_of(copy, k) < rank_of(copy, i) ? copy[k] : 0;
        if (before >= c->top_p)
            p[i] = 0;
        most = fmax(most, p[i]);
    }
    for (int i = 0; i < VOCAB; i++)
        if (p[i] < c->min_p * most)
            p[i] = 0;
    normalise(p);
}

static void compare(const char *settings, const int32_t *seen, int64_t n, int kept)
{
    struct generation_config c = config(settings);
    double p[VOCAB], chi = 0;
    int64_t count[VOCAB] = {0};
    int support = 0;
    plain(&c, seen, n, p);
    for (int64_t i = 0; i < DRAWS; i++) {
        int32_t token;
        CHECK(pick(&c, start_logits, VOCAB, seen, n, 17, i, &token));
        assert_true(token >= 0 && token < VOCAB);
        count[token]++;
    }
    for (int i = 0; i < VOCAB; i++) {
        double wanted = p[i] * DRAWS;
        if (p[i] == 0 && count[i])
            fail_msg("%s: token %d was drawn, but is cut", settings, i);
        if (p[i] > 0)
            chi += ((double)count[i] - wanted) * ((double)count[i] - wanted) / wanted;
        support += p[i] > 0;
    }
    if (support != kept)
        fail_msg("%s: the plain computation keeps %d tokens, wanted %d", settings, support, kept);
    double freedom = support - 1, limit = freedom + 4 * sqrt(2 * freedom) + 1e-9;
    if (!(chi <= limit))
        fail_msg("%s: chi-square %.2f, allowed %.2f", settings, chi, limit);
    options_free(&generation_options, &c);
}

static void distributions(void **state)
{
    (void)state;
    static const int32_t seen[] = {9, 2, 9, 1, -1, 99};
    compare("do_sample=true", NULL, 0, 12);
    compare("do_sample=true top_k=0", NULL, 0, 12);
    compare("do_sample=true temperature=0.5", NULL, 0, 12);
    compare("do_sample=true temperature=3", NULL, 0, 12);
    compare("do_sample=true top_k=4", NULL, 0, 4);
    compare("do_sample=true top_k=7", NULL, 0, 7); /* between the two that are equal */
    compare("do_sample=true top_k=1", NULL, 0, 1);
    compare("do_sample=true top_p=0.8", NULL, 0, 5);
    compare("do_sample=true top_p=0.3", NULL, 0, 1);
    compare("do_sample=true top_p=0.000001", NULL, 0, 1);
    compare("do_sample=true min_p=0.2", NULL, 0, 4);
    compare("do_sample=true min_p=1", NULL, 0, 1);
    compare("do_sample=true top_k=6 top_p=0.9 min_p=0.1 temperature=1.4", NULL, 0, 5);
    compare("do_sample=true repetition_penalty=1.8", seen, 6, 12);
    compare("do_sample=true repetition_penalty=1.8 top_k=3", seen, 6, 3);
    compare("do_sample=true repetition_penalty=0.5", seen, 6, 12);
}

/* --- single choices -------------------------------------------------------------------------- */

static void greedy(void **state)
{
    (void)state;
    struct generation_config c = config("");
    int32_t token;
    assert_false(c.do_sample);
    CHECK(pick(&c, start_logits, VOCAB, NULL, 0, 1, 0, &token));
    assert_int_equal(token, 9);
    CHECK(pick(&c, (float[]){1, 5, 2, 5, 5}, 5, NULL, 0, 1, 0, &token));
    assert_int_equal(token, 1); /* the first of equals */
    CHECK(pick(&c, (float[]){-INFINITY, -3, NAN, -4}, 4, NULL, 0, 1, 0, &token));
    assert_int_equal(token, 1);
    CHECK(pick(&c, (float[]){7}, 1, NULL, 0, 1, 0, &token));
    assert_int_equal(token, 0);
    options_free(&generation_options, &c);
}

/* As in transformers: divided when positive, multiplied when negative, once however often seen. */
static void penalty(void **state)
{
    (void)state;
    struct generation_config c = config("repetition_penalty=2");
    int32_t token, seen[] = {0, 0, 0, 0};
    CHECK(pick(&c, (float[]){3, 1.4f, 1}, 3, seen, 4, 1, 0, &token));
    assert_int_equal(token, 0); /* 1.5, not 0.1875 */
    CHECK(pick(&c, (float[]){3, 1.6f, 1}, 3, seen, 4, 1, 0, &token));
    assert_int_equal(token, 1);
    CHECK(pick(&c, (float[]){-1, -1.9f, -5}, 3, seen, 1, 1, 0, &token));
    assert_int_equal(token, 1); /* -2 */
    CHECK(pick(&c, (float[]){-1, -2.1f, -5}, 3, seen, 1, 1, 0, &token));
    assert_int_equal(token, 0);
    options_free(&generation_options, &c);
}

static void nothing_finite(void **state)
{
    (void)state;
    static const char *const settings[] = {"", "do_sample=true", "do_sample=true top_k=2"};
    for (int i = 0; i < COUNT_OF(settings); i++) {
        struct generation_config c = config(settings[i]);
        int32_t token;
        assert_int_equal(pick(&c, (float[]){NAN, -INFINITY, NAN}, 3, NULL, 0, 1, 0, &token),
                         ERR_NUMERIC);
        assert_non_null(strstr(status_message(), "finite"));
        assert_non_null(strstr(status_message(), "hint"));
        options_free(&generation_options, &c);
    }
}

/* Sampling never takes what is not finite, whatever the filters. */
static void finite_only(void **state)
{
    (void)state;
    struct generation_config c = config("do_sample=true top_k=3");
    float logits[] = {NAN, 0, -INFINITY, 0.5f, NAN};
    for (int i = 0; i < 500; i++) {
        int32_t token;
        CHECK(pick(&c, logits, 5, NULL, 0, 3, i, &token));
        assert_true(token == 1 || token == 3);
    }
    options_free(&generation_options, &c);
}

/* A function of (seed, position) alone. */
static void keyed(void **state)
{
    (void)state;
    struct generation_config c = config("do_sample=true");
    int differ = 0;
    for (int i = 0; i < 200; i++) {
        int32_t a, b, other;
        CHECK(pick(&c, start_logits, VOCAB, NULL, 0, 5, i, &a));
        CHECK(pick(&c, start_logits, VOCAB, NULL, 0, 5, i, &b));
        CHECK(pick(&c, start_logits, VOCAB, NULL, 0, 6, i, &other));
        assert_int_equal(a, b);
        differ += a != other;
    }
    assert_true(differ > 100);
    options_free(&generation_options, &c);
}

/* The k likeliest of a large vocabulary with many equal logits, against sorting by hand. */
static void many_ties(void **state)
{
    (void)state;
    enum { N = 5000, K = 37 };
    struct sampler *s;
    struct generation_config c = config("do_sample=true top_k=37 temperature=100");
    float *logits = mem_alloc(2 * N * sizeof *logits);
    bool allowed[N] = {false}, drawn[N] = {false};
    assert_non_null(logits);
    for (int i = 0; i < N; i++)
        logits[i] = (float)(rng_u64(rng_key(3, RNG_USER), (uint64_t)i) % 50);
    int left = K;
    for (int level = 49; level >= 0; level--)
        for (int i = 0; i < N && left; i++)
            if (logits[i] == (float)level)
                allowed[i] = left-- > 0;
    CHECK(sampler_new(N, &s));
    for (int i = 0; i < 1500; i++) {
        int32_t token;
        memcpy(logits + N, logits, N * sizeof *logits);
        CHECK(sampler_pick(s, &c, logits + N, NULL, 0, rng_key(1, RNG_SAMPLE), i, &token));
        assert_true(allowed[token]);
        drawn[token] = true;
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(allowed[i], drawn[i]);
    sampler_free(s);
    mem_free(logits);
    options_free(&generation_options, &c);
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, 0);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, no_leak)
    const struct CMUnitTest tests[] = {
        TEST(distributions), TEST(greedy), TEST(penalty),   TEST(nothing_finite),
        TEST(finite_only),   TEST(keyed),  TEST(many_ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
