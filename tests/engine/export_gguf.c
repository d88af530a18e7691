/* export_gguf.c -- models and adapters as GGUF files: what is read back is what was written, keys
 * are those that llama.cpp looks for, and what cannot be said is refused. */
#include "engine/adapt/lora_gguf.h"
#include "engine/core/file.h"
#include "engine/formats/gguf_write.h"
#include "engine/model/gguf_names.h"
#include "engine/model/save_gguf.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/engine_util.h"
#include "tests/engine/shared_util.h"
#include "tests/engine/tiny_util.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Bytes 'a' to 'l' and a merge: fits the smallest vocabulary. */
static const char vocabulary[] =
    "{\"added_tokens\": [{\"id\": 13, \"content\": \"<|end|>\", \"special\": true}],"
    " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false,"
    " \"use_regex\": true}, \"decoder\": {\"type\": \"ByteLevel\"},"
    " \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"c\": 2, \"d\": 3, \"e\": 4,"
    " \"f\": 5, \"g\": 6, \"h\": 7, \"i\": 8, \"j\": 9, \"k\": 10, \"l\": 11, \"ab\": 12},"
    " \"merges\": [\"a b\"]}}";

static struct tokenizer *small_tokenizer(void)
{
    struct tokenizer *t = NULL;
    CHECK(tokenizer_from_json(vocabulary, sizeof vocabulary - 1, NULL, 0, &t));
    CHECK(tokenizer_set_special(t, TOKENIZER_EOS, 13));
    CHECK(tokenizer_set_chat_template(t, "{{ messages }}"));
    return t;
}

static struct model *open_model(struct context *ctx, const char *path)
{
    struct model *m = NULL;
    CHECK(model_load(ctx, path, NULL, &m));
    return m;
}

static int save(struct model *m, const char *path, const char *dtype, const struct tokenizer *t)
{
    return model_save_gguf(m, path, &(struct save_gguf_config){dtype, t});
}

