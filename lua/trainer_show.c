/* trainer_show.c -- trainer:show_row(n): a row as the model reads it, what is learned marked. */
#include "engine/data/print.h"
#include "engine/data/table.h"
#include "engine/text/tokenizer.h"
#include "lua/frame.h"
#include "lua/hold.h"
#include "lua/tokenizer.h"
#include "lua/trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct show_row {
    bool tokens, eval;
};
static const struct option show_rows[] = {
    OPTION(struct show_row, tokens, BOOL, "false",
           .doc = "a DataFrame of the tokens instead of the text"),
    OPTION(struct show_row, eval, BOOL, "false", .doc = "a row of eval_dataset"),
};
const struct option_table show_row_options = {"show_row", "How a row is shown.", show_rows, 2,
                                              sizeof(struct show_row)};

/* A row of the examples, and how its marks look here. */
struct shown {
    const struct examples *of;
    const struct example *row;
    const struct tokenizer *t;
    const int32_t *ids;
    const unsigned char *learn;
};

/* The first token has nothing before it to be predicted from. */
static bool learned(const struct shown *s, int64_t i)
{
    return i > 0 && s->learn[i];
}

/* Rows stand in order; those without a target are not there. */
static const struct example *find(const struct examples *e, int64_t row)
{
    int64_t low = 0, high = e->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (e->items[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < e->count && e->items[low].row == row ? &e->items[low] : NULL;
}

/* Text with control characters made visible; line ends stay, with a mark before them. */
static void put_text(struct buffer *out, const char *text, int64_t length)
{
    const char *end_mark = bind_terminal.utf8 ? "\xE2\x86\xB5\n" : "\\n\n";
    for (int64_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            buffer_text(out, end_mark);
        else if (c == '\t')
            buffer_text(out, "\t");
        else if (c < 0x20 || c == 0x7F)
            buffer_printf(out, "\\x%02X", c);
        else
            buffer_add(out, text + i, 1);
    }
}

static int put_tokens(const struct shown *s, struct buffer *out)
{
    bool color = bind_terminal.color, utf8 = bind_terminal.utf8;
    const char *open = color ? "\033[1;32m" : utf8 ? "\xE2\x9F\xA6" : "[[";
    const char *shut = color ? "\033[0m" : utf8 ? "\xE2\x9F\xA7" : "]]";
    const char *dim = color ? "\033[2m" : "", *bright = color ? "\033[0m" : "";
    struct token_stream stream = {0};
    struct text_buffer text = {0};
    int status = OK;
    for (int64_t i = 0; i <= s->row->tokens && !status; i++) {
        bool end = i == s->row->tokens,
             change = i == 0 || end || learned(s, i) != learned(s, i - 1);
        if (i > 0 && change) { /* bytes of a character that is cut by the border go before it */
            status = tokenizer_stream_finish(&stream, &text);
            put_text(out, text.bytes ? text.bytes : "", text.length);
            text.length = 0;
            buffer_text(out, learned(s, i - 1) ? shut : bright);
        }
        if (end || status)
            break;
        if (change)
            buffer_text(out, learned(s, i) ? open : dim);
        status = tokenizer_stream(s->t, &stream, s->ids[i], false, &text);
        put_text(out, text.bytes ? text.bytes : "", text.length);
        text.length = 0;
    }
    text_buffer_free(&text);
    return status ? status : out->status;
}

static void put_count(lua_State *L, const struct shown *s, const struct examples *e)
{
    char number[4][32];
    const char *dot = bind_terminal.utf8 ? "\xC2\xB7" : "-";
    bind_note(L, "row %s of %s %s %s tokens %s %s learned", print_count(s->row->row + 1, number[0]),
              print_count(e->rows, number[1]), dot, print_count(s->row->tokens, number[2]), dot,
              print_count(s->row->targets, number[3]));
}

static int token_table(const struct shown *s, struct table **out)
{
    static const char *const names[4] = {"position", "id", "token", "learned"};
    static const enum column_type types[4] = {COLUMN_INT, COLUMN_INT, COLUMN_TEXT, COLUMN_BOOL};
    struct column *c[4] = {0};
    struct table *t = NULL;
    struct text_buffer text = {0};
    int status = OK;
    for (int i = 0; i < 4; i++)
        TRY_OUT(column_new(types[i], &c[i]));
    for (int64_t i = 0; i < s->row->tokens; i++) {
        text.length = 0;
        TRY_OUT(tokenizer_decode(s->t, &s->ids[i], 1, false, &text));
        TRY_OUT(column_add_int(c[0], i + 1));
        TRY_OUT(column_add_int(c[1], s->ids[i]));
        TRY_OUT(column_add_text(c[2], text.bytes ? text.bytes : "", (size_t)text.length));
        TRY_OUT(column_add_bool(c[3], learned(s, i)));
    }
    TRY_OUT(table_new(&t));
    for (int i = 0; i < 4; i++)
        TRY_OUT(table_add(t, names[i], c[i]));
    *out = t;
    t = NULL;
out:
    text_buffer_free(&text);
    table_free(t);
    for (int i = 0; i < 4; i++)
        column_free(c[i]);
    return status;
}

/* trainer:show_row(n, {tokens = true}) */
int trainer_show_row(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    lua_settop(L, 3);
    struct show_row *options = hold_options(L, &show_row_options);
    bind_options(L, 3, &show_row_options, options);
    const struct examples *e = options->eval ? o->eval : o->train;
    if (!e)
        return bind_error(L, "show_row: there is no eval_dataset");
    if (lua_isnil(L, 2)) { /* the first */
        lua_pushinteger(L, 1);
        lua_replace(L, 2);
    }
    int64_t row = bind_index(L, 2, e->rows, "row");
    const struct example *found = find(e, row);
    if (!found)
        return bind_error(L, "row %" PRId64 " has no token to learn and is left out", row + 1);
    trainer_stored(L, 1, "processing_class");
    struct shown s = {.of = e,
                      .row = found,
                      .t = lua_tokenizer_arg(L, lua_gettop(L)),
                      .ids = e->ids + found->start,
                      .learn = e->learn + found->start};
    if (options->tokens) {
        struct frame *f = frame_new(L);
        bind_check(L, token_table(&s, &f->table));
        return 1;
    }
    struct buffer *text = hold_buffer(L);
    bind_check(L, put_tokens(&s, text));
    buffer_text(text, "\n");
    bind_check(L, text->status);
    bind_write(text->bytes, (size_t)text->length);
    put_count(L, &s, e);
    return 0;
}
