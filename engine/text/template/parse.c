/* parse.c -- the statements of a template. */
#include "engine/text/template/parse.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

bool parse_is_name(struct parser *p, const char *name)
{
    const struct token *t = parse_peek(p);
    return t->type == TOKEN_NAME && t->length == strlen(name) &&
           memcmp(t->as.text, name, t->length) == 0;
}

bool parse_skip(struct parser *p, enum token_type type)
{
    bool is = parse_is(p, type);
    p->at += is;
    return is;
}

bool parse_skip_name(struct parser *p, const char *name)
{
    bool is = parse_is_name(p, name);
    p->at += is;
    return is;
}

int parse_wanted(struct parser *p, const char *wanted)
{
    char found[96];
    return lex_fail(&p->t->source, parse_peek(p)->at, ERR_FORMAT, "expected %s, found %s", wanted,
                    lex_describe(parse_peek(p), found, sizeof found));
}

int parse_expect(struct parser *p, enum token_type type, const char *wanted)
{
    return parse_skip(p, type) ? OK : parse_wanted(p, wanted);
}

int parse_expect_name(struct parser *p, const char **name, uint32_t *length)
{
    const struct token *t = parse_peek(p);
    if (t->type != TOKEN_NAME)
        return parse_wanted(p, "a name");
    *name = t->as.text;
    *length = t->length;
    p->at++;
    return OK;
}

int parse_name(struct parser *p, const char *name, uint32_t length, uint32_t *out)
{
    bool found;
    int32_t old = 0;
    struct template *t = p->t;
    if (t->name_count == p->names_capacity) {
        int64_t capacity = p->names_capacity ? p->names_capacity * 2 : 32;
        const char **names = heap_array(&t->heap, (size_t)capacity, sizeof *names);
        uint32_t *lengths = heap_array(&t->heap, (size_t)capacity, sizeof *lengths);
        if (!names || !lengths)
            return ERR_MEMORY;
        if (t->name_count) {
            memcpy(names, t->names, t->name_count * sizeof *names);
            memcpy(lengths, t->name_lengths, t->name_count * sizeof *lengths);
        }
        t->names = names;
        t->name_lengths = lengths;
        p->names_capacity = capacity;
    }
    TRY(textmap_add(&p->names, name, length, (int32_t)t->name_count, &found, &old));
    if (!found) {
        t->names[t->name_count] = name;
        t->name_lengths[t->name_count] = length;
        old = (int32_t)t->name_count++;
    }
    *out = (uint32_t)old;
    return OK;
}

int parse_add(struct parse_list *list, const void *item, size_t size)
{
    TRY(mem_grow(&list->items, &list->capacity, list->count + 1, size));
    memcpy((char *)list->items + (size_t)list->count * size, item, size);
    list->count++;
    return OK;
}

void *parse_done(struct parser *p, struct parse_list *list, size_t size)
{
    void *items = heap_array(&p->t->heap, (size_t)list->count, size);
    if (items && list->count)
        memcpy(items, list->items, (size_t)list->count * size);
    mem_free(list->items);
    list->items = NULL;
    return items;
}

/* Names that no variable can have. */
static bool is_literal(const char *name, uint32_t length)
{
    static const char *const literals[] = {"true", "false", "none", "True", "False", "None"};
    for (int i = 0; i < 6; i++)
        if (strlen(literals[i]) == length && memcmp(literals[i], name, length) == 0)
            return true;
    return false;
}

static int target_name(struct parser *p, bool attributes, struct target *out)
{
    const char *name = "";
    uint32_t length = 0;
    out->at = parse_peek(p)->at;
    TRY(parse_expect_name(p, &name, &length));
    if (is_literal(name, length))
        return lex_fail(&p->t->source, out->at, ERR_FORMAT, "'%.*s' cannot be set", (int)length,
                        name);
    TRY(parse_name(p, name, length, &out->name));
    if (attributes && parse_skip(p, TOKEN_DOT))
        return parse_expect_name(p, &out->attribute, &out->attribute_length);
    return OK;
}

static int target(struct parser *p, bool attributes, struct target *out);

/* A name, or a target in brackets. */
static int target_part(struct parser *p, bool attributes, struct target *out)
{
    *out = (struct target){.at = parse_peek(p)->at};
    if (!parse_is(p, TOKEN_LPAREN))
        return target_name(p, attributes, out);
    if (++p->depth > 2 * PARSE_DEPTH)
        return lex_fail(&p->t->source, out->at, ERR_FORMAT, "more than %d brackets", PARSE_DEPTH);
    p->at++;
    TRY(target(p, attributes, out));
    p->depth--;
    return parse_expect(p, TOKEN_RPAREN, "')'");
}

