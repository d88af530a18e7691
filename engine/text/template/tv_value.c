/* tv_value.c -- value trees into template values and back. */
#include "engine/core/json_write.h"
#include "engine/core/utf8.h"
#include "engine/text/template/tv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int from_text(const struct value *v, struct tv *out)
{
    const char *text = v->as.text.bytes;
    size_t length = v->as.text.length, bad;
    if (length > UINT32_MAX)
        return fail(ERR_ARG, "a text of %zu bytes", length);
    bad = utf8_valid(text, length);
    if (bad < length)
        return fail(ERR_ARG, "a text that is no UTF-8, from byte %zu on", bad + 1);
    *out = tv_text(text, length);
    return OK;
}

/* Recursion is at most VALUE_DEPTH deep. */
int tv_from_value(struct tv_budget *b, const struct value *v, struct tv *out)
{
    switch ((enum value_kind)v->kind) {
    case VALUE_NONE:
        *out = tv_none();
        return OK;
    case VALUE_BOOL:
        *out = tv_bool(v->as.boolean);
        return OK;
    case VALUE_INT:
        *out = tv_int(v->as.integer);
        return OK;
    case VALUE_FLOAT:
        *out = tv_float(v->as.number);
        return OK;
    case VALUE_TEXT:
        return from_text(v, out);
    case VALUE_LIST:
        TRY(tv_new_list(b, TV_LIST, v->as.list.count, out));
        for (int64_t i = 0; i < v->as.list.count; i++)
            TRY(tv_from_value(b, v->as.list.items[i], &out->as.list->items[i]));
        return OK;
    case VALUE_MAP:
        TRY(tv_new_map(b, TV_MAP, v->as.map.count, out));
        for (int64_t i = 0; i < v->as.map.count; i++) {
            struct tv key = {0}, value = {0};
            TRY(from_text(v->as.map.entries[i].key, &key));
            TRY(tv_from_value(b, v->as.map.entries[i].value, &value));
            TRY(tv_map_set(b, out->as.map, key, value));
        }
        return OK;
    }
    return OK;
}

/* A key as JSON writes it. */
static const char *key_text(struct tv key, char out[32], size_t *length)
{
    if (key.kind == TV_TEXT) {
        *length = key.length;
        return key.as.text;
    }
    if (key.kind == TV_FLOAT)
        json_number_text(key.as.number, out);
    else if (key.kind == TV_INT)
        snprintf(out, 32, "%" PRId64, key.as.integer);
    else
        snprintf(out, 32, "%s", key.kind == TV_NONE ? "null" : key.as.boolean ? "true" : "false");
    *length = strlen(out);
    return out;
}

static int to_value_at(struct tv_budget *b, struct tv v, int depth, struct value **out);

static int to_list(struct tv_budget *b, const struct tv_list *items, int depth, struct value **out)
{
    struct value *list = value_list();
    int status = list ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < items->count && !status; i++) {
        struct value *item = NULL;
        status = to_value_at(b, items->items[i], depth + 1, &item);
        if (!status)
            status = value_list_add(list, item);
    }
    if (status)
        value_drop(list);
    else
        *out = list;
    return status;
}

static int to_map(struct tv_budget *b, const struct tv_map *pairs, int depth, struct value **out)
{
    struct value *map = value_map();
    int status = map ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < pairs->count && !status; i++) {
        char text[32];
        size_t length;
        struct value *item = NULL;
        status = to_value_at(b, pairs->pairs[i].value, depth + 1, &item);
        if (status)
            break;
        const char *key = key_text(pairs->pairs[i].key, text, &length);
        status = value_map_set_bytes(map, key, length, item);
    }
    if (status)
        value_drop(map);
    else
        *out = map;
    return status;
}

static int to_value_at(struct tv_budget *b, struct tv v, int depth, struct value **out)
{
    if (depth >= VALUE_DEPTH)
        return fail(ERR_ARG, "a value nested deeper than %d is written as JSON", VALUE_DEPTH);
    /* counted although they go soon: what is shared here is many times there */
    TRY(heap_charge(&b->heap, 2 * sizeof(struct value) + (v.kind == TV_TEXT ? v.length : 0)));
    TRY(tv_spend(b, 1));
    switch (v.kind) {
    case TV_NONE:
        *out = value_none();
        return OK;
    case TV_BOOL:
        *out = value_bool(v.as.boolean);
        return OK;
    case TV_INT:
        *out = value_int(v.as.integer);
        break;
    case TV_FLOAT:
        *out = value_float(v.as.number);
        break;
    case TV_TEXT:
        *out = value_text(v.as.text, v.length);
        break;
    case TV_LIST:
    case TV_TUPLE:
        return to_list(b, v.as.list, depth, out);
    case TV_MAP:
        return to_map(b, v.as.map, depth, out);
    case TV_UNDEFINED:
        return fail(ERR_ARG, "'%.*s' is undefined and has no form in JSON", (int)v.length,
                    v.as.text);
    default:
        return fail(ERR_ARG, "a %s has no form in JSON", tv_type(v));
    }
    return *out ? OK : ERR_MEMORY;
}

int tv_to_value(struct tv_budget *b, struct tv v, struct value **out)
{
    return to_value_at(b, v, 0, out);
}
