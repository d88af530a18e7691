/* chat.c -- conversations to text, ids and learn masks; golden of every template: chat_templates.c */
#include "engine/text/chat.h"
#include "engine/core/buffer.h"
#include "kernels/base/mem.h"
#include "tests/engine/engine_util.h"
#include "tests/engine/shared_util.h"

#include <stdio.h>
#include <string.h>

/* Every printable byte is a token, and five special ones. */
static struct tokenizer *tiny(void)
{
    struct buffer b = {0};
    struct tokenizer *t = NULL;
    static const char *const special[] = {"<s>", "</s>", "[user]", "[assistant]", "<think>"};
    const char *config = "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}";
    buffer_text(&b, "{\"added_tokens\": [");
    for (int i = 0; i < 5; i++)
        buffer_printf(&b, "%s{\"id\": %d, \"content\": \"%s\", \"special\": true}", i ? ", " : "",
                      129 + i, special[i]);
    buffer_text(&b, "], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\"}, "
                    "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"}, "
                    "\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {");
    for (int byte = 0; byte < 127; byte++)
        if (byte > 32 && byte != '"' && byte != '\\')
            buffer_printf(&b, "\"%c\": %d, ", byte, byte);
        else
            buffer_printf(&b, "\"x%d\": %d, ", byte, byte);
    buffer_text(&b, "\"\\u0120\": 127, \"\\u010a\": 128}}}");
    CHECK(b.status);
    CHECK(tokenizer_from_json(b.bytes, (size_t)b.length, config, strlen(config), &t));
    buffer_free(&b);
    return t;
}

static struct value *parsed(const char *json)
{
    struct value *v = NULL;
    CHECK(value_from_json(json, strlen(json), NULL, &v));
    return v;
}

static const char plain[] = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
                            "{{ eos_token }}\n{% endfor %}"
                            "{% if add_generation_prompt %}[assistant]{% endif %}";
static const char marked[] =
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}{{ m.content }}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}";
static const char two_turns[] =
    "[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"bc\"}, "
    "{\"role\": \"user\", \"content\": \"d\"}, {\"role\": \"assistant\", \"content\": \"e f\\n\"}]";

/* Ids as characters, specials as < > U A T, with '_' for a blank and '/' for a line end; below it
 * the mask. */
static void shown(const struct id_list *ids, const struct chat_mask *mask, char *text, char *bits)
{
    for (int64_t i = 0; i < ids->count; i++) {
        int32_t id = ids->ids[i];
        text[i] = id >= 129 ? "<>UAT"[id - 129] : id == 127 ? '_' : id == 128 ? '/' : (char)id;
        bits[i] = (char)('0' + (mask->count ? mask->learn[i] : 0));
    }
    text[ids->count] = bits[ids->count] = '\0';
}

static void encodes(const char *template, const char *messages, const struct chat_options *o,
                    const char *wanted, const char *wanted_bits)
{
    struct tokenizer *t = tiny();
    struct chat *c = NULL;
    struct value *v = parsed(messages);
    struct id_list ids = {0};
    struct chat_mask mask = {0};
    char text[256], bits[256];
    CHECK(chat_open(t, template, strlen(template), &c));
    CHECK(chat_encode(c, v, o, &ids, &mask));
    assert_int_equal(ids.count, mask.count);
    shown(&ids, &mask, text, bits);
    assert_string_equal(text, wanted);
    assert_string_equal(bits, wanted_bits);
    chat_mask_free(&mask);
    id_list_free(&ids);
    value_drop(v);
    chat_free(c);
    tokenizer_free(t);
    assert_int_equal(mem_stats().live_blocks, 0);
}

static void masks(void **state)
{
    (void)state;
    const char *text = "<Ua>/Abc>/Ud>/Ae_f/>/";
    encodes(plain, two_turns, NULL, text, "000000111000000111110");
    encodes(marked, two_turns, NULL, text, "000000111000000111110");
    encodes(plain, "[{\"role\": \"user\", \"content\": \"a\"}]", NULL, "<Ua>/", "00000");
    encodes(plain, "[]", NULL, "<", "0");
    encodes(plain, two_turns, &(struct chat_options){.add_generation_prompt = true},
            "<Ua>/Abc>/Ud>/Ae_f/>/A", "0000001110000001111100");
    /* an end of text behind the last message only, whosever it is */
    encodes("{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{{ '\\n' }}{% endfor %}"
            "{% if add_generation_prompt %}[assistant]{% else %}{{ eos_token }}{% endif %}",
            two_turns, NULL, "Ua>/Abc>/Ud>/Ae_f/>/>", "000001110000001111111");
    /* a prompt that goes on where the turn does not, and a turn without an end */
    encodes("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
            "{% if add_generation_prompt %}[assistant]<think>{% endif %}",
            two_turns, NULL, "UaAbcUdAe_f/", "000110001111");
}

