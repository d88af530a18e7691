/* adapter.c -- LoraConfig, get_peft_model, prepare_model_for_kbit_training. */
#include "lua/adapter.h"
#include "lua/hold.h"
#include "lua/model.h"
#include "lua/peft.h"

#include <string.h>

struct lora_config *lua_lora_arg(lua_State *L, int arg)
{
    return bind_arg(L, arg, &lora_config_class);
}

static int construct(lua_State *L)
{
    lua_settop(L, 1);
    struct lora_config *c = bind_new(L, &lora_config_class, sizeof *c);
    bind_check(L, options_init(&lora_options, c));
    bind_options(L, 1, &lora_options, c);
    bind_check(L, lora_config_check(c));
    return 1;
}

static int gc(lua_State *L)
{
    options_free(&lora_options, bind_arg(L, 1, &lora_config_class));
    return 0;
}

static int get(lua_State *L)
{
    return config_get(L, &lora_options, lua_lora_arg(L, 1));
}

static int set(lua_State *L)
{
    return config_set(L, &lora_options,
                      lua_lora_arg(L, 1)); /* what spans fields: when it is used */
}

static int show(lua_State *L)
{
    return config_show(L, &lora_options, lua_lora_arg(L, 1));
}

static const luaL_Reg meta[] = {{"__gc", gc}, {"__tostring", show}, {NULL, NULL}};

const struct lua_class lora_config_class = {
    .name = "LoraConfig",
    .doc = "Low-rank adapters: which layers get one, and how large.",
    .construct = construct,
    .signature = "LoraConfig{ r = 8, lora_alpha = 16, target_modules = {\"q_proj\", \"v_proj\"} }",
    .options = &lora_options,
    .meta = meta,
    .index = get,
    .newindex = set,
};

/* --- functions ------------------------------------------------------------------------------- */

struct attach_options {
    char *adapter_name;
};

static const struct option attach_rows[] = {
    OPTION(struct attach_options, adapter_name, TEXT, NULL,
           .doc = "the adapter's name in the model"),
    {.name = "autocast_adapter_dtype",
     .type = OPTION_NOTE,
     .doc = "dtype of the adapter",
     .note = "autocast_adapter_dtype: adapters are kept in float32"},
    {.name = "low_cpu_mem_usage",
     .type = OPTION_NOTE,
     .doc = "make it later",
     .note = "low_cpu_mem_usage: an adapter is made where its model is"},
    {.name = "revision",
     .type = OPTION_NOTE,
     .doc = "version of the base model",
     .note = "revision: LoraConfig{ revision = ... } is what is saved"},
    {.name = "mixed",
     .type = OPTION_REFUSED,
     .doc = "adapters of several kinds at once",
     .note = "leave it out: adapters are LoRA, and one is active at a time"},
};

const struct option_table attach_options = {
    .name = "get_peft_model",
    .doc = "How an adapter is attached.",
    .rows = attach_rows,
    .count = (int)(sizeof attach_rows / sizeof *attach_rows),
    .struct_bytes = sizeof(struct attach_options),
};

/* The name as third argument or as {adapter_name = ...}; NULL = none given. It lives on the stack. */
static const char *name_arg(lua_State *L)
{
    char found[80];
    lua_settop(L, 3);
    if (lua_istable(L, 3)) {
        struct attach_options *o = hold_options(L, &attach_options);
        bind_options(L, 3, &attach_options, o);
        return o->adapter_name;
    }
    if (lua_isnil(L, 3))
        return NULL;
    if (lua_type(L, 3) != LUA_TSTRING)
        bind_error(L, "get_peft_model: the adapter's name is a text, found %s",
                   bind_describe(L, 3, found, sizeof found));
    return lua_tostring(L, 3);
}

static int get_peft_model(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    struct lora_config *c = lua_lora_arg(L, 2);
    const char *name = name_arg(L);
    struct lora_how how = {.seed = bind_host.seed, .frozen = c->inference_mode};
    struct lora *l;
    if (!name && lora_of(m))
        return bind_error(L,
                          "the model has an adapter already; hint: go on with the one it has, or "
                          "give the new one a name: get_peft_model(model, config, \"name\")");
    bind_check(L, lora_add(m, name ? name : "default", c, &how, &l));
    bind_check(L, lora_activate(m, l->name));
    peft_note_adapter(l);
    lua_settop(L, 1);
    return 1;
}

static int prepare_kbit(lua_State *L)
{
    lua_model_arg(L, 1);
    bind_note(L, "note: stored weights are frozen as they are; norms and activations are always "
                 "recomputed");
    lua_settop(L, 1);
    return 1;
}

const struct lua_method adapter_functions[] = {
    {"get_peft_model", get_peft_model,
     "model = get_peft_model(model, LoraConfig{...}, name = \"default\")",
     "Gives the model a fresh adapter and freezes its own weights. The same model is returned.",
     &lora_options},
    {"prepare_model_for_kbit_training", prepare_kbit,
     "model = prepare_model_for_kbit_training(model)",
     "For old notebooks: nothing has to be prepared here. The same model is returned.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
