/* bpe.c -- byte-pair merging of one piece of text. */
#include "engine/text/bpe.h"
#include "engine/core/hash.h"
#include "engine/core/utf8.h"
#include "kernels/base/mem.h"

#include <string.h>

#define EMPTY UINT64_MAX
#define NO_MERGE UINT64_MAX
#define SHORT 40 /* symbols up to which scanning beats the heap */

/* One cache line; short pieces with few ids are nearly all pieces of a text. */
#define CACHE_SLOTS 16384 /* 1 MiB */
#define CACHE_KEY 26
#define CACHE_IDS 8
struct bpe_cached {
    uint32_t hash;
    uint8_t length, count; /* length 0 = empty */
    char key[CACHE_KEY];
    int32_t ids[CACHE_IDS];
};
_Static_assert(sizeof(struct bpe_cached) == 64, "a cached piece is one cache line");

static struct bpe_merge *merge_slot(const struct bpe *b, uint64_t pair)
{
    uint64_t at = hash_number(b->seed, pair) & b->mask;
    while (b->merges[at].pair != EMPTY && b->merges[at].pair != pair)
        at = (at + 1) & b->mask;
    return &b->merges[at];
}

int bpe_reserve(struct bpe *b, int64_t merges)
{
    uint64_t size = 64, before = b->merges ? b->mask + 1 : 0;
    struct bpe_merge *old = b->merges;
    if (merges < 0 || merges > INT32_MAX / 4)
        return fail(ERR_FORMAT, "%lld merges, at most %d are read", (long long)merges,
                    INT32_MAX / 4);
    while (size < (uint64_t)merges * 2) /* at most half full */
        size *= 2;
    if (size <= before)
        return OK;
    b->merges = mem_alloc(size * sizeof *b->merges);
    if (!b->merges) {
        b->merges = old;
        return ERR_MEMORY;
    }
    b->mask = size - 1;
    b->seed = hash_seed();
    for (uint64_t i = 0; i < size; i++)
        b->merges[i].pair = EMPTY;
    for (uint64_t i = 0; i < before; i++)
        if (old[i].pair != EMPTY)
            *merge_slot(b, old[i].pair) = old[i];
    mem_free(old);
    return OK;
}

int bpe_add_merge(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    TRY(bpe_reserve(b, b->merge_count + 1));
    struct bpe_merge *m = merge_slot(b, pair);
    b->merge_count += m->pair == EMPTY;
    *m = (struct bpe_merge){pair, rank, id};
    return OK;
}

/* rank << 32 | id of the merged token, or NO_MERGE. */
static inline uint64_t find_merge(const struct bpe *b, int32_t left, int32_t right)
{
    const struct bpe_merge *m = merge_slot(b, (uint64_t)(uint32_t)left << 32 | (uint32_t)right);
    return m->pair == EMPTY ? NO_MERGE : (uint64_t)m->rank << 32 | (uint32_t)m->id;
}

/* As find_merge; a merge that gives an unused piece leaves its parts behind, so that the piece can
 * be taken apart at the end. */
static inline uint64_t see_merge(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t m = find_merge(b, left, right);
    if (b->parts && m != NO_MERGE && b->vocab->tokens[(uint32_t)m].type == PIECE_UNUSED)
        b->parts[(uint32_t)m] = (struct bpe_parts){left, right};
    return m;
}

/* Which characters stand before U+2581 inside tokens, by their last byte. */
static void find_cuts(struct bpe *b)
{
    static const char blank[] = "\xE2\x96\x81";
    /* not where characters are dropped, which makes neighbours of others, nor across a run of unknown
     * ones that are one token */
    b->cuts = b->unk >= 0 && (!b->fuse_unk || vocab_find(b->vocab, blank, 3) >= 0);
    for (int32_t id = 0; b->cuts && id < b->vocab->count; id++) {
        const struct token *t = &b->vocab->tokens[id];
        const char *p = t->spelling, *end = p ? p + t->spelling_length : p;
        while (p && (p = memmem(p, (size_t)(end - p), blank, 3)) != NULL) {
            unsigned char before = p > t->spelling ? (unsigned char)p[-1] : 0;
            if (p > t->spelling && !(p - t->spelling >= 3 && !memcmp(p - 3, blank, 3)))
                b->no_cut[before >> 3] = (uint8_t)(b->no_cut[before >> 3] | 1 << (before & 7));
            p += 3;
        }
    }
}

