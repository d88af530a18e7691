/* print.c -- tables as text: straight borders for any text at any width, hidden columns named,
 * control characters visible, and the forms for programs. */
#include "engine/data/cell.h"
#include "engine/data/print.h"
#include "engine/data/readers.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"
#include "kernels/base/rng.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct reader_options defaults = READER_DEFAULTS;

static struct table *table_of(const char *csv)
{
    struct table *t;
    if (readers[0].read(csv, strlen(csv), &defaults, &t))
        fail_msg("%s", status_message());
    return t;
}

static char *printed(const struct table *t, struct print_style style, struct buffer *b)
{
    b->length = 0;
    assert_int_equal(print_table(t, NULL, &style, b), OK);
    assert_int_equal(buffer_close(b), OK);
    return b->bytes;
}

/* Columns of a line by adding up code points; a control character or bad UTF-8 fails. */
static int line_width(const char *p, const char *end)
{
    int width = 0;
    while (p < end) {
        uint32_t cp = 0;
        int n = utf8_decode(p, end, &cp);
        assert_true(n > 0);
        assert_true(unicode_width(cp) >= 0);
        width += unicode_width(cp);
        p += n;
    }
    return width;
}

/* All lines of the box are equally wide and at most 'width'; those below it at most 'width'. */
static void expect_straight(const char *text, int width)
{
    int box = -1;
    bool below = false;
    for (const char *p = text; *p;) {
        const char *end = strchr(p, '\n');
        assert_non_null(end);
        int w = line_width(p, end);
        if (w > width)
            fail_msg("a line of %d at width %d:\n%s", w, width, text);
        if (!below && box >= 0 && w != box)
            fail_msg("lines of %d and %d:\n%s", box, w, text);
        box = w;
        below = below || !strncmp(p, "\xE2\x94\x94", 3);
        p = end + 1;
    }
}

/* --- random text of everything that is hard to measure */

static size_t random_text(struct rng_key key, uint64_t n, char *out)
{
    static const uint32_t hard[] = {
        0x1F468, 0x200D,  0x1F469, 0x1F467, 0x1F1E9, 0x1F1EA, 0x2764, 0xFE0F, 0x1F3FD, 0x1F44D,
        0x301,   0x0A,    0x0D,    0x1B,    0x07,    0x7F,    0x85,   0x9B,   0x2028,  0x202E,
        0x200B,  0xFEFF,  0xAD,    0x65E5,  0x672C,  0xAC00,  0x1100, 0x1161, 0x11A8,  0x915,
        0x94D,   0x937,   0x93E,   0xE01,   0xE33,   0x627,   0x64B,  0x20E3, 0x31,    0xE0067,
        0xE007F, 0x1F3F4, 0xE000,  0x378,   0xFF21,  0x3099,  0x20,   0x09,   0x2502,  0xFFFF};
    char *p = out;
    int length = (int)(rng_u64(key, n * 1000) % 40);
    for (int i = 0; i < length; i++) {
        uint64_t r = rng_u64(key, n * 1000 + 1 + (uint64_t)i);
        uint32_t cp = (uint32_t)(r >> 8);
        switch (r & 7) {
        case 0:
            *p++ = (char)(r >> 16); /* most likely no UTF-8 */
            continue;
        case 1:
            cp %= 0x110000;
            break;
        case 2:
            cp = 0x20 + cp % 0x5F;
            break;
        default:
            cp = hard[cp % COUNT_OF(hard)];
        }
        p += utf8_encode(cp, p);
    }
    return (size_t)(p - out);
}

