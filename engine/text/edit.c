/* edit.c -- a text that is being rewritten, with where each byte came from. */
#include "engine/text/edit.h"
#include "kernels/base/mem.h"

#include <string.h>

struct origin source_range(const struct source *s, size_t from, size_t n)
{
    if (!s->origins)
        return (struct origin){s->at + (uint32_t)from, s->at + (uint32_t)(from + n)};
    if (n > 0)
        return (struct origin){s->origins[from].start, s->origins[from + n - 1].end};
    uint32_t here = from < s->length ? s->origins[from].start
                    : s->length > 0  ? s->origins[s->length - 1].end
                                     : s->at;
    return (struct origin){here, here};
}

struct source source_part(const struct source *s, size_t from, size_t n)
{
    return (struct source){s->text + from, n, s->origins ? s->origins + from : NULL,
                           s->origins ? s->at : s->at + (uint32_t)from, s->first && from == 0};
}

static int grow(struct edit *e, size_t n)
{
    TRY(mem_grow((void **)&e->bytes, &e->capacity, e->length + (int64_t)n + 1, 1));
    if (e->tracked)
        TRY(mem_grow((void **)&e->origins, &e->room, e->length + (int64_t)n + 1,
                     sizeof *e->origins));
    return OK;
}

int edit_keep(struct edit *e, const struct source *s, size_t from, size_t n)
{
    TRY(grow(e, n));
    if (n)
        memcpy(e->bytes + e->length, s->text + from, n);
    for (size_t i = 0; e->tracked && i < n; i++)
        e->origins[e->length + (int64_t)i] = source_range(s, from + i, 1);
    e->length += (int64_t)n;
    return OK;
}

int edit_put(struct edit *e, const char *bytes, size_t n, struct origin range)
{
    TRY(grow(e, n));
    if (n)
        memcpy(e->bytes + e->length, bytes, n);
    for (size_t i = 0; e->tracked && i < n; i++)
        e->origins[e->length + (int64_t)i] = range;
    e->length += (int64_t)n;
    return OK;
}

struct source edit_source(const struct edit *e, const struct source *of)
{
    return (struct source){e->bytes ? e->bytes : "", (size_t)e->length,
                           e->tracked && e->origins ? e->origins : NULL, of->at, of->first};
}

void edit_free(struct edit *e)
{
    mem_free(e->bytes);
    mem_free(e->origins);
    memset(e, 0, sizeof *e);
}
