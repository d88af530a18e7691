/* row_format.h -- which columns of a table hold what is learned, and in what shape.
 *
 * Recognised, the first that fits: the column that was asked for (text, or lists of messages);
 * input_ids (rows that were tokenised already); messages or conversations; prompt and completion
 * (texts, or lists of messages); text; instruction with output or response, and input or context
 * (the Alpaca prompt is made of them). */
#ifndef ENGINE_DATA_ROW_FORMAT_H
#define ENGINE_DATA_ROW_FORMAT_H

#include "engine/core/value.h"
#include "engine/data/rows.h"

enum row_shape {
    ROW_TEXT,      /* one text, all of it learned */
    ROW_PAIR,      /* prompt and completion as texts */
    ROW_ALPACA,    /* instruction, input, output */
    ROW_MESSAGES,  /* a conversation */
    ROW_CHAT_PAIR, /* prompt and completion as conversations */
    ROW_IDS,       /* token ids, perhaps with labels or masks */
};

struct row_format {
    enum row_shape shape;
    int64_t first;  /* text, prompt, instruction or messages: places of columns */
    int64_t second; /* completion, output or labels; else -1 */
    int64_t input;  /* of the Alpaca prompt, or -1 */
    int64_t tools;  /* beside conversations, or -1 */
    int64_t kwargs; /* chat_template_kwargs beside them: variables of the template; or -1 */
};

/* 'column' is the column asked for, or NULL. ERR_ARG "no column ..." or a list of what there is;
 * also for rows of chosen and rejected answers, which are for another kind of training. */
int row_format_find(const struct table *t, const char *column, struct row_format *out) MUST_CHECK;

/* "messages: a conversation through the chat template", for the note before training. */
void row_format_describe(const struct row_format *f, const struct table *t, char *out,
                         size_t bytes);

/* The prompt that Stanford's Alpaca trained with, from 'instruction' and 'input' (may be empty or
 * NULL); the answer follows directly. */
struct buffer;
void row_alpaca_prompt(const char *instruction, size_t length, const char *input,
                       size_t input_length, struct buffer *out);

/* The conversation of a row, as a list of maps with role and content, held once by the caller. Both
 * spellings are read: role and content; from and value, with human, gpt, system, tool, observation,
 * function_call. Content that is a list of text parts is joined. An empty list for null. Other keys
 * stay as they are. ERR_ARG names row, place, key, what was found and what is wanted. */
int row_messages(const struct table *t, int64_t column, int64_t row, struct value **out) MUST_CHECK;

/* The lists of whole numbers in a cell, added to 'out'; null is an empty one. ERR_ARG names row and
 * column. */
int row_numbers(const struct table *t, int64_t column, int64_t row, struct rows *out) MUST_CHECK;

/* The tools of a row: a list, from a nested column or a text with JSON; *out is NULL when there are
 * none. */
int row_tools(const struct table *t, int64_t column, int64_t row, struct value **out) MUST_CHECK;

/* The variables that a row gives its template: a map; *out is NULL when there are none. */
int row_variables(const struct table *t, int64_t column, int64_t row,
                  struct value **out) MUST_CHECK;

#endif
