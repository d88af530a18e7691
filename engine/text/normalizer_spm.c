/* normalizer_spm.c -- the normalizer of SentencePiece model files.
 *
 * A character map (longest match first) rewrites the text; then blanks are trimmed, joined, made
 * visible and one is put in front, as the file asks. */
#include "engine/text/normalizer.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <string.h>

#define BLANK "\xE2\x96\x81" /* U+2581, which stands for a blank in pieces */

static uint32_t read_u32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

int charsmap_set(struct charsmap *m, const char *bytes, size_t length)
{
    *m = (struct charsmap){0};
    if (length == 0)
        return OK;
    size_t trie = length >= 4 ? read_u32(bytes) : 0;
    if (length < 8 || trie % 4 || trie == 0 || trie > length - 4)
        return fail(ERR_FORMAT, "the character map has %zu bytes, its trie %zu: damaged", length,
                    trie);
    m->bytes = mem_text(bytes, length); /* a NUL follows: the last text ends */
    if (!m->bytes)
        return ERR_MEMORY;
    m->units = trie / 4;
    m->texts = m->bytes + 4 + trie;
    m->text_bytes = length - 4 - trie;
    return OK;
}

/* The longest (or first) key that [p, end) starts with: its bytes, and the text it leads to; 0 =
 * none. */
static size_t look_up(const struct charsmap *m, const char *p, const char *end, bool first,
                      const char **text)
{
    size_t best = 0, at = 0;
    if (!m->bytes)
        return 0;
    uint32_t unit = read_u32(m->bytes + 4);
    at ^= (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
    for (const char *q = p; q < end && !(first && best); q++) {
        unsigned char byte = (unsigned char)*q;
        at ^= byte;
        if (at >= m->units)
            break;
        unit = read_u32(m->bytes + 4 + at * 4);
        if ((unit & (1u << 31 | 0xFF)) != byte)
            break;
        at ^= (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
        if (at >= m->units)
            break;
        if (unit >> 8 & 1) { /* a key ends here: its value stands at the node */
            uint32_t value = read_u32(m->bytes + 4 + at * 4) & 0x7FFFFFFF;
            if (value < m->text_bytes) {
                best = (size_t)(q + 1 - p);
                *text = m->texts + value;
            }
        }
    }
    return best;
}

/* The next stretch of the text: its bytes, and what it becomes (NULL = itself). */
static size_t next_stretch(const struct normalizer_step *step, const char *p, const char *end,
                           const char **to, size_t *to_length)
{
    size_t n = 0;
    uint32_t cp;
    *to = NULL;
    if (step->kept && trie_longest(step->kept, p, end, &n) >= 0)
        return n;
    n = look_up(&step->map, p, end, false, to);
    if (n) {
        *to_length = strlen(*to);
        return n;
    }
    n = (size_t)utf8_decode(p, end, &cp);
    if (n == 0) {
        *to = "\xEF\xBF\xBD";
        *to_length = 3;
        return 1;
    }
    return n;
}

/* The map as a normalizer of its own goes by graphemes in the reference: one of fewer than six bytes
 * becomes what the first key at its start says (the rest of it is lost), else each character goes
 * alone. Without a grapheme splitter a cluster is a character and the marks and joiners behind. */
static size_t cluster(const char *p, const char *end)
{
    uint32_t cp = 0;
    const char *q = p;
    int n = utf8_decode(q, end, &cp);
    q += n ? n : 1;
    if (cp == '\r' && q < end && *q == '\n')
        return (size_t)(q + 1 - p);
    while (n && q < end && (n = utf8_decode(q, end, &cp)) != 0 &&
           (unicode_flags(cp) & UNICODE_MARK || cp == 0x200D || cp == 0x200C))
        q += n;
    return (size_t)(q - p);
}

int normalizer_charsmap(const struct normalizer_step *step, const struct source *s,
                        struct edit *out)
{
    const char *end = s->text + s->length, *to;
    for (size_t at = 0; at < s->length;) {
        size_t n = cluster(s->text + at, end);
        const char *p = s->text + at;
        if (n < 6 && look_up(&step->map, p, p + n, true, &to)) {
            TRY(edit_put(out, to, strlen(to), source_range(s, at, n)));
            at += n;
            continue;
        }
        for (size_t stop = at + n; at < stop;) {
            uint32_t cp;
            int used = utf8_decode(s->text + at, end, &cp);
            size_t length = used ? (size_t)used : 1;
            if (look_up(&step->map, s->text + at, s->text + at + length, true, &to))
                TRY(edit_put(out, to, strlen(to), source_range(s, at, length)));
            else
                TRY(edit_keep(out, s, at, length));
            at += length;
        }
    }
    return OK;
}

struct blanks {
    const struct normalizer_step *step;
    const struct source *s;
    struct edit *out;
    bool after_blank;
};

static int put_blank(struct blanks *b, struct origin range)
{
    return b->step->escape ? edit_put(b->out, BLANK, 3, range) : edit_put(b->out, " ", 1, range);
}

/* One stretch [at, at + n) that has become 'text'; blanks are joined and made visible. */
static int put_stretch(struct blanks *b, size_t at, size_t n, const char *text, size_t length)
{
    struct origin range = source_range(b->s, at, n);
    bool same = text == b->s->text + at;
    size_t from = 0;
    while (b->after_blank && from < length && text[from] == ' ')
        from++;
    for (size_t i = from, run; i < length; i += run) {
        const char *blank = memchr(text + i, ' ', length - i);
        run = blank ? (size_t)(blank - text) - i : length - i;
        if (run == 0) {
            run = 1;
            TRY(put_blank(b, same ? source_range(b->s, at + i, 1) : range));
        } else if (same) {
            TRY(edit_keep(b->out, b->s, at + i, run));
        } else {
            TRY(edit_put(b->out, text + i, run, range));
        }
    }
    if (from < length)
        b->after_blank = text[length - 1] == ' ';
    if (!b->step->trim)
        b->after_blank = false;
    return OK;
}

static void trim_end(const struct normalizer_step *step, struct edit *out)
{
    const char *blank = step->escape ? BLANK : " ";
    int64_t n = (int64_t)strlen(blank);
    while (out->length >= n && memcmp(out->bytes + out->length - n, blank, (size_t)n) == 0)
        out->length -= n;
}

int normalizer_sentencepiece(const struct normalizer_step *step, const struct source *s,
                             struct edit *out)
{
    const char *end = s->text + s->length, *to;
    struct blanks b = {step, s, out, step->trim};
    size_t at = 0, n, length = 0;
    while (step->trim && at < s->length) { /* blanks in front are no text */
        n = next_stretch(step, s->text + at, end, &to, &length);
        if (to ? length != 1 || *to != ' ' : n != 1 || s->text[at] != ' ')
            break;
        at += n;
    }
    if (at == s->length)
        return OK;
    if (step->dummy_prefix && !step->suffix)
        TRY(put_blank(&b, source_range(s, at, 0)));
    while (at < s->length) {
        n = next_stretch(step, s->text + at, end, &to, &length);
        TRY(put_stretch(&b, at, n, to ? to : s->text + at, to ? length : n));
        at += n;
    }
    if (step->trim)
        trim_end(step, out);
    if (step->dummy_prefix && step->suffix)
        TRY(put_blank(&b, source_range(s, s->length, 0)));
    return OK;
}
