/* where.c -- filter expressions: a lexer, a parser that builds a small tree, and its evaluation. */
#include "engine/data/where.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH 64
#define NODES 2000 /* a row of 'and' is as deep as it is long */

enum token {
    T_END,
    T_NAME,   /* bare word or `quoted` name */
    T_TEXT,   /* 'text' */
    T_NUMBER, /* 1, -2.5 */
    T_OPEN,
    T_CLOSE,
    T_COMMA,
    T_AND,
    T_OR,
    T_NOT,
    T_IN,
    T_IS,
    T_NULL,
    T_TRUE,
    T_FALSE,
    T_EQ, /* the operators, in the order of 'operators' */
    T_NE,
    T_LE,
    T_GE,
    T_LT,
    T_GT,
    T_CONTAINS,
    T_STARTS,
    T_ENDS,
};

enum value_kind { V_COLUMN, V_TEXT, V_INT, V_FLOAT, V_BOOL, V_NULL };

struct value {
    enum value_kind kind;
    const struct column *column;
    const char *text; /* into the parser's copy */
    size_t length;
    int64_t whole;
    double number;
};

enum node_kind { N_OR, N_AND, N_NOT, N_TEST, N_IN };

struct node {
    enum node_kind kind;
    enum token op;
    int left, right; /* nodes; for N_IN the values [left, right) of the list */
    struct value a, b;
};

struct parser {
    const struct table *t;
    const char *start, *p; /* the expression; after the current token */
    const char *at;        /* start of the current token */
    char *words;           /* texts and names without their quotes */
    size_t words_used;
    enum token token;
    bool quoted; /* the name stood in backquotes */
    const char *word;
    size_t word_length;
    int depth;
    struct node *nodes;
    int64_t count, capacity;
    struct value *list; /* of 'in' */
    int64_t list_count, list_capacity;
};

static int wrong(const struct parser *w, const char *wanted)
{
    int shown = (int)strcspn(w->at, "\n");
    if (!*w->at)
        return fail(ERR_ARG, "where: the expression '%.200s' ends early, wanted %s", w->start,
                    wanted);
    return fail(ERR_ARG, "where: wanted %s at character %zu, found '%.*s'", wanted,
                (size_t)(w->at - w->start) + 1, shown > 40 ? 40 : shown, w->at);
}

/* --- lexer ------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A text or name between quotes; a backslash takes the next character as it is, \n and \t. */
static int quoted(struct parser *w, char end, enum token token)
{
    char *out = w->words + w->words_used;
    w->word = out;
    for (w->p++; *w->p != end; w->p++) {
        if (!*w->p)
            return fail(ERR_ARG, "where: the quote at character %zu is not closed",
                        (size_t)(w->at - w->start) + 1);
        if (*w->p == '\\' && w->p[1])
            *out++ = *++w->p == 'n' ? '\n' : *w->p == 't' ? '\t' : *w->p;
        else
            *out++ = *w->p;
    }
    w->p++;
    w->word_length = (size_t)(out - w->word);
    *out++ = '\0';
    w->words_used = (size_t)(out - w->words);
    w->token = token;
    w->quoted = true;
    return OK;
}

static const struct {
    const char *text;
    enum token token;
} operators[] =
    {
        {"==", T_EQ}, {"=", T_EQ},  {"~=", T_NE},  {"!=", T_NE},   {"<>", T_NE},   {"<=", T_LE},
        {">=", T_GE}, {"<", T_LT},  {">", T_GT},   {"&&", T_AND},  {"&", T_AND},   {"||", T_OR},
        {"|", T_OR},  {"!", T_NOT}, {"(", T_OPEN}, {")", T_CLOSE}, {",", T_COMMA}, {NULL, T_END},
},
  keywords[] = {
      {"and", T_AND},       {"or", T_OR},       {"not", T_NOT},           {"in", T_IN},
      {"is", T_IS},         {"null", T_NULL},   {"nil", T_NULL},          {"None", T_NULL},
      {"true", T_TRUE},     {"false", T_FALSE}, {"contains", T_CONTAINS}, {"startswith", T_STARTS},
      {"endswith", T_ENDS}, {NULL, T_END},
};

static void bare_word(struct parser *w)
{
    char *out = w->words + w->words_used;
    w->word = out;
    while (is_letter(*w->p) || is_digit(*w->p) || *w->p == '.')
        *out++ = *w->p++;
    w->word_length = (size_t)(out - w->word);
    *out++ = '\0';
    w->words_used = (size_t)(out - w->words);
    w->token = T_NAME;
    w->quoted = false;
    for (int i = 0; keywords[i].text; i++)
        if (!strcasecmp(keywords[i].text, w->word) && table_place(w->t, w->word) < 0)
            w->token = keywords[i].token;
}

