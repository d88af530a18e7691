/* checkpoint.c -- writing one, and going on from one. */
#include "engine/train/checkpoint.h"
#include "engine/core/file.h"
#include "engine/train/checkpoint_folder.h"
#include "engine/train/manifest.h"
#include "engine/train/run_state.h"
#include "engine/train/weights.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define STATE_NAME "lorash_state.json"
#define LARGEST_STATE ((size_t)1 << 30)

static int put_text(const char *folder, const char *name, struct buffer *b)
{
    int status = buffer_close(b);
    if (!status)
        status = file_write_in(folder, name, b->bytes, (size_t)b->length);
    buffer_free(b);
    return status;
}

/* lorash_state.json (unless only the model is wanted) and trainer_state.json. */
static int write_state(struct trainer *t, const char *folder)
{
    struct run_state s;
    struct buffer b = {0};
    TRY(run_state_of(t, &s));
    run_state_write_transformers(&b, t, &s);
    int status = put_text(folder, "trainer_state.json", &b);
    if (!status && !t->args->save_only_model) {
        run_state_write(&b, &s);
        status = put_text(folder, STATE_NAME, &b);
    }
    run_state_free(&s);
    return status;
}

int checkpoint_write_log(struct trainer *t)
{
    struct run_state s;
    struct buffer b = {0};
    TRY(file_make_folder(t->args->output_dir));
    TRY(run_state_of(t, &s));
    run_state_write_transformers(&b, t, &s);
    int status = put_text(t->args->output_dir, "trainer_state.json", &b);
    run_state_free(&s);
    return status;
}

static int check_space(const struct trainer *t)
{
    int64_t free_bytes, bytes = weights_bytes(t, !t->args->save_only_model);
    int64_t needed = bytes + bytes / 10 + t->log_count * 1000 + (1 << 16);
    TRY(file_free_bytes(t->args->output_dir, &free_bytes));
    if (needed > free_bytes)
        return fail(ERR_IO,
                    "'%s' needs %" PRId64 " bytes for a checkpoint, %" PRId64
                    " are free; hint: free some space, or save_total_limit",
                    t->args->output_dir, needed, free_bytes);
    return OK;
}

/* What writers of several files may have left when only their own tidying up failed. */
static int remove_scratch(const char *temp)
{
    char path[FILE_PATH];
    TRY(file_join(path, temp, ".saving"));
    return file_remove_folder(path);
}

/* Everything but the name. */
static int write_folder(struct trainer *t, const char *temp, int64_t serial)
{
    TRY(file_remove_folder(temp));
    TRY(file_make_folder(temp));
    TRY(weights_export(t->m, t->tokenizer, t->args, temp));
    if (!t->args->save_only_model)
        TRY(weights_write_state(t, temp));
    TRY(write_state(t, temp));
    TRY(remove_scratch(temp));
    TRY(manifest_write(temp, t->step, serial, t->run));
    return file_sync_folder(temp);
}

int checkpoint_write(struct trainer *t, char **path)
{
    struct checkpoint_names n = {0};
    const char *folder = t->args->output_dir;
    char *best = NULL;
    int64_t serial;
    int status;
    TRY(file_make_folder(folder));
    TRY_OUT(check_space(t));
    TRY_OUT(checkpoint_serial(folder, &serial));
    TRY_OUT(checkpoint_names(folder, t->step, &n));
    if (t->best_step == t->step && !(best = mem_text(n.final, strlen(n.final)))) {
        status = ERR_MEMORY;
        goto out;
    }
    char *best_before = t->best_checkpoint;
    if (best)
        t->best_checkpoint = best; /* its state says so, too */
    status = write_folder(t, n.temp, serial);
    if (!status)
        status = checkpoint_place(&n);
    if (status)
        checkpoint_give_up(n.temp);
    if (best && status)
        t->best_checkpoint = best_before;
    else if (best)
        best = best_before; /* the one to free */
    if (!status) {
        *path = n.final;
        n.final = NULL;
    }
out:
    mem_free(best);
    checkpoint_names_free(&n);
    return status;
}

