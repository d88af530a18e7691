/* readers.c -- JSON, JSON lines and plain text as tables: forms, types, refusals, damage, and the
 * public files. CSV has a file of its own. */
#include "engine/data/readers.h"
#include "engine/data/writer_json.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NULL_CELL "\xE2\x88\x85"

static const struct reader_options defaults = READER_DEFAULTS;

static const struct reader *reader(const char *name)
{
    const struct reader *r = NULL;
    if (reader_find(name, &r))
        fail_msg("%s", status_message());
    return r;
}

static struct table *good(const char *name, const char *text, const struct reader_options *o)
{
    struct table *t = NULL;
    if (reader(name)->read(text, strlen(text), o ? o : &defaults, &t))
        fail_msg("'%s': %s", text, status_message());
    return t;
}

/* The whole table on one line: "a:int b:list | 1 [1, 2] | 2 {null}" */
static const char *shown(const struct table *t)
{
    static char out[2048];
    struct buffer b = {0};
    for (int64_t i = 0; i < t->width; i++)
        buffer_printf(&b, "%s%s:%s", i ? " " : "", t->names[i], column_dtype(t->columns[i]));
    for (int64_t row = 0; row < t->rows; row++) {
        buffer_text(&b, " |");
        for (int64_t i = 0; i < t->width; i++) {
            buffer_text(&b, " ");
            if (column_is_null(t->columns[i], row))
                buffer_text(&b, NULL_CELL);
            else
                column_show(t->columns[i], row, &b);
        }
    }
    assert_int_equal(buffer_close(&b), OK);
    snprintf(out, sizeof out, "%s", b.bytes);
    buffer_free(&b);
    return out;
}

