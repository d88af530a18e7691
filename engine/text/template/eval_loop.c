/* eval_loop.c -- for loops, macros and calls. */
#include "engine/text/template/eval.h"
#include "engine/text/unicode.h"

#include <string.h>

/* The characters of a text as a list. */
static int characters(struct eval *e, struct tv text, struct tv_list **out)
{
    struct tv list = tv_none();
    const char *p = text.as.text, *end = p + text.length;
    int64_t count = 0;
    for (const char *q = p; q < end; q++)
        count += ((unsigned char)*q & 0xC0) != 0x80;
    TRY(tv_spend(&e->budget, count));
    TRY(tv_new_list(&e->budget, TV_LIST, count, &list));
    for (int64_t i = 0; i < count; i++) {
        uint32_t cp;
        int n = utf8_decode(p, end, &cp);
        n = n ? n : 1;
        list.as.list->items[i] = tv_text(p, (size_t)n);
        p += n;
    }
    *out = list.as.list;
    return OK;
}

static int keys(struct eval *e, const struct tv_map *map, struct tv_list **out)
{
    struct tv list = tv_none();
    TRY(tv_new_list(&e->budget, TV_LIST, map->count, &list));
    for (int64_t i = 0; i < map->count; i++)
        list.as.list->items[i] = map->pairs[i].key;
    *out = list.as.list;
    return OK;
}

/* What an iterator has not given yet. */
static int rest(struct eval *e, struct tv_iterator *it, struct tv_list **out)
{
    struct tv list = tv_none();
    int64_t left = it->list->count - it->next;
    TRY(tv_new_list(&e->budget, TV_LIST, 0, &list));
    list.as.list->items = it->list->items + it->next;
    list.as.list->count = left;
    it->next = it->list->count;
    *out = list.as.list;
    return OK;
}

int eval_items(struct eval *e, struct tv over, struct tv_list **out)
{
    struct tv list = tv_none();
    switch (over.kind) {
    case TV_LIST:
    case TV_TUPLE:
    case TV_RANGE:
    case TV_VIEW:
        *out = over.as.list;
        return OK;
    case TV_MAP:
        return keys(e, over.as.map, out);
    case TV_TEXT:
        return characters(e, over, out);
    case TV_ITERATOR:
        return rest(e, over.as.iterator, out);
    case TV_UNDEFINED:
        TRY(tv_new_list(&e->budget, TV_LIST, 0, &list));
        *out = list.as.list;
        return OK;
    default:
        return fail(ERR_ARG, "a %s has no items to go through; expected a list, a map or a text",
                    tv_type(over));
    }
}

/* The next item that the loop's condition lets through. */
static int fetch(struct eval *e, struct loop *l, struct tv *out, bool *found)
{
    const struct stmt *s = l->node;
    *found = false;
    while (l->next < l->list->count) {
        struct tv item = l->list->items[l->next++], test = tv_bool(true);
        TRY(tv_spend(&e->budget, 1));
        if (l->filtered) {
            l->inside->count = 0;
            TRY(eval_assign(e, &s->as.loop.target, item, l->inside));
            TRY(eval_expr(e, s->as.loop.test, l->inside, &test));
        }
        if (tv_truth(test)) {
            *out = item;
            *found = true;
            return OK;
        }
    }
    return OK;
}

static int peek(struct eval *e, struct loop *l)
{
    return l->has_after ? OK : fetch(e, l, &l->after, &l->has_after);
}

/* All items that are left become the list, so that they can be counted. */
static int count_all(struct eval *e, struct loop *l)
{
    struct tv list = tv_none();
    int64_t count = 0;
    if (l->length >= 0)
        return OK;
    TRY(tv_new_list(&e->budget, TV_LIST, l->list->count - l->next, &list));
    for (bool found = true; found;) {
        struct tv item = tv_none();
        TRY(fetch(e, l, &item, &found));
        if (found)
            list.as.list->items[count++] = item;
    }
    list.as.list->count = count;
    l->list = list.as.list;
    l->next = 0;
    l->filtered = false;
    l->length = l->index + 1 + l->has_after + count;
    return OK;
}

static bool is(const char *name, size_t length, const char *literal)
{
    return strlen(literal) == length && memcmp(name, literal, length) == 0;
}