static void refuses(const char *template, const char *messages, const struct chat_options *o,
                    const char *wanted)
{
    struct tokenizer *t = tiny();
    struct chat *c = NULL;
    struct value *v = parsed(messages);
    struct id_list ids = {0};
    struct chat_mask mask = {0};
    int status = chat_open(t, template, template ? strlen(template) : 0, &c);
    if (!status)
        status = chat_encode(c, v, o, &ids, &mask);
    if (!status || !strstr(status_message(), wanted))
        fail_msg("'%s', wanted '%s'", status ? status_message() : "no failure", wanted);
    assert_int_equal(ids.count, 0);
    assert_int_equal(mask.count, 0);
    chat_mask_free(&mask);
    id_list_free(&ids);
    value_drop(v);
    chat_free(c);
    tokenizer_free(t);
}

static void refusals(void **state)
{
    (void)state;
    struct value *map = value_map();
    refuses(NULL, "[]", NULL, "no chat template; hint: set one with tokenizer.chat_template");
    refuses(plain, "{}", NULL, "messages: expected a list of messages, found a map of 0 keys");
    refuses(plain, "[3]", NULL,
            "messages[1]: expected a table with role and content, found the integer 3");
    refuses(plain, "[]", &(struct chat_options){.tools = map}, "tools: expected a list");
    refuses("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}", two_turns,
            NULL, "writes message 2 in another way once the conversation goes on");
    refuses("{% for m in messages %}{{ m.content if loop.last else '-' }}{% endfor %}", two_turns,
            NULL, "writes message 2 in another way");
    refuses("{{ raise_exception('no') }}", "[]", NULL, "no");
    refuses("{{ messages.x.y }}", "[]", NULL, "chat template: line 1, column 14: 'x' is undefined");
    refuses("{{ (", "[]", NULL, "chat template: line 1, column 1:");
    refuses(plain, two_turns, &(struct chat_options){.continue_field = "content"},
            "leaves no whole turn to learn");
    value_drop(map);
    assert_int_equal(mem_stats().live_blocks, 0);
}

static void renders(const char *template, const char *messages, const struct chat_options *o,
                    const char *wanted)
{
    struct chat *c = NULL;
    struct value *v = parsed(messages);
    struct template_result r = {0};
    CHECK(chat_open(NULL, template, strlen(template), &c));
    int status = chat_render(c, v, o, &r);
    if (status ? !strstr(status_message(), wanted) : strcmp(r.text, wanted) != 0)
        fail_msg("'%s', wanted '%s'", status ? status_message() : r.text, wanted);
    template_result_free(&r);
    chat_free(c);
    value_drop(v);
    assert_int_equal(mem_stats().live_blocks, 0);
}

/* The wanted texts are those of transformers' render_jinja_template. */
static void preparing(void **state)
{
    (void)state;
    const char *keys = "{% for m in messages %}{{ m }}{% endfor %}";
    renders(keys, "[{\"role\": \"a\", \"content\": null, \"x\": 1}]", NULL,
            "{'role': 'a', 'x': 1}");
    renders(keys, "[{\"role\": \"a\", \"reasoning\": \"r\"}]", NULL,
            "{'thinking': 'r', 'role': 'a', 'reasoning': 'r', 'reasoning_content': 'r'}");
    renders(keys, "[{\"thinking\": \"t\", \"reasoning_content\": \"r\"}]", NULL,
            "{'thinking': 't', 'reasoning_content': 'r'}");
    renders("{{ tools }}{{ documents }}{{ add_generation_prompt }}{{ bos_token }}", "[]", NULL,
            "NoneNoneFalse");
    struct chat_options o = {.continue_field = "content"};
    const char *last = "[{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", "
                       "\"content\": \"I am \"}]";
    renders("{% for m in messages %}{{ m.content }}|{% endfor %}", last, &o, "q|I am ");
    renders("{% for m in messages %}{{ m.content | trim }}|{% endfor %}", last, &o, "q|I am");
    renders("{% for m in messages %}{{ m.role }}|{% endfor %}", last, &o,
            "the last message does not appear in the text");
    renders("{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}",
            "[{\"content\": [{\"text\": \"a\"}, {\"text\": \"b\"}, {\"image\": 1}]}]", &o, "ab");
    renders("x", "[{\"role\": \"a\"}]", &o, "has no 'content' to continue");
    o.continue_field = "thinking";
    renders("{{ messages[0].reasoning_content }} end", "[{\"reasoning\": \"so\"}]", &o, "so");
}

static int work(void *ctx)
{
    (void)ctx;
    struct tokenizer *t = ctx;
    struct chat *c = NULL;
    struct value *v = NULL;
    struct id_list ids = {0};
    struct chat_mask mask = {0};
    int status = value_from_json(two_turns, sizeof two_turns - 1, NULL, &v);
    if (!status)
        status = chat_open(t, plain, sizeof plain - 1, &c);
    if (!status)
        status = chat_encode(c, v, NULL, &ids, &mask);
    chat_mask_free(&mask);
    id_list_free(&ids);
    chat_free(c);
    value_drop(v);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    struct tokenizer *t = tiny();
    CHECK(work(t)); /* its caches are filled */
    memory_sweep(work, t);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks),
        cmocka_unit_test(refusals),
        cmocka_unit_test(preparing),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
