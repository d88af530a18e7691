/* options.c -- option tables: defaults, every setter, refusals, suggestions, copies, memory. */
#include "engine/core/options.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct toy {
    bool fp16;
    int64_t rank;
    double learning_rate;
    double dropout;
    char *scheduler;
    char *output_dir;
    struct text_list targets;
    struct number_list ranks;
    char *init;
    bool dora;
};

static const struct option rows[] = {
    OPTION(struct toy, fp16, BOOL, "false", .doc = "half precision"),
    OPTION(struct toy, rank, INT, "8", .min = 1, .max = 1024, .doc = "rank of the adapter"),
    OPTION(struct toy, learning_rate, FLOAT, "5e-5", .aliases = "lr, rate", .min = 0, .max = 1,
           .doc = "peak rate"),
    OPTION(struct toy, dropout, FLOAT, NULL, .min = 0, .max = 0.999, .doc = "share of zeros"),
    OPTION(struct toy, scheduler, TEXT, "linear", .choices = "linear, cosine,constant",
           .doc = "course of the rate"),
    OPTION(struct toy, output_dir, TEXT, NULL, .doc = "where checkpoints go"),
    OPTION(struct toy, targets, LIST, "q_proj,v_proj", .doc = "modules with an adapter"),
    {.name = "trust_remote_code", .type = OPTION_NOTE, .doc = "not needed", .note = "not needed"},
    OPTION(struct toy, ranks, NUMBERS, NULL, .min = 1, .max = 64, .doc = "rank by name"),
    OPTION(struct toy, init, TEXT, "true", .choices = "true,false,gaussian",
           .refused = "pissa,olora", .note = "train with true", .doc = "how it starts"),
    OPTION(struct toy, dora, BOOL, "false", .refused = "true", .note = "leave it out",
           .doc = "a variant"),
    {.name = "eva_config", .type = OPTION_REFUSED, .doc = "a variant", .note = "leave it out"},
    {.name = "model", .type = OPTION_OBJECT, .doc = "the model"},
};
static const struct option_table table = {"Toy", "options of a test", rows,
                                          sizeof rows / sizeof rows[0], sizeof(struct toy)};

static const struct option *row(const char *name)
{
    const struct option *o;
    assert_int_equal(options_find(&table, name, &o), OK);
    return o;
}

static void refused(int status, const char *text)
{
    assert_int_equal(status, ERR_ARG);
    if (!strstr(status_message(), text))
        fail_msg("'%s' does not say '%s'", status_message(), text);
}

static void defaults(void **state)
{
    (void)state;
    struct toy t;
    assert_int_equal(options_init(&table, &t), OK);
    assert_false(t.fp16);
    assert_int_equal(t.rank, 8);
    assert_true(t.learning_rate == 5e-5);
    assert_true(t.dropout == 0);
    assert_string_equal(t.scheduler, "linear");
    assert_null(t.output_dir);
    assert_int_equal(t.targets.count, 2);
    assert_string_equal(t.targets.items[1], "v_proj");
    for (int i = 0; i < table.count; i++)
        assert_false(options_changed(&table.rows[i], &t));
    options_free(&table, &t);
    options_free(&table, &t); /* twice is harmless */
}

static void setters(void **state)
{
    (void)state;
    struct toy t;
    char text[64];
    assert_int_equal(options_init(&table, &t), OK);
    assert_int_equal(options_set_bool(&table, row("fp16"), &t, true), OK);
    assert_int_equal(options_set_number(&table, row("rank"), &t, 5.0), OK);
    assert_int_equal(t.rank, 5);
    refused(options_set_number(&table, row("rank"), &t, 5.5), "rank wants an integer");
    assert_int_equal(options_set_int(&table, row("lr"), &t, 1), OK);
    assert_true(t.learning_rate == 1.0);
    assert_int_equal(options_set_text(&table, row("scheduler"), &t, "cosine"), OK);
    const char *const items[] = {"fc1", "fc2", "dense"};
    assert_int_equal(options_set_list(&table, row("targets"), &t, items, 3), OK);
    options_show(row("targets"), &t, text, sizeof text);
    assert_string_equal(text, "fc1,fc2,dense");
    assert_int_equal(options_set_text(&table, row("targets"), &t, "all-linear"), OK);
    assert_int_equal(t.targets.count, 1);
    assert_int_equal(options_set_bool(&table, row("trust_remote_code"), &t, true), OK);
    options_show(row("learning_rate"), &t, text, sizeof text);
    assert_string_equal(text, "1");
    assert_int_equal(options_set_number(&table, row("learning_rate"), &t, 0.1), OK);
    options_show(row("learning_rate"), &t, text, sizeof text);
    assert_string_equal(text, "0.1");
    assert_true(options_changed(row("fp16"), &t));
    assert_true(options_changed(row("targets"), &t));
    assert_false(options_changed(row("output_dir"), &t));
    options_free(&table, &t);
}

