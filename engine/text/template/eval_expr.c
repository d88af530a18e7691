/* eval_expr.c -- the expressions of a template. */
#include "engine/text/template/eval.h"

#include <math.h>
#include <string.h>

static struct tv lookup(struct eval *e, const struct scope *scope, uint32_t name)
{
    for (; scope->parent; scope = scope->parent)
        for (uint32_t i = 0; i < scope->count; i++)
            if (scope->items[i].name == name)
                return scope->items[i].value;
    return e->globals[name];
}

static int sequence(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct tv list = tv_none();
    TRY(tv_new_list(&e->budget, x->kind == EXPR_LIST ? TV_LIST : TV_TUPLE, x->count, &list));
    for (uint32_t i = 0; i < x->count; i++)
        TRY(eval_expr(e, x->as.parts.items[i], scope, &list.as.list->items[i]));
    *out = list;
    return OK;
}

static int dict(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct tv map = tv_none();
    TRY(tv_new_map(&e->budget, TV_MAP, x->count / 2, &map));
    for (uint32_t i = 0; i + 1 < x->count; i += 2) {
        struct tv key = tv_none(), value = tv_none();
        TRY(eval_expr(e, x->as.parts.items[i], scope, &key));
        TRY(eval_expr(e, x->as.parts.items[i + 1], scope, &value));
        TRY(eval_place(e, x->as.parts.items[i]->at,
                       tv_map_set(&e->budget, map.as.map, key, value)));
    }
    *out = map;
    return OK;
}

/* The first operand that decides, else the last. */
static int logic(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    for (uint32_t i = 0; i < x->count; i++) {
        TRY(eval_expr(e, x->as.parts.items[i], scope, out));
        if (tv_truth(*out) == (x->kind == EXPR_OR))
            break;
    }
    return OK;
}

static int compare_one(struct eval *e, enum operator_kind op, struct tv x, struct tv y, bool *out)
{
    int order = 0;
    bool ordered = true;
    if (op == OP_IN || op == OP_NOT_IN) {
        TRY(eval_contains(e, x, y, out));
        *out = *out == (op == OP_IN);
        return OK;
    }
    if (op == OP_EQ || op == OP_NE) {
        TRY(tv_equal(&e->budget, x, y, out));
        *out = *out == (op == OP_EQ);
        return OK;
    }
    if (x.kind == TV_UNDEFINED || y.kind == TV_UNDEFINED) {
        struct tv u = x.kind == TV_UNDEFINED ? x : y;
        return fail(ERR_ARG, "'%.*s' is undefined and cannot be compared", (int)u.length,
                    u.as.text);
    }
    TRY(tv_compare(&e->budget, x, y, &order, &ordered));
    *out = ordered && (op == OP_LT   ? order < 0
                       : op == OP_LE ? order <= 0
                       : op == OP_GT ? order > 0
                                     : order >= 0);
    return OK;
}

static int comparison(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct tv left = tv_none(), right = tv_none();
    bool holds = true;
    TRY(eval_expr(e, x->as.parts.items[0], scope, &left));
    for (uint32_t i = 1; i < x->count && holds; i++) {
        TRY(eval_expr(e, x->as.parts.items[i], scope, &right));
        TRY(eval_place(e, x->as.parts.items[i]->at,
                       compare_one(e, x->as.parts.ops[i - 1], left, right, &holds)));
        left = right;
    }
    *out = tv_bool(holds);
    return OK;
}

static int math(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct tv left = tv_none(), right = tv_none();
    TRY(eval_expr(e, x->as.parts.items[0], scope, &left));
    for (uint32_t i = 1; i < x->count; i++) {
        TRY(eval_expr(e, x->as.parts.items[i], scope, &right));
        TRY(eval_place(e, x->as.parts.items[i]->at,
                       eval_math(e, x->as.parts.ops[i - 1], left, right, &left)));
    }
    *out = left;
    return OK;
}

static int concat(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct buffer text = {0};
    int status = OK;
    for (uint32_t i = 0; i < x->count && !status; i++) {
        struct tv v = tv_none();
        status = eval_expr(e, x->as.parts.items[i], scope, &v);
        if (!status)
            status = eval_place(e, x->as.parts.items[i]->at, tv_str(&e->budget, v, &text));
        if (!status)
            status = tv_check(&e->budget, &text);
    }
    if (!status)
        return tv_from_buffer(&e->budget, &text, out);
    buffer_free(&text);
    return status;
}

static int sign(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct tv v = tv_none();
    bool negative = x->kind == EXPR_NEG;
    TRY(eval_expr(e, x->as.parts.items[0], scope, &v));
    if (!tv_is_number(v) || (v.kind == TV_INT && v.as.integer == INT64_MIN))
        return eval_place(e, x->at, fail(ERR_ARG, "a %s has no sign", tv_type(v)));
    if (v.kind == TV_FLOAT)
        *out = tv_float(negative ? -v.as.number : v.as.number);
    else
        *out = tv_int(negative ? -tv_integer(v) : tv_integer(v));
    return OK;
}

static int conditional(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct tv test = tv_none();
    struct expr *const *parts = x->as.parts.items;
    TRY(eval_expr(e, parts[1], scope, &test));
    if (tv_truth(test))
        return eval_expr(e, parts[0], scope, out);
    if (parts[2])
        return eval_expr(e, parts[2], scope, out);
    *out = tv_undefined("the value of an 'if' without 'else'", 35);
    return OK;
}