static int next(struct parser *w)
{
    while (*w->p == ' ' || *w->p == '\t' || *w->p == '\n' || *w->p == '\r')
        w->p++;
    w->at = w->p;
    char c = *w->p;
    if (!c) {
        w->token = T_END;
        return OK;
    }
    if (c == '\'' || c == '"')
        return quoted(w, c, T_TEXT);
    if (c == '`')
        return quoted(w, c, T_NAME);
    if (is_letter(c)) {
        bare_word(w);
        return OK;
    }
    const char *digits = c == '-' || c == '+' ? w->p + 1 : w->p;
    if (is_digit(*digits) || (*digits == '.' && is_digit(digits[1]))) {
        w->word = w->p;
        for (w->p = digits;
             is_digit(*w->p) || is_letter(*w->p) || *w->p == '.' ||
             ((*w->p == '-' || *w->p == '+') && (w->p[-1] == 'e' || w->p[-1] == 'E'));)
            w->p++;
        w->word_length = (size_t)(w->p - w->word);
        w->token = T_NUMBER;
        return OK;
    }
    for (int i = 0; operators[i].text; i++) {
        size_t n = strlen(operators[i].text);
        if (!strncmp(w->p, operators[i].text, n)) {
            w->p += n;
            w->token = operators[i].token;
            return OK;
        }
    }
    return wrong(w, "a column, a value or an operator");
}

/* --- parser ------------------------------------------------------------------------------------ */

static int parse_or(struct parser *w, int *out);

static int add_node(struct parser *w, struct node n, int *out)
{
    if (w->count >= NODES)
        return fail(ERR_ARG, "where: more than %d tests joined", NODES);
    void *items = w->nodes;
    TRY(mem_grow(&items, &w->capacity, w->count + 1, sizeof *w->nodes));
    w->nodes = items;
    w->nodes[w->count] = n;
    *out = (int)w->count++;
    return OK;
}

static int column_value(struct parser *w, bool right, struct value *v)
{
    int64_t place;
    int status = table_find(w->t, w->word, &place);
    if (status) {
        fail_in(status, "where: character %zu", (size_t)(w->at - w->start) + 1);
        if (right && !w->quoted && !strstr(status_message(), "did you mean"))
            return fail(status,
                        "where: character %zu: no column '%.60s'; hint: a text stands in "
                        "quotes: '%.60s'",
                        (size_t)(w->at - w->start) + 1, w->word, w->word);
        return status;
    }
    v->kind = V_COLUMN;
    v->column = w->t->columns[place];
    return OK;
}

static int number_value(struct parser *w, struct value *v)
{
    if (column_parse_int(w->word, w->word_length, &v->whole))
        v->kind = V_INT;
    else if (column_parse_float(w->word, w->word_length, &v->number))
        v->kind = V_FLOAT;
    else
        return fail(ERR_ARG, "where: '%.*s' at character %zu is no number", (int)w->word_length,
                    w->word, (size_t)(w->at - w->start) + 1);
    return OK;
}

static int value(struct parser *w, bool right, struct value *v)
{
    *v = (struct value){.text = w->word, .length = w->word_length};
    switch (w->token) {
    case T_NAME:
        TRY(column_value(w, right, v));
        break;
    case T_TEXT:
        v->kind = V_TEXT;
        if (!right && table_place(w->t, w->word) >= 0)
            TRY(column_value(w, right, v));
        break;
    case T_NUMBER:
        TRY(number_value(w, v));
        break;
    case T_TRUE:
    case T_FALSE:
        v->kind = V_BOOL;
        v->whole = w->token == T_TRUE;
        break;
    case T_NULL:
        v->kind = V_NULL;
        break;
    default:
        return wrong(w, right ? "a value" : "a column");
    }
    return next(w);
}

/* What kind of thing a value is: COLUMN_TEXT, COLUMN_FLOAT for any number, COLUMN_BOOL; -1 = null */
static int sort_of(const struct value *v)
{
    switch (v->kind) {
    case V_COLUMN:
        return v->column->type == COLUMN_INT    ? COLUMN_FLOAT
               : v->column->type == COLUMN_JSON ? COLUMN_TEXT /* compared as it is written */
                                                : (int)v->column->type;
    case V_TEXT:
        return COLUMN_TEXT;
    case V_INT:
    case V_FLOAT:
        return COLUMN_FLOAT;
    case V_BOOL:
        return COLUMN_BOOL;
    case V_NULL:
        break;
    }
    return -1;
}