static void expect(const char *name, const char *text, const struct reader_options *o,
                   const char *wanted)
{
    struct table *t = good(name, text, o);
    assert_string_equal(shown(t), wanted);
    table_free(t);
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *reader, *text, *wanted;
    } cases[] = {
        {"json", "[{\"a\": 1, \"b\": \"x\"}, {\"b\": \"y\", \"a\": 2}]", "a:int b:str | 1 x | 2 y"},
        {"json", "\xEF\xBB\xBF [ ]", ""},
        {"json", "[{}, {\"a\": 1}]", "a:int | " NULL_CELL " | 1"},
        {"json", "[{}, {}]", " | |"},
        {"json", "{\"a\": 1}\n{\"a\": 2}\n", "a:int | 1 | 2"},
        {"json", "{\"a\": 1}", "a:int | 1"},
        {"json", "\xEF\xBB\xBF{\"a\": 1}\r\n\r\n  \n{\"a\": 2}", "a:int | 1 | 2"},
        {"json", "{\"a\": [1, 2], \"b\": [\"x\", null]}", "a:int b:str | 1 x | 2 " NULL_CELL},
        {"json", "{\"a\": [[1], [2, 3]]}", "a:list | [1] | [2, 3]"},
        {"json", "[\"one\", \"two\"]", "text:str | one | two"},
        {"jsonl", "{\"a\": [1, 2], \"b\": [3]}", "a:list b:list | [1, 2] [3]"},
        {"jsonl", "{\"messages\": [{\"role\": \"user\"}]}",
         "messages:list | [{\"role\": \"user\"}]"},
        {"jsonl", "[{\"a\": 1}]", "a:int | 1"},
        {"jsonl", "\"one\"\n\"two\"\n", "text:str | one | two"},
        {"text", "one\n\ntwo\r\nthree\rfour", "text:str | one |  | two | three | four"},
        {"text", "one\n", "text:str | one"},
        {"text", "", "text:str"},
        {"text", "\xEF\xBB\xBFone", "text:str | one"},
    };
    for (int64_t i = 0; i < COUNT_OF(cases); i++)
        expect(cases[i].reader, cases[i].text, NULL, cases[i].wanted);
    struct reader_options o = READER_DEFAULTS;
    o.field = (char[]){"rows"};
    expect("json", "{\"version\": 1, \"rows\": [{\"a\": 1}], \"other\": [{\"b\": 1}]}", &o,
           "a:int | 1");
    expect("json", "{\"rows\": {\"a\": [1, 2]}}", &o, "a:int | 1 | 2");
    o.sample_by = (char[]){"paragraph"};
    expect("text", "\n\none\ntwo\n\n \nthree\n", &o, "text:str | one\ntwo | three");
    o.sample_by = (char[]){"document"};
    expect("text", "one\n\ntwo\n", &o, "text:str | one\n\ntwo\n");
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *values[3], *wanted;
    } cases[] = {
        {{"1", "-2", "9223372036854775807"}, "v:int | 1 | -2 | 9223372036854775807"},
        {{"-9223372036854775808", "0", "-0"}, "v:int | -9223372036854775808 | 0 | 0"},
        {{"1", "2.5", "3"}, "v:float | 1.0 | 2.5 | 3.0"},
        {{"1.5", "2", "null"}, "v:float | 1.5 | 2.0 | " NULL_CELL},
        {{"null", "null", "1"}, "v:int | " NULL_CELL " | " NULL_CELL " | 1"},
        {{"null", "null", "null"}, "v:str | " NULL_CELL " | " NULL_CELL " | " NULL_CELL},
        {{"NaN", "Infinity", "-Infinity"}, "v:float | nan | inf | -inf"},
        {{"1e3", "1E-2", "1.0"}, "v:float | 1000.0 | 0.01 | 1.0"},
        {{"true", "false", "null"}, "v:bool | true | false | " NULL_CELL},
        {{"\"NA\"", "\"\"", "\"007\""}, "v:str | NA |  | 007"},
        {{"\"\\u00e9\\n\"", "\"\\ud83d\\ude00\"", "\"x\""},
         "v:str | \xC3\xA9\n | \xF0\x9F\x98\x80 | x"},
        {{"[1,2.50,\"\\u00e9\"]", "[]", "null"},
         "v:list | [1, 2.50, \"\xC3\xA9\"] | [] | " NULL_CELL},
        {{"{\"a\" :{\"b\":[ ]}}", "{}", "{\"c\":null}"},
         "v:struct | {\"a\": {\"b\": []}} | {} | {\"c\": null}"},
    };
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        char text[400];
        snprintf(text, sizeof text, "[{\"v\": %s}, {\"v\": %s}, {\"v\": %s}]", cases[i].values[0],
                 cases[i].values[1], cases[i].values[2]);
        expect("json", text, NULL, cases[i].wanted);
        snprintf(text, sizeof text, "{\"v\": %s}\n{\"v\": %s}\n{\"v\": %s}\n", cases[i].values[0],
                 cases[i].values[1], cases[i].values[2]);
        expect("jsonl", text, NULL, cases[i].wanted);
    }
    struct reader_options o = READER_DEFAULTS;
    o.infer = false;
    expect("json", "[{\"v\": 1}, {\"v\": \"x\"}, {\"v\": [1,2]}, {\"v\": true}, {\"v\": null}]", &o,
           "v:str | 1 | x | [1, 2] | true | " NULL_CELL);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *reader, *text, *says[3];
    } cases[] = {
        {"json", "", {"the file is empty"}},
        {"json", " \n", {"the file is empty"}},
        {"json", "[{\"a\": 1}\n {\"a\": 2}]", {"line 2, column 2", "expected ',' or ']'"}},
        {"json",
         "[{\"a\": 1}, {\"a\": \"x\"}]",
         {"line 1, column 18", "row 2, column 'a': text, but an integer in row 1", "hint"}},
        {"json",
         "{\"a\": null}\n\n{\"a\": true}\n{\"a\": 1}",
         {"line 4, column 7", "row 3, column 'a': an integer, but true or false in row 2"}},
        {"json", "[{\"a\": [1]}, {\"a\": {}}]", {"row 2", "an object, but a list in row 1"}},
        {"json", "[{\"a\": {}}, {\"a\": 1.5}]", {"a float, but an object in row 1"}},
        {"json", "[{\"a\": 1, \"a\": 2}]", {"the key 'a' occurs twice"}},
        {"json", "[{\"a\": 9007199254740993}, {\"a\": 0.5}]", {"row 2", "lose digits"}},
        {"json", "[{\"a\": 0.5}, {\"a\": 9007199254740993}]", {"row 2", "lose digits"}},
        {"json", "[{\"a\": 9223372036854775808}]", {"row 1, column 'a'", "over 64 bits"}},
        {"json", "[{\"a\": 1}, 5]", {"row 2: expected an object"}},
        {"json", "[\"x\", {\"a\": 1}]", {"row 2: expected text, as in row 1"}},
        {"json", "[[1]]", {"row 1: expected an object"}},
        {"json", "5", {"row 1: expected an object"}},
        {"json",
         "{\"train\": [{\"a\": 1}], \"test\": [{\"a\": 1}]}",
         {"the file is one object", "{field = \"train\"}", "train, test"}},
        {"json", "{\"a\": [1, 2], \"b\": [1]}", {"column 'b' has 1 values, 'a' has 2"}},
        {"json", "[{\"a\": 1}] x", {"column 12", "expected the end"}},
        {"json", "[{\"a\\u0000\": 1}]", {"zero byte"}},
        {"json", "[{\"a\": \"\\ud800\"}]", {"surrogate"}},
        {"jsonl", "{\"a\": 1}\n{\"a\": 2,}\n", {"line 2, column 9"}},
        {"jsonl", "{\"a\": 1}\n{\"a\": \"\xFF\"}\n", {"line 2, column 8", "0xFF is not UTF-8"}},
        {"jsonl", "{\"a\": 1} {\"a\": 2}\n", {"line 1, column 10", "expected the end"}},
        {"jsonl", "{\n\"a\": 1\n}\n", {"line 1, column 2"}},
        {"text", "a\nb\xFF\n", {"line 2", "0xFF is not UTF-8"}},
    };
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        struct table *t = NULL;
        int64_t before = mem_stats().live_blocks;
        int status =
            reader(cases[i].reader)->read(cases[i].text, strlen(cases[i].text), &defaults, &t);
        if (status != ERR_FORMAT)
            fail_msg("'%s': status %d", cases[i].text, status);
        for (int k = 0; k < 3 && cases[i].says[k]; k++)
            if (!strstr(status_message(), cases[i].says[k]))
                fail_msg("'%s': '%s' lacks '%s'", cases[i].text, status_message(),
                         cases[i].says[k]);
        assert_int_equal(mem_stats().live_blocks, before);
    }
    struct reader_options o = READER_DEFAULTS;
    struct table *t;
    o.field = (char[]){"dta"};
    assert_int_equal(reader("json")->read("{\"data\": [{\"a\": 1}]}", 20, &o, &t), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "there is no field 'dta'"));
    assert_non_null(strstr(status_message(), "data"));
    o.sample_by = (char[]){"word"};
    assert_int_equal(reader("text")->read("a", 1, &o, &t), ERR_ARG);
    volatile int stop = 1;
    o = (struct reader_options)READER_DEFAULTS;
    o.cancel = &stop;
    assert_int_equal(reader("json")->read("[{\"a\": 1}]", 10, &o, &t), ERR_CANCELLED);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *path, *reader; /* NULL: refused with this text */
        const char *says;
    } cases[] = {
        {"x.csv", "csv", NULL},
        {"a.b/x.JSON", "json", NULL},
        {"x.ndjson", "jsonl", NULL},
        {"x.txt", "text", NULL},
        {"x.tab", "tsv", NULL},
        {"x.json.gz", NULL, "gunzip"},
        {"x.parquet", NULL, "not read yet"},
        {"a.csv/x", NULL, "not known from its name"},
    };
    const struct reader *r;
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        int status = reader_for_path(cases[i].path, &r);
        assert_int_equal(status, cases[i].reader ? OK : ERR_ARG);
        if (cases[i].reader)
            assert_string_equal(r->name, cases[i].reader);
        else
            assert_non_null(strstr(status_message(), cases[i].says));
    }
    assert_string_equal(reader_within(reader("csv"), "x.tsv")->name, "tsv");
    assert_string_equal(reader_within(reader("json"), "x.jsonl")->name, "jsonl");
    assert_string_equal(reader_within(reader("json"), "x.csv")->name, "json");
    assert_int_equal(reader_find("jsn", &r), ERR_ARG);
    assert_non_null(strstr(status_message(), "did you mean 'json'"));
    struct table *t;
    temp_write("x.json", "\x1F\x8B\x08", 3);
    assert_int_equal(reader_file(reader("json"), temp_path("x.json"), &defaults, &t), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "this is gzip data"));
}

