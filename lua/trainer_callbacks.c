/* trainer_callbacks.c -- functions of a person that the training loop calls.
 *
 * A callback is a table of functions named after events. Each gets (args, state, control, values)
 * and may set control.should_training_stop, should_save, should_evaluate or should_log, which are
 * carried out by the loop. The engine calls nobody: the loop does, between two pulls. */
#include "engine/core/suggest.h"
#include "lua/adapter.h"
#include "lua/trainer.h"

#include <string.h>

static const char *const events[] = {"on_train_begin", "on_step_end", "on_epoch_end", "on_log",
                                     "on_evaluate",    "on_save",     "on_train_end", NULL};

/* --- EarlyStoppingCallback ---------------------------------------------------------------------- */

struct early_stopping {
    int64_t early_stopping_patience;
    double early_stopping_threshold;
};

static const struct option early_rows[] = {
    OPTION(struct early_stopping, early_stopping_patience, INT, "1", .min = 1, .max = 1e9,
           .doc = "evaluations in a row that may pass without a better one"),
    OPTION(struct early_stopping, early_stopping_threshold, FLOAT, "0.0", .min = 0, .max = 1e9,
           .doc = "how much better counts as better"),
};

const struct option_table early_stopping_options = {
    .name = "EarlyStoppingCallback",
    .doc = "Ends a run whose evaluations no longer get better.",
    .rows = early_rows,
    .count = (int)(sizeof early_rows / sizeof *early_rows),
    .struct_bytes = sizeof(struct early_stopping),
};

/* EarlyStoppingCallback{...}, or (patience, threshold) as in transformers. */
static int make_early(lua_State *L)
{
    lua_settop(L, 2);
    struct early_stopping *e = bind_new(L, &early_stopping_class, sizeof *e);
    bind_check(L, options_init(&early_stopping_options, e));
    if (lua_isnumber(L, 1)) {
        lua_createtable(L, 0, 2);
        lua_pushvalue(L, 1);
        lua_setfield(L, -2, "early_stopping_patience");
        lua_pushvalue(L, 2);
        lua_setfield(L, -2, "early_stopping_threshold");
        bind_options(L, -1, &early_stopping_options, e);
        lua_pop(L, 1);
    } else {
        bind_options(L, 1, &early_stopping_options, e);
    }
    return 1;
}

static int early_get(lua_State *L)
{
    return config_get(L, &early_stopping_options, lua_touserdata(L, 1));
}

static int early_set(lua_State *L)
{
    return config_set(L, &early_stopping_options, lua_touserdata(L, 1));
}

static int early_show(lua_State *L)
{
    return config_show(L, &early_stopping_options, lua_touserdata(L, 1));
}

static const luaL_Reg early_meta[] = {{"__tostring", early_show}, {NULL, NULL}};

const struct lua_class early_stopping_class = {
    .name = "EarlyStoppingCallback",
    .doc = "Ends a run whose evaluations no longer get better; in SFTTrainer's callbacks.",
    .construct = make_early,
    .signature = "EarlyStoppingCallback{ early_stopping_patience = 3 }",
    .options = &early_stopping_options,
    .meta = early_meta,
    .index = early_get,
    .newindex = early_set,
};

/* --- control ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum trainer_request what;
} requests[] = {{"should_log", TRAINER_ASK_LOG},
                {"should_evaluate", TRAINER_ASK_EVAL},
                {"should_save", TRAINER_ASK_SAVE},
                {"should_training_stop", TRAINER_ASK_STOP}};

/* (control, key, value) for a key that is none of the four. */
static int control_unknown(lua_State *L)
{
    char hint[120];
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    struct suggest s = {.wanted = name};
    for (int i = 0; i < 4; i++)
        suggest_try(&s, requests[i].name);
    return bind_error(L, "control has no '%.60s'%s", name, suggest_hint(&s, hint, sizeof hint));
}

/* Pushes the table through which callbacks ask for something. */
static void push_control(lua_State *L)
{
    lua_createtable(L, 0, 4);
    for (int i = 0; i < 4; i++) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, requests[i].name);
    }
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, control_unknown);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
}

/* --- lists -------------------------------------------------------------------------------------- */

/* The table at 'arg' holds functions under names of events, and at least one. */
static void check_callback(lua_State *L, int arg)
{
    char found[80], hint[120];
    int functions = 0;
    if (!lua_istable(L, arg))
        bind_error(
            L,
            "callbacks: wanted a table of functions or EarlyStoppingCallback{...}, found %s; "
            "hint: { on_log = function(args, state, control, values) end }",
            bind_describe(L, arg, found, sizeof found));
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        int i = 0;
        if (strncmp(name, "on_", 3))
            continue; /* a callback may keep values of its own */
        while (events[i] && strcmp(events[i], name))
            i++;
        struct suggest s = {.wanted = name};
        for (int k = 0; events[k]; k++)
            suggest_try(&s, events[k]);
        if (!events[i])
            bind_error(L, "callbacks: '%.60s' is no event%s", name,
                       suggest_hint(&s, hint, sizeof hint));
        if (!lua_isfunction(L, -1))
            bind_error(L, "callbacks: %s is %s, wanted a function", name,
                       bind_describe(L, -1, found, sizeof found));
        functions++;
    }
    if (!functions)
        bind_error(L, "callbacks: a table without a function; hint: { on_log = function(args, "
                      "state, control, values) end }");
}

