/* tokenizer_parts.c -- the components of a tokenizer.json around its model.
 *
 * Components are objects whose "type" may stand anywhere among the fields, so the fields of one
 * object are collected first and judged at its end. Sequences nest; the JSON parser's depth limit
 * bounds the recursion. */
#include "engine/text/tokenizer_json.h"
#include "kernels/base/mem.h"

#include <string.h>

struct component {
    char type[32];
    size_t start, stop;     /* of the object in the text */
    size_t list, list_stop; /* of a nested list, 0 = none */
    size_t pattern, pattern_stop;
    bool add_prefix_space, use_regex, individual_digits, invert;
    enum split_behavior behavior;
};

static int read_behavior(struct json *j, enum split_behavior *out)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    TRY(json_open(j, JSON_STRING, "behavior"));
    for (int i = 0; i < 5; i++)
        if (json_is(j, names[i])) {
            *out = (enum split_behavior)i;
            return OK;
        }
    return json_fail(j, "behavior '%.*s' is not known", (int)(j->length < 60 ? j->length : 60),
                     j->text);
}

static int read_span(struct json *j, size_t *start, size_t *stop)
{
    TRY(json_next(j));
    *start = j->offset;
    TRY(json_skip(j));
    *stop = (size_t)(j->p - j->whole);
    return OK;
}

static int read_field(struct json *j, struct component *c)
{
    if (json_is(j, "type")) {
        TRY(json_open(j, JSON_STRING, "type"));
        size_t n = j->length < sizeof c->type - 1 ? j->length : sizeof c->type - 1;
        memcpy(c->type, j->text, n);
        return OK;
    }
    if (json_is(j, "add_prefix_space"))
        return json_take_bool(j, "add_prefix_space", &c->add_prefix_space);
    if (json_is(j, "use_regex"))
        return json_take_bool(j, "use_regex", &c->use_regex);
    if (json_is(j, "individual_digits"))
        return json_take_bool(j, "individual_digits", &c->individual_digits);
    if (json_is(j, "invert"))
        return json_take_bool(j, "invert", &c->invert);
    if (json_is(j, "behavior"))
        return read_behavior(j, &c->behavior);
    if (json_is(j, "pattern"))
        return read_span(j, &c->pattern, &c->pattern_stop);
    if (json_is(j, "pretokenizers") || json_is(j, "normalizers") || json_is(j, "processors") ||
        json_is(j, "decoders"))
        return read_span(j, &c->list, &c->list_stop);
    return json_skip_value(j);
}

/* The next value: null gives *there = false, an object its fields. */
static int read_component(struct json *j, struct component *c, bool *there)
{
    *c = (struct component){.use_regex = true, .individual_digits = false};
    TRY(json_next(j));
    *there = j->kind != JSON_NULL;
    if (!*there)
        return OK;
    if (j->kind != JSON_OBJECT)
        return json_fail(j, "expected a component (an object with a type) or null");
    c->start = j->offset;
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            break;
        TRY(read_field(j, c));
    }
    c->stop = (size_t)(j->p - j->whole);
    j->offset = c->start;
    if (!c->type[0])
        return json_fail(j, "a component without a type");
    return OK;
}

static int not_built(const struct json *j, const char *what, const struct component *c)
{
    return json_fail(j, "the %s '%s' is not supported yet", what, c->type);
}

/* Runs 'one' over every element of a component's list. */
static int each_of(struct tokenizer *t, struct json *j, const struct component *c,
                   int (*one)(struct tokenizer *, struct json *, void *), void *ctx)
{
    struct json inner;
    int status;
    if (!c->list)
        return json_fail(j, "a Sequence without its list");
    json_begin_part(&inner, j->whole, c->list, c->list_stop, &j->options);
    status = json_open(&inner, JSON_ARRAY, c->type);
    while (!status && json_more(&inner))
        status = one(t, &inner, ctx);
    json_free(&inner);
    return status;
}

/* --- normaliser */

