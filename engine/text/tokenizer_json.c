/* tokenizer_json.c -- a tokenizer out of tokenizer.json, or out of vocab.json and merges.txt.
 *
 * A first pass notes where each part stands, so that the parts can be read in the order they depend
 * on each other, whatever their order in the file: vocabulary, merges, added tokens, the rest. */
#include "engine/text/tokenizer_json.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define EXTRA_IDS \
    1000000 /* ids may be this far beyond the number of tokens: gaps, no giant table */

struct part {
    size_t start, stop; /* stop 0 = not in the file */
};

struct parts {
    const char *json;
    struct part model, added, normalizer, pre_tokenizer, post_processor, decoder;
    struct part vocab, merges, unk; /* of the model */
    bool typed;
};

static void begin(struct json *j, const struct parts *f, struct part p)
{
    static const struct json_options options = {.duplicates = true}; /* the first pass saw them */
    json_begin_part(j, f->json, p.start, p.stop, &options);
}

static int note(struct json *j, struct part *p)
{
    TRY(json_next(j));
    p->start = j->offset;
    TRY(json_skip(j));
    p->stop = (size_t)(j->p - j->whole);
    return OK;
}

static int find_parts(struct json *j, struct parts *f)
{
    TRY(json_open(j, JSON_OBJECT, "a tokenizer"));
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        struct part *p = json_is(j, "model")            ? &f->model
                         : json_is(j, "added_tokens")   ? &f->added
                         : json_is(j, "normalizer")     ? &f->normalizer
                         : json_is(j, "pre_tokenizer")  ? &f->pre_tokenizer
                         : json_is(j, "post_processor") ? &f->post_processor
                         : json_is(j, "decoder")        ? &f->decoder
                                                        : NULL;
        TRY(p ? note(j, p) : json_skip_value(j));
    }
    TRY(json_open(j, JSON_OBJECT_END, NULL));
    TRY(json_end(j));
    if (!f->model.stop)
        return fail(ERR_FORMAT, "no 'model' in it; hint: this is not a tokenizer.json");
    return OK;
}

/* "" and null are both "none". */
static int none_wanted(struct json *j, const char *what)
{
    TRY(json_next(j));
    if (j->kind == JSON_NULL || (j->kind == JSON_STRING && j->length == 0))
        return OK;
    return json_fail(j, "%s is not supported yet", what);
}

static int read_model_type(struct tokenizer *t, struct json *j, struct parts *f)
{
    static const char *const names[] = {"BPE", "Unigram", "WordPiece", "WordLevel"};
    TRY(json_open(j, JSON_STRING, "type"));
    for (int i = 0; i < 4; i++)
        if (json_is(j, names[i])) {
            t->model = (enum tokenizer_model)i;
            f->typed = true;
            return OK;
        }
    return json_fail(j,
                     "the model '%.*s' is not supported; hint: BPE, Unigram, WordPiece and "
                     "WordLevel are",
                     (int)(j->length < 60 ? j->length : 60), j->text);
}

static int take_bool_or_null(struct json *j, const char *what, bool *out)
{
    TRY(json_next(j));
    if (j->kind != JSON_BOOL && j->kind != JSON_NULL)
        return json_fail(j, "%s: expected true, false or null", what);
    *out = j->kind == JSON_BOOL && j->boolean;
    return OK;
}

/* WordPiece's "##"; of BPE only none is supported. */
static int read_word_prefix(struct tokenizer *t, struct json *j)
{
    TRY(json_next(j));
    if (j->kind == JSON_NULL || (j->kind == JSON_STRING && j->length == 0))
        return OK;
    if (j->kind != JSON_STRING)
        return json_fail(j, "continuing_subword_prefix: expected text or null");
    mem_free(t->word_prefix);
    t->word_prefix = mem_text(j->text, j->length);
    t->prefix_length = j->length;
    return t->word_prefix ? OK : ERR_MEMORY;
}

static int read_word_limit(struct tokenizer *t, struct json *j)
{
    int64_t n;
    TRY(json_take_int(j, "max_input_chars_per_word", &n));
    if (n < 0 || n > 1 << 20)
        return json_fail(j, "max_input_chars_per_word is %" PRId64 ", wanted 0 to 1048576", n);
    t->word_limit = (size_t)n;
    return OK;
}

