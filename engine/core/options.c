/* options.c -- reading and writing configuration structs through their option tables. */
#include "engine/core/options.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void *field(const struct option *o, const void *config)
{
    return (char *)(uintptr_t)config + o->offset;
}

/* Is 'item' one of the comma-separated 'list'? */
static bool listed(const char *list, const char *item)
{
    size_t n = strlen(item);
    for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
        while (*p == ' ')
            p++;
        if (!strncmp(p, item, n) && (p[n] == ',' || p[n] == '\0'))
            return true;
    }
    return false;
}

const char *options_type_name(enum option_type t)
{
    switch (t) {
    case OPTION_BOOL:
        return "true or false";
    case OPTION_INT:
        return "integer";
    case OPTION_FLOAT:
        return "number";
    case OPTION_TEXT:
        return "text";
    case OPTION_LIST:
        return "list of texts";
    case OPTION_NUMBERS:
        return "table of names and numbers";
    case OPTION_REFUSED:
        return "nothing (not available)";
    case OPTION_NOTE:
        return "anything (not used here)";
    case OPTION_OBJECT:
        return "object";
    }
    return "?";
}

static int wrong_type(const struct option_table *t, const struct option *o, const char *found)
{
    const char *type = options_type_name(o->type);
    const char *article = o->type == OPTION_BOOL ? "" : strchr("aeio", type[0]) ? "an " : "a ";
    return fail(ERR_ARG, "%s: %s wants %s%s, found %s; hint: %s", t->name, o->name, article, type,
                found, o->doc);
}

static void list_free(struct text_list *list)
{
    for (int i = 0; i < list->count; i++)
        mem_free(list->items[i]);
    mem_free(list->items);
    *list = (struct text_list){0};
}

static int list_copy(struct text_list *to, const char *const *items, int count)
{
    struct text_list fresh = {.items = mem_calloc((size_t)count, sizeof(char *))};
    if (!fresh.items)
        return ERR_MEMORY;
    for (; fresh.count < count; fresh.count++) {
        const char *item = items[fresh.count];
        if (!(fresh.items[fresh.count] = mem_text(item, strlen(item)))) {
            list_free(&fresh);
            return ERR_MEMORY;
        }
    }
    list_free(to);
    *to = fresh;
    return OK;
}

static void numbers_free(struct number_list *list)
{
    for (int i = 0; i < list->count; i++)
        mem_free(list->items[i].name);
    mem_free(list->items);
    *list = (struct number_list){0};
}

/* Room for 'count'; an empty list owns nothing. */
static int numbers_room(struct number_list *list, int count)
{
    list->items = count ? mem_calloc((size_t)count, sizeof *list->items) : NULL;
    return list->items || !count ? OK : ERR_MEMORY;
}

static int numbers_add(struct number_list *list, const char *name, double value)
{
    struct named_number *n = &list->items[list->count];
    n->value = value;
    n->name = mem_text(name, strlen(name));
    list->count += n->name != NULL;
    return n->name ? OK : ERR_MEMORY;
}

/* Puts 'fresh' in the place of what 'to' holds, or lets go of it on failure. */
static int numbers_take(struct number_list *to, struct number_list *fresh, int status)
{
    if (status) {
        numbers_free(fresh);
        return status;
    }
    numbers_free(to);
    *to = *fresh;
    return OK;
}

static int numbers_copy(struct number_list *to, const struct number_list *from)
{
    struct number_list fresh = {0};
    int status = numbers_room(&fresh, from->count);
    for (int i = 0; i < from->count && !status; i++)
        status = numbers_add(&fresh, from->items[i].name, from->items[i].value);
    return numbers_take(to, &fresh, status);
}

/* Kinds without a field of their own. */
static bool no_field(const struct option *o)
{
    return o->type == OPTION_NOTE || o->type == OPTION_OBJECT || o->type == OPTION_REFUSED;
}

