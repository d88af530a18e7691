/* tokenizer_parts.c -- normalizers and pre-tokenizers of a tokenizer.json.
 *
 * To add one: a row in the table of its kind and a function that reads its fields. */
#include "engine/text/component.h"
#include "engine/text/tokenizer_json.h"
#include "kernels/base/mem.h"

#include <string.h>

/* --- normalizers */

static int normal_plain(struct tokenizer *t, const struct component *c, int kind)
{
    struct normalizer_step *s;
    (void)c;
    return normalizer_add(&t->normalizer, (enum normalizer_kind)kind, &s);
}

static int normal_strip(struct tokenizer *t, const struct component *c, int kind)
{
    struct normalizer_step *s;
    TRY(normalizer_add(&t->normalizer, (enum normalizer_kind)kind, &s));
    s->left = s->right = true;
    TRY(component_bool(c, "strip_left", &s->left));
    return component_bool(c, "strip_right", &s->right);
}

static int normal_prepend(struct tokenizer *t, const struct component *c, int kind)
{
    struct normalizer_step *s;
    TRY(normalizer_add(&t->normalizer, (enum normalizer_kind)kind, &s));
    TRY(component_text(c, "prepend", &s->to, &s->to_length));
    return s->to ? OK : component_fail(c, "without its text 'prepend'");
}

static int normal_replace(struct tokenizer *t, const struct component *c, int kind)
{
    struct normalizer_step *s;
    bool regex;
    TRY(normalizer_add(&t->normalizer, (enum normalizer_kind)kind, &s));
    TRY(component_pattern(c, "pattern", &s->from, &s->from_length, &regex));
    TRY(component_text(c, "content", &s->to, &s->to_length));
    if (!s->to)
        return component_fail(c, "without its text 'content'");
    return regex ? pattern_compile(s->from, s->from_length, &s->pattern) : OK;
}

static int sextet(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Base64 in place: returns the bytes written, -1 when it is none. */
static int64_t from_base64(char *text, size_t length)
{
    uint32_t bits = 0;
    int have = 0;
    int64_t n = 0;
    while (length > 0 && text[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++) {
        int v = sextet(text[i]);
        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            text[n++] = (char)(bits >> have);
        }
    }
    return n;
}

static int normal_charsmap(struct tokenizer *t, const struct component *c, int kind)
{
    struct normalizer_step *s;
    char *text = NULL;
    size_t length = 0;
    TRY(normalizer_add(&t->normalizer, (enum normalizer_kind)kind, &s));
    int status = component_text(c, "precompiled_charsmap", &text, &length);
    if (!status && text) {
        int64_t n = from_base64(text, length);
        status = n < 0 ? component_fail(c, "its map is not base64")
                       : charsmap_set(&s->map, text, (size_t)n);
    }
    mem_free(text);
    return status;
}

/* BERT's is several in one; lower case takes the accents with it unless told otherwise. */
static int normal_bert(struct tokenizer *t, const struct component *c, int kind)
{
    struct normalizer_step *s;
    bool lower = true, accents;
    TRY(normalizer_add(&t->normalizer, (enum normalizer_kind)kind, &s));
    s->clean = s->cjk = true;
    TRY(component_bool(c, "clean_text", &s->clean));
    TRY(component_bool(c, "handle_chinese_chars", &s->cjk));
    TRY(component_bool(c, "lowercase", &lower));
    accents = lower;
    TRY(component_bool(c, "strip_accents", &accents));
    if (accents) {
        TRY(normalizer_add(&t->normalizer, NORMALIZER_NFD, &s));
        TRY(normalizer_add(&t->normalizer, NORMALIZER_STRIP_ACCENTS, &s));
    }
    return lower ? normalizer_add(&t->normalizer, NORMALIZER_LOWERCASE, &s) : OK;
}

struct part_row {
    const char *type;
    int (*read)(struct tokenizer *, const struct component *, int);
    int kind;
};

static const struct part_row normalizers[] = {
    {"NFC", normal_plain, NORMALIZER_NFC},
    {"NFD", normal_plain, NORMALIZER_NFD},
    {"NFKC", normal_plain, NORMALIZER_NFKC},
    {"NFKD", normal_plain, NORMALIZER_NFKD},
    {"Lowercase", normal_plain, NORMALIZER_LOWERCASE},
    {"StripAccents", normal_plain, NORMALIZER_STRIP_ACCENTS},
    {"Strip", normal_strip, NORMALIZER_STRIP},
    {"Prepend", normal_prepend, NORMALIZER_PREPEND},
    {"Replace", normal_replace, NORMALIZER_REPLACE},
    {"Precompiled", normal_charsmap, NORMALIZER_CHARSMAP},
    {"BertNormalizer", normal_bert, NORMALIZER_BERT},
};

static int from_table(struct tokenizer *t, const struct component *c, const struct part_row *rows,
                      size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (component_is(c, rows[i].type))
            return rows[i].read(t, c, rows[i].kind);
    return component_refuse(c, what);
}

#define ROWS(table) table, sizeof table / sizeof *table

static int one_normalizer(struct tokenizer *t, struct json *j, void *ctx)
{
    struct component c;
    bool there;
    (void)ctx;
    TRY(component_read(j, &c, &there));
    if (!there)
        return OK;
    if (component_is(&c, "Sequence"))
        return component_each(t, &c, "normalizers", one_normalizer, NULL);
    return from_table(t, &c, ROWS(normalizers), "normalizer");
}

int read_normalizer(struct tokenizer *t, struct json *j)
{
    return one_normalizer(t, j, NULL);
}

/* --- pre-tokenizers */

static struct split_step *last_step(struct tokenizer *t)
{
    return &t->steps[t->step_count - 1];
}

static int read_behavior(const struct component *c, enum split_behavior preset,
                         enum split_behavior *out)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    char *text = NULL;
    size_t n = 0;
    *out = preset;
    TRY(component_text(c, "behavior", &text, &n));
    int status = text ? json_fail(c->j, "%s: behavior '%.60s' is not known", c->type, text) : OK;
    for (int i = 0; i < 5 && text; i++)
        if (!strcmp(text, names[i])) {
            *out = (enum split_behavior)i;
            status = OK;
        }
    mem_free(text);
    return status;
}

