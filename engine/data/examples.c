/* examples.c -- collecting tokenised rows. */
#include "engine/data/examples.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <string.h>

int examples_new(struct examples **out)
{
    struct examples *e = mem_calloc(1, sizeof *e);
    if (!e)
        return ERR_MEMORY;
    *out = e;
    return OK;
}

void examples_free(struct examples *e)
{
    if (!e)
        return;
    mem_free(e->items);
    mem_free(e->ids);
    mem_free(e->learn);
    mem_free(e);
}

static int32_t count_targets(const unsigned char *learn, int64_t n)
{
    int32_t targets = 0;
    for (int64_t i = 1; i < n; i++) /* the first token has nothing before it to be predicted from */
        targets += !learn || learn[i];
    return targets;
}

/* 'kept' of 'n' ids, from 'ids' on. */
static int add(struct examples *e, const int32_t *ids, const unsigned char *learn, int64_t kept,
               int64_t n, int32_t eos, int64_t row)
{
    if (n > INT32_MAX)
        return fail(ERR_ARG, "row %" PRId64 " has %" PRId64 " tokens, which is too many", row + 1,
                    n);
    int32_t targets = count_targets(learn, kept);
    if (targets) {
        TRY(mem_grow((void **)&e->items, &e->room, e->count + 1, sizeof *e->items));
        TRY(mem_grow((void **)&e->ids, &e->token_room, e->tokens + kept, sizeof *e->ids));
        TRY(mem_grow((void **)&e->learn, &e->mask_room, e->tokens + kept, 1));
    }
    e->rows++;
    if (kept < n) {
        e->cut++;
        e->cut_tokens += n - kept;
    }
    if (!targets) {
        e->without_target++;
        return OK;
    }
    memcpy(e->ids + e->tokens, ids, (size_t)kept * sizeof *ids);
    if (learn)
        memcpy(e->learn + e->tokens, learn, (size_t)kept);
    else
        memset(e->learn + e->tokens, 1, (size_t)kept);
    e->items[e->count++] = (struct example){e->tokens, (int32_t)kept, targets, row};
    e->ended += eos >= 0 && ids[kept - 1] == eos && (!learn || learn[kept - 1]);
    e->tokens += kept;
    e->targets += targets;
    e->longest = i64_max(e->longest, kept);
    return OK;
}

int examples_add(struct examples *e, const int32_t *ids, const unsigned char *learn, int64_t n,
                 int64_t limit, int32_t eos, int64_t row)
{
    return add(e, ids, learn, limit > 0 && n > limit ? limit : n, n, eos, row);
}

int examples_add_end(struct examples *e, const int32_t *ids, const unsigned char *learn, int64_t n,
                     int64_t limit, int32_t eos, int64_t row)
{
    int64_t kept = limit > 0 && n > limit ? limit : n, skip = n - kept;
    return add(e, ids + skip, learn ? learn + skip : NULL, kept, n, eos, row);
}