int options_init(const struct option_table *table, void *config)
{
    memset(config, 0, table->struct_bytes);
    for (int i = 0; i < table->count; i++) {
        const struct option *o = &table->rows[i];
        if (!o->preset || no_field(o))
            continue;
        int status = options_parse(table, o, config, o->preset);
        if (status) {
            options_free(table, config);
            return status;
        }
    }
    return OK;
}

void options_free(const struct option_table *table, void *config)
{
    for (int i = 0; i < table->count; i++) {
        const struct option *o = &table->rows[i];
        if (o->type == OPTION_TEXT) {
            char **text = field(o, config);
            mem_free(*text);
            *text = NULL;
        } else if (o->type == OPTION_LIST) {
            list_free(field(o, config));
        } else if (o->type == OPTION_NUMBERS) {
            numbers_free(field(o, config));
        }
    }
}

/* A deep copy of one field that owns memory; 'to' holds nothing yet. */
static int copy_field(const struct option *o, void *to, const void *from)
{
    if (o->type == OPTION_TEXT) {
        const char *text = *(char **)field(o, from);
        if (text && !(*(char **)field(o, to) = mem_text(text, strlen(text))))
            return ERR_MEMORY;
    } else if (o->type == OPTION_LIST) {
        const struct text_list *list = field(o, from);
        struct text_list *fresh = field(o, to);
        if (list->items)
            TRY(list_copy(fresh, (const char *const *)list->items, list->count));
        fresh->single = list->single;
    } else if (o->type == OPTION_NUMBERS) {
        const struct number_list *list = field(o, from);
        if (list->items)
            return numbers_copy(field(o, to), list);
    }
    return OK;
}

int options_copy(const struct option_table *table, void *to, const void *from)
{
    memcpy(to, from, table->struct_bytes);
    for (int i = 0; i < table->count; i++) { /* first let go of what still belongs to 'from' */
        const struct option *o = &table->rows[i];
        if (o->type == OPTION_TEXT)
            *(char **)field(o, to) = NULL;
        else if (o->type == OPTION_LIST)
            *(struct text_list *)field(o, to) = (struct text_list){0};
        else if (o->type == OPTION_NUMBERS)
            *(struct number_list *)field(o, to) = (struct number_list){0};
    }
    for (int i = 0; i < table->count; i++) {
        int status = copy_field(&table->rows[i], to, from);
        if (status) {
            options_free(table, to);
            return status;
        }
    }
    return OK;
}

static void try_row(struct suggest *s, const struct option *o, char *room, size_t bytes)
{
    suggest_try(s, o->name);
    for (const char *p = o->aliases; p && *p;) {
        size_t n = strcspn(p, ",");
        if (n < bytes) {
            memcpy(room, p, n);
            room[n] = '\0';
            const char *before = s->best;
            suggest_try(s, room);
            if (s->best != before)
                s->best = o->name; /* suggest the canonical spelling */
        }
        p += n + (p[n] == ',');
    }
}

int options_find(const struct option_table *table, const char *name, const struct option **out)
{
    for (int i = 0; i < table->count; i++) {
        const struct option *o = &table->rows[i];
        if (!strcmp(o->name, name) || (o->aliases && listed(o->aliases, name))) {
            *out = o;
            return OK;
        }
    }
    struct suggest s = {.wanted = name};
    char room[80], hint[128];
    for (int i = 0; i < table->count; i++)
        try_row(&s, &table->rows[i], room, sizeof room);
    return fail(ERR_ARG, "%s has no option '%.60s'%s", table->name, name,
                suggest_hint(&s, hint, sizeof hint));
}

/* A value that is known, and known not to be there. */
static int check_refused(const struct option_table *t, const struct option *o, const char *value)
{
    if (o->type != OPTION_REFUSED && (!o->refused || !listed(o->refused, value)))
        return OK;
    if (o->type == OPTION_REFUSED)
        return fail(ERR_ARG, "%s: %s is not available; hint: %s", t->name, o->name, o->note);
    return fail(ERR_ARG, "%s: %s = %.60s is not available; hint: %s", t->name, o->name, value,
                o->note);
}

