/* data_files.c -- splits from lists, patterns, folder and file names, and README.md. */
#include "engine/data/data_files.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"
#include "tests/engine/shared_util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void write_in(const char *folder, const char *path, const char *text)
{
    char full[1400];
    snprintf(full, sizeof full, "%s/%s/%s", temp_folder(), folder, path);
    char *slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(file_make_folder(full), OK);
    *slash = '/';
    assert_int_equal(file_write_all(full, text, strlen(text)), OK);
}

/* "train:a.csv test:b/c.csv", paths below 'base' */
static const char *shown(const struct data_files *d, const char *base)
{
    static char out[2000];
    size_t used = 0, n = strlen(base);
    out[0] = '\0';
    for (int64_t i = 0; i < d->count; i++) {
        const char *path = d->items[i].path;
        path += strncmp(path, base, n) == 0 ? n + (path[n] == '/') : 0;
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%s:%s", i ? " " : "",
                                 d->items[i].split, path);
    }
    return out;
}

/* A folder of these files (blank-separated), and what is found in it. */
static void finds(const char *folder, const char *files, const char *config, const char *wanted)
{
    char base[1400], name[100];
    struct data_files d = {0};
    for (const char *p = files; *p;) {
        size_t n = strcspn(p, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        write_in(folder, name, "a\n1\n");
        p += n + (p[n] == ' ');
    }
    snprintf(base, sizeof base, "%s/%s", temp_folder(), folder);
    if (data_files_find(&d, base, config))
        fail_msg("%s: %s", folder, status_message());
    assert_string_equal(shown(&d, base), wanted);
    data_files_free(&d);
}

static void refuses(const char *folder, const char *config, int code, const char *says)
{
    char base[1400];
    struct data_files d = {0};
    snprintf(base, sizeof base, "%s/%s", temp_folder(), folder);
    assert_int_equal(data_files_find(&d, base, config), code);
    if (!strstr(status_message(), says))
        fail_msg("'%s' lacks '%s'", status_message(), says);
    assert_int_equal(d.count, 0);
}

static void test_folders(void **state)
{
    (void)state;
    finds("plain", "b.csv a.csv", NULL, "train:a.csv train:b.csv");
    finds("names", "test.csv my-train-1.csv dev.csv other.csv", NULL,
          "train:my-train-1.csv validation:dev.csv test:test.csv");
    finds("words", "trained.csv latest.csv contest.csv", NULL,
          "train:contest.csv train:latest.csv train:trained.csv");
    finds("folders", "training/a.csv x/eval2/b.csv c.csv val_1/d/e.csv", NULL,
          "train:training/a.csv validation:val_1/d/e.csv test:x/eval2/b.csv");
    finds("shards",
          "data/train-00000-of-00002.csv data/train-00001-of-00002.csv data/my.own-00000-"
          "of-00001-ab.csv test/x.csv data/odd.csv",
          NULL,
          "train:data/train-00000-of-00002.csv train:data/train-00001-of-00002.csv "
          "my.own:data/my.own-00000-of-00001-ab.csv");
    finds("skipped",
          ".hidden.csv __pycache__/a.csv config.json dataset_infos.json a.csv README.txt LICENSE",
          NULL, "train:a.csv");
    finds("formats", "a.csv b.jsonl c.json d.txt e.txt", NULL, "train:b.jsonl train:c.json");
    finds("packed", "a.json.gz b.csv c.json", NULL, "train:a.json.gz train:c.json");
    write_in("empty", "LICENSE", "x");
    refuses("empty", NULL, ERR_IO, "no data file");
    write_in("columns", "train.parquet", "PAR1");
    refuses("columns", NULL, ERR_ARG, "Parquet files");
    refuses("missing", NULL, ERR_IO, "missing");
    refuses("plain", "en", ERR_ARG, "no README.md");
}

static void test_add(void **state)
{
    (void)state;
    struct data_files d = {0};
    write_in("odd [1]", "a.csv", "a\n1\n");
    write_in("odd [1]", "b.csv", "a\n1\n");
    char base[1400];
    snprintf(base, sizeof base, "%s/odd [1]", temp_folder());
    assert_int_equal(data_files_add(&d, "test", base, "*.csv"), OK);
    assert_int_equal(data_files_add(&d, "extra", NULL, "x.csv"), OK);
    assert_int_equal(data_files_add(&d, "train", base, "a.csv"), OK);
    data_files_sort(&d);
    assert_string_equal(shown(&d, base), "train:a.csv test:a.csv test:b.csv extra:x.csv");
    assert_int_equal(data_files_add(&d, "train", base, "*.json"), ERR_IO);
    assert_non_null(strstr(status_message(), "no file matches"));
    assert_int_equal(data_files_add(&d, "a b", base, "a.csv"), ERR_ARG);
    assert_int_equal(data_files_add(&d, ".a", base, "a.csv"), ERR_ARG);
    assert_int_equal(d.count, 4);
    data_files_free(&d);
}

static const char readme[] = "---\nlicense: mit\nconfigs:\n"
                             "- config_name: en # English\n"
                             "  data_files:\n"
                             "  - split: train\n"
                             "    path: \"en/train-*\"\n"
                             "  - path:\n"
                             "    - en/a.csv\n"
                             "    - 'en/b #1.csv'\n"
                             "    split: test\n"
                             "- config_name: default\n"
                             "  data_dir: all\n"
                             "  data_files: [x.csv, \"y.csv\"]\n"
                             "- config_name: short\n"
                             "  default: false\n"
                             "  data_files:\n"
                             "    - one.csv\n"
                             "    - two.csv\n"
                             "dataset_info:\n- config_name: no\n---\n# Title\nconfigs:\n";

static void test_readme(void **state)
{
    (void)state;
    static const struct {
        const char *config, *wanted;
    } cases[] = {
        {"en", "train:en/train-* test:en/a.csv test:en/b #1.csv"},
        {"default", "train:all/x.csv train:all/y.csv"},
        {NULL, "train:all/x.csv train:all/y.csv"},
        {"short", "train:one.csv train:two.csv"},
    };
    struct data_files d = {0};
    for (int64_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(data_files_from_readme(readme, sizeof readme - 1, cases[i].config, &d),
                         OK);
        assert_string_equal(shown(&d, ""), cases[i].wanted);
        data_files_free(&d);
    }
    assert_int_equal(data_files_from_readme(readme, sizeof readme - 1, "no", &d), ERR_ARG);
    assert_non_null(strstr(status_message(), "there is en, default, short"));
    const char *text = "---\nconfigs:\n- config_name: a\n  data_files: a.csv\n"
                       "- config_name: b\n  data_files: b.csv\n  default: true\n---\n";
    assert_int_equal(data_files_from_readme(text, strlen(text), NULL, &d), OK);
    assert_string_equal(shown(&d, ""), "train:b.csv");
    data_files_free(&d);
    text = "---\nconfigs:\n- config_name: a\n  data_files: a.csv\n"
           "- config_name: b\n  data_files: b.csv\n---\n";
    assert_int_equal(data_files_from_readme(text, strlen(text), NULL, &d), ERR_ARG);
    assert_non_null(strstr(status_message(), "with one of a, b"));
    text = "---\nconfigs:\n- data_files: ../a.csv\n---\n";
    assert_int_equal(data_files_from_readme(text, strlen(text), NULL, &d), ERR_FORMAT);
    text = "# no front matter\nconfigs:\n- data_files: a.csv\n";
    assert_int_equal(data_files_from_readme(text, strlen(text), NULL, &d), OK);
    assert_int_equal(d.count, 0);
    write_in("carded", "README.md",
             "---\nconfigs:\n- config_name: en\n  data_files:\n  - split: "
             "test\n    path: x/*.csv\n---\n");
    finds("carded", "x/1.csv x/2.csv y.csv", NULL, "test:x/1.csv test:x/2.csv");
    finds("carded", "x/1.csv", "en", "test:x/1.csv test:x/2.csv");
    refuses("carded", "de", ERR_ARG, "no configuration 'de'");
}

static int parse(const char *bytes, size_t length)
{
    struct data_files d = {0};
    TRY(data_files_from_readme(bytes, length, NULL, &d));
    data_files_free(&d);
    return OK;
}

static void test_damage(void **state)
{
    (void)state;
    bad_input_sweep(readme, sizeof readme - 1, sizeof readme, 64 * 1024, parse);
}

static int find_all(void *ctx)
{
    struct data_files d = {0};
    int status = data_files_find(&d, ctx, NULL);
    data_files_free(&d);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    char base[1400];
    snprintf(base, sizeof base, "%s/carded", temp_folder());
    memory_sweep(find_all, base);
    snprintf(base, sizeof base, "%s/folders", temp_folder());
    memory_sweep(find_all, base);
    assert_int_equal(file_open_count(), 0);
}

/* Every file call refused once: an error, or the same files; never fewer. */
static void test_faults(void **state)
{
    (void)state;
    static const char *const folders[] = {"carded", "folders", "shards"};
    for (int k = 0; k < 3; k++) {
        char base[1400], wanted[2000];
        struct data_files d = {0};
        snprintf(base, sizeof base, "%s/%s", temp_folder(), folders[k]);
        assert_int_equal(data_files_find(&d, base, NULL), OK);
        snprintf(wanted, sizeof wanted, "%s", shown(&d, base));
        data_files_free(&d);
        int refused = 0;
        for (int64_t n = 1;; n++) {
            file_fail_at(n, EIO);
            int status = data_files_find(&d, base, NULL);
            int64_t seen = file_fail_at(0, 0);
            if (status)
                assert_int_equal(status, ERR_IO);
            else
                assert_string_equal(shown(&d, base), wanted);
            refused += status != OK;
            data_files_free(&d);
            if (seen < n)
                break;
        }
        assert_true(refused > 3);
        assert_int_equal(file_open_count(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),   cmocka_unit_test(test_add),
        cmocka_unit_test(test_readme),    cmocka_unit_test(test_damage),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
