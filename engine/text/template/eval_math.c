/* eval_math.c -- arithmetic, joining and repeating, 'in', and the % that formats. */
#include "engine/core/json_write.h"
#include "engine/text/template/eval.h"
#include "engine/text/template/pytext.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [OP_ADD] = "+",       [OP_SUB] = "-", [OP_MUL] = "*",  [OP_DIV] = "/",
    [OP_FLOORDIV] = "//", [OP_MOD] = "%", [OP_POW] = "**",
};

static int no_operator(enum operator_kind op, struct tv x, struct tv y)
{
    if (x.kind == TV_UNDEFINED || y.kind == TV_UNDEFINED) {
        struct tv u = x.kind == TV_UNDEFINED ? x : y;
        return fail(ERR_ARG, "'%.*s' is undefined and cannot be used with %s", (int)u.length,
                    u.as.text, names[op]);
    }
    return fail(ERR_ARG, "'%s' %s '%s' is not possible", tv_type(x), names[op], tv_type(y));
}

static int too_large(void)
{
    return fail(ERR_ARG, "an integer of more than 64 bits");
}

static int integers(enum operator_kind op, int64_t x, int64_t y, struct tv *out)
{
    int64_t r = 0;
    bool over = false;
    switch (op) {
    case OP_ADD:
        over = __builtin_add_overflow(x, y, &r);
        break;
    case OP_SUB:
        over = __builtin_sub_overflow(x, y, &r);
        break;
    case OP_MUL:
        over = __builtin_mul_overflow(x, y, &r);
        break;
    case OP_FLOORDIV:
    case OP_MOD:
        if (y == 0)
            return fail(ERR_ARG, "division by zero");
        if (y == -1) { /* INT64_MIN / -1 overflows */
            over = op == OP_FLOORDIV && x == INT64_MIN;
            r = over || op == OP_MOD ? 0 : -x;
            break;
        }
        r = op == OP_FLOORDIV ? x / y : x % y;
        if (x % y != 0 && (x < 0) != (y < 0)) /* towards the floor */
            r = op == OP_FLOORDIV ? r - 1 : r + y;
        break;
    default:
        for (r = 1; y > 0 && !over; y--) {
            over = __builtin_mul_overflow(r, x, &r);
            if (x == 0 || x == 1 || (x == -1 && y > 2))
                y = x == -1 ? (y & 1) + 2 : 1;
        }
    }
    if (over)
        return too_large();
    *out = tv_int(r);
    return OK;
}

static int doubles(enum operator_kind op, double x, double y, struct tv *out)
{
    double r;
    if (y == 0 && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD))
        return fail(ERR_ARG, "division by zero");
    switch (op) {
    case OP_ADD:
        r = x + y;
        break;
    case OP_SUB:
        r = x - y;
        break;
    case OP_MUL:
        r = x * y;
        break;
    case OP_DIV:
        r = x / y;
        break;
    case OP_POW:
        r = pow(x, y);
        break;
    default:
        r = fmod(x, y);
        if (r != 0 && (r < 0) != (y < 0))
            r += y;
        if (op == OP_FLOORDIV)
            r = floor((x - r) / y + 0.5);
    }
    *out = tv_float(r);
    return OK;
}

static int numbers(enum operator_kind op, struct tv x, struct tv y, struct tv *out)
{
    bool whole = x.kind != TV_FLOAT && y.kind != TV_FLOAT && op != OP_DIV;
    if (whole && op == OP_POW && tv_integer(y) < 0)
        whole = false;
    if (whole)
        return integers(op, tv_integer(x), tv_integer(y), out);
    return doubles(op, tv_double(x), tv_double(y), out);
}

/* The text as HTML: what '+' does to the other side of a text marked safe. */
static int escaped(struct eval *e, struct tv text, struct tv *out)
{
    struct buffer b = {0};
    for (uint32_t i = 0; i < text.length; i++) {
        char c = text.as.text[i];
        const char *name = c == '&'    ? "&amp;"
                           : c == '<'  ? "&lt;"
                           : c == '>'  ? "&gt;"
                           : c == '"'  ? "&#34;"
                           : c == '\'' ? "&#39;"
                                       : NULL;
        if (name)
            buffer_text(&b, name);
        else
            buffer_add(&b, &c, 1);
    }
    return tv_from_buffer(&e->budget, &b, out);
}

