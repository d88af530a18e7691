/* value.c -- nodes, their counts, lists and maps.
 *
 * Height and 'fixed' are what keeps every walk bounded: a node is added at most when its subtree
 * is complete, and adding refuses a subtree that is too high. */
#include "engine/core/value.h"
#include "engine/core/textmap.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { INDEX_FROM = 9 }; /* entries; shorter maps are searched one by one */

static struct value the_none = {.refs = -1, .kind = VALUE_NONE};
static struct value the_false = {.refs = -1, .kind = VALUE_BOOL};
static struct value the_true = {.refs = -1, .kind = VALUE_BOOL, .as.boolean = true};

static struct value *node(enum value_kind kind, size_t extra)
{
    struct value *v = extra <= SIZE_MAX - sizeof *v ? mem_alloc(sizeof *v + extra) : NULL;
    if (!v)
        return NULL;
    memset(v, 0, sizeof *v);
    v->refs = 1;
    v->kind = (uint8_t)kind;
    return v;
}

struct value *value_none(void)
{
    return &the_none;
}

struct value *value_bool(bool b)
{
    return b ? &the_true : &the_false;
}

struct value *value_int(int64_t i)
{
    struct value *v = node(VALUE_INT, 0);
    if (v)
        v->as.integer = i;
    return v;
}

struct value *value_float(double d)
{
    struct value *v = node(VALUE_FLOAT, 0);
    if (v)
        v->as.number = d;
    return v;
}

struct value *value_text(const char *bytes, size_t length)
{
    struct value *v = length < SIZE_MAX ? node(VALUE_TEXT, length + 1) : NULL;
    if (!v)
        return NULL;
    char *text = (char *)(v + 1);
    if (length)
        memcpy(text, bytes, length);
    text[length] = '\0';
    v->as.text.bytes = text;
    v->as.text.length = length;
    return v;
}

struct value *value_list(void)
{
    struct value *v = node(VALUE_LIST, 0);
    if (v)
        v->height = 1;
    return v;
}

struct value *value_map(void)
{
    struct value *v = node(VALUE_MAP, 0);
    if (v)
        v->height = 1;
    return v;
}

struct value *value_keep(struct value *v)
{
    if (v && v->refs >= 0)
        __atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
    return v;
}

static bool last_reference(struct value *v)
{
    return v && v->refs >= 0 && __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0;
}

/* Recursion is at most VALUE_DEPTH deep. */
static void release(struct value *v)
{
    if (v->kind == VALUE_LIST) {
        for (int64_t i = 0; i < v->as.list.count; i++)
            value_drop(v->as.list.items[i]);
        mem_free(v->as.list.items);
    } else if (v->kind == VALUE_MAP) {
        for (int64_t i = 0; i < v->as.map.count; i++) {
            value_drop(v->as.map.entries[i].key);
            value_drop(v->as.map.entries[i].value);
        }
        mem_free(v->as.map.entries);
        if (v->as.map.index)
            textmap_free(v->as.map.index);
        mem_free(v->as.map.index);
    }
    mem_free(v);
}

void value_drop(struct value *v)
{
    if (last_reference(v))
        release(v);
}

/* May 'item' go into 'into'? */
static int addable(const struct value *into, enum value_kind kind, const struct value *item)
{
    if (!into || !item)
        return ERR_MEMORY;
    if (into->kind != kind)
        return fail(ERR_INTERNAL, "a value is added to what is no %s",
                    kind == VALUE_LIST ? "list" : "map");
    if (into->fixed || into == item)
        return fail(ERR_INTERNAL, "a value is added to a %s that is part of another",
                    kind == VALUE_LIST ? "list" : "map");
    if (item->height >= VALUE_DEPTH)
        return fail(ERR_ARG, "lists and maps nested deeper than %d", VALUE_DEPTH);
    return OK;
}

/* 'item' is part of 'into' now. */
static void adopt(struct value *into, struct value *item)
{
    if (item->kind != VALUE_LIST && item->kind != VALUE_MAP)
        return;
    if (!item->fixed)
        item->fixed = true;
    if (into->height <= item->height)
        into->height = (uint8_t)(item->height + 1);
}

int value_list_add(struct value *list, struct value *item)
{
    int status = addable(list, VALUE_LIST, item);
    if (!status)
        status = mem_grow((void **)&list->as.list.items, &list->as.list.capacity,
                          list->as.list.count + 1, sizeof *list->as.list.items);
    if (status) {
        value_drop(item);
        return status;
    }
    list->as.list.items[list->as.list.count++] = item;
    adopt(list, item);
    return OK;
}

/* Position of a key, -1 when it is not there. */
static int64_t find(const struct value *map, const char *key, size_t length)
{
    if (map->as.map.index)
        return textmap_find(map->as.map.index, key, length, -1);
    for (int64_t i = 0; i < map->as.map.count; i++) {
        const struct value *k = map->as.map.entries[i].key;
        if (k->as.text.length == length && memcmp(k->as.text.bytes, key, length) == 0)
            return i;
    }
    return -1;
}

/* Puts the last entry, which 'count' does not count yet, into the index; makes one for a map that
 * becomes long. On failure there is no entry too many in the index. */
