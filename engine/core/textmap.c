/* textmap.c -- open addressing with linear probing, at most half full. */
#include "engine/core/textmap.h"
#include "engine/core/hash.h"
#include "kernels/base/mem.h"

#include <string.h>

static int resize(struct textmap *m, uint64_t size)
{
    struct textmap_entry *entries = mem_calloc(size, sizeof *entries);
    if (!entries)
        return ERR_MEMORY;
    for (uint64_t i = 0; m->entries && i <= m->mask; i++) {
        if (!m->entries[i].text)
            continue;
        uint64_t at = m->entries[i].hash & (size - 1);
        while (entries[at].text)
            at = (at + 1) & (size - 1);
        entries[at] = m->entries[i];
    }
    mem_free(m->entries);
    m->entries = entries;
    m->mask = size - 1;
    return OK;
}

int textmap_reserve(struct textmap *m, int64_t count)
{
    uint64_t size = 16;
    if (count < 0 || count > INT32_MAX / 2)
        return fail(ERR_ARG, "a table of %lld texts, at most 2^30 fit", (long long)count);
    while (size < (uint64_t)count * 2)
        size *= 2;
    return m->entries && size <= m->mask + 1 ? OK : resize(m, size);
}

static struct textmap_entry *probe(const struct textmap *m, const char *text, size_t length,
                                   uint32_t hash)
{
    uint64_t at = hash & m->mask;
    for (;; at = (at + 1) & m->mask) {
        struct textmap_entry *e = &m->entries[at];
        if (!e->text ||
            (e->hash == hash && e->length == length && memcmp(e->text, text, length) == 0))
            return e;
    }
}

static int slot_of(struct textmap *m, const char *text, size_t length, struct textmap_entry **out)
{
    if (length > UINT32_MAX)
        return fail(ERR_ARG, "a text of %zu bytes is too long for a table", length);
    TRY(textmap_reserve(m, m->count + 1));
    uint32_t hash = (uint32_t)hash_bytes(text, length);
    *out = probe(m, text, length, hash);
    if ((*out)->text)
        return OK;
    **out = (struct textmap_entry){.text = NULL, .length = (uint32_t)length, .hash = hash};
    return OK;
}

int textmap_add(struct textmap *m, const char *text, size_t length, int32_t value, bool *found,
                int32_t *old)
{
    struct textmap_entry *e = NULL;
    TRY(slot_of(m, text, length, &e));
    *found = e->text != NULL;
    if (*found) {
        *old = e->value;
        return OK;
    }
    e->text = text;
    e->value = value;
    m->count++;
    return OK;
}

int textmap_set(struct textmap *m, const char *text, size_t length, int32_t value)
{
    struct textmap_entry *e = NULL;
    TRY(slot_of(m, text, length, &e));
    m->count += e->text == NULL;
    if (!e->text)
        e->text = text;
    e->value = value;
    return OK;
}

int32_t textmap_find(const struct textmap *m, const char *text, size_t length, int32_t none)
{
    if (!m->entries || length > UINT32_MAX)
        return none;
    struct textmap_entry *e = probe(m, text, length, (uint32_t)hash_bytes(text, length));
    return e->text ? e->value : none;
}

void textmap_free(struct textmap *m)
{
    mem_free(m->entries);
    memset(m, 0, sizeof *m);
}
