/* tv.h -- the values that a template computes with: Python's, as far as templates can see them.
 *
 * Passed by value; texts, lists and maps live in the heap of the rendering and never change once
 * made (only namespaces do). Integers have 64 bits. Texts are UTF-8 and count in code points. */
#ifndef ENGINE_TEXT_TEMPLATE_TV_H
#define ENGINE_TEXT_TEMPLATE_TV_H

#include "engine/core/buffer.h"
#include "engine/core/value.h"
#include "engine/text/template/heap.h"
#include <stdbool.h>

enum tv_kind {
    TV_UNDEFINED, /* text: what is not defined */
    TV_NONE,
    TV_BOOL,
    TV_INT,
    TV_FLOAT,
    TV_TEXT,
    TV_LIST,
    TV_TUPLE,
    TV_MAP,
    TV_RANGE,     /* list, made whole */
    TV_VIEW,      /* map.keys(), .values(), .items(): list */
    TV_ITERATOR,  /* what filters yield: read once */
    TV_NAMESPACE, /* map */
    TV_MACRO,
    TV_FUNCTION, /* a global function */
    TV_METHOD,   /* a method with its object */
    TV_LOOP,
};

struct tv {
    uint8_t kind;
    bool safe;       /* a text marked by the filter 'safe' */
    uint32_t length; /* bytes of a text */
    union {
        bool boolean;
        int64_t integer;
        double number;
        const char *text; /* not NUL-terminated */
        struct tv_list *list;
        struct tv_map *map;
        struct tv_iterator *iterator;
        const struct builtin *function;
        struct tv_method *method;
        struct macro *macro;
        struct loop *loop;
    } as;
};

struct tv_list {
    struct tv *items;
    int64_t count;
    const char *name; /* of a range or view, for printing: "dict_items", "range(0, 3" */
};

struct tv_iterator {
    struct tv_list *list;
    int64_t next;
};

struct tv_pair {
    struct tv key, value;
};

struct tv_map {
    struct tv_pair *pairs; /* in the order of their coming */
    int64_t count, capacity;
    uint32_t *slots; /* of longer maps: index into pairs plus 1 */
    uint64_t mask;
};

struct tv_method {
    struct tv self;
    const struct builtin *function;
};

/* What the walks below may use: the heap's limit and the steps that are left. */
struct tv_budget {
    struct heap heap;
    size_t text; /* longest text that may be made */
    int64_t fuel;
};

#define TV_DEPTH 64 /* deepest value that is compared, printed or written */

/* Takes 'steps' from the fuel: ERR_MEMORY "more than ... steps" when it is spent. */
int tv_spend(struct tv_budget *b, int64_t steps) MUST_CHECK;

/* The status of a text under construction: ERR_MEMORY when it has become too long. */
int tv_check(const struct tv_budget *b, const struct buffer *text) MUST_CHECK;

static inline struct tv tv_none(void)
{
    return (struct tv){.kind = TV_NONE};
}

static inline struct tv tv_bool(bool b)
{
    return (struct tv){.kind = TV_BOOL, .as.boolean = b};
}

static inline struct tv tv_int(int64_t i)
{
    return (struct tv){.kind = TV_INT, .as.integer = i};
}

static inline struct tv tv_float(double d)
{
    return (struct tv){.kind = TV_FLOAT, .as.number = d};
}

/* The bytes must stay where they are. */
static inline struct tv tv_text(const char *bytes, size_t length)
{
    return (struct tv){.kind = TV_TEXT, .length = (uint32_t)length, .as.text = bytes};
}

static inline struct tv tv_undefined(const char *name, size_t length)
{
    return (struct tv){.kind = TV_UNDEFINED, .length = (uint32_t)length, .as.text = name};
}

static inline bool tv_is_number(struct tv v)
{
    return v.kind == TV_BOOL || v.kind == TV_INT || v.kind == TV_FLOAT;
}

/* A bool or integer as an integer. */
static inline int64_t tv_integer(struct tv v)
{
    return v.kind == TV_BOOL ? v.as.boolean : v.as.integer;
}

static inline double tv_double(struct tv v)
{
    return v.kind == TV_FLOAT ? v.as.number : (double)tv_integer(v);
}

/* A list or tuple of 'count' items to be filled. */
int tv_new_list(struct tv_budget *b, enum tv_kind kind, int64_t count, struct tv *out) MUST_CHECK;
int tv_new_map(struct tv_budget *b, enum tv_kind kind, int64_t capacity, struct tv *out) MUST_CHECK;

/* Sets or replaces; ERR_ARG for a key that Python cannot hash. */
int tv_map_set(struct tv_budget *b, struct tv_map *m, struct tv key, struct tv value) MUST_CHECK;

/* The value of a key, NULL when it is not there (or cannot be a key). */
struct tv *tv_map_get(const struct tv_map *m, struct tv key);
struct tv *tv_map_find(const struct tv_map *m, const char *key, size_t length);

/* Python's truth. Undefined is false; iterators are true. */
bool tv_truth(struct tv v);

/* Python's name of the type: "str", "dict". */
const char *tv_type(struct tv v);

/* Python's == */
int tv_equal(struct tv_budget *b, struct tv x, struct tv y, bool *out) MUST_CHECK;

/* < 0, 0, > 0 for numbers, texts, lists and tuples; else ERR_ARG. *ordered is false with a NaN. */
int tv_compare(struct tv_budget *b, struct tv x, struct tv y, int *out, bool *ordered) MUST_CHECK;

/* Appends str(v) or repr(v). */
int tv_str(struct tv_budget *b, struct tv v, struct buffer *out) MUST_CHECK;
int tv_repr(struct tv_budget *b, struct tv v, struct buffer *out) MUST_CHECK;

/* str(v) as a text value; a text is itself. */
int tv_to_text(struct tv_budget *b, struct tv v, struct tv *out) MUST_CHECK;

/* Moves a buffer's text into the heap; the buffer is released in any case. */
int tv_from_buffer(struct tv_budget *b, struct buffer *buffer, struct tv *out) MUST_CHECK;

/* A value tree as template values (texts are borrowed from it), and back as JSON sees it: tuples
 * are lists, keys become texts. ERR_ARG for what JSON has no form for. */
int tv_from_value(struct tv_budget *b, const struct value *v, struct tv *out) MUST_CHECK;
int tv_to_value(struct tv_budget *b, struct tv v, struct value **out) MUST_CHECK;

#endif
