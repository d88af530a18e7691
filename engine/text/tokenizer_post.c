/* tokenizer_post.c -- post-processors and decoders of a tokenizer.json. */
#include "engine/text/component.h"
#include "engine/text/tokenizer_json.h"
#include "kernels/base/mem.h"

#include <string.h>

/* --- post-processor: which tokens stand around a text, or around two */

static int template_add(struct json *j, struct template *a, int64_t id, int kind)
{
    if (a->count == (int)(sizeof a->items / sizeof *a->items))
        return json_fail(j, "more than %d parts of a template", a->count);
    if (kind == TEMPLATE_TOKEN && (id < 0 || id >= INT32_MAX))
        return json_fail(j, "token id %lld", (long long)id);
    a->items[a->count].id = (int32_t)id;
    a->items[a->count++].kind = kind;
    return OK;
}

/* The ids of a template token out of "special_tokens", which stands in the same object. */
static int template_ids(struct json *j, const struct component *c, const char *name, size_t length,
                        struct template *out)
{
    struct json s;
    bool found = false;
    int status = OK;
    json_begin_part(&s, j->whole, c->start, c->stop, &j->options);
    status = json_open(&s, JSON_OBJECT, NULL);
    while (!status && !(status = json_next(&s)) && s.kind == JSON_KEY) {
        if (s.depth == 1 && !json_is(&s, "special_tokens")) {
            status = json_skip_value(&s);
        } else if (s.depth == 1) {
            status = json_open(&s, JSON_OBJECT, "special_tokens");
        } else if (s.depth == 2 && (s.length != length || memcmp(s.text, name, length))) {
            status = json_skip_value(&s);
        } else if (s.depth == 2) {
            status = json_open(&s, JSON_OBJECT, "a special token");
        } else if (!json_is(&s, "ids")) {
            status = json_skip_value(&s);
        } else {
            found = true;
            status = json_open(&s, JSON_ARRAY, "ids");
            while (!status && !(status = json_next(&s)) && s.kind != JSON_ARRAY_END) {
                int64_t id = -1;
                status = json_int(&s, "ids", &id);
                if (!status)
                    status = template_add(&s, out, id, TEMPLATE_TOKEN);
            }
            break;
        }
    }
    json_free(&s);
    if (!status && !found)
        return json_fail(j, "the template names '%.*s', which is not in special_tokens",
                         (int)(length < 60 ? length : 60), name);
    return status;
}

/* One element of a template: {"SpecialToken": {"id": name, ...}} or {"Sequence": {"id": "A"}}. */
static int template_piece(struct json *j, const struct component *c, struct template *out)
{
    int64_t kind = TEMPLATE_A;
    TRY(json_open(j, JSON_OBJECT, "a template"));
    TRY(json_open(j, JSON_KEY, "a template"));
    bool token = json_is(j, "SpecialToken");
    if (!token && !json_is(j, "Sequence"))
        return json_fail(j, "a template piece of kind '%.*s'",
                         (int)(j->length < 60 ? j->length : 60), j->text);
    TRY(json_open(j, JSON_OBJECT, "a template"));
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, "a template"));
        if (!json_is(j, "id")) {
            TRY(json_skip_value(j));
            continue;
        }
        TRY(json_open(j, JSON_STRING, "id"));
        if (token)
            TRY(template_ids(j, c, j->text, j->length, out));
        else if (json_is(j, "B"))
            kind = TEMPLATE_B;
    }
    TRY(json_open(j, JSON_OBJECT_END, "a template"));
    if (!token)
        TRY(template_add(j, out, -1, (int)kind));
    return json_open(j, JSON_OBJECT_END, "a template");
}

static int read_template(const struct component *c, const char *name, struct template *out)
{
    struct json j;
    size_t start, stop;
    out->count = 0;
    TRY(component_span(c, name, &start, &stop));
    if (!stop)
        return OK;
    json_begin_part(&j, c->j->whole, start, stop, &c->j->options);
    int status = json_open(&j, JSON_ARRAY, name);
    while (!status && json_more(&j))
        status = template_piece(&j, c, out);
    json_free(&j);
    return status;
}

/* The single template as what stands in front and behind. */
static int set_single(struct tokenizer *t, const struct component *c, const struct template *single)
{
    bool behind = false;
    t->prefix.count = t->suffix.count = 0;
    for (int i = 0; i < single->count; i++) {
        struct affix *a = behind ? &t->suffix : &t->prefix;
        if (single->items[i].kind != TEMPLATE_TOKEN) {
            behind = true;
            continue;
        }
        if (a->count == TOKENIZER_AFFIX)
            return json_fail(c->j, "more than %d tokens around a text", TOKENIZER_AFFIX);
        a->ids[a->count++] = single->items[i].id;
    }
    return OK;
}

static int post_template(struct tokenizer *t, const struct component *c)
{
    struct template single;
    TRY(read_template(c, "single", &single));
    TRY(read_template(c, "pair", &t->pair));
    return set_single(t, c, &single);
}

/* "cls": ["<s>", 0]: the id. */
static int pair_id(const struct component *c, const char *name, int64_t *id)
{
    struct json j;
    size_t start, stop;
    TRY(component_span(c, name, &start, &stop));
    if (!stop)
        return component_fail(c, "without its tokens 'cls' and 'sep'");
    json_begin_part(&j, c->j->whole, start, stop, &c->j->options);
    int status = json_open(&j, JSON_ARRAY, name);
    if (!status)
        status = json_open(&j, JSON_STRING, name);
    if (!status)
        status = json_take_int(&j, name, id);
    if (!status)
        status = json_open(&j, JSON_ARRAY_END, name);
    json_free(&j);
    return status;
}

