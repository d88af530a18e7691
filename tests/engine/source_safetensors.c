/* source_safetensors.c -- models in Hugging Face folders: one file, shards, names, dtypes, what is
 * refused, lost memory, failing file calls.
 *
 * The folder is made from a golden GGUF model, whose weights must come back bit for bit. */
#include "engine/core/file.h"
#include "engine/formats/safetensors.h"
#include "engine/model/config_json.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/engine_util.h"
#include "tests/engine/shared_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "tests/golden/llama_tied_gqa.gguf"

static struct context *ctx;
static struct model *original;

/* --- a folder --------------------------------------------------------------------------------- */

struct saved {
    struct safetensors_entry entries[64];
    int64_t count;
};
static char names[64][80]; /* of the entries: a walk's own names do not last */

static int take(void *to, const char *name, struct tensor *t)
{
    struct saved *s = to;
    struct safetensors_entry *e = &s->entries[s->count];
    snprintf(names[s->count], sizeof names[0], "%s", name);
    *e = (struct safetensors_entry){
        .name = names[s->count++], .dtype = "F32", .ndim = t->view.ndim, .tensor = t};
    memcpy(e->shape, t->view.shape, (size_t)t->view.ndim * sizeof *e->shape);
    return OK;
}

static struct saved all(void)
{
    struct saved s = {.count = 0};
    CHECK(model_walk(original, take, &s));
    return s;
}

static struct safetensors_entry *entry(struct saved *s, const char *name)
{
    for (int64_t i = 0; i < s->count; i++)
        if (!strcmp(s->entries[i].name, name))
            return &s->entries[i];
    fail_msg("no entry %s", name);
    return NULL;
}

/* A tensor of the model in the entry's dtype; zeros for an entry without one. */
static int fill(void *unused, const struct safetensors_entry *e, void *bytes)
{
    struct tensor *t = e->tensor;
    size_t bits = (size_t)safetensors_bits(e->dtype);
    (void)unused;
    size_t n = 1;
    for (int i = 0; i < e->ndim; i++)
        n *= (size_t)e->shape[i];
    memset(bytes, 0, n * bits / 8);
    if (!t)
        return OK;
    double *wide = mem_alloc(n * sizeof *wide);
    float *narrow = mem_alloc(n * sizeof *narrow);
    assert_true(wide && narrow);
    CHECK(tensor_read_double(t, wide));
    for (size_t i = 0; i < n; i++)
        narrow[i] = (float)wide[i];
    const char *format = !strcmp(e->dtype, "F16")    ? "f16"
                         : !strcmp(e->dtype, "BF16") ? "bf16"
                         : !strcmp(e->dtype, "F64")  ? "f64"
                                                     : "f32";
    format_by_name(format)->encode(narrow, bytes, (int64_t)n);
    mem_free(wide);
    mem_free(narrow);
    return OK;
}

static void put_text(const char *name, const char *text)
{
    temp_write(name, text, strlen(text));
}

static void put_config(bool tied)
{
    struct model_config c = original->config;
    struct buffer text = {0};
    c.tie_word_embeddings = tied;
    CHECK(config_to_json(&c, "float32", &text));
    temp_write("config.json", text.bytes, (size_t)text.length);
    buffer_free(&text);
}

static void put_weights(const char *name, struct saved *s)
{
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path(name));
    CHECK(safetensors_save(path, s->entries, s->count, NULL, fill, NULL));
}

/* An empty folder with config.json. */
static const char *fresh(void)
{
    struct file_names old;
    CHECK(file_list(temp_folder(), &old));
    for (int64_t i = 0; i < old.count; i++)
        CHECK(file_remove(temp_path(old.items[i])));
    file_names_free(&old);
    put_config(true);
    return temp_folder();
}

/* --- comparing -------------------------------------------------------------------------------- */

struct comparison {
    struct model *other;
    const struct format *format; /* values are rounded to it; NULL = not */
    int64_t count;
};

static struct tensor *found;
static int pick(void *name, const char *here, struct tensor *t)
{
    if (!strcmp(name, here))
        found = t;
    return OK;
}