static int read_model_field(struct tokenizer *t, struct json *j, struct parts *f)
{
    if (json_is(j, "type"))
        return read_model_type(t, j, f);
    if (json_is(j, "vocab"))
        return note(j, &f->vocab);
    if (json_is(j, "merges"))
        return note(j, &f->merges);
    if (json_is(j, "unk_token") || json_is(j, "unk_id"))
        return note(j, &f->unk);
    if (json_is(j, "byte_fallback"))
        return take_bool_or_null(j, "byte_fallback", &t->bpe.byte_fallback);
    if (json_is(j, "fuse_unk"))
        return take_bool_or_null(j, "fuse_unk", &t->bpe.fuse_unk);
    if (json_is(j, "ignore_merges"))
        return take_bool_or_null(j, "ignore_merges", &t->bpe.whole_first);
    if (json_is(j, "continuing_subword_prefix"))
        return read_word_prefix(t, j);
    if (json_is(j, "max_input_chars_per_word"))
        return read_word_limit(t, j);
    if (json_is(j, "end_of_word_suffix"))
        return none_wanted(j, "end_of_word_suffix");
    return json_skip_value(j); /* dropout is for training a tokenizer's users, not for us */
}

static int read_model(struct tokenizer *t, struct json *j, struct parts *f)
{
    TRY(json_open(j, JSON_OBJECT, "model"));
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        TRY(read_model_field(t, j, f));
    }
    if (!f->typed && !f->merges.stop)
        t->model = t->word_prefix ? MODEL_WORDPIECE : MODEL_WORDLEVEL;
    if (!f->vocab.stop || (t->model == MODEL_BPE && !f->merges.stop))
        return json_fail(j, "the model has no '%s'", f->vocab.stop ? "merges" : "vocab");
    if (t->model == MODEL_BPE && t->word_prefix)
        return json_fail(j, "continuing_subword_prefix of a BPE model is not supported yet");
    return OK;
}

/* Entries of the object or list at hand, for the limit on ids. */
static int count_entries(const struct parts *f, struct part part, int64_t *out)
{
    struct json j;
    begin(&j, f, part);
    int status = json_next(&j);
    int64_t n = 0;
    bool list = !status && j.kind == JSON_ARRAY;
    if (!status && !list && j.kind != JSON_OBJECT)
        status = json_fail(&j, "vocab: expected an object or a list");
    while (!status && json_more(&j)) {
        if (!list)
            status = json_open(&j, JSON_KEY, NULL);
        if (!status)
            status = json_skip_value(&j);
        n++;
    }
    json_free(&j);
    *out = n;
    return status;
}

/* Unigram's vocabulary: [["piece", score], ...]. */
static int read_pieces(struct tokenizer *t, struct json *j, int64_t count)
{
    int64_t id = 0;
    TRY(textmap_reserve(&t->vocab.ids, count));
    TRY(json_open(j, JSON_ARRAY, "vocab"));
    for (; json_more(j); id++) {
        double score;
        TRY(json_open(j, JSON_ARRAY, "vocab"));
        TRY(json_open(j, JSON_STRING, "vocab"));
        TRY(vocab_add(&t->vocab, id, count, j->text, j->length, 0));
        TRY(json_take_double(j, "vocab", &score));
        if (!isfinite(score))
            return json_fail(j, "vocab: a score that is not finite");
        t->vocab.tokens[id].score = score;
        TRY(json_open(j, JSON_ARRAY_END, "vocab"));
    }
    return OK;
}

static int read_vocab(struct tokenizer *t, struct json *j, int64_t count)
{
    TRY(textmap_reserve(&t->vocab.ids, count));
    TRY(json_open(j, JSON_OBJECT, "vocab"));
    while (json_more(j)) {
        char key[256], *text = key;
        int64_t id = -1;
        TRY(json_open(j, JSON_KEY, NULL));
        size_t n = j->length;
        if (n > sizeof key && !(text = mem_alloc(n)))
            return ERR_MEMORY;
        memcpy(text, j->text, n); /* the key's text goes with the next event */
        int status = json_take_int(j, "vocab", &id);
        if (!status)
            status = vocab_add(&t->vocab, id, count + EXTRA_IDS, text, n, 0);
        if (text != key)
            mem_free(text);
        TRY(status);
    }
    return OK;
}

/* ["left", "right"], the newer form of a merge; p stands behind its '['. */
static int read_merge_pair(struct tokenizer *t, struct json *j, int64_t rank)
{
    char *left = NULL;
    TRY(json_open(j, JSON_STRING, "merges"));
    size_t n = j->length;
    left = mem_text(j->text, n);
    if (!left)
        return ERR_MEMORY;
    int status = json_open(j, JSON_STRING, "merges");
    if (!status)
        status = tokenizer_add_merge(t, left, n, j->text, j->length, rank);
    mem_free(left);
    return status ? status : json_open(j, JSON_ARRAY_END, "merges");
}

