/* config_json.c -- reading and writing config.json; config_json.h says what is taken.
 *
 * The text is read twice: once for the model type, which decides what a key that is left out means,
 * and once for the values, straight into the fields that a table names. */
#include "engine/model/config_json.h"
#include "engine/core/json.h"
#include "engine/core/json_write.h"
#include "kernels/base/size.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* --- what may stand in the text -------------------------------------------------------------- */

enum field_kind { FIELD_INT, FIELD_FLOAT, FIELD_BOOL };

struct field {
    const char *key;
    enum field_kind kind;
    size_t offset;
    bool null;   /* may be null ... */
    double none; /* ... which means this */
};

#define FIELD(name, kind_)                                                                 \
    {                                                                                      \
        .key = #name, .kind = FIELD_##kind_, .offset = offsetof(struct model_config, name) \
    }
#define FIELD_OR(name, kind_, none_)                                                        \
    {                                                                                       \
        .key = #name, .kind = FIELD_##kind_, .offset = offsetof(struct model_config, name), \
        .null = true, .none = (none_)                                                       \
    }

static const struct field fields[] = {
    FIELD(vocab_size, INT),
    FIELD(hidden_size, INT),
    FIELD(intermediate_size, INT),
    FIELD(num_hidden_layers, INT),
    FIELD(num_attention_heads, INT),
    FIELD_OR(num_key_value_heads, INT, 0), /* as many as there are heads */
    FIELD_OR(head_dim, INT, 0),            /* hidden_size / heads */
    FIELD(max_position_embeddings, INT),
    FIELD(rms_norm_eps, FLOAT),
    FIELD_OR(tie_word_embeddings, BOOL, 0),
    FIELD_OR(bos_token_id, INT, -1),
    FIELD_OR(pad_token_id, INT, -1),
};

static const struct field llama_fields[] = {
    FIELD_OR(attention_bias, BOOL, 0),
    FIELD_OR(mlp_bias, BOOL, 0),
};

static const struct field mistral_fields[] = {
    FIELD_OR(sliding_window, INT, 0),
};

#define ROPE_FIELD(key_, kind_, name, null_, none_)                                             \
    {                                                                                           \
        .key = key_, .kind = FIELD_##kind_, .offset = offsetof(struct model_config, rope.name), \
        .null = null_, .none = none_                                                            \
    }

static const struct field rope_fields[] = {
    ROPE_FIELD("rope_theta", FLOAT, theta, false, 0),
    ROPE_FIELD("factor", FLOAT, factor, true, 0),
    ROPE_FIELD("low_freq_factor", FLOAT, low_freq_factor, false, 0),
    ROPE_FIELD("high_freq_factor", FLOAT, high_freq_factor, false, 0),
    ROPE_FIELD("beta_fast", FLOAT, beta_fast, true, 32),
    ROPE_FIELD("beta_slow", FLOAT, beta_slow, true, 1),
    ROPE_FIELD("mscale", FLOAT, mscale, true, 0),
    ROPE_FIELD("mscale_all_dim", FLOAT, mscale_all_dim, true, 0),
    ROPE_FIELD("attention_factor", FLOAT, attention_factor, true, 0),
    ROPE_FIELD("original_max_position_embeddings", INT, original_length, true, 0),
    ROPE_FIELD("truncate", BOOL, truncate, true, 1),
};

/* What a key that is left out means. Sizes of 0 are derived when the text has been read. */
static const struct family {
    const char *model_type;
    struct model_config preset;
    const struct field *own; /* keys that only this type has */
    int64_t own_count;
} families[] = {
    {"llama",
     {.vocab_size = 32000,
      .hidden_size = 4096,
      .intermediate_size = 11008,
      .num_hidden_layers = 32,
      .num_attention_heads = 32,
      .max_position_embeddings = 2048},
     llama_fields,
     COUNT_OF(llama_fields)},
    {"mistral",
     {.vocab_size = 32000,
      .hidden_size = 4096,
      .intermediate_size = 14336,
      .num_hidden_layers = 32,
      .num_attention_heads = 32,
      .num_key_value_heads = 8,
      .max_position_embeddings = 131072,
      .sliding_window = 4096},
     mistral_fields,
     COUNT_OF(mistral_fields)},
};

