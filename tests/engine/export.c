/* export.c -- whole models written to folders: what comes back is bit for bit what was saved, and a
 * save that fails leaves the old folder as it was. */
#include "engine/model/export.h"
#include "engine/core/file.h"
#include "engine/formats/safetensors.h"
#include "engine/model/config_json.h"
#include "engine/model/save.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/engine_util.h"
#include "tests/engine/shared_util.h"
#include "tests/engine/tiny_util.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct model *open_model(struct context *ctx, const char *path, const char *dtype)
{
    struct model *m = NULL;
    CHECK(model_load(ctx, path, dtype, &m));
    return m;
}

static int save_to(struct model *m, const char *folder, const char *dtype, const char *shard)
{
    struct save_config c = {dtype, shard};
    return model_save(m, folder, &c, NULL);
}

#define TOKENS 9

static double *logits_of(struct model *m, int64_t *n)
{
    int32_t ids[TOKENS], positions[TOKENS], starts[2] = {0, TOKENS};
    for (int i = 0; i < TOKENS; i++) {
        ids[i] = (int32_t)((i * 7 + 3) % m->config.vocab_size);
        positions[i] = i;
    }
    struct batch_rows rows = {
        .tokens = TOKENS, .sequences = 1, .ids = ids, .positions = positions, .starts = starts};
    struct batch b;
    struct tensor *hidden, *logits;
    CHECK(batch_from(m->ctx, &rows, m->config.vocab_size, &b));
    m->ctx->grad = false;
    CHECK(model_forward(m, &b, &hidden));
    CHECK(model_logits(m, hidden, NULL, &logits));
    *n = tensor_count(logits);
    double *out = mem_alloc((size_t)*n * sizeof *out);
    CHECK(tensor_read_double(logits, out));
    tensor_release(logits);
    tensor_release(hidden);
    batch_free(&b);
    return out;
}

/* Equal logits; rel 0 = bit for bit. */
static void same_logits(struct model *a, struct model *b, double rel)
{
    int64_t n, k;
    double *x = logits_of(a, &n), *y = logits_of(b, &k);
    assert_int_equal(n, k);
    if (rel == 0)
        assert_memory_equal(x, y, (size_t)n * sizeof *x);
    else
        assert_true(util_rel_l2(y, x, n) <= rel);
    mem_free(x);
    mem_free(y);
}

static char *text_of(const char *folder, const char *name)
{
    char path[600], *bytes;
    size_t length;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(file_read(path, 0, &bytes, &length));
    return bytes;
}

/* --- there and back -------------------------------------------------------------------------- */

static void every_model(void **state)
{
    (void)state;
    const char *folder = temp_path("out");
    for (int i = 0; golden_models[i]; i++) {
        struct context *ctx = util_context("cpu", DT_F32, 1);
        struct model *m = golden_model(ctx, golden_models[i]);
        CHECK(save_to(m, folder, NULL, NULL));
        struct model *again = open_model(ctx, folder, NULL);
        same_logits(m, again, 0);
        assert_int_equal(again->config.rope.kind, m->config.rope.kind);
        assert_int_equal(again->config.sliding_window, m->config.sliding_window);
        assert_int_equal(again->config.attention_bias, m->config.attention_bias);
        assert_int_equal(again->head->tied, m->head->tied);
        model_release(again);
        model_release(m);
        util_context_free(ctx);
    }
    CHECK(file_remove_folder(folder));
}

/* A folder saved again is the same to the byte, config.json with it. */
static void same_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "model.safetensors"};
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = open_model(ctx, "tests/golden/llama_dynamic", NULL);
    const char *folder = temp_path("same");
    CHECK(save_to(m, folder, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        char a[600], *x, *y;
        size_t n, k;
        snprintf(a, sizeof a, "%s/%s", folder, names[i]);
        CHECK(file_read(a, 0, &x, &n));
        snprintf(a, sizeof a, "tests/golden/llama_dynamic/%s", names[i]);
        CHECK(file_read(a, 0, &y, &k));
        assert_int_equal(n, k);
        assert_memory_equal(x, y, n);
        mem_free(x);
        mem_free(y);
    }
    CHECK(file_remove_folder(folder));
    model_release(m);
    util_context_free(ctx);
}

