/* lora_files.c -- adapters as folders: out and in again, PEFT's names old and new, what does not fit,
 * broken files, and every file call and allocation failing once. */
#include "engine/adapt/lora_files.h"
#include "engine/adapt/lora_json.h"
#include "engine/core/file.h"
#include "engine/formats/safetensors.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"
#include "tests/engine/tiny_util.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tiny_options untied = {.tied = false}, tied = {.tied = true};

static struct model *fresh(const struct tiny_options *o)
{
    return tiny_model(util_context("cpu", DT_F32, 1), o);
}

static void drop(struct model *m)
{
    struct context *ctx = m->ctx;
    model_release(m);
    util_context_free(ctx);
}

#define LOGITS (7 * TINY_VOCAB)

static void logits_of(struct model *m, double *out)
{
    static const struct tiny_rows rows = {2, {3, 4}, 10, false};
    struct batch b = tiny_batch(m, &rows, -1);
    struct tensor *hidden, *logits;
    m->ctx->grad = false;
    CHECK(model_forward(m, &b, &hidden));
    CHECK(model_logits(m, hidden, NULL, &logits));
    CHECK(tensor_read_double(logits, out));
    m->ctx->grad = true;
    tensor_release(logits);
    tensor_release(hidden);
    batch_free(&b);
}

/* Moves every value of the adapter a little, copies too. */
static int stir(void *ctx, const char *name, struct tensor *t)
{
    uint64_t *seed = ctx;
    struct tensor *noise;
    int64_t n = tensor_count(t);
    float *values = mem_alloc((size_t)n * sizeof *values);
    assert_non_null(values);
    (void)name;
    for (int64_t i = 0; i < n; i++)
        values[i] = (float)(0.2 * (rng_uniform(rng_key(*seed, RNG_USER), (uint64_t)i) - 0.5));
    (*seed)++;
    CHECK(tensor_from(t->ctx, DT_F32, t->view.ndim, t->view.shape, values, &noise));
    CHECK(RUN(t->ctx, binary, .z = t->view, .a = t->view, .b = noise->view, .kind = BINARY_ADD));
    tensor_release(noise);
    mem_free(values);
    return OK;
}

static struct model *adapted(const struct tiny_options *o, const char *options, uint64_t seed)
{
    struct model *m = fresh(o);
    struct lora *l = tiny_lora(m, options, 0, 3);
    CHECK(lora_walk(l, stir, &seed));
    return m;
}

/* --- out and in ------------------------------------------------------------------------------ */

static const struct {
    const struct tiny_options *model;
    const char *options;
} trips[] = {
    {&untied, "q_proj,v_proj"},
    {&tied, "all-linear;rank_pattern=q_proj=1,down_proj=3;alpha_pattern=k_proj=9;use_rslora=true"},
    {&untied, ".*layers\\.1\\..*(q|k)_proj"},
    {&untied, "q_proj;modules_to_save=lm_head,norm,embed_tokens"},
    {&tied, "embed_tokens,lm_head,o_proj"},
    {&tied, "v_proj;modules_to_save=lm_head"},
    {&untied, "up_proj,v_proj;layers_to_transform=1;exclude_modules=v_proj"},
};

static void round_trips(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT_OF(trips); i++) {
        double wanted[LOGITS], got[LOGITS], base[LOGITS];
        struct adapter_how how = {.name = "again", .trainable = true};
        struct buffer notes = {0};
        struct lora *l;
        struct model *m = adapted(trips[i].model, trips[i].options, 5);
        logits_of(m, wanted);
        CHECK(adapter_save(lora_of(m), temp_path("trip"), "org/base"));
        drop(m);
        m = fresh(trips[i].model);
        logits_of(m, base);
        if (adapter_load(m, temp_path("trip"), &how, &notes, &l))
            fail_msg("%s: %s", trips[i].options, status_message());
        assert_int_equal(notes.length, 0);
        assert_string_equal(l->name, "again");
        assert_string_equal(l->config.base_model_name_or_path, "org/base");
        assert_ptr_equal(lora_of(m), l);
        logits_of(m, got);
        assert_memory_equal(got, wanted, sizeof got); /* the same bits */
        assert_true(util_rel_l2(got, base, LOGITS) > 1e-3);
        buffer_free(&notes);
        drop(m);
        CHECK(file_remove_folder(temp_path("trip")));
    }
    assert_int_equal(file_open_count(), 0);
}