/* --- going on --------------------------------------------------------------------------------- */

static int read_state(const char *folder, struct run_state *out)
{
    char path[FILE_PATH], *bytes;
    size_t length;
    TRY(file_join(path, folder, STATE_NAME));
    if (!file_exists(path))
        return fail(ERR_ARG,
                    "'%s' has no training state: it was saved with save_only_model = true; hint: "
                    "its weights can be loaded, training cannot go on",
                    folder);
    TRY(file_read(path, LARGEST_STATE, &bytes, &length));
    int status = run_state_parse(bytes, length, out);
    mem_free(bytes);
    return status ? fail_in(status, "'%s'", path) : OK;
}

/* The saved step must be the one of the cursor and of the manifest. */
static int check_cursor(const struct trainer *t, const struct run_state *s, const char *path,
                        const struct manifest *m)
{
    if (m->step != s->step || s->epoch != s->step / t->epoch_steps ||
        s->position != s->step % t->epoch_steps * t->step_examples)
        return fail(ERR_FORMAT,
                    "'%s': step %" PRId64 ", epoch %" PRId64 " and position %" PRId64
                    " do not go together",
                    path, s->step, s->epoch, s->position);
    return OK;
}

/* Takes what cannot fail any more out of 's'. */
static void take_over(struct trainer *t, struct run_state *s, const struct manifest *m, char *path,
                      char *best)
{
    trainer_drop_step(t);
    t->in_eval = t->save_pending = t->stop = t->finished = t->best_loaded = false;
    t->step = s->step;
    t->tokens = s->tokens;
    t->eval_pending = s->eval_pending && t->eval;
    t->sums = s->sums;
    t->last_norm = s->last_norm;
    t->last_rate = s->last_rate;
    t->best_metric = s->best_metric;
    t->best_step = s->best_step;
    t->patience_used = s->patience_used;
    mem_free(t->best_checkpoint);
    t->best_checkpoint = best;
    mem_free(t->logs);
    t->logs = s->logs;
    t->log_count = s->log_count;
    t->log_room = s->log_room;
    s->logs = NULL;
    mem_free(t->saved);
    t->saved = path;
    t->saved_step = s->step;
    t->run = m->run;
    sinks_close(&t->sinks); /* the next entry writes the log as it is now */
}

static int resume(struct trainer *t, const char *path, const struct manifest *m,
                  struct buffer *notes)
{
    struct run_state saved = {0}, here = {0};
    char *kept = NULL, *best = NULL;
    int status;
    TRY_OUT(read_state(path, &saved));
    TRY_OUT(run_state_of(t, &here));
    if ((status = run_state_compare(&saved, &here, notes))) {
        fail_in(status, "'%s'", path);
        goto out;
    }
    TRY_OUT(check_cursor(t, &saved, path, m));
    if (!(kept = mem_text(path, strlen(path)))) {
        status = ERR_MEMORY;
        goto out;
    }
    if (saved.best_checkpoint)
        TRY_OUT(checkpoint_beside(path, saved.best_checkpoint, &best));
    TRY_OUT(weights_load(t, path, true));
    take_over(t, &saved, m, kept, best);
    kept = best = NULL;
out:
    mem_free(kept);
    mem_free(best);
    run_state_free(&saved);
    run_state_free(&here);
    return status;
}

int checkpoint_resume(struct trainer *t, const char *path, struct buffer *notes)
{
    struct manifest m = {0};
    if (!file_is_folder(path))
        return fail(ERR_ARG,
                    "resume_from_checkpoint: there is no folder '%s'; hint: true takes the newest "
                    "of output_dir",
                    path);
    TRY(manifest_read(path, &m));
    int status = manifest_check(path, &m);
    if (!status)
        status = resume(t, path, &m, notes);
    manifest_free(&m);
    return status;
}

int checkpoint_load_weights(struct trainer *t, const char *path)
{
    struct manifest m = {0};
    TRY(manifest_read(path, &m));
    int status = manifest_check(path, &m);
    if (!status)
        status = weights_load(t, path, false);
    manifest_free(&m);
    return status;
}
