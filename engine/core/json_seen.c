/* json_seen.c -- finds a key that occurs twice, in time proportional to the keys.
 *
 * Keys are a stack: the innermost object's stand on top and go first. The table over them has
 * linear probing, and since keys leave in the reverse order of their coming, emptying a slot never
 * breaks another key's chain. */
#include "engine/core/json_seen.h"
#include "engine/core/hash.h"
#include "kernels/base/mem.h"

#include <string.h>

struct seen_key {
    uint64_t hash;
    size_t at; /* of its '"' in the text */
    int depth;
};

struct json_seen {
    struct seen_key *keys;
    int64_t count, capacity;
    uint32_t *slots; /* index into keys plus 1; 0 = empty */
    uint64_t mask;
};

/* At most half full. */
static int seen_grow(struct json_seen *s)
{
    if (s->slots && (uint64_t)s->count * 2 < s->mask)
        return OK;
    uint64_t size = s->slots ? (s->mask + 1) * 2 : 64;
    if (size > (uint64_t)1 << 31)
        return fail(ERR_FORMAT, "an object with more than 2^30 keys");
    uint32_t *slots = mem_calloc(size, sizeof *slots);
    if (!slots)
        return ERR_MEMORY;
    for (int64_t i = 0; i < s->count; i++) {
        uint64_t at = s->keys[i].hash & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = (uint32_t)(i + 1);
    }
    mem_free(s->slots);
    s->slots = slots;
    s->mask = size - 1;
    return OK;
}

/* Hashes agree: reads the older key once more, since escapes may spell one key in two ways. */
static int same(const struct json *j, size_t at, bool *out)
{
    struct json old;
    struct json_options options = {.duplicates = true};
    json_begin_part(&old, j->whole, at, (size_t)(j->end - j->whole), &options);
    int status = json_next(&old);
    *out = !status && old.length == j->length && memcmp(old.text, j->text, j->length) == 0;
    json_free(&old);
    return status;
}

int json_seen_add(struct json *j, size_t at)
{
    if (!j->seen)
        j->seen = mem_calloc(1, sizeof *j->seen);
    struct json_seen *s = j->seen;
    if (!s)
        return ERR_MEMORY;
    TRY(seen_grow(s));
    TRY(mem_grow((void **)&s->keys, &s->capacity, s->count + 1, sizeof *s->keys));
    uint64_t hash = hash_bytes(j->text, j->length), slot = hash & s->mask;
    for (; s->slots[slot]; slot = (slot + 1) & s->mask) {
        const struct seen_key *k = &s->keys[s->slots[slot] - 1];
        bool twice = false;
        if (k->hash != hash || k->depth != j->depth)
            continue;
        TRY(same(j, k->at, &twice));
        if (twice) {
            j->offset = at;
            return json_fail(j, "the key '%.*s' occurs twice in one object",
                             (int)(j->length < 64 ? j->length : 64), j->text);
        }
    }
    s->keys[s->count++] = (struct seen_key){hash, at, j->depth};
    s->slots[slot] = (uint32_t)s->count;
    return OK;
}

void json_seen_close(struct json_seen *s, int depth)
{
    while (s && s->count > 0 && s->keys[s->count - 1].depth >= depth) {
        uint64_t slot = s->keys[s->count - 1].hash & s->mask;
        while (s->slots[slot] != (uint32_t)s->count)
            slot = (slot + 1) & s->mask;
        s->slots[slot] = 0;
        s->count--;
    }
}

void json_seen_free(struct json_seen *s)
{
    if (!s)
        return;
    mem_free(s->keys);
    mem_free(s->slots);
    mem_free(s);
}