int options_set_bool(const struct option_table *t, const struct option *o, void *config, bool value)
{
    const char *text = value ? "true" : "false";
    if (o->type == OPTION_NOTE || (o->type == OPTION_REFUSED && !value))
        return OK;
    TRY(check_refused(t, o, text));
    if (o->type == OPTION_TEXT && (o->boolean || (o->choices && listed(o->choices, text))))
        return options_set_text(t, o, config, text);
    if (o->type != OPTION_BOOL)
        return wrong_type(t, o, text);
    *(bool *)field(o, config) = value;
    return OK;
}

static int check_range(const struct option_table *t, const struct option *o, double value)
{
    if (o->min < o->max && !(value >= o->min && value <= o->max))
        return fail(ERR_ARG, "%s: %s = %g is out of range, wanted %g to %g; hint: %s", t->name,
                    o->name, value, o->min, o->max, o->doc);
    if (!isfinite(value))
        return fail(ERR_ARG, "%s: %s = %g, wanted a finite number; hint: %s", t->name, o->name,
                    value, o->doc);
    return OK;
}

int options_set_int(const struct option_table *t, const struct option *o, void *config,
                    int64_t value)
{
    if (o->type == OPTION_FLOAT)
        return options_set_number(t, o, config, (double)value);
    if (o->type == OPTION_NOTE)
        return OK;
    if (o->type != OPTION_INT) {
        char found[32];
        const char *item = found;
        snprintf(found, sizeof found, "%" PRId64, value);
        TRY(check_refused(t, o, found));
        return o->type == OPTION_LIST ? options_set_list(t, o, config, &item, 1)
                                      : wrong_type(t, o, found);
    }
    TRY(check_range(t, o, (double)value));
    *(int64_t *)field(o, config) = value;
    return OK;
}

int options_set_number(const struct option_table *t, const struct option *o, void *config,
                       double value)
{
    if (o->type == OPTION_INT && value == floor(value) && fabs(value) < 0x1p62)
        return options_set_int(t, o, config, (int64_t)value);
    if (o->type == OPTION_NOTE)
        return OK;
    if (o->type != OPTION_FLOAT) {
        char found[32];
        snprintf(found, sizeof found, "%g", value);
        TRY(check_refused(t, o, found));
        return wrong_type(t, o, found);
    }
    TRY(check_range(t, o, value));
    *(double *)field(o, config) = value;
    return OK;
}

static int check_choice(const struct option_table *t, const struct option *o, const char *value)
{
    if (!o->choices || listed(o->choices, value))
        return OK;
    return fail(ERR_ARG, "%s: %s = '%.60s' is not one of the choices; hint: one of %s", t->name,
                o->name, value, o->choices);
}

int options_set_text(const struct option_table *t, const struct option *o, void *config,
                     const char *value)
{
    if (o->type == OPTION_NOTE)
        return OK;
    TRY(check_refused(t, o, value));
    if (o->type == OPTION_LIST) {
        TRY(options_set_list(t, o, config, &value, 1));
        ((struct text_list *)field(o, config))->single = true;
        return OK;
    }
    if (o->type != OPTION_TEXT) {
        char found[64];
        snprintf(found, sizeof found, "the text '%.40s'", value);
        return wrong_type(t, o, found);
    }
    TRY(check_choice(t, o, value));
    char *copy = mem_text(value, strlen(value));
    if (!copy)
        return ERR_MEMORY;
    char **text = field(o, config);
    mem_free(*text);
    *text = copy;
    return OK;
}

