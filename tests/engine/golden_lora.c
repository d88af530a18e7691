/* golden_lora.c -- every option of LoraConfig against PEFT, in f64 on ref and in f32 on cpu.
 *
 * Fixtures: scripts/golden/lora_features.py. Logits, loss and every gradient with rank_pattern,
 * alpha_pattern, rsLoRA, saved modules, biases, embedding and head as targets, patterns and layer
 * numbers, on a tied and an untied model. */
#include "engine/adapt/lora_files.h"
#include "engine/adapt/merge.h"
#include "engine/tensor/autograd.h"
#include "kernels/base/mem.h"
#include "tests/engine/engine_util.h"

#include <stdio.h>
#include <string.h>

struct setting {
    const char *device;
    enum dtype compute;
    double logits, gradient, merged; /* allowed rel L2 */
};
static const struct setting exact = {"ref", DT_F64, 1e-11, 1e-11, 1e-13};
static const struct setting guarded = {"guard", DT_F64, 1e-11, 1e-11, 1e-13};
static const struct setting fast = {"cpu", DT_F32, 2e-6, 1e-5, 1e-6};

struct fixture {
    struct context *ctx;
    struct golden *g;
    struct model *m;
    struct lora *l;
    struct batch b;
    const struct setting *s;
    char name[16]; /* "c3" */
    int seen;
};

/* "r=3;target_modules=q_proj,v_proj" */
static void read_options(const char *text, struct lora_config *c)
{
    char copy[512], *save = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *item = strtok_r(copy, ";", &save); item; item = strtok_r(NULL, ";", &save)) {
        const struct option *o;
        char *equals = strchr(item, '=');
        assert_non_null(equals);
        *equals = '\0';
        CHECK(options_find(&lora_options, item, &o));
        CHECK(options_parse(&lora_options, o, c, equals + 1));
    }
}

static void key_of(const struct fixture *f, const char *kind, const char *name, char *out,
                   size_t bytes)
{
    name += strlen("base_model.model.");
    if (!strncmp(name, "model.", 6))
        name += 6;
    snprintf(out, bytes, "%s.%s.%s", f->name, kind, name);
}

static int fill(void *ctx, const struct lora_entry *e)
{
    struct fixture *f = ctx;
    char key[200];
    int64_t n;
    struct tensor *wide, *t = *e->tensor;
    key_of(f, "v", e->file, key, sizeof key);
    const double *values = golden_get(f->g, key, &n);
    assert_int_equal(n, tensor_count(t));
    CHECK(tensor_new_like(t, DT_F64, &wide));
    CHECK(tensor_write(wide, values));
    CHECK(RUN(f->ctx, copy, .dst = t->view, .src = wide->view));
    tensor_release(wide);
    f->seen++;
    return OK;
}

static int check_gradient(void *ctx, const struct lora_entry *e)
{
    struct fixture *f = ctx;
    char key[200];
    assert_true((*e->tensor)->requires_grad);
    assert_non_null((*e->tensor)->grad);
    key_of(f, "g", e->file, key, sizeof key);
    golden_check(f->g, key, (*e->tensor)->grad, f->s->gradient);
    return OK;
}

static void open_case(struct fixture *f, const char *fixture, int i, const struct setting *s)
{
    char path[128], base[64], options[512], key[32];
    struct lora_config c;
    *f = (struct fixture){.s = s};
    snprintf(f->name, sizeof f->name, "c%d", i);
    f->ctx = util_context(s->device, s->compute, 2);
    f->g = golden_open(fixture);
    snprintf(path, sizeof path, "tests/golden/%s", golden_text(f->g, "model", base, sizeof base));
    CHECK(model_load(f->ctx, path, NULL, &f->m));
    golden_batch(f->g, f->ctx, f->m->config.vocab_size, &f->b);
    snprintf(key, sizeof key, "c%d.options", i);
    CHECK(options_init(&lora_options, &c));
    read_options(golden_text(f->g, key, options, sizeof options), &c);
    CHECK(lora_attach(f->m, &c, 1, &f->l));
    options_free(&lora_options, &c);
    CHECK(lora_entries(f->l, fill, f));
}

