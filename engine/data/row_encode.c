/* row_encode.c -- rows of a table as token ids with their loss masks. */
#include "engine/data/row_encode.h"
#include "engine/text/chat.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <string.h>

struct row_encoder {
    struct table *table;
    struct row_format format;
    struct row_options options;
    struct tokenizer *tokenizer;
    struct lint *lint;
    struct chat *chat;      /* of conversations, else NULL */
    struct id_list ids;     /* of the row */
    struct id_list prompt;  /* of a conversation's prompt alone */
    struct chat_mask turns; /* the assistant's */
    struct buffer text;     /* prompt and answer after each other */
    unsigned char *learn;   /* one for each id */
    int64_t learn_room;
};

static bool is_conversation(const struct row_format *f)
{
    return f->shape == ROW_MESSAGES || f->shape == ROW_CHAT_PAIR;
}

int row_encoder_open(const struct table *t, const struct row_format *format,
                     const struct row_options *options, struct tokenizer *tokenizer,
                     struct lint *lint, struct row_encoder **out)
{
    bool conversation = format && is_conversation(format);
    if (options->assistant_only && !conversation)
        return fail(ERR_ARG, "assistant_only_loss wants rows of messages, these are texts; hint: "
                             "leave it out, or put the turns into a column 'messages'");
    struct row_encoder *e = mem_calloc(1, sizeof *e);
    if (!e)
        return ERR_MEMORY;
    if (conversation) {
        int status = chat_open(tokenizer, NULL, 0, &e->chat);
        if (status) {
            mem_free(e);
            return status;
        }
    }
    if (format)
        e->format = *format;
    e->table = table_hold(t);
    e->options = *options;
    e->tokenizer = tokenizer;
    e->lint = lint;
    *out = e;
    return OK;
}

void row_encoder_free(struct row_encoder *e)
{
    if (!e)
        return;
    table_free(e->table);
    chat_free(e->chat);
    id_list_free(&e->ids);
    id_list_free(&e->prompt);
    chat_mask_free(&e->turns);
    buffer_free(&e->text);
    mem_free(e->learn);
    mem_free(e);
}

/* --- the end of every kind of row ------------------------------------------------------------- */

static int learn_room(struct row_encoder *e)
{
    void *items = e->learn;
    TRY(mem_grow(&items, &e->learn_room, e->ids.count + 1, 1));
    e->learn = items;
    return OK;
}

/* Is a token that ends a text or turn learned among ids [from, to)? */
static bool ends(const struct row_encoder *e, int64_t from, int64_t to)
{
    int32_t eos = tokenizer_special_id(e->tokenizer, TOKENIZER_EOS);
    if (!e->chat)
        return to > from && e->ids.ids[to - 1] == eos && e->learn[to - 1];
    for (int64_t i = from; i < to; i++)
        if (e->learn[i] &&
            (e->ids.ids[i] == eos || tokenizer_is_special(e->tokenizer, e->ids.ids[i])))
            return true;
    return false;
}

/* The row's ids and mask are there: they become an example. */
static int finish(struct row_encoder *e, int64_t row, struct examples *to)
{
    int64_t n = e->ids.count, limit = e->options.max_length;
    int64_t kept = limit > 0 && n > limit ? limit : n, from = e->options.keep_end ? n - kept : 0;
    int64_t without = to->without_target, ended = to->ended;
    int32_t eos = tokenizer_special_id(e->tokenizer, TOKENIZER_EOS);
    TRY(lint_tokens(e->lint, e->ids.ids, n, tokenizer_special_id(e->tokenizer, TOKENIZER_BOS),
                    row));
    TRY(e->options.keep_end ? examples_add_end(to, e->ids.ids, e->learn, n, limit, eos, row)
                            : examples_add(to, e->ids.ids, e->learn, n, limit, eos, row));
    e->lint->rows++;
    bool stops = ends(e, from, from + kept);
    if (kept < n)
        lint_add(e->lint, LINT_CUT, row);
    if (to->without_target > without)
        lint_add(e->lint, LINT_NO_TARGET, row);
    else if (!stops && kept == n) /* that a cut row has no end is clear */
        lint_add(e->lint, LINT_NO_EOS, row);
    if (stops && to->ended == ended && to->without_target == without)
        to->ended++; /* a template puts a line end behind the token */
    return OK;
}

