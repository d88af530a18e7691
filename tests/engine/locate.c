/* locate.c -- names of models: paths first, then the hub cache; folders of GGUF files, links to
 * nothing, what is nowhere. */
#include "engine/model/locate.h"
#include "engine/core/file.h"
#include "tests/engine/shared_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COMMIT_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define COMMIT_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define REPOSITORY "hub/models--org--tiny/"

static char root[512];

static void write_in(const char *path, const char *text)
{
    char full[1400], *slash;
    snprintf(full, sizeof full, "%s/%s", root, path);
    slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(file_make_folder(full), OK);
    *slash = '/';
    assert_int_equal(file_write_all(full, text, strlen(text)), OK);
}

static const char *in_root(const char *path)
{
    static char out[1400];
    snprintf(out, sizeof out, "%s/%s", root, path);
    return out;
}

typedef int (*question)(const char *name, const char *revision, char *out, size_t bytes);

static void is(question ask, const char *name, const char *revision, const char *wanted)
{
    char out[LOCATE_BYTES], full[1400];
    snprintf(full, sizeof full, "%s/%s", root, wanted);
    if (ask(name, revision, out, sizeof out))
        fail_msg("%s: %s", name, status_message());
    assert_string_equal(out, full);
}

static void is_not(question ask, const char *name, const char *revision, int wanted,
                   const char *message)
{
    char out[LOCATE_BYTES];
    int status = ask(name, revision, out, sizeof out);
    if (status != wanted || !strstr(status_message(), message))
        fail_msg("%s: status %d, message '%s', wanted '%s'", name, status, status_message(),
                 message);
}

static int begin(void **state)
{
    (void)state;
    char cache[600];
    snprintf(root, sizeof root, "%s/locate", temp_folder());
    snprintf(cache, sizeof cache, "%s/hub", root);
    setenv("HF_HUB_CACHE", cache, 1);
    write_in(REPOSITORY "refs/main", COMMIT_A);
    write_in(REPOSITORY "refs/v2", COMMIT_B "\n");
    write_in(REPOSITORY "snapshots/" COMMIT_A "/config.json", "{}");
    write_in(REPOSITORY "snapshots/" COMMIT_A "/model.safetensors", "x");
    write_in(REPOSITORY "snapshots/" COMMIT_B "/config.json", "{}");
    write_in(REPOSITORY "snapshots/" COMMIT_B "/tiny.gguf", "GGUF");
    write_in("one/model.gguf", "GGUF");
    write_in("one/README.md", "x");
    write_in("two/a.gguf", "GGUF");
    write_in("two/b.gguf", "GGUF");
    write_in("both/a.gguf", "GGUF");
    write_in("both/model.safetensors", "x");
    write_in("both/tokenizer.json", "{}");
    write_in("words/a.gguf", "GGUF");
    write_in("words/vocab.json", "{}");
    return 0;
}

static int end(void **state)
{
    (void)state;
    return file_remove_folder(root);
}

static void paths(void **state)
{
    (void)state;
    char name[1400];
    snprintf(name, sizeof name, "%s", in_root("one/model.gguf"));
    is(locate_model, name, NULL, "one/model.gguf");
    is(locate_model, name, "v2", "one/model.gguf"); /* a path has one version */
    is(locate_any, in_root("one"), NULL, "one");
    is(locate_model, in_root("one"), NULL, "one/model.gguf");
    is(locate_model, in_root("one/"), NULL, "one/model.gguf");
    is(locate_tokenizer, in_root("one"), NULL, "one/model.gguf");
    is(locate_model, in_root("both"), NULL, "both");
    is(locate_tokenizer, in_root("both"), NULL, "both");
    is(locate_model, in_root("words"), NULL, "words/a.gguf");
    is(locate_tokenizer, in_root("words"), NULL, "words");
    is_not(locate_model, in_root("two"), NULL, ERR_FORMAT,
           "holds several GGUF files: a.gguf, b.gguf; hint: give the path of one");
    is(locate_any, in_root("two"), NULL, "two");
}

static void names(void **state)
{
    (void)state;
    is(locate_model, "org/tiny", NULL, REPOSITORY "snapshots/" COMMIT_A);
    is(locate_model, "org/tiny", "main", REPOSITORY "snapshots/" COMMIT_A);
    is(locate_model, "org/tiny@main", NULL, REPOSITORY "snapshots/" COMMIT_A);
    is(locate_model, "org/tiny@main", "main", REPOSITORY "snapshots/" COMMIT_A);
    is(locate_model, "org/tiny", "v2", REPOSITORY "snapshots/" COMMIT_B "/tiny.gguf");
    is(locate_model, "org/tiny@v2", NULL, REPOSITORY "snapshots/" COMMIT_B "/tiny.gguf");
    is(locate_model, "org/tiny", COMMIT_A, REPOSITORY "snapshots/" COMMIT_A);
    is(locate_any, "org/tiny@" COMMIT_B, NULL, REPOSITORY "snapshots/" COMMIT_B);
    is_not(locate_model, "org/tiny@main", "v2", ERR_ARG, "revision = 'v2' another");
    is_not(locate_model, "org/tiny", "../..", ERR_ARG, "no branch, tag or commit");
    is_not(locate_model, "org/tiny@", NULL, ERR_ARG, "no branch, tag or commit");
    is_not(locate_model, "org/tiny", "v3", ERR_IO, "revision 'v3' is not in the hub cache");
}

static void nowhere(void **state)
{
    (void)state;
    char name[1400];
    is_not(locate_model, "org/tinny", NULL, ERR_IO, "did you mean 'org/tiny'?");
    is_not(locate_model, "other/thing", NULL, ERR_IO, "not in the hub cache");
    is_not(locate_model, "", NULL, ERR_ARG, "is empty");
    is_not(locate_model, "../nothing", NULL, ERR_IO, "cannot open '../nothing'");
    is_not(locate_model, "nothing.gguf", NULL, ERR_IO, "cannot open 'nothing.gguf'");
    snprintf(name, sizeof name, "%s", in_root("one/modle.gguf"));
    is_not(locate_model, name, NULL, ERR_IO, "did you mean 'model.gguf'?");
    is_not(locate_model, "Makefil", NULL, ERR_IO, "did you mean 'Makefile'?");
}

static void links_to_nothing(void **state)
{
    (void)state;
    char name[1400];
    write_in("part/config.json", "{}");
    snprintf(name, sizeof name, "%s", in_root("part/model.safetensors"));
    assert_int_equal(symlink("../../blobs/0", name), 0);
    is_not(locate_model, in_root("part"), NULL, ERR_FORMAT,
           "model.safetensors is a link to a file that is not there; hint: the download");
    assert_int_equal(unlink(name), 0);
    snprintf(name, sizeof name, "%s", in_root("part/image.png"));
    assert_int_equal(symlink("../../blobs/1", name), 0);
    is(locate_model, in_root("part"), NULL, "part"); /* not a file that matters */
}

static void short_buffers(void **state)
{
    (void)state;
    char out[8];
    assert_int_equal(locate_any(root, NULL, out, sizeof out), ERR_ARG);
    assert_int_equal(locate_model("org/tiny", NULL, out, sizeof out), ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),         cmocka_unit_test(names),
        cmocka_unit_test(nowhere),       cmocka_unit_test(links_to_nothing),
        cmocka_unit_test(short_buffers),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
