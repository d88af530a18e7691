/* peft.c -- adapters of a model by name: loading, saving, choosing, switching off. */
#include "lua/peft.h"
#include "engine/adapt/lora_files.h"
#include "engine/adapt/lora_patterns.h"
#include "engine/adapt/merge.h"
#include "engine/core/file.h"
#include "engine/data/print.h"
#include "engine/model/locate.h"
#include "lua/adapter.h"
#include "lua/export.h"
#include "lua/hold.h"
#include "lua/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES LOCATE_BYTES

/* --- options --------------------------------------------------------------------------------- */

struct load_options {
    char *adapter_name, *revision;
    bool is_trainable;
};

static const struct option load_rows[] = {
    OPTION(struct load_options, is_trainable, BOOL, "false",
           .doc = "true: the adapter can be trained further"),
    OPTION(struct load_options, adapter_name, TEXT, "default", .doc = "its name in the model"),
    OPTION(struct load_options, revision, TEXT, NULL, .doc = "version of a name on the hub"),
    {.name = "torch_device",
     .type = OPTION_NOTE,
     .doc = "where to put the adapter",
     .note = "torch_device: an adapter lies where its model does"},
    {.name = "autocast_adapter_dtype",
     .type = OPTION_NOTE,
     .doc = "dtype of the adapter",
     .note = "autocast_adapter_dtype: adapters are kept in float32"},
    {.name = "low_cpu_mem_usage",
     .type = OPTION_NOTE,
     .doc = "load piece by piece",
     .note = "low_cpu_mem_usage: weights are always read one by one"},
};

const struct option_table peft_load_options = {
    .name = "PeftModel.from_pretrained",
    .doc = "How an adapter is loaded.",
    .rows = load_rows,
    .count = (int)(sizeof load_rows / sizeof *load_rows),
    .struct_bytes = sizeof(struct load_options),
};

struct save_options {
    bool one_scale;
    char *base_model_name_or_path;
    struct text_list selected_adapters;
    char *dtype, *max_shard_size; /* of a whole model */
};

static const struct option save_rows[] = {
    OPTION(struct save_options, base_model_name_or_path, TEXT, NULL,
           .doc = "the base model's name for other programs; default: where it was loaded from"),
    OPTION(struct save_options, one_scale, BOOL, "false",
           .doc =
               "store the strengths of rank_pattern and alpha_pattern in B, for programs that know "
               "lora_alpha / r alone (vLLM); PEFT reads it as well"),
    OPTION(struct save_options, selected_adapters, LIST, NULL, .aliases = "adapter_name",
           .doc = "names of the adapters to save; default: all"),
    OPTION(struct save_options, dtype, TEXT, NULL, .aliases = "torch_dtype",
           .choices = "auto,float32,float16,bfloat16",
           .doc = "whole model: type of the weights in the files; default: as they are kept"),
    OPTION(struct save_options, max_shard_size, TEXT, NULL,
           .doc = "whole model: weights are cut into files of at most this size; default: \"5GB\""),
    {.name = "safe_serialization",
     .type = OPTION_NOTE,
     .doc = "safetensors or not",
     .note = "safe_serialization: weights are always saved as safetensors"},
    {.name = "save_embedding_layers",
     .type = OPTION_NOTE,
     .doc = "repeat base embeddings",
     .note = "save_embedding_layers: weights of the base model are not repeated in an adapter; "
             "modules_to_save trains and saves whole layers"},
};

const struct option_table peft_save_options = {
    .name = "save_pretrained",
    .doc = "How adapters, or a whole model without one, are saved.",
    .rows = save_rows,
    .count = (int)(sizeof save_rows / sizeof *save_rows),
    .struct_bytes = sizeof(struct save_options),
};

/* --- arguments ------------------------------------------------------------------------------- */