/* One scale for all layers: the same model, whoever reads the patterns or does not. */
static void one_scale(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        int patterns; /* wanted in the file */
        int64_t r;
    } cases[] = {
        {"q_proj,v_proj", 0, 2},
        {"q_proj,v_proj,up_proj;rank_pattern=v_proj=1,up_proj=4;alpha_pattern=q_proj=9", 2, 4},
        {"all-linear;rank_pattern=layers.0.mlp.up_proj=3;use_rslora=true", 7, 3},
        {"embed_tokens,lm_head;alpha_pattern=lm_head=1", 0, 2},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        double wanted[LOGITS], got[LOGITS];
        struct adapter_how how = {0};
        struct lora *l;
        struct model *m = adapted(&untied, cases[i].options, 5);
        logits_of(m, wanted);
        CHECK(adapter_save_one_scale(lora_of(m), temp_path("one"), NULL));
        lora_detach(m);
        CHECK(adapter_load(m, temp_path("one"), &how, NULL, &l));
        double scale = l->config.lora_alpha /
                       (l->config.use_rslora ? sqrt((double)l->config.r) : (double)l->config.r);
        assert_int_equal(l->config.r, cases[i].r);
        for (int64_t k = 0; k < l->count; k++)
            assert_true(fabs(l->layers[k].term.scale - scale) <= 1e-15 * scale);
        if (l->config.rank_pattern.count != cases[i].patterns)
            fail_msg("%s: %d patterns, wanted %d", cases[i].options,
                     (int)l->config.rank_pattern.count, cases[i].patterns);
        logits_of(m, got);
        assert_true(util_rel_l2(got, wanted, LOGITS) <= 1e-6);
        drop(m);
        CHECK(file_remove_folder(temp_path("one")));
    }
    struct model *m = fresh(&untied);
    struct lora *l = tiny_lora(m, "q_proj;lora_alpha=0", 0, 1);
    assert_int_equal(adapter_save_one_scale(l, temp_path("one"), NULL), ERR_ARG);
    drop(m);
}

static void what_is_there(void **state)
{
    (void)state;
    struct model *m = adapted(&untied, "q_proj;modules_to_save=lm_head", 1);
    struct safetensors *s;
    char *bytes;
    size_t length;
    static const char *const names[] = {
        "base_model.model.lm_head.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
        "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight",
    };
    CHECK(adapter_save(lora_of(m), temp_path("there"), "a \"quoted\" base"));
    CHECK(safetensors_open(temp_path("there/" ADAPTER_WEIGHTS), &s));
    assert_int_equal(safetensors_count(s), 5);
    assert_string_equal(safetensors_meta(s, "format"), "pt");
    for (int i = 0; i < COUNT_OF(names); i++) {
        assert_string_equal(safetensors_tensor(s, i)->name, names[i]);
        assert_string_equal(safetensors_tensor(s, i)->dtype, "F32");
    }
    safetensors_close(s);
    CHECK(file_read(temp_path("there/README.md"), 0, &bytes, &length));
    assert_non_null(
        strstr(bytes, "---\nbase_model: \"a \\\"quoted\\\" base\"\nlibrary_name: peft\n"));
    mem_free(bytes);
    temp_write("there/README.md", "mine", 4); /* a card that is there stays */
    CHECK(adapter_save(lora_of(m), temp_path("there"), NULL));
    CHECK(file_read(temp_path("there/README.md"), 0, &bytes, &length));
    assert_string_equal(bytes, "mine");
    mem_free(bytes);
    drop(m);
    CHECK(file_remove_folder(temp_path("there")));
}

/* A frozen adapter wants no gradients, a trainable one does; another becomes active when asked. */
static void frozen_and_active(void **state)
{
    (void)state;
    struct adapter_how first = {.name = NULL}, second = {.name = "second", .trainable = true};
    struct lora *a, *b;
    struct model *m = adapted(&untied, "q_proj", 1);
    CHECK(adapter_save(lora_of(m), temp_path("f"), NULL));
    lora_detach(m);
    CHECK(adapter_load(m, temp_path("f"), &first, NULL, &a));
    CHECK(adapter_load(m, temp_path("f"), &second, NULL, &b));
    assert_ptr_equal(lora_of(m), a);
    assert_true(a->config.inference_mode && !b->config.inference_mode);
    assert_false(a->layers[0].term.a->requires_grad);
    assert_false(b->layers[0].term.a->requires_grad);
    CHECK(lora_activate(m, "second"));
    assert_true(b->layers[0].term.a->requires_grad);
    assert_int_equal(adapter_load(m, temp_path("f"), &second, NULL, &b), ERR_ARG);
    assert_non_null(strstr(status_message(), "'second' already"));
    drop(m);
    CHECK(file_remove_folder(temp_path("f")));
}

