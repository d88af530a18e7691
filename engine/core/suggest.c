/* suggest.c -- bounded edit distance for "did you mean". */
#include "engine/core/suggest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define LONGEST 64 /* names longer than this are not compared */

static int change_cost(char a, char b)
{
    if (a == b)
        return 0;
    return tolower((unsigned char)a) == tolower((unsigned char)b) ? 1 : 2;
}

static int min3(int a, int b, int c)
{
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Damerau-Levenshtein (restricted: a pair is swapped once) over three rolling rows. */
int suggest_distance(const char *a, const char *b, int limit)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return limit + 1;
    int rows[3][LONGEST + 1];
    int *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = 2 * (int)j;
    for (size_t i = 1; i <= n; i++) {
        int least = now[0] = 2 * (int)i;
        for (size_t j = 1; j <= m; j++) {
            int cost = change_cost(a[i - 1], b[j - 1]);
            now[j] = min3(last[j] + 2, now[j - 1] + 2, last[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 2 < now[j])
                now[j] = before[j - 2] + 2;
            if (now[j] < least)
                least = now[j];
        }
        if (least > limit)
            return limit + 1;
        int *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

void suggest_try(struct suggest *s, const char *candidate)
{
    size_t n = strlen(s->wanted);
    int limit = n <= 1 ? 1 : n <= 3 ? 2 : n <= 6 ? 4 : 6; /* half, one, two or three whole steps */
    if (s->best && s->distance - 1 < limit)
        limit = s->distance - 1;
    if (limit < 0)
        return;
    int d = suggest_distance(s->wanted, candidate, limit);
    if (d <= limit) {
        s->best = candidate;
        s->distance = d;
    }
}

char *suggest_hint(const struct suggest *s, char *out, size_t bytes)
{
    if (s->best)
        snprintf(out, bytes, "; did you mean '%s'?", s->best);
    else if (bytes)
        out[0] = '\0';
    return out;
}
