/* model.c -- the Lua classes AutoModelForCausalLM and Model. */
#include "lua/model.h"
#include "engine/core/clock.h"
#include "engine/adapt/lora_files.h"
#include "engine/data/print.h"
#include "engine/model/locate.h"
#include "lua/adapter.h"
#include "lua/export.h"
#include "lua/hold.h"
#include "lua/peft.h"
#include "lua/runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct model_object {
    struct model *model; /* owned reference */
};

struct model *lua_model_arg(lua_State *L, int arg)
{
    struct model_object *o = bind_arg(L, arg, &model_class);
    if (!o->model)
        bind_error(L, "the model was freed");
    return o->model;
}

static int gc(lua_State *L)
{
    struct model_object *o = bind_arg(L, 1, &model_class);
    model_release(o->model);
    o->model = NULL;
    return 0;
}

/* --- loading --------------------------------------------------------------------------------- */

struct load_options {
    char *dtype, *revision;
    char path[LOCATE_BYTES]; /* what the name stands for */
};

#define NOTE(name_, doc_, note_)                                       \
    {                                                                  \
        .name = name_, .type = OPTION_NOTE, .doc = doc_, .note = note_ \
    }

static const struct option load_rows[] = {
    OPTION(struct load_options, dtype, TEXT, "auto", .aliases = "torch_dtype",
           .choices = "auto,float32,float16,bfloat16,f32,f16,bf16",
           .doc = "how weights are kept: auto = as stored in the file"),
    OPTION(struct load_options, revision, TEXT, NULL,
           .doc = "branch, tag or commit of a name on the hub; default: main"),
    NOTE("device_map", "where to put the model",
         "device_map: the model goes to the device of --device"),
    NOTE("trust_remote_code", "run code of the repository",
         "trust_remote_code is not needed here: no code of a model repository is ever run"),
    NOTE("low_cpu_mem_usage", "load piece by piece",
         "low_cpu_mem_usage: weights are always read one by one"),
    NOTE("attn_implementation", "attention kernel",
         "attn_implementation: there is one attention, which never computes padding"),
    NOTE("use_cache", "keep keys and values", "use_cache: the cache is always used in generation"),
    NOTE("flash_attn", "attention kernel", "flash_attn: there is one attention"),
    NOTE("flash_rotary", "rotary kernel", "flash_rotary: there is one rotary kernel"),
    NOTE("fused_dense", "fused layers", "fused_dense: layers are fused where it pays"),
};

const struct option_table from_pretrained_options = {
    .name = "from_pretrained",
    .doc = "How a model is opened.",
    .rows = load_rows,
    .count = (int)(sizeof load_rows / sizeof *load_rows),
    .struct_bytes = sizeof(struct load_options),
};

/* config.rope_scaling: nil for a plain one. */
static void push_rope(lua_State *L, const struct rope_config *r)
{
    lua_createtable(L, 0, 3);
    lua_pushstring(L, rope_kind_name(r->kind));
    lua_setfield(L, -2, "rope_type");
    lua_pushnumber(L, r->factor);
    lua_setfield(L, -2, "factor");
    if (r->original_length) {
        lua_pushinteger(L, r->original_length);
        lua_setfield(L, -2, "original_max_position_embeddings");
    }
}

/* model.config: a plain table, so that a notebook's assignments (use_cache = false) work. */
static void push_config(lua_State *L, const struct model *m)
{
    const struct model_config *c = &m->config;
    const struct {
        const char *name;
        int64_t value;
    } whole[] = {{"vocab_size", c->vocab_size},
                 {"hidden_size", c->hidden_size},
                 {"intermediate_size", c->intermediate_size},
                 {"num_hidden_layers", c->num_hidden_layers},
                 {"num_attention_heads", c->num_attention_heads},
                 {"num_key_value_heads", c->num_key_value_heads},
                 {"head_dim", c->head_dim},
                 {"max_position_embeddings", c->max_position_embeddings},
                 {"eos_token_id", c->eos_token_id}};
    lua_createtable(L, 0, 16);
    lua_pushstring(L, c->model_type);
    lua_setfield(L, -2, "model_type");
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        lua_pushinteger(L, whole[i].value);
        lua_setfield(L, -2, whole[i].name);
    }
    lua_pushnumber(L, c->rms_norm_eps);
    lua_setfield(L, -2, "rms_norm_eps");
    lua_pushnumber(L, c->rope.theta);
    lua_setfield(L, -2, "rope_theta");
    if (c->rope.kind != ROPE_DEFAULT) {
        push_rope(L, &c->rope);
        lua_setfield(L, -2, "rope_scaling");
    }
    if (c->sliding_window) {
        lua_pushinteger(L, c->sliding_window);
        lua_setfield(L, -2, "sliding_window");
    }
    lua_pushboolean(L, c->tie_word_embeddings);
    lua_setfield(L, -2, "tie_word_embeddings");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "use_cache");
}

