/* golden.c -- the llama family against the reference library, in f64 on ref and in f32 on cpu.
 *
 * Fixtures: scripts/golden/llama_tiny.py. Both the logits and every gradient, with LoRA and in full
 * fine-tuning, of small random models: one for each thing that the family can do. */
#include "tests/engine/engine_util.h"
#include "engine/model/generate.h"
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

struct setting {
    const char *device;
    enum dtype compute;
    double logits, gradient; /* allowed rel L2 */
};
static const struct setting exact = {"ref", DT_F64, 1e-11, 1e-11};
static const struct setting guarded = {"guard", DT_F64, 1e-11, 1e-11};
static const struct setting fast = {"cpu", DT_F32, 2e-6, 1e-5};
static const struct setting plain = {"cpu-plain", DT_F32, 2e-6, 1e-5};

struct fixture {
    struct context *ctx;
    struct model *m;
    struct golden *g;
    struct batch b;
};

static void open_case(struct fixture *f, const char *name, const struct setting *s)
{
    char expect[128];
    snprintf(expect, sizeof expect, "%s.expect", name);
    f->ctx = util_context(s->device, s->compute, 2);
    f->m = golden_model(f->ctx, name);
    f->g = golden_open(expect);
    golden_batch(f->g, f->ctx, f->m->config.vocab_size, &f->b);
}

static void close_case(struct fixture *f)
{
    batch_free(&f->b);
    golden_close(f->g);
    model_release(f->m);
    util_context_free(f->ctx);
}

static void check_logits(struct fixture *f, const char *name, double limit)
{
    struct tensor *hidden, *logits;
    f->ctx->grad = false;
    CHECK(model_forward(f->m, &f->b, &hidden));
    CHECK(model_logits(f->m, hidden, NULL, &logits));
    golden_check(f->g, name, logits, limit);
    tensor_release(logits);
    tensor_release(hidden);
    f->ctx->grad = true;
}

static void check_loss(struct fixture *f, const char *name, double limit)
{
    struct tensor *loss;
    CHECK(model_loss(f->m, &f->b, 1.0 / (double)f->b.targets, 0, NULL, &loss));
    golden_check(f->g, name, loss, limit);
    CHECK(tensor_backward(loss, NULL));
    tensor_release(loss);
}

static struct lora *attach(struct fixture *f)
{
    struct lora_config c;
    const struct option *o;
    struct lora *l;
    CHECK(options_init(&lora_options, &c));
    c.r = (int64_t)golden_number(f->g, "lora.r");
    c.lora_alpha = golden_number(f->g, "lora.alpha");
    CHECK(options_find(&lora_options, "target_modules", &o));
    CHECK(options_parse(&lora_options, o, &c, "all-linear"));
    CHECK(lora_attach(f->m, &c, 1, &l));
    options_free(&lora_options, &c);
    golden_load_lora(f->g, l);
    return l;
}

static void lora_case(const char *name, const struct setting *s)
{
    struct fixture f;
    open_case(&f, name, s);
    check_logits(&f, "logits", s->logits);
    struct lora *l = attach(&f);
    check_logits(&f, "logits_lora", s->logits);
    check_loss(&f, "loss", s->logits);
    for (int64_t i = 0; i < l->count; i++) {
        char key[160];
        const char *module = golden_short(l->layers[i].module->name);
        snprintf(key, sizeof key, "grad.%s.A", module);
        golden_check(f.g, key, l->layers[i].term.a->grad, s->gradient);
        snprintf(key, sizeof key, "grad.%s.B", module);
        golden_check(f.g, key, l->layers[i].term.b->grad, s->gradient);
    }
    lora_enable(l, false);
    check_logits(&f, "logits", s->logits);
    close_case(&f);
}

static int make_trainable(void *ctx, const char *name, struct tensor *t)
{
    (void)ctx;
    (void)name;
    t->requires_grad = true;
    return OK;
}

struct full_check {
    struct golden *g;
    double limit;
    int seen;
};

static int check_full(void *ctx, const char *name, struct tensor *t)
{
    struct full_check *c = ctx;
    char key[160];
    snprintf(key, sizeof key, "full.%s", golden_short(name));
    golden_check(c->g, key, t->grad, c->limit);
    c->seen++;
    return OK;
}

static void full_case(const char *name, const struct setting *s)
{
    struct fixture f;
    open_case(&f, name, s);
    CHECK(model_walk(f.m, make_trainable, NULL));
    check_loss(&f, "full_loss", s->logits);
    struct full_check c = {f.g, s->gradient, 0};
    CHECK(model_walk(f.m, check_full, &c));
    assert_true(c.seen > 10);
    close_case(&f);
}

static void greedy_case(const char *name, const struct setting *s)
{
    struct fixture f;
    struct generation_config c;
    struct generator *gen;
    struct generate_event e;
    int64_t n, wanted_n;
    int32_t prompt[16];
    open_case(&f, name, s);
    const double *start = golden_get(f.g, "greedy_prompt", &n);
    for (int64_t i = 0; i < n; i++)
        prompt[i] = (int32_t)start[i];
    const double *wanted = golden_get(f.g, "greedy", &wanted_n);
    CHECK(options_init(&generation_options, &c));
    c.max_new_tokens = wanted_n;
    CHECK(generator_new(f.m, &c, 1, prompt, n, NULL, 0, &gen));
    for (int64_t i = 0;; i++) {
        CHECK(generator_next(gen, &e));
        if (e.kind == GENERATE_DONE) {
            assert_int_equal(i, wanted_n);
            break;
        }
        assert_int_equal(e.token, (int)wanted[i]);
    }
    generator_free(gen);
    options_free(&generation_options, &c);
    close_case(&f);
}

static void walk(void (*one)(const char *, const struct setting *), const struct setting *s)
{
    for (int i = 0; golden_models[i]; i++)
        one(golden_models[i], s);
}

#define CASE(kind, setting)                    \
    static void kind##_##setting(void **state) \
    {                                          \
        (void)state;                           \
        walk(kind##_case, &setting);           \
    }
CASE(lora, exact)
CASE(lora, guarded)
CASE(lora, fast)
CASE(lora, plain)
CASE(full, exact)
CASE(full, fast)
CASE(greedy, exact)
CASE(greedy, fast)

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(lora_exact, no_leak),
        cmocka_unit_test_teardown(lora_guarded, no_leak),
        cmocka_unit_test_teardown(lora_fast, no_leak),
        cmocka_unit_test_teardown(lora_plain, no_leak),
        cmocka_unit_test_teardown(full_exact, no_leak),
        cmocka_unit_test_teardown(full_fast, no_leak),
        cmocka_unit_test_teardown(greedy_exact, no_leak),
        cmocka_unit_test_teardown(greedy_fast, no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
