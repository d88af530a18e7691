/* tokenizer.c -- the rules of tokenizers on a small vocabulary, and damaged ones. */
#include "engine/core/file.h"
#include "engine/formats/gguf.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"
#include "tests/engine/shared_util.h"
#include "tests/engine/strings_util.h"
#include "tests/engine/toy_util.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct tokenizer *load(const char *path)
{
    struct tokenizer *t;
    if (tokenizer_load(path, &t))
        fail_msg("%s", status_message());
    return t;
}

/* --- text comes back */

/* Decoding gives the text, all at once and streamed id by id, and the spans cover it. */
static void check_round_trip(struct tokenizer *t, const char *text, size_t n)
{
    struct id_list list = {0};
    struct text_buffer whole = {0}, streamed = {0};
    struct token_stream s = {.held_bytes = 0};
    int64_t at = 0;
    assert_int_equal(tokenizer_encode(t, text, n, TOKENIZER_PARSE_SPECIAL | TOKENIZER_SPANS, &list),
                     OK);
    assert_int_equal(tokenizer_decode(t, list.ids, list.count, false, &whole), OK);
    assert_int_equal(whole.length, n);
    assert_memory_equal(whole.bytes, text, n);
    for (int64_t i = 0; i < list.count; i++) {
        assert_int_equal(tokenizer_stream(t, &s, list.ids[i], false, &streamed), OK);
        assert_int_equal(list.spans[i].start, at);
        at = list.spans[i].end;
    }
    assert_int_equal(at, n);
    assert_int_equal(tokenizer_stream_finish(&s, &streamed), OK);
    assert_int_equal(streamed.length, n);
    assert_memory_equal(streamed.bytes, text, n);
    id_list_free(&list);
    text_buffer_free(&whole);
    text_buffer_free(&streamed);
}

static void round_trips(void **state)
{
    (void)state;
    struct tokenizer *t = toy();
    for (int i = 0; i < 2000; i++) {
        char text[RANDOM_STRING_BYTES];
        check_round_trip(t, text, random_string((uint64_t)i, text));
    }
    tokenizer_free(t);
}

/* Bytes that are no UTF-8 are encoded as they are; decoding marks them. */
static void invalid_text(void **state)
{
    (void)state;
    struct tokenizer *t = toy();
    struct id_list list = {0};
    struct text_buffer out = {0};
    static const char text[] = "a\xFF\xE2\x82z\xF0\x9F\x98";
    assert_int_equal(tokenizer_encode(t, text, sizeof text - 1, 0, &list), OK);
    assert_int_equal(list.count, sizeof text - 1);
    assert_int_equal(tokenizer_decode(t, list.ids, list.count, false, &out), OK);
    assert_string_equal(out.bytes, "a\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD");
    id_list_free(&list);
    text_buffer_free(&out);
    tokenizer_free(t);
}

/* A character in several tokens appears when its last byte is there, not before. */
static void streaming(void **state)
{
    (void)state;
    struct tokenizer *t = toy();
    struct token_stream s = {.held_bytes = 0};
    struct text_buffer out = {0};
    static const char face[] = "\xF0\x9F\x98\x80";
    for (int i = 0; i < 4; i++) {
        assert_int_equal(out.length, 0);
        assert_int_equal(tokenizer_stream(t, &s, toy_byte((unsigned char)face[i]), false, &out),
                         OK);
    }
    assert_string_equal(out.bytes, face);
    assert_int_equal(tokenizer_stream(t, &s, toy_byte(0xE2), false, &out), OK);
    assert_int_equal(tokenizer_stream(t, &s, toy_byte('x'), false, &out), OK);
    assert_string_equal(out.bytes, "\xF0\x9F\x98\x80\xEF\xBF\xBDx");
    assert_int_equal(tokenizer_stream(t, &s, 100000, false, &out), ERR_ARG);
    assert_int_equal(tokenizer_stream(t, &s, -1, false, &out), ERR_ARG);
    text_buffer_free(&out);
    tokenizer_free(t);
}

/* --- the rules, on a small vocabulary */

