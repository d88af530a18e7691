/* csv.c -- the CSV reader and writer: real files, the public conformance set, every kind of bad
 * input, truncations and bit flips, and each allocation made to fail in turn. */
#include "engine/core/file.h"
#include "engine/data/readers.h"
#include "engine/formats/csv.h"
#include "kernels/base/mem.h"
#include "kernels/base/rng.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct reader_options defaults = READER_DEFAULTS;

static int parse(const char *text, size_t length, struct table **out)
{
    return readers[0].read(text, length, &defaults, out);
}

static struct table *good(const char *text)
{
    struct table *t = NULL;
    int status = parse(text, strlen(text), &t);
    if (status)
        fail_msg("'%s': %s", text, status_message());
    return t;
}

/* The text of a cell, of any type; "\xE2\x88\x85" for null. */
static const char *cell(const struct table *t, int64_t column, int64_t row)
{
    static char shown[8][256];
    static int turn;
    char *out = shown[turn++ % 8];
    struct buffer b = {0};
    if (column_is_null(t->columns[column], row))
        return "\xE2\x88\x85";
    column_show(t->columns[column], row, &b);
    assert_int_equal(buffer_close(&b), OK);
    snprintf(out, sizeof shown[0], "%s", b.bytes);
    buffer_free(&b);
    return out;
}

static void expect_cell(const struct table *t, int64_t row, int64_t column, const char *wanted)
{
    assert_string_equal(cell(t, column, row), wanted);
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t rows, width;
    } cases[] = {
        {"a,b\n1,2\n", 1, 2},
        {"a,b\n1,2", 1, 2},
        {"a,b\r\n1,2\r\n", 1, 2},
        {"a,b\r1,2\r3,4\r", 2, 2},
        {"\xEF\xBB\xBF"
         "a,b\n1,2\n",
         1, 2},
        {"a,b\n", 0, 2},
        {"a,b", 0, 2},
        {"a\n\n\n1\n\n2\n", 2, 1},
        {"\n\na,b\n1,2\n", 1, 2},
        {"a,b\n1,2\n  \t\n3,4\n", 2, 2},
        {"a,b\n,\n", 1, 2},
        {"a\n\"\"\n", 1, 1},
        {"a,b\n\"x\ny\",\"\r\n\"\n", 1, 2},
        {",b\n1,2\n", 1, 2},
    };
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        struct table *t = good(cases[i].text);
        if (t->rows != cases[i].rows || t->width != cases[i].width)
            fail_msg("case %d: %d x %d", (int)i, (int)t->rows, (int)t->width);
        table_free(t);
    }
}

static void test_values(void **state)
{
    (void)state;
    struct table *t = good("\xEF\xBB\xBF"
                           "Code, Name ,\"Q \"\"uo\"\" te\"\n"
                           "1, x ,\"a,b\"\n2,\"\",\"line\r\nline\"\n3,NA,\"\"\"\"\n");
    assert_string_equal(t->names[0], "Code");
    assert_string_equal(t->names[1], " Name "); /* nothing is trimmed */
    assert_string_equal(t->names[2], "Q \"uo\" te");
    expect_cell(t, 0, 1, " x ");
    expect_cell(t, 1, 1, "\xE2\x88\x85");
    expect_cell(t, 2, 1, "\xE2\x88\x85");
    expect_cell(t, 0, 2, "a,b");
    expect_cell(t, 1, 2, "line\r\nline");
    expect_cell(t, 2, 2, "\"");
    table_free(t);
    t = good(",x\n0,1\n");
    assert_string_equal(t->names[0], "Unnamed: 0");
    table_free(t);
}

