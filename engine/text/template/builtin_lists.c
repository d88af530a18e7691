/* builtin_lists.c -- filters of lists and maps.
 *
 * What Python does lazily is done at once here, but the result is an iterator all the same: read
 * once, always true, without a length. */
#include "engine/text/template/eval.h"
#include "engine/text/template/pytext.h"

#include <math.h>
#include <string.h>

static int iterator(struct eval *e, struct tv list, struct tv *out)
{
    struct tv_iterator *it = heap_array(&e->budget.heap, 1, sizeof *it);
    if (!it)
        return ERR_MEMORY;
    it->list = list.as.list;
    *out = (struct tv){.kind = TV_ITERATOR, .as.iterator = it};
    return OK;
}

static int self_items(struct eval *e, struct arguments *a, struct tv_list **out)
{
    TRY(eval_items(e, a->self, out));
    return tv_spend(&e->budget, (*out)->count);
}

static int length(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv v = a->self;
    (void)e;
    switch (v.kind) {
    case TV_UNDEFINED:
        *out = tv_int(0);
        return OK;
    case TV_TEXT:
        *out = tv_int(pytext_count(v.as.text, v.length));
        return tv_spend(&e->budget, v.length / 64);
    case TV_LIST:
    case TV_TUPLE:
    case TV_RANGE:
    case TV_VIEW:
        *out = tv_int(v.as.list->count);
        return OK;
    case TV_MAP:
        *out = tv_int(v.as.map->count);
        return OK;
    default:
        return fail(ERR_ARG, "a %s has no length%s", tv_type(v),
                    v.kind == TV_ITERATOR ? "; hint: make it a list with |list" : "");
    }
}

static int list(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv copy = tv_none();
    TRY(self_items(e, a, &items));
    TRY(tv_new_list(&e->budget, TV_LIST, items->count, &copy));
    if (items->count)
        memcpy(copy.as.list->items, items->items, (size_t)items->count * sizeof *items->items);
    *out = copy;
    return OK;
}

static int first(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    if (a->self.kind == TV_ITERATOR) { /* takes one */
        struct tv_iterator *it = a->self.as.iterator;
        *out = it->next < it->list->count ? it->list->items[it->next++]
                                          : tv_undefined("first of an empty list", 22);
        return OK;
    }
    TRY(eval_items(e, a->self, &items));
    *out = items->count ? items->items[0] : tv_undefined("first of an empty list", 22);
    return OK;
}

static int last(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    if (a->self.kind == TV_ITERATOR)
        return fail(ERR_ARG, "a %s has no last item; hint: make it a list with |list",
                    tv_type(a->self));
    TRY(eval_items(e, a->self, &items));
    *out =
        items->count ? items->items[items->count - 1] : tv_undefined("last of an empty list", 21);
    return OK;
}

static int join(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv between = tv_text("", 0);
    struct buffer b = {0};
    int status = OK;
    TRY(self_items(e, a, &items));
    if (a->given[0])
        TRY(tv_to_text(&e->budget, a->values[0], &between));
    for (int64_t i = 0; i < items->count && !status; i++) {
        struct tv v = items->items[i];
        if (i)
            buffer_add(&b, between.as.text, between.length);
        if (a->given[1] && a->values[1].kind != TV_NONE)
            status = eval_path(e, v, a->values[1], &v);
        if (!status)
            status = tv_str(&e->budget, v, &b);
        if (!status)
            status = tv_check(&e->budget, &b);
    }
    if (!status)
        return tv_from_buffer(&e->budget, &b, out);
    buffer_free(&b);
    return status;
}

static int reverse(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv back = tv_none(), step = tv_int(-1);
    if (a->self.kind == TV_TEXT)
        return eval_slice(e, a->self, NULL, NULL, &step, out);
    TRY(self_items(e, a, &items));
    TRY(tv_new_list(&e->budget, TV_LIST, items->count, &back));
    for (int64_t i = 0; i < items->count; i++)
        back.as.list->items[i] = items->items[items->count - 1 - i];
    if (a->self.kind != TV_ITERATOR)
        return iterator(e, back, out);
    *out = back; /* what cannot be read backwards becomes a list first */
    return OK;
}