static double *logits_of(struct model *m, int64_t *n)
{
    int32_t ids[9], positions[9], starts[2] = {0, 9};
    for (int i = 0; i < 9; i++) {
        ids[i] = (int32_t)((i * 7 + 3) % m->config.vocab_size);
        positions[i] = i;
    }
    struct batch_rows rows = {
        .tokens = 9, .sequences = 1, .ids = ids, .positions = positions, .starts = starts};
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

static double apart(struct model *a, struct model *b)
{
    int64_t n, k;
    double *x = logits_of(a, &n), *y = logits_of(b, &k);
    assert_int_equal(n, k);
    double rel = util_rel_l2(y, x, n);
    mem_free(x);
    mem_free(y);
    return rel;
}

static void text_is(struct gguf *g, const char *key, const char *wanted)
{
    const char *text;
    size_t length;
    CHECK(gguf_text(g, key, &text, &length));
    assert_int_equal(length, strlen(wanted));
    assert_memory_equal(text, wanted, length);
}

static void number_is(struct gguf *g, const char *key, double wanted, enum gguf_type type)
{
    double value;
    CHECK(gguf_float(g, key, &value));
    if (!(fabs(value - wanted) <= 1e-6 * fabs(wanted)))
        fail_msg("%s is %g, wanted %g", key, value, wanted);
    assert_int_equal(gguf_find(g, key)->type, type);
}

/* --- models ---------------------------------------------------------------------------------- */

static void every_model(void **state)
{
    (void)state;
    struct tokenizer *t = small_tokenizer();
    const char *path = temp_path("model.gguf");
    for (int i = 0; golden_models[i]; i++) {
        struct context *ctx = util_context("cpu", DT_F32, 1);
        struct model *m = golden_model(ctx, golden_models[i]);
        int status = save(m, path, NULL, t);
        if (!strcmp(golden_models[i], "llama_yarn_free")) {
            assert_int_equal(status, ERR_ARG);
            assert_non_null(strstr(status_message(), "truncate"));
        } else {
            CHECK(status);
            struct model *again = open_model(ctx, path);
            assert_true(apart(m, again) == 0);
            assert_int_equal(again->config.sliding_window, m->config.sliding_window);
            assert_int_equal(again->config.attention_bias, m->config.attention_bias);
            if (m->config.rope.kind != ROPE_DYNAMIC)
                assert_int_equal(again->config.rope.kind, m->config.rope.kind);
            model_release(again);
        }
        model_release(m);
        util_context_free(ctx);
    }
    CHECK(file_remove(path));
    tokenizer_free(t);
}

/* yarn's factor of cos and sin goes there and comes back. */
static void yarn_factor(void **state)
{
    (void)state;
    struct tokenizer *t = small_tokenizer();
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = golden_model(ctx, "llama_yarn"), *again;
    const char *path = temp_path("yarn.gguf");
    m->config.rope.attention_factor = 1.3;
    m->config.rope.beta_fast = 20;
    CHECK(save(m, path, NULL, t));
    again = open_model(ctx, path);
    assert_true(fabs(again->config.rope.attention_factor - 1.3) < 1e-6);
    assert_true(again->config.rope.beta_fast == 20);
    model_release(again);
    model_release(m);
    CHECK(file_remove(path));
    util_context_free(ctx);
    tokenizer_free(t);
}

static int copy_tensor(void *ctx, const struct gguf_write_entry *e, void *bytes)
{
    return gguf_read_tensor(ctx, gguf_find_tensor(ctx, e->name), bytes);
}

/* A copy of a file without the key 'left_out', with an f32 key more. */
static void change_key(const char *from, const char *to, const char *left_out, const char *key,
                       float value)
{
    struct gguf *g;
    struct gguf_write w = {0};
    struct gguf_write_entry entries[64] = {{0}};
    CHECK(gguf_open(from, &g));
    int64_t n = gguf_tensor_count(g);
    assert_true(n <= 64);
    for (int64_t i = 0; i < gguf_value_count(g); i++)
        if (strcmp(gguf_value(g, i)->key, left_out))
            gguf_write_copy(&w, gguf_value(g, i));
    if (key)
        gguf_write_f32(&w, key, value);
    for (int64_t i = 0; i < n; i++) {
        const struct gguf_tensor *t = gguf_tensor(g, i);
        entries[i] = (struct gguf_write_entry){.name = t->name, .type = t->type, .ndim = t->ndim};
        memcpy(entries[i].shape, t->shape, sizeof t->shape);
    }
    CHECK(gguf_write_save(&w, to, entries, n, copy_tensor, g));
    gguf_write_free(&w);
    gguf_close(g);
}

/* Older files have a factor and no type of scaling: linear. */
static void older_scaling(void **state)
{
    (void)state;
    static const char from[] = "tests/golden/llama_linear.gguf";
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = open_model(ctx, from), *old;
    const char *path = temp_path("old.gguf"), *older = temp_path("older.gguf");
    change_key(from, path, "llama.rope.scaling.type", NULL, 0);
    old = open_model(ctx, path);
    assert_int_equal(old->config.rope.kind, ROPE_LINEAR);
    assert_true(apart(m, old) == 0);
    model_release(old);
    change_key(path, older, "llama.rope.scaling.factor", "llama.rope.scale_linear", 4);
    old = open_model(ctx, older);
    assert_true(apart(m, old) == 0);
    model_release(old);
    change_key(path, older, "llama.rope.scaling.factor", NULL, 0);
    old = open_model(ctx, older);
    assert_int_equal(old->config.rope.kind, ROPE_DEFAULT);
    assert_true(apart(m, old) > 1e-4);
    model_release(old);
    model_release(m);
    CHECK(file_remove(path));
    CHECK(file_remove(older));
    util_context_free(ctx);
}

static void keys(void **state)
{
    (void)state;
    struct tokenizer *t = small_tokenizer();
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = golden_model(ctx, "llama_llama3");
    const char *path = temp_path("keys.gguf");
    struct gguf *g;
    struct gguf_list list;
    const char *text;
    size_t length;
    CHECK(save(m, path, "bf16", t));
    CHECK(gguf_open(path, &g));
    text_is(g, "general.architecture", "llama");
    text_is(g, "general.type", "model");
    number_is(g, "general.file_type", 32, GGUF_U32);
    number_is(g, "general.quantization_version", 2, GGUF_U32);
    number_is(g, "llama.block_count", 2, GGUF_U32);
    number_is(g, "llama.attention.key_length", 16, GGUF_U32);
    number_is(g, "llama.attention.layer_norm_rms_epsilon", 1e-5, GGUF_F32);
    number_is(g, "llama.rope.freq_base", 10000, GGUF_F32);
    text_is(g, "tokenizer.ggml.model", "gpt2");
    text_is(g, "tokenizer.ggml.pre", "gpt-2");
    text_is(g, "tokenizer.chat_template", "{{ messages }}");
    number_is(g, "tokenizer.ggml.eos_token_id", 13, GGUF_U32);
    assert_null(gguf_find(g, "tokenizer.ggml.bos_token_id"));
    CHECK(gguf_list_of_text(g, "tokenizer.ggml.tokens", &list));
    assert_int_equal(list.left, 37);
    for (int i = 0; i <= 14; i++)
        gguf_list_text(&list, &text, &length);
    assert_int_equal(length, 7);
    assert_memory_equal(text, "[PAD14]", 7);
    CHECK(gguf_list_of_int(g, "tokenizer.ggml.token_type", &list));
    int64_t types[37];
    for (int i = 0; i < 37; i++)
        types[i] = gguf_list_int(&list);
    assert_true(types[0] == 1 && types[12] == 1 && types[13] == 3 && types[14] == 5);
    CHECK(gguf_list_of_text(g, "tokenizer.ggml.merges", &list));
    assert_int_equal(list.left, 1);
    gguf_list_text(&list, &text, &length);
    assert_memory_equal(text, "a b", 3);
    int64_t at = gguf_find_tensor(g, "rope_freqs.weight");
    assert_true(at >= 0 && gguf_tensor(g, at)->shape[0] == 8 && gguf_tensor(g, at)->type == 0);
    at = gguf_find_tensor(g, "blk.1.attn_norm.weight");
    assert_int_equal(gguf_tensor(g, at)->type, 0);
    at = gguf_find_tensor(g, "blk.1.attn_q.weight");
    assert_int_equal(gguf_tensor(g, at)->type, 30);
    gguf_close(g);
    model_release(m);
    CHECK(file_remove(path));
    util_context_free(ctx);
    tokenizer_free(t);
}

static int type_of(const char *path, const char *name)
{
    struct gguf *g;
    CHECK(gguf_open(path, &g));
    int64_t at = gguf_find_tensor(g, name);
    assert_true(at >= 0);
    int type = gguf_tensor(g, at)->type;
    gguf_close(g);
    return type;
}

/* Blocks of 32 where rows are whole blocks, f16 where not; the matrix of logits is finer. */
static void blocks(void **state)
{
    (void)state;
    struct tokenizer *t = small_tokenizer();
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = golden_model(ctx, "llama_tied_gqa"), *again; /* hidden 32, MLP 80 */
    const char *path = temp_path("blocks.gguf");
    CHECK(save(m, path, "q8_0", t));
    assert_int_equal(type_of(path, "blk.0.attn_q.weight"), 8);
    assert_int_equal(type_of(path, "token_embd.weight"), 8);
    assert_int_equal(type_of(path, "blk.0.ffn_down.weight"), 1);
    again = open_model(ctx, path);
    double q8 = apart(m, again);
    assert_true(q8 > 0 && q8 < 0.02);
    /* a block format as it is: to the bit, through the order of rows and back */
    const char *copy = temp_path("copy.gguf");
    CHECK(save(again, copy, NULL, NULL));
    struct model *third = open_model(ctx, copy);
    assert_true(apart(again, third) == 0);
    assert_int_equal(type_of(copy, "blk.0.attn_q.weight"), 8);
    model_release(third);
    model_release(again);
    CHECK(save(m, path, "q4_0", t));
    assert_int_equal(type_of(path, "blk.0.attn_q.weight"), 2);
    assert_int_equal(type_of(path, "token_embd.weight"), 8);
    again = open_model(ctx, path);
    double q4 = apart(m, again);
    assert_true(q4 > q8 && q4 < 0.3);
    model_release(again);
    model_release(m);
    CHECK(file_remove(path));
    CHECK(file_remove(copy));
    util_context_free(ctx);
    tokenizer_free(t);
}

/* --- refusals and faults --------------------------------------------------------------------- */

static void expect_refused(int status, int code, const char *says)
{
    if (status != code || !strstr(status_message(), says))
        fail_msg("status %d: '%s', wanted '%s'", status, status_message(), says);
}

static void refused(void **state)
{
    (void)state;
    struct tokenizer *t = small_tokenizer();
    struct context *ctx = util_context("cpu", DT_F32, 1);
    const char *path = temp_path("refused.gguf");
    struct model *m = golden_model(ctx, "llama_tied_gqa");
    expect_refused(save(m, path, NULL, NULL), ERR_ARG, "tokenizer = tokenizer");
    expect_refused(save(m, path, "q9", t), ERR_ARG, "q9");
    CHECK(save(m, path, NULL, t));
    model_release(m);
    m = open_model(ctx, path);
    expect_refused(save(m, path, "f16", t), ERR_ARG, "opened from there");
    model_release(m);
    m = tiny_model(ctx, &(struct tiny_options){0}); /* 13 rows, 14 tokens */
    expect_refused(save(m, path, NULL, t), ERR_ARG, "13");
    assert_non_null(tiny_lora(m, "q_proj", 0, 1));
    expect_refused(save(m, path, NULL, t), ERR_ARG, "save_adapter_gguf");
    model_release(m);
    CHECK(file_remove(path));
    util_context_free(ctx);
    tokenizer_free(t);
}

static void every_call(void **state)
{
    (void)state;
    struct tokenizer *t = small_tokenizer();
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = golden_model(ctx, "llama_linear");
    char path[512];
    snprintf(path, sizeof path, "%s/fault.gguf", temp_folder());
    CHECK(save(m, path, "f32", t));
    for (int64_t n = 1;; n++) {
        file_fail_at(n, n % 2 ? EIO : ENOSPC);
        int status = save(m, path, "f16", t);
        int64_t calls = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        if (status && !strstr(status_message(), "fault.gguf") &&
            !strstr(status_message(), "llama_linear.gguf") &&
            !strstr(status_message(), temp_folder()))
            fail_msg("call %d: '%s' names no path", (int)n, status_message());
        /* the last call syncs the folder, when the new file is there already */
        struct model *found = open_model(ctx, path);
        if (!status)
            assert_string_equal(found->embedding->linear.weight->format->name, "f16");
        model_release(found);
        CHECK(save(m, path, "f32", t));
        if (calls < n) {
            assert_int_equal(status, OK);
            break;
        }
    }
    model_release(m);
    CHECK(file_remove(path));
    util_context_free(ctx);
    tokenizer_free(t);
}

struct memory_work {
    struct model *m;
    struct tokenizer *t;
    char path[512];
};

static int save_once(void *ctx)
{
    struct memory_work *w = ctx;
    return save(w->m, w->path, "f16", w->t);
}

static void no_memory(void **state)
{
    (void)state;
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct memory_work w = {golden_model(ctx, "llama_llama3"), small_tokenizer(), ""};
    snprintf(w.path, sizeof w.path, "%s/memory.gguf", temp_folder());
    CHECK(save_once(&w)); /* the context's own buffers are there now */
    memory_sweep(save_once, &w);
    CHECK(file_remove(w.path));
    model_release(w.m);
    tokenizer_free(w.t);
    util_context_free(ctx);
}

/* --- adapters -------------------------------------------------------------------------------- */

static float *read_floats(struct gguf *g, const char *name, int64_t rows, int64_t cols)
{
    int64_t at = gguf_find_tensor(g, name);
    if (at < 0)
        fail_msg("no tensor %s", name);
    const struct gguf_tensor *t = gguf_tensor(g, at);
    assert_true(t->type == 0 && t->ndim == 2 && t->shape[0] == rows && t->shape[1] == cols);
    float *values = mem_alloc(t->bytes);
    CHECK(gguf_read_tensor(g, at, values));
    return values;
}

/* alpha / r times B A of the file, rows put back, is the adapter's own. */
static void check_layer(struct gguf *g, const struct model *m, const struct lora_layer *layer,
                        double alpha)
{
    char full[160], base[64], name[80];
    bool heads, table = layer->module->kind == MODULE_EMBEDDING;
    struct tensor *ta = layer->term.a, *tb = layer->term.b;
    int64_t r = layer->r, in = ta->view.shape[1], out = tb->view.shape[0];
    snprintf(full, sizeof full, "%s.weight", layer->module->name);
    assert_true(gguf_name_of(full, base, sizeof base, &heads));
    snprintf(name, sizeof name, "%s.lora_a", base);
    float *a = table ? read_floats(g, name, in, r) : read_floats(g, name, r, in);
    snprintf(name, sizeof name, "%s.lora_b", base);
    float *b = read_floats(g, name, out, r), *rows = mem_alloc((size_t)(out * r) * sizeof *rows);
    memcpy(rows, b, (size_t)(out * r) * sizeof *rows);
    if (heads)
        gguf_rows_from_file((char *)b, (char *)rows, out, (size_t)r * sizeof *b,
                            m->config.head_dim);
    double *mine_a = mem_alloc((size_t)(r * in) * sizeof *mine_a),
           *mine_b = mem_alloc((size_t)(out * r) * sizeof *mine_b);
    CHECK(tensor_read_double(ta, mine_a));
    CHECK(tensor_read_double(tb, mine_b));
    for (int64_t i = 0; i < out; i++)
        for (int64_t j = 0; j < in; j++) {
            double got = 0, wanted = 0;
            for (int64_t k = 0; k < r; k++) {
                got += alpha / (double)r * (double)rows[i * r + k] *
                       (double)(table ? a[j * r + k] : a[k * in + j]);
                wanted += layer->term.scale * mine_b[i * r + k] * mine_a[k * in + j];
            }
            if (!(fabs(got - wanted) <= 1e-5))
                fail_msg("%s [%d, %d]: %g, wanted %g", name, (int)i, (int)j, got, wanted);
        }
    mem_free(a);
    mem_free(b);
    mem_free(rows);
    mem_free(mine_a);
    mem_free(mine_b);
}

static struct lora *adapter(struct model *m, const char *const *settings)
{
    struct lora_config c;
    struct lora *l;
    CHECK(options_init(&lora_options, &c));
    for (int i = 0; settings[i]; i += 2) {
        const struct option *o;
        CHECK(options_find(&lora_options, settings[i], &o));
        CHECK(options_parse(&lora_options, o, &c, settings[i + 1]));
    }
    CHECK(lora_config_check(&c));
    CHECK(lora_attach(m, &c, 3, &l));
    options_free(&lora_options, &c);
    return l;
}

static void adapters(void **state)
{
    (void)state;
    static const char *const settings[][16] = {
        {"r", "2", "lora_alpha", "3", "init_lora_weights", "false", "target_modules", "all-linear"},
        {"r", "4", "lora_alpha", "8", "init_lora_weights", "false", "use_rslora", "true",
         "target_modules", "q_proj,embed_tokens"},
        {"r", "2", "lora_alpha", "0", "init_lora_weights", "false", "target_modules", "k_proj"},
    };
    const char *path = temp_path("adapter.gguf");
    for (int i = 0; i < COUNT_OF(settings); i++) {
        struct context *ctx = util_context("cpu", DT_F32, 1);
        struct model *m = golden_model(ctx, "llama_untied_headdim");
        struct lora *l = adapter(m, settings[i]);
        struct gguf *g;
        double alpha;
        CHECK(lora_save_gguf(l, path));
        CHECK(gguf_open(path, &g));
        text_is(g, "general.type", "adapter");
        text_is(g, "adapter.type", "lora");
        text_is(g, "general.architecture", "llama");
        CHECK(gguf_float(g, "adapter.lora.alpha", &alpha));
        assert_true(alpha > 0);
        assert_int_equal(gguf_tensor_count(g), 2 * l->count);
        for (int64_t k = 0; k < l->count; k++)
            check_layer(g, m, &l->layers[k], alpha);
        gguf_close(g);
        model_release(m);
        util_context_free(ctx);
    }
    CHECK(file_remove(path));
}

static void adapters_refused(void **state)
{
    (void)state;
    static const char *const saved[] = {"target_modules", "q_proj", "modules_to_save", "lm_head",
                                        NULL};
    static const char *const head[] = {"target_modules", "q_proj,lm_head", NULL};
    static const char *const table[] = {"target_modules", "embed_tokens", NULL};
    const char *path = temp_path("refused.gguf");
    struct context *ctx = util_context("cpu", DT_F32, 1);
    struct model *m = golden_model(ctx, "llama_untied_mha");
    expect_refused(lora_save_gguf(adapter(m, saved), path), ERR_ARG, "modules_to_save");
    lora_detach(m);
    CHECK(lora_save_gguf(adapter(m, head), path));
    lora_detach(m);
    struct lora *l = tiny_lora(m, "q_proj", 0, 1);
    CHECK(tensor_fill(l->layers[0].term.b, NAN));
    expect_refused(lora_save_gguf(l, path), ERR_NUMERIC, "lora_B");
    model_release(m);
    m = golden_model(ctx, "llama_tied_gqa");
    expect_refused(lora_save_gguf(adapter(m, head), path), ERR_ARG, "tied");
    lora_detach(m);
    expect_refused(lora_save_gguf(adapter(m, table), path), ERR_ARG, "tied");
    model_release(m);
    CHECK(file_remove(path));
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
        cmocka_unit_test_teardown(yarn_factor, no_leak),
        cmocka_unit_test_teardown(older_scaling, no_leak),
        cmocka_unit_test_teardown(keys, no_leak),
        cmocka_unit_test_teardown(blocks, no_leak),
        cmocka_unit_test_teardown(refused, no_leak),
        cmocka_unit_test_teardown(every_call, no_leak),
        cmocka_unit_test_teardown(no_memory, no_leak),
        cmocka_unit_test_teardown(adapters, no_leak),
        cmocka_unit_test_teardown(adapters_refused, no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
