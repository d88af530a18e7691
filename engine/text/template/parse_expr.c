/* parse_expr.c -- the expressions of a template, level by level of binding strength.
 *
 * Each level reads the next stronger one and goes on while its own operators follow, so chains are
 * loops; only brackets, unary operators and nested "x if y else z" recurse, and are counted. */
#include "engine/text/template/builtin.h"
#include "engine/text/template/parse.h"

#include <string.h>

enum level {
    LEVEL_OR,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_COMPARE,
    LEVEL_ADD,
    LEVEL_CONCAT,
    LEVEL_MUL,
    LEVEL_POW,
    LEVEL_UNARY
};

static int enter(struct parser *p)
{
    if (++p->depth > 2 * PARSE_DEPTH)
        return lex_fail(&p->t->source, parse_peek(p)->at, ERR_FORMAT,
                        "an expression nested deeper than %d", PARSE_DEPTH);
    return OK;
}

static struct expr *new_expr(struct parser *p, enum expr_kind kind, uint32_t at)
{
    struct expr *e = heap_array(&p->t->heap, 1, sizeof *e);
    if (e) {
        e->kind = kind;
        e->at = at;
    }
    return e;
}

static int constant(struct parser *p, uint32_t at, struct tv v, struct expr **out)
{
    *out = new_expr(p, EXPR_CONST, at);
    if (!*out)
        return ERR_MEMORY;
    (*out)->as.constant = v;
    return OK;
}

/* Expressions with commas between, up to the closing token, which is stepped over. */
static int sequence(struct parser *p, enum expr_kind kind, enum token_type close, struct expr **out)
{
    struct parse_list list = {0};
    bool pairs = kind == EXPR_DICT;
    uint32_t at = parse_peek(p)->at;
    int status = OK;
    p->at++;
    while (!status && !parse_is(p, close)) {
        struct expr *e = NULL;
        status = parse_expression(p, true, &e);
        if (!status)
            status = parse_add(&list, &e, sizeof e);
        if (!status && pairs && list.count % 2) {
            status = parse_expect(p, TOKEN_COLON, "':'");
            continue;
        }
        if (!status && !parse_skip(p, TOKEN_COMMA) && !parse_is(p, close))
            status = parse_wanted(p, pairs ? "an operator, ',' or '}'" : "an operator, ',' or ']'");
    }
    if (!status && pairs && list.count % 2)
        status = parse_wanted(p, "a value");
    struct expr *e = new_expr(p, kind, at);
    struct expr **items = parse_done(p, &list, sizeof e);
    if (status || !e || !items)
        return status ? status : ERR_MEMORY;
    p->at++;
    e->as.parts.items = items;
    e->count = (uint32_t)list.count;
    *out = e;
    return OK;
}

/* Texts that stand one behind the other are one. */
static int strings(struct parser *p, struct expr **out)
{
    const struct token *t = parse_peek(p);
    size_t length = 0;
    int64_t count = 0;
    for (; t[count].type == TOKEN_STRING; count++)
        length += t[count].length;
    p->at += count;
    if (count == 1)
        return constant(p, t->at, tv_text(t->as.text, t->length), out);
    char *text = heap_alloc(&p->t->heap, length), *to = text;
    if (!text)
        return ERR_MEMORY;
    for (int64_t i = 0; i < count; to += t[i].length, i++)
        memcpy(to, t[i].as.text, t[i].length);
    return constant(p, t->at, tv_text(text, length), out);
}

static int name(struct parser *p, struct expr **out)
{
    const struct token *t = parse_peek(p);
    if (parse_skip_name(p, "true") || parse_skip_name(p, "True"))
        return constant(p, t->at, tv_bool(true), out);
    if (parse_skip_name(p, "false") || parse_skip_name(p, "False"))
        return constant(p, t->at, tv_bool(false), out);
    if (parse_skip_name(p, "none") || parse_skip_name(p, "None"))
        return constant(p, t->at, tv_none(), out);
    if (p->macro) {
        p->macro->varargs = p->macro->varargs || parse_is_name(p, "varargs");
        p->macro->kwargs = p->macro->kwargs || parse_is_name(p, "kwargs");
        p->macro->caller = p->macro->caller || parse_is_name(p, "caller");
    }
    *out = new_expr(p, EXPR_NAME, t->at);
    if (!*out)
        return ERR_MEMORY;
    p->at++;
    return parse_name(p, t->as.text, t->length, &(*out)->as.name);
}

