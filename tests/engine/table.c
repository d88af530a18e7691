/* table.c -- columns, tables and their verbs against plain loops, and each allocation made to fail. */
#include "engine/data/column_math.h"
#include "engine/data/describe.h"
#include "engine/data/readers.h"
#include "engine/data/row_text.h"
#include "engine/data/rows.h"
#include "engine/data/split.h"
#include "engine/data/where.h"
#include "kernels/base/mem.h"
#include "kernels/base/rng.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct reader_options defaults = READER_DEFAULTS;

/* Random rows: k int with nulls, x float with nulls, t text with nulls and repeats, b bool. */
static int random_table(uint64_t seed, int64_t rows, struct table **out)
{
    struct rng_key key = rng_key(seed, RNG_USER);
    struct column *c[4] = {0};
    struct table *t = NULL;
    static const char *const names[] = {"k", "x", "t", "b"};
    int status = OK;
    TRY_OUT(column_new(COLUMN_INT, &c[0]));
    TRY_OUT(column_new(COLUMN_FLOAT, &c[1]));
    TRY_OUT(column_new(COLUMN_TEXT, &c[2]));
    TRY_OUT(column_new(COLUMN_BOOL, &c[3]));
    for (int64_t i = 0; i < rows; i++) {
        uint64_t r = rng_u64(key, (uint64_t)i);
        char text[32];
        int n = snprintf(text, sizeof text, "t%d", (int)(r >> 40) % 9);
        TRY_OUT(r % 7 ? column_add_int(c[0], (int64_t)(r >> 8) % 20 - 10) : column_add_null(c[0]));
        TRY_OUT(r % 5 ? column_add_float(c[1], (double)((r >> 16) % 1000) / 8 - 50)
                      : column_add_null(c[1]));
        TRY_OUT(r % 3 ? column_add_text(c[2], text, (size_t)n) : column_add_null(c[2]));
        TRY_OUT(column_add_bool(c[3], r >> 63));
    }
    TRY_OUT(table_new(&t));
    for (int i = 0; i < 4; i++)
        TRY_OUT(table_add(t, names[i], c[i]));
    *out = t;
    t = NULL;
out:
    table_free(t);
    for (int i = 0; i < 4; i++)
        column_free(c[i]);
    return status;
}

static struct table *table_of(const char *csv)
{
    struct table *t;
    if (readers[0].read(csv, strlen(csv), &defaults, &t))
        fail_msg("%s", status_message());
    return t;
}

/* A cell as text, "null" for null, in one of four buffers. */
static const char *cell(const struct column *c, int64_t row)
{
    static char shown[4][200];
    static int turn;
    char *out = shown[turn++ % 4];
    struct buffer b = {0};
    if (column_is_null(c, row))
        return "null";
    column_show(c, row, &b);
    assert_int_equal(buffer_close(&b), OK);
    snprintf(out, sizeof shown[0], "%s", b.bytes);
    buffer_free(&b);
    return out;
}

static void test_pick(void **state)
{
    (void)state;
    struct table *t, *part;
    assert_int_equal(random_table(1, 50, &t), OK);
    int64_t rows[] = {49, 0, 0, 7, -1};
    assert_int_equal(table_pick(t, rows, 5, &part), OK);
    assert_int_equal(part->rows, 5);
    for (int64_t i = 0; i < 4; i++) {
        for (int k = 0; k < 4; k++)
            assert_string_equal(cell(part->columns[i], k), cell(t->columns[i], rows[k]));
        assert_true(column_is_null(part->columns[i], 4));
        int64_t nulls = 0;
        for (int64_t row = 0; row < 5; row++)
            nulls += column_is_null(part->columns[i], row);
        assert_int_equal(part->columns[i]->nulls, nulls);
    }
    assert_ptr_equal(part->columns[2]->arena, t->columns[2]->arena); /* texts are shared */
    table_free(t); /* the part keeps what it needs */
    assert_true(strlen(cell(part->columns[2], 3)) > 0);
    table_free(part);
}