int model_from_pretrained(lua_State *L)
{
    char found[80];
    if (lua_type(L, 1) != LUA_TSTRING)
        return bind_error(L, "from_pretrained wants a path or a name on the hub, found %s",
                          bind_describe(L, 1, found, sizeof found));
    const char *name = lua_tostring(L, 1);
    lua_settop(L, 2);
    struct load_options *o = hold_options(L, &from_pretrained_options);
    bind_options(L, 2, &from_pretrained_options, o);
    if (!locate_any(name, o->revision, o->path, sizeof o->path) && adapter_is_folder(o->path)) {
        lua_pushstring(L, o->path);
        lua_replace(L, 1);
        return peft_open_with_base(L, lua_tostring(L, 1));
    }
    struct context *ctx = runtime_context(L);
    struct model_object *object = bind_new(L, &model_class, sizeof *object);
    double start = clock_seconds();
    bind_check(L, locate_model(name, o->revision, o->path, sizeof o->path));
    bind_check(L, model_load_named(ctx, o->path, name, o->dtype, &object->model));
    object->model->cancel = &bind_interrupted;
    object->model->cancel_at = 1;
    push_config(L, object->model);
    lua_setiuservalue(L, -2, 1);
    bind_note(L, "%.1f MiB read · %.1f s", (double)model_bytes(object->model) / 1048576,
              clock_seconds() - start);
    return 1;
}

/* --- methods --------------------------------------------------------------------------------- */

static int num_parameters(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    lua_pushinteger(L, model_parameters(m) + lora_all_parameters(m));
    return 1;
}

static int get_memory_footprint(lua_State *L)
{
    lua_pushinteger(L, model_bytes(lua_model_arg(L, 1)));
    return 1;
}

static int add_trainable(void *ctx, const char *name, struct tensor *t)
{
    (void)name;
    if (t->requires_grad)
        *(int64_t *)ctx += tensor_count(t);
    return OK;
}

static int print_trainable_parameters(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    int64_t all = model_parameters(m) + lora_all_parameters(m), trained = 0;
    char a[32], b[32], line[200];
    bind_check(L, lora_walk_all(m, add_trainable, &trained));
    int n = snprintf(
        line, sizeof line, "trainable params: %s || all params: %s || trainable%%: %.4f\n",
        print_count(trained, a), print_count(all, b), 100.0 * (double)trained / (double)all);
    bind_write(line, (size_t)n);
    return 0;
}

static int eval_mode(lua_State *L)
{
    lua_settop(L, 1); /* dropout is on in training steps only: nothing to switch */
    return 1;
}

static int gradient_checkpointing_enable(lua_State *L)
{
    bind_note(L, "note: norms and activations are always recomputed");
    return 0;
}

static int get_config(lua_State *L)
{
    lua_model_arg(L, 1);
    lua_getiuservalue(L, 1, 1);
    return 1;
}

static int get_device(lua_State *L)
{
    lua_pushstring(L, lua_model_arg(L, 1)->ctx->device->kind);
    return 1;
}

static int get_name(lua_State *L)
{
    lua_pushstring(L, lua_model_arg(L, 1)->name);
    return 1;
}

static int show(lua_State *L)
{
    return model_push_tree(L, lua_model_arg(L, 1));
}

extern const struct option_table generation_options;