static int brackets(struct parser *p, struct expr **out)
{
    p->at++;
    if (parse_is(p, TOKEN_RPAREN)) { /* an empty tuple */
        *out = new_expr(p, EXPR_TUPLE, parse_peek(p)->at);
        p->at++;
        return *out ? OK : ERR_MEMORY;
    }
    TRY(parse_tuple(p, true, out));
    return parse_expect(p, TOKEN_RPAREN, "an operator or ')'");
}

static int primary_inside(struct parser *p, struct expr **out)
{
    const struct token *t = parse_peek(p);
    switch (t->type) {
    case TOKEN_NAME:
        return name(p, out);
    case TOKEN_STRING:
        return strings(p, out);
    case TOKEN_INT:
        p->at++;
        return constant(p, t->at, tv_int(t->as.integer), out);
    case TOKEN_FLOAT:
        p->at++;
        return constant(p, t->at, tv_float(t->as.number), out);
    case TOKEN_LPAREN:
        return brackets(p, out);
    case TOKEN_LBRACKET:
        return sequence(p, EXPR_LIST, TOKEN_RBRACKET, out);
    case TOKEN_LBRACE:
        return sequence(p, EXPR_DICT, TOKEN_RBRACE, out);
    default:
        return parse_wanted(p, "an expression");
    }
}

static int primary(struct parser *p, struct expr **out)
{
    TRY(enter(p));
    TRY(primary_inside(p, out));
    p->depth--;
    return OK;
}

static int argument(struct parser *p, struct argument *a)
{
    *a = (struct argument){0};
    if (parse_skip(p, TOKEN_MUL)) {
        a->spread = true;
    } else if (parse_skip(p, TOKEN_POW)) {
        a->spread = true;
        a->name = "**";
        a->name_length = 2;
    } else if (parse_is(p, TOKEN_NAME) && p->tokens[p->at + 1].type == TOKEN_ASSIGN) {
        TRY(parse_expect_name(p, &a->name, &a->name_length));
        p->at++;
    }
    return parse_expression(p, true, &a->value);
}

/* "(a, b, c = d)" */
static int arguments(struct parser *p, struct link *l)
{
    struct parse_list list = {0};
    int status = parse_expect(p, TOKEN_LPAREN, "'('");
    bool named = false;
    while (!status && !parse_is(p, TOKEN_RPAREN)) {
        struct argument a;
        uint32_t at = parse_peek(p)->at;
        status = argument(p, &a);
        if (!status && named && !a.name)
            status = lex_fail(&p->t->source, at, ERR_FORMAT,
                              "an argument without a name behind one that has a name");
        named = named || a.name;
        if (!status)
            status = parse_add(&list, &a, sizeof a);
        if (!status && !parse_skip(p, TOKEN_COMMA) && !parse_is(p, TOKEN_RPAREN))
            status = parse_wanted(p, "an operator, ',' or ')'");
    }
    l->count = (uint32_t)list.count;
    l->arguments = parse_done(p, &list, sizeof(struct argument));
    TRY(status);
    p->at++;
    return l->arguments ? OK : ERR_MEMORY;
}

/* What stands in [ ]: an expression, or a slice with colons. */
static int subscript_part(struct parser *p, struct link *l)
{
    l->kind = LINK_ITEM;
    if (!parse_is(p, TOKEN_COLON))
        TRY(parse_expression(p, true, &l->index[0]));
    for (int i = 1; i < 3 && parse_skip(p, TOKEN_COLON); i++) {
        l->kind = LINK_SLICE;
        if (!parse_is(p, TOKEN_COLON) && !parse_is(p, TOKEN_RBRACKET) && !parse_is(p, TOKEN_COMMA))
            TRY(parse_expression(p, true, &l->index[i]));
    }
    return OK;
}

static int subscript(struct parser *p, struct link *l)
{
    p->at++;
    TRY(subscript_part(p, l));
    return parse_expect(p, TOKEN_RBRACKET, "an operator or ']'");
}