/* One column of values and the type and texts that must come out. */
static void test_inference(void **state)
{
    (void)state;
    static const struct {
        const char *values[4];
        enum column_type type;
        const char *shown[4];
    } cases[] = {
        {{"1", "-2", "0"}, COLUMN_INT, {"1", "-2", "0"}},
        {{"1", "NA", "3"}, COLUMN_INT, {"1", "\xE2\x88\x85", "3"}},
        {{"1", "2.5", "3"}, COLUMN_FLOAT, {"1.0", "2.5", "3.0"}},
        {{"1e3", ".5", "-inf"}, COLUMN_FLOAT, {"1000.0", "0.5", "-inf"}},
        {{"True", "false", "None"}, COLUMN_BOOL, {"true", "false", "\xE2\x88\x85"}},
        {{"True", "1", "0"}, COLUMN_TEXT, {"True", "1", "0"}},
        {{"007", "8", "9"}, COLUMN_TEXT, {"007", "8", "9"}},
        {{"0", "0.5", "-0.25"}, COLUMN_FLOAT, {"0.0", "0.5", "-0.25"}},
        {{"-01", "2", "3"}, COLUMN_TEXT, {"-01", "2", "3"}},
        {{"9223372036854775807", "-9223372036854775808", "1"},
         COLUMN_INT,
         {"9223372036854775807", "-9223372036854775808", "1"}},
        {{"9223372036854775808", "1", "2"}, COLUMN_TEXT, {"9223372036854775808", "1", "2"}},
        {{"9007199254740993", "1.5", "2"}, COLUMN_TEXT, {"9007199254740993", "1.5", "2"}},
        {{"0.1234567890123456789", "1", "2"}, COLUMN_TEXT, {"0.1234567890123456789", "1", "2"}},
        {{"1e999", "1", "2"}, COLUMN_TEXT, {"1e999", "1", "2"}},
        {{" 1", "2", "3"}, COLUMN_TEXT, {" 1", "2", "3"}},
        {{"0x10", "2", "3"}, COLUMN_TEXT, {"0x10", "2", "3"}},
        {{"+49123", "2", "3"}, COLUMN_TEXT, {"+49123", "2", "3"}},
        {{"1-2", "2", "3"}, COLUMN_TEXT, {"1-2", "2", "3"}},
        {{"NA", "null", "N/A"}, COLUMN_TEXT, {"\xE2\x88\x85", "\xE2\x88\x85", "\xE2\x88\x85"}},
        {{"Nation", "nano", "n"}, COLUMN_TEXT, {"Nation", "nano", "n"}},
    };
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        char text[256];
        snprintf(text, sizeof text, "k,v\n1,%s\n2,%s\n3,%s\n", cases[i].values[0],
                 cases[i].values[1], cases[i].values[2]);
        struct table *t = good(text);
        if (t->columns[1]->type != cases[i].type)
            fail_msg("case %d is %s", (int)i, column_type_name(t->columns[1]->type));
        for (int row = 0; row < 3; row++)
            expect_cell(t, row, 1, cases[i].shown[row]);
        table_free(t);
    }
}

/* Each bad input: the pieces its message must have. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length; /* 0 = strlen */
        const char *says[4];
    } cases[] = {
        {"", 0, {"is empty", "hint"}},
        {"\xEF\xBB\xBF", 0, {"is empty"}},
        {"\n \n", 0, {"only blank lines"}},
        {"a,b\n1,2\n3\n", 0, {"row 2 (line 3)", "1 field, wanted 2", "hint"}},
        {"a,b\n\n1,2,3\n", 0, {"row 1 (line 3)", "3 fields, wanted 2"}},
        {"a,b\n\"x\n\ny\",2\n3\n", 0, {"row 2 (line 5)", "1 field"}},
        {"a,b\nx \"y\" z,2\n",
         0,
         {"row 1 (line 2)", "field 1", "stray double quote on line 2, byte 6"}},
        {"a,b\n1,\"y\"z\n", 0, {"row 1 (line 2)", "field 2", "byte 8"}},
        {"a,b\n1,\"y\n3,4\n", 0, {"row 1 (line 2)", "field 2", "ends inside a quoted field"}},
        {"a,b\n1,\"y\n3,\"z\"\n", 0, {"row 1 (line 2)", "stray double quote on line 3"}},
        {"a,b\n1,caf\xE9\n", 0, {"row 1 (line 2)", "column 2 ('b')", "byte 4", "(0xE9)"}},
        {"a,\xFFz\n1,2\n", 0, {"header (line 1)", "column 2", "0xFF"}},
        {"a,b\n1,x\0y\n", 11, {"row 1 (line 2)", "NUL byte on line 2, byte 7"}},
        {"a,b,a\n1,2,3\n", 0, {"columns 1 and 3 are both called 'a'"}},
        {"\xFF\xFE"
         "a\0",
         4,
         {"UTF-16", "iconv"}},
    };
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        struct table *t = NULL;
        size_t length = cases[i].length ? cases[i].length : strlen(cases[i].text);
        int64_t before = mem_stats().live_blocks;
        assert_int_equal(parse(cases[i].text, length, &t), ERR_FORMAT);
        for (int k = 0; k < 4 && cases[i].says[k]; k++)
            if (!strstr(status_message(), cases[i].says[k]))
                fail_msg("case %d: '%s' lacks '%s'", (int)i, status_message(), cases[i].says[k]);
        assert_int_equal(mem_stats().live_blocks, before);
    }
}

