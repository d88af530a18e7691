/* config_json.c -- config.json: both spellings, defaults, refusals, real files, broken input. */
#include "engine/model/config_json.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct model_config read_ok(const char *json)
{
    struct model_config c;
    int status = config_from_json(json, strlen(json), &c);
    if (status)
        print_error("%s\n%s\n", status_message(), json);
    assert_int_equal(status, OK);
    return c;
}

/* An error whose message holds 'part'. */
static void read_bad(const char *json, const char *part)
{
    struct model_config c;
    int status = config_from_json(json, strlen(json), &c);
    if (status != ERR_FORMAT || !strstr(status_message(), part))
        print_error("%s\nsays: %s\nwanted: %s\n", json, status_message(), part);
    assert_int_equal(status, ERR_FORMAT);
    assert_non_null(strstr(status_message(), part));
}

/* --- meaning --------------------------------------------------------------------------------- */

/* The classes' own defaults: LlamaConfig() and MistralConfig(). */
static void keys_left_out(void **state)
{
    (void)state;
    struct model_config c = read_ok("{\"model_type\": \"llama\"}");
    assert_int_equal(c.vocab_size, 32000);
    assert_int_equal(c.hidden_size, 4096);
    assert_int_equal(c.intermediate_size, 11008);
    assert_int_equal(c.num_hidden_layers, 32);
    assert_int_equal(c.num_key_value_heads, 32);
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(c.max_position_embeddings, 2048);
    assert_int_equal(c.sliding_window, 0);
    assert_true(c.rms_norm_eps == 1e-6 && c.rope.theta == 10000 && c.rope.factor == 1);
    assert_int_equal(c.rope.kind, ROPE_DEFAULT);
    assert_false(c.tie_word_embeddings || c.attention_bias || c.mlp_bias);
    assert_int_equal(c.bos_token_id, 1);
    assert_int_equal(c.eos_token_id, 2);
    assert_int_equal(c.eos_count, 1);
    assert_int_equal(c.eos_ids[0], 2);
    assert_int_equal(c.pad_token_id, -1);
    assert_string_equal(c.dtype, "");
    c = read_ok("{\"model_type\": \"mistral\"}");
    assert_int_equal(c.intermediate_size, 14336);
    assert_int_equal(c.num_key_value_heads, 8);
    assert_int_equal(c.max_position_embeddings, 131072);
    assert_int_equal(c.sliding_window, 4096);
}

static void nulls(void **state)
{
    (void)state;
    struct model_config c = read_ok(
        "{\"num_key_value_heads\": null, \"head_dim\": null, \"sliding_window\": null,"
        " \"eos_token_id\": null, \"bos_token_id\": null, \"pad_token_id\": 7,"
        " \"rope_scaling\": null, \"quantization_config\": null, \"model_type\": \"mistral\"}");
    assert_int_equal(c.num_key_value_heads, 32);
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(c.sliding_window, 0);
    assert_int_equal(c.eos_count, 0);
    assert_int_equal(c.eos_token_id, -1);
    assert_int_equal(c.bos_token_id, -1);
    assert_int_equal(c.pad_token_id, 7);
}

static void end_of_text(void **state)
{
    (void)state;
    struct model_config c =
        read_ok("{\"model_type\": \"llama\", \"eos_token_id\": [128001, 128008, 128009]}");
    assert_int_equal(c.eos_count, 3);
    assert_int_equal(c.eos_token_id, 128001);
    assert_int_equal(c.eos_ids[2], 128009);
    read_bad("{\"model_type\": \"llama\", \"eos_token_id\": [1, \"x\"]}", "eos_token_id");
    read_bad("{\"model_type\": \"llama\", \"eos_token_id\": 1e12}", "eos_token_id");
    read_bad("{\"model_type\": \"llama\", \"eos_token_id\": "
             "[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8]}",
             "more than 16");
}