/* The text at 'arg', or an error that says what it should be. */
static const char *text_arg(lua_State *L, int arg, const char *call, const char *what)
{
    char found[80];
    if (lua_type(L, arg) != LUA_TSTRING)
        bind_error(L, "%s wants %s, found %s", call, what,
                   bind_describe(L, arg, found, sizeof found));
    return lua_tostring(L, arg);
}

/* Each line of the buffer as a note. */
static void print_notes(struct buffer *notes)
{
    if (buffer_close(notes) || !notes->length)
        return;
    for (char *line = notes->bytes; *line;) {
        size_t n = strcspn(line, "\n");
        bind_note(NULL, "note: %.*s", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

void peft_note_adapter(const struct lora *l)
{
    const struct module *head = l->model->head, *table = l->model->embedding;
    int biases = 0, on_head = 0, on_table = 0;
    for (int64_t i = 0; i < l->copies; i++) {
        biases += l->copy[i].kind == LORA_COPY_BIAS;
        on_head += l->copy[i].stands == &head->linear.weight_copy;
        on_table += l->copy[i].stands == &table->linear.weight_copy;
    }
    for (int64_t i = 0; i < l->count; i++) {
        on_head += l->layers[i].module == head;
        on_table += l->layers[i].module == table;
    }
    if (strcmp(l->config.bias, "none") && !biases)
        bind_note(NULL, "note: bias = \"%s\", but no such layer of this model has a bias",
                  l->config.bias);
    if (head->tied && (on_head || on_table))
        bind_note(NULL,
                  "note: %s and %s are one weight; the adapter changes %s and leaves the base's "
                  "weight as it is, as PEFT does",
                  table->name, head->name,
                  on_head && on_table ? "each in its own way"
                  : on_head           ? head->name
                                      : table->name);
}

/* --- loading --------------------------------------------------------------------------------- */

/* Loads the adapter of the folder or hub name at 'arg' onto the model. */
static struct lora *load(lua_State *L, struct model *m, const char *dir, const char *name,
                         bool trainable, const char *revision)
{
    struct lora *l;
    char *path = lua_newuserdatauv(L, PATH_BYTES, 0);
    struct buffer *notes = hold_buffer(L);
    struct adapter_how how = {.name = name, .trainable = trainable};
    bind_check(L, locate_any(dir, revision, path, PATH_BYTES));
    bind_check(L, adapter_load(m, path, &how, notes, &l));
    print_notes(notes);
    peft_note_adapter(l);
    char weights[32];
    bind_note(L, "adapter '%s': r %" PRId64 " on %" PRId64 " layers, %s weights%s", l->name,
              l->config.r, l->count, print_count(lora_parameters(l), weights),
              trainable ? "" : ", not to be trained");
    return l;
}

/* PeftModel.from_pretrained(model, dir, {...}) */
static int from_pretrained(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    const char *dir = text_arg(L, 2, "PeftModel.from_pretrained", "an adapter's folder");
    lua_settop(L, 3);
    struct load_options *o = hold_options(L, &peft_load_options);
    bind_options(L, 3, &peft_load_options, o);
    struct lora *l = load(L, m, dir, o->adapter_name, o->is_trainable, o->revision);
    bind_check(L, lora_activate(m, l->name));
    lua_settop(L, 1);
    return 1;
}

/* model:load_adapter(dir, name, {...}): stays in the background unless it is the first. */
int peft_load_adapter(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    const char *dir = text_arg(L, 2, "load_adapter", "an adapter's folder");
    lua_settop(L, 4);
    if (lua_istable(L, 3)) { /* the name may be left out */
        lua_copy(L, 3, 4);
        lua_pushnil(L);
        lua_replace(L, 3);
    }
    struct load_options *o = hold_options(L, &peft_load_options);
    bind_options(L, 4, &peft_load_options, o);
    const char *name = o->adapter_name;
    if (!lua_isnil(L, 3))
        name = text_arg(L, 3, "load_adapter", "the adapter's name");
    load(L, m, dir, name, o->is_trainable, o->revision);
    lua_settop(L, 1);
    return 1;
}

/* Takes is_trainable and adapter_name out of a copy of the options at 'arg': the rest are the base
 * model's. */
static void split_options(lua_State *L, int arg, struct load_options *o)
{
    static const char *const ours[] = {"is_trainable", "adapter_name"};
    if (!lua_istable(L, arg))
        return;
    lua_newtable(L); /* ours */
    lua_newtable(L); /* the base's */
    int mine = lua_gettop(L) - 1, rest = mine + 1;
    for (lua_pushnil(L); lua_next(L, arg);) {
        bool is_ours = false;
        for (size_t i = 0; i < sizeof ours / sizeof *ours && lua_type(L, -2) == LUA_TSTRING; i++)
            is_ours = is_ours || !strcmp(lua_tostring(L, -2), ours[i]);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, is_ours ? mine : rest);
    }
    bind_options(L, mine, &peft_load_options, o);
    lua_copy(L, rest, arg);
    lua_settop(L, mine - 1);
}

/* A name written on another machine may be a path that is not here. */
int peft_open_with_base(lua_State *L, const char *dir)
{
    lua_settop(L, 2);
    struct load_options *o = hold_options(L, &peft_load_options);
    split_options(L, 2, o);
    struct lora_config *c = bind_new(L, &lora_config_class, sizeof *c);
    struct buffer *notes = hold_buffer(L);
    char *base = lua_newuserdatauv(L, PATH_BYTES, 0);
    bind_check(L, adapter_read_config(dir, c, notes));
    if (!c->base_model_name_or_path)
        return bind_error(L,
                          "%s does not say which model it belongs to; hint: model = "
                          "AutoModelForCausalLM.from_pretrained(base), then "
                          "PeftModel.from_pretrained(model, \"%s\")",
                          dir, dir);
    if (locate_model(c->base_model_name_or_path, c->revision, base, PATH_BYTES))
        return bind_error(L,
                          "%s belongs to %s, which was not found: %s; hint: model = "
                          "AutoModelForCausalLM.from_pretrained(path), then "
                          "PeftModel.from_pretrained(model, \"%s\")",
                          dir, c->base_model_name_or_path, status_message(), dir);
    lua_pushcfunction(L, model_from_pretrained);
    lua_pushstring(L, c->base_model_name_or_path);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 1);
    struct model *m = lua_model_arg(L, lua_gettop(L));
    int model = lua_gettop(L);
    load(L, m, dir, o->adapter_name, o->is_trainable, NULL);
    lua_settop(L, model);
    return 1;
}

/* AutoPeftModelForCausalLM.from_pretrained(dir, {...}) */
static int auto_from_pretrained(lua_State *L)
{
    const char *dir =
        text_arg(L, 1, "AutoPeftModelForCausalLM.from_pretrained", "an adapter's folder");
    lua_settop(L, 2);
    char *path = lua_newuserdatauv(L, PATH_BYTES, 0);
    lua_insert(L, 1);
    bind_check(L, locate_any(dir, NULL, path, PATH_BYTES));
    lua_pushstring(L, path);
    lua_replace(L, 2);
    lua_remove(L, 1);
    return peft_open_with_base(L, lua_tostring(L, 1));
}

/* PeftConfig.from_pretrained(dir) */
static int config_from_pretrained(lua_State *L)
{
    const char *dir = text_arg(L, 1, "PeftConfig.from_pretrained", "an adapter's folder");
    lua_settop(L, 1);
    struct buffer *notes = hold_buffer(L);
    char *path = lua_newuserdatauv(L, PATH_BYTES, 0);
    struct lora_config *c = bind_new(L, &lora_config_class, sizeof *c);
    bind_check(L, locate_any(dir, NULL, path, PATH_BYTES));
    bind_check(L, adapter_read_config(path, c, notes));
    print_notes(notes);
    return 1;
}

/* --- saving ---------------------------------------------------------------------------------- */

static bool wanted(const struct text_list *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (!strcmp(names->items[i], name))
            return true;
    return !names->count;
}

/* As PEFT: "default" goes into the folder itself, others into folders of their names. */
static void save_one(lua_State *L, struct lora *l, const char *dir, const char *base,
                     bool one_scale)
{
    char weights[32];
    bool plain = !strcmp(l->name, "default");
    lua_pushfstring(L, plain ? "%s" : "%s/%s", dir, l->name);
    const char *path = lua_tostring(L, -1);
    bind_check(L, (one_scale ? adapter_save_one_scale : adapter_save)(l, path, base));
    if (!one_scale && lora_scales_differ(l))
        bind_note(L, "note: layers differ in strength, which PEFT reads and vLLM does not; "
                     "{one_scale = true} saves an adapter that is right in both");
    bind_note(L, "adapter '%s' saved in %s: %s weights", l->name, path,
              print_count(lora_parameters(l), weights));
    lua_pop(L, 1);
}

int peft_save_pretrained(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    const char *dir = text_arg(L, 2, "save_pretrained", "a folder");
    lua_settop(L, 3);
    struct save_options *o = hold_options(L, &peft_save_options);
    bind_options(L, 3, &peft_save_options, o);
    struct lora_set *set = lora_set_of(m);
    if (!set)
        return export_whole(L, m, dir, o->dtype, o->max_shard_size);
    if (o->dtype || o->max_shard_size)
        return bind_error(L,
                          "save_pretrained: %s counts for a whole model, and this one has an "
                          "adapter; hint: model = model:merge_and_unload() first",
                          o->dtype ? "dtype" : "max_shard_size");
    for (int i = 0; i < o->selected_adapters.count; i++)
        if (!lora_find(m, o->selected_adapters.items[i]))
            return bind_error(L,
                              "save_pretrained: the model has no adapter '%s'; hint: "
                              "model.peft_config lists them",
                              o->selected_adapters.items[i]);
    if (set->merged)
        return bind_error(L, "save_pretrained: the adapter is merged into the weights; hint: "
                             "model:unmerge_adapter() to save it alone, or model = "
                             "model:merge_and_unload() to save the whole model");
    if (!o->base_model_name_or_path && !set->active->config.base_model_name_or_path && m->name &&
        file_exists(m->name) && !file_is_folder(m->name))
        bind_note(L,
                  "note: base_model_name_or_path is the file's name, '%s'; PEFT wants the name on "
                  "the hub: model:save_pretrained(dir, {base_model_name_or_path = \"...\"})",
                  adapter_base_name(set->active));
    for (int64_t i = 0; i < set->count; i++)
        if (wanted(&o->selected_adapters, set->items[i]->name))
            save_one(L, set->items[i], dir, o->base_model_name_or_path, o->one_scale);
    return 0;
}

/* --- by name --------------------------------------------------------------------------------- */

int peft_add_adapter(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    int name_at = 2, config_at = 3;
    if (bind_test(L, 2, &lora_config_class)) { /* transformers' order: (config, name) */
        name_at = 3;
        config_at = 2;
    }
    struct lora_config *c = lua_lora_arg(L, config_at);
    const char *name = lua_isnoneornil(L, name_at)
                           ? "default"
                           : text_arg(L, name_at, "add_adapter", "the adapter's name");
    struct lora_how how = {.seed = bind_host.seed, .frozen = c->inference_mode};
    struct lora *l;
    bind_check(L, lora_add(m, name, c, &how, &l));
    peft_note_adapter(l);
    lua_settop(L, 1);
    return 1;
}

int peft_set_adapter(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    if (lua_istable(L, 2) && lua_rawlen(L, 2) == 1)
        lua_rawgeti(L, 2, 1);
    else
        lua_pushvalue(L, 2);
    bind_check(L, lora_activate(m, text_arg(L, -1, "set_adapter", "the name of one adapter")));
    lua_settop(L, 1);
    return 1;
}

int peft_delete_adapter(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    const char *name = text_arg(L, 2, "delete_adapter", "the adapter's name");
    bool was_active = lora_of(m) && !strcmp(lora_of(m)->name, name);
    bind_check(L, lora_remove(m, name));
    if (was_active && lora_of(m))
        bind_note(L, "the active adapter is '%s' now", lora_of(m)->name);
    return 0;
}

static struct lora *need_adapter(lua_State *L, const char *call)
{
    struct lora *l = lora_of(lua_model_arg(L, 1));
    if (!l)
        bind_error(L, "%s: the model has no adapter; hint: get_peft_model(model, LoraConfig{...})",
                   call);
    return l;
}

/* model:disable_adapter(f): runs f with the adapter switched off, whatever happens in f. Without f
 * it stays off until enable_adapter. */
int peft_disable_adapter(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    struct lora *l = need_adapter(L, "disable_adapter");
    bool before = l->enabled;
    lua_settop(L, 2);
    if (!lua_isnil(L, 2) && !lua_isfunction(L, 2))
        return bind_error(L, "disable_adapter wants a function or nothing; hint: "
                             "model:disable_adapter(function() ... end)");
    if (lora_set_of(m)->merged)
        bind_check(L, merge_refuse(lora_set_of(m), "it cannot be switched off"));
    lora_enable(l, false);
    if (lua_isnil(L, 2)) {
        bind_note(L, "the adapter is off until model:enable_adapter()");
        return 0;
    }
    int status = lua_pcall(L, 0, LUA_MULTRET, 0);
    if (lora_of(m))
        lora_enable(lora_of(m), before);
    if (status)
        return lua_error(L);
    return lua_gettop(L) - 1;
}

int peft_enable_adapter(lua_State *L)
{
    lora_enable(need_adapter(L, "enable_adapter"), true);
    return 0;
}

int peft_active_adapter(lua_State *L)
{
    struct lora *l = lora_of(lua_model_arg(L, 1));
    lua_pushstring(L, l ? l->name : NULL);
    return 1;
}

/* name -> LoraConfig, copies of what each adapter was made with; nil without one. */
int peft_config_of(lua_State *L)
{
    struct lora_set *set = lora_set_of(lua_model_arg(L, 1));
    if (!set) {
        lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, 0, (int)set->count);
    for (int64_t i = 0; i < set->count; i++) {
        struct lora_config *c = bind_new(L, &lora_config_class, sizeof *c);
        bind_check(L, options_copy(&lora_options, c, &set->items[i]->config));
        lua_setfield(L, -2, set->items[i]->name);
    }
    return 1;
}

/* --- classes --------------------------------------------------------------------------------- */

static const struct lua_method peft_statics[] = {
    {"from_pretrained", from_pretrained,
     "model = PeftModel.from_pretrained(model, dir, {is_trainable = false})",
     "Puts a saved adapter on the model and makes it the active one. The same model is returned.",
     &peft_load_options},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct lua_class peft_model_class = {
    .name = "PeftModel",
    .doc = "A model with an adapter is the same Model; this class only loads adapters.",
    .statics = peft_statics,
};

static const struct lua_method config_statics[] = {
    {"from_pretrained", config_from_pretrained, "config = PeftConfig.from_pretrained(dir)",
     "Reads the configuration of a saved adapter: a LoraConfig.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct lua_class peft_config_class = {
    .name = "PeftConfig",
    .doc = "Reads configurations of saved adapters.",
    .statics = config_statics,
};

static const struct lua_method auto_statics[] = {
    {"from_pretrained", auto_from_pretrained,
     "model = AutoPeftModelForCausalLM.from_pretrained(dir, {is_trainable = false, dtype = "
     "\"auto\"})",
     "Opens the base model that an adapter's configuration names and puts the adapter on.",
     &from_pretrained_options},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct lua_class auto_peft_class = {
    .name = "AutoPeftModelForCausalLM",
    .doc = "Opens a model together with a saved adapter.",
    .statics = auto_statics,
};
