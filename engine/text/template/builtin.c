/* builtin.c -- looking up and calling what templates may call. */
#include "engine/text/template/builtin.h"
#include "engine/core/suggest.h"
#include "engine/text/template/eval.h"

#include <stdio.h>
#include <string.h>

static const struct builtin *find(const struct builtin *rows, const char *name, size_t length)
{
    for (; rows->name; rows++)
        if (strlen(rows->name) == length && memcmp(rows->name, name, length) == 0)
            return rows;
    return NULL;
}

const struct builtin *builtin_filter(const char *name, size_t length)
{
    const struct builtin *f = find(builtin_filters, name, length);
    return f ? f : find(builtin_list_filters, name, length);
}

const struct builtin *builtin_test(const char *name, size_t length)
{
    return find(builtin_tests, name, length);
}

const struct builtin *builtin_function(const char *name, size_t length)
{
    return find(builtin_functions, name, length);
}

const struct builtin *builtin_method(struct tv self, const char *name, size_t length)
{
    switch (self.kind) {
    case TV_TEXT:
        return find(builtin_text_methods, name, length);
    case TV_MAP:
        return find(builtin_map_methods, name, length);
    case TV_LIST:
    case TV_TUPLE:
        return find(builtin_list_methods, name, length);
    case TV_LOOP:
        return find(builtin_loop_methods, name, length);
    default:
        return NULL;
    }
}

int builtin_unknown(bool filter, const char *name, size_t length)
{
    char wanted[64], hint[96];
    struct suggest s = {.wanted = wanted};
    snprintf(wanted, sizeof wanted, "%.*s", (int)length, name);
    for (const struct builtin *f = filter ? builtin_filters : builtin_tests; f->name; f++)
        suggest_try(&s, f->name);
    for (const struct builtin *f = builtin_list_filters; filter && f->name; f++)
        suggest_try(&s, f->name);
    return fail(ERR_ARG, "there is no %s '%s'%s", filter ? "filter" : "test", wanted,
                suggest_hint(&s, hint, sizeof hint));
}

static int parameter_of(const struct builtin *f, struct tv name)
{
    for (int i = 0; i < BUILTIN_PARAMETERS && f->parameters[i]; i++)
        if (name.kind == TV_TEXT && strlen(f->parameters[i]) == name.length &&
            memcmp(f->parameters[i], name.as.text, name.length) == 0)
            return i;
    return -1;
}

static int bind(const struct builtin *f, struct arguments *a)
{
    int count = 0;
    while (count < BUILTIN_PARAMETERS && f->parameters[count])
        count++;
    if (a->count > count)
        return fail(ERR_ARG, "%s takes at most %d arguments, found %lld", f->name, count,
                    (long long)a->count);
    for (int64_t i = 0; i < a->count; i++) {
        a->values[i] = a->positional[i];
        a->given[i] = true;
    }
    for (int64_t i = 0; a->named && i < a->named->count; i++) {
        struct tv name = a->named->pairs[i].key;
        int at = parameter_of(f, name);
        if (at < 0)
            return fail(ERR_ARG, "%s has no argument '%.*s'", f->name, (int)name.length,
                        name.kind == TV_TEXT ? name.as.text : "");
        if (a->given[at])
            return fail(ERR_ARG, "%s: '%s' is given twice", f->name, f->parameters[at]);
        a->values[at] = a->named->pairs[i].value;
        a->given[at] = true;
    }
    for (int i = 0; i < f->required; i++)
        if (!a->given[i])
            return fail(ERR_ARG, "%s needs the argument '%s'", f->name, f->parameters[i]);
    return OK;
}

int builtin_call(struct eval *e, const struct builtin *f, struct arguments *a, struct tv *out)
{
    if (!f->any)
        TRY(bind(f, a));
    if (++e->depth > EVAL_DEPTH) /* map('map', 'map' ...) */
        return fail(ERR_ARG, "calls nested deeper than %d", EVAL_DEPTH);
    int status = f->call(e, a, out);
    e->depth--;
    if (status && !e->located && !e->named) {
        e->named = true;
        return fail_in(status, "%s", f->name);
    }
    return status;
}

int builtin_int(const struct arguments *a, int i, int64_t fallback, int64_t *out)
{
    *out = fallback;
    if (!a->given[i])
        return OK;
    if (a->values[i].kind != TV_INT && a->values[i].kind != TV_BOOL)
        return fail(ERR_ARG, "expected an integer, found a %s", tv_type(a->values[i]));
    *out = tv_integer(a->values[i]);
    return OK;
}

bool builtin_flag(const struct arguments *a, int i, bool fallback)
{
    return a->given[i] ? tv_truth(a->values[i]) : fallback;
}

int builtin_text(const struct arguments *a, int i, struct tv *out)
{
    if (a->values[i].kind != TV_TEXT)
        return fail(ERR_ARG, "expected a text, found %s%s",
                    a->values[i].kind == TV_UNDEFINED ? "what is " : "a ", tv_type(a->values[i]));
    *out = a->values[i];
    return OK;
}

int builtin_self_text(struct eval *e, const struct arguments *a, struct tv *out)
{
    return tv_to_text(&e->budget, a->self, out);
}
