/* open.c -- creates the Lua state and lists what it holds.
 *
 * Three lists stand here, one row each for who adds something: classes, global functions, option
 * tables. Loading takes text only: crafted bytecode can crash the virtual machine. */
#include "lua/open.h"
#include "engine/model/sampling.h"
#include "engine/text/chat_options.h"
#include "kernels/base/mem.h"
#include "lua/adapter.h"
#include "lua/bind.h"
#include "lua/column.h"
#include "lua/dataset.h"
#include "lua/frame.h"
#include "lua/groupby.h"
#include "lua/lib.h"
#include "lua/number.h"
#include "lua/model.h"
#include "lua/export.h"
#include "lua/peft.h"
#include "lua/strict.h"
#include "lua/tensor.h"
#include "lua/tokenizer.h"
#include "lua/trainer.h"
#include "lua/verbs.h"
#include "lua/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what there is: one row each -------------------------------------------------------------- */

const struct lua_class *const lua_classes[] = {
    &frame_class,
    &groupby_class,
    &column_class,
    &dataset_class,
    &tokenizer_class,
    &auto_tokenizer_class,
    &tensor_class,
    &auto_model_class,
    &model_class,
    &state_dict_class,
    &text_class,
    &lora_config_class,
    &training_arguments_class,
    &sft_config_class,
    &trainer_class,
    &early_stopping_class,
    &peft_model_class,
    &peft_config_class,
    &auto_peft_class,
    NULL,
};

extern const struct lua_method help_functions[], cli_functions[];

const struct lua_method *const lua_functions[] = {
    help_functions, cli_functions, dataset_functions, frame_functions, adapter_functions, NULL,
};

const struct option_table *const option_tables[] = {
    &load_dataset_options,
    &read_csv_options,
    &to_csv_options,
    &read_json_options,
    &to_json_options,
    &show_row_options,
    &map_options,
    &merge_options,
    &train_test_split_options,
    &to_string_options,
    &tokenizer_load_table,
    &tokenizer_call_table,
    &tokenizer_decode_table,
    &tokenizer_add_table,
    &chat_call_table,
    &from_pretrained_options,
    &generation_options,
    &lora_options,
    &attach_options,
    &peft_load_options,
    &peft_save_options,
    &save_gguf_options,
    &save_adapter_gguf_options,
    &merge_options_table,
    &training_arguments,
    &sft_config,
    &sft_trainer_options,
    &train_options,
    &early_stopping_options,
    NULL,
};

/* --- allocation ------------------------------------------------------------------------------- */

static void *allocate(void *ctx, void *block, size_t old_bytes, size_t bytes)
{
    (void)ctx;
    if (!bytes) {
        mem_free(block);
        return NULL;
    }
    if (!block)
        return mem_alloc(bytes); /* old_bytes is then a type tag */
    void *moved = mem_realloc(block, bytes);
    return moved || bytes > old_bytes ? moved : block; /* Lua relies on shrinking */
}

/* --- loading ---------------------------------------------------------------------------------- */

int open_load(lua_State *L, const char *text, size_t length, const char *chunk_name)
{
    return luaL_loadbufferx(L, text, length, chunk_name, "t");
}

/* load(chunk, name, mode, env) with mode "t" whatever was asked. Upvalue 1: the original. */
static int load_text(lua_State *L)
{
    int n = lua_gettop(L);
    if (n < 1)
        return bind_error(L, "load wants a text or a function");
    if (n < 3)
        lua_settop(L, 3);
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* loadfile(name, mode, env); mode "t". */
static int loadfile_text(lua_State *L)
{
    int n = lua_gettop(L);
    if (n < 2)
        lua_settop(L, 2);
    lua_pushliteral(L, "t");
    lua_replace(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int dofile_more(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L) - 1;
}

static int dofile_text(lua_State *L)
{
    const char *name = luaL_optstring(L, 1, NULL);
    lua_settop(L, 1);
    if (luaL_loadfilex(L, name, "t") != LUA_OK)
        return lua_error(L);
    lua_callk(L, 0, LUA_MULTRET, 0, dofile_more);
    return dofile_more(L, 0, 0);
}

/* package.searchers[2]: a Lua file of package.path, text only. */
static int search_text(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_getfield(L, lua_upvalueindex(1), "searchpath");
    lua_pushvalue(L, 1);
    if (lua_getfield(L, lua_upvalueindex(1), "path") != LUA_TSTRING)
        return bind_error(L, "package.path must be a text");
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2))
        return 1; /* the list of what was tried */
    lua_pop(L, 1);
    const char *file = lua_tostring(L, -1);
    if (luaL_loadfilex(L, file, "t") != LUA_OK)
        return bind_error(L, "module '%s' cannot be loaded: %s", name, lua_tostring(L, -1));
    lua_insert(L, -2);
    return 2;
}

static void wrap_global(lua_State *L, const char *name, lua_CFunction f)
{
    lua_getglobal(L, name);
    lua_pushcclosure(L, f, 1);
    lua_setglobal(L, name);
}

