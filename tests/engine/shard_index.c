/* shard_index.c -- the index of a model in several files: what is read, what is refused. */
#include "engine/formats/shard_index.h"
#include "kernels/base/mem.h"
#include "kernels/base/status.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char sample[] =
    "{\n  \"metadata\": {\"total_size\": 12, \"total_parameters\": 3, \"x\": [NaN]},\n"
    "  \"weight_map\": {\n"
    "    \"b\": \"model-00002-of-00002.safetensors\",\n"
    "    \"a\": \"model-00001-of-00002.safetensors\",\n"
    "    \"c\": \"model-00002-of-00002.safetensors\"\n  }\n}\n";

static int parse_all(const char *bytes, size_t length)
{
    struct shard_index *s;
    int status = shard_index_parse(bytes, length, &s);
    if (!status)
        shard_index_free(s);
    return status;
}

static void values(void **state)
{
    (void)state;
    struct shard_index *s;
    assert_int_equal(shard_index_parse(sample, strlen(sample), &s), OK);
    assert_int_equal(shard_index_files(s), 2);
    assert_string_equal(shard_index_file(s, 0), "model-00002-of-00002.safetensors");
    assert_string_equal(shard_index_file(s, 1), "model-00001-of-00002.safetensors");
    assert_int_equal(shard_index_count(s), 3);
    int64_t a = shard_index_find(s, "a"), c = shard_index_find(s, "c");
    assert_string_equal(shard_index_name(s, a), "a");
    assert_int_equal(shard_index_file_of(s, a), 1);
    assert_int_equal(shard_index_file_of(s, c), 0);
    assert_int_equal(shard_index_find(s, "d"), -1);
    shard_index_free(s);
}

/* The sample with its first file name replaced. */
static void file_refused(const char *name, const char *message)
{
    char text[600];
    snprintf(text, sizeof text, "{\"weight_map\":{\"a\":\"%s\"}}", name);
    int status = parse_all(text, strlen(text));
    if (status != ERR_FORMAT || !strstr(status_message(), message))
        fail_msg("%s: status %d, message '%s', wanted '%s'", name, status, status_message(),
                 message);
}

static void names_that_leave_the_folder(void **state)
{
    (void)state;
    file_refused("../other.safetensors", "wanted a plain file name");
    file_refused("/etc/x.safetensors", "wanted a plain file name");
    file_refused("a/b.safetensors", "wanted a plain file name");
    file_refused("a\\u002fb.safetensors", "wanted a plain file name");
    file_refused("..", "wanted a plain file name");
    file_refused("", "wanted a plain file name");
    file_refused("x\\u0000.safetensors", "no zero byte");
    file_refused("model.bin", "ends in .safetensors");
    file_refused(".safetensors", "ends in .safetensors");
    char longest[301];
    memset(longest, 'x', 300);
    longest[300] = '\0';
    file_refused(longest, "300 bytes");
}

static void refused(const char *json, const char *message)
{
    int status = parse_all(json, strlen(json));
    if (status != ERR_FORMAT || !strstr(status_message(), message))
        fail_msg("%s: status %d, message '%s', wanted '%s'", json, status, status_message(),
                 message);
}

static void refusals(void **state)
{
    (void)state;
    refused("", "expected a value");
    refused("[]", "expected an object");
    refused("{}", "no weight_map");
    refused("{\"weight_map\":{}}", "no weight_map with tensors");
    refused("{\"weight_map\":[]}", "expected an object");
    refused("{\"weight_map\":{\"a\":1}}", "expected text");
    refused("{\"weight_map\":{\"a\":\"m.safetensors\",\"a\":\"m.safetensors\"}}", "'a'");
    refused("{\"weight_map\":{\"a\":\"m.safetensors\"}} x", "the end of the text");
    refused("{\"weight_map\":{\"a\":\"m.safetensors\"},\"weight_map\":{}}", "weight_map");
}

static void many_files(void **state)
{
    (void)state;
    size_t room = 1001 * 48 + 32, n;
    char *text = mem_alloc(room);
    assert_non_null(text);
    for (int files = 1000; files <= 1001; files++) {
        n = (size_t)snprintf(text, room, "{\"weight_map\":{");
        for (int i = 0; i < files; i++)
            n += (size_t)snprintf(text + n, room - n, "%s\"t%d\":\"m%d.safetensors\"", i ? "," : "",
                                  i, i);
        n += (size_t)snprintf(text + n, room - n, "}}");
        assert_int_equal(parse_all(text, n), files == 1000 ? OK : ERR_FORMAT);
    }
    assert_non_null(strstr(status_message(), "more than 1000 files"));
    mem_free(text);
}

static void broken_input(void **state)
{
    (void)state;
    bad_input_sweep(sample, strlen(sample), 4096, 1 << 20, parse_all);
}

static int parse_sample(void *ctx)
{
    (void)ctx;
    return parse_all(sample, strlen(sample));
}

static void no_memory(void **state)
{
    (void)state;
    memory_sweep(parse_sample, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),       cmocka_unit_test(names_that_leave_the_folder),
        cmocka_unit_test(refusals),     cmocka_unit_test(many_files),
        cmocka_unit_test(broken_input), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