/* End-of-text behind the row, unless it is there already (as TRL does). */
static int append_eos(struct row_encoder *e)
{
    int32_t eos = tokenizer_special_id(e->tokenizer, TOKENIZER_EOS);
    int64_t n = e->ids.count;
    if (!e->options.append_eos || eos < 0 || (n && e->ids.ids[n - 1] == eos))
        return OK;
    return id_list_add(&e->ids, eos);
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool is_token(void *ctx, const char *text, size_t length)
{
    return tokenizer_find(ctx, text, length) >= 0;
}

static bool is_blank(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!strchr(" \t\r\n", text[i]) || !text[i])
            return false;
    return true;
}

static void look_at_text(struct row_encoder *e, const char *text, size_t length, int64_t row)
{
    if (is_blank(text, length))
        lint_add(e->lint, LINT_EMPTY, row);
    else if (lint_odd_template(text, length, is_token, e->tokenizer))
        lint_add(e->lint, LINT_TEMPLATE, row);
}

int row_encode_text(struct row_encoder *e, const char *text, size_t length, int64_t row,
                    struct examples *to)
{
    e->ids.count = 0;
    TRY(tokenizer_encode(e->tokenizer, text, length,
                         TOKENIZER_PARSE_SPECIAL | TOKENIZER_ADD_SPECIAL, &e->ids));
    TRY(append_eos(e));
    TRY(learn_room(e));
    memset(e->learn, 1, (size_t)e->ids.count);
    look_at_text(e, text, length, row);
    return finish(e, row, to);
}

/* --- pairs ------------------------------------------------------------------------------------ */

/* The text of 'e->text', of which the first 'prompt' bytes are the prompt. */
static int encode_pair(struct row_encoder *e, size_t prompt, int64_t row, struct examples *to)
{
    const char *text = e->text.bytes ? e->text.bytes : "";
    int64_t prefix = tokenizer_prefix_count(e->tokenizer);
    e->ids.count = 0;
    TRY(tokenizer_encode(e->tokenizer, text, (size_t)e->text.length,
                         TOKENIZER_PARSE_SPECIAL | TOKENIZER_ADD_SPECIAL | TOKENIZER_SPANS,
                         &e->ids));
    int64_t encoded = e->ids.count, end = encoded - tokenizer_suffix_count(e->tokenizer);
    TRY(append_eos(e));
    TRY(learn_room(e));
    for (int64_t i = 0; i < e->ids.count; i++) {
        bool inside = i >= prefix && i < end; /* spans of added tokens are empty */
        bool answer = inside ? e->ids.spans[i].end > (int64_t)prompt : i >= end;
        if (inside && answer && e->ids.spans[i].start < (int64_t)prompt)
            lint_add(e->lint, LINT_BOUNDARY, row);
        e->learn[i] = answer || !e->options.completion_only;
    }
    look_at_text(e, text, (size_t)e->text.length, row);
    if (is_blank(text + prompt, (size_t)e->text.length - prompt))
        lint_add(e->lint, LINT_EMPTY, row);
    return finish(e, row, to);
}

static const char *cell(const struct row_encoder *e, int64_t column, int64_t row, size_t *length)
{
    *length = 0;
    const char *text = column < 0 ? NULL : column_text(e->table->columns[column], row, length);
    return text ? text : "";
}

