/* row_encode.c -- rows in every shape as ids and masks, and what the lint says of odd ones. A row is
 * compared as its text with what is learned in brackets. */
#include "engine/data/row_encode.h"
#include "engine/data/readers.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CHATML                                                                           \
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n" \
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}{{ tail }}"

/* One token a byte, and some with names: <s> 256, </s> 257, <|im_start|> 258, <|im_end|> 259, and
 * "ab" 260. */
static struct tokenizer *make_tokenizer(bool adds_bos)
{
    static const char *const named[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>"};
    struct buffer b = {0};
    buffer_text(&b, "{\"added_tokens\": [");
    for (int i = 0; i < 4; i++)
        buffer_printf(&b, "%s{\"id\": %d, \"content\": \"%s\", \"special\": true}", i ? "," : "",
                      256 + i, named[i]);
    buffer_text(&b, "], \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                    "\"use_regex\": false}, \"decoder\": {\"type\": \"ByteLevel\"}, ");
    if (adds_bos)
        buffer_text(&b,
                    "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
                    "[{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": "
                    "{\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": "
                    "\"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
                    "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [256], "
                    "\"tokens\": [\"<s>\"]}}}, ");
    buffer_text(&b, "\"model\": {\"type\": \"BPE\", \"vocab\": {\"ab\": 260");
    for (int byte = 0, extra = 0; byte < 256; byte++) {
        bool plain = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        buffer_printf(&b, ", \"\\u%04x\": %d", plain ? byte : 256 + extra, byte);
        extra += !plain;
    }
    buffer_text(&b, "}, \"merges\": [\"a b\"]}}");
    assert_int_equal(buffer_close(&b), OK);
    struct tokenizer *t = NULL;
    if (tokenizer_from_json(b.bytes, (size_t)b.length, NULL, 0, &t))
        fail_msg("%s", status_message());
    buffer_free(&b);
    assert_int_equal(tokenizer_set_special(t, TOKENIZER_EOS, 257), OK);
    assert_int_equal(tokenizer_set_special(t, TOKENIZER_BOS, 256), OK);
    assert_int_equal(tokenizer_set_chat_template(t, CHATML), OK);
    return t;
}

static struct table *table_of(const char *json)
{
    struct reader_options o = READER_DEFAULTS;
    const struct reader *r;
    struct table *t;
    assert_int_equal(reader_find("jsonl", &r), OK);
    if (r->read(json, strlen(json), &o, &t))
        fail_msg("%s", status_message());
    return t;
}

/* The examples as "text[learned]text | ..."; what the first token would be is never learned. */
static const char *shown(const struct tokenizer *t, const struct examples *e)
{
    static char out[4096];
    struct text_buffer b = {0};
    for (int64_t i = 0; i < e->count; i++) {
        const struct example *x = &e->items[i];
        bool inside = false;
        if (i)
            assert_int_equal(text_buffer_add(&b, " | ", 3), OK);
        for (int64_t k = 0; k <= x->tokens; k++) {
            bool learn = k < x->tokens && e->learn[x->start + k];
            if (learn != inside)
                assert_int_equal(text_buffer_add(&b, learn ? "[" : "]", 1), OK);
            inside = learn;
            if (k < x->tokens)
                assert_int_equal(tokenizer_decode(t, &e->ids[x->start + k], 1, false, &b), OK);
        }
    }
    snprintf(out, sizeof out, "%s", b.bytes ? b.bytes : "");
    text_buffer_free(&b);
    return out;
}

struct made {
    struct tokenizer *t;
    struct examples *e;
    struct lint lint;
};

static int encode_table(struct made *m, const struct table *t, const struct row_options *o)
{
    struct row_format f;
    struct row_encoder *encoder = NULL;
    m->lint = (struct lint){0};
    int status = row_format_find(t, NULL, &f);
    if (!status)
        status = row_encoder_open(t, &f, o, m->t, &m->lint, &encoder);
    if (!status)
        status = examples_new(&m->e);
    for (int64_t row = 0; row < t->rows && !status; row++)
        status = row_encode(encoder, row, m->e);
    row_encoder_free(encoder);
    lint_finish(&m->lint);
    return status;
}

static int encode(struct made *m, const char *json, const struct row_options *o)
{
    struct table *t = table_of(json);
    int status = encode_table(m, t, o);
    table_free(t);
    return status;
}

static void expect(struct made *m, const char *json, const struct row_options *o,
                   const char *wanted)
{
    m->e = NULL;
    if (encode(m, json, o))
        fail_msg("%s: %s", json, status_message());
    assert_string_equal(shown(m->t, m->e), wanted);
    examples_free(m->e);
    m->e = NULL;
}

static void refuse(struct made *m, const char *json, const struct row_options *o, const char *says)
{
    m->e = NULL;
    int status = encode(m, json, o);
    examples_free(m->e);
    m->e = NULL;
    if (status != ERR_ARG)
        fail_msg("%s: status %d", json, status);
    if (!strstr(status_message(), says))
        fail_msg("'%s' lacks '%s'", status_message(), says);
}

static const struct row_options plain = {.append_eos = true, .completion_only = true};

static void test_texts(void **state)
{
    (void)state;
    struct made m = {.t = make_tokenizer(false)};
    struct row_options o = plain;
    expect(&m, "{\"text\": \"xyz\"}", &o, "[xyz</s>]");
    expect(&m, "{\"text\": \"xyz</s>\"}", &o, "[xyz</s>]"); /* exactly once */
    expect(&m, "{\"Text\": \"xyz\"}", &o, "[xyz</s>]");
    expect(&m, "{\"text\": null}\n{\"text\": \"x\"}", &o, "[x</s>]");
    o.append_eos = false;
    expect(&m, "{\"text\": \"xyz\"}", &o, "[xyz]");
    o.append_eos = true;
    o.max_length = 3;
    expect(&m, "{\"text\": \"uvwxyz\"}", &o, "[uvw]");
    o.keep_end = true;
    expect(&m, "{\"text\": \"uvwxyz\"}", &o, "[yz</s>]");
    tokenizer_free(m.t);
    m.t = make_tokenizer(true);
    expect(&m, "{\"text\": \"xyz\"}", &plain, "[<s>xyz</s>]");
    tokenizer_free(m.t);
}

static void test_pairs(void **state)
{
    (void)state;
    struct made m = {.t = make_tokenizer(true)};
    struct row_options o = plain;
    expect(&m, "{\"prompt\": \"why?\", \"completion\": \"so.\"}", &o, "<s>why?[so.</s>]");
    expect(&m, "{\"prompt\": \"why?\", \"completion\": \"so.</s>\"}", &o, "<s>why?[so.</s>]");
    expect(&m, "{\"prompt\": \"a\", \"completion\": \"b.\"}", &o, "<s>[ab.</s>]"); /* one token */
    assert_int_equal(m.lint.found[LINT_BOUNDARY].count, 1);
    o.completion_only = false;
    expect(&m, "{\"prompt\": \"why?\", \"completion\": \"so.\"}", &o, "[<s>why?so.</s>]");
    o = plain;
    o.max_length = 4;
    expect(&m, "{\"prompt\": \"why?\", \"completion\": \"so.\"}", &o, ""); /* nothing is left */
    assert_int_equal(m.lint.found[LINT_NO_TARGET].count, 1);
    o.keep_end = true;
    expect(&m, "{\"prompt\": \"why?\", \"completion\": \"so.\"}", &o, "[so.</s>]");
    refuse(&m, "{\"prompt\": 5, \"completion\": \"so.\"}", &plain, "columns prompt (int)");
    tokenizer_free(m.t);
}

static void test_alpaca(void **state)
{
    (void)state;
    struct made m = {.t = make_tokenizer(false)};
    expect(&m, "{\"instruction\": \"Do\", \"input\": \"it\", \"output\": \"Done\"}", &plain,
           "Below is an instruction that describes a task, paired with an input that provides "
           "further context. Write a response that appropriately completes the request.\n\n"
           "### Instruction:\nDo\n\n### Input:\nit\n\n### Response:\n[Done</s>]");
    expect(&m, "{\"instruction\": \"Do\", \"input\": \"\", \"output\": \"Done\"}", &plain,
           "Below is an instruction that describes a task. Write a response that appropriately "
           "completes the request.\n\n### Instruction:\nDo\n\n### Response:\n[Done</s>]");
    expect(&m, "{\"context\": null, \"instruction\": \"Do\", \"response\": \"Done\"}", &plain,
           "Below is an instruction that describes a task. Write a response that appropriately "
           "completes the request.\n\n### Instruction:\nDo\n\n### Response:\n[Done</s>]");
    tokenizer_free(m.t);
}

static void test_conversations(void **state)
{
    (void)state;
    struct made m = {.t = make_tokenizer(true)};
    struct row_options o = plain;
    const char *roles = "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": "
                        "\"assistant\", \"content\": \"yo\"}]}";
    const char *share = "{\"conversations\": [{\"from\": \"human\", \"value\": \"hi\"}, {\"from\": "
                        "\"gpt\", \"value\": \"yo\"}]}";
    const char *parts = "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", "
                        "\"text\": \"h\"}, {\"type\": \"text\", \"value\": \"i\"}]}, {\"content\": "
                        "\"yo\", \"role\": \"assistant\"}]}";
    const char *all = "[<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n]";
    const char *turn = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n[yo<|im_end|>]\n";
    expect(&m, roles, &o, all); /* the template brings its own begin and end: none is added */
    expect(&m, share, &o, all);
    expect(&m, parts, &o, all);
    assert_int_equal(m.lint.found[LINT_NO_EOS].count, 0);
    o.assistant_only = true;
    expect(&m, roles, &o, turn);
    expect(&m, share, &o, turn);
    assert_int_equal(m.lint.found[LINT_NO_EOS].count, 0);
    expect(&m,
           "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], "
           "\"chat_template_kwargs\": {\"tail\": \"xyz\"}}",
           &plain, "[<|im_start|>user\nhi<|im_end|>\nxyz]");
    o.assistant_only = false;
    const char *pair = "{\"prompt\": [{\"role\": \"user\", \"content\": \"hi\"}], \"completion\": "
                       "[{\"role\": \"assistant\", \"content\": \"yo\"}]}";
    expect(&m, pair, &o, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n[yo<|im_end|>\n]");
    o.assistant_only = true;
    expect(&m, pair, &o, turn);
    expect(&m, "{\"messages\": []}", &o, "");
    assert_int_equal(m.lint.found[LINT_EMPTY].count, 1);
    expect(&m,
           "{\"messages\": null, \"x\": 1}\n{\"messages\": [{\"role\": \"user\", \"content\": "
           "\"hi\"}]}",
           &plain, "[<|im_start|>user\nhi<|im_end|>\n]");
    tokenizer_free(m.t);
}

static void test_ids(void **state)
{
    (void)state;
    struct made m = {.t = make_tokenizer(true)};
    expect(&m, "{\"input_ids\": [256, 97, 98, 257]}", &plain, "[<s>ab</s>]"); /* as they are */
    expect(&m, "{\"input_ids\": [97, 98], \"labels\": [-100, 98]}", &plain, "a[b]");
    expect(&m,
           "{\"input_ids\": [97, 98, 99], \"completion_mask\": [0, 1, 1], "
           "\"assistant_masks\": [0, 0, 1]}",
           &plain, "ab[c]");
    expect(&m,
           "{\"input_ids\": [0, 0, 97, 98], \"attention_mask\": [0, 0, 1, 1], \"labels\": "
           "[-100, -100, -100, 98]}",
           &plain, "a[b]"); /* padding is left out */
    expect(&m, "{\"input_ids\": []}\n{\"input_ids\": null}\n{\"input_ids\": [97, 98]}", &plain,
           "[ab]");
    assert_int_equal(m.lint.found[LINT_EMPTY].count, 2);
    refuse(&m, "{\"input_ids\": [97], \"labels\": [98]}", &plain,
           "row 1: labels[1] is 98, wanted -100");
    refuse(&m, "{\"input_ids\": [97, 98], \"labels\": [98]}", &plain, "has 1 values, input_ids 2");
    refuse(&m, "{\"input_ids\": [97, 1000]}", &plain,
           "row 1: input_ids[2] is 1000, the tokenizer has");
    refuse(&m, "{\"input_ids\": [97, -1]}", &plain, "input_ids[2] is -1");
    refuse(&m, "{\"input_ids\": [97, \"a\"]}", &plain,
           "column 'input_ids': wanted a list of whole");
    refuse(&m, "{\"messages\": \"[]\"}", &plain, "astype(\"messages\", \"json\")");
    tokenizer_free(m.t);
}

static void test_refusals(void **state)
{
    (void)state;
    struct made m = {.t = make_tokenizer(false)};
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n{\"messages\": [{\"role\": "
         "\"user\", \"content\": 5}]}",
         "row 2: messages[1].content: the integer 5, wanted a text"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"content\": \"b\"}]}",
         "row 1: messages[2]: the key 'role' is missing"},
        {"{\"messages\": [{\"role\": \"user\"}]}",
         "row 1: messages[1]: the key 'content' is missing"},
        {"{\"conversations\": [{\"from\": \"humn\", \"value\": \"a\"}]}",
         "row 1: conversations[1].from: the text 'humn' is no role, wanted human, gpt"},
        {"{\"messages\": [\"a\"]}", "row 1: messages[1]: the text 'a', wanted an object"},
        {"{\"messages\": {\"role\": \"user\"}}",
         "row 1: messages: a map of 1 keys, wanted a list of messages"},
        {"{\"chosen\": [], \"rejected\": []}", "preference training"},
        {"{\"txt\": \"a\", \"n\": 1}", "there are txt (str), n (int)"},
        {"{\"text\": 5}", "column 'text' holds int, wanted text"},
        {"{\"tools\": \"{}\", \"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
         "row 1: tools: a map of 0 keys, wanted a list of tools"},
        {"{\"tools\": \"[\", \"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
         "row 1: column 'tools': line 1"},
    };
    expect(&m, "{\"text\": \"warm\"}", &plain, "[warm</s>]"); /* its scratch memory is made */
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        m.e = NULL;
        int64_t before = mem_stats().live_blocks;
        int status = encode(&m, cases[i].json, &plain);
        examples_free(m.e);
        if (!status)
            fail_msg("%s was accepted", cases[i].json);
        if (!strstr(status_message(), cases[i].says))
            fail_msg("'%s' lacks '%s'", status_message(), cases[i].says);
        assert_int_equal(mem_stats().live_blocks, before);
    }
    struct row_options o = plain;
    o.assistant_only = true;
    refuse(&m, "{\"text\": \"a\"}", &o, "assistant_only_loss wants rows of messages");
    assert_int_equal(tokenizer_set_chat_template(m.t, NULL), OK);
    refuse(&m, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", &plain, "template");
    struct table *t = table_of("{\"story\": \"a\", \"turns\": [{\"role\": \"user\"}]}");
    struct row_format f;
    assert_int_equal(row_format_find(t, "story", &f), OK);
    assert_int_equal(f.shape, ROW_TEXT);
    assert_int_equal(row_format_find(t, "turns", &f), OK);
    assert_int_equal(f.shape, ROW_MESSAGES);
    assert_int_equal(row_format_find(t, "stroy", &f), ERR_ARG);
    assert_non_null(strstr(status_message(), "did you mean 'story'"));
    table_free(t);
    tokenizer_free(m.t);
}

static void expect_lint(struct made *m, const char *json, const struct row_options *o,
                        enum lint_kind kind, const char *line)
{
    struct buffer b = {0};
    m->e = NULL;
    if (encode(m, json, o))
        fail_msg("%s", status_message());
    lint_line(&m->lint, kind, &b);
    assert_int_equal(buffer_close(&b), OK);
    assert_string_equal(b.bytes, line);
    buffer_free(&b);
    examples_free(m->e);
}

static void test_lint(void **state)
{
    (void)state;
    struct made m = {.t = make_tokenizer(true)};
    struct row_options o = plain;
    expect_lint(&m, "{\"text\": \"\"}\n{\"text\": \"a\"}\n{\"text\": \" \\n\"}\n{\"text\": null}",
                &o, LINT_EMPTY, "3 rows without text or without an answer (rows 1, 3, 4)");
    assert_int_equal(m.lint.rows, 4);
    expect_lint(&m,
                "{\"text\": \"a\"}\n{\"text\": \"a\"}\n{\"text\": \"b\"}\n{\"text\": \"a\"}\n"
                "{\"text\": \"a\"}\n{\"text\": \"a\"}\n{\"text\": \"b\"}\n{\"text\": \"a\"}",
                &o, LINT_DUPLICATE,
                "6 rows with the same tokens as an earlier row (rows 2, 4, 5, 6, 7, ...)");
    expect_lint(&m, "{\"text\": \"<s>a\"}\n{\"text\": \"a\"}", &o, LINT_TWO_BOS,
                "1 row with two begin-of-text tokens at the start (row 1)");
    expect_lint(
        &m,
        "{\"text\": \"[INST] a [/INST] b\"}\n{\"text\": \"[INST] a\"}\n{\"text\": "
        "\"<|user|> a\"}\n{\"text\": \"a <| b |> c\"}\n{\"text\": \"<|im_start|>a\"}",
        &o, LINT_TEMPLATE,
        "3 rows with marks of a chat template that are unknown or left open (rows 2, 3, 5)");
    expect_lint(&m, "{\"messages\": [{\"role\": \"boss\", \"content\": \"a\"}]}", &o, LINT_ROLE,
                "1 row with a role other than system, user, assistant and tool (row 1)");
    o.max_length = 3;
    expect_lint(&m, "{\"text\": \"abcdefgh\"}\n{\"text\": \"a\"}", &o, LINT_CUT,
                "1 row longer than max_length, cut (row 1)");
    assert_int_equal(m.lint.found[LINT_NO_EOS].count, 0); /* clear from its being cut */
    o.append_eos = false;
    expect_lint(&m, "{\"text\": \"a\"}\n{\"text\": \"a</s>\"}", &o, LINT_NO_EOS,
                "1 row without a learned end-of-text token: nothing there teaches to stop (row 1)");
    tokenizer_free(m.t);
}

static void test_alpaca_text(void **state)
{
    (void)state;
    struct table *t;
    const char *path = shared_path("data/alpaca/torchtune_alpaca_tiny.json");
    struct reader_options o = READER_DEFAULTS;
    const struct reader *r;
    if (!path)
        skip();
    assert_int_equal(reader_for_path(path, &r), OK);
    assert_int_equal(reader_file(r, path, &o, &t), OK);
    int64_t at[4];
    static const char *const names[4] = {"instruction", "input", "output", "text"};
    for (int i = 0; i < 4; i++)
        assert_int_equal(table_find(t, names[i], &at[i]), OK);
    for (int64_t row = 0; row < t->rows; row++) { /* the column 'text' is prompt and output */
        struct buffer b = {0};
        const char *text[4];
        size_t n[4];
        for (int i = 0; i < 4; i++)
            text[i] = table_text(t, at[i], row, &n[i]);
        row_alpaca_prompt(text[0], n[0], text[1], n[1], &b);
        buffer_add(&b, text[2], n[2]);
        assert_int_equal(b.status, OK);
        assert_int_equal(b.length, n[3]);
        assert_memory_equal(b.bytes, text[3], n[3]);
        buffer_free(&b);
    }
    table_free(t);
}

/* Tables and tokenizer are there already: only the rows' own memory is refused. */
struct sweep {
    struct made m;
    struct table *pair, *alpaca;
};

static int encode_both(void *ctx)
{
    struct sweep *s = ctx;
    struct row_options o = plain;
    s->m.e = NULL;
    o.assistant_only = true;
    int status = encode_table(&s->m, s->pair, &o);
    examples_free(s->m.e);
    s->m.e = NULL;
    TRY(status);
    status = encode_table(&s->m, s->alpaca, &plain);
    examples_free(s->m.e);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct sweep s = {.m = {.t = make_tokenizer(false)}};
    s.pair = table_of("{\"prompt\": [{\"from\": \"human\", \"value\": \"hi\"}], \"completion\": "
                      "[{\"role\": \"assistant\", \"content\": \"yo\"}], \"tools\": \"[{}]\"}");
    s.alpaca = table_of("{\"instruction\": \"Do\", \"input\": \"it\", \"output\": \"Done\"}");
    assert_int_equal(encode_both(&s), OK); /* the tokenizer's scratch memory is there then */
    memory_sweep(encode_both, &s);
    table_free(s.pair);
    table_free(s.alpaca);
    tokenizer_free(s.m.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),     cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_alpaca),    cmocka_unit_test(test_conversations),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_lint),
        cmocka_unit_test(test_ids),       cmocka_unit_test(test_alpaca_text),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
