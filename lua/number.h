/* number.h -- numbers as people should see them. */
#ifndef LUA_NUMBER_H
#define LUA_NUMBER_H

/* Shortest text that reads back as the same float, always recognisable as one ("5.0", "1e+20",
 * "math.huge" stays "inf"). 'out' holds at least 32 bytes; returns out. */
char *number_text(double value, char out[32]);

#endif