static int encode_texts(struct row_encoder *e, int64_t row, struct examples *to)
{
    const struct row_format *f = &e->format;
    size_t n, k, m;
    const char *first = cell(e, f->first, row, &n), *second = cell(e, f->second, row, &m);
    const char *input = cell(e, f->input, row, &k);
    e->text.length = 0;
    if (f->shape == ROW_ALPACA)
        row_alpaca_prompt(first, n, input, k, &e->text);
    else
        buffer_add(&e->text, first, n);
    size_t prompt = (size_t)e->text.length;
    buffer_add(&e->text, second, m);
    TRY(e->text.status);
    return encode_pair(e, prompt, row, to);
}

/* --- conversations ---------------------------------------------------------------------------- */

static void look_at_roles(struct row_encoder *e, const struct value *messages, int64_t row)
{
    static const char *const known[] = {"system", "user", "assistant", "tool"};
    bool odd = false;
    for (int64_t i = 0; i < messages->as.list.count; i++) {
        const struct value *role = value_map_get(messages->as.list.items[i], "role");
        bool found = false;
        for (int k = 0; k < 4; k++)
            found = found || value_is_text(role, known[k]);
        odd = odd || !found;
    }
    if (odd)
        lint_add(e->lint, LINT_ROLE, row);
    if (messages->as.list.count == 0)
        lint_add(e->lint, LINT_EMPTY, row);
}

/* The whole conversation into ids and mask. 'prompt' >= 0: its first so many messages are one. */
static int encode_messages(struct row_encoder *e, const struct value *messages,
                           const struct value *prompt, struct chat_options options, int64_t row)
{
    bool turns = e->options.assistant_only;
    int64_t common = 0;
    e->ids.count = e->prompt.count = e->turns.count = 0;
    look_at_roles(e, messages, row);
    if (messages->as.list.count == 0)
        return OK;
    TRY(chat_encode(e->chat, messages, &options, &e->ids, turns ? &e->turns : NULL));
    if (prompt && e->options.completion_only) {
        options.add_generation_prompt = true;
        TRY(chat_encode(e->chat, prompt, &options, &e->prompt, NULL));
        while (common < e->prompt.count && common < e->ids.count &&
               e->prompt.ids[common] == e->ids.ids[common])
            common++;
        if (common < e->prompt.count)
            lint_add(e->lint, LINT_BOUNDARY, row);
    }
    TRY(learn_room(e));
    for (int64_t i = 0; i < e->ids.count; i++)
        e->learn[i] = i >= common && (!turns || e->turns.learn[i]);
    return OK;
}

static int all_messages(const struct value *first, const struct value *second, struct value **out)
{
    struct value *list = value_list();
    int status = list ? OK : ERR_MEMORY;
    for (int k = 0; k < 2; k++) {
        const struct value *from = k ? second : first;
        for (int64_t i = 0; from && i < from->as.list.count && !status; i++)
            status = value_list_add(list, value_keep(from->as.list.items[i]));
    }
    if (status)
        value_drop(list);
    else
        *out = list;
    return status;
}

static int encode_conversation(struct row_encoder *e, int64_t row, struct examples *to)
{
    const struct row_format *f = &e->format;
    struct value *first = NULL, *second = NULL, *all = NULL, *tools = NULL, *variables = NULL;
    bool pair = f->shape == ROW_CHAT_PAIR;
    int status = OK;
    TRY_OUT(row_messages(e->table, f->first, row, &first));
    TRY_OUT(row_tools(e->table, f->tools, row, &tools));
    TRY_OUT(row_variables(e->table, f->kwargs, row, &variables));
    if (pair)
        TRY_OUT(row_messages(e->table, f->second, row, &second));
    TRY_OUT(all_messages(first, second, &all));
    status = encode_messages(e, all, pair ? first : NULL,
                             (struct chat_options){.tools = tools, .variables = variables}, row);
    if (status && status != ERR_MEMORY)
        fail_in(status, "row %" PRId64, row + 1);
    if (!status)
        status = finish(e, row, to);
out:
    value_drop(first);
    value_drop(second);
    value_drop(all);
    value_drop(tools);
    value_drop(variables);
    return status;
}

/* --- ids -------------------------------------------------------------------------------------- */

