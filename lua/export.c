/* export.c -- model:save_pretrained of a whole model, model:save_gguf, model:save_adapter_gguf. */
#include "lua/export.h"
#include "engine/adapt/lora_gguf.h"
#include "engine/core/file.h"
#include "engine/data/print.h"
#include "engine/model/save.h"
#include "engine/model/save_gguf.h"
#include "lua/hold.h"
#include "lua/model.h"
#include "lua/tokenizer.h"

#include <inttypes.h>

int export_whole(lua_State *L, struct model *m, const char *dir, const char *dtype,
                 const char *max_shard_size)
{
    const struct save_config c = {dtype, max_shard_size};
    int64_t files = 0;
    char weights[32];
    bind_check(L, model_save(m, dir, &c, &files));
    bind_note(L, "model saved in %s: %s weights in %" PRId64 " file%s", dir,
              print_count(model_parameters(m), weights), files, files == 1 ? "" : "s");
    return 0;
}

/* --- GGUF ------------------------------------------------------------------------------------ */

struct gguf_options {
    char *dtype;
};

static const struct option gguf_rows[] = {
    OPTION(struct gguf_options, dtype, TEXT, NULL, .aliases = "outtype,quantization",
           .choices = "auto,f32,f16,bf16,q8_0,q4_0,float32,float16,bfloat16",
           .doc = "Type of the weights in the file; default: as they are kept."),
    {.name = "tokenizer",
     .aliases = "processing_class",
     .type = OPTION_OBJECT,
     .doc = "Whose vocabulary the file gets; default: that of the GGUF file the model came from."},
};

const struct option_table save_gguf_options = {
    .name = "save_gguf",
    .doc = "How a model is written as a GGUF file.",
    .rows = gguf_rows,
    .count = (int)(sizeof gguf_rows / sizeof *gguf_rows),
    .struct_bytes = sizeof(struct gguf_options),
};

struct adapter_gguf_options {
    char *adapter_name;
};

static const struct option adapter_gguf_rows[] = {
    OPTION(struct adapter_gguf_options, adapter_name, TEXT, NULL,
           .doc = "Which adapter; default: the active one."),
};

const struct option_table save_adapter_gguf_options = {
    .name = "save_adapter_gguf",
    .doc = "Which adapter is written as a GGUF file.",
    .rows = adapter_gguf_rows,
    .count = (int)(sizeof adapter_gguf_rows / sizeof *adapter_gguf_rows),
    .struct_bytes = sizeof(struct adapter_gguf_options),
};

static const char *path_arg(lua_State *L, const char *call)
{
    char found[80];
    if (lua_type(L, 2) != LUA_TSTRING)
        bind_error(L, "%s wants the path of a file, found %s", call,
                   bind_describe(L, 2, found, sizeof found));
    return lua_tostring(L, 2);
}

/* "wrote model.gguf: 134.5M weights, 143.2 MB" */
static void say(lua_State *L, const char *what, const char *path, int64_t weights)
{
    struct file *f;
    char count[32];
    double bytes = 0;
    if (!file_open(path, &f)) {
        bytes = (double)file_size(f);
        file_close(f);
    }
    bind_note(L, "%s saved in %s: %s weights, %.1f MB", what, path, print_count(weights, count),
              bytes / 1e6);
}

/* What llama.cpp does otherwise with such a model. */
static void note_limits(lua_State *L, const struct model_config *c)
{
    if (c->rope.kind == ROPE_DYNAMIC)
        bind_note(
            L,
            "note: dynamic rotary scaling has no key in GGUF; the file is right up to %" PRId64
            " tokens",
            c->max_position_embeddings);
    if (c->sliding_window && c->sliding_window < c->max_position_embeddings)
        bind_note(L,
                  "note: llama.cpp does not apply this model's sliding window; the file is right "
                  "there up to %" PRId64 " tokens",
                  c->sliding_window);
}

int export_save_gguf(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    const char *path = path_arg(L, "save_gguf");
    lua_settop(L, 3);
    struct gguf_options *o = hold_options(L, &save_gguf_options);
    bind_options(L, 3, &save_gguf_options, o);
    struct save_gguf_config c = {.dtype = o->dtype};
    bind_field(L, 3, &save_gguf_options, "tokenizer"); /* stays on the stack while it is used */
    if (!lua_isnil(L, -1))
        c.tokenizer = lua_tokenizer_arg(L, lua_gettop(L));
    bind_check(L, model_save_gguf(m, path, &c));
    note_limits(L, &m->config);
    say(L, "model", path, model_parameters(m));
    return 0;
}

int export_save_adapter_gguf(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    const char *path = path_arg(L, "save_adapter_gguf");
    lua_settop(L, 3);
    struct adapter_gguf_options *o = hold_options(L, &save_adapter_gguf_options);
    bind_options(L, 3, &save_adapter_gguf_options, o);
    struct lora *l = o->adapter_name ? lora_find(m, o->adapter_name) : lora_of(m);
    if (!l)
        return bind_error(L,
                          "save_adapter_gguf: the model has no adapter%s%s; hint: "
                          "model.peft_config lists them",
                          o->adapter_name ? " named " : "", o->adapter_name ? o->adapter_name : "");
    if (lora_set_of(m)->merged)
        return bind_error(L, "save_adapter_gguf: the adapter is merged into the weights; hint: "
                             "model:unmerge_adapter() first");
    bind_check(L, lora_save_gguf(l, path));
    say(L, "adapter", path, lora_parameters(l));
    return 0;
}