static int pair_list(struct eval *e, const struct tv_map *map, struct tv *out)
{
    struct tv pairs = tv_none();
    TRY(tv_new_list(&e->budget, TV_LIST, map->count, &pairs));
    for (int64_t i = 0; i < map->count; i++) {
        struct tv *pair = &pairs.as.list->items[i];
        TRY(tv_new_list(&e->budget, TV_TUPLE, 2, pair));
        pair->as.list->items[0] = map->pairs[i].key;
        pair->as.list->items[1] = map->pairs[i].value;
    }
    *out = pairs;
    return OK;
}

static int items_filter(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv pairs = tv_none();
    if (a->self.kind == TV_UNDEFINED)
        TRY(tv_new_list(&e->budget, TV_LIST, 0, &pairs));
    else if (a->self.kind == TV_MAP)
        TRY(pair_list(e, a->self.as.map, &pairs));
    else
        return fail(ERR_ARG, "expected a map, found a %s", tv_type(a->self));
    return iterator(e, pairs, out);
}

/* The key that sorting and choosing goes by: a path's value, in lower case unless told otherwise. */
static int sort_key(struct eval *e, struct tv item, const struct tv *path, bool exact,
                    struct tv *out)
{
    *out = item;
    if (path && path->kind != TV_NONE)
        TRY(eval_path(e, item, *path, out));
    if (exact || out->kind != TV_TEXT)
        return OK;
    struct buffer b = {0};
    pytext_to_case(out->as.text, out->length, PYTEXT_LOWER, &b);
    return tv_from_buffer(&e->budget, &b, out);
}

struct keyed {
    struct tv key, item;
};

/* Does x stay before y? Equal ones do, also those that have no order. */
static int in_order(struct eval *e, const struct keyed *x, const struct keyed *y, bool down,
                    bool *out)
{
    int order;
    bool ordered;
    TRY(tv_equal(&e->budget, x->key, y->key, out));
    if (*out)
        return OK;
    TRY(tv_compare(&e->budget, x->key, y->key, &order, &ordered));
    *out = down ? order >= 0 : order <= 0;
    return OK;
}

/* Merges runs of growing length; stable. */
static int merge_sort(struct eval *e, struct keyed *items, struct keyed *other, int64_t count,
                      bool down)
{
    for (int64_t run = 1; run < count; run *= 2) {
        for (int64_t from = 0; from < count; from += 2 * run) {
            int64_t mid = from + run < count ? from + run : count;
            int64_t stop = mid + run < count ? mid + run : count, i = from, k = mid;
            for (int64_t to = from; to < stop; to++) {
                bool left = k >= stop;
                if (i < mid && k < stop)
                    TRY(in_order(e, &items[i], &items[k], down, &left));
                other[to] = left ? items[i++] : items[k++];
            }
        }
        memcpy(items, other, (size_t)count * sizeof *items);
    }
    return OK;
}

/* Sorts 'in' into a new list by keys already set. */
static int sorted(struct eval *e, struct keyed *items, int64_t count, bool down, struct tv *out)
{
    struct keyed *other = heap_array(&e->budget.heap, (size_t)count, sizeof *other);
    struct tv result = tv_none();
    if (!other)
        return ERR_MEMORY;
    TRY(merge_sort(e, items, other, count, down));
    TRY(tv_new_list(&e->budget, TV_LIST, count, &result));
    for (int64_t i = 0; i < count; i++)
        result.as.list->items[i] = items[i].item;
    *out = result;
    return OK;
}

/* "a,b": several keys, as a list. */
static int multi_key(struct eval *e, struct tv item, const struct tv *path, bool exact,
                     struct tv *out)
{
    int64_t count = 1;
    if (!path || path->kind != TV_TEXT || !memchr(path->as.text, ',', path->length))
        return sort_key(e, item, path, exact, out);
    const char *p = path->as.text, *end = p + path->length;
    for (const char *q = p; q < end; q++)
        count += *q == ',';
    TRY(tv_new_list(&e->budget, TV_LIST, count, out));
    for (int64_t i = 0; i < count; i++) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        struct tv part = tv_text(p, (size_t)((comma ? comma : end) - p));
        TRY(sort_key(e, item, &part, exact, &out->as.list->items[i]));
        p = comma ? comma + 1 : end;
    }
    return OK;
}

