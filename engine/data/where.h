/* where.h -- the small language of df:where("Price > 100 and Name contains 'ache'").
 *
 *   expression = term { or term }           term = factor { and factor }
 *   factor     = not factor | ( expression ) | test
 *   test       = value op value | value [not] in ( value, ... ) | value is [not] null | column
 *   op         = = == ~= != <> < <= > >= contains startswith endswith
 *   value      = column | `column with spaces` | number | 'text' | "text" | true | false | null
 *
 * A quoted text before an operator is a column when there is one of that name. A null equals only
 * null and is neither less nor greater than anything. Texts compare byte by byte. */
#ifndef ENGINE_DATA_WHERE_H
#define ENGINE_DATA_WHERE_H

#include "engine/data/rows.h"

/* Adds the rows for which the expression holds. ERR_ARG with the place of a mistake, the nearest
 * column for one that is not there, and what cannot be compared. */
int where_rows(const struct table *t, const char *expression, struct rows *out) MUST_CHECK;

#endif