static void refusals(void **state)
{
    (void)state;
    struct toy t;
    assert_int_equal(options_init(&table, &t), OK);
    refused(options_set_int(&table, row("rank"), &t, 0),
            "rank = 0 is out of range, wanted 1 to 1024");
    refused(options_set_number(&table, row("dropout"), &t, 8.95), "dropout = 8.95 is out of range");
    refused(options_set_number(&table, row("dropout"), &t, NAN), "dropout = nan");
    refused(options_set_number(&table, row("rank"), &t, 1e300), "rank");
    refused(options_set_number(&table, row("rank"), &t, INFINITY), "rank");
    refused(options_set_text(&table, row("rank"), &t, "eight"), "found the text 'eight'");
    refused(options_set_bool(&table, row("rank"), &t, true), "found true");
    refused(options_set_int(&table, row("fp16"), &t, 1), "fp16 wants true or false, found 1");
    refused(options_set_text(&table, row("scheduler"), &t, "cosinus"),
            "'cosinus' is not one of the choices; hint: one of linear, cosine,constant");
    refused(options_set_text(&table, row("scheduler"), &t, "lin"), "'lin' is not one");
    refused(options_set_text(&table, row("scheduler"), &t, ""), "'' is not one");
    refused(options_parse(&table, row("model"), &t, "x"), "model");
    assert_int_equal(t.rank, 8); /* nothing was changed by what was refused */
    assert_string_equal(t.scheduler, "linear");
    options_free(&table, &t);
}

static void parsing(void **state)
{
    (void)state;
    struct toy t;
    assert_int_equal(options_init(&table, &t), OK);
    assert_int_equal(options_parse(&table, row("fp16"), &t, "True"), OK);
    assert_true(t.fp16);
    assert_int_equal(options_parse(&table, row("fp16"), &t, "no"), OK);
    assert_false(t.fp16);
    assert_int_equal(options_parse(&table, row("rank"), &t, "32"), OK);
    assert_int_equal(options_parse(&table, row("rank"), &t, "64.0"), OK);
    assert_int_equal(t.rank, 64);
    assert_int_equal(options_parse(&table, row("learning_rate"), &t, "2e-4"), OK);
    assert_true(t.learning_rate == 2e-4);
    assert_int_equal(options_parse(&table, row("targets"), &t, "a, b,c"), OK);
    assert_int_equal(t.targets.count, 3);
    assert_string_equal(t.targets.items[1], "b");
    assert_int_equal(options_parse(&table, row("targets"), &t, ""), OK);
    assert_int_equal(t.targets.count, 0);
    refused(options_parse(&table, row("rank"), &t, "12x"), "found '12x'");
    refused(options_parse(&table, row("rank"), &t, ""), "found ''");
    refused(options_parse(&table, row("fp16"), &t, "maybe"), "found 'maybe'");
    refused(options_parse(&table, row("rank"), &t, "99999999999999999999"), "rank");
    options_free(&table, &t);
}

static void names(void **state)
{
    (void)state;
    const struct option *o;
    assert_ptr_equal(row("lr"), row("learning_rate"));
    assert_ptr_equal(row("rate"), row("learning_rate"));
    refused(options_find(&table, "learning_rat", &o),
            "Toy has no option 'learning_rat'; did you mean 'learning_rate'?");
    refused(options_find(&table, "leraning_rate", &o), "did you mean 'learning_rate'?");
    refused(options_find(&table, "rnak", &o), "did you mean 'rank'?");
    refused(options_find(&table, "zzzzzzzzzz", &o), "Toy has no option 'zzzzzzzzzz'");
    assert_null(strstr(status_message(), "did you mean"));
    refused(options_find(&table, "", &o), "no option ''");
    refused(options_find(&table, "l", &o), "no option 'l'");
    char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    refused(options_find(&table, longest, &o), "no option");
}