static void expect_ids(struct tokenizer *t, const char *text, int flags, const int32_t *want,
                       int64_t count)
{
    struct id_list list = {0};
    assert_int_equal(tokenizer_encode(t, text, strlen(text), flags, &list), OK);
    bool same = list.count == count;
    for (int64_t i = 0; same && i < count; i++)
        same = list.ids[i] == want[i];
    if (!same) {
        for (int64_t i = 0; i < list.count; i++)
            printf("# %d: '%s'\n", list.ids[i], tokenizer_token(t, list.ids[i], NULL));
        fail_msg("'%s' gives other ids", text);
    }
    id_list_free(&list);
}

#define IDS(...) (const int32_t[]){__VA_ARGS__}, COUNT_IDS(__VA_ARGS__)
#define COUNT_IDS(...) (int64_t)(sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))
#define B(c) toy_byte(c)

/* Added tokens of the toy: 300 <s> (special), 301 <t>, 302 <w> (single word), 303 <l> (lstrip and
 * rstrip), 304 <tt>, 305 two spaces; vocabulary and merges in toy_util.h. */
static void merging(void **state)
{
    (void)state;
    struct tokenizer *t = toy();
    expect_ids(t, "hello", 0, IDS(259));
    expect_ids(t, " hell", 0, IDS(260, 257)); /* "Ġ he" comes before "he ll" */
    expect_ids(t, "hellll", 0, IDS(258, 257));
    expect_ids(t, "lll", 0, IDS(257, B('l'))); /* the leftmost of equals */
    expect_ids(t, "", 0, NULL, 0);
    tokenizer_free(t);
}

static void added_tokens(void **state)
{
    (void)state;
    struct tokenizer *t = toy();
    int parse = TOKENIZER_PARSE_SPECIAL;
    expect_ids(t, "a<s>b", parse, IDS(B('a'), 300, B('b')));
    expect_ids(t, "a<s>b", 0, IDS(B('a'), B('<'), B('s'), B('>'), B('b')));
    expect_ids(t, "a<t>b", 0, IDS(B('a'), 301, B('b'))); /* not special: always */
    expect_ids(t, "<tt>", 0, IDS(304));
    expect_ids(t, "<t><tt><t", 0, IDS(301, 304, B('<'), B('t')));
    expect_ids(t, "<w>", 0, IDS(302));
    expect_ids(t, "a <w> b", 0, IDS(B('a'), B(' '), 302, B(' '), B('b')));
    expect_ids(t, "a<w>", 0, IDS(B('a'), B('<'), B('w'), B('>')));
    expect_ids(t, "<w>\xC3\xA9", 0, IDS(B('<'), B('w'), B('>'), B(0xC3), B(0xA9)));
    expect_ids(t, "a \t<l> \n b", 0, IDS(B('a'), 303, B('b')));
    expect_ids(t, "<l> <l>", 0, IDS(303, 303));
    expect_ids(t, "a   b", 0, IDS(B('a'), 305, B(' '), B('b'))); /* before the splitter */
    tokenizer_free(t);
}

/* Of two that start alike the longer is taken, when it is there. */
static void longest_added(void **state)
{
    (void)state;
    struct tokenizer *t = toy_with("{\"added_tokens_decoder\": {\"310\": {\"content\": \"<t>!\"}, "
                                   "\"311\": {\"content\": \"<t>!!!\"}}}");
    expect_ids(t, "<t>!", 0, IDS(310));
    expect_ids(t, "<t>!!", 0, IDS(310, B('!')));
    expect_ids(t, "<t>!!!", 0, IDS(311));
    expect_ids(t, "<t>", 0, IDS(301));
    tokenizer_free(t);
}

/* --- merging against the plainest way of doing it, with merges made at random */

#define RANDOM_MERGES 150

struct random_bpe {
    int left[RANDOM_MERGES], right[RANDOM_MERGES];
    char text[256 + RANDOM_MERGES][64]; /* of every token */
    int count;
};

static unsigned roll(uint64_t *state, unsigned n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((*state >> 33) % n);
}

static bool known(const struct random_bpe *r, const char *text)
{
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->text[256 + i], text) == 0)
            return true;
    return false;
}

