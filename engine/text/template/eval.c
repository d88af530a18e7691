/* eval.c -- the statements of a template, its scopes and its output. */
#include "engine/text/template/eval.h"
#include "kernels/base/mem.h"

#include <string.h>

int eval_place(struct eval *e, uint32_t at, int status)
{
    int line, column;
    if (!status || e->located)
        return status;
    e->located = true;
    lex_place(&e->t->source, at, &line, &column);
    return fail_in(status, "line %d, column %d", line, column);
}

int eval_enter(struct eval *e, uint32_t at)
{
    int status = tv_spend(&e->budget, 1);
    if (!status && ++e->depth > EVAL_DEPTH)
        status = fail(ERR_ARG,
                      "the template nests calls and blocks deeper than %d; hint: a macro "
                      "that calls itself?",
                      EVAL_DEPTH);
    return eval_place(e, at, status);
}

struct scope *eval_scope(struct eval *e, struct scope *parent)
{
    struct scope *s = heap_array(&e->budget.heap, 1, sizeof *s);
    if (s)
        s->parent = parent;
    return s;
}

int eval_set(struct eval *e, struct scope *scope, uint32_t name, struct tv value)
{
    if (!scope->parent) {
        e->globals[name] = value;
        return OK;
    }
    for (uint32_t i = 0; i < scope->count; i++)
        if (scope->items[i].name == name) {
            scope->items[i].value = value;
            return OK;
        }
    if (scope->count == scope->capacity) {
        uint32_t capacity = scope->capacity ? scope->capacity * 2 : 4;
        struct binding *items = heap_array(&e->budget.heap, capacity, sizeof *items);
        if (!items)
            return ERR_MEMORY;
        if (scope->count)
            memcpy(items, scope->items, scope->count * sizeof *items);
        scope->items = items;
        scope->capacity = capacity;
    }
    scope->items[scope->count++] = (struct binding){name, value};
    return OK;
}

static struct tv get(struct eval *e, const struct scope *scope, uint32_t name)
{
    for (; scope->parent; scope = scope->parent)
        for (uint32_t i = 0; i < scope->count; i++)
            if (scope->items[i].name == name)
                return scope->items[i].value;
    return e->globals[name];
}

static int assign_attribute(struct eval *e, const struct target *to, struct tv value,
                            struct scope *scope)
{
    struct tv object = get(e, scope, to->name);
    if (object.kind != TV_NAMESPACE)
        return fail(ERR_ARG, "'%.*s' is a %s; only a namespace's attributes can be set",
                    (int)e->t->name_lengths[to->name], e->t->names[to->name], tv_type(object));
    if (to->attribute[0] == '_')
        return fail(ERR_ARG, "the attribute '%.*s' of a namespace begins with '_'",
                    (int)to->attribute_length, to->attribute);
    return tv_map_set(&e->budget, object.as.map, tv_text(to->attribute, to->attribute_length),
                      value);
}

static int unpack(struct eval *e, const struct target *to, struct tv value, struct scope *scope)
{
    struct tv_list *list = NULL;
    TRY(eval_items(e, value, &list));
    if (list->count != to->count)
        return fail(ERR_ARG, "%lld values for %u names", (long long)list->count, to->count);
    for (uint32_t i = 0; i < to->count; i++)
        TRY(eval_assign(e, &to->items[i], list->items[i], scope));
    return OK;
}

int eval_assign(struct eval *e, const struct target *to, struct tv value, struct scope *scope)
{
    int status;
    if (to->tuple)
        status = unpack(e, to, value, scope);
    else if (to->attribute)
        status = assign_attribute(e, to, value, scope);
    else
        status = eval_set(e, scope, to->name, value);
    return eval_place(e, to->at, status);
}

int eval_output(struct eval *e, struct tv v)
{
    return tv_str(&e->budget, v, &e->out);
}

int64_t eval_capture(struct eval *e)
{
    int64_t begin = e->out.length;
    if (e->captures++ == 0)
        e->outside = begin;
    return begin;
}

int eval_captured(struct eval *e, int64_t begin, int status, struct tv *out)
{
    size_t length = (size_t)(e->out.length - begin);
    if (--e->captures == 0)
        e->outside = -1;
    if (status)
        return status;
    char *text = heap_text(&e->budget.heap, e->out.bytes ? e->out.bytes + begin : NULL, length);
    if (!text)
        return ERR_MEMORY;
    e->out.length = begin;
    *out = tv_text(text, length);
    return OK;
}

static int choice(struct eval *e, const struct stmt *s, struct scope *scope)
{
    for (uint32_t i = 0; i < s->as.choice.count; i++) {
        const struct branch *b = &s->as.choice.branches[i];
        struct tv test = tv_bool(true);
        if (b->test)
            TRY(eval_expr(e, b->test, scope, &test));
        if (tv_truth(test))
            return eval_body(e, &b->body, scope);
    }
    return OK;
}

static int set_block(struct eval *e, const struct stmt *s, struct scope *scope)
{
    struct tv text = tv_none();
    struct scope *inner = eval_scope(e, scope);
    if (!inner)
        return ERR_MEMORY;
    int64_t begin = eval_capture(e);
    TRY(eval_captured(e, begin, eval_body(e, &s->as.block.body, inner), &text));
    if (s->as.block.filter) { /* a chain over nothing: over the text */
        struct expr base = {.kind = EXPR_CONST, .at = s->at, .as.constant = text};
        struct expr filter = *s->as.block.filter;
        filter.as.chain.base = &base;
        TRY(eval_expr(e, &filter, scope, &text));
    }
    if (s->kind == STMT_FILTER && text.kind != TV_TEXT)
        return eval_place(e, s->at,
                          fail(ERR_ARG, "the filters give a %s, expected a text", tv_type(text)));
    if (s->kind == STMT_FILTER)
        return eval_place(e, s->at, eval_output(e, text));
    return eval_assign(e, &s->as.block.target, text, scope);
}