static void types_of_weights(void **state)
{
    (void)state;
    assert_string_equal(read_ok("{\"model_type\": \"llama\", \"dtype\": \"bfloat16\"}").dtype,
                        "bfloat16");
    assert_string_equal(
        read_ok("{\"torch_dtype\": \"torch.float16\", \"model_type\": \"llama\"}").dtype,
        "float16");
}

#define WITH(text) "{\"model_type\": \"llama\", \"max_position_embeddings\": 8192, " text "}"

/* The two spellings, and which number wins where there are two. */
static void rotary(void **state)
{
    (void)state;
    struct model_config c =
        read_ok(WITH("\"rope_theta\": 5e5, \"rope_scaling\": {\"type\": \"linear\", "
                     "\"factor\": 4}"));
    assert_int_equal(c.rope.kind, ROPE_LINEAR);
    assert_true(c.rope.theta == 5e5 && c.rope.factor == 4);
    c = read_ok(WITH("\"rope_parameters\": {\"rope_type\": \"dynamic\", \"factor\": 2.5, "
                     "\"rope_theta\": 7e3}"));
    assert_int_equal(c.rope.kind, ROPE_DYNAMIC);
    assert_true(c.rope.theta == 7e3 && c.rope.factor == 2.5);
    c = read_ok(WITH("\"rope_theta\": 5e5, \"rope_parameters\": {\"rope_type\": \"default\", "
                     "\"rope_theta\": 6e5}"));
    assert_true(c.rope.theta == 6e5 && c.rope.kind == ROPE_DEFAULT);
    c = read_ok(WITH("\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"llama3\", "
                     "\"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
                     "\"original_max_position_embeddings\": 1024}"));
    assert_int_equal(c.rope.kind, ROPE_LLAMA3);
    assert_int_equal(c.rope.original_length, 1024);
    assert_true(c.rope.low_freq_factor == 1 && c.rope.high_freq_factor == 4);
    c = read_ok(WITH("\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 3}, "
                     "\"rope_parameters\": {\"rope_type\": \"dynamic\", \"factor\": 9}"));
    assert_true(c.rope.kind == ROPE_LINEAR && c.rope.factor == 3);
    c = read_ok(WITH("\"rope_scaling\": {}, "
                     "\"rope_parameters\": {\"rope_type\": \"dynamic\", \"factor\": 9}"));
    assert_true(c.rope.kind == ROPE_DYNAMIC && c.rope.factor == 9);
}

static void yarn(void **state)
{
    (void)state;
    struct model_config c =
        read_ok(WITH("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, "
                     "\"original_max_position_embeddings\": 2048, \"finetuned\": true}"));
    assert_int_equal(c.rope.kind, ROPE_YARN);
    assert_true(c.rope.beta_fast == 32 && c.rope.beta_slow == 1 && c.rope.truncate);
    assert_true(c.rope.attention_factor == 0 && c.rope.mscale == 0);
    c = read_ok(WITH("\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": null, "
                     "\"original_max_position_embeddings\": 2048, \"truncate\": false, "
                     "\"beta_fast\": null, \"attention_factor\": 1.5, \"mscale\": 0.7}"));
    assert_true(c.rope.factor == 4 && !c.rope.truncate && c.rope.beta_fast == 32);
    assert_true(c.rope.attention_factor == 1.5 && c.rope.mscale == 0.7);
    /* without a length of its own it is the model's, unless the text has one outside */
    c = read_ok(WITH("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}"));
    assert_int_equal(c.rope.original_length, 8192);
    c = read_ok(WITH("\"original_max_position_embeddings\": 512, "
                     "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}"));
    assert_int_equal(c.rope.original_length, 512);
}

