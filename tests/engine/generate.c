/* generate.c -- text generation: the cache against whole forward passes, prompts in pieces, every
 * way to end, and what is refused. */
#include "engine/model/generate.h"
#include "engine/model/cache.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/tiny_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct tiny_options plain = {.tied = false};
static const struct tiny_options windowed = {.tied = true, .window = 5};
static const struct tiny_options roomy = {.tied = true, .window = 0, .context = 1024, .layers = 1};

static struct model *open_model(const struct tiny_options *o)
{
    struct context *ctx = util_context("ref", DT_F64, 1);
    ctx->poison = true;
    return tiny_model(ctx, o);
}

static void close_model(struct model *m)
{
    struct context *ctx = m->ctx;
    model_release(m);
    util_context_free(ctx);
}

static int32_t prompt_token(int64_t i)
{
    return (int32_t)((5 + i * 3 + i * i) % TINY_VOCAB);
}

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

/* --- the cache ------------------------------------------------------------------------------- */

/* Logits of tokens from .. from+n, through the cache when there is one. */
static void logits_of(struct model *m, struct cache *cache, const int32_t *ids, int64_t from,
                      int64_t n, double *out)
{
    int32_t positions[1024], starts[2] = {0, (int32_t)n};
    struct tensor *hidden, *logits;
    struct batch b;
    for (int64_t i = 0; i < n; i++)
        positions[i] = (int32_t)(from + i);
    struct batch_rows rows = {
        .tokens = n, .sequences = 1, .ids = ids + from, .positions = positions, .starts = starts};
    CHECK(batch_from(m->ctx, &rows, m->config.vocab_size, &b));
    b.cache = cache;
    m->ctx->grad = false;
    CHECK(model_forward(m, &b, &hidden));
    CHECK(model_logits(m, hidden, NULL, &logits));
    CHECK(tensor_read_double(logits, out));
    m->ctx->grad = true;
    tensor_release(logits);
    tensor_release(hidden);
    batch_free(&b);
}

/* Whatever the pieces, the cache gives the logits of one pass over everything. */
static void cache_is_whole(const struct tiny_options *o, const int64_t *pieces, int count)
{
    struct model *m = open_model(o);
    struct cache *cache;
    int64_t total = 0, at = 0;
    int32_t ids[1024];
    for (int i = 0; i < count; i++)
        total += pieces[i];
    for (int64_t i = 0; i < total; i++)
        ids[i] = prompt_token(i);
    size_t bytes = (size_t)(total * TINY_VOCAB) * sizeof(double);
    double *whole = mem_alloc(bytes), *parts = mem_alloc(bytes);
    assert_true(whole && parts);
    logits_of(m, NULL, ids, 0, total, whole);
    CHECK(cache_new(m->ctx, m->config.num_hidden_layers, total + 3,
                    m->config.num_key_value_heads * m->config.head_dim, &cache));
    for (int i = 0; i < count; at += pieces[i++])
        logits_of(m, cache, ids, at, pieces[i], parts + at * TINY_VOCAB);
    assert_int_equal(cache->length, total);
    double rel = util_rel_l2(parts, whole, total * TINY_VOCAB);
    if (!(rel <= 1e-12))
        fail_msg("logits through the cache are off by rel %.3g", rel);
    cache_free(cache);
    mem_free(whole);
    mem_free(parts);
    close_model(m);
}

