/* reader_json.c -- JSON and JSON lines as tables: the form of a file, rows, columns, types. */
#include "engine/data/reader_json.h"
#include "engine/core/json.h"
#include "engine/core/textmap.h"
#include "engine/data/nested.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 16384

/* A column being filled. Its type is that of the first value that is not null. */
struct field {
    char *name;
    struct column *column; /* NULL while only nulls came */
    int64_t nulls;         /* those */
    int64_t first;         /* row of the first value */
    bool list;             /* of a nested column: lists, else objects */
};

struct builder {
    const struct reader_options *options;
    struct field *fields;
    int64_t count, capacity;
    int64_t rows;
    int64_t next; /* the field that follows the last one: rows mostly have the same order */
    struct textmap places;
    struct buffer text; /* of a value */
    bool texts;         /* the rows are texts, not objects */
};

static void builder_free(struct builder *b)
{
    for (int64_t i = 0; i < b->count; i++) {
        column_free(b->fields[i].column);
        mem_free(b->fields[i].name);
    }
    mem_free(b->fields);
    textmap_free(&b->places);
    buffer_free(&b->text);
}

/* --- values ----------------------------------------------------------------------------------- */

static bool is_whole(const struct json *j)
{
    for (size_t i = 0; i < j->length; i++)
        if (j->text[i] != '-' && (j->text[i] < '0' || j->text[i] > '9'))
            return false;
    return true;
}

static enum column_type type_of(const struct json *j)
{
    switch (j->kind) {
    case JSON_BOOL:
        return COLUMN_BOOL;
    case JSON_NUMBER:
        return is_whole(j) ? COLUMN_INT : COLUMN_FLOAT;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return COLUMN_JSON;
    default:
        return COLUMN_TEXT;
    }
}

static const char *kind_name(enum column_type type, bool list)
{
    static const char *const names[] = {[COLUMN_TEXT] = "text",
                                        [COLUMN_INT] = "an integer",
                                        [COLUMN_FLOAT] = "a float",
                                        [COLUMN_BOOL] = "true or false"};
    return type == COLUMN_JSON ? list ? "a list" : "an object" : names[type];
}

static int conflict(const struct builder *b, const struct field *f, const struct json *j)
{
    return json_fail(j,
                     "row %" PRId64 ", column '%.60s': %s, but %s in row %" PRId64
                     "; hint: {infer = false} keeps every value as text",
                     b->rows + 1, f->name, kind_name(type_of(j), j->kind == JSON_ARRAY),
                     kind_name(f->column->type, f->list), f->first + 1);
}

static int digits_lost(const struct builder *b, const struct field *f, const struct json *j)
{
    return json_fail(j,
                     "row %" PRId64 ", column '%.60s': integers of over 2^53 and floats in one "
                     "column lose digits; hint: {infer = false} keeps every value as text",
                     b->rows + 1, f->name);
}

static bool exact(int64_t value)
{
    return value >= -(INT64_C(1) << 53) && value <= INT64_C(1) << 53;
}

/* An int column takes its first float. */
static int to_float(const struct builder *b, struct field *f, const struct json *j)
{
    struct column *made;
    for (int64_t row = 0; row < f->column->count; row++)
        if (!exact(f->column->ints[row]))
            return digits_lost(b, f, j);
    TRY(column_cast(f->column, COLUMN_FLOAT, &made));
    column_free(f->column);
    f->column = made;
    return OK;
}

/* Makes the column and its nulls up to this row. */
static int begin_column(const struct builder *b, struct field *f, enum column_type type, bool list)
{
    TRY(column_new(type, &f->column));
    f->first = b->rows;
    f->list = list;
    for (; f->nulls > 0; f->nulls--)
        TRY(column_add_null(f->column));
    return OK;
}

static int catch_up(const struct builder *b, struct field *f)
{
    if (!f->column)
        f->nulls = b->rows;
    while (f->column && f->column->count < b->rows)
        TRY(column_add_null(f->column));
    return OK;
}

static int add_nested(struct builder *b, struct field *f, struct json *j)
{
    b->text.length = 0;
    TRY(nested_add(j, &b->text));
    return column_add_text(f->column, b->text.bytes, (size_t)b->text.length);
}

