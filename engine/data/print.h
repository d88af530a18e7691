/* print.h -- a table as text: a box for people, tab-separated lines for programs.
 *
 * The box has a row of names, a row of types, and as many columns as fit; those that do not are
 * named below it. Every line of the box is equally wide. */
#ifndef ENGINE_DATA_PRINT_H
#define ENGINE_DATA_PRINT_H

#include "engine/data/table.h"

enum print_form { PRINT_BOX, PRINT_ASCII, PRINT_TSV, PRINT_MARKDOWN };

struct print_style {
    enum print_form form;
    int width;         /* columns of the terminal; at least PRINT_NARROWEST is used */
    int64_t most_rows; /* more are cut to the first and last few; 0 = PRINT_ROWS */
    bool
        place_borders; /* a terminal: put borders with a cursor command where widths are contested */
};

#define PRINT_NARROWEST 24
#define PRINT_ROWS 20

/* Adds the table. 'whole' is the table its rows were taken from (head, sample), or NULL: the line
 * below then says "3 of 3,512 rows". */
int print_table(const struct table *t, const struct table *whole, const struct print_style *style,
                struct buffer *out) MUST_CHECK;

/* "3,512" */
const char *print_count(int64_t n, char out[32]);

/* A float for people: the shortest text when it is short, else six digits. */
void print_float(double value, char out[32]);

#endif