static int target(struct parser *p, bool attributes, struct target *out)
{
    struct parse_list items = {0};
    struct target first;
    TRY(target_part(p, attributes, &first));
    *out = first;
    if (!parse_is(p, TOKEN_COMMA))
        return OK;
    int status = parse_add(&items, &first, sizeof first);
    while (!status && parse_skip(p, TOKEN_COMMA) &&
           (parse_is(p, TOKEN_NAME) || parse_is(p, TOKEN_LPAREN)) && !parse_is_name(p, "in")) {
        status = target_part(p, attributes, &first);
        if (!status)
            status = parse_add(&items, &first, sizeof first);
    }
    *out = (struct target){.at = out->at, .tuple = true, .count = (uint32_t)items.count};
    out->items = parse_done(p, &items, sizeof first);
    return status || !out->items ? (status ? status : ERR_MEMORY) : OK;
}

static int statement(struct parser *p, struct stmt *out);

/* Is the tag that opens here one of the ends? 'ends': names divided by blanks. */
static bool at_end(struct parser *p, const char *ends)
{
    const struct token *t = &p->tokens[p->at + 1];
    if (!parse_is(p, TOKEN_BLOCK_BEGIN) || t->type != TOKEN_NAME || !ends)
        return false;
    for (const char *e = ends; *e;) {
        size_t n = strcspn(e, " ");
        if (n == t->length && memcmp(e, t->as.text, n) == 0)
            return true;
        e += n + (e[n] == ' ');
    }
    return false;
}

/* One part of a body: text, a print, or a statement. */
static int part(struct parser *p, struct stmt *s)
{
    struct token *t = parse_peek(p);
    *s = (struct stmt){.kind = STMT_TEXT, .at = t->at};
    if (parse_skip(p, TOKEN_DATA)) {
        s->as.text.bytes = t->as.text;
        s->as.text.length = t->length;
        return OK;
    }
    if (parse_skip(p, TOKEN_PRINT_BEGIN)) {
        s->kind = STMT_PRINT;
        TRY(parse_tuple(p, true, &s->as.print));
        return parse_expect(p, TOKEN_PRINT_END, "an operator or '}}'");
    }
    uint32_t outer = p->tag;
    p->tag = t->at;
    p->at++;
    TRY(statement(p, s));
    p->tag = outer;
    return parse_expect(p, TOKEN_BLOCK_END, "'%}'");
}

/* Statements up to one of the ends (NULL: the end of the template), whose name is the current token
 * then. */
static int body(struct parser *p, const char *ends, struct body *out)
{
    struct parse_list items = {0};
    int status = OK;
    uint32_t from = parse_peek(p)->at;
    if (++p->nested > PARSE_DEPTH)
        return lex_fail(&p->t->source, from, ERR_FORMAT, "more than %d tags inside one another",
                        PARSE_DEPTH);
    while (!status && !at_end(p, ends) && !parse_is(p, TOKEN_END)) {
        struct stmt s;
        status = part(p, &s);
        if (!status)
            status = parse_add(&items, &s, sizeof s);
    }
    p->nested--;
    if (!status && ends && parse_is(p, TOKEN_END))
        status = lex_fail(&p->t->source, p->tag, ERR_FORMAT,
                          "the template ends inside this tag; wanted {%% %.*s %%}",
                          (int)strcspn(ends, " "), ends);
    out->count = (uint32_t)items.count;
    out->items = parse_done(p, &items, sizeof(struct stmt));
    p->at += !status && ends;
    return status ? status : out->items ? OK : ERR_MEMORY;
}

/* The rest of a tag, then its body. */
static int tag_body(struct parser *p, const char *ends, struct body *out)
{
    parse_skip(p, TOKEN_COLON);
    TRY(parse_expect(p, TOKEN_BLOCK_END, "an operator or '%}'"));
    return body(p, ends, out);
}

/* A body and its end. */
static int whole_body(struct parser *p, const char *end, struct body *out)
{
    TRY(tag_body(p, end, out));
    p->at++;
    return OK;
}