static void test_options(void **state)
{
    (void)state;
    struct table *t;
    struct reader_options o = READER_DEFAULTS;
    o.delimiter = (char[]){";"};
    assert_int_equal(readers[0].read("a;b\n1,5;NA\n", 11, &o, &t), OK);
    expect_cell(t, 0, 0, "1,5");
    table_free(t);
    o.keep_default_na = false;
    assert_int_equal(readers[0].read("a;b\n01;NA\n", 10, &o, &t), OK);
    expect_cell(t, 0, 1, "NA");
    table_free(t);
    o.delimiter = (char[]){"ab"};
    assert_int_equal(readers[0].read("a", 1, &o, &t), ERR_ARG);
    o.delimiter = (char[]){"\""};
    assert_int_equal(readers[0].read("a", 1, &o, &t), ERR_ARG);
    assert_int_equal(readers[1].read("a\tb\n1,5\t\t\n", 11, &defaults, &t), ERR_FORMAT);
    assert_int_equal(readers[1].read("a\tb\n1,5\t\n\t\n", 11, &defaults, &t), OK);
    assert_int_equal(t->rows, 2); /* a line of nothing but delimiters is a row */
    table_free(t);
    volatile int stop = 1;
    o = (struct reader_options)READER_DEFAULTS;
    o.cancel = &stop;
    assert_int_equal(readers[0].read("a\n1\n", 4, &o, &t), ERR_CANCELLED);
}

static void test_field_limit(void **state)
{
    (void)state;
    struct table *t;
    size_t length = (size_t)CSV_FIELD_LIMIT + 100;
    char *text = mem_alloc(length);
    assert_non_null(text);
    memset(text, 'x', length);
    memcpy(text, "a,b\n1,\"", 7);
    assert_int_equal(parse(text, length, &t), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "field 2 is over 16 MiB"));
    text[6] = 'x';
    assert_int_equal(parse(text, length - 200, &t), OK);
    table_free(t);
    mem_free(text);
}

/* Writing and reading again gives the same cells, for texts made of the awkward characters. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const bits[] = {",", "\"",       "\n", "\r\n", " ",
                                       "a", "\xC3\xA9", ";",  "\t",   "#"};
    struct rng_key key = rng_key(7, RNG_USER);
    struct table *t, *back;
    assert_int_equal(table_new(&t), OK);
    for (int column = 0; column < 3; column++) {
        struct column *c;
        char name[8] = {'c', (char)('0' + column)};
        assert_int_equal(column_new(COLUMN_TEXT, &c), OK);
        for (uint64_t row = 0; row < 200; row++) {
            char text[64] = "";
            uint64_t r = rng_u64(key, row * 3 + (uint64_t)column);
            for (int k = 0; k < (int)(r % 7); k++)
                strcat(text, bits[r >> (8 + 4 * k) & 15 ? (r >> (8 + 4 * k) & 15) % 10 : 5]);
            assert_int_equal(text[0] ? column_add_text(c, text, strlen(text)) : column_add_null(c),
                             OK);
        }
        assert_int_equal(table_add(t, name, c), OK);
        column_free(c);
    }
    for (int64_t width = 3; width >= 1; width -= 2) { /* one column: a null is no blank line */
        struct buffer b = {0};
        struct table *part;
        assert_int_equal(table_columns(t, (int64_t[]){0, 1, 2}, width, &part), OK);
        assert_int_equal(table_to_csv(part, ',', false, &b), OK);
        assert_int_equal(parse(b.bytes, (size_t)b.length, &back), OK);
        assert_int_equal(back->rows, 200);
        for (int64_t i = 0; i < width; i++)
            for (int64_t row = 0; row < 200; row++)
                assert_string_equal(cell(back, i, row), cell(t, i, row));
        table_free(back);
        table_free(part);
        buffer_free(&b);
    }
    table_free(t);
}

