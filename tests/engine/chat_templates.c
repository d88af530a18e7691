/* chat_templates.c -- every public chat template on every conversation, byte for byte as the
 * reference renders it (tests/golden/chat_templates.txt, see scripts/golden/chat_templates.py).
 *
 * Set LORASH_CHAT_DUMP to "TEMPLATE|CONVERSATION" to see our text of one pair. */
#include "engine/core/buffer.h"
#include "engine/core/file.h"
#include "engine/text/chat.h"
#include "kernels/base/mem.h"
#include "tests/engine/engine_util.h"
#include "tests/engine/shared_util.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t now = 1770091506; /* 2026-02-03 04:05:06 */

static uint64_t fnv(const char *bytes, size_t length)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001B3u;
    return h;
}

/* The variables of a conversation: the special tokens and what is no part of its messages. */
static struct value *variables(const struct value *conversation)
{
    static const char *const ours[] = {"name", "messages", "tools", "documents",
                                       "add_generation_prompt"};
    struct value *v = NULL;
    const char *tokens = "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", "
                         "\"pad_token\": \"<pad>\", \"unk_token\": \"<unk>\"}";
    CHECK(value_from_json(tokens, strlen(tokens), NULL, &v));
    for (int64_t i = 0; i < conversation->as.map.count; i++) {
        const struct value_entry *e = &conversation->as.map.entries[i];
        bool own = false;
        for (int k = 0; k < 5; k++)
            own = own || value_is_text(e->key, ours[k]);
        if (!own)
            CHECK(value_map_set(v, e->key->as.text.bytes, value_keep(e->value)));
    }
    return v;
}