/* A list beside the ids, of the same length; false in *there when there is no such column. */
static int take_beside(struct row_encoder *e, const char *name, int64_t count, int64_t row,
                       struct rows *out, bool *there)
{
    int64_t place = table_place(e->table, name);
    out->count = 0;
    *there = place >= 0 && e->table->columns[place]->type == COLUMN_JSON;
    if (!*there)
        return OK;
    TRY(row_numbers(e->table, place, row, out));
    if (out->count == count)
        return OK;
    return fail(ERR_ARG, "row %" PRId64 ": column '%s' has %" PRId64 " values, input_ids %" PRId64,
                row + 1, name, out->count, count);
}

/* Leaves out what attention_mask leaves out (padding), and marks what is learned. */
static int mask_ids(struct row_encoder *e, const struct rows *ids, int64_t row)
{
    static const char *const names[] = {"attention_mask", "labels", "completion_mask",
                                        "assistant_masks"};
    struct rows list = {0};
    int status = OK;
    bool there;
    unsigned char *keep = mem_calloc((size_t)ids->count, 1), *learn = e->learn;
    if (!keep)
        return ERR_MEMORY;
    memset(keep, 1, (size_t)ids->count);
    memset(learn, 1, (size_t)ids->count);
    for (int k = 0; k < 4; k++) {
        TRY_OUT(take_beside(e, names[k], ids->count, row, &list, &there));
        for (int64_t i = 0; there && i < ids->count; i++) {
            int64_t v = list.at[i];
            if (k == 0)
                keep[i] = v != 0;
            else
                learn[i] = learn[i] && (k == 1 ? v != -100 : v != 0);
            if (k == 1 && v != -100 && v != ids->at[i]) {
                status = fail(ERR_ARG,
                              "row %" PRId64 ": labels[%" PRId64 "] is %" PRId64
                              ", wanted -100 or the id at its place, %" PRId64
                              "; hint: labels are not shifted",
                              row + 1, i + 1, v, ids->at[i]);
                goto out;
            }
        }
    }
    e->ids.count = 0;
    for (int64_t i = 0; i < ids->count; i++)
        if (keep[i]) {
            learn[e->ids.count] = learn[i];
            TRY_OUT(id_list_add(&e->ids, (int32_t)ids->at[i]));
        }
out:
    mem_free(keep);
    rows_free(&list);
    return status;
}

static int encode_ids(struct row_encoder *e, int64_t row, struct examples *to)
{
    struct rows ids = {0};
    int32_t size = tokenizer_size(e->tokenizer);
    int status = row_numbers(e->table, e->format.first, row, &ids);
    for (int64_t i = 0; i < ids.count && !status; i++)
        if (ids.at[i] < 0 || ids.at[i] >= size)
            status = fail(ERR_ARG,
                          "row %" PRId64 ": input_ids[%" PRId64 "] is %" PRId64
                          ", the tokenizer has ids 0 to %d",
                          row + 1, i + 1, ids.at[i], (int)size - 1);
    if (!status) {
        e->ids.count = ids.count;
        status = learn_room(e);
        e->ids.count = 0;
    }
    if (!status)
        status = mask_ids(e, &ids, row);
    if (!status && e->ids.count == 0)
        lint_add(e->lint, LINT_EMPTY, row);
    if (!status)
        status = finish(e, row, to);
    rows_free(&ids);
    return status;
}

int row_encode(struct row_encoder *e, int64_t row, struct examples *to)
{
    size_t length;
    switch (e->format.shape) {
    case ROW_TEXT: {
        const char *text = cell(e, e->format.first, row, &length);
        return row_encode_text(e, text, length, row, to);
    }
    case ROW_PAIR:
    case ROW_ALPACA:
        return encode_texts(e, row, to);
    case ROW_MESSAGES:
    case ROW_CHAT_PAIR:
        return encode_conversation(e, row, to);
    case ROW_IDS:
        return encode_ids(e, row, to);
    }
    return fail(ERR_INTERNAL, "row shape %d", (int)e->format.shape);
}
