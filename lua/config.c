/* config.c -- configuration objects: fields read, assigned and printed through option tables. */
#include "engine/core/options.h"
#include "lua/adapter.h"
#include "lua/bind.h"

#include <stdio.h>
#include <string.h>

static void push_list(lua_State *L, const struct text_list *list)
{
    lua_createtable(L, list->count, 0);
    for (int i = 0; i < list->count; i++) {
        lua_pushstring(L, list->items[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_numbers(lua_State *L, const struct number_list *list)
{
    lua_createtable(L, 0, list->count);
    for (int i = 0; i < list->count; i++) {
        lua_pushnumber(L, list->items[i].value);
        lua_setfield(L, -2, list->items[i].name);
    }
}

static void push_text(lua_State *L, const struct option *o, const char *text)
{
    if (text && o->boolean && (!strcmp(text, "true") || !strcmp(text, "false")))
        lua_pushboolean(L, !strcmp(text, "true"));
    else
        lua_pushstring(L, text);
}

/* (object, key) on the stack: pushes the field, or returns 0 for no such option. */
int config_get(lua_State *L, const struct option_table *table, const void *config)
{
    const struct option *o = NULL;
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    if (!name || options_find(table, name, &o))
        return 0;
    const void *field = (const char *)config + o->offset;
    switch (o->type) {
    case OPTION_BOOL:
        lua_pushboolean(L, *(const bool *)field);
        return 1;
    case OPTION_INT:
        lua_pushinteger(L, *(const int64_t *)field);
        return 1;
    case OPTION_FLOAT:
        lua_pushnumber(L, *(const double *)field);
        return 1;
    case OPTION_TEXT:
        push_text(L, o, *(char *const *)field);
        return 1;
    case OPTION_LIST:
        push_list(L, field);
        return 1;
    case OPTION_NUMBERS:
        push_numbers(L, field);
        return 1;
    case OPTION_NOTE:
    case OPTION_REFUSED:
    case OPTION_OBJECT:
        lua_pushnil(L);
        return 1;
    }
    return 0;
}

/* (object, key, value): assigns through a one-entry table, so that all checks are the same. */
int config_set(lua_State *L, const struct option_table *table, void *config)
{
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, -3);
    bind_options(L, -1, table, config);
    return 1;
}

/* Two columns; fields that differ from their default are marked. */
int config_show(lua_State *L, const struct option_table *table, const void *config)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, table->name);
    for (int i = 0; i < table->count; i++) {
        const struct option *o = &table->rows[i];
        char value[200], line[300];
        if (o->type == OPTION_NOTE || o->type == OPTION_OBJECT || o->type == OPTION_REFUSED)
            continue;
        options_show(o, config, value, sizeof value);
        snprintf(line, sizeof line, "\n%c %-30s %s", options_changed(o, config) ? '*' : ' ',
                 o->name, value);
        luaL_addstring(&b, line);
    }
    luaL_addstring(&b, "\n* = not the default");
    luaL_pushresult(&b);
    return 1;
}
