/* folder_save.c -- staging and exchange; folder_save.h says what is promised. */
#include "engine/core/folder_save.h"
#include "engine/core/file.h"
#include "kernels/base/mem.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* The places of one file: all paths are made before anything is moved, so that putting files back
 * needs no memory. */
struct move {
    char *target, *stage, *old;
    bool retire; /* there is no new one */
    bool there;  /* there is an old one */
};

struct folder_save {
    char *target, *stage, *old, *scratch; /* scratch: the path handed out last */
    bool exists;                          /* the target did, at the beginning */
    struct move *moves;
    int64_t count, room;
};

static char *joined(const char *folder, const char *name)
{
    size_t n = strlen(folder), k = strlen(name);
    char *out = mem_alloc(n + k + 2);
    if (out) {
        memcpy(out, folder, n);
        out[n] = '/';
        memcpy(out + n + 1, name, k + 1);
    }
    return out;
}

static void save_free(struct folder_save *s)
{
    for (int64_t i = 0; i < s->count; i++) {
        mem_free(s->moves[i].target);
        mem_free(s->moves[i].stage);
        mem_free(s->moves[i].old);
    }
    mem_free(s->moves);
    mem_free(s->old);
    mem_free(s->target);
    mem_free(s->stage);
    mem_free(s->scratch);
    mem_free(s);
}

/* A save that was killed between its renames: the old files go back to where they were. */
static int recover(const struct folder_save *s)
{
    struct file_names names = {0};
    int status = s->exists && file_is_folder(s->old) ? file_list(s->old, &names) : OK;
    for (int64_t i = 0; i < names.count && !status; i++) {
        char *old = joined(s->old, names.items[i]), *target = joined(s->target, names.items[i]);
        status = old && target ? OK : ERR_MEMORY;
        if (!status && file_exists(target))
            status = file_remove(target);
        if (!status)
            status = file_rename(old, target);
        mem_free(old);
        mem_free(target);
    }
    file_names_free(&names);
    return status;
}

/* A message that does not name the folder gets its name. */
static int named(const struct folder_save *s, int status)
{
    if (status && s->target && !strstr(status_message(), s->target))
        return fail_in(status, "%s", s->target);
    return status;
}

int folder_save_begin(const char *folder, struct folder_save **out)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/')
        n--;
    if (!n)
        return fail(ERR_ARG, "a folder to save into has no name");
    struct folder_save *s = mem_calloc(1, sizeof *s);
    if (!s)
        return ERR_MEMORY;
    s->target = mem_text(folder, n);
    int status = s->target ? OK : ERR_MEMORY;
    if (!status)
        s->exists = file_is_folder(s->target);
    if (!status && !s->exists && file_exists(s->target))
        status = fail(ERR_ARG, "%s is a file; hint: name a folder to save into", s->target);
    if (!status && s->exists) {
        s->stage = joined(s->target, ".saving");
    } else if (!status && (s->stage = mem_alloc(n + sizeof ".saving"))) {
        memcpy(s->stage, s->target, n);
        memcpy(s->stage + n, ".saving", sizeof ".saving");
    }
    if (!status && (!s->stage || !(s->old = joined(s->stage, "old"))))
        status = ERR_MEMORY;
    if (!status)
        status = named(s, recover(s));
    if (!status)
        status = named(s, file_remove_folder(s->stage));
    if (!status)
        status = named(s, file_make_folder(s->stage));
    if (status)
        save_free(s);
    else
        *out = s;
    return status;
}

int folder_save_path(struct folder_save *s, const char *name, const char **out)
{
    if (!file_is_plain_name(name))
        return fail(ERR_INTERNAL, "'%s' is no plain name of a file", name);
    mem_free(s->scratch);
    s->scratch = joined(s->stage, name);
    *out = s->scratch;
    return s->scratch ? OK : ERR_MEMORY;
}

static struct move *find_move(struct folder_save *s, const char *name)
{
    size_t lead = strlen(s->target) + 1;
    for (int64_t i = 0; i < s->count; i++)
        if (!strcmp(s->moves[i].target + lead, name))
            return &s->moves[i];
    return NULL;
}