static void refused(void **state)
{
    (void)state;
    read_bad("{}", "no model_type");
    read_bad("[]", "config.json");
    read_bad("", "expected");
    read_bad("{\"model_type\": \"qwen2\"}", "'qwen2'");
    read_bad("{\"model_type\": 3}", "model_type");
    read_bad(WITH("\"hidden_act\": \"gelu\""), "'gelu'");
    read_bad(WITH("\"quantization_config\": {\"bits\": 4, \"quant_method\": \"gptq\"}"), "'gptq'");
    read_bad(WITH("\"hidden_size\": \"big\""), "hidden_size");
    read_bad(WITH("\"hidden_size\": null"), "hidden_size");
    read_bad(WITH("\"hidden_size\": 4096.5"), "hidden_size");
    read_bad(WITH("\"hidden_size\": 0"), "hidden_size");
    read_bad(WITH("\"hidden_size\": 1e300"), "hidden_size");
    read_bad(WITH("\"num_attention_heads\": 0"), "num_attention_heads");
    read_bad(WITH("\"num_key_value_heads\": 5"), "share");
    read_bad(WITH("\"num_hidden_layers\": 100000"), "num_hidden_layers");
    read_bad(WITH("\"rms_norm_eps\": NaN"), "rms_norm_eps");
    read_bad(WITH("\"rope_theta\": Infinity"), "rope_theta");
    read_bad(WITH("\"mlp_bias\": 1"), "mlp_bias");
    read_bad(WITH("\"partial_rotary_factor\": 0.5"), "partial_rotary_factor");
    read_bad(WITH("\"rope_scaling\": {\"rope_type\": \"longrope\"}"), "'longrope'");
    read_bad(WITH("\"rope_scaling\": {\"rope_type\": \"linear\"}"), "no factor");
    read_bad(WITH("\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": -1}"), "factor");
    read_bad(WITH("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}"),
             "low_freq_factor");
    read_bad(WITH("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
                  "\"low_freq_factor\": 4, \"high_freq_factor\": 4}"),
             "high_freq_factor");
    read_bad(WITH("\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1}}"),
             "each kind of layer");
    read_bad(WITH("\"rope_scaling\": 3"), "rope_scaling");
    read_bad(WITH("\"hidden_size\": 64, \"hidden_size\": 64"), "hidden_size");
    read_bad("{\"model_type\": \"llama\"} x", "line 1");
    /* what would select code, and what nobody knows, is passed over */
    read_ok(WITH("\"auto_map\": {\"AutoConfig\": \"evil.Config\"}, \"nothing\": [NaN, {}]"));
}

/* --- real files ------------------------------------------------------------------------------ */

static int read_file(const char *name, struct model_config *c)
{
    char path[160], *bytes;
    size_t length;
    snprintf(path, sizeof path, "data/configs/%s", name);
    const char *found = shared_path(path);
    if (!found)
        return -1;
    assert_int_equal(file_read(found, CONFIG_JSON_BYTES, &bytes, &length), OK);
    int status = config_from_json(bytes, length, c);
    mem_free(bytes);
    return status;
}

static void real_files(void **state)
{
    (void)state;
    struct model_config c;
    if (read_file("full/llama-3.1-8B-Instruct.config.json", &c) < 0)
        skip();
    assert_string_equal(c.model_type, "llama");
    assert_string_equal(c.dtype, "bfloat16");
    assert_int_equal(c.vocab_size, 128256);
    assert_int_equal(c.hidden_size, 4096);
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(c.num_key_value_heads, 8);
    assert_int_equal(c.eos_count, 3);
    assert_int_equal(c.rope.kind, ROPE_LLAMA3);
    assert_int_equal(c.rope.original_length, 8192);
    assert_true(c.rope.factor == 8 && c.rope.theta == 5e5 && c.rms_norm_eps == 1e-5);
    assert_false(c.tie_word_embeddings);
    assert_int_equal(read_file("full/llama-3.2-1B-Instruct.config.json", &c), OK);
    assert_int_equal(c.head_dim, 64);
    assert_int_equal(c.num_hidden_layers, 16);
    assert_true(c.rope.factor == 32 && c.tie_word_embeddings);
    assert_int_equal(read_file("full/mistral-7B-instruct-v0.3.config.json", &c), OK);
    assert_string_equal(c.model_type, "mistral");
    assert_int_equal(c.sliding_window, 0);
    assert_int_equal(c.vocab_size, 32768);
    assert_true(c.rope.theta == 1e6);
    assert_int_equal(read_file("ipex_reduced/mistral/config.json", &c), OK);
    assert_int_equal(c.sliding_window, 4096);
    assert_int_equal(c.hidden_size, 2048);
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(read_file("ipex_reduced/llama/config.json", &c), OK);
    assert_int_equal(c.num_key_value_heads, 32);
    assert_int_equal(c.max_position_embeddings, 2048);
    assert_int_equal(c.pad_token_id, -1);
    assert_int_equal(c.bos_token_id, 0);
    assert_int_equal(c.eos_token_id, 1);
    assert_int_equal(read_file("ipex_reduced/llama3/config.json", &c), OK);
    assert_int_equal(c.rope.kind, ROPE_LLAMA3);
}

static void other_families(void **state)
{
    (void)state;
    static const char *const files[] = {
        "full/distilgpt2.config.json",
        "full/gemma-modified-infini-mini.config.json",
        "full/mosaicml_mpt-7b_config.json",
        "full/phi-2-old-phi-msft-GPTQ.config.json",
        "full/phi-2.config.json",
        "full/phi-3-mini-4k-instruct.config.json",
        "full/qwen2.5-0.5B-Instruct.config.json",
        "full/tiiuae_falcon-40b_config.json",
        "ipex_reduced/baichuan/config.json",
        "ipex_reduced/deepseekv3/config.json",
        "ipex_reduced/mixtral/config.json",
        "ipex_reduced/qwen3/config.json",
        "ipex_reduced/phi3/config.json",
        "ipex_reduced/gptneox/config.json",
    };
    for (int i = 0; i < COUNT_OF(files); i++) {
        struct model_config c;
        int status = read_file(files[i], &c);
        if (status < 0)
            skip();
        assert_int_equal(status, ERR_FORMAT);
        assert_non_null(strstr(status_message(), "model_type"));
    }
}

/* --- writing and changing -------------------------------------------------------------------- */

static void round_trip(const char *json)
{
    struct model_config c = read_ok(json);
    struct buffer text = {0};
    assert_int_equal(config_to_json(&c, "bfloat16", &text), OK);
    struct model_config again = read_ok(text.bytes);
    snprintf(c.dtype, sizeof c.dtype, "bfloat16");
    assert_string_equal(again.model_type, c.model_type);
    assert_string_equal(again.dtype, c.dtype);
    assert_memory_equal(&again.vocab_size, &c.vocab_size,
                        offsetof(struct model_config, rms_norm_eps) -
                            offsetof(struct model_config, vocab_size));
    assert_true(again.rms_norm_eps == c.rms_norm_eps);
    assert_int_equal(again.rope.kind, c.rope.kind);
    assert_int_equal(again.rope.original_length, c.rope.original_length);
    const double *a = &again.rope.theta, *b = &c.rope.theta;
    for (int i = 0; i < 9; i++)
        assert_true(a[i] == b[i]);
    assert_int_equal(again.rope.truncate, c.rope.truncate);
    assert_int_equal(again.tie_word_embeddings, c.tie_word_embeddings);
    assert_int_equal(again.attention_bias, c.attention_bias);
    assert_int_equal(again.mlp_bias, c.mlp_bias);
    assert_int_equal(again.bos_token_id, c.bos_token_id);
    assert_int_equal(again.eos_count, c.eos_count);
    assert_memory_equal(again.eos_ids, c.eos_ids, (size_t)c.eos_count * sizeof c.eos_ids[0]);
    buffer_free(&text);
}

static void written_and_read(void **state)
{
    (void)state;
    round_trip("{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, "
               "\"tie_word_embeddings\": true, \"eos_token_id\": [1, 2], \"head_dim\": 32}");
    round_trip("{\"model_type\": \"mistral\", \"sliding_window\": 17, \"eos_token_id\": null}");
    round_trip("{\"model_type\": \"mistral\", \"sliding_window\": null, \"rms_norm_eps\": 1e-5}");
    round_trip(WITH("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}"));
    round_trip(WITH("\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}"));
    round_trip(WITH("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
                    "\"low_freq_factor\": 1, \"high_freq_factor\": 4, "
                    "\"original_max_position_embeddings\": 1024}"));
    round_trip(WITH("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8, \"mscale\": 0.7, "
                    "\"mscale_all_dim\": 0.9, \"attention_factor\": 1.1, \"truncate\": false}"));
}

static void changed(const char *from, const char *to)
{
    const struct config_edit edits[] = {{"vocab_size", "99", NULL},
                                        {"dtype", "\"float32\"", "torch_dtype"}};
    struct buffer text = {0};
    assert_int_equal(config_edit_json(from, strlen(from), edits, 2, &text), OK);
    assert_string_equal(text.bytes, to);
    buffer_free(&text);
}

static void edits(void **state)
{
    (void)state;
    changed("{\"a\": [1, {}], \"torch_dtype\" : \"bfloat16\" ,\n\"vocab_size\":5}\n",
            "{\"a\": [1, {}], \"torch_dtype\" : \"float32\" ,\n\"vocab_size\":99}\n");
    changed("{\n  \"dtype\": null, \"torch_dtype\": {\"vocab_size\": 1}, \"b\": NaN\n}",
            "{\n  \"dtype\": \"float32\", \"torch_dtype\": \"float32\", \"b\": NaN,\n"
            "  \"vocab_size\": 99\n}");
    changed("{}", "{\n  \"vocab_size\": 99,\n  \"dtype\": \"float32\"}");
    struct buffer text = {0};
    assert_int_equal(config_edit_json("[1]", 3, NULL, 0, &text), ERR_FORMAT);
    buffer_free(&text);
}

/* --- broken input ---------------------------------------------------------------------------- */

static const char sample[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"attention_bias\": false, \"bos_token_id\": 1, "
    "\"eos_token_id\": [2, 3], \"head_dim\": 64, \"hidden_act\": \"silu\", \"hidden_size\": 2048, "
    "\"model_type\": \"llama\", \"num_attention_heads\": 32, \"rms_norm_eps\": 1e-05, "
    "\"rope_scaling\": {\"factor\": 32.0, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "
    "\"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\"}, "
    "\"rope_theta\": 500000.0, \"torch_dtype\": \"bfloat16\", \"x\": {\"y\": [null, NaN]}}";

static int parse(const char *bytes, size_t length)
{
    struct model_config c;
    const struct config_edit edit = {"vocab_size", "99", NULL};
    struct buffer text = {0};
    int status = config_from_json(bytes, length, &c);
    if (!status)
        status = config_edit_json(bytes, length, &edit, 1, &text);
    buffer_free(&text);
    return status;
}

static void broken_input(void **state)
{
    (void)state;
    bad_input_sweep(sample, sizeof sample - 1, sizeof sample, 1 << 16, parse);
}

static int all_of_it(void *ctx)
{
    (void)ctx;
    struct model_config c;
    struct buffer text = {0};
    TRY(config_from_json(sample, sizeof sample - 1, &c));
    int status = config_to_json(&c, "float32", &text);
    buffer_free(&text);
    return status ? status : parse(sample, sizeof sample - 1);
}

static void no_memory(void **state)
{
    (void)state;
    memory_sweep(all_of_it, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_left_out),  cmocka_unit_test(nulls),
        cmocka_unit_test(end_of_text),    cmocka_unit_test(types_of_weights),
        cmocka_unit_test(rotary),         cmocka_unit_test(yarn),
        cmocka_unit_test(refused),        cmocka_unit_test(real_files),
        cmocka_unit_test(other_families), cmocka_unit_test(written_and_read),
        cmocka_unit_test(edits),          cmocka_unit_test(broken_input),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