static int one_normalizer(struct tokenizer *t, struct json *j, void *ctx)
{
    struct component c;
    bool there;
    (void)ctx;
    TRY(read_component(j, &c, &there));
    if (!there)
        return OK;
    if (!strcmp(c.type, "Sequence"))
        return each_of(t, j, &c, one_normalizer, NULL);
    if (strcmp(c.type, "NFC") != 0)
        return not_built(j, "normalizer", &c);
    t->nfc = true;
    return OK;
}

int read_normalizer(struct tokenizer *t, struct json *j)
{
    return one_normalizer(t, j, NULL);
}

/* --- pre-tokenizer */

static int read_pattern(struct tokenizer *t, struct json *j, const struct component *c)
{
    struct json p;
    struct split_step *step = NULL;
    bool regex;
    if (!c->pattern)
        return json_fail(j, "a Split without a pattern");
    json_begin_part(&p, j->whole, c->pattern, c->pattern_stop, &j->options);
    int status = json_open(&p, JSON_OBJECT, "pattern");
    if (!status)
        status = json_open(&p, JSON_KEY, "pattern");
    regex = !status && json_is(&p, "Regex");
    if (!status && !regex && !json_is(&p, "String"))
        status = json_fail(&p, "a pattern of kind '%.*s', wanted Regex or String",
                           (int)(p.length < 60 ? p.length : 60), p.text);
    if (!status)
        status = json_open(&p, JSON_STRING, "pattern");
    int kind = !status && regex && c->behavior == SPLIT_ISOLATED && !c->invert
                   ? split_known(p.text, p.length)
                   : -1;
    if (!status)
        status = tokenizer_add_step(t, kind >= 0 ? (enum split_kind)kind
                                       : regex   ? SPLIT_PATTERN
                                                 : SPLIT_LITERAL);
    if (!status && kind < 0) {
        step = &t->steps[t->step_count - 1];
        step->behavior = c->behavior;
        step->invert = c->invert;
        if (regex) {
            status = pattern_compile(p.text, p.length, &step->pattern);
        } else if (p.length == 0) {
            status = json_fail(&p, "an empty pattern");
        } else {
            step->literal = mem_text(p.text, p.length);
            step->literal_length = p.length;
            status = step->literal ? OK : ERR_MEMORY;
        }
    }
    json_free(&p);
    return status;
}

static int one_pre_tokenizer(struct tokenizer *t, struct json *j, void *ctx)
{
    struct component c;
    bool there, *byte_level = ctx;
    TRY(read_component(j, &c, &there));
    if (!there)
        return OK;
    if (*byte_level)
        return json_fail(j, "the pre-tokenizer '%s' behind ByteLevel is not supported yet", c.type);
    if (!strcmp(c.type, "Sequence"))
        return each_of(t, j, &c, one_pre_tokenizer, byte_level);
    if (!strcmp(c.type, "Split"))
        return read_pattern(t, j, &c);
    if (!strcmp(c.type, "Digits"))
        return tokenizer_add_step(t, c.individual_digits ? SPLIT_DIGIT : SPLIT_DIGITS);
    if (strcmp(c.type, "ByteLevel") != 0)
        return not_built(j, "pre-tokenizer", &c);
    *byte_level = true;
    if (c.add_prefix_space)
        TRY(tokenizer_add_step(t, SPLIT_PREFIX));
    return c.use_regex ? tokenizer_add_step(t, SPLIT_GPT2) : OK;
}

int read_pre_tokenizer(struct tokenizer *t, struct json *j, bool *byte_level)
{
    *byte_level = false;
    return one_pre_tokenizer(t, j, byte_level);
}

/* --- post-processor: which tokens stand around a text */

static int affix_add(struct json *j, struct affix *a, int64_t id)
{
    if (a->count == TOKENIZER_AFFIX)
        return json_fail(j, "more than %d tokens around a text", TOKENIZER_AFFIX);
    if (id < 0 || id >= INT32_MAX)
        return json_fail(j, "token id %lld", (long long)id);
    a->ids[a->count++] = (int32_t)id;
    return OK;
}

/* The ids of template token 'name' out of "special_tokens", which stands in the same object. */
static int template_ids(struct json *j, const struct component *c, const char *name, size_t length,
                        struct affix *out)
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
                    status = affix_add(&s, out, id);
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