static int finish_characters(struct bpe *b, const struct vocab *v)
{
    for (int c = 0; c < 128; c++) {
        char text = (char)c;
        int32_t id = vocab_find(v, &text, 1);
        b->ascii_ids[c] = id < b->known ? id : -1;
    }
    bool unused = false;
    for (int32_t id = 0; id < v->count; id++)
        unused |= v->tokens[id].type == PIECE_UNUSED;
    if (unused) {
        b->parts = mem_alloc((size_t)v->count * sizeof *b->parts);
        if (!b->parts)
            return ERR_MEMORY;
        memset(b->parts, 0xFF, (size_t)v->count * sizeof *b->parts);
    }
    find_cuts(b);
    return OK;
}

int bpe_finish(struct bpe *b, const struct vocab *v)
{
    bool found;
    int32_t old;
    b->vocab = v;
    vocab_byte_ids(v, b->characters, b->byte_ids);
    for (int32_t id = 0; b->whole_first && id < v->count; id++) {
        const struct token *t = &v->tokens[id];
        const char *key = b->characters ? t->spelling : t->bytes;
        if (t->spelling && !(t->flags & TOKEN_ADDED))
            TRY(textmap_add(&b->by_bytes, key, b->characters ? t->spelling_length : t->length, id,
                            &found, &old));
    }
    if (!b->merges)
        TRY(bpe_reserve(b, 0));
    return b->characters ? finish_characters(b, v) : OK;
}

struct symbols {
    int32_t *ids;
    int64_t n;
    bool unknown; /* an unknown token is due: it may still grow */
};

static void flush_unknown(const struct bpe *b, struct symbols *s)
{
    if (s->unknown)
        s->ids[s->n++] = b->unk;
    s->unknown = false;
}

/* A character without a token: the tokens of its bytes when all of them exist, else the unknown
 * token. As in the reference, bytes do not end a run of unknown characters. */
static void put_unknown(const struct bpe *b, struct symbols *s, const char *p, int bytes)
{
    bool all = b->byte_fallback;
    for (int i = 0; i < bytes && all; i++)
        all = b->byte_ids[(unsigned char)p[i]] >= 0;
    if (all) {
        for (int i = 0; i < bytes; i++)
            s->ids[s->n++] = b->byte_ids[(unsigned char)p[i]];
        return;
    }
    if (b->unk < 0)
        return;
    if (!b->fuse_unk)
        flush_unknown(b, s);
    s->unknown = true;
}

static int64_t first_characters(const struct bpe *b, const char *p, size_t length, int32_t *ids)
{
    const char *end = p + length;
    struct symbols s = {ids, 0, false};
    while (p < end) {
        uint32_t cp;
        size_t n = 0;
        int32_t id = b->frozen.edges ? trie_longest(&b->frozen, p, end, &n) : -1;
        if (id < 0) {
            int used = utf8_decode(p, end, &cp);
            n = used ? (size_t)used : 1;
            id = n == 1 && used ? b->ascii_ids[(unsigned char)*p] : vocab_find(b->vocab, p, n);
            id = id < b->known ? id : -1;
        }
        if (id >= 0) {
            flush_unknown(b, &s);
            ids[s.n++] = id;
        } else {
            put_unknown(b, &s, p, (int)n);
        }
        p += n;
    }
    flush_unknown(b, &s);
    return s.n;
}

/* Writes the first symbols, at most one for each byte, to 'ids' and returns how many. */
static int64_t first_symbols(const struct bpe *b, const char *piece, size_t length, int32_t *ids)
{
    int64_t n = 0;
    bool last_unknown = false;
    if (b->characters)
        return first_characters(b, piece, length, ids);
    for (size_t i = 0; i < length; i++) {
        int32_t id = b->byte_ids[(unsigned char)piece[i]];
        bool unknown = id < 0;
        if (unknown)
            id = b->unk;
        if (id >= 0 && !(unknown && last_unknown && b->fuse_unk))
            ids[n++] = id;
        last_unknown = unknown;
    }
    return n;
}