int options_set_list(const struct option_table *t, const struct option *o, void *config,
                     const char *const *items, int count)
{
    if (o->type == OPTION_NOTE)
        return OK;
    if (o->type == OPTION_NUMBERS && count == 0)
        return options_set_numbers(t, o, config, NULL, NULL, 0);
    TRY(check_refused(t, o, "a list"));
    if (o->type != OPTION_LIST)
        return wrong_type(t, o, "a list");
    for (int i = 0; i < count; i++)
        TRY(check_choice(t, o, items[i]));
    return list_copy(field(o, config), items, count);
}

int options_set_numbers(const struct option_table *t, const struct option *o, void *config,
                        const char *const *names, const double *values, int count)
{
    if (o->type == OPTION_NOTE)
        return OK;
    TRY(check_refused(t, o, "a table"));
    if (o->type != OPTION_NUMBERS)
        return wrong_type(t, o, "a table of numbers");
    for (int i = 0; i < count; i++) {
        if (!isfinite(values[i]) ||
            (o->min < o->max && !(values[i] >= o->min && values[i] <= o->max)))
            return fail(ERR_ARG, "%s: %s: '%.60s' = %g is out of range, wanted %g to %g; hint: %s",
                        t->name, o->name, names[i], values[i], o->min, o->max, o->doc);
        for (int j = 0; j < i; j++)
            if (!strcmp(names[i], names[j]))
                return fail(ERR_ARG, "%s: %s names '%.60s' twice; hint: %s", t->name, o->name,
                            names[i], o->doc);
    }
    struct number_list fresh = {0};
    int status = numbers_room(&fresh, count);
    for (int i = 0; i < count && !status; i++)
        status = numbers_add(&fresh, names[i], values[i]);
    return numbers_take(field(o, config), &fresh, status);
}

/* "a=1,b=2": the last '=' of an item ends its name, which may be a pattern. */
static int parse_numbers(const struct option_table *t, const struct option *o, void *config,
                         const char *text)
{
    int count = 1, n = 0, status = OK;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    char *copy = mem_text(text, strlen(text)), *save = NULL;
    const char **names = mem_calloc((size_t)count, sizeof *names);
    double *values = mem_calloc((size_t)count, sizeof *values);
    if (!copy || !names || !values)
        status = ERR_MEMORY;
    for (char *item = status ? NULL : strtok_r(copy, ",", &save); item && !status;
         item = strtok_r(NULL, ",", &save)) {
        char *equals = strrchr(item, '='), *end = NULL;
        names[n] = item + strspn(item, " ");
        values[n] = equals ? strtod(equals + 1, &end) : 0;
        if (!equals || equals == names[n] || end == equals + 1 || *end)
            status = fail(ERR_ARG, "%s: %s: '%.60s' is not name=number; hint: %s", t->name, o->name,
                          item, o->doc);
        else
            *equals = '\0';
        n++;
    }
    if (!status)
        status = options_set_numbers(t, o, config, names, values, n);
    mem_free(values);
    mem_free(names);
    mem_free(copy);
    return status;
}

static int parse_list(const struct option_table *t, const struct option *o, void *config,
                      const char *text)
{
    char *copy = mem_text(text, strlen(text));
    if (!copy)
        return ERR_MEMORY;
    int count = 0;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    const char **items = mem_calloc((size_t)count + 1, sizeof *items);
    int status = items ? OK : ERR_MEMORY;
    if (!status) {
        int n = 0;
        char *save = NULL;
        for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save))
            items[n++] = item + strspn(item, " ");
        status = options_set_list(t, o, config, items, n);
        if (!status && n == 1 && o->type == OPTION_LIST)
            ((struct text_list *)field(o, config))->single = true;
    }
    mem_free(items);
    mem_free(copy);
    return status;
}