/* What both types have in common. */
static void set_presets(const struct family *family, struct model_config *c)
{
    *c = family->preset;
    snprintf(c->model_type, sizeof c->model_type, "%s", family->model_type);
    c->rms_norm_eps = 1e-6;
    c->rope = (struct rope_config){
        .theta = 10000, .factor = 0, .beta_fast = 32, .beta_slow = 1, .truncate = true};
    c->bos_token_id = 1;
    c->eos_token_id = 2;
    c->pad_token_id = -1;
    c->eos_count = 1;
    c->eos_ids[0] = 2;
}

/* --- values ---------------------------------------------------------------------------------- */

static void set_field(const struct field *f, struct model_config *c, double value)
{
    char *at = (char *)c + f->offset;
    if (f->kind == FIELD_INT)
        *(int64_t *)(void *)at = (int64_t)value;
    else if (f->kind == FIELD_FLOAT)
        *(double *)(void *)at = value;
    else
        *(bool *)(void *)at = value != 0;
}

static int take_field(struct json *j, const struct field *f, struct model_config *c)
{
    static const enum json_kind kinds[] = {JSON_NUMBER, JSON_NUMBER, JSON_BOOL};
    static const char *const wanted[] = {"a whole number", "a number", "true or false"};
    TRY(json_next(j));
    if (j->kind == JSON_NULL && f->null) {
        set_field(f, c, f->none);
        return OK;
    }
    if (j->kind != kinds[f->kind])
        return json_fail(j, "%s: expected %s%s", f->key, wanted[f->kind],
                         f->null ? " or null" : "");
    char *at = (char *)c + f->offset;
    if (f->kind == FIELD_INT)
        return json_int(j, f->key, (int64_t *)(void *)at);
    if (f->kind == FIELD_FLOAT)
        return json_double(j, f->key, (double *)(void *)at);
    *(bool *)(void *)at = j->boolean;
    return OK;
}

static const struct field *find_field(const struct json *j, const struct field *list, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (json_is(j, list[i].key))
            return &list[i];
    return NULL;
}

static int add_eos(struct json *j, struct model_config *c)
{
    int64_t id;
    TRY(json_int(j, "eos_token_id", &id));
    if (id < 0) /* some files say -1 for none */
        return OK;
    if (id > 1 << 24)
        return json_fail(j, "eos_token_id: %lld is no token id", (long long)id);
    if (c->eos_count == CONFIG_EOS)
        return json_fail(j, "eos_token_id: more than %d ids", CONFIG_EOS);
    c->eos_ids[c->eos_count++] = (int32_t)id;
    return OK;
}

/* A number, a list of numbers, or null. */
static int take_eos(struct json *j, struct model_config *c)
{
    c->eos_count = 0;
    TRY(json_next(j));
    if (j->kind == JSON_NUMBER) {
        TRY(add_eos(j, c));
    } else if (j->kind == JSON_ARRAY) {
        while (json_more(j)) {
            TRY(json_open(j, JSON_NUMBER, "eos_token_id"));
            TRY(add_eos(j, c));
        }
        TRY(json_open(j, JSON_ARRAY_END, "eos_token_id"));
    } else if (j->kind != JSON_NULL) {
        return json_fail(j, "eos_token_id: expected a whole number, a list of them or null");
    }
    c->eos_token_id = c->eos_count ? c->eos_ids[0] : -1;
    return OK;
}

/* Text, cut to the room there is; null leaves it empty. */
static int take_text(struct json *j, const char *what, char *out, size_t bytes)
{
    TRY(json_next(j));
    out[0] = '\0';
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind != JSON_STRING)
        return json_fail(j, "%s: expected a text", what);
    size_t n = (size_t)i64_min((int64_t)j->length, (int64_t)bytes - 1);
    memcpy(out, j->text, n);
    out[n] = '\0';
    return OK;
}