static void text_only(lua_State *L)
{
    wrap_global(L, "load", load_text);
    wrap_global(L, "loadfile", loadfile_text);
    wrap_global(L, "dofile", dofile_text);
    lua_getglobal(L, "string");
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, search_text, 1);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 3);
}

void open_recipe_folder(lua_State *L, const char *recipe_path)
{
    const char *slash = strrchr(recipe_path, '/');
    lua_getglobal(L, "package");
    if (slash)
        lua_pushlstring(L, recipe_path, (size_t)(slash - recipe_path));
    else
        lua_pushliteral(L, ".");
    const char *folder = lua_tostring(L, -1);
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", folder, folder);
    lua_getfield(L, -3, "path");
    const char *path = lua_tostring(L, -1);
    for (const char *p = path; p && *p;) { /* the rest, without the current folder's entries */
        size_t n = strcspn(p, ";");
        if (n && strncmp(p, "./", 2) != 0) {
            lua_pushvalue(L, -2);
            lua_pushliteral(L, ";");
            lua_pushlstring(L, p, n);
            lua_concat(L, 3);
            lua_replace(L, -3);
        }
        p += n + (p[n] == ';');
    }
    lua_pop(L, 1);
    lua_setfield(L, -3, "path");
    lua_pop(L, 2);
}

/* --- numbers as text ---------------------------------------------------------------------------- */

/* luaL_tolstring, but floats are shortest round-trip. */
static void push_text(lua_State *L, int arg)
{
    char text[32];
    if (lua_type(L, arg) == LUA_TNUMBER && !lua_isinteger(L, arg))
        lua_pushstring(L, number_text(lua_tonumber(L, arg), text));
    else
        luaL_tolstring(L, arg, NULL);
}

static int to_text(lua_State *L)
{
    luaL_checkany(L, 1);
    push_text(L, 1);
    return 1;
}

/* --- output ----------------------------------------------------------------------------------- */

static int print_line(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer line;
    luaL_checkstack(L, 4, NULL);
    luaL_buffinit(L, &line);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&line, '\t');
        push_text(L, i);
        luaL_addvalue(&line);
    }
    luaL_addchar(&line, '\n');
    luaL_pushresult(&line);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    bind_write(text, length);
    return 0;
}

/* io.write(...): to the one writer while standard output is the default file. Upvalues: the
 * original, io. */
static int io_write(lua_State *L)
{
    int n = lua_gettop(L);
    lua_getfield(L, lua_upvalueindex(2), "output");
    lua_call(L, 0, 1);
    lua_getfield(L, lua_upvalueindex(2), "stdout");
    bool standard = lua_rawequal(L, -1, -2);
    lua_settop(L, n);
    if (!standard) {
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_insert(L, 1);
        lua_call(L, n, LUA_MULTRET);
        return lua_gettop(L);
    }
    for (int i = 1; i <= n; i++) {
        size_t length;
        const char *text = luaL_checklstring(L, i, &length);
        bind_write(text, length);
    }
    lua_getfield(L, lua_upvalueindex(2), "stdout");
    return 1;
}

static void one_writer(lua_State *L)
{
    lua_pushcfunction(L, print_line);
    lua_setglobal(L, "print");
    lua_pushcfunction(L, to_text);
    lua_setglobal(L, "tostring");
    lua_getglobal(L, "io");
    lua_getfield(L, -1, "write");
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, io_write, 2);
    lua_setfield(L, -2, "write");
    lua_pop(L, 1);
}

/* --- the state -------------------------------------------------------------------------------- */

static int fill_state(lua_State *L)
{
    luaL_openlibs(L);
    text_only(L);
    one_writer(L);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_newtable(L);
    lua_pushliteral(L, LORASH_VERSION);
    lua_setfield(L, -2, "version");
    lua_value_push_null(L);
    lua_setfield(L, -2, "null");
    lua_pushvalue(L, -1);
    lua_setglobal(L, "lorash");
    lua_setfield(L, -2, "lorash");
    lua_pop(L, 1);
    for (int i = 0; lua_classes[i]; i++)
        bind_class(L, lua_classes[i]);
    for (int i = 0; lua_functions[i]; i++)
        for (const struct lua_method *f = lua_functions[i]; f->name; f++)
            bind_function(L, f);
    lib_open(L);
    strict_open(L);
    return 0;
}

/* An error outside any protected call is a bug of ours; Lua aborts after this. */
static int panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "lorash: internal error: %s\n", text ? text : "?");
    return 0;
}

int open_state(lua_State **out)
{
    *out = NULL;
    lua_State *L = lua_newstate(allocate, NULL);
    if (!L)
        return fail(ERR_MEMORY, "no memory for the Lua state");
    lua_atpanic(L, panic);
    lua_pushcfunction(L, fill_state);
    int status = lua_pcall(L, 0, 0, 0);
    if (status != LUA_OK) {
        const char *text = lua_tostring(L, -1);
        int code = status == LUA_ERRMEM ? ERR_MEMORY : ERR_INTERNAL;
        fail(code, "the Lua state cannot be set up: %s", text ? text : "?");
        lua_close(L);
        return code;
    }
    *out = L;
    return OK;
}

void open_close(lua_State *L)
{
    if (L)
        lua_close(L);
}