static int attribute(struct parser *p, struct link *l)
{
    p->at++;
    const struct token *t = parse_peek(p);
    if (parse_skip(p, TOKEN_INT)) { /* x.0 is x[0] */
        l->kind = LINK_ITEM;
        return constant(p, t->at, tv_int(t->as.integer), &l->index[0]);
    }
    l->kind = LINK_ATTRIBUTE;
    return parse_expect_name(p, &l->name, &l->name_length);
}

/* A filter's or test's name, which may have dots. */
static int dotted(struct parser *p, struct link *l)
{
    TRY(parse_expect_name(p, &l->name, &l->name_length));
    while (parse_skip(p, TOKEN_DOT)) {
        const char *more;
        uint32_t length;
        TRY(parse_expect_name(p, &more, &length));
        if (more + length > l->name)
            l->name_length = (uint32_t)(more + length - l->name);
    }
    return OK;
}

static int filter(struct parser *p, struct link *l)
{
    l->kind = LINK_FILTER;
    l->at = parse_peek(p)->at;
    TRY(dotted(p, l));
    l->function = builtin_filter(l->name, l->name_length);
    return parse_is(p, TOKEN_LPAREN) ? arguments(p, l) : OK;
}

static int chain(struct parser *p, struct expr *base, bool filters, struct expr **out);

/* "is not name" with a bracketed list, or one argument that begins at once. */
static int test(struct parser *p, struct link *l)
{
    l->kind = LINK_TEST;
    l->negated = parse_skip_name(p, "not");
    l->at = parse_peek(p)->at;
    TRY(dotted(p, l));
    l->function = builtin_test(l->name, l->name_length);
    if (parse_is(p, TOKEN_LPAREN))
        return arguments(p, l);
    enum token_type t = parse_peek(p)->type;
    bool begins = t == TOKEN_STRING || t == TOKEN_INT || t == TOKEN_FLOAT || t == TOKEN_LBRACKET ||
                  t == TOKEN_LBRACE || t == TOKEN_NAME;
    if (!begins || parse_is_name(p, "else") || parse_is_name(p, "or") || parse_is_name(p, "and"))
        return OK;
    if (parse_is_name(p, "is"))
        return parse_wanted(p, "an operator: tests cannot follow one another");
    struct argument *a = heap_array(&p->t->heap, 1, sizeof *a);
    if (!a)
        return ERR_MEMORY;
    l->arguments = a;
    l->count = 1;
    TRY(primary(p, &a->value));
    return chain(p, a->value, false, &a->value);
}

/* One more link, if there is one. 'filtered': behind a filter or test no . and [ follow. */
static int next_link(struct parser *p, bool filters, bool filtered, struct link *l, bool *found)
{
    *l = (struct link){.at = parse_peek(p)->at};
    *found = true;
    if (parse_is(p, TOKEN_LPAREN)) {
        l->kind = LINK_CALL;
        return arguments(p, l);
    }
    if (!filtered && parse_is(p, TOKEN_DOT))
        return attribute(p, l);
    if (!filtered && parse_is(p, TOKEN_LBRACKET))
        return subscript(p, l);
    if (filters && parse_skip(p, TOKEN_PIPE))
        return filter(p, l);
    if (filters && parse_skip_name(p, "is"))
        return test(p, l);
    *found = false;
    return OK;
}

static int chain(struct parser *p, struct expr *base, bool filters, struct expr **out)
{
    struct parse_list list = {0};
    struct link l;
    bool found = true, filtered = false;
    int status = enter(p);
    while (!status) {
        status = next_link(p, filters, filtered, &l, &found);
        if (status || !found)
            break;
        filtered = filtered || l.kind == LINK_FILTER || l.kind == LINK_TEST;
        status = parse_add(&list, &l, sizeof l);
    }
    p->depth--;
    *out = base;
    struct link *links = parse_done(p, &list, sizeof l);
    if (status || !links)
        return status ? status : ERR_MEMORY;
    if (!list.count)
        return OK;
    struct expr *e = new_expr(p, EXPR_CHAIN, base->at);
    if (!e)
        return ERR_MEMORY;
    e->as.chain.base = base;
    e->as.chain.links = links;
    e->count = (uint32_t)list.count;
    *out = e;
    return OK;
}

