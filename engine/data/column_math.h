/* column_math.h -- arithmetic, comparisons and text functions on whole columns.
 *
 * An operand of one value stands for that value in every row. A null on either side gives null.
 * Integers stay integers under + - * // % (overflow is an error that names the row); / and ^ give
 * floats, as in Lua. */
#ifndef ENGINE_DATA_COLUMN_MATH_H
#define ENGINE_DATA_COLUMN_MATH_H

#include "engine/data/column.h"

enum column_op {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOOR_DIV,
    OP_MOD,
    OP_POW,
    OP_JOIN, /* texts after each other; numbers are written out */
    OP_EQ,   /* from here on the result is bool */
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_CONTAINS, /* a plain text, no pattern */
    OP_STARTS,
    OP_ENDS,
    OP_AND,
    OP_OR,
};

int column_binary(enum column_op op, const struct column *a, const struct column *b,
                  struct column **out) MUST_CHECK;

enum column_text_op { TEXT_LENGTH /* characters */, TEXT_STRIP, TEXT_LOWER, TEXT_UPPER };

/* Of a text column. */
int column_text_function(enum column_text_op op, const struct column *c,
                         struct column **out) MUST_CHECK;

/* 'c' with its nulls replaced by the one value of 'value'. */
int column_fill(const struct column *c, const struct column *value, struct column **out) MUST_CHECK;

/* true where a value is null */
int column_null_flags(const struct column *c, struct column **out) MUST_CHECK;

struct column_stats {
    int64_t count;                         /* values that are no null */
    double sum, mean, deviation, min, max; /* deviation of a sample (n - 1); NaN when undefined */
};

/* Of a number or bool column. ERR_ARG for text. */
int column_statistics(const struct column *c, struct column_stats *out) MUST_CHECK;

/* The values at the given shares of the order (0.5 = median), with straight lines between values. */
int column_quantiles(const struct column *c, const double *shares, int count,
                     double *out) MUST_CHECK;

#endif
