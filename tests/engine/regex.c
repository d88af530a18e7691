/* regex.c -- patterns as Python's re reads them: full matches, refusals, limits, memory. */
#include "engine/core/regex.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void full(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"a|ab", "ab", true}, /* the longer branch is found, as in Python */
        {"a", "ab", false},
        {"b", "ab", false},
        {".*", "", true},
        {"", "", true},
        {"", "a", false},
        {".*q_proj", "model.layers.0.self_attn.q_proj", true},
        {"q_proj", "model.layers.0.self_attn.q_proj", false},
        {".*\\.(q|v)_proj", "model.layers.0.self_attn.v_proj", true},
        {".*\\.(q|v)_proj", "model.layers.0.self_attn.k_proj", false},
        {"model\\.layers\\.[02]\\..*", "model.layers.2.mlp.up_proj", true},
        {"model\\.layers\\.[02]\\..*", "model.layers.12.mlp.up_proj", false},
        {"(?P<layer>\\d+)x(?P=layer)", "12x12", true},
        {"(?!.*k_proj).*_proj", "a.q_proj", true},
        {"(?!.*k_proj).*_proj", "a.k_proj", false},
        {"(?i)LM_HEAD", "lm_head", true},
        {"\\w+", "naïve", true},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        struct regex *r;
        bool found;
        assert_int_equal(regex_compile(cases[i].pattern, strlen(cases[i].pattern), REGEX_FULL, &r),
                         OK);
        assert_int_equal(regex_matches(r, cases[i].text, &found), OK);
        if (found != cases[i].match)
            fail_msg("'%s' against '%s': %d", cases[i].pattern, cases[i].text, found);
        regex_free(r);
    }
}

static void find(void **state)
{
    (void)state;
    struct regex *r;
    bool found;
    size_t start = 9, stop = 9;
    assert_int_equal(regex_compile("b+", 2, 0, &r), OK);
    assert_int_equal(regex_find(r, "abbab", 5, 0, &found, &start, &stop), OK);
    assert_true(found && start == 1 && stop == 3);
    assert_int_equal(regex_find(r, "abbab", 5, 3, &found, &start, &stop), OK);
    assert_true(found && start == 4 && stop == 5);
    assert_int_equal(regex_find(r, "abbab", 4, 3, &found, &start, &stop), OK);
    assert_false(found);
    assert_int_equal(regex_find(r,
                                "\xff\xfe"
                                "b",
                                3, 0, &found, &start, &stop),
                     OK);
    assert_true(found && start == 2);
    regex_free(r);
    regex_free(NULL);
}

static void refusals(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "(", "*", "[a", "a{3,1}", "\\C", "(?P<a", "(?<a>x)(?<a>y)"};
    struct regex *r;
    for (int i = 0; i < COUNT_OF(broken); i++) {
        assert_int_equal(regex_compile(broken[i], strlen(broken[i]), 0, &r), ERR_FORMAT);
        assert_non_null(strstr(status_message(), "is not understood: "));
        assert_true(strlen(regex_reason()) > 4);
    }
    /* a pattern that would run for ever stops */
    char text[60];
    bool found;
    memset(text, 'a', sizeof text);
    text[59] = '\0';
    assert_int_equal(regex_compile("(a|aa|a.)*b", 11, REGEX_FULL, &r), OK);
    int status = regex_matches(r, text, &found);
    assert_true(status == ERR_FORMAT || (status == OK && !found));
    regex_free(r);
}

static void memory(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 100; n++) {
        struct regex *r = NULL;
        mem_fail_at(n, 0);
        int status = regex_compile(".*\\.(q|v)_proj", 14, REGEX_FULL, &r);
        int64_t seen = mem_fail_at(0, 0);
        if (!status)
            regex_free(r);
        else
            assert_int_equal(status, ERR_MEMORY);
        if (seen < n)
            return;
    }
    fail_msg("compiling asks for memory without end");
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(full, no_leak),
        cmocka_unit_test_teardown(find, no_leak),
        cmocka_unit_test_teardown(refusals, no_leak),
        cmocka_unit_test_teardown(memory, no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