int parse_filters(struct parser *p, struct expr **out)
{
    struct parse_list list = {0};
    uint32_t at = parse_peek(p)->at;
    int status = OK;
    do {
        struct link l = {0};
        status = filter(p, &l);
        if (!status)
            status = parse_add(&list, &l, sizeof l);
    } while (!status && parse_skip(p, TOKEN_PIPE));
    struct expr *e = new_expr(p, EXPR_CHAIN, at);
    struct link *links = parse_done(p, &list, sizeof(struct link));
    if (status || !e || !links)
        return status ? status : ERR_MEMORY;
    e->as.chain.links = links;
    e->count = (uint32_t)list.count;
    *out = e;
    return OK;
}

static int one_part(struct parser *p, enum expr_kind kind, uint32_t at, struct expr *part,
                    struct expr **out)
{
    struct expr *e = new_expr(p, kind, at);
    struct expr **items = heap_array(&p->t->heap, 1, sizeof part);
    if (!e || !items)
        return ERR_MEMORY;
    items[0] = part;
    e->as.parts.items = items;
    e->count = 1;
    *out = e;
    return OK;
}

/* Signs stand in front of a primary with its links; filters come last, around the sign. */
static int unary(struct parser *p, bool filters, struct expr **out)
{
    const struct token *t = parse_peek(p);
    struct expr *e = NULL;
    if (t->type == TOKEN_SUB || t->type == TOKEN_ADD) {
        p->at++;
        TRY(enter(p));
        TRY(unary(p, false, &e));
        p->depth--;
        TRY(one_part(p, t->type == TOKEN_SUB ? EXPR_NEG : EXPR_POS, t->at, e, &e));
    } else {
        TRY(primary(p, &e));
    }
    return chain(p, e, filters, out);
}

/* The operator of a level at the current token, which is stepped over; -1 = none. */
static int operator_at(struct parser *p, enum level level)
{
    static const struct {
        enum level level;
        enum token_type token;
        enum operator_kind op;
    } table[] = {
        {LEVEL_COMPARE, TOKEN_EQ, OP_EQ},    {LEVEL_COMPARE, TOKEN_NE, OP_NE},
        {LEVEL_COMPARE, TOKEN_LT, OP_LT},    {LEVEL_COMPARE, TOKEN_LE, OP_LE},
        {LEVEL_COMPARE, TOKEN_GT, OP_GT},    {LEVEL_COMPARE, TOKEN_GE, OP_GE},
        {LEVEL_ADD, TOKEN_ADD, OP_ADD},      {LEVEL_ADD, TOKEN_SUB, OP_SUB},
        {LEVEL_CONCAT, TOKEN_TILDE, OP_ADD}, {LEVEL_MUL, TOKEN_MUL, OP_MUL},
        {LEVEL_MUL, TOKEN_DIV, OP_DIV},      {LEVEL_MUL, TOKEN_FLOORDIV, OP_FLOORDIV},
        {LEVEL_MUL, TOKEN_MOD, OP_MOD},      {LEVEL_POW, TOKEN_POW, OP_POW},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].level == level && parse_skip(p, table[i].token))
            return (int)table[i].op;
    if (level == LEVEL_OR && parse_skip_name(p, "or"))
        return 0;
    if (level == LEVEL_AND && parse_skip_name(p, "and"))
        return 0;
    if (level == LEVEL_COMPARE && parse_skip_name(p, "in"))
        return OP_IN;
    const struct token *next = &p->tokens[p->at + 1];
    if (level == LEVEL_COMPARE && parse_is_name(p, "not") && next->type == TOKEN_NAME &&
        next->length == 2 && memcmp(next->as.text, "in", 2) == 0) {
        p->at += 2;
        return OP_NOT_IN;
    }
    return -1;
}

static int binary(struct parser *p, enum level level, struct expr **out);

static int not_level(struct parser *p, struct expr **out)
{
    const struct token *t = parse_peek(p);
    struct expr *e = NULL;
    if (!parse_skip_name(p, "not"))
        return binary(p, LEVEL_COMPARE, out);
    TRY(enter(p));
    TRY(not_level(p, &e));
    p->depth--;
    return one_part(p, EXPR_NOT, t->at, e, out);
}

