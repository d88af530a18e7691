/* trainer_save.c -- trainer:save_model, trainer:save_state, going on from checkpoints, and the
 * checkpoint that is written when the program is about to end. */
#include "engine/core/file.h"
#include "engine/train/checkpoint.h"
#include "engine/train/run_state.h"
#include "engine/train/weights.h"
#include "kernels/base/mem.h"
#include "lua/hold.h"
#include "lua/tokenizer.h"
#include "lua/trainer.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* --- saving ------------------------------------------------------------------------------------- */

static void size_text(int64_t bytes, char out[32])
{
    if (bytes >= 1 << 20)
        snprintf(out, 32, "%.1f MiB", (double)bytes / 0x1p20);
    else
        snprintf(out, 32, "%.1f KiB", (double)bytes / 0x1p10);
}

/* "adapter_model.safetensors 160.0 MiB · adapter_config.json · in folder" */
static void note_files(lua_State *L, const char *folder)
{
    char path[FILE_PATH];
    struct buffer *line = hold_buffer(L);
    struct file_names names = {0};
    const char *dot = bind_terminal.utf8 ? " · " : " | ";
    if (file_list(folder, &names))
        return;
    for (int64_t i = 0; i < names.count; i++) {
        struct file *f;
        char size[32] = "";
        if (file_ends_in(names.items[i], ".safetensors") &&
            !file_join(path, folder, names.items[i]) && !file_open(path, &f)) {
            size_text(file_size(f), size);
            file_close(f);
        }
        buffer_printf(line, "%s%s%s%s", i ? dot : "", names.items[i], *size ? " " : "", size);
    }
    file_names_free(&names);
    if (!buffer_close(line))
        bind_note(L, "%s: %s", folder, line->bytes);
}

int trainer_save_model(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    const char *folder = luaL_optstring(L, 2, o->args.output_dir);
    trainer_stored(L, 1, "processing_class");
    struct tokenizer *t = lua_tokenizer_arg(L, -1);
    bind_check(L, weights_export(o->model, t, &o->args, folder));
    note_files(L, folder);
    return 0;
}

/* trainer_state.json alone, in output_dir. */
int trainer_save_state(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    bind_check(L, checkpoint_write_log(o->trainer));
    return 0;
}

/* --- going on ----------------------------------------------------------------------------------- */

/* The lines of a buffer as notes; it is empty then. */
static void print_lines(lua_State *L, struct buffer *b)
{
    if (!buffer_close(b) && b->length)
        for (char *line = b->bytes, *end; *line; line = end + 1) {
            end = strchr(line, '\n');
            *end = '\0';
            bind_note(L, "%s", line);
        }
    b->length = 0;
}

/* Tells of checkpoints that the run would write over or that lie beside its own. */
static void note_others(lua_State *L, const struct trainer_object *o)
{
    int64_t count, highest;
    if (o->args.overwrite_output_dir || !strcmp(o->args.save_strategy, "no"))
        return;
    bind_check(L, checkpoint_count(o->args.output_dir, &count, &highest));
    if (count)
        bind_note(L,
                  "note: %s holds %" PRId64 " checkpoint%s of an earlier run, up to step %" PRId64
                  "; those of the same step are replaced · resume_from_checkpoint = true goes on "
                  "from there",
                  o->args.output_dir, count, count == 1 ? "" : "s", highest);
}

struct path_box {
    char *path; /* owned */
};

static int path_gc(lua_State *L)
{
    struct path_box *b = lua_touserdata(L, 1);
    mem_free(b->path);
    b->path = NULL;
    return 0;
}

