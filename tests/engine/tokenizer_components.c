/* tokenizer_components.c -- every component of tokenizer.json against the reference, on the small
 * tokenizers of tests/golden/tokenizer_components.jsonl (its script says what they are). */
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int wrong, cases, lines;

#define CHECK(expr)                                           \
    do {                                                      \
        if (expr)                                             \
            fail_msg("line %d: %s", lines, status_message()); \
    } while (0)

/* The next value of j as text (mem_free); null gives NULL. */
static char *take_text(struct json *j, size_t *n)
{
    CHECK(json_next(j));
    if (j->kind == JSON_NULL)
        return NULL;
    assert_int_equal(j->kind, JSON_STRING);
    char *text = mem_text(j->text, j->length);
    assert_non_null(text);
    *n = j->length;
    return text;
}

static void take_ids(struct json *j, struct id_list *list)
{
    list->count = 0;
    CHECK(json_open(j, JSON_ARRAY, "ids"));
    while (json_more(j)) {
        int64_t id;
        CHECK(json_take_int(j, "ids", &id));
        CHECK(id_list_add(list, (int32_t)id));
    }
    CHECK(json_open(j, JSON_ARRAY_END, "ids"));
}

static void show(const char *label, const struct id_list *list)
{
    printf("#   %s", label);
    for (int64_t i = 0; i < list->count; i++)
        printf(" %d", list->ids[i]);
    printf("\n");
}

static bool same(const struct id_list *a, const struct id_list *b)
{
    return a->count == b->count &&
           (a->count == 0 || !memcmp(a->ids, b->ids, (size_t)a->count * sizeof *a->ids));
}

/* Spans lie in the text, and do not run backwards. */
static void check_spans(const struct id_list *got, size_t n, const char *name)
{
    for (int64_t i = 0; i < got->count; i++)
        if (got->spans[i].start > got->spans[i].end || got->spans[i].end > (int64_t)n ||
            (i && got->spans[i].start < got->spans[i - 1].start))
            fail_msg("%s: span %d is %d to %d", name, (int)i, (int)got->spans[i].start,
                     (int)got->spans[i].end);
}

static void check_decoded(const struct tokenizer *t, const struct id_list *ids, const char *want,
                          size_t n, const char *name)
{
    struct text_buffer out = {0}, streamed = {0};
    struct token_stream s = {.held_bytes = 0};
    CHECK(tokenizer_decode(t, ids->ids, ids->count, false, &out));
    if (want && (out.length != (int64_t)n || memcmp(out.bytes, want, n) != 0)) {
        printf("# %s: decoded '%s', wanted '%s'\n", name, out.bytes, want);
        wrong++;
    }
    for (int64_t i = 0; i < ids->count; i++)
        CHECK(tokenizer_stream(t, &s, ids->ids[i], false, &streamed));
    CHECK(tokenizer_stream_finish(&s, &streamed));
    if (streamed.length != out.length ||
        (out.length && memcmp(out.bytes, streamed.bytes, (size_t)out.length) != 0)) {
        printf("# %s: streamed '%s', decoded '%s'\n", name, streamed.bytes, out.bytes);
        wrong++;
    }
    text_buffer_free(&out);
    text_buffer_free(&streamed);
}

static void one_case(struct tokenizer *t, struct json *j, const char *name)
{
    struct id_list want = {0}, got = {0};
    size_t n = 0, decoded_n = 0;
    CHECK(json_open(j, JSON_ARRAY, "a case"));
    char *text = take_text(j, &n);
    take_ids(j, &want);
    char *decoded = take_text(j, &decoded_n);
    CHECK(json_open(j, JSON_ARRAY_END, "a case"));
    CHECK(tokenizer_encode(t, text, n, TOKENIZER_PARSE_SPECIAL | TOKENIZER_SPANS, &got));
    check_spans(&got, n, name);
    if (!same(&want, &got)) {
        printf("# %s: '%s'\n", name, text);
        show("wanted", &want);
        show("got", &got);
        wrong++;
    } else {
        check_decoded(t, &got, decoded, decoded_n, name);
    }
    cases++;
    id_list_free(&want);
    id_list_free(&got);
    mem_free(text);
    mem_free(decoded);
}

static void one_pair(struct tokenizer *t, struct json *j, const char *name)
{
    struct id_list want = {0}, got = {0};
    size_t a_length = 0, b_length = 0;
    CHECK(json_open(j, JSON_ARRAY, "a pair"));
    char *a = take_text(j, &a_length), *b = take_text(j, &b_length);
    take_ids(j, &want);
    CHECK(json_open(j, JSON_ARRAY_END, "a pair"));
    CHECK(tokenizer_encode_pair(t, a, a_length, b, b_length,
                                TOKENIZER_PARSE_SPECIAL | TOKENIZER_ADD_SPECIAL, &got));
    if (!same(&want, &got)) {
        printf("# %s: '%s' and '%s'\n", name, a, b);
        show("wanted", &want);
        show("got", &got);
        wrong++;
    }
    cases++;
    id_list_free(&want);
    id_list_free(&got);
    mem_free(a);
    mem_free(b);
}

static void each(struct tokenizer *t, struct json *j, const char *name,
                 void (*one)(struct tokenizer *, struct json *, const char *))
{
    CHECK(json_open(j, JSON_ARRAY, name));
    while (json_more(j))
        one(t, j, name);
    CHECK(json_open(j, JSON_ARRAY_END, name));
}

static void one_line(const char *line, size_t length)
{
    struct json j;
    size_t n;
    struct tokenizer *t;
    lines++;
    json_begin(&j, line, length, NULL);
    CHECK(json_open(&j, JSON_OBJECT, NULL));
    CHECK(json_open(&j, JSON_KEY, NULL));
    char *name = take_text(&j, &n);
    CHECK(json_open(&j, JSON_KEY, NULL));
    CHECK(json_next(&j));
    size_t start = j.offset;
    CHECK(json_skip(&j));
    if (tokenizer_from_json(line + start, (size_t)(j.p - j.whole) - start, NULL, 0, &t))
        fail_msg("%s: %s", name, status_message());
    CHECK(json_open(&j, JSON_KEY, NULL));
    each(t, &j, name, one_case);
    CHECK(json_open(&j, JSON_KEY, NULL));
    each(t, &j, name, one_pair);
    json_free(&j);
    tokenizer_free(t);
    mem_free(name);
}

static void components(void **state)
{
    char *text;
    size_t length;
    (void)state;
    CHECK(file_read("tests/golden/tokenizer_components.jsonl", 0, &text, &length));
    for (char *line = text, *stop; (stop = strchr(line, '\n')) != NULL; line = stop + 1)
        one_line(line, (size_t)(stop - line));
    mem_free(text);
    assert_true(lines > 75);
    assert_true(cases > 1200);
    assert_int_equal(wrong, 0);
    assert_int_equal(mem_stats().live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(components)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