static int read_merges(struct tokenizer *t, struct json *j)
{
    int64_t rank = 0;
    TRY(json_next(j));
    if (j->kind == JSON_OBJECT && !json_more(j)) /* {}: how some write an empty list */
        return OK;
    if (j->kind != JSON_ARRAY)
        return json_fail(j, "merges: expected an array");
    for (; json_more(j); rank++) {
        TRY(json_next(j));
        if (j->kind == JSON_STRING)
            TRY(tokenizer_add_merge_text(t, j->text, j->length, rank));
        else if (j->kind == JSON_ARRAY)
            TRY(read_merge_pair(t, j, rank));
        else
            return json_fail(j, "merges: expected texts or pairs of texts");
    }
    return OK;
}

static int read_unk(struct tokenizer *t, struct json *j)
{
    TRY(json_next(j));
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind == JSON_NUMBER && t->model == MODEL_UNIGRAM) {
        int64_t id;
        TRY(json_int(j, "unk_id", &id));
        if (id < 0 || id >= t->vocab.count)
            return json_fail(j, "unk_id is %" PRId64 ", wanted 0 to %d", id, t->vocab.count - 1);
        t->bpe.unk = (int32_t)id;
        return OK;
    }
    if (j->kind != JSON_STRING)
        return json_fail(j, "unk_token: expected text or null");
    t->bpe.unk = vocab_find(&t->vocab, j->text, j->length);
    if (t->bpe.unk < 0)
        return json_fail(j, "unk_token '%.*s' is not in the vocabulary",
                         (int)(j->length < 60 ? j->length : 60), j->text);
    return OK;
}

/* --- added tokens */

struct added_fields {
    struct added_token token;
    int64_t id;
    bool normalized;
    char *text;
    size_t length;
};

static int read_added_field(struct json *j, struct added_fields *a)
{
    if (json_is(j, "id"))
        return json_take_int(j, "id", &a->id);
    if (json_is(j, "special"))
        return json_take_bool(j, "special", &a->token.special);
    if (json_is(j, "normalized"))
        return json_take_bool(j, "normalized", &a->normalized);
    if (json_is(j, "single_word"))
        return json_take_bool(j, "single_word", &a->token.single_word);
    if (json_is(j, "lstrip"))
        return json_take_bool(j, "lstrip", &a->token.lstrip);
    if (json_is(j, "rstrip"))
        return json_take_bool(j, "rstrip", &a->token.rstrip);
    if (!json_is(j, "content"))
        return json_skip_value(j);
    TRY(json_open(j, JSON_STRING, "content"));
    mem_free(a->text);
    a->text = mem_text(j->text, j->length);
    a->length = j->length;
    return a->text ? OK : ERR_MEMORY;
}

/* A text that the vocabulary has keeps the id it has there. */
static int place_added(struct tokenizer *t, struct json *j, struct added_fields *a, int64_t limit)
{
    if (!a->text || a->length == 0)
        return json_fail(j, "an added token without content");
    int32_t id = vocab_find(&t->vocab, a->text, a->length);
    if (id < 0) {
        TRY(vocab_add(&t->vocab, a->id, limit, a->text, a->length, 0));
        id = (int32_t)a->id;
    }
    a->token.id = id;
    return tokenizer_add_added(t, a->token, a->normalized);
}

static int read_added_token(struct tokenizer *t, struct json *j, int64_t limit)
{
    struct added_fields a = {.id = -1};
    int status = json_open(j, JSON_OBJECT, "an added token");
    while (!status && !(status = json_next(j)) && j->kind == JSON_KEY)
        status = read_added_field(j, &a);
    if (!status)
        status = place_added(t, j, &a, limit);
    mem_free(a.text);
    return status;
}

static int read_added(struct tokenizer *t, struct json *j)
{
    TRY(json_open(j, JSON_ARRAY, "added_tokens"));
    while (json_more(j))
        TRY(read_added_token(t, j, (int64_t)t->vocab.count + EXTRA_IDS));
    return OK;
}

/* --- the whole */

static int with_part(struct tokenizer *t, const struct parts *f, struct part part,
                     int (*read)(struct tokenizer *, struct json *))
{
    struct json j;
    if (!part.stop)
        return OK;
    begin(&j, f, part);
    int status = read(t, &j);
    json_free(&j);
    return status;
}

/* Without ByteLevel the vocabulary is plain text. Without a decoder the reference puts a blank
 * between tokens; a byte-level vocabulary is decoded all the same here. */
static int read_pre_part(struct tokenizer *t, struct json *j)
{
    bool byte_level;
    TRY(read_pre_tokenizer(t, j, &byte_level));
    t->vocab.plain = !byte_level;
    return OK;
}

static int set_alphabet(struct tokenizer *t)
{
    struct decoder_step *s;
    if (t->decoder.count > 0 && t->decoder.steps[0].kind == DECODER_BYTE_LEVEL)
        t->vocab.plain = false;
    if (t->decoder.count == 0 && t->vocab.plain)
        return decoder_add(&t->decoder, DECODER_JOIN, &s);
    return OK;
}