static int pre_split(struct tokenizer *t, const struct component *c, int kind)
{
    struct split_step s = {.kind = (enum split_kind)kind};
    bool regex;
    int status = read_behavior(c, SPLIT_ISOLATED, &s.behavior);
    if (!status)
        status = component_bool(c, "invert", &s.invert);
    if (!status)
        status = component_pattern(c, "pattern", &s.literal, &s.literal_length, &regex);
    if (!status && regex) {
        int known = s.behavior == SPLIT_ISOLATED && !s.invert
                        ? split_known(s.literal, s.literal_length)
                        : -1;
        s.kind = known >= 0 ? (enum split_kind)known : SPLIT_PATTERN;
        if (known < 0)
            status = pattern_compile(s.literal, s.literal_length, &s.pattern);
    }
    if (!status)
        status = tokenizer_add_step(t, s.kind);
    if (status) {
        split_step_free(&s);
        return status;
    }
    *last_step(t) = s;
    return OK;
}

static int pre_plain(struct tokenizer *t, const struct component *c, int kind)
{
    (void)c;
    return tokenizer_add_step(t, (enum split_kind)kind);
}

static int pre_punctuation(struct tokenizer *t, const struct component *c, int kind)
{
    TRY(tokenizer_add_step(t, (enum split_kind)kind));
    return read_behavior(c, SPLIT_ISOLATED, &last_step(t)->behavior);
}

static int pre_white_space(struct tokenizer *t, const struct component *c, int kind)
{
    (void)c;
    TRY(tokenizer_add_step(t, (enum split_kind)kind));
    last_step(t)->behavior = SPLIT_REMOVED;
    return OK;
}

static int pre_bert(struct tokenizer *t, const struct component *c, int kind)
{
    TRY(pre_white_space(t, c, SPLIT_BLANK));
    return tokenizer_add_step(t, (enum split_kind)kind);
}

static int pre_delimiter(struct tokenizer *t, const struct component *c, int kind)
{
    TRY(tokenizer_add_step(t, (enum split_kind)kind));
    struct split_step *s = last_step(t);
    s->behavior = SPLIT_REMOVED;
    TRY(component_text(c, "delimiter", &s->literal, &s->literal_length));
    return s->literal && s->literal_length ? OK : component_fail(c, "without its delimiter");
}

