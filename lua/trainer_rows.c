/* trainer_rows.c -- from rows of a data set to tokenised examples.
 *
 * engine/data/row_encode.h does it; here stand the loop, formatting functions, the options about
 * texts, and what is said about the rows. */
#include "engine/core/file.h"
#include "engine/core/hub_cache.h"
#include "engine/data/row_encode.h"
#include "kernels/base/mem.h"
#include "lua/frame.h"
#include "lua/hold.h"
#include "lua/trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The encoder in a userdata, so that errors of a formatting function cannot leak it. */
static int encoder_gc(lua_State *L)
{
    struct row_encoder **e = lua_touserdata(L, 1);
    row_encoder_free(*e);
    *e = NULL;
    return 0;
}

static struct row_encoder **hold_encoder(lua_State *L)
{
    struct row_encoder **e = lua_newuserdatauv(L, sizeof *e, 0);
    *e = NULL;
    if (luaL_newmetatable(L, "lorash.rows")) {
        lua_pushcfunction(L, encoder_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return e;
}

/* --- options about texts ---------------------------------------------------------------------- */

/* chat_template_path: a file, a folder with chat_template.jinja, or such a model's name. */
static void take_template(lua_State *L, struct tokenizer *t, const char *path)
{
    char folder[4096], file[4200];
    char *text = NULL;
    size_t length;
    int status = OK;
    snprintf(file, sizeof file, "%s", path);
    if (file_is_folder(path) || (!file_exists(path) && hub_name_is_valid(path))) {
        snprintf(folder, sizeof folder, "%s", path);
        if (!file_is_folder(path))
            status = hub_cache_find(HUB_MODEL, path, NULL, folder, sizeof folder);
        snprintf(file, sizeof file, "%s/chat_template.jinja", folder);
    }
    if (!status)
        status = file_read(file, 1 << 20, &text, &length);
    if (status)
        fail_in(status, "chat_template_path");
    bind_check(L, status);
    status = tokenizer_set_chat_template(t, text);
    mem_free(text);
    bind_check(L, status);
}

static void take_text_options(lua_State *L, struct tokenizer *t, const struct training_arguments *a)
{
    if (a->eos_token) {
        int32_t id = tokenizer_find(t, a->eos_token, strlen(a->eos_token));
        if (id < 0)
            bind_error(L, "eos_token '%.60s' is no token of the tokenizer", a->eos_token);
        bind_check(L, tokenizer_set_special(t, TOKENIZER_EOS, id));
    }
    if (a->chat_template_path)
        take_template(L, t, a->chat_template_path);
}

/* --- the loop --------------------------------------------------------------------------------- */

static void poll_interrupt(lua_State *L, int64_t row)
{
    if (row % 64 == 0 && bind_interrupted)
        bind_error(L, "interrupted");
}

/* Calls format(row) for row number 'row' (0-based) and leaves its text on the stack. */
static const char *formatted(lua_State *L, int data, int format, int64_t row, size_t *n)
{
    char found[80];
    lua_pushvalue(L, format);
    lua_geti(L, data, row + 1);
    lua_call(L, 1, 1);
    if (lua_istable(L, -1)) { /* older form: a list of one text */
        lua_rawgeti(L, -1, 1);
        lua_remove(L, -2);
    }
    if (lua_type(L, -1) != LUA_TSTRING)
        bind_error(L, "formatting_func: row %" PRId64 ": a text is wanted, found %s", row + 1,
                   bind_describe(L, -1, found, sizeof found));
    return lua_tolstring(L, -1, n);
}

/* What was recognised, and what of it is learned. */
static void print_format(lua_State *L, const struct row_format *f, const struct table *t,
                         const struct row_options *o, const char *chat_template)
{
    char text[300];
    bool pair = f->shape != ROW_TEXT && f->shape != ROW_MESSAGES && f->shape != ROW_IDS;
    if (f->shape == ROW_TEXT)
        return;
    row_format_describe(f, t, text, sizeof text);
    bind_note(L, "rows: %s %s learned: %s", text, bind_terminal.utf8 ? "\xC2\xB7" : "-",
              o->assistant_only            ? "what the assistant says"
              : pair && o->completion_only ? "the answer"
              : f->shape == ROW_IDS        ? "as labels and masks say"
                                           : "all of it");
    if (f->tools >= 0 && chat_template && !strstr(chat_template, "tools"))
        bind_note(L, "note: the chat template does not use tools: the column '%s' is left out",
                  t->names[f->tools]);
}

static struct row_options row_options(const struct training_arguments *a)
{
    return (struct row_options){
        .max_length = a->max_length,
        .keep_end = a->truncation_mode && !strcmp(a->truncation_mode, "keep_end"),
        .append_eos = a->append_eos,
        .completion_only = a->completion_only_loss,
        .assistant_only = a->assistant_only_loss,
    };
}

void trainer_rows(lua_State *L, int data, struct tokenizer *t, int format,
                  const struct training_arguments *args, struct examples **out, struct lint *lint)
{
    const struct table *table = frame_table_at(L, data);
    char found[80];
    if (!table)
        bind_error(L, "SFTTrainer: a Dataset or DataFrame is wanted, found %s%s",
                   bind_describe(L, data, found, sizeof found),
                   lua_istable(L, data) ? "; hint: load_dataset(..., {split = \"train\"}) gives "
                                          "one, or dataset.train"
                                        : "");
    int top = lua_gettop(L);
    struct row_options options = row_options(args);
    struct row_format f;
    const char *column = args->dataset_text_field;
    bool by_function = !lua_isnil(L, format);
    if (column && !strcmp(column, "text"))
        column = NULL; /* the default: the first shape that fits */
    if (!by_function) {
        int status = row_format_find(table, column, &f);
        if (status)
            fail_in(status, "SFTTrainer: %s", column ? "dataset_text_field" : "train_dataset");
        bind_check(L, status);
    }
    take_text_options(L, t, args);
    struct row_encoder **e = hold_encoder(L);
    bind_check(L, row_encoder_open(table, by_function ? NULL : &f, &options, t, lint, e));
    bind_check(L, examples_new(out));
    int64_t rows = table->rows; /* the encoder holds it: a function may assign to the frame */
    for (int64_t i = 0; i < rows; i++) {
        size_t n;
        int before = lua_gettop(L);
        poll_interrupt(L, i);
        if (by_function) {
            const char *text = formatted(L, data, format, i, &n);
            bind_check(L, row_encode_text(*e, text, n, i, *out));
        } else {
            bind_check(L, row_encode(*e, i, *out));
        }
        lua_settop(L, before);
    }
    lint_finish(lint);
    if (!by_function)
        print_format(L, &f, table, &options, tokenizer_chat_template(t));
    lua_settop(L, top);
}

/* --- what is odd about them ------------------------------------------------------------------- */

void trainer_print_lint(lua_State *L, const struct lint *l)
{
    for (int kind = 0; kind < LINT_KINDS; kind++) {
        if (!l->found[kind].count || lint_texts[kind].normal)
            continue;
        struct buffer *line = hold_buffer(L);
        lint_line(l, (enum lint_kind)kind, line);
        bind_check(L, buffer_close(line));
        const char *hint = lint_texts[kind].hint;
        bind_note(L, "note: %s%s%s", line->bytes, hint ? "; hint: " : "", hint ? hint : "");
        lua_pop(L, 1);
    }
}

static int add_finding(const struct lint *l, int kind, const char *set, struct column *c[5])
{
    char first[120] = "";
    size_t used = 0;
    int64_t n = l->found[kind].count;
    for (int64_t i = 0; i < n && i < LINT_ROWS; i++)
        used += (size_t)snprintf(first + used, sizeof first - used, "%s%" PRId64, i ? ", " : "",
                                 l->found[kind].rows[i] + 1);
    if (n > LINT_ROWS)
        snprintf(first + used, sizeof first - used, ", ...");
    TRY(column_add_text(c[0], set, strlen(set)));
    TRY(column_add_text(c[1], lint_texts[kind].name, strlen(lint_texts[kind].name)));
    TRY(column_add_int(c[2], n));
    TRY(column_add_text(c[3], first, strlen(first)));
    return column_add_text(c[4], lint_texts[kind].doc, strlen(lint_texts[kind].doc));
}

static int report(const struct trainer_object *o, struct table **out)
{
    static const char *const names[5] = {"dataset", "finding", "rows", "first", "meaning"};
    struct column *c[5] = {0};
    struct table *t = NULL;
    int status = OK;
    for (int i = 0; i < 5; i++)
        TRY_OUT(column_new(i == 2 ? COLUMN_INT : COLUMN_TEXT, &c[i]));
    for (int set = 0; set < (o->eval ? 2 : 1); set++)
        for (int kind = 0; kind < LINT_KINDS; kind++)
            TRY_OUT(
                add_finding(set ? &o->eval_lint : &o->train_lint, kind, set ? "eval" : "train", c));
    TRY_OUT(table_new(&t));
    for (int i = 0; i < 5; i++)
        TRY_OUT(table_add(t, names[i], c[i]));
    *out = t;
    t = NULL;
out:
    table_free(t);
    for (int i = 0; i < 5; i++)
        column_free(c[i]);
    return status;
}

/* trainer:lint() -> DataFrame */
int trainer_lint(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    struct frame *f = frame_new(L);
    bind_check(L, report(o, &f->table));
    return 1;
}