/* Everything at once, cut anywhere and with any bit flipped. */
static const char torture_lines[] =
    "\xEF\xBB\xBF{\"id\": 1, \"text\": \"\\u00e9\\ud83d\\ude00\", \"m\": [{\"role\": \"user\", "
    "\"content\": null}]}\r\n\n{\"id\": 2.5, \"new\": true, \"m\": []}\n"
    "{\"id\": -9007199254740992, \"text\": \"\xE6\x97\xA5\", \"o\": {\"a\": NaN, \"b\": {}}}\n";
static const char torture_array[] =
    "[{\"id\": 1, \"t\": \"\\n\\\"\"}, {\"t\": null, \"l\": [[], {\"k\": 1e9}], \"id\": 0.5}]";
static const char torture_columns[] = "{\"a\": [1, null, 2.5], \"b\": [\"x\", \"y\", null]}";

static int lines(const char *text, size_t length)
{
    struct table *t = NULL;
    TRY(reader("jsonl")->read(text, length, &defaults, &t));
    table_free(t);
    return OK;
}

static int whole(const char *text, size_t length)
{
    struct table *t = NULL;
    TRY(reader("json")->read(text, length, &defaults, &t));
    table_free(t);
    return OK;
}

static int plain(const char *text, size_t length)
{
    struct table *t = NULL;
    TRY(reader("text")->read(text, length, &defaults, &t));
    table_free(t);
    return OK;
}

