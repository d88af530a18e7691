/* value.c -- value trees: making, sharing, long maps, JSON, broken input, no memory. */
#include "engine/core/value.h"
#include "engine/core/buffer.h"
#include "engine/core/json.h"
#include "kernels/base/mem.h"
#include "tests/engine/engine_util.h"
#include "tests/engine/shared_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct value *parsed(const char *json)
{
    struct value *v = NULL;
    CHECK(value_from_json(json, strlen(json), NULL, &v));
    return v;
}

static void making(void **state)
{
    (void)state;
    struct value *list = value_list(), *map = value_map();
    CHECK(value_map_set(map, "role", value_text("us\0r", 4)));
    CHECK(value_map_set(map, "n", value_int(3)));
    CHECK(value_map_set(map, "role", value_text("user", 4)));
    CHECK(value_map_set(map, "f", value_float(0.5)));
    assert_int_equal(map->as.map.count, 3);
    assert_true(value_is_text(map->as.map.entries[0].key, "role"));
    assert_true(value_is_text(value_map_get(map, "role"), "user"));
    assert_null(value_map_get(map, "none"));
    assert_null(value_map_get(list, "role"));
    CHECK(value_list_add(list, value_keep(map)));
    CHECK(value_list_add(list, value_none()));
    CHECK(value_list_add(list, value_bool(true)));
    assert_int_equal(list->height, 2);
    assert_int_equal(value_map_set(map, "late", value_int(1)), ERR_INTERNAL);
    assert_int_equal(value_list_add(map, value_int(1)), ERR_INTERNAL);
    assert_int_equal(value_list_add(list, NULL), ERR_MEMORY);
    assert_int_equal(value_list_add(NULL, value_int(1)), ERR_MEMORY);
    assert_int_equal(value_list_add(list, value_keep(list)), ERR_INTERNAL);
    value_drop(list);
    assert_true(value_is_text(value_map_get(map, "role"), "user"));
    value_drop(map);
    value_drop(NULL);
    assert_int_equal(mem_stats().live_blocks, 0);
}

static void deep(void **state)
{
    (void)state;
    struct value *v = value_list();
    for (int i = 1; i < VALUE_DEPTH; i++) {
        struct value *outer = value_list();
        CHECK(value_list_add(outer, v));
        v = outer;
    }
    struct value *outer = value_list();
    assert_int_equal(value_list_add(outer, value_keep(v)), ERR_ARG);
    value_drop(outer);
    value_drop(v);
    assert_int_equal(mem_stats().live_blocks, 0);
}

static void long_map(void **state)
{
    (void)state;
    struct value *map = value_map();
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        CHECK(value_map_set(map, key, value_int(i)));
    }
    CHECK(value_map_set(map, "key 500", value_int(-1)));
    assert_int_equal(map->as.map.count, 1000);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(value_map_get(map, key)->as.integer, i == 500 ? -1 : i);
        assert_true(value_is_text(map->as.map.entries[i].key, key));
    }
    assert_null(value_map_get(map, "key 1000"));
    value_drop(map);
}

static void equality(void **state)
{
    (void)state;
    static const char *const different[] = {
        "null",  "false", "true",      "0",         "1",
        "1.0",   "\"\"",  "\"a\"",     "[]",        "[1]",
        "[1,2]", "{}",    "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":[2]}"};
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        for (size_t k = 0; k < sizeof different / sizeof *different; k++) {
            struct value *a = parsed(different[i]), *b = parsed(different[k]);
            assert_int_equal(value_equal(a, b), i == k);
            value_drop(a);
            value_drop(b);
        }
    struct value *a = parsed("{\"a\":1,\"b\":[2]}"), *b = parsed("{\"b\":[2],\"a\":1}");
    assert_true(value_equal(a, b));
    value_drop(a);
    value_drop(b);
    a = value_float(NAN);
    assert_false(value_equal(a, a));
    value_drop(a);
}

static void json_numbers(void **state)
{
    (void)state;
    struct value *v = parsed("[5, 5.0, 1e3, 9223372036854775807, -9223372036854775808, "
                             "9223372036854775808, 1000000000000000019884624838656, -0]");
    static const uint8_t kinds[] = {VALUE_INT, VALUE_FLOAT, VALUE_FLOAT, VALUE_INT,
                                    VALUE_INT, VALUE_FLOAT, VALUE_FLOAT, VALUE_INT};
    for (int i = 0; i < 8; i++)
        assert_int_equal(v->as.list.items[i]->kind, kinds[i]);
    assert_true(v->as.list.items[3]->as.integer == INT64_MAX);
    assert_true(v->as.list.items[6]->as.number == 1000000000000000019884624838656.0);
    value_drop(v);
}

