/* split.c -- the hand-written splitters against their patterns through PCRE2, and by example. */
#include "engine/text/split.h"
#include "engine/core/utf8.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"
#include "tests/engine/strings_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    enum split_kind kind;
    const char *pattern;
} known[] = {
    {SPLIT_GPT2,
     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {SPLIT_LLAMA3, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
                   "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {SPLIT_QWEN2, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                  "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {SPLIT_DIGIT, "\\p{N}"},
};
#define KNOWN (sizeof known / sizeof *known)

/* Pieces as marks over the text's bytes. */
struct cuts {
    const char *text;
    unsigned char at[RANDOM_STRING_BYTES + 1]; /* 1 where a piece ends */
    size_t done;
};

static int mark(void *ctx, const char *piece, size_t length)
{
    struct cuts *c = ctx;
    assert_ptr_equal(piece, c->text + c->done); /* in order, without a gap */
    assert_true(length > 0);
    c->done += length;
    c->at[c->done] = 1;
    return OK;
}

static void compare(const struct split_step *by_hand, const struct split_step *by_pattern,
                    const char *text, size_t length)
{
    static struct cuts a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    a.text = b.text = text;
    assert_int_equal(split_each(by_hand, text, text + length, mark, &a), OK);
    assert_int_equal(split_each(by_pattern, text, text + length, mark, &b), OK);
    assert_int_equal(a.done, length);
    assert_int_equal(b.done, length);
    for (size_t i = 0; i <= length; i++)
        if (a.at[i] != b.at[i])
            fail_msg("kind %d: '%.*s' is cut differently at byte %zu", (int)by_hand->kind,
                     (int)length, text, i);
}

static void against_patterns(void **state)
{
    (void)state;
    for (size_t k = 0; k < KNOWN; k++) {
        struct split_step by_hand = {.kind = known[k].kind};
        struct split_step by_pattern = {.kind = SPLIT_PATTERN};
        assert_int_equal(split_known(known[k].pattern, strlen(known[k].pattern)), known[k].kind);
        if (pattern_compile(known[k].pattern, strlen(known[k].pattern), &by_pattern.pattern))
            fail_msg("%s", status_message());
        for (uint64_t i = 0; i < 3000; i++) {
            char text[RANDOM_STRING_BYTES];
            compare(&by_hand, &by_pattern, text, random_string(i, text));
        }
        for (uint32_t cp = 0; cp < 0x3100; cp++) { /* each character between others */
            char c[5] = "", text[64];
            (void)utf8_encode(cp, c);
            int n = snprintf(text, sizeof text, "a%s'%s %s\n%s1%s  %sx", c, c, c, c, c, c);
            if (cp)
                compare(&by_hand, &by_pattern, text, (size_t)n);
        }
        split_step_free(&by_pattern);
    }
}

static int show(void *ctx, const char *piece, size_t length)
{
    char *out = ctx;
    size_t used = strlen(out);
    snprintf(out + used, 256 - used, "%s%.*s", used ? "|" : "", (int)length, piece);
    return OK;
}

static void examples(void **state)
{
    (void)state;
    static const struct {
        enum split_kind kind;
        const char *text, *pieces;
    } cases[] = {
        {SPLIT_GPT2, "Hello world's 12345  don't", "Hello| world|'s| 12345| | don|'t"},
        {SPLIT_GPT2, "we'LL a''s", "we|'|LL| a|''|s"},
        {SPLIT_GPT2, "a   \n b  ", "a|   \n| b|  "},
        {SPLIT_GPT2, "x!? \xC2\xA0y", "x|!?| |\xC2\xA0|y"},
        {SPLIT_LLAMA3, "we'LL 12345 a's\r\n\r\n b", "we|'LL| |123|45| a|'s|\r\n\r\n| b"},
        {SPLIT_LLAMA3, "x!?\n\ny \n z", "x|!?\n\n|y| \n| z"},
        {SPLIT_LLAMA3, "(abc) $abc\tq", "(abc|)| $|abc|\tq"},
        {SPLIT_LLAMA3, "it'\xC5\xBFx", "it|'\xC5\xBF|x"},
        {SPLIT_QWEN2, "a 123", "a| |1|2|3"},
        {SPLIT_DIGIT,
         "ab12\xC2\xBD"
         "c",
         "ab|1|2|\xC2\xBD|c"},
        {SPLIT_DIGITS,
         "ab12\xC2\xBD"
         "c",
         "ab|12\xC2\xBD|c"},
        {SPLIT_GPT2,
         "\xFF\xFE"
         "a\xF0\x9F",
         "\xFF\xFE|a|\xF0\x9F"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct split_step step = {.kind = cases[i].kind};
        char out[256] = "";
        const char *text = cases[i].text;
        assert_int_equal(split_each(&step, text, text + strlen(text), show, out), OK);
        assert_string_equal(out, cases[i].pieces);
    }
}

static void failing_step(void **state)
{
    (void)state;
    struct pattern *m = NULL;
    for (int64_t n = 1; n <= 3; n++) {
        int64_t blocks = mem_stats().live_blocks;
        mem_fail_at(n, 1);
        assert_int_equal(pattern_compile("\\p{L}+", 6, &m), ERR_MEMORY);
        mem_fail_at(0, 0);
        assert_int_equal(mem_stats().live_blocks, blocks);
    }
    assert_int_equal(pattern_compile("[", 1, &m), ERR_FORMAT);
    assert_int_equal(pattern_compile("\\p{L", 4, &m), ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(against_patterns),
        cmocka_unit_test(failing_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