static int pre_digits(struct tokenizer *t, const struct component *c, int kind)
{
    bool each = false;
    (void)kind;
    TRY(component_bool(c, "individual_digits", &each));
    return tokenizer_add_step(t, each ? SPLIT_DIGIT : SPLIT_DIGITS);
}

static int pre_metaspace(struct tokenizer *t, const struct component *c, int kind)
{
    char *scheme = NULL;
    size_t n = 0;
    bool prefix = true, split = true;
    TRY(tokenizer_add_step(t, (enum split_kind)kind));
    struct split_step *s = last_step(t);
    TRY(component_bool(c, "add_prefix_space", &prefix)); /* the old form of prepend_scheme */
    TRY(component_bool(c, "split", &split));
    s->whole = !split;
    s->scheme = prefix ? SPLIT_ALWAYS : SPLIT_NEVER;
    TRY(component_text(c, "replacement", &s->literal, &s->literal_length));
    if (!s->literal || !s->literal_length)
        return component_fail(c, "without its replacement");
    TRY(component_text(c, "prepend_scheme", &scheme, &n));
    int status = OK;
    if (scheme && !strcmp(scheme, "first"))
        s->scheme = SPLIT_FIRST;
    else if (scheme && !strcmp(scheme, "never"))
        s->scheme = SPLIT_NEVER;
    else if (scheme && !strcmp(scheme, "always"))
        s->scheme = SPLIT_ALWAYS;
    else if (scheme)
        status = json_fail(c->j, "Metaspace: prepend_scheme '%.60s' is not known", scheme);
    mem_free(scheme);
    return status;
}

/* The text leaves ByteLevel in the byte-level alphabet. Behind the last splitter that is left to
 * the model, which takes the bytes; before another one it must be written out. */
static int pre_byte_level(struct tokenizer *t, const struct component *c, int kind)
{
    bool prefix = false, regex = true;
    (void)kind;
    if (t->bytes)
        TRY(tokenizer_add_step(t, SPLIT_SPELL));
    t->bytes = false;
    TRY(component_bool(c, "add_prefix_space", &prefix));
    TRY(component_bool(c, "use_regex", &regex));
    if (prefix)
        TRY(tokenizer_add_step(t, SPLIT_PREFIX));
    if (regex)
        TRY(tokenizer_add_step(t, SPLIT_GPT2));
    t->bytes = true;
    return OK;
}

static const struct part_row pre_tokenizers[] = {
    {"Split", pre_split, SPLIT_LITERAL},
    {"ByteLevel", pre_byte_level, 0},
    {"Metaspace", pre_metaspace, SPLIT_METASPACE},
    {"Digits", pre_digits, SPLIT_DIGITS},
    {"Punctuation", pre_punctuation, SPLIT_MARK},
    {"Whitespace", pre_plain, SPLIT_WORDS},
    {"WhitespaceSplit", pre_white_space, SPLIT_BLANK},
    {"BertPreTokenizer", pre_bert, SPLIT_MARK},
    {"CharDelimiterSplit", pre_delimiter, SPLIT_LITERAL},
};

static int one_pre_tokenizer(struct tokenizer *t, struct json *j, void *ctx)
{
    struct component c;
    bool there, *byte_level = ctx;
    TRY(component_read(j, &c, &there));
    if (!there)
        return OK;
    if (component_is(&c, "Sequence"))
        return component_each(t, &c, "pretokenizers", one_pre_tokenizer, byte_level);
    if (t->bytes && !component_is(&c, "ByteLevel")) {
        TRY(tokenizer_add_step(t, SPLIT_SPELL));
        t->bytes = false;
    }
    *byte_level |= component_is(&c, "ByteLevel");
    return from_table(t, &c, ROWS(pre_tokenizers), "pre-tokenizer");
}

int read_pre_tokenizer(struct tokenizer *t, struct json *j, bool *byte_level)
{
    t->bytes = *byte_level = false;
    return one_pre_tokenizer(t, j, byte_level);
}
