/* lora_json.c -- adapter_config.json: what PEFT wrote in any year, what is refused, what we write,
 * and damaged texts. */
#include "engine/adapt/lora_json.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* As PEFT 0.21 writes it. */
static const char recent[] =
    "{\n  \"alora_invocation_tokens\": null,\n  \"alpha_pattern\": {\"k_proj\": 32, "
    "\"layers.0.*v_proj\": 1.5},\n  \"arrow_config\": null,\n  \"auto_mapping\": null,\n  "
    "\"base_model_name_or_path\": \"org/base\",\n  \"bias\": \"lora_only\",\n  \"corda_config\": "
    "null,\n  \"ensure_weight_tying\": false,\n  \"eva_config\": null,\n  \"exclude_modules\": "
    "\".*layers\\\\.1.*\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n  "
    "\"init_lora_weights\": \"gaussian\",\n  \"layer_replication\": null,\n  \"layers_pattern\": "
    "\"layers\",\n  \"layers_to_transform\": [0, 2],\n  \"loftq_config\": {},\n  \"lora_alpha\": "
    "16,\n  \"lora_bias\": false,\n  \"lora_dropout\": 0.05,\n  \"megatron_config\": null,\n  "
    "\"megatron_core\": \"megatron.core\",\n  \"modules_to_save\": [\"lm_head\"],\n  "
    "\"peft_type\": \"LORA\",\n  \"peft_version\": \"0.21.2\",\n  \"qalora_group_size\": 16,\n  "
    "\"r\": 4,\n  \"rank_pattern\": {\"q_proj\": 2},\n  \"revision\": \"main\",\n  "
    "\"target_modules\": [\"q_proj\", \"v_proj\"],\n  \"target_parameters\": null,\n  "
    "\"task_type\": \"CAUSAL_LM\",\n  \"trainable_token_indices\": null,\n  \"use_bdlora\": "
    "null,\n  "
    "\"use_dora\": false,\n  \"use_qalora\": false,\n  \"use_rslora\": true\n}";

static int parse(const char *text, struct lora_config *c, struct buffer *notes)
{
    return lora_json_parse(text, strlen(text), c, notes);
}

static void reads_recent(void **state)
{
    (void)state;
    struct lora_config c;
    struct buffer notes = {0};
    if (parse(recent, &c, &notes))
        fail_msg("%s", status_message());
    assert_int_equal(notes.length, 0);
    assert_int_equal(c.r, 4);
    assert_true(c.lora_alpha == 16 && c.lora_dropout == 0.05 && c.use_rslora && c.inference_mode);
    assert_string_equal(c.bias, "lora_only");
    assert_string_equal(c.init_lora_weights, "gaussian");
    assert_string_equal(c.base_model_name_or_path, "org/base");
    assert_string_equal(c.revision, "main");
    assert_int_equal(c.target_modules.count, 2);
    assert_false(c.target_modules.single);
    assert_true(c.exclude_modules.single);
    assert_string_equal(c.exclude_modules.items[0], ".*layers\\.1.*");
    assert_int_equal(c.layers_to_transform.count, 2);
    assert_string_equal(c.layers_to_transform.items[1], "2");
    assert_string_equal(c.layers_pattern.items[0], "layers");
    assert_string_equal(c.modules_to_save.items[0], "lm_head");
    assert_int_equal(c.alpha_pattern.count, 2);
    assert_string_equal(c.alpha_pattern.items[0].name, "k_proj"); /* the file's order */
    assert_true(c.alpha_pattern.items[1].value == 1.5);
    options_free(&lora_options, &c);
}

