/* split.c -- parts of a data set by name and range, and by size. */
#include "engine/data/split.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int bad(const char *text)
{
    return fail(ERR_ARG,
                "split '%.80s' is not understood, wanted a name and perhaps a range; hint: "
                "\"train\", \"train[:10%%]\" or \"train[100:200]\"",
                text);
}

/* An edge up to 'stop'; an empty one is not given. */
static bool edge(const char **p, char stop, struct split_edge *out)
{
    char *end;
    *out = (struct split_edge){0};
    if (**p == stop)
        return true;
    if (**p != '-' && (**p < '0' || **p > '9'))
        return false;
    long long value = strtoll(*p, &end, 10);
    out->given = true;
    out->value = value < -(1LL << 50) ? -(1LL << 50) : value > 1LL << 50 ? 1LL << 50 : value;
    out->percent = *end == '%';
    *p = end + out->percent;
    return **p == stop;
}

int split_parse(const char *text, struct split *out)
{
    size_t n = strcspn(text, "[");
    const char *p = text + n;
    *out = (struct split){0};
    if (n == 0 || n >= sizeof out->name || strchr(text, '+'))
        return bad(text);
    memcpy(out->name, text, n);
    if (!*p)
        return OK;
    p++;
    if (!edge(&p, ':', &out->from) || *p++ != ':')
        return bad(text);
    if (!edge(&p, ']', &out->to) || strcmp(p, "]") != 0)
        return bad(text);
    if ((out->from.percent && llabs(out->from.value) > 100) ||
        (out->to.percent && llabs(out->to.value) > 100))
        return fail(ERR_ARG, "split '%.80s': a percentage over 100", text);
    return OK;
}

static int64_t place(const struct split_edge *e, int64_t rows, int64_t preset)
{
    if (!e->given)
        return preset;
    int64_t at = e->percent ? llround((double)rows * (double)e->value / 100) : e->value;
    at = at < 0 ? rows + at : at;
    return i64_max(0, i64_min(at, rows));
}

void split_rows(const struct split *s, int64_t rows, int64_t *from, int64_t *count)
{
    *from = place(&s->from, rows, 0);
    *count = i64_max(0, place(&s->to, rows, rows) - *from);
}

int split_test_rows(double test_size, int64_t rows, int64_t *out)
{
    bool share = test_size > 0 && test_size < 1;
    double n = share ? ceil(test_size * (double)rows) : test_size;
    if (!(n >= 1) || n != floor(n) || n >= (double)rows)
        return fail(ERR_ARG,
                    "test_size %g of %" PRId64
                    " rows leaves nothing for one of the two parts, wanted "
                    "a share between 0 and 1 or a number of rows from 1 to %" PRId64,
                    test_size, rows, i64_max(rows - 1, 0));
    *out = (int64_t)n;
    return OK;
}
