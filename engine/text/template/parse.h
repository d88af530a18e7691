/* parse.h -- words into statements and expressions.
 *
 * Recursive descent with counted depth: at most PARSE_DEPTH brackets and PARSE_DEPTH statements
 * inside one another. Accepts what Jinja accepts, but for tags that need other files or host
 * objects (include, extends, import, block), which are refused by name. */
#ifndef ENGINE_TEXT_TEMPLATE_PARSE_H
#define ENGINE_TEXT_TEMPLATE_PARSE_H

#include "engine/core/textmap.h"
#include "engine/text/template/node.h"

enum { PARSE_DEPTH = 64 };

struct parser {
    struct template *t;
    struct token *tokens;
    int64_t at;
    int depth;    /* of expressions */
    int nested;   /* statements */
    int loops;    /* around, inside the same macro */
    uint32_t tag; /* where the innermost open tag begins */
    struct textmap names;
    int64_t names_capacity;   /* of t->names */
    struct macro_node *macro; /* being parsed; NULL = none */
};

/* Fills an empty template whose heap has its limit. ERR_FORMAT with line and column. */
int parse_template(const char *text, size_t length, struct template *t) MUST_CHECK;

/* --- shared by parse.c and parse_expr.c */

static inline struct token *parse_peek(struct parser *p)
{
    return &p->tokens[p->at];
}

static inline bool parse_is(struct parser *p, enum token_type type)
{
    return p->tokens[p->at].type == type;
}

/* Is the current token this name? */
bool parse_is_name(struct parser *p, const char *name);
/* Steps over the token if it is of the type, or this name. */
bool parse_skip(struct parser *p, enum token_type type);
bool parse_skip_name(struct parser *p, const char *name);
int parse_expect(struct parser *p, enum token_type type, const char *wanted) MUST_CHECK;
int parse_expect_name(struct parser *p, const char **name, uint32_t *length) MUST_CHECK;

/* "expected WANTED, found ..." at the current token. */
int parse_wanted(struct parser *p, const char *wanted);

/* The number of a name. */
int parse_name(struct parser *p, const char *name, uint32_t length, uint32_t *out) MUST_CHECK;

/* An array under construction, moved into the heap at its end. */
struct parse_list {
    void *items;
    int64_t count, capacity;
};
int parse_add(struct parse_list *list, const void *item, size_t size) MUST_CHECK;
/* The items in the heap, NULL without memory; the list is released in any case. */
void *parse_done(struct parser *p, struct parse_list *list, size_t size) MUST_CHECK;

/* An expression; with commas a tuple. 'conditional': "x if y else z" is allowed. */
int parse_expression(struct parser *p, bool conditional, struct expr **out) MUST_CHECK;
int parse_tuple(struct parser *p, bool conditional, struct expr **out) MUST_CHECK;
/* "name(arguments)|name": filters over a base that is NULL. */
int parse_filters(struct parser *p, struct expr **out) MUST_CHECK;

#endif
