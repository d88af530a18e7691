/* builtin_maps.c -- methods of maps, lists and loops, and the global functions. */
#include "engine/text/template/eval.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RANGE_ITEMS = 100000 }; /* the reference's sandbox allows as many */

static int get(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    if (a->values[0].kind == TV_LIST || a->values[0].kind == TV_MAP)
        return fail(ERR_ARG, "a %s cannot be a key of a map", tv_type(a->values[0]));
    const struct tv *v = tv_map_get(a->self.as.map, a->values[0]);
    *out = v ? *v : a->given[1] ? a->values[1] : tv_none();
    return OK;
}

static int view(struct eval *e, struct arguments *a, const char *name, struct tv *out)
{
    const struct tv_map *map = a->self.as.map;
    struct tv list = tv_none();
    TRY(tv_new_list(&e->budget, TV_VIEW, map->count, &list));
    list.as.list->name = name;
    for (int64_t i = 0; i < map->count; i++) {
        struct tv *item = &list.as.list->items[i];
        if (name[5] == 'i') { /* dict_items */
            TRY(tv_new_list(&e->budget, TV_TUPLE, 2, item));
            item->as.list->items[0] = map->pairs[i].key;
            item->as.list->items[1] = map->pairs[i].value;
        } else {
            *item = name[5] == 'k' ? map->pairs[i].key : map->pairs[i].value;
        }
    }
    *out = list;
    return OK;
}

static int items(struct eval *e, struct arguments *a, struct tv *out)
{
    return view(e, a, "dict_items", out);
}

static int keys(struct eval *e, struct arguments *a, struct tv *out)
{
    return view(e, a, "dict_keys", out);
}

static int values(struct eval *e, struct arguments *a, struct tv *out)
{
    return view(e, a, "dict_values", out);
}

static int copy(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    *out = a->self; /* nothing changes it */
    return OK;
}

const struct builtin builtin_map_methods[] = {
    {"copy", copy, {NULL}, 0, false},     {"get", get, {"key", "default"}, 1, false},
    {"items", items, {NULL}, 0, false},   {"keys", keys, {NULL}, 0, false},
    {"values", values, {NULL}, 0, false}, {NULL, NULL, {NULL}, 0, false},
};

static int list_count(struct eval *e, struct arguments *a, struct tv *out)
{
    int64_t count = 0;
    for (int64_t i = 0; i < a->self.as.list->count; i++) {
        bool same;
        TRY(tv_equal(&e->budget, a->self.as.list->items[i], a->values[0], &same));
        count += same;
    }
    *out = tv_int(count);
    return OK;
}

static int list_index(struct eval *e, struct arguments *a, struct tv *out)
{
    for (int64_t i = 0; i < a->self.as.list->count; i++) {
        bool same;
        TRY(tv_equal(&e->budget, a->self.as.list->items[i], a->values[0], &same));
        if (same) {
            *out = tv_int(i);
            return OK;
        }
    }
    return fail(ERR_ARG, "the value is not in the list");
}

const struct builtin builtin_list_methods[] = {
    {"copy", copy, {NULL}, 0, false},
    {"count", list_count, {"value"}, 1, false},
    {"index", list_index, {"value"}, 1, false},
    {NULL, NULL, {NULL}, 0, false},
};

static int cycle(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    if (!a->count)
        return fail(ERR_ARG, "no values to go round");
    *out = a->positional[a->self.as.loop->index % a->count];
    return OK;
}

static int changed(struct eval *e, struct arguments *a, struct tv *out)
{
    struct loop *l = a->self.as.loop;
    struct tv now = tv_none();
    bool same = false;
    TRY(tv_new_list(&e->budget, TV_TUPLE, a->count, &now));
    for (int64_t i = 0; i < a->count; i++)
        now.as.list->items[i] = a->positional[i];
    if (l->has_changed)
        TRY(tv_equal(&e->budget, l->changed, now, &same));
    l->changed = now;
    l->has_changed = true;
    *out = tv_bool(!same);
    return OK;
}

const struct builtin builtin_loop_methods[] = {
    {"changed", changed, {NULL}, 0, true},
    {"cycle", cycle, {NULL}, 0, true},
    {NULL, NULL, {NULL}, 0, false},
};

static int raise_exception(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv text = tv_none();
    (void)out;
    TRY(tv_to_text(&e->budget, a->values[0], &text));
    e->raised = e->located = true; /* the template's own words stand alone */
    return fail(ERR_ARG, "%.*s", (int)text.length, text.as.text);
}