static int add_move(struct folder_save *s, const char *name, bool retire)
{
    struct move *known = find_move(s, name);
    if (known) {
        known->retire &= retire;
        return OK;
    }
    TRY(mem_grow((void **)&s->moves, &s->room, s->count + 1, sizeof *s->moves));
    struct move *m = &s->moves[s->count++];
    *m = (struct move){.target = joined(s->target, name),
                       .stage = joined(s->stage, name),
                       .old = joined(s->old, name),
                       .retire = retire};
    if (m->target && m->stage && m->old)
        return OK;
    mem_free(m->target);
    mem_free(m->stage);
    mem_free(m->old);
    s->count--;
    return ERR_MEMORY;
}

int folder_save_retire(struct folder_save *s, const char *pattern)
{
    struct file_names names = {0};
    int status = s->exists ? file_list(s->target, &names) : OK;
    for (int64_t i = 0; i < names.count && !status; i++)
        if (!fnmatch(pattern, names.items[i], FNM_PERIOD))
            status = add_move(s, names.items[i], true);
    file_names_free(&names);
    return status;
}

static int exchange_one(const struct move *m)
{
    if (m->there)
        TRY(file_rename(m->target, m->old));
    return m->retire ? OK : file_rename(m->stage, m->target);
}

/* Looks at what is where, since a rename that is done can still fail when its folder is synced.
 * Keeps the message of what failed first. False: something could not be put back. */
static bool put_back(struct folder_save *s)
{
    char first[512];
    int code = status_code();
    bool done = true;
    snprintf(first, sizeof first, "%s", status_message());
    for (int64_t i = s->count; i-- > 0;) {
        const struct move *m = &s->moves[i];
        if (!m->retire && !file_exists(m->stage))
            (void)!file_rename(m->target, m->stage);
        if (file_exists(m->old))
            (void)!file_rename(m->old, m->target);
        done &= !file_exists(m->old);
    }
    if (done)
        fail(code, "%s", first);
    else
        fail(code, "%s; hint: old files are in %s", first, s->old);
    return done;
}

/* Every file that was written becomes a move, and each move knows whether there is an old file:
 * from one list, since asking for each could be answered wrongly. */
static int plan_moves(struct folder_save *s)
{
    struct file_names new = {0}, old = {0};
    struct move *m;
    int status = file_list(s->stage, &new);
    for (int64_t i = 0; i < new.count && !status; i++)
        status = add_move(s, new.items[i], false);
    if (!status)
        status = file_list(s->target, &old);
    for (int64_t i = 0; i < old.count && !status; i++)
        if ((m = find_move(s, old.items[i])))
            m->there = true;
    file_names_free(&new);
    file_names_free(&old);
    return status;
}

static int exchange(struct folder_save *s, bool *keep)
{
    int status = plan_moves(s);
    if (!status)
        status = file_make_folder(s->old);
    for (int64_t i = 0; i < s->count && !status; i++)
        if ((status = exchange_one(&s->moves[i])))
            *keep = !put_back(s);
    return status;
}

/* Removes the stage; the message of an earlier failure stays. */
static void clear(struct folder_save *s)
{
    int code = status_code();
    char text[512];
    snprintf(text, sizeof text, "%s", status_message());
    if (file_remove_folder(s->stage) && code)
        fail(code, "%s", text);
}

int folder_save_commit(struct folder_save *s)
{
    bool keep = false;
    int status = s->exists ? exchange(s, &keep) : file_rename(s->stage, s->target);
    if (status && !s->exists && !file_exists(s->stage)) { /* renamed, and then not synced */
        int code = status_code();
        char text[512];
        snprintf(text, sizeof text, "%s", status_message());
        (void)!file_rename(s->target, s->stage);
        fail(code, "%s", text);
    }
    status = named(s, status);
    if ((status || s->exists) && !keep)
        clear(s);
    save_free(s);
    return status;
}

void folder_save_abandon(struct folder_save *s)
{
    if (!s)
        return;
    clear(s);
    save_free(s);
}
