/* eval_attr.c -- attributes, items and slices, with Python's order of looking.
 *
 * x.name looks for a method first and for a key then, x["name"] the other way round; what is not
 * there is undefined, and only using that fails. */
#include "engine/text/template/eval.h"
#include "engine/text/unicode.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int undefined_object(struct tv object, const char *name, size_t length)
{
    return fail(ERR_ARG, "'%.*s' is undefined and has no '%.*s'", (int)object.length,
                object.as.text, (int)length, name);
}

/* Methods that would change a list or a map: refused when they are used. */
static bool changes(struct tv object, const char *name, size_t length)
{
    static const char *const of_list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                          "sort",   "extend", "remove", NULL};
    static const char *const of_map[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    const char *const *names = object.kind == TV_LIST  ? of_list
                               : object.kind == TV_MAP ? of_map
                                                       : NULL;
    for (; names && *names; names++)
        if (strlen(*names) == length && memcmp(*names, name, length) == 0)
            return true;
    return false;
}

/* What getattr finds: a method, a namespace's or a loop's attribute. */
static int member(struct eval *e, struct tv object, const char *name, size_t length, struct tv *out,
                  bool *found)
{
    *found = true;
    if (object.kind == TV_NAMESPACE) {
        const struct tv *v = tv_map_find(object.as.map, name, length);
        *found = v != NULL;
        if (v)
            *out = *v;
        return OK;
    }
    if (object.kind == TV_LOOP) {
        TRY(eval_loop_attribute(e, object.as.loop, name, length, out, found));
        if (*found)
            return OK;
        *found = true;
    }
    const struct builtin *f = builtin_method(object, name, length);
    if (f) {
        struct tv_method *m = heap_array(&e->budget.heap, 1, sizeof *m);
        if (!m)
            return ERR_MEMORY;
        *m = (struct tv_method){object, f};
        *out = (struct tv){.kind = TV_METHOD, .as.method = m};
        return OK;
    }
    if (changes(object, name, length)) {
        char text[80];
        int n = snprintf(text, sizeof text, "%.*s (templates cannot change a %s)", (int)length,
                         name, tv_type(object));
        char *copy = heap_text(&e->budget.heap, text, (size_t)n);
        if (!copy)
            return ERR_MEMORY;
        *out = tv_undefined(copy, (size_t)n);
        return OK;
    }
    *found = false;
    return OK;
}

int eval_attribute(struct eval *e, struct tv object, const char *name, size_t length,
                   struct tv *out)
{
    bool found;
    if (object.kind == TV_UNDEFINED)
        return undefined_object(object, name, length);
    TRY(member(e, object, name, length, out, &found));
    if (found)
        return OK;
    const struct tv *v = object.kind == TV_MAP ? tv_map_find(object.as.map, name, length) : NULL;
    *out = v ? *v : tv_undefined(name, length);
    return OK;
}

static bool starts_character(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

/* The i-th character, counted from the end when negative; false = there is none. */
static bool character(struct tv text, int64_t i, struct tv *out)
{
    const char *begin = text.as.text, *end = begin + text.length, *p = begin;
    if (i < 0) {
        for (p = end; p > begin && i < 0; i += starts_character(*p))
            p--;
        if (i < 0)
            return false;
    }
    for (; p < end && i > 0; i--)
        for (p++; p < end && !starts_character(*p);)
            p++;
    if (p >= end)
        return false;
    size_t n = 1;
    while (p + n < end && !starts_character(p[n]))
        n++;
    *out = tv_text(p, n);
    out->safe = text.safe;
    return true;
}

static bool indexed(struct tv object, int64_t i, struct tv *out)
{
    if (object.kind == TV_TEXT)
        return character(object, i, out);
    if (object.kind != TV_LIST && object.kind != TV_TUPLE && object.kind != TV_RANGE)
        return false;
    i += i < 0 ? object.as.list->count : 0;
    if (i < 0 || i >= object.as.list->count)
        return false;
    *out = object.as.list->items[i];
    return true;
}

static int name_of_key(struct eval *e, struct tv key, struct tv *out)
{
    char text[40];
    if (key.kind == TV_TEXT) {
        *out = tv_undefined(key.as.text, key.length);
        return OK;
    }
    if (key.kind == TV_INT)
        snprintf(text, sizeof text, "[%" PRId64 "]", key.as.integer);
    else
        snprintf(text, sizeof text, "[%s]", tv_type(key));
    char *copy = heap_text(&e->budget.heap, text, strlen(text));
    if (!copy)
        return ERR_MEMORY;
    *out = tv_undefined(copy, strlen(text));
    return OK;
}

int eval_item(struct eval *e, struct tv object, struct tv key, struct tv *out)
{
    bool found = false;
    if (object.kind == TV_UNDEFINED)
        return undefined_object(object, key.kind == TV_TEXT ? key.as.text : "items",
                                key.kind == TV_TEXT ? key.length : 5);
    if (object.kind == TV_MAP) {
        const struct tv *v = tv_map_get(object.as.map, key);
        if (v) {
            *out = *v;
            return OK;
        }
    }
    if (object.kind == TV_TEXT && key.kind == TV_INT && key.as.integer != INT64_MIN)
        TRY(tv_spend(&e->budget, i64_min(object.length, llabs(key.as.integer)) / 64));
    if ((key.kind == TV_INT || key.kind == TV_BOOL) && indexed(object, tv_integer(key), out))
        return OK;
    if (key.kind == TV_TEXT)
        TRY(member(e, object, key.as.text, key.length, out, &found));
    return found ? OK : name_of_key(e, key, out);
}

int eval_path(struct eval *e, struct tv object, struct tv path, struct tv *out)
{
    if (path.kind != TV_TEXT)
        return eval_item(e, object, path, out);
    const char *p = path.as.text, *end = p + path.length;
    for (;;) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        const char *stop = dot ? dot : end;
        struct tv key = tv_text(p, (size_t)(stop - p));
        int64_t number = 0;
        bool digits = stop > p && stop - p < 18;
        for (const char *q = p; q < stop && digits; q++) {
            digits = *q >= '0' && *q <= '9';
            number = number * 10 + (*q - '0');
        }
        TRY(eval_item(e, object, digits ? tv_int(number) : key, &object));
        if (!dot)
            break;
        p = dot + 1;
    }
    *out = object;
    return OK;
}

