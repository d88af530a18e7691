/* split.h -- which rows "train[10%:20%]" means, as in the datasets library: counted from 0, the end
 * left out, negatives from the end, percentages rounded to the nearest row. */
#ifndef ENGINE_DATA_SPLIT_H
#define ENGINE_DATA_SPLIT_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct split_edge {
    bool given, percent;
    int64_t value;
};
struct split {
    char name[64];
    struct split_edge from, to;
};

/* ERR_ARG for what is no split. */
int split_parse(const char *text, struct split *out) MUST_CHECK;

/* The part of 'rows' rows: never more than there are. */
void split_rows(const struct split *s, int64_t rows, int64_t *from, int64_t *count);

/* Test rows for a share (under 1) or a number of rows, as train_test_split counts them: the share is
 * rounded up. ERR_ARG when nothing is left for one of the two. */
int split_test_rows(double test_size, int64_t rows, int64_t *out) MUST_CHECK;

#endif
