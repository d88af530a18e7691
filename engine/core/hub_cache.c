/* hub_cache.c -- downloads of the hub's tools, found offline. */
#include "engine/core/hub_cache.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 96
#define COMMIT 40

static const char *const prefixes[] = {[HUB_MODEL] = "models--", [HUB_DATASET] = "datasets--"};
static const char *const nouns[] = {[HUB_MODEL] = "model", [HUB_DATASET] = "data set"};

static bool is_end(char c)
{
    return c == '-' || c == '.';
}

static bool part_is_valid(const char *p, size_t n)
{
    if (n == 0 || is_end(p[0]) || is_end(p[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)p[i]) && !strchr("-_.", p[i]))
            return false;
        if (i && is_end(p[i]) && p[i] == p[i - 1])
            return false;
    }
    return true;
}

bool hub_name_is_valid(const char *name)
{
    size_t n = strlen(name), owner = strcspn(name, "/");
    if (n > NAME_MAX_BYTES || !part_is_valid(name, owner))
        return false;
    return owner == n || part_is_valid(name + owner + 1, n - owner - 1);
}

/* --- the cache's folder ----------------------------------------------------------------------- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* Copies 'text' with a leading ~ and $NAME or ${NAME} replaced; an unknown variable stays. */
static int expand(const char *text, char *out, size_t bytes)
{
    size_t used = 0;
    for (const char *p = text; *p;) {
        char name[64];
        const char *put = p, *next = p + 1;
        size_t n = 1;
        if (*p == '~' && p == text && (p[1] == '/' || !p[1]) && variable("HOME")) {
            put = variable("HOME");
            n = strlen(put);
        } else if (*p == '$') {
            bool brace = p[1] == '{';
            const char *start = p + 1 + brace;
            size_t k = 0;
            while (isalnum((unsigned char)start[k]) || start[k] == '_')
                k++;
            snprintf(name, sizeof name, "%.*s", (int)(k < sizeof name ? k : 0), start);
            const char *value = k && (!brace || start[k] == '}') ? getenv(name) : NULL;
            if (value) {
                put = value;
                n = strlen(value);
                next = start + k + brace;
            }
        }
        if (used + n >= bytes)
            return fail(ERR_ARG, "the path of the hub cache is over %zu bytes long", bytes);
        memcpy(out + used, put, n);
        used += n;
        p = next;
    }
    out[used] = '\0';
    return OK;
}