static int pick_token(const struct random_bpe *r, uint64_t *state)
{
    unsigned i = roll(state, 4 + (unsigned)r->count);
    return i < 4 ? (int)('a' + i) : 256 + (int)i - 4;
}

static struct tokenizer *make_random(struct random_bpe *r, uint64_t *state)
{
    char vocab[16384] = "\"hello\": 259", merges[16384] = "";
    memset(r, 0, sizeof *r);
    for (int c = 'a'; c <= 'd'; c++)
        r->text[c][0] = (char)c;
    while (r->count < RANDOM_MERGES) {
        char text[130];
        int a = pick_token(r, state), b = pick_token(r, state), id = 256 + r->count;
        snprintf(text, sizeof text, "%s%s", r->text[a], r->text[b]);
        if (strlen(text) > 12 || known(r, text))
            continue;
        memcpy(r->text[id], text, strlen(text) + 1);
        r->left[r->count] = a;
        r->right[r->count++] = b;
        snprintf(vocab + strlen(vocab), sizeof vocab - strlen(vocab), ", \"%s\": %d", text,
                 1000 + id);
        snprintf(merges + strlen(merges), sizeof merges - strlen(merges), "\"%s %s\", ", r->text[a],
                 r->text[b]);
    }
    char *json = toy_json_with("\"hello\": 259", vocab), *at = strstr(json, "\"h e\"");
    char *all = mem_alloc(65536);
    assert_non_null(all);
    snprintf(all, 65536, "%.*s%s%s", (int)(at - json), json, merges, at);
    struct tokenizer *t;
    if (tokenizer_from_json(all, strlen(all), NULL, 0, &t))
        fail_msg("%s", status_message());
    mem_free(json);
    mem_free(all);
    return t;
}

/* Applies the lowest-ranked merge that fits anywhere, at its leftmost place, until none fits. */
static int merge_plainly(const struct random_bpe *r, int32_t *ids, int n)
{
    for (int m = 0; m < r->count;) {
        int at = 0;
        while (at + 1 < n && (ids[at] != r->left[m] || ids[at + 1] != r->right[m]))
            at++;
        if (at + 1 >= n) {
            m++;
            continue;
        }
        ids[at] = 256 + m;
        memmove(ids + at + 1, ids + at + 2, (size_t)(n - at - 2) * sizeof *ids);
        n--;
        m = 0; /* the new token may take part in an earlier merge */
    }
    return n;
}

static void merging_plainly(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int vocabulary = 0; vocabulary < 6; vocabulary++) {
        static struct random_bpe r;
        struct tokenizer *t = make_random(&r, &seed);
        struct id_list list = {0};
        for (int round = 0; round < 300; round++) {
            char text[200];
            int32_t ids[200];
            int n = 1 + (int)roll(&seed, round % 2 ? 40 : 200), length = n;
            for (int i = 0; i < n; i++)
                ids[i] = text[i] = (char)('a' + roll(&seed, 4));
            list.count = 0;
            assert_int_equal(tokenizer_encode(t, text, (size_t)length, 0, &list), OK);
            n = merge_plainly(&r, ids, n);
            bool same = list.count == n;
            for (int i = 0; same && i < n; i++)
                same = list.ids[i] == ids[i] + (ids[i] >= 256 ? 1000 : 0);
            if (!same)
                fail_msg("'%.*s' is merged differently", length, text);
        }
        id_list_free(&list);
        tokenizer_free(t);
    }
}

