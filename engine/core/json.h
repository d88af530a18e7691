/* json.h -- a pull parser for JSON.
 *
 * The caller asks for one event after the other; nothing is built, so a 33 MB tokenizer costs no
 * more than what its reader keeps. Iterative, with a depth limit. Numbers stay text until they are
 * asked for. Refused: keys that occur twice in an object, invalid UTF-8, lone surrogates, trailing
 * bytes, and NaN or Infinity unless allowed. A byte-order mark at the start is skipped. Messages
 * carry line and column; callers add the file with fail_in().
 *
 *     struct json j;
 *     json_begin(&j, bytes, length, NULL);
 *     TRY_OUT(json_open(&j, JSON_OBJECT, "the settings"));
 *     for (;;) {
 *         TRY_OUT(json_next(&j));
 *         if (j.kind == JSON_OBJECT_END)
 *             break;
 *         if (json_is(&j, "name"))
 *             TRY_OUT(json_take_text(&j, "name", &name));
 *         else
 *             TRY_OUT(json_skip_value(&j));
 *     }
 *     TRY_OUT(json_end(&j));
 * out:
 *     json_free(&j); */
#ifndef ENGINE_CORE_JSON_H
#define ENGINE_CORE_JSON_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_kind {
    JSON_NONE, /* before the first event */
    JSON_NULL,
    JSON_BOOL,   /* boolean */
    JSON_NUMBER, /* text: as written */
    JSON_STRING, /* text: decoded */
    JSON_ARRAY,
    JSON_OBJECT,
    JSON_KEY, /* text: decoded; its value follows */
    JSON_ARRAY_END,
    JSON_OBJECT_END,
    JSON_END, /* the whole text was read and nothing follows */
};

struct json_options {
    bool nan;        /* accept NaN, Infinity and -Infinity as numbers (Python writes them) */
    bool duplicates; /* accept a key twice */
};

#define JSON_DEPTH 64
#define JSON_NUMBER_BYTES 1024 /* longest number */

struct json_seen; /* the keys of the open objects */

struct json {
    /* the current event */
    enum json_kind kind;
    const char *text; /* not NUL-terminated, may hold NUL; valid until the next event */
    size_t length;
    bool boolean;
    size_t offset; /* of its first byte in the whole text */
    /* private */
    const char *whole, *p, *end;
    struct json_options options;
    int depth;
    bool want_value;                 /* after a key or a comma */
    unsigned char stack[JSON_DEPTH]; /* JSON_ARRAY or JSON_OBJECT */
    char *scratch;                   /* decoded text with escapes */
    int64_t scratch_bytes;
    struct json_seen *seen;
};

/* Sets up over 'length' bytes, which must stay where they are. 'options' NULL = all off. Allocates
 * nothing; json_free is still due. */
void json_begin(struct json *j, const char *bytes, size_t length,
                const struct json_options *options);

/* As json_begin, over the value that stands in [start, stop) of the text: a second look at a part.
 * Lines in messages count from the start of the whole text. */
void json_begin_part(struct json *j, const char *bytes, size_t start, size_t stop,
                     const struct json_options *options);
void json_free(struct json *j); /* zeroed or begun; twice is fine */

/* Next event into j->kind and so on. ERR_FORMAT with line and column, ERR_MEMORY. */
int json_next(struct json *j) MUST_CHECK;

/* The current event, if it opens an array or object, is read to its end. */
int json_skip(struct json *j) MUST_CHECK;

/* The next value, whole. */
int json_skip_value(struct json *j) MUST_CHECK;

/* Next event, which must be of this kind: "line 1, column 8: added_tokens: expected an array,
 * found text". 'what' names the value; NULL = no name. */
int json_open(struct json *j, enum json_kind kind, const char *what) MUST_CHECK;

/* True while the array or object that the parser is in goes on: while (json_more(&j)) read one. */
bool json_more(struct json *j);

/* The text must be at its end. */
int json_end(struct json *j) MUST_CHECK;

/* True when the text of the current key or string is 'literal'. */
bool json_is(const struct json *j, const char *literal);

/* A failure at the current event, in the form of the parser's own. */
int json_fail(const struct json *j, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The current number: an integer that fits (5.0 and 1e3 do), or the nearest double (overflow gives
 * infinity). Errors name 'what'. */
int json_int(const struct json *j, const char *what, int64_t *out) MUST_CHECK;
int json_double(const struct json *j, const char *what, double *out) MUST_CHECK;

/* Read the next value, which must be of the kind. Text is NUL-terminated and owned by the caller;
 * one that holds a NUL is refused by json_take_text. */
int json_take_text(struct json *j, const char *what, char **out) MUST_CHECK;
int json_take_int(struct json *j, const char *what, int64_t *out) MUST_CHECK;
int json_take_double(struct json *j, const char *what, double *out) MUST_CHECK;
int json_take_bool(struct json *j, const char *what, bool *out) MUST_CHECK;

#endif