static void copies(void **state)
{
    (void)state;
    struct toy a, b;
    int64_t before = mem_stats().live_blocks;
    assert_int_equal(options_init(&table, &a), OK);
    assert_int_equal(options_parse(&table, row("output_dir"), &a, "out"), OK);
    assert_int_equal(options_copy(&table, &b, &a), OK);
    options_free(&table, &a);
    assert_string_equal(b.output_dir, "out");
    assert_string_equal(b.targets.items[0], "q_proj");
    options_free(&table, &b);
    assert_int_equal(mem_stats().live_blocks, before);
}

/* The n-th allocation fails, for every n: an error, nothing lost, the old values kept. */
static void memory(void **state)
{
    (void)state;
    int64_t before = mem_stats().live_blocks;
    for (int n = 1; n < 60; n++) {
        struct toy a, b;
        mem_fail_at(n, 0);
        if (!options_init(&table, &a)) {
            const char *const items[] = {"x", "y"};
            int status = options_set_list(&table, row("targets"), &a, items, 2);
            assert_string_equal(a.targets.items[0], status ? "q_proj" : "x");
            status = options_parse(&table, row("scheduler"), &a, "cosine");
            assert_string_equal(a.scheduler, status ? "linear" : "cosine");
            if (!options_copy(&table, &b, &a))
                options_free(&table, &b);
            options_free(&table, &a);
        }
        mem_fail_at(0, 0);
        assert_int_equal(mem_stats().live_blocks, before);
    }
}

static void numbers(void **state)
{
    (void)state;
    struct toy t, copy;
    char text[80];
    const char *const order[] = {"v_proj", "q_proj"}, *const twice[] = {"a", "a"};
    const double values[] = {4, 16}, bad[] = {4, 65}, nan[] = {NAN, 1};
    const struct option *o = row("ranks");
    assert_int_equal(options_init(&table, &t), OK);
    assert_int_equal(t.ranks.count, 0);
    assert_false(options_changed(o, &t));
    assert_int_equal(options_set_numbers(&table, o, &t, order, values, 2), OK);
    assert_int_equal(t.ranks.count, 2);
    assert_string_equal(t.ranks.items[0].name, "v_proj"); /* the order is kept */
    assert_true(t.ranks.items[1].value == 16);
    assert_true(options_changed(o, &t));
    options_show(o, &t, text, sizeof text);
    assert_string_equal(text, "v_proj=4,q_proj=16");
    options_show(o, &t, text, 12);
    assert_string_equal(text, "v_proj=4,q_");
    refused(options_set_numbers(&table, o, &t, order, bad, 2), "'q_proj' = 65 is out of range");
    refused(options_set_numbers(&table, o, &t, order, nan, 2), "'v_proj' = nan");
    refused(options_set_numbers(&table, o, &t, twice, values, 2), "names 'a' twice");
    refused(options_set_int(&table, o, &t, 3), "wants a table of names and numbers");
    refused(options_set_text(&table, o, &t, "q"), "wants a table");
    refused(options_set_list(&table, o, &t, order, 2), "wants a table");
    refused(options_set_numbers(&table, row("rank"), &t, order, values, 2), "wants an integer");
    assert_int_equal(t.ranks.count, 2); /* refusals change nothing */
    assert_int_equal(options_copy(&table, &copy, &t), OK);
    options_free(&table, &t);
    assert_int_equal(t.ranks.count, 0);
    assert_string_equal(copy.ranks.items[1].name, "q_proj");
    assert_int_equal(options_parse(&table, o, &copy, "a=1, (x|y)=b=2.5"), OK);
    assert_string_equal(copy.ranks.items[1].name, "(x|y)=b");
    assert_true(copy.ranks.items[1].value == 2.5);
    refused(options_parse(&table, o, &copy, "a=1,b"), "'b' is not name=number");
    refused(options_parse(&table, o, &copy, "a="), "is not name=number");
    refused(options_parse(&table, o, &copy, "=3"), "is not name=number");
    refused(options_parse(&table, o, &copy, "a=3x"), "is not name=number");
    assert_int_equal(copy.ranks.count, 2);
    assert_int_equal(options_set_list(&table, o, &copy, NULL, 0), OK); /* {} empties it */
    assert_int_equal(copy.ranks.count, 0);
    options_free(&table, &copy);
}