static void special_tokens(void **state)
{
    (void)state;
    struct tokenizer *t = toy();
    int add = TOKENIZER_ADD_SPECIAL;
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_BOS), 300);
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_EOS), 301);
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_PAD), -1);
    assert_false(tokenizer_adds_bos(t));
    expect_ids(t, "a", add, IDS(B('a')));
    assert_int_equal(tokenizer_set_add_bos(t, true), OK);
    assert_int_equal(tokenizer_set_add_bos(t, true), OK);
    assert_int_equal(tokenizer_set_add_eos(t, true), OK);
    expect_ids(t, "a", add, IDS(300, B('a'), 301));
    expect_ids(t, "a", 0, IDS(B('a')));
    assert_int_equal(tokenizer_set_special(t, TOKENIZER_EOS, 304), OK);
    expect_ids(t, "a", add, IDS(300, B('a'), 304));
    assert_int_equal(tokenizer_set_special(t, TOKENIZER_BOS, -1), OK);
    expect_ids(t, "a", add, IDS(B('a'), 304));
    assert_int_equal(tokenizer_set_add_bos(t, true), ERR_ARG);
    assert_int_equal(tokenizer_set_special(t, TOKENIZER_PAD, 304), OK);
    assert_int_equal(tokenizer_set_special(t, TOKENIZER_PAD, 299), ERR_ARG); /* a gap */
    assert_int_equal(tokenizer_set_special(t, TOKENIZER_PAD, 5000), ERR_ARG);
    assert_int_equal(tokenizer_find(t, "hello", 5), 259);
    assert_int_equal(tokenizer_find(t, "hullo", 5), -1);
    assert_int_equal(tokenizer_size(t), 306);
    assert_int_equal(tokenizer_base_size(t), 261);
    assert_true(tokenizer_is_special(t, 300));
    assert_false(tokenizer_is_special(t, 301));
    struct text_buffer out = {0};
    assert_int_equal(tokenizer_decode(t, (int32_t[]){300, 259, 301}, 3, true, &out), OK);
    assert_string_equal(out.bytes, "hello<t>");
    text_buffer_free(&out);
    tokenizer_free(t);
}

static void configuration(void **state)
{
    (void)state;
    static const char config[] =
        "{\"model_max_length\": 1000000000000000019884624838656, \"bos_token\": null, "
        "\"eos_token\":"
        " {\"content\": \"<tt>\", \"lstrip\": false}, \"pad_token\": \"<new>\", \"chat_template\": "
        "[{\"name\": \"tool\", \"template\": \"T\"}, {\"name\": \"default\", \"template\": \"D\"}],"
        "\"added_tokens_decoder\": {\"310\": {\"content\": \"<new>\", \"special\": true}}}";
    struct tokenizer *t = toy_with(config);
    assert_true(tokenizer_max_length(t) == INT64_MAX);
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_BOS), -1);
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_EOS), 304);
    assert_int_equal(tokenizer_special_id(t, TOKENIZER_PAD), 310);
    assert_string_equal(tokenizer_chat_template(t), "D");
    expect_ids(t, "<new>", TOKENIZER_PARSE_SPECIAL, IDS(310));
    tokenizer_free(t);
    t = toy_with("{\"model_max_length\": 512, \"tokenizer_class\": \"LlamaTokenizer\", "
                 "\"add_bos_token\": true, \"bos_token\": \"<s>\", \"eos_token\": \"<t>\"}");
    assert_int_equal(tokenizer_max_length(t), 512);
    assert_true(tokenizer_adds_bos(t));
    tokenizer_free(t);
}

/* --- refusals */

static void refuse(const char *part, const char *with, const char *message)
{
    struct tokenizer *t;
    char *json = toy_json_with(part, with);
    int status = tokenizer_from_json(json, strlen(json), NULL, 0, &t);
    mem_free(json);
    if (status != ERR_FORMAT || !strstr(status_message(), message))
        fail_msg("status %d, '%s', wanted '%s'", status, status_message(), message);
}

