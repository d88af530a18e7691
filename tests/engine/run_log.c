/* run_log.c -- what a run writes about itself: entries as JSON and back, JSON lines, TensorBoard
 * records read by a reader of our own, trainer_state.json, plots. */
#include "engine/core/crc32c.h"
#include "engine/core/file.h"
#include "engine/train/checkpoint.h"
#include "engine/train/plot.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"
#include "tests/engine/run_util.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct run_setting small = {.dtype = "float32", .accumulate = 1};

/* Every name, alone and all together; NaN and what is not there are two things. */
static void entries_round_trip(void **state)
{
    (void)state;
    for (int k = -1; k <= LOG_NAMES; k++) {
        struct trainer_log e = {.step = 7, .epoch = 0.1 + 0.2}, back;
        struct buffer b = {0};
        struct json_writer w;
        struct json j;
        for (int i = 0; i < LOG_NAMES; i++)
            if (k == LOG_NAMES || k == i)
                log_set(&e, i, i == LOG_NUM_TOKENS ? 12345 : i ? 1.0 / (3 + i) : NAN);
        json_write_begin(&w, &b, -1);
        log_write(&w, NULL, &e);
        CHECK(buffer_close(&b));
        json_begin(&j, b.bytes, (size_t)b.length, NULL);
        CHECK(log_read(&j, &back));
        CHECK(json_end(&j));
        json_free(&j);
        assert_int_equal(back.step, 7);
        assert_true(back.epoch == e.epoch);
        assert_int_equal(back.has, e.has);
        for (int i = 0; i < LOG_NAMES; i++)
            if (log_has(&e, i))
                assert_memory_equal(&back.value[i], &e.value[i], sizeof(double));
        for (int i = 0; i < LOG_NAMES; i++)
            assert_int_equal(log_find(log_fields[i].name), i);
        buffer_free(&b);
    }
    assert_int_equal(log_find("los"), LOG_NAMES);
}

static void read_text(const char *folder, const char *name, char **bytes, size_t *length)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(file_read(path, 0, bytes, length));
}

/* log.jsonl is log_history, one entry a line, also after going on from a checkpoint in the middle. */
static void json_lines(void **state)
{
    char folder[256], *bytes, *at;
    const char *path;
    size_t length;
    struct run r;
    struct buffer notes = {0};
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_start(&r);
    run_to(&r, 3, 0);
    CHECK(trainer_save(r.t, &path));
    run_to(&r, 7, 0); /* lines that the checkpoint does not know */
    CHECK(checkpoint_resume(r.t, path, &notes));
    run_to_end(&r);
    assert_null(trainer_log_problem(r.t));
    read_text(folder, "log.jsonl", &bytes, &length);
    at = bytes;
    for (int64_t i = 0; i < r.t->log_count; i++) {
        struct trainer_log e;
        struct json j;
        char *end = strchr(at, '\n');
        assert_non_null(end);
        json_begin(&j, at, (size_t)(end - at), NULL);
        CHECK(log_read(&j, &e));
        CHECK(json_end(&j));
        json_free(&j);
        assert_int_equal(e.step, r.t->logs[i].step);
        assert_int_equal(e.has, r.t->logs[i].has);
        at = end + 1;
    }
    assert_int_equal(*at, '\0');
    mem_free(bytes);
    buffer_free(&notes);
    run_close(&r);
    run_folder_remove(folder);
}

/* A log that cannot be written stops nothing, is told once, and is whole again later. */
static void broken_log(void **state)
{
    char folder[256], *bytes;
    size_t length;
    struct run r;
    int lines = 0;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_set(&r, "eval_strategy", "no");
    run_set(&r, "metric_for_best_model", "loss");
    run_start(&r);
    run_to(&r, 2, 0);
    run_to(&r, 3, 1);
    file_fail_at(2, ENOSPC);
    run_to(&r, 4, 0);
    file_fail_at(0, 0);
    const char *problem = trainer_log_problem(r.t);
    assert_non_null(problem);
    assert_non_null(strstr(problem, "log.jsonl"));
    assert_null(trainer_log_problem(r.t));
    run_to_end(&r);
    assert_null(trainer_log_problem(r.t));
    read_text(folder, "log.jsonl", &bytes, &length);
    for (size_t i = 0; i < length; i++)
        lines += bytes[i] == '\n';
    assert_int_equal(lines, r.t->log_count);
    mem_free(bytes);
    run_close(&r);
    run_folder_remove(folder);
}