/* --- files made by others -------------------------------------------------------------------- */

struct made {
    const char *name, *dtype;
    int64_t rows, cols; /* cols 0: a vector */
    double value;       /* of element i: value + i / 1000 */
};

static int fill(void *ctx, const struct safetensors_entry *e, void *bytes)
{
    const struct made *t = e->tensor;
    int64_t n = t->rows * (t->cols ? t->cols : 1);
    (void)ctx;
    for (int64_t i = 0; i < n; i++) {
        double v = t->value + (double)i / 1000;
        if (!strcmp(t->dtype, "F64"))
            ((double *)bytes)[i] = v;
        else if (!strcmp(t->dtype, "F32"))
            ((float *)bytes)[i] = (float)v;
        else /* F16 and BF16 of small integers: only 0 and 1 are used */
            ((uint16_t *)bytes)[i] =
                t->value == 1 ? (strcmp(t->dtype, "F16") ? 0x3f80 : 0x3c00) : 0;
    }
    return OK;
}

static void make_folder(const char *config, const struct made *tensors, int count)
{
    struct safetensors_entry e[16];
    for (int i = 0; i < count; i++)
        e[i] = (struct safetensors_entry){.name = tensors[i].name,
                                          .dtype = tensors[i].dtype,
                                          .ndim = tensors[i].cols ? 2 : 1,
                                          .shape = {tensors[i].rows, tensors[i].cols},
                                          .tensor = (void *)(uintptr_t)&tensors[i]};
    CHECK(file_make_folder(temp_path("made")));
    CHECK(file_write_all(temp_path("made/" ADAPTER_CONFIG), config, strlen(config)));
    CHECK(safetensors_save(temp_path("made/" ADAPTER_WEIGHTS), e, count, NULL, fill, NULL));
}

#define Q0 "model.layers.0.self_attn.q_proj"
#define Q1 "model.layers.1.self_attn.q_proj"
#define PEFT "base_model.model."
static const char q_config[] =
    "{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"q_proj\"]}";

static void spellings(void **state)
{
    (void)state;
    static const struct made variants[][4] = {
        {{PEFT Q0 ".lora_A.weight", "F32", 2, 8, 0},
         {PEFT Q0 ".lora_B.weight", "F32", 16, 2, 0},
         {PEFT Q1 ".lora_A.weight", "F32", 2, 8, 0},
         {PEFT Q1 ".lora_B.weight", "F32", 16, 2, 0}},
        {{PEFT Q0 ".lora_A.default.weight", "F32", 2, 8, 0},
         {PEFT Q0 ".lora_B.default.weight", "F32", 16, 2, 0},
         {PEFT Q1 ".lora_A.default.weight", "F32", 2, 8, 0},
         {PEFT Q1 ".lora_B.default.weight", "F32", 16, 2, 0}},
        {{Q0 ".lora_A.weight", "F64", 2, 8, 0},
         {Q0 ".lora_B.weight", "F64", 16, 2, 0},
         {Q1 ".lora_A.weight", "F64", 2, 8, 0},
         {Q1 ".lora_B.weight", "F64", 16, 2, 0}},
    };
    double first[LOGITS], next[LOGITS];
    for (int i = 0; i < COUNT_OF(variants); i++) {
        struct model *m = fresh(&untied);
        struct adapter_how how = {0};
        struct lora *l;
        make_folder(q_config, variants[i], 4);
        CHECK(adapter_load(m, temp_path("made"), &how, NULL, &l));
        logits_of(m, i ? next : first);
        if (i)
            assert_memory_equal(first, next, sizeof first);
        drop(m);
    }
}