static struct keyed *keyed_items(struct eval *e, const struct tv_list *items, const struct tv *path,
                                 bool exact)
{
    struct keyed *keyed = heap_array(&e->budget.heap, (size_t)items->count, sizeof *keyed);
    for (int64_t i = 0; keyed && i < items->count; i++) {
        keyed[i].item = items->items[i];
        if (multi_key(e, items->items[i], path, exact, &keyed[i].key))
            return NULL;
    }
    return keyed;
}

static int sort(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    TRY(self_items(e, a, &items));
    struct keyed *keyed =
        keyed_items(e, items, a->given[2] ? &a->values[2] : NULL, builtin_flag(a, 1, false));
    if (!keyed)
        return status_code();
    return sorted(e, keyed, items->count, builtin_flag(a, 0, false), out);
}

static int dictsort(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv pairs = tv_none(), by = tv_text("key", 3);
    if (a->self.kind != TV_MAP)
        return fail(ERR_ARG, "expected a map, found a %s", tv_type(a->self));
    if (a->given[1])
        TRY(builtin_text(a, 1, &by));
    bool value = by.length == 5 && memcmp(by.as.text, "value", 5) == 0;
    struct tv path = tv_int(value ? 1 : 0);
    TRY(pair_list(e, a->self.as.map, &pairs));
    struct keyed *keyed = keyed_items(e, pairs.as.list, &path, builtin_flag(a, 0, false));
    if (!keyed)
        return status_code();
    return sorted(e, keyed, pairs.as.list->count, builtin_flag(a, 2, false), out);
}

static int unique(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv kept = tv_none();
    int64_t count = 0;
    TRY(self_items(e, a, &items));
    struct keyed *keyed =
        keyed_items(e, items, a->given[1] ? &a->values[1] : NULL, builtin_flag(a, 0, false));
    if (!keyed)
        return status_code();
    TRY(tv_new_list(&e->budget, TV_LIST, items->count, &kept));
    for (int64_t i = 0; i < items->count; i++) {
        bool seen = false;
        for (int64_t k = 0; k < count && !seen; k++)
            TRY(tv_equal(&e->budget, keyed[k].key, keyed[i].key, &seen));
        if (seen)
            continue;
        keyed[count].key = keyed[i].key;
        kept.as.list->items[count++] = keyed[i].item;
    }
    kept.as.list->count = count;
    return iterator(e, kept, out);
}

static int groupby(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv groups = tv_none(), order = tv_none();
    int64_t count = 0;
    TRY(self_items(e, a, &items));
    struct keyed *keyed = keyed_items(e, items, &a->values[0], builtin_flag(a, 2, false));
    if (!keyed)
        return status_code();
    for (int64_t i = 0; i < items->count; i++) {
        if (keyed[i].key.kind == TV_UNDEFINED && !a->given[1])
            return fail(ERR_ARG, "item %lld has no '%.*s'", (long long)i, (int)keyed[i].key.length,
                        keyed[i].key.as.text);
        if (keyed[i].key.kind == TV_UNDEFINED)
            keyed[i].key = a->values[1];
    }
    TRY(sorted(e, keyed, items->count, false, &order));
    TRY(tv_new_list(&e->budget, TV_LIST, items->count, &groups));
    for (int64_t i = 0, stop; i < items->count; i = stop) {
        struct tv *pair = &groups.as.list->items[count++], members = tv_none();
        bool same = true;
        for (stop = i + 1; stop < items->count; stop++) {
            TRY(tv_equal(&e->budget, keyed[i].key, keyed[stop].key, &same));
            if (!same)
                break;
        }
        TRY(tv_new_list(&e->budget, TV_LIST, 0, &members));
        members.as.list->items = order.as.list->items + i;
        members.as.list->count = stop - i;
        TRY(tv_new_list(&e->budget, TV_TUPLE, 2, pair));
        TRY(eval_path(e, keyed[i].item, a->values[0], &pair->as.list->items[0]));
        if (pair->as.list->items[0].kind == TV_UNDEFINED)
            pair->as.list->items[0] = a->values[1];
        pair->as.list->items[1] = members;
    }
    groups.as.list->count = count;
    *out = groups;
    return OK;
}