static int add_number(const struct builder *b, struct field *f, const struct json *j)
{
    int64_t whole;
    double value;
    if (is_whole(j) && !column_parse_int(j->text, j->length, &whole))
        return json_fail(j,
                         "row %" PRId64 ", column '%.60s': %.*s is an integer of over 64 bits; "
                         "hint: {infer = false} keeps every value as text",
                         b->rows + 1, f->name, (int)(j->length < 40 ? j->length : 40), j->text);
    if (f->column->type == COLUMN_INT)
        return column_add_int(f->column, whole);
    if (is_whole(j) && !exact(whole))
        return digits_lost(b, f, j);
    TRY(json_double(j, f->name, &value));
    return column_add_float(f->column, value);
}

/* Any value as text. */
static int add_shown(struct builder *b, struct field *f, struct json *j)
{
    if (!f->column)
        TRY(begin_column(b, f, COLUMN_TEXT, false));
    if (j->kind == JSON_ARRAY || j->kind == JSON_OBJECT)
        return add_nested(b, f, j);
    if (j->kind == JSON_BOOL)
        return column_add_text(f->column, j->boolean ? "true" : "false", j->boolean ? 4 : 5);
    return column_add_text(f->column, j->text, j->length);
}

/* The value whose first event 'j' has read becomes the cell of this row. */
static int add_value(struct builder *b, struct field *f, struct json *j)
{
    TRY(catch_up(b, f));
    if (j->kind == JSON_NULL) {
        if (f->column)
            return column_add_null(f->column);
        f->nulls++;
        return OK;
    }
    if (!b->options->infer)
        return add_shown(b, f, j);
    enum column_type type = type_of(j);
    bool list = j->kind == JSON_ARRAY;
    if (!f->column)
        TRY(begin_column(b, f, type, list));
    if (f->column->type == COLUMN_INT && type == COLUMN_FLOAT)
        TRY(to_float(b, f, j));
    bool fits = f->column->type == type || (f->column->type == COLUMN_FLOAT && type == COLUMN_INT);
    if (!fits || (type == COLUMN_JSON && f->list != list))
        return conflict(b, f, j);
    switch (type) {
    case COLUMN_TEXT:
        return column_add_text(f->column, j->text, j->length);
    case COLUMN_BOOL:
        return column_add_bool(f->column, j->boolean);
    case COLUMN_JSON:
        return add_nested(b, f, j);
    case COLUMN_INT:
    case COLUMN_FLOAT:
        break;
    }
    return add_number(b, f, j);
}

/* --- columns ---------------------------------------------------------------------------------- */

static int new_field(struct builder *b, const struct json *j, const char *name, size_t length,
                     int64_t *out)
{
    if (memchr(name, '\0', length))
        return json_fail(j, "a column name with a zero byte");
    if (b->count == FIELDS_MAX)
        return json_fail(j, "over %d columns", FIELDS_MAX);
    void *items = b->fields;
    TRY(mem_grow(&items, &b->capacity, b->count + 1, sizeof *b->fields));
    b->fields = items;
    char *copy = mem_text(name, length);
    if (!copy)
        return ERR_MEMORY;
    bool there;
    int32_t old;
    int status = textmap_add(&b->places, copy, length, (int32_t)b->count, &there, &old);
    if (status) {
        mem_free(copy);
        return status;
    }
    b->fields[b->count] = (struct field){.name = copy};
    *out = b->count++;
    return OK;
}

/* The field of a name, made when it is new. */
static int find_field(struct builder *b, const struct json *j, const char *name, size_t length,
                      struct field **out)
{
    int64_t at = b->next < b->count ? b->next : 0;
    bool same = b->count && strlen(b->fields[at].name) == length &&
                memcmp(b->fields[at].name, name, length) == 0;
    if (!same) {
        at = textmap_find(&b->places, name, length, -1);
        if (at < 0)
            TRY(new_field(b, j, name, length, &at));
    }
    b->next = at + 1;
    *out = &b->fields[at];
    return OK;
}