static void test_shape_verbs(void **state)
{
    (void)state;
    struct table *t = table_of("a,b,c\n1,2,3\n4,5,6\n"), *made;
    int64_t place;
    assert_int_equal(table_columns(t, (int64_t[]){2, 0}, 2, &made), OK);
    assert_string_equal(made->names[0], "c");
    assert_ptr_equal(made->columns[1], t->columns[0]); /* nothing is copied */
    table_free(made);
    assert_int_equal(table_columns(t, (int64_t[]){1, 1}, 2, &made), ERR_ARG);
    assert_int_equal(table_without(t, (int64_t[]){1}, 1, &made), OK);
    assert_int_equal(made->width, 2);
    table_free(made);
    assert_int_equal(table_with(t, "b", t->columns[0], &made), OK);
    assert_string_equal(cell(made->columns[1], 1), "4");
    table_free(made);
    assert_int_equal(table_rename(t, 0, "c", &made), ERR_ARG);
    assert_non_null(strstr(status_message(), "two columns are called 'c'"));
    assert_int_equal(table_find(t, "aa", &place), ERR_ARG);
    assert_non_null(strstr(status_message(), "no column 'aa'; did you mean 'a'?"));
    assert_int_equal(table_find(t, "something", &place), ERR_ARG);
    assert_non_null(strstr(status_message(), "hint: there are a, b, c"));
    assert_int_equal(table_slice(t, 1, 1, &made), OK);
    assert_int_equal(made->rows, 1);
    table_free(made);
    table_free(t);
}

static void test_join(void **state)
{
    (void)state;
    struct table *a = table_of("n,t\n1,x\n2,y\n"), *b = table_of("t,n\nz,2.5\n"), *made;
    struct table *c = table_of("n\n7\n"), *d = table_of("n,t\nq,x\n"), *e = table_of("n,t\n,\n");
    const struct table *parts[] = {a, b, c, e};
    assert_int_equal(table_join(parts, 4, &made), OK);
    assert_int_equal(made->rows, 5);
    assert_int_equal(made->columns[0]->type, COLUMN_FLOAT);
    static const char *const wanted[] = {"1.0", "2.0", "2.5", "7.0", "null"};
    static const char *const texts[] = {"x", "y", "z", "null", "null"};
    for (int i = 0; i < 5; i++) {
        assert_string_equal(cell(made->columns[0], i), wanted[i]);
        assert_string_equal(cell(made->columns[1], i), texts[i]);
    }
    table_free(made);
    parts[1] = d;
    assert_int_equal(table_join(parts, 2, &made), ERR_ARG);
    assert_non_null(strstr(status_message(), "'n' is int in one part and str in part 2"));
    parts[0] = c;
    assert_int_equal(table_join(parts, 2, &made), ERR_ARG);
    struct table *all[] = {a, b, c, d, e};
    for (int i = 0; i < 5; i++)
        table_free(all[i]);
}

static void test_sorted(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct table *t;
        struct rows r = {0};
        bool down = seed % 2;
        int64_t place = (int64_t)(seed % 4);
        assert_int_equal(random_table(seed, (int64_t)seed * 13, &t), OK);
        assert_int_equal(rows_sorted(&r, t, &place, &down, 1), OK);
        assert_int_equal(r.count, t->rows);
        const struct column *c = t->columns[place];
        for (int64_t i = 1; i < r.count; i++) {
            int64_t a = r.at[i - 1], b = r.at[i];
            int order = column_compare(c, a, c, b);
            bool nulls = column_is_null(c, a) || column_is_null(c, b);
            assert_true(order == 0 ? a < b : nulls ? order < 0 : down ? order > 0 : order < 0);
        }
        rows_free(&r);
        table_free(t);
    }
}

static void test_distinct(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct table *t;
        struct rows first = {0}, group = {0};
        int64_t places[] = {2, 3};
        assert_int_equal(random_table(seed, 200, &t), OK);
        assert_int_equal(rows_distinct(&first, t, places, 2, &group), OK);
        assert_int_equal(group.count, 200);
        for (int64_t row = 0; row < 200; row++) {
            int64_t f = 0; /* the first equal row, by the plain loop */
            while (column_compare(t->columns[2], f, t->columns[2], row) ||
                   column_compare(t->columns[3], f, t->columns[3], row))
                f++;
            assert_int_equal(first.at[group.at[row]], f);
        }
        rows_free(&first);
        rows_free(&group);
        table_free(t);
    }
}