static int extreme(struct eval *e, struct arguments *a, bool largest, struct tv *out)
{
    struct tv_list *items = NULL;
    TRY(self_items(e, a, &items));
    struct keyed *keyed =
        keyed_items(e, items, a->given[1] ? &a->values[1] : NULL, builtin_flag(a, 0, false));
    if (!keyed)
        return status_code();
    int64_t best = 0;
    for (int64_t i = 1; i < items->count; i++) {
        int order;
        bool ordered;
        TRY(tv_compare(&e->budget, keyed[i].key, keyed[best].key, &order, &ordered));
        if (largest ? order > 0 : order < 0)
            best = i;
    }
    *out = items->count ? keyed[best].item : tv_undefined("the extreme of an empty list", 28);
    return OK;
}

static int max(struct eval *e, struct arguments *a, struct tv *out)
{
    return extreme(e, a, true, out);
}

static int min(struct eval *e, struct arguments *a, struct tv *out)
{
    return extreme(e, a, false, out);
}

static int sum(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv total = a->given[1] ? a->values[1] : tv_int(0);
    TRY(self_items(e, a, &items));
    for (int64_t i = 0; i < items->count; i++) {
        struct tv v = items->items[i];
        if (a->given[0] && a->values[0].kind != TV_NONE)
            TRY(eval_path(e, v, a->values[0], &v));
        TRY(eval_math(e, OP_ADD, total, v, &total));
    }
    *out = total;
    return OK;
}

static int batch(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv rows = tv_none();
    int64_t size;
    TRY(self_items(e, a, &items));
    TRY(builtin_int(a, 0, 1, &size));
    if (size < 1)
        return fail(ERR_ARG, "rows of %lld items", (long long)size);
    bool fill = a->given[1] && a->values[1].kind != TV_NONE;
    int64_t count = (items->count + size - 1) / size;
    TRY(tv_new_list(&e->budget, TV_LIST, count, &rows));
    for (int64_t r = 0; r < count; r++) {
        int64_t left = items->count - r * size, n = left < size ? left : size;
        struct tv *row = &rows.as.list->items[r];
        TRY(tv_new_list(&e->budget, TV_LIST, fill ? size : n, row));
        for (int64_t i = 0; i < row->as.list->count; i++)
            row->as.list->items[i] = i < n ? items->items[r * size + i] : a->values[1];
    }
    return iterator(e, rows, out);
}

static int slice(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv parts = tv_none();
    int64_t count, at = 0;
    TRY(self_items(e, a, &items));
    TRY(builtin_int(a, 0, 1, &count));
    if (count < 1 || count > 1000000)
        return fail(ERR_ARG, "%lld slices", (long long)count);
    bool fill = a->given[1] && a->values[1].kind != TV_NONE;
    TRY(tv_new_list(&e->budget, TV_LIST, count, &parts));
    for (int64_t p = 0; p < count; p++) {
        bool longer = p < items->count % count;
        int64_t n = items->count / count + longer;
        struct tv *part = &parts.as.list->items[p];
        TRY(tv_new_list(&e->budget, TV_LIST, n + (fill && !longer), part));
        for (int64_t i = 0; i < n; i++)
            part->as.list->items[i] = items->items[at++];
        if (fill && !longer)
            part->as.list->items[n] = a->values[1];
    }
    return iterator(e, parts, out);
}

/* The function that 'map' and its kin apply: named by the argument at 'at'; the others go to it. */
static int applied(struct arguments *a, int64_t at, bool filter, const struct builtin **f,
                   struct arguments *with)
{
    struct tv name = a->positional[at];
    if (name.kind != TV_TEXT)
        return fail(ERR_ARG, "expected the name of a %s, found a %s", filter ? "filter" : "test",
                    tv_type(name));
    *f = filter ? builtin_filter(name.as.text, name.length)
                : builtin_test(name.as.text, name.length);
    if (!*f)
        return builtin_unknown(filter, name.as.text, name.length);
    *with = (struct arguments){
        .positional = a->positional + at + 1, .count = a->count - at - 1, .named = a->named};
    return OK;
}

static int map_attribute(struct eval *e, struct arguments *a, const struct tv_list *items,
                         struct tv *out)
{
    const struct tv *path = tv_map_find(a->named, "attribute", 9);
    const struct tv *fallback = tv_map_find(a->named, "default", 7);
    for (int64_t i = 0; i < items->count; i++) {
        struct tv *to = &out->as.list->items[i];
        TRY(eval_path(e, items->items[i], *path, to));
        if (to->kind == TV_UNDEFINED && fallback && fallback->kind != TV_NONE)
            *to = *fallback;
    }
    return OK;
}

