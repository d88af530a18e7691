/* tv.c -- making, looking up and comparing template values. */
#include "engine/text/template/tv.h"
#include "engine/core/hash.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <string.h>

enum { SLOTS_FROM = 9 }; /* pairs; shorter maps are searched one by one */

int tv_spend(struct tv_budget *b, int64_t steps)
{
    if (steps > b->fuel) {
        b->fuel = 0;
        return fail(ERR_MEMORY, "the template takes too many steps; hint: an endless loop?");
    }
    b->fuel -= steps;
    return OK;
}

int tv_check(const struct tv_budget *b, const struct buffer *text)
{
    if (text->status)
        return text->status;
    if ((size_t)text->length > b->text)
        return fail(ERR_MEMORY, "a text of more than %zu bytes", b->text);
    return OK;
}

int tv_new_list(struct tv_budget *b, enum tv_kind kind, int64_t count, struct tv *out)
{
    struct tv_list *list = heap_array(&b->heap, 1, sizeof *list);
    if (!list)
        return ERR_MEMORY;
    list->items = heap_array(&b->heap, (size_t)count, sizeof *list->items);
    if (!list->items)
        return ERR_MEMORY;
    list->count = count;
    *out = (struct tv){.kind = (uint8_t)kind, .as.list = list};
    return OK;
}

int tv_new_map(struct tv_budget *b, enum tv_kind kind, int64_t capacity, struct tv *out)
{
    struct tv_map *map = heap_array(&b->heap, 1, sizeof *map);
    if (!map)
        return ERR_MEMORY;
    map->pairs = heap_array(&b->heap, (size_t)capacity, sizeof *map->pairs);
    if (!map->pairs)
        return ERR_MEMORY;
    map->capacity = capacity;
    *out = (struct tv){.kind = (uint8_t)kind, .as.map = map};
    return OK;
}

/* Can the value be a key? Its hash: equal numbers of different kinds have the same. */
static bool hash_key(struct tv key, uint64_t *hash)
{
    double d;
    switch (key.kind) {
    case TV_NONE:
        *hash = 1;
        return true;
    case TV_TEXT:
        *hash = hash_bytes(key.as.text, key.length);
        return true;
    case TV_BOOL:
    case TV_INT:
    case TV_FLOAT:
        d = tv_double(key);
        if (d == 0)
            d = 0; /* not -0 */
        *hash = hash_bytes(&d, sizeof d);
        return true;
    default:
        return false;
    }
}

static bool numbers_equal(struct tv x, struct tv y)
{
    if (x.kind != TV_FLOAT && y.kind != TV_FLOAT)
        return tv_integer(x) == tv_integer(y);
    return tv_double(x) == tv_double(y);
}

static bool texts_equal(struct tv x, struct tv y)
{
    return x.length == y.length && memcmp(x.as.text, y.as.text, x.length) == 0;
}

static bool keys_equal(struct tv x, struct tv y)
{
    if (x.kind == TV_TEXT)
        return y.kind == TV_TEXT && texts_equal(x, y);
    if (x.kind == TV_NONE)
        return y.kind == TV_NONE;
    return tv_is_number(y) && numbers_equal(x, y);
}

static int64_t find(const struct tv_map *m, struct tv key)
{
    uint64_t hash;
    if (!hash_key(key, &hash))
        return -1;
    if (!m->slots) {
        for (int64_t i = 0; i < m->count; i++)
            if (keys_equal(key, m->pairs[i].key))
                return i;
        return -1;
    }
    for (uint64_t at = hash & m->mask; m->slots[at]; at = (at + 1) & m->mask)
        if (keys_equal(key, m->pairs[m->slots[at] - 1].key))
            return m->slots[at] - 1;
    return -1;
}

struct tv *tv_map_get(const struct tv_map *m, struct tv key)
{
    int64_t at = find(m, key);
    return at < 0 ? NULL : &m->pairs[at].value;
}

