/* options.h -- option tables: one row for each field of a configuration struct.
 *
 * The table stands beside the struct it describes. Lua calls, the command line, JSON files,
 * checkpoints, ?help and the manual all read it, so a name, default, range or text is written
 * once. An unknown name is an error that suggests the nearest one; nothing is silently ignored. */
#ifndef ENGINE_CORE_OPTIONS_H
#define ENGINE_CORE_OPTIONS_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_BOOL,    /* bool */
    OPTION_INT,     /* int64_t */
    OPTION_FLOAT,   /* double */
    OPTION_TEXT,    /* char *, owned; NULL = not given */
    OPTION_LIST,    /* struct text_list; a single text or whole number is a list of one */
    OPTION_NUMBERS, /* struct number_list: name = number, in order */
    OPTION_NOTE,    /* accepted, means nothing here: 'note' says what happens instead */
    OPTION_REFUSED, /* known and not available: 'note' says what to do; false and nothing are fine */
    OPTION_OBJECT,  /* a Lua value (model, dataset ...) that the binding fetches itself */
};

struct text_list {
    int count;
    char **items; /* owned */
    bool single;  /* was given as one text, not as a list of one */
};

struct named_number {
    char *name; /* owned */
    double value;
};
struct number_list {
    int count;
    struct named_number *items; /* owned */
};

struct option {
    const char *name;    /* the canonical (newest) name */
    const char *aliases; /* other spellings, comma-separated, or NULL */
    enum option_type type;
    size_t offset;       /* of the field in the struct */
    const char *preset;  /* the default as text; NULL = not given (text, list), 0 or false */
    const char *choices; /* allowed texts, comma-separated, or NULL */
    const char
        *refused; /* known texts (true and false too) that are not available: 'note' is the hint */
    bool boolean; /* TEXT: true and false are taken too, as "true" and "false" */
    double min, max;  /* allowed range of numbers when min < max */
    const char *doc;  /* one line */
    const char *note; /* printed when the option is used: NOTE rows, aliases with a catch */
};

struct option_table {
    const char *name; /* "TrainingArguments" */
    const char *doc;
    const struct option *rows;
    int count;
    size_t struct_bytes;
};

/* Convenience for rows: OPTION(struct trainer_config, learning_rate, FLOAT, "5e-5", .doc = ...) */
#define OPTION(type_, field_, kind_, preset_, ...)                                  \
    {                                                                               \
        .name = #field_, .type = OPTION_##kind_, .offset = offsetof(type_, field_), \
        .preset = preset_, __VA_ARGS__                                              \
    }

/* Zeroes the struct and sets every default. On failure everything is released. */
int options_init(const struct option_table *table, void *config) MUST_CHECK;

/* Releases owned texts and lists, zeroes them. */
void options_free(const struct option_table *table, void *config);

/* Deep copy into an uninitialised struct. */
int options_copy(const struct option_table *table, void *to, const void *from) MUST_CHECK;

/* The row for a canonical name or alias. On failure ERR_ARG: "TrainingArguments has no option
 * 'learning_rat'; did you mean 'learning_rate'?". */
int options_find(const struct option_table *table, const char *name,
                 const struct option **out) MUST_CHECK;

/* Setters check type, range and choices; the message names table, option, value and what is
 * allowed. An integer option accepts 5.0 and refuses 5.5. The struct is unchanged on failure. */
int options_set_bool(const struct option_table *t, const struct option *o, void *config,
                     bool value) MUST_CHECK;
int options_set_number(const struct option_table *t, const struct option *o, void *config,
                       double value) MUST_CHECK;
int options_set_int(const struct option_table *t, const struct option *o, void *config,
                    int64_t value) MUST_CHECK;
int options_set_text(const struct option_table *t, const struct option *o, void *config,
                     const char *value) MUST_CHECK; /* text or one-item list only */
int options_set_list(const struct option_table *t, const struct option *o, void *config,
                     const char *const *items, int count) MUST_CHECK;
int options_set_numbers(const struct option_table *t, const struct option *o, void *config,
                        const char *const *names, const double *values, int count) MUST_CHECK;

/* Sets any kind from text, as on a command line: numbers, true/false, comma-separated lists and
 * name=number pairs. */
int options_parse(const struct option_table *t, const struct option *o, void *config,
                  const char *text) MUST_CHECK;

/* The field's value as text in 'out' (cut to size): for help, JSON and echo. */
void options_show(const struct option *o, const void *config, char *out, size_t bytes);

/* True when the field differs from its default. */
bool options_changed(const struct option *o, const void *config);

/* Type as a person says it: "integer", "number", "true or false", "text", "list of texts". */
const char *options_type_name(enum option_type t);

#endif