static struct path_box *hold_path(lua_State *L)
{
    struct path_box *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->path = NULL;
    if (luaL_newmetatable(L, "lorash.path")) {
        lua_pushcfunction(L, path_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return b;
}

void trainer_begin(lua_State *L, struct trainer_object *o, const char *resume)
{
    struct buffer *notes = hold_buffer(L);
    struct path_box *newest = hold_path(L);
    if (!o->begun) {
        bind_check(L, checkpoint_clean(o->args.output_dir, notes));
        print_lines(L, notes);
    }
    if (resume && !strcmp(resume, "auto")) { /* a first start has nothing to go on from */
        int64_t count, highest;
        bind_check(L, checkpoint_count(o->args.output_dir, &count, &highest));
        resume = count ? "true" : NULL;
    }
    if (resume && !strcmp(resume, "true")) {
        int status = checkpoint_newest(o->args.output_dir, &newest->path, notes);
        char kept[1200];
        snprintf(kept, sizeof kept, "%s", status_message());
        print_lines(L, notes);
        if (status)
            bind_error(L, "%s", kept);
        resume = newest->path;
    }
    if (resume) {
        bind_check(L, checkpoint_resume(o->trainer, resume, notes));
        print_lines(L, notes);
        bind_note(L, "resumed from %s: step %" PRId64 " of %" PRId64, resume,
                  trainer_step(o->trainer), trainer_total_steps(o->trainer));
    } else if (!o->begun && trainer_step(o->trainer) == 0) {
        note_others(L, o);
    }
    o->begun = true;
    lua_pop(L, 2);
}

/* --- before the program ends -------------------------------------------------------------------- */

/* A word of a command line, quoted when a shell would take it apart. */
static void add_word(struct buffer *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./=:,+@%";
    buffer_text(b, b->length ? " " : "");
    if (*word && strspn(word, plain) == strlen(word)) {
        buffer_text(b, word);
        return;
    }
    buffer_text(b, "'");
    for (; *word; word++)
        if (*word == '\'')
            buffer_text(b, "'\\''");
        else
            buffer_add(b, word, 1);
    buffer_text(b, "'");
}

/* The command that ran this recipe, with the checkpoint to go on from; false when there is no
 * recipe that would look at it. */
static bool command_line(lua_State *L, struct buffer *b, const char *path)
{
    int top = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "lorash.cli");
    bool asked = lua_toboolean(L, -1); /* the recipe calls cli(), which reads the option */
    lua_pushglobaltable(L);
    lua_pushliteral(L, "arg");
    if (!asked || lua_rawget(L, -2) != LUA_TTABLE || lua_rawgeti(L, -1, 0) != LUA_TSTRING) {
        lua_settop(L, top);
        return false;
    }
    add_word(b, "lorash");
    add_word(b, lua_tostring(L, -1));
    lua_pop(L, 1);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        const char *word = lua_tostring(L, -1);
        static const char option[] = "--resume_from_checkpoint";
        if (word && !strncmp(word, option, sizeof option - 1)) { /* an older one gives way */
            i += !word[sizeof option - 1];
            word = NULL;
        }
        if (word)
            add_word(b, word);
        lua_pop(L, 1);
    }
    add_word(b, "--resume_from_checkpoint");
    add_word(b, path);
    lua_settop(L, top);
    return true;
}

void trainer_rescue(lua_State *L, struct trainer_object *o)
{
    const char *path;
    struct buffer *b = hold_buffer(L);
    if (trainer_step(o->trainer) == 0) {
        bind_note(L, "no step was complete: there is nothing to save");
        return;
    }
    int before = o->model->cancel_at;
    o->model->cancel_at = INT_MAX; /* the interrupt that led here must not stop the saving */
    int status = trainer_save(o->trainer, &path);
    o->model->cancel_at = before;
    if (status) {
        bind_note(L, "the checkpoint could not be written: %s", status_message());
        return;
    }
    bind_note(L, "saved: %s, step %" PRId64 " of %" PRId64, path, trainer_step(o->trainer),
              trainer_total_steps(o->trainer));
    if (command_line(L, b, path)) {
        if (!buffer_close(b))
            bind_note(L, "goes on with: %s", b->bytes);
    } else {
        bind_note(L, "goes on with: trainer:train{ resume_from_checkpoint = \"%s\" }", path);
    }
}

static const char last_key; /* registry[&last_key] = weak table that holds the last trainer */

void trainer_remember(lua_State *L)
{
    lua_createtable(L, 1, 0);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v"); /* it may still be collected */
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &last_key);
}

int trainer_last_rescue(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &last_key) != LUA_TTABLE ||
        lua_rawgeti(L, -1, 1) != LUA_TUSERDATA)
        return 0;
    struct trainer_object *o = bind_arg(L, -1, &trainer_class);
    if (!o->finished && trainer_unsaved(o->trainer))
        trainer_rescue(L, o);
    return 0;
}
