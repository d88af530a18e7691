/* row_messages.c -- the conversation in a cell, in either spelling, as role and content. */
#include "engine/core/buffer.h"
#include "engine/core/json.h"
#include "engine/data/row_format.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where something is wrong. */
struct place {
    const struct table *t;
    int64_t column, row, message;
};

static int PRINTF_LIKE(2, 3) wrong(const struct place *p, const char *fmt, ...);
static int wrong(const struct place *p, const char *fmt, ...)
{
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return fail(ERR_ARG, "row %" PRId64 ": %.60s[%" PRId64 "]%s", p->row + 1,
                p->t->names[p->column], p->message + 1, text);
}

/* The role that a name stands for, or NULL: roles of ShareGPT and its relatives. */
static const char *role_of(const struct value *name)
{
    static const struct {
        const char *name, *role;
    } roles[] = {{"human", "user"},
                 {"user", "user"},
                 {"gpt", "assistant"},
                 {"assistant", "assistant"},
                 {"model", "assistant"},
                 {"chatgpt", "assistant"},
                 {"system", "system"},
                 {"tool", "tool"},
                 {"observation", "tool"},
                 {"function_response", "tool"},
                 {"function_call", "assistant"}};
    for (int64_t i = 0; i < COUNT_OF(roles); i++)
        if (value_is_text(name, roles[i].name))
            return roles[i].role;
    return NULL;
}

/* Joins [{"type": "text", "text": "..."}]; NULL in *out when it is another kind of list. */
static int join_parts(const struct value *list, struct value **out)
{
    struct buffer text = {0};
    bool all = true;
    *out = NULL;
    for (int64_t i = 0; i < list->as.list.count && all; i++) {
        const struct value *part = list->as.list.items[i];
        const struct value *words = value_map_get(part, "text");
        if (!words)
            words = value_map_get(part, "value");
        all = value_is_text(value_map_get(part, "type"), "text") && words &&
              words->kind == VALUE_TEXT;
        if (all)
            buffer_add(&text, words->as.text.bytes, words->as.text.length);
    }
    int status = text.status;
    if (!status && all) {
        *out = value_text(text.bytes ? text.bytes : "", (size_t)text.length);
        status = *out ? OK : ERR_MEMORY;
    }
    buffer_free(&text);
    return status;
}

/* The content as it goes to the template. */
static int take_content(const struct place *p, const char *key, struct value *content,
                        struct value **out)
{
    char found[80];
    if (content->kind == VALUE_LIST) {
        TRY(join_parts(content, out));
        if (*out)
            return OK;
    } else if (content->kind != VALUE_TEXT && content->kind != VALUE_NONE) {
        return wrong(p, ".%s: %s, wanted a text", key,
                     value_describe(content, found, sizeof found));
    }
    *out = value_keep(content);
    return OK;
}

/* Every key but the two that were read under other names. */
static int copy_rest(const struct value *from, const char *role_key, const char *content_key,
                     struct value *to)
{
    for (int64_t i = 0; i < from->as.map.count; i++) {
        const struct value_entry *e = &from->as.map.entries[i];
        if (value_is_text(e->key, role_key) || value_is_text(e->key, content_key))
            continue;
        TRY(value_map_set_bytes(to, e->key->as.text.bytes, e->key->as.text.length,
                                value_keep(e->value)));
    }
    return OK;
}

static int take_message(const struct place *p, const struct value *m, struct value **out)
{
    char found[80];
    if (m->kind != VALUE_MAP)
        return wrong(p, ": %s, wanted an object with role and content",
                     value_describe(m, found, sizeof found));
    bool from = !value_map_get(m, "role") && value_map_get(m, "from");
    const char *role_key = from ? "from" : "role";
    const char *content_key = from && !value_map_get(m, "content") ? "value" : "content";
    const struct value *name = value_map_get(m, role_key);
    struct value *content = value_map_get(m, content_key), *taken = NULL;
    if (!name || name->kind != VALUE_TEXT)
        return wrong(p, ": the key '%s' is %s, wanted a text; hint: user, assistant or system",
                     role_key, name ? value_describe(name, found, sizeof found) : "missing");
    const char *role = from ? role_of(name) : NULL;
    if (from && !role)
        return wrong(p, ".from: %s is no role, wanted human, gpt, system or tool",
                     value_describe(name, found, sizeof found));
    if (!content && !value_map_get(m, "tool_calls"))
        return wrong(p, ": the key '%s' is missing", content_key);
    TRY(take_content(p, content_key, content ? content : value_none(), &taken));
    struct value *map = value_map();
    int status = map ? value_map_set_bytes(map, "role", 4,
                                           role ? value_text(role, strlen(role))
                                                : value_keep(value_map_get(m, role_key)))
                     : ERR_MEMORY;
    if (status)
        value_drop(taken);
    else
        status = value_map_set(map, "content", taken);
    if (!status)
        status = copy_rest(m, role_key, content_key, map);
    if (status) {
        value_drop(map);
        return status;
    }
    *out = map;
    return OK;
}