static void reads_old(void **state)
{
    (void)state;
    struct lora_config c;
    static const char old[] =
        "{\"base_model_name_or_path\": \"x\", \"bias\": \"none\", \"enable_lora\": null, "
        "\"fan_in_fan_out\": false, \"inference_mode\": true, \"init_lora_weights\": true, "
        "\"lora_alpha\": 16, \"lora_dropout\": 0.1, \"merge_weights\": false, "
        "\"modules_to_save\": null, \"peft_type\": \"LORA\", \"r\": 8, \"target_modules\": "
        "[\"q_proj\"], \"task_type\": null}";
    if (parse(old, &c, NULL))
        fail_msg("%s", status_message());
    assert_int_equal(c.r, 8);
    assert_string_equal(c.task_type, "CAUSAL_LM");
    assert_int_equal(c.rank_pattern.count, 0);
    options_free(&lora_options, &c);
    if (parse("{\"peft_type\": \"LORA\", \"layers_to_transform\": 3, \"target_modules\": "
              "[\"q\"]}",
              &c, NULL))
        fail_msg("%s", status_message());
    assert_int_equal(c.layers_to_transform.count, 1);
    assert_true(c.r == 8 && c.lora_alpha == 8);
    options_free(&lora_options, &c);
    /* one text is a pattern; a plain name is a list of one */
    if (parse("{\"peft_type\":\"LORA\",\"target_modules\":\"all-linear\"}", &c, NULL))
        fail_msg("%s", status_message());
    assert_false(c.target_modules.single);
    options_free(&lora_options, &c);
}

static void notes_on(const char *text, const char *words)
{
    struct lora_config c;
    struct buffer notes = {0};
    if (parse(text, &c, &notes))
        fail_msg("%s: %s", text, status_message());
    assert_int_equal(buffer_close(&notes), OK);
    if (!*words ? notes.length != 0 : !strstr(notes.bytes ? notes.bytes : "", words))
        fail_msg("%s: noted '%s', wanted '%s'", text, notes.bytes, words);
    buffer_free(&notes);
    options_free(&lora_options, &c);
}

