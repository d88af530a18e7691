/* added.c -- finds added tokens in a text. */
#include "engine/text/added.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <string.h>

static int new_node(struct added *a, unsigned char byte, int32_t *out)
{
    TRY(mem_grow((void **)&a->nodes, &a->nodes_capacity, a->node_count + 2, sizeof *a->nodes));
    if (a->node_count == 0)
        a->nodes[a->node_count++] = (struct added_node){.token = -1};
    *out = (int32_t)a->node_count;
    a->nodes[a->node_count++] = (struct added_node){.token = -1, .byte = byte};
    return OK;
}

static int32_t child_of(const struct added *a, int32_t node, unsigned char byte)
{
    int32_t c = a->nodes[node].child;
    while (c && a->nodes[c].byte != byte)
        c = a->nodes[c].sibling;
    return c;
}

int added_add(struct added *a, const char *text, size_t length, struct added_token token)
{
    if (length == 0 || length > ADDED_BYTES)
        return fail(ERR_FORMAT, "added token %d has %zu bytes, wanted 1 to %d", token.id, length,
                    ADDED_BYTES);
    TRY(mem_grow((void **)&a->tokens, &a->tokens_capacity, a->count + 1, sizeof *a->tokens));
    unsigned char head = (unsigned char)text[0];
    if (!a->first[head])
        TRY(new_node(a, head, &a->first[head]));
    int32_t node = a->first[head];
    for (size_t i = 1; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        int32_t next = child_of(a, node, byte);
        if (!next) {
            TRY(new_node(a, byte, &next));
            a->nodes[next].sibling = a->nodes[node].child;
            a->nodes[node].child = next;
        }
        node = next;
    }
    a->nodes[node].token = (int32_t)a->count;
    a->tokens[a->count++] = token;
    return OK;
}

void added_remove(struct added *a, const char *text, size_t length)
{
    int32_t node = length > 0 ? a->first[(unsigned char)text[0]] : 0;
    for (size_t i = 1; i < length && node; i++)
        node = child_of(a, node, (unsigned char)text[i]);
    if (node)
        a->nodes[node].token = -1;
}

/* Longest token that starts at p; *end is behind it. NULL = none. */
static const struct added_token *longest(const struct added *a, const char *p, const char *limit,
                                         const char **end)
{
    int32_t node = a->first[(unsigned char)*p], best = -1;
    while (node) {
        p++;
        if (a->nodes[node].token >= 0) {
            best = a->nodes[node].token;
            *end = p;
        }
        node = p < limit ? child_of(a, node, (unsigned char)*p) : 0;
    }
    return best < 0 ? NULL : &a->tokens[best];
}

/* Start of the character that ends at p. */
static const char *character_before(const char *text, const char *p)
{
    const char *q = p - 1;
    while (q > text && p - q < 4 && ((unsigned char)*q & 0xC0) == 0x80)
        q--;
    return q;
}

static unsigned flags_at(const char *p, const char *end)
{
    uint32_t cp;
    return utf8_decode(p, end, &cp) ? unicode_flags(cp) : 0;
}

static bool between_words(const char *text, const char *start, const char *stop, const char *end)
{
    return !(start > text && flags_at(character_before(text, start), start) & UNICODE_WORD) &&
           !(stop < end && flags_at(stop, end) & UNICODE_WORD);
}

bool added_next(const struct added *a, const char *text, const char *from, const char *end,
                bool parse_special, struct added_match *out)
{
    if (a->count == 0)
        return false;
    for (const char *p = from; p < end; p++) {
        const char *stop = p;
        if (!a->first[(unsigned char)*p])
            continue;
        const struct added_token *t = longest(a, p, end, &stop);
        if (!t)
            continue;
        if ((t->special && !parse_special) ||
            (t->single_word && !between_words(text, p, stop, end))) {
            p = stop - 1; /* as in the reference: what it would have matched is plain text */
            continue;
        }
        const char *start = p;
        while (t->lstrip && start > from &&
               flags_at(character_before(from, start), start) & UNICODE_SPACE)
            start = character_before(from, start);
        while (t->rstrip && stop < end && flags_at(stop, end) & UNICODE_SPACE) {
            uint32_t cp;
            stop += utf8_decode(stop, end, &cp);
        }
        *out = (struct added_match){start, stop, t->id};
        return true;
    }
    return false;
}

void added_free(struct added *a)
{
    mem_free(a->tokens);
    mem_free(a->nodes);
    memset(a, 0, sizeof *a);
}