static void test_damage(void **state)
{
    (void)state;
    size_t n = sizeof torture_lines - 1;
    bad_input_sweep(torture_lines, n, n, 64 * 1024, lines);
    bad_input_sweep(torture_lines, n, n, 64 * 1024, whole);
    bad_input_sweep(torture_lines, n, n, 64 * 1024, plain);
    n = sizeof torture_array - 1;
    bad_input_sweep(torture_array, n, n, 64 * 1024, whole);
    n = sizeof torture_columns - 1;
    bad_input_sweep(torture_columns, n, n, 64 * 1024, whole);
}

static int all_of_them(void *ctx)
{
    (void)ctx;
    TRY(lines(torture_lines, sizeof torture_lines - 1));
    TRY(whole(torture_array, sizeof torture_array - 1));
    TRY(whole(torture_columns, sizeof torture_columns - 1));
    return plain(torture_lines, sizeof torture_lines - 1);
}

static void test_no_memory(void **state)
{
    (void)state;
    memory_sweep(all_of_them, NULL);
}

/* What is written is read again, in every form, and written the same. */
static void test_writing(void **state)
{
    (void)state;
    const char *text =
        "{\"i\": 1, \"f\": 2e-05, \"t\": \"\\\"\\n\xC3\xA9\\u0001\", \"b\": true, \"l\": [{\"k\": "
        "null}], "
        "\"n\": null}\n"
        "{\"i\": -9223372036854775808, \"f\": 1.0, \"t\": \"\", \"b\": null, \"l\": [], "
        "\"n\": null}\n";
    static const enum json_form forms[] = {JSON_FORM_LINES, JSON_FORM_ROWS, JSON_FORM_COLUMNS};
    for (int i = 0; i < 3; i++) {
        struct table *t = good("jsonl", text, NULL), *back;
        struct buffer b = {0}, again = {0};
        assert_int_equal(table_to_json(t, forms[i], &b), OK);
        if (i == 0) {
            assert_int_equal(b.length, strlen(text));
            assert_memory_equal(b.bytes, text, strlen(text));
        }
        assert_int_equal(reader("json")->read(b.bytes, (size_t)b.length, &defaults, &back), OK);
        assert_int_equal(table_to_json(back, JSON_FORM_LINES, &again), OK);
        assert_int_equal(again.length, strlen(text));
        assert_memory_equal(again.bytes, text, strlen(text));
        buffer_free(&b);
        buffer_free(&again);
        table_free(back);
        table_free(t);
    }
    struct table *t = good("json", "[{\"a\": NaN}, {\"a\": -Infinity}, {\"a\": 0.5}]", NULL);
    struct buffer b = {0};
    assert_int_equal(table_to_json(t, JSON_FORM_COLUMNS, &b), OK);
    assert_int_equal(buffer_close(&b), OK);
    assert_string_equal(b.bytes, "{\"a\": [null, null, 0.5]}\n");
    buffer_free(&b);
    table_free(t);
}