/* --- TensorBoard ------------------------------------------------------------------------------ */

static uint64_t little(const unsigned char *p, int n)
{
    uint64_t v = 0;
    while (n--)
        v = v << 8 | p[n];
    return v;
}

static uint32_t masked(const void *bytes, size_t n)
{
    uint32_t c = crc32c(0, bytes, n);
    return ((c >> 15) | (c << 17)) + 0xA282EAD8u;
}

static uint64_t varint(const unsigned char **p)
{
    uint64_t v = 0;
    int shift = 0;
    do
        v |= (uint64_t)(**p & 127) << shift, shift += 7;
    while (*(*p)++ & 128);
    return v;
}

struct scalar {
    int64_t step;
    char tag[64];
    float value;
};

/* One event: its step and scalar, or the version of the file in 'tag'. */
static void read_event(const unsigned char *p, size_t n, struct scalar *out)
{
    const unsigned char *end = p + n;
    *out = (struct scalar){.value = NAN};
    while (p < end) {
        uint64_t key = varint(&p), length;
        switch (key) {
        case 1 << 3 | 1: /* wall time */
            p += 8;
            break;
        case 2 << 3:
            out->step = (int64_t)varint(&p);
            break;
        case 3 << 3 | 2:
            length = varint(&p);
            memcpy(out->tag, p, length);
            p += length;
            break;
        case 5 << 3 | 2: { /* summary { value { tag, simple_value } } */
            (void)varint(&p);
            assert_int_equal(varint(&p), 1 << 3 | 2);
            (void)varint(&p);
            assert_int_equal(varint(&p), 1 << 3 | 2);
            length = varint(&p);
            memcpy(out->tag, p, length);
            p += length;
            assert_int_equal(varint(&p), 2 << 3 | 5);
            uint32_t bits = (uint32_t)little(p, 4);
            memcpy(&out->value, &bits, 4);
            p += 4;
            break;
        }
        default:
            fail_msg("field %d", (int)key);
        }
    }
    assert_true(p == end);
}

static void tensorboard_records(void **state)
{
    char folder[256], runs[300], *bytes;
    size_t length, at = 0;
    struct run r;
    struct file_names names = {0};
    struct scalar s;
    int records = 0, losses = 0, expected = 1;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_set(&r, "report_to", "tensorboard");
    run_set(&r, "run_name", "first");
    run_start(&r);
    run_to_end(&r);
    snprintf(runs, sizeof runs, "%s/runs/first", folder);
    CHECK(file_list(runs, &names));
    assert_int_equal(names.count, 1);
    assert_true(!strncmp(names.items[0], "events.out.tfevents.", 20));
    read_text(runs, names.items[0], &bytes, &length);
    const unsigned char *b = (const unsigned char *)bytes;
    while (at < length) {
        assert_true(length - at >= 16);
        size_t n = (size_t)little(b + at, 8);
        assert_int_equal(little(b + at + 8, 4), masked(b + at, 8));
        assert_true(n <= length - at - 16);
        assert_int_equal(little(b + at + 12 + n, 4), masked(b + at + 12, n));
        read_event(b + at + 12, n, &s);
        if (!records++)
            assert_string_equal(s.tag, "brain.Event:2");
        if (!strcmp(s.tag, "train/loss")) {
            const struct trainer_log *e = NULL; /* the entry of that step */
            for (int64_t i = 0; i < r.t->log_count && !e; i++)
                if (r.t->logs[i].step == s.step && log_has(&r.t->logs[i], LOG_LOSS))
                    e = &r.t->logs[i];
            assert_non_null(e);
            assert_true(s.value == (float)log_get(e, LOG_LOSS));
            losses++;
        }
        at += n + 16;
    }
    for (int64_t i = 0; i < r.t->log_count; i++)
        expected += __builtin_popcount(r.t->logs[i].has) + 1;
    assert_int_equal(records, expected);
    assert_int_equal(losses, 4);
    mem_free(bytes);
    file_names_free(&names);
    run_close(&r);
    run_folder_remove(folder);
}

