/* demo.c -- the demo model against the reference on its dequantised weights.
 *
 * Fixture: scripts/golden/demo_model.py. Skipped, with the reason, where the model file is not
 * there (scripts/demo-model gets it). Tolerances: RELIABILITY's, and what f32 allows on this model
 * (scripts/golden/README.md). */
#include "engine/model/generate.h"
#include "engine/tensor/autograd.h"
#include "engine/train/trainer.h"
#include "kernels/base/mem.h"
#include "tests/engine/engine_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Under a sanitizer every product is ten times slower: the same tests on less. */
#ifdef __SANITIZE_ADDRESS__
enum { PROMPTS = 2, TOKENS = 8, STEPS = 2 };
#else
enum { PROMPTS = 100, TOKENS = 48, STEPS = 100 };
#endif

static int at_most(double count, int limit)
{
    return (int)count < limit ? (int)count : limit;
}

struct demo {
    struct context *ctx;
    struct model *m;
    struct golden *g;
};

static bool open_demo(struct demo *d)
{
    const char *path = util_demo_model();
    if (!path) {
        print_message("the demo model is not there; scripts/demo-model gets it\n");
        return false;
    }
    d->ctx = util_context("cpu", DT_F32, 2);
    CHECK(model_load(d->ctx, path, NULL, &d->m));
    d->g = golden_open("demo.expect");
    return true;
}

static void close_demo(struct demo *d)
{
    golden_close(d->g);
    model_release(d->m);
    util_context_free(d->ctx);
}

static int64_t ids_of(struct demo *d, const char *name, int32_t *out, int64_t room)
{
    int64_t n;
    const double *ids = golden_get(d->g, name, &n);
    assert_true(n <= room);
    for (int64_t i = 0; i < n; i++)
        out[i] = (int32_t)ids[i];
    return n;
}

/* A batch of one sequence, every token but the last with a target. */
static void one_sequence(struct demo *d, const int32_t *ids, int64_t n, struct batch *b)
{
    int32_t position[512], rows[512], starts[2] = {0, (int32_t)n};
    for (int64_t i = 0; i < n; i++)
        position[i] = rows[i] = (int32_t)i;
    struct batch_rows r = {.tokens = n,
                           .sequences = 1,
                           .targets = n - 1,
                           .ids = ids,
                           .positions = position,
                           .starts = starts,
                           .target_rows = rows,
                           .target_ids = ids + 1};
    CHECK(batch_from(d->ctx, &r, d->m->config.vocab_size, b));
}

static void check_prompt_logits(struct demo *d, int p)
{
    char name[32];
    int32_t ids[512];
    int64_t count, vocab = d->m->config.vocab_size;
    int64_t stride = (int64_t)golden_number(d->g, "logits.stride");
    struct batch b;
    struct tensor *hidden, *logits;
    snprintf(name, sizeof name, "ids.%d", p);
    int64_t n = ids_of(d, name, ids, 512);
    one_sequence(d, ids, n, &b);
    d->ctx->grad = false;
    CHECK(model_forward(d->m, &b, &hidden));
    struct tensor *last;
    CHECK(tensor_view(hidden, view_slice(hidden->view, 0, n - 1, 1), &last));
    CHECK(model_logits(d->m, last, NULL, &logits));
    double *all = mem_alloc((size_t)vocab * sizeof *all), norm = 0;
    assert_non_null(all);
    CHECK(tensor_read_double(logits, all));
    for (int64_t i = 0; i < vocab; i++)
        norm += all[i] * all[i];
    snprintf(name, sizeof name, "logits.%d", p);
    const double *wanted = golden_get(d->g, name, &count);
    for (int64_t i = 0; i < count; i++)
        all[i] = all[i * stride];
    double rel = util_rel_l2(all, wanted, count);
    if (!(rel <= 1e-5))
        fail_msg("prompt %d: logits rel L2 %.3g", p, rel);
    snprintf(name, sizeof name, "norm.%d", p);
    assert_true(fabs(sqrt(norm) / golden_get(d->g, name, NULL)[0] - 1) <= 1e-5);
    mem_free(all);
    tensor_release(logits);
    tensor_release(last);
    tensor_release(hidden);
    batch_free(&b);
    d->ctx->grad = true;
}