static const struct lua_method methods[] = {
    {"generate", model_generate, "model:generate(tokenizer, text, {max_new_tokens = 100, ...})",
     "Continues a text (or a list of texts, or token ids), or answers a conversation: a list of "
     "{role = ..., content = ...}. Gives a text that knows its statistics.",
     &generation_options},
    {"logits", model_logits_call, "model:logits(ids)",
     "What the model expects after each token of a list: a Tensor of [tokens, vocabulary].", NULL},
    {"state_dict", model_state_dict, "model:state_dict()",
     "All tensors by name: index it, walk it with :pairs(), list names with :keys(\"*q_proj*\").",
     NULL},
    {"print_trainable_parameters", print_trainable_parameters, "model:print_trainable_parameters()",
     "How many weights training would change.", NULL},
    {"num_parameters", num_parameters, "model:num_parameters()", "Number of weights.", NULL},
    {"get_memory_footprint", get_memory_footprint, "model:get_memory_footprint()",
     "Bytes of the weights as they are kept.", NULL},
    {"save_pretrained", peft_save_pretrained, "model:save_pretrained(dir, {...})",
     "Saves the adapters for PEFT, vLLM and lorash: adapter_config.json, "
     "adapter_model.safetensors. A model without adapter is saved whole, for transformers: "
     "config.json, generation_config.json, model.safetensors.",
     &peft_save_options},
    {"save_gguf", export_save_gguf,
     "model:save_gguf(path, {dtype = \"q8_0\", tokenizer = tokenizer})",
     "Writes the whole model as one GGUF file, which llama.cpp runs.", &save_gguf_options},
    {"save_adapter_gguf", export_save_adapter_gguf, "model:save_adapter_gguf(path)",
     "Writes the adapter as a GGUF file that llama.cpp puts on the base model (--lora).",
     &save_adapter_gguf_options},
    {"add_adapter", peft_add_adapter, "model:add_adapter(name, LoraConfig{...})",
     "Gives the model another fresh adapter; it becomes active only if it is the first.",
     &lora_options},
    {"load_adapter", peft_load_adapter, "model:load_adapter(dir, name, {is_trainable = false})",
     "Loads a saved adapter beside those that are there; set_adapter(name) makes it the active "
     "one.",
     &peft_load_options},
    {"set_adapter", peft_set_adapter, "model:set_adapter(name)",
     "Makes this adapter the active one.", NULL},
    {"delete_adapter", peft_delete_adapter, "model:delete_adapter(name)",
     "Takes an adapter off and forgets it.", NULL},
    {"disable_adapter", peft_disable_adapter, "model:disable_adapter(function() ... end)",
     "Runs a function with the adapter switched off: the base model speaks. Without a function the "
     "adapter stays off until enable_adapter.",
     NULL},
    {"enable_adapter", peft_enable_adapter, "model:enable_adapter()",
     "Switches the adapter on again after disable_adapter().", NULL},
    {"merge_and_unload", peft_merge_and_unload,
     "model = model:merge_and_unload({dtype = \"float32\"})",
     "Writes the active adapter into the weights and takes all adapters off. The same model is "
     "returned.",
     &merge_options_table},
    {"merge_adapter", peft_merge_adapter, "model:merge_adapter()",
     "Writes the active adapter into the weights; unmerge_adapter gives the old ones back.",
     &merge_options_table},
    {"unmerge_adapter", peft_unmerge_adapter, "model:unmerge_adapter()",
     "Undoes merge_adapter, to the bit.", NULL},
    {"unload", peft_unload, "model = model:unload()",
     "Takes all adapters off: the base model again. The same model is returned.", NULL},
    {"eval", eval_mode, "model:eval()", "Does nothing: dropout is on in training steps only.",
     NULL},
    {"train", eval_mode, "model:train()",
     "Does nothing: dropout is on in training steps only. A trainer trains: SFTTrainer{...}.",
     NULL},
    {"gradient_checkpointing_enable", gradient_checkpointing_enable,
     "model:gradient_checkpointing_enable()", "Says that recomputation is always on.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const struct lua_property properties[] = {
    {"config", get_config, NULL, "The model's settings, as a table."},
    {"device", get_device, NULL, "Where the weights are."},
    {"active_adapter", peft_active_adapter, NULL, "Name of the active adapter; nil without one."},
    {"peft_config", peft_config_of, NULL,
     "Configurations of the adapters by name; nil without one."},
    {"name_or_path", get_name, NULL, "The file the model came from."},
    {NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {{"__gc", gc}, {"__tostring", show}, {NULL, NULL}};

const struct lua_class model_class = {
    .name = "Model",
    .doc = "A language model. Print it to see its layers; generate, inspect, adapt and train it.",
    .signature = "AutoModelForCausalLM.from_pretrained(path)",
    .methods = methods,
    .properties = properties,
    .meta = meta,
};

static const struct lua_method auto_statics[] = {
    {"from_pretrained", model_from_pretrained,
     "AutoModelForCausalLM.from_pretrained(path, {dtype = \"auto\"})",
     "Opens a model: a GGUF file, a folder with config.json and safetensors, or a name on the hub "
     "that was downloaded before. Weights stay as stored unless dtype says otherwise.",
     &from_pretrained_options},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct lua_class auto_model_class = {
    .name = "AutoModelForCausalLM",
    .doc = "Opens language models.",
    .statics = auto_statics,
};
