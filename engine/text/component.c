/* component.c -- one component of a tokenizer.json: an object with a type. */
#include "engine/text/component.h"
#include "kernels/base/mem.h"

#include <string.h>

int component_read(struct json *j, struct component *c, bool *there)
{
    *c = (struct component){.j = j};
    TRY(json_next(j));
    *there = j->kind != JSON_NULL;
    if (!*there)
        return OK;
    if (j->kind != JSON_OBJECT)
        return json_fail(j, "expected a component (an object with a type) or null");
    c->start = j->offset;
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        if (!json_is(j, "type")) {
            TRY(json_skip_value(j));
            continue;
        }
        TRY(json_open(j, JSON_STRING, "type"));
        size_t n = j->length < sizeof c->type - 1 ? j->length : sizeof c->type - 1;
        memcpy(c->type, j->text, n);
    }
    TRY(json_open(j, JSON_OBJECT_END, NULL));
    c->stop = (size_t)(j->p - j->whole);
    j->offset = c->start;
    if (!c->type[0])
        return json_fail(j, "a component without a type");
    return OK;
}

bool component_is(const struct component *c, const char *type)
{
    return strcmp(c->type, type) == 0;
}

int component_refuse(const struct component *c, const char *what)
{
    return json_fail(c->j, "the %s '%s' is not supported yet", what, c->type);
}

int component_fail(const struct component *c, const char *message)
{
    return json_fail(c->j, "%s: %s", c->type, message);
}

/* Stands before the value of a field, when it is there. json_free is due in any case. */
static int find(const struct component *c, const char *name, struct json *j, bool *found)
{
    *found = false;
    json_begin_part(j, c->j->whole, c->start, c->stop, &c->j->options);
    TRY(json_open(j, JSON_OBJECT, NULL));
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        if (json_is(j, name)) {
            *found = true;
            return OK;
        }
        TRY(json_skip_value(j));
    }
    return OK;
}

int component_bool(const struct component *c, const char *name, bool *value)
{
    struct json j;
    bool found;
    int status = find(c, name, &j, &found);
    if (!status && found) {
        status = json_next(&j);
        if (!status && j.kind != JSON_BOOL && j.kind != JSON_NULL)
            status = json_fail(&j, "%s: expected true, false or null", name);
        if (!status && j.kind == JSON_BOOL)
            *value = j.boolean;
    }
    json_free(&j);
    return status;
}

int component_int(const struct component *c, const char *name, int64_t *value)
{
    struct json j;
    bool found;
    int status = find(c, name, &j, &found);
    if (!status && found)
        status = json_take_int(&j, name, value);
    json_free(&j);
    return status;
}

static int take_text(struct json *j, const char *name, char **text, size_t *length)
{
    TRY(json_next(j));
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind != JSON_STRING)
        return json_fail(j, "%s: expected text", name);
    char *copy = mem_text(j->text, j->length);
    if (!copy)
        return ERR_MEMORY;
    mem_free(*text);
    *text = copy;
    *length = j->length;
    return OK;
}

int component_text(const struct component *c, const char *name, char **text, size_t *length)
{
    struct json j;
    bool found;
    int status = find(c, name, &j, &found);
    if (!status && found)
        status = take_text(&j, name, text, length);
    json_free(&j);
    return status;
}

int component_span(const struct component *c, const char *name, size_t *start, size_t *stop)
{
    struct json j;
    bool found;
    *stop = 0;
    int status = find(c, name, &j, &found);
    if (!status && found)
        status = json_next(&j);
    if (!status && found) {
        *start = j.offset;
        status = json_skip(&j);
        *stop = (size_t)(j.p - j.whole);
    }
    json_free(&j);
    return status;
}

int component_pattern(const struct component *c, const char *name, char **text, size_t *length,
                      bool *regex)
{
    struct json j;
    bool found;
    *regex = false;
    int status = find(c, name, &j, &found);
    if (!status && !found)
        status = json_fail(c->j, "a %s without a %s", c->type, name);
    if (!status)
        status = json_next(&j);
    if (!status && j.kind == JSON_STRING) {
        *text = mem_text(j.text, j.length);
        *length = j.length;
        status = *text ? OK : ERR_MEMORY;
    } else if (!status) {
        if (j.kind != JSON_OBJECT)
            status = json_fail(&j, "%s: expected an object", name);
        if (!status)
            status = json_open(&j, JSON_KEY, name);
        *regex = !status && json_is(&j, "Regex");
        if (!status && !*regex && !json_is(&j, "String"))
            status = json_fail(&j, "a pattern of kind '%.*s', wanted Regex or String",
                               (int)(j.length < 60 ? j.length : 60), j.text);
        if (!status)
            status = take_text(&j, name, text, length);
    }
    if (!status && (!*text || *length == 0))
        status = json_fail(&j, "an empty pattern");
    json_free(&j);
    return status;
}

int component_each(struct tokenizer *t, const struct component *c, const char *name,
                   int (*one)(struct tokenizer *, struct json *, void *), void *ctx)
{
    struct json j;
    bool found;
    int status = find(c, name, &j, &found);
    if (!status && !found)
        status = json_fail(c->j, "a Sequence without its list");
    if (!status)
        status = json_open(&j, JSON_ARRAY, c->type);
    while (!status && json_more(&j))
        status = one(t, &j, ctx);
    json_free(&j);
    return status;
}