static int neighbour(struct eval *e, struct loop *l, bool next, struct tv *out)
{
    if (next) {
        TRY(peek(e, l));
        *out = l->has_after ? l->after : tv_undefined("loop.nextitem", 13);
    } else {
        *out = l->index > 0 ? l->before : tv_undefined("loop.previtem", 13);
    }
    return OK;
}

int eval_loop_attribute(struct eval *e, struct loop *l, const char *name, size_t length,
                        struct tv *out, bool *found)
{
    *found = true;
    if (is(name, length, "index"))
        *out = tv_int(l->index + 1);
    else if (is(name, length, "index0"))
        *out = tv_int(l->index);
    else if (is(name, length, "first"))
        *out = tv_bool(l->index == 0);
    else if (is(name, length, "depth"))
        *out = tv_int(l->depth + 1);
    else if (is(name, length, "depth0"))
        *out = tv_int(l->depth);
    else if (is(name, length, "previtem") || is(name, length, "nextitem"))
        return neighbour(e, l, name[0] == 'n', out);
    else if (is(name, length, "last")) {
        TRY(peek(e, l));
        *out = tv_bool(!l->has_after);
    } else if (is(name, length, "length")) {
        TRY(count_all(e, l));
        *out = tv_int(l->length);
    } else if (is(name, length, "revindex") || is(name, length, "revindex0")) {
        TRY(count_all(e, l));
        *out = tv_int(l->length - l->index - (length == 9));
    } else {
        *found = false;
    }
    return OK;
}

static int advance(struct eval *e, struct loop *l, bool *found)
{
    l->before = l->current;
    if (l->has_after) {
        l->current = l->after;
        l->has_after = false;
        *found = true;
    } else {
        TRY(fetch(e, l, &l->current, found));
    }
    l->index++;
    return OK;
}

/* The number of the name "loop" in this template; -1 = it is not read. */
static int64_t loop_name(const struct template *t)
{
    for (uint32_t i = 0; i < t->name_count; i++)
        if (is(t->names[i], t->name_lengths[i], "loop"))
            return i;
    return -1;
}

static int otherwise(struct eval *e, const struct stmt *s, struct scope *scope)
{
    struct scope *inner = eval_scope(e, scope);
    return inner ? eval_body(e, &s->as.loop.otherwise, inner) : ERR_MEMORY;
}

int eval_loop(struct eval *e, const struct stmt *s, struct tv over, struct scope *scope, int depth)
{
    struct loop *l = heap_array(&e->budget.heap, 1, sizeof *l);
    struct scope *inner = eval_scope(e, scope), *inside = eval_scope(e, scope);
    int64_t name = loop_name(e->t);
    bool found = false;
    if (!l || !inner || !inside)
        return ERR_MEMORY;
    *l = (struct loop){.node = s, .scope = scope, .inside = inside, .index = -1, .depth = depth};
    TRY(eval_place(e, s->as.loop.over->at, eval_items(e, over, &l->list)));
    l->filtered = s->as.loop.test != NULL;
    l->length = l->filtered ? -1 : l->list->count;
    for (;;) {
        TRY(advance(e, l, &found));
        if (!found)
            break;
        inner->count = 0;
        if (name >= 0)
            TRY(eval_set(e, inner, (uint32_t)name, (struct tv){.kind = TV_LOOP, .as.loop = l}));
        TRY(eval_assign(e, &s->as.loop.target, l->current, inner));
        TRY(eval_body(e, &s->as.loop.body, inner));
        bool stop = e->flow == FLOW_BREAK;
        e->flow = FLOW_ON;
        if (stop)
            return OK;
    }
    return l->index == 0 ? otherwise(e, s, scope) : OK;
}

static int recurse(struct eval *e, struct loop *l, struct arguments *a, struct tv *out)
{
    if (!l->node->as.loop.recursive)
        return fail(ERR_ARG, "loop(...) needs a loop that is marked 'recursive'");
    if (a->count != 1 || a->named)
        return fail(ERR_ARG, "loop(...) takes one list");
    int64_t begin = eval_capture(e);
    return eval_captured(e, begin, eval_loop(e, l->node, a->positional[0], l->scope, l->depth + 1),
                         out);
}

