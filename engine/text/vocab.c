/* vocab.c -- the tokens of a tokenizer and the byte-level alphabet. */
#include "engine/text/vocab.h"
#include "engine/core/utf8.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes 33-126, 161-172 and 174-255 spell themselves; the other 68 follow from U+0100 on. */
static bool spells_itself(uint32_t c)
{
    return (c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255);
}

uint32_t byte_spelling(unsigned char byte)
{
    if (spells_itself(byte))
        return byte;
    return byte < 33 ? 256u + byte : byte < 161 ? 256u + 33 + byte - 127 : 256 + 67;
}

int byte_of_spelling(uint32_t cp)
{
    if (cp < 256)
        return spells_itself(cp) ? (int)cp : -1;
    if (cp < 256 + 33)
        return (int)(cp - 256);
    if (cp < 256 + 67)
        return (int)(cp - 256 - 33 + 127);
    return cp == 256 + 67 ? 173 : -1;
}

/* The bytes a spelling stands for; the spelling itself where it is not in the alphabet. */
static int spell_out(struct vocab *v, struct token *t)
{
    const char *p = t->spelling, *end = p + t->spelling_length;
    uint32_t cp;
    t->bytes = t->spelling;
    t->length = t->spelling_length;
    while (p < end && *p >= 33 && *p <= 126)
        p++;
    if (p == end || v->plain)
        return OK; /* plain ASCII: both forms are one */
    char *bytes = arena_text(&v->arena, t->spelling, t->spelling_length);
    if (!bytes)
        return ERR_MEMORY;
    uint32_t n = 0;
    for (p = t->spelling; p < end; n++) {
        int used = utf8_decode(p, end, &cp);
        int byte = used ? byte_of_spelling(cp) : -1;
        if (byte < 0)
            return OK;
        bytes[n] = (char)byte;
        p += used;
    }
    t->bytes = bytes;
    t->length = n;
    return OK;
}

static int grow(struct vocab *v, int64_t wanted)
{
    int64_t before = v->capacity;
    TRY(mem_grow((void **)&v->tokens, &v->capacity, wanted, sizeof *v->tokens));
    if (v->capacity > before)
        memset(v->tokens + before, 0, (size_t)(v->capacity - before) * sizeof *v->tokens);
    return OK;
}

int vocab_add(struct vocab *v, int64_t id, int64_t limit, const char *spelling, size_t length,
              uint32_t flags)
{
    bool found;
    int32_t old;
    int shown = length < 60 ? (int)length : 60;
    if (id < 0 || id >= limit || id >= INT32_MAX)
        return fail(ERR_FORMAT, "token '%.*s': id %" PRId64 ", wanted 0 to %" PRId64, shown,
                    spelling, id, limit - 1);
    if (length > (1 << 20))
        return fail(ERR_FORMAT, "token %" PRId64 " has %zu bytes, at most 1 MiB are read", id,
                    length);
    TRY(grow(v, id + 1));
    struct token *t = &v->tokens[id];
    if (t->spelling)
        return fail(ERR_FORMAT, "the tokens '%.60s' and '%.*s' have the same id %" PRId64,
                    t->spelling, shown, spelling, id);
    char *copy = arena_text(&v->arena, spelling, length);
    if (!copy)
        return ERR_MEMORY;
    TRY(textmap_add(&v->ids, copy, length, (int32_t)id, &found, &old));
    if (found)
        return fail(ERR_FORMAT, "the token '%.*s' occurs twice, as %d and %" PRId64, shown,
                    spelling, old, id);
    t->spelling = copy;
    t->spelling_length = (uint32_t)length;
    t->flags = (uint16_t)flags;
    if (id >= v->count)
        v->count = (int32_t)id + 1;
    return spell_out(v, t);
}

int32_t vocab_find(const struct vocab *v, const char *spelling, size_t length)
{
    return textmap_find(&v->ids, spelling, length, -1);
}

void vocab_mark_added(struct vocab *v, int32_t id, uint32_t flags)
{
    struct token *t = &v->tokens[id];
    t->bytes = t->spelling;
    t->length = t->spelling_length;
    t->flags = (uint16_t)flags;
}

void vocab_byte_ids(const struct vocab *v, bool fallback, int32_t bytes[256])
{
    for (int b = 0; b < 256; b++) {
        char text[8];
        int n = fallback ? snprintf(text, sizeof text, "<0x%02X>", (unsigned)b)
                         : utf8_encode(byte_spelling((unsigned char)b), text);
        bytes[b] = vocab_find(v, text, (size_t)n);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

int byte_of_name(const char *spelling, size_t length)
{
    if (length != 6 || memcmp(spelling, "<0x", 3) != 0 || spelling[5] != '>')
        return -1;
    int high = hex_digit(spelling[3]), low = hex_digit(spelling[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void vocab_free(struct vocab *v)
{
    mem_free(v->tokens);
    textmap_free(&v->ids);
    arena_free(&v->arena);
    memset(v, 0, sizeof *v);
}
