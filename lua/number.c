/* number.c -- shortest round-trip floats.
 *
 * Lua's own %.14g shows 2^53 as 9.007199254741e+15, which reads back as another number. */
#include "lua/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *number_text(double value, char out[32])
{
    if (!isfinite(value)) {
        snprintf(out, 32, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return out;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    if (!strpbrk(out, ".eE"))
        strcat(out, ".0");
    return out;
}