static int comparable(const struct parser *w, const char *at, enum token op, const struct value *a,
                      const struct value *b)
{
    static const char *const names[] = {"text", "a number", "a number", "true or false"};
    int x = sort_of(a), y = sort_of(b);
    size_t place = (size_t)(at - w->start) + 1;
    if (x >= 0 && y >= 0 && x != y)
        return fail(ERR_ARG,
                    "where: character %zu: %s is compared with %s; hint: numbers stand "
                    "without quotes, texts in quotes",
                    place, names[x], names[y]);
    if (op >= T_CONTAINS && (x > COLUMN_TEXT || y > COLUMN_TEXT))
        return fail(ERR_ARG,
                    "where: character %zu: contains, startswith and endswith want texts, "
                    "found %s",
                    place, names[x > COLUMN_TEXT ? x : y]);
    return OK;
}

static int parse_in(struct parser *w, const char *at, struct value a, bool negate, int *out)
{
    struct node n = {.kind = N_IN, .op = T_EQ, .a = a, .left = (int)w->list_count};
    TRY(next(w));
    if (w->token != T_OPEN)
        return wrong(w, "'(' and a list of values");
    do {
        struct value v;
        TRY(next(w));
        TRY(value(w, true, &v));
        TRY(comparable(w, at, T_EQ, &a, &v));
        void *items = w->list;
        TRY(mem_grow(&items, &w->list_capacity, w->list_count + 1, sizeof *w->list));
        w->list = items;
        w->list[w->list_count++] = v;
    } while (w->token == T_COMMA);
    if (w->token != T_CLOSE)
        return wrong(w, "',' or ')'");
    TRY(next(w));
    n.right = (int)w->list_count;
    TRY(add_node(w, n, out));
    return negate ? add_node(w, (struct node){.kind = N_NOT, .left = *out}, out) : OK;
}

static int parse_test(struct parser *w, int *out)
{
    const char *at = w->at;
    struct node n = {.kind = N_TEST, .op = T_EQ};
    TRY(value(w, false, &n.a));
    bool negate = w->token == T_NOT;
    if (negate) {
        TRY(next(w));
        if (w->token != T_IN)
            return wrong(w, "'in' after 'not'");
    }
    if (w->token == T_IN)
        return parse_in(w, at, n.a, negate, out);
    if (w->token == T_IS) {
        TRY(next(w));
        n.op = w->token == T_NOT ? T_NE : T_EQ;
        if (w->token == T_NOT)
            TRY(next(w));
        if (w->token != T_NULL)
            return wrong(w, "'null' after 'is'");
        n.b.kind = V_NULL;
        TRY(next(w));
        return add_node(w, n, out);
    }
    if (w->token < T_EQ) {
        if (n.a.kind != V_COLUMN || n.a.column->type != COLUMN_BOOL)
            return wrong(w, "an operator: = ~= < <= > >= contains startswith endswith in is");
        n.b = (struct value){.kind = V_BOOL, .whole = 1};
        return add_node(w, n, out);
    }
    n.op = w->token;
    TRY(next(w));
    TRY(value(w, true, &n.b));
    TRY(comparable(w, at, n.op, &n.a, &n.b));
    return add_node(w, n, out);
}

static int parse_factor(struct parser *w, int *out)
{
    if (++w->depth > DEPTH)
        return fail(ERR_ARG, "where: more than %d brackets and 'not' inside each other", DEPTH);
    if (w->token == T_NOT) {
        TRY(next(w));
        TRY(parse_factor(w, out));
        TRY(add_node(w, (struct node){.kind = N_NOT, .left = *out}, out));
    } else if (w->token == T_OPEN) {
        TRY(next(w));
        TRY(parse_or(w, out));
        if (w->token != T_CLOSE)
            return wrong(w, "')'");
        TRY(next(w));
    } else {
        TRY(parse_test(w, out));
    }
    w->depth--;
    return OK;
}

static int parse_and(struct parser *w, int *out)
{
    TRY(parse_factor(w, out));
    while (w->token == T_AND) {
        struct node n = {.kind = N_AND, .left = *out};
        TRY(next(w));
        TRY(parse_factor(w, &n.right));
        TRY(add_node(w, n, out));
    }
    return OK;
}