static void narrow_types(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"F32", "F16", "BF16", "F64"};
    double values[16];
    for (int i = 0; i < COUNT_OF(dtypes); i++) {
        const struct made tensors[] = {{PEFT Q0 ".lora_A.weight", dtypes[i], 2, 8, 1},
                                       {PEFT Q0 ".lora_B.weight", "F32", 16, 2, 1}};
        struct model *m = fresh(&untied);
        struct adapter_how how = {0};
        struct lora *l;
        make_folder("{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"q_proj\"], "
                    "\"layers_to_transform\": [0]}",
                    tensors, 2);
        CHECK(adapter_load(m, temp_path("made"), &how, NULL, &l));
        assert_int_equal(l->layers[0].term.a->view.dtype, DT_F32);
        CHECK(tensor_read_double(l->layers[0].term.a, values));
        assert_true(values[0] == 1);
        drop(m);
    }
}

static void refuse(const char *config, const struct made *tensors, int count, const char *words)
{
    struct model *m = fresh(&untied);
    double before[LOGITS], after[LOGITS];
    struct adapter_how how = {0};
    struct lora *l;
    logits_of(m, before);
    make_folder(config, tensors, count);
    int64_t blocks = mem_stats().live_blocks;
    int status = adapter_load(m, temp_path("made"), &how, NULL, &l);
    assert_int_not_equal(status, OK);
    for (const char *at = words; *at;) {
        char word[120];
        size_t n = strcspn(at, "|");
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        if (!strstr(status_message(), word))
            fail_msg("'%s' is not in: %s", word, status_message());
        at += n + (at[n] == '|');
    }
    context_trim(m->ctx);
    assert_true(mem_stats().live_blocks <= blocks);
    assert_null(lora_of(m));
    logits_of(m, after);
    assert_memory_equal(before, after, sizeof before);
    drop(m);
}

static void misfits(void **state)
{
    (void)state;
    const struct made good[] = {{PEFT Q0 ".lora_A.weight", "F32", 2, 8, 0},
                                {PEFT Q0 ".lora_B.weight", "F32", 16, 2, 0},
                                {PEFT Q1 ".lora_A.weight", "F32", 2, 8, 0},
                                {PEFT Q1 ".lora_B.weight", "F32", 16, 2, 0},
                                {PEFT "x", "F32", 1, 1, 0}};
    struct made bad[5];
    memcpy(bad, good, sizeof bad);
    refuse(q_config, bad, 3, "there is no tensor " PEFT Q1 ".lora_B.weight|target_modules|made");
    refuse(q_config, bad, 5, PEFT "x|belongs to no layer");
    bad[1].rows = 8;
    refuse(q_config, bad, 4, Q0 ".lora_B.weight|shape 8x2, wanted 16x2|another model");
    bad[1].rows = 16;
    bad[1].cols = 3;
    refuse(q_config, bad, 4, "shape 16x3, wanted 16x2|rank_pattern");
    bad[1].cols = 0;
    refuse(q_config, bad, 4, "shape 16, wanted 16x2");
    bad[1].cols = 2;
    bad[1].dtype = "F32";
    bad[2].value = NAN;
    refuse(q_config, bad, 4, Q1 ".lora_A.weight|not finite");
    bad[2].value = INFINITY;
    refuse(q_config, bad, 4, "not finite");
    bad[2].value = 0;
    bad[4].name = PEFT Q0 ".lora_magnitude_vector";
    refuse(q_config, bad, 5, "DoRA is not available");
    refuse("{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"c_attn\"]}", bad, 4,
           "match no layer|q_proj");
    refuse("{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"q_proj\"], "
           "\"modules_to_save\": [\"lm_head\"]}",
           bad, 4, "there is no tensor " PEFT "lm_head.weight|modules_to_save");
    refuse("{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"q_proj\"], \"use_dora\": "
           "true}",
           bad, 4, "adapter_config.json: |use_dora = true is not available");
    refuse("{", bad, 4, "adapter_config.json: line 1");
}

static void missing_files(void **state)
{
    (void)state;
    struct model *m = fresh(&untied);
    struct adapter_how how = {0};
    struct lora *l;
    assert_int_equal(adapter_load(m, temp_path("nowhere"), &how, NULL, &l), ERR_IO);
    assert_non_null(strstr(status_message(), "no such folder"));
    CHECK(file_make_folder(temp_path("empty")));
    assert_false(adapter_is_folder(temp_path("empty")));
    assert_int_equal(adapter_load(m, temp_path("empty"), &how, NULL, &l), ERR_IO);
    assert_non_null(strstr(status_message(), "there is no adapter_config.json"));
    temp_write("empty/" ADAPTER_CONFIG, q_config, strlen(q_config));
    assert_true(adapter_is_folder(temp_path("empty")));
    assert_int_equal(adapter_load(m, temp_path("empty"), &how, NULL, &l), ERR_IO);
    assert_non_null(strstr(status_message(), "there is no adapter_model.safetensors"));
    temp_write("empty/adapter_model.bin", "PK", 2);
    assert_int_equal(adapter_load(m, temp_path("empty"), &how, NULL, &l), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "can run code"));
    assert_null(lora_of(m));
    drop(m);
    CHECK(file_remove_folder(temp_path("empty")));
}