static int if_statement(struct parser *p, struct stmt *s)
{
    struct parse_list branches = {0};
    int status = OK;
    for (bool more = true; more && !status;) {
        struct branch b = {0};
        bool last = parse_is_name(p, "else");
        if (branches.count)
            p->at++; /* elif or else */
        if (!last)
            status = parse_tuple(p, false, &b.test);
        if (!status)
            status = tag_body(p, last ? "endif" : "endif elif else", &b.body);
        if (!status)
            status = parse_add(&branches, &b, sizeof b);
        more = !status && !parse_is_name(p, "endif");
    }
    s->kind = STMT_IF;
    s->as.choice.count = (uint32_t)branches.count;
    s->as.choice.branches = parse_done(p, &branches, sizeof(struct branch));
    if (status)
        return status;
    p->at++;
    return s->as.choice.branches ? OK : ERR_MEMORY;
}

static int for_statement(struct parser *p, struct stmt *s)
{
    s->kind = STMT_FOR;
    TRY(target(p, false, &s->as.loop.target));
    if (!parse_skip_name(p, "in"))
        return parse_wanted(p, "'in'");
    TRY(parse_tuple(p, false, &s->as.loop.over));
    if (parse_skip_name(p, "if"))
        TRY(parse_expression(p, true, &s->as.loop.test));
    s->as.loop.recursive = parse_skip_name(p, "recursive");
    p->loops++;
    TRY(tag_body(p, "endfor else", &s->as.loop.body));
    p->loops--;
    if (parse_skip_name(p, "else"))
        TRY(tag_body(p, "endfor", &s->as.loop.otherwise));
    p->at++;
    return OK;
}

static int set_statement(struct parser *p, struct stmt *s)
{
    struct target to;
    TRY(target(p, true, &to));
    if (parse_skip(p, TOKEN_ASSIGN)) {
        s->kind = STMT_SET;
        s->as.set.target = to;
        return parse_tuple(p, true, &s->as.set.value);
    }
    s->kind = STMT_SET_BLOCK;
    s->as.block.target = to;
    s->as.block.filter = NULL;
    if (parse_skip(p, TOKEN_PIPE))
        TRY(parse_filters(p, &s->as.block.filter));
    return whole_body(p, "endset", &s->as.block.body);
}

static int parameters(struct parser *p, struct macro_node *m)
{
    struct parse_list list = {0};
    int status = parse_expect(p, TOKEN_LPAREN, "'('");
    bool fallbacks = false;
    while (!status && !parse_is(p, TOKEN_RPAREN)) {
        struct parameter parameter = {0};
        struct target t = {0};
        if (list.count)
            status = parse_expect(p, TOKEN_COMMA, "',' or ')'");
        if (!status)
            status = target_name(p, false, &t);
        parameter.name = t.name;
        if (!status && parse_skip(p, TOKEN_ASSIGN)) {
            fallbacks = true;
            status = parse_expression(p, true, &parameter.fallback);
        } else if (!status && fallbacks) {
            status = parse_wanted(p, "'=' and a default, as the parameters before have");
        }
        if (!status)
            status = parse_add(&list, &parameter, sizeof parameter);
    }
    m->count = (uint32_t)list.count;
    m->parameters = parse_done(p, &list, sizeof(struct parameter));
    TRY(status);
    p->at++;
    return m->parameters ? OK : ERR_MEMORY;
}

/* A body that is called, so break and continue of loops around do not reach into it. */
static int called_body(struct parser *p, struct macro_node *m, const char *end)
{
    struct macro_node *outer = p->macro;
    int loops = p->loops;
    p->macro = m;
    p->loops = 0;
    TRY(whole_body(p, end, &m->body));
    p->macro = outer;
    p->loops = loops;
    return OK;
}

