/* builtin.h -- filters, tests, methods and functions that templates may call.
 *
 * Each is a row: its name, the function, and the names of its parameters, so that arguments are
 * bound and checked in one place. To add one: write the function, add the row; the test of all rows
 * and the suggestions walk the tables. Functions fail without a place: the caller adds it. */
#ifndef ENGINE_TEXT_TEMPLATE_BUILTIN_H
#define ENGINE_TEXT_TEMPLATE_BUILTIN_H

#include "engine/text/template/tv.h"

enum { BUILTIN_PARAMETERS = 5 };

struct eval;

struct arguments {
    struct tv self; /* what is filtered or tested, or the method's object */
    /* bound: by parameter */
    struct tv values[BUILTIN_PARAMETERS];
    bool given[BUILTIN_PARAMETERS];
    /* as they came; macros and functions with 'any' read these */
    struct tv *positional;
    int64_t count;
    struct tv_map *named; /* NULL = none */
};

struct builtin {
    const char *name;
    int (*call)(struct eval *e, struct arguments *a, struct tv *out);
    const char *parameters[BUILTIN_PARAMETERS + 1];
    int required; /* the first so many must be given */
    bool any;     /* takes any arguments */
};

/* By name; NULL when there is none. */
const struct builtin *builtin_filter(const char *name, size_t length);
const struct builtin *builtin_test(const char *name, size_t length);
const struct builtin *builtin_function(const char *name, size_t length);
const struct builtin *builtin_method(struct tv self, const char *name, size_t length);

/* A failure that names the nearest filter or test. */
int builtin_unknown(bool filter, const char *name, size_t length);

/* Binds the arguments and calls. */
int builtin_call(struct eval *e, const struct builtin *f, struct arguments *a,
                 struct tv *out) MUST_CHECK;

/* The tables, which end with a row without a name (builtin.c looks them up). */
extern const struct builtin builtin_filters[], builtin_list_filters[], builtin_tests[],
    builtin_functions[], builtin_text_methods[], builtin_map_methods[], builtin_list_methods[],
    builtin_loop_methods[];

/* --- what the functions share */

/* The bound argument as an integer or a text; 'fallback' when it was not given. ERR_ARG. */
int builtin_int(const struct arguments *a, int i, int64_t fallback, int64_t *out) MUST_CHECK;
bool builtin_flag(const struct arguments *a, int i, bool fallback);
int builtin_text(const struct arguments *a, int i, struct tv *out) MUST_CHECK;
/* self as a text: str(self). */
int builtin_self_text(struct eval *e, const struct arguments *a, struct tv *out) MUST_CHECK;

#endif
