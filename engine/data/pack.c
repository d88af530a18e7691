/* pack.c -- packing examples: token t predicts token t+1 of the same example. */
#include "engine/data/pack.h"
#include "kernels/base/mem.h"

void pack_clear(struct pack *p)
{
    p->tokens = p->sequences = p->targets = 0;
}

void pack_free(struct pack *p)
{
    mem_free(p->ids);
    mem_free(p->positions);
    mem_free(p->sample);
    mem_free(p->starts);
    mem_free(p->target_rows);
    mem_free(p->target_ids);
    *p = (struct pack){0};
}

/* Room for 'tokens' in every per-token array. Each keeps its own idea of its size until all have
 * grown, so a failure half-way is harmless. */
static int grow_tokens(struct pack *p, int64_t tokens)
{
    int32_t **arrays[] = {&p->ids, &p->positions, &p->sample, &p->target_rows, &p->target_ids};
    if (tokens <= p->token_room)
        return OK;
    int64_t room = p->token_room;
    for (int i = 0; i < 5; i++) {
        room = p->token_room;
        TRY(mem_grow((void **)arrays[i], &room, tokens, sizeof(int32_t)));
    }
    p->token_room = room;
    return OK;
}

int pack_add(struct pack *p, const struct examples *e, int64_t i)
{
    const struct example *x = &e->items[i];
    const int32_t *ids = e->ids + x->start;
    const unsigned char *learn = e->learn + x->start;
    TRY(grow_tokens(p, p->tokens + x->tokens));
    TRY(mem_grow((void **)&p->starts, &p->sequence_room, p->sequences + 2, sizeof *p->starts));
    p->starts[p->sequences] = (int32_t)p->tokens;
    for (int32_t t = 0; t < x->tokens; t++) {
        int64_t at = p->tokens + t;
        p->ids[at] = ids[t];
        p->positions[at] = t;
        p->sample[at] = (int32_t)x->row;
        if (t + 1 < x->tokens && learn[t + 1]) {
            p->target_rows[p->targets] = (int32_t)at;
            p->target_ids[p->targets++] = ids[t + 1];
        }
    }
    p->tokens += x->tokens;
    p->starts[++p->sequences] = (int32_t)p->tokens;
    return OK;
}

int64_t pack_fit(const struct examples *e, const int64_t *order, int64_t n, int64_t limit)
{
    int64_t tokens = 0, count = 0;
    while (count < n) {
        tokens += e->items[order[count]].tokens;
        if (count && tokens > limit)
            break;
        count++;
    }
    return count;
}