static void test_shuffled(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 2, 3, 16, 17, 1000};
    for (int64_t k = 0; k < COUNT_OF(counts); k++) {
        struct rows a = {0}, b = {0};
        char seen[1000] = {0};
        assert_int_equal(rows_shuffled(&a, 5, RNG_SHUFFLE, counts[k], counts[k]), OK);
        assert_int_equal(rows_shuffled(&b, 5, RNG_SHUFFLE, counts[k], (counts[k] + 1) / 2), OK);
        for (int64_t i = 0; i < counts[k]; i++)
            assert_false(seen[a.at[i]]++);
        for (int64_t i = 0; i < b.count; i++)
            assert_int_equal(a.at[i], b.at[i]);
        rows_free(&a);
        rows_free(&b);
    }
}

static int64_t count_where(const struct table *t, const char *expression)
{
    struct rows r = {0};
    if (where_rows(t, expression, &r))
        fail_msg("%s", status_message());
    int64_t n = r.count;
    rows_free(&r);
    return n;
}

static void test_where(void **state)
{
    (void)state;
    struct table *t;
    assert_int_equal(random_table(3, 500, &t), OK);
    const struct column *k = t->columns[0], *x = t->columns[1], *text = t->columns[2];
    int64_t above = 0, both = 0, is_null = 0, more = 0, differ = 0;
    for (int64_t i = 0; i < t->rows; i++) {
        bool k_above = !column_is_null(k, i) && k->ints[i] > 3;
        above += k_above;
        both += k_above && t->columns[3]->bools[i];
        is_null += column_is_null(text, i);
        more +=
            !column_is_null(k, i) && !column_is_null(x, i) && x->floats[i] >= (double)k->ints[i];
        differ += strcmp(cell(text, i), "t3") != 0;
    }
    assert_int_equal(count_where(t, "k > 3"), above);
    assert_int_equal(count_where(t, "k > 3.0 and b"), both);
    assert_int_equal(count_where(t, "k>3&b=true"), both);
    assert_int_equal(count_where(t, "t is null"), is_null);
    assert_int_equal(count_where(t, "not (t is not null)"), is_null);
    assert_int_equal(count_where(t, "x >= k"), more + count_where(t, "x is null and k is null"));
    assert_int_equal(count_where(t, "t ~= 't3'"), differ);
    assert_int_equal(count_where(t, "k > 3 or not k > 3"), t->rows);
    assert_int_equal(count_where(t, "t in ('t1', 't2', null)"),
                     is_null + count_where(t, "t = 't1'") + count_where(t, "t = \"t2\""));
    table_free(t);
    t = table_of("in,Product Name,it's\n1,a'b,x\n2,\"q\"\"q\",y\n");
    assert_int_equal(count_where(t, "in = 1"), 1); /* a column wins over a word of the language */
    assert_int_equal(count_where(t, "`Product Name` = 'a\\'b'"), 1);
    assert_int_equal(count_where(t, "\"Product Name\" = 'q\"q'"), 1);
    assert_int_equal(count_where(t, "`it's` = 'y'"), 1);
    table_free(t);
}

/* Cut and damaged expressions: a clean error or a result. */
static int where_text(const char *bytes, size_t length)
{
    static struct table *t;
    struct rows r = {0};
    if (!t)
        t = table_of("k,x,Long Name\n1,0.5,a\n2,,b\n");
    char text[400] = "";
    memcpy(text, bytes, length < sizeof text ? length : sizeof text - 1);
    int status = where_rows(t, text, &r);
    rows_free(&r);
    return status;
}

static void test_where_damage(void **state)
{
    (void)state;
    static const char text[] = "(k >= 1 and not `Long Name` contains 'x\\n') or x is not null and "
                               "k in (1, -2.5e3) | \"Long Name\" endswith \"z\"";
    assert_int_equal(where_text(text, sizeof text - 1),
                     OK); /* the table is made outside the sweep */
    bad_input_sweep(text, sizeof text - 1, sizeof text - 1, 1 << 16, where_text);
    char deep[4000];
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    struct rows r = {0};
    struct table *t = table_of("k\n1\n");
    assert_int_equal(where_rows(t, deep, &r), ERR_ARG);
    struct buffer row = {0}; /* a row of 'and' as deep as the tree may be */
    buffer_text(&row, "k=1");
    buffer_repeat(&row, "&k=1", 900);
    assert_int_equal(buffer_close(&row), OK);
    assert_int_equal(where_rows(t, row.bytes, &r), OK);
    buffer_repeat(&row, "&k=1", 20000);
    assert_int_equal(buffer_close(&row), OK);
    assert_int_equal(where_rows(t, row.bytes, &r), ERR_ARG);
    buffer_free(&row);
    rows_free(&r);
    table_free(t);
}

