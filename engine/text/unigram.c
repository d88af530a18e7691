/* unigram.c -- the most likely cut of a text into pieces. */
#include "engine/text/unigram.h"
#include "engine/core/utf8.h"
#include "kernels/base/mem.h"

#include <float.h>
#include <string.h>

#define UNKNOWN_COST 10.0 /* an unknown character scores this much below the least likely piece */

struct unigram_best { /* best way to reach this byte */
    double score;
    int32_t id, start; /* start -1 = not reached */
};

/* Pieces that take part in cutting; the others are control tokens, bytes and the like. */
static bool takes_part(const struct unigram *u, const struct token *t)
{
    return t->spelling && t->spelling_length > 0 &&
           (u->all || t->type == PIECE_NORMAL || t->type == PIECE_USER_DEFINED);
}

int unigram_finish(struct unigram *u, const struct vocab *v)
{
    bool any = false;
    u->vocab = v;
    u->least = FLT_MAX;
    u->most = FLT_MIN; /* as the library has it: above every score of a trained model */
    vocab_byte_ids(v, true, u->byte_ids);
    for (int32_t id = 0; id < v->count; id++) {
        const struct token *t = &v->tokens[id];
        if (!takes_part(u, t) || (u->all && t->flags & TOKEN_ADDED && t->type == 0))
            continue;
        TRY(trie_add(&u->pieces, t->spelling, t->spelling_length, id));
        if (!u->all && t->type != PIECE_NORMAL)
            continue;
        any = true;
        u->least = t->score < u->least ? t->score : u->least;
        u->most = t->score > u->most ? t->score : u->most;
    }
    if (u->unk < 0)
        return fail(ERR_FORMAT, "a unigram vocabulary without an unknown token");
    if (!any)
        return fail(ERR_FORMAT, "a unigram vocabulary without pieces");
    return OK;
}

static double round_to(const struct unigram *u, double x)
{
    return u->wide ? x : (double)(float)x;
}

static void reach(const struct unigram *u, struct unigram_best *to, double score, int32_t id,
                  int32_t start)
{
    score = round_to(u, score);
    if (to->start < 0 || score > to->score)
        *to = (struct unigram_best){score, id, start};
}

/* All pieces that start at 'at'. Returns whether one of them is the single character there. */
static bool reach_pieces(const struct unigram *u, const char *text, size_t length, size_t at,
                         size_t character)
{
    int32_t node = 0;
    bool single = false;
    for (size_t stop = at; stop < length;) {
        node = trie_step(&u->pieces, node, (unsigned char)text[stop++]);
        if (node < 0)
            break;
        int32_t id = u->pieces.values[node];
        if (id < 0)
            continue;
        const struct token *t = &u->vocab->tokens[id];
        double n = (double)(stop - at);
        double score = t->type == PIECE_USER_DEFINED && !u->all ? (double)(float)(n * u->most) - 0.1
                                                                : t->score;
        reach(u, &u->best[stop], score + u->best[at].score, id, (int32_t)at);
        single |= stop - at == character;
    }
    return single;
}

static int add_unknown(const struct unigram *u, const char *p, size_t n, struct id_list *out,
                       bool after_unknown)
{
    bool all = u->byte_fallback;
    for (size_t i = 0; i < n && all; i++)
        all = u->byte_ids[(unsigned char)p[i]] >= 0;
    for (size_t i = 0; i < n && all; i++)
        TRY(id_list_add(out, u->byte_ids[(unsigned char)p[i]]));
    return all || after_unknown ? OK : id_list_add(out, u->unk);
}

int unigram_encode(struct unigram *u, const char *text, size_t length, struct id_list *out)
{
    const char *end = text + length;
    double unknown = round_to(u, u->least - UNKNOWN_COST);
    bool after_unknown = false;
    uint32_t cp;
    if (length == 0)
        return OK;
    if (length >= INT32_MAX)
        return fail(ERR_ARG, "a piece of %zu bytes, at most 2 GiB are encoded", length);
    TRY(mem_grow((void **)&u->best, &u->capacity, (int64_t)length + 1, sizeof *u->best));
    for (size_t i = 0; i <= length; i++)
        u->best[i] = (struct unigram_best){0, u->unk, -1};
    for (size_t at = 0; at < length;) {
        int used = utf8_decode(text + at, end, &cp);
        size_t n = used ? (size_t)used : 1;
        if (!reach_pieces(u, text, length, at, n))
            reach(u, &u->best[at + n], unknown + u->best[at].score, u->unk, (int32_t)at);
        at += n;
    }
    /* backwards: best[start].score is no longer needed and holds where the next piece ends */
    for (size_t at = length; at > 0;) {
        size_t start = (size_t)u->best[at].start;
        u->best[start].score = (double)at;
        at = start;
    }
    for (size_t at = 0; at < length;) {
        size_t stop = (size_t)u->best[at].score;
        int32_t id = u->best[stop].id;
        if (id == u->unk)
            TRY(add_unknown(u, text + at, stop - at, out, after_unknown));
        else
            TRY(id_list_add(out, id));
        after_unknown = id == u->unk;
        at = stop;
    }
    return OK;
}

void unigram_free(struct unigram *u)
{
    trie_free(&u->pieces);
    mem_free(u->best);
    memset(u, 0, sizeof *u);
}
