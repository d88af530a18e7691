/* json_write.c -- JSON writing gives what Python's json.dumps gives. */
#include "engine/core/json_write.h"
#include "engine/core/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void write_sample(struct json_writer *w)
{
    json_write_open(w, NULL, '{');
    json_write_int(w, "a", -3);
    json_write_open(w, "b", '[');
    json_write_double(w, NULL, 1);
    json_write_text(w, NULL, "x");
    json_write_null(w, NULL);
    json_write_close(w);
    json_write_open(w, "c", '{');
    json_write_close(w);
    json_write_open(w, "d", '[');
    json_write_close(w);
    json_write_bool(w, "e", true);
    json_write_raw(w, "f", "[1]", 3);
    json_write_close(w);
}

static void expect(int indent, const char *wanted)
{
    struct buffer b = {0};
    struct json_writer w;
    json_write_begin(&w, &b, indent);
    write_sample(&w);
    assert_int_equal(buffer_close(&b), OK);
    assert_string_equal(b.bytes, wanted);
    buffer_free(&b);
}

static void layout(void **state)
{
    (void)state;
    expect(0, "{\"a\":-3,\"b\":[1.0,\"x\",null],\"c\":{},\"d\":[],\"e\":true,\"f\":[1]}");
    expect(-1,
           "{\"a\": -3, \"b\": [1.0, \"x\", null], \"c\": {}, \"d\": [], \"e\": true, \"f\": [1]}");
    expect(2, "{\n  \"a\": -3,\n  \"b\": [\n    1.0,\n    \"x\",\n    null\n  ],\n  \"c\": {},\n"
              "  \"d\": [],\n  \"e\": true,\n  \"f\": [1]\n}");
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0.0"},
                 {-0.0, "-0.0"},
                 {1, "1.0"},
                 {0.1, "0.1"},
                 {1e-4, "0.0001"},
                 {2e-5, "2e-05"},
                 {1.5e-5, "1.5e-05"},
                 {123456.75, "123456.75"},
                 {1e15, "1000000000000000.0"},
                 {1e16, "1e+16"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {5e-324, "5e-324"},
                 {0.30000000000000004, "0.30000000000000004"},
                 {100, "100.0"},
                 {NAN, "null"},
                 {INFINITY, "null"}};
    char text[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_number_text(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void quoting(void **state)
{
    (void)state;
    struct buffer b = {0};
    json_quote(&b, "a\"\\/\b\t\n\v\f\r\x1f\x7fé\0z", 16);
    assert_int_equal(buffer_close(&b), OK);
    assert_string_equal(b.bytes, "\"a\\\"\\\\/\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\xc3\xa9\\u0000z\"");
    buffer_free(&b);
}

/* What is written is read back. */
static void round_trip(void **state)
{
    (void)state;
    char all[256];
    for (int i = 0; i < 128; i++)
        all[i] = (char)i;
    struct buffer b = {0};
    struct json j;
    json_quote(&b, all, 128);
    assert_int_equal(buffer_close(&b), OK);
    json_begin(&j, b.bytes, (size_t)b.length, NULL);
    assert_int_equal(json_next(&j), OK);
    assert_int_equal(j.kind, JSON_STRING);
    assert_int_equal(j.length, 128);
    assert_memory_equal(j.text, all, 128);
    json_free(&j);
    buffer_free(&b);
}

static void too_deep(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct json_writer w;
    json_write_begin(&w, &b, 2);
    for (int i = 0; i <= JSON_WRITE_DEPTH; i++)
        json_write_open(&w, NULL, '[');
    assert_int_not_equal(buffer_close(&b), OK);
    buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),     cmocka_unit_test(numbers),  cmocka_unit_test(quoting),
        cmocka_unit_test(round_trip), cmocka_unit_test(too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