static void refusals(void **state)
{
    (void)state;
    refuse("\"ByteLevel\"", "\"UnicodeScripts\"",
           "the pre-tokenizer 'UnicodeScripts' is not supported yet");
    refuse("\"normalizer\": null", "\"normalizer\": {\"type\": \"Nmt\"}",
           "the normalizer 'Nmt' is not supported yet");
    refuse("\"normalizer\": null", "\"normalizer\": {\"type\": \"Prepend\"}",
           "Prepend: without its text 'prepend'");
    refuse("\"BPE\"", "\"Newest\"", "the model 'Newest' is not supported");
    refuse("\"decoder\": null", "\"decoder\": {\"type\": \"CTC\"}",
           "the decoder 'CTC' is not supported yet");
    refuse("\"post_processor\": null", "\"post_processor\": {\"type\": \"X\"}",
           "the post-processor 'X' is not supported yet");
    refuse("\"h e\"", "\"h q\"", "no token 'hq' in the vocabulary");
    refuse("\"h e\"", "\"h \xC3\xB8\xC3\xB8\"", "in the vocabulary");
    refuse("\"h e\"", "\"he\"", "wanted two tokens with a space between");
    refuse("\"hello\": 259", "\"hello\": 258", "have the same id 258");
    refuse("\"hello\": 259", "\"hello\": -1", "id -1, wanted 0 to");
    refuse("\"hello\": 259", "\"hello\": 2000000000", "id 2000000000, wanted 0 to");
    refuse("\"hello\": 259", "\"hell\": 259", "occurs twice");
    refuse("\"model\"", "\"modell\"", "this is not a tokenizer.json");
    refuse("\"content\": \"<s>\"", "\"content\": \"\"", "an added token without content");
}

static void missing_files(void **state)
{
    (void)state;
    struct tokenizer *t;
    temp_write("text.txt", "hello", 5);
    assert_int_equal(tokenizer_load(temp_path("none.json"), &t), ERR_IO);
    assert_int_equal(tokenizer_load(temp_folder(), &t), ERR_IO);
    assert_non_null(strstr(status_message(), "the folder has no tokenizer"));
    assert_int_equal(tokenizer_load(temp_path("text.txt"), &t), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "text.txt"));
    assert_int_equal(file_open_count(), 0);
}

static void from_folder(void **state)
{
    (void)state;
    char *json = toy_json();
    temp_write("tokenizer.json", json, strlen(json));
    temp_write("tokenizer_config.json", "{\"eos_token\": \"<tt>\"}", 21);
    temp_write("chat_template.jinja", "JINJA", 5);
    mem_free(json);
    const char *const paths[] = {temp_folder(), temp_path("tokenizer.json")};
    for (int i = 0; i < 2; i++) {
        struct tokenizer *t = load(paths[i]);
        assert_int_equal(tokenizer_special_id(t, TOKENIZER_EOS), 304);
        assert_string_equal(tokenizer_chat_template(t), "JINJA");
        assert_string_equal(tokenizer_name(t), paths[i]);
        tokenizer_free(t);
    }
}

/* --- other patterns, through PCRE2 */

static void expect_split(const char *step, const char *text, const char *want)
{
    char with[512], got[256] = "";
    struct id_list list = {0};
    snprintf(with, sizeof with,
             "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", %s}, {\"type\": "
             "\"ByteLevel\", \"use_regex\": false}]}",
             step);
    char *json = toy_json_with("{\"type\": \"ByteLevel\"}", with);
    struct tokenizer *t;
    if (tokenizer_from_json(json, strlen(json), NULL, 0, &t))
        fail_msg("%s", status_message());
    assert_int_equal(tokenizer_encode(t, text, strlen(text), TOKENIZER_SPANS, &list), OK);
    for (int64_t i = 0; i < list.count; i++) /* whole pieces: the toy merges digits and letters */
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", i ? "|" : "",
                 (int)(list.spans[i].end - list.spans[i].start), text + list.spans[i].start);
    if (strcmp(got, want) != 0)
        fail_msg("%s cuts '%s' into %s, wanted %s", step, text, got, want);
    id_list_free(&list);
    tokenizer_free(t);
    mem_free(json);
}

#define PATTERN(p, b) "\"pattern\": {\"Regex\": \"" p "\"}, \"behavior\": \"" b "\""

/* "ll" and "he" are tokens, so a cut between their letters shows. */
static void other_patterns(void **state)
{
    (void)state;
    expect_split(PATTERN("l", "Isolated"), "hellll", "he|l|l|l|l");
    expect_split(PATTERN("l", "Removed"), "hello", "he|o");
    expect_split(PATTERN("e", "MergedWithPrevious"), "hehe", "he|he");
    expect_split(PATTERN("h", "MergedWithNext"), "hehe", "he|he");
    expect_split(PATTERN("e", "MergedWithNext"), "hell", "h|e|ll");
    expect_split(PATTERN("l", "Contiguous"), "hello", "he|ll|o");
    expect_split(PATTERN("[^l]+", "Isolated") ", \"invert\": true", "hello", "he|ll|o");
    expect_split("\"pattern\": {\"String\": \"el\"}, \"behavior\": \"Isolated\"", "hell",
                 "h|e|l|l");
    expect_split(PATTERN("\\\\p{L}{2}", "Isolated"), "hell", "he|ll");
    expect_split(PATTERN("[\\\\s\\\\P{L}]", "Isolated"), "he ll", "he| |ll");
    expect_split(PATTERN("x*", "Isolated"), "hell", "hell");
    refuse("{\"type\": \"ByteLevel\"}",
           "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}",
           "the pattern '(' is not understood");
}