static void json_part(void **state)
{
    (void)state;
    const char *text = "{\"id\": 7, \"messages\": [{\"role\": \"user\"}, []], \"after\": 1}";
    struct json j;
    struct value *v = NULL;
    json_begin(&j, text, strlen(text), NULL);
    do
        CHECK(json_next(&j));
    while (!json_is(&j, "messages"));
    assert_int_equal(value_read(&j, &v), ERR_FORMAT);
    CHECK(json_next(&j));
    CHECK(value_read(&j, &v));
    assert_int_equal(j.kind, JSON_ARRAY_END);
    struct value *wanted = parsed("[{\"role\": \"user\"}, []]");
    assert_true(value_equal(v, wanted));
    CHECK(json_next(&j));
    assert_true(json_is(&j, "after"));
    json_free(&j);
    value_drop(v);
    value_drop(wanted);
}

static void writes(const char *json, const struct value_json *how, const char *wanted)
{
    struct buffer b = {0};
    struct value *v = NULL;
    struct json_options nan = {.nan = true};
    CHECK(value_from_json(json, strlen(json), &nan, &v));
    CHECK(value_to_json(v, how, &b));
    CHECK(buffer_close(&b));
    assert_string_equal(b.bytes, wanted);
    buffer_free(&b);
    value_drop(v);
}

/* The wanted texts are Python's. */
static void writing(void **state)
{
    (void)state;
    const char *text =
        "{\"b\":[1,2.0,1e-5,null,true,[],{}],\"a\":\"\\u00e9\\ud83d\\ude00\\u007f\\n\\\"\"}";
    writes(text, NULL,
           "{\"b\": [1, 2.0, 1e-05, null, true, [], {}], \"a\": "
           "\"\xc3\xa9\xf0\x9f\x98\x80\x7f\\n\\\"\"}");
    writes(
        text, &(struct value_json){.indent = 1, .sort_keys = true, .ascii = true},
        "{\n \"a\": \"\\u00e9\\ud83d\\ude00\\u007f\\n\\\"\",\n \"b\": [\n  1,\n  2.0,\n  1e-05,\n"
        "  null,\n  true,\n  [],\n  {}\n ]\n}");
    writes("[1, {\"x\": 2}]", &(struct value_json){.indent = -1, .separator = ",", .colon = ":"},
           "[1,{\"x\":2}]");
    writes("[1]", &(struct value_json){.indent = 0}, "[\n1\n]");
    writes("[NaN, -Infinity, 1e400]", NULL, "[NaN, -Infinity, Infinity]");
}

static const char seed[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi \\u00e9\\n\"}, "
    "{\"role\": \"assistant\", \"content\": null, \"n\": [1, -2.5e3, true]}], "
    "\"a\": 1, \"b\": 2, \"c\": 3, \"d\": 4, \"e\": 5, \"f\": 6, \"g\": 7, "
    "\"h\": 8, \"i\": {}, \"j\": 10}";

/* Reads, writes, and reads again: the same tree. */
static int parse(const char *bytes, size_t length)
{
    struct value *v = NULL, *again = NULL;
    struct buffer b = {0};
    int status = value_from_json(bytes, length, NULL, &v);
    if (!status)
        status = value_to_json(v, &(struct value_json){.indent = 2, .sort_keys = true}, &b);
    if (!status)
        status =
            value_from_json(b.bytes, (size_t)b.length, &(struct json_options){.nan = true}, &again);
    if (!status && !value_equal(v, again))
        fail_msg("written differently: %.*s", (int)b.length, b.bytes);
    value_drop(again);
    buffer_free(&b);
    value_drop(v);
    return status;
}

static void broken(void **state)
{
    (void)state;
    assert_int_equal(parse("", 0), ERR_FORMAT);
    assert_int_equal(parse("[1,]", 4), ERR_FORMAT);
    assert_int_equal(parse("1 2", 3), ERR_FORMAT);
    assert_int_equal(parse("{\"a\":1,\"a\":2}", 13), ERR_FORMAT);
    bad_input_sweep(seed, sizeof seed - 1, 4096, 1 << 20, parse);
}

static int work(void *ctx)
{
    (void)ctx;
    return parse(seed, sizeof seed - 1);
}

static void no_memory(void **state)
{
    (void)state;
    memory_sweep(work, NULL);
}

static void descriptions(void **state)
{
    (void)state;
    char out[64];
    struct value *v = parsed("[1, \"ab\", {}, 2.5, null]");
    assert_string_equal(value_describe(v, out, sizeof out), "a list of 5");
    assert_string_equal(value_describe(v->as.list.items[0], out, sizeof out), "the integer 1");
    assert_string_equal(value_describe(v->as.list.items[1], out, sizeof out), "the text 'ab'");
    assert_string_equal(value_describe(v->as.list.items[2], out, sizeof out), "a map of 0 keys");
    assert_string_equal(value_describe(v->as.list.items[3], out, sizeof out), "the number 2.5");
    assert_string_equal(value_describe(v->as.list.items[4], out, sizeof out), "none");
    value_drop(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(making),       cmocka_unit_test(deep),         cmocka_unit_test(long_map),
        cmocka_unit_test(equality),     cmocka_unit_test(json_numbers), cmocka_unit_test(json_part),
        cmocka_unit_test(broken),       cmocka_unit_test(writing),      cmocka_unit_test(no_memory),
        cmocka_unit_test(descriptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