static void close_case(struct fixture *f)
{
    batch_free(&f->b);
    golden_close(f->g);
    model_release(f->m);
    util_context_free(f->ctx);
}

static struct tensor *logits_of(struct fixture *f)
{
    struct tensor *hidden, *logits;
    f->ctx->grad = false;
    CHECK(model_forward(f->m, &f->b, &hidden));
    CHECK(model_logits(f->m, hidden, NULL, &logits));
    tensor_release(hidden);
    f->ctx->grad = true;
    return logits;
}

static void check_case(struct fixture *f)
{
    char key[32];
    struct tensor *loss, *logits = logits_of(f);
    snprintf(key, sizeof key, "%s.logits", f->name);
    golden_check(f->g, key, logits, f->s->logits);
    tensor_release(logits);
    snprintf(key, sizeof key, "%s.loss", f->name);
    CHECK(model_loss(f->m, &f->b, 1.0 / (double)f->b.targets, 0, NULL, &loss));
    golden_check(f->g, key, loss, f->s->logits);
    CHECK(tensor_backward(loss, NULL));
    tensor_release(loss);
    CHECK(lora_entries(f->l, check_gradient, f));
}

/* Merged = unmerged, unmerged again = the same bits, and after unloading still merged. */
static void check_merge(struct fixture *f)
{
    enum { ROOM = 4096 };
    static double before[ROOM], merged[ROOM], after[ROOM];
    struct merge_options o = {0};
    struct merge_report report;
    struct tensor *t = logits_of(f);
    int64_t n = tensor_count(t);
    bool tied = f->m->config.tie_word_embeddings;
    assert_true(n <= ROOM);
    CHECK(tensor_read_double(t, before));
    tensor_release(t);
    CHECK(merge_adapter(f->m, &o, &report));
    bool one = f->m->head->linear.weight == f->m->embedding->linear.weight;
    assert_int_equal(f->m->head->tied, one); /* a head of its own is walked and saved */
    assert_int_equal(f->m->config.tie_word_embeddings, one);
    assert_int_equal(report.untied, tied && !one);
    t = logits_of(f);
    CHECK(tensor_read_double(t, merged));
    tensor_release(t);
    double distance = util_rel_l2(merged, before, n);
    if (!(distance <= f->s->merged))
        fail_msg("%s: merged differs by %g", f->name, distance);
    assert_int_equal(merge_adapter(f->m, &o, &report), ERR_ARG);
    merge_undo(lora_set_of(f->m));
    assert_int_equal(f->m->config.tie_word_embeddings, tied);
    assert_int_equal(f->m->head->tied, tied);
    t = logits_of(f);
    CHECK(tensor_read_double(t, after));
    tensor_release(t);
    assert_memory_equal(before, after, (size_t)n * sizeof *before);
    CHECK(merge_and_unload(f->m, &o, &report));
    assert_null(lora_of(f->m));
    assert_true(report.weights > 0);
    t = logits_of(f);
    CHECK(tensor_read_double(t, after));
    tensor_release(t);
    assert_memory_equal(merged, after, (size_t)n * sizeof *before);
}

static void walk(const char *fixture, const struct setting *s)
{
    struct golden *g = golden_open(fixture);
    int cases = (int)golden_number(g, "cases");
    golden_close(g);
    assert_true(cases >= 6);
    for (int i = 0; i < cases; i++) {
        struct fixture f;
        open_case(&f, fixture, i, s);
        check_case(&f);
        check_merge(&f);
        close_case(&f);
    }
}

#define CASE(fixture, setting)                    \
    static void fixture##_##setting(void **state) \
    {                                             \
        (void)state;                              \
        walk(#fixture ".expect", &setting);       \
    }
CASE(lora_untied, exact)
CASE(lora_untied, guarded)
CASE(lora_untied, fast)
CASE(lora_tied, exact)
CASE(lora_tied, guarded)
CASE(lora_tied, fast)

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
        TEST(lora_untied_exact), TEST(lora_untied_guarded), TEST(lora_untied_fast),
        TEST(lora_tied_exact),   TEST(lora_tied_guarded),   TEST(lora_tied_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