/* *list or **map among the arguments. */
static int spread(struct eval *e, const struct argument *a, struct tv v, struct arguments *out,
                  int64_t room)
{
    if (!a->name) {
        struct tv_list *list = NULL;
        TRY(eval_items(e, v, &list));
        struct tv *more = heap_array(&e->budget.heap, (size_t)(room + list->count), sizeof *more);
        if (!more)
            return ERR_MEMORY;
        for (int64_t i = 0; i < out->count + list->count; i++)
            more[i] = i < out->count ? out->positional[i] : list->items[i - out->count];
        out->positional = more;
        out->count += list->count;
        return OK;
    }
    if (v.kind != TV_MAP)
        return fail(ERR_ARG, "** before a %s, which is no map", tv_type(v));
    for (int64_t i = 0; i < v.as.map->count; i++)
        TRY(tv_map_set(&e->budget, out->named, v.as.map->pairs[i].key, v.as.map->pairs[i].value));
    return OK;
}

/* Evaluates the arguments of a link. */
static int arguments(struct eval *e, const struct link *l, struct scope *scope,
                     struct arguments *out)
{
    int64_t named = 0;
    for (uint32_t i = 0; i < l->count; i++)
        named += l->arguments[i].name != NULL;
    out->positional = heap_array(&e->budget.heap, l->count, sizeof *out->positional);
    if (!out->positional)
        return ERR_MEMORY;
    if (named) {
        struct tv map = tv_none();
        TRY(tv_new_map(&e->budget, TV_MAP, named, &map));
        out->named = map.as.map;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        const struct argument *a = &l->arguments[i];
        struct tv v = tv_none();
        int status = OK;
        TRY(eval_expr(e, a->value, scope, &v));
        if (a->spread)
            status = spread(e, a, v, out, (int64_t)l->count);
        else if (a->name)
            status = tv_map_set(&e->budget, out->named, tv_text(a->name, a->name_length), v);
        else
            out->positional[out->count++] = v;
        TRY(eval_place(e, a->value->at, status));
    }
    return OK;
}

static int slice(struct eval *e, const struct link *l, struct scope *scope, struct tv object,
                 struct tv *out)
{
    struct tv index[3];
    for (int i = 0; i < 3; i++)
        if (l->index[i])
            TRY(eval_expr(e, l->index[i], scope, &index[i]));
    return eval_slice(e, object, l->index[0] ? &index[0] : NULL, l->index[1] ? &index[1] : NULL,
                      l->index[2] ? &index[2] : NULL, out);
}

static int item(struct eval *e, const struct link *l, struct scope *scope, struct tv object,
                struct tv *out)
{
    struct tv key = tv_none();
    TRY(eval_expr(e, l->index[0], scope, &key));
    return eval_item(e, object, key, out);
}

static int called(struct eval *e, const struct link *l, struct scope *scope, struct tv v,
                  struct tv *out)
{
    struct arguments a = {.self = v};
    TRY(arguments(e, l, scope, &a));
    if (l->kind == LINK_CALL)
        return eval_call(e, v, &a, out);
    if (!l->function)
        return builtin_unknown(l->kind == LINK_FILTER, l->name, l->name_length);
    TRY(builtin_call(e, l->function, &a, out));
    if (l->kind == LINK_TEST && l->negated)
        *out = tv_bool(!tv_truth(*out));
    return OK;
}

static int follow(struct eval *e, const struct link *l, struct scope *scope, struct tv v,
                  struct tv *out)
{
    switch (l->kind) {
    case LINK_ATTRIBUTE:
        return eval_attribute(e, v, l->name, l->name_length, out);
    case LINK_ITEM:
        return item(e, l, scope, v, out);
    case LINK_SLICE:
        return slice(e, l, scope, v, out);
    default:
        return called(e, l, scope, v, out);
    }
}

static int chain(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct tv v = tv_none();
    TRY(eval_expr(e, x->as.chain.base, scope, &v));
    for (uint32_t i = 0; i < x->count; i++) {
        const struct link *l = &x->as.chain.links[i];
        struct tv result = tv_none();
        TRY(tv_spend(&e->budget, 1));
        TRY(eval_place(e, l->at, follow(e, l, scope, v, &result)));
        v = result;
    }
    *out = v;
    return OK;
}

static int deep(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    struct tv v = tv_none();
    switch (x->kind) {
    case EXPR_LIST:
    case EXPR_TUPLE:
        return sequence(e, x, scope, out);
    case EXPR_DICT:
        return dict(e, x, scope, out);
    case EXPR_CHAIN:
        return chain(e, x, scope, out);
    case EXPR_OR:
    case EXPR_AND:
        return logic(e, x, scope, out);
    case EXPR_NOT:
        TRY(eval_expr(e, x->as.parts.items[0], scope, &v));
        *out = tv_bool(!tv_truth(v));
        return OK;
    case EXPR_COMPARE:
        return comparison(e, x, scope, out);
    case EXPR_MATH:
        return math(e, x, scope, out);
    case EXPR_CONCAT:
        return concat(e, x, scope, out);
    case EXPR_NEG:
    case EXPR_POS:
        return sign(e, x, scope, out);
    case EXPR_IF:
        return conditional(e, x, scope, out);
    default:
        return fail(ERR_INTERNAL, "an expression of no kind");
    }
}

int eval_expr(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out)
{
    if (x->kind == EXPR_CONST) {
        *out = x->as.constant;
        return OK;
    }
    if (x->kind == EXPR_NAME) {
        *out = lookup(e, scope, x->as.name);
        return OK;
    }
    TRY(eval_enter(e, x->at));
    TRY(eval_place(e, x->at, deep(e, x, scope, out)));
    e->depth--;
    return OK;
}