static void logits(void **state)
{
    struct demo d;
    (void)state;
    if (!open_demo(&d))
        skip();
    for (int p = 0; p < at_most(golden_number(d.g, "prompts"), PROMPTS); p++)
        check_prompt_logits(&d, p);
    close_demo(&d);
}

static void greedy(void **state)
{
    struct demo d;
    (void)state;
    if (!open_demo(&d))
        skip();
    int32_t eos = (int32_t)golden_number(d.g, "eos");
    for (int p = 0; p < at_most(golden_number(d.g, "prompts"), PROMPTS); p++) {
        char name[32];
        int32_t prompt[512];
        int64_t wanted_n;
        struct generation_config c;
        struct generator *gen;
        struct generate_event e;
        snprintf(name, sizeof name, "ids.%d", p);
        int64_t n = ids_of(&d, name, prompt, 512);
        snprintf(name, sizeof name, "greedy.%d", p);
        const double *wanted = golden_get(d.g, name, &wanted_n);
        CHECK(options_init(&generation_options, &c));
        c.max_new_tokens = 48;
        CHECK(generator_new(d.m, &c, 1, prompt, n, &eos, 1, &gen));
        for (int64_t i = 0; i < at_most((double)wanted_n, TOKENS); i++) {
            CHECK(generator_next(gen, &e));
            if (e.token != (int32_t)wanted[i])
                fail_msg("prompt %d: token %d is %d, wanted %d", p, (int)i, e.token,
                         (int)wanted[i]);
        }
        generator_free(gen);
        options_free(&generation_options, &c);
    }
    close_demo(&d);
}

static void perplexity(void **state)
{
    struct demo d;
    struct batch b;
    struct tensor *loss;
    int32_t ids[512];
    double nll;
    (void)state;
    if (!open_demo(&d))
        skip();
    int64_t n = ids_of(&d, "ppl_ids", ids, 512);
    one_sequence(&d, ids, n, &b);
    d.ctx->grad = false;
    CHECK(model_loss(d.m, &b, 1.0 / (double)b.targets, 0, NULL, &loss));
    CHECK(tensor_item(loss, &nll));
    double wanted = golden_get(d.g, "ppl_nll", NULL)[0];
    if (!(fabs(nll / wanted - 1) <= 1e-6))
        fail_msg("mean NLL %.9g, wanted %.9g", nll, wanted);
    d.ctx->grad = true;
    tensor_release(loss);
    batch_free(&b);
    close_demo(&d);
}

/* --- training -------------------------------------------------------------------------------- */

/* The fixture's deterministic initialisation of LoRA tensor number 't'. */
static void fill_hashed(struct tensor *x, uint32_t t, double amplitude)
{
    int64_t n = tensor_count(x);
    float *values = mem_alloc((size_t)n * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++) {
        uint32_t h = (uint32_t)((uint64_t)i * 2654435761u) ^ (t * 0x9E3779B9u);
        h ^= h >> 16;
        h *= 0x7feb352du;
        h ^= h >> 15;
        h *= 0x846ca68bu;
        h ^= h >> 16;
        values[i] = (float)(((double)h / 4294967296.0 - 0.5) * 2 * amplitude);
    }
    CHECK(tensor_write(x, values));
    mem_free(values);
}

static struct lora *attach(struct demo *d)
{
    struct lora_config c;
    const struct option *o;
    struct lora *l;
    CHECK(options_init(&lora_options, &c));
    c.r = (int64_t)golden_number(d->g, "lora.r");
    c.lora_alpha = golden_number(d->g, "lora.alpha");
    CHECK(options_find(&lora_options, "target_modules", &o));
    CHECK(options_parse(&lora_options, o, &c, "all-linear"));
    CHECK(lora_attach(d->m, &c, 1, &l));
    options_free(&lora_options, &c);
    for (int64_t i = 0; i < l->count; i++) {
        struct adapter_term *term = &l->layers[i].term;
        fill_hashed(term->a, (uint32_t)(2 * i), 1 / sqrt((double)term->a->view.shape[1]));
        fill_hashed(term->b, (uint32_t)(2 * i + 1), golden_number(d->g, "lora.amp_b"));
    }
    return l;
}