static void through_the_cache(void **state)
{
    (void)state;
    static const int64_t singles[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, mixed[] = {7, 1, 1, 4, 1},
                         one[] = {9}, prefill[] = {256, 256, 60, 1};
    cache_is_whole(&plain, singles, COUNT_OF(singles));
    cache_is_whole(&plain, mixed, COUNT_OF(mixed));
    cache_is_whole(&windowed, singles, COUNT_OF(singles));
    cache_is_whole(&windowed, mixed, COUNT_OF(mixed));
    cache_is_whole(&windowed, one, COUNT_OF(one));
    cache_is_whole(&roomy, prefill, COUNT_OF(prefill));
}

static void cache_room(void **state)
{
    (void)state;
    struct context *ctx = util_context("ref", DT_F64, 1);
    struct cache *c;
    CHECK(cache_new(ctx, 2, 5, 8, &c));
    CHECK(cache_begin(c, 5));
    cache_end(c, 4);
    assert_int_equal(cache_begin(c, 2), ERR_ARG);
    assert_non_null(strstr(status_message(), "2 tokens do not fit"));
    CHECK(cache_begin(c, 1));
    cache_free(c);
    util_context_free(ctx);
}

/* --- running a generator --------------------------------------------------------------------- */

struct run {
    int32_t tokens[64];
    int64_t count, prefills;
    char reason[16];
    int32_t last; /* the token of DONE */
};

static struct run generate(struct model *m, const char *settings, int64_t prompt_tokens,
                           const int32_t *eos, int eos_count)
{
    struct generation_config c = config(settings);
    struct generator *g;
    struct generate_event e;
    struct run r = {.count = 0};
    int32_t prompt[1024];
    int64_t n;
    for (int64_t i = 0; i < prompt_tokens; i++)
        prompt[i] = prompt_token(i);
    CHECK(generator_new(m, &c, 77, prompt, prompt_tokens, eos, eos_count, &g));
    for (;;) {
        CHECK(generator_next(g, &e));
        assert_true(m->ctx->grad);
        if (e.kind == GENERATE_DONE)
            break;
        r.prefills += e.kind == GENERATE_PREFILL;
        if (e.kind == GENERATE_TOKEN)
            r.tokens[r.count++] = e.token;
        assert_true(r.count < 64);
    }
    snprintf(r.reason, sizeof r.reason, "%s", e.reason);
    r.last = e.token;
    const int32_t *ids = generator_ids(g, &n);
    assert_int_equal(n, prompt_tokens + r.count);
    assert_memory_equal(ids, prompt, (size_t)prompt_tokens * sizeof *ids);
    assert_memory_equal(ids + prompt_tokens, r.tokens, (size_t)r.count * sizeof *ids);
    generator_free(g);
    options_free(&generation_options, &c);
    return r;
}

static int32_t likeliest(const double *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < TINY_VOCAB; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* Greedy text is what whole forward passes say, prompts of one token and of many pieces. */
static void greedy_is_whole(const struct tiny_options *o, int64_t prompt_tokens, int64_t prefills)
{
    struct model *m = open_model(o);
    struct run r = generate(m, "max_new_tokens=6", prompt_tokens, NULL, 0);
    int32_t ids[1024];
    double *logits = mem_alloc((size_t)(prompt_tokens + 6) * TINY_VOCAB * sizeof *logits);
    assert_non_null(logits);
    assert_int_equal(r.count, 6);
    assert_int_equal(r.prefills, prefills);
    assert_string_equal(r.reason, "length");
    for (int64_t i = 0; i < prompt_tokens; i++)
        ids[i] = prompt_token(i);
    memcpy(ids + prompt_tokens, r.tokens, sizeof *ids * 6);
    logits_of(m, NULL, ids, 0, prompt_tokens + 6, logits);
    for (int64_t i = 0; i < 6; i++) /* one pass suffices: attention looks back only */
        assert_int_equal(r.tokens[i], likeliest(logits + (prompt_tokens + i - 1) * TINY_VOCAB));
    mem_free(logits);
    close_model(m);
}

static void greedy(void **state)
{
    (void)state;
    greedy_is_whole(&plain, 1, 0);
    greedy_is_whole(&plain, 9, 0);
    greedy_is_whole(&windowed, 9, 0);
    greedy_is_whole(&roomy, 256, 0);
    greedy_is_whole(&roomy, 257, 1);
    greedy_is_whole(&roomy, 600, 2);
}

/* --- ways to end ----------------------------------------------------------------------------- */

static void endings(void **state)
{
    (void)state;
    struct model *m = open_model(&plain);
    struct run all = generate(m, "max_new_tokens=12", 5, NULL, 0);
    int64_t first = 0;
    int32_t eos[2] = {-1, all.tokens[4]};
    while (all.tokens[first] != eos[1])
        first++;
    struct run r = generate(m, "max_new_tokens=12", 5, eos, 2);
    assert_string_equal(r.reason, "eos");
    assert_int_equal(r.count, first);
    assert_int_equal(r.last, eos[1]);
    assert_memory_equal(r.tokens, all.tokens, (size_t)first * sizeof(int32_t));
    /* not before so many: another token takes its place */
    r = generate(m, "max_new_tokens=12 min_new_tokens=6", 5, eos, 2);
    assert_true(r.count >= 6);
    for (int64_t i = 0; i < r.count; i++)
        assert_int_not_equal(r.tokens[i], eos[1]);
    r = generate(m, "max_length=8", 5, NULL, 0);
    assert_int_equal(r.count, 3);
    assert_memory_equal(r.tokens, all.tokens, 3 * sizeof(int32_t));
    r = generate(m, "max_length=4", 5, NULL, 0); /* the prompt is longer already */
    assert_int_equal(r.count, 0);
    assert_string_equal(r.reason, "length");
    r = generate(m, "max_length=6 max_new_tokens=4", 5, NULL, 0); /* new tokens have the word */
    assert_int_equal(r.count, 4);
    close_model(m);
}

static void context_limit(void **state)
{
    (void)state;
    struct model *m = open_model(&plain); /* 64 tokens */
    struct run r = generate(m, "max_new_tokens=100", 60, NULL, 0);
    assert_int_equal(r.count, 4);
    assert_string_equal(r.reason, "length");
    struct generation_config c = config("");
    struct generator *g;
    int32_t prompt[64] = {0};
    assert_int_equal(generator_new(m, &c, 1, prompt, 64, NULL, 0, &g), ERR_ARG);
    assert_non_null(strstr(status_message(), "64"));
    assert_non_null(strstr(status_message(), "hint"));
    assert_int_equal(generator_new(m, &c, 1, prompt, 0, NULL, 0, &g), ERR_ARG);
    options_free(&generation_options, &c);
    close_model(m);
}

/* --- what goes wrong ------------------------------------------------------------------------- */

static int first_event(struct model *m, int32_t token)
{
    struct generation_config c = config("");
    struct generator *g;
    struct generate_event e;
    CHECK(generator_new(m, &c, 1, &token, 1, NULL, 0, &g));
    int status = generator_next(g, &e);
    assert_true(m->ctx->grad);
    generator_free(g);
    options_free(&generation_options, &c);
    return status;
}

static void failures(void **state)
{
    (void)state;
    struct model *m = open_model(&plain);
    volatile int cancel = 1;
    assert_int_equal(first_event(m, TINY_VOCAB), ERR_ARG);
    assert_non_null(strstr(status_message(), "id 13"));
    m->cancel = &cancel;
    assert_int_equal(first_event(m, 1), ERR_CANCELLED);
    m->cancel = NULL;
    CHECK(first_event(m, 1));
    CHECK(tensor_fill(m->head->linear.weight, NAN));
    assert_int_equal(first_event(m, 1), ERR_NUMERIC);
    close_model(m);
}

/* Every allocation of a generation fails in turn: an error, nothing kept, and the next one works. */
static int short_text(struct model *m, int32_t *tokens)
{
    struct generation_config c;
    struct generator *g;
    struct generate_event e = {.kind = GENERATE_PREFILL};
    int32_t prompt[3] = {1, 2, 3};
    int64_t n = 0;
    TRY(options_init(&generation_options, &c));
    c.max_new_tokens = 3;
    int status = generator_new(m, &c, 1, prompt, 3, NULL, 0, &g);
    if (!status) {
        while (!status && e.kind != GENERATE_DONE) {
            status = generator_next(g, &e);
            if (!status && e.kind == GENERATE_TOKEN)
                tokens[n++] = e.token;
        }
        generator_free(g);
    }
    options_free(&generation_options, &c);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    struct model *m = open_model(&plain);
    int32_t wanted[3], tokens[3];
    CHECK(short_text(m, wanted));
    context_trim(m->ctx);
    int64_t blocks = mem_stats().live_blocks;
    for (int64_t n = 1;; n++) {
        mem_fail_at(n, n % 2);
        int status = short_text(m, tokens);
        int64_t seen = mem_fail_at(0, 0);
        assert_true(status == ERR_MEMORY || !status);
        if (!status)
            assert_memory_equal(tokens, wanted, sizeof wanted);
        context_trim(m->ctx);
        assert_int_equal(mem_stats().live_blocks, blocks);
        assert_true(m->ctx->grad);
        if (seen < n)
            break;
    }
    close_model(m);
}

/* A long text holds no more device memory at its end than in its middle. */
static void steady(void **state)
{
    (void)state;
    struct model *m = open_model(&plain);
    struct generation_config c = config("max_new_tokens=50");
    struct generator *g;
    struct generate_event e = {.kind = GENERATE_TOKEN};
    int32_t prompt[2] = {1, 2};
    int64_t live = 0, tensors = 0;
    CHECK(generator_new(m, &c, 1, prompt, 2, NULL, 0, &g));
    for (int i = 0; e.kind != GENERATE_DONE; i++) {
        CHECK(generator_next(g, &e));
        if (i == 5) {
            live = m->ctx->device->live_bytes;
            tensors = m->ctx->live_tensors;
        }
    }
    assert_int_equal(m->ctx->device->live_bytes, live);
    assert_int_equal(m->ctx->live_tensors, tensors);
    generator_free(g);
    options_free(&generation_options, &c);
    close_model(m);
}

static void seeds(void **state)
{
    (void)state;
    struct model *m = open_model(&plain);
    struct run session = generate(m, "do_sample=true max_new_tokens=20", 3, NULL, 0);
    struct run named = generate(m, "do_sample=true max_new_tokens=20 seed=77", 3, NULL, 0);
    struct run other = generate(m, "do_sample=true max_new_tokens=20 seed=78", 3, NULL, 0);
    assert_memory_equal(session.tokens, named.tokens,
                        20 * sizeof(int32_t)); /* 77 is the session's */
    assert_true(memcmp(named.tokens, other.tokens, 20 * sizeof(int32_t)) != 0);
    close_model(m);
}

static int64_t blocks_before;

static int begin(void **state)
{
    (void)state;
    blocks_before = mem_stats().live_blocks;
    return 0;
}

static int no_leak(void **state)
{
    (void)state;
    mem_fail_at(0, 0);
    assert_int_equal(mem_stats().live_blocks, blocks_before);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, no_leak)
    const struct CMUnitTest tests[] = {
        TEST(through_the_cache), TEST(cache_room), TEST(greedy), TEST(endings), TEST(context_limit),
        TEST(failures),          TEST(no_memory),  TEST(steady), TEST(seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