/* Merges up to SHORT symbols in place; returns how many are left. */
static int merge_short(const struct bpe *b, int32_t *ids, int n)
{
    uint64_t merge[SHORT]; /* of ids[i], ids[i + 1] */
    for (int i = 0; i + 1 < n; i++)
        merge[i] = see_merge(b, ids[i], ids[i + 1]);
    while (n > 1) {
        int best = 0;
        for (int i = 1; i + 1 < n; i++)
            if (merge[i] >> 32 < merge[best] >> 32)
                best = i;
        if (merge[best] == NO_MERGE)
            break;
        ids[best] = (int32_t)merge[best];
        memmove(ids + best + 1, ids + best + 2, (size_t)(n - best - 2) * sizeof *ids);
        if (best + 2 < n)
            memmove(merge + best, merge + best + 1, (size_t)(n - best - 2) * sizeof *merge);
        n--;
        if (best > 0)
            merge[best - 1] = see_merge(b, ids[best - 1], ids[best]);
        if (best + 1 < n)
            merge[best] = see_merge(b, ids[best], ids[best + 1]);
    }
    return n;
}

/* --- long pieces: symbols in a linked list, candidate merges in a heap of rank << 32 | place */

static void heap_sink(uint64_t *heap, int64_t n, int64_t at)
{
    uint64_t item = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (item <= heap[child])
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void heap_push(uint64_t *heap, int64_t *n, uint64_t item)
{
    int64_t at = (*n)++;
    for (; at > 0 && item < heap[(at - 1) / 2]; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

static uint64_t heap_pop(uint64_t *heap, int64_t *n)
{
    uint64_t top = heap[0];
    heap[0] = heap[--*n];
    if (*n > 0)
        heap_sink(heap, *n, 0);
    return top;
}

struct chain {
    int32_t *id, *prev, *next; /* id -1 = merged away; prev and next -1 = none */
};

static void consider(const struct bpe *b, const struct chain *c, int64_t *heap_count, int32_t left)
{
    uint64_t m = see_merge(b, c->id[left], c->id[c->next[left]]);
    if (m != NO_MERGE)
        heap_push(b->heap, heap_count, (m >> 32) << 32 | (uint32_t)left);
}

/* A candidate is stale when its symbols have changed since; then its rank is not the pair's. */
static void merge_long(const struct bpe *b, const struct chain *c, int64_t n)
{
    int64_t heap_count = 0;
    for (int64_t i = 0; i < n; i++) {
        c->prev[i] = (int32_t)i - 1;
        c->next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
    }
    for (int32_t i = 0; i + 1 < n; i++)
        consider(b, c, &heap_count, i);
    while (heap_count > 0) {
        uint64_t top = heap_pop(b->heap, &heap_count);
        int32_t at = (int32_t)(uint32_t)top, right = c->id[at] < 0 ? -1 : c->next[at];
        if (right < 0)
            continue;
        uint64_t m = find_merge(b, c->id[at], c->id[right]);
        if (m == NO_MERGE || m >> 32 != top >> 32)
            continue;
        c->id[at] = (int32_t)m;
        c->id[right] = -1;
        c->next[at] = c->next[right];
        if (c->next[at] >= 0)
            c->prev[c->next[at]] = at;
        if (c->prev[at] >= 0)
            consider(b, c, &heap_count, c->prev[at]);
        if (c->next[at] >= 0)
            consider(b, c, &heap_count, at);
    }
}

#define PARTS_DEPTH 256 /* of an unused piece: deeper ones stay whole */

/* One id of the result; an unused piece is taken apart into the pieces it was merged from. */
static int add_id(const struct bpe *b, struct id_list *out, int32_t id)
{
    int32_t stack[PARTS_DEPTH];
    int depth = 0;
    if (!b->parts)
        return id_list_add(out, id);
    stack[depth++] = id;
    while (depth > 0) {
        int32_t top = stack[--depth];
        bool apart = b->vocab->tokens[top].type == PIECE_UNUSED && b->parts[top].left >= 0 &&
                     depth + 2 <= PARTS_DEPTH;
        if (!apart) {
            TRY(id_list_add(out, top));
            continue;
        }
        stack[depth++] = b->parts[top].right;
        stack[depth++] = b->parts[top].left;
    }
    return OK;
}

static int encode_long(struct bpe *b, const char *piece, size_t length, struct id_list *out)
{
    if (length > INT32_MAX)
        return fail(ERR_ARG, "a piece of %zu bytes, at most 2 GiB are encoded", length);
    /* each merge takes one candidate off and adds at most two: never more than twice the pairs */
    TRY(mem_grow((void **)&b->symbols, &b->symbols_capacity, (int64_t)length * 3,
                 sizeof *b->symbols));
    TRY(mem_grow((void **)&b->heap, &b->heap_capacity, (int64_t)length * 2, sizeof *b->heap));
    struct chain c = {b->symbols, b->symbols + length, b->symbols + 2 * length};
    int64_t n = first_symbols(b, piece, length, c.id);
    merge_long(b, &c, n);
    for (int64_t i = 0; i < n; i++)
        if (c.id[i] >= 0)
            TRY(add_id(b, out, c.id[i]));
    return OK;
}

static int add_ids(struct id_list *out, const int32_t *ids, int n)
{
    TRY(mem_grow((void **)&out->ids, &out->capacity, out->count + n, sizeof *out->ids));
    for (int i = 0; i < n; i++)
        out->ids[out->count + i] = ids[i];
    out->count += n;
    return OK;
}

static int encode_piece(struct bpe *b, const char *piece, size_t length, struct id_list *out)
{
    if (length > SHORT || b->parts) {
        int32_t whole = b->whole_first ? textmap_find(&b->by_bytes, piece, length, -1) : -1;
        return whole >= 0 ? id_list_add(out, whole) : encode_long(b, piece, length, out);
    }
    if (length == 0)
        return OK;
    if (!b->cache && !(b->cache = mem_calloc(CACHE_SLOTS, sizeof *b->cache)))
        return ERR_MEMORY;
    uint32_t hash = (uint32_t)hash_bytes(piece, length);
    struct bpe_cached *slot = &b->cache[hash % CACHE_SLOTS];
    if (slot->hash == hash && slot->length == length && memcmp(slot->key, piece, length) == 0)
        return add_ids(out, slot->ids, slot->count);
    int32_t ids[SHORT], n = 1;
    ids[0] = b->whole_first ? textmap_find(&b->by_bytes, piece, length, -1) : -1;
    if (ids[0] < 0)
        n = merge_short(b, ids, (int)first_symbols(b, piece, length, ids));
    if (length <= CACHE_KEY && n <= CACHE_IDS) {
        slot->hash = hash;
        slot->length = (uint8_t)length;
        slot->count = (uint8_t)n;
        memcpy(slot->key, piece, length);
        memcpy(slot->ids, ids, (size_t)n * sizeof *ids);
    }
    return add_ids(out, ids, n);
}

/* Bytes of [p, end) up to the next place where the text may be cut: before a U+2581 whose
 * neighbour never shares a token with it. */
static size_t to_cut(const struct bpe *b, const char *p, const char *end)
{
    for (const char *q = p + 1; end - q >= 3; q++) {
        q = memchr(q, '\xE2', (size_t)(end - q) - 2);
        if (!q)
            break;
        if (q[1] != '\x96' || q[2] != '\x81' ||
            (q - p >= 3 && memcmp(q - 3, "\xE2\x96\x81", 3) == 0) ||
            b->no_cut[(uint8_t)q[-1] >> 3] >> (q[-1] & 7) & 1)
            continue;
        return (size_t)(q - p);
    }
    return (size_t)(end - p);
}

int bpe_encode(struct bpe *b, const char *piece, size_t length, struct id_list *out)
{
    if (!b->cuts || b->whole_first || b->parts)
        return encode_piece(b, piece, length, out);
    for (const char *end = piece + length; piece < end;) {
        size_t n = to_cut(b, piece, end);
        TRY(encode_piece(b, piece, n, out));
        piece += n;
    }
    return OK;
}

void bpe_free(struct bpe *b)
{
    mem_free(b->merges);
    mem_free(b->cache);
    mem_free(b->symbols);
    mem_free(b->heap);
    textmap_free(&b->by_bytes);
    trie_free(&b->frozen);
    mem_free(b->parts);
    memset(b, 0, sizeof *b);
}
