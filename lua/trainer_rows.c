/* trainer_rows.c -- from rows of a data set to tokenised examples with their loss masks. */
#include "engine/data/table.h"
#include "engine/text/tokenizer.h"
#include "lua/frame.h"
#include "lua/trainer.h"

#include <inttypes.h>
#include <string.h>

/* Working memory of the loop; a userdata, so that errors cannot leak it. */
struct work {
    struct table *table; /* held: a formatting function may assign to the frame */
    struct id_list ids;
    unsigned char *mask; /* a Lua userdata */
    size_t mask_room;
};

static int work_gc(lua_State *L)
{
    struct work *w = lua_touserdata(L, 1);
    table_free(w->table);
    id_list_free(&w->ids);
    memset(w, 0, sizeof *w);
    return 0;
}

static struct work *work_new(lua_State *L)
{
    struct work *w = lua_newuserdatauv(L, sizeof *w, 1);
    memset(w, 0, sizeof *w);
    if (luaL_newmetatable(L, "lorash.rows")) {
        lua_pushcfunction(L, work_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return w;
}

/* End-of-text behind the row, unless it is there already (as TRL does). */
static int append_eos(struct work *w, struct tokenizer *t, const struct training_arguments *a)
{
    int32_t eos = tokenizer_special_id(t, TOKENIZER_EOS);
    if (!a->append_eos || eos < 0 || (w->ids.count && w->ids.ids[w->ids.count - 1] == eos))
        return OK;
    return id_list_add(&w->ids, eos);
}

static int encode(struct work *w, struct tokenizer *t, const char *text, size_t n, bool first)
{
    return tokenizer_encode(t, text, n,
                            TOKENIZER_PARSE_SPECIAL | (first ? TOKENIZER_ADD_SPECIAL : 0), &w->ids);
}

static int add_row(struct work *w, struct tokenizer *t, const struct training_arguments *a,
                   const unsigned char *mask, int64_t row, struct examples *e)
{
    return examples_add(e, w->ids.ids, mask, w->ids.count, a->max_length,
                        tokenizer_special_id(t, TOKENIZER_EOS), row);
}

static int plain_row(struct work *w, struct tokenizer *t, const struct training_arguments *a,
                     const char *text, size_t n, int64_t row, struct examples *e)
{
    w->ids.count = 0;
    TRY(encode(w, t, text, n, true));
    TRY(append_eos(w, t, a));
    return add_row(w, t, a, NULL, row, e);
}

/* The mask as a userdata of the work's user value, grown as needed. */
static unsigned char *mask_room(lua_State *L, int work, struct work *w, size_t n)
{
    if (n > w->mask_room) {
        w->mask = lua_newuserdatauv(L, 2 * n, 0);
        w->mask_room = 2 * n;
        lua_setiuservalue(L, work, 1);
    }
    return w->mask;
}

/* prompt and completion: the completion alone is learned, unless completion_only_loss is off. */
static void pair_row(lua_State *L, int work, struct tokenizer *t,
                     const struct training_arguments *a, const char *const text[2],
                     const size_t n[2], int64_t row, struct examples *e)
{
    struct work *w = lua_touserdata(L, work);
    w->ids.count = 0;
    bind_check(L, encode(w, t, text[0], n[0], true));
    int64_t prompt = w->ids.count;
    bind_check(L, encode(w, t, text[1], n[1], false));
    bind_check(L, append_eos(w, t, a));
    unsigned char *mask = mask_room(L, work, w, (size_t)w->ids.count + 1);
    memset(mask, a->completion_only_loss ? 0 : 1, (size_t)prompt);
    memset(mask + prompt, 1, (size_t)(w->ids.count - prompt));
    bind_check(L, add_row(w, t, a, mask, row, e));
}

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

static const char *cell(const struct table *t, int64_t column, int64_t row, size_t *n)
{
    const char *text = table_text(t, column, row, n);
    return text ? text : "";
}

static void want_text(lua_State *L, const struct table *t, int64_t column)
{
    if (t->columns[column]->type != COLUMN_TEXT)
        bind_error(L,
                   "SFTTrainer: column '%s' holds numbers, wanted text; hint: "
                   "dataset_text_field names the column",
                   t->names[column]);
}

/* Which column holds the text; an error that lists what there is. */
static int64_t text_column(lua_State *L, const struct table *t, const struct training_arguments *a)
{
    const char *name = a->dataset_text_field ? a->dataset_text_field : "text";
    int64_t place = table_place(t, name);
    if (place < 0 && !strcmp(name, "text"))
        place = table_place(t, "Text");
    if (place >= 0)
        return place;
    int status = table_find(t, name, &place);
    if (status)
        status = fail_in(status, "SFTTrainer: dataset_text_field");
    bind_check(L, status);
    return place;
}

void trainer_rows(lua_State *L, int data, struct tokenizer *t, int format,
                  const struct training_arguments *args, struct examples **out)
{
    const struct table *table = frame_table_at(L, data);
    char found[80];
    if (!table)
        bind_error(L, "SFTTrainer: a Dataset or DataFrame is wanted, found %s",
                   bind_describe(L, data, found, sizeof found));
    struct work *w = work_new(L);
    int work = lua_gettop(L);
    w->table = table_hold(table);
    int64_t rows = table->rows, prompt = table_place(table, "prompt");
    int64_t completion = table_place(table, "completion"), column = -1;
    bool pairs = prompt >= 0 && completion >= 0 && lua_isnil(L, format);
    if (!pairs && lua_isnil(L, format))
        column = text_column(L, table, args);
    if (column >= 0)
        want_text(L, table, column);
    if (pairs) {
        want_text(L, table, prompt);
        want_text(L, table, completion);
    }
    bind_check(L, examples_new(out));
    for (int64_t i = 0; i < rows; i++) {
        const char *text[2];
        size_t n[2];
        poll_interrupt(L, i);
        if (pairs) {
            text[0] = cell(table, prompt, i, &n[0]);
            text[1] = cell(table, completion, i, &n[1]);
            pair_row(L, work, t, args, text, n, i, *out);
            continue;
        }
        text[0] =
            column >= 0 ? cell(table, column, i, &n[0]) : formatted(L, data, format, i, &n[0]);
        bind_check(L, plain_row(w, t, args, text[0], n[0], i, *out));
        lua_settop(L, work);
    }
    lua_settop(L, work - 1);
}
