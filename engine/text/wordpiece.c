/* wordpiece.c -- the models that look words up: WordPiece and WordLevel.
 *
 * WordPiece takes the longest piece from the left, those inside a word carry a prefix ("##"); a word
 * of which a part is not in the vocabulary is unknown as a whole. WordLevel knows whole words only. */
#include "engine/core/utf8.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

#include <string.h>

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

/* The longest piece [p, stop): its id, -1 = none. 'text' has room for the prefix before p. */
static int32_t longest(const struct tokenizer *t, const char *p, const char *end, bool inside,
                       char *scratch, size_t *length)
{
    size_t skip = inside ? t->prefix_length : 0;
    memcpy(scratch, t->word_prefix ? t->word_prefix : "", skip);
    memcpy(scratch + skip, p, (size_t)(end - p));
    for (size_t n = (size_t)(end - p); n > 0; n--) {
        if (p + n < end && ((unsigned char)p[n] & 0xC0) == 0x80)
            continue; /* not between characters */
        int32_t id = vocab_find(&t->vocab, scratch, skip + n);
        if (id >= 0) {
            *length = n;
            return id;
        }
    }
    return -1;
}

int wordpiece_encode(struct tokenizer *t, const char *p, size_t n, struct id_list *out)
{
    const char *end = p + n, *start = p;
    int64_t before = out->count;
    if (t->model == MODEL_WORDLEVEL) {
        int32_t id = vocab_find(&t->vocab, p, n);
        return id >= 0 ? id_list_add(out, id) : add_unknown(t, p, n, out);
    }
    if (n > t->word_limit * 4 || characters(p, end) > t->word_limit)
        return add_unknown(t, p, n, out);
    char *scratch = mem_alloc(n + t->prefix_length);
    if (!scratch)
        return ERR_MEMORY;
    int status = OK;
    while (p < end && !status) {
        size_t length = 0;
        int32_t id = longest(t, p, end, p > start, scratch, &length);
        if (id < 0) {
            out->count = before;
            status = add_unknown(t, start, n, out);
            break;
        }
        status = id_list_add(out, id);
        p += length;
    }
    mem_free(scratch);
    return status;
}