static int map(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv result = tv_none();
    const struct builtin *f = NULL;
    struct arguments with;
    TRY(tv_new_list(&e->budget, TV_LIST, 0, &result));
    if (!tv_truth(a->self))
        return iterator(e, result, out);
    TRY(self_items(e, a, &items));
    TRY(tv_new_list(&e->budget, TV_LIST, items->count, &result));
    if (!a->count && a->named && tv_map_find(a->named, "attribute", 9)) {
        TRY(map_attribute(e, a, items, &result));
        return iterator(e, result, out);
    }
    if (!a->count)
        return fail(ERR_ARG, "expected the name of a filter or attribute = ...");
    TRY(applied(a, 0, true, &f, &with));
    for (int64_t i = 0; i < items->count; i++) {
        struct arguments one = with;
        one.self = items->items[i];
        TRY(builtin_call(e, f, &one, &result.as.list->items[i]));
    }
    return iterator(e, result, out);
}

/* select, reject and, with 'attribute', selectattr, rejectattr. */
static int choose(struct eval *e, struct arguments *a, bool attribute, bool wanted, struct tv *out)
{
    struct tv_list *items = NULL;
    struct tv kept = tv_none();
    const struct builtin *f = NULL;
    struct arguments with = {0};
    int64_t at = attribute ? 1 : 0, count = 0;
    TRY(tv_new_list(&e->budget, TV_LIST, 0, &kept));
    if (!tv_truth(a->self))
        return iterator(e, kept, out);
    if (a->count < at)
        return fail(ERR_ARG, "expected the name of an attribute");
    if (a->count > at)
        TRY(applied(a, at, false, &f, &with));
    TRY(self_items(e, a, &items));
    TRY(tv_new_list(&e->budget, TV_LIST, items->count, &kept));
    for (int64_t i = 0; i < items->count; i++) {
        struct tv v = items->items[i];
        if (attribute)
            TRY(eval_path(e, v, a->positional[0], &v));
        if (f) {
            struct arguments one = with;
            one.self = v;
            TRY(builtin_call(e, f, &one, &v));
        }
        if (tv_truth(v) == wanted)
            kept.as.list->items[count++] = items->items[i];
    }
    kept.as.list->count = count;
    return iterator(e, kept, out);
}

static int select_filter(struct eval *e, struct arguments *a, struct tv *out)
{
    return choose(e, a, false, true, out);
}

static int reject(struct eval *e, struct arguments *a, struct tv *out)
{
    return choose(e, a, false, false, out);
}

static int selectattr(struct eval *e, struct arguments *a, struct tv *out)
{
    return choose(e, a, true, true, out);
}

static int rejectattr(struct eval *e, struct arguments *a, struct tv *out)
{
    return choose(e, a, true, false, out);
}

const struct builtin builtin_list_filters[] = {
    {"batch", batch, {"linecount", "fill_with"}, 1, false},
    {"count", length, {NULL}, 0, false},
    {"dictsort", dictsort, {"case_sensitive", "by", "reverse"}, 0, false},
    {"first", first, {NULL}, 0, false},
    {"groupby", groupby, {"attribute", "default", "case_sensitive"}, 1, false},
    {"items", items_filter, {NULL}, 0, false},
    {"join", join, {"d", "attribute"}, 0, false},
    {"last", last, {NULL}, 0, false},
    {"length", length, {NULL}, 0, false},
    {"list", list, {NULL}, 0, false},
    {"map", map, {NULL}, 0, true},
    {"max", max, {"case_sensitive", "attribute"}, 0, false},
    {"min", min, {"case_sensitive", "attribute"}, 0, false},
    {"reject", reject, {NULL}, 0, true},
    {"rejectattr", rejectattr, {NULL}, 0, true},
    {"reverse", reverse, {NULL}, 0, false},
    {"select", select_filter, {NULL}, 0, true},
    {"selectattr", selectattr, {NULL}, 0, true},
    {"slice", slice, {"slices", "fill_with"}, 1, false},
    {"sort", sort, {"reverse", "case_sensitive", "attribute"}, 0, false},
    {"sum", sum, {"attribute", "start"}, 0, false},
    {"unique", unique, {"case_sensitive", "attribute"}, 0, false},
    {NULL, NULL, {NULL}, 0, false},
};