/* PEFT repeats the embedding's own weight beside its A and B. */
static void repeated_base(void **state)
{
    (void)state;
    enum { N = TINY_VOCAB * 8 };
    static const char config[] =
        "{\"peft_type\": \"LORA\", \"r\": 1, \"target_modules\": [\"embed_tokens\"]}";
    const struct made other[] = {
        {PEFT "model.embed_tokens.lora_embedding_A", "F32", 1, TINY_VOCAB, 0},
        {PEFT "model.embed_tokens.lora_embedding_B", "F32", 8, 1, 0},
        {PEFT "model.embed_tokens.base_layer.weight", "F32", TINY_VOCAB, 8, 0.25}};
    struct made small[3];
    struct adapter_how how = {0};
    struct buffer notes = {0};
    struct lora *l;
    double table[N], logits[LOGITS], merged[LOGITS];
    struct model *m = fresh(&untied);
    make_folder(config, other, 3);
    CHECK(adapter_load(m, temp_path("made"), &how, &notes, &l));
    CHECK(buffer_close(&notes));
    assert_non_null(strstr(notes.bytes, "model.embed_tokens: the adapter brings a weight"));
    assert_int_equal(l->copies, 1);
    CHECK(tensor_read_double(linear_weight(&m->embedding->linear), table));
    assert_true(fabs(table[0] - 0.25) < 1e-6);
    CHECK(tensor_read_double(m->embedding->linear.weight, table));
    assert_true(fabs(table[0] - 0.25) > 1e-6); /* the model's own is as it was */
    logits_of(m, logits);
    CHECK(adapter_save(l, temp_path("again"), NULL)); /* it goes out again with the adapter */
    lora_detach(m);
    CHECK(adapter_load(m, temp_path("again"), &how, NULL, &l));
    logits_of(m, merged);
    assert_memory_equal(logits, merged, sizeof logits);
    drop(m);
    buffer_free(&notes);
    /* one that equals the model's own says nothing new */
    m = adapted(&untied, "embed_tokens", 3);
    CHECK(lora_add_base(lora_of(m), m->embedding, tensor_keep(m->embedding->linear.weight)));
    CHECK(adapter_save(lora_of(m), temp_path("again"), NULL));
    logits_of(m, logits);
    lora_detach(m);
    CHECK(adapter_load(m, temp_path("again"), &how, &notes, &l));
    assert_int_equal(notes.length, 0);
    assert_int_equal(l->copies, 0);
    logits_of(m, merged);
    assert_memory_equal(logits, merged, sizeof logits);
    drop(m);
    CHECK(file_remove_folder(temp_path("again")));
    memcpy(small, other, sizeof small);
    small[2].rows = 5;
    refuse(config, small, 3, "base_layer.weight: shape 5x8, the model's own is 13x8|vocabulary");
}

static void not_saved(void **state)
{
    (void)state;
    struct model *m = adapted(&untied, "q_proj", 1);
    struct lora *l = lora_of(m);
    CHECK(adapter_save(l, temp_path("n"), NULL));
    char *before, *after;
    size_t length, again;
    CHECK(file_read(temp_path("n/" ADAPTER_WEIGHTS), 0, &before, &length));
    CHECK(tensor_fill(l->layers[1].term.b, NAN));
    assert_int_equal(adapter_save(l, temp_path("n"), NULL), ERR_NUMERIC);
    assert_non_null(strstr(status_message(), Q1 ".lora_B.weight is not finite"));
    CHECK(file_read(temp_path("n/" ADAPTER_WEIGHTS), 0, &after, &again));
    assert_int_equal(length, again);
    assert_memory_equal(before, after, length);
    mem_free(before);
    mem_free(after);
    drop(m);
    CHECK(file_remove_folder(temp_path("n")));
}