/* The stored 64 evenly strided elements and the norm of one gradient. */
static void check_gradient(struct demo *d, struct tensor *grad, int t)
{
    char name[32];
    int64_t count, n = tensor_count(grad);
    snprintf(name, sizeof name, "g.%d", t);
    const double *wanted = golden_get(d->g, name, &count);
    double *all = mem_alloc((size_t)n * sizeof *all), norm = 0, picked[64];
    assert_true(all && count <= 64);
    CHECK(tensor_read_double(grad, all));
    for (int64_t i = 0; i < n; i++)
        norm += all[i] * all[i];
    for (int64_t j = 0; j < count; j++)
        picked[j] = all[j * n / count];
    double rel = util_rel_l2(picked, wanted, count);
    double wanted_norm = golden_get(d->g, "gn", NULL)[t];
    if (!(rel <= 1e-4) || !(fabs(sqrt(norm) / wanted_norm - 1) <= 1e-4))
        fail_msg("gradient %d: rel L2 %.3g, norm %.9g wanted %.9g", t, rel, sqrt(norm),
                 wanted_norm);
    mem_free(all);
}

static void gradients(void **state)
{
    struct demo d;
    struct batch b;
    struct tensor *loss;
    int32_t ids[512];
    double value;
    (void)state;
    if (!open_demo(&d))
        skip();
    struct lora *l = attach(&d);
    int64_t n = ids_of(&d, "window", ids, 512);
    one_sequence(&d, ids, n, &b);
    CHECK(model_loss(d.m, &b, 1.0 / (double)b.targets, 0, NULL, &loss));
    CHECK(tensor_item(loss, &value));
    assert_true(fabs(value / golden_get(d.g, "grad_loss", NULL)[0] - 1) <= 1e-6);
    CHECK(tensor_backward(loss, NULL));
    tensor_release(loss);
    for (int64_t i = 0; i < l->count; i++) {
        check_gradient(&d, l->layers[i].term.a->grad, (int)(2 * i));
        check_gradient(&d, l->layers[i].term.b->grad, (int)(2 * i + 1));
    }
    batch_free(&b);
    close_demo(&d);
}

static void set(struct training_arguments *a, const char *name, const char *value)
{
    const struct option *o;
    CHECK(options_find(&training_arguments, name, &o));
    CHECK(options_parse(&training_arguments, o, a, value));
}

/* 20 steps on one repeated window, on the whole graph with buffers reused. */
static void it_learns(void **state)
{
    struct demo d;
    struct examples *e;
    struct training_arguments a;
    struct trainer *t;
    struct trainer_event ev;
    int32_t ids[512];
    int64_t steps;
    (void)state;
    if (!open_demo(&d))
        skip();
    attach(&d);
    int64_t n = ids_of(&d, "window", ids, 512);
    CHECK(examples_new(&e));
    CHECK(examples_add(e, ids, NULL, n, 0, -1, 0));
    CHECK(options_init(&training_arguments, &a));
    const double *wanted = golden_get(d.g, "curve", &steps);
    a.max_steps = steps;
    set(&a, "learning_rate", "1e-3");
    set(&a, "lr_scheduler_type", "constant");
    CHECK(trainer_new(d.m, e, NULL, &a, &t));
    for (int64_t i = 0; i < at_most((double)steps, STEPS);) {
        CHECK(trainer_next(t, &ev));
        if (ev.kind != TRAINER_STEP)
            continue;
        double rel = fabs(ev.loss / wanted[i] - 1);
        if (!(rel <= 1e-4))
            fail_msg("step %d: loss %.9g, wanted %.9g (rel %.3g)", (int)i + 1, ev.loss, wanted[i],
                     rel);
        i++;
    }
    trainer_free(t);
    options_free(&training_arguments, &a);
    examples_free(e);
    close_demo(&d);
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, 0);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, no_leak)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(logits), TEST(greedy), TEST(perplexity),
                                       TEST(gradients), TEST(it_learns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