static int same(void *to, const char *name, struct tensor *t)
{
    struct comparison *c = to;
    int64_t n = tensor_count(t);
    char *copy = mem_text(name, strlen(name));
    found = NULL;
    CHECK(model_walk(c->other, pick, copy));
    mem_free(copy);
    assert_non_null(found);
    assert_int_equal(tensor_count(found), n);
    double *want = mem_alloc((size_t)n * 8), *got = mem_alloc((size_t)n * 8);
    assert_true(want && got);
    CHECK(tensor_read_double(t, want));
    CHECK(tensor_read_double(found, got));
    for (int64_t i = 0; i < n; i++) {
        float x = (float)want[i];
        uint16_t half;
        if (c->format) {
            c->format->encode(&x, &half, 1);
            c->format->decode(&half, &x, 1);
        }
        if (got[i] != (double)x)
            fail_msg("%s: element %lld is %g, wanted %g", name, (long long)i, got[i], (double)x);
    }
    mem_free(want);
    mem_free(got);
    c->count++;
    return OK;
}

static void check_loads(const char *path, const char *format)
{
    struct comparison c = {.format = format ? format_by_name(format) : NULL};
    CHECK(model_load(ctx, path, NULL, &c.other));
    CHECK(model_walk(original, same, &c));
    assert_true(c.count > 10);
    assert_int_equal(model_parameters(c.other), model_parameters(original));
    model_release(c.other);
    assert_int_equal(file_open_count(), 0);
}

