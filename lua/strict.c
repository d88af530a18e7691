/* strict.c -- strict globals, with the names that Python habits reach for.
 *
 * In plain Lua SFTTrainer{ fp16 = True } passes nil without a word. Here a name that was never
 * assigned is an error that says what was probably meant. */
#include "lua/strict.h"
#include "engine/core/suggest.h"
#include "lua/bind.h"

#include <string.h>

static const struct {
    const char *name, *instead;
} python[] = {
    {"True", "in Lua write true"},
    {"False", "in Lua write false"},
    {"TRUE", "in Lua write true"},
    {"FALSE", "in Lua write false"},
    {"None", "in Lua write nil"},
    {"null", "in Lua write nil"},
    {"NULL", "in Lua write nil"},
    {"undefined", "in Lua write nil"},
    {"len", "in Lua write #x for the length of x"},
    {"range", "in Lua write for i = 1, n do ... end"},
    {"str", "in Lua write tostring(x)"},
    {"int", "in Lua write math.tointeger(x) or x // 1"},
    {"float", "in Lua write tonumber(x)"},
    {"bool", "in Lua write not not x"},
    {"dict", "in Lua write { key = value }"},
    {"list", "in Lua write { a, b, c }"},
    {"tuple", "in Lua write { a, b, c }"},
    {"set", "in Lua write { [a] = true, [b] = true }"},
    {"enumerate", "in Lua write for i, x in ipairs(t) do ... end"},
    {"sorted", "in Lua write table.sort(t)"},
    {"isinstance", "in Lua write type(x) == \"table\""},
    {"hasattr", "in Lua write x.name ~= nil"},
    {"getattr", "in Lua write x[name]"},
    {"input", "in Lua write io.read()"},
    {"open", "in Lua write io.open(path)"},
    {"exit", "in Lua write os.exit(), or press Ctrl-D at the prompt"},
    {"quit", "in Lua write os.exit(), or press Ctrl-D at the prompt"},
    {"max", "in Lua write math.max(...)"},
    {"min", "in Lua write math.min(...)"},
    {"abs", "in Lua write math.abs(x)"},
    {"round", "in Lua write math.floor(x + 0.5)"},
    {"sum", "in Lua write a loop, or df.Column:sum()"},
    {"zip", "in Lua write for i = 1, #a do ... a[i], b[i] ... end"},
    {"import", "in Lua write local m = require \"m\"; lorash's own names need no import"},
    {"lambda", "in Lua write function(x) return ... end"},
    {"self", "there is no object here; methods get self through a colon: object:method()"},
    {"pd", "nothing is imported here: DataFrame(...) is there by itself"},
    {"np", "nothing is imported here: Tensor{...} and math are there by themselves"},
    {"torch",
     "nothing is imported here: Tensor{...} is there by itself; a dtype is a text: \"float32\""},
    {"transformers",
     "nothing is imported here: AutoTokenizer and the others are there by themselves"},
    {"datasets", "nothing is imported here: load_dataset(...) is there by itself"},
    {"peft", "nothing is imported here: LoraConfig{...} is there by itself"},
    {"trl", "nothing is imported here: SFTTrainer{...} is there by itself"},
    {"json", "nothing is imported here: load_dataset(\"json\", {data_files = path}) reads rows"},
};

const char *strict_python(const char *name)
{
    for (size_t i = 0; i < sizeof python / sizeof python[0]; i++)
        if (!strcmp(python[i].name, name))
            return python[i].instead;
    return NULL;
}

char *strict_hint(lua_State *L, const char *name, char *out, size_t bytes)
{
    static const char *const keywords[] = {"elseif", "function", "local", "nil",  "not",
                                           "repeat", "return",   "then",  "true", "false",
                                           "until",  "while",    "break", "goto"};
    struct suggest s = {.wanted = name};
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING)
            suggest_try(&s, lua_tostring(L, -2));
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        suggest_try(&s, keywords[i]);
    suggest_hint(&s, out, bytes);
    lua_pop(L, 1);
    return out;
}

static int undefined(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    const char *name = lua_tostring(L, 2);
    if (name[0] == '_')
        return 0; /* _, _err, _PROMPT: read by convention, nil when unset */
    const char *instead = strict_python(name);
    if (instead)
        return bind_error(L, "undefined global '%.80s'; %s", name, instead);
    char hint[160];
    return bind_error(L, "undefined global '%.80s'%s", name,
                      strict_hint(L, name, hint, sizeof hint));
}

/* --- texts -------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *instead;
} text_methods[] = {
    {"strip", "in Lua write s:match(\"^%s*(.-)%s*$\")"},
    {"trim", "in Lua write s:match(\"^%s*(.-)%s*$\")"},
    {"split", "in Lua write for word in s:gmatch(\"[^,]+\") do ... end"},
    {"join", "in Lua write table.concat(list, \", \")"},
    {"replace", "in Lua write s:gsub(\"old\", \"new\")"},
    {"startswith", "in Lua write s:sub(1, #start) == start"},
    {"endswith", "in Lua write s:sub(-#tail) == tail"},
    {"title", "in Lua write s:gsub(\"^%l\", string.upper)"},
    {"index", "in Lua write s:find(word, 1, true)"},
    {"count", "in Lua write select(2, s:gsub(word, \"\"))"},
};

/* (proxy, key): what is no function of the string library when the state was made. */
static int text_member(lua_State *L)
{
    char hint[160];
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1; /* string.trim = function(s) ... end, of the user */
    if (lua_type(L, 2) != LUA_TSTRING)
        return bind_error(L, "a text is not indexed with %s; hint: s:sub(1, 1) is its first byte",
                          bind_describe(L, 2, hint, sizeof hint));
    const char *name = lua_tostring(L, 2);
    for (size_t i = 0; i < sizeof text_methods / sizeof text_methods[0]; i++)
        if (!strcmp(text_methods[i].name, name))
            return bind_error(L, "a text has no method '%s'; %s", name, text_methods[i].instead);
    struct suggest s = {.wanted = name};
    for (lua_pushnil(L); lua_next(L, lua_upvalueindex(1)); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING)
            suggest_try(&s, lua_tostring(L, -2));
    return bind_error(L, "a text has no method '%.80s'%s", name,
                      suggest_hint(&s, hint, sizeof hint));
}

/* ("x"):uper() and ("x")[0] are errors: methods of texts are found in a copy of the string library,
 * whose misses end here. The library itself keeps answering nil for what it lacks. */
static void strict_texts(lua_State *L)
{
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_createtable(L, 0, 20);
    lua_getglobal(L, "string");
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_createtable(L, 0, 1);
    lua_insert(L, -2);
    lua_pushcclosure(L, text_member, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
}

void strict_open(lua_State *L)
{
    strict_texts(L);
    lua_pushglobaltable(L);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, undefined);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}