static int finish(struct builder *b, struct table **out)
{
    struct table *t;
    int status = OK;
    TRY(table_new(&t));
    for (int64_t i = 0; i < b->count; i++) {
        struct field *f = &b->fields[i];
        TRY_OUT(catch_up(b, f));
        if (!f->column)
            TRY_OUT(begin_column(b, f, COLUMN_TEXT, false));
        TRY_OUT(table_add(t, f->name, f->column));
        column_free(f->column);
        f->column = NULL;
    }
    t->rows = b->rows;
    *out = t;
    return OK;
out:
    table_free(t);
    return status;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* One row: 'j' has read the start of its value. */
static int add_row(struct builder *b, struct json *j)
{
    struct field *f;
    bool text = j->kind == JSON_STRING;
    if (b->rows == 0)
        b->texts = text;
    if (text != b->texts || (!text && j->kind != JSON_OBJECT))
        return json_fail(j,
                         "row %" PRId64 ": expected %s; hint: a row is an object {\"name\": value}",
                         b->rows + 1, b->texts ? "text, as in row 1" : "an object");
    if (text) {
        TRY(find_field(b, j, "text", 4, &f));
        TRY(add_value(b, f, j));
        b->rows++;
        return OK;
    }
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            break;
        TRY(find_field(b, j, j->text, j->length, &f));
        TRY(json_next(j));
        TRY(add_value(b, f, j));
    }
    b->rows++;
    b->next = 0;
    if (b->options->cancel && *b->options->cancel)
        return fail(ERR_CANCELLED, "interrupted");
    return OK;
}

/* The array that 'j' has opened. */
static int add_rows(struct builder *b, struct json *j)
{
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_ARRAY_END)
            return OK;
        TRY(add_row(b, j));
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int add_line(struct builder *b, const char *bytes, size_t start, size_t stop)
{
    struct json j;
    struct json_options options = {.nan = true};
    json_begin_part(&j, bytes, start, stop, &options);
    int status = json_next(&j);
    if (!status)
        status = add_row(b, &j);
    if (!status)
        status = json_end(&j);
    json_free(&j);
    return status;
}

static int add_lines(struct builder *b, const char *bytes, size_t at, size_t length)
{
    while (at < length) {
        const char *end = memchr(bytes + at, '\n', length - at);
        size_t stop = end ? (size_t)(end - bytes) : length, start = at;
        while (start < stop && is_space(bytes[start]))
            start++;
        if (start < stop)
            TRY(add_line(b, bytes, start, stop));
        at = stop + 1;
    }
    return OK;
}

/* --- one object ------------------------------------------------------------------------------- */

/* One object of lists that 'j' has opened, each a column. */
static int add_columns(struct builder *b, struct json *j)
{
    int64_t rows = -1;
    struct field *f;
    const char *first = NULL;
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            break;
        TRY(find_field(b, j, j->text, j->length, &f));
        TRY(json_open(j, JSON_ARRAY, f->name));
        for (b->rows = 0;; b->rows++) {
            TRY(json_next(j));
            if (j->kind == JSON_ARRAY_END)
                break;
            TRY(add_value(b, f, j));
        }
        if (rows >= 0 && b->rows != rows)
            return json_fail(j, "column '%.60s' has %" PRId64 " values, '%.60s' has %" PRId64,
                             f->name, b->rows, first, rows);
        if (rows < 0)
            first = f->name;
        rows = b->rows;
    }
    b->rows = rows < 0 ? 0 : rows;
    return OK;
}

/* What the members of the outermost object are. */
struct shape {
    int64_t members, lists;
    bool all_rows;      /* every list is a list of objects */
    bool found;         /* one is called 'field' */
    struct buffer list; /* "train, validation" */
};

static int look_at_member(struct shape *s, struct json *j, const char *field)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(j->length < 60 ? j->length : 60), j->text);
    s->members++;
    s->found = s->found || (field && json_is(j, field));
    TRY(json_next(j));
    if (j->kind != JSON_ARRAY)
        return json_skip(j);
    s->lists++;
    if (s->lists <= 10)
        buffer_printf(&s->list, "%s%s", s->list.length ? ", " : "", name);
    TRY(json_next(j));
    s->all_rows = s->all_rows && j->kind == JSON_OBJECT;
    for (; j->kind != JSON_ARRAY_END;) {
        TRY(json_skip(j));
        TRY(json_next(j));
    }
    return OK;
}

/* Looks at the object at 'at' of the text; '*end' is the byte behind it. */
static int look_at_object(struct shape *s, const char *bytes, size_t at, size_t length,
                          const char *field, size_t *end)
{
    struct json j;
    struct json_options options = {.nan = true};
    int status;
    s->all_rows = true;
    json_begin_part(&j, bytes, at, length, &options);
    TRY_OUT(json_open(&j, JSON_OBJECT, "the file"));
    for (;;) {
        TRY_OUT(json_next(&j));
        if (j.kind == JSON_OBJECT_END)
            break;
        TRY_OUT(look_at_member(s, &j, field));
    }
    *end = (size_t)(j.p - bytes);
    status = buffer_close(&s->list);
    if (!status && field && !s->found)
        status = fail(ERR_FORMAT, "there is no field '%.60s'; hint: fields that hold lists: %s",
                      field, s->list.length ? s->list.bytes : "none");
out:
    json_free(&j);
    return status;
}