/* The keys that transformers' TrainerState takes, no other. */
static void transformers_state(void **state)
{
    static const char *const keys[] = {"best_global_step",
                                       "best_metric",
                                       "best_model_checkpoint",
                                       "epoch",
                                       "eval_steps",
                                       "global_step",
                                       "is_hyper_param_search",
                                       "is_local_process_zero",
                                       "is_world_process_zero",
                                       "log_history",
                                       "logging_steps",
                                       "max_steps",
                                       "num_input_tokens_seen",
                                       "num_train_epochs",
                                       "save_steps",
                                       "stateful_callbacks",
                                       "total_flos",
                                       "train_batch_size",
                                       "trial_name",
                                       "trial_params"};
    char folder[256], *bytes;
    size_t length;
    struct run r;
    struct json j;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_start(&r);
    CHECK(trainer_stop_early(r.t, 3, 0.5));
    run_to_end(&r);
    CHECK(checkpoint_write_log(r.t));
    read_text(folder, "trainer_state.json", &bytes, &length);
    json_begin(&j, bytes, length, NULL);
    CHECK(json_open(&j, JSON_OBJECT, NULL));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) { /* sorted */
        CHECK(json_next(&j));
        assert_true(json_is(&j, keys[i]));
        CHECK(json_skip_value(&j));
    }
    CHECK(json_next(&j));
    assert_int_equal(j.kind, JSON_OBJECT_END);
    CHECK(json_end(&j));
    assert_int_equal(bytes[length - 1], '\n');
    json_free(&j);
    mem_free(bytes);
    run_close(&r);
    run_folder_remove(folder);
}

/* --- the best model --------------------------------------------------------------------------- */

/* Evaluations that do not get better end the run; the counter survives a checkpoint. */
static void early_stopping(void **state)
{
    char folder[256];
    struct run r;
    struct trainer_event e;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_set(&r, "max_steps", "40");
    run_set(&r, "learning_rate", "0");
    run_set(&r, "warmup_steps", "0");
    run_start(&r);
    CHECK(trainer_stop_early(r.t, 3, 0));
    run_to(&r, 6, 0); /* the first evaluation is the best, the second is not better */
    assert_int_equal(r.t->best_step, 3);
    assert_int_equal(r.t->patience_used, 1);
    const char *path;
    struct buffer notes = {0};
    CHECK(trainer_save(r.t, &path));
    r.t->patience_used = 0;
    CHECK(checkpoint_resume(r.t, path, &notes));
    assert_int_equal(r.t->patience_used, 1);
    run_to_end(&r);
    assert_int_equal(r.t->step, 12);
    assert_true(trainer_ended(r.t));
    trainer_go_on(r.t);
    do
        CHECK(trainer_next(r.t, &e));
    while (e.kind != TRAINER_STEP);
    assert_int_equal(r.t->step, 13);
    buffer_free(&notes);
    run_close(&r);
    run_folder_remove(folder);
}

/* save_strategy best: a checkpoint only where an evaluation beat all before; the end has its
 * weights. */
static void best_only(void **state)
{
    char folder[256];
    int64_t count, highest;
    struct run r;
    (void)state;
    run_folder(folder);
    run_open(&r, &small, folder);
    run_set(&r, "max_steps", "12");
    run_set(&r, "save_strategy", "best");
    run_set(&r, "load_best_model_at_end", "true");
    run_start(&r);
    run_to(&r, 3, 0);
    uint64_t best = run_hash(&r);
    CHECK(checkpoint_count(folder, &count, &highest));
    assert_int_equal(count, 1);
    r.t->best_metric = -1;
    run_to_end(&r);
    CHECK(checkpoint_count(folder, &count, &highest));
    assert_int_equal(count, 1);
    assert_true(r.t->best_loaded);
    struct buffer notes = {0};
    char *path;
    CHECK(checkpoint_newest(folder, &path, &notes));
    CHECK(checkpoint_resume(r.t, path, &notes));
    r.t->best_metric = r.t->best_metric; /* as it was when it was saved */
    assert_true(run_hash(&r) == best);
    mem_free(path);
    buffer_free(&notes);
    run_close(&r);
    run_folder_remove(folder);
}