int options_parse(const struct option_table *t, const struct option *o, void *config,
                  const char *text)
{
    char *end;
    char found[64];
    snprintf(found, sizeof found, "'%.40s'", text);
    switch (o->type) {
    case OPTION_BOOL:
        if (!strcasecmp(text, "true") || !strcmp(text, "1") || !strcasecmp(text, "yes"))
            return options_set_bool(t, o, config, true);
        if (!strcasecmp(text, "false") || !strcmp(text, "0") || !strcasecmp(text, "no"))
            return options_set_bool(t, o, config, false);
        return wrong_type(t, o, found);
    case OPTION_INT:
    case OPTION_FLOAT: {
        double value = strtod(text, &end);
        if (end == text || *end)
            return wrong_type(t, o, found);
        long long whole = strtoll(text, &end, 10);
        if (!*end)
            return options_set_int(t, o, config, whole);
        return options_set_number(t, o, config, value);
    }
    case OPTION_TEXT:
        return options_set_text(t, o, config, text);
    case OPTION_LIST:
        return parse_list(t, o, config, text);
    case OPTION_NUMBERS:
        return parse_numbers(t, o, config, text);
    case OPTION_NOTE:
        return OK;
    case OPTION_REFUSED:
        return check_refused(t, o, text);
    case OPTION_OBJECT:
        break;
    }
    return fail(ERR_ARG, "%s: %s cannot be given as text", t->name, o->name);
}

static void show_number(double value, char *out, size_t bytes)
{
    for (int digits = 15; digits <= 17; digits++) { /* shortest text that reads back the same */
        snprintf(out, bytes, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

void options_show(const struct option *o, const void *config, char *out, size_t bytes)
{
    out[0] = '\0';
    switch (o->type) {
    case OPTION_BOOL:
        snprintf(out, bytes, "%s", *(bool *)field(o, config) ? "true" : "false");
        break;
    case OPTION_INT:
        snprintf(out, bytes, "%" PRId64, *(int64_t *)field(o, config));
        break;
    case OPTION_FLOAT:
        show_number(*(double *)field(o, config), out, bytes);
        break;
    case OPTION_TEXT: {
        const char *text = *(char **)field(o, config);
        snprintf(out, bytes, "%s", text ? text : "");
        break;
    }
    case OPTION_LIST: {
        const struct text_list *list = field(o, config);
        size_t used = 0;
        for (int i = 0; i < list->count && used < bytes; i++)
            used +=
                (size_t)snprintf(out + used, bytes - used, "%s%s", i ? "," : "", list->items[i]);
        break;
    }
    case OPTION_NUMBERS: {
        const struct number_list *list = field(o, config);
        size_t used = 0;
        for (int i = 0; i < list->count && used < bytes; i++) {
            char number[40];
            show_number(list->items[i].value, number, sizeof number);
            used += (size_t)snprintf(out + used, bytes - used, "%s%s=%s", i ? "," : "",
                                     list->items[i].name, number);
        }
        break;
    }
    case OPTION_NOTE:
    case OPTION_REFUSED:
    case OPTION_OBJECT:
        break;
    }
}

bool options_changed(const struct option *o, const void *config)
{
    switch (o->type) {
    case OPTION_BOOL:
        return *(bool *)field(o, config) !=
               (o->preset && (!strcasecmp(o->preset, "true") || !strcmp(o->preset, "1")));
    case OPTION_INT:
        return *(int64_t *)field(o, config) != (o->preset ? strtoll(o->preset, NULL, 10) : 0);
    case OPTION_FLOAT:
        return *(double *)field(o, config) != (o->preset ? strtod(o->preset, NULL) : 0.0);
    case OPTION_TEXT: {
        const char *text = *(char **)field(o, config);
        return text ? !o->preset || strcmp(text, o->preset) != 0 : o->preset != NULL;
    }
    case OPTION_NUMBERS:
    case OPTION_LIST: {
        char now[1024];
        options_show(o, config, now, sizeof now);
        return strcmp(now, o->preset ? o->preset : "") != 0;
    }
    case OPTION_NOTE:
    case OPTION_REFUSED:
    case OPTION_OBJECT:
        break;
    }
    return false;
}
