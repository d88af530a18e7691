/* row_format.c -- which columns of a table hold what is learned. */
#include "engine/data/row_format.h"
#include "engine/core/buffer.h"

#include <stdio.h>
#include <string.h>

/* Place of a column of one of two types, or -1. */
static int64_t of_type(const struct table *t, const char *name, enum column_type a,
                       enum column_type b)
{
    int64_t place = table_place(t, name);
    if (place < 0)
        return -1;
    enum column_type type = t->columns[place]->type;
    return type == a || type == b ? place : -1;
}

static int64_t text_place(const struct table *t, const char *name)
{
    return of_type(t, name, COLUMN_TEXT, COLUMN_TEXT);
}

static int64_t nested_place(const struct table *t, const char *name)
{
    return of_type(t, name, COLUMN_JSON, COLUMN_JSON);
}

/* Role of a column that was asked for. */
static int by_column(const struct table *t, const char *name, struct row_format *out)
{
    int64_t place;
    TRY(table_find(t, name, &place));
    const struct column *c = t->columns[place];
    if (!column_type_has_texts(c->type))
        return fail(ERR_ARG,
                    "column '%.60s' holds %s, wanted text or lists of messages; hint: "
                    "dataset_text_field names the column",
                    name, column_dtype(c));
    out->shape = c->type == COLUMN_JSON ? ROW_MESSAGES : ROW_TEXT;
    out->first = place;
    return OK;
}

static bool find_messages(const struct table *t, struct row_format *out)
{
    out->first = nested_place(t, "messages");
    if (out->first < 0)
        out->first = nested_place(t, "conversations");
    if (out->first < 0)
        out->first = nested_place(t, "conversation");
    out->shape = ROW_MESSAGES;
    return out->first >= 0;
}

static int find_pair(const struct table *t, struct row_format *out, bool *found)
{
    int64_t prompt = table_place(t, "prompt"), completion = table_place(t, "completion");
    *found = prompt >= 0 && completion >= 0;
    if (!*found)
        return OK;
    enum column_type a = t->columns[prompt]->type, b = t->columns[completion]->type;
    if (!column_type_has_texts(a) || a != b)
        return fail(ERR_ARG,
                    "columns prompt (%s) and completion (%s): wanted texts in both, or lists of "
                    "messages in both",
                    column_dtype(t->columns[prompt]), column_dtype(t->columns[completion]));
    out->shape = a == COLUMN_JSON ? ROW_CHAT_PAIR : ROW_PAIR;
    out->first = prompt;
    out->second = completion;
    return OK;
}

static bool find_alpaca(const struct table *t, struct row_format *out)
{
    out->first = text_place(t, "instruction");
    out->second = text_place(t, "output");
    if (out->second < 0)
        out->second = text_place(t, "response");
    if (out->first < 0 || out->second < 0)
        return false;
    out->input = text_place(t, "input");
    if (out->input < 0)
        out->input = text_place(t, "context");
    out->shape = ROW_ALPACA;
    return true;
}

static int nothing_found(const struct table *t)
{
    char list[300];
    size_t used = 0;
    if (table_place(t, "chosen") >= 0 && table_place(t, "rejected") >= 0)
        return fail(ERR_ARG, "rows of chosen and rejected answers are for preference training, "
                             "which is not there; hint: rename_column(\"chosen\", \"messages\") "
                             "learns the chosen ones");
    if (text_place(t, "messages") >= 0 || text_place(t, "conversations") >= 0)
        return fail(ERR_ARG,
                    "the conversations are texts, wanted lists; hint: DataFrame(ds):astype(\"%s\", "
                    "\"json\") reads them",
                    text_place(t, "messages") >= 0 ? "messages" : "conversations");
    list[0] = '\0';
    for (int64_t i = 0; i < t->width && used + 80 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.60s (%s)", i ? ", " : "",
                                 t->names[i], column_dtype(t->columns[i]));
    return fail(ERR_ARG,
                "no column 'text', 'messages', 'prompt' with 'completion', or 'instruction' with "
                "'output'; hint: dataset_text_field names the column of the text, there are %s",
                used ? list : "no columns at all");
}

static bool find_ids(const struct table *t, struct row_format *out)
{
    out->first = nested_place(t, "input_ids");
    out->second = nested_place(t, "labels");
    out->shape = ROW_IDS;
    if (out->first < 0)
        out->second = -1;
    return out->first >= 0;
}

int row_format_find(const struct table *t, const char *column, struct row_format *out)
{
    struct row_format f = {.second = -1, .input = -1, .tools = -1, .kwargs = -1};
    bool found = true;
    if (column)
        TRY(by_column(t, column, &f));
    else if (!find_ids(t, &f) && !find_messages(t, &f)) {
        TRY(find_pair(t, &f, &found));
        if (!found && (table_place(t, "text") >= 0 || table_place(t, "Text") >= 0)) {
            TRY(by_column(t, table_place(t, "text") >= 0 ? "text" : "Text", &f));
            found = true;
        }
        if (!found && !find_alpaca(t, &f))
            return nothing_found(t);
    }
    if (f.shape == ROW_MESSAGES || f.shape == ROW_CHAT_PAIR) {
        f.tools = of_type(t, "tools", COLUMN_TEXT, COLUMN_JSON);
        f.kwargs = of_type(t, "chat_template_kwargs", COLUMN_TEXT, COLUMN_JSON);
    }
    *out = f;
    return OK;
}

void row_format_describe(const struct row_format *f, const struct table *t, char *out, size_t bytes)
{
    const char *first = t->names[f->first], *second = f->second < 0 ? "" : t->names[f->second];
    const char *tools = f->tools < 0 ? "" : ", with its tools";
    switch (f->shape) {
    case ROW_TEXT:
        snprintf(out, bytes, "column '%.60s' is the text", first);
        return;
    case ROW_PAIR:
        snprintf(out, bytes, "prompt and completion");
        return;
    case ROW_ALPACA:
        snprintf(out, bytes, "the Alpaca prompt of '%.30s'%s%.30s%s, then '%.30s'", first,
                 f->input < 0 ? "" : " and '", f->input < 0 ? "" : t->names[f->input],
                 f->input < 0 ? "" : "'", second);
        return;
    case ROW_MESSAGES:
        snprintf(out, bytes, "'%.60s' is a conversation%s, written with the chat template", first,
                 tools);
        return;
    case ROW_IDS:
        snprintf(out, bytes, "token ids%s", f->second < 0 ? "" : " with labels");
        return;
    case ROW_CHAT_PAIR:
        snprintf(out, bytes,
                 "prompt and completion are conversations%s, written with the chat template",
                 tools);
        return;
    }
}

void row_alpaca_prompt(const char *instruction, size_t length, const char *input,
                       size_t input_length, struct buffer *out)
{
    bool with = input_length > 0;
    buffer_text(out, "Below is an instruction that describes a task");
    if (with)
        buffer_text(out, ", paired with an input that provides further context");
    buffer_text(out, ". Write a response that appropriately completes the request.\n\n"
                     "### Instruction:\n");
    buffer_add(out, instruction, length);
    if (with) {
        buffer_text(out, "\n\n### Input:\n");
        buffer_add(out, input, input_length);
    }
    buffer_text(out, "\n\n### Response:\n");
}