static void notes(void **state)
{
    (void)state;
    notes_on("{\"peft_type\": \"LORA\", \"something_new\": 3}", "'something_new' is unknown");
    notes_on("{\"peft_type\": \"LORA\", \"something_new\": {\"a\": [1]}}", "'something_new'");
    notes_on("{\"peft_type\": \"LORA\", \"something_new\": null}", "");
    notes_on("{\"peft_type\": \"LORA\", \"something_new\": false}", "");
    notes_on("{\"peft_type\": \"LORA\", \"init_lora_weights\": \"eva\", \"eva_config\": {\"rho\": "
             "2}}",
             "init_lora_weights = 'eva' only matters before training");
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "line 1"},
        {"[]", "an adapter's configuration"},
        {"{}", "no peft_type"},
        {"{\"r\": 8}", "no peft_type"},
        {"{\"peft_type\": \"IA3\"}", "peft_type = 'IA3' is not one of the choices"},
        {"{\"peft_type\": \"LORA\"", "line 1"},
        {"{\"peft_type\": \"LORA\"} x", "line 1"},
        {"{\"peft_type\": \"LORA\", \"peft_type\": \"LORA\"}", "twice"},
        {"{\"peft_type\": \"LORA\", \"task_type\": \"SEQ_CLS\"}", "task_type"},
        {"{\"peft_type\": \"LORA\", \"use_dora\": true}", "use_dora = true is not available"},
        {"{\"peft_type\": \"LORA\", \"lora_bias\": true}", "lora_bias = true is not available"},
        {"{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa\"}", "pissa is not available"},
        {"{\"peft_type\": \"LORA\", \"init_lora_weights\": \"olora\"}", "olora is not available"},
        {"{\"peft_type\": \"LORA\", \"loftq_config\": {\"loftq_bits\": 4}}", "loftq_config is set"},
        {"{\"peft_type\": \"LORA\", \"trainable_token_indices\": [1, 2]}",
         "modules_to_save = {\"embed_tokens\"}"},
        {"{\"peft_type\": \"LORA\", \"target_parameters\": [\"a\"]}", "target_parameters is set"},
        {"{\"peft_type\": \"LORA\", \"layer_replication\": [[0, 4]]}", "layer_replication is set"},
        {"{\"peft_type\": \"LORA\", \"use_bdlora\": {\"a\": 1}}", "use_bdlora"},
        {"{\"peft_type\": \"LORA\", \"r\": \"8\"}", "r wants an integer"},
        {"{\"peft_type\": \"LORA\", \"r\": 8.5}", "r wants an integer"},
        {"{\"peft_type\": \"LORA\", \"r\": 0}", "out of range"},
        {"{\"peft_type\": \"LORA\", \"r\": 1e300}", "r wants an integer"},
        {"{\"peft_type\": \"LORA\", \"r\": NaN}", "r"},
        {"{\"peft_type\": \"LORA\", \"lora_alpha\": Infinity}", "lora_alpha"},
        {"{\"peft_type\": \"LORA\", \"lora_dropout\": 1.0}", "out of range"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": {\"a\": 1}}", "target_modules: expected"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [[\"a\"]]}", "target_modules: expected"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [null]}", "target_modules: expected"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"a\\u0000b\"]}", "holds a NUL"},
        {"{\"peft_type\": \"LORA\", \"rank_pattern\": [1]}", "rank_pattern: expected"},
        {"{\"peft_type\": \"LORA\", \"rank_pattern\": {\"a\": \"b\"}}", "rank_pattern"},
        {"{\"peft_type\": \"LORA\", \"rank_pattern\": {\"a\": 0}}", "'a' = 0 is out of range"},
        {"{\"peft_type\": \"LORA\", \"rank_pattern\": {\"a\": 2.5}}", "wanted a whole number"},
        {"{\"peft_type\": \"LORA\", \"layers_to_transform\": [-1]}", "no layer number"},
        {"{\"peft_type\": \"LORA\", \"layers_to_transform\": [\"x\"]}", "no layer number"},
        {"{\"peft_type\": \"LORA\", \"layers_to_transform\": [1], \"target_modules\": \".*q\"}",
         "layers_to_transform works with a list of names"},
        {"{\"peft_type\": \"LORA\", \"layers_pattern\": \"h\"}", "layers_pattern needs"},
        {"{\"peft_type\": \"LORA\", \"bias\": \"some\"}", "bias = 'some' is not one of"},
        {"{\"peft_type\": \"LORA\", \"use_rslora\": 1}", "use_rslora wants true or false"},
    };
    int64_t blocks = mem_stats().live_blocks;
    for (int i = 0; i < COUNT_OF(cases); i++) {
        struct lora_config c;
        int status = parse(cases[i].text, &c, NULL);
        assert_true(status == ERR_FORMAT || status == ERR_ARG);
        if (!strstr(status_message(), cases[i].words))
            fail_msg("%s: '%s' does not say '%s'", cases[i].text, status_message(), cases[i].words);
        assert_int_equal(mem_stats().live_blocks, blocks);
    }
}

static void writes(void **state)
{
    (void)state;
    struct lora_config c, again;
    struct buffer text = {0}, second = {0};
    static const char wanted[] =
        "{\n  \"alpha_pattern\": {\n    \"k_proj\": 32,\n    \"layers.0.*v_proj\": 1.5\n  },\n"
        "  \"auto_mapping\": null,\n  \"base_model_name_or_path\": \"some/base\",\n"
        "  \"bias\": \"lora_only\",\n  \"exclude_modules\": \".*layers\\\\.1.*\",\n"
        "  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
        "  \"init_lora_weights\": \"gaussian\",\n  \"layer_replication\": null,\n"
        "  \"layers_pattern\": [\n    \"layers\"\n  ],\n"
        "  \"layers_to_transform\": [\n    0,\n    2\n  ],\n  \"loftq_config\": {},\n"
        "  \"lora_alpha\": 16,\n  \"lora_bias\": false,\n  \"lora_dropout\": 0.05,\n"
        "  \"megatron_config\": null,\n  \"megatron_core\": \"megatron.core\",\n"
        "  \"modules_to_save\": [\n    \"lm_head\"\n  ],\n  \"peft_type\": \"LORA\",\n"
        "  \"peft_version\": \"0.17.0\",\n  \"r\": 4,\n"
        "  \"rank_pattern\": {\n    \"q_proj\": 2\n  },\n  \"revision\": \"main\",\n"
        "  \"target_modules\": [\n    \"q_proj\",\n    \"v_proj\"\n  ],\n"
        "  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n  \"use_rslora\": true\n}";
    assert_int_equal(parse(recent, &c, NULL), OK);
    assert_int_equal(lora_json_write(&c, "some/base", &text), OK);
    assert_int_equal(buffer_close(&text), OK);
    assert_string_equal(text.bytes, wanted);
    if (lora_json_parse(text.bytes, (size_t)text.length, &again, NULL))
        fail_msg("%s", status_message());
    assert_int_equal(lora_json_write(&again, "some/base", &second), OK);
    assert_int_equal(second.length, text.length);
    assert_memory_equal(second.bytes, text.bytes, (size_t)text.length);
    buffer_free(&text);
    buffer_free(&second);
    options_free(&lora_options, &again);
    options_free(&lora_options, &c);
}

