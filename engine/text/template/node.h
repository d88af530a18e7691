/* node.h -- a parsed template: statements and expressions.
 *
 * Chains are flat (a + b + c, x.y[0].z, elif, a or b), so only real nesting makes the tree deep,
 * and the parser limits that. Names are numbers into the template's list of names. All nodes live
 * in the template's heap. */
#ifndef ENGINE_TEXT_TEMPLATE_NODE_H
#define ENGINE_TEXT_TEMPLATE_NODE_H

#include "engine/text/template/lex.h"
#include "engine/text/template/tv.h"

enum expr_kind {
    EXPR_CONST,
    EXPR_NAME,
    EXPR_LIST,
    EXPR_TUPLE,
    EXPR_DICT,  /* parts: key, value, key, value ... */
    EXPR_CHAIN, /* a value and what is done to it: .x [i] (...) |filter, is test */
    EXPR_OR,    /* gives an operand, as in Python */
    EXPR_AND,
    EXPR_NOT,     /* one part */
    EXPR_COMPARE, /* a < b < c */
    EXPR_MATH,    /* a + b - c, a * b // c, a ** b: left to right */
    EXPR_CONCAT,  /* a ~ b ~ c */
    EXPR_NEG,
    EXPR_POS,
    EXPR_IF, /* parts: value, condition, other value or NULL */
};

enum operator_kind { /* between the parts of EXPR_COMPARE and EXPR_MATH */
                     OP_EQ,
                     OP_NE,
                     OP_LT,
                     OP_LE,
                     OP_GT,
                     OP_GE,
                     OP_IN,
                     OP_NOT_IN,
                     OP_ADD,
                     OP_SUB,
                     OP_MUL,
                     OP_DIV,
                     OP_FLOORDIV,
                     OP_MOD,
                     OP_POW,
};

struct link;

struct expr {
    enum expr_kind kind;
    uint32_t at;
    uint32_t count; /* parts or links */
    union {
        struct tv constant;
        uint32_t name;
        struct {
            struct expr **items;
            uint8_t *ops; /* of COMPARE and MATH: ops[i] stands before items[i + 1] */
        } parts;
        struct {
            struct expr *base;
            struct link *links;
        } chain;
    } as;
};

struct argument {
    struct expr *value;
    const char *name; /* NULL = positional */
    uint32_t name_length;
    bool spread; /* *x, or **x with a name of "**" */
};

enum link_kind { LINK_ATTRIBUTE, LINK_ITEM, LINK_SLICE, LINK_CALL, LINK_FILTER, LINK_TEST };

struct builtin;

struct link {
    enum link_kind kind;
    uint32_t at;
    bool negated;     /* is not */
    const char *name; /* attribute, filter or test */
    uint32_t name_length, count;
    const struct builtin *function; /* of a filter or test; NULL = there is none of that name */
    struct argument *arguments;     /* of a call, filter or test: count */
    struct expr *index[3];          /* ITEM: [0]; SLICE: start, stop, step, each may be NULL */
};

enum stmt_kind {
    STMT_TEXT,
    STMT_PRINT,
    STMT_IF,
    STMT_FOR,
    STMT_SET,
    STMT_SET_BLOCK,
    STMT_MACRO,
    STMT_BREAK,
    STMT_CONTINUE,
    STMT_GENERATION,
    STMT_WITH,
    STMT_FILTER,
    STMT_CALL,
};

struct body {
    struct stmt *items;
    uint32_t count;
};

/* What is assigned to: names (several are unpacked, also nested) or a namespace's attribute. */
struct target {
    uint32_t at;
    uint32_t name;         /* when it is no tuple */
    const char *attribute; /* NULL = the name itself */
    uint32_t attribute_length;
    bool tuple;
    struct target *items;
    uint32_t count;
};

struct branch {
    struct expr *test; /* NULL = else */
    struct body body;
};

struct parameter {
    uint32_t name;
    struct expr *fallback; /* NULL = none */
};

struct macro_node {
    const char *text; /* its name */
    uint32_t length, name;
    struct parameter *parameters;
    uint32_t count;
    bool varargs, kwargs, caller; /* its body reads these names */
    struct body body;
};

struct stmt {
    enum stmt_kind kind;
    uint32_t at;
    union {
        struct {
            const char *bytes;
            uint32_t length;
        } text;
        struct expr *print;
        struct {
            struct branch *branches;
            uint32_t count;
        } choice;
        struct {
            struct target target;
            struct expr *over, *test; /* test: NULL = none */
            struct body body, otherwise;
            bool recursive;
        } loop;
        struct {
            struct target target;
            struct expr *value;
        } set;
        struct {
            struct target target;
            struct expr *filter; /* a chain over nothing, or NULL */
            struct body body;
        } block; /* SET_BLOCK and FILTER */
        struct macro_node *macro;
        struct body body; /* GENERATION */
        struct {
            struct target *targets;
            struct expr **values;
            uint32_t count;
            struct body body;
        } with;
        struct {
            struct macro_node *caller;
            struct expr *call;
        } call;
    } as;
};

struct template
{
    struct heap heap;
    struct source source;
    struct body body;
    const char **names; /* in the heap */
    uint32_t *name_lengths;
    uint32_t name_count;
    bool has_generation;
};

#endif