static int operand(struct parser *p, enum level level, struct expr **out)
{
    if (level == LEVEL_NOT)
        return not_level(p, out);
    if (level == LEVEL_UNARY)
        return unary(p, true, out);
    return binary(p, level, out);
}

/* The operators of one level with their operands. */
static int binary(struct parser *p, enum level level, struct expr **out)
{
    static const enum expr_kind kinds[] = {
        [LEVEL_OR] = EXPR_OR,           [LEVEL_AND] = EXPR_AND,  [LEVEL_NOT] = EXPR_NOT,
        [LEVEL_COMPARE] = EXPR_COMPARE, [LEVEL_ADD] = EXPR_MATH, [LEVEL_CONCAT] = EXPR_CONCAT,
        [LEVEL_MUL] = EXPR_MATH,        [LEVEL_POW] = EXPR_MATH,
    };
    struct parse_list parts = {0}, ops = {0};
    struct expr *e = NULL;
    uint32_t at = parse_peek(p)->at;
    TRY(operand(p, level + 1, &e));
    int op = operator_at(p, level), status;
    *out = e;
    if (op < 0)
        return OK;
    status = parse_add(&parts, &e, sizeof e);
    while (!status && op >= 0) {
        uint8_t o = (uint8_t)op;
        status = operand(p, level + 1, &e);
        if (!status)
            status = parse_add(&parts, &e, sizeof e);
        if (!status)
            status = parse_add(&ops, &o, sizeof o);
        op = status ? -1 : operator_at(p, level);
    }
    struct expr *whole = new_expr(p, kinds[level], at);
    struct expr **items = parse_done(p, &parts, sizeof e);
    uint8_t *op_items = parse_done(p, &ops, 1);
    if (status || !whole || !items || !op_items)
        return status ? status : ERR_MEMORY;
    whole->as.parts.items = items;
    whole->as.parts.ops = op_items;
    whole->count = (uint32_t)parts.count;
    *out = whole;
    return OK;
}

static int conditional_tail(struct parser *p, struct expr **out)
{
    for (int count = 0; parse_is_name(p, "if"); count++) {
        uint32_t at = parse_peek(p)->at;
        if (count == PARSE_DEPTH)
            return parse_wanted(p, "fewer conditions");
        struct expr *e = new_expr(p, EXPR_IF, at);
        struct expr **items = heap_array(&p->t->heap, 3, sizeof *items);
        if (!e || !items)
            return ERR_MEMORY;
        p->at++;
        items[0] = *out;
        TRY(binary(p, LEVEL_OR, &items[1]));
        if (parse_skip_name(p, "else"))
            TRY(parse_expression(p, true, &items[2]));
        e->as.parts.items = items;
        e->count = 3;
        *out = e;
    }
    return OK;
}

int parse_expression(struct parser *p, bool conditional, struct expr **out)
{
    TRY(enter(p));
    TRY(binary(p, LEVEL_OR, out));
    if (conditional)
        TRY(conditional_tail(p, out));
    p->depth--;
    return OK;
}

/* May a tuple end here? */
static bool tuple_end(struct parser *p)
{
    return parse_is(p, TOKEN_PRINT_END) || parse_is(p, TOKEN_BLOCK_END) ||
           parse_is(p, TOKEN_RPAREN) || parse_is_name(p, "recursive");
}

int parse_tuple(struct parser *p, bool conditional, struct expr **out)
{
    struct parse_list list = {0};
    uint32_t at = parse_peek(p)->at;
    struct expr *e = NULL;
    TRY(parse_expression(p, conditional, &e));
    *out = e;
    if (!parse_is(p, TOKEN_COMMA))
        return OK;
    int status = parse_add(&list, &e, sizeof e);
    while (!status && parse_skip(p, TOKEN_COMMA) && !tuple_end(p)) {
        status = parse_expression(p, conditional, &e);
        if (!status)
            status = parse_add(&list, &e, sizeof e);
    }
    struct expr *tuple = new_expr(p, EXPR_TUPLE, at);
    struct expr **items = parse_done(p, &list, sizeof e);
    if (status || !tuple || !items)
        return status ? status : ERR_MEMORY;
    tuple->as.parts.items = items;
    tuple->count = (uint32_t)list.count;
    *out = tuple;
    return OK;
}
