/* value.h -- a counted tree of values such as JSON has: messages, tools, nested cells of tables.
 *
 * A value is made, filled and from then on only read: what was added to a list or a map cannot
 * change any more, so trees have no cycles, are never deeper than VALUE_DEPTH and may be shared,
 * also between threads. Maps keep the order in which keys came. Integers and floats stay apart, as
 * in Python. Texts are bytes with a length; a NUL stands behind them.
 *
 * Makers return NULL when there is no memory, and adding NULL is ERR_MEMORY, so calls can be
 * nested and checked once:
 *
 *     struct value *map = value_map();
 *     TRY_OUT(value_map_set(map, "role", value_text("user", 4)));
 *     TRY_OUT(value_map_set(map, "content", value_text(bytes, length)));
 *     ...
 * out:
 *     value_drop(map); */
#ifndef ENGINE_CORE_VALUE_H
#define ENGINE_CORE_VALUE_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind {
    VALUE_NONE, /* null */
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_TEXT,
    VALUE_LIST,
    VALUE_MAP, /* keys are texts */
};

#define VALUE_DEPTH 64 /* most lists and maps inside one another */

struct value_entry {
    struct value *key; /* a text */
    struct value *value;
};

/* To be read; changed only through the functions below. */
struct value {
    int32_t refs; /* < 0: lives for ever */
    uint8_t kind;
    uint8_t height; /* lists and maps: 1 + the highest inside */
    bool fixed;     /* was added somewhere */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *bytes; /* followed by a NUL that does not count */
            size_t length;
        } text;
        struct {
            struct value **items;
            int64_t count, capacity;
        } list;
        struct {
            struct value_entry *entries; /* in the order of their coming */
            int64_t count, capacity;
            struct textmap *index; /* of longer maps */
        } map;
    } as;
};

/* Makers: one reference is the caller's. value_none and value_bool cannot fail. */
struct value *value_none(void);
struct value *value_bool(bool b);
struct value *value_int(int64_t i);
struct value *value_float(double d);
struct value *value_text(const char *bytes, size_t length);
struct value *value_list(void);
struct value *value_map(void);

/* One more reference; returns v. NULL is fine in both. */
struct value *value_keep(struct value *v);
void value_drop(struct value *v);

/* Appends. The reference of 'item' is taken, also on failure. ERR_MEMORY (also for a NULL list or
 * item), ERR_ARG deeper than VALUE_DEPTH, ERR_INTERNAL for a list that was itself added. */
int value_list_add(struct value *list, struct value *item) MUST_CHECK;

/* Sets or replaces (the key keeps its place). The reference of 'item' is taken, also on failure. */
int value_map_set(struct value *map, const char *key, struct value *item) MUST_CHECK;
int value_map_set_bytes(struct value *map, const char *key, size_t length,
                        struct value *item) MUST_CHECK;

/* The value of a key, borrowed; NULL when it is not there or 'map' is no map. */
struct value *value_map_get(const struct value *map, const char *key);
struct value *value_map_get_bytes(const struct value *map, const char *key, size_t length);

/* True for a text of exactly these bytes. */
bool value_is_text(const struct value *v, const char *literal);

/* Equal in kind and content; maps in any order; NaN equals nothing; 1 and 1.0 differ. */
bool value_equal(const struct value *a, const struct value *b);

/* "a list", "the text 'abc'", "the integer 3": for messages. Returns out. */
const char *value_describe(const struct value *v, char *out, size_t bytes);

struct json;
struct json_options;

/* The tree of a JSON text; 'options' as in json.h, NULL = all off. Integers that do not fit 64 bits
 * become floats, as do numbers with a point or an exponent. ERR_FORMAT with line and column. */
int value_from_json(const char *bytes, size_t length, const struct json_options *options,
                    struct value **out) MUST_CHECK;

/* The value that the parser's current event begins; after it, the current event is its last. */
int value_read(struct json *j, struct value **out) MUST_CHECK;

/* How value_to_json writes; the defaults of Python's json.dumps are {.indent = -1}. */
struct value_json {
    const char *indent_text;       /* instead of the spaces; NULL = spaces */
    int indent;                    /* -1 = one line; else spaces for each level */
    bool sort_keys, ascii;         /* ascii: other characters as \uXXXX */
    const char *separator, *colon; /* NULL = Python's: ", " (in lines: ",") and ": " */
};

struct buffer;

/* Appends JSON as Python's json.dumps gives it, NaN and Infinity included. 'how' NULL = one line,
 * Python's defaults but characters kept. The status is the buffer's. */
int value_to_json(const struct value *v, const struct value_json *how,
                  struct buffer *out) MUST_CHECK;

#endif