/* "torch.bfloat16" and "bfloat16" */
static int take_dtype(struct json *j, const char *what, struct model_config *c)
{
    char text[32];
    TRY(take_text(j, what, text, sizeof text));
    const char *plain = strncmp(text, "torch.", 6) ? text : text + 6;
    if (*plain)
        snprintf(c->dtype, sizeof c->dtype, "%.15s", plain);
    return OK;
}

static int take_activation(struct json *j)
{
    char text[32];
    TRY(take_text(j, "hidden_act", text, sizeof text));
    if (strcmp(text, "silu") && strcmp(text, "swish"))
        return json_fail(j, "hidden_act: '%s' cannot be used; hint: supported is silu", text);
    return OK;
}

/* Names the method of the other library. */
static int refuse_quantised(struct json *j)
{
    char method[32] = "unknown";
    TRY(json_next(j));
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind != JSON_OBJECT)
        return json_fail(j, "quantization_config: expected an object or null");
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        if (json_is(j, "quant_method"))
            TRY(take_text(j, "quant_method", method, sizeof method));
        else
            TRY(json_skip_value(j));
    }
    return json_fail(j,
                     "quantization_config: weights quantised by '%s' cannot be read; hint: take "
                     "the original weights, or a GGUF file",
                     method);
}

/* --- rotary settings ------------------------------------------------------------------------- */

static const char *const rope_names[ROPE_KINDS] = {
    [ROPE_DEFAULT] = "default", [ROPE_LINEAR] = "linear", [ROPE_DYNAMIC] = "dynamic",
    [ROPE_LLAMA3] = "llama3",   [ROPE_YARN] = "yarn",
};

const char *rope_kind_name(enum rope_kind kind)
{
    return kind >= 0 && kind < ROPE_KINDS ? rope_names[kind] : "?";
}

static int take_rope_kind(struct json *j, const char *what, enum rope_kind *out)
{
    char text[32];
    TRY(take_text(j, what, text, sizeof text));
    for (int i = 0; i < ROPE_KINDS; i++)
        if (!strcmp(text, rope_names[i])) {
            *out = (enum rope_kind)i;
            return OK;
        }
    return json_fail(j,
                     "%s: '%s' cannot be used; hint: supported are default, linear, dynamic, "
                     "llama3 and yarn",
                     what, text);
}

static int take_whole_rotation(struct json *j)
{
    double share = 1;
    TRY(json_next(j));
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind != JSON_NUMBER)
        return json_fail(j, "partial_rotary_factor: expected a number");
    TRY(json_double(j, "partial_rotary_factor", &share));
    if (share != 1)
        return json_fail(j, "partial_rotary_factor: %g, wanted 1: heads are rotated as a whole",
                         share);
    return OK;
}

/* The object of "rope_scaling" or "rope_parameters". rope_type wins over the older type. *any says
 * whether it holds something: {} counts as absent. */
static int take_rope(struct json *j, const char *what, struct model_config *c, bool *any)
{
    enum rope_kind old = ROPE_DEFAULT, new = ROPE_KINDS;
    *any = false;
    TRY(json_next(j));
    if (j->kind == JSON_NULL)
        return OK;
    if (j->kind != JSON_OBJECT)
        return json_fail(j, "%s: expected an object or null", what);
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        const struct field *f = find_field(j, rope_fields, COUNT_OF(rope_fields));
        *any = true;
        if (f)
            TRY(take_field(j, f, c));
        else if (json_is(j, "rope_type"))
            TRY(take_rope_kind(j, "rope_type", &new));
        else if (json_is(j, "type"))
            TRY(take_rope_kind(j, "type", &old));
        else if (json_is(j, "partial_rotary_factor"))
            TRY(take_whole_rotation(j));
        else if (json_is(j, "full_attention") || json_is(j, "sliding_attention"))
            return json_fail(j, "%s: settings for each kind of layer cannot be used", what);
        else
            TRY(json_skip_value(j));
    }
    TRY(json_open(j, JSON_OBJECT_END, what));
    c->rope.kind = new < ROPE_KINDS ? new : old;
    return OK;
}