static void types(void **state)
{
    (void)state;
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = open_model(ctx, "tests/golden/mistral_window", NULL);
    char narrow[512], again[512];
    snprintf(narrow, sizeof narrow, "%s/narrow", temp_folder());
    snprintf(again, sizeof again, "%s/again", temp_folder());
    CHECK(save_to(m, narrow, "bfloat16", NULL));
    char *text = text_of(narrow, "config.json");
    assert_non_null(strstr(text, "\"dtype\": \"bfloat16\""));
    assert_non_null(strstr(text, "\"initializer_range\": 0.02"));
    assert_non_null(strstr(text, "\"transformers_version\": \"5.23.0\""));
    mem_free(text);
    struct model *half = open_model(ctx, narrow, NULL);
    assert_string_equal(half->embedding->linear.weight->format->name, "bf16");
    assert_string_equal(half->config.dtype, "bfloat16");
    same_logits(m, half, 0.05);
    /* vectors, which are f32 in memory, go back to bf16: the files are equal */
    CHECK(save_to(half, again, NULL, NULL));
    struct safetensors *s;
    char path[600];
    snprintf(path, sizeof path, "%s/model.safetensors", again);
    CHECK(safetensors_open(path, &s));
    assert_string_equal(safetensors_meta(s, "format"), "pt");
    for (int64_t i = 0; i < safetensors_count(s); i++)
        assert_string_equal(safetensors_tensor(s, i)->dtype, "BF16");
    assert_int_equal(safetensors_find(s, "lm_head.weight"), -1);
    safetensors_close(s);
    struct model *same = open_model(ctx, again, NULL);
    same_logits(half, same, 0);
    model_release(same);
    model_release(half);
    model_release(m);
    CHECK(file_remove_folder(narrow));
    CHECK(file_remove_folder(again));
    util_context_free(ctx);
}

/* --- several files --------------------------------------------------------------------------- */

static void shards(void **state)
{
    (void)state;
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = open_model(ctx, "tests/golden/llama_untied_mha.gguf", NULL), *again;
    struct save_config c = {NULL, "20KB"};
    const char *folder = temp_path("cut");
    char path[600];
    int64_t files;
    CHECK(save_to(m, folder, NULL, NULL)); /* what must not stay: one whole file */
    CHECK(model_save(m, folder, &c, &files));
    assert_true(files >= 4);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_false(file_exists(path));
    snprintf(path, sizeof path, "%s/model-00001-of-%05d.safetensors", folder, (int)files);
    assert_true(file_exists(path));
    char *index = text_of(folder, "model.safetensors.index.json");
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"total_size\": %d\n", 4 * (int)model_parameters(m));
    assert_non_null(strstr(index, wanted));
    assert_non_null(strstr(index, "\"lm_head.weight\": \"model-000"));
    mem_free(index);
    again = open_model(ctx, folder, NULL);
    same_logits(m, again, 0);
    model_release(again);
    c.max_shard_size = "1"; /* each tensor alone */
    CHECK(model_save(m, folder, &c, &files));
    assert_int_equal(files, 7 * 3 + 2 * 3 + 3);
    again = open_model(ctx, folder, NULL);
    same_logits(m, again, 0);
    model_release(again);
    CHECK(save_to(m, folder, NULL, "5GB"));
    struct file_names names;
    CHECK(file_list(folder, &names));
    assert_int_equal(names.count, 3); /* config, generation_config, model.safetensors */
    file_names_free(&names);
    CHECK(file_remove_folder(folder));
    model_release(m);
    util_context_free(ctx);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"5GB", 5000000000}, {"200MB", 200000000}, {"1GiB", 1073741824}, {"1.5 KB", 1500},
                {"1000", 1000},      {"2kib", 2048},       {"10 B", 10}};
    static const char *const bad[] = {"", "GB", "0", "-1GB", "5XB", "nan", "inf", "1e30GB", "5GBs"};
    int64_t n;
    for (int i = 0; i < COUNT_OF(good); i++) {
        CHECK(export_parse_size("s", good[i].text, &n));
        assert_int_equal(n, good[i].bytes);
    }
    for (int i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(export_parse_size("max_shard_size", bad[i], &n), ERR_ARG);
}

/* --- refusals -------------------------------------------------------------------------------- */

static void expect_refused(struct model *m, const char *folder, const char *dtype, int code,
                           const char *says)
{
    int status = save_to(m, folder, dtype, NULL);
    if (status != code || !strstr(status_message(), says))
        fail_msg("status %d: '%s', wanted '%s'", status, status_message(), says);
}