static int strftime_now(struct eval *e, struct arguments *a, struct tv *out)
{
    char form[256], text[512];
    struct tv format = tv_none();
    struct tm tm;
    TRY(builtin_text(a, 0, &format));
    if (format.length >= sizeof form || memchr(format.as.text, '\0', format.length))
        return fail(ERR_ARG, "a format of %u bytes", format.length);
    snprintf(form, sizeof form, "%.*s", (int)format.length, format.as.text);
    time_t now = e->options->now ? (time_t)e->options->now : time(NULL);
    if (e->options->now ? !gmtime_r(&now, &tm) : !localtime_r(&now, &tm))
        return fail(ERR_ARG, "no date for second %lld", (long long)now);
    size_t n = form[0] ? strftime(text, sizeof text, form, &tm) : 0;
    if (!n && form[0])
        return fail(ERR_ARG, "the date does not fit %zu bytes", sizeof text);
    char *kept = heap_text(&e->budget.heap, text, n);
    if (!kept)
        return ERR_MEMORY;
    *out = tv_text(kept, n);
    return OK;
}

/* A map from one map and keywords, as dict() and namespace() take them. */
static int from_arguments(struct eval *e, struct arguments *a, enum tv_kind kind, struct tv *out)
{
    struct tv result = tv_none();
    TRY(tv_new_map(&e->budget, kind, 4, &result));
    if (a->count > 1)
        return fail(ERR_ARG, "at most one map, found %lld values", (long long)a->count);
    const struct tv_map *from[2] = {NULL, a->named};
    if (a->count && a->positional[0].kind == TV_MAP) {
        from[0] = a->positional[0].as.map;
    } else if (a->count) {
        struct tv_list *pairs = NULL;
        TRY(eval_items(e, a->positional[0], &pairs));
        for (int64_t i = 0; i < pairs->count; i++) {
            struct tv_list *pair = NULL;
            TRY(eval_items(e, pairs->items[i], &pair));
            if (pair->count != 2)
                return fail(ERR_ARG, "item %lld is no pair", (long long)i);
            TRY(tv_map_set(&e->budget, result.as.map, pair->items[0], pair->items[1]));
        }
    }
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; from[k] && i < from[k]->count; i++)
            TRY(tv_map_set(&e->budget, result.as.map, from[k]->pairs[i].key,
                           from[k]->pairs[i].value));
    *out = result;
    return OK;
}

static int dict(struct eval *e, struct arguments *a, struct tv *out)
{
    return from_arguments(e, a, TV_MAP, out);
}

static int namespace(struct eval *e, struct arguments *a, struct tv *out)
{
    TRY(from_arguments(e, a, TV_NAMESPACE, out));
    for (int64_t i = 0; i < out->as.map->count; i++) {
        struct tv key = out->as.map->pairs[i].key;
        if (key.kind == TV_TEXT && key.length && key.as.text[0] == '_')
            return fail(ERR_ARG, "the attribute '%.*s' of a namespace begins with '_'",
                        (int)key.length, key.as.text);
    }
    return OK;
}

static int range(struct eval *e, struct arguments *a, struct tv *out)
{
    int64_t n[3] = {0, 0, 1}, count = 0;
    if (a->count < 1 || a->count > 3 || (a->named && a->named->count))
        return fail(ERR_ARG, "takes one to three integers");
    for (int64_t i = 0; i < a->count; i++) {
        struct tv v = a->positional[i];
        if (v.kind != TV_INT && v.kind != TV_BOOL)
            return fail(ERR_ARG, "expected an integer, found a %s", tv_type(v));
        n[a->count == 1 ? 1 : i] = tv_integer(v);
    }
    if (n[2] == 0)
        return fail(ERR_ARG, "a step of 0");
    double items = ((double)n[1] - (double)n[0]) / (double)n[2];
    if (items > RANGE_ITEMS)
        return fail(ERR_ARG, "%.0f items, at most %d are possible", items, RANGE_ITEMS);
    for (int64_t i = n[0]; n[2] > 0 ? i < n[1] : i > n[1]; count++)
        if (__builtin_add_overflow(i, n[2], &i))
            break;
    TRY(tv_spend(&e->budget, count));
    TRY(tv_new_list(&e->budget, TV_RANGE, count, out));
    char text[80];
    int used = snprintf(text, sizeof text, "range(%lld, %lld", (long long)n[0], (long long)n[1]);
    if (n[2] != 1)
        snprintf(text + used, sizeof text - (size_t)used, ", %lld", (long long)n[2]);
    char *name = heap_text(&e->budget.heap, text, strlen(text) + 1);
    if (!name)
        return ERR_MEMORY;
    out->as.list->name = name;
    for (int64_t i = 0; i < count; i++)
        out->as.list->items[i] = tv_int(n[0] + i * n[2]);
    return OK;
}

const struct builtin builtin_functions[] = {
    {"dict", dict, {NULL}, 0, true},
    {"namespace", namespace, {NULL}, 0, true},
    {"raise_exception", raise_exception, {"message"}, 1, false},
    {"range", range, {NULL}, 0, true},
    {"strftime_now", strftime_now, {"format"}, 1, false},
    {NULL, NULL, {NULL}, 0, false},
};