static void contradictions(void **state)
{
    static const char *const cases[][5] = {
        {"load_best_model_at_end", "true", "eval_strategy", "no", "to be the same"},
        {"save_strategy", "best", "eval_strategy", "no", "needs evaluations"},
        {"metric_for_best_model", "f1", "eval_strategy", "steps", "is not measured"},
        {"load_best_model_at_end", "true", "save_steps", "4", "a multiple of eval_steps"},
    };
    char folder[256];
    (void)state;
    run_folder(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r;
        run_open(&r, &small, folder);
        run_set(&r, cases[i][0], cases[i][1]);
        run_set(&r, cases[i][2], cases[i][3]);
        assert_int_equal(trainer_new(r.m, r.data, r.eval, &r.args, &r.t), ERR_ARG);
        assert_non_null(strstr(status_message(), cases[i][4]));
        r.t = NULL;
        run_close(&r);
    }
    run_folder_remove(folder);
}

/* --- plots ------------------------------------------------------------------------------------ */

static char *drawn(const struct plot_series *s, int n, int columns, bool utf8, bool svg)
{
    struct buffer b = {0};
    if (svg)
        plot_svg(&b, "a < b & \"c\"", s, n);
    else
        plot_text(&b, s, n, columns, 14, utf8);
    CHECK(buffer_close(&b));
    return b.bytes;
}

static int widest(const char *text)
{
    int best = 0, n = 0;
    for (; *text; text++) {
        n = *text == '\n' ? 0 : n + ((*text & 0xC0) != 0x80);
        best = n > best ? n : best;
    }
    return best;
}

static void plots(void **state)
{
    double x[50], y[50], bad[3] = {NAN, INFINITY, -INFINITY}, one[1] = {3};
    (void)state;
    for (int i = 0; i < 50; i++) {
        x[i] = i + 1;
        y[i] = i % 7 == 3 ? NAN : 5 - 0.05 * i;
    }
    struct plot_series all[] = {{"loss", 50, x, y, false}, {"eval loss", 50, x, y, true}};
    struct plot_series none[] = {{"loss", 0, x, y, false}};
    struct plot_series wrong[] = {{"loss", 3, x, bad, false}};
    struct plot_series single[] = {{"loss", 1, x, one, false}};
    struct plot_series *sets[] = {all, none, wrong, single};
    for (int k = 0; k < 4; k++)
        for (int columns = 1; columns < 200; columns += 13)
            for (int utf8 = 0; utf8 < 2; utf8++) {
                char *text = drawn(sets[k], k ? 1 : 2, columns, utf8, false);
                assert_true(widest(text) <= (columns < 40 ? 40 : columns));
                assert_null(strstr(text, "nan"));
                for (const char *p = text; !utf8 && *p; p++)
                    assert_true((unsigned char)*p < 128);
                mem_free(text);
            }
    char *text = drawn(all, 2, 80, true, false);
    assert_non_null(strstr(text, "14 not a number"));
    mem_free(text);
    for (int k = 0; k < 4; k++) {
        char *svg = drawn(sets[k], k ? 1 : 2, 0, false, true);
        assert_true(!strncmp(svg, "<svg ", 5) && strstr(svg, "</svg>\n"));
        assert_non_null(strstr(svg, "a &lt; b &amp; &quot;c&quot;"));
        assert_null(strstr(svg, "nan"));
        assert_null(strstr(svg, "inf"));
        mem_free(svg);
    }
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(mem_stats().live_blocks, 0);
    assert_int_equal(file_open_count(), 0);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, no_leak)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_round_trip),  TEST(json_lines),         TEST(broken_log),
        TEST(tensorboard_records), TEST(transformers_state), TEST(early_stopping),
        TEST(best_only),           TEST(contradictions),     TEST(plots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