static int parse_or(struct parser *w, int *out)
{
    TRY(parse_and(w, out));
    while (w->token == T_OR) {
        struct node n = {.kind = N_OR, .left = *out};
        TRY(next(w));
        TRY(parse_and(w, &n.right));
        TRY(add_node(w, n, out));
    }
    return OK;
}

/* --- evaluation --------------------------------------------------------------------------------- */

/* The value in one row: a column's cell becomes a value of its own. */
static struct value in_row(const struct value *v, int64_t row)
{
    struct value out = *v;
    if (v->kind != V_COLUMN)
        return out;
    const struct column *c = v->column;
    if (column_is_null(c, row)) {
        out.kind = V_NULL;
    } else if (column_type_has_texts(c->type)) {
        out.kind = V_TEXT;
        out.text = column_text(c, row, &out.length);
    } else if (c->type == COLUMN_FLOAT) {
        out.kind = V_FLOAT;
        out.number = c->floats[row];
    } else {
        out.kind = c->type == COLUMN_INT ? V_INT : V_BOOL;
        out.whole = c->type == COLUMN_INT ? c->ints[row] : c->bools[row];
    }
    return out;
}

/* <0, 0, >0, or 2 when they are in no order (NaN) */
static int compare(const struct value *a, const struct value *b)
{
    if (a->kind == V_TEXT) {
        size_t n = a->length < b->length ? a->length : b->length;
        int order = memcmp(a->text, b->text, n);
        order = order ? order : (a->length > b->length) - (a->length < b->length);
        return (order > 0) - (order < 0);
    }
    if (a->kind == V_FLOAT || b->kind == V_FLOAT) {
        double x = a->kind == V_FLOAT ? a->number : (double)a->whole;
        double y = b->kind == V_FLOAT ? b->number : (double)b->whole;
        return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
    }
    return (a->whole > b->whole) - (a->whole < b->whole);
}

static bool text_test(enum token op, const struct value *a, const struct value *b)
{
    if (op == T_CONTAINS)
        return memmem(a->text, a->length, b->text, b->length) != NULL;
    if (b->length > a->length)
        return false;
    const char *from = op == T_STARTS ? a->text : a->text + a->length - b->length;
    return !memcmp(from, b->text, b->length);
}

static bool test(enum token op, const struct value *a, const struct value *b, int64_t row)
{
    struct value x = in_row(a, row), y = in_row(b, row);
    if (x.kind == V_NULL || y.kind == V_NULL) {
        bool both = x.kind == y.kind;
        return op == T_NE ? !both : both && (op == T_EQ || op == T_LE || op == T_GE);
    }
    if (op >= T_CONTAINS)
        return text_test(op, &x, &y);
    int order = compare(&x, &y);
    switch (op) {
    case T_EQ:
        return order == 0;
    case T_NE:
        return order != 0;
    case T_LT:
        return order == -1;
    case T_LE:
        return order == -1 || order == 0;
    case T_GT:
        return order == 1;
    default:
        return order == 1 || order == 0;
    }
}

static bool holds(const struct parser *w, int node, int64_t row)
{
    const struct node *n = &w->nodes[node];
    switch (n->kind) {
    case N_OR:
        return holds(w, n->left, row) || holds(w, n->right, row);
    case N_AND:
        return holds(w, n->left, row) && holds(w, n->right, row);
    case N_NOT:
        return !holds(w, n->left, row);
    case N_TEST:
        return test(n->op, &n->a, &n->b, row);
    case N_IN:
        for (int i = n->left; i < n->right; i++)
            if (test(T_EQ, &n->a, &w->list[i], row))
                return true;
        return false;
    }
    return false;
}

int where_rows(const struct table *t, const char *expression, struct rows *out)
{
    struct parser w = {.t = t, .start = expression, .p = expression};
    size_t length = strlen(expression);
    int root = 0, status = OK;
    if (length > 100000)
        return fail(ERR_ARG, "where: an expression of %zu bytes, wanted at most 100000", length);
    w.words = mem_alloc(2 * length + 2); /* each word with its NUL */
    if (!w.words)
        return ERR_MEMORY;
    TRY_OUT(next(&w));
    TRY_OUT(parse_or(&w, &root));
    if (w.token != T_END) {
        status = wrong(&w, "'and', 'or' or the end");
        goto out;
    }
    for (int64_t row = 0; row < t->rows; row++)
        if (holds(&w, root, row))
            TRY_OUT(rows_add(out, row));
out:
    mem_free(w.words);
    mem_free(w.nodes);
    mem_free(w.list);
    return status;
}
