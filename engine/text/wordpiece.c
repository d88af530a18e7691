/* wordpiece.c -- the models that look words up: WordPiece and WordLevel.
 *
 * WordPiece takes the longest piece from the left, those inside a word carry a prefix ("##"); a word
 * of which a part is not in the vocabulary is unknown as a whole. WordLevel knows whole words only. */
#include "engine/core/utf8.h"
#include "engine/text/tokenizer_private.h"

static int add_unknown(const struct tokenizer *t, const char *p, size_t n, struct id_list *out)
{
    if (t->bpe.unk < 0)
        return fail(ERR_ARG, "'%.*s' is not in the vocabulary, and there is no unknown token",
                    (int)(n < 60 ? n : 60), p);
    return id_list_add(out, t->bpe.unk);
}

static size_t characters(const char *p, const char *end)
{
    size_t count = 0;
    uint32_t cp;
    for (int n; p < end; p += n ? n : 1, count++)
        n = utf8_decode(p, end, &cp);
    return count;
}

/* The longest piece that [p, end) starts with: its id and length, -1 = none. */
static int32_t longest(const struct tokenizer *t, const char *p, const char *end, bool inside,
                       size_t *length)
{
    int32_t node = t->words.node_count > 0 ? 0 : -1, best = -1;
    const char *start = p;
    for (size_t i = 0; inside && i < t->prefix_length && node >= 0; i++)
        node = trie_step(&t->words, node, (unsigned char)t->word_prefix[i]);
    while (p < end && node >= 0 && (node = trie_step(&t->words, node, (unsigned char)*p)) >= 0) {
        p++;
        if (t->words.values[node] >= 0) {
            best = t->words.values[node];
            *length = (size_t)(p - start);
        }
    }
    return best;
}

int wordpiece_encode(struct tokenizer *t, const char *p, size_t n, struct id_list *out)
{
    const char *end = p + n, *start = p;
    int64_t before = out->count;
    if (t->model == MODEL_WORDLEVEL) {
        int32_t id = vocab_find(&t->vocab, p, n);
        return id >= 0 && id < t->base_size ? id_list_add(out, id) : add_unknown(t, p, n, out);
    }
    if (n > t->word_limit * 4 || characters(p, end) > t->word_limit)
        return add_unknown(t, p, n, out);
    while (p < end) {
        size_t length = 0;
        int32_t id = longest(t, p, end, p > start, &length);
        if (id < 0) {
            out->count = before;
            return add_unknown(t, start, n, out);
        }
        TRY(id_list_add(out, id));
        p += length;
    }
    return OK;
}