static int64_t characters(const char *text, int64_t bytes)
{
    int64_t n = 0;
    for (int64_t i = 0; i < bytes; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

static void span_hash(const struct template_result *r, char *out, size_t bytes)
{
    struct buffer b = {0};
    for (int64_t i = 0; i < r->span_count; i++)
        buffer_printf(&b, "%" PRId64 ",%" PRId64 ";", characters(r->text, r->spans[i].start),
                      characters(r->text, r->spans[i].end));
    snprintf(out, bytes, ":%016" PRIx64, fnv(b.bytes, (size_t)b.length));
    buffer_free(&b);
}

/* The word of one pair, as the script writes it; the failure's message in 'message'. */
static void word(const char *template, size_t length, const struct value *conversation, char *out,
                 size_t bytes, char *message, size_t message_bytes)
{
    struct chat *c = NULL;
    struct value *extra = variables(conversation);
    const struct value *prompt = value_map_get(conversation, "add_generation_prompt");
    struct chat_options o = {
        .tools = value_map_get(conversation, "tools"),
        .documents = value_map_get(conversation, "documents"),
        .variables = extra,
        .add_generation_prompt = prompt && prompt->as.boolean,
        .limits.now = now,
    };
    struct template_result r = {0};
    int status = chat_open(NULL, template, length, &c);
    message[0] = '\0';
    if (!status)
        status = chat_render(c, value_map_get(conversation, "messages"), &o, &r);
    if (!status) {
        snprintf(out, bytes, "%016" PRIx64, fnv(r.text, r.length));
        if (chat_has_generation(c))
            span_hash(&r, out + 16, bytes - 16);
        if (getenv("LORASH_CHAT_DUMP") && strcmp(getenv("LORASH_CHAT_DUMP"), "") == 0)
            fwrite(r.text, 1, r.length, stderr);
    } else {
        snprintf(message, message_bytes, "%s", status_message());
        if (r.raised)
            snprintf(out, bytes, "!%016" PRIx64, fnv(message, strlen(message)));
        else
            snprintf(out, bytes, "!");
    }
    template_result_free(&r);
    chat_free(c);
    value_drop(extra);
}

static char *read_golden(const char *name, size_t *length)
{
    char path[256], *bytes;
    snprintf(path, sizeof path, "tests/golden/%s", name);
    CHECK(file_read(path, 0, &bytes, length));
    return bytes;
}

static int compare_line(char *line, const char *folder, const struct value *conversations,
                        int *pairs)
{
    char path[1500], *bytes, *rest = NULL;
    size_t length;
    int bad = 0;
    const char *name = strtok_r(line, " ", &rest), *hash = strtok_r(NULL, " ", &rest);
    char got[64], message[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(file_read(path, 0, &bytes, &length));
    snprintf(got, sizeof got, "%016" PRIx64, fnv(bytes, length));
    if (strcmp(got, hash) != 0)
        fail_msg("%s: another file than the golden texts were made with", name);
    for (int64_t i = 0; i < conversations->as.list.count; i++) {
        const struct value *c = conversations->as.list.items[i];
        const char *label = value_map_get(c, "name")->as.text.bytes,
                   *dump = getenv("LORASH_CHAT_DUMP");
        const char *wanted = strtok_r(NULL, " ", &rest);
        bool show = dump && strncmp(dump, name, strlen(name)) == 0 &&
                    strcmp(dump + strlen(name) + 1, label) == 0;
        if (show)
            setenv("LORASH_CHAT_DUMP", "", 1);
        word(bytes, length, c, got, sizeof got, message, sizeof message);
        if (!wanted || strcmp(got, wanted) != 0) {
            print_message("# %s, %s: %s, wanted %s: %s\n", name, label, got, wanted, message);
            bad++;
        }
        (*pairs)++;
    }
    mem_free(bytes);
    return bad;
}

static void all_templates(void **state)
{
    (void)state;
    const char *shared = shared_path("data/chat_templates");
    char folder[1024], *bytes, *rest = NULL;
    size_t length;
    struct value *conversations = NULL;
    int bad = 0, templates = 0, pairs = 0;
    if (!shared)
        skip();
    snprintf(folder, sizeof folder, "%s", shared);
    bytes = read_golden("chat_conversations.json", &length);
    CHECK(value_from_json(bytes, length, NULL, &conversations));
    mem_free(bytes);
    bytes = read_golden("chat_templates.txt", &length);
    char *text = mem_text(bytes, length);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        bad += compare_line(line, folder, conversations, &pairs);
        templates++;
    }
    print_message("# %d templates, %d pairs, %d differ\n", templates, pairs, bad);
    assert_int_equal(bad, 0);
    assert_true(templates >= 137 && pairs >= 2740);
    mem_free(text);
    mem_free(bytes);
    value_drop(conversations);
    assert_int_equal(mem_stats().live_blocks, 0);
}

/* Turns that are found by rendering the starts of a conversation: each begins with the assistant's
 * words and lies, but for blanks behind it, inside what the template's edition for training marks
 * with {% generation %}. */
static void compare_turns(const char *folder, const char *name, const struct value *messages)
{
    struct template_result r[2] = {{0}, {0}};
    struct value *extra = value_map();
    CHECK(value_map_set(extra, "bos_token", value_text("<s>", 3)));
    CHECK(value_map_set(extra, "eos_token", value_text("</s>", 4)));
    struct chat_options o = {.limits.now = now, .variables = extra};
    for (int i = 0; i < 2; i++) {
        char path[1500], *bytes;
        size_t length;
        struct chat *c = NULL;
        snprintf(path, sizeof path, "%s/trl/%s%s.jinja", folder, name, i ? "_training" : "");
        CHECK(file_read(path, 0, &bytes, &length));
        CHECK(chat_open(NULL, bytes, length, &c));
        mem_free(bytes);
        assert_int_equal(chat_has_generation(c), i);
        CHECK(chat_render_turns(c, messages, &o, &r[i]));
        chat_free(c);
    }
    assert_string_equal(r[0].text, r[1].text);
    assert_int_equal(r[0].span_count, 2);
    assert_int_equal(r[1].span_count, 2);
    for (int64_t i = 0; i < 2; i++) {
        struct template_span ours = r[0].spans[i], marked = r[1].spans[i];
        const char *words =
            value_map_get(messages->as.list.items[2 * i + 1], "content")->as.text.bytes;
        while (ours.end > ours.start && strchr(" \n", r[0].text[ours.end - 1]))
            ours.end--;
        const char *at = strstr(r[0].text + ours.start, words);
        assert_non_null(at);
        assert_true(at - r[0].text < ours.start + 20 && at - r[0].text < ours.end);
        if (ours.start < marked.start || ours.end > marked.end)
            fail_msg("%s: turn %d to %d, marked %d to %d", name, (int)ours.start, (int)ours.end,
                     (int)marked.start, (int)marked.end);
    }
    template_result_free(&r[0]);
    template_result_free(&r[1]);
    value_drop(extra);
}

static void turns(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen2_5",    "llama3",          "gemma",   "cohere",
                                        "deepseekv3", "nemotron_3_nano", "qwen3_vl"};
    const char *shared = shared_path("data/chat_templates");
    char folder[1024];
    struct value *messages = NULL;
    const char *text = "[{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", "
                       "\"content\": \"Hello\"}, {\"role\": \"user\", \"content\": \"Bye\"}, "
                       "{\"role\": \"assistant\", \"content\": \"See you\"}]";
    if (!shared)
        skip();
    snprintf(folder, sizeof folder, "%s", shared);
    CHECK(value_from_json(text, strlen(text), NULL, &messages));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        compare_turns(folder, names[i], messages);
    value_drop(messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_templates),
        cmocka_unit_test(turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
