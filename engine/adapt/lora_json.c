/* lora_json.c -- adapter_config.json through the option table of LoraConfig. */
#include "engine/adapt/lora_json.h"
#include "engine/core/json.h"
#include "engine/core/json_write.h"
#include "kernels/base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_OF "0.17.0" /* the PEFT release whose keys are written */
#define MOST_ITEMS 10000

/* --- reading --------------------------------------------------------------------------------- */

struct reading {
    struct json j;
    struct lora_config *out;
    struct buffer *notes;
    bool typed; /* peft_type was there */
};

static void note(struct reading *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct reading *r, const char *fmt, ...)
{
    char text[300];
    va_list args;
    if (!r->notes)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buffer_printf(r->notes, "%s: %s\n", "adapter_config.json", text);
}

/* The current string as text of its own. */
static int take_string(struct reading *r, const char *what, char **out)
{
    if (memchr(r->j.text, '\0', r->j.length))
        return json_fail(&r->j, "%s holds a NUL", what);
    *out = mem_text(r->j.text, r->j.length);
    return *out ? OK : ERR_MEMORY;
}

/* An array of texts or whole numbers; the opening bracket has been read. */
static int read_list(struct reading *r, const struct option *o)
{
    char **items = NULL;
    int64_t count = 0, room = 0;
    int status = OK;
    while (!status) {
        status = json_next(&r->j);
        if (status || r->j.kind == JSON_ARRAY_END)
            break;
        if (r->j.kind != JSON_STRING && r->j.kind != JSON_NUMBER)
            status = json_fail(&r->j, "%s: expected a list of texts", o->name);
        if (!status && count == MOST_ITEMS)
            status = json_fail(&r->j, "%s has more than %d entries", o->name, MOST_ITEMS);
        if (!status)
            status = mem_grow((void **)&items, &room, count + 1, sizeof *items);
        if (!status)
            status = take_string(r, o->name, &items[count]);
        count += !status;
    }
    if (!status)
        status = options_set_list(&lora_options, o, r->out, (const char *const *)items, (int)count);
    for (int64_t i = 0; i < count; i++)
        mem_free(items[i]);
    mem_free(items);
    return status;
}

/* An object of numbers; the opening brace has been read. */
static int read_numbers(struct reading *r, const struct option *o)
{
    char **names = NULL;
    double *values = NULL;
    int64_t count = 0, room = 0, value_room = 0;
    int status = OK;
    while (!status) {
        status = json_next(&r->j);
        if (status || r->j.kind == JSON_OBJECT_END)
            break;
        if (count == MOST_ITEMS)
            status = json_fail(&r->j, "%s has more than %d entries", o->name, MOST_ITEMS);
        if (!status)
            status = mem_grow((void **)&names, &room, count + 1, sizeof *names);
        if (!status)
            status = mem_grow((void **)&values, &value_room, count + 1, sizeof *values);
        if (!status)
            status = take_string(r, o->name, &names[count]);
        count += !status;
        if (!status)
            status = json_take_double(&r->j, o->name, &values[count - 1]);
    }
    if (!status)
        status = options_set_numbers(&lora_options, o, r->out, (const char *const *)names, values,
                                     (int)count);
    for (int64_t i = 0; i < count; i++)
        mem_free(names[i]);
    mem_free(names);
    mem_free(values);
    return status;
}

