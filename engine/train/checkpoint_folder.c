/* checkpoint_folder.c -- which checkpoints a folder holds, and in what order they were written. */
#include "engine/train/checkpoint_folder.h"
#include "engine/core/file.h"
#include "engine/train/checkpoint.h"
#include "engine/train/manifest.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "checkpoint-"

static int printed(char **out, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int printed(char **out, const char *fmt, ...)
{
    char text[4200];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof text)
        return fail(ERR_ARG, "the path '%.60s...' is too long", text);
    *out = mem_text(text, (size_t)n);
    return *out ? OK : ERR_MEMORY;
}

int checkpoint_names(const char *folder, int64_t step, struct checkpoint_names *out)
{
    int status = printed(&out->final, "%s/" PREFIX "%" PRId64, folder, step);
    if (!status)
        status = printed(&out->temp, "%s.tmp", out->final);
    if (!status)
        status = printed(&out->old, "%s.old.tmp", out->final);
    return status;
}

void checkpoint_names_free(struct checkpoint_names *n)
{
    mem_free(n->final);
    mem_free(n->temp);
    mem_free(n->old);
    *n = (struct checkpoint_names){0};
}

/* The step of "checkpoint-<step><tail>", -1 for another name. */
static int64_t step_of(const char *name, const char *tail)
{
    size_t n = sizeof PREFIX - 1;
    if (strncmp(name, PREFIX, n) || name[n] < '0' || name[n] > '9')
        return -1;
    size_t digits = strspn(name + n, "0123456789");
    return digits < 18 && !strcmp(name + n + digits, tail) ? strtoll(name + n, NULL, 10) : -1;
}

/* --- the list, newest first ------------------------------------------------------------------- */

struct found {
    char *path; /* owned */
    int64_t step, serial;
    uint64_t run;
    bool whole;     /* it has a manifest */
    bool resumable; /* which lists the training state */
};

struct list {
    struct found *items;
    int64_t count, room;
};

static void list_free(struct list *l)
{
    for (int64_t i = 0; i < l->count; i++)
        mem_free(l->items[i].path);
    mem_free(l->items);
}

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->whole != y->whole)
        return x->whole ? -1 : 1;
    if (x->serial != y->serial)
        return x->serial > y->serial ? -1 : 1;
    return x->step > y->step ? -1 : x->step < y->step;
}

static int list_add(struct list *l, const char *folder, const char *name, int64_t step)
{
    struct manifest m = {0};
    TRY(mem_grow((void **)&l->items, &l->room, l->count + 1, sizeof *l->items));
    struct found *f = &l->items[l->count];
    *f = (struct found){.step = step, .serial = -1};
    TRY(printed(&f->path, "%s/%s", folder, name));
    l->count++;
    int status = manifest_read(f->path, &m);
    if (status == ERR_MEMORY || status == ERR_IO)
        return status;
    if (status) /* not whole, or no longer */
        return OK;
    f->whole = true;
    f->serial = m.serial;
    f->run = m.run;
    for (int64_t i = 0; i < m.count; i++)
        f->resumable = f->resumable || !strcmp(m.files[i].name, "lorash_state.json");
    manifest_free(&m);
    return OK;
}

static int list_read(const char *folder, struct list *l)
{
    struct file_names names = {0};
    int status = OK;
    if (!file_is_folder(folder))
        return OK;
    TRY_OUT(file_list(folder, &names));
    for (int64_t i = 0; i < names.count; i++) {
        int64_t step = step_of(names.items[i], "");
        if (step >= 0)
            TRY_OUT(list_add(l, folder, names.items[i], step));
    }
    if (l->count)
        qsort(l->items, (size_t)l->count, sizeof *l->items, newest_first);
out:
    file_names_free(&names);
    return status;
}

int checkpoint_serial(const char *folder, int64_t *out)
{
    struct list l = {0};
    int status = list_read(folder, &l);
    *out = l.count && l.items[0].whole ? l.items[0].serial + 1 : 1;
    list_free(&l);
    return status;
}

int checkpoint_count(const char *folder, int64_t *count, int64_t *highest)
{
    struct list l = {0};
    int status = list_read(folder, &l);
    *count = l.count;
    *highest = -1;
    for (int64_t i = 0; i < l.count; i++)
        if (l.items[i].step > *highest)
            *highest = l.items[i].step;
    list_free(&l);
    return status;
}

/* Does everything that the manifest lists stand there, undamaged? */
static int prove(const char *path)
{
    struct manifest m = {0};
    TRY(manifest_read(path, &m));
    int status = manifest_check(path, &m);
    manifest_free(&m);
    return status;
}

int checkpoint_newest(const char *folder, char **path, struct buffer *notes)
{
    struct list l = {0};
    int status;
    *path = NULL;
    TRY_OUT(list_read(folder, &l));
    for (int64_t i = 0; i < l.count && !*path; i++) {
        struct found *f = &l.items[i];
        status = prove(f->path);
        if (status == ERR_MEMORY)
            goto out;
        if (status) {
            buffer_printf(notes, "note: skipped: %s\n", status_message());
        } else if (!f->resumable) {
            buffer_printf(notes, "note: skipped: '%s' was saved with save_only_model = true\n",
                          f->path);
        } else {
            *path = f->path;
            f->path = NULL;
        }
    }
    status = *path ? OK
                   : fail(ERR_ARG,
                          "resume_from_checkpoint: '%s' has no checkpoint to go on from; hint: "
                          "without resume_from_checkpoint a new run begins",
                          folder);
out:
    list_free(&l);
    return status;
}

