/* row_golden.c -- rows in every shape against TRL: ids and masks of public data with two families'
 * tokenizers and training templates (scripts/golden/rows.py makes the same rows). */
#include "engine/core/file.h"
#include "engine/core/json_write.h"
#include "engine/core/value.h"
#include "engine/data/readers.h"
#include "engine/data/row_encode.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 60

static struct table *read_table(const char *path)
{
    char full[600];
    const struct reader *r;
    struct reader_options o = READER_DEFAULTS;
    struct table *t = NULL;
    snprintf(full, sizeof full, "data/%s", path);
    const char *found = shared_path(full);
    if (!found)
        return NULL;
    if (reader_for_path(found, &r) || reader_file(r, found, &o, &t))
        fail_msg("%s", status_message());
    return t;
}

static struct table *lines_table(struct buffer *b)
{
    const struct reader *r;
    struct reader_options o = READER_DEFAULTS;
    struct table *t;
    assert_int_equal(reader_find("jsonl", &r), OK);
    assert_int_equal(b->status, OK);
    if (r->read(b->bytes, (size_t)b->length, &o, &t))
        fail_msg("%s", status_message());
    buffer_free(b);
    return t;
}

static void put_cell(struct buffer *b, const struct table *t, const char *column, int64_t row)
{
    size_t n;
    const char *text = column_text(t->columns[table_place(t, column)], row, &n);
    json_quote(b, text, n);
}

/* Rows of two columns as {"a": ..., "b": ...} around the given pieces of JSON. */
static struct table *made(const struct table *from, const char *before, const char *one,
                          const char *between, const char *two, const char *after)
{
    struct buffer b = {0};
    for (int64_t row = 0; row < ROWS; row++) {
        buffer_text(&b, before);
        put_cell(&b, from, one, row);
        buffer_text(&b, between);
        if (two)
            put_cell(&b, from, two, row);
        buffer_text(&b, after);
        buffer_text(&b, "\n");
    }
    return lines_table(&b);
}

/* Does a conversation hold nothing but human and gpt? */
static bool is_chat(const char *json, size_t length)
{
    struct value *v;
    bool all = true;
    assert_int_equal(value_from_json(json, length, NULL, &v), OK);
    for (int64_t i = 0; i < v->as.list.count; i++) {
        const struct value *from = value_map_get(v->as.list.items[i], "from");
        all = all && (value_is_text(from, "human") || value_is_text(from, "gpt"));
    }
    value_drop(v);
    return all;
}

static struct table *chats(const struct table *from)
{
    struct buffer b = {0};
    int64_t place = table_place(from, "conversations");
    for (int64_t row = 0, n = 0; row < from->rows && n < ROWS; row++) {
        size_t length;
        const char *json = column_text(from->columns[place], row, &length);
        if (!is_chat(json, length))
            continue;
        buffer_text(&b, "{\"conversations\": ");
        buffer_add(&b, json, length);
        buffer_text(&b, "}\n");
        n++;
    }
    return lines_table(&b);
}

struct data {
    struct table *alpaca, *counsel, *glaive;
};

/* The rows and options of a case by its name. */
static struct table *rows_of(const struct data *d, const char *name, struct row_options *o)
{
    *o = (struct row_options){.append_eos = true, .completion_only = true};
    if (!strcmp(name, "text"))
        return made(d->alpaca, "{\"text\": ", "output", "", NULL, "}");
    if (!strcmp(name, "messages"))
        return made(d->alpaca, "{\"messages\": [{\"role\": \"user\", \"content\": ", "instruction",
                    "}, {\"role\": \"assistant\", \"content\": ", "output", "}]}");
    if (!strcmp(name, "chat_pair"))
        return made(d->alpaca, "{\"prompt\": [{\"role\": \"user\", \"content\": ", "instruction",
                    "}], \"completion\": [{\"role\": \"assistant\", \"content\": ", "output",
                    "}]}");
    if (!strcmp(name, "assistant")) {
        o->assistant_only = true;
        return chats(d->glaive);
    }
    o->completion_only = strcmp(name, "pair_all") != 0;
    if (!strcmp(name, "cut")) {
        o->max_length = 100;
        o->keep_end = true;
    }
    return made(d->counsel, "{\"prompt\": ", "Context", ", \"completion\": ", "Response", "}");
}

static void adler(uint32_t sum[2], const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        sum[0] = (sum[0] + p[i]) % 65521;
        sum[1] = (sum[1] + sum[0]) % 65521;
    }
}

