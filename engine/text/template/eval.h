/* eval.h -- running a parsed template.
 *
 * A tree evaluator with fuel, a memory limit, an output limit and a depth limit; values are plain
 * data, so a template reaches nothing but what it was given. Output goes to one buffer: a macro or
 * a block that is captured writes at its end and is cut off again. */
#ifndef ENGINE_TEXT_TEMPLATE_EVAL_H
#define ENGINE_TEXT_TEMPLATE_EVAL_H

#include "engine/text/template/builtin.h"
#include "engine/text/template/node.h"
#include "engine/text/template/template.h"

struct binding {
    uint32_t name;
    struct tv value;
};

/* Names that are set here; the outermost scope is eval.globals. */
struct scope {
    struct scope *parent; /* NULL = the outermost, which has no items */
    struct binding *items;
    uint32_t count, capacity;
};

struct macro {
    const char *name;
    uint32_t name_length;
    const struct macro_node *node;
    struct scope *scope; /* where it was defined */
};

struct loop {
    const struct stmt *node;
    struct scope *scope, *inside; /* around the loop; of its condition */
    struct tv_list *list;
    int64_t next;          /* of 'list', not looked at yet */
    bool filtered;         /* a condition chooses */
    int64_t index, length; /* from 0; -1 = not known */
    int depth;
    struct tv before, current, after, changed;
    bool has_after, has_changed;
};

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct eval {
    const struct template *t;
    const struct template_options *options;
    struct tv_budget budget;
    struct tv *globals; /* by name */
    struct scope root;
    struct buffer out;
    int captures;    /* inside one another */
    int64_t outside; /* where the outermost capture began; -1 = nothing is captured */
    int depth;
    enum flow flow;
    bool named;   /* the message tells the function */
    bool located; /* and its place */
    bool raised;  /* by raise_exception */
    struct template_span *spans;
    int64_t span_count, span_capacity;
};

enum { EVAL_DEPTH = 400 };

int eval_body(struct eval *e, const struct body *body, struct scope *scope) MUST_CHECK;
int eval_expr(struct eval *e, const struct expr *x, struct scope *scope, struct tv *out) MUST_CHECK;

/* One level deeper: ERR_ARG beyond EVAL_DEPTH. Pair with e->depth--. */
int eval_enter(struct eval *e, uint32_t at) MUST_CHECK;

/* Puts the place before the message of a failure that has none yet; returns status. */
int eval_place(struct eval *e, uint32_t at, int status);

/* Sets a name in a scope. */
int eval_set(struct eval *e, struct scope *scope, uint32_t name, struct tv value) MUST_CHECK;
struct scope *eval_scope(struct eval *e, struct scope *parent) MUST_CHECK;
int eval_assign(struct eval *e, const struct target *to, struct tv value,
                struct scope *scope) MUST_CHECK;

/* What a for loop visits: items of lists, keys of maps, characters of texts, the rest of an
 * iterator (which is spent then). */
int eval_items(struct eval *e, struct tv over, struct tv_list **out) MUST_CHECK;

/* object.name and object[key]; what is not there is undefined. */
int eval_attribute(struct eval *e, struct tv object, const char *name, size_t length,
                   struct tv *out) MUST_CHECK;
int eval_item(struct eval *e, struct tv object, struct tv key, struct tv *out) MUST_CHECK;
/* "a.b.0" one after the other, as the filters' attribute= has it. */
int eval_path(struct eval *e, struct tv object, struct tv path, struct tv *out) MUST_CHECK;
/* object[start:stop:step]; NULL = left out. */
int eval_slice(struct eval *e, struct tv object, const struct tv *start, const struct tv *stop,
               const struct tv *step, struct tv *out) MUST_CHECK;

int eval_call(struct eval *e, struct tv callee, struct arguments *a, struct tv *out) MUST_CHECK;
int eval_math(struct eval *e, enum operator_kind op, struct tv x, struct tv y,
              struct tv *out) MUST_CHECK;
int eval_contains(struct eval *e, struct tv needle, struct tv in, bool *out) MUST_CHECK;
int eval_format(struct eval *e, struct tv format, struct tv values, struct tv *out) MUST_CHECK;

/* loop.name; false when there is no such attribute. */
int eval_loop_attribute(struct eval *e, struct loop *l, const char *name, size_t length,
                        struct tv *out, bool *found) MUST_CHECK;
int eval_loop(struct eval *e, const struct stmt *s, struct tv over, struct scope *scope,
              int depth) MUST_CHECK;
/* The text that a macro, a call's body or a recursive loop gives. */
int eval_macro(struct eval *e, const struct macro *m, struct arguments *a,
               struct tv *out) MUST_CHECK;

/* Output from here on is taken away: what begin gives goes to end, whose 'out' may be NULL. */
int64_t eval_capture(struct eval *e);
int eval_captured(struct eval *e, int64_t begin, int status, struct tv *out) MUST_CHECK;
int eval_output(struct eval *e, struct tv v) MUST_CHECK;

#endif
