/* component.h -- one component of a tokenizer.json: an object with a type; private to the loaders.
 *
 * The type may stand anywhere among the fields, and fields are few: each is looked for when it is
 * wanted. Sequences nest; the JSON parser's depth limit bounds the recursion. */
#ifndef ENGINE_TEXT_COMPONENT_H
#define ENGINE_TEXT_COMPONENT_H

#include "engine/core/json.h"
#include "engine/text/tokenizer_private.h"

struct component {
    char type[32];
    size_t start, stop; /* of the object in the text */
    const struct json *j;
};

/* The next value of 'j': null gives *there = false, an object its type and place. */
int component_read(struct json *j, struct component *c, bool *there) MUST_CHECK;
bool component_is(const struct component *c, const char *type);

/* "the normalizer 'X' is not supported yet", with its line. */
int component_refuse(const struct component *c, const char *what);
int component_fail(const struct component *c, const char *message);

/* Fields. Null is as good as missing: the preset stays. Text is owned by the caller. */
int component_bool(const struct component *c, const char *name, bool *value) MUST_CHECK;
int component_int(const struct component *c, const char *name, int64_t *value) MUST_CHECK;
int component_text(const struct component *c, const char *name, char **text,
                   size_t *length) MUST_CHECK;

/* The field as a part of the text: *stop 0 = missing. */
int component_span(const struct component *c, const char *name, size_t *start,
                   size_t *stop) MUST_CHECK;

/* A field {"String": text} or {"Regex": text}; also a plain text. */
int component_pattern(const struct component *c, const char *name, char **text, size_t *length,
                      bool *regex) MUST_CHECK;

/* Runs 'one' over every element of the list in field 'name'. */
int component_each(struct tokenizer *t, const struct component *c, const char *name,
                   int (*one)(struct tokenizer *, struct json *, void *), void *ctx) MUST_CHECK;

#endif