/* The value of a macro's parameter: by place, by name, by default. */
static int parameter(struct eval *e, const struct macro *m, uint32_t i, struct arguments *a,
                     struct scope *scope, int64_t *named)
{
    const struct parameter *p = &m->node->parameters[i];
    const char *name = e->t->names[p->name];
    uint32_t length = e->t->name_lengths[p->name];
    struct tv *given = a->named ? tv_map_find(a->named, name, length) : NULL;
    struct tv v = tv_undefined(name, length);
    if (i < a->count) {
        if (given)
            return fail(ERR_ARG, "'%.*s' is given twice", (int)length, name);
        v = a->positional[i];
    } else if (given) {
        v = *given;
        (*named)++;
    } else if (p->fallback) {
        TRY(eval_expr(e, p->fallback, scope, &v));
    }
    return eval_set(e, scope, p->name, v);
}

static bool is_parameter(struct eval *e, const struct macro *m, struct tv name)
{
    for (uint32_t i = 0; i < m->node->count; i++) {
        uint32_t n = m->node->parameters[i].name;
        if (name.kind == TV_TEXT && name.length == e->t->name_lengths[n] &&
            memcmp(name.as.text, e->t->names[n], name.length) == 0)
            return true;
    }
    return false;
}

/* A special name of a macro's body, when the body reads it. */
static int special(struct eval *e, struct scope *scope, const char *name, struct tv v)
{
    for (uint32_t i = 0; i < e->t->name_count; i++)
        if (is(e->t->names[i], e->t->name_lengths[i], name))
            return eval_set(e, scope, i, v);
    return OK;
}

/* varargs, kwargs and caller. */
static int specials(struct eval *e, const struct macro *m, struct arguments *a, struct scope *scope,
                    int64_t named)
{
    int64_t taken = m->node->count, extra = a->count > taken ? a->count - taken : 0;
    struct tv list = tv_none(), map = tv_none(), *caller = NULL;
    if (a->named && !is_parameter(e, m, tv_text("caller", 6)))
        caller = tv_map_find(a->named, "caller", 6);
    if (m->node->caller && !is_parameter(e, m, tv_text("caller", 6))) {
        TRY(special(e, scope, "caller", caller ? *caller : tv_undefined("caller", 6)));
        named += caller != NULL;
    }
    if (extra && !m->node->varargs)
        return fail(ERR_ARG, "%.*s takes %lld arguments, %lld are given", (int)m->name_length,
                    m->name, (long long)taken, (long long)a->count);
    if (m->node->varargs) {
        TRY(tv_new_list(&e->budget, TV_TUPLE, extra, &list));
        for (int64_t i = 0; i < extra; i++)
            list.as.list->items[i] = a->positional[taken + i];
        TRY(special(e, scope, "varargs", list));
    }
    if (!m->node->kwargs && (!a->named || named == a->named->count))
        return OK;
    TRY(tv_new_map(&e->budget, TV_MAP, 0, &map));
    for (int64_t i = 0; a->named && i < a->named->count; i++) {
        const struct tv_pair *p = &a->named->pairs[i];
        if (is_parameter(e, m, p->key) || (m->node->caller && &p->value == caller))
            continue;
        if (!m->node->kwargs)
            return fail(ERR_ARG, "%.*s has no parameter '%.*s'", (int)m->name_length, m->name,
                        (int)p->key.length, p->key.kind == TV_TEXT ? p->key.as.text : "");
        TRY(tv_map_set(&e->budget, map.as.map, p->key, p->value));
    }
    return special(e, scope, "kwargs", map);
}

int eval_macro(struct eval *e, const struct macro *m, struct arguments *a, struct tv *out)
{
    struct scope *scope = eval_scope(e, m->scope);
    int64_t named = 0;
    if (!scope)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < m->node->count; i++)
        TRY(parameter(e, m, i, a, scope, &named));
    TRY(specials(e, m, a, scope, named));
    int64_t begin = eval_capture(e);
    return eval_captured(e, begin, eval_body(e, &m->node->body, scope), out);
}

int eval_call(struct eval *e, struct tv callee, struct arguments *a, struct tv *out)
{
    switch (callee.kind) {
    case TV_FUNCTION:
        return builtin_call(e, callee.as.function, a, out);
    case TV_METHOD:
        a->self = callee.as.method->self;
        return builtin_call(e, callee.as.method->function, a, out);
    case TV_MACRO:
        return eval_macro(e, callee.as.macro, a, out);
    case TV_LOOP:
        return recurse(e, callee.as.loop, a, out);
    case TV_UNDEFINED:
        return fail(ERR_ARG, "'%.*s' is undefined and cannot be called", (int)callee.length,
                    callee.as.text);
    default:
        return fail(ERR_ARG, "a %s cannot be called", tv_type(callee));
    }
}