static void writes_defaults(void **state)
{
    (void)state;
    struct lora_config c;
    struct buffer text = {0};
    static const char *const lines[] = {
        "\"alpha_pattern\": {},",     "\"base_model_name_or_path\": null,",
        "\"exclude_modules\": null,", "\"init_lora_weights\": true,",
        "\"layers_pattern\": null,",  "\"layers_to_transform\": null,",
        "\"lora_alpha\": 8,",         "\"lora_dropout\": 0.0,",
        "\"modules_to_save\": null,", "\"rank_pattern\": {},",
        "\"revision\": null,",        "\"target_modules\": null,",
    };
    assert_int_equal(options_init(&lora_options, &c), OK);
    assert_int_equal(lora_json_write(&c, NULL, &text), OK);
    assert_int_equal(buffer_close(&text), OK);
    for (int i = 0; i < COUNT_OF(lines); i++)
        if (!strstr(text.bytes, lines[i]))
            fail_msg("%s is not in %s", lines[i], text.bytes);
    buffer_free(&text);
    options_free(&lora_options, &c);
}

/* --- damage ---------------------------------------------------------------------------------- */

static void try_bytes(const char *bytes, size_t length)
{
    struct lora_config c;
    struct buffer notes_of = {0};
    int64_t blocks = mem_stats().live_blocks;
    int status = lora_json_parse(bytes, length, &c, &notes_of);
    if (!status)
        options_free(&lora_options, &c);
    else if (status != ERR_FORMAT && status != ERR_ARG)
        fail_msg("status %d: %s", status, status_message());
    buffer_free(&notes_of);
    assert_int_equal(mem_stats().live_blocks, blocks);
}

static void damaged(void **state)
{
    (void)state;
    size_t length = strlen(recent);
    for (size_t n = 0; n < length; n++) {
        char *cut = mem_alloc(n); /* so that a sanitizer sees a read past the end */
        assert_non_null(cut);
        memcpy(cut, recent, n);
        try_bytes(cut, n);
        mem_free(cut);
    }
    char *copy = mem_text(recent, length);
    assert_non_null(copy);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        copy[bit / 8] ^= (char)(1 << (bit % 8));
        try_bytes(copy, length);
        copy[bit / 8] ^= (char)(1 << (bit % 8));
    }
    mem_free(copy);
}

static void memory(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 2000; n++) {
        struct lora_config c;
        struct buffer text = {0};
        mem_fail_at(n, 0);
        int status = parse(recent, &c, NULL);
        if (!status) {
            int written = lora_json_write(&c, "x", &text);
            if (!written)
                written = buffer_close(&text);
            assert_true(written == OK || written == ERR_MEMORY);
            options_free(&lora_options, &c);
        } else {
            assert_int_equal(status, ERR_MEMORY);
        }
        int64_t seen = mem_fail_at(0, 0);
        buffer_free(&text);
        assert_int_equal(mem_stats().live_blocks, 0);
        if (seen < n)
            return;
    }
    fail_msg("reading asks for memory without end");
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
        TEST(reads_recent), TEST(reads_old),       TEST(notes),   TEST(refuses),
        TEST(writes),       TEST(writes_defaults), TEST(damaged), TEST(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