static struct table *random_table(uint64_t seed, int columns, int rows)
{
    struct rng_key key = rng_key(seed, RNG_USER);
    struct table *t;
    assert_int_equal(table_new(&t), OK);
    for (int k = 0; k < columns; k++) {
        struct column *c;
        char name[200], text[200];
        snprintf(name, sizeof name, "%d", k);
        size_t n = random_text(key, (uint64_t)(1000 + k), text);
        for (size_t i = 0; i < n; i++)
            text[i] = text[i] ? text[i] : ' ';
        text[n] = '\0';
        if (seed % 2)
            strcat(name, text);
        assert_int_equal(column_new(k % 5 == 4 ? COLUMN_FLOAT : COLUMN_TEXT, &c), OK);
        for (int row = 0; row < rows; row++) {
            uint64_t id = (uint64_t)(k * rows + row);
            n = random_text(key, id, text);
            int status = id % 11 == 3             ? column_add_null(c)
                         : c->type == COLUMN_TEXT ? column_add_text(c, text, n)
                                                  : column_add_float(c, rng_normal(key, id));
            assert_int_equal(status, OK);
        }
        assert_int_equal(table_add(t, name, c), OK);
        column_free(c);
    }
    return t;
}

static void test_straight(void **state)
{
    (void)state;
    struct buffer b = {0};
    static const int widths[] = {24, 40, 41, 80, 100, 200};
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct table *t = random_table(seed, 1 + (int)(seed % 7), (int)(seed % 25));
        for (int64_t w = 0; w < COUNT_OF(widths); w++)
            expect_straight(printed(t, (struct print_style){.width = widths[w]}, &b), widths[w]);
        table_free(t);
    }
    struct table *wide = random_table(3, 40, 5);
    for (int w = 24; w <= 200; w++)
        expect_straight(printed(wide, (struct print_style){.width = w}, &b), w);
    table_free(wide);
    buffer_free(&b);
}

static void test_ascii(void **state)
{
    (void)state;
    struct buffer b = {0};
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct table *t = random_table(seed, 3, 9);
        char *text = printed(t, (struct print_style){.form = PRINT_ASCII, .width = 60}, &b);
        size_t box = strcspn(text, "\n");
        for (char *p = text; *p == '+' || *p == '|'; p = strchr(p, '\n') + 1)
            assert_int_equal(strcspn(p, "\n"), box);
        for (char *p = text; *p; p++)
            assert_true(*p == '\n' || (*p >= 0x20 && *p < 0x7F));
        table_free(t);
    }
    buffer_free(&b);
}

static void test_look(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct table *t =
        table_of("Name,Age\nAnna,3\n\xE6\x97\xA5\xE6\x9C\xAC,\n\"a\nb\x1B[31m\",-40\n");
    assert_string_equal(printed(t, (struct print_style){.width = 60}, &b),
                        "┌───┬──────────┬─────┐\n"
                        "│   │ Name     │ Age │\n"
                        "│   │ str      │ int │\n"
                        "├───┼──────────┼─────┤\n"
                        "│ 1 │ Anna     │   3 │\n"
                        "│ 2 │ 日本     │   ∅ │\n"
                        "│ 3 │ a␊b␛[31m │ -40 │\n"
                        "└───┴──────────┴─────┘\n"
                        "3 rows · 2 columns\n");
    assert_string_equal(printed(t, (struct print_style){.form = PRINT_TSV}, &b),
                        "Name\tAge\nAnna\t3\n\xE6\x97\xA5\xE6\x9C\xAC\t\na\\nb\x1B[31m\t-40\n");
    assert_non_null(strstr(printed(t, (struct print_style){.form = PRINT_MARKDOWN}, &b),
                           "| Name | Age |\n|---|---|\n| Anna | 3 |\n"));
    table_free(t);
    buffer_free(&b);
}