int hub_cache_root(char *out, size_t bytes)
{
    static const struct {
        const char *variable, *below;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HUGGINGFACE_HUB_CACHE", ""},
                  {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"}};
    char text[4096];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = variable(places[i].variable);
        if (!value)
            continue;
        if (snprintf(text, sizeof text, "%s%s", value, places[i].below) >= (int)sizeof text)
            return fail(ERR_ARG, "%s is too long", places[i].variable);
        return expand(text, out, bytes);
    }
    return expand("~/.cache/huggingface/hub", out, bytes);
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* PRINTF-like into 'out', or ERR_ARG when it does not fit. */
static int put_path(char *out, size_t bytes, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int put_path(char *out, size_t bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(out, bytes, fmt, args);
    va_end(args);
    return n >= 0 && (size_t)n < bytes ? OK : fail(ERR_ARG, "a path of the hub cache is too long");
}

static bool is_commit(const char *text)
{
    return strlen(text) == COMMIT && strspn(text, "0123456789abcdef") == COMMIT;
}

/* Slashes are fine, parts that climb are not. */
static bool revision_is_valid(const char *revision)
{
    return *revision && *revision != '/' && strlen(revision) < 200 && !strstr(revision, "..") &&
           !strchr(revision, '\\');
}

/* The commit that refs/<revision> of the repository folder names. */
static int read_ref(const char *repository, const char *revision, char commit[COMMIT + 1])
{
    char path[4096], *bytes;
    size_t length;
    TRY(put_path(path, sizeof path, "%s/refs/%s", repository, revision));
    if (!file_exists(path))
        return ERR_IO; /* the caller says it better */
    TRY(file_read(path, 1000, &bytes, &length));
    while (length && isspace((unsigned char)bytes[length - 1]))
        length--;
    snprintf(commit, COMMIT + 1, "%.*s", (int)(length <= COMMIT ? length : 0), bytes);
    mem_free(bytes);
    if (!is_commit(commit))
        return fail(ERR_FORMAT, "%s: expected a commit of 40 hexadecimal digits", path);
    return OK;
}

/* Without a revision asked for and no main: the only snapshot, if there is just one. */
static int only_snapshot(const char *repository, char commit[COMMIT + 1])
{
    char path[4096];
    struct file_names names = {0};
    TRY(put_path(path, sizeof path, "%s/snapshots", repository));
    if (!file_is_folder(path))
        return ERR_IO;
    TRY(file_list(path, &names));
    int status = names.count == 1 && is_commit(names.items[0]) ? OK : ERR_IO;
    if (!status)
        snprintf(commit, COMMIT + 1, "%s", names.items[0]);
    file_names_free(&names);
    return status;
}

static int no_revision(const char *repository, const char *name, const char *revision)
{
    char path[4096], list[300] = "";
    struct file_names names = {0};
    size_t used = 0;
    TRY(put_path(path, sizeof path, "%s/refs", repository));
    if (file_is_folder(path))
        TRY(file_list(path, &names));
    for (int64_t i = 0; i < names.count && used + 80 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.60s", i ? ", " : "",
                                 names.items[i]);
    file_names_free(&names);
    return fail(ERR_IO, "%s: revision '%.60s' is not in the hub cache; hint: there is %s", name,
                revision, used ? list : "none");
}

static int not_cached(enum hub_kind kind, const char *name, const char *root)
{
    char hint[200];
    struct file_names names;
    struct suggest near = {.wanted = name};
    TRY(hub_cache_list(kind, &names));
    for (int64_t i = 0; i < names.count; i++)
        suggest_try(&near, names.items[i]);
    suggest_hint(&near, hint, sizeof hint);
    file_names_free(&names);
    return fail(
        ERR_IO,
        "%s '%s' is no path here and not in the hub cache %s, and nothing is downloaded%s%s",
        nouns[kind], name, root,
        hint[0] ? "" : "; hint: get it with the hub's own tool: hf download ",
        hint[0]               ? hint
        : kind == HUB_DATASET ? "--repo-type dataset NAME"
                              : "NAME");
}

int hub_cache_find(enum hub_kind kind, const char *name, const char *revision, char *out,
                   size_t bytes)
{
    char root[4096], repository[4096], commit[COMMIT + 1] = "";
    size_t owner = strcspn(name, "/");
    const char *wanted = revision ? revision : "main";
    if (!hub_name_is_valid(name))
        return fail(ERR_ARG, "'%.100s' is no name of a %s, wanted \"name\" or \"owner/name\"", name,
                    nouns[kind]);
    if (!revision_is_valid(wanted))
        return fail(ERR_ARG, "revision '%.60s' is no branch, tag or commit", wanted);
    TRY(hub_cache_root(root, sizeof root));
    TRY(put_path(repository, sizeof repository, "%s/%s%.*s%s%s", root, prefixes[kind], (int)owner,
                 name, name[owner] ? "--" : "", name[owner] ? name + owner + 1 : ""));
    if (!file_is_folder(repository))
        return not_cached(kind, name, root);
    int status = OK;
    if (is_commit(wanted))
        snprintf(commit, sizeof commit, "%s", wanted);
    else
        status = read_ref(repository, wanted, commit);
    if (status == ERR_IO && !revision)
        status = only_snapshot(repository, commit);
    if (status && status != ERR_IO)
        return status;
    char found[4096];
    TRY(put_path(found, sizeof found, "%s/snapshots/%s", repository, commit));
    if (status || !file_is_folder(found))
        return no_revision(repository, name, wanted);
    return put_path(out, bytes, "%s", found);
}

/* --- what is there ---------------------------------------------------------------------------- */

/* "models--org--name" as "org/name" in place; false for another kind of folder. */
static bool to_name(enum hub_kind kind, char *folder)
{
    size_t n = strlen(prefixes[kind]);
    if (strncmp(folder, prefixes[kind], n) != 0)
        return false;
    memmove(folder, folder + n, strlen(folder + n) + 1);
    char *dashes = strstr(folder, "--");
    if (dashes) {
        *dashes = '/';
        memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
    }
    return hub_name_is_valid(folder);
}

int hub_cache_list(enum hub_kind kind, struct file_names *out)
{
    char root[4096];
    int64_t kept = 0;
    *out = (struct file_names){0};
    TRY(hub_cache_root(root, sizeof root));
    if (!file_is_folder(root))
        return OK;
    TRY(file_list(root, out));
    for (int64_t i = 0; i < out->count; i++) {
        if (to_name(kind, out->items[i]))
            out->items[kept++] = out->items[i];
        else
            mem_free(out->items[i]);
    }
    out->count = kept;
    return OK;
}
