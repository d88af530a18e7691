/* column.h -- one typed column of a table: text, integers, floats, truth values, or nested values
 * (lists and objects, held as their JSON text), with nulls.
 *
 * Columns are counted and shared between tables, so taking, renaming and adding columns copies
 * nothing. A column is filled by its maker while nobody else holds it and is constant from then on.
 * Texts lie in an arena that columns made from each other share: picking rows copies 8 bytes each.
 * Not thread-safe while being made; reading is. */
#ifndef ENGINE_DATA_COLUMN_H
#define ENGINE_DATA_COLUMN_H

#include "engine/core/buffer.h"
#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column_type { COLUMN_TEXT, COLUMN_INT, COLUMN_FLOAT, COLUMN_BOOL, COLUMN_JSON };

/* Text and nested columns hold texts in an arena. */
static inline bool column_type_has_texts(enum column_type type)
{
    return type == COLUMN_TEXT || type == COLUMN_JSON;
}

struct arena; /* counted bytes of texts */

struct column {
    int refs;
    enum column_type type;
    int64_t count, capacity;
    int64_t nulls; /* how many values are null */
    uint8_t *null; /* [count], 1 = null; NULL while there is none, and for texts */
    union {
        int64_t *at; /* texts: place in the arena, -1 = null */
        int64_t *ints;
        double *floats;
        uint8_t *bools;
        void *items;
    };
    struct arena *arena; /* texts only */
};

/* An empty column, held once. */
int column_new(enum column_type type, struct column **out) MUST_CHECK;

/* An empty text column whose texts will be those of 'like' (column_add_same). */
int column_like(const struct column *like, struct column **out) MUST_CHECK;

struct column *column_hold(const struct column *c); /* counts one more holder; returns it */
void column_free(struct column *c);                 /* one holder less; NULL is fine */

/* Adding values, while held once. The kind must be the column's; a nested value is added as its
 * JSON text, which is not looked at here (json_compact makes it). */
int column_add_null(struct column *c) MUST_CHECK;
int column_add_text(struct column *c, const char *text, size_t length) MUST_CHECK;
int column_add_int(struct column *c, int64_t value) MUST_CHECK;
int column_add_float(struct column *c, double value) MUST_CHECK; /* NaN is added as it is */
int column_add_bool(struct column *c, bool value) MUST_CHECK;
/* The value of row 'row' of 'from', of the same type; -1 = null. */
int column_add_from(struct column *c, const struct column *from, int64_t row) MUST_CHECK;

/* Room for 'count' values in all. */
int column_reserve(struct column *c, int64_t count) MUST_CHECK;

static inline bool column_is_null(const struct column *c, int64_t row)
{
    return column_type_has_texts(c->type) ? c->at[row] < 0 : c->null && c->null[row];
}

/* Text of a row, not NUL-terminated; NULL (and length 0) for null. Text and nested columns only. */
const char *column_text(const struct column *c, int64_t row, size_t *length);

/* Number of a row of an int, float or bool column; NaN for null. */
double column_number(const struct column *c, int64_t row);

/* The value as text, added to 'out': floats shortest that read back the same, true/false, nothing
 * for null. */
void column_show(const struct column *c, int64_t row, struct buffer *out);

/* Rows in the given order (-1 = null), repeats allowed. */
int column_pick(const struct column *c, const int64_t *rows, int64_t count,
                struct column **out) MUST_CHECK;

/* 'count' times the same null. */
int column_nulls(enum column_type type, int64_t count, struct column **out) MUST_CHECK;

/* All values of several columns of one type after each other. */
int column_join(const struct column *const *parts, int count, struct column **out) MUST_CHECK;

/* Converted to 'type'. ERR_ARG names the first row that has no value there ("row 3: 'abc' is no
 * integer"); floats become integers only when they are whole; a text becomes nested when it is a
 * JSON array or object. */
int column_cast(const struct column *c, enum column_type type, struct column **out) MUST_CHECK;

/* The type that all of a text column's values have, as pandas finds it: int when all are written as
 * integers of 64 bits without leading zeros, float when all are numbers no digit of which would be
 * lost, bool when all are true/false, else text. '*out' is the converted column, or 'c' held once
 * more. With 'words', NA, N/A, NaN, null, None, and the empty text become null. */
int column_infer(const struct column *c, bool words, struct column **out) MUST_CHECK;

/* Adds what 'text' means to a number or bool column that column_infer has begun. '*fits' is false,
 * and nothing is added, when with this text it would have chosen another type. */
int column_add_parsed(struct column *c, const char *text, size_t length, bool words,
                      bool *fits) MUST_CHECK;

/* <0, 0, >0; nulls come last, NaN before them. Same type on both sides. */
int column_compare(const struct column *a, int64_t i, const struct column *b, int64_t j);

/* Hash of a value; equal values (column_compare == 0) have equal hashes. */
uint64_t column_hash(const struct column *c, int64_t row, uint64_t seed);

/* "str", "int", "float", "bool", "json" */
const char *column_type_name(enum column_type type);

/* The type as printed and as dtype: a nested column is "list" or "struct" after its first value. */
const char *column_dtype(const struct column *c);

/* From a name of it ("int64", "string", "str", "float32", ...). ERR_ARG when unknown. */
int column_type_find(const char *name, enum column_type *out) MUST_CHECK;

/* Bytes held by the column, shared texts counted in full. */
int64_t column_bytes(const struct column *c);

/* Shortest text of a float that reads back the same; always looks like a float ("1.0"). */
void column_float_text(double value, char out[32]);

/* Strict numbers for 'text' as a whole: no blanks, no hex. */
bool column_parse_int(const char *text, size_t length, int64_t *out);
bool column_parse_float(const char *text, size_t length, double *out);

#endif