/* --- public files: what Python reads from them (scripts/golden/data_tables.py) */

static uint32_t adler32(const char *bytes, int64_t length)
{
    uint32_t a = 1, b = 0;
    for (int64_t i = 0; i < length; i++) {
        a = (a + (unsigned char)bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* Every cell of a CSV file as it stands there, followed by byte 31, each row by byte 30. */
static void all_cells(const struct reader *r, const char *path, struct buffer *out)
{
    struct reader_options o = READER_DEFAULTS;
    struct table *t;
    size_t n;
    o.infer = o.keep_default_na = false;
    assert_int_equal(reader_file(r, path, &o, &t), OK);
    for (int64_t row = 0; row < t->rows; row++) {
        for (int64_t i = 0; i < t->width; i++) {
            const char *text = column_text(t->columns[i], row, &n);
            buffer_add(out, text, n);
            buffer_text(out, "\x1f");
        }
        buffer_text(out, "\x1e");
    }
    assert_int_equal(out->status, OK);
    table_free(t);
}

/* One line of the golden file; false when the data is not there. */
static bool same_as_python(char *line)
{
    char *part[6], path[600];
    int parts = 0;
    for (char *p = line; parts < 6 && p;)
        part[parts++] = strsep(&p, "\t");
    assert_int_equal(parts, 6);
    struct reader_options o = READER_DEFAULTS;
    char *colon = strchr(part[0], ':');
    if (colon) {
        *colon = '\0';
        o.field = colon + 1;
    }
    snprintf(path, sizeof path, "data/%s", part[0]);
    const char *full = shared_path(path);
    if (!full)
        return false;
    const struct reader *r;
    struct table *t = NULL;
    if (reader_for_path(full, &r) || reader_file(r, full, &o, &t))
        fail_msg("%s", status_message());
    struct buffer names = {0}, rows = {0};
    for (int64_t i = 0; i < t->width; i++)
        buffer_printf(&names, "%s%s", i ? "|" : "", t->names[i]);
    assert_int_equal(buffer_close(&names), OK);
    assert_int_equal(t->rows, atoll(part[1]));
    assert_int_equal(t->width, atoll(part[2]));
    assert_string_equal(names.bytes, part[5]);
    if (!strcmp(r->family, "csv"))
        all_cells(r, full, &rows);
    else
        assert_int_equal(table_to_json(t, JSON_FORM_LINES, &rows), OK);
    uint32_t sum = adler32(rows.bytes, rows.length);
    if (rows.length != atoll(part[4]) || sum != strtoul(part[3], NULL, 10))
        fail_msg("%s: %d bytes, sum %u", part[0], (int)rows.length, (unsigned)sum);
    buffer_free(&names);
    buffer_free(&rows);
    table_free(t);
    return true;
}

static void test_public_files(void **state)
{
    (void)state;
    char *bytes, *line;
    size_t length;
    int files = 0;
    assert_int_equal(file_read("tests/golden/data_tables.txt", 0, &bytes, &length), OK);
    char *p = bytes;
    bool there = true;
    while (there && (line = strsep(&p, "\n")) && *line) {
        there = same_as_python(line);
        files += there;
    }
    mem_free(bytes);
    if (!there)
        skip();
    assert_int_equal(files, 36);
    assert_int_equal(file_open_count(), 0);
}

/* Every file of the public JSON suite as the value of a row of JSON lines: those that must be refused
 * are, with the row's line, and those that must be accepted are, but for a key that comes twice. */
static void test_json_suite(void **state)
{
    (void)state;
    const char *folder = shared_path("data/json_test_suite/test_parsing");
    struct file_names names;
    int accepted = 0, refused = 0;
    if (!folder)
        skip();
    assert_int_equal(file_list(folder, &names), OK);
    for (int64_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        char path[1400], *bytes;
        size_t length;
        struct buffer text = {0};
        struct table *t = NULL;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        assert_int_equal(file_read(path, 0, &bytes, &length), OK);
        buffer_text(&text, "{\"v\": null}\n{\"v\": ");
        buffer_add(&text, bytes, length);
        buffer_text(&text, "}\n");
        mem_free(bytes);
        assert_int_equal(text.status, OK);
        int status = reader("jsonl")->read(text.bytes, (size_t)text.length, &defaults, &t);
        bool words = strstr(name, "NaN") || strstr(name, "infinity.json");
        bool twice = strstr(name, "duplicated_key") != NULL;
        bool lines = memchr(text.bytes + 13, '\n', (size_t)text.length - 14) != NULL;
        if (name[0] == 'y' && !twice && !lines && status)
            fail_msg("%s: refused: %s", name, status_message());
        if (name[0] == 'n' && !words && !status)
            fail_msg("%s: accepted", name);
        if (twice && !status)
            fail_msg("%s: accepted", name);
        if (status && !strstr(status_message(), "line "))
            fail_msg("%s: '%s' names no line", name, status_message());
        accepted += !status;
        refused += status != OK;
        if (!status)
            table_free(t);
        buffer_free(&text);
    }
    file_names_free(&names);
    assert_int_equal(accepted + refused, 318);
    assert_true(accepted >= 90 && refused >= 180);
}

static void test_casts(void **state)
{
    (void)state;
    struct table *t = good("csv", "a,b\n\"[1,{\"\"x\"\":2}]\",[1\n,x\n", NULL);
    struct column *c, *back;
    assert_int_equal(column_cast(t->columns[0], COLUMN_JSON, &c), OK);
    assert_string_equal(column_dtype(c), "list");
    assert_int_equal(c->nulls, 1);
    assert_int_equal(column_cast(c, COLUMN_INT, &back), ERR_ARG);
    assert_non_null(strstr(status_message(), "row 1: a list or object is no int"));
    assert_int_equal(column_cast(c, COLUMN_TEXT, &back), OK);
    size_t n;
    const char *text = column_text(back, 0, &n);
    assert_int_equal(n, 13);
    assert_memory_equal(text, "[1, {\"x\": 2}]", 13);
    column_free(back);
    column_free(c);
    assert_int_equal(column_cast(t->columns[1], COLUMN_JSON, &c), ERR_ARG);
    assert_non_null(strstr(status_message(), "row 1: as JSON: line 1"));
    table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),        cmocka_unit_test(test_types),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_damage),       cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_casts),        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_public_files), cmocka_unit_test(test_json_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