/* BERT: [CLS] A [SEP] B [SEP]; RoBERTa: <s> A </s> </s> B </s>. */
static int post_pair(struct tokenizer *t, const struct component *c)
{
    struct json *j = (struct json *)(uintptr_t)c->j; /* messages only */
    struct template single = {.count = 0}, *both = &t->pair;
    int64_t cls = -1, sep = -1;
    TRY(pair_id(c, "cls", &cls));
    TRY(pair_id(c, "sep", &sep));
    TRY(template_add(j, &single, cls, TEMPLATE_TOKEN));
    TRY(template_add(j, &single, -1, TEMPLATE_A));
    TRY(template_add(j, &single, sep, TEMPLATE_TOKEN));
    *both = single;
    if (component_is(c, "RobertaProcessing"))
        TRY(template_add(j, both, sep, TEMPLATE_TOKEN));
    TRY(template_add(j, both, -1, TEMPLATE_B));
    TRY(template_add(j, both, sep, TEMPLATE_TOKEN));
    return set_single(t, c, &single);
}

static int one_post_processor(struct tokenizer *t, struct json *j, void *ctx)
{
    struct component c;
    bool there;
    (void)ctx;
    TRY(component_read(j, &c, &there));
    if (!there || component_is(&c, "ByteLevel")) /* ByteLevel only trims offsets */
        return OK;
    if (component_is(&c, "Sequence"))
        return component_each(t, &c, "processors", one_post_processor, NULL);
    if (component_is(&c, "TemplateProcessing"))
        return post_template(t, &c);
    if (component_is(&c, "RobertaProcessing") || component_is(&c, "BertProcessing"))
        return post_pair(t, &c);
    return component_refuse(&c, "post-processor");
}

int read_post_processor(struct tokenizer *t, struct json *j)
{
    return one_post_processor(t, j, NULL);
}

/* --- decoders */

static int decode_replace(const struct component *c, struct decoder_step *s)
{
    bool regex;
    TRY(component_pattern(c, "pattern", &s->from, &s->from_length, &regex));
    TRY(component_text(c, "content", &s->to, &s->to_length));
    if (!s->to)
        return component_fail(c, "without its text 'content'");
    return regex ? pattern_compile(s->from, s->from_length, &s->pattern) : OK;
}

static int decode_strip(const struct component *c, struct decoder_step *s)
{
    int64_t start = 0, stop = 0;
    TRY(component_text(c, "content", &s->from, &s->from_length));
    TRY(component_int(c, "start", &start));
    TRY(component_int(c, "stop", &stop));
    if (!s->from || !s->from_length || start < 0 || stop < 0 || start > 1000 || stop > 1000)
        return component_fail(c, "wanted a character 'content', 'start' and 'stop' up to 1000");
    s->start = (size_t)start;
    s->stop = (size_t)stop;
    return OK;
}

static int decode_metaspace(const struct component *c, struct decoder_step *s)
{
    char *scheme = NULL;
    size_t n = 0;
    bool prefix = true;
    TRY(component_text(c, "replacement", &s->from, &s->from_length));
    TRY(component_bool(c, "add_prefix_space", &prefix));
    TRY(component_text(c, "prepend_scheme", &scheme, &n));
    s->always = scheme ? !strcmp(scheme, "never") : !prefix;
    mem_free(scheme);
    return s->from && s->from_length ? OK : component_fail(c, "without its replacement");
}

static int decode_wordpiece(const struct component *c, struct decoder_step *s)
{
    s->clean_up = true;
    TRY(component_bool(c, "cleanup", &s->clean_up));
    TRY(component_text(c, "prefix", &s->from, &s->from_length));
    return s->from ? OK : component_fail(c, "without its prefix");
}

static int decode_suffix(const struct component *c, struct decoder_step *s)
{
    TRY(component_text(c, "suffix", &s->from, &s->from_length));
    return s->from && s->from_length ? OK : component_fail(c, "without its suffix");
}

static const struct {
    const char *type;
    enum decoder_kind kind;
    int (*read)(const struct component *, struct decoder_step *); /* NULL = no fields */
} decoders[] = {
    {"ByteLevel", DECODER_BYTE_LEVEL, NULL},
    {"ByteFallback", DECODER_BYTE_FALLBACK, NULL},
    {"Fuse", DECODER_FUSE, NULL},
    {"Replace", DECODER_REPLACE, decode_replace},
    {"Strip", DECODER_STRIP, decode_strip},
    {"Metaspace", DECODER_METASPACE, decode_metaspace},
    {"WordPiece", DECODER_WORDPIECE, decode_wordpiece},
    {"BPEDecoder", DECODER_SUFFIX, decode_suffix},
};

static int one_decoder(struct tokenizer *t, struct json *j, void *ctx)
{
    struct component c;
    struct decoder_step *s;
    bool there;
    (void)ctx;
    TRY(component_read(j, &c, &there));
    if (!there)
        return OK;
    if (component_is(&c, "Sequence"))
        return component_each(t, &c, "decoders", one_decoder, NULL);
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        if (!component_is(&c, decoders[i].type))
            continue;
        TRY(decoder_add(&t->decoder, decoders[i].kind, &s));
        return decoders[i].read ? decoders[i].read(&c, s) : OK;
    }
    return component_refuse(&c, "decoder");
}

int read_decoder(struct tokenizer *t, struct json *j)
{
    t->decoder.whole_runs = true;
    return one_decoder(t, j, NULL);
}
