/* json.c -- the pull parser: the public suite, events, refusals, numbers, broken input. */
#include "engine/core/json.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int parse_with(const char *bytes, size_t length, const struct json_options *options)
{
    struct json j;
    json_begin(&j, bytes, length, options);
    int status;
    do {
        status = json_next(&j);
    } while (!status && j.kind != JSON_END);
    json_free(&j);
    return status;
}

static int parse(const char *bytes, size_t length)
{
    return parse_with(bytes, length, NULL);
}

static int parse_text(const char *text)
{
    return parse(text, strlen(text));
}

static void public_suite(void **state)
{
    (void)state;
    struct json_options duplicates = {.duplicates = true};
    const char *folder = shared_path("data/json_test_suite/test_parsing");
    if (!folder)
        skip();
    DIR *d = opendir(folder);
    struct dirent *e;
    int yes = 0, no = 0, either = 0;
    assert_non_null(d);
    while ((e = readdir(d))) {
        char path[1400], *bytes;
        size_t length;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(file_read(path, 0, &bytes, &length), OK);
        bool twice = strstr(e->d_name, "duplicated_key") != NULL;
        int status = parse_with(bytes, length, twice ? &duplicates : NULL);
        if (twice)
            assert_int_equal(parse(bytes, length), ERR_FORMAT);
        mem_free(bytes);
        if (e->d_name[0] == 'y' && status)
            fail_msg("%s: refused: %s", e->d_name, status_message());
        if (e->d_name[0] == 'n' && !status)
            fail_msg("%s: accepted", e->d_name);
        yes += e->d_name[0] == 'y';
        no += e->d_name[0] == 'n';
        either += e->d_name[0] == 'i';
    }
    closedir(d);
    assert_int_equal(yes, 95);
    assert_int_equal(no, 188);
    assert_int_equal(either, 35);
}

static void event_order(void **state)
{
    (void)state;
    const char *text = "\xEF\xBB\xBF {\"a\\u0062\": [1, -2.5e3, \"x\\ud83d\\ude00\"], \"c\": {}, "
                       "\"d\": true, \"e\": null}";
    static const struct {
        enum json_kind kind;
        const char *text;
    } want[] = {
        {JSON_OBJECT, NULL},     {JSON_KEY, "ab"},        {JSON_ARRAY, NULL},
        {JSON_NUMBER, "1"},      {JSON_NUMBER, "-2.5e3"}, {JSON_STRING, "x\xF0\x9F\x98\x80"},
        {JSON_ARRAY_END, NULL},  {JSON_KEY, "c"},         {JSON_OBJECT, NULL},
        {JSON_OBJECT_END, NULL}, {JSON_KEY, "d"},         {JSON_BOOL, NULL},
        {JSON_KEY, "e"},         {JSON_NULL, NULL},       {JSON_OBJECT_END, NULL},
        {JSON_END, NULL},        {JSON_END, NULL}};
    struct json j;
    json_begin(&j, text, strlen(text), NULL);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(json_next(&j), OK);
        assert_int_equal(j.kind, want[i].kind);
        assert_true(want[i].text ? json_is(&j, want[i].text) : j.text == NULL);
    }
    json_free(&j);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"a\": 1, \"\\u0061\": 2}", "line 1, column 10: the key 'a' occurs twice in one object"},
        {"[1,\n 2 3]", "line 2, column 4: expected ',' or ']', found '3'"},
        {"[\"\\ud800\"]", "line 1, column 9: half a surrogate pair (\\uD800) in a text"},
        {"[\"\xC3\x28\"]", "line 1, column 3: byte 0xC3 is not UTF-8"},
        {"[\"\xE2\x82", "line 1, column 3: byte 0xE2 is not UTF-8"},
        {"[NaN]", "line 1, column 2: expected a value, found 'N'"},
        {"{\"a\" 1}", "line 1, column 6: expected ':' after a key, found '1'"},
        {"", "line 1, column 1: expected a value, found the end of the text"},
        {"1 2", "line 1, column 3: expected the end of the text, found '2'"},
        {"[\"a\tb\"]",
         "line 1, column 4: expected no raw control character in a text, found byte 0x09"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse_text(cases[i].text), ERR_FORMAT);
        assert_string_equal(status_message(), cases[i].message);
    }
    char deep[JSON_DEPTH + 2];
    memset(deep, '[', sizeof deep);
    assert_int_equal(parse(deep, sizeof deep), ERR_FORMAT);
    assert_string_equal(status_message(), "line 1, column 65: nested deeper than 64 levels");
    assert_int_equal(parse_text("[{\"a\":1},{\"a\":2,\"b\":{\"a\":3}}]"), OK);
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        int64_t integer;
    } cases[] = {{"5", OK, 5},
                 {"-7", OK, -7},
                 {"5.0", OK, 5},
                 {"1e3", OK, 1000},
                 {"5.5", ERR_FORMAT, 0},
                 {"9223372036854775807", OK, INT64_MAX},
                 {"9223372036854775808", ERR_FORMAT, 0},
                 {"1000000000000000019884624838656", ERR_FORMAT, 0},
                 {"\"5\"", ERR_FORMAT, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json j;
        int64_t out = 0;
        json_begin(&j, cases[i].text, strlen(cases[i].text), NULL);
        assert_int_equal(json_next(&j), OK);
        assert_int_equal(json_int(&j, "n", &out), cases[i].status);
        assert_int_equal(out, cases[i].integer);
        json_free(&j);
    }
    struct json_options nan = {.nan = true};
    const char *text = "[NaN, Infinity, -Infinity, 0.1, 1e400]";
    double want[] = {0, INFINITY, -INFINITY, 0.1, INFINITY}, d;
    struct json j;
    json_begin(&j, text, strlen(text), &nan);
    assert_int_equal(json_open(&j, JSON_ARRAY, NULL), OK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(json_take_double(&j, "n", &d), OK);
        assert_true(i == 0 ? isnan(d) : d == want[i]);
    }
    json_free(&j);
}

static void many_keys(void **state)
{
    (void)state;
    size_t bytes = 16 * 200000, n = 0;
    char *text = mem_alloc(bytes);
    assert_non_null(text);
    text[n++] = '{';
    for (int i = 0; i < 200000; i++)
        n += (size_t)snprintf(text + n, bytes - n, "%s\"%06x\":%d", i ? "," : "", i, i % 10);
    text[n++] = '}';
    assert_int_equal(parse(text, n), OK);
    memcpy(text + n - 10, "\"000000\":", 9); /* the last key becomes the first */
    assert_int_equal(parse(text, n), ERR_FORMAT);
    mem_free(text);
}

static const char sample[] =
    "{\"a\\n\": [1, -2.5e3, \"x\\ud83d\\ude00\xC3\xA9\"], \"c\": {\"d\": [[], {}]}, \"d\": true, "
    "\"e\": null, \"f\": false, \"\": 0}";

static void broken_input(void **state)
{
    (void)state;
    bad_input_sweep(sample, sizeof sample - 1, sizeof sample, 1 << 16, parse);
}

static int parse_sample(void *ctx)
{
    (void)ctx;
    return parse(sample, sizeof sample - 1);
}

static void no_memory(void **state)
{
    (void)state;
    memory_sweep(parse_sample, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_suite), cmocka_unit_test(event_order),
        cmocka_unit_test(refusals),     cmocka_unit_test(numbers),
        cmocka_unit_test(many_keys),    cmocka_unit_test(broken_input),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
