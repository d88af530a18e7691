/* cell.h -- a text as it stands in one cell of a printed table: one line, so many columns wide.
 *
 * Terminals disagree about sequences: a family of emoji joined by U+200D is 2 columns on one and 8
 * on the next, and a variation selector may or may not widen what it follows. A cell therefore holds
 * only what all of them measure alike: joiners and modifiers of emoji, variation selectors and other
 * invisible characters are left out, control characters are shown as pictures, what is no
 * character as U+FFFD. The width of a cell is the sum of its code points' widths. */
#ifndef ENGINE_DATA_CELL_H
#define ENGINE_DATA_CELL_H

#include "engine/core/buffer.h"
#include <stdbool.h>
#include <stddef.h>

/* Columns of 'text', at most 'limit' + 1: longer texts are not looked at to their end. */
int cell_width(const char *text, size_t length, int limit, bool ascii);

/* Adds 'text' in at most 'width' columns, its end replaced by an ellipsis when it is longer, and
 * returns the columns used. 'width' >= 3. '*contested' is set when it holds a character of a script
 * whose marks terminals measure differently; it is left alone otherwise. */
int cell_add(struct buffer *out, const char *text, size_t length, int width, bool ascii,
             bool *contested);

#endif