/* A pattern that needs exponential work is stopped. */
static void costly_pattern(void **state)
{
    (void)state;
    char *json = toy_json_with(
        "{\"type\": \"ByteLevel\"}",
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", " PATTERN(
            "(a+)+$", "Isolated") "}, {\"type\": \"ByteLevel\", \"use_regex\": false}]}");
    struct tokenizer *t;
    struct id_list list = {0};
    static const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    assert_int_equal(tokenizer_from_json(json, strlen(json), NULL, 0, &t), OK);
    assert_int_equal(tokenizer_encode(t, text, sizeof text - 1, 0, &list), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "needs too much work"));
    assert_int_equal(list.count, 0);
    id_list_free(&list);
    tokenizer_free(t);
    mem_free(json);
}

/* --- one MiB of one class, in a thread with a small stack */

static void *encode_runs(void *ctx)
{
    static const char *const units[] = {"a", " ", "^", "1", "\xE4\xB8\xAD", "\n", "\xFF", "'", "l"};
    struct tokenizer *t = ctx;
    size_t n = 1 << 20;
    char *text = mem_alloc(n);
    const char *wrong = text ? NULL : "memory";
    for (size_t u = 0; u < sizeof units / sizeof *units && !wrong; u++) {
        struct id_list list = {0};
        struct text_buffer out = {0};
        size_t size = strlen(units[u]), length = n / size * size;
        for (size_t i = 0; i < length; i++)
            text[i] = units[u][i % size];
        if (tokenizer_encode(t, text, length, 0, &list) ||
            tokenizer_decode(t, list.ids, list.count, false, &out) ||
            (units[u][0] != '\xFF' &&
             (out.length != (int64_t)length || memcmp(out.bytes, text, length) != 0)))
            wrong = units[u];
        id_list_free(&list);
        text_buffer_free(&out);
    }
    mem_free(text);
    return (void *)(uintptr_t)wrong;
}

static void long_runs(void **state)
{
    (void)state;
    struct tokenizer *t = toy();
    pthread_attr_t attr;
    pthread_t thread;
    void *wrong = NULL;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    assert_int_equal(pthread_create(&thread, &attr, encode_runs, t), 0);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    pthread_attr_destroy(&attr);
    tokenizer_free(t);
    if (wrong)
        fail_msg("a run of '%s' does not come back", (const char *)wrong);
}

/* Marks out of order, 200,000 in a row: sorting them as one would take minutes. The first ones are
 * composed as ever. */
static void many_marks(void **state)
{
    (void)state;
    size_t half = 100000, n = 1;
    char *json = toy_json_with("\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}");
    char *text = mem_alloc(4 * half + 1);
    struct tokenizer *t;
    struct id_list list = {0};
    assert_non_null(text);
    assert_int_equal(tokenizer_from_json(json, strlen(json), NULL, 0, &t), OK);
    text[0] = 'a';
    for (size_t i = 0; i < 2 * half; i++, n += 2)
        memcpy(text + n, i < half ? "\xCC\x81" : "\xCC\x96", 2);
    assert_int_equal(tokenizer_encode(t, text, n, 0, &list), OK);
    assert_int_equal(list.count, n - 1); /* a and the first mark are two bytes now, not three */
    assert_int_equal(list.ids[0], toy_byte(0xC3));
    id_list_free(&list);
    tokenizer_free(t);
    mem_free(text);
    mem_free(json);
}

/* --- damage */

