/* plot.h -- curves of a run, as text for a terminal or as an SVG picture.
 *
 * Values that are no numbers leave a gap and are counted. One point, or none, is fine. */
#ifndef ENGINE_TRAIN_PLOT_H
#define ENGINE_TRAIN_PLOT_H

#include "engine/core/buffer.h"
#include <stdbool.h>
#include <stdint.h>

struct plot_series {
    const char *name;
    int64_t count;
    const double *x, *y; /* [count], x rising */
    bool points;         /* marks instead of a line: few values */
};

/* 'columns' and 'rows' of the whole drawing (at least 20 and 5 are used); 'utf8': braille dots, else
 * ASCII. Ends with a newline. */
void plot_text(struct buffer *out, const struct plot_series *series, int count, int columns,
               int rows, bool utf8);

/* A whole SVG document. */
void plot_svg(struct buffer *out, const char *title, const struct plot_series *series, int count);

#endif