static int join_texts(struct eval *e, struct tv x, struct tv y, struct tv *out)
{
    bool safe = x.safe || y.safe;
    if (safe && !x.safe)
        TRY(escaped(e, x, &x));
    if (safe && !y.safe)
        TRY(escaped(e, y, &y));
    size_t length = (size_t)x.length + y.length;
    if (length > UINT32_MAX)
        return fail(ERR_MEMORY, "a text of %zu bytes", length);
    char *text = heap_alloc(&e->budget.heap, length);
    if (!text)
        return ERR_MEMORY;
    if (x.length)
        memcpy(text, x.as.text, x.length);
    if (y.length)
        memcpy(text + x.length, y.as.text, y.length);
    *out = tv_text(text, length);
    out->safe = safe;
    return tv_spend(&e->budget, (int64_t)length / 256);
}

static int join_lists(struct eval *e, struct tv x, struct tv y, struct tv *out)
{
    struct tv list = tv_none();
    int64_t n = x.as.list->count, m = y.as.list->count;
    TRY(tv_spend(&e->budget, (n + m) / 16));
    TRY(tv_new_list(&e->budget, x.kind, n + m, &list));
    for (int64_t i = 0; i < n + m; i++)
        list.as.list->items[i] = i < n ? x.as.list->items[i] : y.as.list->items[i - n];
    *out = list;
    return OK;
}

static int repeat(struct eval *e, struct tv what, int64_t times, struct tv *out)
{
    bool text = what.kind == TV_TEXT;
    int64_t size = text ? what.length : what.as.list->count;
    struct tv list = tv_none();
    times = times < 0 || size == 0 ? 0 : times;
    if (times > 0 && times > UINT32_MAX / size)
        return fail(ERR_MEMORY, "a %s repeated %" PRId64 " times", tv_type(what), times);
    TRY(tv_spend(&e->budget, size * times / (text ? 256 : 16)));
    if (!text) {
        TRY(tv_new_list(&e->budget, what.kind, size * times, &list));
        for (int64_t i = 0; i < size * times; i++)
            list.as.list->items[i] = what.as.list->items[i % size];
        *out = list;
        return OK;
    }
    char *copy = heap_alloc(&e->budget.heap, (size_t)(size * times));
    if (!copy)
        return ERR_MEMORY;
    for (int64_t i = 0; i < times; i++)
        memcpy(copy + i * size, what.as.text, (size_t)size);
    *out = tv_text(copy, (size_t)(size * times));
    out->safe = what.safe;
    return OK;
}

int eval_math(struct eval *e, enum operator_kind op, struct tv x, struct tv y, struct tv *out)
{
    bool lists = x.kind == TV_LIST || x.kind == TV_TUPLE;
    if (tv_is_number(x) && tv_is_number(y))
        return numbers(op, x, y, out);
    if (op == OP_ADD && x.kind == TV_TEXT && y.kind == TV_TEXT)
        return join_texts(e, x, y, out);
    if (op == OP_ADD && lists && x.kind == y.kind)
        return join_lists(e, x, y, out);
    if (op == OP_MUL && (x.kind == TV_TEXT || lists) && (y.kind == TV_INT || y.kind == TV_BOOL))
        return repeat(e, x, tv_integer(y), out);
    if (op == OP_MUL && (x.kind == TV_INT || x.kind == TV_BOOL) &&
        (y.kind == TV_TEXT || y.kind == TV_LIST || y.kind == TV_TUPLE))
        return repeat(e, y, tv_integer(x), out);
    if (op == OP_MOD && x.kind == TV_TEXT)
        return eval_format(e, x, y, out);
    return no_operator(op, x, y);
}

int eval_contains(struct eval *e, struct tv needle, struct tv in, bool *out)
{
    struct tv_list *list = NULL;
    *out = false;
    if (in.kind == TV_TEXT) {
        if (needle.kind != TV_TEXT)
            return fail(ERR_ARG, "a %s in a text: only texts can be", tv_type(needle));
        TRY(tv_spend(&e->budget, in.length / 64));
        *out = pytext_find(in.as.text, in.length, needle.as.text, needle.length) >= 0;
        return OK;
    }
    if (in.kind == TV_MAP) {
        if (needle.kind == TV_LIST || needle.kind == TV_MAP)
            return fail(ERR_ARG, "a %s cannot be a key of a map", tv_type(needle));
        *out = tv_map_get(in.as.map, needle) != NULL;
        return OK;
    }
    TRY(eval_items(e, in, &list));
    for (int64_t i = 0; i < list->count && !*out; i++)
        TRY(tv_equal(&e->budget, needle, list->items[i], out));
    return OK;
}