static void refused(const char *path, int wanted, const char *message)
{
    struct model *m;
    int status = model_load(ctx, path, NULL, &m);
    if (status != wanted || !strstr(status_message(), message))
        fail_msg("status %d, message '%s', wanted '%s'", status, status_message(), message);
    assert_int_equal(file_open_count(), 0);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void one_file(void **state)
{
    (void)state;
    struct saved s = all();
    const char *folder = fresh();
    char slash[512];
    put_weights("model.safetensors", &s);
    check_loads(folder, NULL);
    check_loads(temp_path("model.safetensors"), NULL);
    snprintf(slash, sizeof slash, "%s/", folder);
    check_loads(slash, NULL);
    put_weights("other.safetensors", &s); /* a file of any name in such a folder */
    check_loads(temp_path("other.safetensors"), NULL);
}

static void dtypes(void **state)
{
    (void)state;
    static const char *const formats_of[][2] = {
        {"F16", "f16"}, {"BF16", "bf16"}, {"F64", NULL}, {"F32", NULL}};
    const char *folder = fresh();
    for (int k = 0; k < COUNT_OF(formats_of); k++) {
        struct saved s = all();
        struct model *m;
        for (int64_t i = 0; i < s.count; i++)
            s.entries[i].dtype = formats_of[k][0];
        put_weights("model.safetensors", &s);
        check_loads(folder, formats_of[k][1]);
        CHECK(model_load(ctx, folder, NULL, &m));
        assert_string_equal(m->embedding->linear.weight->format->name,
                            formats_of[k][1] ? formats_of[k][1] : "f32");
        model_release(m);
        CHECK(model_load(ctx, folder, "float32", &m));
        assert_string_equal(m->embedding->linear.weight->format->name, "f32");
        model_release(m);
    }
}

/* As a base model without head is saved: no "model." in front. */
static void names_without_prefix(void **state)
{
    (void)state;
    struct saved s = all();
    const char *folder = fresh();
    for (int64_t i = 0; i < s.count; i++)
        if (!strncmp(s.entries[i].name, "model.", 6))
            s.entries[i].name += 6;
    put_weights("model.safetensors", &s);
    check_loads(folder, NULL);
}

/* Two files and the index; 'index' gets the text. */
static const char *put_shards(char *index, size_t room)
{
    struct saved s = all(), part;
    const char *folder = fresh();
    size_t n = (size_t)snprintf(index, room, "{\"metadata\":{},\"weight_map\":{");
    for (int file = 0; file < 2; file++) {
        char name[64];
        snprintf(name, sizeof name, "model-0000%d-of-00002.safetensors", file + 1);
        part.count = 0;
        for (int64_t i = file; i < s.count; i += 2) {
            part.entries[part.count++] = s.entries[i];
            n += (size_t)snprintf(index + n, room - n, "%s\"%s\":\"%s\"", file + i ? "," : "",
                                  s.entries[i].name, name);
        }
        put_weights(name, &part);
    }
    snprintf(index + n, room - n, "}}");
    put_text("model.safetensors.index.json", index);
    return folder;
}

static void shards(void **state)
{
    (void)state;
    char index[8192], wrong[8192], *at;
    const char *folder = put_shards(index, sizeof index);
    check_loads(folder, NULL);
    /* the index says the other file */
    snprintf(wrong, sizeof wrong, "%s", index);
    at = strstr(wrong, "-00001-of");
    memcpy(at, "-00002-of", 9);
    put_text("model.safetensors.index.json", wrong);
    refused(folder, ERR_FORMAT, "where the index says it is");
    /* a shard that is not there */
    memcpy(at, "-00009-of", 9);
    put_text("model.safetensors.index.json", wrong);
    refused(folder, ERR_IO, "model-00009-of-00002.safetensors");
    /* a path */
    memcpy(at, "/00001-of", 9);
    put_text("model.safetensors.index.json", wrong);
    refused(folder, ERR_FORMAT, "wanted a plain file name");
    put_text("model.safetensors.index.json", "{");
    refused(folder, ERR_FORMAT, "model.safetensors.index.json: line 1");
}

static void twice_in_shards(void **state)
{
    (void)state;
    char index[8192];
    const char *folder = put_shards(index, sizeof index);
    struct saved s = all();
    put_weights("model-00002-of-00002.safetensors", &s);
    put_text("model.safetensors.index.json", index);
    refused(folder, ERR_FORMAT, "and in '");
}

static void left_over(void **state)
{
    (void)state;
    struct saved s = all();
    const char *folder = fresh();
    s.entries[s.count++] =
        (struct safetensors_entry){"model.layers.0.mlp.odd.weight", "F32", 2, {2, 3}, NULL};
    put_weights("model.safetensors", &s);
    refused(folder, ERR_FORMAT, "model.layers.0.mlp.odd.weight belongs to nothing");
    /* buffers that every version makes anew */
    s = all();
    s.entries[s.count++] = (struct safetensors_entry){
        "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", 1, {4}, NULL};
    s.entries[s.count++] = (struct safetensors_entry){"h.0.attn.bias", "BOOL", 1, {4}, NULL};
    s.entries[s.count++] = (struct safetensors_entry){"h.0.attn.masked_bias", "F32", 0, {0}, NULL};
    put_weights("model.safetensors", &s);
    check_loads(folder, NULL);
}

static void tied_head(void **state)
{
    (void)state;
    struct saved s = all();
    const char *folder = fresh();
    struct safetensors_entry head = *entry(&s, "model.embed_tokens.weight");
    head.name = "lm_head.weight";
    s.entries[s.count++] = head;
    put_weights("model.safetensors", &s);
    check_loads(folder, NULL);
    put_config(false); /* then it is a weight of its own */
    struct model *m;
    CHECK(model_load(ctx, folder, NULL, &m));
    assert_true(m->head->linear.weight != m->embedding->linear.weight);
    model_release(m);
    put_config(true);
    entry(&s, "lm_head.weight")->tensor = NULL; /* zeros */
    put_weights("model.safetensors", &s);
    refused(folder, ERR_FORMAT, "lm_head.weight is not the table of embeddings");
    put_config(false);
    s = all();
    put_weights("model.safetensors", &s);
    refused(folder, ERR_FORMAT, "no tensor lm_head.weight");
}

static void wrong_tensors(void **state)
{
    (void)state;
    struct saved s = all();
    const char *folder = fresh(), *name = "model.layers.1.mlp.up_proj.weight";
    struct safetensors_entry *e = entry(&s, name), kept = *e;
    e->shape[0] = 3;
    e->tensor = NULL;
    put_weights("model.safetensors", &s);
    refused(folder, ERR_FORMAT, "model.layers.1.mlp.up_proj.weight has shape 3x32, wanted 80x32");
    e = entry(&s, name);
    *e = kept;
    e->dtype = "F8_E4M3";
    e->tensor = NULL;
    put_weights("model.safetensors", &s);
    refused(folder, ERR_FORMAT,
            "is stored as F8_E4M3, wanted F32, F16, BF16 or F64; hint: "
            "weights in 8 bits");
    entry(&s, name)->dtype = "U8";
    put_weights("model.safetensors", &s);
    refused(folder, ERR_FORMAT,
            "is stored as U8, wanted F32, F16, BF16 or F64; hint: this looks "
            "like a quantised");
    entry(&s, name)->dtype = "I64";
    put_weights("model.safetensors", &s);
    refused(folder, ERR_FORMAT,
            "is stored as I64, wanted F32, F16, BF16 or F64; hint: this looks "
            "like a quantised");
    entry(&s, name)->name = "nothing";
    put_weights("model.safetensors", &s);
    refused(folder, ERR_FORMAT, "no tensor model.layers.1.mlp.up_proj.weight");
}

static void wrong_folders(void **state)
{
    (void)state;
    const char *folder = fresh();
    struct saved s = all();
    refused(folder, ERR_FORMAT, "has no weights; hint: wanted model.safetensors");
    put_text("pytorch_model.bin", "PK");
    refused(folder, ERR_FORMAT, "weights in pytorch_model.bin, a file of torch.save");
    refused(temp_path("pytorch_model.bin"), ERR_FORMAT, "never opened");
    put_text("config.json", "{\"model_type\":\"llama\",}");
    refused(folder, ERR_FORMAT, "config.json: line 1");
    CHECK(file_remove(temp_path("config.json")));
    refused(folder, ERR_FORMAT, "has no config.json; hint: a model is");
    put_text("adapter_config.json", "{}");
    refused(folder, ERR_FORMAT, "has no config.json; hint: this is an adapter");
    folder = fresh();
    refused(temp_path("model.safetensors"), ERR_IO, "no such file");
    put_text("model.safetensors", "<!DOCTYPE html>");
    refused(folder, ERR_FORMAT, "web page");
    put_weights("model.safetensors", &s);
    put_text("config.json", "{\"model_type\":\"llama\",\"quantization_config\":{\"quant_method\":"
                            "\"fp8\"}}");
    refused(folder, ERR_FORMAT, "fp8");
}

/* Ids that end a text may stand in generation_config.json. */
static void generation_config(void **state)
{
    (void)state;
    struct saved s = all();
    struct model *m;
    const char *folder = fresh();
    int before = original->config.eos_count;
    put_weights("model.safetensors", &s);
    put_text("generation_config.json", "{\"eos_token_id\": [90, 91, 90, 5000, -1], \"x\": NaN}");
    CHECK(model_load(ctx, folder, NULL, &m));
    assert_int_equal(m->config.eos_count, before + 2);
    assert_int_equal(m->config.eos_ids[before], 90);
    assert_int_equal(m->config.eos_ids[before + 1], 91);
    model_release(m);
    put_text("generation_config.json", "{\"eos_token_id\": 92}");
    CHECK(model_load(ctx, folder, NULL, &m));
    assert_int_equal(m->config.eos_count, before + 1);
    model_release(m);
    put_text("generation_config.json", "{\"eos_token_id\": null}");
    CHECK(model_load(ctx, folder, NULL, &m));
    assert_int_equal(m->config.eos_count, before);
    model_release(m);
    put_text("generation_config.json", "[]");
    refused(folder, ERR_FORMAT, "generation_config.json");
}

static int load(void *path)
{
    struct model *m;
    TRY(model_load(ctx, path, NULL, &m));
    model_release(m);
    context_trim(ctx);
    return OK;
}

static void no_memory(void **state)
{
    (void)state;
    char index[8192], path[512];
    snprintf(path, sizeof path, "%s", put_shards(index, sizeof index));
    assert_int_equal(load(path), OK);
    for (int64_t n = 1;; n++) {
        context_trim(ctx);
        int64_t before = mem_stats().live_blocks;
        mem_fail_at(n, 0);
        int status = load(path);
        mem_fail_at(0, 0);
        context_trim(ctx);
        assert_true(mem_stats().live_blocks <= before);
        assert_int_equal(file_open_count(), 0);
        if (!status)
            break;
        assert_int_equal(status, ERR_MEMORY);
    }
}

static void failing_calls(void **state)
{
    (void)state;
    char index[8192], path[512];
    snprintf(path, sizeof path, "%s", put_shards(index, sizeof index));
    for (int64_t n = 1;; n++) {
        file_fail_at(n, 5);
        int status = load(path);
        int64_t seen = file_fail_at(0, 0);
        assert_int_equal(file_open_count(), 0);
        if (!status && seen < n)
            break;
    }
}

static int open_original(void **state)
{
    (void)state;
    ctx = util_context("ref", DT_F64, 1);
    CHECK(model_load(ctx, MODEL, NULL, &original));
    return 0;
}

static int close_original(void **state)
{
    (void)state;
    model_release(original);
    util_context_free(ctx);
    assert_int_equal(mem_stats().live_blocks, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_file),
        cmocka_unit_test(dtypes),
        cmocka_unit_test(names_without_prefix),
        cmocka_unit_test(shards),
        cmocka_unit_test(twice_in_shards),
        cmocka_unit_test(left_over),
        cmocka_unit_test(tied_head),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(wrong_folders),
        cmocka_unit_test(generation_config),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(failing_calls),
    };
    return cmocka_run_group_tests(tests, open_original, close_original);
}