/* What the keys say together, once all are known. A window's and heads' 0 mean "derive". */
static int derive(struct model_config *c, int64_t old_original)
{
    struct rope_config *r = &c->rope;
    if (!c->num_key_value_heads)
        c->num_key_value_heads = c->num_attention_heads;
    if (!c->head_dim && c->num_attention_heads > 0)
        c->head_dim = c->hidden_size / c->num_attention_heads;
    bool stretched = r->kind == ROPE_LLAMA3 || r->kind == ROPE_YARN;
    if (stretched && old_original)
        r->original_length = old_original;
    if (stretched && !r->original_length)
        r->original_length = c->max_position_embeddings;
    if (!stretched)
        r->original_length = 0;
    if (r->kind == ROPE_DEFAULT)
        r->factor = 1;
    else if (!r->factor && r->kind == ROPE_YARN && r->original_length > 0)
        r->factor = (double)c->max_position_embeddings / (double)r->original_length;
    else if (!r->factor)
        return fail(ERR_FORMAT, "rope_scaling of type %s has no factor", rope_names[r->kind]);
    if (r->kind == ROPE_LLAMA3 && !(r->low_freq_factor > 0 && r->high_freq_factor > 0))
        return fail(ERR_FORMAT, "rope_scaling of type llama3 has no low_freq_factor or no "
                                "high_freq_factor above 0");
    return OK;
}

/* --- the whole text -------------------------------------------------------------------------- */

static const struct json_options options = {.nan = true};

static int find_family(const char *json, size_t length, const struct family **out)
{
    char type[32] = "";
    struct json j;
    bool found = false;
    int status;
    json_begin(&j, json, length, &options);
    TRY_OUT(json_open(&j, JSON_OBJECT, "config.json"));
    while (json_more(&j)) {
        TRY_OUT(json_open(&j, JSON_KEY, NULL));
        if (json_is(&j, "model_type")) {
            TRY_OUT(take_text(&j, "model_type", type, sizeof type));
            found = true;
        } else {
            TRY_OUT(json_skip_value(&j));
        }
    }
    TRY_OUT(json_open(&j, JSON_OBJECT_END, "config.json"));
    TRY_OUT(json_end(&j));
    for (int i = 0; i < COUNT_OF(families); i++)
        if (!strcmp(families[i].model_type, type)) {
            *out = &families[i];
            goto out;
        }
    status = found ? fail(ERR_FORMAT,
                          "model_type '%s' cannot be opened; hint: supported are llama and mistral "
                          "(Llama, Mistral, TinyLlama, SmolLM, Yi ...)",
                          type)
                   : fail(ERR_FORMAT, "there is no model_type; hint: it must be llama or mistral");
out:
    json_free(&j);
    return status;
}

/* The value of the key that was just read. *scaled: rope_scaling held something, which then wins
 * over rope_parameters. */
static int take_key(struct json *j, const struct family *family, struct model_config *c,
                    bool *scaled, int64_t *original)
{
    bool any;
    const struct field *f = find_field(j, fields, COUNT_OF(fields));
    if (!f)
        f = find_field(j, family->own, family->own_count);
    if (f)
        return take_field(j, f, c);
    if (json_is(j, "eos_token_id"))
        return take_eos(j, c);
    if (json_is(j, "torch_dtype") || json_is(j, "dtype"))
        return take_dtype(j, "dtype", c);
    if (json_is(j, "hidden_act"))
        return take_activation(j);
    if (json_is(j, "quantization_config"))
        return refuse_quantised(j);
    if (json_is(j, "partial_rotary_factor"))
        return take_whole_rotation(j);
    if (json_is(j, "_name_or_path"))
        return take_text(j, "_name_or_path", c->name, sizeof c->name);
    if (json_is(j, "original_max_position_embeddings")) {
        const struct field old = {.key = "original_max_position_embeddings",
                                  .offset = offsetof(struct model_config, rope.original_length),
                                  .null = true};
        struct model_config aside = {0};
        TRY(take_field(j, &old, &aside));
        *original = aside.rope.original_length;
        return OK;
    }
    if (json_is(j, "rope_scaling"))
        return take_rope(j, "rope_scaling", c, scaled);
    if (json_is(j, "rope_parameters")) {
        struct model_config aside = *c;
        TRY(take_rope(j, "rope_parameters", &aside, &any));
        if (any && !*scaled)
            c->rope = aside.rope;
        return OK;
    }
    return json_skip_value(j);
}

