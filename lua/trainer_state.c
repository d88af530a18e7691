/* trainer_state.c -- trainer.state: how far a run is, and its log. */
#include "lua/trainer.h"

#include <string.h>

void trainer_stored(lua_State *L, int arg, const char *name)
{
    lua_getiuservalue(L, arg, 1);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

static void set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

void trainer_push_log(lua_State *L, const struct trainer_log *e)
{
    lua_createtable(L, 0, 8);
    lua_pushinteger(L, e->step);
    lua_setfield(L, -2, "step");
    set_number(L, "epoch", e->epoch);
    for (int i = 0; i < LOG_NAMES; i++)
        if (log_has(e, i))
            set_number(L, log_fields[i].name, e->value[i]);
}

static void push_logs(lua_State *L, const struct trainer *t)
{
    int64_t n;
    const struct trainer_log *logs = trainer_logs(t, &n);
    lua_createtable(L, (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
        trainer_push_log(L, &logs[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* (state, key): the log when it is asked for. Upvalue 1: the trainer. */
static int late_log(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, lua_upvalueindex(1), &trainer_class);
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "log_history"))
        return 0;
    push_logs(L, o->trainer);
    lua_pushvalue(L, -1);
    lua_setfield(L, 1, "log_history");
    return 1;
}

void trainer_push_state(lua_State *L, int arg, bool logs)
{
    struct trainer_object *o = bind_arg(L, arg, &trainer_class);
    struct trainer_best best = trainer_best(o->trainer);
    arg = lua_absindex(L, arg);
    lua_createtable(L, 0, 8);
    lua_pushinteger(L, trainer_step(o->trainer));
    lua_setfield(L, -2, "global_step");
    lua_pushinteger(L, trainer_total_steps(o->trainer));
    lua_setfield(L, -2, "max_steps");
    set_number(L, "epoch", trainer_epoch(o->trainer));
    if (best.step >= 0) {
        set_number(L, "best_metric", best.metric);
        lua_pushinteger(L, best.step);
        lua_setfield(L, -2, "best_global_step");
        lua_pushstring(L, best.checkpoint);
        lua_setfield(L, -2, "best_model_checkpoint");
    }
    if (logs) {
        push_logs(L, o->trainer);
        lua_setfield(L, -2, "log_history");
        return;
    }
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, arg);
    lua_pushcclosure(L, late_log, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

int trainer_get_state(lua_State *L)
{
    trainer_push_state(L, 1, true);
    return 1;
}