static void not_available(void **state)
{
    (void)state;
    struct toy t;
    const double one[] = {1};
    const char *const name[] = {"a"};
    const struct option *o = row("init"), *dora = row("dora"), *eva = row("eva_config");
    assert_int_equal(options_init(&table, &t), OK);
    assert_string_equal(t.init, "true");
    assert_int_equal(options_set_bool(&table, o, &t, false), OK); /* a choice spelt as a boolean */
    assert_string_equal(t.init, "false");
    assert_int_equal(options_set_text(&table, o, &t, "gaussian"), OK);
    refused(options_set_text(&table, o, &t, "pissa"),
            "Toy: init = pissa is not available; hint: train with true");
    refused(options_set_text(&table, o, &t, "other"), "is not one of the choices");
    refused(options_set_bool(&table, row("scheduler"), &t, true), "wants a text");
    assert_string_equal(t.init, "gaussian");
    assert_int_equal(options_set_bool(&table, dora, &t, false), OK);
    refused(options_set_bool(&table, dora, &t, true), "dora = true is not available");
    refused(options_parse(&table, dora, &t, "true"), "is not available; hint: leave it out");
    assert_int_equal(options_set_bool(&table, eva, &t, false), OK);
    refused(options_set_bool(&table, eva, &t, true), "eva_config is not available");
    refused(options_set_text(&table, eva, &t, "x"), "is not available");
    refused(options_set_int(&table, eva, &t, 1), "is not available");
    refused(options_set_number(&table, eva, &t, 1.5), "is not available");
    refused(options_set_numbers(&table, eva, &t, name, one, 1), "is not available");
    options_free(&table, &t);
}

/* One text is not the same as a list of one: a pattern is given so. */
static void single_texts(void **state)
{
    (void)state;
    struct toy t, copy;
    const char *const one[] = {"q_proj"};
    const struct option *o = row("targets");
    assert_int_equal(options_init(&table, &t), OK);
    assert_false(t.targets.single);
    assert_int_equal(options_set_text(&table, o, &t, ".*_proj"), OK);
    assert_true(t.targets.single);
    assert_int_equal(options_copy(&table, &copy, &t), OK);
    assert_true(copy.targets.single);
    assert_int_equal(options_set_list(&table, o, &t, one, 1), OK);
    assert_false(t.targets.single);
    assert_int_equal(options_set_int(&table, o, &t, 7), OK); /* a whole number is a list of one */
    assert_string_equal(t.targets.items[0], "7");
    assert_false(t.targets.single);
    assert_int_equal(options_parse(&table, o, &t, "a"), OK);
    assert_true(t.targets.single);
    assert_int_equal(options_parse(&table, o, &t, "a,b"), OK);
    assert_false(t.targets.single);
    options_free(&table, &t);
    options_free(&table, &copy);
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(suggest_distance("same", "same", 6), 0);
    assert_int_equal(suggest_distance("head", "hed", 6), 2);
    assert_int_equal(suggest_distance("head", "haed", 6), 2);
    assert_int_equal(suggest_distance("head", "Head", 6), 1);
    assert_int_equal(suggest_distance("head", "heat", 6), 2);
    assert_true(suggest_distance("head", "learning_rate", 6) > 6);
    assert_int_equal(suggest_distance("", "ab", 6), 4);
    struct suggest s = {.wanted = "heda"};
    suggest_try(&s, "tail");
    suggest_try(&s, "head");
    suggest_try(&s, "describe");
    char hint[64];
    assert_string_equal(suggest_hint(&s, hint, sizeof hint), "; did you mean 'head'?");
    struct suggest one = {.wanted = "x"};
    suggest_try(&one, "y");
    assert_string_equal(suggest_hint(&one, hint, sizeof hint), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),      cmocka_unit_test(setters),      cmocka_unit_test(refusals),
        cmocka_unit_test(parsing),       cmocka_unit_test(names),        cmocka_unit_test(copies),
        cmocka_unit_test(memory),        cmocka_unit_test(distances),    cmocka_unit_test(numbers),
        cmocka_unit_test(not_available), cmocka_unit_test(single_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