static int bound(const struct tv *v, int64_t fallback, int64_t count, int64_t low, int64_t *out)
{
    if (!v || v->kind == TV_NONE) {
        *out = fallback;
        return OK;
    }
    if (v->kind != TV_INT && v->kind != TV_BOOL)
        return fail(ERR_ARG, "a %s in a slice, where an integer is wanted", tv_type(*v));
    int64_t i = tv_integer(*v);
    i += i < 0 ? count : 0;
    int64_t high = low + count; /* one further on either side than positions go */
    *out = i < low ? low : i > high ? high : i;
    return OK;
}

/* Offsets of all characters of a text and of its end. */
static uint32_t *offsets(struct eval *e, struct tv text, int64_t *count)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < text.length; i++)
        n += ((unsigned char)text.as.text[i] & 0xC0) != 0x80;
    uint32_t *at = heap_array(&e->budget.heap, (size_t)n + 1, sizeof *at);
    if (!at)
        return NULL;
    *count = n;
    n = 0;
    for (uint32_t i = 0; i < text.length; i++)
        if (((unsigned char)text.as.text[i] & 0xC0) != 0x80)
            at[n++] = i;
    at[n] = text.length;
    return at;
}

static int text_slice(struct eval *e, struct tv text, const uint32_t *at, int64_t first,
                      int64_t count, int64_t step, struct tv *out)
{
    if (step == 1) {
        *out = tv_text(text.as.text + at[first], at[first + count] - at[first]);
        return OK;
    }
    char *copy = heap_alloc(&e->budget.heap, text.length), *to = copy;
    if (!copy)
        return ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) {
        int64_t k = first + i * step;
        memcpy(to, text.as.text + at[k], at[k + 1] - at[k]);
        to += at[k + 1] - at[k];
    }
    *out = tv_text(copy, (size_t)(to - copy));
    return OK;
}

static int list_slice(struct eval *e, struct tv object, int64_t first, int64_t count, int64_t step,
                      struct tv *out)
{
    struct tv list = tv_none();
    TRY(tv_new_list(&e->budget, object.kind, count, &list));
    for (int64_t i = 0; i < count; i++)
        list.as.list->items[i] = object.as.list->items[first + i * step];
    *out = list;
    return OK;
}

int eval_slice(struct eval *e, struct tv object, const struct tv *start, const struct tv *stop,
               const struct tv *step, struct tv *out)
{
    bool text = object.kind == TV_TEXT;
    int64_t count = 0, first, last, by = 1;
    uint32_t *at = NULL;
    if (object.kind == TV_UNDEFINED)
        return fail(ERR_ARG, "'%.*s' is undefined and has no slices", (int)object.length,
                    object.as.text);
    if (!text && object.kind != TV_LIST && object.kind != TV_TUPLE && object.kind != TV_RANGE)
        return fail(ERR_ARG, "a %s has no slices", tv_type(object));
    if (text)
        at = offsets(e, object, &count);
    else
        count = object.as.list->count;
    if (text && !at)
        return ERR_MEMORY;
    if (step && step->kind != TV_NONE) {
        if ((step->kind != TV_INT && step->kind != TV_BOOL) || tv_integer(*step) == 0)
            return fail(ERR_ARG, "the step of a slice must be an integer and not 0");
        by = tv_integer(*step);
    }
    int64_t low = by < 0 ? -1 : 0;
    TRY(bound(start, by < 0 ? count - 1 : 0, count, low, &first));
    TRY(bound(stop, by < 0 ? -1 : count, count, low, &last));
    int64_t items = 0;
    if (by > 0 && last > first)
        items = 1 + (last - first - 1) / by;
    if (by < 0 && first > last)
        items = by == INT64_MIN ? 1 : 1 + (first - last - 1) / -by;
    TRY(tv_spend(&e->budget, items / 16 + (text ? object.length / 64 : 0)));
    if (text)
        TRY(text_slice(e, object, at, items ? first : 0, items, by, out));
    else
        TRY(list_slice(e, object, first, items, by, out));
    if (text)
        out->safe = object.safe;
    return OK;
}