/* The callback on top of the stack goes to the end of the list at 'list', or into the engine. */
static void add(lua_State *L, struct trainer_object *o, int list)
{
    int arg = lua_gettop(L);
    const struct early_stopping *e = bind_test(L, arg, &early_stopping_class);
    if (e)
        bind_check(L, trainer_stop_early(o->trainer, e->early_stopping_patience,
                                         e->early_stopping_threshold));
    else
        check_callback(L, arg);
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
}

int trainer_take_callbacks(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 2, &trainer_class);
    char found[80];
    trainer_stored(L, 2, "callbacks");
    int given = lua_gettop(L);
    if (!lua_isnil(L, given) && !lua_istable(L, given))
        bind_error(L, "SFTTrainer: callbacks wants a list, found %s",
                   bind_describe(L, given, found, sizeof found));
    lua_newtable(L);
    int list = lua_gettop(L);
    lua_Integer n = lua_isnil(L, given) ? 0 : (lua_Integer)lua_rawlen(L, given);
    if (n == 0 && lua_istable(L, given)) {
        lua_pushnil(L);
        if (lua_next(L, given)) /* { on_log = ... } where { { on_log = ... } } was meant */
            bind_error(L, "SFTTrainer: callbacks wants a list; hint: callbacks = { { on_log = ... "
                          "} }");
    }
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, given, i);
        add(L, o, list);
    }
    lua_getiuservalue(L, 2, 1);
    lua_pushvalue(L, list);
    lua_setfield(L, -2, "callbacks"); /* a list of the trainer's own */
    push_control(L);
    lua_setfield(L, -2, "control");
    return 0;
}

int trainer_add_callback(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    luaL_checkany(L, 2);
    trainer_stored(L, 1, "callbacks");
    int list = lua_gettop(L);
    lua_pushvalue(L, 2);
    add(L, o, list);
    return 0;
}

int trainer_remove_callback(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    luaL_checkany(L, 2);
    if (bind_test(L, 2, &early_stopping_class))
        bind_check(L, trainer_stop_early(o->trainer, 0, 0));
    trainer_stored(L, 1, "callbacks");
    int list = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, list), kept = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, list, i);
        if (lua_rawequal(L, -1, 2))
            lua_pop(L, 1);
        else
            lua_rawseti(L, list, ++kept);
    }
    for (lua_Integer i = kept + 1; i <= n; i++) {
        lua_pushnil(L);
        lua_rawseti(L, list, i);
    }
    if (kept == n)
        return bind_error(L, "remove_callback: the trainer has no such callback");
    return 0;
}

/* --- calling ------------------------------------------------------------------------------------ */

/* What a callback set in the control table at 'control', once; the status of the engine. */
static int carry_out(lua_State *L, struct trainer_object *o, int control)
{
    for (int i = 0; i < 4; i++) {
        lua_pushstring(L, requests[i].name);
        lua_rawget(L, control);
        bool wanted = lua_toboolean(L, -1);
        lua_pop(L, 1);
        if (!wanted)
            continue;
        lua_pushstring(L, requests[i].name);
        lua_pushboolean(L, 0);
        lua_rawset(L, control);
        TRY(trainer_ask(o->trainer, requests[i].what));
    }
    return OK;
}

/* (trainer, event name, log entry or -1): calls every function of that name. */
static int call_all(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    const char *event = lua_tostring(L, 2);
    lua_Integer entry = lua_tointeger(L, 3);
    int64_t count;
    const struct trainer_log *logs = trainer_logs(o->trainer, &count);
    if (entry >= 0 && entry < count) /* at once: a callback may add entries, and then they move */
        trainer_push_log(L, &logs[entry]);
    else
        lua_pushnil(L);
    lua_replace(L, 3);
    trainer_stored(L, 1, "callbacks");
    trainer_stored(L, 1, "control");
    lua_Integer n = (lua_Integer)lua_rawlen(L, 4);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_settop(L, 5);
        lua_rawgeti(L, 4, i);
        if (!lua_istable(L, -1))
            continue;
        lua_pushstring(L, event);
        if (lua_rawget(L, -2) != LUA_TFUNCTION)
            continue;
        trainer_stored(L, 1, "args");
        trainer_push_state(L, 1, false);
        lua_pushvalue(L, 5);
        lua_pushvalue(L, 3);
        lua_call(L, 4, 0);
        bind_check(L, carry_out(L, o, 5));
    }
    return 0;
}

bool trainer_call(lua_State *L, const char *event, int64_t entry)
{
    trainer_stored(L, 1, "callbacks");
    bool none = !lua_rawlen(L, -1);
    lua_pop(L, 1);
    if (none)
        return true;
    if (bind_interrupted) /* a pause is on its way and must not strike the callback */
        lua_sethook(L, NULL, 0, 0);
    lua_pushcfunction(L, call_all);
    lua_pushvalue(L, 1);
    lua_pushstring(L, event);
    lua_pushinteger(L, entry);
    return lua_pcall(L, 3, 0, 0) == LUA_OK;
}