/* Patterns that a file would sort into another meaning. */
static void order_of_patterns(void **state)
{
    (void)state;
    const struct made tensors[] = {{PEFT Q0 ".lora_A.weight", "F32", 1, 8, 0},
                                   {PEFT Q0 ".lora_B.weight", "F32", 16, 1, 0},
                                   {PEFT Q1 ".lora_A.weight", "F32", 3, 8, 0},
                                   {PEFT Q1 ".lora_B.weight", "F32", 16, 3, 0}};
    struct model *m = fresh(&untied);
    struct adapter_how how = {0};
    struct lora *l;
    make_folder("{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"q_proj\"], "
                "\"rank_pattern\": {\"z?layers.0.self_attn.q_proj\": 1, \"q_proj\": 3}}",
                tensors, 4);
    CHECK(adapter_load(m, temp_path("made"), &how, NULL, &l)); /* the first that matches */
    assert_int_equal(l->layers[0].r, 1);
    assert_int_equal(l->layers[1].r, 3);
    double before[LOGITS], after[LOGITS];
    uint64_t seed = 9;
    CHECK(lora_walk(l, stir, &seed));
    logits_of(m, before);
    CHECK(adapter_save(l, temp_path("o"), NULL));
    lora_detach(m);
    CHECK(adapter_load(m, temp_path("o"), &how, NULL, &l));
    assert_int_equal(l->config.rank_pattern.count, 2); /* one for each layer's path */
    assert_string_equal(l->config.rank_pattern.items[0].name, Q0);
    assert_int_equal(l->layers[0].r, 1);
    assert_int_equal(l->layers[1].r, 3);
    logits_of(m, after);
    assert_memory_equal(before, after, sizeof before);
    drop(m);
    CHECK(file_remove_folder(temp_path("o")));
}

/* --- faults ---------------------------------------------------------------------------------- */

static char *whole(const char *path, size_t *length)
{
    char *bytes;
    CHECK(file_read(path, 0, &bytes, length));
    return bytes;
}

/* Saving another adapter over an old one: after any one failed call the folder holds one of the two,
 * whole. */
static void save_faults(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC, -1};
    struct model *old = adapted(&untied, "q_proj", 1),
                 *new = adapted(&untied, "v_proj;modules_to_save=norm", 2);
    size_t lengths[2];
    CHECK(adapter_save(lora_of(old), temp_path("s"), "old"));
    char *config = whole(temp_path("s/" ADAPTER_CONFIG), &lengths[0]);
    char *weights = whole(temp_path("s/" ADAPTER_WEIGHTS), &lengths[1]);
    int failures = 0;
    for (int64_t n = 1; n < 1000; n++) {
        size_t now[2];
        file_fail_at(n, errors[n % 3]);
        int status = adapter_save(lora_of(new), temp_path("s"), "new");
        int64_t calls = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        char *c = whole(temp_path("s/" ADAPTER_CONFIG), &now[0]);
        char *w = whole(temp_path("s/" ADAPTER_WEIGHTS), &now[1]);
        bool is_old = now[0] == lengths[0] && !memcmp(c, config, now[0]) && now[1] == lengths[1] &&
                      !memcmp(w, weights, now[1]);
        bool is_new = strstr(c, "\"new\"") && now[1] != lengths[1];
        mem_free(c);
        mem_free(w);
        if (status ? !is_old : !is_new)
            fail_msg("call %d (%d): status %d, and the %s adapter is not there: %s", (int)n,
                     errors[n % 3], status, status ? "old" : "new", status_message());
        failures += status != OK;
        if (!status)
            CHECK(adapter_save(lora_of(old), temp_path("s"), "old"));
        if (calls < n)
            break;
    }
    assert_true(failures > 20);
    mem_free(config);
    mem_free(weights);
    drop(old);
    drop(new);
    CHECK(file_remove_folder(temp_path("s")));
}