static void test_math(void **state)
{
    (void)state;
    struct table *t;
    struct column *made;
    assert_int_equal(random_table(9, 300, &t), OK);
    const struct column *k = t->columns[0], *x = t->columns[1];
    assert_int_equal(column_binary(OP_MUL, k, x, &made), OK);
    for (int64_t i = 0; i < 300; i++) {
        bool null = column_is_null(k, i) || column_is_null(x, i);
        assert_int_equal(column_is_null(made, i), null);
        if (!null)
            assert_true(made->floats[i] == (double)k->ints[i] * x->floats[i]);
    }
    column_free(made);
    struct column *one, *least;
    assert_int_equal(column_new(COLUMN_INT, &one), OK);
    assert_int_equal(column_add_int(one, -1), OK);
    assert_int_equal(column_new(COLUMN_INT, &least), OK);
    assert_int_equal(column_add_int(least, INT64_MIN), OK);
    assert_int_equal(column_binary(OP_FLOOR_DIV, least, one, &made), ERR_ARG); /* would trap */
    assert_int_equal(column_binary(OP_MOD, least, one, &made), OK);
    assert_int_equal(made->ints[0], 0);
    column_free(made);
    assert_int_equal(column_binary(OP_SUB, least, one, &made), OK);
    column_free(made);
    assert_int_equal(column_binary(OP_ADD, least, one, &made), ERR_ARG);
    assert_non_null(strstr(status_message(), "row 1"));
    assert_int_equal(column_binary(OP_ADD, k, t->columns[2], &made), ERR_ARG);
    column_free(one);
    column_free(least);
    table_free(t);
}

static void test_statistics(void **state)
{
    (void)state;
    struct table *t = table_of("x\n4\n1\n\"\"\n3\n2\n");
    struct column_stats s;
    double q[3];
    assert_int_equal(column_statistics(t->columns[0], &s), OK);
    assert_int_equal(s.count, 4);
    assert_true(s.sum == 10 && s.mean == 2.5 && s.min == 1 && s.max == 4);
    assert_true(fabs(s.deviation - sqrt(5.0 / 3)) < 1e-15);
    assert_int_equal(column_quantiles(t->columns[0], (double[]){0, 0.5, 0.25}, 3, q), OK);
    assert_true(q[0] == 1 && q[1] == 2.5 && q[2] == 1.75);
    table_free(t);
    struct column *c; /* a sum that loses everything when added up plainly */
    assert_int_equal(column_new(COLUMN_FLOAT, &c), OK);
    assert_int_equal(column_add_float(c, 1e16), OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(column_add_float(c, 1), OK);
    assert_int_equal(column_statistics(c, &s), OK);
    assert_true(s.sum == 1e16 + 1000);
    column_free(c);
    assert_int_equal(column_new(COLUMN_INT, &c), OK);
    assert_int_equal(column_statistics(c, &s), OK);
    assert_true(s.count == 0 && isnan(s.mean) && isnan(s.min));
    assert_int_equal(column_quantiles(c, (double[]){0.5}, 1, q), OK);
    assert_true(isnan(q[0]));
    column_free(c);
}

static void test_numbers_as_text(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{1, "1.0"},
                 {0.1, "0.1"},
                 {-0.0, "-0.0"},
                 {1e300, "1e+300"},
                 {1.0 / 3, "0.3333333333333333"},
                 {NAN, "nan"},
                 {-INFINITY, "-inf"},
                 {9007199254740993.0, "9007199254740992.0"},
                 {5e-324, "4.94065645841247e-324"}};
    char text[32];
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        column_float_text(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    struct rng_key key = rng_key(1, RNG_USER);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t bits = rng_u64(key, i);
        double value, back = 0;
        memcpy(&value, &bits, 8);
        if (!isfinite(value))
            continue;
        column_float_text(value, text);
        assert_true(column_parse_float(text, strlen(text), &back) && back == value);
    }
}