/* rope_theta beside the object counts only when the object has none of its own. */
static int read_values(struct json *j, const struct family *family, struct model_config *c)
{
    bool scaled = false;
    int64_t original = 0;
    double outer = 0, preset = c->rope.theta;
    c->rope.theta = 0;
    TRY(json_open(j, JSON_OBJECT, "config.json"));
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        if (json_is(j, "rope_theta"))
            TRY(json_take_double(j, "rope_theta", &outer));
        else
            TRY(take_key(j, family, c, &scaled, &original));
    }
    TRY(json_open(j, JSON_OBJECT_END, "config.json"));
    TRY(json_end(j));
    if (!c->rope.theta)
        c->rope.theta = outer ? outer : preset;
    return derive(c, original);
}

int config_from_json(const char *json, size_t length, struct model_config *out)
{
    const struct family *family = NULL;
    struct json j;
    if (length > CONFIG_JSON_BYTES)
        return fail(ERR_FORMAT, "%zu bytes are too many for a config.json", length);
    TRY(find_family(json, length, &family));
    set_presets(family, out);
    json_begin(&j, json, length, &options);
    int status = read_values(&j, family, out);
    json_free(&j);
    return status ? status : config_check(out);
}

/* --- writing --------------------------------------------------------------------------------- */

static void write_rope(struct json_writer *w, const struct model_config *c)
{
    const struct rope_config *r = &c->rope;
    json_write_open(w, "rope_scaling", '{');
    json_write_text(w, "rope_type", rope_names[r->kind]);
    json_write_double(w, "factor", r->factor);
    if (r->kind == ROPE_LLAMA3) {
        json_write_double(w, "low_freq_factor", r->low_freq_factor);
        json_write_double(w, "high_freq_factor", r->high_freq_factor);
    }
    if (r->original_length)
        json_write_int(w, "original_max_position_embeddings", r->original_length);
    if (r->kind == ROPE_YARN) {
        json_write_double(w, "beta_fast", r->beta_fast);
        json_write_double(w, "beta_slow", r->beta_slow);
        if (r->attention_factor)
            json_write_double(w, "attention_factor", r->attention_factor);
        if (r->mscale)
            json_write_double(w, "mscale", r->mscale);
        if (r->mscale_all_dim)
            json_write_double(w, "mscale_all_dim", r->mscale_all_dim);
        json_write_bool(w, "truncate", r->truncate);
    }
    json_write_close(w);
}

static void write_id(struct json_writer *w, const char *key, int64_t id)
{
    if (id < 0)
        json_write_null(w, key);
    else
        json_write_int(w, key, id);
}

static void write_eos(struct json_writer *w, const struct model_config *c)
{
    if (c->eos_count < 2) {
        write_id(w, "eos_token_id", c->eos_token_id);
        return;
    }
    json_write_open(w, "eos_token_id", '[');
    for (int i = 0; i < c->eos_count; i++)
        json_write_int(w, NULL, c->eos_ids[i]);
    json_write_close(w);
}