struct tv *tv_map_find(const struct tv_map *m, const char *key, size_t length)
{
    return tv_map_get(m, tv_text(key, length));
}

static void put_slot(struct tv_map *m, int64_t pair)
{
    uint64_t hash = 0;
    (void)hash_key(m->pairs[pair].key, &hash);
    uint64_t at = hash & m->mask;
    while (m->slots[at])
        at = (at + 1) & m->mask;
    m->slots[at] = (uint32_t)(pair + 1);
}

/* Room for one more pair, at most half the slots full. */
static int grow(struct tv_budget *b, struct tv_map *m)
{
    if (m->count == m->capacity) {
        int64_t capacity = m->capacity ? m->capacity * 2 : 4;
        struct tv_pair *pairs = heap_array(&b->heap, (size_t)capacity, sizeof *pairs);
        if (!pairs)
            return ERR_MEMORY;
        if (m->count)
            memcpy(pairs, m->pairs, (size_t)m->count * sizeof *pairs);
        m->pairs = pairs;
        m->capacity = capacity;
    }
    if (m->count + 1 < SLOTS_FROM || (m->slots && (uint64_t)(m->count + 1) * 2 <= m->mask))
        return OK;
    uint64_t size = m->slots ? (m->mask + 1) * 2 : 32;
    while (size <= (uint64_t)m->count * 2 + 2)
        size *= 2;
    uint32_t *slots = heap_array(&b->heap, size, sizeof *slots);
    if (!slots)
        return ERR_MEMORY;
    m->slots = slots;
    m->mask = size - 1;
    for (int64_t i = 0; i < m->count; i++)
        put_slot(m, i);
    return OK;
}

int tv_map_set(struct tv_budget *b, struct tv_map *m, struct tv key, struct tv value)
{
    uint64_t hash;
    if (!hash_key(key, &hash))
        return fail(ERR_ARG, "a %s cannot be a key of a map", tv_type(key));
    int64_t at = find(m, key);
    if (at >= 0) {
        m->pairs[at].value = value;
        return OK;
    }
    TRY(grow(b, m));
    m->pairs[m->count] = (struct tv_pair){key, value};
    m->count++;
    if (m->slots)
        put_slot(m, m->count - 1);
    return OK;
}

bool tv_truth(struct tv v)
{
    switch (v.kind) {
    case TV_UNDEFINED:
    case TV_NONE:
        return false;
    case TV_BOOL:
        return v.as.boolean;
    case TV_INT:
        return v.as.integer != 0;
    case TV_FLOAT:
        return v.as.number != 0;
    case TV_TEXT:
        return v.length > 0;
    case TV_LIST:
    case TV_TUPLE:
    case TV_RANGE:
    case TV_VIEW:
        return v.as.list->count > 0;
    case TV_MAP:
        return v.as.map->count > 0;
    default:
        return true;
    }
}

static const char *const type_names[] = {
    [TV_UNDEFINED] = "Undefined",
    [TV_NONE] = "NoneType",
    [TV_BOOL] = "bool",
    [TV_INT] = "int",
    [TV_FLOAT] = "float",
    [TV_TEXT] = "str",
    [TV_LIST] = "list",
    [TV_TUPLE] = "tuple",
    [TV_MAP] = "dict",
    [TV_RANGE] = "range",
    [TV_VIEW] = "dict view",
    [TV_ITERATOR] = "generator",
    [TV_NAMESPACE] = "namespace",
    [TV_MACRO] = "macro",
    [TV_FUNCTION] = "function",
    [TV_METHOD] = "method",
    [TV_LOOP] = "loop",
};

const char *tv_type(struct tv v)
{
    return type_names[v.kind];
}

static int equal_at(struct tv_budget *b, struct tv x, struct tv y, int depth, bool *out);

static int lists_equal(struct tv_budget *b, const struct tv_list *x, const struct tv_list *y,
                       int depth, bool *out)
{
    *out = x->count == y->count;
    for (int64_t i = 0; i < x->count && *out; i++)
        TRY(equal_at(b, x->items[i], y->items[i], depth + 1, out));
    return OK;
}

