/* sentencepiece.c -- SentencePiece vocabularies: tokenizer.model files and GGUF "llama" ones.
 *
 * The library itself is not used. Its BPE is our own with merges ranked by score (bpe.h), its
 * unigram model is unigram.c and its normalizer normalizer_spm.c, so that one path with its spans,
 * limits and small stack serves every vocabulary, and a damaged file cannot reach C++ code that
 * trusts it. Control pieces are never made from text by the library: they are cut out as added
 * tokens before. tests/golden/tokenizer_hashes.txt holds the library's own ids. */
#include "engine/text/protobuf.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECES (1 << 24)      /* most pieces of a file */
#define PIECE_BYTES (1 << 14) /* longest piece that takes part in merging */

/* Fields of the file's messages. */
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { FIELD_PIECE = 1, FIELD_SCORE = 2, FIELD_TYPE = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_SUFFIX = 24, TRAINER_BYTES = 35, TRAINER_UNK = 40 };
enum { NORMAL_CHARSMAP = 2, NORMAL_PREFIX = 3, NORMAL_TRIM = 4, NORMAL_ESCAPE = 5 };
enum { TYPE_UNIGRAM = 1, TYPE_BPE = 2 };

struct spec {
    int64_t model_type, unk, bos, eos, pad;
    bool byte_fallback, suffix, prefix, trim, escape;
    const char *charsmap;
    size_t charsmap_length;
};

/* --- merges by score */

static bool merges(const struct token *t)
{
    return t->spelling && (t->type == PIECE_NORMAL || t->type == PIECE_UNUSED);
}

static int by_score(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

/* Number of a score among the distinct ones, best first. */
static uint32_t rank_of(const double *scores, int64_t count, double score)
{
    int64_t low = 0, high = count - 1;
    while (low < high) {
        int64_t mid = (low + high) / 2;
        if (scores[mid] > score)
            low = mid + 1;
        else
            high = mid;
    }
    return (uint32_t)low;
}

/* Every way to make a piece out of two others. */
static int add_merges(struct tokenizer *t, int32_t id, uint32_t rank)
{
    const struct token *k = &t->vocab.tokens[id];
    if (k->spelling_length > PIECE_BYTES)
        return OK;
    for (uint32_t at = 1; at < k->spelling_length; at++) {
        if (((unsigned char)k->spelling[at] & 0xC0) == 0x80)
            continue;
        int32_t left = vocab_find(&t->vocab, k->spelling, at);
        if (left < 0 || !merges(&t->vocab.tokens[left]))
            continue;
        int32_t right = vocab_find(&t->vocab, k->spelling + at, k->spelling_length - at);
        if (right >= 0 && merges(&t->vocab.tokens[right]))
            TRY(bpe_add_merge(&t->bpe, left, right, rank, id));
    }
    return OK;
}

static int rank_merges(struct tokenizer *t)
{
    int64_t count = 0, distinct = 0;
    double *scores = mem_alloc(((size_t)t->vocab.count + 1) * sizeof *scores);
    if (!scores)
        return ERR_MEMORY;
    for (int32_t id = 0; id < t->vocab.count; id++)
        if (merges(&t->vocab.tokens[id]))
            scores[count++] = t->vocab.tokens[id].score;
    qsort(scores, (size_t)count, sizeof *scores, by_score);
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || scores[i] != scores[distinct - 1])
            scores[distinct++] = scores[i];
    int status = OK;
    for (int32_t id = 0; id < t->vocab.count && !status; id++)
        if (merges(&t->vocab.tokens[id]))
            status = add_merges(t, id, rank_of(scores, distinct, t->vocab.tokens[id].score));
    mem_free(scores);
    return status;
}

int tokenizer_finish_pieces(struct tokenizer *t, bool frozen)
{
    t->has_scores = true;
    for (int32_t id = 0; id < t->vocab.count; id++) {
        const struct token *k = &t->vocab.tokens[id];
        if (!k->spelling)
            continue;
        if (!isfinite(k->score))
            return fail(ERR_FORMAT, "token %d '%.60s': its score is not finite", id, k->spelling);
        if (frozen && k->type == PIECE_USER_DEFINED && k->spelling_length)
            TRY(trie_add(&t->bpe.frozen, k->spelling, k->spelling_length, id));
    }
    t->bpe.fuse_unk = true;
    return t->model == MODEL_BPE ? rank_merges(t) : OK;
}