static int index_last(struct value *map)
{
    int64_t count = map->as.map.count;
    const struct value_entry *e = map->as.map.entries;
    bool found = false;
    int32_t old = 0;
    if (count >= INT32_MAX / 2)
        return fail(ERR_ARG, "a map of more than %d keys", INT32_MAX / 2);
    if (map->as.map.index)
        return textmap_add(map->as.map.index, e[count].key->as.text.bytes,
                           e[count].key->as.text.length, (int32_t)count, &found, &old);
    if (count + 1 < INDEX_FROM)
        return OK;
    struct textmap *index = mem_calloc(1, sizeof *index);
    int status = index ? OK : ERR_MEMORY;
    for (int64_t i = 0; i <= count && !status; i++)
        status = textmap_add(index, e[i].key->as.text.bytes, e[i].key->as.text.length, (int32_t)i,
                             &found, &old);
    if (!status) {
        map->as.map.index = index;
        return OK;
    }
    if (index)
        textmap_free(index);
    mem_free(index);
    return status;
}

static int map_append(struct value *map, const char *key, size_t length, struct value *item)
{
    TRY(mem_grow((void **)&map->as.map.entries, &map->as.map.capacity, map->as.map.count + 1,
                 sizeof *map->as.map.entries));
    struct value *k = value_text(key, length);
    if (!k)
        return ERR_MEMORY;
    map->as.map.entries[map->as.map.count] = (struct value_entry){k, item};
    int status = index_last(map);
    if (status) {
        value_drop(k);
        return status;
    }
    map->as.map.count++;
    return OK;
}

int value_map_set_bytes(struct value *map, const char *key, size_t length, struct value *item)
{
    int status = addable(map, VALUE_MAP, item);
    if (!status) {
        int64_t at = find(map, key, length);
        if (at >= 0) {
            value_drop(map->as.map.entries[at].value);
            map->as.map.entries[at].value = item;
        } else {
            status = map_append(map, key, length, item);
        }
    }
    if (status)
        value_drop(item);
    else
        adopt(map, item);
    return status;
}

int value_map_set(struct value *map, const char *key, struct value *item)
{
    return value_map_set_bytes(map, key, strlen(key), item);
}

struct value *value_map_get_bytes(const struct value *map, const char *key, size_t length)
{
    if (!map || map->kind != VALUE_MAP)
        return NULL;
    int64_t at = find(map, key, length);
    return at < 0 ? NULL : map->as.map.entries[at].value;
}

struct value *value_map_get(const struct value *map, const char *key)
{
    return value_map_get_bytes(map, key, strlen(key));
}

bool value_is_text(const struct value *v, const char *literal)
{
    return v && v->kind == VALUE_TEXT && v->as.text.length == strlen(literal) &&
           memcmp(v->as.text.bytes, literal, v->as.text.length) == 0;
}

static bool lists_equal(const struct value *a, const struct value *b)
{
    if (a->as.list.count != b->as.list.count)
        return false;
    for (int64_t i = 0; i < a->as.list.count; i++)
        if (!value_equal(a->as.list.items[i], b->as.list.items[i]))
            return false;
    return true;
}

static bool maps_equal(const struct value *a, const struct value *b)
{
    if (a->as.map.count != b->as.map.count)
        return false;
    for (int64_t i = 0; i < a->as.map.count; i++) {
        const struct value_entry *e = &a->as.map.entries[i];
        const struct value *other =
            value_map_get_bytes(b, e->key->as.text.bytes, e->key->as.text.length);
        if (!other || !value_equal(e->value, other))
            return false;
    }
    return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    switch ((enum value_kind)a->kind) {
    case VALUE_NONE:
        return true;
    case VALUE_BOOL:
        return a->as.boolean == b->as.boolean;
    case VALUE_INT:
        return a->as.integer == b->as.integer;
    case VALUE_FLOAT:
        return a->as.number == b->as.number;
    case VALUE_TEXT:
        return a->as.text.length == b->as.text.length &&
               memcmp(a->as.text.bytes, b->as.text.bytes, a->as.text.length) == 0;
    case VALUE_LIST:
        return lists_equal(a, b);
    case VALUE_MAP:
        return maps_equal(a, b);
    }
    return false;
}

const char *value_describe(const struct value *v, char *out, size_t bytes)
{
    switch (v ? v->kind : VALUE_NONE) {
    case VALUE_BOOL:
        snprintf(out, bytes, "%s", v->as.boolean ? "true" : "false");
        break;
    case VALUE_INT:
        snprintf(out, bytes, "the integer %" PRId64, v->as.integer);
        break;
    case VALUE_FLOAT:
        snprintf(out, bytes, "the number %g", v->as.number);
        break;
    case VALUE_TEXT:
        if (v->as.text.length <= 40)
            snprintf(out, bytes, "the text '%.*s'", (int)v->as.text.length, v->as.text.bytes);
        else
            snprintf(out, bytes, "a text of %zu bytes", v->as.text.length);
        break;
    case VALUE_LIST:
        snprintf(out, bytes, "a list of %" PRId64, v->as.list.count);
        break;
    case VALUE_MAP:
        snprintf(out, bytes, "a map of %" PRId64 " keys", v->as.map.count);
        break;
    default:
        snprintf(out, bytes, "none");
    }
    return out;
}
