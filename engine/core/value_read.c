/* value_read.c -- a value tree out of JSON events, with a stack of its own. */
#include "engine/core/json.h"
#include "engine/core/value.h"

#include <stdlib.h>
#include <string.h>

/* An open list or map, and the key whose value comes next. */
struct open_value {
    struct value *value;
    struct value *key; /* NULL in a list */
};

/* Python's reading: digits alone are an integer. */
static int number(const struct json *j, struct value **out)
{
    double d;
    int64_t i;
    bool integer = true;
    for (size_t k = 0; k < j->length; k++)
        integer = integer && (j->text[k] == '-' || (j->text[k] >= '0' && j->text[k] <= '9'));
    if (integer && json_int(j, "the number", &i) == OK) {
        *out = value_int(i);
    } else {
        TRY(json_double(j, "the number", &d));
        *out = value_float(d);
    }
    return *out ? OK : ERR_MEMORY;
}

static int scalar(const struct json *j, struct value **out)
{
    switch (j->kind) {
    case JSON_NULL:
        *out = value_none();
        return OK;
    case JSON_BOOL:
        *out = value_bool(j->boolean);
        return OK;
    case JSON_NUMBER:
        return number(j, out);
    case JSON_STRING:
        *out = value_text(j->text, j->length);
        return *out ? OK : ERR_MEMORY;
    default:
        return json_fail(j, "expected a value");
    }
}

/* A finished value goes into the innermost open one, or is the result. Takes 'v'. */
static int place(struct open_value *stack, int depth, struct value *v, struct value **out)
{
    if (depth == 0) {
        *out = v;
        return OK;
    }
    struct open_value *top = &stack[depth - 1];
    if (top->value->kind == VALUE_LIST)
        return value_list_add(top->value, v);
    struct value *key = top->key;
    top->key = NULL;
    int status = value_map_set_bytes(top->value, key->as.text.bytes, key->as.text.length, v);
    value_drop(key);
    return status;
}

/* One event. */
static int step(struct json *j, struct open_value *stack, int *depth, struct value **out)
{
    struct value *v = NULL;
    switch (j->kind) {
    case JSON_KEY:
        stack[*depth - 1].key = value_text(j->text, j->length);
        return stack[*depth - 1].key ? OK : ERR_MEMORY;
    case JSON_ARRAY:
    case JSON_OBJECT:
        if (*depth == VALUE_DEPTH)
            return json_fail(j, "lists and maps nested deeper than %d", VALUE_DEPTH);
        v = j->kind == JSON_ARRAY ? value_list() : value_map();
        if (!v)
            return ERR_MEMORY;
        stack[(*depth)++] = (struct open_value){v, NULL};
        return OK;
    case JSON_ARRAY_END:
    case JSON_OBJECT_END:
        v = stack[--*depth].value;
        return place(stack, *depth, v, out);
    default:
        TRY(scalar(j, &v));
        return place(stack, *depth, v, out);
    }
}

int value_read(struct json *j, struct value **out)
{
    struct open_value stack[VALUE_DEPTH];
    int depth = 0;
    struct value *result = NULL;
    int status;
    if (j->kind == JSON_KEY || j->kind == JSON_ARRAY_END || j->kind == JSON_OBJECT_END)
        return json_fail(j, "expected a value");
    for (;;) {
        status = step(j, stack, &depth, &result);
        if (status || depth == 0)
            break;
        status = json_next(j);
        if (status)
            break;
    }
    while (depth > 0) {
        depth--;
        value_drop(stack[depth].key);
        value_drop(stack[depth].value);
    }
    if (!status)
        *out = result;
    return status;
}

int value_from_json(const char *bytes, size_t length, const struct json_options *options,
                    struct value **out)
{
    struct json j;
    struct value *v = NULL;
    int status;
    json_begin(&j, bytes, length, options);
    TRY_OUT(json_next(&j));
    TRY_OUT(value_read(&j, &v));
    TRY_OUT(json_end(&j));
    *out = v;
    v = NULL;
out:
    value_drop(v);
    json_free(&j);
    return status;
}