/* --- renaming and removing -------------------------------------------------------------------- */

void checkpoint_give_up(const char *temp)
{
    char kept[2048];
    int code = status_code();
    snprintf(kept, sizeof kept, "%s", status_message());
    if (file_remove_folder(temp))
        fail(code, "%s (and '%s' could not be removed)", kept, temp);
    else
        fail(code, "%s", kept);
}

int checkpoint_place(const struct checkpoint_names *n)
{
    if (!file_exists(n->final))
        return file_rename(n->temp, n->final);
    TRY(file_remove_folder(n->old));
    TRY(file_rename(n->final, n->old));
    int status = file_rename(n->temp, n->final);
    if (status) {
        char kept[2048];
        snprintf(kept, sizeof kept, "%s", status_message());
        (void)!file_rename(n->old, n->final); /* when this fails too, cleaning does it later */
        return fail(status, "%s", kept);
    }
    return file_remove_folder(n->old);
}

/* Out of sight first, so that a crash while it is emptied leaves no damaged checkpoint. */
static int retire_one(const char *path)
{
    char *old;
    TRY(printed(&old, "%s.old.tmp", path));
    int status = file_remove_folder(old);
    if (!status)
        status = file_rename(path, old);
    if (!status)
        status = file_remove_folder(old);
    mem_free(old);
    return status;
}

int checkpoint_retire(const char *folder, uint64_t run, int64_t limit, const char *best)
{
    struct list l = {0};
    int64_t kept = 0;
    int status = OK;
    if (limit <= 0)
        return OK;
    TRY_OUT(list_read(folder, &l));
    bool with_best = false; /* the best one takes a place, unless it is the only place */
    for (int64_t i = 0; i < l.count; i++)
        with_best = with_best || (best && !strcmp(l.items[i].path, best));
    for (int64_t i = 0; i < l.count; i++) {
        const struct found *f = &l.items[i];
        bool is_best = best && !strcmp(f->path, best);
        if (!f->whole || f->run != run || is_best)
            continue;
        if (kept == 0 || kept + (with_best && limit > 1) < limit)
            kept++;
        else
            TRY_OUT(retire_one(f->path));
    }
out:
    list_free(&l);
    return status;
}

int checkpoint_beside(const char *path, const char *name, char **out)
{
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash - path) : 1;
    *out = NULL;
    if (!file_is_plain_name(name))
        return fail(ERR_FORMAT, "'%s': '%.60s' is not a plain folder name", path, name);
    TRY(printed(out, "%.*s/%s", n, slash ? path : ".", name));
    if (!file_is_folder(*out)) {
        mem_free(*out);
        *out = NULL;
    }
    return OK;
}

/* --- after a killed run ----------------------------------------------------------------------- */

/* Puts 'path' in its place when that is empty and it is whole; else removes it. */
static int settle(const char *path, const char *final, struct buffer *notes)
{
    int status = file_exists(final) ? ERR_FORMAT : prove(path);
    if (status == ERR_MEMORY || status == ERR_IO)
        return status;
    if (!status) {
        TRY(file_rename(path, final));
        buffer_printf(notes, "note: '%s' was complete but for its name, which it has now\n", final);
        return OK;
    }
    TRY(file_remove_folder(path));
    buffer_printf(notes, "note: '%s', which a killed run left half done, was removed\n", path);
    return OK;
}

/* 'tail' ".tmp" or ".old.tmp" of every checkpoint. */
static int settle_all(const char *folder, const struct file_names *names, const char *tail,
                      struct buffer *notes)
{
    for (int64_t i = 0; i < names->count; i++) {
        char *path = NULL, *final = NULL;
        int64_t step = step_of(names->items[i], tail);
        if (step < 0)
            continue;
        int status = printed(&path, "%s/%s", folder, names->items[i]);
        if (!status)
            status = printed(&final, "%s/" PREFIX "%" PRId64, folder, step);
        if (!status)
            status = settle(path, final, notes);
        mem_free(path);
        mem_free(final);
        if (status)
            return status;
    }
    return OK;
}

/* Files that were being replaced: "log.jsonl.<pid>-<n>.tmp". */
static int remove_temps(const char *folder, const struct file_names *names)
{
    static const char *const bases[] = {"log.jsonl.", "trainer_state.json."};
    for (int64_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        size_t n = strlen(name);
        for (int b = 0; b < 2; b++) {
            char *path;
            if (strncmp(name, bases[b], strlen(bases[b])) || strcmp(name + n - 4, ".tmp"))
                continue;
            TRY(printed(&path, "%s/%s", folder, name));
            int status = file_remove(path);
            mem_free(path);
            if (status)
                return status;
        }
    }
    return OK;
}

int checkpoint_clean(const char *folder, struct buffer *notes)
{
    struct file_names names = {0};
    int status;
    if (!file_is_folder(folder))
        return OK;
    TRY_OUT(file_list(folder, &names));
    TRY_OUT(settle_all(folder, &names, ".tmp", notes));
    TRY_OUT(settle_all(folder, &names, ".old.tmp", notes));
    status = remove_temps(folder, &names);
out:
    file_names_free(&names);
    return status;
}