static int cell_value(const struct table *t, int64_t column, int64_t row, struct value **out)
{
    struct json_options options = {.nan = true};
    size_t length;
    const char *text = column_text(t->columns[column], row, &length);
    *out = NULL;
    if (!text)
        return OK;
    int status = value_from_json(text, length, &options, out);
    if (status)
        fail_in(status, "row %" PRId64 ": column '%.60s'", row + 1, t->names[column]);
    return status;
}

int row_messages(const struct table *t, int64_t column, int64_t row, struct value **out)
{
    char found[80];
    struct value *cell, *list = value_list(), *message = NULL;
    struct place p = {t, column, row, 0};
    if (!list)
        return ERR_MEMORY;
    int status = cell_value(t, column, row, &cell);
    if (!status && cell && cell->kind != VALUE_LIST)
        status = fail(ERR_ARG, "row %" PRId64 ": %.60s: %s, wanted a list of messages", row + 1,
                      t->names[column], value_describe(cell, found, sizeof found));
    for (; !status && cell && p.message < cell->as.list.count; p.message++) {
        status = take_message(&p, cell->as.list.items[p.message], &message);
        if (!status)
            status = value_list_add(list, message);
    }
    value_drop(cell);
    if (status)
        value_drop(list);
    else
        *out = list;
    return status;
}

int row_numbers(const struct table *t, int64_t column, int64_t row, struct rows *out)
{
    struct json j;
    size_t length;
    int64_t n = 0;
    const char *text = column_text(t->columns[column], row, &length);
    int status = OK;
    if (!text)
        return OK;
    json_begin(&j, text, length, NULL);
    TRY_OUT(json_open(&j, JSON_ARRAY, NULL));
    while (json_more(&j)) {
        TRY_OUT(json_take_int(&j, "a value", &n));
        TRY_OUT(rows_add(out, n));
    }
out:
    json_free(&j);
    if (status && status != ERR_MEMORY)
        status = fail(ERR_ARG, "row %" PRId64 ": column '%.60s': wanted a list of whole numbers",
                      row + 1, t->names[column]);
    return status;
}

/* The value of a cell, which must be of a kind; NULL for none and for an empty one. */
static int beside(const struct table *t, int64_t column, int64_t row, enum value_kind kind,
                  const char *wanted, struct value **out)
{
    char found[80];
    size_t length;
    struct value *v;
    *out = NULL;
    if (column < 0 || !column_text(t->columns[column], row, &length) || length == 0)
        return OK;
    TRY(cell_value(t, column, row, &v));
    int status = v->kind == kind || v->kind == VALUE_NONE
                     ? OK
                     : fail(ERR_ARG, "row %" PRId64 ": %.60s: %s, wanted %s", row + 1,
                            t->names[column], value_describe(v, found, sizeof found), wanted);
    int64_t count = v->kind == VALUE_LIST  ? v->as.list.count
                    : v->kind == VALUE_MAP ? v->as.map.count
                                           : 0;
    if (!status && count > 0)
        *out = v;
    else
        value_drop(v);
    return status;
}

int row_tools(const struct table *t, int64_t column, int64_t row, struct value **out)
{
    return beside(t, column, row, VALUE_LIST, "a list of tools", out);
}

int row_variables(const struct table *t, int64_t column, int64_t row, struct value **out)
{
    return beside(t, column, row, VALUE_MAP, "an object of variables", out);
}