/* One element of "single": {"SpecialToken": {"id": name, ...}} or {"Sequence": ...}. */
static int template_piece(struct tokenizer *t, struct json *j, const struct component *c,
                          bool *behind)
{
    TRY(json_open(j, JSON_OBJECT, "a template"));
    TRY(json_open(j, JSON_KEY, "a template"));
    bool token = json_is(j, "SpecialToken");
    if (!token && !json_is(j, "Sequence"))
        return json_fail(j, "a template piece of kind '%.*s'",
                         (int)(j->length < 60 ? j->length : 60), j->text);
    if (!token)
        *behind = true;
    TRY(json_open(j, JSON_OBJECT, "a template"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            break;
        if (!token || !json_is(j, "id")) {
            TRY(json_skip_value(j));
            continue;
        }
        TRY(json_open(j, JSON_STRING, "id"));
        TRY(template_ids(j, c, j->text, j->length, *behind ? &t->suffix : &t->prefix));
    }
    return json_open(j, JSON_OBJECT_END, "a template");
}

static int read_template(struct tokenizer *t, struct json *outer, const struct component *c)
{
    struct json j;
    bool behind = false;
    json_begin_part(&j, outer->whole, c->start, c->stop, &outer->options);
    int status = json_open(&j, JSON_OBJECT, NULL);
    while (!status && !(status = json_next(&j)) && j.kind == JSON_KEY) {
        if (!json_is(&j, "single")) {
            status = json_skip_value(&j);
            continue;
        }
        status = json_open(&j, JSON_ARRAY, "single");
        while (!status && json_more(&j))
            status = template_piece(t, &j, c, &behind);
        if (!status)
            status = json_open(&j, JSON_ARRAY_END, "single");
    }
    json_free(&j);
    return status;
}

/* "cls": ["<s>", 0] in front and "sep" behind, as in RoBERTa's and BERT's processors. */
static int read_pair_processor(struct tokenizer *t, struct json *outer, const struct component *c)
{
    struct json j;
    json_begin_part(&j, outer->whole, c->start, c->stop, &outer->options);
    int status = json_open(&j, JSON_OBJECT, NULL);
    while (!status && !(status = json_next(&j)) && j.kind == JSON_KEY) {
        bool cls = json_is(&j, "cls");
        int64_t id = -1;
        if (!cls && !json_is(&j, "sep")) {
            status = json_skip_value(&j);
            continue;
        }
        status = json_open(&j, JSON_ARRAY, "a processor");
        if (!status)
            status = json_open(&j, JSON_STRING, "a processor");
        if (!status)
            status = json_take_int(&j, "a processor", &id);
        if (!status)
            status = affix_add(&j, cls ? &t->prefix : &t->suffix, id);
        if (!status)
            status = json_open(&j, JSON_ARRAY_END, "a processor");
    }
    json_free(&j);
    return status;
}

static int one_post_processor(struct tokenizer *t, struct json *j, void *ctx)
{
    struct component c;
    bool there;
    (void)ctx;
    TRY(read_component(j, &c, &there));
    if (!there || !strcmp(c.type, "ByteLevel")) /* ByteLevel only trims offsets */
        return OK;
    if (!strcmp(c.type, "Sequence"))
        return each_of(t, j, &c, one_post_processor, NULL);
    if (!strcmp(c.type, "TemplateProcessing"))
        return read_template(t, j, &c);
    if (!strcmp(c.type, "RobertaProcessing") || !strcmp(c.type, "BertProcessing"))
        return read_pair_processor(t, j, &c);
    return not_built(j, "post-processor", &c);
}

int read_post_processor(struct tokenizer *t, struct json *j)
{
    return one_post_processor(t, j, NULL);
}

/* --- decoder: byte-level is the only one */

static int one_decoder(struct tokenizer *t, struct json *j, void *ctx)
{
    struct component c;
    bool there;
    (void)ctx;
    TRY(read_component(j, &c, &there));
    if (!there || !strcmp(c.type, "ByteLevel"))
        return OK;
    if (!strcmp(c.type, "Sequence"))
        return each_of(t, j, &c, one_decoder, NULL);
    return not_built(j, "decoder", &c);
}

int read_decoder(struct json *j)
{
    return one_decoder(NULL, j, NULL);
}