/* --- plain rows taken apart here, against libcsv alone */

/* Everything the sink is told, as text. */
static int log_field(void *ctx, int64_t row, int64_t column, const char *text, size_t length)
{
    buffer_printf(ctx, "%d.%d=%zu:", (int)row, (int)column, length);
    buffer_add(ctx, text, length);
    return OK;
}

static int log_row(void *ctx, int64_t row, int64_t columns)
{
    buffer_printf(ctx, "[%d %d]", (int)row, (int)columns);
    return OK;
}

static void same_both_ways(const char *text, size_t length, char delimiter)
{
    struct buffer logs[2] = {{0}, {0}};
    char messages[2][1024];
    int status[2];
    for (int slow = 0; slow < 2; slow++) {
        struct csv_options o = {.delimiter = delimiter, .slow = slow};
        struct csv_sink sink = {&logs[slow], log_field, log_row};
        status_clear();
        status[slow] = csv_read(text, length, &o, &sink);
        snprintf(messages[slow], sizeof messages[slow], "%s", status_message());
        assert_int_equal(buffer_close(&logs[slow]), OK);
    }
    if (status[0] != status[1] || strcmp(messages[0], messages[1]) != 0)
        fail_msg("'%.*s': %d '%s', libcsv %d '%s'", (int)length, text, status[0], messages[0],
                 status[1], messages[1]);
    /* before an error libcsv has handed on the first fields of the row, which is not promised */
    if (!status[0] && strcmp(logs[0].bytes, logs[1].bytes) != 0)
        fail_msg("'%.*s': '%s', libcsv '%s'", (int)length, text, logs[0].bytes, logs[1].bytes);
    buffer_free(&logs[0]);
    buffer_free(&logs[1]);
}

static void test_plain_rows(void **state)
{
    (void)state;
    static const char *const bits[] = {",",     "\"",   "\n",        "\r\n", "a",  "\"\"",
                                       "\",\"", "\r",   "\xC3\xA9",  " ",    "\t", "\"x\"",
                                       "1,2",   "\n\n", "long text", ";",    "",   "\"\n\""};
    struct rng_key key = rng_key(11, RNG_USER);
    for (uint64_t round = 0; round < 60000; round++) {
        char text[512] = "a,b\n";
        uint64_t r = rng_u64(key, round * 40), width = round % 3;
        text[0] = width == 1 ? '\0' : text[0];
        for (uint64_t k = 0; k < r % 30; k++) {
            uint64_t pick = rng_u64(key, round * 40 + 1 + k);
            strcat(text, bits[pick % (uint64_t)COUNT_OF(bits)]);
        }
        same_both_ways(text, strlen(text), "\0;\t"[round / 3 % 3]);
    }
    same_both_ways("a\0b,c\n1,2\n", 10, 0);
    same_both_ways("a,b\n1,\"x\0y\"\n", 13, 0);
}