static int read_parts(struct tokenizer *t, struct parts *f)
{
    struct json j;
    int64_t count;
    int status;
    /* components first: their errors name what is missing, before 30 MB of vocabulary are read */
    TRY(with_part(t, f, f->normalizer, read_normalizer));
    t->vocab.plain = true;
    TRY(with_part(t, f, f->pre_tokenizer, read_pre_part));
    TRY(with_part(t, f, f->decoder, read_decoder));
    TRY(set_alphabet(t));
    begin(&j, f, f->model);
    status = read_model(t, &j, f);
    json_free(&j);
    TRY(status);
    TRY(count_entries(f, f->vocab, &count));
    begin(&j, f, f->vocab);
    status = t->model == MODEL_UNIGRAM ? read_pieces(t, &j, count) : read_vocab(t, &j, count);
    json_free(&j);
    TRY(status);
    t->base_size = t->vocab.count;
    t->unigram.wide = t->unigram.all = true;
    if (t->model == MODEL_BPE)
        TRY(bpe_reserve(&t->bpe, (int64_t)t->vocab.count * 2)); /* most have no more */
    if (t->model == MODEL_BPE)
        TRY(with_part(t, f, f->merges, read_merges));
    TRY(with_part(t, f, f->unk, read_unk));
    TRY(with_part(t, f, f->added, read_added));
    return with_part(t, f, f->post_processor, read_post_processor);
}

static int read_json(struct tokenizer *t, const char *json, size_t length)
{
    struct parts f = {.json = json};
    struct json j;
    json_begin(&j, json, length, NULL);
    int status = find_parts(&j, &f);
    json_free(&j);
    return status ? status : read_parts(t, &f);
}

int tokenizer_ready(struct tokenizer *t, int status, const char *config, size_t config_length,
                    struct tokenizer **out)
{
    if (!status && config) {
        status = tokenizer_read_config(t, config, config_length);
        if (status)
            fail_in(status, "tokenizer_config.json");
    }
    if (!status)
        status = tokenizer_finish(t);
    if (status) {
        tokenizer_free(t);
        return status;
    }
    *out = t;
    return OK;
}

int tokenizer_from_json(const char *json, size_t length, const char *config, size_t config_length,
                        struct tokenizer **out)
{
    struct tokenizer *t = tokenizer_new();
    if (!t)
        return ERR_MEMORY;
    return tokenizer_ready(t, read_json(t, json, length), config, config_length, out);
}

/* Lines "left right"; a first line "#version: ..." is skipped. */
static int read_merge_lines(struct tokenizer *t, const char *p, size_t length)
{
    const char *end = p + length;
    int64_t rank = 0;
    while (p < end) {
        const char *line = p, *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        p = stop + (stop < end);
        if (stop > line && stop[-1] == '\r')
            stop--;
        if (stop == line ||
            (rank == 0 && *line == '#' && stop - line > 8 && memcmp(line, "#version", 8) == 0))
            continue;
        TRY(tokenizer_add_merge_text(t, line, (size_t)(stop - line), rank++));
    }
    return OK;
}

static int read_vocab_and_merges(struct tokenizer *t, const char *vocab, size_t vocab_length,
                                 const char *merges, size_t merges_length)
{
    static const char end_of_text[] = "<|endoftext|>";
    struct parts f = {.json = vocab, .vocab = {0, vocab_length}};
    struct json j;
    int64_t count;
    TRY(count_entries(&f, f.vocab, &count));
    json_begin(&j, vocab, vocab_length, NULL);
    int status = read_vocab(t, &j, count);
    json_free(&j);
    TRY(status);
    t->base_size = t->vocab.count;
    TRY(read_merge_lines(t, merges, merges_length));
    TRY(tokenizer_add_step(t, SPLIT_GPT2));
    t->bytes = true;
    int32_t id = vocab_find(&t->vocab, end_of_text, sizeof end_of_text - 1);
    if (id < 0)
        return OK;
    t->special[TOKENIZER_BOS] = t->special[TOKENIZER_EOS] = t->special[TOKENIZER_UNK] = id;
    return tokenizer_add_added(t, (struct added_token){.id = id, .special = true}, false);
}

int tokenizer_from_vocab(const char *vocab, size_t vocab_length, const char *merges,
                         size_t merges_length, const char *config, size_t config_length,
                         struct tokenizer **out)
{
    struct tokenizer *t = tokenizer_new();
    if (!t)
        return ERR_MEMORY;
    int status = read_vocab_and_merges(t, vocab, vocab_length, merges, merges_length);
    return tokenizer_ready(t, status, config, config_length, out);
}