static void check(const struct data *d, struct tokenizer *t, char *part[7])
{
    struct row_options o;
    struct row_format f;
    struct row_encoder *encoder;
    struct examples *e;
    struct lint lint = {0};
    struct table *rows = rows_of(d, part[2], &o);
    assert_int_equal(row_format_find(rows, NULL, &f), OK);
    if (row_encoder_open(rows, &f, &o, t, &lint, &encoder))
        fail_msg("%s", status_message());
    assert_int_equal(examples_new(&e), OK);
    for (int64_t row = 0; row < rows->rows; row++)
        if (row_encode(encoder, row, e))
            fail_msg("%s %s: %s", part[0], part[2], status_message());
    uint32_t sum[2] = {1, 0};
    int64_t learned = 0;
    for (int64_t i = 0; i < e->count; i++) {
        const struct example *x = &e->items[i];
        adler(sum, e->ids + x->start, (size_t)x->tokens * 4); /* little-endian machines */
        adler(sum, e->learn + x->start, (size_t)x->tokens);
        for (int32_t k = 0; k < x->tokens; k++)
            learned += e->learn[x->start + k];
    }
    uint32_t all = sum[1] << 16 | sum[0];
    if (rows->rows != atoll(part[3]) || e->tokens != atoll(part[4]) || learned != atoll(part[5]) ||
        all != strtoul(part[6], NULL, 10))
        fail_msg("%s %s: %d rows, %d tokens, %d learned, sum %u; wanted %s, %s, %s, %s", part[0],
                 part[2], (int)rows->rows, (int)e->tokens, (int)learned, (unsigned)all, part[3],
                 part[4], part[5], part[6]);
    row_encoder_free(encoder);
    lint_finish(&lint);
    examples_free(e);
    table_free(rows);
}

static struct tokenizer *open_family(const char *folder, const char *template)
{
    char path[300], *text;
    size_t length;
    struct tokenizer *t;
    snprintf(path, sizeof path, "data/tokenizers/%s/tokenizer.json", folder);
    const char *found = shared_path(path);
    if (!found)
        return NULL;
    assert_int_equal(file_read(found, 0, &text, &length), OK);
    if (tokenizer_from_json(text, length, NULL, 0, &t))
        fail_msg("%s", status_message());
    mem_free(text);
    snprintf(path, sizeof path, "data/chat_templates/trl/%s.jinja", template);
    assert_int_equal(file_read(shared_path(path), 0, &text, &length), OK);
    assert_int_equal(tokenizer_set_chat_template(t, text), OK);
    mem_free(text);
    bool llama = !strncmp(folder, "llama", 5);
    const char *eos = llama ? "<|eot_id|>" : "<|im_end|>", *bos = "<|begin_of_text|>";
    assert_int_equal(tokenizer_set_special(t, TOKENIZER_EOS, tokenizer_find(t, eos, strlen(eos))),
                     OK);
    if (llama)
        assert_int_equal(
            tokenizer_set_special(t, TOKENIZER_BOS, tokenizer_find(t, bos, strlen(bos))), OK);
    return t;
}

static void against_trl(void **state)
{
    (void)state;
    char *bytes, *line, family[40] = "";
    size_t length;
    struct tokenizer *t = NULL;
    int cases = 0;
    struct data d = {read_table("llamafactory/alpaca_en_demo.json"), NULL, NULL};
    if (!d.alpaca)
        skip();
    d.counsel = read_table("mental_health_counseling/combined_dataset.reconstructed.jsonl");
    d.glaive = read_table("llamafactory/glaive_toolcall_en_demo.json");
    assert_int_equal(file_read("tests/golden/rows.txt", 0, &bytes, &length), OK);
    for (char *p = bytes; (line = strsep(&p, "\n")) && *line; cases++) {
        char *part[7] = {0};
        int parts = 0;
        for (char *q = line; parts < 7 && q;)
            part[parts++] = strsep(&q, "\t");
        assert_int_equal(parts, 7);
        if (strcmp(family, part[0]) != 0) {
            tokenizer_free(t);
            t = open_family(part[0], part[1]);
            snprintf(family, sizeof family, "%s", part[0]);
            assert_non_null(t);
        }
        check(&d, t, part);
    }
    assert_int_equal(cases, 14);
    tokenizer_free(t);
    mem_free(bytes);
    table_free(d.alpaca);
    table_free(d.counsel);
    table_free(d.glaive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_trl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
