/* trie.c -- texts found by their beginning. */
#include "engine/text/trie.h"
#include "engine/core/hash.h"
#include "kernels/base/mem.h"

#include <string.h>

#define EMPTY UINT64_MAX

static struct trie_edge *slot(const struct trie *t, uint64_t key)
{
    uint64_t at = hash_number(t->seed, key) & t->mask;
    while (t->edges[at].key != EMPTY && t->edges[at].key != key)
        at = (at + 1) & t->mask;
    return &t->edges[at];
}

static int grow(struct trie *t)
{
    uint64_t before = t->edges ? t->mask + 1 : 0, size = before ? before * 2 : 64;
    struct trie_edge *old = t->edges;
    if (before && (uint64_t)t->edge_count * 2 < before)
        return OK;
    struct trie_edge *edges = mem_alloc(size * sizeof *edges);
    if (!edges)
        return ERR_MEMORY;
    for (uint64_t i = 0; i < size; i++)
        edges[i].key = EMPTY;
    t->edges = edges;
    t->mask = size - 1;
    t->seed = hash_seed();
    for (uint64_t i = 0; i < before; i++)
        if (old[i].key != EMPTY)
            *slot(t, old[i].key) = old[i];
    mem_free(old);
    return OK;
}

static int new_node(struct trie *t, int32_t *out)
{
    if (t->node_count == INT32_MAX)
        return fail(ERR_FORMAT, "too many texts");
    TRY(mem_grow((void **)&t->values, &t->room, t->node_count + 1, sizeof *t->values));
    *out = (int32_t)t->node_count;
    t->values[t->node_count++] = -1;
    return OK;
}

int trie_add(struct trie *t, const char *text, size_t length, int32_t value)
{
    int32_t node = 0;
    if (t->node_count == 0)
        TRY(new_node(t, &node));
    for (size_t i = 0; i < length; i++) {
        uint64_t key = (uint64_t)(uint32_t)node << 8 | (unsigned char)text[i];
        TRY(grow(t));
        struct trie_edge *e = slot(t, key);
        if (e->key == EMPTY) {
            int32_t next;
            TRY(new_node(t, &next));
            *e = (struct trie_edge){key, next};
            t->edge_count++;
        }
        node = e->node;
    }
    t->values[node] = value;
    return OK;
}

int32_t trie_step(const struct trie *t, int32_t node, unsigned char byte)
{
    if (!t->edges)
        return -1;
    const struct trie_edge *e = slot(t, (uint64_t)(uint32_t)node << 8 | byte);
    return e->key == EMPTY ? -1 : e->node;
}

int32_t trie_longest(const struct trie *t, const char *p, const char *end, size_t *length)
{
    int32_t node = 0, best = -1;
    const char *start = p;
    while (p < end && (node = trie_step(t, node, (unsigned char)*p)) >= 0) {
        p++;
        if (t->values[node] >= 0) {
            best = t->values[node];
            *length = (size_t)(p - start);
        }
    }
    return best;
}

void trie_free(struct trie *t)
{
    mem_free(t->edges);
    mem_free(t->values);
    memset(t, 0, sizeof *t);
}
