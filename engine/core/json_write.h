/* json_write.h -- JSON as Python writes it, one value after the other.
 *
 * Commas, colons and indentation come by themselves. Indent 2 gives json.dumps(indent=2), 0 gives
 * no white space at all, -1 gives Python's one-line form (", " and ": "). Numbers are written as
 * Python's repr writes them (2e-05, 1.0); NaN and infinity become null. Text must be UTF-8 and is
 * kept as it is, but for quotes, backslashes and control characters. Failures stick in the buffer.
 *
 *     struct json_writer w;
 *     json_write_begin(&w, &buffer, 2);
 *     json_write_open(&w, NULL, '{');
 *     json_write_int(&w, "r", 16);
 *     json_write_close(&w);
 *     TRY(buffer_close(&buffer)); */
#ifndef ENGINE_CORE_JSON_WRITE_H
#define ENGINE_CORE_JSON_WRITE_H

#include "engine/core/buffer.h"
#include <stdbool.h>

#define JSON_WRITE_DEPTH 64

struct json_writer {
    struct buffer *out;
    int indent, depth;
    bool some; /* the open value has an entry already */
    char close[JSON_WRITE_DEPTH];
};

void json_write_begin(struct json_writer *w, struct buffer *out, int indent);

/* 'key' is the key of the entry inside an object, NULL inside an array or at the top. */
void json_write_open(struct json_writer *w, const char *key, char bracket); /* '{' or '[' */
void json_write_close(struct json_writer *w);
void json_write_text(struct json_writer *w, const char *key, const char *text); /* NULL = null */
void json_write_bytes(struct json_writer *w, const char *key, const char *text, size_t length);
void json_write_int(struct json_writer *w, const char *key, int64_t value);
void json_write_double(struct json_writer *w, const char *key, double value);
void json_write_bool(struct json_writer *w, const char *key, bool value);
void json_write_null(struct json_writer *w, const char *key);
void json_write_raw(struct json_writer *w, const char *key, const char *json, size_t length);

/* A quoted JSON string on its own; Python's repr of a double into 'out'. */
void json_quote(struct buffer *out, const char *text, size_t length);
void json_number_text(double value, char out[32]);

#endif