static void refused(void **state)
{
    (void)state;
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = tiny_model(ctx, &(struct tiny_options){.layers = 1});
    const char *folder = temp_path("refused"), *link = temp_path("link");
    expect_refused(m, folder, "int3", ERR_ARG, "int3");
    double nan = NAN;
    struct tensor *w = m->modules[3].linear.weight;
    float *values = mem_alloc(tensor_bytes(w)), old;
    CHECK(tensor_read(w, values));
    old = values[5];
    values[5] = (float)nan;
    CHECK(tensor_write(w, values));
    expect_refused(m, folder, NULL, ERR_NUMERIC, m->modules[3].name);
    values[5] = 1e6f;
    CHECK(tensor_write(w, values));
    expect_refused(m, folder, "float16", ERR_NUMERIC, "out of the range of f16");
    CHECK(save_to(m, folder, "bfloat16", NULL));
    values[5] = old;
    CHECK(tensor_write(w, values));
    mem_free(values);
    struct lora *l = tiny_lora(m, "q_proj", 0, 1);
    assert_non_null(l);
    expect_refused(m, folder, NULL, ERR_ARG, "merge_and_unload");
    model_release(m);
    /* not over the files it came from, under whatever name */
    m = open_model(ctx, folder, NULL);
    expect_refused(m, folder, NULL, ERR_ARG, "opened from there");
    assert_int_equal(symlink(folder, link), 0);
    expect_refused(m, link, NULL, ERR_ARG, "opened from there");
    model_release(m);
    char file[600];
    snprintf(file, sizeof file, "%s/model.safetensors", folder);
    m = open_model(ctx, file, NULL);
    expect_refused(m, folder, NULL, ERR_ARG, "opened from there");
    model_release(m);
    CHECK(file_remove(link));
    CHECK(file_remove_folder(folder));
    util_context_free(ctx);
}

static void blocks_want_a_type(void **state)
{
    (void)state;
    const char *path = demo_model_path(), *folder = temp_path("demo");
    if (!path)
        skip();
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = open_model(ctx, path, NULL);
    expect_refused(m, folder, NULL, ERR_ARG, "say dtype");
    assert_false(file_exists(folder));
    model_release(m);
    util_context_free(ctx);
}

static void interrupted(void **state)
{
    (void)state;
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = tiny_model(ctx, &(struct tiny_options){0});
    volatile int pressed = 1;
    const char *folder = temp_path("stopped");
    m->cancel = &pressed;
    expect_refused(m, folder, NULL, ERR_CANCELLED, "interrupted");
    assert_false(file_exists(folder));
    m->cancel = NULL;
    model_release(m);
    util_context_free(ctx);
}

/* --- faults ---------------------------------------------------------------------------------- */

/* Bytes of the weights file tell the old save from the new one. */
static int64_t weight_bytes(const char *folder)
{
    char path[600];
    struct file *f;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (!file_exists(path))
        return -1;
    CHECK(file_open(path, &f));
    int64_t n = file_size(f);
    file_close(f);
    return n;
}

static void every_call(void **state)
{
    (void)state;
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = tiny_model(ctx, &(struct tiny_options){.layers = 1});
    char folder[512];
    snprintf(folder, sizeof folder, "%s/faults", temp_folder());
    CHECK(save_to(m, folder, "bfloat16", NULL));
    int64_t old = weight_bytes(folder), new = -1;
    for (int64_t n = 1;; n++) {
        status_clear();
        file_fail_at(n, n % 3 ? EIO : ENOSPC);
        int status = save_to(m, folder, "float32", NULL);
        int64_t calls = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        if (status) {
            if (!strstr(status_message(), "faults"))
                fail_msg("call %d: '%s' names no path", (int)n, status_message());
            assert_int_equal(weight_bytes(folder), old);
            char *config = text_of(folder, "config.json");
            assert_non_null(strstr(config, "\"bfloat16\""));
            mem_free(config);
        } else {
            new = weight_bytes(folder);
            assert_true(new > old);
            CHECK(save_to(m, folder, "bfloat16", NULL));
            assert_int_equal(weight_bytes(folder), old);
        }
        if (calls < n)
            break;
    }
    assert_true(new > 0);
    CHECK(file_remove_folder(folder));
    model_release(m);
    util_context_free(ctx);
}

struct memory_work {
    struct model *m;
    char folder[512];
};

static int save_once(void *ctx)
{
    struct memory_work *w = ctx;
    return save_to(w->m, w->folder, "bfloat16", NULL);
}

static void no_memory(void **state)
{
    (void)state;
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct memory_work w = {tiny_model(ctx, &(struct tiny_options){.layers = 1}), ""};
    snprintf(w.folder, sizeof w.folder, "%s/memory", temp_folder());
    CHECK(save_once(&w)); /* the context's own buffers are there now */
    memory_sweep(save_once, &w);
    CHECK(file_remove_folder(w.folder));
    model_release(w.m);
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
        cmocka_unit_test_teardown(every_model, no_leak),
        cmocka_unit_test_teardown(same_bytes, no_leak),
        cmocka_unit_test_teardown(types, no_leak),
        cmocka_unit_test_teardown(shards, no_leak),
        cmocka_unit_test(sizes),
        cmocka_unit_test_teardown(refused, no_leak),
        cmocka_unit_test_teardown(blocks_want_a_type, no_leak),
        cmocka_unit_test_teardown(interrupted, no_leak),
        cmocka_unit_test_teardown(every_call, no_leak),
        cmocka_unit_test_teardown(no_memory, no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