int config_to_json(const struct model_config *c, const char *dtype, struct buffer *out)
{
    struct json_writer w;
    bool mistral = !strcmp(c->model_type, "mistral");
    json_write_begin(&w, out, 2);
    json_write_open(&w, NULL, '{');
    json_write_open(&w, "architectures", '[');
    json_write_text(&w, NULL, mistral ? "MistralForCausalLM" : "LlamaForCausalLM");
    json_write_close(&w);
    if (!mistral)
        json_write_bool(&w, "attention_bias", c->attention_bias);
    write_id(&w, "bos_token_id", c->bos_token_id);
    write_eos(&w, c);
    json_write_int(&w, "head_dim", c->head_dim);
    json_write_text(&w, "hidden_act", "silu");
    json_write_int(&w, "hidden_size", c->hidden_size);
    json_write_int(&w, "intermediate_size", c->intermediate_size);
    json_write_int(&w, "max_position_embeddings", c->max_position_embeddings);
    if (!mistral)
        json_write_bool(&w, "mlp_bias", c->mlp_bias);
    json_write_text(&w, "model_type", c->model_type);
    json_write_int(&w, "num_attention_heads", c->num_attention_heads);
    json_write_int(&w, "num_hidden_layers", c->num_hidden_layers);
    json_write_int(&w, "num_key_value_heads", c->num_key_value_heads);
    write_id(&w, "pad_token_id", c->pad_token_id);
    json_write_double(&w, "rms_norm_eps", c->rms_norm_eps);
    if (c->rope.kind != ROPE_DEFAULT)
        write_rope(&w, c);
    json_write_double(&w, "rope_theta", c->rope.theta);
    if (mistral && c->sliding_window)
        json_write_int(&w, "sliding_window", c->sliding_window);
    else if (mistral)
        json_write_null(&w, "sliding_window");
    json_write_bool(&w, "tie_word_embeddings", c->tie_word_embeddings);
    json_write_text(&w, "torch_dtype", dtype);
    json_write_bool(&w, "use_cache", true);
    json_write_int(&w, "vocab_size", c->vocab_size);
    json_write_close(&w);
    buffer_text(out, "\n");
    return buffer_close(out);
}

/* --- changing -------------------------------------------------------------------------------- */

#define EDITS 16

/* A value of the text that gives way to the value of edit 'which'. */
struct place {
    size_t start, stop;
    int which;
};

struct places {
    struct place items[2 * EDITS]; /* in the order of the text */
    int count;
    bool found[EDITS];
    size_t end;  /* behind the last entry */
    bool filled; /* the object has entries */
};

static int which_edit(const struct json *j, const struct config_edit *edits, int count)
{
    for (int i = 0; i < count; i++)
        if (json_is(j, edits[i].key) || (edits[i].instead && json_is(j, edits[i].instead)))
            return i;
    return -1;
}

static int find_places(const char *json, size_t length, const struct config_edit *edits, int count,
                       struct places *out)
{
    struct json j;
    int status;
    json_begin(&j, json, length, &options);
    TRY_OUT(json_open(&j, JSON_OBJECT, "config.json"));
    out->end = j.offset + 1;
    while (json_more(&j)) {
        TRY_OUT(json_open(&j, JSON_KEY, NULL));
        int which = which_edit(&j, edits, count);
        TRY_OUT(json_next(&j));
        size_t start = j.offset;
        TRY_OUT(json_skip(&j));
        out->end = (size_t)(j.p - j.whole);
        out->filled = true;
        if (which >= 0) {
            out->items[out->count++] = (struct place){start, out->end, which};
            out->found[which] = true;
        }
    }
    TRY_OUT(json_open(&j, JSON_OBJECT_END, "config.json"));
    TRY_OUT(json_end(&j));
out:
    json_free(&j);
    return status;
}

int config_edit_json(const char *json, size_t length, const struct config_edit *edits, int count,
                     struct buffer *out)
{
    struct places places = {.count = 0};
    size_t from = 0;
    if (count > EDITS)
        return fail(ERR_INTERNAL, "config: %d changes at once", count);
    TRY(find_places(json, length, edits, count, &places));
    for (int i = 0; i < places.count; i++) {
        const struct place *p = &places.items[i];
        buffer_add(out, json + from, p->start - from);
        buffer_text(out, edits[p->which].json);
        from = p->stop;
    }
    buffer_add(out, json + from, places.end - from);
    for (int i = 0; i < count; i++)
        if (!places.found[i]) {
            buffer_printf(out, "%s\n  \"%s\": %s", places.filled ? "," : "", edits[i].key,
                          edits[i].json);
            places.filled = true;
        }
    buffer_add(out, json + places.end, length - places.end);
    return buffer_close(out);
}