static void test_cut(void **state)
{
    (void)state;
    struct buffer b = {0};
    char csv[4000] = "n,text\n";
    for (int i = 1; i <= 30; i++)
        snprintf(csv + strlen(csv), 100, "%d,some words that are too long for a narrow table %d\n",
                 i, i);
    struct table *t = table_of(csv);
    char *text = printed(t, (struct print_style){.width = 40}, &b);
    expect_straight(text, 40);
    assert_non_null(strstr(text, "│  1 │"));
    assert_non_null(strstr(text, "│  … │"));
    assert_non_null(strstr(text, "│ 30 │"));
    assert_null(strstr(text, "│ 15 │"));
    assert_non_null(strstr(text, "10 of 30 rows"));
    assert_non_null(strstr(text, "… │\n")); /* long text ends in an ellipsis */
    text = printed(t, (struct print_style){.width = 40, .most_rows = 100}, &b);
    assert_non_null(strstr(text, "│ 15 │"));
    table_free(t);
    /* what does not fit is named */
    csv[0] = '\0';
    for (int i = 0; i < 30; i++)
        snprintf(csv + strlen(csv), 100, "%sname_of_%d", i ? "," : "", i);
    strcat(csv, "\n");
    for (int i = 0; i < 30; i++)
        strcat(csv, i ? ",value" : "value");
    t = table_of(csv);
    text = printed(t, (struct print_style){.width = 80}, &b);
    expect_straight(text, 80);
    for (int i = 0; i < 30; i++) {
        char name[20];
        snprintf(name, sizeof name, "name_of_%d", i);
        assert_non_null(strstr(text, name));
    }
    assert_non_null(strstr(text, "columns hidden: name_of_"));
    table_free(t);
    buffer_free(&b);
}

/* A whole file of Devanagari: borders placed by cursor command only where it matters. */
static void test_scripts(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct table *t;
    const char *path = shared_path("data/counsel_chat_marathi/marathi_dataset.csv");
    if (!path)
        skip();
    assert_int_equal(reader_file(&readers[0], path, &defaults, &t), OK);
    for (int w = 40; w <= 200; w += 40)
        expect_straight(printed(t, (struct print_style){.width = w}, &b), w);
    assert_non_null(
        strstr(printed(t, (struct print_style){.width = 80, .place_borders = true}, &b), "\033["));
    table_free(t);
    t = table_of("a\n\xE6\x97\xA5\n");
    assert_null(
        strstr(printed(t, (struct print_style){.width = 80, .place_borders = true}, &b), "\033["));
    table_free(t);
    buffer_free(&b);
}

static void expect_cell(const char *text, int width, const char *wanted)
{
    struct buffer b = {0};
    bool contested = false;
    int used = cell_add(&b, text, strlen(text), width, false, &contested);
    assert_int_equal(buffer_close(&b), OK);
    assert_string_equal(b.bytes, wanted);
    assert_int_equal(used, line_width(b.bytes, b.bytes + b.length));
    buffer_free(&b);
}

static void test_cells(void **state)
{
    (void)state;
    expect_cell("abcdef", 6, "abcdef");
    expect_cell("abcdef", 5, "abcd…");
    expect_cell("日本語", 5, "日本…");
    expect_cell("日本語", 4, "日…");
    expect_cell("👨‍👩‍👧", 10, "👨👩👧"); /* joiners left out: every terminal agrees */
    expect_cell("❤️👍🏽", 10, "❤👍");
    expect_cell("🇩🇪🇫🇷", 3, "🇩🇪…");
    expect_cell("e\xCC\x81x", 10, "e\xCC\x81x");
    expect_cell("\xCC\x81x", 10, "\xE2\x97\x8C\xCC\x81x"); /* dotted circle */
    expect_cell("a\xFFz", 10, "a\xEF\xBF\xBDz");
    expect_cell("a\u202Eb\u200Bc", 10, "abc");
    expect_cell("क्\u200Dष", 10, "क्\u200Dष"); /* kept where it shapes letters */
    expect_cell("", 10, "");
}

static int print_all(void *ctx)
{
    struct buffer b = {0};
    struct print_style box = {.width = 80, .place_borders = true}, tsv = {.form = PRINT_TSV};
    int status = print_table(ctx, NULL, &box, &b);
    if (!status)
        status = print_table(ctx, NULL, &tsv, &b);
    buffer_free(&b);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct table *t = random_table(5, 4, 30);
    memory_sweep(print_all, t);
    table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_straight),  cmocka_unit_test(test_ascii),
        cmocka_unit_test(test_look),      cmocka_unit_test(test_cut),
        cmocka_unit_test(test_scripts),   cmocka_unit_test(test_cells),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
