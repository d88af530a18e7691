/* locate.c -- the files behind a name: a path, or what the hub's tools have downloaded. */
#include "engine/model/locate.h"
#include "engine/core/hub_cache.h"
#include "kernels/base/size.h"

#include <stdio.h>
#include <string.h>

static int put(char *out, size_t bytes, const char *folder, const char *name)
{
    size_t n = strlen(folder);
    int used =
        snprintf(out, bytes, "%s%s%s", folder, *name && n && folder[n - 1] != '/' ? "/" : "", name);
    return used >= 0 && (size_t)used < bytes
               ? OK
               : fail(ERR_ARG, "'%.100s...': the path is too long", folder);
}

/* --- names on the hub ------------------------------------------------------------------------- */

/* Opens what is not there, for the file layer's message with near names. */
static int fail_missing(const char *name)
{
    struct file *f;
    int status = file_open(name, &f);
    if (!status)
        file_close(f);
    return status ? status : fail(ERR_IO, "cannot open '%s'", name);
}

/* "owner/name@revision" in its parts; 'revision' may come from beside. */
static int split_name(const char *name, const char **revision, char *out, size_t bytes)
{
    const char *at = strchr(name, '@');
    TRY(put(out, bytes, name, ""));
    if (!at)
        return OK;
    if (*revision && strcmp(*revision, at + 1) != 0)
        return fail(ERR_ARG, "'%s' names a revision, and revision = '%.60s' another", name,
                    *revision);
    out[at - name] = '\0';
    *revision = at + 1;
    return OK;
}

static bool looks_like_file(const char *name)
{
    static const char *const endings[] = {".gguf", ".safetensors", ".json", ".bin"};
    for (int i = 0; i < COUNT_OF(endings); i++)
        if (file_ends_in(name, endings[i]))
            return true;
    return false;
}

static int find_on_hub(const char *name, const char *revision, char *out, size_t bytes)
{
    char repository[LOCATE_BYTES];
    TRY(split_name(name, &revision, repository, sizeof repository));
    if (looks_like_file(repository) || !hub_name_is_valid(repository))
        return fail_missing(name);
    if (!strchr(repository, '/') && fail_missing(name) && strstr(status_message(), "did you mean"))
        return ERR_IO; /* a misspelt file here rather than a name on the hub */
    return hub_cache_find(HUB_MODEL, repository, revision, out, bytes);
}

/* --- folders ---------------------------------------------------------------------------------- */

/* What a folder holds that matters here. */
struct contents {
    int safetensors, gguf, tokenizers;
    char model[512];    /* a GGUF file */
    char list[200];     /* names of the first of them */
    char dangling[512]; /* a link to nothing, of a file that matters */
};

static void note_file(struct contents *c, const char *folder, const char *name)
{
    static const char *const tokenizers[] = {"tokenizer.json", "vocab.json", "tokenizer.model"};
    static const char *const matter[] = {".safetensors", ".gguf",  ".json",
                                         ".model",       ".jinja", ".txt"};
    char path[LOCATE_BYTES];
    bool matters = false;
    for (int i = 0; i < COUNT_OF(matter); i++)
        matters = matters || file_ends_in(name, matter[i]);
    if (!matters || put(path, sizeof path, folder, name))
        return;
    if (!file_exists(path)) {
        snprintf(c->dangling, sizeof c->dangling, "%s", name);
        return;
    }
    c->safetensors += file_ends_in(name, ".safetensors");
    for (int i = 0; i < COUNT_OF(tokenizers); i++)
        c->tokenizers += !strcmp(name, tokenizers[i]);
    if (!file_ends_in(name, ".gguf"))
        return;
    size_t used = strlen(c->list);
    snprintf(c->list + used, sizeof c->list - used, "%s%s", used ? ", " : "", name);
    snprintf(c->model, sizeof c->model, "%s", name);
    c->gguf++;
}

static int look(const char *folder, struct contents *c)
{
    struct file_names names = {0};
    *c = (struct contents){0};
    TRY(file_list(folder, &names));
    for (int64_t i = 0; i < names.count; i++)
        note_file(c, folder, names.items[i]);
    file_names_free(&names);
    if (c->dangling[0])
        return fail(ERR_FORMAT,
                    "'%s': %s is a link to a file that is not there; hint: the download is "
                    "incomplete, get it again",
                    folder, c->dangling);
    return OK;
}

/* The one GGUF file of a folder, at 'out' where the folder stands; other folders stay. */
static int one_gguf(const struct contents *c, char *out, size_t bytes)
{
    char folder[LOCATE_BYTES];
    if (c->gguf == 0)
        return OK;
    if (c->gguf > 1)
        return fail(ERR_FORMAT, "'%s' holds several GGUF files: %s; hint: give the path of one",
                    out, c->list);
    TRY(put(folder, sizeof folder, out, ""));
    return put(out, bytes, folder, c->model);
}

/* --- the three questions ---------------------------------------------------------------------- */

int locate_any(const char *name, const char *revision, char *out, size_t bytes)
{
    if (!*name)
        return fail(ERR_ARG, "the name of a model is empty, wanted a path or a name on the hub");
    return file_exists(name) ? put(out, bytes, name, "") : find_on_hub(name, revision, out, bytes);
}

int locate_model(const char *name, const char *revision, char *out, size_t bytes)
{
    struct contents c;
    TRY(locate_any(name, revision, out, bytes));
    if (!file_is_folder(out))
        return OK;
    TRY(look(out, &c));
    return c.safetensors ? OK : one_gguf(&c, out, bytes);
}

int locate_tokenizer(const char *name, const char *revision, char *out, size_t bytes)
{
    struct contents c;
    TRY(locate_any(name, revision, out, bytes));
    if (!file_is_folder(out))
        return OK;
    TRY(look(out, &c));
    return c.tokenizers ? OK : one_gguf(&c, out, bytes);
}