static int parse_json(const char *bytes, size_t length)
{
    struct tokenizer *t;
    int status = tokenizer_from_json(bytes, length, NULL, 0, &t);
    struct id_list list = {0};
    if (status)
        return status;
    status = tokenizer_encode(t, "hello <s> w", 11, TOKENIZER_PARSE_SPECIAL, &list);
    id_list_free(&list);
    tokenizer_free(t);
    return status;
}

static void broken_json(void **state)
{
    (void)state;
    char *json = toy_small_json();
    assert_int_equal(parse_json(json, strlen(json)), OK);
    bad_input_sweep(json, strlen(json), 4096, 16 << 20, parse_json);
    mem_free(json);
}

static int parse_gguf(const char *bytes, size_t length)
{
    struct gguf *g;
    struct tokenizer *t;
    int status = gguf_parse(bytes, length, length, &g, NULL);
    if (status)
        return status;
    status = tokenizer_from_gguf(g, &t);
    if (!status)
        tokenizer_free(t);
    gguf_close(g);
    return status;
}

static void broken_gguf(void **state)
{
    (void)state;
    size_t length;
    char *bytes = toy_gguf(&length, "smollm");
    assert_int_equal(parse_gguf(bytes, length), OK);
    bad_input_sweep(bytes, length, 4096, 16 << 20, parse_gguf);
    bad_number_sweep(bytes, length, 1024, 16 << 20, parse_gguf);
    mem_free(bytes);
}

static void gguf_refusals(void **state)
{
    (void)state;
    size_t length;
    char *bytes = toy_gguf(&length, "newest");
    assert_int_equal(parse_gguf(bytes, length), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "tokenizer.ggml.pre 'newest' is not known; hint: "
                                             "known ones are gpt-2, phi-2, "));
    char *model = memmem(bytes, length, "gpt2", 4);
    assert_non_null(model);
    memcpy(model, "bert", 4);
    assert_int_equal(parse_gguf(bytes, length), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "tokenizer.ggml.model 'bert' is not known"));
    mem_free(bytes);
}

static int load_and_encode(void *ctx)
{
    struct tokenizer *t;
    struct id_list list = {0};
    struct text_buffer out = {0};
    int status = tokenizer_load(ctx, &t);
    if (status)
        return status;
    char text[100];
    memset(text, 'l', sizeof text); /* long enough for the heap */
    status = tokenizer_encode(t, text, sizeof text, TOKENIZER_SPANS, &list);
    if (!status)
        status = tokenizer_encode(t, "hello <s>", 9, TOKENIZER_SPANS, &list);
    if (!status)
        status = tokenizer_decode(t, list.ids, list.count, false, &out);
    id_list_free(&list);
    text_buffer_free(&out);
    tokenizer_free(t);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    char path[512], *json = toy_json();
    size_t length;
    temp_write("tokenizer.json", json, strlen(json));
    temp_write("tokenizer_config.json", "{\"eos_token\": \"<tt>\"}", 21);
    mem_free(json);
    snprintf(path, sizeof path, "%s", temp_folder());
    memory_sweep(load_and_encode, path);
    char *bytes = toy_gguf(&length, "smollm");
    temp_write("toy.gguf", bytes, length);
    mem_free(bytes);
    snprintf(path, sizeof path, "%s", temp_path("toy.gguf"));
    memory_sweep(load_and_encode, path);
    assert_int_equal(file_open_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),     cmocka_unit_test(invalid_text),
        cmocka_unit_test(streaming),       cmocka_unit_test(merging),
        cmocka_unit_test(added_tokens),    cmocka_unit_test(longest_added),
        cmocka_unit_test(merging_plainly), cmocka_unit_test(special_tokens),
        cmocka_unit_test(configuration),   cmocka_unit_test(refusals),
        cmocka_unit_test(missing_files),   cmocka_unit_test(from_folder),
        cmocka_unit_test(other_patterns),  cmocka_unit_test(costly_pattern),
        cmocka_unit_test(long_runs),       cmocka_unit_test(many_marks),
        cmocka_unit_test(broken_json),     cmocka_unit_test(broken_gguf),
        cmocka_unit_test(gguf_refusals),   cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