static int maps_equal(struct tv_budget *b, const struct tv_map *x, const struct tv_map *y,
                      int depth, bool *out)
{
    *out = x->count == y->count;
    for (int64_t i = 0; i < x->count && *out; i++) {
        const struct tv *other = tv_map_get(y, x->pairs[i].key);
        *out = other != NULL;
        if (other)
            TRY(equal_at(b, x->pairs[i].value, *other, depth + 1, out));
    }
    return OK;
}

static int equal_at(struct tv_budget *b, struct tv x, struct tv y, int depth, bool *out)
{
    if (depth > TV_DEPTH)
        return fail(ERR_ARG, "values nested deeper than %d are compared", TV_DEPTH);
    TRY(tv_spend(b, 1));
    *out = false;
    if (tv_is_number(x) && tv_is_number(y))
        *out = numbers_equal(x, y);
    if (x.kind != y.kind || tv_is_number(x))
        return OK;
    switch (x.kind) {
    case TV_UNDEFINED:
    case TV_NONE:
        *out = true;
        return OK;
    case TV_TEXT:
        TRY(tv_spend(b, x.length / 256));
        *out = texts_equal(x, y);
        return OK;
    case TV_LIST:
    case TV_TUPLE:
    case TV_RANGE:
        return lists_equal(b, x.as.list, y.as.list, depth, out);
    case TV_MAP:
        return maps_equal(b, x.as.map, y.as.map, depth, out);
    default:
        *out = x.as.text == y.as.text; /* the same object */
        return OK;
    }
}

int tv_equal(struct tv_budget *b, struct tv x, struct tv y, bool *out)
{
    return equal_at(b, x, y, 0, out);
}

static int order(bool less, bool more)
{
    return more - less;
}

static int compare_texts(struct tv x, struct tv y)
{
    uint32_t both = x.length < y.length ? x.length : y.length;
    int c = memcmp(x.as.text, y.as.text, both); /* the order of UTF-8 is that of code points */
    return c ? c : order(x.length<y.length, x.length> y.length);
}

static int compare_numbers(struct tv x, struct tv y, bool *ordered)
{
    if (x.kind != TV_FLOAT && y.kind != TV_FLOAT)
        return order(tv_integer(x) < tv_integer(y), tv_integer(x) > tv_integer(y));
    double a = tv_double(x), b = tv_double(y);
    *ordered = !isnan(a) && !isnan(b);
    return order(a<b, a> b);
}

static int compare_at(struct tv_budget *b, struct tv x, struct tv y, int depth, int *out,
                      bool *ordered)
{
    *ordered = true;
    TRY(tv_spend(b, 1));
    if (tv_is_number(x) && tv_is_number(y)) {
        *out = compare_numbers(x, y, ordered);
        return OK;
    }
    if (x.kind == TV_TEXT && y.kind == TV_TEXT) {
        TRY(tv_spend(b, x.length / 256));
        *out = compare_texts(x, y);
        return OK;
    }
    if (x.kind != y.kind || (x.kind != TV_LIST && x.kind != TV_TUPLE) || depth > TV_DEPTH)
        return fail(ERR_ARG, "'%s' and '%s' have no order", tv_type(x), tv_type(y));
    const struct tv_list *p = x.as.list, *q = y.as.list;
    for (int64_t i = 0; i < p->count && i < q->count; i++) {
        bool same;
        TRY(equal_at(b, p->items[i], q->items[i], depth + 1, &same));
        if (!same)
            return compare_at(b, p->items[i], q->items[i], depth + 1, out, ordered);
    }
    *out = order(p->count<q->count, p->count> q->count);
    return OK;
}

int tv_compare(struct tv_budget *b, struct tv x, struct tv y, int *out, bool *ordered)
{
    return compare_at(b, x, y, 0, out, ordered);
}