static int macro_statement(struct parser *p, struct stmt *s)
{
    struct target t = {0};
    struct macro_node *m = heap_array(&p->t->heap, 1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    const struct token *name = parse_peek(p);
    TRY(target_name(p, false, &t));
    m->name = t.name;
    m->text = name->as.text;
    m->length = name->length;
    TRY(parameters(p, m));
    s->kind = STMT_MACRO;
    s->as.macro = m;
    return called_body(p, m, "endmacro");
}

static int call_statement(struct parser *p, struct stmt *s)
{
    struct macro_node *m = heap_array(&p->t->heap, 1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    m->text = "caller";
    m->length = 6;
    TRY(parse_name(p, "caller", 6, &m->name));
    if (parse_is(p, TOKEN_LPAREN))
        TRY(parameters(p, m));
    s->kind = STMT_CALL;
    s->as.call.caller = m;
    TRY(parse_expression(p, true, &s->as.call.call));
    const struct expr *e = s->as.call.call;
    if (e->kind != EXPR_CHAIN || e->as.chain.links[e->count - 1].kind != LINK_CALL)
        return lex_fail(&p->t->source, e->at, ERR_FORMAT, "expected a call of a macro");
    return called_body(p, m, "endcall");
}

static int generation_statement(struct parser *p, struct stmt *s)
{
    struct macro_node *m = heap_array(&p->t->heap, 1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    p->t->has_generation = true;
    s->kind = STMT_GENERATION;
    s->as.macro = m;
    return called_body(p, m, "endgeneration");
}

static int with_statement(struct parser *p, struct stmt *s)
{
    struct parse_list targets = {0}, values = {0};
    int status = OK;
    while (!status && !parse_is(p, TOKEN_BLOCK_END)) {
        struct target t;
        struct expr *value = NULL;
        if (targets.count)
            status = parse_expect(p, TOKEN_COMMA, "',' or '%}'");
        if (!status)
            status = target_part(p, false, &t);
        if (!status)
            status = parse_expect(p, TOKEN_ASSIGN, "'='");
        if (!status)
            status = parse_expression(p, true, &value);
        if (!status)
            status = parse_add(&targets, &t, sizeof t);
        if (!status)
            status = parse_add(&values, &value, sizeof value);
    }
    s->kind = STMT_WITH;
    s->as.with.count = (uint32_t)values.count;
    s->as.with.targets = parse_done(p, &targets, sizeof(struct target));
    s->as.with.values = parse_done(p, &values, sizeof(struct expr *));
    TRY(status);
    if (!s->as.with.targets || !s->as.with.values)
        return ERR_MEMORY;
    return whole_body(p, "endwith", &s->as.with.body);
}

static int filter_statement(struct parser *p, struct stmt *s)
{
    s->kind = STMT_FILTER;
    TRY(parse_filters(p, &s->as.block.filter));
    return whole_body(p, "endfilter", &s->as.block.body);
}

static int jump(struct parser *p, struct stmt *s, enum stmt_kind kind)
{
    if (!p->loops)
        return lex_fail(&p->t->source, s->at, ERR_FORMAT, "'%s' outside a loop",
                        kind == STMT_BREAK ? "break" : "continue");
    s->kind = kind;
    return OK;
}

/* A tag; its name is the current token. */
static int statement(struct parser *p, struct stmt *s)
{
    const struct token *t = parse_peek(p);
    s->at = t->at;
    if (t->type != TOKEN_NAME)
        return parse_wanted(p, "the name of a tag");
    if (parse_skip_name(p, "if"))
        return if_statement(p, s);
    if (parse_skip_name(p, "for"))
        return for_statement(p, s);
    if (parse_skip_name(p, "set"))
        return set_statement(p, s);
    if (parse_skip_name(p, "macro"))
        return macro_statement(p, s);
    if (parse_skip_name(p, "generation"))
        return generation_statement(p, s);
    if (parse_skip_name(p, "break"))
        return jump(p, s, STMT_BREAK);
    if (parse_skip_name(p, "continue"))
        return jump(p, s, STMT_CONTINUE);
    if (parse_skip_name(p, "with"))
        return with_statement(p, s);
    if (parse_skip_name(p, "filter"))
        return filter_statement(p, s);
    if (parse_skip_name(p, "call"))
        return call_statement(p, s);
    if ((t->length > 3 && memcmp(t->as.text, "end", 3) == 0) || parse_is_name(p, "else") ||
        parse_is_name(p, "elif"))
        return lex_fail(&p->t->source, t->at, ERR_FORMAT, "'%.*s' where no such tag is open",
                        (int)(t->length < 40 ? t->length : 40), t->as.text);
    return lex_fail(&p->t->source, t->at, ERR_FORMAT,
                    "the tag '%.*s' is not known here; chat templates have if, for, set, macro, "
                    "call, filter, with, generation, break and continue",
                    (int)(t->length < 40 ? t->length : 40), t->as.text);
}

int parse_template(const char *text, size_t length, struct template *t)
{
    struct token_list tokens = {0};
    struct parser p = {.t = t};
    int status = lex_template(&t->heap, text, length, &t->source, &tokens);
    p.tokens = tokens.tokens;
    if (!status)
        status = body(&p, NULL, &t->body);
    textmap_free(&p.names);
    mem_free(tokens.tokens);
    return status;
}