static int define(struct eval *e, const struct macro_node *node, struct scope *scope,
                  struct tv *out)
{
    struct macro *m = heap_array(&e->budget.heap, 1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    *m = (struct macro){node->text, node->length, node, scope};
    *out = (struct tv){.kind = TV_MACRO, .as.macro = m};
    return OK;
}

static int macro(struct eval *e, const struct stmt *s, struct scope *scope)
{
    struct tv m = tv_none();
    TRY(define(e, s->as.macro, scope, &m));
    return eval_set(e, scope, s->as.macro->name, m);
}

/* Inside a captured text the span begins where the outermost capture does, as in the reference. */
static int generation(struct eval *e, const struct stmt *s, struct scope *scope)
{
    struct scope *inner = eval_scope(e, scope);
    if (!inner)
        return ERR_MEMORY;
    int64_t begin = e->out.length;
    TRY(eval_body(e, &s->as.macro->body, inner));
    int64_t start = e->outside >= 0 ? e->outside : begin;
    TRY(mem_grow((void **)&e->spans, &e->span_capacity, e->span_count + 1, sizeof *e->spans));
    e->spans[e->span_count++] = (struct template_span){start, start + e->out.length - begin};
    return OK;
}

static int with(struct eval *e, const struct stmt *s, struct scope *scope)
{
    struct scope *inner = eval_scope(e, scope);
    if (!inner)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < s->as.with.count; i++) {
        struct tv value = tv_none();
        TRY(eval_expr(e, s->as.with.values[i], scope, &value));
        TRY(eval_assign(e, &s->as.with.targets[i], value, inner));
    }
    return eval_body(e, &s->as.with.body, inner);
}

/* {% call macro(...) %}: the body is the macro's caller(). */
static int call(struct eval *e, const struct stmt *s, struct scope *scope)
{
    struct tv caller = tv_none(), result = tv_none();
    TRY(define(e, s->as.call.caller, scope, &caller));
    struct scope *inner = eval_scope(e, scope);
    if (!inner)
        return ERR_MEMORY;
    /* the call with one argument more, which names the body */
    struct expr name = {.kind = EXPR_CONST, .at = s->at, .as.constant = caller};
    struct expr call_expr = *s->as.call.call;
    struct link *links = heap_array(&e->budget.heap, call_expr.count, sizeof *links);
    struct link *last = &links[call_expr.count - 1];
    if (!links)
        return ERR_MEMORY;
    memcpy(links, call_expr.as.chain.links, call_expr.count * sizeof *links);
    struct argument *arguments = heap_array(&e->budget.heap, last->count + 1, sizeof *arguments);
    if (!arguments)
        return ERR_MEMORY;
    if (last->count)
        memcpy(arguments, last->arguments, last->count * sizeof *arguments);
    arguments[last->count] = (struct argument){&name, "caller", 6, false};
    last->arguments = arguments;
    last->count++;
    call_expr.as.chain.links = links;
    TRY(eval_expr(e, &call_expr, inner, &result));
    return eval_place(e, s->at, eval_output(e, result));
}

static int print(struct eval *e, const struct stmt *s, struct scope *scope)
{
    struct tv v = tv_none();
    TRY(eval_expr(e, s->as.print, scope, &v));
    return eval_place(e, s->at, eval_output(e, v));
}

static int statement(struct eval *e, const struct stmt *s, struct scope *scope)
{
    struct tv v = tv_none();
    switch (s->kind) {
    case STMT_TEXT:
        return eval_place(e, s->at, eval_output(e, tv_text(s->as.text.bytes, s->as.text.length)));
    case STMT_PRINT:
        return print(e, s, scope);
    case STMT_IF:
        return choice(e, s, scope);
    case STMT_FOR:
        TRY(eval_expr(e, s->as.loop.over, scope, &v));
        return eval_loop(e, s, v, scope, 0);
    case STMT_SET:
        TRY(eval_expr(e, s->as.set.value, scope, &v));
        return eval_assign(e, &s->as.set.target, v, scope);
    case STMT_SET_BLOCK:
    case STMT_FILTER:
        return set_block(e, s, scope);
    case STMT_MACRO:
        return macro(e, s, scope);
    case STMT_BREAK:
        e->flow = FLOW_BREAK;
        return OK;
    case STMT_CONTINUE:
        e->flow = FLOW_CONTINUE;
        return OK;
    case STMT_GENERATION:
        return generation(e, s, scope);
    case STMT_WITH:
        return with(e, s, scope);
    case STMT_CALL:
        return call(e, s, scope);
    }
    return OK;
}

int eval_body(struct eval *e, const struct body *body, struct scope *scope)
{
    if (!body->count)
        return OK;
    TRY(eval_enter(e, body->items[0].at));
    for (uint32_t i = 0; i < body->count && e->flow == FLOW_ON; i++) {
        TRY(tv_spend(&e->budget, 1));
        TRY(eval_place(e, body->items[i].at, statement(e, &body->items[i], scope)));
    }
    e->depth--;
    return OK;
}