static void test_split(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t rows, from, count;
    } cases[] = {
        {"train", 10, 0, 10}, {"train[:10%]", 400, 0, 40}, {"train[10%:]", 400, 40, 360},
        {"a[2:5]", 10, 2, 3}, {"a[-3:]", 10, 7, 3},        {"a[:-3]", 10, 0, 7},
        {"a[5:2]", 10, 5, 0}, {"a[:33%]", 10, 0, 3},       {"a[50:90]", 10, 10, 0},
        {"a[:]", 10, 0, 10},  {"a[-10%:]", 20, 18, 2},     {"a[:99999999999999999999]", 10, 0, 10}};
    struct split s;
    int64_t from, count;
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(split_parse(cases[i].text, &s), OK);
        split_rows(&s, cases[i].rows, &from, &count);
        assert_int_equal(from, cases[i].from);
        assert_int_equal(count, cases[i].count);
    }
    static const char *const bad[] = {
        "",       "[1:2]",    "a[",       "a[1", "a[1:",    "a[1]",   "a[1:2]x",
        "a[b:c]", "a[1:2:3]", "a[:101%]", "a+b", "a[1%%:]", "a[--1:]"};
    for (int64_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(split_parse(bad[i], &s), ERR_ARG);
    assert_int_equal(split_test_rows(0.25, 10, &count), OK);
    assert_int_equal(count, 3); /* rounded up */
    assert_int_equal(split_test_rows(4, 10, &count), OK);
    assert_int_equal(count, 4);
    assert_int_equal(split_test_rows(NAN, 10, &count), ERR_ARG);
    assert_int_equal(split_test_rows(10, 10, &count), ERR_ARG);
}

static void test_describe(void **state)
{
    (void)state;
    struct table *t, *made;
    assert_int_equal(random_table(4, 100, &t), OK);
    assert_int_equal(table_describe(t, &made), OK);
    assert_string_equal(made->names[0], "statistic");
    assert_int_equal(made->width, 5);
    assert_string_equal(cell(made->columns[0], 0), "count");
    assert_true(made->columns[1]->floats[0] == (double)(100 - t->columns[0]->nulls));
    table_free(made);
    assert_int_equal(table_value_counts(t, 2, &made), OK);
    int64_t total = 0;
    for (int64_t i = 0; i < made->rows; i++) {
        total += made->columns[1]->ints[i];
        assert_true(i == 0 || made->columns[1]->ints[i - 1] >= made->columns[1]->ints[i]);
    }
    assert_int_equal(total, 100);
    table_free(made);
    table_free(t);
    assert_int_equal(table_new(&t), OK); /* nothing at all */
    assert_int_equal(table_describe(t, &made), OK);
    table_free(made);
    table_free(t);
}

/* Every verb once; the parts are released whatever happens. */
static int all_verbs(void *ctx)
{
    struct table *t = NULL, *a = NULL, *b = NULL, *d = NULL, *v = NULL, *i = NULL;
    struct column *text = NULL, *product = NULL, *low = NULL, *length = NULL, *cast = NULL;
    struct rows sorted = {0}, where = {0};
    bool down = true;
    int64_t place = 1;
    int status = OK;
    (void)ctx;
    TRY_OUT(random_table(1, 40, &t));
    TRY_OUT(rows_sorted(&sorted, t, &place, &down, 1));
    TRY_OUT(rows_table(&sorted, t, &a));
    TRY_OUT(table_join((const struct table *const[]){a, t}, 2, &b));
    TRY_OUT(table_describe(b, &d));
    TRY_OUT(table_value_counts(b, 2, &v));
    TRY_OUT(table_info(b, &i));
    TRY_OUT(where_rows(b, "k > 0 and t contains '1' or x in (1, 2, 3)", &where));
    TRY_OUT(row_text(b, "{t} {x:.2f}", 11, &text));
    TRY_OUT(column_binary(OP_JOIN, text, b->columns[0], &product));
    TRY_OUT(column_text_function(TEXT_LOWER, product, &low));
    TRY_OUT(column_text_function(TEXT_LENGTH, product, &length));
    TRY_OUT(column_cast(b->columns[0], COLUMN_TEXT, &cast));
out:
    rows_free(&sorted);
    rows_free(&where);
    struct table *tables[] = {t, a, b, d, v, i};
    struct column *columns[] = {text, product, low, length, cast};
    for (int k = 0; k < 6; k++)
        table_free(tables[k]);
    for (int k = 0; k < 5; k++)
        column_free(columns[k]);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    memory_sweep(all_verbs, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_shape_verbs),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_sorted),
        cmocka_unit_test(test_distinct),
        cmocka_unit_test(test_shuffled),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_where_damage),
        cmocka_unit_test(test_math),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_numbers_as_text),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