/* Types guessed from the first rows, against column_infer over all of them. */
static void test_guessed_types(void **state)
{
    (void)state;
    static const char *const early[] = {"1", "2.5", "true", "NA", "", "x", "-3", "0"};
    static const char *const late[] = {"1",    "1.5",   "false",
                                       "NA",   "x",     "-0",
                                       "007",  "1e999", "nan",
                                       "inf",  "+1",    "9007199254740993",
                                       "None", "",      "9223372036854775808"};
    for (int a = 0; a < COUNT_OF(early); a++)
        for (int b = 0; b < COUNT_OF(late); b++) {
            struct buffer text = {0};
            struct table *t, *texts;
            struct reader_options o = READER_DEFAULTS;
            buffer_text(&text, "k,v\n");
            for (int row = 0; row < 300; row++)
                buffer_printf(&text, "%d,%s\n", row, row == 290 ? late[b] : early[a]);
            assert_int_equal(parse(text.bytes, (size_t)text.length, &t), OK);
            o.infer = false;
            assert_int_equal(readers[0].read(text.bytes, (size_t)text.length, &o, &texts), OK);
            struct column *c;
            assert_int_equal(column_infer(texts->columns[1], true, &c), OK);
            if (c->type != t->columns[1]->type)
                fail_msg("%s, then %s: %s, wanted %s", early[a], late[b],
                         column_dtype(t->columns[1]), column_dtype(c));
            assert_int_equal(t->columns[0]->type, COLUMN_INT);
            assert_int_equal(c->nulls, t->columns[1]->nulls);
            for (int row = 0; row < 300; row++) {
                struct buffer shown[2] = {{0}, {0}};
                column_show(c, row, &shown[0]);
                column_show(t->columns[1], row, &shown[1]);
                assert_int_equal(shown[0].length, shown[1].length);
                if (shown[0].length)
                    assert_memory_equal(shown[0].bytes, shown[1].bytes, (size_t)shown[0].length);
                buffer_free(&shown[0]);
                buffer_free(&shown[1]);
            }
            column_free(c);
            table_free(texts);
            table_free(t);
            buffer_free(&text);
        }
}

/* The short way from text to float gives strtod's bits. */
static void test_floats(void **state)
{
    (void)state;
    struct rng_key key = rng_key(3, RNG_USER);
    for (uint64_t i = 0; i < 200000; i++) {
        char text[64], *stop;
        uint64_t r = rng_u64(key, i);
        int whole = (int)(r % 18), part = (int)(r >> 8 & 15);
        snprintf(text, sizeof text, "%s%0*llu.%0*llu", r >> 20 & 1 ? "-" : "", whole,
                 (unsigned long long)(r >> 30 & 0x3FFFFFF), part, (unsigned long long)(r >> 44));
        double found;
        assert_true(column_parse_float(text, strlen(text), &found));
        double wanted = strtod(text, &stop);
        assert_memory_equal(&found, &wanted, sizeof found);
    }
}

/* A text with everything in it, cut anywhere and with any bit flipped: read, or refused cleanly. */
static const char torture[] =
    "\xEF\xBB\xBF"
    "Code,Name,\"Sym\"\"ptoms\",Val\r\n1,Panic,\"a, b\r\nc\",1.5\r\n"
    "2,\xE6\x97\xA5\xE6\x9C\xAC,\"\"\"x\"\"\",NA\n3,,\"\",1e9\n\n4,true,false,-7\n";

static int parse_and_free(const char *text, size_t length)
{
    struct table *t = NULL;
    TRY(parse(text, length, &t));
    table_free(t);
    return OK;
}

static void test_damage(void **state)
{
    (void)state;
    size_t length = sizeof torture - 1;
    bad_input_sweep(torture, length, length, 64 * 1024, parse_and_free);
}

static int parse_torture(void *ctx)
{
    (void)ctx;
    return parse_and_free(torture, sizeof torture - 1);
}

static void test_no_memory(void **state)
{
    (void)state;
    memory_sweep(parse_torture, NULL);
}

/* --- public files */

static bool shared_table(const char *path, struct table **out)
{
    const char *full = shared_path(path);
    if (!full)
        return false;
    if (reader_file(&readers[0], full, &defaults, out))
        fail_msg("%s", status_message());
    return true;
}