static void load_faults(void **state)
{
    (void)state;
    double before[LOGITS], after[LOGITS];
    struct model *m = adapted(&untied, "q_proj,embed_tokens;modules_to_save=lm_head", 1);
    struct adapter_how how = {.trainable = true};
    CHECK(adapter_save(lora_of(m), temp_path("l"), NULL));
    lora_detach(m);
    logits_of(m, before);
    for (int64_t n = 1; n < 1000; n++) {
        struct lora *l;
        file_fail_at(n, EIO);
        int status = adapter_load(m, temp_path("l"), &how, NULL, &l);
        int64_t calls = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        assert_true((lora_of(m) == NULL) == (status != OK));
        lora_detach(m);
        logits_of(m, after);
        assert_memory_equal(before, after, sizeof before);
        if (!status && calls < n)
            break;
        assert_true(n < 999);
    }
    drop(m);
    CHECK(file_remove_folder(temp_path("l")));
}

/* The n-th allocation fails, in saving and in loading. */
static void memory(void **state)
{
    (void)state;
    struct model *m = adapted(&untied, "q_proj;rank_pattern=q_proj=1;modules_to_save=norm", 1);
    struct adapter_how how = {.trainable = true};
    bool done = false;
    for (int64_t n = 1; n < 3000 && !done; n++) {
        mem_fail_at(n, 0);
        int status = adapter_save(lora_of(m), temp_path("m"), "x");
        done = mem_fail_at(0, 0) < n;
        assert_true(status == OK || status == ERR_MEMORY);
        assert_int_equal(file_open_count(), 0);
    }
    assert_true(done);
    CHECK(adapter_save(lora_of(m), temp_path("m"), "x"));
    lora_detach(m);
    done = false;
    for (int64_t n = 1; n < 3000 && !done; n++) {
        struct lora *l;
        context_trim(m->ctx); /* or the cache would hide allocations */
        int64_t blocks = mem_stats().live_blocks;
        mem_fail_at(n, 0);
        int status = adapter_load(m, temp_path("m"), &how, NULL, &l);
        done = mem_fail_at(0, 0) < n;
        assert_true(status == OK || status == ERR_MEMORY);
        assert_true((lora_of(m) == NULL) == (status != OK));
        lora_detach(m);
        context_trim(m->ctx);
        assert_int_equal(mem_stats().live_blocks, blocks);
        assert_int_equal(file_open_count(), 0);
    }
    assert_true(done);
    drop(m);
    CHECK(file_remove_folder(temp_path("m")));
}

/* --- damage ---------------------------------------------------------------------------------- */

static void try_weights(struct model *m, const char *bytes, size_t length)
{
    struct adapter_how how = {0};
    struct lora *l;
    remove(temp_path("d/" ADAPTER_WEIGHTS)); /* writing over a file waits for the disk */
    temp_write("d/" ADAPTER_WEIGHTS, bytes, length);
    int status = adapter_load(m, temp_path("d"), &how, NULL, &l);
    if (status != OK && status != ERR_FORMAT && status != ERR_NUMERIC && status != ERR_ARG)
        fail_msg("status %d: %s", status, status_message());
    lora_detach(m);
    assert_int_equal(file_open_count(), 0);
}

/* Cuts of every length, and flips: every bit of the header, every 31st of the values. */
static void damaged(void **state)
{
    (void)state;
    struct model *m = adapted(&untied, "q_proj", 1);
    size_t length;
    uint64_t header;
    CHECK(adapter_save(lora_of(m), temp_path("d"), NULL));
    lora_detach(m);
    char *bytes = whole(temp_path("d/" ADAPTER_WEIGHTS), &length);
    memcpy(&header, bytes, 8);
    for (size_t n = 0; n < length; n += n < 16 ? 1 : 7)
        try_weights(m, bytes, n);
    for (size_t bit = 0; bit < 8 * length; bit += bit < 8 * (8 + header) ? 1 : 31) {
        bytes[bit / 8] ^= (char)(1 << (bit % 8));
        try_weights(m, bytes, length);
        bytes[bit / 8] ^= (char)(1 << (bit % 8));
    }
    mem_free(bytes);
    drop(m);
    CHECK(file_remove_folder(temp_path("d")));
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
    int status = file_remove_folder(temp_path("made"));
    assert_int_equal(status, OK);
    assert_int_equal(mem_stats().live_blocks, blocks_before);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, no_leak)
    const struct CMUnitTest tests[] = {
        TEST(round_trips),  TEST(what_is_there), TEST(frozen_and_active), TEST(spellings),
        TEST(narrow_types), TEST(misfits),       TEST(missing_files),     TEST(repeated_base),
        TEST(not_saved),    TEST(save_faults),   TEST(load_faults),       TEST(memory),
        TEST(one_scale),    TEST(damaged),       TEST(order_of_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