/* Kinds of start that only matter before training: the finished adapter is plain LoRA. */
static bool harmless_start(const char *name)
{
    static const char *const starts[] = {"eva", "orthogonal", "mica"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (!strcmp(name, starts[i]))
            return true;
    return false;
}

static int read_text(struct reading *r, const struct option *o)
{
    char *text;
    TRY(take_string(r, o->name, &text));
    int status = OK;
    if (!strcmp(o->name, "init_lora_weights") && harmless_start(text))
        note(r, "init_lora_weights = '%s' only matters before training", text);
    else
        status = options_set_text(&lora_options, o, r->out, text);
    mem_free(text);
    return status;
}

static int read_number(struct reading *r, const struct option *o)
{
    int64_t whole;
    double value;
    TRY(json_double(&r->j, o->name, &value));
    if (value == floor(value) && fabs(value) < 0x1p53) {
        TRY(json_int(&r->j, o->name, &whole));
        return options_set_int(&lora_options, o, r->out, whole);
    }
    return options_set_number(&lora_options, o, r->out, value);
}

/* The value of an option that is not available: only its default may stand there. */
static int read_refused(struct reading *r, const struct option *o)
{
    bool empty = r->j.kind == JSON_BOOL && !r->j.boolean;
    if (r->j.kind == JSON_ARRAY || r->j.kind == JSON_OBJECT) {
        enum json_kind end = r->j.kind == JSON_ARRAY ? JSON_ARRAY_END : JSON_OBJECT_END;
        TRY(json_next(&r->j));
        empty = r->j.kind == end;
    }
    if (empty)
        return OK;
    return json_fail(&r->j, "%s is set, and what it does is not available; hint: %s", o->name,
                     o->note);
}

/* The value after the key of row 'o'. */
static int read_value(struct reading *r, const struct option *o)
{
    if (o->type == OPTION_NOTE)
        return json_skip_value(&r->j);
    TRY(json_next(&r->j));
    if (r->j.kind == JSON_NULL)
        return OK; /* the default */
    if (o->type == OPTION_REFUSED)
        return read_refused(r, o);
    switch (r->j.kind) {
    case JSON_BOOL:
        return options_set_bool(&lora_options, o, r->out, r->j.boolean);
    case JSON_NUMBER:
        return read_number(r, o);
    case JSON_STRING:
        return read_text(r, o);
    case JSON_ARRAY:
        if (o->type == OPTION_LIST)
            return read_list(r, o);
        break;
    case JSON_OBJECT:
        if (o->type == OPTION_NUMBERS)
            return read_numbers(r, o);
        break;
    default:
        break;
    }
    return json_fail(&r->j, "%s: expected %s", o->name, options_type_name(o->type));
}

static const struct option *find_row(const struct json *j)
{
    for (int i = 0; i < lora_options.count; i++)
        if (json_is(j, lora_options.rows[i].name))
            return &lora_options.rows[i];
    return NULL;
}

static int read_unknown(struct reading *r)
{
    char key[80];
    snprintf(key, sizeof key, "%.*s", (int)(r->j.length < 79 ? r->j.length : 79), r->j.text);
    TRY(json_next(&r->j));
    bool nothing = r->j.kind == JSON_NULL || (r->j.kind == JSON_BOOL && !r->j.boolean);
    TRY(json_skip(&r->j));
    if (!nothing)
        note(r, "'%s' is unknown and was passed over", key);
    return OK;
}

static int read_config(struct reading *r)
{
    TRY(json_open(&r->j, JSON_OBJECT, "an adapter's configuration"));
    for (;;) {
        TRY(json_next(&r->j));
        if (r->j.kind == JSON_OBJECT_END)
            break;
        const struct option *o = find_row(&r->j);
        r->typed = r->typed || json_is(&r->j, "peft_type");
        if (o && !strcmp(o->name, "eva_config")) /* see harmless_start */
            TRY(json_skip_value(&r->j));
        else if (o)
            TRY(read_value(r, o));
        else
            TRY(read_unknown(r));
    }
    TRY(json_end(&r->j));
    if (!r->typed)
        return fail(ERR_FORMAT,
                    "there is no peft_type in it; hint: an adapter's configuration says "
                    "\"peft_type\": \"LORA\"");
    return lora_config_check(r->out);
}

int lora_json_parse(const char *bytes, size_t length, struct lora_config *out, struct buffer *notes)
{
    struct reading r = {.out = out, .notes = notes};
    const struct json_options options = {.nan = true};
    TRY(options_init(&lora_options, out));
    json_begin(&r.j, bytes, length, &options);
    int status = read_config(&r);
    json_free(&r.j);
    if (status)
        options_free(&lora_options, out);
    return status;
}

/* --- writing --------------------------------------------------------------------------------- */

/* As Python prints a number that may be an int: 16, 0.5 */
static void write_number(struct json_writer *w, const char *key, double value)
{
    if (value == floor(value) && fabs(value) < 0x1p53)
        json_write_int(w, key, (int64_t)value);
    else
        json_write_double(w, key, value);
}

static void write_list(struct json_writer *w, const char *key, const struct text_list *list,
                       bool whole)
{
    if (!list->count) {
        json_write_null(w, key);
    } else if (list->single) {
        json_write_text(w, key, list->items[0]);
    } else {
        json_write_open(w, key, '[');
        for (int i = 0; i < list->count; i++)
            if (whole)
                json_write_int(w, NULL, strtoll(list->items[i], NULL, 10));
            else
                json_write_text(w, NULL, list->items[i]);
        json_write_close(w);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named_number *)a)->name, ((const struct named_number *)b)->name);
}