/* The rows under the key 'field' of the outermost object. */
static int add_field(struct builder *b, struct json *j, const char *field)
{
    TRY(json_open(j, JSON_OBJECT, "the file"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            break;
        bool this = json_is(j, field);
        TRY(json_next(j));
        if (!this)
            TRY(json_skip(j));
        else if (j->kind == JSON_ARRAY)
            TRY(add_rows(b, j));
        else if (j->kind == JSON_OBJECT)
            TRY(add_columns(b, j));
        else
            return json_fail(j, "field '%.60s': expected a list of rows", field);
    }
    return json_end(j);
}

static int add_whole(struct builder *b, const char *bytes, size_t at, size_t length,
                     const char *field)
{
    struct json j;
    struct json_options options = {.nan = true};
    json_begin_part(&j, bytes, at, length, &options);
    int status = OK;
    if (field) {
        status = add_field(b, &j, field);
        goto out;
    }
    TRY_OUT(json_next(&j));
    TRY_OUT(j.kind == JSON_ARRAY ? add_rows(b, &j) : add_columns(b, &j));
    status = json_end(&j);
out:
    json_free(&j);
    return status;
}

/* A file that starts with an object: one a line, or one object of lists, or one row. */
static int add_objects(struct builder *b, const char *bytes, size_t at, size_t length, bool lines)
{
    const char *field = b->options->field;
    struct shape s = {0};
    size_t end = at;
    int status = OK;
    if (lines && !field)
        return add_lines(b, bytes, at, length);
    TRY_OUT(look_at_object(&s, bytes, at, length, field, &end));
    while (end < length && is_space(bytes[end]))
        end++;
    if (field)
        status = add_whole(b, bytes, at, length, field);
    else if (end < length)
        status = add_lines(b, bytes, at, length);
    else if (s.lists == 0)
        status = add_line(b, bytes, at, length);
    else if (s.lists == s.members && !s.all_rows)
        status = add_whole(b, bytes, at, length, NULL);
    else
        status = fail(ERR_FORMAT,
                      "the file is one object and no list of rows; hint: {field = \"%.*s\"} reads "
                      "the rows under that key (lists are under %s)",
                      (int)strcspn(s.list.bytes, ","), s.list.bytes, s.list.bytes);
out:
    buffer_free(&s.list);
    return status;
}

static int add_file(struct builder *b, const char *bytes, size_t length, bool lines)
{
    size_t at = length >= 3 && !memcmp(bytes, "\xEF\xBB\xBF", 3) ? 3 : 0;
    if (length >= 2 && (!memcmp(bytes, "\xFF\xFE", 2) || !memcmp(bytes, "\xFE\xFF", 2)))
        return fail(ERR_FORMAT, "this is UTF-16, wanted UTF-8; hint: iconv -f UTF-16 -t UTF-8");
    while (at < length && is_space(bytes[at]))
        at++;
    if (at == length)
        return fail(ERR_FORMAT, "the file is empty; hint: a list of objects, or one object a line");
    if (bytes[at] == '{')
        return add_objects(b, bytes, at, length, lines);
    if (b->options->field)
        return fail(ERR_FORMAT, "field '%.60s': the file is a list already; hint: leave field out",
                    b->options->field);
    if (bytes[at] == '[')
        return add_whole(b, bytes, at, length, NULL);
    return add_lines(b, bytes, at, length);
}

static int read_any(const char *bytes, size_t length, const struct reader_options *options,
                    bool lines, struct table **out)
{
    struct builder b = {.options = options};
    int status = add_file(&b, bytes, length, lines);
    if (!status)
        status = finish(&b, out);
    builder_free(&b);
    return status;
}

int reader_json(const char *bytes, size_t length, const struct reader_options *options,
                struct table **out)
{
    return read_any(bytes, length, options, false, out);
}

int reader_json_lines(const char *bytes, size_t length, const struct reader_options *options,
                      struct table **out)
{
    return read_any(bytes, length, options, true, out);
}
