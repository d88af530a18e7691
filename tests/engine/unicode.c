/* unicode.c -- UTF-8 and character classes. */
#include "engine/text/unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void class_counts(void **state)
{
    (void)state;
    int letters = 0, numbers = 0, spaces = 0;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        unsigned f = unicode_flags(cp);
        letters += (f & UNICODE_LETTER) != 0;
        numbers += (f & UNICODE_NUMBER) != 0;
        spaces += (f & UNICODE_SPACE) != 0;
    }
    assert_int_equal(letters, 141028);
    assert_int_equal(numbers, 1911);
    assert_int_equal(spaces, 25);
    assert_int_equal(unicode_flags(0x110000), 0);
    assert_false(unicode_flags(0x180E) & UNICODE_SPACE);
    assert_true(unicode_flags('_') & UNICODE_WORD);
    assert_true(unicode_flags(0x301) & UNICODE_MARK);
    assert_false(unicode_flags(0xE000) & UNICODE_ASSIGNED);
    assert_true(unicode_flags(0x105C0) & UNICODE_LETTER); /* Todhri: new in 16.0 */
}

static void changes(void **state)
{
    (void)state;
    uint32_t next = 0;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        unsigned f = unicode_flags(cp);
        if (cp == next)
            next = unicode_next_change(cp);
        else if (f != unicode_flags(cp - 1))
            fail_msg("U+%04X differs from the one before, and no range starts there", (unsigned)cp);
        assert_true(next > cp);
        assert_int_equal(unicode_next_change(cp), next);
    }
    assert_int_equal(next, 0x110000);
}

static void widths(void **state)
{
    (void)state;
    static const struct {
        uint32_t cp;
        int width;
    } cases[] = {{'a', 1},    {0, -1},     {0x1B, -1},   {0x7F, -1},    {0x9F, -1},  {0xA0, 1},
                 {0xAD, 1},   {0xE9, 1},   {0x301, 0},   {0x200B, 0},   {0x200D, 0}, {0xFE0F, 0},
                 {0x4E2D, 2}, {0xFF21, 2}, {0xAC00, 2},  {0x1F600, 2},  {0x1160, 0}, {0x20000, 2},
                 {0x2500, 1}, {0x2028, 0}, {0xD800, -1}, {0x110000, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (unicode_width(cases[i].cp) != cases[i].width)
            fail_msg("U+%04X: width %d, wanted %d", (unsigned)cases[i].cp,
                     unicode_width(cases[i].cp), cases[i].width);
}

static void round_trip(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char text[4];
        uint32_t back = 0;
        int n = utf8_encode(cp, text);
        assert_int_equal(utf8_decode(text, text + n, &back), n);
        assert_int_equal(back, cp >= 0xD800 && cp <= 0xDFFF ? 0xFFFD : cp);
        for (int cut = 0; cut < n; cut++)
            assert_int_equal(utf8_decode(text, text + cut, &back), 0);
    }
}

static void bad_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t run;
        bool cut;
    } cases[] = {{"\x80", 1, false},
                 {"\xC0\x80", 1, false},
                 {"\xC1\xBF", 1, false},
                 {"\xE0\x80\x80", 1, false},
                 {"\xED\xA0\x80", 1, false},
                 {"\xF0\x80\x80\x80", 1, false},
                 {"\xF4\x90\x80\x80", 1, false},
                 {"\xF5\x80\x80\x80", 1, false},
                 {"\xFF", 1, false},
                 {"\xC3", 1, true},
                 {"\xE2\x82", 2, true},
                 {"\xE2\x82"
                  "a",
                  2, false},
                 {"\xF0\x9F\x98", 3, true},
                 {"\xF0\x9F"
                  "a",
                  2, false},
                 {"\xF0", 1, true},
                 {"\xE2"
                  "a",
                  1, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *p = cases[i].bytes;
        uint32_t cp;
        bool cut;
        assert_int_equal(utf8_decode(p, p + strlen(p), &cp), 0);
        assert_int_equal(utf8_bad_run(p, p + strlen(p), &cut), cases[i].run);
        assert_int_equal(cut, cases[i].cut);
    }
    assert_int_equal(utf8_valid("ab\xC3\xA9\xC3", 5), 4);
    assert_int_equal(utf8_valid("ab\xC3\xA9", 4), 4);
    assert_int_equal(utf8_valid("a\0b", 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(class_counts), cmocka_unit_test(changes),   cmocka_unit_test(widths),
        cmocka_unit_test(round_trip),   cmocka_unit_test(bad_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