int tokenizer_add_piece_decoders(struct tokenizer *t, bool strip)
{
    struct decoder_step *s;
    TRY(decoder_add(&t->decoder, DECODER_REPLACE, &s));
    s->from = mem_text("\xE2\x96\x81", 3);
    s->from_length = 3;
    s->to = mem_text(" ", 1);
    s->to_length = 1;
    if (!s->from || !s->to)
        return ERR_MEMORY;
    TRY(decoder_add(&t->decoder, DECODER_BYTE_FALLBACK, &s));
    TRY(decoder_add(&t->decoder, DECODER_FUSE, &s));
    if (!strip)
        return OK;
    TRY(decoder_add(&t->decoder, DECODER_STRIP, &s));
    s->start = 1;
    s->from = mem_text(" ", 1);
    s->from_length = 1;
    return s->from ? OK : ERR_MEMORY;
}

/* --- the file */

static int read_piece(struct tokenizer *t, const char *bytes, size_t length)
{
    struct protobuf b;
    const char *piece = "";
    size_t n = 0;
    float score = 0;
    int64_t type = PIECE_NORMAL, id = t->vocab.count;
    bool more;
    protobuf_begin(&b, bytes, length);
    for (;;) {
        TRY(protobuf_next(&b, &more));
        if (!more)
            break;
        if (b.field == FIELD_PIECE)
            TRY(protobuf_bytes(&b, &piece, &n));
        else if (b.field == FIELD_SCORE)
            TRY(protobuf_float(&b, &score));
        else if (b.field == FIELD_TYPE)
            TRY(protobuf_int(&b, &type));
    }
    if (type < PIECE_NORMAL || type > PIECE_BYTE)
        return fail(ERR_FORMAT, "piece %" PRId64 " is of type %" PRId64 ", wanted 1 to 6", id,
                    type);
    if (n == 0)
        return fail(ERR_FORMAT, "piece %" PRId64 " is empty", id);
    if (type == PIECE_BYTE && byte_of_name(piece, n) < 0)
        return fail(ERR_FORMAT, "piece %" PRId64 " '%.*s' is a byte, wanted <0x00> to <0xFF>", id,
                    (int)(n < 60 ? n : 60), piece);
    TRY(vocab_add(&t->vocab, id, PIECES, piece, n, 0));
    t->vocab.tokens[id].score = (double)score;
    t->vocab.tokens[id].type = (uint8_t)type;
    return OK;
}

static int read_trainer(struct spec *s, const char *bytes, size_t length)
{
    struct protobuf b;
    bool more;
    int64_t n;
    protobuf_begin(&b, bytes, length);
    for (;;) {
        TRY(protobuf_next(&b, &more));
        if (!more)
            return OK;
        int64_t *ids[] = {&s->unk, &s->bos, &s->eos, &s->pad};
        if (b.field == TRAINER_MODEL_TYPE) {
            TRY(protobuf_int(&b, &s->model_type));
        } else if (b.field == TRAINER_SUFFIX || b.field == TRAINER_BYTES) {
            TRY(protobuf_int(&b, &n));
            *(b.field == TRAINER_SUFFIX ? &s->suffix : &s->byte_fallback) = n != 0;
        } else if (b.field >= TRAINER_UNK && b.field < TRAINER_UNK + 4) {
            TRY(protobuf_int(&b, ids[b.field - TRAINER_UNK]));
        }
    }
}

static int read_normalizer_spec(struct spec *s, const char *bytes, size_t length)
{
    struct protobuf b;
    bool more;
    int64_t n;
    protobuf_begin(&b, bytes, length);
    for (;;) {
        TRY(protobuf_next(&b, &more));
        if (!more)
            return OK;
        if (b.field == NORMAL_CHARSMAP)
            TRY(protobuf_bytes(&b, &s->charsmap, &s->charsmap_length));
        if (b.field < NORMAL_PREFIX || b.field > NORMAL_ESCAPE)
            continue;
        TRY(protobuf_int(&b, &n));
        *(b.field == NORMAL_PREFIX ? &s->prefix
          : b.field == NORMAL_TRIM ? &s->trim
                                   : &s->escape) = n != 0;
    }
}