static void test_public_files(void **state)
{
    (void)state;
    struct table *t;
    if (!shared_table("data/diseases_symptoms/Diseases_Symptoms.csv", &t))
        skip();
    assert_int_equal(t->rows, 400);
    assert_int_equal(t->width, 4);
    assert_string_equal(t->names[0], "Code");
    assert_int_equal(t->columns[0]->type, COLUMN_INT);
    assert_int_equal(t->columns[3]->nulls, 1);
    expect_cell(t, 0, 1, "Panic disorder");
    assert_int_equal(t->columns[0]->ints[399], 400);
    table_free(t);
    assert_true(shared_table("data/counsel_chat/20200325_counsel_chat.csv", &t));
    assert_int_equal(t->rows, 2129);
    assert_int_equal(t->width, 12);
    assert_string_equal(t->names[0], "Unnamed: 0");
    table_free(t);
    assert_true(shared_table("data/counsel_chat/counselchat-data.csv", &t));
    assert_int_equal(t->rows, 1482);
    assert_int_equal(t->columns[table_place(t, "questionText")]->nulls, 99);
    table_free(t);
    assert_true(shared_table("data/counsel_chat_marathi/marathi_dataset.csv", &t));
    assert_int_equal(t->rows, 994);
    table_free(t);
    assert_true(shared_table("data/imdb/imdb_small.csv", &t));
    assert_int_equal(t->rows, 2000);
    assert_int_equal(t->columns[2]->type, COLUMN_INT);
    table_free(t);
    assert_int_equal(file_open_count(), 0);
}

/* The cells the conformance set's JSON files ask for, row by row (the set stores its CRLF files
 * with LF). Its location_coordinates.csv has bare quotes in a field, which strict reading refuses. */
static void test_spectrum(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int rows, columns;
        const char *cells[9];
    } cases[] = {
        {"comma_in_quotes", 1, 5, {"John", "Doe", "120 any st.", "Anytown, WW", "08123"}},
        {"empty", 2, 3, {"1", "\xE2\x88\x85", "\xE2\x88\x85", "2", "3", "4"}},
        {"empty_crlf", 2, 3, {"1", "\xE2\x88\x85", "\xE2\x88\x85", "2", "3", "4"}},
        {"escaped_quotes", 2, 2, {"1", "ha \"ha\" ha", "3", "4"}},
        {"json", 1, 2, {"1", "{\"type\": \"Point\", \"coordinates\": [102.0, 0.5]}"}},
        {"newlines", 3, 3, {"1", "2", "3", "Once upon \na time", "5", "6", "7", "8", "9"}},
        {"newlines_crlf", 3, 3, {"1", "2", "3", "Once upon \na time", "5", "6", "7", "8", "9"}},
        {"quotes_and_newlines", 2, 2, {"1", "ha \n\"ha\" \nha", "3", "4"}},
        {"simple", 1, 3, {"1", "2", "3"}},
        {"simple_crlf", 1, 3, {"1", "2", "3"}},
        {"utf8", 2, 3, {"1", "2", "3", "4", "5", "\xCA\xA4"}},
    };
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        char path[100];
        struct table *t;
        snprintf(path, sizeof path, "data/csv_spectrum/csvs/%s.csv", cases[i].name);
        if (!shared_table(path, &t))
            skip();
        assert_int_equal(t->rows, cases[i].rows);
        assert_int_equal(t->width, cases[i].columns);
        for (int64_t k = 0; k < t->rows * t->width; k++)
            expect_cell(t, k / t->width, k % t->width, cases[i].cells[k]);
        table_free(t);
    }
    struct table *t;
    const char *bare = shared_path("data/csv_spectrum/csvs/location_coordinates.csv");
    assert_int_equal(reader_file(&readers[0], bare, &defaults, &t), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "stray double quote"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),        cmocka_unit_test(test_values),
        cmocka_unit_test(test_inference),     cmocka_unit_test(test_errors),
        cmocka_unit_test(test_options),       cmocka_unit_test(test_field_limit),
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_damage),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_public_files),
        cmocka_unit_test(test_spectrum),      cmocka_unit_test(test_plain_rows),
        cmocka_unit_test(test_guessed_types), cmocka_unit_test(test_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