/* Sorted, as PEFT writes everything. */
static int write_numbers(struct json_writer *w, const char *key, const struct number_list *list)
{
    struct named_number *sorted = mem_calloc((size_t)list->count, sizeof *sorted);
    if (!sorted)
        return ERR_MEMORY;
    if (list->count)
        memcpy(sorted, list->items, (size_t)list->count * sizeof *sorted);
    qsort(sorted, (size_t)list->count, sizeof *sorted, by_name);
    json_write_open(w, key, '{');
    for (int i = 0; i < list->count; i++)
        write_number(w, sorted[i].name, sorted[i].value);
    json_write_close(w);
    mem_free(sorted);
    return OK;
}

static void write_init(struct json_writer *w, const char *init)
{
    if (!strcmp(init, "true") || !strcmp(init, "false"))
        json_write_bool(w, "init_lora_weights", !strcmp(init, "true"));
    else
        json_write_text(w, "init_lora_weights", init);
}

int lora_json_write(const struct lora_config *c, const char *base, struct buffer *out)
{
    struct json_writer w;
    json_write_begin(&w, out, 2);
    json_write_open(&w, NULL, '{');
    TRY(write_numbers(&w, "alpha_pattern", &c->alpha_pattern));
    json_write_null(&w, "auto_mapping");
    json_write_text(&w, "base_model_name_or_path", base);
    json_write_text(&w, "bias", c->bias);
    write_list(&w, "exclude_modules", &c->exclude_modules, false);
    json_write_bool(&w, "fan_in_fan_out", false);
    json_write_bool(&w, "inference_mode", true);
    write_init(&w, c->init_lora_weights);
    json_write_null(&w, "layer_replication");
    write_list(&w, "layers_pattern", &c->layers_pattern, false);
    write_list(&w, "layers_to_transform", &c->layers_to_transform, true);
    json_write_open(&w, "loftq_config", '{');
    json_write_close(&w);
    write_number(&w, "lora_alpha", c->lora_alpha);
    json_write_bool(&w, "lora_bias", false);
    json_write_double(&w, "lora_dropout", c->lora_dropout);
    json_write_null(&w, "megatron_config");
    json_write_text(&w, "megatron_core", "megatron.core");
    write_list(&w, "modules_to_save", &c->modules_to_save, false);
    json_write_text(&w, "peft_type", "LORA");
    json_write_text(&w, "peft_version", KEYS_OF);
    json_write_int(&w, "r", c->r);
    TRY(write_numbers(&w, "rank_pattern", &c->rank_pattern));
    json_write_text(&w, "revision", c->revision);
    write_list(&w, "target_modules", &c->target_modules, false);
    json_write_text(&w, "task_type", c->task_type);
    json_write_bool(&w, "use_dora", false);
    json_write_bool(&w, "use_rslora", c->use_rslora);
    json_write_close(&w);
    return out->status;
}