static int read_model(struct tokenizer *t, const char *bytes, size_t length, struct spec *s)
{
    struct protobuf b;
    bool more;
    protobuf_begin(&b, bytes, length);
    for (;;) {
        TRY(protobuf_next(&b, &more));
        if (!more)
            break;
        if (b.field > MODEL_NORMALIZER)
            continue;
        const char *inner;
        size_t n;
        TRY(protobuf_bytes(&b, &inner, &n));
        if (b.field == MODEL_PIECES)
            TRY(read_piece(t, inner, n));
        else if (b.field == MODEL_TRAINER)
            TRY(read_trainer(s, inner, n));
        else
            TRY(read_normalizer_spec(s, inner, n));
    }
    if (t->vocab.count == 0)
        return fail(ERR_FORMAT, "no pieces in it; hint: this is not a SentencePiece model");
    return OK;
}

/* --- the tokenizer */

static int set_normalizer(struct tokenizer *t, const struct spec *s)
{
    struct normalizer_step *n;
    TRY(normalizer_add(&t->normalizer, NORMALIZER_SENTENCEPIECE, &n));
    n->dummy_prefix = s->prefix;
    n->trim = s->trim;
    n->escape = s->escape;
    n->suffix = s->suffix;
    n->kept = &t->bpe.frozen;
    t->space_prefix = s->prefix;
    return charsmap_set(&n->map, s->charsmap, s->charsmap_length);
}

static int set_special(struct tokenizer *t, const struct spec *s)
{
    const int64_t ids[] = {s->bos, s->eos, s->pad};
    for (int i = 0; i < 3; i++) /* by enum tokenizer_special */
        if (ids[i] >= 0 && ids[i] < t->vocab.count)
            t->special[i] = (int32_t)ids[i];
    for (int32_t id = 0; id < t->vocab.count; id++) {
        struct added_token a = {.id = id, .special = true};
        int type = t->vocab.tokens[id].type;
        if (type == PIECE_UNKNOWN) {
            if (t->bpe.unk >= 0)
                return fail(ERR_FORMAT, "pieces %d and %d are both the unknown one", t->bpe.unk,
                            id);
            t->bpe.unk = t->special[TOKENIZER_UNK] = id;
        }
        if (type == PIECE_CONTROL || type == PIECE_UNKNOWN)
            TRY(tokenizer_add_added(t, a, false));
    }
    return t->bpe.unk >= 0 ? OK : fail(ERR_FORMAT, "no piece is the unknown one");
}

static int build(struct tokenizer *t, const char *bytes, size_t length)
{
    struct spec s = {TYPE_UNIGRAM, 0, 1, 2, -1, false, false, true, true, true, NULL, 0};
    t->vocab.plain = true;
    TRY(read_model(t, bytes, length, &s));
    if (s.model_type != TYPE_UNIGRAM && s.model_type != TYPE_BPE)
        return fail(ERR_FORMAT,
                    "a SentencePiece model of type %" PRId64 "; hint: unigram (1) and "
                    "BPE (2) are read",
                    s.model_type);
    t->model = s.model_type == TYPE_BPE ? MODEL_BPE : MODEL_UNIGRAM;
    t->bpe.byte_fallback = s.byte_fallback;
    t->base_size = t->vocab.count;
    TRY(tokenizer_finish_pieces(t, true));
    TRY(set_normalizer(t, &s));
    TRY(set_special(t, &s));
    return tokenizer_add_piece_decoders(t, s.prefix && !s.suffix);
}

int tokenizer_from_sentencepiece(const char *bytes, size_t length, const char *config,
                                 size_t config_length, struct tokenizer **out)
{
    struct tokenizer *t = tokenizer_new();
    if (!t)
        return ERR_MEMORY;
    int status = build(t, bytes, length);
    if (!status && !config && t->model == MODEL_BPE && t->special[TOKENIZER_BOS] >= 0)
        status = tokenizer_set_add_bos(t, true); /* as the models do whose vocabularies these are */
    return tokenizer_ready(t, status, config, config_length, out);
}
